//! Messages through the real daemon: posted, told on channels and to telephones, receipts and states; MESSAGE of trunks and clients, and to numbers.
//! Not here: single rules and their order (`switch::written`, `notify`), and other people's telephones (`baresip`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::sipp::is_installed;
use common::{Daemon, Phone, Rights, Setup, Sipp, Subscriber, Wire, page, until};
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::time::Duration;
use tempfile::TempDir;

/// Says something to the daemon over HTTP.
fn ask(daemon: &Daemon, head: &str, jwt: &str, body: &Value) -> (u16, Value) {
    let headers = if jwt.is_empty() { String::new() } else { format!("Authorization: Bearer {jwt}\r\n") };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, body) = until("an answer", Duration::from_secs(10), || page::ask(daemon.http, head, &headers, &body));
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

fn post(daemon: &Daemon, jwt: &str, body: &Value) -> String {
    let (status, answer) = ask(daemon, "POST /v1/messages", jwt, body);
    assert_eq!(status, 202, "{answer:#}");
    answer["message"].as_str().unwrap().to_owned()
}

fn state(daemon: &Daemon, jwt: &str, message: &str) -> Value {
    ask(daemon, &format!("GET /v1/messages/{message}"), jwt, &Value::Null).1["state"].clone()
}

/// May hear of `ann` and write to `demo` and numbers.
fn ann() -> Rights {
    Rights::listen_only("ann").of("anna").writes_to(&["demo", "+49*"])
}

