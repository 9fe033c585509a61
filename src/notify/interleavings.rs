//! The registry under many orders of the steps of the switch's thread, the fan-out and the subscribers: whoever comes while a call
//! is parked or ends hears of it once, whoever leaves leaves nothing, and nobody waits for ever (then shuttle ends the test).
//! Not here: which words an event has, and who may hear it (`tests`).
#![cfg(feature = "shuttle")]

use crate::call::{GoneReason, Incoming, Notice};
use crate::limits;
use crate::notify::testing::{self, gone, idle_desk, incoming, jwt, name};
use crate::notify::{Closing, FanOut, Publisher, Registry, Subscription};
use crate::policy::Grants;
use crate::sync::explore;
use crate::sync::tokio::sync::mpsc;
use futures_util::FutureExt;
use serde_json::Value;
use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};
use std::sync::Arc;

/// The name that every subscriber has; calls come for it and for the one above it.
const NAME: &str = "foo/web";
/// The call that a test publishes last and that stays: who has heard of it has heard all before it.
const LAST: u128 = 99;

/// A registry whose fan-out runs on a thread of its own.
struct Desk {
    publisher: Publisher,
    registry: Arc<Registry>,
    fan_out: JoinHandle<()>,
}

/// The queue between the switch and the fan-out holds `queued` notices; it is the product's own, but short enough to overrun.
fn desk(queued: usize) -> Desk {
    let (desk, fan_out) = idle_desk(Arc::new(Grants::default()));
    let (sender, jobs) = mpsc::channel(queued);
    let (publisher, fan_out) = (Publisher { jobs: sender, ..desk.publisher }, FanOut { jobs, ..fan_out });
    Desk { publisher, registry: desk.registry, fan_out: thread::spawn(move || block_on(fan_out.run())) }
}

/// The switch's thread: publishes these, and gives the publisher back, whose end is the fan-out's.
fn publish(mut publisher: Publisher, notices: impl FnOnce() -> Vec<Notice> + Send + 'static) -> JoinHandle<Publisher> {
    thread::spawn(move || {
        notices().into_iter().for_each(|notice| publisher.publish(notice));
        publisher
    })
}

fn parked(call: u128, called: &str) -> Notice {
    Notice::Incoming(incoming(call, called))
}

fn ended(call: u128, called: &str) -> Notice {
    gone(call, called, GoneReason::CallerCancelled)
}

fn subscribe(registry: &Arc<Registry>) -> Subscription {
    registry.subscribe(name(NAME), jwt("ann", &[NAME]).as_bytes(), None, None).unwrap()
}

/// One thing that a client was told of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Told {
    sequence: u64,
    call: u128,
    rings: bool,
}

/// `None` for the words around the calls.
fn told(text: &[u8]) -> Option<Told> {
    let event: Value = serde_json::from_slice(text).unwrap();
    let rings = match event["type"].as_str().unwrap() {
        "incoming" => true,
        "gone" => false,
        "hello" | "synced" => return None,
        other => panic!("{other}"),
    };
    let (_epoch, sequence) = event["id"].as_str().unwrap().split_once('-').unwrap();
    let call = u128::from_str_radix(event["call"].as_str().unwrap(), 16).unwrap();
    Some(Told { sequence: sequence.parse().unwrap(), call, rings })
}

/// Reads until the last call rings.
fn read(subscription: &mut Subscription) -> Result<Vec<Told>, Closing> {
    let mut heard: Vec<Told> = Vec::new();
    while heard.last().is_none_or(|last| last.call != LAST) {
        heard.extend(told(&block_on(subscription.next())?.text));
    }
    Ok(heard)
}

/// A client that comes now and reads until the last call rings.
fn client(registry: &Arc<Registry>) -> JoinHandle<(Subscription, Vec<Told>)> {
    let registry = Arc::clone(registry);
    thread::spawn(move || {
        let mut subscription = subscribe(&registry);
        let heard = read(&mut subscription).expect("nobody is cut off");
        (subscription, heard)
    })
}

