//! Parked: the caller rings and the clients of the name were told. It ends when a client calls back, the caller hangs up, a client
//! declines, or time is up.
//! Not here: whether a callback is good (`switch::callback`): what comes here has its permit and its claim.

use super::hearing::Hearing;
use super::leg::{Pending, plain, too_early};
use super::merging::{Callback, Merging};
use super::{Event, Facts, Over, State, Turn};
use crate::id::FlowId;
use crate::media;
use crate::mutant::{Mutant, planted};
use crate::sip::endpoint::ServerId;
use crate::sip::wire::{Message, Method};
use crate::time::Instant;

/// The caller waits.
#[derive(Debug)]
pub(super) struct Parked {
    /// Its leg.
    pub caller: Pending,
    /// When waiting ends in the route's fallback.
    pub deadline: Instant,
    /// When the provisional response is due again.
    pub repeat_at: Instant,
    /// What it hears, if that is more than its own telephone's ringing.
    pub hearing: Option<Box<Hearing>>,
}

impl Parked {
    /// When to be called again.
    pub(super) fn wake_at(&self) -> Instant {
        let opens = self.hearing.as_ref().and_then(|hearing| hearing.wake_at());
        self.deadline.min(self.repeat_at).min(opens.unwrap_or(self.deadline))
    }

    /// Its media, if it has any.
    pub(super) fn flow(&self) -> Option<FlowId> {
        self.hearing.as_ref().map(|hearing| hearing.flow())
    }

    /// The same without ports that are only awaited: it rings.
    pub(super) fn without_opening(self, facts: &Facts, turn: &mut Turn<'_>) -> Parked {
        match self.hearing {
            Some(hearing) if hearing.heard().is_none() => {
                hearing.end(turn);
                Parked { hearing: None, ..self }.rung(facts, turn)
            }
            hearing => Parked { hearing, ..self },
        }
    }

    /// The caller is told that it rings, once more.
    fn rung(self, facts: &Facts, turn: &mut Turn<'_>) -> Parked {
        match &self.hearing {
            Some(hearing) => hearing.ring(&self.caller, turn),
            None => self.caller.ring(turn, facts.route.ring, None),
        }
        self
    }

    /// The relay says something of what it hears.
    fn handle_media(mut self, event: &media::Event, facts: &Facts, turn: &mut Turn<'_>) -> Parked {
        let Some(hearing) = self.hearing.take_if(|hearing| hearing.flow() == event.flow()) else { return self };
        let was_told = hearing.heard().is_some();
        match event {
            media::Event::Opened { caller, client, .. } if !was_told => {
                self.hearing = hearing.opened((*caller, *client), &self.caller, facts, turn).map(Box::new);
            }
            // A flow that failed is closed as any other: whoever keeps count sees its end.
            media::Event::Failed { .. } => hearing.end(turn),
            media::Event::Closed { .. } => {}
            media::Event::Opened { .. }
            | media::Event::Added { .. }
            | media::Event::Latched { .. }
            | media::Event::Silent { .. }
            | media::Event::Dtmf { .. }
            | media::Event::Warning { .. } => self.hearing = Some(hearing),
        }
        if self.hearing.is_none() && !was_told { self.rung(facts, turn) } else { self }
    }

    /// Something happened.
    pub(super) fn handle(self, event: Event<'_>, facts: &Facts, turn: &mut Turn<'_>) -> State {
        match event {
            Event::Callback(callback) => self.merge(*callback, facts, turn),
            Event::Cancelled { .. } => self.end(Over::cancelled(), facts, turn),
            Event::Request { transaction, request, .. } => self.handle_request(transaction, request, facts, turn),
            Event::Declined { .. } => self.end(Over::declined(), facts, turn),
            Event::Timeout => self.handle_timeout(facts, turn),
            Event::ProvisionalUnacknowledged { .. } => self.end(Over::provisional_unacknowledged(), facts, turn),
            Event::Stop | Event::Abandon => self.end(Over::stopped(), facts, turn),
            Event::Routed { .. }
            | Event::Ringing { .. }
            | Event::Pressed { .. }
            | Event::Referred(_)
            | Event::FromTransferor(_)
            | Event::Acknowledged { .. }
            | Event::Response { .. }
            | Event::Failed { .. }
            | Event::Unacknowledged { .. } => State::Parked(self),
            Event::Media(event) => State::Parked(self.handle_media(&event, facts, turn)),
        }
    }

    /// A callback that may have the call takes it, if the two sides can talk to each other at all.
    fn merge(self, callback: Callback, facts: &Facts, turn: &mut Turn<'_>) -> State {
        match Merging::begin(self, callback, facts, turn) {
            Ok(merging) => merging.start(facts, turn),
            Err(unable) => {
                unable.client.refuse(turn, &unable.refusal);
                State::Parked(unable.parked)
            }
        }
    }

    /// A request in the early dialog. RFC 3261 §15 lets the caller hang up by BYE; anything that would change a session that does
    /// not exist yet has to wait (§14.2).
    fn handle_request(self, transaction: ServerId, request: &Message<'_>, facts: &Facts, turn: &mut Turn<'_>) -> State {
        if request.start().method() == Some(Method::Bye) {
            turn.endpoint.respond(turn.now, transaction, &plain(200));
            return self.end(Over::cancelled(), facts, turn);
        }
        too_early(turn, transaction, request);
        State::Parked(self)
    }

    fn handle_timeout(mut self, facts: &Facts, turn: &mut Turn<'_>) -> State {
        if turn.now.at >= self.deadline {
            return self.end(Over::timeout(facts.route.fallback_status), facts, turn);
        }
        if turn.now.at >= self.repeat_at {
            // RFC 3261 §13.3.1.1: proxies on the way forget a call that says nothing for three minutes.
            self.repeat_at = turn.now.at + turn.settings.repeat;
            if !planted(Mutant::RingNotRepeated) {
                self = self.rung(facts, turn);
            }
        }
        let is_late = |at: Instant| turn.now.at >= at;
        if self.hearing.as_ref().and_then(|hearing| hearing.wake_at()).is_some_and(is_late) {
            self = self.without_opening(facts, turn);
        }
        State::Parked(self)
    }

    /// The final response that is no answer; clients are told, the record is written.
    fn end(self, over: Over, facts: &Facts, turn: &mut Turn<'_>) -> State {
        if let Some(hearing) = self.hearing {
            hearing.end(turn);
        }
        let record = facts.record(Some(self.caller.dialog), &over, turn);
        self.caller.refuse(turn, &over.refusal);
        facts.tell_gone(turn, over.gone, None);
        if !planted(Mutant::RecordNotWritten) {
            turn.write(record);
        }
        State::Over
    }
}
