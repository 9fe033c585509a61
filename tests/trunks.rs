//! The trunks that the daemon goes to, with SIPp in their place: a gateway that leaves and comes back, over UDP and TCP; a registrar that
//! asks for proof, and is told when we leave; two targets of which one is gone; and a trunk that proves a password to us; TLS
//! between two daemons.
//! Not here: single answers and their order (`trunk`), DNS (`resolve`), calls from trunks (`sipp`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::authority::Authority;
use common::sipp::is_installed;
use common::{Daemon, Setup, Sipp};
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;
use tempfile::TempDir;

const PASSWORD: &str = "open sesame 7";
/// Longer than three failures take at one ping a second.
const SOON: Duration = Duration::from_secs(30);

/// A port that is free for UDP and TCP.
fn port() -> u16 {
    let pairs = std::iter::repeat_with(|| {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
    });
    pairs.take(100).flatten().next().unwrap()
}

/// A daemon with one trunk, `carrier`, that has these keys too.
fn daemon(keys: &str) -> Daemon {
    let route = "[[route]]\nnumber = \"*\"\nname = \"demo\"\n";
    let trunk = format!("[[trunk]]\nname = \"carrier\"\nallow = [\"127.0.0.0/8\"]\n{keys}\n\n");
    let daemon = Daemon::start_as(&Setup { tables: format!("{trunk}{route}"), ..Setup::default() });
    daemon.secrets.add(PASSWORD);
    daemon
}

fn wait_for(daemon: &Daemon, metric: &str, expected: f64) {
    daemon.wait_for_metric(&format!("{metric}{{trunk=\"carrier\"}}"), SOON, |now| now == expected);
}

#[test]
fn a_gateway_that_leaves_is_down_and_one_that_comes_back_is_up() {
    if !is_installed() {
        return;
    }
    for (transport, arguments) in [("", &[][..]), (";transport=tcp", &["-t", "t1"])] {
        let (dir, port) = (TempDir::new().unwrap(), port());
        let gateway = || Sipp::serve(dir.path(), "options.xml", port, arguments);
        let daemon = daemon(&format!("targets = [\"sip:127.0.0.1:{port}{transport}\"]\nhealth_seconds = 1"));
        wait_for(&daemon, "parkway_trunk_up", 0.0);
        let there = gateway();
        wait_for(&daemon, "parkway_trunk_up", 1.0);
        drop(there);
        wait_for(&daemon, "parkway_trunk_up", 0.0);
        let back = gateway();
        wait_for(&daemon, "parkway_trunk_up", 1.0);
        drop(back);
        let log = daemon.log();
        assert!(log.contains("the trunk is down") && log.contains("the trunk is up again"), "{transport}");
        daemon.finish(0);
    }
}

fn register(uri: &str, password: &str) -> String {
    format!(
        "register = {{ uri = \"{uri}\", user = \"account\", password = \"{password}\", realm = \"carrier.example\" }}"
    )
}

#[test]
fn a_registrar_that_asks_for_proof_gets_it_and_a_wrong_one_or_another_realm_none() {
    if !is_installed() {
        return;
    }
    for (realm, password, registered) in
        [("carrier.example", PASSWORD, 1.0), ("carrier.example", "wrong", 0.0), ("elsewhere.example", PASSWORD, 0.0)]
    {
        let (dir, port) = (TempDir::new().unwrap(), port());
        let registrar = Sipp::serve(dir.path(), "registrar.xml", port, &["-m", "1", "-key", "realm", realm]);
        let keys = format!(
            "targets = [\"127.0.0.1:{port}\"]\nhealth_seconds = 0\n{}",
            register("sip:us@carrier.example", password)
        );
        let daemon = daemon(&keys);
        if registered == 1.0 {
            let messages = registrar.succeed().messages;
            assert!(messages.contains("REGISTER sip:carrier.example SIP/2.0"), "{messages}");
            assert!(messages.contains(&format!("Contact: <sip:us@{}>", daemon.sip)), "{messages}");
            wait_for(&daemon, "parkway_trunk_registered", 1.0);
            assert!(daemon.log().contains("registered"));
        } else {
            let failed = || daemon.log().contains("the registration failed").then_some(());
            common::until("the registration fails", SOON, failed);
            wait_for(&daemon, "parkway_trunk_registered", 0.0);
            let proofs = daemon.log().matches("Authorization: Digest").count();
            assert_eq!(proofs, 0, "no proof is ever logged");
        }
        daemon.finish(0);
    }
}

