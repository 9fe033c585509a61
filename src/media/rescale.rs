//! Telephone-event between legs that have it at different clocks (RFC 4733 §2.3.5): the duration is counted anew, in place.
//! Not here: which clocks the legs agreed on (`sdp`), and what key it is (`dtmf`).
//!
//! A press begins at a time of the audio that it is among (RFC 4733 §2.1), whose clock both legs share: its timestamp crosses as it is. Only
//! the segments of a long press (§2.5.1.3) begin where the one before ended, so they are cut anew: on a faster clock a press has more.
//!
//! ```text
//!  8 kHz   T, 10,880 │ T, 11,040          (1.38 s)
//! 48 kHz   T, 65,280 │ T + 65,535, 705
//! ```

use crate::media::header::{self, Rtp};

/// The longest time that one segment's duration field can tell of.
const SEGMENT_MAX: u32 = 0xFFFF;
/// The E bit of an event's second byte.
const END: u8 = 0x80;

/// What is known of the presses of one leg.
#[derive(Debug, Default)]
pub(super) struct Rescaler {
    press: Option<Press>,
}

#[derive(Clone, Copy, Debug)]
struct Press {
    ssrc: u32,
    code: u8,
    /// The timestamp of its first segment.
    began: u32,
    /// The timestamp of its latest.
    segment: u32,
    ended: bool,
}

impl Rescaler {
    /// Counts the duration in an event's packet by the clock `to`, which counts by `from`. What is no event stays as it is.
    pub(super) fn rescale(&mut self, packet: &mut [u8], from: u32, to: u32) {
        let Ok((rtp, payload)) = Rtp::parse(packet) else { return };
        let Some(&[code, flags, d0, d1]) = payload.first_chunk() else { return };
        let began = self.began(&rtp, code, flags & END != 0);
        let before = rtp.timestamp.wrapping_sub(began);
        let units = (u64::from(before) + u64::from(u16::from_be_bytes([d0, d1]))) * u64::from(to);
        // Upwards: what was pressed at all stays pressed.
        let units = units.div_ceil(u64::from(from.max(1)));
        let segments = units.saturating_sub(1) / u64::from(SEGMENT_MAX);
        let duration = u16::try_from(units - segments * u64::from(SEGMENT_MAX)).unwrap_or(u16::MAX);
        let ahead = u32::try_from(segments).unwrap_or(u32::MAX).wrapping_mul(SEGMENT_MAX);
        header::set_timestamp(packet, began.wrapping_add(ahead));
        let at = header::payload_begin(packet).and_then(|begin| packet.get_mut(begin + 2..begin + 4));
        at.into_iter().for_each(|at| at.copy_from_slice(&duration.to_be_bytes()));
    }

