//! Reception of one RTP stream, measured by ourselves: what was lost and how unevenly it came.
//! Not here: who may send (`latch`), and forwarding decisions: a stream with odd sequence numbers is still forwarded.
//! RFC 3550 §A.1 (sequence numbers), §A.3 (loss), §A.8 (jitter).

use crate::media::offload::Standing;
use crate::time::Instant;

/// Forward jumps below this are loss; greater ones are a restart (RFC 3550 §A.1).
const MAX_DROPOUT: u16 = 3_000;
/// Backward steps up to this are reordering or duplicates (RFC 3550 §A.1).
const MAX_MISORDER: u16 = 100;

/// One leg's reception, over all SSRCs that it used.
#[derive(Debug, Default)]
pub struct Reception {
    source: Option<Source>,
    /// Lost by sources, or by stretches of them, that have ended.
    lost_before: u64,
    transit: Option<Transit>,
    /// The estimate of §A.8, in microseconds times 16.
    jitter: u64,
}

/// The stretch of sequence numbers that is being counted.
#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    base: u16,
    highest: u16,
    cycles: u64,
    received: u64,
    /// A packet far off: if this number comes next, the sender has restarted.
    restart: Option<u16>,
}

/// The packet before, for jitter.
#[derive(Clone, Copy, Debug)]
struct Transit {
    arrived: Instant,
    timestamp: u32,
    clock_rate: u32,
}

impl Reception {
    /// A packet was received.
    #[inline]
    pub fn count(&mut self, ssrc: u32, sequence: u16) {
        match &mut self.source {
            Some(source) if source.ssrc == ssrc => {
                if !source.count(sequence) {
                    self.begin(ssrc, sequence.wrapping_sub(1));
                    if let Some(source) = &mut self.source {
                        source.count(sequence);
                    }
                }
            }
            Some(_) | None => self.begin(ssrc, sequence),
        }
    }

    /// Takes a packet into the jitter estimate: not those of telephone-event, which all bear their key's first timestamp
    /// (RFC 4733 §2.2.1). Kept in microseconds, so that it outlives a change of clock rate (RFC 7160).
    #[inline]
    pub fn time(&mut self, arrived: Instant, timestamp: u32, clock_rate: u32) {
        let before = self.transit.replace(Transit { arrived, timestamp, clock_rate });
        let Some(before) = before.filter(|before| before.clock_rate == clock_rate && clock_rate > 0) else { return };
        let sent_units = i64::from(timestamp.wrapping_sub(before.timestamp).cast_signed());
        let sent_us = sent_units * 1_000_000 / i64::from(clock_rate);
        let arrived_us = arrived.since(before.arrived).as_micros();
        let difference = sent_us.abs_diff(i64::try_from(arrived_us).unwrap_or(i64::MAX));
        // §A.8's integer form: J += |D| - ((J + 8) >> 4), with J scaled by 16.
        self.jitter = (self.jitter - (self.jitter.saturating_add(8) >> 4)).saturating_add(difference);
    }

    /// Whose packets are counted, the last one's SSRC.
    pub fn ssrc(&self) -> Option<u32> {
        self.source.map(|source| source.ssrc)
    }

    /// How far it has come.
    pub fn standing(&self) -> Standing {
        Standing { sequence: self.source.map_or(0, |source| source.highest), jitter: self.jitter }
    }

    /// So many packets of the same SSRC were received elsewhere, none of them far off; that is how far it has come there.
    pub fn carry(&mut self, packets: u64, standing: Standing) {
        if let Some(source) = &mut self.source {
            source.received += packets;
            source.rise(standing.sequence);
        }
        // When the last one came is not known here.
        self.transit = None;
        self.jitter = standing.jitter;
    }

    /// Packets that should have come by their numbers and did not; duplicates make up for losses, but never below 0 (§A.3).
    pub fn lost(&self) -> u64 {
        self.lost_before + self.source.map_or(0, |source| source.lost())
    }

    /// Interarrival jitter, milliseconds.
    pub fn jitter_ms(&self) -> f32 {
        let whole = u16::try_from(self.jitter / 16_000).unwrap_or(u16::MAX);
        let thousandths = u16::try_from(self.jitter / 16 % 1_000).unwrap_or(0);
        f32::from(whole) + f32::from(thousandths) / 1_000.0
    }

    fn begin(&mut self, ssrc: u32, sequence: u16) {
        self.lost_before = self.lost();
        self.transit = None;
        self.source = Some(Source { ssrc, base: sequence, highest: sequence, cycles: 0, received: 1, restart: None });
    }
}

