//! SRTP on one leg: what comes from it is authenticated and decrypted, what goes to it encrypted.
//! Not here: ciphers (`srtp`), and who may speak for a leg (`latch`), who is asked first: authenticating costs more.
//! RFC 3711; RELIABILITY A3: a packet that is not authentic is counted, and never the end of a call.

use crate::media::command::Keys;
use crate::media::counted::Counted;
use crate::media::forward::Reason;
use crate::media::packet::Packet;
use crate::media::srtp::{Fault, Inbound, Outbound};

/// Both directions of a leg.
pub(super) struct Security {
    keys: Keys,
    inbound: Inbound,
    outbound: Outbound,
}

impl Security {
    /// What signalling now says of a leg's keys. A key that stays keeps its state: its packets go on where they were, and none of them is
    /// accepted twice (RFC 3711 §3.2.1).
    pub(super) fn follow(before: Option<Box<Security>>, keys: Option<Box<Keys>>) -> Option<Box<Security>> {
        let keys = *keys?;
        let Some(mut security) = before else {
            let (inbound, outbound) = (Inbound::new(&keys.theirs), Outbound::new(&keys.ours));
            return Some(Box::new(Security { keys, inbound, outbound }));
        };
        if security.keys.theirs != keys.theirs {
            security.inbound = Inbound::new(&keys.theirs);
        }
        if security.keys.ours != keys.ours {
            security.outbound = Outbound::new(&keys.ours);
        }
        security.keys = keys;
        Some(security)
    }

    /// RTP from the leg.
    #[inline]
    pub(super) fn unprotect_rtp(&mut self, packet: &mut Packet<'_>) -> Result<(), Fault> {
        packet.shrink(|bytes| self.inbound.unprotect_rtp(bytes))
    }

    /// RTCP from the leg.
    pub(super) fn unprotect_rtcp(&mut self, packet: &mut Packet<'_>) -> Result<(), Fault> {
        packet.shrink(|bytes| self.inbound.unprotect_rtcp(bytes))
    }

    /// RTP to the leg.
    #[inline]
    pub(super) fn protect_rtp(&mut self, packet: &mut Packet<'_>) -> Result<(), Fault> {
        packet.grow(|buffer, length| self.outbound.protect_rtp(buffer, length))
    }

    /// RTCP to the leg.
    pub(super) fn protect_rtcp(&mut self, packet: &mut Packet<'_>) -> Result<(), Fault> {
        packet.grow(|buffer, length| self.outbound.protect_rtcp(buffer, length))
    }
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.keys.fmt(f)
    }
}

/// What is wrong with a packet that cannot be taken, or not be sent on.
pub(super) fn reason(fault: Fault) -> Reason {
    match fault {
        Fault::Malformed => Reason::Malformed,
        Fault::Replayed => Reason::Replayed,
        Fault::Unauthentic | Fault::TooManySources | Fault::Exhausted => Reason::Unauthentic,
    }
}

