//! What the kernel may be told of one direction of a flow, so that it forwards the audio itself, and what it says of it then.
//! A rule is true until the flow says another one: whatever is not certain makes none, and the packets come here.
//! Not here: the kernel (`relay::offload`), and whether there is a rule (`Flow::offloadable`).

use crate::limits;
use crate::media::command::Mapping;
use arrayvec::ArrayVec;
use std::net::SocketAddr;

/// One direction of a flow, as long as nothing about it can change but by a packet that does not match, or by a word of signalling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Who alone speaks: it is settled.
    pub peer: SocketAddr,
    /// The SSRC that it speaks with.
    pub ssrc: u32,
    /// Where what it says goes: settled, too.
    pub to: SocketAddr,
    /// What it may say. Keys are never among it: they are told, so they come here.
    pub payload_types: ArrayVec<Mapping, { limits::CODECS_MAX }>,
}

/// How far a leg's reception has come, for whoever counts on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// The highest sequence number.
    pub sequence: u16,
    /// The estimate of RFC 3550 §A.8, in microseconds times 16.
    pub jitter: u64,
}

/// What was forwarded by a rule since it was last asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Carried {
    /// Packets, at least one.
    pub packets: u64,
    /// Octets of payload in them.
    pub octets: u64,
    /// What came of them.
    pub standing: Standing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{FlowId, Side};
    use crate::media::header::Rtp;
    use crate::media::tone::Law;
    use crate::media::{Codec, Flow, Keys, Line, Outcome, Packet, Play, RtcpPort, SoundId, Stream, Trust};
    use crate::rng::Rng;
    use crate::sdp::{Master, Suite};
    use crate::time::Instant;

    const CALLER: &str = "192.0.2.10:4000";
    const BEHIND_NAT: &str = "192.0.2.10:61000";
    const CLIENT: &str = "198.51.100.20:5000";
    const SSRC: u32 = 7;
    const NOW: Instant = Instant(1_000_000);

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn stream(address: &str, [here, there]: [u8; 2]) -> Stream {
        let mapping = |here, there, telephone_event| Mapping {
            here,
            there,
            clock_rate: 8_000,
            clock_rate_there: 8_000,
            telephone_event,
            codec: Codec::G711,
        };
        Stream {
            line: Line::Audio,
            remote_rtp: Some(at(address)),
            rtcp: RtcpPort::Own(None),
            signalling: at(address).ip(),
            trust: Trust::Nothing,
            plays: None,
            payload_types: [mapping(here, there, false), mapping(101, 101, true)].into_iter().collect(),
            sends: true,
            silence_max: None,
            keys: None,
            recording: None,
            digits: crate::media::Digits::default(),
        }
    }

    fn packet(ssrc: u32, sequence: u16, payload_type: u8) -> Vec<u8> {
        let mut packet = vec![0; 172];
        let rtp = Rtp { ssrc, sequence, payload_type, timestamp: 160 * u32::from(sequence), ..Rtp::default() };
        rtp.write(&[0xD5; 160], &mut packet).unwrap();
        packet
    }

    fn say(flow: &mut Flow, side: Side, source: &str, mut packet: Vec<u8>) -> Outcome {
        let outcome = flow.receive(NOW, side, at(source), &mut Packet::new(&mut packet, usize::MAX));
        while flow.poll_event().is_some() {}
        outcome
    }

    /// Both sides told of and heard.
    fn settled() -> Flow {
        let mut flow = Flow::new(FlowId(1));
        flow.set(NOW, Side::Caller, stream(CALLER, [0, 100]));
        flow.set(NOW, Side::Client, stream(CLIENT, [100, 0]));
        say(&mut flow, Side::Client, CLIENT, packet(SSRC + 1, 1, 100));
        say(&mut flow, Side::Caller, CALLER, packet(SSRC, 1, 0));
        flow
    }

    #[test]
    fn a_rule_says_who_speaks_where_it_goes_and_what_may_be_said() {
        let rule = settled().offloadable(Side::Caller).unwrap();
        let audio = Mapping {
            here: 0,
            there: 100,
            clock_rate: 8_000,
            clock_rate_there: 8_000,
            telephone_event: false,
            codec: Codec::G711,
        };
        let payload_types = std::iter::once(audio).collect();
        assert_eq!(rule, Rule { peer: at(CALLER), ssrc: SSRC, to: at(CLIENT), payload_types });
    }

    #[test]
    fn there_is_a_rule_only_while_all_is_certain() {
        type Deed = fn(&mut Flow);
        let rows: [(&str, Deed, [bool; 2]); 12] = [
            ("settled", |_| {}, [true, true]),
            ("new_signalling", |flow| flow.set(NOW, Side::Client, stream(CLIENT, [100, 0])), [false, false]),
            (
                "heard_again_after_it",
                |flow| {
                    flow.set(NOW, Side::Client, stream(CLIENT, [100, 0]));
                    say(flow, Side::Client, CLIENT, packet(SSRC + 1, 2, 100));
                },
                [true, true],
            ),
            (
                "on_hold",
                |flow| {
                    flow.set(NOW, Side::Caller, Stream { sends: false, ..stream(CALLER, [0, 100]) });
                    say(flow, Side::Caller, CALLER, packet(SSRC, 2, 0));
                },
                [false, true],
            ),
            (
                "wants_nothing",
                |flow| {
                    flow.set(NOW, Side::Caller, Stream { remote_rtp: None, ..stream(CALLER, [0, 100]) });
                    say(flow, Side::Caller, CALLER, packet(SSRC, 2, 0));
                },
                [false, false],
            ),
            ("gone", |flow| flow.clear(NOW, Side::Client), [false, false]),
            ("over", |flow| *flow = Flow::new(FlowId(1)), [false, false]),
            (
                "learned",
                |flow| {
                    flow.clear(NOW, Side::Caller);
                    flow.set(NOW, Side::Caller, stream(CALLER, [0, 100]));
                    for sequence in 5..10 {
                        say(flow, Side::Caller, BEHIND_NAT, packet(SSRC, sequence, 0));
                    }
                },
                [false, false],
            ),
            (
                "with_keys",
                |flow| {
                    let master = |seed| Master::draw(Suite::AeadAes128Gcm, &mut Rng::from_seed([seed; 32]));
                    let keys = Some(Box::new(Keys { ours: master(1), theirs: master(2) }));
                    flow.set(NOW, Side::Client, Stream { keys, ..stream(CLIENT, [100, 0]) });
                },
                [false, false],
            ),
            (
                "that_hears_something_of_ours",
                |flow| {
                    let play = Play { sound: SoundId(0), law: Law::Mu, payload_type: 0, ssrc: 1 };
                    flow.set(NOW, Side::Caller, Stream { plays: Some(play), ..stream(CALLER, [0, 100]) });
                    say(flow, Side::Caller, CALLER, packet(SSRC, 2, 0));
                },
                [false, false],
            ),
            ("a_stranger_speaks", |flow| _ = say(flow, Side::Caller, BEHIND_NAT, packet(SSRC, 2, 0)), [true, true]),
            ("a_key", |flow| _ = say(flow, Side::Caller, CALLER, packet(SSRC, 2, 101)), [true, true]),
        ];
        for (rule, deed, expect) in rows {
            let mut flow = settled();
            deed(&mut flow);
            let found = [Side::Caller, Side::Client].map(|side| flow.offloadable(side).is_some());
            assert_eq!(found, expect, "{rule}");
        }
    }

    #[test]
    fn another_ssrc_makes_another_rule() {
        let mut flow = settled();
        let before = flow.offloadable(Side::Caller).unwrap();
        assert!(matches!(say(&mut flow, Side::Caller, CALLER, packet(99, 500, 0)), Outcome::Forward { .. }));
        assert_eq!(flow.offloadable(Side::Caller), Some(Rule { ssrc: 99, ..before }));
    }

    /// Half of the packets that follow one another, in a stream with losses, doubles and late packets, are counted by another and told now and
    /// then.
    #[test]
    fn what_others_counted_makes_the_same_record() {
        let mut rng = Rng::from_seed([3; 32]);
        for _ in 0..200 {
            let (mut whole, mut split) = (settled(), settled());
            let (mut sequence, mut told, mut counted) = (63_800u16, 0, 0u64);
            for flow in [&mut whole, &mut split] {
                (1..=22).for_each(|jump: u16| _ = say(flow, Side::Caller, CALLER, packet(SSRC, 2_900 * jump, 0)));
            }
            let tell = |split: &mut Flow, packets: &mut u64| {
                if *packets > 0 {
                    let standing = Standing::default();
                    let carried = Carried { packets: *packets, octets: 160 * *packets, standing };
                    split.carried(NOW, Side::Caller, &carried);
                    *packets = 0;
                }
            };
            for _ in 0..2_000 {
                sequence = sequence.wrapping_add(u16::try_from(rng.below(8).saturating_sub(4).max(1)).unwrap());
                let late = sequence.wrapping_sub(u16::try_from(rng.below(20).saturating_sub(17)).unwrap());
                let packet = packet(SSRC, late, 0);
                say(&mut whole, Side::Caller, CALLER, packet.clone());
                let next = split.standing(Side::Caller).sequence.wrapping_add(1 + u16::try_from(told).unwrap());
                if late == next && rng.below(2) == 0 {
                    told += 1;
                    counted += 1;
                } else {
                    tell(&mut split, &mut told);
                    say(&mut split, Side::Caller, CALLER, packet);
                }
            }
            tell(&mut split, &mut told);
            assert!(counted > 200, "{counted}");
            let [mut whole, mut split] = [whole, split].map(|flow| flow.report());
            // What comes of jitter and of times is another's to measure.
            for report in [&mut whole, &mut split] {
                let caller = &mut report.caller;
                (caller.jitter_ms, caller.jitter_ms_max, caller.mos) = (0.0, 0.0, None);
                report.client.mos_heard = None;
            }
            assert_eq!(split, whole);
        }
    }

    #[test]
    fn what_is_recorded_is_not_the_kernels() {
        let mut flow = settled();
        let recording = Some(Box::default());
        flow.set(NOW, Side::Caller, Stream { recording, ..stream(CALLER, [0, 100]) });
        say(&mut flow, Side::Caller, CALLER, packet(SSRC, 2, 0));
        assert_eq!([Side::Caller, Side::Client].map(|side| flow.offloadable(side)), [None, None]);
    }

    #[test]
    fn what_is_listened_to_is_not_the_kernels() {
        let mut flow = settled();
        let digits = crate::media::Digits { in_band: true, ..Default::default() };
        flow.set(NOW, Side::Caller, Stream { digits, ..stream(CALLER, [0, 100]) });
        say(&mut flow, Side::Caller, CALLER, packet(SSRC, 2, 0));
        assert_eq!([Side::Caller, Side::Client].map(|side| flow.offloadable(side).is_some()), [false, true]);
    }

    #[test]
    fn a_leg_that_others_hear_is_not_silent() {
        let mut flow = settled();
        let patience = crate::time::Duration::from_secs(5);
        flow.set(NOW, Side::Caller, Stream { silence_max: Some(patience), ..stream(CALLER, [0, 100]) });
        flow.carried(NOW + patience, Side::Caller, &Carried { packets: 1, octets: 160, ..Carried::default() });
        flow.handle_timeout(NOW + patience);
        assert!(flow.poll_event().is_none());
        assert_eq!(flow.poll_timeout(), Some(NOW + patience + patience));
        flow.handle_timeout(NOW + patience + patience);
        assert!(matches!(flow.poll_event(), Some(crate::media::Event::Silent { side: Side::Caller, .. })));
    }
}
