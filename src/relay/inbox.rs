//! A worker's inbox: commands from the switch's thread, and the waker that gets the worker out of epoll.
//! Not here: which worker a command is for (`relay`).

use crate::limits;
use crate::media::Command;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::mpsc;
use std::sync::Arc;

#[cfg(test)]
mod interleavings;

/// What gets the worker out of epoll.
#[cfg(not(all(test, feature = "shuttle")))]
pub(super) use super::poll::Waker;

/// The same for tests that know each order of steps, which they do not of the kernel's.
#[cfg(all(test, feature = "shuttle"))]
pub(super) use interleavings::Bell as Waker;

/// What a worker can be told.
pub(super) enum Message {
    Command(Box<Command>),
    /// Close all flows and end.
    Stop,
}

/// The switch's end.
pub(super) struct Sender {
    queue: mpsc::Sender<Message>,
    waker: Waker,
    shared: Arc<Shared>,
}

/// The worker's end.
pub(super) struct Receiver {
    queue: mpsc::Receiver<Message>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    waiting: AtomicUsize,
    /// Whether the waker was used since the worker last looked: one system call then serves many commands.
    woken: AtomicBool,
}

/// Both ends of a new inbox; `waker` belongs to the worker's epoll.
pub(super) fn inbox(waker: Waker) -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::channel();
    let shared = Arc::new(Shared::default());
    (Sender { queue: sender, waker, shared: Arc::clone(&shared) }, Receiver { queue: receiver, shared })
}

impl Sender {
    /// Whether so much waits that no new flow is to be added (RELIABILITY §3: shed early).
    pub(super) fn is_full(&self) -> bool {
        self.shared.waiting.load(Ordering::Relaxed) >= limits::RELAY_COMMANDS_MAX
    }

    /// Queues a message and wakes the worker; gives it back if the worker has ended.
    pub(super) fn send(&self, message: Message) -> Result<(), Box<Message>> {
        self.queue(message)?;
        self.wake();
        Ok(())
    }

    /// Queues a message for which nobody waits: the worker comes to it with the next one that wakes it, before it handles a packet,
    /// or at its next tick. Only where many wait is it woken.
    pub(super) fn leave(&self, message: Message) -> Result<(), Box<Message>> {
        if self.queue(message)? > limits::RELAY_BATCH_MAX {
            self.wake();
        }
        Ok(())
    }

    /// How many wait then.
    fn queue(&self, message: Message) -> Result<usize, Box<Message>> {
        let before = self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        self.queue.send(message).map_err(|mpsc::SendError(message)| Box::new(message))?;
        Ok(before + 1)
    }

    fn wake(&self) {
        if !self.shared.woken.swap(true, Ordering::AcqRel)
            && let Err(error) = self.waker.wake()
        {
            // The worker still looks at each tick.
            tracing::error!(%error, "a relay worker cannot be woken");
        }
    }
}

impl Receiver {
    /// To be called before the first [`Receiver::poll`] of a turn: whoever sends from now on wakes the worker again.
    pub(super) fn begin(&self) {
        self.shared.woken.swap(false, Ordering::AcqRel);
    }

    /// Whether somebody has put a message in that was not taken out.
    pub(super) fn has_news(&self) -> bool {
        self.shared.waiting.load(Ordering::Acquire) > 0
    }

    /// The next message; [`Message::Stop`] if the relay is gone.
    pub(super) fn poll(&self) -> Option<Message> {
        match self.queue.try_recv() {
            Ok(message) => {
                self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
                Some(message)
            }
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => Some(Message::Stop),
        }
    }
}
