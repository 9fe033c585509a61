//! A sound as one leg hears it: a packet each 20 ms (RFC 3551 §4.3), under an SSRC of our own.
//! Not here: the beat (`relay`), where packets may go (`latch`), and their protection (`security`).

use crate::media::header::Rtp;
use crate::media::packet::Packet;
use crate::media::sound::{Sound, SoundId};
use crate::media::tone::{FRAME_SAMPLES, Law};
use crate::time::{Duration, Instant};

/// What a leg is to hear while nothing else comes to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Play {
    /// Which sound.
    pub sound: SoundId,
    /// How the leg wants it encoded.
    pub law: Law,
    /// What the leg calls that.
    pub payload_type: u8,
    /// The source that the leg hears; the same for the whole call.
    pub ssrc: u32,
}

/// How long a frame is.
pub const FRAME: Duration = Duration::from_millis(20);
/// [`FRAME_SAMPLES`] in units of the timestamp.
const FRAME_UNITS: u32 = 160;

/// How far a leg has heard.
#[derive(Debug)]
pub(super) struct Player {
    play: Play,
    is_playing: bool,
    /// The next frame of the sound.
    frame: usize,
    sequence: u16,
    timestamp: u32,
    /// When the last packet went, from which the timestamp is counted when the sound goes on after a pause.
    last: Option<Instant>,
    /// Whether the next packet is the first after a pause.
    begins: bool,
}

impl Player {
    pub(super) fn new(play: Play) -> Player {
        // RFC 3550 §5.1: both begin anywhere. The SSRC is random, and so is what is made of it.
        let [high, low] = [play.ssrc >> 16, play.ssrc & 0xFFFF].map(|half| u16::try_from(half).unwrap_or(0));
        let (sequence, timestamp) = (high ^ low, play.ssrc.rotate_left(13));
        Player { play, is_playing: true, frame: 0, sequence, timestamp, last: None, begins: true }
    }

    /// What is to be heard now. Sequence and timestamp go on, because for the leg it is one source (RFC 3550 §5.1); the same sound goes on
    /// where it was, another one from its beginning.
    pub(super) fn follow(before: Option<Player>, play: Option<Play>) -> Option<Player> {
        match (before, play) {
            (Some(player), None) => Some(Player { is_playing: false, ..player }),
            (Some(player), Some(play)) if player.play.ssrc == play.ssrc => {
                let frame = if player.play.sound == play.sound { player.frame } else { 0 };
                let begins = player.begins || !player.is_playing;
                Some(Player { play, is_playing: true, frame, begins, ..player })
            }
            (_, Some(play)) => Some(Player::new(play)),
            (None, None) => None,
        }
    }

    #[inline]
    pub(super) fn is_playing(&self) -> bool {
        self.is_playing
    }

    /// Writes the next packet. `None` if it does not play, or there is no such sound.
    #[inline]
    pub(super) fn write(&mut self, now: Instant, sounds: &[Sound], packet: &mut Packet<'_>) -> Option<()> {
        if !self.is_playing {
            return None;
        }
        let sound = sounds.get(usize::from(self.play.sound.0))?;
        let frames = self.last.map_or(0, |last| frames_in(now.since(last)));
        let Play { payload_type, ssrc, law, .. } = self.play;
        self.timestamp = self.timestamp.wrapping_add(if self.begins { frames.wrapping_mul(FRAME_UNITS) } else { 0 });
        let rtp = Rtp { payload_type, marker: self.begins, sequence: self.sequence, timestamp: self.timestamp, ssrc };
        packet.write(|buffer| rtp.write(sound.frame(law, self.frame), buffer))?;
        self.frame = (self.frame + 1) % sound.frames().max(1);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(FRAME_UNITS);
        (self.last, self.begins) = (Some(now), false);
        Some(())
    }
}

/// Whole frames of a pause.
fn frames_in(pause: Duration) -> u32 {
    u32::try_from(pause.as_millis() / FRAME.as_millis()).unwrap_or(u32::MAX)
}

const _: () = assert!(FRAME_SAMPLES == 160);

#[cfg(test)]
mod tests {
    use super::*;

    const PLAY: Play = Play { sound: SoundId(1), law: Law::A, payload_type: 8, ssrc: 0x1234_5678 };

    fn sounds() -> [Sound; 2] {
        [Sound::new(&[0; 160]).unwrap(), Sound::new(&[1_000; 480]).unwrap()]
    }

    /// The next packet, at some millisecond.
    fn next(player: &mut Player, at: u64) -> Option<(Rtp, Vec<u8>)> {
        let mut buffer = [0; 200];
        let mut packet = Packet::new(&mut buffer, 0);
        player.write(Instant(at * 1_000), &sounds(), &mut packet)?;
        let (rtp, payload) = Rtp::parse(packet.bytes()).unwrap();
        Some((rtp, payload.to_vec()))
    }

    #[test]
    fn packets_follow_each_other_by_twenty_milliseconds() {
        let mut player = Player::new(PLAY);
        let (first, payload) = next(&mut player, 0).unwrap();
        assert_eq!((first.payload_type, first.ssrc, first.marker), (8, 0x1234_5678, true));
        assert_eq!(payload, [Law::A.encode(1_000); 160]);
        for number in 1..5u16 {
            // The beat's jitter is not in the timestamps.
            let (rtp, _) = next(&mut player, u64::from(number) * 20 + 3).unwrap();
            assert_eq!(rtp.sequence, first.sequence.wrapping_add(number));
            assert_eq!(rtp.timestamp, first.timestamp.wrapping_add(160 * u32::from(number)));
            assert!(!rtp.marker);
        }
    }

    #[test]
    fn after_a_pause_it_is_the_same_source_and_time_has_passed() {
        let mut player = Some(Player::new(PLAY));
        let (first, _) = next(player.as_mut().unwrap(), 0).unwrap();
        player = Player::follow(player, None);
        assert!(next(player.as_mut().unwrap(), 20).is_none() && !player.as_ref().unwrap().is_playing());
        player = Player::follow(player, Some(Play { sound: SoundId(0), ..PLAY }));
        let (again, payload) = next(player.as_mut().unwrap(), 2_000).unwrap();
        assert_eq!((again.ssrc, again.sequence), (first.ssrc, first.sequence.wrapping_add(1)));
        assert_eq!(again.timestamp.wrapping_sub(first.timestamp), 160 + 100 * 160);
        assert!(again.marker && payload == [Law::A.encode(0); 160]);
    }

    #[test]
    fn being_told_the_same_again_changes_nothing_and_another_source_begins() {
        let mut player = Some(Player::new(PLAY));
        let (first, _) = next(player.as_mut().unwrap(), 0).unwrap();
        player = Player::follow(player, Some(PLAY));
        let (second, _) = next(player.as_mut().unwrap(), 20).unwrap();
        assert_eq!((second.sequence, second.marker), (first.sequence.wrapping_add(1), false));
        player = Player::follow(player, Some(Play { ssrc: 7, ..PLAY }));
        assert!(next(player.as_mut().unwrap(), 40).is_some_and(|(rtp, _)| rtp.marker && rtp.ssrc == 7));
        assert!(Player::follow(None, None).is_none());
        assert!(next(&mut Player::new(Play { sound: SoundId(9), ..PLAY }), 0).is_none(), "no such sound");
    }
}
