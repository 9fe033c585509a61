//! Chance as the core sees it: one seeded generator that is handed in. The daemon seeds it from the kernel, a test from a number.
//! Not here: key material; `token::Keys` are made by the shell from the kernel's generator.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// A cryptographically strong, reproducible generator: what it makes (tags, branches, call ids, salts)
/// must not be guessable from the outside, and must be the same again for the same seed.
pub struct Rng(ChaCha12Rng);

impl Rng {
    /// From 32 bytes of entropy, or of test seed.
    pub fn from_seed(seed: [u8; 32]) -> Rng {
        Rng(ChaCha12Rng::from_seed(seed))
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 128 random bits.
    pub fn u128(&mut self) -> u128 {
        u128::from(self.u64()) << 64 | u128::from(self.u64())
    }

    /// Fills `out` with random bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }

    /// A number below `bound`, which is at least 1; the bias is below 2^-32 for bounds of 32 bits.
    pub fn below(&mut self, bound: u32) -> u32 {
        let scaled = u128::from(self.u64()) * u128::from(bound.max(1));
        u32::try_from(scaled >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sequence() {
        let (mut one, mut two) = (Rng::from_seed([7; 32]), Rng::from_seed([7; 32]));
        assert!((0..100).all(|_| one.u64() == two.u64()));
        assert_ne!(Rng::from_seed([8; 32]).u64(), Rng::from_seed([7; 32]).u64());
    }

    #[test]
    fn below_stays_below_and_reaches_both_ends() {
        let mut rng = Rng::from_seed([1; 32]);
        let drawn: Vec<u32> = (0..1000).map(|_| rng.below(10)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&0), Some(&9)));
        assert_eq!(rng.below(0), 0);
    }
}
