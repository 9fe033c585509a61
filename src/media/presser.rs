//! Keys that we press: as telephone-event packets in the stream that one leg hears of the other one, in its SSRC and its order. Audio is left
//! out meanwhile (RFC 4733 §2.5.1.2), and one key ends before the next begins.
//! Not here: who wants them pressed (`call`), when a packet is due (`relay`), and the packets' payload (`dtmf`).
//!
//! ```text
//!  from the other leg   17  18  19  20  21  22 …                left out: 18 to 21
//!  heard by this one    17  e18 e19 e20 E21 E22 E23 24 …        22 becomes 24, and so on
//! ```

use crate::limits;
use crate::media::dtmf::{Dialled, KeyWriter};
use crate::media::header::{self, Rtp};
use crate::media::packet::Packet;
use crate::media::player::FRAME;
use crate::time::{Duration, Instant};
use arrayvec::ArrayVec;

/// How far behind the last packet that was left out another one is late, and not of a stream that began anew (RFC 3550 §A.1).
const LATE_MAX: u16 = 100;

/// One leg's, from the first key that was pressed for it to hear.
#[derive(Debug, Default)]
pub(super) struct Presser {
    queue: ArrayVec<(char, Duration), { limits::DIGITS_QUEUED_MAX }>,
    stage: Stage,
    numbers: Option<Numbers>,
    /// Since when the first in the queue could not begin.
    waits: Option<Instant>,
    /// Keys that were pressed, and that could not be.
    pub(super) sent: u32,
    pub(super) unsent: u32,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// A key is down.
    Down { writer: KeyWriter, payload_type: u8, newest: u16, sequence: u16 },
    /// None is until then.
    Pause { until: Instant },
}

/// How the other leg's packets are numbered for this one.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    ssrc: u32,
    /// So many more than they have.
    ahead: u16,
    /// The last that was left out, while another may be late.
    left_out: Option<u16>,
}

/// The stream that a key is pressed in, as it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) ssrc: u32,
    /// The highest number that came from the other leg.
    pub(super) sequence: u16,
    /// What the time now is in it.
    pub(super) timestamp: u32,
    /// What this leg calls telephone-event, and by which clock it counts durations.
    pub(super) payload_type: u8,
    pub(super) clock_rate: u32,
}

/// Whether a key may begin now.
#[derive(Clone, Copy, Debug)]
pub(super) enum Readiness {
    /// In this stream.
    Ready(Standing),
    /// Not now: something else is being heard, or the stream is not known yet.
    Later,
    /// Not at all.
    Never,
}

impl Presser {
    /// Keys to be pressed one after the other. Those that there is no room for are not.
    pub(super) fn push(&mut self, dialled: &Dialled, duration: Option<Duration>) {
        let usual = limits::DIGIT_DURATION;
        let duration = duration.map_or(usual, |it| it.clamp(limits::DIGIT_DURATION_MIN, limits::DIGIT_DURATION_MAX));
        for key in dialled.keys() {
            if self.queue.try_push((key, duration)).is_err() {
                self.unsent = self.unsent.saturating_add(1);
            }
        }
    }

    /// Whether there is anything to do at the next beat.
    pub(super) fn is_busy(&self) -> bool {
        !self.queue.is_empty() || !matches!(self.stage, Stage::Idle)
    }

    /// Whether packets of the other leg's get other numbers here.
    pub(super) fn renumbers(&self) -> bool {
        self.is_busy() || self.numbers.is_some()
    }

    /// A beat: writes the next packet of a key, if one is due.
    pub(super) fn write(
        &mut self,
        now: Instant,
        ready: impl FnOnce() -> Readiness,
        packet: &mut Packet<'_>,
    ) -> Option<()> {
        if matches!(self.stage, Stage::Pause { until } if until <= now) {
            self.stage = Stage::Idle;
        }
        if matches!(self.stage, Stage::Idle) {
            self.begin(now, ready)?;
        }
        let Stage::Down { writer, payload_type, newest, sequence } = &mut self.stage else { return None };
        let numbers = self.numbers.as_mut()?;
        if let Some(key) = writer.next() {
            *sequence = sequence.wrapping_add(1);
            let (payload_type, sequence, ssrc) = (*payload_type, *sequence, numbers.ssrc);
            let rtp = Rtp { payload_type, marker: key.marker, sequence, timestamp: key.timestamp, ssrc };
            return packet.write(|buffer| rtp.write(&key.payload, buffer));
        }
        (numbers.ahead, numbers.left_out) = (sequence.wrapping_sub(*newest), Some(*newest));
        self.stage = Stage::Pause { until: now + limits::DIGIT_PAUSE };
        None
    }

