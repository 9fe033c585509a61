//! Callbacks that wait for policy's answer, found by the question and by the call that they want. Each waits a bounded time: a question
//! that nobody answers is answered with no.
//! Not here: what a verdict does (`callback`).

use super::callback::Asking;
use crate::id::{CallRef, QuestionId};
use crate::limits;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// All of them. Ids grow and every question waits equally long, so the oldest is the first that is overdue.
#[derive(Default)]
pub(super) struct Questions {
    last: u64,
    open: BTreeMap<QuestionId, (Instant, Asking)>,
    by_call: BTreeSet<(CallRef, QuestionId)>,
}

impl Questions {
    /// One more.
    pub(super) fn ask(&mut self, now: Instant, asking: Asking) -> QuestionId {
        self.last += 1;
        let id = QuestionId(self.last);
        self.by_call.insert((asking.call(), id));
        self.open.insert(id, (now + limits::POLICY_WAIT_MAX, asking));
        id
    }

    /// Somebody has answered, or need not any more. `None`: it was closed before.
    pub(super) fn close(&mut self, id: QuestionId) -> Option<Asking> {
        let (_, asking) = self.open.remove(&id)?;
        self.by_call.remove(&(asking.call(), id));
        Some(asking)
    }

    /// Closes the first one about a call that is `wanted`.
    pub(super) fn close_of(&mut self, call: CallRef, wanted: impl Fn(&Asking) -> bool) -> Option<Asking> {
        let about = self.by_call.range((call, QuestionId(0))..=(call, QuestionId(u64::MAX)));
        let mut ids = about.map(|(_, id)| *id);
        let found = ids.find(|id| self.open.get(id).is_some_and(|(_, asking)| wanted(asking)))?;
        self.close(found)
    }

    /// One that has waited too long.
    pub(super) fn overdue(&self, now: Instant) -> Option<QuestionId> {
        self.open.first_key_value().filter(|(_, (until, _))| *until <= now).map(|(id, _)| *id)
    }

    /// When the next one will have waited too long.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.open.first_key_value().map(|(_, (until, _))| *until)
    }

    /// Whose callbacks wait.
    #[cfg(feature = "sim")]
    pub(super) fn subjects(&self) -> impl Iterator<Item = crate::token::SubjectHash> {
        self.open.values().map(|(_, asking)| asking.subject())
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.by_call.is_empty()
    }
}
