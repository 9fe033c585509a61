//! The relay: plain worker threads that own the RTP sockets and do what `media::forward` says with each packet.
//! Not here: which address may be sent to (`media::latch`), which call a flow belongs to (`switch`), any runtime.
//! RFC 3550 §11 (even and odd ports); RELIABILITY A1 (random ports), A6 (ports are given back), A20.

mod beat;
mod bridge;
mod clock;
mod delay;
mod icmp;
mod inbox;
mod kept;
mod offload;
mod poll;
pub mod ports;
mod recorder;
mod socket;
mod worker;

pub use offload::{Offload, Refused};
pub use recorder::{RecorderCounts, RecorderSettings};

use crate::id::FlowId;
use crate::media::{Command, Event, Sound, WarningTerms};
use crate::telemetry::counts::Histogram;
use crate::telemetry::metrics::FORWARDING_BUCKETS;
use crate::time::Duration;
use clock::Clock;
use inbox::{Message, Waker};
use poll::Poll;
use ports::Ports;
use recorder::{Inlet, Recorder};
use socket::Opener;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use worker::{Gauges, Worker};

/// The largest DSCP: it has six bits (RFC 2474 §3).
const DSCP_MAX: u8 = 63;

/// What the relay is started with.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// Worker threads, at least 1. A flow stays on the worker that its id chooses.
    pub workers: usize,
    /// The first port that may be used; an odd one is rounded up.
    pub port_min: u16,
    /// The last port that may be used, inclusive.
    pub port_max: u16,
    /// The addresses on which legs may get ports; a [`Command::Open`] that names another is answered by [`Event::Failed`].
    pub addresses: Vec<IpAddr>,
    /// The DSCP of what is sent, 0–63; 46 is Expedited Forwarding (RFC 3246), what telephony uses. `None` leaves it to the host.
    pub dscp: Option<u8>,
    /// For how long a worker that has much to do lets packets gather before it looks at them, at most a few milliseconds. Zero: it never does.
    pub coalesce: Duration,
    /// What legs may hear of us, each at the place that its id says.
    pub sounds: Arc<[Sound]>,
    /// When signalling is told that a side of a call is not heard.
    pub warnings: WarningTerms,
    /// For how many flows a worker may keep sockets open that none uses, at most [`crate::limits::RELAY_KEPT_MAX`]: four files each.
    pub kept_max: usize,
    /// The kernel's own way for the audio of flows whose legs are certain; `None`: each packet is forwarded by a worker.
    pub offload: Option<Arc<Offload>>,
    /// Where recordings go; `None`: nothing is recorded.
    pub recorder: Option<RecorderSettings>,
    /// Entropy for the choice of ports, which must not be guessable (RELIABILITY A1).
    pub seed: [u8; 32],
}

/// A running relay. Dropping it stops it.
pub struct Relay {
    workers: Vec<Handle>,
    events: Arc<dyn Fn(Event) + Send + Sync>,
    opener: Opener,
    /// Of all workers.
    delays: Arc<Histogram>,
    /// Its thread ends after the workers, when nothing more can come.
    recorder: Option<Recorder>,
}

/// A worker as the outside has it.
struct Handle {
    inbox: inbox::Sender,
    gauges: Arc<Gauges>,
    /// `None` once joined.
    thread: Option<JoinHandle<()>>,
}

/// What the relay holds at this moment. With no flow open, only pairs at rest and free ones are left, and sockets that are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Open lines of flows: one a call, and one more for its video and its fax each.
    pub flows: usize,
    /// Flows' worth of sockets that stay open for the next flows, because many come.
    pub kept: usize,
    /// Workers that let packets gather, because there are many.
    pub gathering: usize,
    /// Flows of which the kernel forwards something by itself.
    pub offloaded: usize,
    /// RTP packets that it has forwarded since the start.
    pub carried: u64,
    /// Open RTP and RTCP sockets: four a flow, and four for each that is kept.
    pub sockets: usize,
    /// Pairs of ports in use: two a flow.
    pub pairs_taken: usize,
    /// Pairs of ports that were given back and are not to be used again yet, those of kept sockets among them.
    pub pairs_resting: usize,
    /// Pairs that could be taken now, over all addresses.
    pub pairs_free: usize,
}

