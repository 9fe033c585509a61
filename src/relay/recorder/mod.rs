//! Recordings: what workers hand on of recorded calls becomes files, on one thread of its own, so that no packet waits for a disk.
//! Not here: what is recorded (`media::recording`), where a sample belongs (`media::timeline`).
//!
//! ```text
//!  worker ──Piece──▶ bounded queue, its slots there from the start ──▶ recorder: one Timeline and one Wav a call
//!         ◀──dropped, failed, seconds: atomics that both hold (Shared)──
//! ```

mod left;
mod tap;
mod wav;

pub(super) use tap::Tap;

use crate::limits;
use crate::media::tone::SAMPLE_RATE;
use crate::media::{Sides, Timeline};
use crate::relay::clock::Clock;
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvError, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use tap::{Begin, Message, Shared};
use wav::Wav;

/// Where recordings go, and how much of them.
#[derive(Clone, Debug)]
pub struct RecorderSettings {
    /// The directory of all files.
    pub directory: PathBuf,
    /// The longest that one may be; then the call goes on without.
    pub longest: Duration,
    /// Most at one time.
    pub files_max: u64,
    /// As long as the disk has less than so many bytes left, nothing is recorded.
    pub free_bytes_min: u64,
}

/// What recordings came to, since the start.
#[derive(Debug, Default)]
pub struct RecorderCounts {
    /// Files that are written now.
    pub open: AtomicU64,
    /// Files that were finished.
    pub finished: AtomicU64,
    /// Recordings that failed, or ended before their call did because the disk did not take them.
    pub failed: AtomicU64,
    /// Pieces of audio that are in no file, because they came too late or could not be handed over or written.
    pub dropped: AtomicU64,
}

/// A worker's end.
#[derive(Clone)]
pub(super) struct Inlet {
    messages: SyncSender<Message>,
    counts: Arc<RecorderCounts>,
    longest: Duration,
    /// The next recording's.
    serials: Arc<AtomicU64>,
}

impl std::fmt::Debug for Inlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "«{:?}»", self.counts)
    }
}

/// The thread, to be joined once all inlets are gone.
pub(super) struct Recorder {
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Starts it, and has what an earlier run left finished.
    pub(super) fn start(settings: RecorderSettings, clock: Clock) -> io::Result<(Recorder, Inlet)> {
        left::finish(settings.directory.clone())?;
        let (messages, receiver) = sync_channel(limits::RECORDING_PIECES_QUEUED_MAX);
        let counts = Arc::new(RecorderCounts::default());
        let inlet = Inlet { messages, counts: Arc::clone(&counts), longest: settings.longest, serials: Arc::default() };
        let (tapes, space) = (BTreeMap::new(), Space::default());
        let deck = Deck { settings, clock, messages: receiver, counts, tapes, space, is_failing: false };
        let thread = std::thread::Builder::new().name("recorder".into()).spawn(move || deck.run())?;
        Ok((Recorder { thread: Some(thread) }, inlet))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the recorder panicked");
        }
    }
}

impl RecorderSettings {
    /// Makes the directory, and tries to write a file there.
    pub fn check(&self) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let trial = self.directory.join(format!(".parkway-{}", std::process::id()));
        fs::write(&trial, b"")?;
        fs::remove_file(&trial)?;
        free_bytes(&self.directory).map(drop)
    }
}

/// The thread's state.
struct Deck {
    settings: RecorderSettings,
    clock: Clock,
    messages: Receiver<Message>,
    counts: Arc<RecorderCounts>,
    /// By the serial numbers that taps have.
    tapes: BTreeMap<u64, Tape>,
    space: Space,
    /// Whether the last recording failed: only the first failure of a row is worth a line in the log.
    is_failing: bool,
}

/// One recording.
struct Tape {
    shared: Arc<Shared>,
    timeline: Timeline,
    /// What is not in the file yet.
    samples: Vec<u8>,
    /// So many bytes of it, a second's, go into the file at once.
    batch: usize,
    /// `None` once it failed or has its length.
    wav: Option<Wav>,
    /// What the timeline had found too late when that was counted last.
    late: u64,
}

/// What the disk has left, as it was a moment ago.
#[derive(Default)]
struct Space {
    looked_at: Option<Instant>,
    has_room: bool,
}

impl Deck {
    fn run(mut self) {
        loop {
            // Without a recording nobody is waited for but the next: no packet wakes this thread.
            if self.tapes.is_empty() {
                match self.messages.recv() {
                    Ok(message) => self.handle(message),
                    Err(RecvError) => return,
                }
            }
            let now = self.clock.now();
            // What was handed over before its end is in the queue by then, and the queue has no more than it has slots.
            let over: Vec<u64> =
                self.tapes.iter().filter(|(_, tape)| tape.shared.has_ended()).map(|(serial, _)| *serial).collect();
            let is_gone = self.drain();
            for serial in over {
                self.finish(serial, now);
            }
            if is_gone {
                for serial in self.tapes.keys().copied().collect::<Vec<_>>() {
                    self.finish(serial, now);
                }
                return;
            }
            self.turn(now);
            std::thread::sleep(limits::RECORDING_TURN);
        }
    }

