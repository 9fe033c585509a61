//! Provisional responses to INVITEs of ours that want a PRACK (RFC 3262 §4): which of them is in order, and the PRACK, in the early dialog
//! of the branch that has sent it. No repetition of a response is acknowledged by another PRACK: the one that is out repeats itself.
//! Not here: responses of ours (`reliable`), and what is answered to an offer (`call`).
//!
//! ```text
//!  1xx, RSeq ─first of its branch, or one more than the last─▶ Event::Response ─▶ Endpoint::prack
//!        └─the last one again, or a gap─▶ nobody hears of it: what is missing comes again
//! ```
//!
//! A PRACK that is refused or that nobody answers ends nothing here: whoever rings without one gives up by itself after 64*T1 (§3), and who
//! has been lifted meanwhile does not ring any more.

use super::client::{Client, Whose};
use super::out::exact;
use super::{ClientId, DialogId, Endpoint, Held};
use crate::limits;
use crate::sip::dialog::Dialog;
use crate::sip::endpoint::check::RELIABLE;
use crate::sip::wire::{Header, Message, Method, Start};
use crate::time::Now;

/// What an INVITE of ours says to a peer that would not ring otherwise; of itself an INVITE does not say it.
pub const RELIABLY: (&str, &str) = ("Supported", "100rel, timer");

/// The early dialog of a branch that rings reliably.
pub(super) struct Early {
    /// The branch's fingerprint.
    peer: u128,
    /// The latest response in order.
    rseq: u32,
    /// It has no PRACK yet.
    is_due: bool,
    /// The number of our latest request in this dialog.
    cseq: u32,
    /// An offer of its has its answer: nothing that it says before another request is one (RFC 3262 §5).
    is_described: bool,
}

impl Early {
    /// Whether it is this branch's.
    pub(super) fn is_of(&self, peer: u128) -> bool {
        self.peer == peer
    }

    /// The number of our latest request, and whether an offer has its answer.
    pub(super) fn so_far(&self) -> (u32, bool) {
        (self.cseq, self.is_described)
    }
}

/// Whether a response has to be acknowledged: what it requires is of no use without its number, nor without a dialog (§7.1).
pub fn is_reliable(response: &Message<'_>) -> bool {
    rseq(response).is_some()
}

fn rseq(response: &Message<'_>) -> Option<u32> {
    let is_provisional = matches!(response.start(), Start::Response { status: 101..200, .. });
    let is_required = response.lists(Header::Require, RELIABLE) && response.to().tag().is_some();
    response.number(Header::RSeq).and_then(Result::ok).filter(|_| is_provisional && is_required)
}

impl Endpoint {
    /// A provisional response to an INVITE outside of any dialog. Whether it is to be heard of: a reliable one only in its order.
    pub(super) fn is_in_order(&mut self, invite: ClientId, response: &Message<'_>) -> bool {
        let Some(rseq) = rseq(response) else { return true };
        let peer = self.keys.answerer(response);
        let Some(client) = self.clients.get_mut(&invite) else { return true };
        let cseq = client.cseq();
        let Some(dialling) = client.dialling.as_mut() else { return true };
        let is_full = dialling.early.len() >= limits::SIP_FORKS_MAX;
        let is_next = match dialling.early.iter_mut().find(|early| early.peer == peer) {
            // §4: exactly one more; what is further on waits for what is missing.
            Some(early) if early.rseq.checked_add(1) == Some(rseq) => {
                (early.rseq, early.is_due) = (rseq, true);
                true
            }
            // Again, and there was no room for its PRACK the first time.
            Some(early) => early.rseq == rseq && early.is_due,
            None if is_full => false,
            None => {
                dialling.early.push(Early { peer, rseq, is_due: true, cseq, is_described: false });
                true
            }
        };
        if !is_next {
            self.stats.repeats_received += 1;
        }
        is_next
    }

    /// Whether the peer of a dialog that our INVITE made has had its answer to an offer before it was lifted: there is none in its 2xx.
    pub fn is_described(&self, dialog: DialogId) -> bool {
        self.dialogs.get(&dialog).is_some_and(|held| held.is_described)
    }