    /// Begins the next key, if there is one and it may.
    fn begin(&mut self, now: Instant, ready: impl FnOnce() -> Readiness) -> Option<()> {
        let (key, duration) = *self.queue.first()?;
        let since = *self.waits.get_or_insert(now);
        let standing = match ready() {
            Readiness::Ready(standing) => standing,
            Readiness::Later if now.since(since) < limits::DIGIT_WAIT_MAX => return None,
            Readiness::Later | Readiness::Never => {
                let lost = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
                self.unsent = self.unsent.saturating_add(lost);
                self.queue.clear();
                self.waits = None;
                return None;
            }
        };
        self.queue.remove(0);
        self.waits = None;
        let Standing { ssrc, sequence: newest, timestamp, payload_type, clock_rate } = standing;
        let writer = KeyWriter::new(key, timestamp, clock_rate, FRAME, duration)?;
        let numbers = self.numbers.filter(|numbers| numbers.ssrc == ssrc);
        let numbers = numbers.unwrap_or(Numbers { ssrc, ahead: 0, left_out: None });
        let sequence = newest.wrapping_add(numbers.ahead);
        self.numbers = Some(numbers);
        self.sent = self.sent.saturating_add(1);
        self.stage = Stage::Down { writer, payload_type, newest, sequence };
        Some(())
    }

