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
use crate::notify::closing::Closing;
use crate::notify::parked::Waiting;
use crate::notify::registry::Registry;
use crate::notify::seat::{Parcel, Written};
use crate::sync::atomic::Ordering;
use crate::sync::tokio;
use crate::sync::tokio::sync::mpsc;
use std::sync::Arc;

/// What the fan-out task is to bring to the subscribers.
pub(super) enum Job {
    /// A call is parked.
    Incoming(Arc<Waiting>),
    /// A call waits no more.
    Gone { sequence: u64, gone: Arc<Gone> },
    /// Something for one client alone.
    Personal { sequence: u64, personal: Box<Personal> },
}

/// The switch thread's end: hands notices over and never waits. There is one, because the order of notices is its order.
pub struct Publisher {
    pub(super) registry: Arc<Registry>,
    pub(super) jobs: mpsc::Sender<Job>,
}

impl Publisher {
    /// Remembers or forgets the parked call and hands the notice to the fan-out task. Never blocks: if the task is so far
    /// behind that its queue is full, all channels will be closed with a resync hint instead, so that no client misses a call.
    pub fn publish(&mut self, notice: Notice) {
        let registry = &self.registry;
        let sequence = registry.published.load(Ordering::Relaxed) + 1;
        let job = match notice {
            Notice::Incoming(call) => {
                let waiting = Arc::new(Waiting { sequence, call });
                registry.parked.insert(Arc::clone(&waiting));
                Job::Incoming(waiting)
            }
            Notice::Gone(gone) => {
                let gone = Arc::new(gone);
                registry.history.push(sequence, Arc::clone(&gone));
                registry.parked.remove(&gone.name, gone.call);
                Job::Gone { sequence, gone }
            }
            Notice::Personal(personal) => Job::Personal { sequence, personal },
        };
        registry.published.store(sequence, Ordering::SeqCst);
        if self.jobs.try_send(job).is_err() {
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
                let written = Written { sequence, call: gone.call, called: gone.called.clone(), text };
                registry.listeners.deliver(&gone.name, &Parcel::Written(Arc::new(written)))
            }
            Job::Personal { personal, .. } if !registry.listeners.any(&personal.name) => 0,
            Job::Personal { sequence, personal } => {
                let text = registry.announcer.personal(sequence, &personal);
                let written = Written { sequence, call: personal.call, called: personal.called.clone(), text };
                registry.listeners.deliver_to(&personal.name, personal.holder, &Parcel::Written(Arc::new(written)))
            }
        };
        registry.slow.fetch_add(slow, Ordering::Relaxed);
    }
}
