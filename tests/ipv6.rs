//! The daemon on an IPv6 address: a call between SIPp's trunk and SIPp's client, and one between two telephones who hear each other.
//! Not here: what is the same over IPv4 (`sipp`, `calls`); other people's scenarios over IPv6 (`interop`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::sipp::is_installed;
use common::story::{NUMBER, Side, assert_hear_each_other, credentials};
use common::{Daemon, Phone, Setup, Sipp, Subscriber, Voice, Wire};
use serde_json::json;
use std::net::{Ipv6Addr, SocketAddr};

fn daemon() -> Daemon {
    let setup = Setup::with(&["sip.listen=[::1]:0"]);
    let daemon = Daemon::start_as(&Setup { tables: setup.tables.replace("127.0.0.0/8", "::1/128"), ..setup });
    assert!(daemon.sip.is_ipv6(), "{}", daemon.sip);
    daemon
}

#[test]
fn a_call_by_sipp_is_parked_answered_and_ended() {
    if !is_installed() {
        return;
    }
    let daemon = daemon();
    let mut subscriber = Subscriber::ready(&daemon, "demo/web");
    let trunk = Sipp::start(&daemon, "caller.xml", &[("number", NUMBER)]);
    let incoming = subscriber.incoming();
    assert!(incoming.sip.contains("@[::1]:"), "{}", incoming.sip);
    let keys = [("callback", incoming.sip.as_str()), ("token", &incoming.token), ("jwt", &subscriber.jwt)];
    let phone = Sipp::start(&daemon, "client.xml", &keys);
    let messages = trunk.succeed().messages;
    assert!(messages.contains("c=IN IP6 ::1\r\n") && !messages.contains("IN IP4"), "{messages}");
    phone.succeed();
    let records = daemon.finish(1);
    assert_eq!((&records[0]["outcome"], &records[0]["winner"]), (&json!("answered"), &json!("demo/web")));
}

#[test]
fn both_sides_hear_each_other() {
    let daemon = daemon();
    let mut subscriber = Subscriber::ready(&daemon, "demo");
    let here = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let side = || Side { phone: Phone::bound(here, daemon.sip, Wire::Plain), voice: Voice::bind_at(here.ip()) };
    let (mut caller, mut client) = (side(), side());
    caller.phone.invite(&format!("sip:{NUMBER}@{}", daemon.sip), "", &caller.voice.sdp());
    caller.phone.expect(180);
    let incoming = subscriber.incoming();
    client.phone.invite(&incoming.sip, &credentials(&incoming.token, &subscriber.jwt), &client.voice.sdp());
    let to_client = client.phone.expect(200).audio().unwrap();
    let to_caller = caller.phone.expect(200).audio().unwrap();
    assert!(to_client.is_ipv6() && to_caller.is_ipv6(), "{to_client} {to_caller}");
    caller.voice.talk(to_caller, 440);
    client.voice.talk(to_client, 350);
    assert_hear_each_other(&caller, &client);
    caller.phone.hang_up();
    client.phone.be_hung_up_on();
    daemon.finish(1);
}

#[test]
fn whoever_is_on_no_list_is_a_stranger_over_ipv6_too() {
    let setup = Setup::with(&["sip.listen=[::1]:0"]);
    let daemon = Daemon::start_as(&Setup { tables: setup.tables.replace("127.0.0.0/8", "2001:db8::/32"), ..setup });
    let here = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let (mut phone, voice) = (Phone::bound(here, daemon.sip, Wire::Plain), Voice::bind_at(here.ip()));
    phone.invite(&format!("sip:{NUMBER}@{}", daemon.sip), "", &voice.sdp());
    phone.expect(403);
    daemon.finish(0);
}
