//! Flows with a second line: ports of its own, a report of its own, and the flow's end.

use super::*;

fn add(relay: &Relay, events: &Receiver<Event>, flow: FlowId) -> Option<(SocketAddr, SocketAddr)> {
    relay.command(Command::Add { flow, line: Line::Video, caller_local: here(), client_local: here() });
    let event = events.recv_timeout(WAIT).unwrap();
    let Event::Added { flow: added, line: Line::Video, ports } = event else { panic!("{event:?}") };
    assert_eq!(added, flow);
    ports
}

fn picture(phone: &Phone) -> Stream {
    Stream { line: Line::Video, ..phone.stream((101, 96)) }
}

#[test]
fn a_second_line_is_relayed_apart_from_the_first_and_ends_with_it() {
    let (relay, events) = start(1, 20_000, 27_999);
    let audio = open(&relay, &events, FLOW);
    let video = add(&relay, &events, FLOW).unwrap();
    assert_eq!(add(&relay, &events, FLOW), Some(video), "it has ports already");
    let counts = relay.counts();
    assert_eq!((counts.flows, counts.sockets, counts.pairs_taken), (2, 8, 4));
    let (mut caller, mut client) = (Phone::new("127.0.0.2", video.0, 440), Phone::new("127.0.0.3", video.1, 697));
    relay.command(Command::Set { flow: FLOW, side: Side::Caller, stream: picture(&caller) });
    relay.command(Command::Set { flow: FLOW, side: Side::Client, stream: picture(&client) });
    // Nobody is sent anything who was not heard (RELIABILITY A20).
    caller.talk();
    settle(&relay);
    client.talk();
    assert_eq!(caller.hear().2, video.0);
    assert!(client.heard_nothing());
    caller.talk();
    assert_eq!(client.hear().2, video.1);
    // The audio is another matter: nothing was said of it.
    let mut elsewhere = Phone::new("127.0.0.2", audio.0, 440);
    elsewhere.talk();
    settle(&relay);
    let mut stranger = Phone::new("127.0.0.9", video.0, 440);
    stranger.talk();
    client.talk();
    caller.hear();
    assert!(client.heard_nothing());
    relay.command(Command::Clear { flow: FLOW, side: Side::Client });
    caller.talk();
    settle(&relay);
    let report = close(&relay, &events, FLOW);
    assert!(client.heard_nothing(), "whoever left gets no pictures either");
    let video = report.video.unwrap();
    assert_eq!((video.caller.packets_received, video.caller.packets_forwarded), (3, 1));
    assert_eq!((video.client.packets_received, video.client.packets_forwarded), (2, 2));
    // A stranger's is dropped by the kernel where the socket is connected; what came after the leg had left is nobody's.
    assert!((1..=2).contains(&video.caller.dropped_source) || video.caller.dropped_unbridged == 2, "{video:?}");
    assert_eq!((report.caller.packets_received, report.caller.dropped_source), (0, 1));
    let counts = relay.counts();
    assert_eq!((counts.flows, counts.sockets, counts.pairs_taken), (0, 0, 0));
    let told: Vec<Event> = events.try_iter().collect();
    assert!(told.is_empty(), "of pictures nothing is told: {told:?}");
}

#[test]
fn a_line_needs_a_flow_and_ports() {
    let (relay, events) = start(1, 29_000, 29_003);
    assert_eq!(add(&relay, &events, FLOW), None, "there is no such flow");
    open(&relay, &events, FLOW);
    assert_eq!(add(&relay, &events, FLOW), None, "there are two pairs");
    assert_eq!(relay.counts().flows, 1, "and the flow is as it was");
    assert_eq!(close(&relay, &events, FLOW).video, None);
}

/// RELIABILITY A20: a fax machine may wait for the other one to speak, and is sent to if its host was heard in the call.
#[test]
fn a_fax_goes_at_once_to_a_host_whose_audio_was_heard_and_to_no_other() {
    for (host, expected) in [("127.0.0.3", true), ("127.0.0.4", false)] {
        let (relay, events) = start(1, 20_000, 27_999);
        let audio = open(&relay, &events, FLOW);
        let (caller, mut client) = (Phone::new("127.0.0.2", audio.0, 440), Phone::new("127.0.0.3", audio.1, 697));
        relay.command(Command::Set { flow: FLOW, side: Side::Caller, stream: caller.stream((101, 96)) });
        relay.command(Command::Set { flow: FLOW, side: Side::Client, stream: client.stream((96, 101)) });
        client.talk();
        settle(&relay);
        relay.command(Command::Add { flow: FLOW, line: Line::Fax, caller_local: here(), client_local: here() });
        let added = std::iter::from_fn(|| events.recv_timeout(WAIT).ok())
            .find_map(|event| if let Event::Added { ports, .. } = event { Some(ports) } else { None });
        let ports = added.flatten().unwrap();
        let (here, there) = (Phone::new("127.0.0.2", ports.0, 1), Phone::new(host, ports.1, 2));
        let fax = |phone: &Phone| Stream {
            line: Line::Fax,
            rtcp: RtcpPort::Own(None),
            payload_types: [].into_iter().collect(),
            ..phone.stream((0, 0))
        };
        relay.command(Command::Set { flow: FLOW, side: Side::Caller, stream: fax(&here) });
        relay.command(Command::Set { flow: FLOW, side: Side::Client, stream: fax(&there) });
        here.socket.send_to(&[0, 1, 1, 6, 0, 0], ports.0).unwrap();
        settle(&relay);
        let report = close(&relay, &events, FLOW).fax.unwrap();
        assert_eq!((report.caller.packets_received, report.caller.packets_forwarded), (1, expected.into()), "{host}");
        assert_eq!(there.heard_nothing(), !expected, "{host}");
    }
}
