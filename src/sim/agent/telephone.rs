//! A telephone: it registers, and waits until it is rung (RFC 3261 §10.2, §13.3, §17.2.1). Who has answered is a user agent like any other.
//! Not here: requests in its dialog (`uas`, `uac`), and whether it may ring (`law`).

use super::super::plan::{Hand, Pick, When};
use super::super::text::{self, Seen, Verb, Way, Writer, read};
use super::uas::Unacknowledged;
use super::{Agent, Out, Plans, T2, Tick, Timer};
use crate::time::{Duration, Instant};
use bytes::Bytes;

/// What a user agent has that is a telephone.
pub(in super::super) struct Telephone {
    pub(in super::super) hand: Hand,
    /// The agent whose call it takes; to any other it is busy.
    caller: u32,
    registering: Option<(Bytes, Timer)>,
    registrations: u32,
    line: Option<Line>,
    /// The 2xx of the other branch of its fork, until that is acknowledged.
    fork: Option<(Bytes, Timer)>,
}

/// The INVITE that it was rung by.
struct Line {
    invite: Bytes,
    branch: Vec<u8>,
    state: State,
}

enum State {
    /// With the last provisional response.
    Rings(Option<Bytes>),
    Answered,
    /// Until the ACK comes, or nobody can be waiting any more.
    Refused(Bytes, Option<Timer>),
}

/// What it is going to do about the INVITE.
#[derive(Clone, Copy)]
pub(super) enum Move {
    Ring,
    Pick,
    PickTwice,
    HangUp,
}

impl Telephone {
    pub(in super::super) fn new(hand: Hand, caller: u32) -> Telephone {
        Telephone { hand, caller, registering: None, registrations: 0, line: None, fork: None }
    }

    /// The Call-ID of the INVITE that it was rung by.
    pub(super) fn call_id(&self) -> Option<&[u8]> {
        Some(read(&self.line.as_ref()?.invite)?.call_id)
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let refusing = match self.line.as_ref().map(|line| &line.state) {
            Some(State::Refused(_, Some(timer))) => timer.due(),
            Some(State::Rings(_) | State::Answered | State::Refused(_, None)) | None => None,
        };
        let registering = self.registering.as_ref().and_then(|(_, timer)| timer.due());
        let forking = self.fork.as_ref().and_then(|(_, timer)| timer.due());
        [refusing, registering, forking].into_iter().flatten().min()
    }

    /// What has to be said again.
    pub(super) fn repeat(&mut self, now: Instant, out: &mut Vec<Out>) {
        repeat(&mut self.registering, now, out);
        repeat(&mut self.fork, now, out);
        if let Some(Line { state: State::Refused(bytes, timer), .. }) = &mut self.line {
            match timer.as_mut().map_or(Tick::Nothing, |timer| timer.tick(now)) {
                Tick::Nothing => {}
                Tick::Repeat => out.push(Out::Send(bytes.clone())),
                Tick::End => *timer = None,
            }
        }
    }
}

fn repeat(what: &mut Option<(Bytes, Timer)>, now: Instant, out: &mut Vec<Out>) {
    let Some((bytes, timer)) = what else { return };
    match timer.tick(now) {
        Tick::Nothing => {}
        Tick::Repeat => out.push(Out::Send(bytes.clone())),
        Tick::End => *what = None,
    }
}

impl Agent {
    /// Registers, or does so again. `headers` are its credentials.
    pub(in super::super) fn register(&mut self, now: Instant, headers: &str, out: &mut Vec<Out>) {
        let branch = self.branch();
        let Some(telephone) = &mut self.telephone else { return };
        telephone.registrations += 1;
        let (number, lasts) = (telephone.registrations, telephone.hand.lasts);
        let mut text = Writer::new();
        text.s("REGISTER sip:203.0.113.").n(u64::from(self.node) + 1).s(" SIP/2.0\r\nVia: SIP/2.0/");
        self.write_sent_by(&mut text);
        text.s(";branch=").s(&branch).s(";rport\r\nMax-Forwards: 70\r\nFrom: <");
        self.write_called(&mut text);
        text.s(">;tag=r").n(self.id.into()).s("\r\nTo: <");
        self.write_called(&mut text);
        text.s(">\r\nCall-ID: r").n(self.id.into()).s("@sim\r\nCSeq: ").n(number.into()).s(" REGISTER\r\nContact: <");
        self.write_address(&mut text);
        text.s(">\r\nExpires: ").n(lasts.into()).s("\r\n").s(headers);
        let bytes = text.body(b"").bytes();
        let timer = self.timer(now, T2);
        if let Some(telephone) = &mut self.telephone {
            telephone.registering = Some((bytes.clone(), timer));
        }
        out.push(Out::Send(bytes));
    }

