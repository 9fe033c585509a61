//! What DNS said, for as long as it said so, and beyond that for as long as nobody says anything else (RFC 8767): a trunk must not be
//! lost because a name server is.
//! Not here: asking.

use crate::limits;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What was asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// RFC 3403.
    Naptr,
    /// RFC 2782.
    Srv,
    /// An IPv4 address.
    V4,
    /// An IPv6 address.
    V6,
}

/// Answers by name and kind. Empty ones count too: that there is no NAPTR is asked once a while, not each time.
pub(super) struct Cache<R> {
    entries: BTreeMap<(String, Kind), Entry<R>>,
}

struct Entry<R> {
    records: Vec<R>,
    /// Until when the answer is good.
    fresh_until: Instant,
    /// Until when it may stand in where there is no other.
    stale_until: Instant,
}

/// What the cache knows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known<R> {
    /// It is good: ask nobody.
    Fresh(Vec<R>),
    /// It was good: ask, and take this if there is no answer.
    Stale(Vec<R>),
    /// Nothing.
    Unknown,
}

impl<R> Default for Cache<R> {
    fn default() -> Cache<R> {
        Cache { entries: BTreeMap::new() }
    }
}

impl<R: Clone> Cache<R> {
    pub(super) fn look_up(&self, now: Instant, name: &str, kind: Kind) -> Known<R> {
        match self.entries.get(&(name.to_owned(), kind)) {
            Some(entry) if now < entry.fresh_until => Known::Fresh(entry.records.clone()),
            Some(entry) if now < entry.stale_until => Known::Stale(entry.records.clone()),
            Some(_) | None => Known::Unknown,
        }
    }

    /// Keeps an answer for as long as it says, within our bounds.
    pub(super) fn keep(&mut self, now: Instant, name: &str, kind: Kind, records: Vec<R>, life: Duration) {
        self.entries.retain(|_, entry| now < entry.stale_until);
        if self.entries.len() >= limits::DNS_ANSWERS_KEPT_MAX {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.stale_until).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.entries.remove(&key));
        }
        let fresh_until = now + life.clamp(limits::DNS_LIFE_MIN, limits::DNS_LIFE_MAX);
        let entry = Entry { records, fresh_until, stale_until: fresh_until + limits::DNS_STALE_MAX };
        self.entries.insert((name.to_owned(), kind), entry);
    }

    /// A test's way to let time pass: nothing is fresh any more.
    #[cfg(test)]
    pub(super) fn expire(&mut self, now: Instant) {
        self.entries.values_mut().for_each(|entry| entry.fresh_until = now);
    }

    /// Nobody answers: the old answer is good a little longer, so that a name server that is gone is not asked for each request
    /// (RFC 8767 §5).
    pub(super) fn extend(&mut self, now: Instant, name: &str, kind: Kind) {
        if let Some(entry) = self.entries.get_mut(&(name.to_owned(), kind)) {
            entry.fresh_until = (now + limits::DNS_RETRY_AFTER).min(entry.stale_until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_fresh_then_stale_then_forgotten() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        assert_eq!(cache.look_up(now, "d", Kind::V4), Known::Unknown);
        cache.keep(now, "d", Kind::V4, vec![1], Duration::from_secs(60));
        assert_eq!(cache.look_up(now + Duration::from_secs(59), "d", Kind::V4), Known::Fresh(vec![1]));
        assert_eq!(cache.look_up(now, "d", Kind::V6), Known::Unknown);
        let later = now + Duration::from_secs(60);
        assert_eq!(cache.look_up(later, "d", Kind::V4), Known::Stale(vec![1]));
        cache.extend(later, "d", Kind::V4);
        assert_eq!(cache.look_up(later, "d", Kind::V4), Known::Fresh(vec![1]), "nobody is asked for a while");
        let end = later + limits::DNS_STALE_MAX;
        cache.extend(end, "d", Kind::V4);
        assert_eq!(cache.look_up(end, "d", Kind::V4), Known::Unknown, "not for ever");
    }

    #[test]
    fn a_life_of_nothing_or_of_ever_is_brought_within_bounds() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        cache.keep(now, "short", Kind::V4, vec![1], Duration::ZERO);
        assert_eq!(cache.look_up(now, "short", Kind::V4), Known::Fresh(vec![1]));
        cache.keep(now, "long", Kind::V4, vec![1], Duration::from_secs(1 << 31));
        assert_eq!(cache.look_up(now + limits::DNS_LIFE_MAX, "long", Kind::V4), Known::Stale(vec![1]));
    }

    #[test]
    fn it_is_bounded_and_the_oldest_goes_first() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        for at in 0..=limits::DNS_ANSWERS_KEPT_MAX {
            let now = now + Duration::from_millis(u64::try_from(at).unwrap());
            cache.keep(now, &at.to_string(), Kind::V4, vec![at], Duration::from_secs(60));
        }
        assert_eq!(cache.entries.len(), limits::DNS_ANSWERS_KEPT_MAX);
        assert_eq!(cache.look_up(now, "0", Kind::V4), Known::Unknown);
        assert_ne!(cache.look_up(now, "1", Kind::V4), Known::Unknown);
    }
}
