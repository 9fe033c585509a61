//! A change of a bridge's session: what one side offers, by re-INVITE or UPDATE, is carried to the other and answered with the other's
//! answer (RFC 3261 §14, RFC 3311, RFC 3264 §8).
//! Not here: what the two have agreed (`session`), and how a bridge ends (`bridged`).
//!
//! ```text
//!  re-INVITE, offer ──▶ re-INVITE to the other side        UPDATE, offer ──▶ UPDATE, or re-INVITE if the other side has none
//!  with video or a fax that is new ──▶ ports for it first
//!  re-INVITE, empty ──▶ 200 with the session as an offer   UPDATE, empty ──▶ 200: it only says where its sender is
//! ```

use super::bridged::{Bridged, End};
use super::leg::{Refusal, plain, status};
use super::session::{Lines, not_acceptable};
use super::session_timer::Asked;
use super::{Facts, State, Turn};
use crate::id::Side;
use crate::limits;
use crate::media::{self, Line};
use crate::mutant::{Mutant, planted};
use crate::sdp::{self, Agreement};
use crate::sip::endpoint::{ClientId, ServerId};
use crate::sip::wire::{Message, Method};
use crate::time::Instant;
use bytes::Bytes;

/// A change of the session that is under way. There is at most one: another gets 491 or 500 ([`Bridged::busy_with`]).
#[derive(Debug)]
pub(super) enum Change {
    /// An offer of one side has video or a fax, and waits for ports.
    Opening(Box<Waiting>),
    /// An offer of one side was carried to the other side and waits for its answer.
    Carried(Box<Carried>),
    /// This re-INVITE had no offer; it has ours, and its ACK brings the answer.
    Offered { received: ServerId },
    /// A re-INVITE of ours refreshes the session of this side, or tells it what the other side does, with the session as it is for an
    /// offer.
    Refreshing { to: Side },
}

/// How long the answer to a request may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Patience {
    /// As long as it takes: a re-INVITE has its 100.
    Endless,
    /// An UPDATE has to be answered at once, or with 504 (RFC 3311 §5.2).
    Until(Instant),
    /// It has its 504.
    Over,
}

/// A request with an offer, as it came.
#[derive(Debug)]
pub(super) struct Offering {
    /// Who changes the session.
    from: Side,
    /// Its request.
    received: ServerId,
    by_update: bool,
    /// RFC 3261 §16.3: what has to go on, and must not.
    has_hops: bool,
    /// What the request says of the session timer.
    asked: Asked,
    offer: Bytes,
}

/// Such a request, until there are ports.
#[derive(Debug)]
pub(super) struct Waiting {
    offering: Offering,
    /// What there are no ports for yet.
    lines: Lines,
    /// Then it goes on without.
    until: Instant,
}

/// An offer on its way across.
#[derive(Debug)]
pub(super) struct Carried {
    /// Who changes the session.
    from: Side,
    /// Its request.
    received: ServerId,
    /// If that is an UPDATE: until when it is answered, one way or the other.
    patience: Patience,
    /// Ours to the other side: re-INVITE or UPDATE.
    sent: ClientId,
    method: Method<'static>,
    /// What was offered, and the same as the other side was told.
    offer: Bytes,
    told: Vec<u8>,
    proposed: Agreement,
    /// What the request says of the session timer.
    asked: Asked,
}

impl Bridged {
    /// A re-INVITE or an UPDATE.
    pub(super) fn change(
        mut self: Box<Self>,
        from: Side,
        received: ServerId,
        request: &Message<'_>,
        turn: &mut Turn<'_>,
    ) -> Box<Self> {
        if let Err(refusal) = self.try_change(from, received, request, turn) {
            refusal.write(|reply| turn.endpoint.respond(turn.now, received, reply));
        }
        self
    }

    fn try_change(
        &mut self,
        from: Side,
        received: ServerId,
        request: &Message<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        let is_update = request.start().method() == Some(Method::Update);
        let offer = request.description();
        let asked = Asked::of(request, turn.settings.session_timer)?;
        match (self.busy_with(from, is_update, offer, turn), offer) {
            (Some(busy), _) => return Err(busy),
            (None, []) if is_update => self.leg(from).accept(turn, received, asked, None),
            (None, []) => self.offer_again(from, received, asked, turn),
            (None, offer) => {
                let (by_update, has_hops) = (is_update, request.max_forwards() != Some(0));
                let offer = Bytes::copy_from_slice(offer);
                let offering = Offering { from, received, by_update, has_hops, asked, offer };
                let lines = self.wants_ports(&offering, turn);
                if lines.is_empty() {
                    self.carry(offering, turn)?;
                } else {
                    self.open_lines(offering, lines, turn);
                }
            }
        }
        Ok(())
    }

