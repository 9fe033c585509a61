//! Held: a client has handed the call on (RFC 5589 §6), and the caller waits again, in the dialog that was answered long ago: on hold, and
//! for the clients of another name. It ends as [`Parked`](super::parked) does, but by BYE: a 2xx is not taken back.
//! Not here: how a callback is joined to it (`rejoining`), what the one that handed it on is told (`transferor`).
//!
//! ```text
//!  Bridged ──REFER──▶ Held ──hold──▶ the caller   callback ──▶ Rejoining ──▶ Bridged
//!                      └─ deadline, BYE, decline ──▶ Ending          └─ fails ──▶ Held, and on hold again
//! ```
//!
//! The relay keeps the flow, so that the caller's address here stays; nothing crosses it, and nothing of the client that left is valid.

use super::ending::Ending;
use super::leg::{Answered, Leaving, Refusal, status, too_early};
use super::merging::Callback;
use super::refresh::pause;
use super::rejoining::Rejoining;
use super::session::{Session, not_acceptable};
use super::session_timer::{Asked, Due};
use super::talk::Talk;
use super::{EndedBy, Event, Facts, GoneReason, Outcome, Over, State, Turn};
use crate::id::{FlowId, Side};
use crate::limits;
use crate::media;
use crate::sdp::{self, Agreement, Directions};
use crate::sip::endpoint::{ClientId, DialogId, ServerId};
use crate::sip::wire::{Message, Method};
use crate::time::Instant;
use crate::token::SubjectHash;

/// The state.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) caller: Answered,
    pub(super) session: Session,
    pub(super) talk: Talk,
    deadline: Instant,
    /// Our request to the caller that has no final answer.
    pub(super) ours: Option<Ours>,
    /// The caller's re-INVITE without an offer that has ours; its ACK brings the answer.
    pub(super) offered: Option<ServerId>,
    /// Whether the caller was told that it is on hold, or does not want to hear it.
    pub(super) is_told: bool,
    /// Before this, nothing is sent: something crossed it.
    pub(super) try_at: Option<Instant>,
    pub(super) rejoining: Option<Box<Rejoining>>,
}

/// A request of ours.
#[derive(Debug)]
pub(super) struct Ours {
    pub(super) sent: ClientId,
    pub(super) what: What,
}

/// What a request of ours is for.
#[derive(Debug)]
pub(super) enum What {
    /// A re-INVITE that puts the caller on hold.
    Hold,
    /// An UPDATE that refreshes its session.
    Refresh,
    /// A re-INVITE that joins it to a client, with what it offers.
    Join(Box<Agreement>),
}

/// Why waiting is over: for the clients, the record, the one that handed the call on, and our BYE.
pub(super) struct Verdict {
    gone: GoneReason,
    by: EndedBy,
    reason: &'static str,
    /// What the call would have been answered with, if it had not been answered before.
    status: u16,
}

impl Held {
    /// Begins it. The caller is told that it is on hold as soon as its dialog lets us.
    pub(super) fn begin(
        caller: Answered,
        mut session: Session,
        talk: Talk,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> Held {
        session.forget_fax();
        turn.media(media::Command::Clear { flow: session.flow, side: Side::Client });
        turn.media(session.hold_command(turn.settings));
        let deadline = turn.now.at + facts.route.park;
        let (ours, offered, try_at, rejoining) = (None, None, None, None);
        let mut held = Held { caller, session, talk, deadline, ours, offered, is_told: false, try_at, rejoining };
        held.pursue(turn);
        held
    }

    /// When to be called again.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let end = self.rejoining.as_ref().map_or(self.deadline, |rejoining| rejoining.until);
        [Some(end), self.try_at, self.caller.timer.wake_at()].into_iter().flatten().min()
    }

    /// Whose bridge it is going to be.
    pub(super) fn holder(&self) -> Option<SubjectHash> {
        self.rejoining.as_ref().map(|rejoining| rejoining.claim.subject())
    }

    /// Its media.
    pub(super) fn flow(&self) -> FlowId {
        self.session.flow
    }

    /// The dialog of a leg.
    pub(super) fn dialog(&self, side: Side) -> Option<DialogId> {
        match side {
            Side::Caller => Some(self.caller.dialog),
            Side::Client => self.rejoining.as_ref().map(|rejoining| rejoining.client.dialog()),
        }
    }

