//! What legs hear of us, over real sockets.

use super::*;
use crate::media::tone::dominant_hz;
use crate::media::{Play, SoundId};

const PLAY: Play = Play { sound: SoundId(0), law: Law::A, payload_type: 8, ssrc: 0xABCD };

/// Signalling for a phone that hears something.
fn listening(phone: &Phone, trust: Trust) -> Stream {
    Stream { plays: Some(PLAY), trust, sends: false, ..phone.stream((101, 96)) }
}

/// A caller on an open flow, and the client's port.
fn caller(relay: &Relay, events: &Receiver<Event>) -> (Phone, SocketAddr) {
    let (caller, client) = open(relay, events, FLOW);
    (Phone::new("127.0.0.2", caller, 440), client)
}

/// The next packets, which have to follow each other, as samples.
fn listen(phone: &Phone, count: usize) -> Vec<i16> {
    let mut last: Option<Rtp> = None;
    let mut samples = Vec::new();
    for _ in 0..count {
        let (rtp, payload, source) = phone.hear();
        assert_eq!((rtp.payload_type, rtp.ssrc, source), (8, PLAY.ssrc, phone.relay));
        if let Some(last) = last {
            assert_eq!(rtp.sequence, last.sequence.wrapping_add(1));
            assert_eq!(rtp.timestamp, last.timestamp.wrapping_add(160));
        }
        last = Some(rtp);
        samples.extend(payload.iter().map(|octet| Law::A.decode(*octet)));
    }
    samples
}

#[test]
fn a_caller_hears_a_sound_until_somebody_talks_to_it() {
    let (relay, events) = start(1, 20_000, 27_999);
    let (mut caller, client) = caller(&relay, &events);
    relay.command(Command::Set { flow: FLOW, side: Side::Caller, stream: listening(&caller, Trust::Address) });
    let heard = listen(&caller, 75);
    assert_eq!((heard.len(), dominant_hz(&heard[..4_000])), (75 * 160, Some(1_000)));
    // It goes on where the sound ends.
    assert_eq!(dominant_hz(&heard[8_000..12_000]), Some(1_000));
    let mut client = Phone::new("127.0.0.3", client, 697);
    relay.command(Command::Set { flow: FLOW, side: Side::Caller, stream: caller.stream((101, 96)) });
    relay.command(Command::Set { flow: FLOW, side: Side::Client, stream: client.stream((96, 101)) });
    introduce(&events, &mut caller, &mut client);
    // Nothing of ours comes any more: at most what was on its way.
    let (rtp, ..) = cross(&mut client, &caller);
    assert_eq!(rtp.ssrc, 697);
    assert!((0..20).all(|_| cross(&mut client, &caller).0.ssrc == 697));
    let report = close(&relay, &events, FLOW);
    assert!(report.caller.packets_played >= 75, "{report:?}");
    assert_eq!(report.client.packets_played, 0);
}

#[test]
fn many_hear_the_same_each_from_its_beginning() {
    let (relay, events) = start(2, 20_000, 27_999);
    let phones: Vec<(FlowId, Phone)> = (1..40)
        .map(|number| {
            let flow = FlowId(number);
            let (caller, _) = open(&relay, &events, flow);
            (flow, Phone::new("127.0.0.2", caller, 440))
        })
        .collect();
    for (flow, phone) in &phones {
        let stream = listening(phone, Trust::Address);
        relay.command(Command::Set { flow: *flow, side: Side::Caller, stream });
    }
    let first = listen(&phones[0].1, 10);
    for (_, phone) in &phones {
        let heard = if phone.relay == phones[0].1.relay { first.clone() } else { listen(phone, 10) };
        assert_eq!(heard, first);
    }
    for (flow, _) in &phones {
        relay.command(Command::Close { flow: *flow });
    }
}

/// RELIABILITY A20.
#[test]
fn an_address_that_may_be_anybodys_hears_a_second_at_most() {
    for (rule, trust, most) in [("nothing", Trust::Nothing, 0), ("a_burst", Trust::Burst, 50)] {
        let (relay, events) = start(1, 20_000, 27_999);
        let (caller, _) = caller(&relay, &events);
        relay.command(Command::Set { flow: FLOW, side: Side::Caller, stream: listening(&caller, trust) });
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        let played = close(&relay, &events, FLOW).caller.packets_played;
        assert!(played <= most && (played > 0) == (most > 0), "{rule}: {played}");
    }
}

#[test]
fn a_caller_that_spoke_hears_whatever_there_is() {
    let (relay, events) = start(1, 20_000, 27_999);
    let (mut caller, _) = caller(&relay, &events);
    relay.command(Command::Set { flow: FLOW, side: Side::Caller, stream: listening(&caller, Trust::Nothing) });
    caller.talk();
    assert!(matches!(events.recv_timeout(WAIT).unwrap(), Event::Latched { side: Side::Caller, .. }));
    assert_eq!(dominant_hz(&listen(&caller, 60)), Some(1_000));
}
