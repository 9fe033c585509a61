//! Messages in virtual time: who may write what to whom, what clients over SIP and trunks get, and what senders hear of it.
//! Not here: the same over real sockets (`tests/messages.rs`), and channels over HTTP (`notify`, `http`).

use super::tests::{NOW, SECRET, switch};
use super::*;
use crate::call::Notice;
use crate::id::LetterId;
use crate::letter::{Failure, Letter, Sender, State};
use crate::limits;
use crate::name::Name;
use crate::policy::{Addressee, Algorithm, Grant, Order, SigningKey, mint};
use crate::secret::Secret;
use crate::sip::Transport;
use crate::sip::auth::Credentials;
use crate::sip::target::{Carrier, Target};
use crate::time::{Duration, Wall};
use crate::token::SubjectHash;
use crate::trunk::{Outbound, Registered};

const TRUNK: &str = "192.0.2.7:5060";
const CLIENT: &str = "198.51.100.7:5060";
const US: &str = "192.0.2.1:5060";

/// A switch, and all that it said.
struct Desk {
    switch: Switch,
    now: Now,
    requests: u32,
    /// What went out, to whom.
    sent: Vec<(Path, String)>,
    /// What senders hear.
    states: Vec<State>,
    letters: Vec<std::sync::Arc<Letter>>,
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// Ann may hear of `demo` and `ann`, and write to `demo` and to numbers that begin with +49.
fn jwt() -> String {
    let message = ["demo", "+49*"].map(|text| Addressee::parse(text).unwrap()).to_vec();
    let grant = Grant { receive: vec![name("demo"), name("ann")], message, ..Grant::default() };
    let expires = NOW.wall + Duration::from_secs(100_000);
    let order = Order { subject: "anna", audience: "parkway", issued: Wall(0), expires, not_before: None, grant };
    format!(
        "Authorization: Bearer {}\r\n",
        mint(&SigningKey::new(Algorithm::Hs256, &SECRET, Some("k")).unwrap(), &order).unwrap()
    )
}

impl Desk {
    fn new() -> Desk {
        Desk::with(switch())
    }

    fn with(switch: Switch) -> Desk {
        let mut desk =
            Desk { switch, now: NOW, requests: 0, sent: Vec::new(), states: Vec::new(), letters: Vec::new() };
        desk.pass(0);
        desk
    }

    /// A desk whose trunk takes messages at these targets.
    fn to_trunk(targets: &[&str], register: Option<Arc<Registered>>) -> Desk {
        let targets = targets.iter().map(|target| Target::parse(target).unwrap()).collect();
        let outbound = Outbound { name: "out".into(), targets, health: None, register, messages: true };
        let local = US.parse().unwrap();
        let listeners = vec![(Carrier::Udp, local), (Carrier::Tcp, local)];
        let trunks = Trunks::new(&[Arc::new(outbound)], listeners, &mut Rng::from_seed([4; 32]));
        Desk::with(switch().with_trunks(trunks))
    }

    fn input(&mut self, input: Input<'_>) {
        self.switch.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.switch.poll_effect() {
            match effect {
                Effect::Transmit(sent) => {
                    self.sent.push((sent.path, String::from_utf8(sent.bytes.to_vec()).unwrap()));
                }
                Effect::Notify(Notice::Letter(letter)) => self.letters.push(letter),
                Effect::Notify(Notice::Changed(change)) => self.states.push(change.state),
                Effect::Reachable { .. } | Effect::Device(_) => {}
                Effect::Notify(_) | Effect::Media(_) | Effect::Ask { .. } | Effect::Record(_) | Effect::Locate(_) => {}
            }
        }
    }

    fn hear(&mut self, peer: &str, text: &str) {
        let path = Path { transport: Transport::Udp, local: US.parse().unwrap(), peer: peer.parse().unwrap() };
        self.input(Input::Datagram { path, bytes: text.as_bytes() });
    }

