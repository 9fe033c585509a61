//! The requests that an agent gets and its responses (RFC 3261 §8.2, §12.2.2, §14.2, §15.1.2).
//! Not here: requests that it sends (`uac`).

use super::super::plan::Reinvited;
use super::super::text::{self, Offer, Seen, Verb, Way, Writer};
use super::{Agent, Out, Plans, T2, Tick, Timer};
use crate::time::{Duration, Instant};
use bytes::Bytes;

/// A 2xx to an INVITE whose ACK has not come.
pub(super) struct Unacknowledged {
    cseq: u32,
    bytes: Bytes,
    pub(super) timer: Timer,
}

impl Unacknowledged {
    pub(super) fn new(cseq: u32, bytes: Bytes, timer: Timer) -> Unacknowledged {
        Unacknowledged { cseq, bytes, timer }
    }
}

impl Agent {
    pub(super) fn handle_request(&mut self, now: Instant, seen: &Seen<'_>, out: &mut Vec<Out>) {
        let verb = seen.verb();
        if verb == Verb::Ack {
            self.unacknowledged.take_if(|answer| answer.cseq == seen.cseq);
            return;
        }
        let again = self.said.iter().find(|(cseq, said, _)| (*cseq, *said) == (seen.cseq, verb));
        if let Some((_, _, bytes)) = again {
            return out.push(Out::Send(bytes.clone()));
        }
        let is_known = self.is_mine(seen) && seen.tag_of_from() == self.remote_tag.as_slice();
        if !is_known || self.is_over && verb != Verb::Bye {
            return self.say(seen, 481, &[], out);
        }
        match verb {
            Verb::Bye if !self.conduct.answers_bye => {}
            Verb::Bye => {
                self.say(seen, 200, &[], out);
                self.finish(now);
            }
            Verb::Invite => self.reinvited(now, seen, out),
            Verb::Update => self.updated(seen, out),
            Verb::Options | Verb::Info | Verb::Ack | Verb::Cancel => self.say(seen, 200, &[], out),
            Verb::Prack | Verb::Register | Verb::Other => self.say(seen, 405, &[], out),
        }
    }

    /// An UPDATE: what a re-INVITE would be answered with, and at once.
    fn updated(&mut self, seen: &Seen<'_>, out: &mut Vec<Out>) {
        if seen.body.is_empty() {
            return self.say(seen, 200, &[], out);
        }
        if self.asking.iter().any(|asking| asking.offers()) {
            return self.say(seen, 491, &[], out);
        }
        match self.conduct.reinvited {
            Reinvited::Accepted | Reinvited::AcceptedLate(_) => {
                self.version += 1;
                let body = text::answer(seen.body, self.host, self.media().port(), self.version);
                self.say(seen, 200, &body, out);
            }
            Reinvited::Unusable => self.say(seen, 200, b"v=0\r\nno answer\r\n", out),
            Reinvited::Refused(status) => self.say(seen, status, &[], out),
            Reinvited::Never => {}
        }
    }

    fn reinvited(&mut self, now: Instant, seen: &Seen<'_>, out: &mut Vec<Out>) {
        let is_pending = self.agenda.iter().any(|(_, plan)| matches!(plan, Plans::Answer { .. }));
        if is_pending {
            return;
        }
        // §14.2: its own is under way.
        if self.asking.iter().any(|asking| asking.offers()) {
            return self.say(seen, 491, &[], out);
        }
        let body = if seen.body.is_empty() {
            self.offer(Offer::Usual, Way::Both)
        } else {
            self.version += 1;
            text::answer(seen.body, self.host, self.media().port(), self.version)
        };
        match self.conduct.reinvited {
            Reinvited::Accepted => {
                let response = self.compose(seen, 200, &body);
                self.answer_reinvite(now, seen.cseq, response, out);
            }
            Reinvited::Unusable => {
                let response = self.compose(seen, 200, b"v=0\r\nno answer\r\n");
                self.answer_reinvite(now, seen.cseq, response, out);
            }
            Reinvited::AcceptedLate(millis) => {
                out.push(Out::Send(self.compose(seen, 100, b"")));
                let plan = Plans::Answer { response: self.compose(seen, 200, &body), cseq: seen.cseq };
                self.agenda.push((now + Duration::from_millis(millis.into()), plan));
            }
            Reinvited::Refused(status) => self.say(seen, status, &[], out),
            Reinvited::Never => {}
        }
    }

    /// Answers a re-INVITE with a 2xx, which is repeated until its ACK comes.
    pub(super) fn answer_reinvite(&mut self, now: Instant, cseq: u32, response: Bytes, out: &mut Vec<Out>) {
        if self.is_over {
            return;
        }
        self.said.push((cseq, Verb::Invite, response.clone()));
        self.unacknowledged = Some(Unacknowledged { cseq, bytes: response.clone(), timer: Timer::new(now, T2) });
        out.push(Out::Send(response));
    }

    pub(super) fn repeat_answer(&mut self, now: Instant, out: &mut Vec<Out>) {
        let Some(answer) = &mut self.unacknowledged else { return };
        match answer.timer.tick(now) {
            Tick::Nothing => {}
            Tick::Repeat => out.push(Out::Send(answer.bytes.clone())),
            Tick::End => {
                self.unacknowledged = None;
                self.hang_up(now, out);
            }
        }
    }

    /// A final response, kept for when the request comes again.
    fn say(&mut self, seen: &Seen<'_>, status: u16, body: &[u8], out: &mut Vec<Out>) {
        let bytes = self.compose(seen, status, body);
        if self.said.len() >= 8 {
            self.said.remove(0);
        }
        self.said.push((seen.cseq, seen.verb(), bytes.clone()));
        out.push(Out::Send(bytes));
    }

    pub(super) fn compose(&self, seen: &Seen<'_>, status: u16, body: &[u8]) -> Bytes {
        let mut out = Writer::new();
        out.s("SIP/2.0 ").n(status.into()).s(" As Planned\r\n").s(seen.vias).s("From: ").s(seen.from);
        out.s("\r\nTo: ").s(seen.to);
        if seen.tag_of_to().is_empty() {
            out.s(";tag=");
            self.write_tag(&mut out);
        }
        out.s("\r\nCall-ID: ").s(seen.call_id).s("\r\nCSeq: ").n(seen.cseq.into()).s(" ").s(seen.verb().as_str());
        out.s("\r\n");
        if matches!(seen.verb(), Verb::Invite | Verb::Update) {
            out.s("Contact: <");
            self.write_address(&mut out);
            out.s(">\r\n");
            if status == 200 && !seen.session_expires.is_empty() {
                out.s("Session-Expires: ").s(seen.session_expires).s("\r\n");
            }
        }
        out.body(body).bytes()
    }
}
