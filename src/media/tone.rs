//! Tones and G.711: what the demo's phones say to each other, and how they and the tests find out what they heard.
//! Not here: keys as tones in what a leg says (`in_band`).
//! ITU-T G.711 (µ-law tables 2a/2b, A-law tables 1a/1b), in arithmetic form: eight chords, each twice as steep as the one before.

use std::f32::consts::TAU;

/// G.711's sample rate, Hz.
pub const SAMPLE_RATE: u32 = 8_000;
/// Samples in 20 ms.
pub const FRAME_SAMPLES: usize = 160;
/// A peak of −10 dBFS, about what speech reaches.
pub const AMPLITUDE: f32 = 10_000.0;
/// Below this mean square nothing is called a tone.
const ENERGY_MIN: f32 = 1_000.0;
/// The part of the energy that one frequency must hold to be dominant.
const SHARE_MIN: f32 = 0.25;
/// µ-law adds this before it finds the chord, so that each chord starts at a power of two.
const MU_BIAS: i32 = 0x84;
/// The loudest sample that µ-law can tell.
const MU_CLIP: i32 = 32_635;

/// One of G.711's two laws.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Law {
    /// PCMU, payload type 0.
    Mu,
    /// PCMA, payload type 8.
    A,
}

impl Law {
    /// The law of an encoding name (RFC 3551 §4.5.14), if it is one.
    pub fn named(encoding: &str) -> Option<Law> {
        match encoding {
            name if name.eq_ignore_ascii_case("PCMU") => Some(Law::Mu),
            name if name.eq_ignore_ascii_case("PCMA") => Some(Law::A),
            _ => None,
        }
    }

    /// The law that has a static payload type.
    #[inline]
    pub fn numbered(payload_type: u8) -> Option<Law> {
        [Law::Mu, Law::A].into_iter().find(|law| law.payload_type() == payload_type)
    }

    /// The static payload type (RFC 3551 §6).
    pub fn payload_type(self) -> u8 {
        match self {
            Law::Mu => 0,
            Law::A => 8,
        }
    }

    /// A 16-bit linear sample to its octet.
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Law::Mu => encode_mu(i32::from(sample)),
            Law::A => encode_a(i32::from(sample)),
        }
    }

    /// An octet to its 16-bit linear sample.
    pub fn decode(self, octet: u8) -> i16 {
        match self {
            Law::Mu => decode_mu(octet),
            Law::A => decode_a(octet),
        }
    }
}

fn encode_mu(sample: i32) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.abs().min(MU_CLIP) + MU_BIAS; // 132 ..= 32,767: bit 7 ..= 14 is the highest
    let chord = 24 - magnitude.leading_zeros();
    let step = (magnitude >> (chord + 3)) & 0x0F;
    !(sign | octet(chord, step))
}

fn decode_mu(octet: u8) -> i16 {
    let octet = !octet;
    let chord = (octet >> 4) & 0x07;
    let magnitude = (((i32::from(octet & 0x0F) << 3) + MU_BIAS) << chord) - MU_BIAS;
    signed(magnitude, octet & 0x80 != 0)
}

fn encode_a(sample: i32) -> u8 {
    // A-law has 13 bits; it has no zero, so -1 and below are counted from the other side.
    let (sign, magnitude) = if sample < 0 { (0, !sample >> 4) } else { (0x80, sample >> 4) };
    let chord = (32 - magnitude.leading_zeros()).saturating_sub(4); // 0 and 1 are equally steep
    let step = if chord < 2 { magnitude } else { magnitude >> (chord - 1) } & 0x0F;
    (sign | octet(chord, step)) ^ 0x55
}

fn decode_a(octet: u8) -> i16 {
    let octet = octet ^ 0x55;
    let chord = (octet >> 4) & 0x07;
    let step = (i32::from(octet & 0x0F) << 4) + 8; // the middle of the step
    let magnitude = if chord == 0 { step } else { (step + 0x100) << (chord - 1) };
    signed(magnitude, octet & 0x80 == 0)
}

fn octet(chord: u32, step: i32) -> u8 {
    u8::try_from(chord << 4).unwrap_or(0x70) | u8::try_from(step).unwrap_or(0x0F)
}

fn signed(magnitude: i32, negative: bool) -> i16 {
    i16::try_from(if negative { -magnitude } else { magnitude }).unwrap_or(i16::MAX)
}

/// A sine that never ends.
#[derive(Clone, Debug)]
pub struct Sine {
    /// Turns a sample.
    step: f32,
    /// Turns so far, below 1.
    phase: f32,
}

impl Sine {
    /// A tone of `hz`, below half of [`SAMPLE_RATE`], with a peak of [`AMPLITUDE`].
    pub fn new(hz: u16) -> Sine {
        Sine { step: f32::from(hz) / SAMPLE_RATE_F, phase: 0.0 }
    }

    /// The next octets of the tone in a codec's words.
    pub fn fill(&mut self, law: Law, out: &mut [u8]) {
        out.iter_mut().zip(self).for_each(|(octet, sample)| *octet = law.encode(sample));
    }
}

