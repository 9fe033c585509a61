//! The relay's clock: read once a batch by each worker. Its instants never leave the relay.

use crate::time::Instant;

/// Monotonic, from when the relay was started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(std::time::Instant);

impl Clock {
    pub(super) fn start() -> Clock {
        Clock(std::time::Instant::now())
    }

    pub(super) fn now(self) -> Instant {
        Instant::default() + self.0.elapsed()
    }
}
