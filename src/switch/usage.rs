//! What each subject has: bridges, places that are reserved for callbacks which policy is asked about, and calls that it has answered.
//! A place is reserved before anybody is asked, so no two callbacks can both take the last one, whatever answers come in which order.
//! Not here: how many it may have (`policy`), and when a call is a bridge (`step`).
//!
//! ```text
//!  reserve ─▶ asked ─no─▶ release
//!                   └yes─▶ release, merge ─▶ begin ─▶ end
//!                                       └─▶ give back: it was no call
//! ```
//! All of it is in memory: after a restart everybody has answered nothing.

use crate::limits;
use crate::policy::Spent;
use crate::time::{Duration, Instant, Now};
use crate::token::SubjectHash;
use std::collections::{BTreeMap, BTreeSet, HashMap};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// All subjects that have anything.
#[derive(Default)]
pub(super) struct Usage {
    places: HashMap<SubjectHash, Places>,
    /// The number of the last reservation.
    last: u64,
    tallies: Tallies,
}

/// A reserved place. Reservations are served in their order: a later one takes nothing from an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place(u64);

/// Which place a call takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// A callback is being joined to it.
    Merging,
    /// It is a bridge.
    Bridged,
}

/// The places of one subject.
#[derive(Default)]
struct Places {
    bridged: u32,
    merging: u32,
    /// Reservations, in their order.
    reserved: Vec<Place>,
}

impl Places {
    fn sum(&self) -> u32 {
        self.bridged + self.merging + u32::try_from(self.reserved.len()).unwrap_or(u32::MAX)
    }

    /// Those that are about to become bridges before this one.
    fn pending(&self, place: Place) -> u32 {
        let before = self.reserved.iter().filter(|other| other.0 < place.0).count();
        self.merging + u32::try_from(before).unwrap_or(u32::MAX)
    }
}

impl Usage {
    /// All places of a subject.
    #[cfg(feature = "sim")]
    pub(super) fn of(&self, subject: SubjectHash) -> u32 {
        self.places.get(&subject).map_or(0, Places::sum)
    }

    /// Whether nobody has any. What was answered is not had.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Reserves a place.
    pub(super) fn reserve(&mut self, subject: SubjectHash) -> Place {
        self.last += 1;
        let place = Place(self.last);
        self.places.entry(subject).or_default().reserved.push(place);
        place
    }

    /// A reservation is served, or nobody wants it any more.
    pub(super) fn release(&mut self, subject: SubjectHash, place: Place) {
        self.change(subject, |places| places.reserved.retain(|other| *other != place));
    }

    /// What policy is told of the subject for whose callback this place is reserved: its bridges, and what it has answered. Those that are
    /// about to become bridges count, if they were first.
    pub(super) fn before(&self, now: Instant, subject: SubjectHash, place: Place) -> (u32, Spent) {
        let places = self.places.get(&subject);
        let pending = places.map_or(0, |places| places.pending(place));
        let bridges = places.map_or(0, |places| places.bridged) + pending;
        (bridges, self.tallies.spent(now, subject, pending))
    }

    /// Counts this subject's calls from now on, at least `until`. `false`: there is no room for one more subject.
    pub(super) fn count(&mut self, now: Instant, subject: SubjectHash, until: Instant) -> bool {
        self.tallies.open(now, subject, until.max(now + DAY))
    }

    /// A call's place becomes another: one that becomes a bridge has been answered.
    pub(super) fn pass(&mut self, now: Now, before: Option<(SubjectHash, Taken)>, after: Option<(SubjectHash, Taken)>) {
        if before == after {
            return;
        }
        if let Some((subject, taken)) = before {
            self.change(subject, |places| *places.of(taken) = places.of(taken).saturating_sub(1));
        }
        if let Some((subject, taken)) = after {
            *self.places.entry(subject).or_default().of(taken) += 1;
            if taken == Taken::Bridged {
                self.tallies.note(now.at, subject);
            }
        }
    }

    fn change(&mut self, subject: SubjectHash, how: impl FnOnce(&mut Places)) {
        if let Some(places) = self.places.get_mut(&subject) {
            how(places);
            if places.sum() == 0 {
                self.places.remove(&subject);
            }
        }
    }
}

impl Places {
    fn of(&mut self, taken: Taken) -> &mut u32 {
        match taken {
            Taken::Merging => &mut self.merging,
            Taken::Bridged => &mut self.bridged,
        }
    }
}

/// What subjects have answered whose calls are limited in number, by subject and by when that may be forgotten.
#[derive(Default)]
struct Tallies {
    by_subject: BTreeMap<SubjectHash, Tally>,
    by_end: BTreeSet<(Instant, SubjectHash)>,
}

struct Tally {
    in_all: u32,
    hour: Period,
    day: Period,
    until: Instant,
}

/// A period begins with the first call in it.
#[derive(Clone, Copy)]
struct Period {
    ends: Instant,
    calls: u32,
}

impl Period {
    fn calls(self, now: Instant) -> u32 {
        if now < self.ends { self.calls } else { 0 }
    }

    fn note(&mut self, now: Instant, length: Duration) {
        if now >= self.ends {
            *self = Period { ends: now + length, calls: 0 };
        }
        self.calls = self.calls.saturating_add(1);
    }
}

impl Tallies {
    fn spent(&self, now: Instant, subject: SubjectHash, pending: u32) -> Spent {
        let tally = self.by_subject.get(&subject);
        let sum = |of: fn(&Tally, Instant) -> u32| tally.map_or(0, |it| of(it, now)).saturating_add(pending);
        Spent {
            in_all: sum(|tally, _| tally.in_all),
            this_hour: sum(|tally, now| tally.hour.calls(now)),
            today: sum(|tally, now| tally.day.calls(now)),
        }
    }

