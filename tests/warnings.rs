//! What is wrong with a call is told while it goes on: to the client that has it, in the log and in the metrics, once when it begins and once when
//! it is over.
//! Not here: who is not heard when (`media::watch`), and in which words (`media::diagnosis`).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::story::{call_back, park};
use common::{Daemon, Rights, Setup, Subscriber, Voice, Wire};
use std::time::Duration;

#[test]
fn a_side_that_is_not_heard_is_told_and_that_it_is_again() {
    let daemon = Daemon::start_as(&Setup::with(&["media.warn_silent_seconds=1", "media.warn_unheard_seconds=1"]));
    let mut subscriber = Subscriber::ready(&daemon, "demo");
    // Somebody else who hears of the name's calls, and not of how this one goes.
    let other = Rights::full("demo").of("somebody else");
    let mut other = Subscriber::open(&daemon, "demo", &other);
    other.expect("synced");
    let mut caller = park(&daemon);
    let incoming = subscriber.incoming();
    let mut client = call_back(&daemon, &subscriber, &incoming, Wire::Plain);
    let to_client = client.phone.expect(200).audio().unwrap();
    let to_caller = caller.phone.expect(200).audio().unwrap();
    client.voice.talk(to_client, 350);
    subscriber.gone(&incoming.call, "answered_elsewhere");

    let warned = subscriber.expect("warning");
    let named = caller.voice.address();
    assert_eq!(
        (&warned["warning"], &warned["leg"], &warned["state"]),
        (&"never_heard".into(), &"caller".into(), &"began".into())
    );
    assert_eq!((warned["call"].as_str(), warned["lasted_ms"].is_null()), (Some(&*incoming.call), true), "{warned:#}");
    let text = warned["text"].as_str().unwrap();
    assert!(text.contains("nothing came to our port from its address in 1."), "{text}");
    caller.voice.talk(to_caller, 440);
    let cleared = subscriber.expect("warning");
    assert_eq!((&cleared["warning"], &cleared["state"]), (&"never_heard".into(), &"cleared".into()), "{cleared:#}");
    assert!(cleared["lasted_ms"].as_u64().unwrap() >= 1_000, "{cleared:#}");

    // Now the client falls silent, and then both.
    client.voice = Voice::bind();
    let one_way = subscriber.expect("warning");
    assert_eq!((&one_way["warning"], &one_way["leg"]), (&"one_way_audio".into(), &"client".into()), "{one_way:#}");
    caller.voice = Voice::bind();
    let states: Vec<_> = (0..2).map(|_| subscriber.expect("warning")).collect();
    let said = |event: &serde_json::Value| format!("{} {}", event["warning"], event["state"]).replace('"', "");
    assert_eq!(states.iter().map(said).collect::<Vec<_>>(), ["one_way_audio cleared", "dead_air began"]);

    caller.phone.hang_up();
    client.phone.be_hung_up_on();
    let log = daemon.log();
    assert!(
        log.contains("never arrived") && log.contains(&format!("from {named} in 1.")),
        "the operator has the address"
    );
    let told = |what: &str| daemon.metrics().value(&format!("parkway_call_warnings_total{{warning=\"{what}\"}}"));
    assert_eq!(["never_heard", "one_way_audio", "dead_air"].map(told), [1.0; 3]);
    let heard: Vec<_> = std::iter::from_fn(|| other.poll(Duration::from_millis(100))).collect();
    assert!(heard.iter().all(|event| event["type"] != "warning"), "{heard:#?}");
    assert_eq!(daemon.finish(1)[0]["warnings"], 3);
}
