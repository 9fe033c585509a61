//! Plain telephones, which know nothing of callbacks: they register and are rung, all at once; the first that answers has the call.
//! Not here: other people's telephones (`baresip`), and clients that are told (`registrar`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::digest::{self, User};
use common::story::{NUMBER, Side, assert_hear_each_other, park};
use common::{Daemon, Message, Phone, Setup, Subscriber, Voice, Wire};
use std::time::Duration;

const PASSWORD: &str = "correct-horse-battery-staple-and-forty-letters-more";

/// Telephones of `demo/a`, `demo/b` and `demo/c` are rung by the route; the one of `demo/told` may hear only.
fn daemon(route: &str, users: &[(&str, &str)]) -> Daemon {
    let users = users.iter().map(|(name, more)| {
        format!("[[user]]\nname = \"{name}\"\nsecret = \"{PASSWORD}\"\nreceive = [\"demo/{name}\"]\n{more}\n")
    });
    let tables = format!(
        "[[trunk]]\nname = \"gateway\"\nallow = [\"127.0.0.0/8\"]\n\
         [[route]]\nnumber = \"*\"\nname = \"demo\"\n{route}\n{}",
        users.collect::<String>()
    );
    let set = vec!["sip.pass_headers=X-Account".to_owned()];
    let daemon = Daemon::start_as(&Setup { tables, set, ..Setup::default() });
    daemon.secrets.add(PASSWORD);
    daemon
}

/// What a telephone's user needs to answer.
fn may_answer(name: &str) -> String {
    format!("bridge = [\"demo/{name}\"]")
}

struct Telephone {
    phone: Phone,
    voice: Voice,
    name: String,
}

impl Telephone {
    fn register(daemon: &Daemon, name: &str) -> Telephone {
        let mut phone = Phone::new(daemon.sip, Wire::Plain);
        let (domain, aor) = (format!("sip:{}", daemon.sip), format!("<sip:demo%2F{name}@{}>", daemon.sip));
        let headers = format!("Contact: <sip:{name}@{}>\r\nExpires: 600\r\n", phone.address());
        phone.ask_with(&domain, &aor, "REGISTER", &headers);
        let challenge = phone.final_response();
        let proof = digest::answer(&challenge, "SHA-256", User { name, password: PASSWORD }, ("REGISTER", &domain), 1);
        phone.ask_with(&domain, &aor, "REGISTER", &format!("{headers}{proof}"));
        phone.expect(200);
        Telephone { phone, voice: Voice::bind(), name: name.to_owned() }
    }

    /// It is rung, and says so.
    fn ring(&mut self) -> Message {
        let invite = self.phone.expect_request("INVITE");
        assert!(invite.body.is_empty() && invite.start.contains(&format!("sip:{}@", self.name)), "{invite:#?}");
        self.phone.answer_invite(&invite, &self.name, 180, "");
        invite
    }

    /// It is lifted; what the other side wants its audio to, from the ACK.
    fn lift(&mut self, invite: &Message) -> Message {
        self.phone.answer_invite(invite, &self.name, 200, &self.voice.sdp());
        self.phone.poll_ack().expect("an ACK")
    }

    /// It does not ring but reliably; the INVITE that lets it.
    fn insist(&mut self) -> Message {
        let refused = self.phone.expect_request("INVITE");
        assert_eq!(refused.header("supported"), "timer");
        self.phone.answer_invite_with(&refused, &self.name, 421, "Require: 100rel\r\n", "");
        self.phone.poll_ack().expect("the ACK of a refusal");
        let invite = self.phone.expect_request("INVITE");
        assert_eq!((invite.header("supported"), invite.header("cseq")), ("100rel, timer", "2 INVITE"));
        for name in ["call-id", "from", "to"] {
            assert_eq!(invite.header(name), refused.header(name));
        }
        invite
    }

    /// It rings so that it has to be acknowledged; the PRACK.
    fn ring_reliably(&mut self, invite: &Message, rseq: u32, sdp: &str) -> Message {
        let headers = format!("Require: 100rel\r\nRSeq: {rseq}\r\n");
        self.phone.answer_invite_with(invite, &self.name, 180, &headers, sdp);
        let prack = self.phone.expect_request("PRACK");
        assert_eq!(prack.header("rack"), format!("{rseq} {}", invite.header("cseq")));
        assert!(prack.header("to").ends_with(&format!(";tag={}", self.name)), "{prack:#?}");
        self.phone.answer(&prack, 200, "");
        prack
    }