    /// Time passes, each timer at its time.
    fn pass(&mut self, seconds: u64) {
        let until = self.now.at + Duration::from_secs(seconds);
        loop {
            let due = self.switch.poll_timeout().map_or(until, |due| due.min(until)).max(self.now.at);
            let by = due - self.now.at;
            self.now = Now { at: self.now.at + by, wall: self.now.wall + by };
            self.switch.handle_timeout(self.now);
            self.drain();
            if due == until && self.switch.poll_timeout().is_none_or(|due| due > until) {
                return;
            }
        }
    }

    /// A request from somebody.
    fn say(&mut self, peer: &str, method: &str, to: &str, (headers, body): (&str, &str)) {
        self.requests += 1;
        let count = self.requests;
        let text = format!(
            "{method} sip:{to}@x SIP/2.0\r\nVia: SIP/2.0/UDP {peer};branch=z9hG4bK{count}\r\nFrom: <sip:ann@y>;tag=1\r\n\
             To: <sip:{to}@x>\r\nCall-ID: c{count}\r\nCSeq: {count} {method}\r\nContact: <sip:ann@{peer}>\r\n{headers}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.hear(peer, &text);
    }

    /// A text from somebody; the status that it gets.
    fn write(&mut self, peer: &str, to: &str, headers: &str, body: &str) -> String {
        self.sent.clear();
        self.say(peer, "MESSAGE", to, (&format!("{headers}Content-Type: text/plain;charset=UTF-8\r\n"), body));
        self.sent[0].1[8..11].to_owned()
    }

    /// The MESSAGE that went out last.
    fn message(&self) -> String {
        let found = self.sent.iter().rev().find(|(_, text)| text.starts_with("MESSAGE"));
        found.map(|(_, text)| text.clone()).unwrap_or_default()
    }

    /// It is answered.
    fn answer(&mut self, status: u16, headers: &str) {
        let (path, request) = self.sent.iter().rev().find(|(_, text)| text.starts_with("MESSAGE")).cloned().unwrap();
        let field = |name: &str| request.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].map(field).join("\r\n");
        self.sent.clear();
        let text = format!("SIP/2.0 {status} x\r\n{kept}\r\n{headers}Content-Length: 0\r\n\r\n");
        self.input(Input::Datagram { path, bytes: text.as_bytes() });
    }

    /// A client on a channel writes.
    fn post(&mut self, id: u128, to: &str, text: &str) {
        let (sender, name) = (Sender::Client(SubjectHash::of("anna")), name(to));
        let letter = Letter {
            id: LetterId(id),
            name,
            from: "ann".into(),
            sender,
            text: text.into(),
            at: NOW.wall,
            leaves: false,
        };
        self.input(Input::Client(FromClient::Letter(Box::new(letter))));
    }

    fn counted(&self, state: &str) -> u64 {
        self.switch.stats().messages.0.get(state).copied().unwrap_or(0)
    }
}

fn header<'t>(text: &'t str, name: &str) -> &'t str {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
}

#[test]
fn a_trunks_message_reaches_telephones_of_its_name_as_text_and_their_answer_is_its_state() {
    let mut desk = Desk::new();
    desk.say(CLIENT, "REGISTER", "demo", (&jwt(), ""));
    assert_eq!(desk.write(TRUNK, "4930", "", "hello\nthere"), "202");
    let message = desk.message();
    assert!(message.starts_with("MESSAGE sip:ann@198.51.100.7:5060 SIP/2.0\r\n"), "{message}");
    assert!(header(&message, "From").starts_with("<sip:ann@y>;tag="), "whom the answer goes to: {message}");
    assert_eq!(header(&message, "Content-Type"), "text/plain");
    assert!(message.ends_with("\r\n\r\nhello\nthere"), "{message}");
    assert_eq!((&*desk.letters[0].from, desk.letters[0].name.as_str()), ("sip:ann@y", "demo"));
    desk.answer(200, "");
    assert_eq!(desk.states, [State::Delivered]);
    // A telephone that has no use for text gets the next one all the same.
    desk.write(TRUNK, "4930", "", "second");
    desk.answer(415, "Accept: text/plain\r\n");
    assert_eq!((desk.message(), desk.states.len()), (String::new(), 1));
}

