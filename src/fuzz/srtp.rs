//! Any bytes as a suite's choice and a script of what is sent, delivered, sent again and tampered with under it: what was protected is accepted once
//! in any order within the window, and nothing else ever is.
//! Not here: what the bytes must be (`media::srtp`'s own tests). A tag of 32 bits can be guessed: one finding in four thousand million is luck.

use ring::digest::{SHA512, digest};

use crate::limits;
use crate::media::header::{Rtp, rtcp_sender};
use crate::media::srtp::{Fault, Inbound, Master, OVERHEAD_MAX, Outbound, Suite};

/// Deeds of one script: at most 64 numbers each, so that no two packets are half of all numbers apart.
const STEPS_MAX: usize = 500;
/// Bytes that a deed takes as a packet.
const STRAY_BYTES_MAX: usize = 80;
const SSRC: u32 = 0x1234_5678;

/// A choice of suite, the first sequence number, and deeds of four bytes.
pub fn srtp(bytes: &[u8]) {
    let Some((&[choice, s0, s1], script)) = bytes.split_first_chunk() else { return };
    let suite = Suite::ALL[usize::from(choice) % Suite::ALL.len()];
    // Of all bytes: a fuzzer sees what is compared, and would bring a packet that it saw in one script into another one with the same key.
    let digest = digest(&SHA512, bytes);
    let key_and_salt = &digest.as_ref()[..suite.key_bytes() + suite.salt_bytes()];
    let master = Master::new(suite, key_and_salt).expect("as many bytes as it has");
    let mut ends = Ends::new(&master, u16::from_be_bytes([s0, s1]));
    let mut rest = script;
    for _ in 0..STEPS_MAX {
        let Some((&[deed, one, two, three], behind)) = rest.split_first_chunk() else { break };
        rest = behind;
        match deed % 8 {
            0 | 1 => ends.send_rtp(one % 64, two, three),
            2 => ends.send_rtcp(one),
            3 => ends.send_again(one),
            4 | 5 => ends.deliver(one),
            6 => ends.tamper(one, two, three),
            _ => {
                let stray = &behind[..behind.len().min(STRAY_BYTES_MAX)];
                ends.deliver_stray(stray);
                protect_stray(&master, stray);
            }
        }
    }
    // Whatever was tried, both ends still work.
    ends.send_rtp(0, 9, 0);
    ends.send_rtcp(1);
    let last = ends.sent.len() - 1;
    (last - 1..=last).for_each(|number| ends.deliver_one(number));
}

/// A stream between two ends, and what should have become of it.
struct Ends {
    outbound: Outbound,
    inbound: Inbound,
    /// The index of the RTP packet that was sent last.
    index: u64,
    /// How many reports were sent.
    reports: u64,
    sent: Vec<Sent>,
    /// The highest index that was accepted, of RTP and of RTCP.
    highest: [Option<u64>; 2],
}

struct Sent {
    is_rtcp: bool,
    index: u64,
    plain: Vec<u8>,
    protected: Vec<u8>,
    accepted: bool,
}

impl Ends {
    fn new(master: &Master, first: u16) -> Ends {
        let (outbound, inbound) = (Outbound::new(master), Inbound::new(master));
        let mut ends =
            Ends { outbound, inbound, index: first.into(), reports: 0, sent: Vec::new(), highest: [None; 2] };
        ends.send(false, first.into(), plain_rtp(first, 0, 0));
        ends
    }

    fn send_rtp(&mut self, skipped: u8, length: u8, flags: u8) {
        self.index += 1 + u64::from(skipped);
        self.send(false, self.index, plain_rtp(sequence(self.index), length, flags));
    }

    fn send_rtcp(&mut self, words: u8) {
        let [s0, s1, s2, s3] = SSRC.to_be_bytes();
        let mut plain = vec![0x80, 201, 0, words.max(1), s0, s1, s2, s3];
        plain.resize(4 * (usize::from(words.max(1)) + 1), 0x77);
        self.send(true, self.reports, plain);
        self.reports += 1;
    }

    fn send(&mut self, is_rtcp: bool, index: u64, plain: Vec<u8>) {
        let protected = protect(&mut self.outbound, is_rtcp, &plain).expect("its index was not used");
        assert!(protected.len() <= plain.len() + OVERHEAD_MAX);
        self.sent.push(Sent { is_rtcp, index, plain, protected, accepted: false });
    }

