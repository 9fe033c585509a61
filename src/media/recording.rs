//! What of a call is recorded, and that both sides are told so before: which leg is how far, and what the relay's worker hands on of a packet.
//! Comfort noise and telephone-event are no audio and are left out; a digit may be a PIN.
//! Not here: when which sample was heard (`timeline`), files (`relay`), and whether a call is recorded (`call`).

use crate::id::Side;
use crate::limits;
use crate::media::player::Play;
use crate::media::tone::Law;
use crate::time::{Duration, Instant};
use arrayvec::ArrayVec;
use serde::Serialize;

/// Whose words are recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sides {
    /// What the caller says.
    Caller,
    /// What the client says.
    Client,
    /// Both: the caller on the left, the client on the right.
    Both,
}

impl Sides {
    /// Whether this one's are.
    pub fn has(self, side: Side) -> bool {
        match self {
            Sides::Caller => side == Side::Caller,
            Sides::Client => side == Side::Client,
            Sides::Both => true,
        }
    }

    /// How many channels they are.
    pub fn channels(self) -> u8 {
        match self {
            Sides::Caller | Sides::Client => 1,
            Sides::Both => 2,
        }
    }
}

/// What signalling says of one leg of a recorded call. Nothing is recorded while the other leg has no such word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// The payload types in which what it says is recorded; none, if it is not.
    pub laws: ArrayVec<(u8, Law), 2>,
    /// How it is told that the call is recorded; `None`: it need not be.
    pub announces: Option<Announcement>,
}

/// What a leg hears, in place of the other one, before anything of the call is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The sound, once from its beginning to its end.
    pub play: Play,
    /// After how long it is heard again.
    pub every: Option<Duration>,
}

/// What became of a recording, for the record.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Recorded {
    /// The file's path below the directory of recordings.
    pub file: Option<String>,
    /// How long it is.
    pub seconds: f64,
    /// Pieces of audio that are not in it: they came too late, or the disk did not take them.
    pub dropped: u64,
    /// Why there is no recording, or no whole one.
    pub failed: Option<String>,
}

/// How far a leg has been told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Announcer {
    /// Nothing is recorded.
    #[default]
    Idle,
    /// It hears the announcement and has heard so many frames of it; whether it is not the first time.
    Saying { frames: usize, again: bool },
    /// It knows.
    Told { again_at: Option<Instant> },
}

impl Announcer {
    /// Signalling's latest word. Who knows need not be told again.
    pub(super) fn follow(self, recording: Option<&Recording>) -> Announcer {
        match (self, recording) {
            (_, None) => Announcer::Idle,
            (_, Some(Recording { announces: None, .. })) => Announcer::Told { again_at: None },
            (Announcer::Idle, Some(_)) => Announcer::Saying { frames: 0, again: false },
            (Announcer::Saying { .. } | Announcer::Told { .. }, Some(_)) => self,
        }
    }

    /// Whether it hears the announcement, and so nothing else.
    #[inline]
    pub(super) fn is_saying(self) -> bool {
        matches!(self, Announcer::Saying { .. })
    }

    /// Whether it knows.
    #[inline]
    pub(super) fn is_told(self) -> bool {
        matches!(self, Announcer::Told { .. } | Announcer::Saying { again: true, .. })
    }

    /// It was sent one more frame of so many.
    pub(super) fn hear(self, now: Instant, of: usize, every: Option<Duration>) -> Announcer {
        match self {
            Announcer::Saying { frames, .. } if frames + 1 >= of => {
                Announcer::Told { again_at: every.map(|every| now + every) }
            }
            Announcer::Saying { frames, again } => Announcer::Saying { frames: frames + 1, again },
            Announcer::Idle | Announcer::Told { .. } => self,
        }
    }

    /// When it is to be told again.
    pub(super) fn again_at(self) -> Option<Instant> {
        match self {
            Announcer::Told { again_at } => again_at,
            Announcer::Idle | Announcer::Saying { .. } => None,
        }
    }

    /// Time passed; whether it is told again from now on.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        let is_due = self.again_at().is_some_and(|at| at <= now);
        if is_due {
            *self = Announcer::Saying { frames: 0, again: true };
        }
        is_due
    }
}

/// A packet's audio, as it was said: before it is protected again for the other leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard<'t> {
    /// Who said it.
    pub side: Side,
    /// When it came.
    pub at: Instant,
    /// Its source.
    pub ssrc: u32,
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// How it is coded.
    pub law: Law,
    /// The octets.
    pub payload: &'t [u8],
}

/// Where a flow that is recorded leaves the audio of the packet at hand.
#[derive(Debug)]
pub(super) struct Tape {
    head: Option<(Side, Instant, u32, u32, Law)>,
    length: usize,
    octets: [u8; limits::RTP_BYTES_MAX],
}

impl Tape {
    pub(super) fn new() -> Box<Tape> {
        Box::new(Tape { head: None, length: 0, octets: [0; limits::RTP_BYTES_MAX] })
    }

    /// Keeps a packet's audio until it is taken.
    #[inline]
    pub(super) fn put(&mut self, heard: Heard<'_>) {
        let Heard { side, at, ssrc, timestamp, law, payload } = heard;
        self.length = payload.len().min(self.octets.len());
        for (octet, said) in self.octets.iter_mut().zip(payload) {
            *octet = *said;
        }
        self.head = Some((side, at, ssrc, timestamp, law));
    }

    #[inline]
    pub(super) fn take(&mut self) -> Option<Heard<'_>> {
        let (side, at, ssrc, timestamp, law) = self.head.take()?;
        Some(Heard { side, at, ssrc, timestamp, law, payload: self.octets.get(..self.length)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::SoundId;

    const NOW: Instant = Instant(1_000_000);

    fn announced(every: Option<Duration>) -> Recording {
        let play = Play { sound: SoundId(3), law: Law::A, payload_type: 8, ssrc: 1 };
        Recording { laws: [(8, Law::A)].into_iter().collect(), announces: Some(Announcement { play, every }) }
    }

    #[test]
    fn a_leg_knows_once_it_was_sent_all_of_the_announcement() {
        let recording = announced(None);
        let mut announcer = Announcer::default().follow(Some(&recording));
        for _ in 0..3 {
            assert!(announcer.is_saying() && !announcer.is_told());
            announcer = announcer.hear(NOW, 3, None);
        }
        assert!(announcer.is_told() && !announcer.is_saying());
        assert_eq!(announcer.follow(Some(&recording)), announcer, "it is not told twice");
        assert!(!announcer.handle_timeout(Instant(u64::MAX)), "nor again");
        assert_eq!(announcer.follow(None), Announcer::Idle);
    }

    #[test]
    fn what_is_repeated_is_repeated_and_recorded_meanwhile() {
        let every = Some(Duration::from_secs(15));
        let mut announcer = Announcer::default().follow(Some(&announced(every))).hear(NOW, 1, every);
        assert!(!announcer.handle_timeout(NOW + Duration::from_secs(14)));
        assert!(announcer.handle_timeout(NOW + Duration::from_secs(15)));
        assert!(announcer.is_saying() && announcer.is_told());
        let announcer = announcer.hear(NOW + Duration::from_secs(16), 1, every);
        assert_eq!(announcer.again_at(), Some(NOW + Duration::from_secs(31)));
    }

    #[test]
    fn where_nobody_has_to_be_told_everybody_knows() {
        let recording = Recording { announces: None, ..announced(None) };
        assert!(Announcer::default().follow(Some(&recording)).is_told());
        assert!(!Announcer::default().is_told());
    }
}
