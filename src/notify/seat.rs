//! One subscriber's place: who it is, and the bounded queue between the fan-out task and the subscriber's own task.
//! The fan-out side never waits; a queue that is full cuts its subscriber off.
//! Not here: the JSON, made by the subscriber's task when it takes a parcel out (`announce`).

use crate::id::{CallId, LetterId};
use crate::limits;
use crate::name::Name;
use crate::notify::closing::Closing;
use crate::notify::parked::Waiting;
use crate::policy::Claims;
use crate::sync::tokio::sync::Notify;
use crate::sync::{Mutex, MutexGuard};
use crate::token::SubjectHash;
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

/// What waits in a subscriber's queue.
#[derive(Clone, Debug)]
pub(super) enum Parcel {
    /// A call, to be announced to this subscriber with its own token.
    Incoming(Arc<Waiting>),
    /// What is the same for all whom it reaches: that a call waits no more, a message, or news of one's own.
    Written(Arc<Written>),
    /// Who is there under a name that it watches.
    Presence(Arc<Seen>),
}

/// Who is there under a name, as its watchers are told. No notice of the switch's: it has no place in their order.
#[derive(Debug)]
pub(super) struct Seen {
    /// The name.
    pub(super) name: Name,
    /// The event.
    pub(super) text: Bytes,
}

/// An event that is written once for all whom it reaches.
#[derive(Debug)]
pub(super) struct Written {
    /// Counts notices, as in [`Waiting`].
    pub(super) sequence: u64,
    /// What it tells of.
    pub(super) about: About,
    /// The event.
    pub(super) text: Bytes,
}

/// What an event tells of, for the question whether a subscriber may hear it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum About {
    /// A call for its name, with the number that was called.
    Call(CallId, Arc<str>),
    /// A message for its name.
    Letter(LetterId),
    /// Something of its own.
    Own,
}

impl Parcel {
    /// Its place in the order of notices; what has none is never behind.
    pub(super) fn sequence(&self) -> u64 {
        match self {
            Parcel::Incoming(waiting) => waiting.sequence,
            Parcel::Written(written) => written.sequence,
            Parcel::Presence(_) => u64::MAX,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Parcel::Incoming(waiting) => waiting.bytes(),
            Parcel::Written(written) => written.text.len(),
            Parcel::Presence(seen) => seen.text.len(),
        }
    }
}

/// A subscriber, as the registry knows it.
pub(super) struct Seat {
    /// Grows with each subscriber, so that a list of them in order of arrival is sorted.
    pub(super) id: u64,
    /// The name it is subscribed to.
    pub(super) name: Name,
    /// Who it is, for as long as it is here.
    pub(super) subject: SubjectHash,
    /// What it may do, until a newer credential says otherwise.
    claims: Mutex<Arc<Claims>>,
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

/// Each is one of its own.
impl PartialEq for Seat {
    fn eq(&self, other: &Seat) -> bool {
        self.id == other.id
    }
}

impl Seat {
    /// An empty seat.
    pub(super) fn new(id: u64, name: Name, claims: Claims, source: Option<IpAddr>) -> Seat {
        let (subject, claims) = (claims.subject_hash(), Mutex::new(Arc::new(claims)));
        Seat { id, name, subject, claims, source, queue: Mutex::default(), wake: Notify::new() }
    }

    /// What it may do now.
    pub(super) fn claims(&self) -> Arc<Claims> {
        Arc::clone(&self.claims.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A newer credential of the same subject; what it could do before.
    pub(super) fn renew(&self, claims: Claims) -> Arc<Claims> {
        std::mem::replace(&mut self.claims.lock().unwrap_or_else(PoisonError::into_inner), Arc::new(claims))
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
