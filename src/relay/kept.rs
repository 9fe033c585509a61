//! Which bridges have no flow and keep their sockets for the next one: to close four sockets and open four others costs a busy
//! system more than all else that the relay does for a short call. Each rests as its ports would (`relay::ports`), and which of them is
//! next is drawn from many, so that nobody who has had a call knows the ports of another (RELIABILITY A1).
//! Not here: the bridges themselves, which stay in their places (`relay::worker`).

use crate::limits;
use crate::rng::Rng;
use crate::time::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// The addresses of a bridge's two sides: the caller's, the client's.
pub(super) type Locals = (IpAddr, IpAddr);

/// The places of all bridges without a flow.
pub(super) struct Kept {
    shelves: BTreeMap<Locals, Shelf>,
    count: usize,
    count_max: usize,
    rng: Rng,
}

/// Bridges of the same two addresses, each with the time at which its flow ended.
#[derive(Default)]
struct Shelf {
    /// In the order of that time.
    resting: VecDeque<(Instant, usize)>,
    /// Those that may be taken, in no order.
    ready: Vec<(Instant, usize)>,
}

impl Kept {
    pub(super) fn new(count_max: usize, rng: Rng) -> Kept {
        Kept { shelves: BTreeMap::new(), count: 0, count_max: count_max.min(limits::RELAY_KEPT_MAX), rng }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether there is room for one more.
    pub(super) fn has_room(&self) -> bool {
        self.count < self.count_max
    }

    /// The flow in this place has ended.
    pub(super) fn put(&mut self, now: Instant, locals: Locals, key: usize) {
        self.shelves.entry(locals).or_default().resting.push_back((now, key));
        self.count += 1;
    }

    /// A place for the next flow, any that has rested as likely as any other; `None` if fewer than `choice_min` have.
    pub(super) fn take(&mut self, now: Instant, locals: Locals, choice_min: usize) -> Option<usize> {
        let shelf = self.shelves.get_mut(&locals)?;
        shelf.wake(now);
        let choice = u32::try_from(shelf.ready.len()).ok().filter(|&choice| choice > 0)?;
        if shelf.ready.len() < choice_min {
            return None;
        }
        let (_, key) = shelf.ready.swap_remove(usize::try_from(self.rng.below(choice)).ok()?);
        self.count -= 1;
        Some(key)
    }

    /// One that nobody has wanted for too long: its sockets are to be closed.
    pub(super) fn poll_unwanted(&mut self, now: Instant) -> Option<usize> {
        let unwanted = |(since, _): &(Instant, usize)| *since + limits::RELAY_KEPT_TIME_MAX <= now;
        let key = self.shelves.values_mut().find_map(|shelf| {
            shelf.wake(now);
            let at = shelf.ready.iter().position(unwanted)?;
            Some(shelf.ready.swap_remove(at).1)
        })?;
        self.count -= 1;
        Some(key)
    }

    /// This place is no more, if it was one of these.
    pub(super) fn forget(&mut self, key: usize) {
        for shelf in self.shelves.values_mut() {
            shelf.resting.retain(|(_, kept)| *kept != key);
            shelf.ready.retain(|(_, kept)| *kept != key);
        }
        self.count = self.shelves.values().map(|shelf| shelf.resting.len() + shelf.ready.len()).sum();
    }
}

impl Shelf {
    fn wake(&mut self, now: Instant) {
        while self.resting.front().is_some_and(|(since, _)| *since + limits::PORT_REST_MIN <= now) {
            self.ready.extend(self.resting.pop_front());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: Locals = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST));
    const THERE: Locals = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));
    const START: Instant = Instant(1_000_000);

    fn kept(keys: std::ops::Range<usize>) -> Kept {
        let mut kept = Kept::new(100, Rng::from_seed([1; 32]));
        keys.for_each(|key| kept.put(START, HERE, key));
        kept
    }

    #[test]
    fn one_is_taken_when_it_has_rested_and_there_is_a_choice() {
        let rested = START + limits::PORT_REST_MIN;
        for (rule, now, locals, choice_min, taken) in [
            ("rested", rested, HERE, 3, true),
            ("at_rest", Instant(rested.0 - 1), HERE, 3, false),
            ("too_few", rested, HERE, 4, false),
            ("other_addresses", rested, THERE, 1, false),
        ] {
            let mut kept = kept(0..3);
            assert_eq!(kept.take(now, locals, choice_min).is_some(), taken, "{rule}");
            assert_eq!(kept.count(), if taken { 2 } else { 3 }, "{rule}");
        }
    }

    #[test]
    fn each_is_taken_once_and_in_no_order() {
        let mut kept = kept(0..100);
        let rested = START + limits::PORT_REST_MIN;
        let mut taken: Vec<usize> = std::iter::from_fn(|| kept.take(rested, HERE, 1)).collect();
        assert!(!taken.is_sorted());
        taken.sort_unstable();
        assert_eq!((taken, kept.count()), ((0..100).collect(), 0));
    }

    #[test]
    fn what_nobody_wants_is_given_up() {
        let mut kept = kept(0..2);
        let late = START + limits::RELAY_KEPT_TIME_MAX;
        kept.put(late, HERE, 2);
        assert_eq!(kept.poll_unwanted(Instant(late.0 - 1)), None);
        let mut unwanted: Vec<usize> = std::iter::from_fn(|| kept.poll_unwanted(late)).collect();
        unwanted.sort_unstable();
        assert_eq!((unwanted, kept.count()), (vec![0, 1], 1));
    }

    #[test]
    fn a_place_that_is_forgotten_is_never_taken() {
        let mut kept = kept(0..2);
        kept.forget(0);
        kept.forget(7);
        assert_eq!(kept.count(), 1);
        let rested = START + limits::PORT_REST_MIN;
        assert_eq!([(); 2].map(|()| kept.take(rested, HERE, 1)), [Some(1), None]);
    }

    #[test]
    fn there_is_room_for_so_many() {
        assert!(kept(0..99).has_room());
        assert!(!kept(0..100).has_room());
    }
}
