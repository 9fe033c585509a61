//! The RTP and RTCP headers: read by borrowing, patched in place in the buffer that the packet came in.
//! Not here: what a packet means for a leg (`forward`), and whether its sender may send it (`latch`).
//! RFC 3550 §5.1 (RTP), §6.1 and §A.2 (RTCP), RFC 5506 (reduced-size RTCP), RFC 5761 §4 (both on one port).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! |                           timestamp                           |
//! |           synchronization source (SSRC) identifier            |
//! ```

use crate::limits;
use rtp_rs::{RtpReader, RtpReaderError};

/// Length of the fixed RTP header, bytes.
pub const RTP_HEADER_BYTES: usize = 12;
/// The marker's bit in the second byte, which it shares with the payload type.
const MARKER: u8 = 0x80;
/// The bit in the first byte that says that padding is at the end.
const PADDING: u8 = 0x20;
/// The bit there that says that an extension follows the CSRCs.
const EXTENSION: u8 = 0x10;
/// RTCP packet types that may come first: SR to XR (RFC 3550 §12.1, RFC 4585 §6.1, RFC 3611 §2). Sender and receiver
/// reports as RFC 3550 §6.1 wants, and what RFC 5506 lets stand alone.
const RTCP_TYPES: std::ops::RangeInclusive<u8> = 200..=207;

/// Second bytes of RTCP where RTP comes to the same port, too; as RTP these would be payload types 64 to 95 with a marker (RFC 5761 §4).
const RTCP_ON_RTP_PORT: std::ops::RangeInclusive<u8> = 192..=223;

/// The fixed header's fields that the relay acts on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rtp {
    /// Payload type, 0–127.
    pub payload_type: u8,
    /// The marker bit: the first packet of a talk spurt or of a key press.
    pub marker: bool,
    /// Sequence number; wraps.
    pub sequence: u16,
    /// Timestamp in units of the payload type's clock; wraps.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

/// Why a datagram is not the packet it should be. The reader hears only that it was dropped; tests hear why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// Shorter than a header.
    TooShort,
    /// Longer than [`limits::RTP_BYTES_MAX`].
    TooLong,
    /// Not version 2.
    Version,
    /// CSRCs, extension, padding or a length field point beyond the datagram's end.
    Truncated,
    /// An RTCP packet type that is not one, or padding where it must not be.
    Type,
}

impl Rtp {
    /// Checks a datagram's whole header, lengths of CSRC list, extension and padding included, and reads it with its payload
    /// (without padding).
    pub fn parse(packet: &[u8]) -> Result<(Rtp, &[u8]), Malformed> {
        if packet.len() > limits::RTP_BYTES_MAX {
            return Err(Malformed::TooLong);
        }
        let reader = RtpReader::new(packet).map_err(|error| match error {
            RtpReaderError::BufferTooShort(_) => Malformed::TooShort,
            RtpReaderError::UnsupportedVersion(_) => Malformed::Version,
            RtpReaderError::HeadersTruncated { .. } | RtpReaderError::PaddingLengthInvalid(_) => Malformed::Truncated,
        })?;
        let header = Rtp {
            payload_type: reader.payload_type(),
            marker: reader.mark(),
            sequence: reader.sequence_number().into(),
            timestamp: reader.timestamp(),
            ssrc: reader.ssrc(),
        };
        Ok((header, reader.payload()))
    }

    /// Reads a packet whose payload is encrypted, as far as it is clear, and says where the payload begins. Padding is part of what is
    /// encrypted (RFC 3711 §3.1), so nobody can tell yet whether it adds up.
    #[inline]
    pub fn parse_encrypted(packet: &mut [u8]) -> Result<(Rtp, usize), Malformed> {
        let flags = *packet.first().ok_or(Malformed::TooShort)?;
        let set_flags = |packet: &mut [u8], flags| packet.iter_mut().take(1).for_each(|byte| *byte = flags);
        set_flags(packet, flags & !PADDING);
        let read = Rtp::parse(packet).map(|(header, payload)| (header, packet.len() - payload.len()));
        set_flags(packet, flags);
        read
    }