#[test]
fn a_subscriber_gets_the_document_in_its_dialog() {
    let mut desk = Desk::new();
    desk.say(CLIENT, "SUBSCRIBE", "demo", (&format!("Event: parkway-call\r\n{}", jwt()), ""));
    let notify = desk.sent.iter().rfind(|(_, text)| text.starts_with("NOTIFY")).cloned().unwrap();
    let field = |name: &str| notify.1.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].map(field).join("\r\n");
    desk.hear(CLIENT, &format!("SIP/2.0 200 OK\r\n{kept}\r\nContent-Length: 0\r\n\r\n"));
    desk.write(TRUNK, "4930", "", "hello");
    let (_, notify) = desk.sent.last().unwrap();
    assert!(notify.starts_with("NOTIFY ") && notify.contains("\"type\":\"message\""), "{notify}");
    assert!(notify.contains("\"text\":\"hello\"") && header(notify, "Content-Type") == "application/json", "{notify}");
}

#[test]
fn what_cannot_be_taken_of_a_trunk_is_refused_with_its_status() {
    let long = "x".repeat(limits::MESSAGE_TEXT_BYTES_MAX + 1);
    let plain = "Content-Type: text/plain\r\n";
    for (headers, body, expected, header_name) in [
        (plain.to_owned(), "hi", "202", ""),
        ("c: TEXT/plain ; charset=\"us-ascii\"\r\n".to_owned(), "hi", "202", ""),
        (plain.to_owned(), &long[1..], "202", ""),
        (plain.to_owned(), &long, "413", "Warning"),
        (plain.to_owned(), "", "400", "Warning"),
        (String::new(), "hi", "415", "Accept"),
        ("Content-Type: application/im-iscomposing+xml\r\n".to_owned(), "<x/>", "415", "Accept"),
        ("Content-Type: text/plain;charset=latin1\r\n".to_owned(), "hi", "415", "Accept"),
        (format!("{plain}Content-Encoding: gzip\r\n"), "hi", "415", "Accept-Encoding"),
    ] {
        let mut desk = Desk::new();
        desk.say(TRUNK, "MESSAGE", "4930", (&headers, body));
        let answer = &desk.sent[0].1;
        assert_eq!(&answer[8..11], expected, "{headers} {body:.20}");
        assert!(header_name.is_empty() || !header(answer, header_name).is_empty(), "{answer}");
        assert_eq!(
            (desk.counted("accepted"), desk.counted("refused")),
            if expected == "202" { (1, 0) } else { (0, 1) }
        );
    }
    let mut desk = Desk::new();
    let head = format!(
        "MESSAGE sip:1@x SIP/2.0\r\nVia: SIP/2.0/UDP {TRUNK};branch=z9hG4bKu\r\nFrom: <sip:a@y>;tag=1\r\nTo: <sip:1@x>\r\n\
         Call-ID: u\r\nCSeq: 1 MESSAGE\r\n{plain}Content-Length: 2\r\n\r\n"
    );
    let path = Path { transport: Transport::Udp, local: US.parse().unwrap(), peer: TRUNK.parse().unwrap() };
    desk.input(Input::Datagram { path, bytes: &[head.as_bytes(), &[0xff, 0xfe]].concat() });
    assert_eq!(&desk.sent[0].1[8..11], "488");
    desk.input(Input::Drain);
    assert_eq!(desk.write(TRUNK, "4930", "", "hi"), "503");
}

#[test]
fn a_client_writes_to_whom_it_may_under_a_name_of_its_own() {
    let mut desk = Desk::new();
    assert_eq!(desk.write(CLIENT, "demo", &jwt(), "hi"), "202");
    assert_eq!(&*desk.letters[0].from, "ann", "it may be reached under the name in From");
    assert_eq!(desk.write(CLIENT, "other", &jwt(), "hi"), "403");
    assert_eq!(
        header(&desk.sent[0].1, "Warning").split('"').nth(1).unwrap().split(':').next(),
        Some("message_not_granted")
    );
    assert_eq!(desk.write(CLIENT, "no%20name", &jwt(), "hi"), "404");
    assert_eq!(desk.write(TRUNK, "other", &jwt(), "hi"), "403", "who says who he is, is he, and no trunk");
    let text = "MESSAGE sip:demo@x SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKo\r\nFrom: <sip:boss@y>;tag=1\r\n\
                To: <sip:demo@x>\r\nCall-ID: o\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\n";
    desk.hear(CLIENT, &format!("{text}{}Content-Length: 2\r\n\r\nhi", jwt()));
    assert_eq!(&*desk.letters[1].from, "anna", "no name of its own: readers see who it is");
}

