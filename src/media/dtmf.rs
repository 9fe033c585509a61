//! Keys pressed, as telephone-event packets (RFC 4733): heard in a leg's stream, and written by the demo's phones.
//! Not here: tones in the audio itself, and what a digit does to a call. A digit may be part of a PIN: nothing here logs.
//! RFC 4733 §2.3 (payload), §2.5.1.2 (end packet sent three times), §2.5.1.3 (long events in segments), §2.6.1 (reliability).
//!
//! ```text
//! |     event     |E R| volume    |          duration             |
//! ```

use crate::limits;
use crate::media::header::Rtp;
use crate::time::{Duration, Instant};
use arrayvec::ArrayString;

/// The keys in the order of their event codes 0–15 (RFC 4733 §3.2).
const KEYS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];
/// The E bit: this packet tells of the key's release.
const END: u8 = 0x80;
/// −10 dBm0, the usual level of a key (RFC 4733 §2.3.4).
const VOLUME: u8 = 10;
/// How often the end is sent, against loss (RFC 4733 §2.5.1.4).
const END_PACKETS: u8 = 3;
/// The longest time that one segment's duration field can tell of.
const SEGMENT_MAX: u16 = u16::MAX;

/// How long an event's payload is (RFC 4733 §2.3).
pub const EVENT_BYTES: usize = 4;

/// The key that a letter stands for, if it does.
pub fn key(letter: char) -> Option<char> {
    let letter = letter.to_ascii_uppercase();
    KEYS.contains(&letter).then_some(letter)
}

/// The key of an event code.
pub fn key_of(code: u8) -> Option<char> {
    KEYS.get(usize::from(code)).copied()
}

/// Keys to be pressed, one after the other. They may be a PIN, so they are not printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Dialled(ArrayString<{ limits::DIGITS_DIALLED_MAX }>);

impl Dialled {
    /// At least one, and nothing that is no key.
    pub fn parse(text: &str) -> Option<Dialled> {
        let mut keys = ArrayString::new();
        text.chars().try_for_each(|letter| keys.try_push(key(letter)?).ok())?;
        (!keys.is_empty()).then_some(Dialled(keys))
    }

    /// In order.
    pub fn keys(&self) -> impl Iterator<Item = char> {
        self.0.chars()
    }

    /// The key, if it is one alone.
    pub fn only(&self) -> Option<char> {
        self.keys().next().filter(|_| self.0.len() == 1)
    }
}

impl std::fmt::Debug for Dialled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

/// A key that was pressed and released.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digit {
    /// `0`–`9`, `*`, `#`, `A`–`D`.
    pub key: char,
    /// How long, milliseconds, as the sender counted.
    pub duration_ms: u32,
}

/// Hears the keys of one leg; each is reported once, at its release, at the next key or [`limits::DTMF_GAP_MAX`] after its last packet.
#[derive(Debug, Default)]
pub struct Keypad {
    current: Option<Press>,
}

#[derive(Clone, Copy, Debug)]
struct Press {
    ssrc: u32,
    /// Of the current segment: what names the press.
    timestamp: u32,
    key: char,
    /// Of the segments before the current one.
    before: u32,
    duration: u16,
    clock_rate: u32,
    heard: Instant,
    reported: bool,
}

impl Keypad {
    /// A telephone-event packet came. Events that are no key (flash, tones) are passed over.
    pub fn receive(&mut self, now: Instant, rtp: &Rtp, payload: &[u8], clock_rate: u32) -> Option<Digit> {
        let &[code, flags, d0, d1] = payload.first_chunk()?;
        let key = key_of(code)?;
        let duration = u16::from_be_bytes([d0, d1]);
        let fresh = Press {
            ssrc: rtp.ssrc,
            timestamp: rtp.timestamp,
            key,
            before: 0,
            duration,
            clock_rate,
            heard: now,
            reported: false,
        };
        let Some(current) = self.current.as_mut().filter(|current| current.ssrc == rtp.ssrc) else {
            return self.begin(fresh, flags);
        };
        let ahead = rtp.timestamp.wrapping_sub(current.timestamp);
        if ahead.cast_signed() < 0 {
            return None; // late packet of a press that is over
        }
        if ahead == u32::from(SEGMENT_MAX) && current.key == key && !rtp.marker && !current.reported {
            // RFC 4733 §2.5.1.3: the key is still down, its duration field was full.
            current.before = current.before.saturating_add(ahead);
            current.timestamp = rtp.timestamp;
            current.duration = 0;
        } else if ahead > 0 {
            return self.begin(fresh, flags);
        }
        current.duration = current.duration.max(duration);
        current.heard = now;
        if flags & END != 0 { current.report() } else { None }
    }

    /// Whether this key was heard a moment ago: a telephone that also says it in another way means one press.
    pub fn has_heard(&self, now: Instant, key: char) -> bool {
        self.current.is_some_and(|press| press.key == key && now.since(press.heard) < limits::DTMF_GAP_MAX)
    }

