//! What is made of the keys that one leg presses: whether they are counted or told, and by what means each was heard.
//! Not here: the packets and tones that they come in (`dtmf`), and who is told (`call`).

use crate::limits;
use crate::media::dtmf::Digit;
use crate::media::in_band::Ear;
use crate::media::presser::Presser;
use crate::time::{Duration, Instant};
use serde::Serialize;

/// What signalling says of a leg's keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digits {
    /// What is made of them.
    pub reporting: Reporting,
    /// Whether tones are listened for in its audio, as far as that is G.711 under the number that all give it (RFC 3551 §6).
    pub in_band: bool,
}

/// What is made of keys besides their going on to the other leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reporting {
    /// Nothing: nobody listens.
    Off,
    /// The record has how many they were.
    #[default]
    Count,
    /// Also, each is told to the client that has the call.
    Tell,
}

/// How a key was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// As packets of telephone-event.
    Rfc4733,
    /// As two tones in the audio.
    InBand,
    /// In an INFO.
    Info,
}

impl Means {
    /// The word in events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Means::Rfc4733 => "rfc4733",
            Means::InBand => "in_band",
            Means::Info => "info",
        }
    }
}

/// How fast one leg's keys are told. Beyond [`limits::DIGITS_TOLD_PER_SECOND_MAX`] they are counted alone, so that whoever sends a key with
/// each packet keeps neither the switch nor the client busy.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    since: Option<Instant>,
    told: u32,
}

impl Pace {
    /// Whether one more may be told.
    pub fn admits(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.since(since) >= Duration::from_secs(1)) {
            *self = Pace { since: Some(now), told: 0 };
        }
        self.told = self.told.saturating_add(1);
        self.told <= limits::DIGITS_TOLD_PER_SECOND_MAX
    }
}

/// What is kept of a leg's keys where more is done than to count them: few legs have it.
#[derive(Debug, Default)]
pub(super) struct Told {
    pace: Pace,
    /// Keys that came too fast to be told.
    pub(super) untold: u32,
    /// Keys that came as tones.
    pub(super) in_band: u32,
    /// The one that is to be told next.
    waits: Option<(Digit, Means)>,
    /// Of a leg in whose audio tones are listened for.
    pub(super) ear: Option<Box<Ear>>,
    /// Of a leg that hears keys of ours, or has heard some.
    pub(super) presser: Option<Box<Presser>>,
    /// Keys of ours that whoever was on the leg before has heard, and has not.
    pressed_before: (u32, u32),
}

impl Told {
    /// Signalling's latest word; `None` if no more is done than to count.
    pub(super) fn follow(before: Option<Box<Told>>, digits: Digits) -> Option<Box<Told>> {
        if before.is_none() && digits.reporting != Reporting::Tell && !digits.in_band {
            return None;
        }
        let mut told = before.unwrap_or_default();
        if !digits.in_band {
            told.ear = None;
        } else if told.ear.is_none() {
            told.ear = Some(Box::default());
        }
        Some(told)
    }

    /// It pressed a key.
    pub(super) fn note(&mut self, now: Instant, digit: Digit, means: Means) {
        if self.pace.admits(now) && self.waits.is_none() {
            self.waits = Some((digit, means));
        } else {
            self.untold = self.untold.saturating_add(1);
        }
    }

    /// Whoever was on the leg is gone.
    pub(super) fn clear(&mut self) {
        self.pressed_before = self.pressed();
        (self.ear, self.presser) = (None, None);
    }

    /// Keys of ours that the leg has heard, and has not.
    pub(super) fn pressed(&self) -> (u32, u32) {
        let (sent, unsent) = self.presser.as_ref().map_or((0, 0), |presser| (presser.sent, presser.unsent));
        (self.pressed_before.0.saturating_add(sent), self.pressed_before.1.saturating_add(unsent))
    }

    /// The key that is to be told now.
    pub(super) fn poll(&mut self) -> Option<(Digit, Means)> {
        self.waits.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{FlowId, Side};
    use crate::media::header::Rtp;
    use crate::media::{Codec, Event, Flow, Line, Mapping, Packet, RtcpPort, Stream, Trust};
    use std::net::SocketAddr;

    #[test]
    fn as_many_as_a_machine_dials_are_told_and_a_flood_is_not() {
        let (mut pace, start) = (Pace::default(), Instant(5_000_000));
        let told = |pace: &mut Pace, at: Instant| (0..1_000).filter(|_| pace.admits(at)).count();
        let most = usize::try_from(limits::DIGITS_TOLD_PER_SECOND_MAX).unwrap();
        assert_eq!(told(&mut pace, start), most);
        assert_eq!(told(&mut pace, start + Duration::from_millis(999)), 0);
        assert_eq!(told(&mut pace, start + Duration::from_secs(1)), most);
    }

    fn at(host: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], 4_000))
    }

    /// A flow of which the caller's keys are heard so.
    fn flow(reporting: Reporting) -> Flow {
        let mapping = |here, telephone_event| Mapping {
            here,
            there: here,
            clock_rate: 8_000,
            clock_rate_there: 8_000,
            telephone_event,
            codec: Codec::G711,
        };
        let stream = |host| Stream {
            line: Line::Audio,
            remote_rtp: Some(at(host)),
            rtcp: RtcpPort::Own(None),
            signalling: at(host).ip(),
            trust: Trust::Nothing,
            plays: None,
            payload_types: [mapping(0, false), mapping(101, true)].into_iter().collect(),
            sends: true,
            silence_max: None,
            keys: None,
            recording: None,
            digits: Digits { reporting, ..Digits::default() },
        };
        let mut flow = Flow::new(FlowId(7));
        flow.set(Instant(0), Side::Caller, stream(1));
        flow.set(Instant(0), Side::Client, stream(2));
        flow
    }

    /// Presses a key a packet and drains what is told, as the relay does.
    fn press(flow: &mut Flow, keys: u16) -> usize {
        let mut told = 0;
        for number in 0..keys {
            let timestamp = u32::from(number) * 800;
            let rtp = Rtp { payload_type: 101, sequence: number, timestamp, ssrc: 9, marker: true };
            let mut packet = [0; 16];
            rtp.write(&[5, 0x80 | 10, 3, 32], &mut packet).unwrap();
            let now = Instant(1_000_000 + u64::from(number));
            flow.receive(now, Side::Caller, at(1), &mut Packet::new(&mut packet, 16));
            while let Some(event) = flow.poll_event() {
                told += usize::from(matches!(
                    event,
                    Event::Dtmf { digit: '5', duration_ms: 100, heard: Means::Rfc4733, .. }
                ));
            }
        }
        told
    }

    #[test]
    fn keys_are_heard_counted_and_told_as_it_was_said() {
        let most = limits::DIGITS_TOLD_PER_SECOND_MAX;
        for (reporting, told, counted) in
            [(Reporting::Off, 0, [0, 0]), (Reporting::Count, 0, [90, 0]), (Reporting::Tell, most, [90, 90 - most])]
        {
            let mut flow = flow(reporting);
            assert_eq!(press(&mut flow, 90), usize::try_from(told).unwrap(), "{reporting:?}");
            let caller = flow.report().caller;
            assert_eq!([caller.dtmf_digits, caller.dtmf_untold], counted, "{reporting:?}");
            assert_eq!(caller.packets_received, 90, "{reporting:?}: they cross whoever listens");
        }
    }
}
