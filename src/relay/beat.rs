//! The beat of what legs hear of us: each 20 ms every one of them gets its next packet. However many listen, there is one wake-up a beat.
//! Not here: what is in the packets (`media::player`), and whether they may be sent (`media::latch`).

use crate::limits;
use crate::media::Sound;
use crate::media::player::FRAME;
use crate::relay::bridge::{BUFFER_BYTES, Bridge, Buffer};
use crate::time::{Duration, Instant};
use slab::Slab;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A worker's.
pub(super) struct Beat {
    sounds: Arc<[Sound]>,
    /// The places of flows in which somebody listens, and perhaps of some that have ended.
    playing: BTreeSet<usize>,
    next: Instant,
    buffer: Box<Buffer>,
}

impl Beat {
    pub(super) fn new(sounds: Arc<[Sound]>) -> Beat {
        let buffer = Box::new([0; BUFFER_BYTES]);
        Beat { sounds, playing: BTreeSet::new(), next: Instant::default(), buffer }
    }

    /// A flow was told something: perhaps somebody in it listens now. The first beat is at once.
    pub(super) fn note(&mut self, now: Instant, key: usize, bridge: &Bridge) {
        if bridge.flow.plays() {
            if self.playing.is_empty() {
                self.next = now;
            }
            self.playing.insert(key);
        }
    }

    /// How long may be waited for packets, if `longest` is the longest. The clock is looked at only where somebody listens.
    pub(super) fn patience(&self, longest: Duration, now: impl FnOnce() -> Instant) -> Duration {
        if self.playing.is_empty() { longest } else { longest.min(self.next.since(now())) }
    }

    /// Sends what is due. `at_work` hears whose turn it is.
    pub(super) fn play(&mut self, now: Instant, bridges: &mut Slab<Bridge>, at_work: &mut Option<usize>) {
        if self.playing.is_empty() || now < self.next {
            return;
        }
        // Who was held up for long goes on from now: nobody wants to hear it all at once.
        let is_late = now.since(self.next) > limits::RELAY_BEAT_LATE_MAX;
        self.next = if is_late { now + FRAME } else { self.next + FRAME };
        let Beat { sounds, playing, buffer, .. } = self;
        playing.retain(|key| {
            *at_work = Some(*key);
            bridges.get_mut(*key).is_some_and(|bridge| bridge.play(now, sounds, buffer))
        });
        *at_work = None;
    }
}
