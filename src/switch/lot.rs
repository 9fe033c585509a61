//! The lot: every call, found by its slot or its id; how many wait for whom; and what became of those that no longer wait.
//! Not here: what a call does.

use crate::call::{Call, GoneReason};
use crate::id::{CallId, CallRef};
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::name::Name;
use crate::time::{Instant, Now, Wall};
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

/// All calls that are not over.
#[derive(Default)]
pub(super) struct Lot {
    slots: Slab<Slot>,
    /// Grows with every call, so a slot's next tenant has another generation.
    generation: u32,
    by_id: HashMap<CallId, CallRef>,
    waiting: Waiting,
    fates: Fates,
}

/// A call's place. The call is out of it while it takes a step, so that a step which panics leaves no call behind.
struct Slot {
    generation: u32,
    /// When its alarm goes off.
    armed: Option<Instant>,
    id: CallId,
    call: Option<Call>,
}

impl Lot {
    /// The place that the next call will get; a transaction needs its owner's name before the call exists.
    pub(super) fn next(&mut self) -> CallRef {
        self.generation = self.generation.wrapping_add(1);
        CallRef { slot: u32::try_from(self.slots.vacant_key()).unwrap_or(u32::MAX), generation: self.generation }
    }

    /// Puts a new call in the place that [`Lot::next`] named.
    pub(super) fn insert(&mut self, at: CallRef, id: CallId, call: Call) {
        let slot = self.slots.insert(Slot { generation: at.generation, armed: None, id, call: Some(call) });
        debug_assert_eq!(u32::try_from(slot), Ok(at.slot), "no call came in between");
        self.by_id.insert(id, at);
    }

    /// Takes a call out for one step.
    pub(super) fn take(&mut self, at: CallRef) -> Option<Call> {
        self.slot(at)?.call.take()
    }

    /// Puts it back after the step.
    pub(super) fn put(&mut self, at: CallRef, call: Call) {
        if let Some(slot) = self.slot(at) {
            slot.call = Some(call);
        }
    }

    /// Frees the place of a call that is over.
    pub(super) fn remove(&mut self, at: CallRef) {
        if let Some(id) = self.slot(at).map(|slot| slot.id) {
            self.by_id.remove(&id);
            self.slots.remove(at.slot as usize);
        }
    }

    /// Where the call of that id is.
    pub(super) fn find(&self, id: CallId) -> Option<CallRef> {
        self.by_id.get(&id).copied()
    }

    /// A look at a call.
    pub(super) fn get(&self, at: CallRef) -> Option<&Call> {
        self.slots.get(at.slot as usize).filter(|slot| slot.generation == at.generation)?.call.as_ref()
    }

    /// A call in its place, to be changed without a step.
    pub(super) fn get_mut(&mut self, at: CallRef) -> Option<&mut Call> {
        self.slot(at)?.call.as_mut()
    }

    /// Whether a new alarm is needed for a call to be woken at `wanted`: not if one goes off before.
    pub(super) fn arm(&mut self, at: CallRef, wanted: Instant) -> Option<Instant> {
        let slot = self.slot(at)?;
        if slot.armed.is_some_and(|armed| armed <= wanted) {
            return None;
        }
        slot.armed = Some(wanted);
        Some(wanted)
    }

    /// An alarm went off: when the call wants to be woken, if this is its alarm and it does.
    pub(super) fn disarm(&mut self, at: CallRef, due: Instant) -> Option<Instant> {
        let slot = self.slot(at)?;
        slot.armed.take_if(|armed| *armed == due)?;
        slot.call.as_ref()?.wake_at()
    }

    /// When a call's INVITE came, if the call is here or its fate is remembered.
    pub(super) fn started(&self, id: CallId) -> Option<Now> {
        let living = self.find(id).and_then(|at| self.get(at)).map(|call| call.facts().started);
        living.or_else(|| self.fates.by_call.get(&id).map(|(_, fate)| fate.started))
    }

    /// Whether there are no calls and nobody is counted.
    pub(super) fn is_clear(&self) -> bool {
        self.slots.is_empty() && self.by_id.is_empty() && self.waiting.is_clear()
    }