/// What a client may have heard by the end, whenever it came, if these notices had these sequences.
fn check(heard: &[Told], script: &[Told]) {
    assert!(heard.is_sorted_by(|one, next| one.sequence < next.sequence), "each once and in order: {heard:?}");
    assert!(heard.iter().all(|told| script.contains(told)), "nothing that was not published: {heard:?}");
    for (at, notice) in script.iter().enumerate().filter(|(_, notice)| notice.rings) {
        let later = script.get(at + 1..).unwrap().iter().find(|later| later.call == notice.call);
        match later {
            None => assert!(heard.contains(notice), "a call that waits is told: {notice:?} {heard:?}"),
            Some(later) => {
                assert!(
                    !heard.contains(notice) || heard.contains(later),
                    "what rings is taken back: {notice:?} {heard:?}"
                );
            }
        }
    }
}

/// The notices as a client hears them.
fn script(notices: &[(u128, bool)]) -> Vec<Told> {
    (1..).zip(notices).map(|(sequence, &(call, rings))| Told { sequence, call, rings }).collect()
}

/// Runs clients against these notices from the moment that the first `before` of them were published.
fn clients_hear(clients: usize, before: usize, notices: &'static [(u128, &str, bool)]) {
    let notice =
        |&(call, called, rings): &(u128, &str, bool)| if rings { parked(call, called) } else { ended(call, called) };
    let Desk { mut publisher, registry, fan_out } = desk(limits::NOTICES_QUEUED_MAX);
    let (first, rest) = notices.split_at(before);
    first.iter().map(notice).for_each(|notice| publisher.publish(notice));
    let clients: Vec<_> = (0..clients).map(|_| client(&registry)).collect();
    let publisher = publish(publisher, move || rest.iter().map(notice).collect());
    let ended: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    drop(publisher.join().unwrap());
    fan_out.join().unwrap();
    let script: Vec<(u128, bool)> = notices.iter().map(|&(call, _, rings)| (call, rings)).collect();
    for (mut subscription, mut heard) in ended {
        // The fan-out is at its end: what comes now comes at once, and would be one too many.
        while let Some(event) = subscription.next().now_or_never() {
            heard.extend(told(&event.unwrap().text));
        }
        check(&heard, &self::script(&script));
    }
    assert_eq!((registry.listeners.names_len(), registry.stats().subscriptions), (0, 0), "nobody is left");
}

#[test]
fn who_comes_while_a_call_is_parked_hears_of_it_once() {
    explore::many(2_000, || clients_hear(2, 0, &[(1, "foo", true), (LAST, NAME, true)]));
}

#[test]
fn who_comes_while_a_call_ends_hears_that_it_is_gone_if_it_rang() {
    explore::many(2_000, || clients_hear(2, 1, &[(1, "foo", true), (1, "foo", false), (LAST, NAME, true)]));
}

#[test]
fn who_comes_while_a_call_is_parked_and_ends_does_not_ring_for_ever() {
    explore::many(2_000, || {
        clients_hear(2, 0, &[(1, NAME, true), (1, NAME, false), (2, "foo", true), (LAST, NAME, true)]);
    });
}

#[test]
fn who_comes_while_a_call_is_parked_again_hears_of_its_newest_generation_once() {
    explore::many(2_000, || clients_hear(2, 1, &[(1, "foo", true), (1, "foo", true), (LAST, NAME, true)]));
}

#[test]
fn who_leaves_while_calls_come_leaves_nothing_behind_and_takes_nobody_along() {
    explore::many(1_500, || {
        let Desk { publisher, registry, fan_out } = desk(limits::NOTICES_QUEUED_MAX);
        let leaving: Vec<_> = (0..2)
            .map(|_| {
                let registry = Arc::clone(&registry);
                thread::spawn(move || drop(block_on(subscribe(&registry).next()).unwrap()))
            })
            .collect();
        let staying = client(&registry);
        let publisher = publish(publisher, || vec![parked(1, "foo"), ended(1, "foo"), parked(LAST, NAME)]);
        let (subscription, heard) = staying.join().unwrap();
        check(&heard, &script(&[(1, true), (1, false), (LAST, true)]));
        drop(subscription);
        leaving.into_iter().for_each(|leaving| leaving.join().unwrap());
        let mut publisher = publisher.join().unwrap();
        publisher.publish(ended(LAST, NAME));
        drop(publisher);
        fan_out.join().unwrap();
        let stats = registry.stats();
        assert_eq!((registry.listeners.names_len(), stats.subscriptions, stats.waiting), (0, 0, 0));
    });
}

