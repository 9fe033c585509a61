//! Calls that come to nothing, at every stage at which they can: afterwards the daemon has as many files and ports as before
//! (RELIABILITY A6), no call and no dialog, and a call goes through.
//!
//! `cargo test --test failed_setups` makes 2,000; `PARKWAY_FAILED_SETUPS=1000000 cargo test --profile proof --test failed_setups` as many
//! as that says.
//! Not here: the same for any order of events (`sim`), and what a refusal says (`calls`, `bad_input`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::story::{assert_calls_work, credentials};
use common::voice::{describe, sdp};
use common::{Daemon, Incoming, Phone, Rights, Setup, Subscriber, Wire, until};
use std::fs;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

const FAILED_SETUPS: &str = "PARKWAY_FAILED_SETUPS";
/// Who call and call back at the same time, each under a name and a number of his own.
const WORKERS: usize = 4;
/// Ports rest for five seconds, and sockets may be kept for ten.
const RESTED_WITHIN: Duration = Duration::from_secs(30);

/// How a call comes to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Nobody is called by that number.
    Route,
    /// The offer cannot be read.
    Offer,
    /// The caller gives up while it rings.
    Parked,
    /// The callback's token is not that of the call.
    Token,
    /// The callback speaks nothing that the caller does.
    Codec,
    /// The client hangs up once it is answered, or there were no ports.
    Answered,
}

const STAGES: [Stage; 6] = [Stage::Route, Stage::Offer, Stage::Parked, Stage::Token, Stage::Codec, Stage::Answered];

/// Ports for thousands of calls, and for sixteen: those have to rest, so there often are none.
#[test]
fn failed_setups_leave_no_file_and_no_port_behind() {
    let most: u64 = std::env::var(FAILED_SETUPS).map_or(2_000, |text| text.parse().unwrap());
    let [plenty, scarce] = std::thread::scope(|scope| {
        [20_000..=29_999, 30_000..=30_063]
            .map(|ports| scope.spawn(|| fail(most / 2, ports)))
            .map(|part| part.join().unwrap())
    });
    assert_eq!(plenty.without_ports, 0, "{plenty:?}");
    assert!(plenty.answered > 0 && scarce.answered > 0 && scarce.without_ports > 0, "{plenty:?} {scarce:?}");
}

/// What became of the callbacks that were right.
#[derive(Clone, Copy, Default, Debug)]
struct Seen {
    answered: u64,
    without_ports: u64,
}

fn fail(most: u64, ports: RangeInclusive<u16>) -> Seen {
    let routes: String =
        (0..WORKERS).map(|at| format!("[[route]]\nnumber = \"{}\"\nname = \"{}\"\n\n", number(at), name(at))).collect();
    let usual = "[[route]]\nnumber = \"4930123456\"\nname = \"demo\"\n";
    let tables = format!("[[trunk]]\nname = \"gateway\"\nallow = [\"127.0.0.0/8\"]\n\n{routes}{usual}");
    let (first, last) = (format!("media.port_min={}", ports.start()), format!("media.port_max={}", ports.end()));
    let set = ["log.level=info", "records.path=/dev/null", &first, &last];
    let daemon = Daemon::start_as(&Setup { tables, ..Setup::with(&set) });
    let mut workers: Vec<Worker> = (0..WORKERS).map(|at| Worker::open(&daemon, at)).collect();
    let start = left(&daemon);
    let each = most / u64::try_from(WORKERS).unwrap();
    let seen = std::thread::scope(|scope| {
        let running = workers.iter_mut().map(|worker| {
            scope.spawn(|| {
                (0..each).for_each(|number| worker.fail(number));
                worker.seen
            })
        });
        let running: Vec<_> = running.collect();
        running.into_iter().map(|worker| worker.join().unwrap()).fold(Seen::default(), |sum, seen| Seen {
            answered: sum.answered + seen.answered,
            without_ports: sum.without_ports + seen.without_ports,
        })
    });
    let end = left(&daemon);
    println!("{most} set-ups failed with ports {ports:?}: {seen:?}; files and free ports {start:?}, {end:?}");
    assert_eq!(end, start, "files and free ports");
    drop(workers);
    assert_calls_work(&daemon);
    daemon.finish(0);
    seen
}