    /// What comes to a telephone and is in no dialog of its own: whether it was that.
    pub(super) fn telephone_hears(&mut self, now: Instant, seen: &Seen<'_>, out: &mut Vec<Out>) -> bool {
        let Some(telephone) = &mut self.telephone else { return false };
        if !seen.is_request() {
            if seen.verb() == Verb::Register && seen.status >= 200 {
                telephone.registering = None;
            }
            return seen.verb() == Verb::Register;
        }
        let is_of_line = telephone.line.as_ref().is_some_and(|line| line.branch == seen.branch());
        match seen.verb() {
            Verb::Invite if seen.tag_of_to().is_empty() => self.is_rung(now, seen, out),
            Verb::Cancel => self.is_cancelled(now, seen, out),
            Verb::Other if seen.tag_of_to().is_empty() => {
                let status = telephone.hand.told;
                if status > 0 {
                    out.push(Out::Send(self.compose(seen, status, b"")));
                }
            }
            // §17.2.1: the ACK of a refusal has the INVITE's branch.
            Verb::Ack if is_of_line => {
                if let Some(Line { state: State::Refused(_, timer), .. }) = &mut telephone.line {
                    *timer = None;
                }
            }
            Verb::Ack | Verb::Bye if is_fork(seen) => {
                telephone.fork = None;
                if seen.verb() == Verb::Bye {
                    out.push(Out::Send(self.compose(seen, 200, b"")));
                }
            }
            Verb::Ack => {
                self.is_acknowledged(now, seen);
                return false;
            }
            Verb::Invite | Verb::Bye | Verb::Options | Verb::Update | Verb::Prack => return false,
            Verb::Info | Verb::Register | Verb::Other => return false,
        }
        true
    }

    fn is_rung(&mut self, now: Instant, seen: &Seen<'_>, out: &mut Vec<Out>) {
        let Some(telephone) = &mut self.telephone else { return };
        let from = format!("<sip:a{}@", telephone.caller);
        let is_mine = memchr::memmem::find(seen.from, from.as_bytes()).is_some();
        match &telephone.line {
            Some(line) if line.branch == seen.branch() => {
                match &line.state {
                    State::Rings(Some(bytes)) | State::Refused(bytes, _) => out.push(Out::Send(bytes.clone())),
                    // RFC 6026 §7.1: absorbed.
                    State::Rings(None) | State::Answered => {}
                }
                return;
            }
            None if is_mine => {}
            // Over another connection it is rung anew.
            Some(line) if is_mine && !matches!(line.state, State::Answered) => {}
            // A line that is over could be used again; this telephone takes one call.
            Some(_) | None => return out.push(Out::Send(self.compose(seen, 486, b""))),
        }
        let hand = telephone.hand;
        self.attempt += 1;
        // Its own requests in the dialog come behind the number that a first INVITE of its own would have.
        (self.cseq, self.is_over, self.is_confirmed) = (1, false, false);
        self.remote_tag = seen.tag_of_from().to_vec();
        self.target = seen.contact.to_vec();
        if let Some(telephone) = &mut self.telephone {
            let invite = self.heard.clone();
            telephone.line = Some(Line { invite, branch: seen.branch().to_vec(), state: State::Rings(None) });
        }
        let mut plan =
            |after: u32, what| self.agenda.push((now + Duration::from_millis(after.into()), Plans::Move(what)));
        hand.rings_ms.into_iter().for_each(|after| plan(after, Move::Ring));
        if hand.pick != Pick::Nothing {
            plan(hand.after_ms, Move::Pick);
        }
    }

    fn is_cancelled(&mut self, now: Instant, seen: &Seen<'_>, out: &mut Vec<Out>) {
        let Some(telephone) = &self.telephone else { return };
        let is_mine = telephone.line.as_ref().is_some_and(|line| line.branch == seen.branch());
        let rings = matches!(telephone.line, Some(Line { state: State::Rings(_), .. }));
        let is_stubborn = telephone.hand.is_stubborn;
        out.push(Out::Send(self.compose(seen, if is_mine { 200 } else { 481 }, b"")));
        if is_mine && rings && !is_stubborn {
            self.refuse(now, 487, out);
        }
    }

