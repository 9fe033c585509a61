//! What a leg says, by RTCP, of how it hears the other one, and how long the way to it and back is. Reports cross us unchanged; we look on.
//! Not here: how reports are read (`rtcp`). All of it is a stranger's word: what cannot be is ignored and counted, and nothing grows with it.
//!
//! ```text
//!   other ── sender report, time T ──▶ us, at t1 ── T ──▶ leg
//!                                      us, at t2 ◀── LSR = T, DLSR ── leg          round trip = t2 − t1 − DLSR (RFC 3550 §6.4.1)
//! ```

use crate::limits;
use crate::media::rtcp::{self, Echo, Item};
use crate::media::statistics;
use crate::time::{Duration, Instant};
use arrayvec::ArrayVec;
use serde::Serialize;

/// By how much two clocks that run at their own speeds may make a round trip negative.
const DRIFT_MAX: Duration = Duration::from_millis(5);

/// One leg's word on what it hears.
#[derive(Debug, Default)]
pub struct Feedback {
    /// Times of others' clocks that were sent to the leg, the latest last.
    clocks: ArrayVec<Clock, { limits::RTCP_CLOCKS_MAX }>,
    trips: Trips,
    /// Of the stream that it hears now.
    heard: Option<Heard>,
    /// Lost and expected of streams before that.
    before: (u64, u64),
    jitter: Option<Duration>,
    ignored: u32,
}

/// A time that was sent to the leg.
#[derive(Clone, Copy, Debug)]
struct Clock {
    ssrc: u32,
    name: u32,
    sent: Instant,
}

/// What it says of a stream, and how many of its packets should have come by then.
#[derive(Clone, Copy, Debug)]
struct Heard {
    ssrc: u32,
    lost: u64,
    expected: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Trips {
    last: Duration,
    min: Duration,
    max: Duration,
    sum: Duration,
    count: u32,
}

/// What a leg reported, for the record.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Reported {
    /// From us to the leg and back; `null` if its reports did not tell.
    pub round_trip: Option<RoundTrip>,
    /// Packets of the other leg's that it misses, those among them that never came as far as us; `null` if it reported nothing.
    pub packets_lost: Option<u64>,
    /// How many it should have got.
    pub packets_expected: u64,
    /// The jitter that it reported last, milliseconds.
    pub jitter_ms: Option<f32>,
    /// Reports that cannot be true, or are of nothing that crossed us.
    pub ignored: u32,
}

/// Round trips, milliseconds.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct RoundTrip {
    /// The latest.
    pub last_ms: f32,
    /// The shortest.
    pub min_ms: f32,
    /// The longest.
    pub max_ms: f32,
    /// Of all.
    pub mean_ms: f32,
}

impl Feedback {
    /// RTCP of the other leg's was sent to this one.
    pub fn sent(&mut self, now: Instant, packet: &[u8]) {
        for item in rtcp::items(packet) {
            if let Item::Clock { ssrc, name } = item {
                self.clocks.retain(|clock| (clock.ssrc, clock.name) != (ssrc, name));
                if self.clocks.is_full() {
                    self.clocks.remove(0);
                }
                self.clocks.push(Clock { ssrc, name, sent: now });
            }
        }
    }

    /// RTCP came from this leg; `other` is what we receive of the other leg, which is what it hears.
    pub fn received(&mut self, now: Instant, packet: &[u8], other: &statistics::Reception) {
        for item in rtcp::items(packet) {
            let believed = match item {
                Item::Clock { .. } => true,
                Item::Echo(echo) => self.measure(now, echo),
                Item::Reception(reception) => self.note(reception, other),
            };
            self.ignored = self.ignored.saturating_add(u32::from(!believed));
        }
    }

    /// What it said so far.
    pub fn report(&self) -> Reported {
        let trips = self.trips;
        let round_trip = trips.sum.checked_div(trips.count).map(|mean| RoundTrip {
            last_ms: millis(trips.last),
            min_ms: millis(trips.min),
            max_ms: millis(trips.max),
            mean_ms: millis(mean),
        });
        let now = self.heard.map_or((0, 0), |heard| (heard.lost, heard.expected));
        let (lost, expected) = (self.before.0 + now.0, self.before.1 + now.1);
        Reported {
            round_trip,
            packets_lost: (expected > 0).then_some(lost),
            packets_expected: expected,
            jitter_ms: self.jitter.map(millis),
            ignored: self.ignored,
        }
    }

    /// Takes a round trip, if the time that it answers went to this leg and if it can be.
    fn measure(&mut self, now: Instant, echo: Echo) -> bool {
        let answers = |clock: &&Clock| (clock.ssrc, clock.name) == (echo.ssrc, echo.name);
        let Some(clock) = self.clocks.iter().find(answers) else { return false };
        let away = now.since(clock.sent);
        let kept = Duration::from_micros(u64::from(echo.delay) * 1_000_000 / 65_536);
        let trip = away.saturating_sub(kept);
        if kept > away + DRIFT_MAX || trip > limits::ROUND_TRIP_MAX {
            return false;
        }
        self.trips.add(trip);
        true
    }

