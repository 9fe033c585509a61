//! Telephones that register or subscribe over SIP, against the real daemon: who may, for how long, and what they are told.
//! Not here: other people's telephones (`baresip`), and what takes longer than a test should (`switch::tests`).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::digest::{self, User};
use common::line::Line;
use common::story::{Side, park};
use common::{Daemon, Message, Phone, Rights, Setup, Voice, Wire};
use serde_json::Value;
use std::time::Duration;

const PASSWORD: &str = "correct-horse-battery-staple-and-forty-letters-more";
const ANNA: User<'static> = User { name: "anna", password: PASSWORD };

fn daemon() -> Daemon {
    daemon_with(&[])
}

/// Anna may be called as `demo/desk` and answer; Ben may be called as `other`.
fn daemon_with(set: &[&str]) -> Daemon {
    let users = format!(
        "\n[[user]]\nname = \"anna\"\nsecret = \"{PASSWORD}\"\nreceive = [\"demo/desk\"]\nbridge = [\"demo/desk\"]\n\
         \n[[user]]\nname = \"ben\"\nsecret = \"{PASSWORD}\"\nreceive = [\"other\"]\n"
    );
    let setup = Setup::with(set);
    let daemon = Daemon::start_as(&Setup { tables: setup.tables.clone() + &users, ..setup });
    daemon.secrets.add(PASSWORD);
    daemon
}

/// A telephone of `demo/desk`.
struct Desk {
    phone: Phone,
    domain: String,
    aor: String,
}

impl Desk {
    fn new(daemon: &Daemon) -> Desk {
        let (domain, aor) = (format!("sip:{}", daemon.sip), format!("<sip:demo%2Fdesk@{}>", daemon.sip));
        Desk { phone: Phone::new(daemon.sip, Wire::Plain), domain, aor }
    }

    /// Its Contact line.
    fn contact(&self) -> String {
        format!("Contact: <sip:desk@{}>\r\n", self.phone.address())
    }

    /// A request with a proof of the password, and its final response.
    fn prove(&mut self, user: User<'_>, method: &str, (uri, to): (&str, &str), headers: &str) -> Message {
        self.phone.ask_with(uri, to, method, headers);
        let challenge = self.phone.final_response();
        assert_eq!(challenge.status(), Some(401), "{challenge:#?}");
        let proof = digest::answer(&challenge, "SHA-256", user, (method, uri), 1);
        self.phone.ask_with(uri, to, method, &format!("{headers}{proof}"));
        self.phone.final_response()
    }

    fn register_as(&mut self, user: User<'_>, headers: &str) -> Message {
        let (domain, aor) = (self.domain.clone(), self.aor.clone());
        self.prove(user, "REGISTER", (&domain, &aor), headers)
    }

    fn register(&mut self, headers: &str) -> Message {
        self.register_as(ANNA, headers)
    }

    /// What it is told next, by a request with this method; it says that it has heard.
    fn told(&mut self, method: &str) -> (Message, Value) {
        let message = self.phone.expect_request(method);
        self.phone.answer(&message, 200, "");
        assert_eq!(message.header("content-type"), "application/json", "{message:#?}");
        let event = serde_json::from_str(&message.body).unwrap();
        (message, event)
    }

    /// A NOTIFY that says only how the subscription stands.
    fn stands(&mut self) -> String {
        let notify = self.phone.expect_request("NOTIFY");
        self.phone.answer(&notify, 200, "");
        assert!(notify.body.is_empty(), "{notify:#?}");
        notify.header("subscription-state").to_owned()
    }
}

fn expires(answer: &Message) -> Option<u32> {
    answer.header("contact").split("expires=").nth(1)?.split([';', ',']).next()?.parse().ok()
}

fn hang_up(caller: &mut Side) {
    caller.phone.cancel();
    caller.phone.expect(200);
    caller.phone.expect(487);
}