impl Relay {
    /// Starts the workers. No port is bound before the first [`Command::Open`].
    /// `events` is called on a worker's thread (or, when a command is refused, on the caller's) and must not block:
    /// a `std::sync::mpsc::Sender` wrapped in a closure will do. Errors: `InvalidInput` for settings that cannot work, else the kernel's.
    pub fn start(settings: RelaySettings, events: impl Fn(Event) + Send + Sync + 'static) -> io::Result<Relay> {
        settings.check()?;
        let clock = Clock::start();
        let range = settings.port_min..=settings.port_max;
        let ports = Arc::new(Ports::new(&settings.addresses, range, settings.seed, clock));
        let open = Arc::new(AtomicUsize::new(0));
        let RelaySettings { dscp, kept_max, .. } = settings;
        let recording = settings.recorder.clone().map(|recorder| Recorder::start(recorder, clock)).transpose()?;
        let (recorder, inlet) = recording.unzip();
        let opener = Opener { ports, open, dscp, kept_max, offload: settings.offload.clone(), recorder: inlet };
        let events = Arc::new(events);
        // Should a later worker not start, dropping the relay stops the earlier ones.
        let delays = Arc::new(Histogram::new(&FORWARDING_BUCKETS));
        let mut relay = Relay { workers: Vec::new(), events: Arc::clone(&events) as _, opener, delays, recorder };
        for number in 0..settings.workers {
            let poll = Poll::new()?;
            let (sender, receiver) = inbox::inbox(Waker::new(&poll));
            let gauges = Arc::new(Gauges::new(Arc::clone(&relay.delays)));
            let (opener, tell) = (relay.opener.clone(), Arc::clone(&events));
            let worker = Worker::new(poll, receiver, opener, clock, Arc::clone(&gauges), tell, &settings)?;
            let thread = std::thread::Builder::new().name(format!("relay-{number}")).spawn(move || worker.run())?;
            relay.workers.push(Handle { inbox: sender, gauges, thread: Some(thread) });
        }
        Ok(relay)
    }

    /// Hands a command to the worker that owns its flow; never blocks. Commands of one flow are carried out in order.
    /// [`Command::Open`] is answered by [`Event::Opened`] or [`Event::Failed`], [`Command::Add`] by [`Event::Added`], [`Command::Close`] always by [`Event::Closed`]
    /// (with an empty report if there is no such flow); [`Command::Set`] and [`Command::Clear`] for a flow that is gone do nothing.
    ///
    /// Only these two have somebody waiting for their answer, so only they wake the worker, which costs more than the command.
    /// The others are carried out before the worker turns to what comes next, so nobody hears the difference, and within
    /// [`crate::limits::RELAY_TICK`].
    pub fn command(&self, command: Command) {
        let (flow, opens) = match &command {
            Command::Open { flow, .. } | Command::Add { flow, .. } => (*flow, true),
            Command::Set { flow, .. }
            | Command::Clear { flow, .. }
            | Command::Press { flow, .. }
            | Command::Record { flow, .. }
            | Command::Close { flow } => (*flow, false),
        };
        let Some(worker) = self.worker(flow) else { return };
        if opens && worker.inbox.is_full() {
            return (self.events)(match command {
                Command::Add { line, .. } => Event::Added { flow, line, ports: None },
                Command::Open { .. }
                | Command::Set { .. }
                | Command::Clear { .. }
                | Command::Press { .. }
                | Command::Record { .. }
                | Command::Close { .. } => Event::Failed { flow, reason: "the relay is behind" },
            });
        }
        let message = Message::Command(Box::new(command));
        // What the kernel forwards by itself wakes nobody, so no packet of it would have the worker look.
        let wakes = opens || self.opener.offload.is_some();
        let queued = if wakes { worker.inbox.send(message) } else { worker.inbox.leave(message) };
        if let Err(message) = queued
            && let Message::Command(command) = *message
        {
            self.answer_for_the_dead(*command);
        }
    }