impl Source {
    /// Counts a packet; `false` says that the sender restarted at the number before this one.
    fn count(&mut self, sequence: u16) -> bool {
        let ahead = sequence.wrapping_sub(self.highest);
        if ahead < MAX_DROPOUT {
            self.rise(sequence);
        } else if ahead <= u16::MAX - MAX_MISORDER {
            let restarted = self.restart == Some(sequence);
            self.restart = Some(sequence.wrapping_add(1));
            return !restarted;
        }
        self.received += 1;
        true
    }

    /// The highest sequence number is this one, if that is higher.
    fn rise(&mut self, sequence: u16) {
        if sequence.wrapping_sub(self.highest) < 1 << 15 {
            self.cycles += u64::from(sequence < self.highest);
            self.highest = sequence;
        }
    }

    fn lost(&self) -> u64 {
        let extended = (self.cycles << 16) + u64::from(self.highest);
        let expected = (extended + 1).saturating_sub(u64::from(self.base));
        expected.saturating_sub(self.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reception(packets: &[(u32, u16)]) -> Reception {
        let mut reception = Reception::default();
        packets.iter().for_each(|&(ssrc, sequence)| reception.count(ssrc, sequence));
        reception
    }

    #[test]
    fn loss_is_what_the_numbers_promise_less_what_came() {
        for (rule, packets, expect) in [
            ("nothing_received", vec![], 0),
            ("none_lost", vec![(1, 5), (1, 6), (1, 7)], 0),
            ("one_gap_of_two", vec![(1, 5), (1, 8)], 2),
            ("a_late_packet_is_not_lost", vec![(1, 5), (1, 7), (1, 6)], 0),
            ("a_duplicate_makes_up_but_never_below_zero", vec![(1, 5), (1, 5), (1, 6)], 0),
            ("over_the_wrap", vec![(1, 65_534), (1, 65_535), (1, 1)], 1),
            ("late_over_the_wrap", vec![(1, 65_535), (1, 1), (1, 0)], 0),
            ("before_the_first", vec![(1, 5), (1, 4)], 0),
            ("a_new_ssrc_starts_afresh", vec![(1, 5), (1, 7), (2, 40_000), (2, 40_002)], 2),
            ("one_wild_packet_is_ignored", vec![(1, 5), (1, 30_000), (1, 6)], 0),
            ("two_wild_ones_are_a_restart", vec![(1, 5), (1, 7), (1, 30_000), (1, 30_001), (1, 30_004)], 3),
        ] {
            assert_eq!(reception(&packets).lost(), expect, "{rule}");
        }
    }

    #[test]
    fn loss_counts_across_many_wraps() {
        let mut reception = Reception::default();
        (0..200_000u32).filter(|n| n % 100 != 7).for_each(|n| reception.count(1, u16::try_from(n % 65_536).unwrap()));
        assert_eq!(reception.lost(), 2_000);
    }

    /// Arrivals in microseconds and timestamps at 8 kHz; the estimate in microseconds, computed by hand with §A.8.
    #[test]
    fn jitter_follows_the_estimator_of_rfc_3550() {
        for (rule, packets, expect_ms) in [
            ("even", vec![(0, 0), (20_000, 160), (40_000, 320)], 0.0),
            // |D| = 1600 µs: J = 1600/16 = 100 µs.
            ("one_late", vec![(0, 0), (21_600, 160)], 0.1),
            // then |D| = 1600 again as it catches up: 1600 - ((1600 + 8) >> 4) + 1600 = 3100, /16 = 193 µs.
            ("late_then_even", vec![(0, 0), (21_600, 160), (40_000, 320)], 0.193),
            ("timestamp_wraps", vec![(0, u32::MAX - 79), (20_000, 80), (41_600, 240)], 0.1),
            ("a_pause_with_its_timestamps", vec![(0, 0), (5_000_000, 40_000)], 0.0),
        ] {
            let mut reception = Reception::default();
            packets.iter().for_each(|&(at, timestamp)| reception.time(Instant(at), timestamp, 8_000));
            assert!((reception.jitter_ms() - expect_ms).abs() < 0.000_5, "{rule}: {}", reception.jitter_ms());
        }
    }

    #[test]
    fn jitter_survives_a_change_of_clock_rate_and_absurd_timestamps() {
        let mut reception = Reception::default();
        reception.time(Instant(0), 0, 8_000);
        reception.time(Instant(20_000), 99_999, 16_000);
        assert_eq!(reception.jitter_ms(), 0.0);
        reception.time(Instant(40_000), 99_999 + 320, 16_000);
        assert_eq!(reception.jitter_ms(), 0.0);
        reception.time(Instant(60_000), 0x8000_0000, 1);
        reception.time(Instant(60_000), 0, 1);
        reception.time(Instant(60_000), 5, 0);
        assert!(reception.jitter_ms() > 1_000.0);
    }
}
