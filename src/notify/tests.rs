//! The notification path without sockets: who is told what, in which order, and what happens to who does not read.

use crate::call::{ClientMessageKind, GoneReason, Notice};
use crate::event::EventId;
use crate::id::CallId;
use crate::limits;
use crate::name::Name;
use crate::notify::testing::{self, Desk, desk, desk_with, gone, idle_desk, incoming, jwt, name, soon};
use crate::notify::{Closing, NotPassed, Subscription};
use crate::policy::{Action, Decision, Grants, PolicyEngine, Query, Question, Reason, Verdict};
use crate::time::Now;
use crate::token::{self, Audience};
use serde_json::Value;
use std::sync::{Arc, Mutex};

fn subscribe(desk: &Desk, text: &str) -> Subscription {
    desk.registry.subscribe(name(text), jwt("ann", &[text]).as_bytes(), None, None).unwrap()
}

async fn next(subscription: &mut Subscription) -> Result<Value, Closing> {
    Ok(serde_json::from_slice(&soon(subscription.next()).await?.text).unwrap())
}

/// A subscription that has heard `hello` and `synced` and the calls between, which are returned.
async fn synced(subscription: &mut Subscription) -> Vec<Value> {
    let mut told = Vec::new();
    loop {
        let event = next(subscription).await.unwrap();
        match event["type"].as_str().unwrap() {
            "hello" => {}
            "synced" => return told,
            _ => told.push(event),
        }
    }
}

/// Reads events up to the end of the call that a test publishes last.
async fn until_gone(subscription: &mut Subscription, last: u128) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let event = next(subscription).await.unwrap();
        let call = event["call"].as_str().unwrap().to_owned();
        if event["type"] == "gone" && call == format!("{last:032x}") {
            return told;
        }
        told.push(format!("{} {}", event["type"].as_str().unwrap(), u128::from_str_radix(&call, 16).unwrap()));
    }
}

#[tokio::test]
async fn a_call_reaches_its_name_and_the_names_below_and_no_other() {
    let mut desk = desk();
    let names = ["foo", "foo/web", "foo/web/left", "foobar", "foo/mobile", "bar"];
    let mut subscriptions: Vec<Subscription> = names.iter().map(|text| subscribe(&desk, text)).collect();
    for (call, called) in (1..).zip(names) {
        desk.publisher.publish(Notice::Incoming(incoming(call, called)));
    }
    for (text, subscription) in names.iter().zip(&mut subscriptions) {
        synced(subscription).await;
        let reached = (1..).zip(names).filter(|(_, called)| name(called).reaches(&name(text)));
        for (call, _) in reached {
            let event = next(subscription).await.unwrap();
            assert_eq!((&event["call"], &event["for"]), (&format!("{call:032x}").into(), &(*text).into()));
        }
        // And nothing more: the next event is for a call that this subscriber certainly hears of.
        desk.publisher.publish(Notice::Incoming(incoming(99, text)));
        assert_eq!(next(subscription).await.unwrap()["call"], format!("{:032x}", 99));
        desk.publisher.publish(gone(99, text, GoneReason::Timeout));
    }
}

#[tokio::test]
async fn a_late_subscriber_is_told_of_what_still_waits_oldest_first_and_once() {
    let mut desk = desk();
    for (call, called) in [(5, "foo"), (4, "foo/web"), (3, "foo"), (2, "foo/mobile"), (1, "foo")] {
        desk.publisher.publish(Notice::Incoming(incoming(call, called)));
    }
    desk.publisher.publish(gone(3, "foo", GoneReason::CallerCancelled));
    let mut late = subscribe(&desk, "foo/web");
    let told: Vec<Value> = synced(&mut late).await.iter().map(|event| event["call"].clone()).collect();
    assert_eq!(told, [5, 4, 1].map(|call| Value::from(format!("{call:032x}"))));
    desk.publisher.publish(gone(5, "foo", GoneReason::Timeout));
    assert!(until_gone(&mut late, 5).await.is_empty(), "and not of what ended before it came");
}

