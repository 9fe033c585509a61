//! How a call sounded, from what the network did to it: the E-model's rating and the mean opinion score (MOS) that it stands for.
//! Not here: the audio itself, which nobody looks into, and where the numbers come from (`leg`).
//! ITU-T G.107 (E-model, with all that is the telephones' own at its default: R = 93.2 − Id − Ie,eff), Annex B (R to MOS);
//! ITU-T G.113 Appendix I (what codecs cost).

/// The best that a telephone of 300 to 3,400 Hz gets.
const RATING_MAX: f64 = 93.2;
/// Beyond this the E-model's burst ratio is not validated.
const BURST_RATIO_MAX: f64 = 2.0;
/// Delay that costs more than the wait, milliseconds one way: people begin to talk at the same time.
const TALK_OVER_MS: f64 = 177.3;

/// What a codec costs in the E-model.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Codec {
    /// PCMU, PCMA, with what telephones do to conceal losses (G.711 Appendix I).
    G711,
    /// And G.729A.
    G729,
    /// At 6.3 kbit/s.
    G723,
    /// At 32 kbit/s.
    G726,
    /// GSM full rate.
    Gsm,
    /// GSM enhanced full rate, which is AMR at 12.2 kbit/s: what AMR does at best.
    Amr,
    /// G.722, Opus, AMR-WB, EVS and the like. Their own scale (G.107.1) goes to 129 and has no values for most of them. They are rated
    /// as G.711 is: that says what the network did and is comparable, and leaves out what they gain.
    Wide,
    /// One that G.113 does not have, or no audio at all.
    #[default]
    Other,
}

/// What became of a stream on its way.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Way {
    /// What it is coded as.
    pub codec: Codec,
    /// The part of its packets that was lost, 0 to 1.
    pub loss: f64,
    /// `statistics::Reception::burst_ratio`.
    pub burst_ratio: f64,
    /// From mouth to ear, milliseconds.
    pub delay_ms: f64,
}

impl Codec {
    /// The codec of an SDP's encoding name (RFC 3551 §6 and the media types' registry), which is the same in any case.
    pub fn named(encoding: &str) -> Codec {
        const NAMES: [(&str, Codec); 21] = [
            ("PCMU", Codec::G711),
            ("PCMA", Codec::G711),
            ("G729", Codec::G729),
            ("G723", Codec::G723),
            ("G726-32", Codec::G726),
            ("G721", Codec::G726),
            ("GSM", Codec::Gsm),
            ("GSM-EFR", Codec::Amr),
            ("AMR", Codec::Amr),
            ("G722", Codec::Wide),
            ("G7221", Codec::Wide),
            ("G7291", Codec::Wide),
            ("PCMU-WB", Codec::Wide),
            ("PCMA-WB", Codec::Wide),
            ("AMR-WB", Codec::Wide),
            ("AMR-WB+", Codec::Wide),
            ("EVS", Codec::Wide),
            ("opus", Codec::Wide),
            ("SILK", Codec::Wide),
            ("L16", Codec::Wide),
            ("speex", Codec::Wide),
        ];
        NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(encoding)).map_or(Codec::Other, |(_, codec)| *codec)
    }

    /// Ie and Bpl: what it costs without any loss, and how well it bears losses. G.113 has no Bpl for G.726 and GSM full rate; they get
    /// the least that it has for a codec with concealment.
    fn impairment(self) -> Option<(f64, f64)> {
        match self {
            Codec::G711 | Codec::Wide => Some((0.0, 25.1)),
            Codec::G729 => Some((11.0, 19.0)),
            Codec::G723 => Some((15.0, 16.1)),
            Codec::G726 => Some((7.0, 10.0)),
            Codec::Gsm => Some((20.0, 10.0)),
            Codec::Amr => Some((5.0, 10.0)),
            Codec::Other => None,
        }
    }
}

impl Way {
    /// The mean opinion score, 1 (bad) to 4.41 (as good as a telephone can be), to a hundredth; `None` for a codec without values.
    pub fn mos(&self) -> Option<f64> {
        self.rating().map(|rating| (opinion(rating) * 100.0).round() / 100.0)
    }