#[test]
fn a_user_registers_asks_what_is_registered_and_leaves() {
    let daemon = daemon();
    let mut desk = Desk::new(&daemon);
    let contact = desk.contact();
    let answer = desk.register(&format!("{contact}Expires: 600\r\n"));
    assert_eq!((answer.status(), expires(&answer)), (Some(200), Some(600)), "{answer:#?}");
    daemon.wait_for_metric("parkway_sip_bindings", Duration::from_secs(5), |now| now == 1.0);
    let asked = desk.register("");
    assert!(asked.header("contact").contains(&format!("<sip:desk@{}>", desk.phone.address())), "{asked:#?}");
    let longest = desk.register(&format!("{contact}Expires: 999999\r\n"));
    assert_eq!(expires(&longest), Some(3600));
    let brief = desk.register(&format!("{contact}Expires: 5\r\n"));
    assert_eq!((brief.status(), brief.header("min-expires")), (Some(423), "60"));
    let flow = "Supported: outbound, path\r\nContact: <sip:desk@x;ob>;reg-id=1;+sip.instance=\"<urn:uuid:1>\"\r\n";
    let answer = desk.register(flow);
    assert!(answer.header("require") == "outbound" && answer.header("contact").contains(";reg-id=1"), "{answer:#?}");
    assert_eq!(desk.register("Contact: *\r\n").status(), Some(400), "without Expires: 0");
    let none = desk.register("Contact: *\r\nExpires: 0\r\n");
    assert_eq!((none.status(), none.header("contact")), (Some(200), ""));
    daemon.wait_for_metric("parkway_sip_bindings", Duration::from_secs(5), |now| now == 0.0);
    daemon.finish(0);
}

#[test]
fn whoever_has_a_jwt_registers_with_it_for_no_longer_than_it_is_good() {
    let daemon = daemon();
    let mut desk = Desk::new(&daemon);
    let (domain, aor, contact) = (desk.domain.clone(), desk.aor.clone(), desk.contact());
    let mut register = |rights: Rights| {
        let jwt = daemon.mint(&rights);
        desk.phone.ask_with(&domain, &aor, "REGISTER", &format!("{contact}Authorization: Bearer {jwt}\r\n"));
        desk.phone.final_response()
    };
    let answer = register(Rights { expires_in: 600, ..Rights::full("demo") });
    assert_eq!(answer.status(), Some(200));
    // The skew that is allowed to clocks is added to `exp`.
    assert!(expires(&answer).is_some_and(|seconds| (595..=630).contains(&seconds)), "{answer:#?}");
    let refused = register(Rights { expires_in: -600, ..Rights::full("demo") });
    assert!(refused.status() == Some(401) && refused.header("warning").contains("token_expired"), "{refused:#?}");
    let refused = register(Rights::full("foo"));
    assert!(refused.status() == Some(403) && refused.header("warning").contains("name_not_granted"), "{refused:#?}");
    daemon.finish(0);
}

#[test]
fn nothing_is_kept_of_whoever_may_not() {
    let daemon = daemon();
    let mut desk = Desk::new(&daemon);
    let contact = desk.contact();
    for (user, status, reason) in [
        (User { password: "guessed", ..ANNA }, 401, "password_wrong"),
        (User { name: "nobody", ..ANNA }, 401, "password_wrong"),
        (User { name: "ben", ..ANNA }, 403, "name_not_granted"),
    ] {
        let answer = desk.register_as(user, &contact);
        assert_eq!(answer.status(), Some(status), "{answer:#?}");
        assert!(answer.header("warning").contains(reason), "{answer:#?}");
    }
    for (headers, status) in [("Contact: <tel:+49>\r\n", 400), ("Contact: <sip:a@\r\n", 400)] {
        desk.phone.ask_with(&desk.domain, &desk.aor, "REGISTER", headers);
        let early = desk.phone.final_response();
        let answer = if early.status() == Some(401) { desk.register(headers) } else { early };
        assert_eq!(answer.status(), Some(status), "{headers}");
    }
    let (domain, nowhere) = (desk.domain.clone(), format!("<sip:a%2F%2Fb@{}>", daemon.sip));
    let answer = desk.prove(ANNA, "REGISTER", (&domain, &nowhere), &contact);
    assert_eq!(answer.status(), Some(404), "{answer:#?}");
    daemon.look_for_leftovers(0);
    assert_eq!(daemon.metrics().value("parkway_sip_bindings"), 0.0);
    daemon.finish(0);
}