    /// Takes what is said of a stream, if it is the one that the other leg sends.
    fn note(&mut self, said: rtcp::Reception, other: &statistics::Reception) -> bool {
        let Some((_, expected)) = other.current().filter(|(ssrc, _)| *ssrc == said.ssrc) else {
            // A report of the stream before may have been on its way.
            return self.heard.is_some_and(|heard| heard.ssrc == said.ssrc);
        };
        // It may be negative: more came than were sent.
        let lost = u64::try_from(said.lost).unwrap_or(0);
        // In units of the stream's own clock, which another codec may have changed (RFC 7160).
        let jitter = other.clock_rate().map(|rate| u64::from(said.jitter) * 1_000_000 / u64::from(rate.max(1)));
        let jitter = jitter.map(Duration::from_micros);
        if lost > expected || jitter.is_some_and(|jitter| jitter > limits::ROUND_TRIP_MAX) {
            return false;
        }
        let heard = Heard { ssrc: said.ssrc, lost, expected };
        if let Some(ended) = self.heard.replace(heard).filter(|ended| ended.ssrc != said.ssrc) {
            self.before = (self.before.0 + ended.lost, self.before.1 + ended.expected);
        }
        self.jitter = jitter.or(self.jitter);
        true
    }
}

impl Trips {
    fn add(&mut self, trip: Duration) {
        self.min = if self.count == 0 { trip } else { self.min.min(trip) };
        self.max = self.max.max(trip);
        self.last = trip;
        self.sum = self.sum.saturating_add(trip);
        self.count = self.count.saturating_add(1);
    }
}

