//! Presence and renewal through the real daemon: who is there, on channels and over SIP, as those are told who may know; and channels that
//! go on with a newer credential.
//! Not here: when a change is news (`presence`), which the tests wait for.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::{Daemon, Phone, Rights, Setup, Subscriber, Wire, page, until};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

/// Ann watches.
fn watching(daemon: &Daemon, contacts: &str) -> Subscriber {
    let jwt = daemon.mint(&ann());
    Subscriber::connect_with(daemon, "ann", &format!("&contacts={contacts}"), &jwt).unwrap()
}

fn ann() -> Rights {
    Rights::listen_only("ann").watches(&["demo", "bob"])
}

fn get(daemon: &Daemon, path: &str, jwt: &str) -> (u16, Value) {
    let headers = format!("Authorization: Bearer {jwt}\r\n");
    let (status, body) =
        until("an answer", Duration::from_secs(10), || page::ask(daemon.http, &format!("GET {path}"), &headers, ""));
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

/// The next word of presence: of whom, and how many.
fn seen(subscriber: &mut Subscriber) -> (String, u64) {
    let event = subscriber.expect("presence");
    assert_eq!(event["online"], event["clients"] != 0, "{event:#}");
    (event["name"].as_str().unwrap().to_owned(), event["clients"].as_u64().unwrap())
}

#[test]
fn who_watches_is_told_who_is_there_and_who_comes_and_goes() {
    let daemon = Daemon::start();
    let _there = Subscriber::ready(&daemon, "bob/desk");
    let mut ann = watching(&daemon, "demo,bob");
    assert_eq!(ann.next()["type"], "hello");
    assert_eq!([seen(&mut ann), seen(&mut ann)], [("bob".into(), 1), ("demo".into(), 0)]);
    ann.expect("synced");
    let web = Subscriber::ready(&daemon, "demo/web");
    let event = ann.expect("presence");
    assert_eq!((&event["name"], &event["clients"], &event["media"]), (&json!("demo"), &json!(1), &json!(["audio"])));
    assert_eq!(event["scopes"], json!([{"name": "demo/web", "channels": 1, "telephones": 0}]));
    // A page that is loaded anew.
    drop(web);
    let web = Subscriber::ready(&daemon, "demo/web");
    let (status, now) = get(&daemon, "/v1/presence/demo/web", &ann.jwt);
    assert_eq!((status, &now["clients"]), (200, &json!(1)), "{now:#}");
    assert!(ann.poll(Duration::from_secs(6)).is_none(), "it was away for a moment");
    drop(web);
    assert_eq!(seen(&mut ann), ("demo".into(), 0));
    daemon.finish(0);
}

#[test]
fn a_telephone_that_registers_is_there_until_it_leaves() {
    let tables =
        "[[trunk]]\nname = \"elsewhere\"\nallow = [\"192.0.2.0/24\"]\n\n[[route]]\nnumber = \"*\"\nname = \"demo\"\n";
    let daemon = Daemon::start_as(&Setup { tables: tables.into(), ..Setup::default() });
    let mut ann = watching(&daemon, "bob");
    assert_eq!(ann.next()["type"], "hello");
    assert_eq!(seen(&mut ann), ("bob".into(), 0));
    ann.expect("synced");
    let mut phone = Phone::new(daemon.sip, Wire::Plain);
    let bearer = format!("Authorization: Bearer {}\r\n", daemon.mint(&Rights::full("bob")));
    let (domain, aor) = (format!("sip:{}", daemon.sip), format!("<sip:bob%2Fdesk@{}>", daemon.sip));
    let contact = format!("Contact: <sip:bob@{}>\r\n{bearer}", phone.address());
    phone.ask_with(&domain, &aor, "REGISTER", &contact);
    phone.expect(200);
    let event = ann.expect("presence");
    assert_eq!(event["scopes"], json!([{"name": "bob/desk", "channels": 0, "telephones": 1}]), "{event:#}");
    phone.ask_with(&domain, &aor, "REGISTER", &format!("{contact}Expires: 0\r\n"));
    phone.expect(200);
    assert_eq!(seen(&mut ann), ("bob".into(), 0));
    daemon.finish(0);
}

#[test]
fn what_may_not_be_known_is_refused_alike_whether_somebody_is_there_or_not() {
    let daemon = Daemon::start();
    let _there = Subscriber::ready(&daemon, "private");
    let jwt = daemon.mint(&ann());
    let many: Vec<String> = (0..65).map(|at| format!("demo/{at}")).collect();
    for (path, status, reason) in [
        ("/v1/presence/private", 403, "presence_not_granted"),
        ("/v1/presence/nowhere", 403, "presence_not_granted"),
        ("/v1/presence/demo%20x", 400, "bad_name"),
        ("/v1/poll?name=ann&contacts=demo", 400, "bad_contacts"),
    ] {
        let (got, problem) = get(&daemon, path, &jwt);
        assert_eq!((got, &problem["reason"]), (status, &json!(reason)), "{path}: {problem:#}");
    }
    for contacts in ["demo,private", "demo,nowhere", "demo,,bob", "", &many.join(",")] {
        assert!(
            Subscriber::connect_with(&daemon, "ann", &format!("&contacts={contacts}"), &jwt).is_err(),
            "{contacts}"
        );
    }
    assert_eq!(get(&daemon, "/v1/presence/demo", "x.y.z").0, 401);
    daemon.finish(0);
}

#[test]
fn a_channel_goes_on_with_a_newer_credential_of_the_same_subject() {
    let daemon = Daemon::start();
    let brief = Rights { expires_in: -28, ..Rights::full("demo") };
    let mut client = Subscriber::open(&daemon, "demo/web", &brief);
    client.expect("synced");
    let renew = |client: &mut Subscriber, rights: &Rights| {
        let word = json!({"type": "auth", "token": daemon.mint(rights)});
        client.send(Message::text(word.to_string())).unwrap();
    };
    renew(&mut client, &Rights::full("demo"));
    let renewed = client.expect("renewed");
    assert!(renewed["expires"].is_string(), "{renewed:#}");
    // With the first one it would be over by now: the skew is 30 seconds.
    assert!(client.poll(Duration::from_secs(4)).is_none());
    for (rights, reason) in [
        (Rights::full("demo").of("somebody-else"), "other_subject"),
        (Rights { subject: "user-of-demo".into(), ..Rights::full("elsewhere") }, "name_not_granted"),
        (Rights { expires_in: -60, ..Rights::full("demo") }, "token_expired"),
    ] {
        let mut client = Subscriber::open(&daemon, "demo/web", &Rights::full("demo"));
        client.expect("synced");
        renew(&mut client, &rights);
        assert_eq!(client.expect("closing")["reason"], reason);
    }
    daemon.finish(0);
}
