//! What the tests of this module share: keys, packets with all that a header may have, and packets protected in a buffer of their own.
//! Not here: what is expected of them.

use super::{Fault, Inbound, Master, OVERHEAD_MAX, Outbound, Stream, Suite};
use crate::media::header::{Rtp, rtcp_sender};
use crate::rng::Rng;

pub(super) const SSRC: u32 = 0xCAFE_BABE;

pub(super) fn from_hexadecimal(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

pub(super) fn rng(seed: u8) -> Rng {
    Rng::from_seed([seed; 32])
}

pub(super) fn below(rng: &mut Rng, bound: usize) -> usize {
    rng.below(bound.try_into().unwrap()).try_into().unwrap()
}

pub(super) fn any_bytes(rng: &mut Rng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}

pub(super) fn master(suite: Suite, seed: u8) -> Master {
    Master::new(suite, &any_bytes(&mut rng(seed), suite.key_bytes() + suite.salt_bytes())).unwrap()
}

/// Two ends of one direction.
pub(super) fn pair(suite: Suite) -> (Outbound, Inbound) {
    let master = master(suite, 1);
    (Outbound::new(&master), Inbound::new(&master))
}

/// An RTP packet, sometimes with CSRCs, an extension, padding, or nothing in it.
pub(super) fn rtp(rng: &mut Rng, ssrc: u32, sequence: u16) -> Vec<u8> {
    let payload = below(rng, 200);
    let header = Rtp { ssrc, sequence, timestamp: rng.below(u32::MAX), payload_type: 96, marker: rng.below(2) == 0 };
    let mut packet = vec![0; 12];
    header.write(&[], &mut packet).unwrap();
    if rng.below(3) == 0 {
        let count = rng.below(16).to_be_bytes()[3];
        packet[0] |= count;
        packet.extend(any_bytes(rng, 4 * usize::from(count)));
    }
    if rng.below(3) == 0 {
        let words = rng.below(5).to_be_bytes()[3];
        packet[0] |= 0x10;
        packet.extend([0x12, 0x34, 0, words]);
        packet.extend(any_bytes(rng, 4 * usize::from(words)));
    }
    packet.extend(any_bytes(rng, payload));
    if rng.below(3) == 0 {
        let count = rng.below(8).to_be_bytes()[3] + 1;
        packet[0] |= 0x20;
        packet.extend(vec![0; usize::from(count - 1)]);
        packet.push(count);
    }
    assert!(Rtp::parse(&packet).is_ok());
    packet
}

/// A compound RTCP packet of one to four parts.
pub(super) fn rtcp(rng: &mut Rng, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(ssrc.to_be_bytes());
    for _ in 0..rng.below(4) {
        let words = rng.below(20).to_be_bytes()[3];
        packet.extend([0x81, 202, 0, words]);
        packet.extend(any_bytes(rng, 4 * usize::from(words)));
    }
    assert_eq!(rtcp_sender(&packet), Ok(ssrc));
    packet
}

/// A packet of either stream; `number` is an RTP packet's sequence number.
pub(super) fn packet(rng: &mut Rng, stream: Stream, ssrc: u32, number: u16) -> Vec<u8> {
    match stream {
        Stream::Rtp => rtp(rng, ssrc, number),
        Stream::Rtcp => rtcp(rng, ssrc),
    }
}

pub(super) fn protect(outbound: &mut Outbound, stream: Stream, packet: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut buffer = [packet, &[0xEE; OVERHEAD_MAX]].concat();
    let length = match stream {
        Stream::Rtp => outbound.protect_rtp(&mut buffer, packet.len()),
        Stream::Rtcp => outbound.protect_rtcp(&mut buffer, packet.len()),
    }?;
    buffer.truncate(length);
    Ok(buffer)
}

pub(super) fn unprotect(inbound: &mut Inbound, stream: Stream, packet: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut buffer = packet.to_vec();
    let length = match stream {
        Stream::Rtp => inbound.unprotect_rtp(&mut buffer),
        Stream::Rtcp => inbound.unprotect_rtcp(&mut buffer),
    }?;
    buffer.truncate(length);
    Ok(buffer)
}