    /// Writes a packet without CSRCs, extension or padding; returns its length, or `None` if `out` is too small.
    pub fn write(&self, payload: &[u8], out: &mut [u8]) -> Option<usize> {
        let length = RTP_HEADER_BYTES.checked_add(payload.len())?;
        let (header, rest) = out.get_mut(..length)?.split_at_mut_checked(RTP_HEADER_BYTES)?;
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [c0, c1, c2, c3] = self.ssrc.to_be_bytes();
        let second = if self.marker { MARKER } else { 0 } | self.payload_type & !MARKER;
        header.copy_from_slice(&[0x80, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3]);
        rest.copy_from_slice(payload);
        Some(length)
    }
}

/// Puts another payload type into a packet that [`Rtp::parse`] accepted; marker and all else stay.
pub fn set_payload_type(packet: &mut [u8], payload_type: u8) {
    if let Some(byte) = packet.get_mut(1) {
        *byte = *byte & MARKER | payload_type & !MARKER;
    }
}

/// Puts another sequence number into a packet that [`Rtp::parse`] accepted.
pub fn set_sequence(packet: &mut [u8], sequence: u16) {
    packet.get_mut(2..4).into_iter().for_each(|bytes| bytes.copy_from_slice(&sequence.to_be_bytes()));
}

/// Puts another timestamp into a packet that [`Rtp::parse`] accepted.
pub fn set_timestamp(packet: &mut [u8], timestamp: u32) {
    packet.get_mut(4..8).into_iter().for_each(|bytes| bytes.copy_from_slice(&timestamp.to_be_bytes()));
}

/// Where the payload of a packet begins that [`Rtp::parse`] accepted: behind CSRCs and extension.
pub fn payload_begin(packet: &[u8]) -> Option<usize> {
    let flags = *packet.first()?;
    let extension = RTP_HEADER_BYTES + 4 * usize::from(flags & 0x0F);
    if flags & EXTENSION == 0 {
        return Some(extension);
    }
    let &[_, _, l0, l1] = packet.get(extension..)?.first_chunk()?;
    Some(extension + 4 + 4 * usize::from(u16::from_be_bytes([l0, l1])))
}

/// Sets or clears the marker of a packet that [`Rtp::parse`] accepted.
pub fn set_marker(packet: &mut [u8], marker: bool) {
    if let Some(byte) = packet.get_mut(1) {
        *byte = *byte & !MARKER | if marker { MARKER } else { 0 };
    }
}

/// Whether a datagram that came to a port for both is meant as RTCP.
#[inline]
pub fn is_rtcp(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|second| RTCP_ON_RTP_PORT.contains(second))
}

/// Checks as much of a compound RTCP datagram as SRTCP leaves clear, and returns the SSRC of who sent it.
pub fn rtcp_source(packet: &[u8]) -> Result<u32, Malformed> {
    if packet.len() > limits::RTP_BYTES_MAX {
        return Err(Malformed::TooLong);
    }
    let Some(&[flags, first_type, l0, l1, c0, c1, c2, c3]) = packet.first_chunk() else {
        return Err(Malformed::TooShort);
    };
    if !RTCP_TYPES.contains(&first_type) {
        return Err(Malformed::Type);
    }
    if [l0, l1] == [0, 0] {
        return Err(Malformed::Truncated); // the SSRC would be another part's header
    }
    if flags >> 6 != 2 {
        return Err(Malformed::Version);
    }
    Ok(u32::from_be_bytes([c0, c1, c2, c3]))
}