    /// Takes what waits; whether nobody is there any more who could say something.
    fn drain(&mut self) -> bool {
        for _ in 0..limits::RECORDING_PIECES_QUEUED_MAX {
            match self.messages.try_recv() {
                Ok(message) => self.handle(message),
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => return true,
            }
        }
        false
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Begin(begin) => self.begin(*begin),
            Message::Piece(piece) => {
                if let Some(tape) = self.tapes.get_mut(&piece.serial).filter(|tape| tape.wav.is_some()) {
                    tape.timeline.put(piece.heard(), &mut tape.samples);
                }
            }
        }
    }

    fn begin(&mut self, begin: Begin) {
        let Begin { serial, file, sides, begun, shared } = begin;
        let wav = self.create(&file, sides);
        let wav = wav.map_err(|what| self.fail(&shared, &what)).ok();
        if wav.is_some() {
            self.counts.open.fetch_add(1, Ordering::Relaxed);
            self.is_failing = false;
        }
        let batch = usize::from(sides.channels()) * 2 * usize::try_from(SAMPLE_RATE).unwrap_or(0);
        let samples = Vec::with_capacity(batch * 2);
        let timeline = Timeline::new(sides, begun);
        self.tapes.insert(serial, Tape { shared, timeline, samples, batch, wav, late: 0 });
    }

    fn create(&mut self, file: &str, sides: Sides) -> Result<Wav, String> {
        if self.counts.open.load(Ordering::Relaxed) >= self.settings.files_max {
            return Err(format!("{} recordings are made already (recording.files_max)", self.settings.files_max));
        }
        let now = self.clock.now();
        if !self.space.has_room(now, &self.settings) {
            return Err("the disk has less room left than recording.free_mb_min".to_owned());
        }
        let path = self.settings.directory.join(file);
        Wav::create(&path, sides.channels()).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// Writes what is due of all recordings.
    fn turn(&mut self, now: Instant) {
        let until = Instant(now.0.saturating_sub(u64::try_from(limits::RECORDING_HOLD.as_micros()).unwrap_or(0)));
        let has_room = self.space.has_room(now, &self.settings);
        let mut ended = Vec::new();
        for (serial, tape) in &mut self.tapes {
            tape.count(&self.counts);
            let Some(wav) = &mut tape.wav else { continue };
            tape.timeline.advance(until, &mut tape.samples);
            let seconds = tape.timeline.written() / u64::from(SAMPLE_RATE);
            if tape.samples.len() >= tape.batch {
                let written = wav.append(&tape.samples).map_err(|error| error.to_string());
                let room = if has_room { Ok(()) } else { Err("the disk has no room left".to_owned()) };
                tape.samples.clear();
                if let Err(what) = written.and(room) {
                    ended.push((*serial, Some(what)));
                    continue;
                }
            }
            if seconds >= self.settings.longest.as_secs() {
                ended.push((*serial, None));
            }
        }
        for (serial, what) in ended {
            self.stop(serial, what.as_deref());
        }
    }

    /// A recording ends before its call does.
    fn stop(&mut self, serial: u64, what: Option<&str>) {
        let Some(tape) = self.tapes.get_mut(&serial) else { return };
        let shared = Arc::clone(&tape.shared);
        let closed = tape.close();
        self.counts.open.fetch_sub(1, Ordering::Relaxed);
        shared.stop();
        match what.map(str::to_owned).or_else(|| closed.err().map(|error| error.to_string())) {
            Some(what) => self.fail(&shared, &what),
            None => drop(self.counts.finished.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// The call is over.
    fn finish(&mut self, serial: u64, now: Instant) {
        let Some(mut tape) = self.tapes.remove(&serial) else { return };
        if tape.wav.is_none() {
            return;
        }
        let longest = Instant(tape.shared.begun.0) + self.settings.longest;
        tape.timeline.advance(tape.shared.ended_at().unwrap_or(now).min(longest), &mut tape.samples);
        tape.count(&self.counts);
        self.counts.open.fetch_sub(1, Ordering::Relaxed);
        match tape.close() {
            Ok(()) => drop(self.counts.finished.fetch_add(1, Ordering::Relaxed)),
            Err(error) => self.fail(&tape.shared, &error.to_string()),
        }
    }

    fn fail(&mut self, shared: &Shared, what: &str) {
        shared.fail(what);
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::error!("a call is not recorded: {what}; further failures are only counted until one succeeds");
        }
    }
}

impl Tape {
    /// Writes the rest.
    fn close(&mut self) -> io::Result<()> {
        let Some(mut wav) = self.wav.take() else { return Ok(()) };
        let samples = std::mem::take(&mut self.samples);
        wav.append(&samples)?;
        wav.finish()
    }

    /// Tells what came too late.
    fn count(&mut self, counts: &RecorderCounts) {
        let late = self.timeline.late();
        let more = late - std::mem::replace(&mut self.late, late);
        if more > 0 {
            self.shared.drop_pieces(more, counts);
        }
    }
}

impl Space {
    fn has_room(&mut self, now: Instant, settings: &RecorderSettings) -> bool {
        if self.looked_at.is_none_or(|at| now.since(at) >= limits::RECORDING_SPACE_EVERY) {
            self.looked_at = Some(now);
            self.has_room = free_bytes(&settings.directory).is_ok_and(|free| free >= settings.free_bytes_min);
        }
        self.has_room
    }
}

/// What an unprivileged user may still write on the disk of a directory.
fn free_bytes(directory: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(directory)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

impl Inlet {
    /// What recordings came to.
    pub(super) fn counts(&self) -> &RecorderCounts {
        &self.counts
    }
}
