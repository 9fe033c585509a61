//! The calls that clients were told of and that still wait, by name: what a client is told of that comes later.
//! Not here: what is known of a call (`call`), and the same for clients on WebSockets (`notify`).

use crate::id::CallId;
use crate::name::Name;
use std::collections::BTreeSet;

/// Of each call its name, its id and the number of its notice.
#[derive(Default)]
pub(super) struct Posted(BTreeSet<(Name, CallId, u64)>);

impl Posted {
    /// A call waits.
    pub(super) fn add(&mut self, name: &Name, call: CallId, sequence: u64) {
        self.0.insert((name.clone(), call, sequence));
    }

    /// A call waits no more.
    pub(super) fn remove(&mut self, name: &Name, call: CallId) {
        let there = self.0.range((name.clone(), call, 0)..=(name.clone(), call, u64::MAX)).next().cloned();
        there.into_iter().for_each(|one| _ = self.0.remove(&one));
    }

    /// Whether the notice of that number is still the last word of its call.
    pub(super) fn holds(&self, name: &Name, call: CallId, sequence: u64) -> bool {
        self.0.contains(&(name.clone(), call, sequence))
    }

    /// All that wait for a client of this name, the one that was told first first.
    pub(super) fn waiting_for(&self, client: &Name) -> Vec<(u64, CallId)> {
        let names = client.ancestry().filter_map(|name| Name::parse(name).ok());
        let of = |name: Name| self.0.range((name.clone(), CallId(0), 0)..=(name, CallId(u128::MAX), u64::MAX));
        let mut found: Vec<_> = names.flat_map(of).map(|(_, call, sequence)| (*sequence, *call)).collect();
        found.sort_unstable();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_finds_what_waits_for_its_name_and_those_above_it() {
        let name = |text| Name::parse(text).unwrap();
        let mut posted = Posted::default();
        for (sequence, (called, call)) in (1..).zip([("foo", 9), ("foo/web", 1), ("foo", 3), ("foobar", 4), ("bar", 5)])
        {
            posted.add(&name(called), CallId(call), sequence);
        }
        let waiting = |posted: &Posted, client| {
            posted.waiting_for(&name(client)).iter().map(|(_, call)| call.0).collect::<Vec<_>>()
        };
        assert_eq!(waiting(&posted, "foo/web"), [9, 1, 3]);
        assert_eq!(waiting(&posted, "foo"), [9, 3]);
        assert!(posted.holds(&name("foo"), CallId(9), 1) && !posted.holds(&name("foo"), CallId(9), 2));
        posted.remove(&name("foo"), CallId(9));
        posted.remove(&name("foo"), CallId(9));
        assert_eq!(waiting(&posted, "foo/mobile/2"), [3]);
        assert!(waiting(&posted, "fo").is_empty());
    }
}
