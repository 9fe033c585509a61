//! The shell's clocks: the one place that reads them for the core.
//! Not here: the relay's, which reads the monotonic one alone, once a batch of packets.

use crate::time::{Instant, Now, Wall};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Both clocks, the monotonic one counted from its start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    /// Starts counting.
    pub fn start() -> Clock {
        Clock { origin: std::time::Instant::now() }
    }

    /// One reading of both.
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            at: Instant(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)),
            wall: Wall(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// A deadline of the core, as the runtime's timers want it.
    pub fn deadline(&self, at: Instant) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.origin + Duration::from_micros(at.0))
    }
}