    /// Something happened. With the next state comes what is to be told of the transfer, once that is known.
    pub(super) fn handle(self, event: Event<'_>, facts: &Facts, turn: &mut Turn<'_>) -> (State, Option<u16>) {
        match event {
            Event::Callback(callback) => self.rejoin(*callback, facts, turn).stay(),
            Event::Request { side: Side::Caller, transaction, request } => {
                self.requested(transaction, request, facts, turn)
            }
            Event::Acknowledged { side: Side::Caller, transaction, ack } => {
                self.acknowledged(transaction, ack, facts, turn)
            }
            Event::Acknowledged { side: Side::Client, ack, .. } => self.client_acknowledged(ack, facts, turn),
            Event::Response { side: Side::Caller, transaction, response } => {
                self.responded(transaction, Some(response), facts, turn)
            }
            Event::Failed { side: Side::Caller, transaction } => self.responded(transaction, None, facts, turn),
            Event::Request { side: Side::Client, transaction, request } => {
                if request.start().method() == Some(Method::Bye) {
                    return self.client_fails(&Refusal::status(487), Some(transaction), turn).stay();
                }
                too_early(turn, transaction, request);
                self.stay()
            }
            Event::Cancelled { side: Side::Client, .. } => {
                self.client_fails(&Refusal::status(487), None, turn).stay()
            }
            Event::Unacknowledged { side: Side::Client } => {
                self.client_fails(&Refusal::status(408), None, turn).stay()
            }
            Event::Unacknowledged { side: Side::Caller } => {
                self.end(&Verdict::failed("no ACK for our 200"), None, facts, turn)
            }
            Event::Media(media::Event::Failed { .. } | media::Event::Closed { .. }) => {
                self.end(&Verdict::failed("the relay lost the call"), None, facts, turn)
            }
            Event::Declined { .. } => self.end(&Verdict::DECLINED, None, facts, turn),
            Event::Timeout => self.handle_timeout(facts, turn),
            Event::Stop | Event::Abandon => self.end(&Verdict::STOPPED, None, facts, turn),
            // A re-INVITE of the caller's is answered at once.
            Event::Cancelled { side: Side::Caller, .. }
            // A client in here was not sent anything.
            | Event::Response { side: Side::Client, .. }
            | Event::Failed { side: Side::Client, .. }
            | Event::Routed { .. }
            | Event::Ringing { .. }
            | Event::Pressed { .. }
            | Event::Referred(_)
            | Event::FromTransferor(_)
            | Event::ProvisionalUnacknowledged { .. }
            | Event::Media(_) => self.stay(),
        }
    }

    pub(super) fn stay(self) -> (State, Option<u16>) {
        (State::Held(Box::new(self)), None)
    }

    /// A request in the caller's dialog.
    fn requested(
        mut self,
        transaction: ServerId,
        request: &Message<'_>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> (State, Option<u16>) {
        match request.start().method() {
            Some(Method::Bye) => return self.end(&Verdict::HUNG_UP, Some(transaction), facts, turn),
            Some(Method::Invite | Method::Update) => {
                if let Err(refusal) = self.change(transaction, request, turn) {
                    refusal.write(|reply| turn.endpoint.respond(turn.now, transaction, reply));
                }
            }
            _ => too_early(turn, transaction, request),
        }
        self.stay()
    }

    /// The caller changes its session, or refreshes it. There is nobody to ask: it is answered as long as it can be carried at all, and
    /// stays on hold.
    fn change(&mut self, received: ServerId, request: &Message<'_>, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let is_update = request.start().method() == Some(Method::Update);
        let asked = Asked::of(request, turn.settings.session_timer)?;
        let offer = request.description();
        if is_update && offer.is_empty() {
            self.caller.accept(turn, received, asked, None);
            return Ok(());
        }
        if self.ours.is_some() || self.offered.is_some() {
            return Err(Refusal::status(491));
        }
        if offer.is_empty() {
            let agreement = self.session.agreement.clone();
            let directions = self.session.hold_directions(turn.settings);
            let offer = self.session.end(Side::Caller).offer(Side::Caller, &agreement, directions, turn);
            self.caller.accept(turn, received, asked, Some(&offer));
            self.offered = Some(received);
            return Ok(());
        }
        let (said, offer) = self.session.end(Side::Caller).read(offer, turn.settings)?;
        if !self.session.end(Side::Caller).repeats(&offer) {
            let known = self.session.agreement.clone();
            let agreement = sdp::propose(Side::Caller, &offer, Some(&known), self.session.end(Side::Client).outline());
            self.session.agreement = agreement.map_err(|error| not_acceptable(&error))?;
            self.session.end(Side::Caller).hear(said, &offer, turn.rng);
        }
        let agreement = self.session.agreement.clone();
        let directions = self.session.hold_directions(turn.settings);
        let answer = self.session.end(Side::Caller).answer(Side::Caller, &offer, &agreement, directions);
        self.caller.accept(turn, received, asked, Some(&answer));
        self.is_told = true;
        Ok(())
    }