#[tokio::test]
async fn a_call_that_is_gone_before_it_was_told_does_not_ring() {
    let mut desk = desk();
    let mut early = subscribe(&desk, "foo");
    desk.publisher.publish(Notice::Incoming(incoming(1, "foo")));
    let mut late = subscribe(&desk, "foo");
    desk.publisher.publish(gone(1, "foo", GoneReason::CallerCancelled));
    for subscription in [&mut early, &mut late] {
        assert!(synced(subscription).await.is_empty());
        assert!(until_gone(subscription, 1).await.is_empty());
    }
}

#[tokio::test]
async fn a_call_parked_again_in_a_new_generation_is_told_again_with_a_token_for_it() {
    let mut desk = desk();
    let mut subscription = subscribe(&desk, "foo/web");
    synced(&mut subscription).await;
    for generation in [3, 4] {
        let call = crate::call::Incoming { generation, ..incoming(1, "foo") };
        desk.publisher.publish(Notice::Incoming(call));
        let event = next(&mut subscription).await.unwrap();
        let text = event["token"].as_str().unwrap();
        let audience = Audience::Client { name: &name("foo/web"), subject: "ann" };
        let claim = token::open(&desk.keys, testing::wall(), text.as_bytes(), &audience).unwrap();
        assert_eq!((claim.call().0, claim.generation(), claim.dial()), (1, generation, false));
        for stranger in [
            Audience::Client { name: &name("foo/web"), subject: "bob" },
            Audience::Client { name: &name("foo"), subject: "ann" },
            Audience::Dial,
        ] {
            assert!(token::open(&desk.keys, testing::wall(), text.as_bytes(), &stranger).is_err(), "{stranger:?}");
        }
    }
    assert_eq!(desk.registry.stats().waiting, 1);
}

#[tokio::test]
async fn a_uri_to_dial_is_given_only_where_the_grant_says_so() {
    let mut desk = desk();
    desk.publisher.publish(Notice::Incoming(incoming(1, "foo")));
    for dial in [true, false] {
        let jwt = testing::jwt_until("ann", &["foo"], dial, testing::wall() + limits::TOKEN_LIFE_MAX);
        let mut subscription = desk.registry.subscribe(name("foo"), jwt.as_bytes(), None, None).unwrap();
        let told = synced(&mut subscription).await;
        let callback = told[0]["callback"].as_object().unwrap();
        assert_eq!(callback["sip"], "sip:foo@127.0.0.1:5060");
        assert_eq!(callback.contains_key("dial"), dial);
        if let Some(uri) = callback.get("dial") {
            let text = uri.as_str().unwrap().strip_prefix("sip:").unwrap().strip_suffix("@127.0.0.1:5060").unwrap();
            let claim = token::open(&desk.keys, testing::wall(), text.as_bytes(), &Audience::Dial).unwrap();
            assert!(claim.dial());
        }
    }
}

#[tokio::test]
async fn a_slow_reader_is_cut_off_and_a_fast_one_misses_nothing() {
    let mut desk = desk();
    let (mut slow, mut fast) = (subscribe(&desk, "foo"), subscribe(&desk, "foo"));
    synced(&mut fast).await;
    let published = limits::SUBSCRIBER_NOTICES_MAX + 1;
    for call in 1..=published {
        desk.publisher.publish(Notice::Incoming(incoming(call as u128, "foo")));
        assert_eq!(next(&mut fast).await.unwrap()["call"], format!("{call:032x}"));
    }
    assert_eq!(soon(slow.cut_off()).await, Closing::Slow);
    assert_eq!(next(&mut slow).await, Err(Closing::Slow));
    assert_eq!(desk.registry.stats().slow_total, 1);
    // Who comes back is told of everything that still waits.
    let mut back = subscribe(&desk, "foo");
    assert_eq!(synced(&mut back).await.len(), published);
}

#[tokio::test]
async fn a_reader_is_cut_off_for_bytes_before_it_is_for_notices() {
    let mut desk = desk();
    let mut slow = subscribe(&desk, "foo");
    let data: Arc<str> = "x".repeat(limits::SUBSCRIBER_BYTES_MAX / 4).into();
    for call in 1..=4 {
        let call = crate::call::Incoming { data: Some(Arc::clone(&data)), ..incoming(call, "foo") };
        desk.publisher.publish(Notice::Incoming(call));
    }
    assert_eq!(soon(slow.cut_off()).await, Closing::Slow);
    assert_eq!(next(&mut slow).await, Err(Closing::Slow));
}

