//! The daemon as a service: what it tells the service manager, how it drains and stops, and what its command line says.
//! Not here: mistakes in the configuration (`bad_input`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::story::{self, NUMBER, assert_can_be_answered, bridge, park};
use common::{Daemon, Phone, Setup, Subscriber, Voice, Wire, page, until};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A stand-in for systemd's socket, and the daemon that talks to it.
fn watched() -> (UnixDatagram, TempDir, Daemon) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "2000000")];
    let environment = environment.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let daemon = Daemon::start_as(&Setup { environment, ..Setup::default() });
    (systemd, dir, daemon)
}

/// What systemd is told until something with that word comes.
fn told(systemd: &UnixDatagram, word: &str) -> Vec<String> {
    let mut all = Vec::new();
    until(word, Duration::from_secs(15), || {
        let mut buffer = [0; 4096];
        let length = systemd.recv(&mut buffer).ok()?;
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let found = text.contains(word);
        all.push(text);
        found.then_some(())
    });
    all
}

#[test]
fn systemd_is_told_of_readiness_life_calls_and_the_end() {
    let (systemd, _dir, mut daemon) = watched();
    assert!(told(&systemd, "READY=1").len() == 1, "nothing is said before it is ready");
    told(&systemd, "WATCHDOG=1");
    told(&systemd, "WATCHDOG=1");
    let mut client = Subscriber::ready(&daemon, "demo");
    let (mut caller, mut other) = bridge(&daemon, &mut client);
    told(&systemd, "1 bridged");
    daemon.signal("TERM");
    told(&systemd, "STOPPING=1");
    told(&systemd, "WATCHDOG=1");
    caller.phone.hang_up();
    other.phone.be_hung_up_on();
    assert_eq!(daemon.wait(Duration::from_secs(10)).code(), Some(0));
    assert_eq!(daemon.records().len(), 1);
}

#[test]
fn a_new_key_takes_no_restart_and_the_old_tokens_stay_good() {
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    let mut caller = park(&daemon);
    let before = client.incoming();
    let master = daemon.dir().join("node.key");
    let old = std::fs::read_to_string(&master).unwrap();
    let reread = |times: usize| {
        daemon.signal("HUP");
        until("the signal is attended to", Duration::from_secs(5), || {
            let log = daemon.log();
            let told = log.matches("are read again").count() + log.matches("stay in force").count();
            (told == times).then_some(())
        });
    };
    // A damaged file changes nothing, and says so.
    std::fs::write(&master, "no key").unwrap();
    reread(1);
    assert!(daemon.log().contains("the old policy, keys and certificates stay in force"));
    std::fs::write(&master, "5a".repeat(32)).unwrap();
    reread(2);
    assert_ne!(std::fs::read_to_string(&master).unwrap(), old);
    assert_can_be_answered(&daemon, &client, &before, &mut caller);
    client.gone(&before.call, "answered_elsewhere");
    let mut second = park(&daemon);
    let after = client.incoming();
    // The kid, in clear at a token's start, names the master that sealed it.
    assert_ne!(before.token[..6], after.token[..6]);
    assert_can_be_answered(&daemon, &client, &after, &mut second);
    daemon.finish(2);
}

/// A new caller is sent away in a drain; OPTIONS too, so that the trunk looks elsewhere.
fn assert_sends_away(daemon: &Daemon) {
    let mut late = Phone::new(daemon.sip, Wire::Plain);
    late.invite(&format!("sip:{NUMBER}@{}", daemon.sip), "", &Voice::bind().sdp());
    let refusal = late.expect(503);
    assert!(refusal.header("retry-after").parse::<u32>().is_ok(), "{refusal:?}");
    assert!(refusal.header("warning").contains("draining"), "{refusal:?}");
    let mut options = Phone::new(daemon.sip, Wire::Plain);
    options.ask(&format!("sip:{}", daemon.sip), "OPTIONS");
    options.expect(503);
}

