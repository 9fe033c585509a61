//! Clients that prove a password instead of showing a JWT, against the real daemon: who is let in, and what the others are told.
//! Not here: the hashes (`sip::auth`), and registrations (`registrar`).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::digest::{self, User, parameter};
use common::story::{Side, assert_hear_each_other, park};
use common::{Daemon, Incoming, Message, Phone, Rights, Setup, Subscriber, Voice, Wire};

const PASSWORD: &str = "correct-horse-battery-staple-and-forty-letters-more";
const ANNA: User<'static> = User { name: "anna", password: PASSWORD };

/// Anna may answer calls of `demo`, Ben may hear of them only.
fn daemon() -> Daemon {
    let users = format!(
        "\n[[user]]\nname = \"anna\"\nsecret = \"{PASSWORD}\"\nreceive = [\"demo\"]\nbridge = [\"demo\"]\nconcurrent = 9\n\
         \n[[user]]\nname = \"ben\"\nsecret = \"{PASSWORD}\"\nreceive = [\"demo\"]\n"
    );
    let daemon = Daemon::start_as(&Setup { tables: Setup::default().tables + &users, ..Setup::default() });
    daemon.secrets.add(PASSWORD);
    daemon
}

/// Somebody who is told of a call, with a JWT of this subject.
fn told(daemon: &Daemon, subject: &str) -> (Side, Incoming, Subscriber) {
    let mut client = Subscriber::open(daemon, "demo/web", &Rights::full("demo/web").of(subject));
    client.expect("synced");
    let caller = park(daemon);
    let incoming = client.incoming();
    (caller, incoming, client)
}

/// A callback with this Authorization line, and its final response.
fn call_back(daemon: &Daemon, incoming: &Incoming, authorization: &str) -> (Side, Message) {
    let mut side = Side { phone: Phone::new(daemon.sip, Wire::Plain), voice: Voice::bind() };
    let headers = format!("X-Bridge-Token: {}\r\n{authorization}", incoming.token);
    side.phone.invite(&incoming.sip, &headers, &side.voice.sdp());
    let answer = side.phone.final_response();
    (side, answer)
}

#[test]
fn a_client_with_a_password_answers_a_call_and_may_choose_the_hash() {
    let daemon = daemon();
    for algorithm in ["SHA-256", "MD5"] {
        let (mut caller, incoming, _client) = told(&daemon, "anna");
        let (_, refusal) = call_back(&daemon, &incoming, "");
        assert_eq!(refusal.status(), Some(401));
        let offered: Vec<_> = refusal.all("www-authenticate").map(|value| parameter(value, "algorithm")).collect();
        assert_eq!(offered, [Some("SHA-256"), Some("MD5"), None], "the strongest first, then a JWT: {refusal:#?}");
        let authorization = digest::answer(&refusal, algorithm, ANNA, ("INVITE", &incoming.sip), 1);
        let (mut other, answer) = call_back(&daemon, &incoming, &authorization);
        assert_eq!(answer.status(), Some(200), "{answer:#?}");
        let to_caller = caller.phone.expect(200);
        caller.voice.talk(to_caller.audio().unwrap(), 440);
        other.voice.talk(answer.audio().unwrap(), 350);
        assert_hear_each_other(&caller, &other);
        caller.phone.hang_up();
        other.phone.be_hung_up_on();
    }
    daemon.finish(2);
}

#[test]
fn whoever_is_wrong_is_told_the_same_and_the_call_waits_on() {
    let daemon = daemon();
    let (mut caller, incoming, _client) = told(&daemon, "anna");
    let (_, refusal) = call_back(&daemon, &incoming, "");
    let uri = incoming.sip.as_str();
    let good = digest::answer(&refusal, "SHA-256", ANNA, ("INVITE", uri), 1);
    let with = |user| digest::answer(&refusal, "SHA-256", user, ("INVITE", uri), 1);
    for authorization in [
        with(User { password: "guessed", ..ANNA }),
        with(User { name: "nobody", ..ANNA }),
        with(User { name: "", ..ANNA }),
        good.replace("qop=auth, ", ""),
        good.replace("parkway", "elsewhere"),
        digest::answer(&refusal, "SHA-256", ANNA, ("REGISTER", uri), 1),
        digest::answer(&refusal, "SHA-256", ANNA, ("INVITE", "sip:demo@elsewhere.example"), 1),
        format!("{good}{good}"),
    ] {
        let (_, answer) = call_back(&daemon, &incoming, &authorization);
        assert_eq!(answer.status(), Some(401), "{authorization}");
        let warning = answer.header("warning");
        let missing = authorization.contains("elsewhere\"") && !authorization.contains("sip:demo@elsewhere")
            || authorization == format!("{good}{good}");
        assert!(
            warning.contains(if missing { "no_credential" } else { "password_wrong" }),
            "{authorization}: {warning}"
        );
        assert!(answer.all("www-authenticate").all(|value| parameter(value, "stale").is_none()));
    }
    // Not a client's proof, but another client's: the token is Anna's.
    let ben = with(User { name: "ben", ..ANNA });
    let (_, answer) = call_back(&daemon, &incoming, &ben);
    assert_eq!(answer.status(), Some(403), "{answer:#?}");
    caller.phone.cancel();
    caller.phone.expect(200);
    caller.phone.expect(487);
    daemon.finish(1);
}

#[test]
fn a_proof_is_good_once_and_a_repetition_of_its_request_gets_the_same_answer() {
    let daemon = daemon();
    let (mut caller, incoming, _client) = told(&daemon, "ben");
    let (_, refusal) = call_back(&daemon, &incoming, "");
    let ben = User { name: "ben", ..ANNA };
    let proof = |refusal: &Message| digest::answer(refusal, "SHA-256", ben, ("INVITE", &incoming.sip), 1);
    let first = proof(&refusal);
    let (_, answer) = call_back(&daemon, &incoming, &first);
    assert!(answer.status() == Some(403) && answer.header("warning").contains("bridge_not_granted"), "{answer:#?}");
    let (_, answer) = call_back(&daemon, &incoming, &first);
    assert!(answer.status() == Some(401) && answer.header("warning").contains("nonce_stale"), "{answer:#?}");
    let fresh = answer.clone();
    assert!(fresh.all("www-authenticate").any(|value| parameter(value, "stale") == Some("true")));
    let (_, answer) = call_back(&daemon, &incoming, &proof(&fresh));
    assert_eq!(answer.status(), Some(403), "the new nonce will do");
    // A token that is wrong: without the answer being kept the repetition would be told that its proof is used up.
    let mut phone = Phone::new(daemon.sip, Wire::Lossy);
    let again = digest::answer(&fresh, "SHA-256", ben, ("INVITE", &incoming.sip), 2);
    phone.invite(&incoming.sip, &format!("X-Bridge-Token: AA\r\n{again}"), &Voice::bind().sdp());
    assert_eq!(phone.final_response().status(), Some(403));
    caller.phone.cancel();
    caller.phone.expect(200);
    caller.phone.expect(487);
    daemon.finish(1);
}
