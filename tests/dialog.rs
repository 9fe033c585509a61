//! What trunks and telephones do in a dialog besides RFC 3261, with a real daemon: a ringing that is acknowledged, UPDATE, digits by INFO,
//! session timers, one session's UUIDs on both legs, who calls.
//! Not here: each rule with its refusals and its clock (`flows`).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::story::{NUMBER, Side, credentials};
use common::voice::sdp;
use common::{Daemon, Phone, Setup, Subscriber, Voice, Wire};

const A: &str = "aaaaaaaaaaaa4aaa8aaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbb4bbb8bbbbbbbbbbbbbbb";

fn side(daemon: &Daemon) -> Side {
    Side { phone: Phone::new(daemon.sip, Wire::Plain), voice: Voice::bind() }
}

#[test]
fn a_ringing_is_acknowledged_and_then_update_and_digits_cross_the_bridge() {
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    let mut caller = side(&daemon);
    let headers = format!(
        "Require: 100rel\r\nSupported: timer\r\nAllow: INVITE, ACK, BYE, UPDATE, INFO\r\nSession-ID: {A};remote={}\r\n",
        "0".repeat(32)
    );
    caller.phone.invite(&format!("sip:{NUMBER}@{}", daemon.sip), &headers, &caller.voice.sdp());
    let ringing = caller.phone.expect(180);
    assert_eq!(ringing.header("require"), "100rel");
    assert!(ringing.header("session-id").ends_with(&format!(";remote={A}")));
    caller.phone.enter(&ringing);
    let rack = format!("RAck: {} 1 INVITE\r\n", ringing.header("rseq"));
    caller.phone.request_with("PRACK", &rack, "");
    assert!(caller.phone.expect(200).header("cseq").ends_with("PRACK"));

    let incoming = client.incoming();
    let mut other = side(&daemon);
    let allow = "Allow: INVITE, ACK, BYE, UPDATE, INFO\r\n";
    let headers = format!("{}{allow}Session-ID: {B}\r\n", credentials(&incoming.token, &client.jwt));
    other.phone.invite(&incoming.sip, &headers, &other.voice.sdp());
    let to_client = other.phone.expect(200);
    let to_caller = caller.phone.expect(200);
    assert_eq!(to_client.header("session-id"), format!("{A};remote={B}"));
    assert_eq!(to_caller.header("session-id"), format!("{B};remote={A}"));
    assert_eq!((to_caller.header("session-expires"), to_caller.header("require")), ("1800;refresher=uac", "timer"));
    assert_eq!(to_client.header("session-expires"), "", "a client that knows no session timers has none");

    caller.phone.request_with("UPDATE", "Supported: timer\r\n", &sdp(caller.voice.address(), "sendonly", 2));
    let update = other.phone.expect_request("UPDATE");
    assert_eq!(update.direction(), "sendonly");
    other.phone.answer(&update, 200, &sdp(other.voice.address(), "recvonly", 2));
    let held = caller.phone.expect(200);
    assert_eq!((held.direction(), held.header("session-expires")), ("recvonly", "1800;refresher=uac"));

    other.phone.request_with("INFO", "Content-Type: application/dtmf-relay\r\n", "Signal=5\r\n");
    let digit = caller.phone.expect_request("INFO");
    assert_eq!((digit.header("content-type"), &*digit.body), ("application/dtmf-relay", "Signal=5\r\n"));
    caller.phone.answer(&digit, 200, "");
    other.phone.expect(200);
    other.phone.request_with("INFO", "Info-Package: anything\r\n", "");
    other.phone.expect(469);
    other.phone.request("MESSAGE", "");
    other.phone.expect(405);

    other.phone.hang_up();
    caller.phone.be_hung_up_on();
    let records = daemon.finish(1);
    assert_eq!(records[0]["session_id"], format!("{B};remote={A}"));
}

#[test]
fn a_ringing_that_is_not_acknowledged_is_repeated_and_ends_with_the_call() {
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    let mut caller = side(&daemon);
    caller.phone.invite(&format!("sip:{NUMBER}@{}", daemon.sip), "Require: 100rel\r\n", &caller.voice.sdp());
    let first = caller.phone.expect(180);
    let again = caller.phone.expect(180);
    assert_eq!(first.header("rseq"), again.header("rseq"));
    caller.phone.cancel();
    let incoming = client.incoming();
    client.gone(&incoming.call, "caller_cancelled");
    daemon.finish(1);
}

#[test]
fn only_a_trunk_that_may_assert_an_identity_is_believed() {
    const ASSERTED: &str = "sip:+49302@trunk.example";
    for (identity, privacy, expected) in [
        ("asserted", "", ASSERTED),
        ("from", "", ""),
        ("asserted", "privacy : id\r\n", "sip:anonymous@anonymous.invalid"),
    ] {
        let tables = format!(
            "[[trunk]]\nname = \"gateway\"\nallow = [\"127.0.0.0/8\"]\nidentity = \"{identity}\"\n\n\
             [[route]]\nnumber = \"*\"\nname = \"demo\"\n"
        );
        let daemon = Daemon::start_as(&Setup { tables, ..Setup::default() });
        let mut client = Subscriber::ready(&daemon, "demo");
        let mut caller = side(&daemon);
        let headers = format!("p-asserted-identity:\r\n <{ASSERTED}>\r\n{privacy}");
        caller.phone.invite(&format!("sip:{NUMBER}@{}", daemon.sip), &headers, &caller.voice.sdp());
        caller.phone.expect(180);
        let incoming = client.incoming();
        let from = format!("sip:phone@{}", caller.phone.address());
        assert_eq!(incoming.event["from"], if expected.is_empty() { &*from } else { expected });
        caller.phone.cancel();
        client.gone(&incoming.call, "caller_cancelled");
        let record = daemon.finish(1).remove(0);
        assert_eq!(record["asserted_identity"].as_str(), (identity == "asserted").then_some(ASSERTED));
    }
}
