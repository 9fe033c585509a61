//! Which sample was heard when: the audio of both legs on one clock, the one of who received it, so that the two channels stay together.
//! A packet lies where its RTP timestamp puts it (RFC 3550 §5.1), whatever order it comes in, as long as it is not later than
//! [`limits::RECORDING_HOLD`]; where nothing was heard there is silence. A sender's clock that runs away is brought back
//! in small steps, and one that leaps begins anew.
//! Not here: the file that it becomes (`relay`).
//!
//! ```text
//!                 written          arrival
//!  ── given out ───┤···a···b······c···┤        position = that of the newest packet + difference of timestamps
//!                  └─── held back ────┘        slack    = arrival − position; its least is what the sender's clock is off
//! ```

use crate::id::Side;
use crate::limits;
use crate::media::recording::{Heard, Sides};
use crate::media::tone::SAMPLE_RATE;
use crate::time::{Duration, Instant};

/// Samples that are held at most, a power of two: what is held back, what may come early, and a packet.
const WINDOW: u64 = 8_192;
/// Microseconds that a sample lasts.
const SAMPLE_US: u64 = 1_000_000 / SAMPLE_RATE as u64;
/// How much later than its timestamp says a packet may come, samples, before the timestamp is no longer believed: a second.
const BEHIND_MAX: i64 = 8_000;
/// The same of one that comes earlier: 0.4 s.
const AHEAD_MAX: i64 = 3_200;
/// How many packets are looked at to see whether a clock is off: two seconds.
const DRIFT_PACKETS: u32 = 100;
/// How far off it is let be, samples: 10 ms.
const DRIFT_MAX: u64 = 80;
/// After so many packets in a row that came too late, the next is believed: the network has become slower.
const LATE_MAX: u32 = 5;

/// Both channels.
#[derive(Debug)]
pub struct Timeline {
    sides: Sides,
    begun: Instant,
    /// Samples that were given out.
    written: u64,
    /// The samples from `written` on, each at its place modulo [`WINDOW`].
    window: Box<[[i16; 2]]>,
    channels: [Option<Source>; 2],
    late: u64,
}

/// Who is heard on a channel.
#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    /// The highest timestamp, and where its packet lies.
    newest: u32,
    position: i64,
    /// The least slack of the packets that were looked at, and how many those are.
    least: i64,
    looked_at: u32,
    late: u32,
}

impl Timeline {
    /// From an instant on.
    pub fn new(sides: Sides, begun: Instant) -> Timeline {
        let window = std::iter::repeat_n([0; 2], usize::try_from(WINDOW).unwrap_or(0)).collect();
        Timeline { sides, begun, written: 0, window, channels: [None; 2], late: 0 }
    }

    /// How long what was given out is, samples.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Packets that came too late.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Puts a packet's audio where it belongs. What cannot change any more is given out: 16-bit samples, little-endian, left and right.
    pub fn put(&mut self, heard: Heard<'_>, out: &mut Vec<u8>) {
        self.advance(Instant(heard.at.0.saturating_sub(micros(limits::RECORDING_HOLD))), out);
        let arrival = i64::try_from(self.place(heard.at)).unwrap_or(i64::MAX);
        let index = usize::from(heard.side == Side::Client);
        let Some(channel) = self.channels.get_mut(index) else { return };
        let (source, position) = Source::follow(*channel, heard.ssrc, heard.timestamp, arrival);
        let is_late = position + i64::try_from(heard.payload.len()).unwrap_or(0)
            <= i64::try_from(self.written).unwrap_or(i64::MAX);
        *channel = Some(source.judged(is_late)).filter(|source| source.late < LATE_MAX);
        self.late += u64::from(is_late);
        for (at, octet) in (position..).zip(heard.payload) {
            let Ok(at) = u64::try_from(at) else { continue };
            if (self.written..self.written + WINDOW).contains(&at)
                && let Some(sample) = self.window.get_mut(slot(at)).and_then(|frame| frame.get_mut(index))
            {
                *sample = heard.law.decode(*octet);
            }
        }
    }

    /// Gives out all that lies before an instant.
    pub fn advance(&mut self, to: Instant, out: &mut Vec<u8>) {
        let end = self.place(to);
        while self.written < end {
            let frame = self.window.get_mut(slot(self.written)).map(std::mem::take).unwrap_or_default();
            for (side, sample) in [Side::Caller, Side::Client].into_iter().zip(frame) {
                if self.sides.has(side) {
                    out.extend_from_slice(&sample.to_le_bytes());
                }
            }
            self.written += 1;
        }
    }

    /// How many samples there are up to an instant.
    fn place(&self, at: Instant) -> u64 {
        at.0.saturating_sub(self.begun.0) / SAMPLE_US
    }
}

