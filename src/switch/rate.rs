//! How many calls a second a trunk may send: a bucket that holds a second's worth and fills by the calls' own clock.
//! Not here: how many there may be at one time (`lot`).

use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The buckets of all trunks, by name. As long as the list of trunks.
#[derive(Default)]
pub(super) struct Rates(BTreeMap<Arc<str>, Bucket>);

/// When the bucket would be empty if nothing more came: so one number says how full it is.
#[derive(Clone, Copy, Default)]
struct Bucket {
    full_at: Instant,
}

impl Rates {
    /// Takes one call of a trunk that may send so many a second. The error: how long until the next has room.
    pub(super) fn take(&mut self, now: Instant, trunk: &Arc<str>, per_second: u32) -> Result<(), Duration> {
        const SECOND: Duration = Duration::from_secs(1);
        let one = SECOND / per_second.max(1);
        let bucket = self.0.entry(Arc::clone(trunk)).or_default();
        let begins = bucket.full_at.max(now);
        let waits = (begins - now + one).saturating_sub(SECOND);
        // A rate that does not divide a second is counted in whole microseconds.
        if waits > Duration::from_micros(1) {
            return Err(waits);
        }
        bucket.full_at = begins + one;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(rates: &mut Rates, at: Instant, per_second: u32, tries: u32) -> u32 {
        let one = || u32::from(rates.take(at, &"t".into(), per_second).is_ok());
        std::iter::repeat_with(one).take(usize::try_from(tries).unwrap()).sum()
    }

    #[test]
    fn a_second_s_worth_comes_at_once_and_then_one_after_the_other() {
        for per_second in [1, 3, 7, 100] {
            let mut rates = Rates::default();
            let start = Instant(5_000_000);
            assert_eq!(taken(&mut rates, start, per_second, per_second * 2), per_second, "{per_second}");
            let wait = rates.take(start, &"t".into(), per_second).unwrap_err();
            let next = start + Duration::from_secs(1) / per_second + Duration::from_micros(1);
            assert!(start + wait <= next, "{wait:?}");
            assert_eq!(taken(&mut rates, next, per_second, 3), 1, "{per_second}");
            assert_eq!(taken(&mut rates, next + Duration::from_secs(9), per_second, per_second * 2), per_second);
            assert!(rates.take(start, &"other".into(), per_second).is_ok(), "each trunk has its own");
        }
    }

    #[test]
    fn over_a_minute_no_more_come_than_the_rate_and_one_second_s_worth() {
        let mut rates = Rates::default();
        let all: u32 = (0..60_000).map(|at| taken(&mut rates, Instant(at * 1000), 30, 1)).sum();
        assert!((1800..=1830).contains(&all), "{all}");
    }
}