    /// Why a request that may change the session has to wait. RFC 3311 §5.2, and RFC 3261 §14.2 for a re-INVITE: 500 and when to try
    /// again if an offer of the same side has no answer yet, 491 if there is an offer to it, or one that crosses the bridge the other way.
    fn busy_with(&self, from: Side, is_update: bool, offer: &[u8], turn: &mut Turn<'_>) -> Option<Refusal> {
        let change = self.change.as_ref().filter(|_| !planted(Mutant::ChangesCross))?;
        match change {
            Change::Carried(carried) if carried.from == from => Some(Refusal::later(turn)),
            Change::Opening(waiting) if waiting.offering.from == from => Some(Refusal::later(turn)),
            // An UPDATE without an offer is no part of what is offered and answered.
            Change::Opening(_) | Change::Carried(_) | Change::Offered { .. } | Change::Refreshing { .. }
                if is_update && offer.is_empty() =>
            {
                None
            }
            Change::Opening(_) | Change::Carried(_) | Change::Offered { .. } | Change::Refreshing { .. } => {
                Some(Refusal::status(491))
            }
        }
    }

    /// A re-INVITE without an offer gets ours: the session as it is, but with all that the other side would do. That is how some
    /// resume a call that they hold.
    fn offer_again(&mut self, to: Side, received: ServerId, asked: Asked, turn: &mut Turn<'_>) {
        let wish = self.session.end(to.other()).wish();
        let agreement = self.session.agreement.clone();
        let offer = self.session.end(to).offer(to, &agreement, wish, turn);
        self.leg(to).accept(turn, received, asked, Some(&offer));
        self.change = Some(Change::Offered { received });
    }

    /// What an offer has that both sides may have, and there are no ports for yet.
    fn wants_ports(&mut self, offering: &Offering, turn: &Turn<'_>) -> Lines {
        let Offering { from, offer, has_hops, .. } = offering;
        let lacks = |line: &Line| *has_hops && self.session.lacks(*line, turn.settings);
        let lacking: Lines = Line::FURTHER.into_iter().filter(lacks).collect();
        if lacking.is_empty() {
            return lacking;
        }
        let would_have = self.session.end(*from).would_have(offer, turn.settings);
        lacking.into_iter().filter(|line| would_have.contains(line)).collect()
    }

    fn open_lines(&mut self, offering: Offering, lines: Lines, turn: &mut Turn<'_>) {
        let (flow, local) = (self.session.flow, turn.settings.media_bind);
        for line in &lines {
            turn.media(media::Command::Add { flow, line: *line, caller_local: local, client_local: local });
        }
        let until = turn.now.at + limits::MEDIA_OPEN_MAX;
        self.change = Some(Change::Opening(Box::new(Waiting { offering, lines, until })));
    }

    /// There are ports for a line, or none: an offer that waited for no other goes on.
    pub(super) fn line_opened(&mut self, line: Line, ports: Option<media::Ports>, turn: &mut Turn<'_>) {
        if let Some(ports) = ports {
            self.session.open_line(line, ports, turn.settings);
        }
        if let Some(Change::Opening(waiting)) = &mut self.change {
            waiting.lines.retain(|waits| *waits != line);
            if waiting.lines.is_empty() {
                self.carry_opened(turn);
            }
        }
    }

    /// An offer that waited for ports goes on.
    fn carry_opened(&mut self, turn: &mut Turn<'_>) {
        match self.change.take() {
            Some(Change::Opening(waiting)) => {
                let received = waiting.offering.received;
                if let Err(refusal) = self.carry(waiting.offering, turn) {
                    refusal.write(|reply| turn.endpoint.respond(turn.now, received, reply));
                }
            }
            change => self.change = change,
        }
    }

    /// The request of a change that has no final response yet.
    pub(super) fn unanswered_change(&self) -> Option<ServerId> {
        match self.change.as_ref()? {
            Change::Opening(waiting) => Some(waiting.offering.received),
            Change::Carried(carried) => Some(carried.received),
            Change::Offered { .. } | Change::Refreshing { .. } => None,
        }
    }