impl Source {
    /// Where a packet that came now lies, and what is known from then on.
    fn follow(before: Option<Source>, ssrc: u32, timestamp: u32, arrival: i64) -> (Source, i64) {
        let begins = Source { ssrc, newest: timestamp, position: arrival, least: i64::MAX, looked_at: 0, late: 0 };
        let Some(mut source) = before.filter(|source| source.ssrc == ssrc) else { return (begins, arrival) };
        let distance = i64::from(timestamp.wrapping_sub(source.newest).cast_signed());
        let mut position = source.position + distance;
        let slack = arrival - position;
        if !(-AHEAD_MAX..=BEHIND_MAX).contains(&slack) {
            return (begins, arrival);
        }
        source.least = source.least.min(slack);
        source.looked_at += 1;
        if source.looked_at >= DRIFT_PACKETS {
            if source.least.unsigned_abs() > DRIFT_MAX {
                (position, source.position) = (position + source.least, source.position + source.least);
            }
            (source.least, source.looked_at) = (i64::MAX, 0);
        }
        if distance > 0 {
            (source.newest, source.position) = (timestamp, position);
        }
        (source, position)
    }

    fn judged(self, is_late: bool) -> Source {
        Source { late: if is_late { self.late + 1 } else { 0 }, ..self }
    }
}

