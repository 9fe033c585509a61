//! Which indices of one source were used, as far back as it matters.
//! Not here: whose window it is (`sources`). RFC 3711 §3.3.1 (the index of an RTP packet), §3.3.2 (replay).

use crate::limits;

/// How many indices are remembered.
const REMEMBERED: u64 = limits::SRTP_WINDOW_PACKETS as u64;
/// Bits of a word.
const WORD_BITS: usize = 64;
/// Words that remember.
const WORDS: usize = limits::SRTP_WINDOW_PACKETS / WORD_BITS;
/// Half of all sequence numbers: whoever jumps further has come the other way.
const HALF_ROUND: u64 = 1 << 15;
/// All sequence numbers, which the roll-over counter counts.
const ROUND: u64 = 1 << 16;

/// The highest index that was used, and which of those before it.
#[derive(Debug)]
pub(super) struct Window {
    highest: u64,
    /// A bit for each of the last [`REMEMBERED`] indices, at the place that its remainder says.
    used: [u64; WORDS],
}

impl Window {
    /// One in which a single index was used.
    pub(super) fn beginning_with(index: u64) -> Window {
        let mut window = Window { highest: index, used: [0; WORDS] };
        window.mark(index, true);
        window
    }

    /// The index of an RTP packet with this sequence number: of the round that brings it closest to the highest (RFC 3711 §3.3.1,
    /// appendix A). `None` if that would be before the first round.
    #[inline]
    pub(super) fn estimate(&self, sequence: u16) -> Option<u64> {
        let same_round = self.highest & !(ROUND - 1) | u64::from(sequence);
        if same_round > self.highest + HALF_ROUND {
            same_round.checked_sub(ROUND)
        } else if same_round + HALF_ROUND < self.highest {
            Some(same_round + ROUND)
        } else {
            Some(same_round)
        }
    }

    /// Whether an index was certainly not used yet.
    #[inline]
    pub(super) fn is_fresh(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(back) => back < REMEMBERED && !self.is_marked(index),
        }
    }

    /// An index is used from now on.
    #[inline]
    pub(super) fn insert(&mut self, index: u64) {
        if index > self.highest {
            // The places of those in between still tell of others, long past.
            let first = (self.highest + 1).max(index.saturating_sub(REMEMBERED));
            (first..index).for_each(|between| self.mark(between, false));
            self.highest = index;
        }
        self.mark(index, true);
    }

    fn is_marked(&self, index: u64) -> bool {
        let (word, bit) = place(index);
        self.used.get(word).is_some_and(|word| word & bit != 0)
    }

    fn mark(&mut self, index: u64, used: bool) {
        let (word, bit) = place(index);
        if let Some(word) = self.used.get_mut(word) {
            *word = *word & !bit | if used { bit } else { 0 };
        }
    }
}

/// The word that remembers an index, and its bit.
fn place(index: u64) -> (usize, u64) {
    let place = usize::try_from(index % REMEMBERED).unwrap_or_default();
    (place / WORD_BITS, 1 << (place % WORD_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_is_the_one_that_brings_a_number_closest() {
        for (rule, highest, sequence, expect) in [
            ("next", 0x0000_0007, 0x0008, Some(0x0000_0008)),
            ("same", 0x0000_0007, 0x0007, Some(0x0000_0007)),
            ("late", 0x0001_0007, 0x0001, Some(0x0001_0001)),
            ("over_the_edge", 0x0000_FFFF, 0x0000, Some(0x0001_0000)),
            ("far_over_the_edge", 0x0000_FFFF, 0x7FFE, Some(0x0001_7FFE)),
            ("late_over_the_edge", 0x0001_0000, 0xFFFF, Some(0x0000_FFFF)),
            ("late_before_the_first_round", 0x0000_0000, 0xFFFF, None),
            ("far_late_before_the_first_round", 0x0000_7FFE, 0xFFFF, None),
            ("half_a_round_ahead", 0x0001_0001, 0x8001, Some(0x0001_8001)),
            ("more_than_half_a_round_ahead", 0x0001_0001, 0x8002, Some(0x0000_8002)),
            ("half_a_round_back", 0x0001_8001, 0x0001, Some(0x0001_0001)),
            ("more_than_half_a_round_back", 0x0001_8001, 0x0000, Some(0x0002_0000)),
            ("after_the_last", 0xFFFF_FFFF_FFFF, 0x0000, Some(0x1_0000_0000_0000)),
        ] {
            assert_eq!(Window::beginning_with(highest).estimate(sequence), expect, "{rule}");
        }
    }

    /// The algorithm of RFC 3711's appendix A, step by step, against ours.
    #[test]
    fn the_round_is_that_of_the_appendix() {
        let appendix = |highest: u64, sequence: u64| {
            let (round, low) = (highest >> 16, highest & 0xFFFF);
            let guess = if low < 32_768 {
                if sequence > low + 32_768 { round.checked_sub(1) } else { Some(round) }
            } else if low - 32_768 > sequence {
                Some(round + 1)
            } else {
                Some(round)
            };
            guess.map(|round| round << 16 | sequence)
        };
        let mut rng = crate::rng::Rng::from_seed([7; 32]);
        for _ in 0..200_000 {
            let highest = u64::from(rng.below(3 << 16));
            // Often exactly about half a round away.
            let near = (highest + HALF_ROUND - 2 + u64::from(rng.below(5))) % ROUND;
            let sequence = if rng.below(2) == 0 { near } else { u64::from(rng.below(1 << 16)) };
            let ours = Window::beginning_with(highest).estimate(u16::try_from(sequence).unwrap());
            assert_eq!(ours, appendix(highest, sequence), "{highest:#x} {sequence:#x}");
        }
    }

    /// Against a set that forgets nothing.
    #[test]
    fn an_index_is_fresh_once_and_never_when_it_is_too_old() {
        for (seed, spread) in [(1, 4), (2, 100), (3, 300), (4, 2_000)] {
            let mut rng = crate::rng::Rng::from_seed([seed; 32]);
            let mut window = Window::beginning_with(100_000);
            let mut used = std::collections::BTreeSet::from([100_000]);
            let (mut fresh, mut stale) = (0, 0);
            for _ in 0..20_000 {
                let highest = *used.last().unwrap();
                let step = u64::from(rng.below(spread));
                let index = if rng.below(8) == 0 { highest + step } else { highest - step };
                let expect = index + REMEMBERED > highest && !used.contains(&index);
                assert_eq!(window.is_fresh(index), expect, "{index} of {highest}");
                if expect {
                    used.insert(index);
                    window.insert(index);
                    fresh += 1;
                } else {
                    stale += 1;
                }
            }
            assert!(fresh > 1_000 && stale > 1_000, "{fresh} {stale}");
        }
    }

    #[test]
    fn the_window_ends_where_it_is_said_to_end() {
        let window = Window::beginning_with(5_000);
        assert!(window.is_fresh(5_000 - (REMEMBERED - 1)));
        assert!(!window.is_fresh(5_000 - REMEMBERED));
        assert!(!window.is_fresh(5_000) && window.is_fresh(5_001));
    }
}
