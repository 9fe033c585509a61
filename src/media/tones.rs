//! The tones that callers of a country know (ITU-T E.180 and its supplement 2): that it rings there, and that somebody is told of a second call.
//! Not here: how a sine is made (`tone`), and who hears it (`call`).

use crate::media::tone::{AMPLITUDE, SAMPLE_RATE};
use std::f32::consts::TAU;

/// Which tone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// It rings.
    Ringback,
    /// Somebody who talks is told that another one calls.
    Waiting,
}

/// A country's tones.
struct Country {
    /// ISO 3166, lower case.
    code: &'static str,
    ringback: Cadence,
    waiting: Cadence,
}

/// One or two frequencies at once, Hz, for and not for so many milliseconds, in turn. It begins again at the end.
struct Cadence(&'static [u16], &'static [u16]);

const RINGS_4: Cadence = Cadence(&[425], &[1_000, 4_000]);
const RINGS_TWICE: Cadence = Cadence(&[400, 450], &[400, 200, 400, 2_000]);
const WAITS: Cadence = Cadence(&[425], &[200, 200, 200, 5_000]);
const WAITS_LONG: Cadence = Cadence(&[425], &[200, 600, 200, 10_000]);

const COUNTRIES: &[Country] = &[
    Country { code: "at", ringback: Cadence(&[420], &[1_000, 5_000]), waiting: Cadence(&[420], &[40, 1_960]) },
    Country {
        code: "au",
        ringback: Cadence(&[413, 438], &[400, 200, 400, 2_000]),
        waiting: Cadence(&[425], &[200, 4_400]),
    },
    Country {
        code: "be",
        ringback: Cadence(&[425], &[1_000, 3_000]),
        waiting: Cadence(&[1_400], &[175, 175, 175, 3_500]),
    },
    Country { code: "br", ringback: RINGS_4, waiting: Cadence(&[425], &[50, 1_000]) },
    Country { code: "ch", ringback: RINGS_4, waiting: Cadence(&[425], &[200, 200, 200, 4_000]) },
    Country { code: "cn", ringback: Cadence(&[450], &[1_000, 4_000]), waiting: Cadence(&[450], &[400, 4_000]) },
    Country { code: "cz", ringback: RINGS_4, waiting: Cadence(&[425], &[330, 9_000]) },
    Country { code: "de", ringback: RINGS_4, waiting: WAITS },
    Country { code: "dk", ringback: RINGS_4, waiting: WAITS_LONG },
    Country {
        code: "es",
        ringback: Cadence(&[425], &[1_500, 3_000]),
        waiting: Cadence(&[425], &[175, 175, 175, 3_500]),
    },
    Country { code: "fi", ringback: RINGS_4, waiting: Cadence(&[425], &[150, 150, 150, 8_000]) },
    Country { code: "fr", ringback: Cadence(&[440], &[1_500, 3_500]), waiting: Cadence(&[440], &[300, 10_000]) },
    Country { code: "gb", ringback: RINGS_TWICE, waiting: Cadence(&[400], &[100, 4_000]) },
    Country { code: "ie", ringback: RINGS_TWICE, waiting: Cadence(&[425], &[180, 200, 200, 4_500]) },
    Country { code: "it", ringback: RINGS_4, waiting: Cadence(&[425], &[400, 100, 250, 100, 150, 14_000]) },
    Country {
        code: "jp",
        ringback: Cadence(&[384, 416], &[1_000, 2_000]),
        waiting: Cadence(&[384, 416], &[500, 4_000]),
    },
    Country { code: "mx", ringback: RINGS_4, waiting: Cadence(&[425], &[200, 600, 200, 10_000]) },
    Country { code: "nl", ringback: RINGS_4, waiting: Cadence(&[425], &[500, 9_500]) },
    Country { code: "no", ringback: RINGS_4, waiting: WAITS_LONG },
    Country { code: "nz", ringback: RINGS_TWICE, waiting: Cadence(&[400], &[200, 3_000]) },
    Country { code: "pl", ringback: RINGS_4, waiting: Cadence(&[425], &[150, 150, 150, 4_000]) },
    Country {
        code: "pt",
        ringback: Cadence(&[425], &[1_000, 5_000]),
        waiting: Cadence(&[425], &[200, 200, 200, 5_000]),
    },
    Country {
        code: "se",
        ringback: Cadence(&[425], &[1_000, 5_000]),
        waiting: Cadence(&[425], &[200, 500, 200, 10_000]),
    },
    Country { code: "us", ringback: Cadence(&[440, 480], &[2_000, 4_000]), waiting: Cadence(&[440], &[300, 10_000]) },
];