#[test]
fn a_registered_telephone_hears_of_a_call_and_answers_it() {
    let daemon = daemon();
    let mut desk = Desk::new(&daemon);
    let contact = desk.contact();
    desk.register(&contact);
    let mut caller = park(&daemon);
    let (message, event) = desk.told("MESSAGE");
    assert_eq!(message.start, format!("MESSAGE sip:desk@{} SIP/2.0", desk.phone.address()));
    assert_eq!((event["type"].as_str(), event["name"].as_str()), (Some("incoming"), Some("demo")));
    assert_eq!((event["for"].as_str(), event["from_display"].as_str()), (Some("demo/desk"), Some("A phone")));
    let (uri, token) = (event["callback"]["sip"].as_str().unwrap(), event["token"].as_str().unwrap());
    daemon.secrets.add(token);
    let mut other = Side { phone: Phone::new(daemon.sip, Wire::Plain), voice: Voice::bind() };
    let sdp = other.voice.sdp();
    other.phone.invite(uri, &format!("X-Bridge-Token: {token}\r\n"), &sdp);
    let challenge = other.phone.final_response();
    let proof = digest::answer(&challenge, "MD5", ANNA, ("INVITE", uri), 1);
    let mut other = Side { phone: Phone::new(daemon.sip, Wire::Plain), voice: Voice::bind() };
    other.phone.invite(uri, &format!("X-Bridge-Token: {token}\r\n{proof}"), &sdp);
    other.phone.expect(200);
    caller.phone.expect(200);
    let (_, gone) = desk.told("MESSAGE");
    assert_eq!((gone["type"].as_str(), gone["reason"].as_str()), (Some("gone"), Some("answered_elsewhere")));
    assert_eq!((gone["winner"].as_str(), &gone["call"]), (Some("demo/desk"), &event["call"]));
    caller.phone.hang_up();
    other.phone.be_hung_up_on();
    daemon.wait_for_metric("parkway_sip_events_total{result=\"delivered\"}", Duration::from_secs(5), |now| now == 2.0);
    daemon.finish(1);
}

#[test]
fn whoever_registers_while_calls_wait_hears_of_each_one_at_a_time() {
    let daemon = daemon();
    let mut callers = [park(&daemon), park(&daemon), park(&daemon)];
    let mut desk = Desk::new(&daemon);
    let contact = desk.contact();
    desk.register(&contact);
    let first = desk.phone.expect_request("MESSAGE");
    assert!(desk.phone.hears_nothing(Duration::from_millis(100)), "RFC 3428 §8: one at a time");
    desk.phone.answer(&first, 200, "");
    let calls: Vec<Value> =
        [serde_json::from_str(&first.body).unwrap(), desk.told("MESSAGE").1, desk.told("MESSAGE").1].into();
    let mut ids: Vec<&str> = calls.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted(), "in the order in which they came: {ids:?}");
    ids.dedup();
    assert_eq!(ids.len(), 3);
    desk.register(&contact);
    assert!(desk.phone.hears_nothing(Duration::from_millis(100)), "who renews its registration knows them");
    for (caller, event) in callers.iter_mut().zip(&calls) {
        hang_up(caller);
        let (_, gone) = desk.told("MESSAGE");
        assert_eq!((gone["reason"].as_str(), &gone["call"]), (Some("caller_cancelled"), &event["call"]));
    }
    daemon.finish(3);
}

