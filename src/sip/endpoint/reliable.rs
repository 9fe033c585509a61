//! Reliable provisional responses (RFC 3262 §3): a ringing that is repeated until its PRACK, and the PRACK.
//! Not here: whether a caller wants that (`call`). No answer of ours to an INVITE waits for a PRACK: nothing is offered or answered
//! before the 2xx.
//!
//! ```text
//!  ring ─▶ Waiting: T1, doubling ─PRACK─▶ Acknowledged ─ring─▶ Waiting, RSeq + 1 ─▶ …
//!                   └─64*T1─▶ ProvisionalUnacknowledged: the call refuses its INVITE
//! ```

use super::{DialogId, Due, Endpoint, Notice, Reply, ServerId};
use crate::mutant::{Mutant, planted};
use crate::sip::endpoint::check::{ALLOW, RELIABLE};
use crate::sip::transaction::timer::{Alarm, Repeat, T1_64};
use crate::sip::transaction::{Send, Todo};
use crate::sip::wire::{Message, Method};
use crate::time::{Instant, Now};

/// The latest reliable response in an early dialog.
pub(super) struct Reliable {
    /// The INVITE that it answers, and its number.
    transaction: ServerId,
    cseq: u32,
    rseq: u32,
    waiting: Option<Waiting>,
    alarm: Alarm,
}

/// It has no PRACK yet.
#[derive(Clone, Copy)]
struct Waiting {
    repeat: Repeat,
    end: Instant,
    /// The INVITE has its final answer: nothing is repeated any more, but a PRACK that was on its way is still good.
    is_quiet: bool,
}

impl Reliable {
    fn deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.filter(|waiting| !waiting.is_quiet)?;
        Some(waiting.repeat.at().min(waiting.end))
    }
}

impl Endpoint {
    /// Answers an INVITE with 101 to 199, so that it must be acknowledged. `false`, and nothing is sent, while the one before has no PRACK
    /// (RFC 3262 §3): that one is being repeated.
    pub fn respond_reliably(
        &mut self,
        now: Now,
        transaction: ServerId,
        status: u16,
        body: Option<(&str, &[u8])>,
    ) -> bool {
        let server = self.server_mut(transaction).filter(|server| server.machine.invite().is_some());
        let Some(server) = server else { return false };
        let (dialog, cseq) = (server.dialog, server.cseq);
        let Some(held) = self.dialogs.get(&dialog) else { return false };
        let before = held.reliable.as_ref();
        if before.is_some_and(|reliable| reliable.waiting.is_some()) {
            return false;
        }
        // §3: the first is anywhere from 1 to 2^31 - 1, so that no later one wraps.
        let first = || 1 + self.rng.below((1 << 31) - 1);
        let rseq = before.map_or_else(first, |before| before.rseq.saturating_add(1));
        let text = rseq.to_string();
        // RFC 3311 §5.1: whoever has a reliable response may send UPDATE.
        let headers = [("Require", RELIABLE), ("RSeq", &*text), ("Allow", ALLOW)];
        if !self.respond(now, transaction, &Reply { status, reason: None, headers: &headers, body }) {
            return false;
        }
        let Some(held) = self.dialogs.get_mut(&dialog) else { return false };
        if let Some(mut before) = held.reliable.take() {
            self.wheel.clear(&mut before.alarm);
        }
        // §3: unlike a final answer's, the pauses have no limit but the end.
        let waiting = Waiting { repeat: Repeat::new(now.at, T1_64), end: now.at + T1_64, is_quiet: false };
        let reliable = Reliable { transaction, cseq, rseq, waiting: Some(waiting), alarm: Alarm::OFF };
        held.reliable = Some(Box::new(reliable));
        self.settle_reliable(dialog);
        true
    }

    fn settle_reliable(&mut self, dialog: DialogId) {
        let reliable = self.dialogs.get_mut(&dialog).and_then(|held| held.reliable.as_mut());
        if let Some(reliable) = reliable {
            let deadline = reliable.deadline();
            self.wheel.set(&mut reliable.alarm, deadline, Due::Reliable(dialog));
        }
    }

