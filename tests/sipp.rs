//! SIPp as the trunk and as the calling-back client, against the real daemon: the life of a call and its ends, as both sides
//! see them on the wire. The scenarios are in `tests/sipp/`.
//! Not here: bad networks (`bad_network`) and bad messages (`bad_input`, `torture`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::sipp::{Finished, is_installed};
use common::story::NUMBER;
use common::{Daemon, Incoming, Rights, Setup, Sipp, Subscriber};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

fn caller(daemon: &Daemon, scenario: &str) -> Sipp {
    Sipp::start(daemon, scenario, &[("number", NUMBER)])
}

fn client(daemon: &Daemon, scenario: &str, incoming: &Incoming, jwt: &str) -> Sipp {
    let keys = [("callback", incoming.sip.as_str()), ("token", &incoming.token), ("jwt", jwt)];
    Sipp::start(daemon, scenario, &keys)
}

/// How most of these begin: a call that waits, and somebody who was told of it.
struct Parked {
    daemon: Daemon,
    subscriber: Subscriber,
    trunk: Sipp,
    incoming: Incoming,
}

impl Parked {
    /// None without SIPp.
    fn start(scenario: &str) -> Option<Parked> {
        Parked::start_as(&Setup::default(), "demo", scenario)
    }

    /// With other settings, and for somebody else.
    fn start_as(setup: &Setup, name: &str, scenario: &str) -> Option<Parked> {
        if !is_installed() {
            return None;
        }
        let daemon = Daemon::start_as(setup);
        let mut subscriber = Subscriber::ready(&daemon, name);
        let trunk = caller(&daemon, scenario);
        let incoming = subscriber.incoming();
        Some(Parked { daemon, subscriber, trunk, incoming })
    }
}

/// The final status that a scenario with a refusal has seen.
fn status(finished: &Finished) -> u16 {
    let finals = finished.messages.lines().filter_map(|line| line.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok());
    finals.rev().find(|status| *status >= 200).unwrap_or_default()
}

/// A callback that must be refused: status, `Warning`, `Reason`.
fn refused(daemon: &Daemon, incoming: &Incoming, jwt: &str) -> (u16, String, String) {
    let finished = client(daemon, "client_refused.xml", incoming, jwt).succeed();
    (status(&finished), finished.header("Warning").to_owned(), finished.header("Reason").to_owned())
}

fn check(record: &Value, expected: &[(&str, Value)]) {
    expected.iter().for_each(|(key, value)| assert_eq!(&record[*key], value, "{key} in {record:#}"));
}

#[test]
fn either_side_may_hang_up_and_the_record_says_who() {
    for (caller_scenario, client_scenario, ended_by) in
        [("caller.xml", "client.xml", "client"), ("caller_hangs_up.xml", "client_hung_up_on.xml", "caller")]
    {
        let parked = Parked::start_as(&Setup::default(), "demo/web", caller_scenario);
        let Some(Parked { daemon, mut subscriber, trunk, incoming }) = parked else { return };
        let phone = client(&daemon, client_scenario, &incoming, &subscriber.jwt);
        assert_eq!(subscriber.gone(&incoming.call, "answered_elsewhere").as_deref(), Some("demo/web"));
        trunk.succeed();
        phone.succeed();
        let records = daemon.finish(1);
        let expected = [
            ("outcome", json!("answered")),
            ("ended_by", json!(ended_by)),
            ("status", json!(200)),
            ("winner", json!("demo/web")),
            ("name", json!("demo")),
            ("trunk", json!("gateway")),
            ("call", json!(incoming.call)),
            ("refused_callbacks", json!(0)),
        ];
        check(&records[0], &expected);
    }
}

