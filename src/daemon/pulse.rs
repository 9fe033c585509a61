//! Whether everything that must not stand still is moving: the switch thread and each relay worker. The watchdog is fed only then.

use super::Daemon;

/// The counts at the last look.
pub(super) struct Pulse {
    switch: u64,
    workers: Vec<u64>,
}

impl Pulse {
    /// A first look.
    pub(super) fn of(daemon: &Daemon) -> Pulse {
        Pulse { switch: daemon.status.beats(), workers: daemon.relay.heartbeats() }
    }

    /// Whether all have moved since the last look.
    pub(super) fn is_alive(&mut self, daemon: &Daemon) -> bool {
        let now = Pulse::of(daemon);
        let workers = self.workers.iter().zip(&now.workers).all(|(before, after)| before != after);
        let alive = workers && self.switch != now.switch;
        *self = now;
        alive
    }
}