impl Iterator for Sine {
    type Item = i16;

    #[expect(clippy::cast_possible_truncation, reason = "a sine of AMPLITUDE stays within i16")]
    fn next(&mut self) -> Option<i16> {
        let sample = (self.phase * TAU).sin() * AMPLITUDE;
        self.phase = (self.phase + self.step).fract();
        Some(sample as i16)
    }
}

/// [`SAMPLE_RATE`] where a fraction is needed.
const SAMPLE_RATE_F: f32 = 8_000.0;

/// The frequency, Hz, that dominates some linear samples at [`SAMPLE_RATE`], or `None` for silence and noise. 400 samples (50 ms)
/// tell the answer to a few hertz. Slow: it tries every frequency between 50 and 3,900 Hz.
pub fn dominant_hz(samples: &[i16]) -> Option<u16> {
    let energy: f32 = samples.iter().map(|&sample| f32::from(sample) * f32::from(sample)).sum();
    let count = f32::from(u16::try_from(samples.len()).unwrap_or(u16::MAX));
    if count == 0.0 || energy / count < ENERGY_MIN {
        return None;
    }
    let loudest = |range: &mut dyn Iterator<Item = u16>| {
        range.map(|hz| (hz, goertzel(samples, hz))).max_by(|one, other| one.1.total_cmp(&other.1))
    };
    let (near, _) = loudest(&mut (50..=3_900).step_by(10))?;
    let (hz, power) = loudest(&mut (near - 10..=near + 10))?;
    // A pure sine's power is energy times half the count.
    (power / (energy * count / 2.0) >= SHARE_MIN).then_some(hz)
}

/// The squared magnitude of one frequency's share, by Goertzel's recurrence (a one-bin Fourier transform).
pub fn goertzel(samples: &[i16], hz: u16) -> f32 {
    let coefficient = 2.0 * (TAU * f32::from(hz) / SAMPLE_RATE_F).cos();
    let (last, before) = samples
        .iter()
        .fold((0.0f32, 0.0f32), |(last, before), &sample| (f32::from(sample) + coefficient * last - before, last));
    last * last + before * before - coefficient * last * before
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The decision and output values that G.711 prints for the ends of its chords.
    #[test]
    fn octets_have_the_values_of_the_recommendation() {
        for (law, octet, sample) in [
            (Law::Mu, 0xFF, 0),
            (Law::Mu, 0x7F, 0),
            (Law::Mu, 0x80, 32_124),
            (Law::Mu, 0x00, -32_124),
            (Law::Mu, 0xFE, 8),
            (Law::Mu, 0xF0, 120),
            (Law::Mu, 0xEF, 132),
            (Law::A, 0xD5, 8),
            (Law::A, 0x55, -8),
            (Law::A, 0xAA, 32_256),
            (Law::A, 0x2A, -32_256),
            (Law::A, 0xD4, 24),
            (Law::A, 0xC5, 264),
            (Law::A, 0xF5, 528),
        ] {
            assert_eq!(law.decode(octet), sample, "{law:?} {octet:02x}");
        }
    }

    #[test]
    fn every_octet_survives_decoding_and_encoding() {
        for octet in 0..=255u8 {
            assert_eq!(Law::A.encode(Law::A.decode(octet)), octet, "A {octet:02x}");
            // µ-law has two zeros; the negative one comes back as the positive.
            let expect = if octet == 0x7F { 0xFF } else { octet };
            assert_eq!(Law::Mu.encode(Law::Mu.decode(octet)), expect, "µ {octet:02x}");
        }
    }

    #[test]
    fn encoding_picks_the_nearest_step_for_every_sample() {
        for law in [Law::Mu, Law::A] {
            for sample in i16::MIN..=i16::MAX {
                let error = (i32::from(law.decode(law.encode(sample))) - i32::from(sample)).abs();
                let bound =
                    (i32::from(sample).abs() / 32 + 8).max(0) + if sample.unsigned_abs() > 32_256 { 511 } else { 0 };
                assert!(error <= bound, "{law:?} {sample}: {error}");
            }
        }
    }

    #[test]
    fn the_dominant_frequency_is_found_through_either_law() {
        for hz in [350u16, 440, 697, 770, 941, 1_209, 1_633, 3_000] {
            for law in [Law::Mu, Law::A] {
                let mut octets = [0; 4 * FRAME_SAMPLES];
                Sine::new(hz).fill(law, &mut octets);
                let samples = octets.map(|octet| law.decode(octet));
                let found = dominant_hz(&samples).unwrap();
                assert!(found.abs_diff(hz) <= 3, "{law:?}: {hz} was heard as {found}");
            }
        }
    }

    #[test]
    fn silence_and_noise_have_no_dominant_frequency() {
        assert_eq!(dominant_hz(&[]), None);
        assert_eq!(dominant_hz(&[8; 640]), None);
        let mut rng = crate::rng::Rng::from_seed([3; 32]);
        let noise: Vec<i16> = (0..640).map(|_| i16::try_from(rng.below(20_000)).unwrap() - 10_000).collect();
        assert_eq!(dominant_hz(&noise), None);
    }
}
