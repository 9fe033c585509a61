//! The calls that wait, by the name they wait for: what a client that subscribes late is told of, and which calls it may decline.
//! Not here: when a call stops waiting; the switch says so, and nothing here has a clock.

use crate::call::Incoming;
use crate::id::CallId;
use crate::name::Name;
use crate::sync::DashMap;
use std::sync::Arc;

/// A parked call's summary with its place in the order of notices.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Counts notices; the second half of the event's id.
    pub(super) sequence: u64,
    /// The call.
    pub(super) call: Incoming,
}

impl Waiting {
    /// What it keeps in memory, for the bound of a subscriber's queue.
    pub(super) fn bytes(&self) -> usize {
        let display = self.call.from_display.as_deref().map_or(0, str::len);
        let data = self.call.data.as_deref().map_or(0, str::len);
        size_of::<Waiting>() + self.call.from.len() + self.call.to.len() + display + data
    }
}

/// Parked calls by name. Written by the switch thread, read by the connections' tasks.
#[derive(Default)]
pub(super) struct Parked {
    /// Sorted by call id: one name may have 100,000 calls waiting, most have one.
    by_name: DashMap<Name, Vec<Arc<Waiting>>>,
}

impl Parked {
    /// Remembers a call; one that is parked again in a new generation takes the place of the old one.
    pub(super) fn insert(&self, waiting: Arc<Waiting>) {
        let name = waiting.call.name.clone();
        let mut calls = self.by_name.entry(name).or_insert_with(|| Vec::with_capacity(1));
        match calls.binary_search_by_key(&waiting.call.call, |other| other.call.call) {
            Ok(at) => calls[at] = waiting,
            Err(at) => calls.insert(at, waiting),
        }
    }

    /// Forgets a call.
    pub(super) fn remove(&self, name: &Name, call: CallId) {
        let emptied = match self.by_name.get_mut(name.as_str()) {
            Some(mut calls) => {
                if let Ok(at) = calls.binary_search_by_key(&call, |other| other.call.call) {
                    calls.remove(at);
                }
                calls.is_empty()
            }
            None => false,
        };
        if emptied {
            self.by_name.remove_if(name.as_str(), |_, calls| calls.is_empty());
        }
    }

    /// Whether this call waits for a name that reaches `subscriber`.
    pub(super) fn reaches(&self, call: CallId, subscriber: &Name) -> bool {
        subscriber.ancestry().any(|name| self.sequence(name, call).is_some())
    }

    /// The number that was called by a call that waits for a name which reaches `subscriber`.
    pub(super) fn called(&self, call: CallId, subscriber: &Name) -> Option<Arc<str>> {
        subscriber.ancestry().find_map(|name| self.look(name, call, |waiting| waiting.call.called.clone()))
    }

    /// Whether this summary is still the newest of its call.
    pub(super) fn holds(&self, waiting: &Waiting) -> bool {
        self.sequence(waiting.call.name.as_str(), waiting.call.call) == Some(waiting.sequence)
    }

    fn sequence(&self, name: &str, call: CallId) -> Option<u64> {
        self.look(name, call, |waiting| waiting.sequence)
    }

    fn look<T>(&self, name: &str, call: CallId, of: impl Fn(&Arc<Waiting>) -> T) -> Option<T> {
        let calls = self.by_name.get(name)?;
        let at = calls.binary_search_by_key(&call, |other| other.call.call).ok()?;
        calls.get(at).map(of)
    }

    /// The summary of a call that waits for this very name.
    pub(super) fn find(&self, name: &Name, call: CallId) -> Option<Arc<Waiting>> {
        self.look(name.as_str(), call, Arc::clone)
    }

    /// All calls that wait for `subscriber`, newest first, so that the oldest can be popped.
    pub(super) fn waiting_for(&self, subscriber: &Name) -> Vec<Arc<Waiting>> {
        let mut found = Vec::new();
        for name in subscriber.ancestry() {
            if let Some(calls) = self.by_name.get(name) {
                found.extend(calls.iter().cloned());
            }
        }
        found.sort_unstable_by_key(|waiting| std::cmp::Reverse(waiting.sequence));
        found
    }

    /// How many calls wait.
    pub(super) fn len(&self) -> usize {
        self.by_name.iter().map(|calls| calls.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_call_keeps_so_little_that_100_000_of_them_fit_in_40_mb() {
        // The summary with its counters, texts as trunks send them, and its place in the map.
        let (counters, texts, entry) = (16, 120, size_of::<(Name, Vec<Arc<Waiting>>)>() + 32);
        assert!(size_of::<Waiting>() + counters + texts + entry <= 400);
    }
}
