//! Parked: the caller rings and the clients of the name were told. It ends when a client calls back, the caller hangs up, a client
//! declines, or time is up.
//! Not here: whether a callback is good (`switch::callback`): what comes here has its permit and its claim.

use super::leg::{Pending, plain, too_early};
use super::merging::{Callback, Merging};
use super::{Event, Facts, Over, State, Turn};
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
}

impl Parked {
    /// When to be called again.
    pub(super) fn wake_at(&self) -> Instant {
        self.deadline.min(self.repeat_at)
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
            | Event::Referred(_)
            | Event::FromTransferor(_)
            | Event::Acknowledged { .. }
            | Event::Response { .. }
            | Event::Failed { .. }
            | Event::Unacknowledged { .. }
            | Event::Media(_) => State::Parked(self),
        }
    }

    /// A callback that may have the call takes it, if the two sides can talk to each other at all.
    fn merge(self, callback: Callback, facts: &Facts, turn: &mut Turn<'_>) -> State {
        match Merging::begin(self, callback, facts, turn) {
            Ok(merging) => State::Merging(Box::new(merging)),
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
            if !planted(Mutant::RingNotRepeated) {
                self.caller.ring(turn, facts.route.ring);
            }
            self.repeat_at = turn.now.at + turn.settings.repeat;
        }
        State::Parked(self)
    }

    /// The final response that is no answer; clients are told, the record is written.
    fn end(self, over: Over, facts: &Facts, turn: &mut Turn<'_>) -> State {
        let record = facts.record(Some(self.caller.dialog), &over, turn);
        self.caller.refuse(turn, &over.refusal);
        facts.tell_gone(turn, over.gone, None);
        if !planted(Mutant::RecordNotWritten) {
            turn.write(record);
        }
        State::Over
    }
}
