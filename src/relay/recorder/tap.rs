//! A recorded call as its worker has it: pieces of audio go in, what became of the recording comes out.
//! Nothing here waits, locks or allocates once the recording has begun: what does not fit into the queue is dropped and counted.

use super::{Inlet, RecorderCounts};
use crate::id::Side;
use crate::media::tone::{FRAME_SAMPLES, Law};
use crate::media::{Heard, Recorded, Sides};
use crate::time::{Duration, Instant};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What the thread is told.
pub(super) enum Message {
    /// A recording begins.
    Begin(Box<Begin>),
    /// Some of its audio.
    Piece(Piece),
}

/// A new recording.
pub(super) struct Begin {
    pub(super) serial: u64,
    pub(super) file: Box<str>,
    pub(super) sides: Sides,
    pub(super) begun: Instant,
    pub(super) shared: Arc<Shared>,
}

/// At most 20 ms of one side.
pub(super) struct Piece {
    pub(super) serial: u64,
    side: Side,
    law: Law,
    length: u8,
    ssrc: u32,
    timestamp: u32,
    at: Instant,
    octets: [u8; FRAME_SAMPLES],
}

/// What worker and thread both know of a recording.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) begun: Instant,
    /// Pieces that are not in the file.
    dropped: AtomicU64,
    /// Whether more of it is of no use.
    stopped: AtomicBool,
    /// Microseconds of the relay's clock; 0 while the call goes on.
    ended: AtomicU64,
    failure: OnceLock<String>,
}

/// That a call ended nobody knows when.
const SOME_TIME: u64 = u64::MAX;

/// Microseconds that a sample lasts.
const SAMPLE_US: u64 = 125;

/// The worker's end of one recording.
#[derive(Debug)]
pub(in crate::relay) struct Tap {
    serial: u64,
    inlet: Inlet,
    file: Box<str>,
    shared: Arc<Shared>,
}

impl Tap {
    /// Begins a recording.
    pub(in crate::relay) fn begin(inlet: &Inlet, now: Instant, file: Box<str>, sides: Sides) -> Tap {
        let serial = inlet.serials.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::new(Shared {
            begun: now,
            dropped: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            ended: AtomicU64::new(0),
            failure: OnceLock::new(),
        });
        let begin = Begin { serial, file: file.clone(), sides, begun: now, shared: Arc::clone(&shared) };
        if inlet.messages.try_send(Message::Begin(Box::new(begin))).is_err() {
            shared.fail("the recorder is behind");
            inlet.counts.failed.fetch_add(1, Ordering::Relaxed);
        }
        Tap { serial, inlet: inlet.clone(), file, shared }
    }

    /// Hands a packet's audio over, 20 ms at a time.
    #[inline]
    pub(in crate::relay) fn put(&self, heard: Heard<'_>) {
        if self.shared.stopped.load(Ordering::Relaxed) {
            return;
        }
        let Heard { side, at, ssrc, timestamp, law, payload } = heard;
        for (number, octets) in (0u32..).zip(payload.chunks(FRAME_SAMPLES)) {
            let mut piece = Piece {
                serial: self.serial,
                side,
                law,
                length: u8::try_from(octets.len()).unwrap_or(u8::MAX),
                ssrc,
                timestamp: timestamp.wrapping_add(number * FRAME_UNITS),
                // As if it had come by itself, when it was its turn.
                at: at + Duration::from_micros(u64::from(number * FRAME_UNITS) * SAMPLE_US),
                octets: [0; FRAME_SAMPLES],
            };
            for (slot, octet) in piece.octets.iter_mut().zip(octets) {
                *slot = *octet;
            }
            if self.inlet.messages.try_send(Message::Piece(piece)).is_err() {
                self.shared.drop_pieces(1, &self.inlet.counts);
            }
        }
    }

    /// The call is over: what became of the recording.
    pub(in crate::relay) fn end(self, now: Instant) -> Recorded {
        self.shared.ended.store(now.0.max(1), Ordering::Release);
        let failed = self.shared.failure.get().cloned();
        let whole = now.since(self.shared.begun).min(self.inlet.longest);
        Recorded {
            seconds: if failed.is_some() { 0.0 } else { (whole.as_secs_f64() * 1_000.0).round() / 1_000.0 },
            dropped: self.shared.dropped.load(Ordering::Relaxed),
            file: Some(self.file.to_string()),
            failed,
        }
    }
}

/// [`FRAME_SAMPLES`] in units of the timestamp.
const FRAME_UNITS: u32 = 160;
const _: () = assert!(FRAME_SAMPLES == 160);

impl Drop for Tap {
    fn drop(&mut self) {
        // A worker's panic has taken the flow along.
        let _ = self.shared.ended.compare_exchange(0, SOME_TIME, Ordering::Release, Ordering::Relaxed);
    }
}

impl Piece {
    pub(super) fn heard(&self) -> Heard<'_> {
        let Piece { side, law, ssrc, timestamp, at, .. } = *self;
        let payload = self.octets.get(..usize::from(self.length)).unwrap_or_default();
        Heard { side, at, ssrc, timestamp, law, payload }
    }
}

impl Shared {
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire) != 0
    }

    /// When it ended, if that is known.
    pub(super) fn ended_at(&self) -> Option<Instant> {
        Some(self.ended.load(Ordering::Acquire)).filter(|at| !matches!(*at, 0 | SOME_TIME)).map(Instant)
    }

    /// More of it is of no use.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// It failed: the first reason counts.
    pub(super) fn fail(&self, what: &str) {
        let _ = self.failure.set(what.to_owned());
        self.stop();
    }

    pub(super) fn drop_pieces(&self, count: u64, counts: &RecorderCounts) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
        counts.dropped.fetch_add(count, Ordering::Relaxed);
    }
}
