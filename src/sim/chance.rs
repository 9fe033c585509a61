//! Where a simulation's decisions come from: a number, or bytes that a fuzzer made. The same source gives the same decisions.
//! Not here: what the core draws by itself (`rng`), which is seeded from the same number.

/// A source of decisions.
pub(super) enum Chance<'b> {
    /// A generator (splitmix64): fast, and any two seeds are far apart.
    Seeded(u64),
    /// Bytes from outside; when they are used up, every decision is the first choice.
    Bytes(&'b [u8]),
}

impl Chance<'_> {
    /// A number below `bound`, which is at least 1.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        let drawn = match self {
            Chance::Seeded(state) => {
                *state = state.wrapping_add(STEP);
                mix(*state)
            }
            Chance::Bytes(bytes) => {
                let (now, rest) = bytes.split_at(bytes.len().min(2));
                *bytes = rest;
                now.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) << 48
            }
        };
        scale(drawn, bound)
    }

    /// True once in `times`.
    pub(super) fn one_in(&mut self, times: u32) -> bool {
        self.below(times) == times - 1
    }

    /// A number from `least` to `most`.
    pub(super) fn between(&mut self, least: u32, most: u32) -> u32 {
        least + self.below(most - least + 1)
    }

    /// One of several.
    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let bound = u32::try_from(of.len()).expect("a short list");
        of[self.below(bound) as usize]
    }

    /// One of several, each as often as its weight says.
    pub(super) fn weighted<T: Copy>(&mut self, of: &[(u32, T)]) -> T {
        let mut left = self.below(of.iter().map(|(weight, _)| weight).sum());
        for (weight, value) in of {
            match left.checked_sub(*weight) {
                Some(less) => left = less,
                None => return *value,
            }
        }
        of[0].1
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

fn scale(drawn: u64, bound: u32) -> u32 {
    u32::try_from((u128::from(drawn) * u128::from(bound)) >> 64).expect("below a bound of 32 bits")
}

/// Decides about one thing by its number, whatever was decided about others: so that leaving one thing out of a simulation changes
/// as little as possible of the rest.
#[derive(Clone, Copy)]
pub(super) struct Lot(u64);

impl Lot {
    /// The lot of the thing with these numbers.
    pub(super) fn of(seed: u64, numbers: [u64; 2]) -> Lot {
        Lot(numbers.iter().fold(mix(seed ^ STEP), |bits, number| mix(bits ^ number.wrapping_mul(STEP))))
    }

    /// A number below `bound`; each `which` has its own.
    pub(super) fn below(self, which: u64, bound: u32) -> u32 {
        scale(mix(self.0 ^ which.wrapping_mul(STEP)), bound)
    }

    /// True `times` in a hundred.
    pub(super) fn percent(self, which: u64, times: u32) -> bool {
        self.below(which, 100) < times
    }
}

/// A running hash, for traces and tables (FxHash's step): no protection against anybody, and none is needed here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Hash(pub(super) u64);

impl Hash {
    pub(super) fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.word(u64::from_le_bytes(*word)));
        self.word(rest.iter().fold(rest.len() as u64, |word, byte| word << 8 | u64::from(*byte)));
    }

    /// The hash of some byte strings.
    pub(super) fn of(parts: &[&[u8]]) -> u64 {
        let mut hash = Hash::default();
        parts.iter().for_each(|part| hash.bytes(part));
        hash.0
    }
}

/// A map by such a hash, which is not hashed again.
pub(super) type ByHash<V> = std::collections::HashMap<u64, V, std::hash::BuildHasherDefault<Passed>>;

/// Passes a hash on.
#[derive(Default)]
pub(super) struct Passed(u64);

impl std::hash::Hasher for Passed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = Hash::of(&[bytes]);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_source_decides_the_same() {
        let draw = |mut chance: Chance<'_>| (0..50).map(|_| chance.below(1000)).collect::<Vec<_>>();
        assert_eq!(draw(Chance::Seeded(7)), draw(Chance::Seeded(7)));
        assert_ne!(draw(Chance::Seeded(7)), draw(Chance::Seeded(8)));
        assert_eq!(draw(Chance::Bytes(b"some bytes")), draw(Chance::Bytes(b"some bytes")));
        assert_eq!(Chance::Bytes(b"").below(9), 0);
    }

    #[test]
    fn every_choice_is_made() {
        let mut chance = Chance::Seeded(1);
        let drawn: std::collections::BTreeSet<u32> = (0..200).map(|_| chance.between(3, 7)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
        let weighted = (0..1000).filter(|_| chance.weighted(&[(9, 'a'), (1, 'b')]) == 'b').count();
        assert!((50..200).contains(&weighted), "{weighted}");
        let lots = (0..1000).filter(|n| Lot::of(1, [*n, 0]).percent(0, 30)).count();
        assert!((200..400).contains(&lots), "{lots}");
    }
}