    /// Another packet with a number that was used, or that is too old to tell.
    fn send_again(&mut self, number: u8) {
        let sent = &self.sent[usize::from(number) % self.sent.len()];
        if !sent.is_rtcp {
            let again = protect(&mut self.outbound, false, &plain_rtp(sequence(sent.index), number, 0));
            assert_eq!(again, Err(Fault::Replayed), "no index encrypts two packets");
        }
    }

    /// One of the last 256.
    fn deliver(&mut self, back: u8) {
        let last = self.sent.len() - 1;
        self.deliver_one(last.saturating_sub(back.into()));
    }

    fn deliver_one(&mut self, number: usize) {
        let sent = &mut self.sent[number];
        let highest = &mut self.highest[usize::from(sent.is_rtcp)];
        let window = u64::try_from(limits::SRTP_WINDOW_PACKETS).unwrap_or(u64::MAX);
        let in_time = match *highest {
            Some(highest) => sent.index + window > highest,
            // The receiver takes the first packet that it hears for one of the first round.
            None => sent.is_rtcp || sent.index < 1 << 16,
        };
        let received = unprotect(&mut self.inbound, sent.is_rtcp, &sent.protected);
        if in_time && !sent.accepted {
            assert_eq!(received.as_ref(), Ok(&sent.plain), "what was protected is accepted");
            sent.accepted = true;
            *highest = (*highest).max(Some(sent.index));
        } else {
            assert!(received.is_err(), "nothing is accepted twice, or too late");
        }
    }

    fn tamper(&mut self, number: u8, at: u8, change: u8) {
        let sent = &self.sent[usize::from(number) % self.sent.len()];
        let mut touched = sent.protected.clone();
        let at = usize::from(at) % touched.len();
        match change {
            0 => touched.truncate(at),
            change => touched[at] ^= change,
        }
        assert!(unprotect(&mut self.inbound, sent.is_rtcp, &touched).is_err(), "it was touched");
    }

    fn deliver_stray(&mut self, packet: &[u8]) {
        for is_rtcp in [false, true] {
            // The script may have met a packet of ours by luck of the fuzzer; then it is one.
            if !self.sent.iter().any(|sent| sent.protected == packet) {
                assert!(unprotect(&mut self.inbound, is_rtcp, packet).is_err(), "nobody protected it");
            }
        }
    }
}

/// Whatever its header says: a packet that is one comes out as it went in.
fn protect_stray(master: &Master, packet: &[u8]) {
    for (is_rtcp, is_one) in
        [(false, Rtp::parse_encrypted(&mut packet.to_vec()).is_ok()), (true, rtcp_sender(packet).is_ok())]
    {
        let protected = protect(&mut Outbound::new(master), is_rtcp, packet);
        assert_eq!(protected.is_ok(), is_one);
        if let Ok(protected) = protected {
            let received = unprotect(&mut Inbound::new(master), is_rtcp, &protected);
            assert_eq!(received.as_deref(), Ok(packet));
        }
    }
}

/// A packet with as many CSRCs and as long an extension as `flags` says, and padding if its highest bit does.
fn plain_rtp(sequence: u16, length: u8, flags: u8) -> Vec<u8> {
    let mut packet = vec![0; 12];
    let header = Rtp { sequence, ssrc: SSRC, payload_type: length, ..Rtp::default() };
    header.write(&[], &mut packet).expect("it fits");
    packet[0] |= flags & 0x0F;
    packet.extend(vec![0x11; 4 * usize::from(flags & 0x0F)]);
    if flags & 0x10 != 0 {
        let words = flags >> 5 & 3;
        packet[0] |= 0x10;
        packet.extend([0xBE, 0xDE, 0, words]);
        packet.extend(vec![0x22; 4 * usize::from(words)]);
    }
    packet.extend(vec![length; length.into()]);
    if flags & 0x80 != 0 {
        packet[0] |= 0x20;
        packet.push(1);
    }
    packet
}

fn sequence(index: u64) -> u16 {
    u16::try_from(index & 0xFFFF).expect("sixteen bits")
}

fn protect(outbound: &mut Outbound, is_rtcp: bool, packet: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut buffer = [packet, &[0; OVERHEAD_MAX]].concat();
    let length = if is_rtcp {
        outbound.protect_rtcp(&mut buffer, packet.len())
    } else {
        outbound.protect_rtp(&mut buffer, packet.len())
    }?;
    buffer.truncate(length);
    Ok(buffer)
}

fn unprotect(inbound: &mut Inbound, is_rtcp: bool, packet: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut buffer = packet.to_vec();
    let length = if is_rtcp { inbound.unprotect_rtcp(&mut buffer) } else { inbound.unprotect_rtp(&mut buffer) }?;
    buffer.truncate(length);
    Ok(buffer)
}