    /// How many calls there are, in any state.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// All calls' places, lowest slot first.
    pub(super) fn all(&self) -> Vec<CallRef> {
        let place = |(key, slot): (usize, &Slot)| {
            u32::try_from(key).ok().map(|key| CallRef { slot: key, generation: slot.generation })
        };
        self.slots.iter().filter_map(place).collect()
    }

    /// Who waits for whom.
    pub(super) fn waiting(&mut self) -> &mut Waiting {
        &mut self.waiting
    }

    /// What became of calls that no longer wait.
    pub(super) fn fates(&mut self) -> &mut Fates {
        &mut self.fates
    }

    /// Each call in its place.
    #[cfg(feature = "sim")]
    pub(super) fn each(&self) -> impl Iterator<Item = (CallRef, &Call)> {
        self.slots.iter().filter_map(|(key, slot)| {
            let at = CallRef { slot: u32::try_from(key).ok()?, generation: slot.generation };
            Some((at, slot.call.as_ref()?))
        })
    }

    /// When a call's alarm goes off.
    #[cfg(feature = "sim")]
    pub(super) fn armed(&self, at: CallRef) -> Option<Instant> {
        self.slots.get(at.slot as usize)?.armed
    }

    /// Who waits for whom, to be looked at only.
    #[cfg(feature = "sim")]
    pub(super) fn waits(&self) -> &Waiting {
        &self.waiting
    }

    fn slot(&mut self, at: CallRef) -> Option<&mut Slot> {
        self.slots.get_mut(at.slot as usize).filter(|slot| slot.generation == at.generation)
    }
}

/// Counts by which new calls are admitted: of all calls a trunk, of waiting calls a name, a source, and in total.
#[derive(Default)]
pub(super) struct Waiting {
    total: u32,
    trunks: HashMap<Arc<str>, u32>,
    names: HashMap<Name, u32>,
    sources: HashMap<IpAddr, u32>,
}

impl Waiting {
    /// A call has begun to wait.
    pub(super) fn enter(&mut self, name: &Name, source: IpAddr) {
        self.total += 1;
        *self.names.entry(name.clone()).or_default() += 1;
        *self.sources.entry(source).or_default() += 1;
    }

    /// A call no longer waits: it is bridged, or over.
    pub(super) fn leave(&mut self, name: &Name, source: IpAddr) {
        self.total = self.total.saturating_sub(1);
        count_down(&mut self.names, name);
        if !planted(Mutant::SourceKept) {
            count_down(&mut self.sources, &source);
        }
    }

    /// A trunk has one call more.
    pub(super) fn begin(&mut self, trunk: &Arc<str>) {
        *self.trunks.entry(trunk.clone()).or_default() += 1;
    }

    /// A call of a trunk is over.
    pub(super) fn end(&mut self, trunk: &Arc<str>) {
        count_down(&mut self.trunks, trunk);
    }

    fn is_clear(&self) -> bool {
        self.total == 0 && self.trunks.is_empty() && self.names.is_empty() && self.sources.is_empty()
    }

    /// Calls that wait.
    pub(super) fn total(&self) -> u32 {
        self.total
    }

    /// Calls that wait for a name.
    pub(super) fn of_name(&self, name: &Name) -> u32 {
        self.names.get(name).copied().unwrap_or(0)
    }

    /// Calls that wait and came from one source address.
    pub(super) fn of_source(&self, source: IpAddr) -> u32 {
        self.sources.get(&source).copied().unwrap_or(0)
    }

    /// All calls of a trunk.
    pub(super) fn of_trunk(&self, trunk: &str) -> u32 {
        self.trunks.get(trunk).copied().unwrap_or(0)
    }
}

/// Counts one down and forgets a key that nobody counts any more.
pub(super) fn count_down<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// What became of a call that no longer waits, for whoever calls back late.
#[derive(Clone, Debug)]
pub(super) struct Fate {
    /// Why it no longer waits.
    pub(super) reason: GoneReason,
    /// Who answered it.
    pub(super) winner: Option<Name>,
    /// When.
    pub(super) at: Wall,
    /// When its INVITE came.
    pub(super) started: Now,
}

