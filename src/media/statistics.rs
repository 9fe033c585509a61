//! Reception of one RTP stream, measured by ourselves: what was lost, came twice or out of order, and how unevenly it came.
//! Not here: who may send (`latch`), when it was silent (`presence`), and forwarding decisions: a stream with odd sequence numbers is
//! still forwarded. RFC 3550 §A.1 (sequence numbers), §A.3 (loss, but that a packet which comes twice makes up for none), §A.8 (jitter).

use crate::media::offload::Standing;
use crate::time::Instant;

/// Forward jumps below this are loss; greater ones are a restart (RFC 3550 §A.1).
const MAX_DROPOUT: u16 = 3_000;
/// Backward steps up to this are reordering or duplicates (RFC 3550 §A.1). The window is longer than that.
const MAX_MISORDER: u16 = 100;
/// Numbers are counted on from here, so that none before the first is negative.
const FIRST_CYCLE: u64 = 1 << 16;

/// One leg's reception, over all SSRCs that it used.
#[derive(Debug, Default)]
pub struct Reception {
    source: Option<Source>,
    /// Of sources, or of stretches of them, that have ended.
    before: Sums,
    reordered: u64,
    duplicated: u64,
    transit: Option<Transit>,
    /// The estimate of §A.8, in microseconds times 16, and the highest that it was.
    jitter: u64,
    jitter_max: u64,
    /// The shortest time that a packet brought the timestamp forward by: how much audio is in one.
    packet_us: Option<u64>,
}

/// The stretch of sequence numbers that is being counted.
#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    /// The first number and the highest, counted on over the wrap.
    base: u64,
    highest: u64,
    /// How many different ones came.
    received: u64,
    /// Runs of numbers that did not come.
    runs: u64,
    /// Which of the last 128 numbers came: the lowest bit is the highest number. Those before the first count as come.
    window: u128,
    /// A packet far off: if this number comes next, the sender has restarted.
    restart: Option<u16>,
}

/// What the numbers promised, and what of that did not come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Sums {
    expected: u64,
    lost: u64,
    runs: u64,
}

/// The packet before, for jitter.
#[derive(Clone, Copy, Debug)]
struct Transit {
    arrived: Instant,
    timestamp: u32,
    clock_rate: u32,
}

/// What a packet's number says of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    /// It is the next, or one further on.
    Ahead,
    /// One that was missing, or one before the first.
    Late,
    /// It came before.
    Again,
    /// So far off that it is not counted, unless the next one follows it.
    Wild,
    /// The one before was wild, and this one follows it.
    Restarted,
}

