//! What callers hear of us: sounds that begin again at their end, encoded once, whoever listens to them.
//! Not here: files (`config`), and when who hears what (`call`).

use crate::media::tone::{FRAME_SAMPLES, Law};

/// Which one, in the list that the relay was started with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SoundId(pub u16);

/// One sound, in both laws. Whole frames of 20 ms; at least one.
pub struct Sound {
    mu: Box<[u8]>,
    a: Box<[u8]>,
}

impl Sound {
    /// From linear samples at 8 kHz; the last frame is filled up with silence. `None` if there are none.
    pub fn new(samples: &[i16]) -> Option<Sound> {
        let encode = |law: Law| -> Box<[u8]> {
            let frames = samples.len().div_ceil(FRAME_SAMPLES) * FRAME_SAMPLES;
            let silence = std::iter::repeat_n(0, frames - samples.len());
            samples.iter().copied().chain(silence).map(|sample| law.encode(sample)).collect()
        };
        (!samples.is_empty()).then(|| Sound { mu: encode(Law::Mu), a: encode(Law::A) })
    }

    /// How many frames it has.
    pub fn frames(&self) -> usize {
        self.mu.len() / FRAME_SAMPLES
    }

    /// A frame of it; those after the last are the first again.
    #[inline]
    pub fn frame(&self, law: Law, number: usize) -> &[u8] {
        let octets = match law {
            Law::Mu => &self.mu,
            Law::A => &self.a,
        };
        let at = number.checked_rem(self.frames()).unwrap_or(0) * FRAME_SAMPLES;
        octets.get(at..at + FRAME_SAMPLES).unwrap_or_default()
    }
}

impl std::fmt::Debug for Sound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "«{} frames»", self.frames())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_begins_again_at_its_end() {
        let samples: Vec<i16> = (0..400).map(|number| number * 50).collect();
        let sound = Sound::new(&samples).unwrap();
        assert_eq!(sound.frames(), 3);
        for law in [Law::Mu, Law::A] {
            assert_eq!(sound.frame(law, 1)[0], law.encode(160 * 50));
            assert_eq!(sound.frame(law, 2)[79..81], [law.encode(399 * 50), law.encode(0)]);
            assert_eq!(sound.frame(law, 4), sound.frame(law, 1));
            assert!((0..7).all(|number| sound.frame(law, number).len() == FRAME_SAMPLES));
        }
    }

    #[test]
    fn nothing_is_no_sound() {
        assert!(Sound::new(&[]).is_none());
        assert_eq!(Sound::new(&[1]).unwrap().frames(), 1);
    }
}