    /// Acknowledges a reliable response to an INVITE outside of any dialog, the newest of its branch. `answer`: to the offer in it, if it is
    /// the first that the branch has described; Content-Type and body. `false`: there is nothing to acknowledge, or no room for it.
    pub fn prack(&mut self, now: Now, invite: ClientId, response: &Message<'_>, answer: Option<(&str, &[u8])>) -> bool {
        let (peer, is_full) = (self.keys.answerer(response), self.is_full());
        let Some(client) = self.clients.get_mut(&invite).filter(|client| client.is_pending()) else { return false };
        let (whose, path, number) = (client.whose(), client.way.path, client.cseq());
        let (Whose::Leg { owner, dialog }, Some(dialling)) = (whose, client.dialling.as_mut()) else { return false };
        let early = dialling.early.iter_mut().find(|early| early.peer == peer && early.is_due);
        let Some(early) = early.filter(|early| early.cseq < number + limits::SIP_PRACKS_MAX) else { return false };
        if is_full {
            self.stats.full += 1;
            return false;
        }
        let answer = answer.filter(|_| !early.is_described);
        early.is_due = false;
        early.is_described |= answer.is_some();
        early.cseq += 1;
        let (rseq, cseq) = (early.rseq, early.cseq);
        // A dialog for as long as it takes to write a request in it: the INVITE's other branches have dialogs of their own.
        let passing = DialogId::from_chance(self.rng.u64());
        let made = Dialog::answered(owner, exact(response.bytes()), peer, path, cseq);
        let mut held = Held::new(made);
        held.session = self.session_of(dialog, response);
        self.dialogs.insert(passing, Box::new(held));
        let id = self.new_branch();
        let rack = format!("{rseq} {number} INVITE");
        let written = self.write_request(passing, id, Method::Prack, cseq, &[("RAck", &rack)], answer);
        self.dialogs.remove(&passing);
        let Some((ways, bytes)) = written else { return false };
        let mut client = Client::new(Whose::Leg { owner, dialog: passing }, Method::Prack, ways, &bytes, cseq);
        client.silence();
        self.clients.insert(id, Box::new(client));
        self.start_client(now, id);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Heard, OWNER, answer, header, summary};
    use super::super::dial::tests::{Dialled, INVITATION, dial};
    use super::super::{Event, Invitation};
    use super::*;

    const SDP: (&str, &[u8]) = ("application/sdp", b"v=0");

    impl Dialled {
        /// A reliable response of a branch; acknowledged, if anybody hears of it, with that answer.
        fn ring(&mut self, tag: &str, rseq: u32, answer: Option<(&str, &[u8])>) -> bool {
            self.ring_by(tag, &format!("Require: 100rel\r\nRSeq: {rseq}\r\n"), answer)
        }

        fn ring_by(&mut self, tag: &str, headers: &str, answer: Option<(&str, &[u8])>) -> bool {
            let text = self.answer(183, tag, headers);
            let event = self.bench.endpoint.handle_datagram(self.bench.now, self.bench.path, text.as_bytes());
            let Some(Event::Response { transaction, message, .. }) = event else { return false };
            assert_eq!(transaction, self.id);
            self.bench.endpoint.prack(self.bench.now, transaction, &message, answer)
        }

        /// What was sent: each PRACK's RAck and CSeq.
        fn pracks(&mut self) -> Vec<(String, String)> {
            let sent = self.bench.sent();
            let words = |text: &String| (header(text, "RAck").to_owned(), header(text, "CSeq").to_owned());
            sent.iter().inspect(|text| assert_eq!(summary(text), "PRACK")).map(words).collect()
        }
    }

    fn words(rack: &str, cseq: &str) -> Vec<(String, String)> {
        vec![(rack.into(), cseq.into())]
    }

    #[test]
    fn a_reliable_response_gets_a_prack_in_the_early_dialog_by_its_route() {
        let mut dialled = dial();
        let route = "Record-Route: <sip:p2.example;lr>, <sip:192.0.2.1:5071;lr>\r\nRequire: 100rel\r\nRSeq: 988\r\n";
        assert!(dialled.ring_by("a", route, None));
        let prack = dialled.bench.sent().pop().unwrap();
        assert!(prack.starts_with("PRACK sip:anna@192.0.2.1:5071 SIP/2.0\r\n"), "{prack}");
        for (name, value) in [
            ("RAck", "988 1 INVITE"),
            ("CSeq", "2 PRACK"),
            ("To", "<sip:anna@sip.example>;tag=a"),
            ("From", header(&dialled.invite, "From")),
            ("Call-ID", header(&dialled.invite, "Call-ID")),
            // RFC 3261 §12.1.2: in the reverse order.
            ("Route", "<sip:192.0.2.1:5071;lr>, <sip:p2.example;lr>"),
            ("Content-Length", "0"),
        ] {
            assert_eq!(header(&prack, name), value, "{name}");
        }
        dialled.bench.pass(500);
        assert_eq!(dialled.bench.sent(), std::slice::from_ref(&prack), "Timer E");
        assert_eq!(dialled.bench.hear(&answer(&prack, 200, "")), None);
        assert_eq!((dialled.bench.pass(3_000), dialled.bench.said()), (vec![], vec![]));
    }

