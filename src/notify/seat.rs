//! One subscriber's place: who it is, and the bounded queue between the fan-out task and the subscriber's own task.
//! The fan-out side never waits; a queue that is full cuts its subscriber off.
//! Not here: the JSON, made by the subscriber's task when it takes a parcel out (`announce`).

use crate::id::CallId;
use crate::limits;
use crate::name::Name;
use crate::notify::closing::Closing;
use crate::notify::parked::Waiting;
use crate::policy::Claims;
use crate::sync::tokio::sync::Notify;
use crate::sync::{Mutex, MutexGuard};
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

/// What waits in a subscriber's queue.
#[derive(Clone, Debug)]
pub(super) enum Parcel {
    /// A call, to be announced to this subscriber with its own token.
    Incoming(Arc<Waiting>),
    /// What is the same for all whom it reaches: that a call waits no more, or news of one's own.
    Written(Arc<Written>),
}

/// An event of a call, written once for all whom it reaches.
#[derive(Debug)]
pub(super) struct Written {
    /// Counts notices, as in [`Waiting`].
    pub(super) sequence: u64,
    /// The call.
    pub(super) call: CallId,
    /// The number that was called, for policy.
    pub(super) called: Arc<str>,
    /// The event.
    pub(super) text: Bytes,
}

impl Parcel {
    /// Its place in the order of notices.
    pub(super) fn sequence(&self) -> u64 {
        match self {
            Parcel::Incoming(waiting) => waiting.sequence,
            Parcel::Written(written) => written.sequence,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Parcel::Incoming(waiting) => waiting.bytes(),
            Parcel::Written(written) => written.text.len(),
        }
    }
}

/// A subscriber, as the registry knows it.
pub(super) struct Seat {
    /// Grows with each subscriber, so that a list of them in order of arrival is sorted.
    pub(super) id: u64,
    /// The name it is subscribed to.
    pub(super) name: Name,
    /// Who it is and what it may do.
    pub(super) claims: Claims,
    /// Where it connects from, for the policy engine.
    pub(super) source: Option<IpAddr>,
    queue: Mutex<Queue>,
    /// Wakes the subscriber's task: a parcel, or the end.
    wake: Notify,
}

#[derive(Default)]
struct Queue {
    parcels: VecDeque<Parcel>,
    bytes: usize,
    /// Set once; nothing is queued after it.
    cut: Option<Closing>,
}

impl Seat {
    /// An empty seat.
    pub(super) fn new(id: u64, name: Name, claims: Claims, source: Option<IpAddr>) -> Seat {
        Seat { id, name, claims, source, queue: Mutex::default(), wake: Notify::new() }
    }

    /// Queues a parcel. A subscriber whose queue is full is cut off, and what it did not read is dropped: it is told to come
    /// back and gets what still waits then. Says whether this parcel was the one too many.
    pub(super) fn push(&self, parcel: Parcel) -> bool {
        let bytes = parcel.bytes();
        let mut queue = self.lock();
        if queue.cut.is_some() {
            return false;
        }
        let full = queue.parcels.len() >= limits::SUBSCRIBER_NOTICES_MAX
            // One that is longer than the limit by itself still goes to whoever has nothing else to read.
            || !queue.parcels.is_empty() && queue.bytes.saturating_add(bytes) > limits::SUBSCRIBER_BYTES_MAX;
        if full {
            *queue = Queue { cut: Some(Closing::Slow), ..Queue::default() };
        } else {
            queue.bytes += bytes;
            queue.parcels.push_back(parcel);
        }
        drop(queue);
        self.wake.notify_one();
        full
    }

    /// Ends the subscription; the first reason stands.
    pub(super) fn cut(&self, closing: Closing) {
        let mut queue = self.lock();
        if queue.cut.is_none() {
            *queue = Queue { cut: Some(closing), ..Queue::default() };
        }
        drop(queue);
        self.wake.notify_one();
    }

    /// The next parcel if there is one; a subscriber that is cut off has none.
    pub(super) fn pop(&self) -> Option<Parcel> {
        let mut queue = self.lock();
        let Some(parcel) = queue.parcels.pop_front() else {
            // A burst is over: 10,000 idle subscribers should not keep its memory.
            queue.parcels.shrink_to_fit();
            return None;
        };
        queue.bytes = queue.bytes.saturating_sub(parcel.bytes());
        Some(parcel)
    }

    /// Returns when something happened since the last call. Only the subscriber's task may call it.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Returns when the subscriber is cut off. Only the subscriber's task may call it.
    pub(super) async fn cut_off(&self) -> Closing {
        loop {
            if let Some(closing) = self.closing() {
                return closing;
            }
            self.wake.notified().await;
        }
    }

    /// Whether the subscriber is cut off, and why.
    pub(super) fn closing(&self) -> Option<Closing> {
        self.lock().cut
    }

    /// A poisoned lock is as good as any: no code between lock and unlock can leave the queue half changed.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