/// Fates, kept for [`limits::TOMBSTONE_LIFE`], the oldest forgotten first.
#[derive(Default)]
pub(super) struct Fates {
    by_call: HashMap<CallId, (Instant, Fate)>,
    oldest_first: VecDeque<(Instant, CallId)>,
}

impl Fates {
    /// Remembers one.
    pub(super) fn remember(&mut self, now: Instant, call: CallId, fate: Fate) {
        self.forget_before(now);
        if self.oldest_first.len() >= limits::TOMBSTONES_MAX {
            self.forget_oldest();
        }
        let until = now + limits::TOMBSTONE_LIFE;
        self.by_call.insert(call, (until, fate));
        self.oldest_first.push_back((until, call));
    }

    /// A call waits again: what had become of it is not true any more.
    pub(super) fn forget(&mut self, call: CallId) {
        self.by_call.remove(&call);
    }

    /// The fate of a call, while it is remembered.
    pub(super) fn of(&mut self, now: Instant, call: CallId) -> Option<&Fate> {
        self.forget_before(now);
        self.by_call.get(&call).map(|(_, fate)| fate)
    }

    fn forget_before(&mut self, now: Instant) {
        while self.oldest_first.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((until, call)) = self.oldest_first.pop_front() else { return };
        // It may have waited again since, and have another fate.
        if self.by_call.get(&call).is_some_and(|(kept, _)| *kept <= until) {
            self.by_call.remove(&call);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    fn fate() -> Fate {
        Fate { reason: GoneReason::Timeout, winner: None, at: Wall(0), started: Now::default() }
    }

    #[test]
    fn a_fate_is_remembered_for_its_time_and_no_longer() {
        let mut fates = Fates::default();
        fates.remember(Instant(0), CallId(1), fate());
        let end = Instant(0) + limits::TOMBSTONE_LIFE;
        assert!(fates.of(Instant(end.0 - 1), CallId(1)).is_some());
        assert!(fates.of(end, CallId(1)).is_none());
        assert!(fates.by_call.is_empty() && fates.oldest_first.is_empty());
    }

    #[test]
    fn a_call_that_waits_again_has_no_fate_and_its_next_one_lasts_as_long_as_any() {
        let mut fates = Fates::default();
        let later = Duration::from_secs(10);
        fates.remember(Instant(0), CallId(1), fate());
        fates.forget(CallId(1));
        assert!(fates.of(Instant(0), CallId(1)).is_none());
        fates.remember(Instant(0) + later, CallId(1), fate());
        let end = Instant(0) + limits::TOMBSTONE_LIFE;
        assert!(fates.of(end, CallId(1)).is_some(), "the first one's time does not end the second");
        assert!(fates.of(end + later, CallId(1)).is_none());
        assert!(fates.by_call.is_empty() && fates.oldest_first.is_empty());
    }

    #[test]
    fn beyond_the_limit_the_oldest_fate_goes_first() {
        let mut fates = Fates::default();
        for call in 0..=limits::TOMBSTONES_MAX {
            fates.remember(Instant(0) + Duration::from_micros(call as u64), CallId(call as u128), fate());
        }
        assert_eq!(fates.by_call.len(), limits::TOMBSTONES_MAX);
        assert!(fates.of(Instant(0), CallId(0)).is_none());
        assert!(fates.of(Instant(0), CallId(1)).is_some());
    }

    #[test]
    fn counts_come_back_to_nothing() {
        let mut waiting = Waiting::default();
        let (name, source, trunk) = (Name::parse("foo").unwrap(), "192.0.2.1".parse().unwrap(), Arc::from("t"));
        waiting.enter(&name, source);
        waiting.enter(&name, source);
        waiting.begin(&trunk);
        assert_eq!((waiting.total(), waiting.of_name(&name), waiting.of_source(source)), (2, 2, 2));
        assert_eq!(waiting.of_trunk("t"), 1);
        waiting.leave(&name, source);
        waiting.leave(&name, source);
        waiting.end(&trunk);
        assert_eq!(waiting.total() + waiting.of_name(&name) + waiting.of_source(source) + waiting.of_trunk("t"), 0);
        assert!(waiting.is_clear());
    }
}