    /// When an unreleased key is given up; `None` while there is none.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.current.filter(|current| !current.reported).map(|current| current.heard + limits::DTMF_GAP_MAX)
    }

    /// Reports a key whose release was lost.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Digit> {
        self.poll_timeout().filter(|&due| due <= now)?;
        self.current.as_mut()?.report()
    }

    /// A new press. The one before, if its release was lost, is reported now. Should the new one end in this same packet, it is
    /// reported with the repetition of its end or by [`Keypad::handle_timeout`]: one packet reports one key at most.
    fn begin(&mut self, fresh: Press, flags: u8) -> Option<Digit> {
        let before = self.current.replace(fresh).and_then(|mut before| before.report());
        before.or_else(|| if flags & END != 0 { self.current.as_mut()?.report() } else { None })
    }
}

impl Press {
    fn report(&mut self) -> Option<Digit> {
        if std::mem::replace(&mut self.reported, true) {
            return None;
        }
        let units = u64::from(self.before) + u64::from(self.duration);
        let duration_ms = u32::try_from(units * 1_000 / u64::from(self.clock_rate.max(1))).unwrap_or(u32::MAX);
        Some(Digit { key: self.key, duration_ms })
    }
}

/// Writes the packets of one key press: payloads and the header fields that are special to them. The caller sends one each
/// `step`, numbering and addressing them as the rest of its stream.
#[derive(Clone, Debug)]
pub struct KeyWriter {
    code: u8,
    timestamp: u32,
    step: u16,
    total: u16,
    sent: u16,
    ends_left: u8,
    first: bool,
}

/// One telephone-event packet to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyPacket {
    /// To be set on the first packet only.
    pub marker: bool,
    /// The press's first instant, the same in all its packets.
    pub timestamp: u32,
    /// The four bytes of RFC 4733 §2.3.
    pub payload: [u8; 4],
}

impl KeyWriter {
    /// A press of `key` that begins at `timestamp` and lasts `duration` (at most one segment: 8 s at 8 kHz), told of each `step`.
    /// `None` if there is no such key.
    pub fn new(key: char, timestamp: u32, clock_rate: u32, step: Duration, duration: Duration) -> Option<KeyWriter> {
        let code = KEYS.iter().position(|&known| known == key.to_ascii_uppercase())?;
        let units = |span: Duration| {
            u16::try_from(span.as_micros() * u128::from(clock_rate) / 1_000_000).unwrap_or(SEGMENT_MAX).max(1)
        };
        Some(KeyWriter {
            code: u8::try_from(code).ok()?,
            timestamp,
            step: units(step),
            total: units(duration),
            sent: 0,
            ends_left: END_PACKETS,
            first: true,
        })
    }
}

impl Iterator for KeyWriter {
    type Item = KeyPacket;