    /// The switch has the 2xx.
    fn is_acknowledged(&mut self, now: Instant, seen: &Seen<'_>) {
        let answered = self.telephone.as_ref().and_then(|telephone| telephone.line.as_ref());
        let answered = answered.is_some_and(|line| matches!(line.state, State::Answered));
        if answered && !self.is_confirmed && !self.is_over && seen.cseq == 1 && self.is_mine(seen) {
            self.is_confirmed = true;
            self.audio = text::audio(seen.body);
            self.plan(now, When::Answered);
        }
    }

    /// Does what is due about the INVITE.
    pub(super) fn make(&mut self, now: Instant, what: Move, out: &mut Vec<Out>) {
        let Some(telephone) = &self.telephone else { return };
        let pick = telephone.hand.pick;
        let rings = matches!(telephone.line, Some(Line { state: State::Rings(_), .. }));
        match (what, pick) {
            (Move::Ring, _) if rings => {
                let ringing = self.respond(180, b"", "");
                self.set_state(State::Rings(Some(ringing.clone())));
                out.push(Out::Send(ringing));
            }
            (Move::Pick, Pick::Refuses(status)) if rings => self.refuse(now, status, out),
            (Move::Pick, _) if rings => self.answer(now, pick, out),
            (Move::PickTwice, _) => {
                let body = self.offer(self.conduct.offer, Way::Both);
                let bytes = self.respond(200, &body, FORK);
                if let Some(telephone) = &mut self.telephone {
                    telephone.fork = Some((bytes.clone(), Timer::new(now, T2)));
                }
                out.push(Out::Send(bytes));
            }
            (Move::HangUp, _) => self.hang_up(now, out),
            (Move::Ring | Move::Pick, _) => {}
        }
    }

    fn answer(&mut self, now: Instant, pick: Pick, out: &mut Vec<Out>) {
        let body = self.offer(self.conduct.offer, Way::Both);
        self.description.clone_from(&body);
        let bytes = self.respond(200, &body, "");
        self.set_state(State::Answered);
        self.unacknowledged = Some(Unacknowledged::new(1, bytes.clone(), Timer::new(now, T2)));
        out.push(Out::Send(bytes));
        let mut plan =
            |after: u32, what| self.agenda.push((now + Duration::from_millis(after.into()), Plans::Move(what)));
        match pick {
            Pick::AnswersTwice(after) => plan(after, Move::PickTwice),
            Pick::HangsUp(after) => plan(after, Move::HangUp),
            Pick::Answers | Pick::Refuses(_) | Pick::Nothing => {}
        }
    }

    fn refuse(&mut self, now: Instant, status: u16, out: &mut Vec<Out>) {
        let bytes = self.respond(status, b"", "");
        self.set_state(State::Refused(bytes.clone(), Some(self.timer(now, T2))));
        out.push(Out::Send(bytes));
        self.finish(now);
    }

    fn set_state(&mut self, state: State) {
        if let Some(line) = self.telephone.as_mut().and_then(|telephone| telephone.line.as_mut()) {
            line.state = state;
        }
    }

    /// A response to the INVITE; `fork` is what the tag of another branch has besides.
    fn respond(&self, status: u16, body: &[u8], fork: &str) -> Bytes {
        let line = self.telephone.as_ref().and_then(|telephone| telephone.line.as_ref());
        let Some(seen) = line.and_then(|line| read(&line.invite)) else { return Bytes::new() };
        let bytes = self.compose(&seen, status, body);
        let mut tag = Writer::default();
        tag.s(";tag=");
        self.write_tag(&mut tag);
        let tag = tag.bytes();
        match memchr::memmem::find(&bytes, &tag).filter(|_| !fork.is_empty()) {
            Some(at) => {
                let (before, after) = bytes.split_at(at + tag.len());
                [before, fork.as_bytes(), after].concat().into()
            }
            None => bytes,
        }
    }
}

/// What the tags of the other branches end in.
const FORK: &str = ".fork";

fn is_fork(seen: &Seen<'_>) -> bool {
    seen.tag_of_to().ends_with(FORK.as_bytes())
}