#[test]
fn a_subscriber_hears_of_calls_by_notify_until_it_leaves() {
    let daemon = daemon();
    let mut desk = Desk::new(&daemon);
    let uri = format!("sip:demo%2Fdesk@{}", daemon.sip);
    let to = format!("<{uri}>");
    let event = "Event: parkway-call;id=7\r\nExpires: 600\r\n";
    for (header, status) in [("Event: presence\r\n", 489), ("", 489), ("Event: parkway-call\r\nExpires: 5\r\n", 423)] {
        let answer = desk.prove(ANNA, "SUBSCRIBE", (&uri, &to), header);
        assert_eq!(answer.status(), Some(status), "{header}");
        assert!(status != 489 || answer.header("allow-events") == "parkway-call", "{answer:#?}");
    }
    let answer = desk.prove(ANNA, "SUBSCRIBE", (&uri, &to), event);
    assert_eq!((answer.status(), answer.header("expires")), (Some(200), "600"), "{answer:#?}");
    assert!(desk.stands().starts_with("active;expires="));
    let mut caller = park(&daemon);
    let (notify, incoming) = desk.told("NOTIFY");
    assert_eq!((notify.header("event"), incoming["type"].as_str()), ("parkway-call;id=7", Some("incoming")));
    assert_eq!(notify.header("from"), answer.header("to"), "in the subscription's dialog");
    hang_up(&mut caller);
    assert_eq!(desk.told("NOTIFY").1["type"], "gone");
    let (target, inside) = (answer.contact().to_owned(), answer.header("to").to_owned());
    let refreshed = desk.prove(ANNA, "SUBSCRIBE", (&target, &inside), event);
    assert_eq!(refreshed.status(), Some(200), "{refreshed:#?}");
    assert!(desk.stands().starts_with("active;expires="));
    let foreign = desk.prove(User { name: "ben", ..ANNA }, "SUBSCRIBE", (&target, &inside), event);
    assert_eq!(foreign.status(), Some(403), "somebody else's");
    let left = desk.prove(ANNA, "SUBSCRIBE", (&target, &inside), "Event: parkway-call;id=7\r\nExpires: 0\r\n");
    assert_eq!(left.status(), Some(200));
    assert_eq!(desk.stands(), "terminated;reason=timeout");
    desk.phone.ask_with(&target, &inside, "SUBSCRIBE", event);
    assert_eq!(desk.phone.final_response().status(), Some(481));
    daemon.wait_for_metric("parkway_subscriptions{transport=\"sip\"}", Duration::from_secs(5), |now| now == 0.0);
    daemon.finish(1);
}

#[test]
fn a_subscription_ends_when_its_time_is_up_and_when_we_stop() {
    let daemon = daemon_with(&["registrar.expires_seconds_min=1"]);
    let uri = format!("sip:demo%2Fdesk@{}", daemon.sip);
    let mut desk = Desk::new(&daemon);
    let subscribe = |desk: &mut Desk, seconds: u32| {
        let headers = format!("Event: parkway-call\r\nExpires: {seconds}\r\n");
        desk.prove(ANNA, "SUBSCRIBE", (&uri, &format!("<{uri}>")), &headers)
    };
    assert_eq!(subscribe(&mut desk, 1).status(), Some(200));
    assert!(desk.stands().starts_with("active"));
    assert_eq!(desk.stands(), "terminated;reason=timeout");
    assert_eq!(subscribe(&mut desk, 0).status(), Some(200), "who asks once is told once");
    assert_eq!(desk.stands(), "terminated;reason=timeout");
    assert_eq!(subscribe(&mut desk, 600).status(), Some(200));
    assert!(desk.stands().starts_with("active"));
    daemon.look_for_leftovers(0);
    daemon.signal("TERM");
    assert_eq!(desk.stands(), "terminated;reason=deactivated");
}

#[test]
fn a_registration_over_a_connection_is_told_over_it_and_ends_with_it() {
    let daemon = daemon();
    let mut line = Line::tcp(daemon.sip);
    let jwt = daemon.mint(&Rights::full("demo"));
    let (local, domain) = (line.local, daemon.sip);
    line.send(format!(
        "REGISTER sip:{domain} SIP/2.0\r\nVia: SIP/2.0/TCP {local};branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:demo@{domain}>;tag=1\r\nTo: <sip:demo@{domain}>\r\nCall-ID: 1@{local}\r\nCSeq: 1 REGISTER\r\n\
         Contact: <sip:desk@{local};transport=tcp>\r\nAuthorization: Bearer {jwt}\r\nContent-Length: 0\r\n\r\n"
    ));
    assert_eq!(line.next().unwrap().status(), Some(200));
    let mut caller = park(&daemon);
    let message = line.next().unwrap();
    assert_eq!(message.method(), Some("MESSAGE"));
    assert!(message.header("via").starts_with("SIP/2.0/TCP"), "{message:#?}");
    daemon.wait_for_metric("parkway_sip_bindings", Duration::from_secs(5), |now| now == 1.0);
    drop(line);
    daemon.wait_for_metric("parkway_sip_bindings", Duration::from_secs(5), |now| now == 0.0);
    hang_up(&mut caller);
    daemon.finish(1);
}