impl Reception {
    /// A packet was received.
    #[inline]
    pub fn count(&mut self, ssrc: u32, sequence: u16) {
        let Some(source) = self.source.as_mut().filter(|source| source.ssrc == ssrc) else {
            return self.begin(ssrc, sequence);
        };
        match source.count(sequence) {
            Order::Ahead | Order::Wild => {}
            Order::Late => self.reordered += 1,
            Order::Again => self.duplicated += 1,
            Order::Restarted => {
                self.begin(ssrc, sequence.wrapping_sub(1));
                self.source.as_mut().map(|source| source.count(sequence));
            }
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
        self.jitter_max = self.jitter_max.max(self.jitter);
        if sent_us > 0 {
            let sent_us = sent_us.unsigned_abs();
            self.packet_us = Some(self.packet_us.map_or(sent_us, |shortest| shortest.min(sent_us)));
        }
    }

    /// What the time now is in the latest audio's timestamps, and their clock rate; `None` while nobody has heard any.
    pub fn timestamp_at(&self, now: Instant) -> Option<(u32, u32)> {
        let Transit { arrived, timestamp, clock_rate } = self.transit?;
        let units = now.since(arrived).as_micros() * u128::from(clock_rate) / 1_000_000;
        // It wraps, as timestamps do.
        let units = u32::try_from(units % (1 << 32)).unwrap_or(0);
        Some((timestamp.wrapping_add(units), clock_rate))
    }

    /// Whose packets are counted, the last one's SSRC.
    pub fn ssrc(&self) -> Option<u32> {
        self.source.map(|source| source.ssrc)
    }

    /// How far it has come.
    pub fn standing(&self) -> Standing {
        let sequence = self.source.map_or(0, |source| source.highest % FIRST_CYCLE);
        Standing { sequence: u16::try_from(sequence).unwrap_or(0), jitter: self.jitter }
    }

    /// So many packets more were received elsewhere, each with the number after the one before; that is the jitter there.
    pub fn carry(&mut self, packets: u64, jitter: u64) {
        if let Some(source) = &mut self.source {
            source.carry(packets);
        }
        // When the last one came is not known here.
        self.transit = None;
        self.jitter = jitter;
        self.jitter_max = self.jitter_max.max(jitter);
    }

    /// Packets that should have come by their numbers and did not.
    pub fn lost(&self) -> u64 {
        self.sums().lost
    }

    /// Packets that came after one with a higher number.
    pub fn reordered(&self) -> u64 {
        self.reordered
    }

    /// Packets that came before, too.
    pub fn duplicated(&self) -> u64 {
        self.duplicated
    }

    /// Packets that should have come by their numbers.
    pub fn expected(&self) -> u64 {
        self.sums().expected
    }

    /// How many times as long the runs of lost packets are as they would be if chance lost each for itself (ITU-T G.107 §7.4); 1 where
    /// they are shorter.
    pub fn burst_ratio(&self) -> f64 {
        let sums = self.sums();
        if sums.runs == 0 {
            return 1.0;
        }
        let run = float(sums.lost) / float(sums.runs);
        // By chance a run has 1 / (1 - loss) packets.
        (run * (1.0 - float(sums.lost) / float(sums.expected))).max(1.0)
    }

    /// Interarrival jitter, milliseconds: the latest estimate.
    pub fn jitter_ms(&self) -> f32 {
        millis(self.jitter)
    }

    /// The highest that the estimate was.
    pub fn jitter_ms_max(&self) -> f32 {
        millis(self.jitter_max)
    }

    /// How much audio is in a packet, milliseconds; 0 if nothing tells.
    pub fn packet_ms(&self) -> f32 {
        millis(self.packet_us.unwrap_or(0).saturating_mul(16))
    }

    /// Who is heard now: its SSRC, and how many of its packets should have come. For what others report of it.
    pub fn current(&self) -> Option<(u32, u64)> {
        self.source.map(|source| (source.ssrc, source.sums().expected))
    }

    /// The clock rate of the latest audio, Hz.
    pub fn clock_rate(&self) -> Option<u32> {
        self.transit.map(|transit| transit.clock_rate)
    }

    fn sums(&self) -> Sums {
        self.source.map_or(self.before, |source| {
            let Sums { expected, lost, runs } = source.sums();
            let before = self.before;
            Sums { expected: before.expected + expected, lost: before.lost + lost, runs: before.runs + runs }
        })
    }

    fn begin(&mut self, ssrc: u32, sequence: u16) {
        self.before = self.sums();
        self.transit = None;
        let first = FIRST_CYCLE + u64::from(sequence);
        let (received, runs, window) = (1, 0, u128::MAX);
        self.source = Some(Source { ssrc, base: first, highest: first, received, runs, window, restart: None });
    }
}

impl Source {
    #[inline]
    fn count(&mut self, sequence: u16) -> Order {
        let ahead = sequence.wrapping_sub(u16::try_from(self.highest % FIRST_CYCLE).unwrap_or(0));
        if ahead == 0 {
            return Order::Again;
        }
        if ahead < MAX_DROPOUT {
            self.highest += u64::from(ahead);
            self.runs += u64::from(ahead > 1);
            self.window = self.window.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
            self.received += 1;
            return Order::Ahead;
        }
        let behind = ahead.wrapping_neg();
        if behind <= MAX_MISORDER {
            return self.count_late(behind);
        }
        let restarted = self.restart == Some(sequence);
        self.restart = Some(sequence.wrapping_add(1));
        if restarted { Order::Restarted } else { Order::Wild }
    }