#[test]
fn a_caller_who_cancels_gets_487_and_a_late_callback_410() {
    let Some(Parked { daemon, mut subscriber, trunk, incoming }) = Parked::start("caller_cancels.xml") else {
        return;
    };
    assert_eq!(subscriber.gone(&incoming.call, "caller_cancelled"), None);
    trunk.succeed();
    let (status, warning, reason) = refused(&daemon, &incoming, &subscriber.jwt);
    assert_eq!((status, reason.as_str()), (410, "SIP;cause=487;text=\"Caller hung up\""));
    assert!(warning.contains("caller_cancelled"), "{warning}");
    let records = daemon.finish(1);
    check(
        &records[0],
        &[("outcome", json!("caller_cancelled")), ("ended_by", json!("caller")), ("status", json!(487))],
    );
}

#[test]
fn a_call_that_nobody_answers_ends_in_the_fallback_and_a_late_callback_in_410() {
    if !is_installed() {
        return;
    }
    let daemon = Daemon::start_as(&Setup::with(&["park.seconds_max=2", "park.fallback_status=486"]));
    let mut subscriber = Subscriber::ready(&daemon, "demo");
    let began = Instant::now();
    let trunk = caller(&daemon, "caller_refused.xml");
    let incoming = subscriber.incoming();
    assert_eq!(subscriber.gone(&incoming.call, "timeout"), None);
    assert!((2.0..4.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    assert_eq!(status(&trunk.succeed()), 486);
    let (status, _, reason) = refused(&daemon, &incoming, &subscriber.jwt);
    assert_eq!((status, reason.as_str()), (410, "Q.850;cause=19;text=\"No answer in time\""));
    let records = daemon.finish(1);
    check(&records[0], &[("outcome", json!("timeout")), ("ended_by", json!("parkway")), ("status", json!(486))]);
}

#[test]
fn of_several_callbacks_with_one_token_exactly_one_wins() {
    let Some(Parked { daemon, mut subscriber, trunk, incoming }) = Parked::start("caller.xml") else {
        return;
    };
    let racers: Vec<Sipp> = (0..4).map(|_| client(&daemon, "client_races.xml", &incoming, &subscriber.jwt)).collect();
    let races: Vec<Finished> = racers.into_iter().map(Sipp::succeed).collect();
    let (winners, losers): (Vec<_>, Vec<_>) = races.iter().partition(|race| status(race) == 200);
    assert_eq!(winners.len(), 1, "{:?}", races.iter().map(status).collect::<Vec<_>>());
    for loser in losers {
        assert_eq!(loser.header("Reason"), "SIP;cause=200;text=\"Call completed elsewhere\"");
        assert!(matches!(status(loser), 486 | 410));
    }
    trunk.succeed();
    subscriber.gone(&incoming.call, "answered_elsewhere");
    check(&daemon.finish(1)[0], &[("outcome", json!("answered"))]);
}

#[test]
fn a_callback_that_may_not_is_refused_and_the_right_one_still_gets_the_call() {
    if !is_installed() {
        return;
    }
    let daemon = Daemon::start();
    let mut right = Subscriber::ready(&daemon, "demo/web");
    let mut listener = Subscriber::open(&daemon, "demo/ear", &Rights::listen_only("demo/ear"));
    listener.expect("synced");
    let trunk = caller(&daemon, "caller.xml");
    let (mine, heard) = (right.incoming(), listener.incoming());
    assert_ne!(mine.token, heard.token, "each subscriber has a token of its own");

    let expired = daemon.mint(&Rights { expires_in: -3600, ..Rights::full("demo/web") });
    let other = daemon.mint(&Rights::full("demo/web").of("somebody-else"));
    let mut wrong = mine.clone();
    let last = if wrong.token.ends_with('A') { "B" } else { "A" };
    wrong.token.replace_range(60..61, if &wrong.token[60..61] == "A" { "B" } else { last });
    for (incoming, jwt, status, id) in [
        (&wrong, &right.jwt, 403, "bridge_token_invalid"),
        (&mine, &expired, 401, "token_expired"),
        (&mine, &other, 403, "bridge_token_invalid"),
        (&heard, &listener.jwt, 403, "bridge_not_granted"),
    ] {
        let (got, warning, _) = refused(&daemon, incoming, jwt);
        assert_eq!(got, status, "{id}");
        assert!(warning.starts_with("399 ") && warning.contains(&format!("\"{id}: ")), "{id}: {warning}");
    }
    daemon.wait_for_calls("parked", 1.0);
    client(&daemon, "client.xml", &mine, &right.jwt).succeed();
    trunk.succeed();
    let (status, _, reason) = refused(&daemon, &mine, &right.jwt);
    assert_eq!((status, reason.as_str()), (410, "SIP;cause=200;text=\"Call completed elsewhere\""), "a replay");
    let records = daemon.finish(1);
    check(&records[0], &[("outcome", json!("answered")), ("winner", json!("demo/web"))]);
    check(&records[0], &[("last_refusal", json!("bridge_not_granted"))]);
}

#[test]
fn a_callback_without_a_common_codec_gets_488_and_the_caller_waits_on() {
    let Some(Parked { daemon, subscriber, trunk, incoming }) = Parked::start("caller.xml") else {
        return;
    };
    client(&daemon, "client_alien_codec.xml", &incoming, &subscriber.jwt).succeed();
    daemon.wait_for_calls("parked", 1.0);
    client(&daemon, "client.xml", &incoming, &subscriber.jwt).succeed();
    trunk.succeed();
    check(&daemon.finish(1)[0], &[("outcome", json!("answered"))]);
}

#[test]
fn hold_and_resume_are_carried_to_the_other_side() {
    let Some(Parked { daemon, subscriber, trunk, incoming }) = Parked::start("caller_holds.xml") else {
        return;
    };
    let phone = client(&daemon, "client_held.xml", &incoming, &subscriber.jwt);
    trunk.succeed();
    let held = phone.succeed();
    let directions: Vec<&str> = held
        .messages
        .lines()
        .filter_map(|line| line.trim().strip_prefix("a="))
        .filter(|attribute| ["sendonly", "recvonly", "sendrecv"].contains(attribute))
        .collect();
    assert!(directions.ends_with(&["sendonly", "recvonly", "sendrecv", "sendrecv"]), "{directions:?}");
    check(&daemon.finish(1)[0], &[("outcome", json!("answered")), ("ended_by", json!("caller"))]);
}

#[test]
fn a_stranger_gets_403_and_leaves_nothing() {
    if !is_installed() {
        return;
    }
    let tables =
        "[[trunk]]\nname = \"gateway\"\nallow = [\"127.0.0.1/32\"]\n[[route]]\nnumber = \"49*\"\nname = \"demo\"\n";
    let daemon = Daemon::start_as(&Setup { tables: tables.into(), ..Setup::default() });
    let stranger = ["-m", "1", "-i", "127.0.0.2"];
    let finished = Sipp::start_with(&daemon, "caller_refused.xml", &[("number", NUMBER)], &stranger).succeed();
    assert_eq!(status(&finished), 403);
    assert!(finished.header("Warning").contains("\"stranger: "), "{}", finished.header("Warning"));
    let nowhere = Sipp::start(&daemon, "caller_refused.xml", &[("number", "1234")]).succeed();
    assert_eq!(status(&nowhere), 404);
    assert_eq!(daemon.metrics().sum("parkway_sip_transactions"), 0.0, "refused without state");
    daemon.finish(0);
}

#[test]
fn beyond_each_cap_a_caller_is_told_when_to_try_again_and_those_who_wait_are_not_harmed() {
    for (key, id) in [
        ("park.calls_max", "cap_total"),
        ("park.per_trunk_max", "cap_trunk"),
        ("park.per_name_max", "cap_name"),
        ("park.per_source_max", "cap_source"),
    ] {
        let setup = Setup::with(&[&format!("{key}=1"), "park.retry_after_seconds=7"]);
        let Some(Parked { daemon, subscriber, trunk, incoming }) = Parked::start_as(&setup, "demo", "caller.xml")
        else {
            return;
        };
        let finished = caller(&daemon, "caller_refused.xml").succeed();
        assert_eq!((status(&finished), finished.header("Retry-After")), (503, "7"), "{key}");
        assert!(finished.header("Warning").contains(id), "{key}: {}", finished.header("Warning"));
        client(&daemon, "client.xml", &incoming, &subscriber.jwt).succeed();
        trunk.succeed();
        daemon.finish(1);
    }
}

#[test]
fn two_hundred_calls_at_fifty_a_second_are_all_bridged_and_each_has_its_record() {
    if !is_installed() {
        return;
    }
    const CALLS: usize = 200;
    let daemon = Daemon::start_as(&Setup::with(&["park.per_name_max=500"]));
    let mut subscriber = Subscriber::ready(&daemon, "demo");
    let files_before = daemon.metrics().value("process_open_fds");
    let pace = ["-m", "200", "-r", "50", "-l", "300"];
    let trunk = Sipp::start_with(&daemon, "caller.xml", &[("number", NUMBER)], &pace);
    // The clients' SIPp reads its lines when it starts, so all calls wait for a moment first.
    let mut lines = "SEQUENTIAL\n".to_owned();
    let mut calls = BTreeSet::new();
    for _ in 0..CALLS {
        let incoming = subscriber.incoming();
        lines += &format!("{};{};{}\n", incoming.sip, incoming.token, subscriber.jwt);
        calls.insert(incoming.call);
    }
    assert_eq!(calls.len(), CALLS, "each call is told once");
    let file = daemon.dir().join("callbacks.csv");
    fs::write(&file, lines).unwrap();
    let file = file.to_str().unwrap();
    let clients = Sipp::start_with(&daemon, "clients.xml", &[], &[&pace[..], &["-inf", file]].concat());
    let taken: BTreeSet<String> = (0..CALLS)
        .map(|_| subscriber.expect("gone"))
        .inspect(|gone| assert_eq!(gone["reason"], "answered_elsewhere"))
        .filter_map(|gone| gone["call"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(taken, calls);
    clients.succeed();
    trunk.succeed();
    // A port rests for a while before it is used again; then it is closed.
    daemon.wait_for_metric("process_open_fds", Duration::from_secs(20), |files| files <= files_before);
    let records = daemon.finish(CALLS);
    for record in &records {
        check(record, &[("outcome", json!("answered")), ("ended_by", json!("client")), ("status", json!(200))]);
        assert!(record["call"].as_str().is_some_and(|call| calls.contains(call)), "{record:#}");
    }
    let sip_calls: BTreeSet<_> = records.iter().map(|record| record["sip_call_id"].to_string()).collect();
    assert_eq!(sip_calls.len(), CALLS, "each caller's leg has its own record");
}

#[test]
fn after_everybody_is_gone_not_even_a_transaction_is_left() {
    let Some(Parked { daemon, subscriber, trunk, incoming }) = Parked::start("caller.xml") else {
        return;
    };
    client(&daemon, "client.xml", &incoming, &subscriber.jwt).succeed();
    trunk.succeed();
    caller(&daemon, "caller_cancels.xml").succeed();
    // RFC 3261 §17.2: Timers H, J and L of 64*T1 are the longest that anything is remembered.
    let longest = Duration::from_secs(40);
    common::until("no transactions", longest, || {
        (daemon.metrics().sum("parkway_sip_transactions") == 0.0).then_some(())
    });
    daemon.finish(2);
}

#[test]
fn a_client_hands_its_caller_to_another_name_and_hears_what_came_of_it() {
    if !is_installed() {
        return;
    }
    let tables = "[[trunk]]\nname = \"gateway\"\nallow = [\"127.0.0.0/8\"]\n\n\
                  [[route]]\nnumber = \"200\"\nname = \"sales\"\n\n[[route]]\nnumber = \"*\"\nname = \"demo\"\n";
    let daemon = Daemon::start_as(&Setup { tables: tables.into(), ..Setup::default() });
    let mut first = Subscriber::open(&daemon, "demo", &Rights::full("demo").transfer("sales"));
    first.expect("synced");
    let mut second = Subscriber::ready(&daemon, "sales");
    let trunk = caller(&daemon, "caller_transferred.xml");
    let incoming = first.incoming();
    let to = [("refer_to", "sip:sales@pbx.example")];
    let keys = [("callback", incoming.sip.as_str()), ("token", &incoming.token), ("jwt", &first.jwt)];
    let transferor = Sipp::start(&daemon, "client_transfers.xml", &[&keys[..], &to[..]].concat());
    assert_eq!(first.gone(&incoming.call, "answered_elsewhere").as_deref(), Some("demo"));
    let again = second.incoming();
    assert_eq!(again.call, incoming.call);
    let phone = client(&daemon, "client.xml", &again, &second.jwt);
    assert_eq!(second.gone(&again.call, "answered_elsewhere").as_deref(), Some("sales"));
    transferor.succeed();
    phone.succeed();
    trunk.succeed();
    daemon.wait_for_metric("parkway_transfers_total{result=\"accepted\"}", Duration::from_secs(5), |now| now == 1.0);
    let records = daemon.finish(1);
    let expected = [
        ("outcome", json!("answered")),
        ("ended_by", json!("client")),
        ("name", json!("demo")),
        ("winner", json!("sales")),
        ("call", json!(incoming.call)),
    ];
    check(&records[0], &expected);
    let transfers = records[0]["transfers"].as_array().unwrap();
    assert_eq!(transfers.len(), 1, "{:#}", records[0]);
    check(&transfers[0], &[("by", json!("demo")), ("from", json!("demo")), ("to", json!("sales"))]);
}

#[test]
fn who_may_not_hand_calls_on_is_told_so_and_keeps_his_call() {
    let Some(Parked { daemon, subscriber, trunk, incoming }) = Parked::start("caller.xml") else {
        return;
    };
    let keys = [("callback", incoming.sip.as_str()), ("token", &incoming.token), ("jwt", &subscriber.jwt)];
    let keys = [&keys[..], &[("refer_to", "sip:demo@pbx.example")]].concat();
    let phone = Sipp::start(&daemon, "client_transfer_refused.xml", &keys).succeed();
    assert!(phone.header("Warning").contains("transfer_not_granted"), "{}", phone.messages);
    trunk.succeed();
    daemon.wait_for_metric("parkway_transfers_total{result=\"denied\"}", Duration::from_secs(5), |now| now == 1.0);
    let records = daemon.finish(1);
    check(&records[0], &[("outcome", json!("answered")), ("ended_by", json!("client")), ("transfers", json!([]))]);
}

#[test]
fn a_telephone_that_rings_only_if_it_is_acknowledged_is_rung_lifted_and_bridged() {
    if !is_installed() {
        return;
    }
    let tables = "[[trunk]]\nname = \"gateway\"\nallow = [\"127.0.0.0/8\"]\n\n\
                  [[route]]\nnumber = \"*\"\nname = \"demo\"\nring = \"invite\"\n";
    let daemon = Daemon::start_as(&Setup { tables: tables.into(), ..Setup::default() });
    let jwt = daemon.mint(&Rights::full("demo"));
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let registration = [("name", "demo"), ("jwt", jwt.as_str())];
    let here = ["-m", "1", "-p", &port.to_string()];
    Sipp::start_with(&daemon, "telephone_registers.xml", &registration, &here).succeed();
    let telephone = Sipp::serve(daemon.dir(), "telephone_insists.xml", port, &["-m", "1", "-mi", "127.0.0.1"]);
    let trunk = caller(&daemon, "caller.xml");
    let heard = telephone.succeed();
    trunk.succeed();
    assert_eq!(heard.messages.matches("PRACK sip:telephone@").count(), 2, "{}", heard.messages);
    check(&daemon.finish(1)[0], &[("outcome", json!("answered")), ("ended_by", json!("client"))]);
}