    fn open(&mut self, now: Instant, subject: SubjectHash, until: Instant) -> bool {
        while let Some((end, over)) = self.by_end.first().copied().filter(|(end, _)| *end <= now) {
            self.by_end.remove(&(end, over));
            self.by_subject.remove(&over);
        }
        let is_full = self.by_subject.len() >= limits::SUBJECTS_COUNTED_MAX;
        match self.by_subject.get_mut(&subject) {
            None if is_full => return false,
            None => {
                let none = Period { ends: Instant(0), calls: 0 };
                self.by_subject.insert(subject, Tally { in_all: 0, hour: none, day: none, until });
            }
            Some(tally) => {
                self.by_end.remove(&(tally.until, subject));
                tally.until = tally.until.max(until);
            }
        }
        let until = self.by_subject.get(&subject).map_or(until, |tally| tally.until);
        self.by_end.insert((until, subject));
        true
    }

    /// A call was answered: nothing happens if this subject's are not counted.
    fn note(&mut self, now: Instant, subject: SubjectHash) {
        if let Some(tally) = self.by_subject.get_mut(&subject) {
            tally.in_all = tally.in_all.saturating_add(1);
            tally.hour.note(now, HOUR);
            tally.day.note(now, DAY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;

    const ANNA: SubjectHash = SubjectHash([1; 16]);

    fn at(seconds: u64) -> Now {
        Now { at: Instant(0) + Duration::from_secs(seconds), wall: Wall(0) }
    }

    fn answer(usage: &mut Usage, now: Now) {
        usage.pass(now, None, Some((ANNA, Taken::Merging)));
        usage.pass(now, Some((ANNA, Taken::Merging)), Some((ANNA, Taken::Bridged)));
        usage.pass(now, Some((ANNA, Taken::Bridged)), None);
    }

    fn spent(usage: &mut Usage, now: Now) -> (u32, u32, u32) {
        let place = usage.reserve(ANNA);
        let (_, Spent { in_all, this_hour, today }) = usage.before(now.at, ANNA, place);
        usage.release(ANNA, place);
        (in_all, this_hour, today)
    }

    #[test]
    fn an_earlier_reservation_counts_for_a_later_one_and_not_the_other_way() {
        let mut usage = Usage::default();
        let (first, second) = (usage.reserve(ANNA), usage.reserve(ANNA));
        let bridges = |usage: &Usage, place| usage.before(Instant(0), ANNA, place).0;
        assert_eq!((bridges(&usage, first), bridges(&usage, second)), (0, 1));
        usage.release(ANNA, first);
        assert_eq!(bridges(&usage, second), 0);
        usage.pass(at(0), None, Some((ANNA, Taken::Merging)));
        assert_eq!(bridges(&usage, second), 1);
        usage.release(ANNA, second);
        usage.pass(at(0), Some((ANNA, Taken::Merging)), None);
        assert!(usage.is_empty());
    }

    #[test]
    fn what_was_answered_is_counted_by_the_hour_by_the_day_and_in_all() {
        let mut usage = Usage::default();
        answer(&mut usage, at(0));
        assert_eq!(spent(&mut usage, at(0)), (0, 0, 0), "nobody wanted to know it");
        assert!(usage.count(at(0).at, ANNA, at(1_000_000).at));
        for (seconds, before) in
            [(10, (0, 0, 0)), (3_609, (1, 1, 1)), (3_610, (2, 0, 2)), (86_409, (3, 0, 3)), (86_410, (4, 1, 0))]
        {
            assert_eq!(spent(&mut usage, at(seconds)), before, "{seconds}");
            answer(&mut usage, at(seconds));
        }
        assert!(usage.is_empty());
    }

    #[test]
    fn what_did_not_become_a_bridge_was_no_call() {
        let mut usage = Usage::default();
        assert!(usage.count(Instant(0), ANNA, Instant(0)));
        usage.pass(at(0), None, Some((ANNA, Taken::Merging)));
        assert_eq!(spent(&mut usage, at(0)), (1, 1, 1), "it may yet");
        usage.pass(at(0), Some((ANNA, Taken::Merging)), None);
        assert_eq!(spent(&mut usage, at(0)), (0, 0, 0));
    }

    #[test]
    fn a_tally_is_forgotten_when_it_says_nothing_any_more_and_never_for_want_of_room() {
        let mut usage = Usage::default();
        assert!(usage.count(Instant(0), ANNA, Instant(0)));
        answer(&mut usage, at(0));
        let end = Instant(0) + DAY;
        assert!(usage.count(Instant(end.0 - 1), ANNA, Instant(0)), "again");
        assert_eq!(usage.tallies.by_end.len(), 1);
        let until = Instant(end.0 - 1) + DAY;
        let of = |number: usize| SubjectHash((number as u128 + (1 << 64)).to_be_bytes());
        assert!((1..limits::SUBJECTS_COUNTED_MAX).all(|number| usage.count(until, of(number), Instant(0))));
        assert_eq!(usage.tallies.by_subject.len(), limits::SUBJECTS_COUNTED_MAX - 1, "Anna's was over");
        assert!(usage.count(until, of(0), Instant(0)));
        assert!(!usage.count(until, ANNA, Instant(0)), "full");
        assert!(usage.count(until, of(7), Instant(0)), "who is counted goes on being counted");
    }
}