    /// An ACK of the caller's: of a 2xx to a re-INVITE, perhaps with the answer to our offer. Now we may have our turn.
    fn acknowledged(
        mut self,
        transaction: ServerId,
        ack: &Message<'_>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> (State, Option<u16>) {
        if self.offered.take_if(|offered| *offered == transaction).is_some() {
            if self.hear_caller(None, ack.description(), turn).is_err() {
                return self.end(&Verdict::failed("an ACK without a usable answer"), None, facts, turn);
            }
            self.is_told = true;
        }
        self.try_at = None;
        self.pursue(turn);
        self.stay()
    }

    /// The caller's answer to an offer of ours: to `proposed`, or to the session as it is.
    pub(super) fn hear_caller(
        &mut self,
        proposed: Option<&Agreement>,
        body: &[u8],
        turn: &Turn<'_>,
    ) -> Result<(), Refusal> {
        let known = self.session.agreement.clone();
        let caller = self.session.end(Side::Caller);
        self.session.agreement = caller.hear_answer(Side::Caller, proposed.unwrap_or(&known), body, turn.settings)?;
        Ok(())
    }

    /// Sends what is due to the caller, if its dialog lets us: one request at a time.
    pub(super) fn pursue(&mut self, turn: &mut Turn<'_>) {
        let waits = self.try_at.is_some_and(|at| turn.now.at < at);
        if self.ours.is_some() || self.offered.is_some() || waits {
            return;
        }
        self.try_at = None;
        if self.rejoining.as_ref().is_some_and(|rejoining| rejoining.is_due()) {
            self.join_caller(turn);
        } else if self.rejoining.is_none() && !self.is_told {
            let agreement = self.session.agreement.clone();
            let directions = self.session.hold_directions(turn.settings);
            self.invite(What::Hold, &agreement, directions, turn);
        }
    }

    /// A re-INVITE to the caller.
    pub(super) fn invite(&mut self, what: What, offered: &Agreement, directions: Directions, turn: &mut Turn<'_>) {
        // RFC 3264 §8: versions of a description grow by one, so one that is not sent has none.
        let mut end = self.session.end(Side::Caller).clone();
        let offer = end.offer(Side::Caller, offered, directions, turn);
        match self.caller.send(turn, Method::Invite, Some(&offer)) {
            Some(sent) => {
                *self.session.end(Side::Caller) = end;
                self.ours = Some(Ours { sent, what });
            }
            None => self.try_at = Some(turn.now.at + pause(&self.caller, turn)),
        }
    }

    /// The caller has answered a request of ours, or not (`None`).
    fn responded(
        mut self,
        transaction: ClientId,
        response: Option<&Message<'_>>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> (State, Option<u16>) {
        let status = response.map_or(408, status);
        let is_final = status >= 200;
        let Some(Ours { what, .. }) = self.ours.take_if(|ours| is_final && ours.sent == transaction) else {
            return self.stay();
        };
        let is_invite = !matches!(what, What::Refresh);
        match (status, response) {
            (..300, Some(response)) => {
                self.caller.timer.take(turn.now.at, response);
                if is_invite {
                    turn.endpoint.acknowledge(turn.now, self.caller.dialog, transaction, None);
                }
                self.accepted(what, response.description(), facts, turn)
            }
            (408 | 481, _) => self.end(&Verdict::failed("the caller lost the call"), None, facts, turn),
            (status, response) => {
                self.refused(what, status, response, turn);
                self.pursue(turn);
                self.stay()
            }
        }
    }

    fn accepted(mut self, what: What, answer: &[u8], facts: &Facts, turn: &mut Turn<'_>) -> (State, Option<u16>) {
        match what {
            What::Refresh => {}
            What::Hold => {
                // What it says while nothing is sent either way can wait until it is joined to somebody.
                let _ = self.hear_caller(None, answer, turn);
                self.is_told = true;
            }
            What::Join(proposed) => {
                if self.hear_caller(Some(&proposed), answer, turn).is_err() {
                    return self.end(&Verdict::failed("the caller's answer is unusable"), None, facts, turn);
                }
                self.is_told = false;
                return self.caller_joined(facts, turn);
            }
        }
        self.pursue(turn);
        self.stay()
    }