    fn carry(&mut self, packets: u64) {
        self.highest += packets;
        self.received += packets;
        let shift = u32::try_from(packets).unwrap_or(u32::MAX);
        self.window = !(!self.window).checked_shl(shift).unwrap_or(0);
    }

    fn count_late(&mut self, behind: u16) -> Order {
        if self.highest - u64::from(behind) < self.base {
            return Order::Late;
        }
        let came = |behind: u16| self.window >> behind & 1 == 1;
        if came(behind) {
            return Order::Again;
        }
        // The run that it was taken to be lost in is gone, is shorter, or is two.
        self.runs = match (came(behind + 1), came(behind - 1)) {
            (true, true) => self.runs.saturating_sub(1),
            (false, false) => self.runs + 1,
            (true, false) | (false, true) => self.runs,
        };
        self.window |= 1 << behind;
        self.received += 1;
        Order::Late
    }

    fn sums(&self) -> Sums {
        let expected = self.highest - self.base + 1;
        Sums { expected, lost: expected.saturating_sub(self.received), runs: self.runs }
    }
}

/// Of the estimate of §A.8 the milliseconds, to a thousandth.
fn millis(scaled: u64) -> f32 {
    let whole = u16::try_from(scaled / 16_000).unwrap_or(u16::MAX);
    let thousandths = u16::try_from(scaled / 16 % 1_000).unwrap_or(0);
    f32::from(whole) + f32::from(thousandths) / 1_000.0
}

/// A count as a number to divide; beyond 32 bits it is that much.
pub(super) fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
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
            ("a_duplicate_is_no_packet", vec![(1, 5), (1, 5), (1, 6)], 0),
            ("a_duplicate_makes_up_for_nothing", vec![(1, 5), (1, 5), (1, 7), (1, 7), (1, 5)], 1),
            ("a_late_packet_that_comes_twice_makes_up_for_one", vec![(1, 5), (1, 8), (1, 6), (1, 6)], 1),
            ("over_the_wrap", vec![(1, 65_534), (1, 65_535), (1, 1)], 1),
            ("late_over_the_wrap", vec![(1, 65_535), (1, 1), (1, 0)], 0),
            ("before_the_first", vec![(1, 5), (1, 4)], 0),
            ("before_the_first_makes_up_for_nothing", vec![(1, 5), (1, 4), (1, 7)], 1),
            ("a_gap_longer_than_the_window", vec![(1, 5), (1, 1_005), (1, 1_004)], 998),
            ("a_new_ssrc_starts_afresh", vec![(1, 5), (1, 7), (2, 40_000), (2, 40_002)], 2),
            ("one_wild_packet_is_ignored", vec![(1, 5), (1, 30_000), (1, 6)], 0),
            ("two_wild_ones_are_a_restart", vec![(1, 5), (1, 7), (1, 30_000), (1, 30_001), (1, 30_004)], 3),
        ] {
            assert_eq!(reception(&packets).lost(), expect, "{rule}");
        }
    }

    /// Reordered, duplicated, runs of lost ones.
    #[test]
    fn what_is_out_of_order_is_told_from_what_comes_twice() {
        for (rule, packets, expect) in [
            ("in_order", vec![(1, 5), (1, 6), (1, 7)], (0, 0, 0)),
            ("overtaken", vec![(1, 5), (1, 7), (1, 6)], (1, 0, 0)),
            ("twice_at_once", vec![(1, 5), (1, 6), (1, 6)], (0, 1, 0)),
            ("twice_later", vec![(1, 5), (1, 6), (1, 7), (1, 5)], (0, 1, 0)),
            ("overtaken_and_twice", vec![(1, 5), (1, 7), (1, 6), (1, 6)], (1, 1, 0)),
            ("before_the_first", vec![(1, 5), (1, 4), (1, 6)], (1, 0, 0)),
            ("overtaken_over_the_wrap", vec![(1, 65_535), (1, 1), (1, 0), (1, 65_535)], (1, 1, 0)),
            ("the_last_that_is_looked_for", vec![(1, 5), (1, 106), (1, 6), (1, 6)], (1, 1, 1)),
            ("one_beyond_is_wild", vec![(1, 5), (1, 107), (1, 6)], (0, 0, 1)),
            ("two_runs", vec![(1, 5), (1, 8), (1, 11)], (0, 0, 2)),
            ("a_run_that_becomes_two", vec![(1, 5), (1, 9), (1, 7)], (1, 0, 2)),
            ("a_run_that_gets_shorter", vec![(1, 5), (1, 8), (1, 7)], (1, 0, 1)),
            ("two_sources", vec![(1, 5), (1, 7), (2, 5), (2, 7), (2, 6)], (1, 0, 1)),
        ] {
            let reception = reception(&packets);
            let got = (reception.reordered(), reception.duplicated(), reception.sums().runs);
            assert_eq!(got, expect, "{rule}");
        }
    }

    /// All that came is in the account, whatever the network did with it.
    #[test]
    fn the_account_adds_up_under_any_disorder() {
        let mut rng = crate::rng::Rng::from_seed([6; 32]);
        let mut sent: Vec<u16> = (0..20_000u32).map(|n| u16::try_from((n + 65_000) % 65_536).unwrap()).collect();
        for at in 1..sent.len() - 40 {
            if rng.below(20) == 0 {
                sent.swap(at, at + usize::try_from(rng.below(40)).unwrap());
            }
        }
        let (mut reception, mut lost, mut twice) = (Reception::default(), 0, 0);
        reception.count(9, 64_999);
        for &sequence in &sent {
            if rng.below(25) == 0 {
                lost += 1;
                continue;
            }
            reception.count(9, sequence);
            if rng.below(30) == 0 {
                reception.count(9, sequence);
                twice += 1;
            }
        }
        reception.count(9, u16::try_from((20_000 + 65_000) % 65_536).unwrap());
        assert_eq!((reception.lost(), reception.duplicated(), reception.expected()), (lost, twice, 20_002));
        assert!(reception.reordered() > 500 && lost > 500 && twice > 400);
    }

    #[test]
    fn the_burst_ratio_is_one_by_chance_and_more_in_runs() {
        let lost_where = |missing: &dyn Fn(u16) -> bool| {
            let came: Vec<(u32, u16)> = (0..10_000).filter(|n| !missing(*n)).map(|n| (1, n)).collect();
            reception(&came).burst_ratio()
        };
        for (rule, ratio, expect) in [
            ("none_lost", lost_where(&|_| false), 1.0),
            ("each_alone", lost_where(&|n| n % 10 == 5), 1.0),
            // Runs of 5, one in ten lost: 5 * (1 - 0.1).
            ("runs_of_five", lost_where(&|n| n % 50 > 10 && n % 50 < 16), 4.5),
        ] {
            assert!((ratio - expect).abs() < 0.01, "{rule}: {ratio}");
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
    fn the_audio_in_a_packet_is_the_shortest_step_of_the_timestamp() {
        let mut reception = Reception::default();
        assert_eq!(reception.packet_ms(), 0.0);
        let packets = [(0, 0), (40_000, 320), (60_000, 480), (60_000, 480), (80_000, 160)];
        packets.iter().for_each(|&(at, timestamp)| reception.time(Instant(at), timestamp, 8_000));
        assert_eq!(reception.packet_ms(), 20.0);
        assert_eq!(reception.clock_rate(), Some(8_000));
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
        assert!(reception.jitter_ms() > 1_000.0 && reception.jitter_ms_max() >= reception.jitter_ms());
    }
}