/// RELIABILITY A19.
#[test]
fn a_stranger_is_asked_who_he_is_in_no_more_bytes_than_he_sent() {
    let mut desk = Desk::new();
    assert_eq!(desk.write(CLIENT, "demo", &format!("X-Padding: {}\r\n", "x".repeat(200)), "hi"), "401");
    assert!(header(&desk.sent[0].1, "WWW-Authenticate").starts_with("Bearer"), "{}", desk.sent[0].1);
    assert_eq!((desk.letters.len(), desk.counted("refused")), (0, 0), "nothing is kept");
}

#[test]
fn a_request_that_comes_twice_is_one_message() {
    let mut desk = Desk::new();
    assert_eq!(desk.write(TRUNK, "4930", "", "hi"), "202");
    desk.requests -= 1;
    assert_eq!(desk.write(TRUNK, "4930", "", "hi"), "202");
    desk.post(7, "demo", "hi");
    desk.post(7, "demo", "hi again");
    assert_eq!(desk.letters.len(), 2);
}

#[test]
fn a_message_waits_for_who_registers_and_is_given_up_after_an_hour_and_forgotten_after_two() {
    let mut desk = Desk::new();
    desk.post(1, "demo", "early");
    desk.pass(1);
    desk.post(2, "ann", "other name");
    desk.pass(1800);
    desk.say(CLIENT, "REGISTER", "demo", (&jwt(), ""));
    assert!(desk.message().ends_with("\r\n\r\nearly"), "{}", desk.message());
    desk.answer(202, "");
    assert_eq!(desk.states, [State::Sent], "RFC 3428 §7: a gateway has it");
    desk.pass(1900);
    assert_eq!(desk.states, [State::Sent, State::Failed(Failure::Nobody)], "one that was taken is not given up");
    assert_eq!(desk.switch.mail.letters.len(), 2);
    desk.pass(3600);
    assert_eq!(desk.switch.mail.letters.len(), 0);
    assert_eq!(desk.switch.mail.poll_timeout(), None);
}

#[test]
fn clients_words_move_a_state_on_and_never_back() {
    let mut desk = Desk::new();
    desk.post(1, "demo", "hi");
    for state in [State::Sent, State::Read, State::Delivered, State::Sent] {
        desk.input(Input::Client(FromClient::Receipt { letter: LetterId(1), state }));
    }
    desk.input(Input::Client(FromClient::Receipt { letter: LetterId(2), state: State::Read }));
    assert_eq!(desk.states, [State::Sent, State::Read]);
}

/// RFC 3428 §8.
#[test]
fn a_text_that_is_too_long_for_a_datagram_is_not_sent_as_one() {
    let long = "x".repeat(limits::MESSAGE_DATAGRAM_TEXT_BYTES_MAX + 1);
    let mut desk = Desk::new();
    desk.say(CLIENT, "REGISTER", "demo", (&jwt(), ""));
    desk.sent.clear();
    desk.post(1, "demo", &long);
    assert_eq!((desk.message(), desk.states.len()), (String::new(), 0), "it waits for another client");
    desk.post(2, "demo", &long[1..]);
    assert!(desk.message().len() <= limits::SIP_DATAGRAM_BYTES_MAX, "{}", desk.message().len());
    let mut desk = Desk::to_trunk(&["203.0.113.1"], None);
    desk.post(1, "+4930", &long);
    assert_eq!((desk.message(), &desk.states[..]), (String::new(), &[State::Failed(Failure::TooLarge)][..]));
    let mut desk = Desk::to_trunk(&["203.0.113.1", "sip:203.0.113.2;transport=tcp"], None);
    desk.post(1, "+4930", &long);
    assert!(
        desk.message().starts_with("MESSAGE sip:+4930@203.0.113.2;transport=tcp SIP/2.0\r\n"),
        "{}",
        desk.message()
    );
}