/// The countries that there are tones for.
pub fn countries() -> impl Iterator<Item = &'static str> {
    COUNTRIES.iter().map(|country| country.code)
}

/// One round of a country's tone: linear samples at 8 kHz. `None` if the country is not known.
pub fn samples(country: &str, signal: Signal) -> Option<Vec<i16>> {
    let country = COUNTRIES.iter().find(|known| known.code == country)?;
    Some(match signal {
        Signal::Ringback => country.ringback.samples(),
        Signal::Waiting => country.waiting.samples(),
    })
}

/// What tells that a call is recorded, as the FCC and ITU-T Supplement 2 know it: 1,400 Hz, here for 200 ms.
pub fn beep() -> Vec<i16> {
    Cadence(&[1_400], &[200]).samples()
}

impl Cadence {
    fn samples(&self) -> Vec<i16> {
        let Cadence(frequencies, times) = self;
        let mut out = Vec::new();
        for (turn, milliseconds) in times.iter().enumerate() {
            let count = u32::from(*milliseconds) * SAMPLE_RATE / 1_000;
            let is_on = turn % 2 == 0;
            out.extend((0..count).map(|number| if is_on { chord(frequencies, number) } else { 0 }));
        }
        out
    }
}

/// The frequencies together, as loud as one would be.
#[expect(clippy::cast_possible_truncation, reason = "the sum of all stays within AMPLITUDE")]
#[expect(clippy::cast_precision_loss, reason = "a cadence has fewer samples than a float can count")]
fn chord(frequencies: &[u16], number: u32) -> i16 {
    let share = AMPLITUDE / f32::from(u16::try_from(frequencies.len()).unwrap_or(1).max(1));
    let turns = |hz: &u16| (f32::from(*hz) * (number % SAMPLE_RATE) as f32 / SAMPLE_RATE as f32).fract();
    frequencies.iter().map(|hz| (turns(hz) * TAU).sin() * share).sum::<f32>() as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::tone::{dominant_hz, goertzel};

    /// Milliseconds of a tone's first round.
    fn part(samples: &[i16], from: usize, to: usize) -> &[i16] {
        &samples[from * 8..to * 8]
    }

    /// E.180, supplement 2.
    #[test]
    fn a_country_rings_as_its_callers_know_it() {
        for (country, frequencies, on, off, round) in [
            ("de", &[425u16][..], (0, 1_000), (1_000, 5_000), 5_000),
            ("fr", &[440], (0, 1_500), (1_500, 5_000), 5_000),
            ("us", &[440, 480], (0, 2_000), (2_000, 6_000), 6_000),
            ("gb", &[400, 450], (600, 1_000), (1_000, 3_000), 3_000),
            ("at", &[420], (0, 1_000), (1_000, 6_000), 6_000),
        ] {
            let samples = samples(country, Signal::Ringback).unwrap();
            assert_eq!(samples.len(), round * 8, "{country}");
            assert!(part(&samples, off.0, off.1).iter().all(|sample| *sample == 0), "{country} is not silent");
            let heard = part(&samples, on.0, on.1);
            let energy: f32 = heard.iter().map(|sample| f32::from(*sample).powi(2)).sum();
            let count = f32::from(u16::try_from(heard.len()).unwrap());
            let share: f32 = frequencies.iter().map(|hz| goertzel(heard, *hz) / (energy * count / 2.0)).sum();
            assert!(share > 0.95, "{country}: {share} of the energy is where it belongs");
            let level = 10.0 * (2.0 * energy / count / 32_768f32.powi(2)).log10();
            assert!((-14.0..=-9.0).contains(&level), "{country}: {level} dBFS");
        }
    }

    #[test]
    fn every_country_has_both_tones_and_no_click_within_them() {
        for country in countries() {
            for signal in [Signal::Ringback, Signal::Waiting] {
                let samples = samples(country, signal).unwrap();
                assert!(samples.len().is_multiple_of(8) && samples.contains(&0), "{country} {signal:?}");
                let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
                assert!((9_000..=10_001).contains(&loudest), "{country} {signal:?}: {loudest}");
            }
        }
        assert_eq!(dominant_hz(&samples("de", Signal::Waiting).unwrap()[..1_600]), Some(425));
        assert_eq!((beep().len(), dominant_hz(&beep())), (1_600, Some(1_400)));
        assert!(samples("xx", Signal::Ringback).is_none());
    }
}