    /// A packet of the other leg's is to go to this one: gives it its number here, or says that it is left out.
    pub(super) fn renumber(&mut self, packet: &mut [u8]) -> bool {
        let Ok((rtp, _)) = Rtp::parse(packet) else { return true };
        if let Stage::Down { newest, .. } = &mut self.stage {
            let is_newer = rtp.sequence.wrapping_sub(*newest).cast_signed() > 0;
            if is_newer && self.numbers.is_some_and(|numbers| numbers.ssrc == rtp.ssrc) {
                *newest = rtp.sequence;
            }
            return false;
        }
        let Some(numbers) = self.numbers.as_mut().filter(|numbers| numbers.ssrc == rtp.ssrc) else { return true };
        if let Some(left_out) = numbers.left_out {
            let behind = left_out.wrapping_sub(rtp.sequence);
            if behind < LATE_MAX {
                return false;
            }
            // Whoever is so far ahead has nothing of before on its way.
            if rtp.sequence.wrapping_sub(left_out) > LATE_MAX {
                numbers.left_out = None;
            }
        }
        header::set_sequence(packet, rtp.sequence.wrapping_add(numbers.ahead));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::dtmf::Keypad;

    const SSRC: u32 = 9;

    fn dialled(keys: &str) -> Dialled {
        Dialled::parse(keys).unwrap()
    }

    /// The other leg, which speaks each 20 ms, and what this one hears.
    struct Line {
        presser: Presser,
        now: Instant,
        began: u16,
        sequence: u16,
        speaks: bool,
        heard: Vec<Rtp>,
        keypad: Keypad,
        keys: String,
    }

    impl Line {
        fn new(sequence: u16) -> Line {
            let (presser, keypad) = (Presser::default(), Keypad::default());
            let (heard, keys) = (Vec::new(), String::new());
            Line { presser, now: Instant(1_000_000), began: sequence, sequence, speaks: true, heard, keypad, keys }
        }

        /// A packet of the other leg's comes; whether it goes on.
        fn speak(&mut self, sequence: u16) -> bool {
            let mut packet = [0; 32];
            let timestamp = u32::from(sequence) * 160;
            Rtp { sequence, timestamp, ssrc: SSRC, ..Rtp::default() }.write(&[0xD5; 20], &mut packet).unwrap();
            let goes_on = self.presser.renumber(&mut packet);
            if goes_on {
                self.heard.push(Rtp::parse(&packet).unwrap().0);
            }
            goes_on
        }

        fn beat(&mut self, readiness: Option<Readiness>) {
            self.now = self.now + FRAME;
            if self.speaks {
                self.sequence = self.sequence.wrapping_add(1);
                self.speak(self.sequence);
            }
            let (mut buffer, ready) = ([0; 200], readiness.unwrap_or(self.ready()));
            let mut packet = Packet::new(&mut buffer, 0);
            if self.presser.write(self.now, || ready, &mut packet).is_some() {
                let (rtp, payload) = Rtp::parse(packet.bytes()).unwrap();
                self.keys.extend(self.keypad.receive(self.now, &rtp, payload, 8_000).map(|digit| digit.key));
                self.heard.push(rtp);
            }
        }

        fn beats(&mut self, beats: usize) {
            for _ in 0..beats {
                self.beat(None);
            }
        }

        fn ready(&self) -> Readiness {
            // Time passes whether it speaks or not.
            let beats = u32::try_from((self.now.0 - 1_000_000) / 20_000).unwrap();
            let timestamp = (u32::from(self.began) + beats) * 160;
            let (payload_type, clock_rate) = (101, 8_000);
            Readiness::Ready(Standing { ssrc: SSRC, sequence: self.sequence, timestamp, payload_type, clock_rate })
        }

        /// What was heard is one stream: each number once, and each the next.
        fn is_one_stream(&self) {
            for pair in self.heard.windows(2) {
                assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1), "{:?}", self.heard);
                assert_eq!(pair[1].ssrc, SSRC);
            }
        }
    }

    #[test]
    fn keys_are_heard_one_after_the_other_in_one_stream_with_the_audio() {
        for (rule, speaks) in [("while_it_speaks", true), ("while_it_is_silent", false)] {
            for from in [100, u16::MAX - 3] {
                let mut line = Line::new(from);
                line.beats(3);
                line.presser.push(&dialled("12#"), None);
                line.speaks = speaks;
                line.beats(60);
                line.speaks = true;
                line.beats(20);
                assert_eq!(
                    (line.keys.as_str(), line.presser.sent, line.presser.is_busy()),
                    ("12#", 3, false),
                    "{rule}"
                );
                line.is_one_stream();
                let began = line.heard.iter().filter(|rtp| rtp.payload_type == 101 && rtp.marker).count();
                let audio = line.heard.iter().filter(|rtp| rtp.payload_type == 0).count();
                assert_eq!(began, 3, "{rule}: each has a marker");
                assert!(audio > 20, "{rule}: {audio} packets of audio");
            }
        }
    }

    #[test]
    fn audio_is_left_out_while_a_key_is_down_and_so_is_what_comes_of_it_later() {
        let mut line = Line::new(100);
        line.beats(3);
        line.presser.push(&dialled("5"), Some(Duration::from_millis(60)));
        line.beats(3);
        assert!(!line.speak(line.sequence.wrapping_add(1)), "it is down");
        line.sequence += 1;
        line.beats(12);
        let late = line.heard.iter().rev().find(|rtp| rtp.payload_type == 101).unwrap().timestamp / 160;
        assert!(!line.speak(u16::try_from(late).unwrap() + 1), "late, of when it was down");
        line.is_one_stream();
    }

    #[test]
    fn a_stream_that_begins_anew_is_heard() {
        let mut line = Line::new(60_000);
        line.beats(3);
        line.presser.push(&dialled("5"), None);
        line.beats(20);
        assert!(line.speak(200) && line.speak(201));
        let [.., one, two] = &line.heard[..] else { panic!() };
        assert_eq!(two.sequence, one.sequence.wrapping_add(1));
        let mut packet = [0; 12];
        Rtp { ssrc: 77, sequence: 5, ..Rtp::default() }.write(&[], &mut packet).unwrap();
        assert!(line.presser.renumber(&mut packet), "another source");
        assert_eq!(Rtp::parse(&packet).unwrap().0.sequence, 5, "has its own numbers");
    }

    #[test]
    fn keys_that_cannot_be_pressed_are_counted_and_given_up() {
        let mut line = Line::new(1);
        line.presser.push(&dialled("123"), None);
        line.beat(Some(Readiness::Never));
        assert_eq!((line.presser.unsent, line.presser.is_busy()), (3, false));
        line.presser.push(&dialled("4"), None);
        let patience = limits::DIGIT_WAIT_MAX.as_millis() / FRAME.as_millis();
        (0..patience).for_each(|_| line.beat(Some(Readiness::Later)));
        assert!(line.presser.is_busy());
        line.beat(Some(Readiness::Later));
        line.beat(Some(Readiness::Later));
        assert_eq!((line.presser.unsent, line.presser.is_busy()), (4, false));
        (0..9).for_each(|_| line.presser.push(&dialled("0123456789"), None));
        assert_eq!(usize::try_from(line.presser.unsent).unwrap(), 4 + 90 - limits::DIGITS_QUEUED_MAX);
    }
}
