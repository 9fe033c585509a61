//! The calls that waited and do not any more, of late: what a client that comes back has to be told of those it still shows.
//! Not here: calls that still wait (`parked`).

use crate::call::Gone;
use crate::limits;
use crate::name::Name;
use crate::sync::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

/// The last ends, in the order of notices. Written by the switch thread, read by the connections' tasks.
#[derive(Default)]
pub(super) struct History(Mutex<Ends>);

#[derive(Default)]
struct Ends {
    kept: VecDeque<(u64, Arc<Gone>)>,
    /// The newest notice that is not kept any more.
    forgotten: u64,
}

impl History {
    /// Remembers the end that this notice tells of; forgets the oldest if there are too many.
    pub(super) fn push(&self, sequence: u64, gone: Arc<Gone>) {
        let mut ends = self.lock();
        if ends.kept.len() >= limits::ENDS_KEPT_MAX
            && let Some((sequence, _)) = ends.kept.pop_front()
        {
            ends.forgotten = sequence;
        }
        ends.kept.push_back((sequence, gone));
    }

    /// The ends after that notice that are for `subscriber`; `None` if one may be forgotten.
    pub(super) fn since(&self, last: u64, subscriber: &Name) -> Option<Vec<(u64, Arc<Gone>)>> {
        let ends = self.lock();
        if last < ends.forgotten {
            return None;
        }
        let later = ends.kept.partition_point(|(sequence, _)| *sequence <= last);
        let for_it = |(_, gone): &&(u64, Arc<Gone>)| gone.name.reaches(subscriber);
        Some(ends.kept.range(later..).filter(for_it).cloned().collect())
    }

    /// A poisoned lock is as good as any: no code between lock and unlock can leave the ends half changed.
    fn lock(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::GoneReason;
    use crate::id::CallId;
    use crate::time::Wall;

    fn gone(name: &str) -> Arc<Gone> {
        let name = Name::parse(name).unwrap();
        let (call, reason, winner, at, rings) = (CallId(1), GoneReason::Timeout, None, Wall(0), false);
        Arc::new(Gone { call, name, called: "+49301".into(), reason, winner, at, rings })
    }

    fn since(history: &History, last: u64, name: &str) -> Option<Vec<u64>> {
        let found = history.since(last, &Name::parse(name).unwrap())?;
        Some(found.iter().map(|(sequence, _)| *sequence).collect())
    }

    #[test]
    fn what_ended_since_is_told_to_those_whom_it_reaches() {
        let history = History::default();
        for (sequence, name) in [(2, "foo"), (5, "foo/web"), (7, "bar"), (9, "foobar")] {
            history.push(sequence, gone(name));
        }
        for (last, name, expected) in [
            (0, "foo", vec![2]),
            (0, "foo/web", vec![2, 5]),
            (2, "foo/web/one", vec![5]),
            (5, "foo/web", vec![]),
            (0, "bar", vec![7]),
            (100, "bar", vec![]),
        ] {
            assert_eq!(since(&history, last, name), Some(expected), "{last} {name}");
        }
    }

    #[test]
    fn who_was_away_for_too_long_is_told_so() {
        let history = History::default();
        let one_too_many = u64::try_from(limits::ENDS_KEPT_MAX).unwrap() + 1;
        (1..=one_too_many).for_each(|sequence| history.push(sequence, gone("foo")));
        assert_eq!(since(&history, 0, "foo"), None);
        assert_eq!(since(&history, 1, "foo").map(|ends| ends.len()), Some(limits::ENDS_KEPT_MAX));
    }
}