#[tokio::test]
async fn an_event_longer_than_the_whole_bound_still_reaches_who_reads() {
    let mut desk = desk();
    let mut reader = subscribe(&desk, "foo");
    synced(&mut reader).await;
    let data: Arc<str> = "x".repeat(limits::SUBSCRIBER_BYTES_MAX + 1).into();
    for call in 1..=3 {
        let call = crate::call::Incoming { data: Some(Arc::clone(&data)), ..incoming(call, "foo") };
        desk.publisher.publish(Notice::Incoming(call));
        assert_eq!(next(&mut reader).await.unwrap()["type"], "incoming");
    }
}

#[tokio::test]
async fn a_fan_out_that_is_overrun_loses_no_call_but_resyncs_everybody() {
    let (mut desk, fan_out) = idle_desk(Arc::new(Grants::default()));
    let mut subscription = subscribe(&desk, "bar");
    for call in 1..=limits::NOTICES_QUEUED_MAX as u128 {
        desk.publisher.publish(gone(call, "foo", GoneReason::Timeout));
    }
    desk.publisher.publish(Notice::Incoming(incoming(1, "bar")));
    tokio::spawn(fan_out.run());
    assert_eq!(soon(subscription.cut_off()).await, Closing::Resync);
    assert_eq!(next(&mut subscription).await, Err(Closing::Resync));
    assert_eq!(synced(&mut subscribe(&desk, "bar")).await.len(), 1);
    assert_eq!(desk.registry.stats().resyncs_total, 1);
}

/// Says no to receiving one call, for a reason of the test's choice, and yes to the rest.
#[derive(Default)]
struct Fickle(Mutex<Option<(u128, Reason)>>);

impl PolicyEngine for Fickle {
    fn decide(&self, _now: Now, query: &Query<'_>) -> Decision {
        let refused = self.0.lock().unwrap().filter(|(call, _)| query.call == Some(CallId(*call)));
        match (query.action, refused) {
            (Action::Receive, Some((_, reason))) => Decision::Verdict(Verdict::Deny(reason)),
            (Action::Receive | Action::Subscribe | Action::Register, _) => {
                Decision::Verdict(Verdict::allow(query, "test"))
            }
            (Action::Dial | Action::Bridge | Action::Transfer, _) => Decision::Verdict(Verdict::allow(query, "test")),
            (Action::Message | Action::Presence, _) => Decision::Verdict(Verdict::allow(query, "test")),
        }
    }
}

/// Knows nothing itself.
struct Asks;

impl PolicyEngine for Asks {
    fn decide(&self, _now: Now, _query: &Query<'_>) -> Decision {
        Decision::Ask(Question::new("{}".to_owned(), limits::POLICY_WAIT_MAX))
    }
}

#[tokio::test]
async fn policy_is_asked_again_at_each_event() {
    let engine = Arc::new(Fickle::default());
    let mut desk = desk_with(Arc::clone(&engine) as Arc<dyn PolicyEngine>);
    for (call, reason, closes) in [
        (1, Reason::MediaNotGranted, false),
        (2, Reason::PolicyUnavailable, false),
        (3, Reason::NameNotGranted, true),
        (4, Reason::PolicyDenied, true),
    ] {
        *engine.0.lock().unwrap() = Some((call, reason));
        let mut subscription = subscribe(&desk, "foo");
        assert!(synced(&mut subscription).await.is_empty());
        desk.publisher.publish(Notice::Incoming(incoming(call, "foo")));
        if closes {
            assert_eq!(next(&mut subscription).await, Err(Closing::Refused(reason)));
        } else {
            let marker = 100 + call;
            desk.publisher.publish(gone(marker, "foo", GoneReason::Timeout));
            assert!(until_gone(&mut subscription, marker).await.is_empty(), "{reason} withholds the call");
        }
        desk.publisher.publish(gone(call, "foo", GoneReason::Timeout));
    }
}