#[test]
fn a_posted_message_reaches_all_channels_of_its_name_and_its_sender_hears_what_became_of_it() {
    let daemon = Daemon::start();
    let mut sender = Subscriber::open(&daemon, "ann", &ann());
    sender.expect("synced");
    let [mut web, mut desk] = ["demo/web", "demo"].map(|name| Subscriber::ready(&daemon, name));
    let mut other = Subscriber::ready(&daemon, "demonstration");
    let body = json!({"to": "demo", "text": "hello\nthere", "from": "ann", "id": "first"});
    let id = post(&daemon, &sender.jwt, &body);
    for subscriber in [&mut web, &mut desk] {
        let event = subscriber.expect("message");
        let said = ["message", "name", "from", "text", "content_type"].map(|key| event[key].as_str().unwrap());
        assert_eq!(said, [&id, "demo", "ann", "hello\nthere", "text/plain"]);
        assert!(event["id"].is_string() && event["signature"].is_string(), "{event:#}");
    }
    other.stays_silent();
    let heard = |sender: &mut Subscriber| {
        let event = sender.expect("message_state");
        assert_eq!((&event["message"], &event["to"]), (&json!(id), &json!("demo")), "{event:#}");
        event["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(heard(&mut sender), "sent");
    web.say_of("delivered", &id);
    assert_eq!(heard(&mut sender), "delivered");
    desk.say_of("read", &id);
    assert_eq!(heard(&mut sender), "read");
    assert_eq!(state(&daemon, &sender.jwt, &id), "read");
    // The same once more is the same.
    assert_eq!(post(&daemon, &sender.jwt, &body), id);
    web.say_of("delivered", &id);
    sender.stays_silent();
    web.stays_silent();
    other.say_of("read", &id);
    assert_eq!(other.expect("error")["reason"], "unknown_message");
    // Nobody else learns of it.
    let stranger = daemon.mint(&Rights::full("demo"));
    let (status, problem) = ask(&daemon, &format!("GET /v1/messages/{id}"), &stranger, &Value::Null);
    assert_eq!((status, &problem["reason"]), (404, &json!("unknown_message")));
    daemon.wait_for_metric("parkway_messages_total{state=\"read\"}", Duration::from_secs(5), |now| now == 1.0);
    let log = daemon.log();
    assert!(!log.contains("hello"), "what people write is nobody else's: {log}");
    daemon.finish(0);
}

#[test]
fn a_message_for_nobody_waits_for_who_comes_and_is_told_again_to_who_comes_back() {
    let daemon = Daemon::start();
    let jwt = daemon.mint(&ann());
    let early = post(&daemon, &jwt, &json!({"to": "demo/web", "text": "early"}));
    // The switch has it a moment after it was promised.
    until("accepted", Duration::from_secs(5), || (state(&daemon, &jwt, &early) == "accepted").then_some(()));
    let mut client = Subscriber::open(&daemon, "demo/web", &Rights::full("demo"));
    let event = client.expect("message");
    assert_eq!((&event["message"], &event["from"]), (&json!(early), &json!("anna")));
    client.expect("synced");
    let last = event["id"].as_str().unwrap().to_owned();
    let later = post(&daemon, &jwt, &json!({"to": "demo", "text": "later"}));
    client.expect("message");
    client.say_of("delivered", &later);
    until("delivered", Duration::from_secs(10), || (state(&daemon, &jwt, &later) == "delivered").then_some(()));
    drop(client);
    let again = daemon.mint(&Rights::full("demo"));
    let mut client = Subscriber::connect_with(&daemon, "demo/web", &format!("&last={last}"), &again).unwrap();
    assert_eq!(client.next()["resumed"], true);
    assert_eq!(client.expect("message")["message"], json!(later), "it came after what was heard last");
    client.expect("synced");
    let mut fresh = Subscriber::open(&daemon, "demo/web", &Rights::full("demo"));
    assert_eq!(fresh.expect("message")["message"], json!(early), "nobody has said that he has it");
    fresh.expect("synced");
    // By polling, and with a receipt that is posted.
    let (_, answer) = ask(&daemon, "GET /v1/poll?name=demo/web", &again, &Value::Null);
    assert_eq!(answer["events"][0]["message"], json!(early), "{answer:#}");
    let receipt = json!({"type": "read", "message": early});
    assert_eq!(ask(&daemon, "POST /v1/say?name=demo/web", &again, &receipt).0, 204);
    until("read", Duration::from_secs(10), || (state(&daemon, &jwt, &early) == "read").then_some(()));
    daemon.finish(0);
}

#[test]
fn what_may_not_be_sent_is_refused_alike_whether_the_name_is_there_or_not() {
    let daemon = Daemon::start();
    let _there = Subscriber::ready(&daemon, "private");
    let jwt = daemon.mint(&ann());
    let text = "x".repeat(4096);
    for (jwt, body, status, reason) in [
        (&*jwt, json!({"to": "private", "text": "hi"}), 403, "message_not_granted"),
        (&jwt, json!({"to": "nowhere", "text": "hi"}), 403, "message_not_granted"),
        (&jwt, json!({"to": "+43", "text": "hi"}), 403, "message_not_granted"),
        (&jwt, json!({"to": "demo", "text": "hi", "from": "demo"}), 403, "name_not_granted"),
        ("", json!({"to": "demo", "text": "hi"}), 401, "no_credential"),
        ("x.y.z", json!({"to": "demo", "text": "hi"}), 401, "token_malformed"),
        (&jwt, json!({"to": "demo", "text": format!("{text}x")}), 413, "message_too_large"),
        (&jwt, json!({"to": "demo", "text": "x".repeat(70_000)}), 413, "message_too_large"),
        (&jwt, json!({"to": "demo", "text": "hi", "content_type": "text/html"}), 415, "message_type"),
        (&jwt, json!({"to": "demo"}), 400, "malformed"),
    ] {
        let (got, problem) = ask(&daemon, "POST /v1/messages", jwt, &body);
        assert_eq!((got, &problem["reason"]), (status, &json!(reason)), "{problem:#}");
    }
    post(&daemon, &jwt, &json!({"to": "demo", "text": text}));
    for _ in 1..50 {
        post(&daemon, &jwt, &json!({"to": "demo", "text": "hi"}));
    }
    let full = until("the switch has all of them", Duration::from_secs(10), || {
        let (status, problem) = ask(&daemon, "POST /v1/messages", &jwt, &json!({"to": "demo", "text": "hi"}));
        (status != 202).then_some((status, problem["reason"].clone()))
    });
    assert_eq!(full, (503, json!("full")));
    daemon.finish(0);
}

/// The trunk is at another address, so that who sends from here is a client.
fn elsewhere() -> String {
    "[[trunk]]\nname = \"gateway\"\nallow = [\"192.0.2.0/24\"]\n\n[[route]]\nnumber = \"*\"\nname = \"demo\"\n".into()
}

#[test]
fn a_telephone_gets_the_text_and_writes_back_with_its_token() {
    let daemon = Daemon::start_as(&Setup { tables: elsewhere(), ..Setup::default() });
    let mut sender = Subscriber::open(&daemon, "ann", &ann());
    sender.expect("synced");
    let mut phone = Phone::new(daemon.sip, Wire::Plain);
    let jwt = daemon.mint(&Rights::full("demo").of("phone").writes_to(&["ann"]));
    let bearer = format!("Authorization: Bearer {jwt}\r\n");
    let (domain, aor) = (format!("sip:{}", daemon.sip), format!("<sip:demo@{}>", daemon.sip));
    phone.ask_with(&domain, &aor, "REGISTER", &format!("Contact: <sip:demo@{}>\r\n{bearer}", phone.address()));
    phone.expect(200);
    let id = post(&daemon, &sender.jwt, &json!({"to": "demo", "text": "lunch?", "from": "ann"}));
    let message = phone.expect_request("MESSAGE");
    assert_eq!((message.header("content-type"), &*message.body), ("text/plain", "lunch?"));
    phone.answer(&message, 200, "");
    let event = sender.expect("message_state");
    assert_eq!((&event["message"], &event["state"]), (&json!(id), &json!("delivered")));
    // It answers to whoever From names.
    let from = message.header("from").split(['<', '>']).nth(1).unwrap().to_owned();
    let write = |phone: &mut Phone, to: &str, headers: &str| {
        phone.write(to, &format!("Content-Type: text/plain\r\n{headers}"), "yes");
        phone.final_response().status()
    };
    assert_eq!(write(&mut phone, &from, &bearer), Some(202));
    let event = sender.expect("message");
    assert_eq!((&event["text"], &event["from"], &event["name"]), (&json!("yes"), &json!("phone"), &json!("ann")));
    assert_eq!(write(&mut phone, &from, ""), Some(401));
    assert_eq!(write(&mut phone, &format!("sip:demo@{}", daemon.sip), &bearer), Some(403));
    assert_eq!(write(&mut phone, &from, &format!("{bearer}Content-Encoding: gzip\r\n")), Some(415));
    daemon.finish(0);
}

#[test]
fn a_gateway_sends_messages_for_a_number_and_gets_those_to_numbers() {
    if !is_installed() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let [gone, port] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let tables = format!(
        "[[trunk]]\nname = \"gateway\"\nallow = [\"127.0.0.0/8\"]\nmessages = true\nhealth_seconds = 0\n\
         targets = [\"sip:127.0.0.1:{gone};transport=tcp\", \"127.0.0.1:{port}\"]\n\n\
         [[route]]\nnumber = \"+4930*\"\nname = \"demo\"\n"
    );
    let daemon = Daemon::start_as(&Setup { tables, ..Setup::default() });
    let mut client = Subscriber::ready(&daemon, "demo");
    Sipp::start(&daemon, "message.xml", &[("number", "+4930123"), ("text", "from the gateway")]).succeed();
    let event = client.expect("message");
    // SIPp ends its lines.
    assert_eq!((&event["text"], &event["name"]), (&json!("from the gateway\r\n"), &json!("demo")), "{event:#}");
    assert!(event["from"].as_str().unwrap().starts_with("sip:+4989@"), "{event:#}");
    Sipp::start(&daemon, "message_refused.xml", &[("number", "+4989")]).succeed();

    let mut sender = Subscriber::open(&daemon, "ann", &ann());
    sender.expect("synced");
    let gateway = Sipp::serve(dir.path(), "message_gateway.xml", port, &["-m", "1", "-timeout", "30s"]);
    let id = post(&daemon, &sender.jwt, &json!({"to": "+4989777", "text": "to the gateway"}));
    let event = sender.expect("message_state");
    assert_eq!((&event["message"], &event["state"]), (&json!(id), &json!("delivered")), "the second target: {event:#}");
    let finished = gateway.succeed();
    assert!(
        finished.messages.contains("to the gateway") && finished.messages.contains("MESSAGE sip:+4989777@127.0.0.1")
    );
    daemon.finish(0);
}
