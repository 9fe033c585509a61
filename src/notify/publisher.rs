//! The way of a notice from the switch thread to the subscribers' queues.
//!
//! ```text
//!  switch thread              fan-out task                subscriber's task
//!  Publisher::publish ─▶ job ─▶ Listeners::deliver ─▶ Seat ─▶ policy, tokens, signature ─▶ socket
//!        └─▶ Parked, History                                    ▲ at the start: what is in Parked, and in History for who comes back
//! ```
//!
//! Nothing is missed and nothing told twice between the two ways to a subscriber, because each side writes before it reads:
//! the publisher parks a call (or writes down its end), then counts it, then sends the job; a subscriber enters the listeners, then reads
//! the count, then reads the parked calls and the ends. What is up to the count comes from there, what is later through the queue.
//! Not here: what an event says, and anything that could make the switch wait.

use crate::call::{Gone, Notice, Personal};
use crate::letter::{Change, Letter};
use crate::name::Name;
use crate::notify::closing::Closing;
use crate::notify::parked::Waiting;
use crate::notify::registry::Registry;
use crate::notify::seat::{About, Parcel, Written};
use crate::sync::atomic::Ordering;
use crate::sync::tokio;
use crate::sync::tokio::sync::mpsc;
use crate::time::Instant;
use std::sync::Arc;

/// What the fan-out task is to bring to the subscribers.
pub(super) enum Job {
    /// A call is parked.
    Incoming(Arc<Waiting>),
    /// A call waits no more.
    Gone { sequence: u64, gone: Arc<Gone> },
    /// Something for one client alone.
    Personal { sequence: u64, personal: Box<Personal> },
    /// Somebody has written something.
    Letter { sequence: u64, letter: Arc<Letter> },
    /// What became of that.
    Changed { sequence: u64, change: Box<Change> },
}

/// The switch thread's end: hands notices over and never waits. There is one, because the order of notices is its order.
pub struct Publisher {
    pub(super) registry: Arc<Registry>,
    pub(super) jobs: mpsc::Sender<Job>,
}

impl Publisher {
    /// So many clients are reached over SIP under this name.
    pub fn reachable(&self, now: Instant, name: &Name, telephones: u32) {
        self.registry.presence.telephones(now, name, telephones);
    }

    /// Remembers or forgets the parked call and hands the notice to the fan-out task. Never blocks: if the task is so far
    /// behind that its queue is full, all channels will be closed with a resync hint instead, so that no client misses a call.
    pub fn publish(&mut self, notice: Notice) {
        let registry = &self.registry;
        let sequence = registry.published.load(Ordering::Relaxed) + 1;
        let job = match notice {
            Notice::Incoming(call) => {
                let waiting = Arc::new(Waiting { sequence, call });
                registry.parked.insert(Arc::clone(&waiting));
                Some(Job::Incoming(waiting))
            }
            Notice::Gone(gone) => {
                let gone = Arc::new(gone);
                registry.history.push(sequence, Arc::clone(&gone));
                registry.parked.remove(&gone.name, gone.call);
                Some(Job::Gone { sequence, gone })
            }
            Notice::Letter(letter) => {
                registry.letters.lock().add(Instant::default(), Arc::clone(&letter), sequence);
                (!letter.leaves).then_some(Job::Letter { sequence, letter })
            }
            Notice::Changed(change) => {
                registry.letters.lock().advance(&change, sequence);
                Some(Job::Changed { sequence, change })
            }
            Notice::Forgotten(id) => {
                registry.letters.lock().remove(id);
                None
            }
            Notice::Personal(personal) => Some(Job::Personal { sequence, personal }),
        };
        registry.published.store(sequence, Ordering::SeqCst);
        if job.is_some_and(|job| self.jobs.try_send(job).is_err()) {
            registry.overrun.notify_one();
        }
    }

    /// The number of the newest notice.
    pub fn newest(&self) -> u64 {
        self.registry.published.load(Ordering::Relaxed)
    }
}

/// The task that brings each notice to its subscribers; ends when the [`Publisher`] is dropped.
pub struct FanOut {
    pub(super) registry: Arc<Registry>,
    pub(super) jobs: mpsc::Receiver<Job>,
}

impl FanOut {
    /// Runs until the publisher is gone.
    pub async fn run(mut self) {
        loop {
            // A lost notice wakes the task by itself: the jobs that filled the queue may all be done by the time it is noted,
            // and the next one may be long in coming.
            tokio::select! {
                biased;
                () = self.registry.overrun.notified() => self.resync(),
                () = self.registry.presence_due() => {
                    let slow = self.registry.tell_presence();
                    self.registry.slow.fetch_add(slow, Ordering::Relaxed);
                }
                job = self.jobs.recv() => match job {
                    Some(job) => self.bring(job),
                    None => return,
                },
            }
            tokio::task::consume_budget().await;
        }
    }

    fn resync(&self) {
        tracing::warn!(queue = self.jobs.len(), "notices were lost in a full queue: all channels resync");
        self.registry.resyncs.fetch_add(1, Ordering::Relaxed);
        self.registry.cut_all(Closing::Resync);
    }

    fn bring(&self, job: Job) {
        let registry = &self.registry;
        let slow = match job {
            Job::Incoming(waiting) => {
                let name = waiting.call.name.clone();
                registry.listeners.deliver(&name, &Parcel::Incoming(waiting))
            }
            // Nobody listens, which is common. Who enters now finds the call gone.
            Job::Gone { gone, .. } if !registry.listeners.any(&gone.name) => 0,
            Job::Gone { sequence, gone } => {
                let text = registry.announcer.gone(sequence, &gone);
                let written = Written { sequence, about: About::Call(gone.call, gone.called.clone()), text };
                registry.listeners.deliver(&gone.name, &Parcel::Written(Arc::new(written)))
            }
            Job::Personal { personal, .. } if !registry.listeners.any(&personal.name) => 0,
            Job::Personal { sequence, personal } => {
                let text = registry.announcer.personal(sequence, &personal);
                let written = Written { sequence, about: About::Call(personal.call, personal.called.clone()), text };
                registry.listeners.deliver_to(&personal.name, personal.holder, &Parcel::Written(Arc::new(written)))
            }
            Job::Letter { letter, .. } if !registry.listeners.any(&letter.name) => 0,
            Job::Letter { sequence, letter } => {
                let written = registry.announcer.message(sequence, &letter);
                registry.listeners.deliver(&letter.name, &Parcel::Written(Arc::new(written)))
            }
            Job::Changed { sequence, change } => {
                let written = || Parcel::Written(Arc::new(registry.announcer.message_state(sequence, &change)));
                registry.listeners.deliver_own(&change.sender, written)
            }
        };
        registry.slow.fetch_add(slow, Ordering::Relaxed);
    }
}