    /// What is held now, for metrics and for the leak check.
    pub fn counts(&self) -> Counts {
        let pairs = self.opener.ports.counts();
        let sum = |gauge: fn(&Gauges) -> &AtomicUsize| -> usize {
            self.workers.iter().map(|worker| gauge(&worker.gauges).load(Ordering::Relaxed)).sum()
        };
        let kept = sum(|gauges| &gauges.kept);
        Counts {
            flows: sum(|gauges| &gauges.flows),
            kept,
            gathering: sum(|gauges| &gauges.gathering),
            offloaded: sum(|gauges| &gauges.offloaded),
            carried: self.workers.iter().map(|worker| worker.gauges.carried.load(Ordering::Relaxed)).sum(),
            sockets: self.opener.open.load(Ordering::Relaxed),
            pairs_taken: pairs.taken.saturating_sub(2 * kept),
            pairs_resting: pairs.resting + 2 * kept,
            pairs_free: pairs.free,
        }
    }

    /// What recordings came to; `None` if there are none.
    pub fn recordings(&self) -> Option<&RecorderCounts> {
        self.opener.recorder.as_ref().map(Inlet::counts)
    }

    /// How long packets stayed, of one flow in [`crate::limits::RELAY_TIMED_EVERY`], up to the last tick.
    pub fn delays(&self) -> &Histogram {
        &self.delays
    }

    /// One counter a worker, which rises at least twice a second while the worker lives: for the watchdog.
    pub fn heartbeats(&self) -> Vec<u64> {
        self.workers.iter().map(|worker| worker.gauges.heartbeat.load(Ordering::Relaxed)).collect()
    }

    /// Closes every flow (each answered by [`Event::Closed`]), releases the ports and joins the threads.
    pub fn stop(self) {
        drop(self);
    }

    /// Fibonacci hashing, so that ids which carry a place or a shard still spread.
    fn worker(&self, FlowId(id): FlowId) -> Option<&Handle> {
        let spread = usize::try_from(id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32).unwrap_or(0);
        self.workers.get(spread.checked_rem(self.workers.len())?)
    }

    /// A worker that ended took its flows along; the switch must not wait for them.
    fn answer_for_the_dead(&self, command: Command) {
        match command {
            Command::Open { flow, .. } => (self.events)(Event::Failed { flow, reason: "the relay has stopped" }),
            Command::Add { flow, line, .. } => (self.events)(Event::Added { flow, line, ports: None }),
            Command::Set { .. } | Command::Clear { .. } | Command::Record { .. } | Command::Press { .. } => {}
            Command::Close { flow } => (self.events)(Event::Closed { flow, report: Box::default() }),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        for worker in &self.workers {
            // A worker that has ended already needs no telling.
            let _ = worker.inbox.send(Message::Stop);
        }
        for thread in self.workers.iter_mut().filter_map(|worker| worker.thread.take()) {
            if thread.join().is_err() {
                tracing::error!("a relay worker panicked");
            }
        }
        self.opener.recorder = None;
        self.recorder = None;
    }
}

impl RelaySettings {
    fn check(&self) -> io::Result<()> {
        let wrong = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        if self.workers == 0 {
            return wrong("the relay needs a worker");
        }
        if ports::pairs(self.port_min..=self.port_max).next().is_none() {
            return wrong("the RTP port range holds no pair of an even port and the odd one above it");
        }
        if self.addresses.is_empty() || self.addresses.iter().any(IpAddr::is_unspecified) {
            return wrong("the relay needs addresses that can stand in an SDP");
        }
        if self.dscp.is_some_and(|dscp| dscp > DSCP_MAX) {
            return wrong("a DSCP is 0 to 63");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