    /// The E-model's R.
    fn rating(&self) -> Option<f64> {
        let (equipment, robustness) = self.codec.impairment()?;
        // In the usual form of a line with a bend, for telephones without echo.
        let delay = 0.024 * self.delay_ms + 0.11 * (self.delay_ms - TALK_OVER_MS).max(0.0);
        let loss = self.loss * 100.0;
        let burst = self.burst_ratio.clamp(1.0, BURST_RATIO_MAX);
        let lost = equipment + (95.0 - equipment) * loss / (loss / burst + robustness);
        Some(RATING_MAX - delay - lost)
    }
}

/// G.107 Annex B. Near 0 its curve lies a little below 1, which is no opinion.
fn opinion(rating: f64) -> f64 {
    let rating = rating.clamp(0.0, 100.0);
    (1.0 + 0.035 * rating + 7e-6 * rating * (rating - 60.0) * (100.0 - rating)).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERFECT: Way = Way { codec: Codec::G711, loss: 0.0, burst_ratio: 1.0, delay_ms: 0.0 };

    /// G.107 Table B.1, which rounds up.
    #[test]
    fn a_rating_stands_for_the_opinion_that_the_recommendation_prints() {
        for (rating, expect) in [
            (-5.0, 1.0),
            (0.0, 1.0),
            (50.0, 2.58),
            (60.0, 3.1),
            (70.0, 3.6),
            (80.0, 4.03),
            (90.0, 4.34),
            (93.2, 4.41),
            (100.0, 4.5),
            (120.0, 4.5),
        ] {
            assert!((opinion(rating) - expect).abs() < 0.01, "{rating}: {}", opinion(rating));
        }
    }

    #[test]
    fn a_way_is_rated_as_the_model_says() {
        // R by hand from G.107's formulas and G.113's values.
        for (rule, way, rating, mos) in [
            ("perfect", PERFECT, 93.2, 4.41),
            ("a_hundred_milliseconds", Way { delay_ms: 100.0, ..PERFECT }, 90.8, 4.36),
            ("the_bend", Way { delay_ms: 177.3, ..PERFECT }, 88.945, 4.31),
            ("a_satellite", Way { delay_ms: 400.0, ..PERFECT }, 59.103, 3.05),
            ("one_percent_lost", Way { loss: 0.01, ..PERFECT }, 89.56, 4.33),
            ("five_percent_lost", Way { loss: 0.05, ..PERFECT }, 77.42, 3.92),
            ("five_percent_in_bursts", Way { loss: 0.05, burst_ratio: 2.0, ..PERFECT }, 75.991, 3.86),
            ("longer_bursts_are_not_validated", Way { loss: 0.05, burst_ratio: 9.0, ..PERFECT }, 75.991, 3.86),
            ("all_lost", Way { loss: 1.0, ..PERFECT }, 17.26, 1.18),
            ("g729", Way { codec: Codec::G729, ..PERFECT }, 82.2, 4.1),
            ("g729_two_percent", Way { codec: Codec::G729, loss: 0.02, ..PERFECT }, 74.2, 3.79),
            ("g723", Way { codec: Codec::G723, ..PERFECT }, 78.2, 3.95),
            ("g726", Way { codec: Codec::G726, ..PERFECT }, 86.2, 4.24),
            ("gsm", Way { codec: Codec::Gsm, ..PERFECT }, 73.2, 3.74),
            ("amr", Way { codec: Codec::Amr, ..PERFECT }, 88.2, 4.29),
            ("wide_band_as_g711", Way { codec: Codec::Wide, loss: 0.01, ..PERFECT }, 89.56, 4.33),
            ("hopeless", Way { loss: 1.0, delay_ms: 5_000.0, ..PERFECT }, -633.24, 1.0),
        ] {
            let got = way.rating().unwrap();
            assert!((got - rating).abs() < 0.01, "{rule}: {got}");
            assert_eq!(way.mos(), Some(mos), "{rule}");
        }
    }

    #[test]
    fn a_codec_without_values_has_no_score() {
        for (name, codec) in [
            ("PCMA", Codec::G711),
            ("pcmu", Codec::G711),
            ("G729", Codec::G729),
            ("OPUS", Codec::Wide),
            ("CN", Codec::Other),
            ("telephone-event", Codec::Other),
            ("iLBC", Codec::Other),
            ("", Codec::Other),
        ] {
            assert_eq!(Codec::named(name), codec, "{name}");
        }
        assert_eq!(Way { codec: Codec::Other, ..PERFECT }.mos(), None);
    }
}
