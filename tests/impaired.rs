//! Calls over a network that loses one datagram in twenty, doubles one in thirty and lets one in twenty be overtaken: every call ends
//! rightly, each INVITE gets one final response, and nothing is left over. Callers and clients are in one network namespace, the
//! daemon in another, a bridge of the test's own between them.
//!
//! `cargo test --test impaired` makes 300 calls; with `PARKWAY_IMPAIRED_CALLS=10000` as many as that says. Takes root; without it says
//! that it is skipped.
//! Not here: what one loss does to one message (`bad_network`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::impairment::{Chances, Impairment};
use common::namespaces::Namespaces;
use common::{Crowd, Daemon, Rights, Setup, Subscriber, crowd, until};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many calls; in CI some hundreds.
const CALLS: &str = "PARKWAY_IMPAIRED_CALLS";
/// Names the daemon's namespace to the part that runs in the callers'.
const DAEMON: &str = "PARKWAY_IMPAIRED_DAEMON";
const CHANCES: Chances = Chances { lost: 5, doubled: 3, held: 5 };

#[test]
fn every_call_over_a_bad_network_ends_rightly() {
    let Some(namespaces) = Namespaces::make() else { return };
    let network = Impairment::join(&namespaces.ends, CHANCES, 7);
    let by = Namespaces::exec(&namespaces.callers);
    let mut inside = Command::new(&by[0]);
    inside.args(&by[1..]).arg(std::env::current_exe().unwrap());
    inside.args(["--exact", "calls_of_the_inner_side", "--ignored", "--nocapture"]).env(DAEMON, &namespaces.daemon);
    let status = inside.status().unwrap();
    assert!(status.success(), "{status}");
    let [carried, lost, doubled, held] = {
        let fates = &network.fates;
        [&fates.carried, &fates.lost, &fates.doubled, &fates.held].map(|fate| fate.load(Ordering::Relaxed))
    };
    println!("{carried} datagrams carried, {lost} lost, {doubled} doubled, {held} held back");
    assert!(lost > 0 && doubled > 0 && held > 0, "the network was bad");
}

/// Run by the test above in the callers' namespace.
#[test]
#[ignore = "takes the namespaces that another test makes"]
fn calls_of_the_inner_side() {
    let Ok(namespace) = std::env::var(DAEMON) else { return };
    let calls: u64 = std::env::var(CALLS).map_or(300, |calls| calls.parse().unwrap());
    let set = [
        "sip.listen=10.77.1.2:5060",
        "http.listen=10.77.2.2:8080",
        "admin.listen=10.77.2.2:9091",
        "log.level=info",
        "park.per_name_max=100000",
    ];
    let tables =
        "[[trunk]]\nname = \"gateway\"\nallow = [\"10.77.1.1/32\"]\n\n[[route]]\nnumber = \"*\"\nname = \"demo\"\n";
    let daemon =
        Daemon::start_as(&Setup { by: Namespaces::exec(&namespace), tables: tables.into(), ..Setup::with(&set) });
    let rights = Rights { concurrent: 100_000, ..Rights::full("demo") };
    let mut subscriber = Subscriber::open(&daemon, "demo", &rights);
    subscriber.expect("synced");
    let mut crowd = Crowd::new([10, 77, 1, 1].into(), daemon.sip);
    let plan = crowd::Plan { calls, rate: 100, cancel_every: 10, hold: Duration::from_millis(300) };
    crowd.run(plan, &mut subscriber, |_| {});
    // RFC 3261 §17: whatever is repeated is repeated for 64*T1 at most.
    crowd.finish(Duration::from_secs(33));
    let seen = crowd.seen;
    println!("{seen:?}, {:?}", crowd.complaints);
    assert_eq!((seen.wrong, seen.answered + seen.cancelled), (0, calls), "{:?}", crowd.complaints);
    assert_eq!(seen.answered, seen.bridged, "who is answered has somebody to talk to");
    assert!(seen.cancelled > 0 && seen.repeated > 0, "the plan has cancelled calls, the network lost some");
    until("no transactions", Duration::from_secs(40), || {
        (daemon.metrics().sum("parkway_sip_transactions") == 0.0).then_some(())
    });
    let records = daemon.finish(usize::try_from(calls).unwrap());
    let of =
        |outcome: &str| u64::try_from(records.iter().filter(|record| record["outcome"] == outcome).count()).unwrap();
    assert_eq!((of("answered"), of("caller_cancelled")), (seen.answered, seen.cancelled));
}