#[tokio::test]
async fn an_engine_that_must_ask_somebody_is_taken_for_a_no() {
    let desk = desk_with(Arc::new(Asks));
    let refused = desk.registry.subscribe(name("foo"), jwt("ann", &["foo"]).as_bytes(), None, None).err();
    assert_eq!(refused, Some(Reason::PolicyUnavailable));
}

#[tokio::test]
async fn a_new_authority_decides_the_next_event_of_old_subscriptions() {
    let mut desk = desk();
    let mut subscription = subscribe(&desk, "foo");
    synced(&mut subscription).await;
    let engine = Arc::new(Fickle(Mutex::new(Some((1, Reason::PolicyDenied)))));
    desk.registry.replace_authority(testing::authority(engine, Arc::clone(&desk.keys)));
    desk.publisher.publish(Notice::Incoming(incoming(1, "foo")));
    assert_eq!(next(&mut subscription).await, Err(Closing::Refused(Reason::PolicyDenied)));
}

#[tokio::test]
async fn a_word_is_passed_on_only_for_a_call_that_waits_for_this_subscriber() {
    let mut desk = desk();
    desk.publisher.publish(Notice::Incoming(incoming(1, "foo")));
    desk.publisher.publish(Notice::Incoming(incoming(2, "bar")));
    let subscription = subscribe(&desk, "foo/web");
    assert_eq!(subscription.say(CallId(2), ClientMessageKind::Declined), Err(NotPassed::UnknownCall));
    assert_eq!(subscription.say(CallId(3), ClientMessageKind::Declined), Err(NotPassed::UnknownCall));
    assert_eq!(subscription.say(CallId(1), ClientMessageKind::Ringing), Ok(()));
    assert_eq!(subscription.say(CallId(1), ClientMessageKind::Declined), Ok(()));
    assert_eq!(subscription.say(CallId(1), ClientMessageKind::Declined), Err(NotPassed::Busy), "the queue is bounded");
    for kind in [ClientMessageKind::Ringing, ClientMessageKind::Declined] {
        let message = desk.heard().await;
        assert_eq!((message.call, message.kind), (CallId(1), kind));
        assert_eq!((message.name.as_str(), &*message.subject), ("foo/web", "ann"));
    }
    desk.publisher.publish(gone(1, "foo", GoneReason::Timeout));
    assert_eq!(subscription.say(CallId(1), ClientMessageKind::Declined), Err(NotPassed::UnknownCall));
}