#[test]
fn a_message_to_a_number_goes_by_a_trunk_whose_answer_is_its_state() {
    for (status, expected) in [
        (200, State::Delivered),
        (202, State::Sent),
        (404, State::Failed(Failure::Refused(404))),
        (486, State::Failed(Failure::Refused(486))),
        (401, State::Failed(Failure::Refused(401))),
    ] {
        let mut desk = Desk::to_trunk(&["203.0.113.1:5070"], None);
        assert_eq!(desk.write(CLIENT, "%2B4930", &jwt(), "hi"), "202");
        let message = desk.message();
        assert!(message.starts_with("MESSAGE sip:+4930@203.0.113.1:5070 SIP/2.0\r\n"), "{message}");
        assert!(header(&message, "From").starts_with("<sip:ann@"), "{message}");
        desk.answer(status, "");
        assert_eq!((desk.states.clone(), desk.switch.outgoing.len()), (vec![expected], 0));
    }
    let mut desk = Desk::new();
    desk.write(CLIENT, "%2B4930", &jwt(), "hi");
    assert!(!desk.letters[0].leaves, "where no trunk takes any, a number is a name");
}

#[test]
fn a_trunk_that_does_not_answer_is_followed_by_the_next_target() {
    for failure in [Some(503), Some(500), None] {
        let mut desk = Desk::to_trunk(&["203.0.113.1", "203.0.113.2"], None);
        desk.post(1, "+4930", "hi");
        let fail = |desk: &mut Desk| match failure {
            Some(status) => desk.answer(status, ""),
            None => desk.pass(33),
        };
        let call_id = header(&desk.message(), "Call-ID").to_owned();
        fail(&mut desk);
        let message = desk.message();
        assert!(message.starts_with("MESSAGE sip:+4930@203.0.113.2 SIP/2.0\r\n"), "{message}");
        assert_eq!(header(&message, "Call-ID"), call_id);
        assert_eq!(desk.states, []);
        fail(&mut desk);
        let expected = failure.map_or(Failure::NoTrunk, Failure::Refused);
        assert_eq!((desk.states.clone(), desk.switch.outgoing.len()), (vec![State::Failed(expected)], 0));
    }
}

#[test]
fn a_trunk_that_knows_us_gets_our_account_and_its_proof_once() {
    let password = Secret::new("secret".to_owned());
    let credentials = Some(Credentials { username: "us".into(), realm: Some("carrier.example".into()), password });
    let registered = Registered {
        uri: "sip:us@carrier.example".into(),
        user: "us".into(),
        registrar: "sip:carrier.example".into(),
        credentials,
        life: Duration::from_secs(600),
    };
    let challenge =
        "WWW-Authenticate: Digest realm=\"carrier.example\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"\r\n";
    let mut desk = Desk::to_trunk(&["203.0.113.1"], Some(Arc::new(registered)));
    desk.post(1, "+4930", "hi");
    assert!(header(&desk.message(), "From").starts_with("<sip:us@carrier.example>;tag="), "{}", desk.message());
    desk.answer(401, challenge);
    let message = desk.message();
    assert!(header(&message, "Authorization").contains("uri=\"sip:+4930@203.0.113.1\""), "{message}");
    assert_eq!(header(&message, "CSeq"), "2 MESSAGE");
    desk.answer(401, challenge);
    assert_eq!((desk.message(), desk.states.clone()), (String::new(), vec![State::Failed(Failure::Refused(401))]));
}

#[test]
fn a_name_that_nobody_reads_has_room_for_so_many() {
    let mut desk = Desk::new();
    for _ in 0..limits::MESSAGES_PER_NAME_MAX {
        assert_eq!(desk.write(TRUNK, "4930", "", "hi"), "202");
    }
    assert_eq!(desk.write(TRUNK, "4930", "", "hi"), "503");
    assert!(!header(&desk.sent[0].1, "Retry-After").is_empty());
    assert_eq!(desk.write(TRUNK, "4930", "", "hi"), "503");
}