/// RFC 3261 §10.2.2: with the first signal, whatever calls there are.
#[test]
fn a_registrar_is_told_when_we_leave_and_a_silent_one_is_waited_for_until_the_second_signal() {
    if !is_installed() {
        return;
    }
    let carrier = |dir: &TempDir, port: u16, calls: &str| {
        let keys = format!(
            "targets = [\"127.0.0.1:{port}\"]\nhealth_seconds = 0\n{}",
            register("sip:us@carrier.example", PASSWORD)
        );
        let arguments = ["-m", calls, "-key", "realm", "carrier.example"];
        let registrar = Sipp::serve(dir.path(), "registrar_left.xml", port, &arguments);
        let daemon = daemon(&keys);
        wait_for(&daemon, "parkway_trunk_registered", 1.0);
        (registrar, daemon)
    };
    let (dir, port_of_one) = (TempDir::new().unwrap(), port());
    let (registrar, mut left) = carrier(&dir, port_of_one, "1");
    left.signal("TERM");
    let heard = registrar.succeed().messages;
    assert_eq!(heard.matches("\nExpires: 0\r").count(), 2, "and again with the proof: {heard}");
    assert_eq!(left.wait(SOON).code(), Some(0));
    assert!(left.log().contains("the registration is taken back"), "{}", left.log());

    let (registrar, mut hurried) = carrier(&dir, port(), "1");
    drop(registrar);
    hurried.signal("TERM");
    common::until("the drain begins", SOON, || hurried.log().contains("draining: no new calls").then_some(()));
    hurried.signal("TERM");
    assert_eq!(hurried.wait(SOON).code(), Some(0));
    let log = hurried.log();
    assert!(!log.contains("the registration is taken back") && !log.contains("was not taken back"), "{log}");

    let (registrar, mut unheard) = carrier(&dir, port(), "1");
    drop(registrar);
    unheard.signal("TERM");
    assert_eq!(unheard.wait(SOON).code(), Some(0));
    assert!(unheard.log().contains("the registration was not taken back"), "{}", unheard.log());
}

#[test]
fn a_target_that_is_gone_is_passed_over_for_the_next() {
    if !is_installed() {
        return;
    }
    let (dir, gone, here) = (TempDir::new().unwrap(), port(), port());
    let registrar = Sipp::serve(dir.path(), "registrar.xml", here, &["-m", "1", "-key", "realm", "carrier.example"]);
    let targets = format!("targets = [\"127.0.0.1:{gone}\", \"127.0.0.1:{here}\"]\nhealth_seconds = 0");
    let daemon = daemon(&format!("{targets}\n{}", register("sip:us@carrier.example", PASSWORD)));
    registrar.succeed();
    wait_for(&daemon, "parkway_trunk_registered", 1.0);
    daemon.finish(0);
}

#[test]
fn a_trunk_that_proves_its_password_is_known_from_anywhere_by_name_and_another_is_not() {
    if !is_installed() {
        return;
    }
    let tables = "[digest]\nalgorithms = [\"md5\"]\n\n\
         [[user]]\nname = \"carrier\"\nsecret = \"open-sesame-7\"\n\n\
         [[trunk]]\nname = \"by password\"\nuser = \"carrier\"\nrewrite_called = [\"* -> +*\"]\n\n\
         [[route]]\nnumber = \"+1*\"\nname = \"demo\"\n";
    let daemon = Daemon::start_as(&Setup { tables: tables.into(), ..Setup::default() });
    daemon.secrets.add("open-sesame-7");
    let call = |password| {
        // Left to itself, SIPp proves it for the host and not for what it calls.
        let uri = format!("123@{}", daemon.sip);
        let proof = ["-m", "1", "-recv_timeout", "3000", "-au", "carrier", "-ap", password, "-auth_uri", &uri];
        Sipp::start_with(&daemon, "caller_proves.xml", &[("number", "123")], &proof)
    };
    call("open-sesame-7").succeed();
    let wrong = call("wrong").wait();
    assert!(!wrong.succeeded);
    let records = daemon.finish(1);
    assert_eq!((&records[0]["trunk"], &records[0]["name"]), (&"by password".into(), &"demo".into()));
    assert!(records[0]["to"].as_str().unwrap().starts_with("sip:+123@"), "{records:?}");
}

/// A daemon that listens for TLS as `localhost`, with what its file says about TLS and trunks.
fn with_tls(dir: &std::path::Path, tables: &str) -> Daemon {
    let file = |name: &str| dir.join(name).display().to_string();
    let tables = format!(
        "[tls]\nauthorities_file = {0:?}\nclient_authorities_file = {0:?}\n\
         [[tls.certificate]]\nchain_file = {1:?}\nkey_file = {2:?}\n{tables}[[route]]\nnumber = \"*\"\nname = \"demo\"\n",
        file("authority.pem"),
        file("localhost.pem"),
        file("localhost.key")
    );
    let set = vec!["sip.listen=127.0.0.1:0,tls:127.0.0.1:0".to_owned()];
    Daemon::start_as(&Setup { set, tables, ..Setup::default() })
}

/// RFC 3261 §26.3.1, RFC 5922: each of two daemons knows the other by its certificate, over a connection that one of them opens.
#[test]
fn a_target_over_tls_must_have_its_name_in_its_certificate_and_sees_ours() {
    let (dir, authority) = (TempDir::new().unwrap(), Authority::new());
    std::fs::write(dir.path().join("authority.pem"), authority.pem()).unwrap();
    authority.put(dir.path(), "localhost");
    let them = with_tls(dir.path(), "[[trunk]]\nname = \"us\"\ntls_names = [\"localhost\"]\n");
    let port = them.tls.unwrap().port();
    // The name is in the certificate; the address is not.
    for (host, up) in [("localhost", 1.0), ("127.0.0.1", 0.0)] {
        let trunk = format!(
            "[[trunk]]\nname = \"carrier\"\nallow = [\"192.0.2.1\"]\nhealth_seconds = 1\n\
             targets = [\"sips:{host}:{port}\"]\n"
        );
        let us = with_tls(dir.path(), &trunk);
        if up == 1.0 {
            // 403 would be an answer too: 200 is for whom it knows.
            let answered = "parkway_sip_responses_total{code=\"200\"}";
            them.wait_for_metric(answered, SOON, |count| count >= 2.0);
        }
        wait_for(&us, "parkway_trunk_up", up);
        us.finish(0);
    }
    them.finish(0);
}