/// The same of RTP, counted.
#[cold]
pub(super) fn count(fault: Fault, counters: &mut Counted) -> Reason {
    let reason = reason(fault);
    match reason {
        Reason::Malformed => counters.dropped_malformed += 1,
        Reason::Replayed => counters.dropped_replayed += 1,
        Reason::Unauthentic => counters.dropped_unauthentic += 1,
        Reason::Source | Reason::Unbridged | Reason::Replaced => {}
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{FlowId, Side};
    use crate::media::Trust;
    use crate::media::command::{Line, Mapping, RtcpPort, Stream};
    use crate::media::forward::{Flow, Outcome};
    use crate::media::header::Rtp;
    use crate::media::quality::Codec;
    use crate::media::srtp::OVERHEAD_MAX;
    use crate::rng::Rng;
    use crate::sdp::{Master, Suite};
    use crate::time::Instant;
    use std::net::SocketAddr;

    const CALLER: &str = "192.0.2.10:4000";
    const CLIENT: &str = "198.51.100.20:5000";
    /// The client's, behind a NAT.
    const MAPPED: &str = "198.51.100.20:61000";

    fn key(number: u8) -> Master {
        Master::draw(Suite::AesCm128HmacSha1_80, &mut Rng::from_seed([number; 32]))
    }

    fn stream(rtp: &str, there: u8, keys: Option<Keys>) -> Stream {
        let rtp: SocketAddr = rtp.parse().unwrap();
        let mapping = Mapping {
            here: 0,
            there,
            clock_rate: 8_000,
            clock_rate_there: 8_000,
            telephone_event: false,
            codec: Codec::Other,
        };
        Stream {
            line: Line::Audio,
            remote_rtp: Some(rtp),
            rtcp: RtcpPort::Own(Some(SocketAddr::new(rtp.ip(), rtp.port() + 1))),
            signalling: rtp.ip(),
            trust: Trust::Nothing,
            plays: None,
            payload_types: std::iter::once(mapping).collect(),
            sends: true,
            silence_max: None,
            keys: keys.map(Box::new),
            recording: None,
            digits: crate::media::Digits::default(),
        }
    }

    fn keys(ours: u8, theirs: u8) -> Keys {
        Keys { ours: key(ours), theirs: key(theirs) }
    }

    /// A caller without keys and a client with: both ends as they are outside.
    struct Call {
        flow: Flow,
        /// What the client protects with, and reads with.
        sends: Outbound,
        reads: Inbound,
    }

    impl Call {
        fn new() -> Call {
            let mut flow = Flow::new(FlowId(7));
            flow.set(Instant(0), Side::Caller, stream(CALLER, 0, None));
            flow.set(Instant(0), Side::Client, stream(CLIENT, 0, Some(keys(1, 2))));
            Call { flow, sends: Outbound::new(&key(2)), reads: Inbound::new(&key(1)) }
        }

        /// Both have been heard once.
        fn heard() -> Call {
            let mut call = Call::new();
            let first = call.protected(0);
            assert_eq!(call.receive(Side::Client, CLIENT, &first), Err(Reason::Unbridged));
            assert!(call.receive(Side::Caller, CALLER, &rtp(0)).is_ok());
            while call.flow.poll_event().is_some() {}
            call
        }

        fn protected(&mut self, sequence: u16) -> Vec<u8> {
            let mut buffer = rtp(sequence);
            let length = buffer.len();
            buffer.resize(length + OVERHEAD_MAX, 0);
            let length = self.sends.protect_rtp(&mut buffer, length).unwrap();
            buffer.truncate(length);
            buffer
        }

        /// What becomes of a packet, and how it goes on.
        fn receive(&mut self, side: Side, source: &str, bytes: &[u8]) -> Result<Vec<u8>, Reason> {
            let mut buffer = [bytes, &[0; OVERHEAD_MAX]].concat();
            let mut packet = Packet::new(&mut buffer, bytes.len());
            match self.flow.receive(Instant(0), side, source.parse().unwrap(), &mut packet) {
                Outcome::Forward { .. } | Outcome::Report { .. } => Ok(packet.bytes().to_vec()),
                Outcome::Drop(reason) => Err(reason),
            }
        }
    }

    fn rtp(sequence: u16) -> Vec<u8> {
        let mut out = [0; 172];
        let rtp = Rtp { payload_type: 0, sequence, timestamp: 160 * u32::from(sequence), ssrc: 9, marker: false };
        rtp.write(&[0x55; 160], &mut out).unwrap();
        out.to_vec()
    }

    #[test]
    fn each_leg_gets_what_the_other_sent_in_its_own_protection() {
        let mut call = Call::heard();
        for sequence in 1..20 {
            let protected = call.protected(sequence);
            assert_ne!(protected[12..172], rtp(sequence)[12..]);
            assert_eq!(call.receive(Side::Client, CLIENT, &protected), Ok(rtp(sequence)));
            let mut forwarded = call.receive(Side::Caller, CALLER, &rtp(sequence)).unwrap();
            assert_eq!(forwarded.len(), 182);
            let length = call.reads.unprotect_rtp(&mut forwarded).unwrap();
            assert_eq!(forwarded[..length], rtp(sequence));
        }
    }

    #[test]
    fn what_is_not_authentic_is_counted_and_changes_nothing() {
        let mut call = Call::heard();
        let good = call.protected(1);
        for at in [0, 3, 11, 40, 181] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(call.receive(Side::Client, CLIENT, &bad).is_err(), "{at}");
        }
        assert_eq!(call.receive(Side::Client, CLIENT, &rtp(1)), Err(Reason::Unauthentic), "without protection");
        assert_eq!(call.receive(Side::Client, CLIENT, &good), Ok(rtp(1)));
        assert_eq!(call.receive(Side::Client, CLIENT, &good), Err(Reason::Replayed));
        let counted = call.flow.report().client;
        // With another sequence number it looks like one that has come before.
        assert_eq!((counted.dropped_unauthentic + counted.dropped_malformed, counted.dropped_replayed), (5, 2));
        assert_eq!((counted.packets_received, counted.packets_lost), (2, 0));
    }

    /// RELIABILITY A1.
    #[test]
    fn nobody_is_learned_without_the_key() {
        let mut call = Call::new();
        for sequence in 1..9 {
            assert_eq!(call.receive(Side::Client, MAPPED, &rtp(sequence)), Err(Reason::Unauthentic));
        }
        assert!(call.flow.poll_event().is_none());
        let [first, second] = [1, 2].map(|sequence| call.protected(sequence));
        assert_eq!(call.receive(Side::Client, MAPPED, &first), Err(Reason::Source), "on trial");
        assert_eq!(call.receive(Side::Client, MAPPED, &second), Err(Reason::Unbridged), "the caller is not heard");
        assert!(call.flow.poll_event().is_some());
    }

    /// A plain peer may repeat a number; under a key that must not happen twice (RFC 3711 §9.1).
    #[test]
    fn a_number_that_comes_twice_is_sent_once() {
        let mut call = Call::heard();
        assert!(call.receive(Side::Caller, CALLER, &rtp(5)).is_ok());
        let mut other = rtp(5);
        other[100] ^= 0xFF;
        assert_eq!(call.receive(Side::Caller, CALLER, &other), Err(Reason::Replayed));
        let counted = call.flow.report().caller;
        assert_eq!((counted.dropped_replayed, counted.packets_forwarded), (1, 2));
    }

    /// RFC 3711 §3.3.1: signalling that leaves a key as it was leaves its roll-over counter and its window.
    #[test]
    fn a_key_that_stays_goes_on_where_it_was() {
        let mut call = Call::heard();
        for sequence in [30_000, 60_000] {
            let protected = call.protected(sequence);
            assert_eq!(call.receive(Side::Client, CLIENT, &protected), Ok(rtp(sequence)));
        }
        let over = call.protected(2);
        assert_eq!(call.receive(Side::Client, CLIENT, &over), Ok(rtp(2)));
        call.flow.set(Instant(0), Side::Client, stream(CLIENT, 0, Some(keys(1, 2))));
        assert_eq!(call.receive(Side::Client, CLIENT, &over), Err(Reason::Replayed));
        let next = call.protected(3);
        assert_eq!(call.receive(Side::Client, CLIENT, &next), Ok(rtp(3)), "in the second round");
    }

    #[test]
    fn a_new_key_begins_and_the_other_direction_goes_on() {
        let mut call = Call::heard();
        let before = call.receive(Side::Caller, CALLER, &rtp(1)).unwrap();
        call.flow.set(Instant(0), Side::Client, stream(CLIENT, 0, Some(keys(1, 3))));
        let stale = call.protected(1);
        assert_eq!(call.receive(Side::Client, CLIENT, &stale), Err(Reason::Unauthentic));
        call.sends = Outbound::new(&key(3));
        let fresh = call.protected(1);
        assert_eq!(call.receive(Side::Client, CLIENT, &fresh), Ok(rtp(1)));
        assert_eq!(call.receive(Side::Caller, CALLER, &rtp(1)), Err(Reason::Replayed), "our key has sent that");
        let after = call.receive(Side::Caller, CALLER, &rtp(2)).unwrap();
        for mut packet in [before, after] {
            assert!(call.reads.unprotect_rtp(&mut packet).is_ok());
        }
        call.flow.set(Instant(0), Side::Client, stream(CLIENT, 0, None));
        assert_eq!(call.receive(Side::Caller, CALLER, &rtp(3)), Ok(rtp(3)), "plain again");
    }

    #[test]
    fn reports_cross_by_the_same_keys() {
        let mut call = Call::heard();
        let report = [0x80, 201, 0, 1, 0, 0, 0, 9];
        let send = |call: &mut Call, side, source: &str, bytes: &[u8]| {
            let mut buffer = [bytes, &[0; OVERHEAD_MAX]].concat();
            let mut packet = Packet::new(&mut buffer, bytes.len());
            let outcome = call.flow.receive_rtcp(Instant(0), side, source.parse().unwrap(), &mut packet);
            (outcome, packet.bytes().to_vec())
        };
        let (outcome, mut sent) = send(&mut call, Side::Caller, "192.0.2.10:4001", &report);
        assert!(matches!(outcome, Outcome::Report { .. }) && sent.len() > report.len());
        assert_eq!(call.reads.unprotect_rtcp(&mut sent), Ok(report.len()));
        assert_eq!(sent[..report.len()], report);
        let mut buffer = [&report[..], &[0; OVERHEAD_MAX]].concat();
        let length = call.sends.protect_rtcp(&mut buffer, report.len()).unwrap();
        let (outcome, back) = send(&mut call, Side::Client, "198.51.100.20:5001", &buffer[..length]);
        assert!(matches!(outcome, Outcome::Report { .. }));
        assert_eq!(back, report);
        let (outcome, _) = send(&mut call, Side::Client, "198.51.100.20:5001", &report);
        assert!(matches!(outcome, Outcome::Drop(Reason::Malformed | Reason::Unauthentic)));
        assert_eq!(call.flow.report().client.rtcp_dropped, 1);
        assert!(!format!("{:?}", call.flow).contains(&format!("{:?}", key(1).key_and_salt())));
    }
}