    /// An offer is carried to the other side, in that side's numbering.
    fn carry(&mut self, offering: Offering, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let Offering { from, received, by_update, has_hops, asked, offer: body } = offering;
        let (said, offer) = self.session.end(from).read(&body, turn.settings)?;
        let to = from.other();
        if self.session.end(from).repeats(&offer) {
            let directions = self.session.end(to).directions();
            let agreement = self.session.agreement.clone();
            let answer = self.session.end(from).answer(from, &offer, &agreement, directions);
            self.leg(from).accept(turn, received, asked, Some(&answer));
            return Ok(());
        }
        if !has_hops {
            return Err(Refusal::status(483));
        }
        let known = self.session.agreement.clone();
        let proposed = sdp::propose(from, &offer, Some(&known), self.session.end(to).outline())
            .map_err(|error| not_acceptable(&error))?;
        let proposed = self.session.taping.keep(&proposed)?;
        // RFC 3264 §8: versions of a description grow by one, so one that is not sent has none.
        let mut end = self.session.end(to).clone();
        let told = end.offer(to, &proposed, said.directions(), turn);
        let leg = self.leg(to);
        let method = if by_update && leg.allows(turn, "UPDATE") { Method::Update } else { Method::Invite };
        let sent = leg.send(turn, method, Some(&told)).ok_or_else(|| Refusal::status(491))?;
        *self.session.end(to) = end;
        let limit = turn.now.at + limits::UPDATE_WAIT_MAX;
        let patience = if by_update { Patience::Until(limit) } else { Patience::Endless };
        let carried = Carried { from, received, patience, sent, method, offer: body.clone(), told, proposed, asked };
        self.change = Some(Change::Carried(Box::new(carried)));
        Ok(())
    }

    /// What is carried, if a response of the other side's is to it.
    fn take_carried(&mut self, sent: ClientId) -> Option<Box<Carried>> {
        match self.change.take() {
            Some(Change::Carried(carried)) if carried.sent == sent => Some(carried),
            change => {
                self.change = change;
                None
            }
        }
    }

    /// A final response to what we carried, if it is that.
    pub(super) fn answered(
        mut self: Box<Self>,
        transaction: ClientId,
        response: &Message<'_>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> State {
        let status = status(response);
        if status >= 300 {
            return self.unanswered(transaction, (status, Some(response)), facts, turn);
        }
        let Some(carried) = self.take_carried(transaction) else { return self.stay() };
        let leg = self.leg(carried.from.other());
        leg.timer.take(turn.now.at, response);
        if carried.method == Method::Invite {
            turn.endpoint.acknowledge(turn.now, leg.dialog, transaction, None);
        }
        if carried.patience == Patience::Over {
            // The other side has a session that this side was refused.
            return self.end(End::failed("an UPDATE was answered too late"), facts, turn);
        }
        let received = carried.received;
        match self.settle(&carried, response.description(), turn) {
            Ok(answer) => {
                self.leg(carried.from).accept(turn, received, carried.asked, Some(&answer));
                self.stay()
            }
            Err(refusal) => {
                // The other side believes in a session that this side cannot have.
                refusal.write(|reply| turn.endpoint.respond(turn.now, received, reply));
                self.end(End::failed("an offer was answered with an unusable session"), facts, turn)
            }
        }
    }

    /// When an UPDATE that was carried must have its answer, or an offer waits for ports no longer.
    pub(super) fn patience_ends(&self) -> Option<Instant> {
        match self.change.as_ref()? {
            Change::Opening(waiting) => Some(waiting.until),
            Change::Carried(carried) => match carried.patience {
                Patience::Until(limit) => Some(limit),
                Patience::Endless | Patience::Over => None,
            },
            Change::Offered { .. } | Change::Refreshing { .. } => None,
        }
    }

    /// The other side lets an UPDATE wait for too long.
    pub(super) fn lose_patience(&mut self, turn: &mut Turn<'_>) {
        let is_due = self.patience_ends().is_some_and(|limit| turn.now.at >= limit);
        if is_due && matches!(self.change, Some(Change::Opening(_))) {
            return self.carry_opened(turn);
        }
        if let Some(Change::Carried(carried)) = self.change.as_mut().filter(|_| is_due) {
            carried.patience = Patience::Over;
            turn.endpoint.respond(turn.now, carried.received, &plain(504));
        }
    }