    /// It has offered something while it rang, and is lifted: it is asked for another offer.
    fn lift_again(&mut self, invite: &Message) -> Message {
        // Many repeat in the 2xx what they offered before; it means nothing there.
        self.phone.answer_invite(invite, &self.name, 200, &self.voice.sdp());
        let ack = self.phone.poll_ack().expect("an ACK");
        assert_eq!(ack.body, "");
        let again = self.phone.expect_request("INVITE");
        assert_eq!((again.body.as_str(), again.header("call-id")), ("", invite.header("call-id")));
        again
    }

    /// It is not wanted any more; the CANCEL.
    fn stop(&mut self, invite: &Message) -> Message {
        let cancel = self.phone.expect_request("CANCEL");
        assert_eq!(cancel.branch(), invite.branch());
        self.phone.answer(&cancel, 200, "");
        self.phone.answer_invite(invite, &self.name, 487, "");
        self.phone.poll_ack().expect("the ACK of a refusal");
        cancel
    }
}

#[test]
fn all_telephones_ring_and_the_first_that_answers_has_the_call() {
    let (a, b) = (may_answer("a"), may_answer("b"));
    let daemon = daemon("ring = \"invite\"", &[("a", &a), ("b", &b)]);
    let mut web = Subscriber::ready(&daemon, "demo/web");
    let (mut one, mut other) = (Telephone::register(&daemon, "a"), Telephone::register(&daemon, "b"));
    let mut caller = Side { phone: Phone::new(daemon.sip, Wire::Plain), voice: Voice::bind() };
    let headers = "x-account : 7; a=b\r\nX-Secret: 1\r\n";
    caller.phone.invite(&format!("sip:{NUMBER}@{}", daemon.sip), headers, &caller.voice.sdp());
    caller.phone.expect(180);
    let incoming = web.incoming();
    let (first, second) = (one.ring(), other.ring());
    assert!(first.header("from").starts_with("\"A phone\" <sip:phone@"), "{first:#?}");
    assert_eq!((first.header("x-account"), first.header("x-secret")), ("7; a=b", ""));
    let ack = one.lift(&first);
    let answer = caller.phone.expect(200);
    caller.voice.talk(answer.audio().unwrap(), 440);
    one.voice.talk(ack.audio().unwrap(), 350);
    let told = other.stop(&second);
    assert_eq!(told.header("reason"), "SIP;cause=200;text=\"Call completed elsewhere\"");
    assert_eq!(web.gone(&incoming.call, "answered_elsewhere").as_deref(), Some("demo/a"));
    let desk = Side { phone: one.phone, voice: one.voice };
    assert_hear_each_other(&caller, &desk);
    let mut desk = desk;
    desk.phone.hang_up();
    caller.phone.be_hung_up_on();
    let record = daemon.finish(1).remove(0);
    assert_eq!((record["outcome"].as_str(), record["winner"].as_str()), (Some("answered"), Some("demo/a")));
    assert_eq!(record["ended_by"], "client");
}

#[test]
fn a_caller_who_gives_up_silences_them_and_one_that_is_lifted_too_late_is_hung_up_on() {
    let (a, b) = (may_answer("a"), may_answer("b"));
    let daemon = daemon("ring = \"invite\"", &[("a", &a), ("b", &b)]);
    let (mut one, mut other) = (Telephone::register(&daemon, "a"), Telephone::register(&daemon, "b"));
    let mut caller = park(&daemon);
    let (first, second) = (one.ring(), other.ring());
    caller.phone.cancel();
    caller.phone.expect(200);
    caller.phone.expect(487);
    let told = one.stop(&first);
    assert_eq!(told.header("reason"), "SIP;cause=487;text=\"Caller hung up\"");
    // Lifted before the CANCEL was heard.
    other.phone.answer_invite(&second, "b", 200, &other.voice.sdp());
    let late = (0..3).filter_map(|_| other.phone.poll_request(Duration::from_secs(2)));
    let bye = late.into_iter().find(|request| request.method() == Some("BYE")).expect("a BYE");
    other.phone.answer(&bye, 200, "");
    assert_eq!(daemon.finish(1)[0]["outcome"], "caller_cancelled");
}

