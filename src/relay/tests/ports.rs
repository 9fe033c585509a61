//! Ports and sockets: taken, given back, kept for the next flow, and what is said where there are none.

use super::*;

#[test]
fn ports_are_given_back_when_a_flow_closes() {
    let (relay, events) = start(1, 29_100, 29_199);
    let before = relay.counts();
    let (caller, client) = open(&relay, &events, FLOW);
    assert!(caller.port() % 2 == 0 && client.port() % 2 == 0 && caller != client);
    assert!(UdpSocket::bind(caller).is_err(), "taken");
    let during = relay.counts();
    assert_eq!((during.flows, during.sockets, during.pairs_taken), (1, 4, 2));
    close(&relay, &events, FLOW);
    let after = relay.counts();
    assert_eq!((after.flows, after.sockets, after.pairs_taken), (0, 0, 0));
    assert_eq!(after.pairs_resting + after.pairs_free, before.pairs_free);
    assert!(UdpSocket::bind(caller).is_ok() && UdpSocket::bind(client).is_ok());
}

#[test]
fn two_hundred_flows_leave_nothing() {
    let (relay, events) = start(2, 20_000, 27_999);
    for round in 0..2 {
        for flow in 0..200 {
            open(&relay, &events, FlowId(flow + 1_000 * round));
        }
        assert_eq!((relay.counts().flows, relay.counts().sockets), (200, 800));
        (0..200).for_each(|flow| relay.command(Command::Close { flow: FlowId(flow + 1_000 * round) }));
        for _ in 0..200 {
            assert!(matches!(events.recv_timeout(WAIT).unwrap(), Event::Closed { .. }));
        }
    }
    let Counts { flows, kept, sockets, pairs_taken, .. } = relay.counts();
    assert_eq!((flows, sockets, pairs_taken), (0, 4 * kept, 0));
}

/// Opens and closes many flows until sockets are kept, then one after the other until one has the ports of a flow before it.
#[test]
fn where_flows_come_and_go_fast_their_sockets_are_used_again() {
    let (relay, events) = start(1, 40_000, 65_535);
    let (begun, mut seen, mut next) = (std::time::Instant::now(), std::collections::BTreeSet::new(), 0);
    let mut open_next = || {
        next += 1;
        (FlowId(next), open(&relay, &events, FlowId(next)))
    };
    while relay.counts().kept < limits::RELAY_KEPT_CHOICE_MIN {
        assert!(begun.elapsed() < WAIT, "{:?}", relay.counts());
        let opened: Vec<_> = (0..400).map(|_| open_next()).collect();
        assert_eq!(relay.counts().sockets, 4 * (400 + relay.counts().kept), "each flow has its own");
        opened.iter().for_each(|(flow, _)| relay.command(Command::Close { flow: *flow }));
        for (_, ports) in opened {
            assert!(matches!(events.recv_timeout(WAIT).unwrap(), Event::Closed { .. }));
            seen.insert(ports);
        }
        // That they are many is known at the next tick; a fast machine would have had all ports before.
        std::thread::sleep(limits::RELAY_TICK);
    }
    let (flow, (caller, client)) = loop {
        assert!(begun.elapsed() < WAIT, "{:?}", relay.counts());
        let (flow, ports) = open_next();
        if seen.contains(&ports) {
            break (flow, ports);
        }
        close(&relay, &events, flow);
    };
    // What carried another flow carries this one: nothing is left of the other's peers.
    let (mut caller, mut client) = (Phone::new("127.0.0.2", caller, 440), Phone::new("127.0.0.3", client, 697));
    relay.command(Command::Set { flow, side: Side::Caller, stream: caller.stream((101, 96)) });
    relay.command(Command::Set { flow, side: Side::Client, stream: client.stream((96, 101)) });
    introduce(&events, &mut caller, &mut client);
    cross(&mut caller, &client);
    assert_eq!(cross(&mut client, &caller).2, caller.relay);
}

#[test]
fn an_open_that_cannot_be_served_fails_and_holds_nothing() {
    let (relay, events) = start(1, 29_000, 29_003);
    let strange: IpAddr = "192.0.2.1".parse().unwrap();
    relay.command(Command::Open { flow: FLOW, caller_local: here(), client_local: strange });
    let failed = events.recv_timeout(WAIT).unwrap();
    assert!(matches!(failed, Event::Failed { flow: FLOW, reason: "not an address of the relay" }), "{failed:?}");
    let Counts { flows, sockets, pairs_taken, pairs_resting, .. } = relay.counts();
    assert_eq!((flows, sockets, pairs_taken, pairs_resting), (0, 0, 0, 1));
    relay.command(Command::Open { flow: FLOW, caller_local: here(), client_local: here() });
    let failed = events.recv_timeout(WAIT).unwrap();
    assert!(matches!(failed, Event::Failed { flow: FLOW, reason: "no free ports" }), "{failed:?}");
    assert_eq!(relay.counts().sockets, 0);
}

#[test]
fn ports_held_by_others_are_passed_over() {
    let (relay, events) = start(1, 28_000, 28_007);
    let _others = [28_001, 28_003, 28_005].map(|port| UdpSocket::bind((here(), port)).unwrap());
    relay.command(Command::Open { flow: FLOW, caller_local: here(), client_local: here() });
    let failed = events.recv_timeout(WAIT).unwrap();
    assert!(matches!(failed, Event::Failed { .. }), "one pair is too few for two legs: {failed:?}");
    assert_eq!((relay.counts().sockets, relay.counts().pairs_taken), (0, 0));
}

#[test]
fn a_flow_that_is_not_there_is_closed_all_the_same() {
    let (relay, events) = start(1, 20_000, 27_999);
    assert_eq!(close(&relay, &events, FlowId(77)), Closed::default());
    let phone = Phone::new("127.0.0.2", "127.0.0.1:9".parse().unwrap(), 440);
    relay.command(Command::Set { flow: FlowId(77), side: Side::Caller, stream: phone.stream((101, 96)) });
    open(&relay, &events, FLOW);
    relay.command(Command::Open { flow: FLOW, caller_local: here(), client_local: here() });
    assert!(matches!(events.recv_timeout(WAIT).unwrap(), Event::Failed { flow: FLOW, .. }), "it is open already");
    assert_eq!(relay.counts().flows, 1);
}

#[test]
fn stopping_closes_every_flow() {
    let (relay, events) = start(2, 20_000, 27_999);
    for flow in 0..10 {
        open(&relay, &events, FlowId(flow));
    }
    relay.stop();
    let closed = events.iter().filter(|event| matches!(event, Event::Closed { .. })).count();
    assert_eq!(closed, 10, "and with the workers the last sender is gone");
}
