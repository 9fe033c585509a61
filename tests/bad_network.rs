//! What networks do to calls: every message twice, every first answer lost, the ACK never there, a side that vanishes. The
//! telephones here are the tests' own.
//! Not here: messages that are wrong in themselves (`bad_input`, `torture`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::story::{self, bridge, call_back, park, park_over};
use common::{Daemon, Setup, Subscriber, Wire};
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn repetitions_and_losses_change_nothing() {
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    for client_hangs_up in [true, false] {
        let mut caller = park_over(&daemon, Wire::Lossy);
        let incoming = client.incoming();
        let mut other = call_back(&daemon, &client, &incoming, Wire::Lossy);
        std::thread::scope(|scope| {
            scope.spawn(|| caller.phone.expect(200));
            scope.spawn(|| other.phone.expect(200));
        });
        client.gone(&incoming.call, "answered_elsewhere");
        client.stays_silent();
        let (first, second) = if client_hangs_up { (other, caller) } else { (caller, other) };
        let (mut first, mut second) = (first.phone, second.phone);
        std::thread::scope(|scope| {
            scope.spawn(|| first.hang_up());
            scope.spawn(|| second.be_hung_up_on());
        });
    }
    for record in daemon.finish(2) {
        assert_eq!((&record["outcome"], &record["refused_callbacks"]), (&json!("answered"), &json!(0)), "{record:#}");
    }
}

#[test]
fn a_cancel_that_comes_twice_over_a_bad_wire_ends_one_call_once() {
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    let mut caller = park_over(&daemon, Wire::Lossy);
    let incoming = client.incoming();
    caller.phone.cancel();
    let statuses = [caller.phone.final_response(), caller.phone.final_response()].map(|message| message.status());
    assert!(statuses.contains(&Some(200)) && statuses.contains(&Some(487)), "{statuses:?}");
    client.gone(&incoming.call, "caller_cancelled");
    client.stays_silent();
    assert_eq!(daemon.finish(1)[0]["outcome"], "caller_cancelled");
}

/// Slow by nature: 64*T1.
#[test]
fn a_caller_who_never_acknowledges_hears_the_200_again_and_is_hung_up_on_after_32_seconds() {
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    let mut caller = park(&daemon);
    caller.phone.acknowledges = false;
    let incoming = client.incoming();
    let mut other = call_back(&daemon, &client, &incoming, Wire::Plain);
    caller.phone.expect(200);
    let answered = Instant::now();
    other.phone.expect(200);
    let bye = loop {
        // Everything before the BYE is the 200 again.
        if let Some(bye) = caller.phone.poll_request(Duration::from_secs(5)) {
            break bye;
        }
        assert!(answered.elapsed() < Duration::from_secs(45), "no BYE");
    };
    assert_eq!(bye.method(), Some("BYE"));
    caller.phone.answer(&bye, 200, "");
    let waited = answered.elapsed().as_secs_f64();
    assert!((31.0..35.0).contains(&waited), "RFC 3261 §13.3.1.4 says 64*T1, it was {waited} s");
    let copies = caller.phone.copies[&200];
    assert!((9..=12).contains(&copies), "T1 doubled up to T2 makes 10 repetitions, there were {copies}");
    other.phone.be_hung_up_on();
    let record = daemon.finish(1).remove(0);
    assert_eq!(
        (&record["ended_by"], &record["reason"]),
        (&json!("parkway"), &json!("no ACK for our 200")),
        "{record:#}"
    );
}

#[test]
fn a_side_that_vanishes_without_bye_ends_the_call_when_its_audio_stops() {
    let daemon = Daemon::start_as(&Setup::with(&["media.silence_seconds=2"]));
    let mut client = Subscriber::ready(&daemon, "demo");
    let (mut caller, other) = bridge(&daemon, &mut client);
    story::assert_hear_each_other(&caller, &other);
    // It hears nothing and says nothing any more; its socket is still open, so nothing is reported back either.
    let common::story::Side { phone: mut deaf, voice } = other;
    drop(voice);
    let bye = caller.phone.expect_request("BYE");
    assert!(bye.header("reason").contains("No media"), "{bye:?}");
    caller.phone.answer(&bye, 200, "");
    deaf.be_hung_up_on();
    assert_eq!(daemon.finish(1)[0]["reason"], "no RTP from the client");
}

#[test]
fn both_sides_may_hang_up_at_the_same_time() {
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    let (mut caller, mut other) = bridge(&daemon, &mut client);
    for side in [&mut caller, &mut other] {
        side.phone.answers_bye = Some(200);
        side.phone.request("BYE", "");
    }
    for side in [&mut caller, &mut other] {
        // Whoever came second may have been hung up on already (RFC 3261 §15.1.2).
        let status = side.phone.final_response().status();
        assert!(matches!(status, Some(200 | 481)), "{status:?}");
        assert!(side.phone.hears_nothing(Duration::from_millis(100)));
    }
    assert_eq!(daemon.finish(1)[0]["outcome"], "answered");
}

#[test]
fn a_caller_who_cancels_while_the_callback_is_under_way_is_never_half_bridged() {
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    for round in 0..10u64 {
        let mut caller = park(&daemon);
        let incoming = client.incoming();
        let mut other = call_back(&daemon, &client, &incoming, Wire::Plain);
        std::thread::sleep(Duration::from_micros(300 * round));
        caller.phone.cancel();
        let invite = loop {
            let message = caller.phone.final_response();
            if message.header("cseq").ends_with("INVITE") {
                break message.status();
            }
        };
        let called_back = other.phone.final_response();
        match (invite, called_back.status()) {
            (Some(200), Some(200)) => {
                // RFC 3261 §9.1: the CANCEL came too late, so the caller hangs up.
                caller.phone.hang_up();
                other.phone.be_hung_up_on();
                client.gone(&incoming.call, "answered_elsewhere");
            }
            (Some(487), Some(410)) => {
                assert_eq!(called_back.header("reason"), "SIP;cause=487;text=\"Caller hung up\"");
                client.gone(&incoming.call, "caller_cancelled");
            }
            halves => panic!("half a bridge: {halves:?}"),
        }
    }
    daemon.finish(10);
}
