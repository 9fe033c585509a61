//! Nonces that need no memory until they were of use: the time and some chance under an HMAC, so that only ours are believed and
//! asking for them costs nothing (RFC 7616 §3.3, §5.4). What is remembered is the count of those that proved a password, so that a
//! request which was overheard is worth nothing to whoever sends it again (RFC 7616 §3.4 `nc`).
//! Not here: the challenge around a nonce (`gate`).
//!
//! ```text
//!  base64url of:  0 seconds 4 │ 4 chance 8 │ 8 the first 10 bytes of HMAC-SHA-256 18       24 characters, always
//! ```

use crate::limits;
use crate::rng::Rng;
use crate::time::Instant;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;
use std::collections::{BTreeMap, VecDeque};

/// What of a nonce is under its HMAC; also what names it.
type Stamp = [u8; STAMP_BYTES];
const STAMP_BYTES: usize = 8;
const TAG_BYTES: usize = 10;

/// Makes nonces and knows them again.
pub(super) struct Nonces {
    key: hmac::Key,
    used: Used,
}

impl Nonces {
    pub(super) fn new(rng: &mut Rng) -> Nonces {
        let mut secret = [0; 32];
        rng.fill(&mut secret);
        Nonces { key: hmac::Key::new(hmac::HMAC_SHA256, &secret), used: Used::default() }
    }

    /// A new one.
    pub(super) fn make(&self, now: Instant, rng: &mut Rng) -> String {
        let [a, b, c, d] = seconds(now).to_be_bytes();
        let [e, f, g, h, ..] = rng.u64().to_be_bytes();
        let stamp = [a, b, c, d, e, f, g, h];
        let tag = hmac::sign(&self.key, &stamp);
        let tag = tag.as_ref().get(..TAG_BYTES).unwrap_or_default();
        BASE64_URL_SAFE_NO_PAD.encode([&stamp[..], tag].concat())
    }

    /// Whether a request with this nonce and count is the first of its kind, and counts it. To be asked only once the response was
    /// found right: what is remembered here is what holders of passwords sent.
    pub(super) fn spend(&mut self, now: Instant, nonce: &str, count: u32) -> bool {
        let Some(stamp) = self.open(nonce) else { return false };
        let issued = issued(stamp);
        let age = u64::from(seconds(now)).checked_sub(u64::from(issued));
        let is_alive = age.is_some_and(|age| age < limits::DIGEST_NONCE_LIFE.as_secs());
        is_alive && self.used.count(seconds(now), stamp, count)
    }

    /// The stamp of a nonce of ours.
    fn open(&self, nonce: &str) -> Option<Stamp> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(nonce).ok().filter(|bytes| bytes.len() == STAMP_BYTES + TAG_BYTES)?;
        let (stamp, tag) = bytes.split_first_chunk::<STAMP_BYTES>()?;
        let expected = hmac::sign(&self.key, stamp);
        // The HMAC is cut, which `hmac::verify` does not know: compared under the key once more, time says nothing.
        let (expected, tag) = (hmac::sign(&self.key, expected.as_ref().get(..TAG_BYTES)?), tag);
        hmac::verify(&self.key, tag, expected.as_ref()).ok().map(|()| *stamp)
    }
}

/// The core's time in whole seconds; it begins with the process, as the key does.
fn seconds(now: Instant) -> u32 {
    u32::try_from(now.0 / 1_000_000).unwrap_or(u32::MAX)
}

fn issued([a, b, c, d, ..]: Stamp) -> u32 {
    u32::from_be_bytes([a, b, c, d])
}

/// The highest count of each nonce that was of use, the first used forgotten first.
#[derive(Default)]
struct Used {
    counts: BTreeMap<Stamp, u32>,
    oldest_first: VecDeque<Stamp>,
    /// Nonces issued before are no longer taken: one of that age had to be forgotten for want of room, and which is not known.
    since: u32,
}

