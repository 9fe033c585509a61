//! When a leg was heard and when it should have been: its first packet, its last one, its longest silence.
//! Not here: what is silent in the audio itself, which is never looked into, and when a call is given up for silence (`leg`).

use crate::media::watch::Silence;
use crate::time::{Duration, Instant};
use serde::Serialize;

/// One leg's times. It is awaited while signalling says that it sends.
#[derive(Debug, Default)]
pub struct Presence {
    /// When it was awaited first.
    begun: Option<Instant>,
    /// For how long it was awaited, until the last word of signalling.
    awaited: Duration,
    awaited_since: Option<Instant>,
    /// Since when nothing has come of what is awaited.
    silent_since: Option<Instant>,
    first: Option<Instant>,
    last: Option<Instant>,
    /// The longest silence between two packets: when it began, and how long it was.
    longest: Option<(Instant, Duration)>,
    /// How long it was silent when the call was over.
    at_end: Duration,
}

/// What became of it, in milliseconds; times count from when the leg was awaited first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Timing {
    /// For how long it was to send, holds left out.
    pub awaited_ms: u64,
    /// When its first packet came; `null` if none did.
    pub first_packet_ms: Option<u64>,
    /// When its last packet came.
    pub last_packet_ms: Option<u64>,
    /// The longest time without a packet in the middle of the call, while packets were awaited.
    pub silence_ms_max: u64,
    /// When that began.
    pub silence_at_ms: u64,
    /// How long it was silent when the call ended.
    pub silent_at_end_ms: u64,
}

impl Presence {
    /// What signalling says from now on: whether packets are to come. That it says so again ends no silence.
    pub fn expect(&mut self, now: Instant, sends: bool) {
        if sends {
            self.begun.get_or_insert(now);
            self.awaited_since.get_or_insert(now);
            self.silent_since.get_or_insert(now);
        } else {
            self.rest(now);
        }
    }

    /// A packet came.
    #[inline]
    pub fn hear(&mut self, now: Instant) {
        if self.silent_since.is_some() {
            self.end_silence(now);
            self.silent_since = Some(now);
        }
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// For how long nothing has come; `None` while nothing is awaited.
    #[inline]
    pub fn silence(&self, now: Instant) -> Option<Silence> {
        let lasts = now.since(self.silent_since?);
        Some(Silence { lasts, was_heard: self.first.is_some() })
    }

    /// For how long it was awaited, up to now, milliseconds.
    pub fn awaited_ms(&self, now: Instant) -> u64 {
        millis(self.awaited + self.awaited_since.map_or(Duration::ZERO, |since| now.since(since)))
    }

    /// The call is over.
    pub fn end(&mut self, now: Instant) {
        self.at_end = self.silent_since.map_or(Duration::ZERO, |since| now.since(since));
        self.silent_since = None;
        self.rest(now);
    }

    /// What became of it, up to the last word of signalling or the end.
    pub fn report(&self) -> Timing {
        let begun = self.begun.unwrap_or_default();
        let at = |instant: Option<Instant>| instant.map(|instant| millis(instant.since(begun)));
        let (since, longest) = self.longest.unwrap_or_default();
        Timing {
            awaited_ms: millis(self.awaited),
            first_packet_ms: at(self.first),
            last_packet_ms: at(self.last),
            silence_ms_max: millis(longest),
            silence_at_ms: millis(since.since(begun)),
            silent_at_end_ms: millis(self.at_end),
        }
    }

    /// Nothing is awaited any more. The silence up to now counts: whoever puts a silent call on hold was not heard before.
    fn rest(&mut self, now: Instant) {
        self.end_silence(now);
        self.awaited += self.awaited_since.take().map_or(Duration::ZERO, |since| now.since(since));
    }

    /// What lies before the first packet is no silence in the middle.
    #[inline]
    fn end_silence(&mut self, now: Instant) {
        let Some(since) = self.silent_since.take().filter(|_| self.first.is_some()) else { return };
        let silence = now.since(since);
        if self.longest.is_none_or(|(_, longest)| silence > longest) {
            self.longest = Some((since, silence));
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Step {
        Expect(bool),
        Hear,
    }
    use Step::{Expect, Hear};

    #[test]
    fn times_are_told_as_they_were() {
        let told = |awaited_ms, first: Option<u64>, last: Option<u64>, (at, longest), at_end| Timing {
            awaited_ms,
            first_packet_ms: first,
            last_packet_ms: last,
            silence_ms_max: longest,
            silence_at_ms: at,
            silent_at_end_ms: at_end,
        };
        let on = Expect(true);
        // Steps at milliseconds; every story ends at 10 s.
        for (rule, steps, expect) in [
            ("never_awaited", vec![], Timing::default()),
            (
                "only_heard",
                vec![(5, Hear)],
                Timing { first_packet_ms: Some(5), last_packet_ms: Some(5), ..Timing::default() },
            ),
            ("never_heard", vec![(1_000, on)], told(9_000, None, None, (0, 0), 9_000)),
            (
                "heard_once",
                vec![(1_000, Expect(true)), (1_500, Hear)],
                told(9_000, Some(500), Some(500), (0, 0), 8_500),
            ),
            (
                "a_silence_in_the_middle",
                vec![(0, Expect(true)), (100, Hear), (400, Hear), (3_400, Hear), (3_500, Hear), (9_900, Hear)],
                told(10_000, Some(100), Some(9_900), (3_500, 6_400), 100),
            ),
            (
                "signalling_that_says_it_again_ends_no_silence",
                vec![(0, Expect(true)), (100, Hear), (3_000, Expect(true)), (6_100, Hear)],
                told(10_000, Some(100), Some(6_100), (100, 6_000), 3_900),
            ),
            (
                "a_hold_is_no_silence",
                vec![(0, Expect(true)), (1_000, Hear), (1_500, Expect(false)), (9_000, Expect(true)), (9_500, Hear)],
                told(2_500, Some(1_000), Some(9_500), (1_000, 500), 500),
            ),
            (
                "music_that_is_not_awaited_is_heard",
                vec![(0, Expect(true)), (1_000, Hear), (1_000, Expect(false)), (8_000, Hear)],
                told(1_000, Some(1_000), Some(8_000), (1_000, 0), 0),
            ),
        ] {
            let mut presence = Presence::default();
            for (at, step) in steps {
                let now = Instant(at * 1_000);
                match step {
                    Expect(sends) => presence.expect(now, sends),
                    Hear => presence.hear(now),
                }
            }
            presence.end(Instant(10_000_000));
            assert_eq!(presence.report(), expect, "{rule}");
        }
    }
}