fn slot(at: u64) -> usize {
    usize::try_from(at % WINDOW).unwrap_or(0)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::tone::Law;

    /// A packet of 20 ms that says one value all the time.
    const FRAME: u32 = 160;

    struct Deck {
        timeline: Timeline,
        out: Vec<u8>,
    }

    impl Deck {
        fn new(sides: Sides) -> Deck {
            Deck { timeline: Timeline::new(sides, Instant(5_000_000)), out: Vec::new() }
        }

        /// At some millisecond, with a timestamp.
        fn put(&mut self, side: Side, ms: u64, timestamp: u32, value: i16) {
            self.put_of(9, side, ms, timestamp, value);
        }

        fn put_of(&mut self, ssrc: u32, side: Side, ms: u64, timestamp: u32, value: i16) {
            let payload = [Law::A.encode(value); FRAME as usize];
            let at = Instant(5_000_000 + ms * 1_000);
            self.timeline.put(Heard { side, at, ssrc, timestamp, law: Law::A, payload: &payload }, &mut self.out);
        }

        /// All channels' samples up to a millisecond.
        fn end(mut self, ms: u64) -> (Vec<i16>, u64) {
            self.timeline.advance(Instant(5_000_000 + ms * 1_000), &mut self.out);
            let samples = self.out.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
            (samples, self.timeline.late())
        }
    }

    /// The value in the middle of each 20 ms of one channel, in thousands, rounded.
    fn values(samples: &[i16], channels: usize, channel: usize) -> Vec<i16> {
        let one: Vec<i16> = samples.iter().skip(channel).step_by(channels).copied().collect();
        one.chunks(160).map(|frame| (frame[frame.len() / 2] + 500).div_euclid(1_000)).collect()
    }

    #[test]
    fn gaps_are_silence_and_disorder_is_undone() {
        for (rule, packets, expect, late) in [
            ("in order", &[(0, 0, 1), (20, 1, 2), (40, 2, 3)][..], &[1, 2, 3, 0][..], 0),
            ("one is lost", &[(0, 0, 1), (40, 2, 3), (60, 3, 4)], &[1, 0, 3, 4], 0),
            ("two change places", &[(0, 0, 1), (40, 2, 3), (41, 1, 2), (60, 3, 4)], &[1, 2, 3, 4], 0),
            ("jitter is not heard", &[(0, 0, 1), (35, 1, 2), (41, 2, 3), (79, 3, 4)], &[1, 2, 3, 4], 0),
            ("one comes twice", &[(0, 0, 1), (20, 1, 2), (22, 1, 2), (40, 2, 3)], &[1, 2, 3, 0], 0),
            ("one comes too late", &[(0, 0, 1), (40, 2, 3), (290, 1, 2)], &[1, 0, 3, 0], 1),
        ] {
            let mut deck = Deck::new(Sides::Caller);
            for (ms, number, value) in packets {
                deck.put(Side::Caller, *ms, 4_294_967_200u32.wrapping_add(number * FRAME), value * 1_000);
            }
            let (samples, counted) = deck.end(80);
            assert_eq!((&values(&samples, 1, 0)[..4], counted), (expect, late), "{rule}");
        }
    }

    #[test]
    fn the_caller_is_left_and_the_client_right_on_one_clock() {
        let mut deck = Deck::new(Sides::Both);
        for number in 0..50u32 {
            deck.put(Side::Caller, u64::from(number) * 20, number * FRAME, 1_000);
            // Another source, whose timestamps begin elsewhere, heard from the fifth frame on.
            if number >= 5 {
                deck.put_of(77, Side::Client, u64::from(number) * 20, 1_000_000 + number * FRAME, -2_000);
            }
        }
        let (samples, late) = deck.end(1_000);
        assert_eq!((samples.len(), late), (2 * 8_000, 0));
        let (left, right) = (values(&samples, 2, 0), values(&samples, 2, 1));
        assert!(left.iter().all(|value| *value == 1), "{left:?}");
        assert_eq!((&right[..5], &right[5..]), (&[0; 5][..], &[-2; 45][..]));
    }

    #[test]
    fn of_one_side_nothing_else_is_given_out() {
        let mut deck = Deck::new(Sides::Client);
        deck.put(Side::Caller, 0, 0, 1_000);
        deck.put(Side::Client, 0, 0, 2_000);
        let (samples, _) = deck.end(20);
        assert_eq!((samples.len(), values(&samples, 1, 0)), (160, vec![2]));
    }

    #[test]
    fn after_ten_minutes_of_a_clock_that_is_off_both_sides_are_still_together() {
        // 200 parts in a million, more than a sound card may be: 120 ms.
        for parts in [-200i64, 200] {
            let mut deck = Deck::new(Sides::Both);
            let (mut at, packets) = (0u64, 30_000u32);
            for number in 0..packets {
                let micros = u64::from(number) * 20_000;
                at = micros.checked_add_signed(i64::from(number) * parts / 50).unwrap();
                let last = number + 1 == packets;
                let value = if last { 4_000 } else { 1_000 };
                let payload = [Law::A.encode(value); FRAME as usize];
                let heard = Heard {
                    side: Side::Caller,
                    at: Instant(5_000_000 + at),
                    ssrc: 1,
                    timestamp: number * FRAME,
                    law: Law::A,
                    payload: &payload,
                };
                deck.timeline.put(heard, &mut deck.out);
                if !last {
                    deck.out.clear();
                }
            }
            let began = deck.timeline.written() - u64::try_from(deck.out.len()).unwrap() / 4;
            let (samples, late) = deck.end(at / 1_000 + 100);
            assert_eq!(late, 0);
            let first = samples.iter().step_by(2).position(|sample| *sample > 3_500).unwrap();
            let heard_at = (began + u64::try_from(first).unwrap()) / 8;
            assert!(
                heard_at.abs_diff(at / 1_000) <= 15,
                "{parts} ppm: at {heard_at} ms, and it came at {} ms",
                at / 1_000
            );
        }
    }

    #[test]
    fn a_leap_of_the_timestamps_begins_anew_and_a_slower_network_is_followed() {
        for (rule, leap) in [("forth", 5_000_000), ("back", 4_000_000_000), ("a pause without time", FRAME)] {
            let mut deck = Deck::new(Sides::Caller);
            deck.put(Side::Caller, 0, 0, 1_000);
            deck.put(Side::Caller, 3_000, leap, 2_000);
            deck.put(Side::Caller, 3_020, leap.wrapping_add(FRAME), 3_000);
            let (samples, late) = deck.end(3_040);
            let values = values(&samples, 1, 0);
            assert_eq!((values[0], &values[150..152], late), (1, &[2, 3][..], 0), "{rule}");
        }
        let mut deck = Deck::new(Sides::Caller);
        for number in 0..20u32 {
            let delay = if number < 5 { 0 } else { 600 };
            deck.put(Side::Caller, u64::from(number) * 20 + delay, number * FRAME, 1_000);
        }
        let (samples, late) = deck.end(1_000);
        assert_eq!(
            (late, values(&samples, 1, 0)[48]),
            (5, 1),
            "after five that came late, where they come is when they are"
        );
    }

    #[test]
    fn any_packets_are_bounded_in_what_they_make() {
        let mut rng = crate::rng::Rng::from_seed([9; 32]);
        let mut deck = Deck::new(Sides::Both);
        let mut ms = 0;
        for _ in 0..20_000 {
            ms += u64::from(rng.below(30));
            let side = if rng.below(2) == 0 { Side::Caller } else { Side::Client };
            let ssrc = rng.below(3);
            let timestamp = u32::try_from(rng.u64() >> (32 + rng.below(20))).unwrap();
            deck.put_of(ssrc, side, ms, timestamp, 1_000);
        }
        let (samples, _) = deck.end(ms);
        assert_eq!(u64::try_from(samples.len()).unwrap(), ms * 16);
    }
}