/// Calls of which no two fit into the queue of who does not read. With four, a queue that went on after its end would end twice.
fn heavy(calls: std::ops::RangeInclusive<u128>) -> Vec<Notice> {
    let data: Arc<str> = "x".repeat(limits::SUBSCRIBER_BYTES_MAX / 2 + 1).into();
    calls.map(|call| Notice::Incoming(Incoming { data: Some(Arc::clone(&data)), ..incoming(call, NAME) })).collect()
}

#[test]
fn who_does_not_read_is_cut_off_and_hears_of_it_at_once() {
    explore::many(200, || {
        let Desk { publisher, registry, fan_out } = desk(limits::NOTICES_QUEUED_MAX);
        let (idle, mut reader) = (subscribe(&registry), subscribe(&registry));
        // One waits for its network, one reads as fast as it can, which may be too slow.
        let idle = thread::spawn(move || (block_on(idle.cut_off()), idle));
        let reader = thread::spawn(move || {
            loop {
                match block_on(reader.next()) {
                    Ok(event) if told(&event.text).is_some_and(|told| told.call == 4) => return 0,
                    Ok(_) => {}
                    Err(closing) => {
                        assert_eq!(closing, Closing::Slow);
                        return 1;
                    }
                }
            }
        });
        let publisher = publish(publisher, || heavy(1..=4));
        let (closing, idle) = idle.join().unwrap();
        assert_eq!(closing, Closing::Slow);
        let cut = 1 + reader.join().unwrap();
        drop(publisher.join().unwrap());
        fan_out.join().unwrap();
        drop(idle);
        let stats = registry.stats();
        assert_eq!((stats.slow_total, stats.subscriptions, registry.listeners.names_len()), (cut, 0, 0));
    });
}

#[test]
fn a_fan_out_that_is_overrun_sends_everybody_back_and_nobody_waits_for_a_lost_call() {
    explore::many(4_000, || {
        let Desk { publisher, registry, fan_out } = desk(1);
        let client = {
            let registry = Arc::clone(&registry);
            thread::spawn(move || {
                loop {
                    match read(&mut subscribe(&registry)) {
                        Ok(heard) => return heard,
                        Err(closing) => assert_eq!(closing, Closing::Resync),
                    }
                }
            })
        };
        let publisher = publish(publisher, || vec![parked(1, "foo"), parked(LAST, NAME)]);
        // The publisher lives until the client has heard: its end would let the fan-out go and hide that it sleeps.
        check(&client.join().unwrap(), &script(&[(1, true), (LAST, true)]));
        drop(publisher.join().unwrap());
        fan_out.join().unwrap();
    });
}

#[test]
fn everything_at_once_ends() {
    explore::many(1_000, || {
        let Desk { publisher, registry, fan_out } = desk(1);
        let on_a_thread = |act: fn(&Arc<Registry>)| {
            let registry = Arc::clone(&registry);
            thread::spawn(move || act(&registry))
        };
        let acts = [
            on_a_thread(|registry| drop(subscribe(registry))),
            on_a_thread(|registry| {
                let mut subscription = subscribe(registry);
                let _ = subscription.say(crate::id::CallId(1), crate::call::ClientMessageKind::Declined);
                let _ = block_on(subscription.next());
                let _ = subscription.next().now_or_never();
            }),
            on_a_thread(|registry| registry.cut_all(Closing::ServerStopping)),
            on_a_thread(|registry| {
                let keys = Arc::new(crate::token::Keys::new(1, [1; 32]));
                registry.replace_authority(testing::authority(Arc::new(Grants::default()), keys));
                assert!(registry.stats().waiting <= 2);
            }),
        ];
        let publisher = publish(publisher, || vec![parked(1, "foo"), parked(2, NAME), ended(1, "foo")]);
        acts.into_iter().for_each(|act| act.join().unwrap());
        drop(publisher.join().unwrap());
        fan_out.join().unwrap();
        let stats = registry.stats();
        assert_eq!((registry.listeners.names_len(), stats.subscriptions, stats.waiting), (0, 0, 1));
    });
}