#[test]
fn a_telephone_that_may_not_or_cannot_answer_leaves_the_caller_waiting() {
    let (a, c) = (may_answer("a"), may_answer("c"));
    let daemon = daemon("ring = \"invite\"", &[("a", &a), ("told", ""), ("c", &c)]);
    let mut told = Telephone::register(&daemon, "told");
    let mut busy = Telephone::register(&daemon, "c");
    let mut caller = park(&daemon);
    let invite = busy.ring();
    busy.phone.answer_invite(&invite, "c", 486, "");
    busy.phone.poll_ack().expect("an ACK");
    let invite = told.ring();
    told.phone.answer_invite(&invite, "told", 200, &told.voice.sdp());
    told.phone.be_hung_up_on();
    daemon.wait_for_calls("parked", 1.0);

    // Who registers while a call waits is rung too; a 2xx without an offer is of no use.
    let mut late = Telephone::register(&daemon, "a");
    let invite = late.ring();
    late.phone.answer_invite(&invite, "a", 200, "");
    late.phone.be_hung_up_on();
    daemon.wait_for_calls("parked", 1.0);
    caller.phone.cancel();
    caller.phone.expect(200);
    caller.phone.expect(487);
    daemon.finish(1);
}

#[test]
fn a_telephone_that_declines_ends_the_call_for_all_if_it_may_answer() {
    let a = may_answer("a");
    let daemon = daemon("", &[("a", &format!("{a}\nring = \"invite\"")), ("told", "ring = \"invite\"")]);
    let (mut one, mut told) = (Telephone::register(&daemon, "a"), Telephone::register(&daemon, "told"));
    let mut caller = park(&daemon);
    let invite = told.ring();
    told.phone.answer_invite(&invite, "told", 603, "");
    told.phone.poll_ack().expect("an ACK");
    daemon.wait_for_calls("parked", 1.0);
    let invite = one.ring();
    one.phone.answer_invite(&invite, "a", 603, "");
    one.phone.poll_ack().expect("an ACK");
    caller.phone.expect(603);
    assert_eq!(daemon.finish(1)[0]["outcome"], "declined");
}

/// The numbers of a session in `o=`.
fn session(message: &Message) -> (String, u64) {
    let origin = message.body.lines().find_map(|line| line.strip_prefix("o=")).unwrap();
    let words: Vec<&str> = origin.split(' ').collect();
    (words[1].to_owned(), words[2].parse().unwrap())
}

/// RFC 3262 §5, RFC 3261 §21.4.15.
#[test]
fn a_telephone_that_rings_only_reliably_is_rung_again_and_heard_after_it_was_lifted() {
    let a = may_answer("a");
    let daemon = daemon("ring = \"invite\"", &[("a", &a)]);
    let mut one = Telephone::register(&daemon, "a");
    let mut caller = park(&daemon);
    let invite = one.insist();
    let offer = one.voice.sdp();
    let first = one.ring_reliably(&invite, 7, &offer);
    assert_eq!((first.direction(), first.header("content-type")), ("inactive", "application/sdp"));
    assert!(first.body.contains("m=audio 9 RTP/AVP 0 8 101\r\n"), "{}", first.body);
    let second = one.ring_reliably(&invite, 8, "");
    assert_eq!((second.body.as_str(), second.header("cseq")), ("", "4 PRACK"));
    let again = one.lift_again(&invite);
    assert_eq!(again.header("cseq"), "5 INVITE");
    one.phone.answer(&again, 200, &common::voice::sdp(one.voice.address(), "sendrecv", 2));
    let ack = one.phone.poll_ack().expect("an ACK with our answer");
    let (number, version) = session(&first);
    assert_eq!(session(&ack), (number, version + 1), "one session for the life of the leg");
    let answer = caller.phone.expect(200);
    caller.voice.talk(answer.audio().unwrap(), 440);
    one.voice.talk(ack.audio().unwrap(), 350);
    let mut desk = Side { phone: one.phone, voice: one.voice };
    assert_hear_each_other(&caller, &desk);
    desk.phone.hang_up();
    caller.phone.be_hung_up_on();
    let record = daemon.finish(1).remove(0);
    assert_eq!((record["outcome"].as_str(), record["winner"].as_str()), (Some("answered"), Some("demo/a")));
}