    /// RFC 3262 §4.
    #[test]
    fn each_response_gets_one_prack_in_its_order_and_one_after_a_gap_none() {
        let mut dialled = dial();
        for (rseq, expected) in [
            (7, words("7 1 INVITE", "2 PRACK")),
            (7, vec![]),
            (9, vec![]),
            (6, vec![]),
            (8, words("8 1 INVITE", "3 PRACK")),
            (8, vec![]),
            (9, words("9 1 INVITE", "4 PRACK")),
        ] {
            assert_eq!(dialled.ring("a", rseq, None), !expected.is_empty(), "{rseq}");
            assert_eq!(dialled.pracks(), expected, "{rseq}");
        }
    }

    #[test]
    fn what_does_not_say_all_that_a_reliable_response_does_is_an_ordinary_one() {
        for (tag, headers) in [
            ("a", "RSeq: 1\r\n"),
            ("a", "Require: 100rel\r\n"),
            ("a", "Require: 100rel\r\nRSeq: x\r\n"),
            ("a", "Require: 100rel\r\nRSeq: 4294967296\r\n"),
            ("", "Require: 100rel\r\nRSeq: 1\r\n"),
        ] {
            let mut dialled = dial();
            let text = dialled.answer(180, tag, headers);
            for _ in 0..2 {
                assert_eq!(dialled.bench.hear(&text), Some(Heard::Response(dialled.id, 180)), "{headers}");
            }
            assert!(!dialled.ring_by(tag, headers, None), "{headers}");
            assert_eq!(dialled.bench.said(), [""; 0]);
        }
        let mut dialled = dial();
        let trying = dialled.answer(100, "a", "Require: 100rel\r\nRSeq: 1\r\n");
        assert_eq!(dialled.bench.hear(&trying), None);
        assert!(dialled.ring("a", 5, None), "the 100 had no number");
    }

    #[test]
    fn each_branch_has_its_own_order_and_numbers_and_no_more_than_some_are_told_apart() {
        let mut dialled = dial();
        assert!(dialled.ring("a", 7, None) && dialled.ring("b", 100, None) && dialled.ring("a", 8, None));
        let sent = dialled.bench.sent();
        let seen = |text: &String| (header(text, "To").to_owned(), header(text, "RAck").to_owned());
        let branch = |tag: &str| format!("<sip:anna@sip.example>;tag={tag}");
        assert_eq!(
            sent.iter().map(seen).collect::<Vec<_>>(),
            [
                (branch("a"), "7 1 INVITE".into()),
                (branch("b"), "100 1 INVITE".into()),
                (branch("a"), "8 1 INVITE".into())
            ]
        );
        assert_eq!(sent.iter().map(|text| header(text, "CSeq")).collect::<Vec<_>>(), ["2 PRACK", "2 PRACK", "3 PRACK"]);
        let others = (2..limits::SIP_FORKS_MAX).all(|fork| dialled.ring(&format!("f{fork}"), 1, None));
        assert!(others && !dialled.ring("one-too-many", 1, None));
    }

    #[test]
    fn whoever_only_counts_up_gets_so_many_pracks_and_no_more() {
        let mut dialled = dial();
        let acknowledged = (1..=limits::SIP_PRACKS_MAX + 3).filter(|rseq| dialled.ring("a", *rseq, None)).count();
        assert_eq!(acknowledged, usize::try_from(limits::SIP_PRACKS_MAX).unwrap());
        let mut last = dial();
        assert!(last.ring("a", u32::MAX, None) && !last.ring("a", 0, None), "RSeq never wraps");
    }

    #[test]
    fn an_offer_is_answered_once_and_the_2xx_of_its_branch_has_none() {
        let mut dialled = dial();
        assert!(dialled.ring("a", 1, Some(SDP)) && dialled.ring("a", 2, Some(SDP)) && dialled.ring("b", 1, None));
        let bodies: Vec<bool> = dialled.bench.sent().iter().map(|text| text.ends_with("\r\n\r\nv=0")).collect();
        assert_eq!(bodies, [true, false, false]);
        let Dialled { bench, id, dialog, invite } = dialled;
        let mut dialled = Dialled { bench, id, dialog, invite };
        assert!(!dialled.bench.endpoint.is_described(dialog));
        assert_eq!(dialled.hear(200, "a"), Some(Heard::Response(id, 200)));
        assert!(dialled.bench.endpoint.is_described(dialog));
        let mut other = dial();
        assert!(other.ring("a", 1, Some(SDP)));
        assert_eq!(other.hear(200, "b"), Some(Heard::Response(other.id, 200)));
        assert!(!other.bench.endpoint.is_described(other.dialog), "that was another branch");
    }