fn millis(duration: Duration) -> f32 {
    let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    let (whole, rest) = (micros / 1_000, micros % 1_000);
    f32::from(u16::try_from(whole).unwrap_or(u16::MAX)) + f32::from(u16::try_from(rest).unwrap_or(0)) / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: u32 = 9;
    const NAME: u32 = 0xAABB_CCDD;
    const SECOND: u32 = 65_536;

    /// The other leg's stream as we receive it: 1,001 packets, audio at 8 kHz.
    fn stream(ssrc: u32) -> statistics::Reception {
        let mut stream = statistics::Reception::default();
        (0..=1_000).for_each(|n| stream.count(ssrc, n));
        stream.time(Instant(0), 0, 8_000);
        stream
    }

    fn sender_report(ssrc: u32, name: u32) -> Vec<u8> {
        let [n0, n1, n2, n3] = name.to_be_bytes();
        [&[0x80, 200, 0, 6], &ssrc.to_be_bytes()[..], &[0, 0, n0, n1, n2, n3, 0, 0], &[0; 12]].concat()
    }

    fn receiver_report(ssrc: u32, lost: i32, jitter: u32, (name, delay): (u32, u32)) -> Vec<u8> {
        let lost = lost.cast_unsigned() & 0x00FF_FFFF;
        let words = [ssrc, lost, 1_000, jitter, name, delay];
        [&[0x81, 201, 0, 7, 0, 0, 0, 7], words.map(u32::to_be_bytes).as_flattened()].concat()
    }

    #[test]
    fn a_round_trip_is_what_lies_between_a_report_and_its_answer_less_what_was_waited_there() {
        // Sent at 1 s; the answer comes at so many milliseconds.
        for (rule, at_ms, echo, expect) in [
            ("at_once", 1_080, (OTHER, NAME, 0), Some(80.0)),
            ("after_two_seconds", 3_120, (OTHER, NAME, 2 * SECOND), Some(120.0)),
            ("next_door", 3_000, (OTHER, NAME, 2 * SECOND), Some(0.0)),
            ("clocks_drift", 2_998, (OTHER, NAME, 2 * SECOND), Some(0.0)),
            ("it_waited_longer_than_there_was_time", 2_900, (OTHER, NAME, 2 * SECOND), None),
            ("it_waited_for_ever", 3_000, (OTHER, NAME, u32::MAX), None),
            ("longer_than_any_way", 12_000, (OTHER, NAME, 0), None),
            ("a_time_that_nobody_sent", 1_080, (OTHER, NAME + 1, 0), None),
            ("a_time_of_another", 1_080, (8, NAME, 0), None),
        ] {
            let mut feedback = Feedback::default();
            feedback.sent(Instant(1_000_000), &sender_report(OTHER, NAME));
            let report = receiver_report(echo.0, 0, 0, (echo.1, echo.2));
            feedback.received(Instant(at_ms * 1_000), &report, &stream(echo.0));
            let told = feedback.report();
            assert_eq!(told.round_trip.map(|trip| trip.last_ms), expect, "{rule}");
            assert_eq!(told.ignored, u32::from(expect.is_none()), "{rule}");
        }
    }

    #[test]
    fn round_trips_are_summed_up() {
        let mut feedback = Feedback::default();
        for (n, trip) in [(1u32, 100u64), (2, 60), (3, 170)] {
            let sent = Instant(u64::from(n) * 5_000_000);
            feedback.sent(sent, &sender_report(OTHER, n));
            let report = receiver_report(OTHER, 0, 0, (n, SECOND));
            feedback.received(sent + Duration::from_millis(1_000 + trip), &report, &stream(OTHER));
        }
        let expect = RoundTrip { last_ms: 170.0, min_ms: 60.0, max_ms: 170.0, mean_ms: 110.0 };
        assert_eq!(feedback.report().round_trip, Some(expect));
    }

    #[test]
    fn a_receivers_reference_time_is_answered_alike() {
        let mut feedback = Feedback::default();
        let [n0, n1, n2, n3] = NAME.to_be_bytes();
        let reference = [0x80, 207, 0, 4, 0, 0, 0, 7, 4, 0, 0, 2, 0, 0, n0, n1, n2, n3, 0, 0];
        feedback.sent(Instant(0), &reference);
        let answer =
            [[0x80, 207, 0, 5, 0, 0, 0, 9], [5, 0, 0, 3, 0, 0, 0, 7], [n0, n1, n2, n3, 0, 0, 0x80, 0]].concat();
        feedback.received(Instant(540_000), &answer, &stream(7));
        assert_eq!(feedback.report().round_trip.map(|trip| trip.last_ms), Some(40.0));
    }

    #[test]
    fn what_a_leg_says_of_the_other_is_believed_if_it_can_be() {
        for (rule, ssrc, lost, jitter, expect) in [
            ("nothing_lost", OTHER, 0, 0, Some((0, 0.0))),
            ("some_lost", OTHER, 17, 160, Some((17, 20.0))),
            ("more_came_than_were_sent", OTHER, -5, 8, Some((0, 1.0))),
            ("all_lost", OTHER, 1_001, 0, Some((1_001, 0.0))),
            ("more_lost_than_were_sent", OTHER, 1_002, 0, None),
            ("a_jitter_of_days", OTHER, 0, u32::MAX, None),
            ("of_a_stream_that_never_crossed", OTHER + 1, 0, 0, None),
        ] {
            let mut feedback = Feedback::default();
            feedback.received(Instant(0), &receiver_report(ssrc, lost, jitter, (0, 0)), &stream(OTHER));
            let told = feedback.report();
            assert_eq!(told.packets_lost.zip(told.jitter_ms), expect, "{rule}");
            assert_eq!(
                (told.packets_expected, told.ignored),
                if expect.is_some() { (1_001, 0) } else { (0, 1) },
                "{rule}"
            );
        }
    }

    #[test]
    fn a_new_stream_is_added_to_those_before_and_a_late_word_on_the_old_one_changes_nothing() {
        let mut feedback = Feedback::default();
        feedback.received(Instant(0), &receiver_report(OTHER, 10, 0, (0, 0)), &stream(OTHER));
        let next = stream(OTHER + 1);
        feedback.received(Instant(1), &receiver_report(OTHER, 12, 0, (0, 0)), &next);
        assert_eq!(feedback.report().packets_lost, Some(10));
        for lost in [3, 4] {
            feedback.received(Instant(2), &receiver_report(OTHER + 1, lost, 0, (0, 0)), &next);
        }
        let told = feedback.report();
        assert_eq!((told.packets_lost, told.packets_expected, told.ignored), (Some(14), 2_002, 0));
    }

    #[test]
    fn jitter_is_in_the_clock_of_the_codec_that_is_spoken_now() {
        let (mut feedback, mut stream) = (Feedback::default(), stream(OTHER));
        for (clock_rate, expect) in [(8_000, 40.0), (16_000, 20.0), (48_000, 6.666)] {
            stream.time(Instant(0), 0, clock_rate);
            feedback.received(Instant(0), &receiver_report(OTHER, 0, 320, (0, 0)), &stream);
            assert_eq!(feedback.report().jitter_ms, Some(expect));
        }
    }

    #[test]
    fn nothing_that_is_said_grows_or_overflows() {
        let mut feedback = Feedback::default();
        let mut rng = crate::rng::Rng::from_seed([8; 32]);
        let mut packet = [0; 1_500];
        for n in 0..2_000 {
            rng.fill(&mut packet);
            let head = [0x9F, [200, 201, 207][usize::try_from(rng.below(3)).unwrap()], 1, 0x76];
            packet[..4].copy_from_slice(&head);
            feedback.sent(Instant(n), &packet);
            feedback.received(Instant(u64::MAX), &packet, &stream(OTHER));
        }
        let told = feedback.report();
        assert!(told.ignored > 1_000 && told.packets_lost.is_none() && feedback.clocks.is_full());
    }
}