#[test]
fn a_telephone_that_rings_reliably_unasked_and_offers_when_it_is_lifted_is_answered_at_once() {
    let a = may_answer("a");
    let daemon = daemon("ring = \"invite\"", &[("a", &a)]);
    let mut one = Telephone::register(&daemon, "a");
    let mut caller = park(&daemon);
    let invite = one.phone.expect_request("INVITE");
    assert_eq!(one.ring_reliably(&invite, 1, "").body, "");
    let ack = one.lift(&invite);
    let answer = caller.phone.expect(200);
    caller.voice.talk(answer.audio().unwrap(), 440);
    one.voice.talk(ack.audio().unwrap(), 350);
    let mut desk = Side { phone: one.phone, voice: one.voice };
    assert_hear_each_other(&caller, &desk);
    caller.phone.hang_up();
    desk.phone.be_hung_up_on();
    daemon.finish(1);
}

#[test]
fn a_telephone_that_was_lifted_and_offers_nothing_better_leaves_the_caller_waiting() {
    let (a, b) = (may_answer("a"), may_answer("b"));
    let daemon = daemon("ring = \"invite\"", &[("a", &a), ("b", &b)]);
    let mut one = Telephone::register(&daemon, "a");
    let mut caller = park(&daemon);
    let offer = one.voice.sdp();
    let lifted = |one: &mut Telephone, invite: Message| {
        one.ring_reliably(&invite, 1, &offer);
        one.lift_again(&invite)
    };
    let invite = one.insist();
    let again = lifted(&mut one, invite);
    one.phone.answer(&again, 488, "");
    one.phone.poll_ack().expect("the ACK of a refusal");
    one.phone.be_hung_up_on();

    // It hangs up by itself before it has said anything.
    let mut other = Telephone::register(&daemon, "b");
    let invite = other.phone.expect_request("INVITE");
    let again = lifted(&mut other, invite);
    other.phone.request("UPDATE", &offer);
    assert_ne!(other.phone.expect(500).header("retry-after"), "", "not while it is asked itself");
    other.phone.hang_up();
    other.phone.answer(&again, 487, "");
    other.phone.poll_ack().expect("the ACK of a refusal");
    daemon.wait_for_calls("parked", 1.0);

    // The caller gives up meanwhile.
    let mut third = Telephone::register(&daemon, "a");
    let invite = third.phone.expect_request("INVITE");
    let again = lifted(&mut third, invite);
    caller.phone.cancel();
    caller.phone.expect(200);
    caller.phone.expect(487);
    let bye = third.phone.be_hung_up_on();
    assert_eq!(bye.header("reason"), "SIP;cause=487;text=\"Caller hung up\"");
    third.phone.answer(&again, 200, &third.voice.sdp());
    assert_eq!(third.phone.poll_ack().expect("an ACK all the same").body, "");
    assert_eq!(daemon.finish(1)[0]["outcome"], "caller_cancelled");
}

#[test]
fn a_telephone_that_wants_what_there_is_not_is_not_rung_again() {
    let (a, b) = (may_answer("a"), may_answer("b"));
    let daemon = daemon("ring = \"invite\"", &[("a", &a), ("b", &b)]);
    let (mut one, mut other) = (Telephone::register(&daemon, "a"), Telephone::register(&daemon, "b"));
    let mut caller = park(&daemon);
    let invite = one.phone.expect_request("INVITE");
    one.phone.answer_invite_with(&invite, "a", 421, "Require: precondition\r\n", "");
    one.phone.poll_ack().expect("an ACK");
    assert!(one.phone.hears_nothing(Duration::from_millis(300)));
    let again = other.insist();
    other.phone.answer_invite_with(&again, "b", 421, "Require: 100rel\r\n", "");
    other.phone.poll_ack().expect("an ACK");
    assert!(other.phone.hears_nothing(Duration::from_millis(300)));
    daemon.wait_for_calls("parked", 1.0);
    caller.phone.cancel();
    caller.phone.expect(200);
    caller.phone.expect(487);
    daemon.finish(1);
}