    #[test]
    fn requests_after_the_2xx_come_after_the_pracks_and_the_ack_has_the_number_of_the_invite() {
        let mut dialled = dial();
        assert!(dialled.ring("a", 1, None) && dialled.ring("a", 2, None));
        // The 2xx has overtaken the answers to both.
        assert_eq!(dialled.hear(200, "a"), Some(Heard::Response(dialled.id, 200)));
        dialled.bench.sent();
        let (now, dialog, id) = (dialled.bench.now, dialled.dialog, dialled.id);
        assert!(dialled.bench.endpoint.acknowledge(now, dialog, id, None));
        dialled.bench.endpoint.request(now, dialog, Method::Bye, &[], None).unwrap();
        let sent = dialled.bench.sent();
        assert_eq!(sent.iter().map(|text| header(text, "CSeq")).collect::<Vec<_>>(), ["1 ACK", "4 BYE"]);
        assert!(!dialled.ring("a", 3, None), "who was lifted does not ring");
    }

    #[test]
    fn a_prack_that_is_refused_or_never_answered_ends_nothing() {
        for status in [Some(481), Some(500), Some(401), None] {
            let mut dialled = dial();
            assert!(dialled.ring("a", 1, None));
            let prack = dialled.bench.sent().pop().unwrap();
            match status {
                Some(status) => assert_eq!(dialled.bench.hear(&answer(&prack, status, "")), None),
                None => assert_eq!(dialled.bench.pass(33_000), [], "Timer F"),
            }
            dialled.bench.sent();
            assert!(dialled.ring("a", 2, None), "{status:?}");
            dialled.bench.sent();
            assert_eq!(dialled.hear(504, "a"), Some(Heard::Response(dialled.id, 504)), "it gives up by itself");
            assert_eq!(dialled.bench.said(), ["ACK"]);
            assert_eq!(dialled.bench.run_out(), []);
            dialled.bench.assert_empty();
        }
    }

    #[test]
    fn who_is_not_wanted_any_more_is_cancelled_and_hung_up_on_after_its_pracks() {
        let mut dialled = dial();
        assert!(dialled.ring("a", 1, None));
        dialled.bench.sent();
        dialled.bench.endpoint.cancel(dialled.bench.now, dialled.id, None);
        assert_eq!(dialled.bench.said(), ["CANCEL"]);
        assert!(!dialled.ring("a", 2, None));
        assert_eq!(dialled.hear(200, "a"), None, "it has crossed the CANCEL");
        let sent = dialled.bench.sent();
        assert_eq!(sent.iter().map(|text| header(text, "CSeq")).collect::<Vec<_>>(), ["1 ACK", "3 BYE"]);
        dialled.bench.run_out();
        dialled.bench.assert_empty();
    }

    /// RFC 3261 §8.1.3.5.
    #[test]
    fn an_invite_that_was_refused_goes_once_more_in_the_same_name_with_the_next_number() {
        let mut dialled = dial();
        let text = dialled.answer(421, "a", "Require: 100rel\r\n");
        let now = dialled.bench.now;
        let path = dialled.bench.path;
        let event = dialled.bench.endpoint.handle_datagram(now, path, text.as_bytes());
        let Some(Event::Response { message, .. }) = event else { panic!("it is no news") };
        let reliably = Invitation { headers: &[RELIABLY], ..INVITATION };
        let again = dialled.bench.endpoint.invite_again(now, path, OWNER, &reliably, &message);
        let (id, dialog) = again.unwrap();
        let sent = dialled.bench.sent();
        assert_eq!(sent.iter().map(|text| summary(text)).collect::<Vec<_>>(), ["ACK", "INVITE"]);
        for (name, value) in [("CSeq", "2 INVITE"), ("Supported", "100rel, timer"), ("To", "<sip:anna@sip.example>")] {
            assert_eq!(header(&sent[1], name), value);
        }
        for name in ["From", "Call-ID", "Contact"] {
            assert_eq!(header(&sent[1], name), header(&dialled.invite, name), "{name}");
        }
        assert_ne!(header(&sent[1], "Via"), header(&dialled.invite, "Via"));
        assert_eq!((dialog == dialled.dialog, id == dialled.id), (true, false));
        let Dialled { bench, .. } = dialled;
        let mut again = Dialled { bench, id, dialog, invite: sent[1].clone() };
        assert!(again.ring("a", 1, None));
        assert_eq!(again.pracks(), words("1 2 INVITE", "3 PRACK"));
        assert_eq!(again.hear(200, "a"), Some(Heard::Response(id, 200)));
        // It is a dialog now: whoever refused it late does not get a third.
        let refusal = Message::parse(text.as_bytes()).unwrap();
        assert!(again.bench.endpoint.invite_again(now, path, OWNER, &reliably, &refusal).is_none());
    }
}
