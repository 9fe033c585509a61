//! Final answers to requests that have no transaction, kept for as long as those may come again (RFC 3261 §8.2.7: a stateless server gives
//! a repetition the same answer). Without it an INVITE that was refused for want of room could be taken when it comes again, and a call
//! would wait whose caller has gone elsewhere.
//! Not here: strangers' requests. Their answers do not change, and whoever floods us must not push out what is kept for others.

use super::key::ByFingerprint;
use crate::limits;
use crate::sip::transaction::timer::T1_64;
use crate::time::Instant;
use bytes::Bytes;
use std::collections::VecDeque;

/// The answers, the oldest forgotten first.
#[derive(Default)]
pub(super) struct Recent {
    by_key: ByFingerprint<Bytes>,
    oldest_first: VecDeque<(Instant, u128)>,
}

impl Recent {
    /// Keeps the answer to a request.
    pub(super) fn keep(&mut self, now: Instant, key: u128, answer: Bytes) {
        self.forget_before(now);
        if self.oldest_first.len() >= limits::SIP_ANSWERS_KEPT_MAX {
            self.forget_oldest();
        }
        if self.by_key.insert(key, answer).is_none() {
            self.oldest_first.push_back((now + T1_64, key));
        }
    }

    /// The answer that a request got before.
    pub(super) fn get(&mut self, now: Instant, key: u128) -> Option<&Bytes> {
        self.forget_before(now);
        self.by_key.get(&key)
    }

    fn forget_before(&mut self, now: Instant) {
        while self.oldest_first.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.oldest_first.pop_front() {
            self.by_key.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    #[test]
    fn an_answer_is_kept_for_64_t1() {
        let mut recent = Recent::default();
        recent.keep(Instant(0), 1, Bytes::from_static(b"503"));
        let end = Instant(0) + T1_64;
        assert!(recent.get(Instant(end.0 - 1), 1).is_some() && recent.get(Instant(0), 2).is_none());
        assert!(recent.get(end, 1).is_none());
        assert!(recent.by_key.is_empty() && recent.oldest_first.is_empty());
    }

    #[test]
    fn beyond_the_limit_the_oldest_answer_goes_first() {
        let mut recent = Recent::default();
        for key in 0..=limits::SIP_ANSWERS_KEPT_MAX {
            recent.keep(Instant(0) + Duration::from_micros(key as u64), key as u128, Bytes::new());
        }
        assert_eq!(recent.by_key.len(), limits::SIP_ANSWERS_KEPT_MAX);
        assert!(recent.get(Instant(0), 0).is_none() && recent.get(Instant(0), 1).is_some());
    }
}