    fn next(&mut self) -> Option<KeyPacket> {
        self.sent = self.sent.saturating_add(self.step).min(self.total);
        let ended = self.sent == self.total;
        if ended {
            self.ends_left = self.ends_left.checked_sub(1)?;
        }
        let [d0, d1] = self.sent.to_be_bytes();
        let flags = if ended { END } else { 0 } | VOLUME;
        let marker = std::mem::take(&mut self.first);
        Some(KeyPacket { marker, timestamp: self.timestamp, payload: [self.code, flags, d0, d1] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The captures of SIPp's package: what telephones send.
    #[test]
    fn recorded_keys_are_heard() {
        let names = ["star", "pound"].into_iter().map(str::to_owned).chain((0..10).map(|digit| digit.to_string()));
        for name in names {
            let path = format!("{}/../shared/data/rtp/sip-tester/dtmf_2833_{name}.pcap", env!("CARGO_MANIFEST_DIR"));
            let Ok(capture) = std::fs::read(path) else {
                println!("skipped: there is no capture of {name}");
                continue;
            };
            let (mut rest, mut keypad, mut heard) = (&capture[24..], Keypad::default(), String::new());
            while let Some((head, packets)) = rest.split_at_checked(16) {
                let length = usize::try_from(u32::from_le_bytes(head[8..12].try_into().unwrap())).unwrap();
                // Behind Ethernet, IP and UDP.
                let (rtp, payload) = Rtp::parse(&packets[42..length]).unwrap();
                heard.extend(keypad.receive(Instant(0), &rtp, payload, 8_000).map(|digit| digit.key));
                rest = &packets[length..];
            }
            let key = match name.as_str() {
                "star" => "*",
                "pound" => "#",
                digit => digit,
            };
            assert_eq!(heard, key, "{name}");
        }
    }

    #[test]
    fn keys_to_be_pressed_are_keys_and_are_not_printed() {
        let keys = |text| Dialled::parse(text).map(|dialled| dialled.keys().collect::<String>());
        assert_eq!((keys("12#*0aD"), keys("5")), (Some("12#*0AD".into()), Some("5".into())));
        for text in ["", "12 3", "E", "+49", "5\n", &"1".repeat(limits::DIGITS_DIALLED_MAX + 1)] {
            assert_eq!(keys(text), None, "{text:?}");
        }
        let dialled = Dialled::parse("4711").unwrap();
        assert_eq!((format!("{dialled:?}"), dialled.only()), ("4 keys".into(), None));
        assert_eq!(Dialled::parse("7").unwrap().only(), Some('7'));
    }

    const STEP: Duration = Duration::from_millis(20);

    fn press(key: char, timestamp: u32, millis: u64) -> Vec<KeyPacket> {
        KeyWriter::new(key, timestamp, 8_000, STEP, Duration::from_millis(millis)).unwrap().collect()
    }

    /// Feeds packets 20 ms apart and lets two seconds pass at the end.
    fn heard(packets: &[KeyPacket]) -> Vec<(char, u32)> {
        let mut keypad = Keypad::default();
        let mut digits = Vec::new();
        let mut now = Instant(0);
        for packet in packets {
            now = now + STEP;
            let rtp = Rtp { marker: packet.marker, timestamp: packet.timestamp, ssrc: 7, ..Rtp::default() };
            digits.extend(keypad.handle_timeout(now));
            digits.extend(keypad.receive(now, &rtp, &packet.payload, 8_000));
        }
        digits.extend(keypad.handle_timeout(now + Duration::from_secs(2)));
        assert_eq!(keypad.poll_timeout(), None);
        digits.into_iter().map(|digit| (digit.key, digit.duration_ms)).collect()
    }

    #[test]
    fn a_press_is_written_as_rfc_4733_wants() {
        let packets = press('5', 1_000, 60);
        let payloads: Vec<[u8; 4]> = packets.iter().map(|packet| packet.payload).collect();
        assert_eq!(payloads, [[5, 10, 0, 160], [5, 10, 1, 64], [5, 138, 1, 224], [5, 138, 1, 224], [5, 138, 1, 224]]);
        assert!(packets.iter().all(|packet| packet.timestamp == 1_000));
        assert_eq!(packets.iter().map(|packet| packet.marker).collect::<Vec<_>>(), [true, false, false, false, false]);
        assert!(KeyWriter::new('E', 0, 8_000, STEP, STEP).is_none());
    }

    #[test]
    fn every_key_is_reported_once() {
        for key in KEYS {
            assert_eq!(heard(&press(key, 90, 100)), [(key, 100)]);
        }
        assert_eq!(heard(&press('d', u32::MAX, 100)), [('D', 100)]);
    }

    #[test]
    fn lost_and_late_packets() {
        let (one, two) = (press('1', 1_000, 100), press('2', 5_000, 100));
        let join = |parts: &[&[KeyPacket]]| parts.concat();
        for (rule, packets, expect) in [
            ("nothing", vec![], vec![]),
            ("two_presses", join(&[&one, &two]), vec![('1', 100), ('2', 100)]),
            ("same_key_twice", join(&[&one, &press('1', 3_000, 60)]), vec![('1', 100), ('1', 60)]),
            ("only_the_last_end_arrives", one[6..].to_vec(), vec![('1', 100)]),
            ("all_ends_lost_then_silence", one[..4].to_vec(), vec![('1', 80)]),
            ("all_ends_lost_then_another_key", join(&[&one[..4], &two]), vec![('1', 80), ('2', 100)]),
            ("ends_lost_and_only_one_end_of_the_next", join(&[&one[..4], &two[6..]]), vec![('1', 80), ('2', 100)]),
            ("late_packet_of_an_earlier_key", join(&[&one, &two, &one[..1]]), vec![('1', 100), ('2', 100)]),
            ("repetition_after_the_end", join(&[&one, &one]), vec![('1', 100)]),
        ] {
            assert_eq!(heard(&packets), expect, "{rule}");
        }
    }

    #[test]
    fn a_long_press_in_segments_is_one_key() {
        let mut packets = press('9', 0, 9_000);
        packets.retain(|packet| packet.payload[1] & END == 0);
        packets.extend(press('9', u32::from(SEGMENT_MAX), 1_000).into_iter().map(|p| KeyPacket { marker: false, ..p }));
        assert_eq!(heard(&packets), [('9', (65_535 + 8_000) / 8)]);
    }

    #[test]
    fn what_is_no_key_is_passed_over() {
        let mut keypad = Keypad::default();
        for payload in [&[][..], &[1, 0x80, 0], &[16, 0x80, 0, 1], &[255, 0xFF, 0xFF, 0xFF]] {
            assert_eq!(keypad.receive(Instant(0), &Rtp::default(), payload, 8_000), None);
        }
        assert_eq!(keypad.receive(Instant(0), &Rtp::default(), &[1, 0x80, 0, 1], 0).map(|digit| digit.key), Some('1'));
    }
}