impl Used {
    fn count(&mut self, now: u32, stamp: Stamp, count: u32) -> bool {
        self.forget_before(now);
        if issued(stamp) < self.since {
            return false;
        }
        if let Some(highest) = self.counts.get_mut(&stamp) {
            let is_new = count > *highest;
            *highest = count.max(*highest);
            return is_new;
        }
        if self.oldest_first.len() >= limits::DIGEST_NONCES_MAX {
            self.forget_oldest(now);
        }
        self.counts.insert(stamp, count);
        self.oldest_first.push_back(stamp);
        count > 0
    }

    fn forget_before(&mut self, now: u32) {
        let life = limits::DIGEST_NONCE_LIFE.as_secs();
        // In the order of first use, not of issue: one that is alive may keep some dead ones behind it, within the limit.
        while self.oldest_first.front().is_some_and(|stamp| u64::from(issued(*stamp)) + life <= u64::from(now)) {
            self.forget_oldest(now);
        }
    }

    fn forget_oldest(&mut self, now: u32) {
        let Some(stamp) = self.oldest_first.pop_front() else { return };
        self.counts.remove(&stamp);
        if u64::from(issued(stamp)) + limits::DIGEST_NONCE_LIFE.as_secs() > u64::from(now) {
            self.since = self.since.max(issued(stamp).saturating_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    const START: Instant = Instant(7_000_000);

    fn made() -> (Nonces, String) {
        let mut rng = Rng::from_seed([1; 32]);
        let nonces = Nonces::new(&mut rng);
        let nonce = nonces.make(START, &mut rng);
        (nonces, nonce)
    }

    #[test]
    fn a_nonce_is_good_for_its_life_and_each_count_once() {
        let (mut nonces, nonce) = made();
        assert_eq!(nonce.len(), 24);
        let end = START + limits::DIGEST_NONCE_LIFE;
        for (now, count, good) in [
            (START, 0, false),
            (START, 1, true),
            (START, 1, false),
            (START, 3, true),
            (START, 2, false),
            (Instant(end.0 - 1), 4, true),
            (end, 5, false),
            (Instant(0), 6, false),
        ] {
            assert_eq!(nonces.spend(now, &nonce, count), good, "{now:?} {count}");
        }
    }

    #[test]
    fn a_nonce_that_is_not_ours_is_not_good() {
        let (mut nonces, nonce) = made();
        let (mut others, _) = (Nonces::new(&mut Rng::from_seed([2; 32])), ());
        assert!(!others.spend(START, &nonce, 1));
        for at in 0..nonce.len() {
            let mut changed = nonce.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(!nonces.spend(START, std::str::from_utf8(&changed).unwrap(), 1), "byte {at}");
        }
        for nonce in ["", "abc", &nonce[..23], &format!("{nonce}A"), "no base64 but 24 letters"] {
            assert!(!nonces.spend(START, nonce, 1), "{nonce}");
        }
        assert!(nonces.spend(START, &nonce, 1));
    }

    #[test]
    fn what_is_forgotten_for_want_of_room_is_not_taken_again() {
        let (mut nonces, first) = made();
        let mut rng = Rng::from_seed([3; 32]);
        assert!(nonces.spend(START, &first, 1));
        let later = START + Duration::from_secs(2);
        for _ in 0..limits::DIGEST_NONCES_MAX {
            let nonce = nonces.make(later, &mut rng);
            assert!(nonces.spend(later, &nonce, 1));
        }
        assert_eq!(nonces.used.counts.len(), limits::DIGEST_NONCES_MAX);
        assert!(!nonces.spend(later, &first, 1) && !nonces.spend(later, &first, 2));
        // Dead ones make room by themselves, and nothing is taken back for it.
        let much_later = later + limits::DIGEST_NONCE_LIFE;
        let nonce = nonces.make(much_later, &mut rng);
        assert!(nonces.spend(much_later, &nonce, 1));
        assert_eq!((nonces.used.counts.len(), nonces.used.oldest_first.len()), (1, 1));
    }
}
