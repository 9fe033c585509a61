//! The switch's side of the trunks that we go to: their timers, what DNS says of them, and what they answer.
//! Not here: what is done about it (`trunk`).

use super::{Effect, Switch};
use crate::id::TargetId;
use crate::sip::endpoint::ClientId;
use crate::sip::target::{Hop, Unlocated};
use crate::sip::wire::{Message, Method};
use crate::time::Now;
use crate::trunk::{Trunks, Turn};

impl Switch {
    /// The same switch with trunks to go to.
    pub fn with_trunks(mut self, trunks: Trunks) -> Switch {
        self.trunks = trunks;
        self
    }

    /// The trunks that we go to.
    pub fn trunks(&self) -> &Trunks {
        &self.trunks
    }

    pub(super) fn attend_trunks(&mut self, now: Now) {
        self.with_turn(now, |trunks, turn| trunks.handle_timeout(turn));
    }

    /// No more calls from trunks that know where we are by our registration.
    pub(super) fn leave_trunks(&mut self, now: Now) {
        self.with_turn(now, |trunks, turn| trunks.leave(turn));
    }

    pub(super) fn handle_located(&mut self, now: Now, at: TargetId, found: Result<Vec<Hop>, Unlocated>) {
        self.with_turn(now, |trunks, turn| trunks.handle_located(turn, at, found));
    }

    pub(super) fn trunk_answered(
        &mut self,
        now: Now,
        at: TargetId,
        (request, method, status): (ClientId, Method<'_>, u16),
        answer: Option<&Message<'_>>,
    ) {
        self.with_turn(now, |trunks, turn| trunks.handle_answer(turn, at, (request, method, status), answer));
    }

    fn with_turn(&mut self, now: Now, step: impl FnOnce(&mut Trunks, &mut Turn<'_>)) {
        let mut turn = Turn { now, endpoint: &mut self.endpoint, rng: &mut self.rng };
        step(&mut self.trunks, &mut turn);
        self.effects.extend(std::iter::from_fn(|| self.trunks.poll_locate()).map(Effect::Locate));
    }
}
