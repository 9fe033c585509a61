//! The refreshes that a bridge sends to its sides (RFC 4028 §7.4, §10): UPDATE where the side allows it, else a re-INVITE with the session
//! as it is.
//! Not here: when (`session_timer`).

use super::bridged::{Bridged, End};
use super::change::Change;
use super::leg::{Answered, status};
use super::session_timer::{Due, glare_pause};
use super::{Facts, State, Turn};
use crate::id::Side;
use crate::limits;
use crate::sip::endpoint::ClientId;
use crate::sip::wire::{Message, Method};
use crate::time::{Duration, Instant};

impl Bridged {
    /// When to be called again.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let legs = [Side::Caller, Side::Client].map(|side| self.leg_of(side).timer.wake_at());
        legs.into_iter().chain([self.patience_ends(), self.ends_at()]).flatten().min()
    }

    /// Time has passed.
    pub(super) fn handle_timeout(mut self: Box<Self>, facts: &Facts, turn: &mut Turn<'_>) -> State {
        self.lose_patience(turn);
        for side in [Side::Caller, Side::Client] {
            match self.leg(side).timer.poll(turn.now.at) {
                Due::Nothing => {}
                Due::Refresh => self.refresh(side, turn),
                Due::Over => return self.end(End::failed("a session was not refreshed"), facts, turn),
            }
        }
        self.stay()
    }

    fn refresh(&mut self, to: Side, turn: &mut Turn<'_>) {
        let leg = self.leg(to);
        if !leg.allows(turn, "UPDATE") {
            return self.refresh_by_invite(to, turn);
        }
        leg.refresh = leg.send(turn, Method::Update, None).map(|sent| (sent, Method::Update));
        if leg.refresh.is_none() {
            leg.timer.retry(turn.now.at, pause(leg, turn));
        }
    }

    /// A re-INVITE with the session as it is. One change at a time: what is under way already may be a refresh by itself, and we look
    /// again a little later.
    pub(super) fn refresh_by_invite(&mut self, to: Side, turn: &mut Turn<'_>) {
        if self.change.is_none() && self.leg(to).refresh.is_none() {
            let directions = self.session.end(to.other()).directions();
            let agreement = self.session.agreement.clone();
            let mut end = self.session.end(to).clone();
            let offer = end.offer(to, &agreement, directions, turn);
            if let Some(sent) = self.leg(to).send(turn, Method::Invite, Some(&offer)) {
                *self.session.end(to) = end;
                self.change = Some(Change::Refreshing { to });
                self.leg(to).refresh = Some((sent, Method::Invite));
                return;
            }
        }
        let leg = self.leg(to);
        leg.timer.retry(turn.now.at, pause(leg, turn));
    }

    /// Whose refresh a final response answers, if it answers one; with it the refresh is over.
    pub(super) fn take_refresh(&mut self, transaction: ClientId) -> Option<(Side, Method<'static>)> {
        for side in [Side::Caller, Side::Client] {
            if let Some((_, method)) = self.leg(side).refresh.take_if(|(sent, _)| *sent == transaction) {
                self.change.take_if(|change| matches!(change, Change::Refreshing { to } if *to == side));
                return Some((side, method));
            }
        }
        None
    }

    /// A refresh was answered, or not (`None`).
    pub(super) fn refreshed(
        mut self: Box<Self>,
        (side, method): (Side, Method<'static>),
        transaction: ClientId,
        response: Option<&Message<'_>>,
        facts: &Facts,
        turn: &mut Turn<'_>,
    ) -> State {
        let lost = || End::failed("a refresh was not answered");
        let Some(response) = response else { return self.end(lost(), facts, turn) };
        let now = turn.now.at;
        let leg = self.leg(side);
        match status(response) {
            ..300 => {
                leg.timer.take(now, response);
                if method == Method::Invite {
                    turn.endpoint.acknowledge(turn.now, leg.dialog, transaction, None);
                    if self.hear_own(side, response.description(), turn).is_err() {
                        return self.end(End::failed("a refresh without a usable answer"), facts, turn);
                    }
                }
            }
            408 | 481 => return self.end(lost(), facts, turn),
            405 | 501 if method == Method::Update => self.refresh_by_invite(side, turn),
            422 if leg.timer.raise(response) => self.refresh(side, turn),
            491 => leg.timer.retry(now, pause(leg, turn)),
            // RFC 4028 §10: the session is over in its time, unless the next try is better.
            _ => leg.timer.retry(now, (leg.timer.left(now) / 2).max(limits::SESSION_RETRY_MIN)),
        }
        self.stay()
    }
}

/// How long to wait before a refresh that met another request goes again: longer in a dialog whose Call-ID is ours (RFC 3261 §14.1).
pub(super) fn pause(leg: &Answered, turn: &mut Turn<'_>) -> Duration {
    glare_pause(turn.endpoint.made(leg.dialog), turn.rng)
}