/// Checks a compound RTCP datagram (RFC 3550 §A.2): every part is version 2, the parts' lengths add up to the datagram's,
/// and only the last is padded. Returns the SSRC of who sent it.
pub fn rtcp_sender(packet: &[u8]) -> Result<u32, Malformed> {
    let ssrc = rtcp_source(packet)?;
    let mut rest = packet;
    while !rest.is_empty() {
        let Some(&[flags, _, l0, l1]) = rest.first_chunk() else { return Err(Malformed::Truncated) };
        if flags >> 6 != 2 {
            return Err(Malformed::Version);
        }
        // RFC 3550 §6.4.1: the length counts 32-bit words, less one.
        let length = 4 * (usize::from(u16::from_be_bytes([l0, l1])) + 1);
        rest = rest.get(length..).ok_or(Malformed::Truncated)?;
        let padded = flags & PADDING != 0;
        if padded && !rest.is_empty() {
            return Err(Malformed::Type);
        }
    }
    Ok(ssrc)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: [u8; 14] = [0x80, 0x88, 0x12, 0x34, 0, 0, 0, 160, 1, 2, 3, 4, 0xAA, 0xBB];

    #[test]
    fn a_header_is_read_and_written_alike() {
        let (header, payload) = Rtp::parse(&PLAIN).unwrap();
        assert_eq!(header, Rtp { payload_type: 8, marker: true, sequence: 0x1234, timestamp: 160, ssrc: 0x0102_0304 });
        assert_eq!(payload, [0xAA, 0xBB]);
        let mut out = [0; 14];
        assert_eq!(header.write(payload, &mut out), Some(14));
        assert_eq!(out, PLAIN);
        assert_eq!(header.write(payload, &mut [0; 13]), None);
    }

    #[test]
    fn patching_touches_nothing_else() {
        let mut packet = PLAIN;
        set_payload_type(&mut packet, 101);
        set_marker(&mut packet, false);
        let (header, payload) = Rtp::parse(&packet).unwrap();
        assert_eq!((header.payload_type, header.marker, header.sequence), (101, false, 0x1234));
        assert_eq!(payload, [0xAA, 0xBB]);
        set_payload_type(&mut packet, 0xFF);
        assert_eq!(packet.get(1), Some(&0x7F), "a payload type has 7 bits");
    }

    #[test]
    fn malformed_rtp_is_refused() {
        let with = |changes: &[(usize, u8)]| {
            let mut packet = PLAIN.to_vec();
            changes.iter().for_each(|&(at, value)| packet[at] = value);
            packet
        };
        for (rule, packet, expect) in [
            ("empty", vec![], Malformed::TooShort),
            ("eleven_bytes", PLAIN[..11].to_vec(), Malformed::TooShort),
            ("version_0_as_stun", with(&[(0, 0x00)]), Malformed::Version),
            ("version_1", with(&[(0, 0x40)]), Malformed::Version),
            ("version_3", with(&[(0, 0xC0)]), Malformed::Version),
            ("csrcs_beyond_the_end", with(&[(0, 0x8F)]), Malformed::Truncated),
            ("extension_beyond_the_end", with(&[(0, 0x90)]), Malformed::Truncated),
            ("padding_of_zero", with(&[(0, 0xA0), (13, 0)]), Malformed::Truncated),
            ("padding_beyond_the_payload", with(&[(0, 0xA0), (13, 3)]), Malformed::Truncated),
            ("longer_than_a_frame", vec![0x80; 1_501], Malformed::TooLong),
        ] {
            assert_eq!(Rtp::parse(&packet).err(), Some(expect), "{rule}");
        }
    }

    #[test]
    fn of_an_encrypted_packet_all_but_the_padding_is_read() {
        // A CSRC, an extension of one word, and bytes that are no padding yet.
        let clear = [&PLAIN[..12], &[9, 9, 9, 9, 0xBE, 0xDE, 0, 1, 7, 7, 7, 7]].concat();
        let with = |flags: u8, behind: &[u8]| [&[flags][..], &clear[1..], behind].concat();
        for (rule, mut packet, expect) in [
            ("nothing_encrypted", with(0x91, &[]), Ok(24)),
            ("payload", with(0x91, &[1, 2, 3]), Ok(24)),
            ("padding_that_is_too_long_as_it_stands", with(0xB1, &[1, 2, 99]), Ok(24)),
            ("padding_of_zero_as_it_stands", with(0xB1, &[0]), Ok(24)),
            ("no_extension", with(0x81, &[]), Ok(16)),
            ("csrcs_beyond_the_end", with(0x8F, &[]), Err(Malformed::Truncated)),
            ("extension_beyond_the_end", with(0x95, &[0; 3]), Err(Malformed::Truncated)),
            ("version_1", with(0x51, &[]), Err(Malformed::Version)),
            ("empty", vec![], Err(Malformed::TooShort)),
            ("longer_than_a_frame", with(0x91, &[0; 1_500]), Err(Malformed::TooLong)),
        ] {
            let before = packet.clone();
            let read = Rtp::parse_encrypted(&mut packet);
            assert_eq!(read.map(|(_, begins)| begins), expect, "{rule}");
            assert_eq!(packet, before, "{rule}: nothing stays changed");
            if let Ok((header, _)) = read {
                assert_eq!((header.ssrc, header.sequence, header.payload_type), (0x0102_0304, 0x1234, 8), "{rule}");
            }
        }
    }

    /// RFC 5761 §4.
    #[test]
    fn on_one_port_the_second_byte_tells_reports_from_audio() {
        for (second, expect) in [(0, false), (0x80 | 63, false), (191, false), (192, true), (200, true), (223, true)] {
            assert_eq!(is_rtcp(&[0x80, second]), expect, "{second}");
        }
        for (second, expect) in [(224, false), (255, false), (72, false)] {
            assert_eq!(is_rtcp(&[0x80, second]), expect, "{second}");
        }
        assert!(!is_rtcp(&[0x80]) && !is_rtcp(&[]));
    }

    #[test]
    fn of_an_encrypted_report_the_first_eight_bytes_are_read() {
        for (rule, packet, expect) in [
            ("what_follows_is_anything", [0x80, 200, 0, 6, 9, 8, 7, 6, 0x11], Ok(0x0908_0706)),
            ("padded", [0xA0, 200, 0, 6, 9, 8, 7, 6, 0x11], Ok(0x0908_0706)),
            ("version_1", [0x40, 200, 0, 6, 9, 8, 7, 6, 0x11], Err(Malformed::Version)),
            ("not_rtcp", [0x80, 96, 0, 6, 9, 8, 7, 6, 0x11], Err(Malformed::Type)),
            ("without_ssrc", [0x80, 200, 0, 0, 9, 8, 7, 6, 0x11], Err(Malformed::Truncated)),
        ] {
            assert_eq!(rtcp_source(&packet), expect, "{rule}");
        }
        assert_eq!(rtcp_source(&[0x80, 200, 0, 6, 9, 8, 7]), Err(Malformed::TooShort));
        assert_eq!(rtcp_source(&[0x80; 1_501]), Err(Malformed::TooLong));
    }

    #[test]
    fn a_compound_rtcp_packet_adds_up() {
        let report = [0x80, 201, 0, 1, 9, 8, 7, 6];
        let sdes = [0x81, 202, 0, 2, 9, 8, 7, 6, 1, 1, b'a', 0];
        let bye_padded = [0xA1, 203, 0, 2, 9, 8, 7, 6, 0, 0, 0, 4];
        let join = |parts: &[&[u8]]| parts.concat();
        for (rule, packet, expect) in [
            ("receiver_report_alone", report.to_vec(), Ok(0x0908_0706)),
            ("report_and_description", join(&[&report, &sdes]), Ok(0x0908_0706)),
            ("last_may_be_padded", join(&[&report, &bye_padded]), Ok(0x0908_0706)),
            ("others_may_not", join(&[&bye_padded, &report]), Err(Malformed::Type)),
            ("seven_bytes", report[..7].to_vec(), Err(Malformed::TooShort)),
            ("rtp_is_not_rtcp", PLAIN.to_vec(), Err(Malformed::Type)),
            ("length_beyond_the_end", vec![0x80, 201, 0, 2, 9, 8, 7, 6], Err(Malformed::Truncated)),
            ("second_cut_short", join(&[&report, &sdes[..6]]), Err(Malformed::Truncated)),
            ("second_of_version_1", join(&[&report, &[0x40, 202, 0, 0]]), Err(Malformed::Version)),
            ("trailing_bytes", join(&[&report, &[0x80, 202]]), Err(Malformed::Truncated)),
            ("first_without_ssrc", vec![0x80, 201, 0, 0, 0x80, 202, 0, 0], Err(Malformed::Truncated)),
            ("length_of_all_ones", vec![0x80, 200, 0xFF, 0xFF, 9, 8, 7, 6], Err(Malformed::Truncated)),
        ] {
            assert_eq!(rtcp_sender(&packet), expect, "{rule}");
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic() {
        let mut rng = crate::rng::Rng::from_seed([4; 32]);
        for _ in 0..100_000 {
            let mut bytes = [0; 64];
            rng.fill(&mut bytes);
            bytes[0] = bytes[0] & 0x3F | 0x80;
            bytes[1] = bytes[1] & 0x87 | 0x48;
            let packet = &bytes[..usize::try_from(rng.below(65)).unwrap()];
            if let Ok((_, payload)) = Rtp::parse(packet) {
                assert!(payload.len() + RTP_HEADER_BYTES <= packet.len());
            }
            let _ = rtcp_sender(packet);
        }
    }
}