fn number(at: usize) -> String {
    format!("49301{at}")
}

fn name(at: usize) -> String {
    format!("worker-{at}")
}

/// Open files, and pairs of ports that could be taken now, once all that rests or waits has ended.
fn left(daemon: &Daemon) -> (usize, f64) {
    let pairs = |state: &str| daemon.metrics().value(&format!("parkway_rtp_port_pairs{{state=\"{state}\"}}"));
    until("no call, and no port that rests", RESTED_WITHIN, || {
        let metrics = daemon.metrics();
        let calls = metrics.sum("parkway_calls") + metrics.sum("parkway_sip_dialogs");
        (calls + pairs("used") + pairs("resting") == 0.0).then_some(())
    });
    // The connection on which that was asked may be there for a moment.
    let count = || fs::read_dir(format!("/proc/{}/fd", daemon.id())).unwrap().count();
    let files = (0..20).map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        count()
    });
    (files.min().unwrap(), pairs("free"))
}

/// A caller and a client who both fail.
struct Worker {
    daemon: SocketAddr,
    number: String,
    subscriber: Subscriber,
    seen: Seen,
}

impl Worker {
    fn open(daemon: &Daemon, at: usize) -> Worker {
        let mut subscriber = Subscriber::open(daemon, &name(at), &Rights::full(&name(at)));
        subscriber.expect("synced");
        Worker { daemon: daemon.sip, number: number(at), subscriber, seen: Seen::default() }
    }

    fn fail(&mut self, number: u64) {
        let stage = STAGES[usize::try_from(number % 6).unwrap()];
        let mut caller = Phone::new(self.daemon, Wire::Plain);
        let usual = sdp(caller.address(), "sendrecv", 1);
        let called = if stage == Stage::Route { "4940000" } else { &self.number };
        let offer = if stage == Stage::Offer { "v=0\r\nm=audio nowhere\r\n" } else { &usual };
        caller.invite(&format!("sip:{called}@{}", self.daemon), "", offer);
        if matches!(stage, Stage::Route | Stage::Offer) {
            let status = caller.final_response().status().unwrap();
            assert_eq!(status, if stage == Stage::Route { 404 } else { 488 }, "{stage:?}");
            return;
        }
        caller.expect(180);
        let incoming = Incoming::of(self.subscriber.expect("incoming"));
        let is_bridged = stage != Stage::Parked && self.call_back(stage, &incoming, &mut caller);
        if !is_bridged {
            caller.cancel();
            while caller.final_response().status() != Some(487) {}
        }
        let gone = self.subscriber.expect("gone");
        assert_eq!(gone["call"], incoming.call, "{gone}");
    }

    /// Whether it came to a call, which is over by then.
    fn call_back(&mut self, stage: Stage, incoming: &Incoming, caller: &mut Phone) -> bool {
        let mut client = Phone::new(self.daemon, Wire::Plain);
        let mut offer = sdp(client.address(), "sendrecv", 1);
        if stage == Stage::Codec {
            offer = describe(client.address(), "sendrecv", 1, &[(96, "opus/48000/2")]);
        }
        let mut token = incoming.token.clone();
        if stage == Stage::Token {
            token = token.chars().rev().collect();
        }
        client.invite(&incoming.sip, &credentials(&token, &self.subscriber.jwt), &offer);
        let status = client.final_response().status().unwrap();
        match (stage, status) {
            (Stage::Token, 403) | (Stage::Codec, 488) => {}
            (Stage::Answered, 503) => self.seen.without_ports += 1,
            (Stage::Answered, 200) => {
                self.seen.answered += 1;
                caller.expect(200);
                client.hang_up();
                caller.be_hung_up_on();
                return true;
            }
            (_, _) => panic!("{stage:?} got {status}"),
        }
        false
    }
}