    /// The INVITE has its final answer (§3).
    pub(super) fn quiet_reliable(&mut self, dialog: DialogId) {
        let reliable = self.dialogs.get_mut(&dialog).and_then(|held| held.reliable.as_mut());
        if let Some(waiting) = reliable.and_then(|reliable| reliable.waiting.as_mut()) {
            waiting.is_quiet = true;
        }
        self.settle_reliable(dialog);
    }

    /// Forgets a dialog and what is armed in it.
    pub(super) fn remove_dialog(&mut self, dialog: DialogId) {
        if let Some(mut reliable) = self.dialogs.remove(&dialog).and_then(|held| held.reliable) {
            self.wheel.clear(&mut reliable.alarm);
        }
    }

    pub(super) fn reliable_timeout(&mut self, now: Now, dialog: DialogId) {
        let Some(held) = self.dialogs.get_mut(&dialog) else { return };
        let owner = held.dialog.owner;
        let Some(reliable) = held.reliable.as_mut() else { return };
        let transaction = reliable.transaction;
        let Some(waiting) = reliable.waiting.as_mut().filter(|waiting| !waiting.is_quiet) else { return };
        if now.at >= waiting.end {
            waiting.is_quiet = true;
            self.stats.unacknowledged += 1;
            self.notices.push_back(Notice::ProvisionalUnacknowledged { owner, dialog });
        } else if waiting.repeat.is_due(now.at) && !planted(Mutant::ReliableNotRepeated) {
            self.send_latest(now, transaction, Todo { send: Send::Response, ..Todo::default() });
        }
        self.settle_reliable(dialog);
    }

    /// §3: a PRACK for the response that waits gets 200, any other 481.
    pub(super) fn handle_prack(&mut self, now: Now, dialog: DialogId, transaction: ServerId, request: &Message<'_>) {
        let reliable = self.dialogs.get_mut(&dialog).and_then(|held| held.reliable.as_mut());
        let status = match (request.rack(), reliable) {
            (None | Some(Err(_)), _) => 400,
            (Some(Ok(rack)), Some(reliable))
                if reliable.waiting.is_some()
                    && (rack.rseq == reliable.rseq || planted(Mutant::PrackUnmatched))
                    && rack.cseq.number == reliable.cseq
                    && rack.cseq.method == Method::Invite =>
            {
                reliable.waiting = None;
                // The offer of the INVITE has no answer yet, and we made none: there is nothing that a description could be (§5).
                if request.body().is_empty() { 200 } else { 488 }
            }
            (Some(Ok(_)), Some(_) | None) => 481,
        };
        self.settle_reliable(dialog);
        self.respond(now, transaction, &Reply { status, reason: None, headers: &[], body: None });
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Ask, Bench, Heard, header, plain};
    use super::*;

    fn prack(cseq: u32, dialog: DialogId, rack: &str) -> String {
        let extra = format!("RAck: {rack}\r\n");
        Ask { extra, ..Ask::within("PRACK", cseq, dialog) }.text()
    }

    /// An INVITE that rings reliably, with the RSeq.
    fn ringing(bench: &mut Bench) -> (ServerId, DialogId, u32) {
        let (id, dialog) = bench.accept(&Ask::invite());
        bench.sent();
        assert!(bench.endpoint.respond_reliably(bench.now, id, 180, None));
        let sent = bench.sent();
        assert_eq!((header(&sent[0], "Require"), header(&sent[0], "Allow")), ("100rel", ALLOW));
        assert!(header(&sent[0], "Contact").starts_with(&format!("<sip:{dialog}@")));
        let rseq = header(&sent[0], "RSeq").parse().unwrap();
        assert!((1..1 << 31).contains(&rseq));
        (id, dialog, rseq)
    }

    #[test]
    fn it_is_repeated_with_doubling_pauses_until_64_t1_and_then_the_call_is_told() {
        let mut bench = Bench::new();
        let (_, dialog, _) = ringing(&mut bench);
        let mut at = 0;
        for pause in [500, 1_000, 2_000, 4_000, 8_000, 16_000] {
            at += pause;
            assert_eq!(bench.pass(pause), [], "{at}");
            assert_eq!(bench.said(), ["180 INVITE"], "{at}");
        }
        assert_eq!(bench.pass(32_000 - at), [Heard::ProvisionalUnacknowledged(dialog)]);
        assert_eq!((bench.said(), bench.pass(60_000)), (vec![], vec![]));
    }