#[tokio::test]
async fn nothing_is_left_of_subscribers_and_calls_that_are_gone() {
    let mut desk = desk();
    let subscriptions: Vec<Subscription> = ["foo", "foo/web", "foo/web/a", "bar"].map(|n| subscribe(&desk, n)).into();
    for call in 1..=3 {
        desk.publisher.publish(Notice::Incoming(incoming(call, "foo")));
    }
    assert_eq!(desk.registry.stats().subscriptions, 4);
    drop(subscriptions);
    for call in 1..=3 {
        desk.publisher.publish(gone(call, "foo", GoneReason::Timeout));
    }
    let stats = desk.registry.stats();
    assert_eq!((stats.subscriptions, stats.waiting, desk.registry.listeners.names_len()), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_subscribes_while_calls_arrive_is_told_of_each_exactly_once() {
    // So few that nobody can be too slow for them.
    const CALLS: usize = limits::SUBSCRIBER_NOTICES_MAX - 4;
    let expected: Vec<String> = (1..=CALLS).map(|call| format!("{call:032x}")).collect();
    for _round in 0..10 {
        let Desk { mut publisher, registry, .. } = desk();
        let publishing = tokio::task::spawn_blocking(move || {
            for call in 1..=CALLS as u128 {
                publisher.publish(Notice::Incoming(incoming(call, "foo")));
                std::thread::yield_now();
            }
            publisher
        });
        let jwt = jwt("ann", &["foo"]);
        let mut readers = Vec::new();
        for _reader in 0..10 {
            let mut subscription = registry.subscribe(name("foo"), jwt.as_bytes(), None, None).unwrap();
            readers.push(tokio::spawn(async move {
                let mut told = synced(&mut subscription).await;
                while told.len() < CALLS {
                    told.push(next(&mut subscription).await.unwrap());
                }
                told
            }));
        }
        let _publisher = soon(publishing).await.unwrap();
        for reader in readers {
            let told = soon(reader).await.unwrap();
            let calls: Vec<&str> = told.iter().map(|event| event["call"].as_str().unwrap()).collect();
            assert_eq!(calls, expected, "each once, in order");
        }
    }
}

#[tokio::test]
async fn who_may_not_receive_for_a_name_gets_no_subscription() {
    let desk = desk();
    for (credential, text, expected) in [
        (jwt("ann", &["foo"]), "foo/web", None),
        (jwt("ann", &["foo"]), "foobar", Some(Reason::NameNotGranted)),
        (jwt("ann", &["foo/web"]), "foo", Some(Reason::NameNotGranted)),
        (jwt("ann", &[]), "foo", Some(Reason::NameNotGranted)),
        (testing::foreign_jwt("ann", &["foo"]), "foo", Some(Reason::TokenBadSignature)),
        (testing::jwt_until("ann", &["foo"], false, crate::time::Wall(2_000)), "foo", Some(Reason::TokenExpired)),
        ("nonsense".to_owned(), "foo", Some(Reason::TokenMalformed)),
        (String::new(), "foo", Some(Reason::TokenMalformed)),
    ] {
        let name: Name = name(text);
        assert_eq!(
            desk.registry.subscribe(name, credential.as_bytes(), None, None).err(),
            expected,
            "{text} {expected:?}"
        );
    }
    assert_eq!(desk.registry.stats().subscriptions, 0);
}

/// What a client hears that heard `last` last: whether it was resumed, and the calls.
async fn comes_back(desk: &Desk, last: &str) -> (bool, Vec<String>) {
    let last = EventId::parse(last);
    let jwt = jwt("ann", &["foo"]);
    let mut subscription = desk.registry.subscribe(name("foo/web"), jwt.as_bytes(), None, last).unwrap();
    let told = synced(&mut subscription).await;
    let told = told.iter().map(|event| {
        let call = u128::from_str_radix(event["call"].as_str().unwrap(), 16).unwrap();
        format!("{} {call}", event["type"].as_str().unwrap())
    });
    (subscription.is_resumed(), told.collect())
}

#[tokio::test]
async fn who_comes_back_is_told_what_it_has_missed_and_no_more() {
    let mut desk = desk();
    let mut events = vec![Notice::Incoming(incoming(1, "foo")), Notice::Incoming(incoming(2, "foo/web"))];
    events.extend([gone(1, "foo", GoneReason::Timeout), Notice::Incoming(incoming(3, "foobar"))]);
    events.extend([Notice::Incoming(incoming(4, "foo")), gone(4, "foo", GoneReason::CallerCancelled)]);
    events.push(Notice::Incoming(incoming(5, "foo")));
    events.into_iter().for_each(|notice| desk.publisher.publish(notice));
    let epoch = desk.registry.announcer.herald.epoch;
    for (last, resumed, expected) in [
        (format!("{epoch}-0"), true, vec!["incoming 2", "gone 1", "gone 4", "incoming 5"]),
        (format!("{epoch}-2"), true, vec!["gone 1", "gone 4", "incoming 5"]),
        (format!("{epoch}-3"), true, vec!["gone 4", "incoming 5"]),
        (format!("{epoch}-7"), true, vec![]),
        // It cannot have heard what was not told yet, nor anything in another run.
        (format!("{epoch}-8"), false, vec!["incoming 2", "incoming 5"]),
        (format!("{}-3", epoch + 1), false, vec!["incoming 2", "incoming 5"]),
        ("nonsense".to_owned(), false, vec!["incoming 2", "incoming 5"]),
    ] {
        let heard = comes_back(&desk, &last).await;
        assert_eq!(heard, (resumed, expected.into_iter().map(str::to_owned).collect()), "{last}");
    }
}