#[test]
fn a_drain_takes_no_new_calls_and_lets_the_parked_one_be_answered() {
    let mut daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    let mut caller = park(&daemon);
    let incoming = client.incoming();
    daemon.signal("TERM");
    until("readyz is 503", Duration::from_secs(5), || {
        page::get(daemon.admin, "/readyz").filter(|(status, _)| *status == 503)
    });
    assert_eq!(page::get(daemon.admin, "/healthz").map(|(status, _)| status), Some(200), "it lives");
    assert_sends_away(&daemon);
    assert_can_be_answered(&daemon, &client, &incoming, &mut caller);
    assert_eq!(daemon.wait(Duration::from_secs(10)).code(), Some(0));
    let records = daemon.records();
    assert_eq!((records.len(), records[0]["outcome"].as_str()), (1, Some("answered")), "{records:#?}");
    daemon.look_into_log();
}

#[test]
fn at_the_drains_deadline_everybody_is_told() {
    let mut daemon = Daemon::start_as(&Setup::with(&["drain.seconds_max=1"]));
    let mut client = Subscriber::ready(&daemon, "demo");
    let (mut caller, mut other) = bridge(&daemon, &mut client);
    let mut waiting = park(&daemon);
    let incoming = client.incoming();
    daemon.signal("INT");
    for side in [&mut caller, &mut other] {
        assert!(side.phone.be_hung_up_on().header("reason").contains("Server stopping"));
    }
    assert!(waiting.phone.expect(503).header("retry-after").parse::<u32>().is_ok());
    client.gone(&incoming.call, "server_stopping");
    assert_eq!(daemon.wait(Duration::from_secs(10)).code(), Some(0));
    let mut outcomes: Vec<String> = daemon.records().iter().map(|record| record["outcome"].to_string()).collect();
    outcomes.sort();
    assert_eq!(outcomes, ["\"answered\"", "\"stopped\""]);
    daemon.look_into_log();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    let mut waiting = park(&daemon);
    let incoming = client.incoming();
    daemon.signal("TERM");
    until("readyz is 503", Duration::from_secs(5), || {
        page::get(daemon.admin, "/readyz").filter(|(status, _)| *status == 503)
    });
    assert!(daemon.is_alive());
    let second = Instant::now();
    daemon.signal("TERM");
    waiting.phone.expect(503);
    client.gone(&incoming.call, "server_stopping");
    assert_eq!(daemon.wait(Duration::from_secs(10)).code(), Some(0));
    assert!(second.elapsed() < Duration::from_secs(3), "{:?}", second.elapsed());
    assert_eq!(daemon.records()[0]["outcome"], "stopped");
}

#[test]
fn an_idle_daemon_ends_cleanly_at_the_first_signal() {
    for signal in ["TERM", "INT"] {
        let mut daemon = Daemon::start();
        daemon.signal(signal);
        assert_eq!(daemon.wait(Duration::from_secs(5)).code(), Some(0), "{signal}");
    }
}

#[test]
fn health_readiness_and_metrics_are_on_their_own_listener() {
    let daemon = Daemon::start();
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/v1/subscribe?name=demo", 404)] {
        assert_eq!(page::get(daemon.admin, path).map(|(status, _)| status), Some(status), "{path}");
    }
    assert_eq!(page::get(daemon.http, "/metrics").map(|(status, _)| status), Some(404), "not for everybody");
    story::assert_calls_work(&daemon);
    let metrics = daemon.metrics();
    assert!(metrics.sum("parkway_rtp_packets_total") >= 30.0);
    assert_eq!(metrics.value("parkway_calls_total{result=\"answered\"}"), 1.0);
    let open = "parkway_subscriptions{transport=\"websocket\"}";
    daemon.wait_for_metric(open, Duration::from_secs(5), |count| count == 0.0);
    daemon.finish(1);
}

fn parkway(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_parkway")).args(arguments).env_remove("RUST_LOG").output().unwrap()
}

#[test]
fn the_command_line_answers_without_starting_anything() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("parkway.toml");
    std::fs::write(dir.path().join("clients.secret"), common::setup::SECRET).unwrap();
    std::fs::write(&file, Setup::default().file(dir.path())).unwrap();
    let file = file.to_str().unwrap();
    for (arguments, code) in [
        (&["--version"][..], 0),
        (&["--config", file, "--check-config"], 0),
        (&["--config", file, "--print-config"], 0),
        (&["--config", file, "--set", "park.nonsense=1", "--check-config"], 78),
        (&["--config", "/nonexistent/parkway.toml", "--check-config"], 78),
        (&["--nonsense"], 2),
    ] {
        let output = parkway(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(!printed.contains(common::setup::SECRET) && !printed.is_empty(), "{arguments:?}: {printed}");
    }
}