    #[test]
    fn its_prack_ends_the_repetition_and_the_next_ringing_has_the_next_number() {
        let mut bench = Bench::new();
        let (id, dialog, rseq) = ringing(&mut bench);
        assert!(!bench.endpoint.respond_reliably(bench.now, id, 180, None), "one at a time");
        assert_eq!(bench.hear(&prack(8, dialog, &format!("{rseq} 7 INVITE"))), None);
        assert_eq!(bench.said(), ["200 PRACK"]);
        assert_eq!(bench.hear(&prack(8, dialog, &format!("{rseq} 7 INVITE"))), None);
        assert_eq!(bench.said(), ["200 PRACK"], "the repetition of a PRACK is absorbed");
        assert_eq!((bench.pass(40_000), bench.said()), (vec![], vec![]));
        assert!(bench.endpoint.respond_reliably(bench.now, id, 183, None));
        assert_eq!(header(&bench.sent()[0], "RSeq"), (rseq + 1).to_string());
        assert_eq!(bench.hear(&prack(9, dialog, &format!("{rseq} 7 INVITE"))), None);
        assert_eq!(bench.said(), ["481 PRACK"], "the one before");
    }

    #[test]
    fn a_prack_for_anything_else_is_refused() {
        let mut bench = Bench::new();
        let (_, dialog, rseq) = ringing(&mut bench);
        for (cseq, rack, expected) in [
            (8, format!("{} 7 INVITE", rseq + 1), "481 PRACK"),
            (9, format!("{rseq} 8 INVITE"), "481 PRACK"),
            (10, format!("{rseq} 7 BYE"), "481 PRACK"),
            (11, "x".into(), "400 PRACK"),
            (12, format!("{rseq} 7 INVITE"), "200 PRACK"),
            (13, format!("{rseq} 7 INVITE"), "481 PRACK"),
        ] {
            assert_eq!(bench.hear(&prack(cseq, dialog, &rack)), None);
            assert_eq!(bench.said(), [expected], "{rack}");
        }
        let nobodys = Ask { method: "PRACK", extra: format!("RAck: {rseq} 7 INVITE\r\n"), ..Ask::invite() };
        assert_eq!(bench.hear(&nobodys.text()), None);
        assert_eq!(bench.said(), ["481 PRACK"]);
    }

    #[test]
    fn a_final_answer_ends_the_repetition_and_a_late_prack_is_still_good() {
        let mut bench = Bench::new();
        let (id, dialog, rseq) = ringing(&mut bench);
        assert!(bench.endpoint.respond(bench.now, id, &plain(200)));
        assert_eq!(bench.hear(&Ask::within("ACK", 7, dialog).text()), Some(Heard::Ack(dialog)));
        assert_eq!(bench.said(), ["200 INVITE"]);
        assert_eq!((bench.pass(3_000), bench.said()), (vec![], vec![]));
        assert_eq!(bench.hear(&prack(8, dialog, &format!("{rseq} 7 INVITE"))), None);
        assert_eq!(bench.said(), ["200 PRACK"]);
        bench.endpoint.close(bench.now, dialog);
        bench.run_out();
        bench.assert_empty();
    }

    #[test]
    fn a_refusal_ends_it_and_leaves_nothing() {
        let mut bench = Bench::new();
        let (id, dialog, rseq) = ringing(&mut bench);
        assert!(bench.endpoint.respond(bench.now, id, &plain(486)));
        assert_eq!(bench.hear(&prack(8, dialog, &format!("{rseq} 7 INVITE"))), None);
        assert_eq!(bench.said(), ["486 INVITE", "481 PRACK"]);
        bench.run_out();
        bench.assert_empty();
        assert!(!bench.endpoint.respond_reliably(bench.now, id, 180, None));
    }
}