    fn refused(&mut self, what: What, status: u16, response: Option<&Message<'_>>, turn: &mut Turn<'_>) {
        let now = turn.now.at;
        let is_longer = status == 422 && response.is_some_and(|response| self.caller.timer.raise(response));
        match what {
            _ if is_longer => {}
            What::Hold | What::Join(_) if status == 491 => self.try_at = Some(now + pause(&self.caller, turn)),
            What::Refresh if matches!(status, 405 | 501) => self.is_told = false,
            What::Hold | What::Refresh => {
                self.is_told = true;
                let left = self.caller.timer.left(now) / 2;
                self.caller.timer.retry(now, left.max(limits::SESSION_RETRY_MIN));
            }
            // Its session stays as it was, which is not the client's.
            What::Join(_) => self.fail_client(&Refusal::status(488), None, turn),
        }
    }

    fn handle_timeout(mut self, facts: &Facts, turn: &mut Turn<'_>) -> (State, Option<u16>) {
        let now = turn.now.at;
        if self.rejoining.as_ref().is_some_and(|rejoining| now >= rejoining.until) {
            self.fail_client(&Refusal::status(503), None, turn);
        }
        if self.rejoining.is_none() && now >= self.deadline {
            return self.end(&Verdict::TIMEOUT, None, facts, turn);
        }
        match self.caller.timer.poll(now) {
            Due::Nothing => {}
            Due::Over => return self.end(&Verdict::failed("a session was not refreshed"), None, facts, turn),
            Due::Refresh => self.refresh(turn),
        }
        self.pursue(turn);
        self.stay()
    }

    /// RFC 4028 §7.4: whatever is under way refreshes the session too.
    fn refresh(&mut self, turn: &mut Turn<'_>) {
        if self.ours.is_some() || self.offered.is_some() || self.rejoining.is_some() {
            let later = pause(&self.caller, turn);
            return self.caller.timer.retry(turn.now.at, later);
        }
        if !self.caller.allows(turn, "UPDATE") {
            self.is_told = false;
            return;
        }
        match self.caller.send(turn, Method::Update, None) {
            Some(sent) => self.ours = Some(Ours { sent, what: What::Refresh }),
            None => {
                let later = pause(&self.caller, turn);
                self.caller.timer.retry(turn.now.at, later);
            }
        }
    }

    /// Ends the call; `bye` is the caller's request if it hung up itself.
    pub(super) fn end(
        mut self,
        verdict: &Verdict,
        bye: Option<ServerId>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> (State, Option<u16>) {
        let over = Over::after_bridge(Outcome::Answered, verdict.by, verdict.reason);
        let mut record = facts.record(Some(self.caller.dialog), &over, turn);
        self.session.write(&mut record, turn.settings);
        self.talk.write(&mut record, facts);
        let because = verdict.gone.reason_header();
        let client = match self.rejoining.take() {
            Some(rejoining) => rejoining.client.leave(turn, &Refusal::because(410, because)),
            None => Leaving::Gone,
        };
        let caller = self.caller.leave(turn, Some(because), bye);
        facts.tell_gone(turn, verdict.gone, None);
        (Ending::begin((caller, client), self.session.flow, record, None, turn), Some(verdict.status))
    }
}

/// A callback for a call that is being joined to another already.
pub(super) fn too_late(callback: Callback, turn: &mut Turn<'_>) {
    callback.refuse(turn, 486);
}

impl Verdict {
    const HUNG_UP: Verdict =
        Verdict { gone: GoneReason::CallerCancelled, by: EndedBy::Caller, reason: "hung up", status: 487 };
    const DECLINED: Verdict =
        Verdict { gone: GoneReason::Declined, by: EndedBy::Client, reason: "the transfer was declined", status: 603 };
    const TIMEOUT: Verdict = Verdict {
        gone: GoneReason::Timeout,
        by: EndedBy::Parkway,
        reason: "nobody answered the transfer",
        status: 480,
    };
    const STOPPED: Verdict =
        Verdict { gone: GoneReason::ServerStopping, by: EndedBy::Parkway, reason: "server stopped", status: 503 };

    fn failed(reason: &'static str) -> Verdict {
        Verdict { gone: GoneReason::Failed, by: EndedBy::Parkway, reason, status: 500 }
    }
}
