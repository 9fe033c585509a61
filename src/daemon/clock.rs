//! The one place that reads clocks for the core.

use crate::time::{Instant, Now, Wall};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Both clocks, the monotonic one counted from its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    /// Starts counting.
    pub(super) fn start() -> Clock {
        Clock { origin: std::time::Instant::now() }
    }

    /// One reading of both.
    pub(super) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            at: Instant(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)),
            wall: Wall(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// A deadline of the core, as the runtime's timers want it.
    pub(super) fn deadline(&self, at: Instant) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.origin + Duration::from_micros(at.0))
    }
}