    /// Both sides have the new session: the relay is told, and the answer for `from` is made.
    fn settle(&mut self, carried: &Carried, answer: &[u8], turn: &mut Turn<'_>) -> Result<Vec<u8>, Refusal> {
        let (from, to) = (carried.from, carried.from.other());
        let agreement = self.session.end(to).hear_answer(to, &carried.proposed, answer, turn.settings)?;
        let (said, offer) = self.session.end(from).read(&carried.offer, turn.settings)?;
        self.session.end(from).hear(said, &offer, turn.rng);
        let directions = self.session.end(to).directions();
        let answer = self.session.end(from).answer(from, &offer, &agreement, directions);
        self.session.agreement = agreement;
        self.session.note_fax(turn.now.wall);
        for command in self.session.commands(turn.settings) {
            turn.media(command);
        }
        Ok(answer)
    }

    /// The other side refused what we carried, or said nothing. The session stays as it was, unless the dialog is gone
    /// (RFC 3261 §12.2.1.2).
    pub(super) fn unanswered(
        mut self: Box<Self>,
        transaction: ClientId,
        (status, response): (u16, Option<&Message<'_>>),
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> State {
        let Some(carried) = self.take_carried(transaction) else { return self.stay() };
        // It said that it allows UPDATE, and does not.
        if carried.method == Method::Update && matches!(status, 405 | 501) {
            return self.carry_again(*carried, Method::Invite, turn).stay();
        }
        let timer = &mut self.leg(carried.from.other()).timer;
        if status == 422 && response.is_some_and(|response| timer.raise(response)) {
            let method = carried.method;
            return self.carry_again(*carried, method, turn).stay();
        }
        let passed_on = match status {
            // A challenge is never answered and never passed on (RELIABILITY A8).
            401 | 407 => 488,
            // RFC 4320 §4.1: no 408 but for INVITE. RFC 3311 §5.2: 504 when the answer has to be waited for.
            408 if carried.patience != Patience::Endless => 504,
            status => status,
        };
        turn.endpoint.respond(turn.now, carried.received, &plain(passed_on));
        if matches!(status, 408 | 481) {
            return self.end(End::failed("the other side lost the call"), facts, turn);
        }
        self.stay()
    }

    /// The same once more, in the way that the other side wants it.
    fn carry_again(mut self: Box<Self>, carried: Carried, method: Method<'static>, turn: &mut Turn<'_>) -> Box<Self> {
        match self.leg(carried.from.other()).send(turn, method, Some(&carried.told)) {
            Some(sent) => self.change = Some(Change::Carried(Box::new(Carried { sent, method, ..carried }))),
            None => {
                turn.endpoint.respond(turn.now, carried.received, &plain(491));
            }
        }
        self
    }

    /// An ACK: of the first 2xx, or of one to a re-INVITE, perhaps with the answer to our offer.
    pub(super) fn acknowledged(
        mut self: Box<Self>,
        side: Side,
        transaction: ServerId,
        ack: &Message<'_>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> State {
        match self.change.take() {
            Some(Change::Offered { received }) if received == transaction => {
                self.change = planted(Mutant::ChangeKept).then_some(Change::Offered { received });
                let before = self.session.end(side).directions();
                if self.hear_own(side, ack.description(), turn).is_err() {
                    return self.end(End::failed("an ACK without a usable answer"), facts, turn);
                }
                self.session.end(side).has_chosen();
                if self.session.end(side).directions() != before && self.change.is_none() {
                    self.refresh_by_invite(side.other(), turn);
                }
            }
            change => self.change = change,
        }
        self.stay()
    }

    /// The answer to the session as it is, which was our offer. The relay hears of what it changes: to be told the same again would have
    /// it wait for a silent side anew.
    pub(super) fn hear_own(&mut self, side: Side, answer: &[u8], turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let before = self.session.commands(turn.settings);
        let agreement = self.session.agreement.clone();
        self.session.agreement = self.session.end(side).hear_answer(side, &agreement, answer, turn.settings)?;
        let after = self.session.commands(turn.settings);
        if before != after {
            after.into_iter().for_each(|command| turn.media(command));
        }
        Ok(())
    }
}