    /// When the press that a packet tells of began.
    fn began(&mut self, rtp: &Rtp, code: u8, ended: bool) -> u32 {
        let fresh = Press { ssrc: rtp.ssrc, code, began: rtp.timestamp, segment: rtp.timestamp, ended };
        let Some(press) = self.press.as_mut().filter(|press| press.ssrc == rtp.ssrc) else {
            return self.press.insert(fresh).began;
        };
        let is_within = rtp.timestamp.wrapping_sub(press.began) <= press.segment.wrapping_sub(press.began);
        let is_next = rtp.timestamp == press.segment.wrapping_add(SEGMENT_MAX) && !press.ended && !rtp.marker;
        if press.code == code && (is_within || is_next) {
            if is_next {
                press.segment = rtp.timestamp;
            }
            press.ended |= ended;
            press.began
        } else if rtp.timestamp.wrapping_sub(press.began).cast_signed() < 0 {
            rtp.timestamp // late: of a press that is over
        } else {
            *press = fresh;
            press.began
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::dtmf::{Digit, KeyWriter, Keypad};
    use crate::time::{Duration, Instant};
    use proptest::prelude::*;

    /// An event's packet: of key 5, at a timestamp, for so long.
    fn event(timestamp: u32, flags: u8, duration: u16) -> [u8; 16] {
        let mut packet = [0; 16];
        let [d0, d1] = duration.to_be_bytes();
        let rtp = Rtp { payload_type: 101, marker: flags & 1 != 0, sequence: 7, timestamp, ssrc: 9 };
        rtp.write(&[5, flags & END | 10, d0, d1], &mut packet).unwrap();
        packet
    }

    fn told(packet: &[u8]) -> (u32, u16) {
        let (rtp, payload) = Rtp::parse(packet).unwrap();
        (rtp.timestamp, u16::from_be_bytes([payload[2], payload[3]]))
    }

    const MARKED: u8 = 1;
    const FULL: u16 = u16::MAX;

    #[test]
    fn a_duration_is_counted_by_the_other_clock() {
        const T: u32 = u32::MAX - 10;
        let next = T.wrapping_add(0xFFFF);
        type Row<'a> = (&'a str, (u32, u32), &'a [(u32, u8, u16)], &'a [(u32, u16)]);
        let rows: &[Row<'_>] = &[
            ("up", (8_000, 48_000), &[(T, MARKED, 160), (T, END, 320)], &[(T, 960), (T, 1_920)]),
            ("down", (48_000, 8_000), &[(T, MARKED, 960), (T, END, 1_920)], &[(T, 160), (T, 320)]),
            ("down_and_never_to_nothing", (48_000, 8_000), &[(T, 0, 1), (T, 0, 961)], &[(T, 1), (T, 161)]),
            ("nothing_stays_nothing", (8_000, 48_000), &[(T, MARKED, 0)], &[(T, 0)]),
            ("uneven", (8_000, 44_100), &[(T, 0, 160)], &[(T, 882)]),
            ("a_segment_full", (8_000, 16_000), &[(T, 0, 32_767), (T, 0, 32_768)], &[(T, 65_534), (next, 1)]),
            ("segments_anew", (8_000, 48_000), &[(T, 0, 10_880), (T, END, 11_040)], &[(T, 65_280), (next, 705)]),
            ("segments_fewer", (48_000, 8_000), &[(T, 0, FULL), (next, 0, 9)], &[(T, 10_923), (T, 10_924)]),
            (
                "late_packet_of_an_earlier_segment",
                (48_000, 8_000),
                &[(T, 0, 960), (next, 0, 960), (T, 0, 960)],
                &[(T, 160), (T, 11_083), (T, 160)],
            ),
            (
                "its_end_comes_three_times",
                (48_000, 8_000),
                &[(T, 0, FULL), (next, END, 9), (next, END, 9)],
                &[(T, 10_923), (T, 10_924), (T, 10_924)],
            ),
            (
                "another_press_after_the_end",
                (48_000, 8_000),
                &[(T, END, FULL), (next, 0, 960)],
                &[(T, 10_923), (next, 160)],
            ),
            (
                "another_press_by_its_marker",
                (48_000, 8_000),
                &[(T, 0, FULL), (next, MARKED, 960)],
                &[(T, 10_923), (next, 160)],
            ),
            (
                "late_packet_of_an_earlier_press",
                (48_000, 8_000),
                &[(next, 0, 960), (T, END, 960), (next, 0, 1_920)],
                &[(next, 160), (T, 160), (next, 320)],
            ),
        ];
        for (rule, (from, to), packets, expected) in rows {
            let mut rescaler = Rescaler::default();
            let sent: Vec<(u32, u16)> = packets
                .iter()
                .map(|&(timestamp, flags, duration)| {
                    let mut packet = event(timestamp, flags, duration);
                    rescaler.rescale(&mut packet, *from, *to);
                    told(&packet)
                })
                .collect();
            assert_eq!(sent, *expected, "{rule}");
        }
    }

    #[test]
    fn what_is_no_event_is_left_alone() {
        let short = [&event(1, 0, 160)[..12], &[5, 10, 0]].concat();
        for mut packet in [vec![], vec![0x80; 11], short, vec![0; 16]] {
            let before = packet.clone();
            Rescaler::default().rescale(&mut packet, 8_000, 48_000);
            assert_eq!(packet, before);
        }
    }

    #[test]
    fn behind_a_header_with_extension_and_sources_it_is_found_too() {
        let plain = event(1, 0, 160);
        let mut packet = [&[0x91], &plain[1..12], &[9, 9, 9, 9, 0xBE, 0xDE, 0, 1, 7, 7, 7, 7], &plain[12..]].concat();
        let before = packet.clone();
        Rescaler::default().rescale(&mut packet, 8_000, 48_000);
        assert_eq!(packet[..26], before[..26]);
        assert_eq!(told(&packet), (1, 960));
    }

    proptest! {
        /// What a keypad hears behind it is what one before it hears, whatever the clocks and however long.
        #[test]
        fn a_press_is_heard_as_it_was_pressed(
            from in prop::sample::select(vec![8_000u32, 16_000, 44_100, 48_000]),
            to in prop::sample::select(vec![8_000u32, 16_000, 32_000, 48_000]),
            timestamp: u32,
            millis in 40u64..1_300,
            lost in prop::collection::vec(any::<bool>(), 70),
        ) {
            let step = Duration::from_millis(20);
            let writer = KeyWriter::new('5', timestamp, from, step, Duration::from_millis(millis)).unwrap();
            let (mut rescaler, mut heard) = (Rescaler::default(), [Vec::new(), Vec::new()]);
            let (mut keypads, mut now) = ([Keypad::default(), Keypad::default()], Instant(0));
            for (key, _) in writer.zip(&lost).filter(|(_, lost)| !**lost) {
                let mut packet = [0; 16];
                let rtp = Rtp { payload_type: 101, marker: key.marker, sequence: 7, timestamp, ssrc: 9 };
                rtp.write(&key.payload, &mut packet).unwrap();
                now = now + step;
                for (at, clock) in [from, to].into_iter().enumerate() {
                    let (rtp, payload) = Rtp::parse(&packet).unwrap();
                    heard[at].extend(keypads[at].receive(now, &rtp, payload, clock));
                    rescaler.rescale(&mut packet, from, to);
                }
            }
            for (at, keypad) in keypads.iter_mut().enumerate() {
                heard[at].extend(keypad.handle_timeout(now + Duration::from_secs(2)));
            }
            let [here, there] = heard;
            prop_assert_eq!(here.len(), there.len());
            for (here, there) in here.iter().zip(&there) {
                let Digit { key, duration_ms } = *there;
                prop_assert!(key == here.key && duration_ms.abs_diff(here.duration_ms) <= 1, "{:?} {:?}", here, there);
            }
        }
    }
}
