//! What threads share is built of these locks, atomics and queues (`notify`, `relay::inbox`). They are the usual ones, by their
//! usual names. Only in the test build with the feature `shuttle` are they that crate's, which decides at each step which thread
//! goes on, so that a test can look at many orders of steps, or at all, and sees it when all threads wait for each other.
//! Shuttle takes every atomic for sequentially consistent: what a weaker ordering allows is not looked at.
//! Not here: what one thread owns, and what the tests check (`interleavings` of each module).

#[cfg(not(all(test, feature = "shuttle")))]
pub(crate) use ::{
    dashmap::DashMap,
    std::sync::{Mutex, MutexGuard, RwLock, atomic, mpsc},
    tokio,
};

#[cfg(all(test, feature = "shuttle"))]
pub(crate) use ::{
    shuttle::sync::{Mutex, MutexGuard, RwLock, atomic, mpsc},
    shuttle_dashmap::DashMap,
};

/// What is used of tokio, with shuttle's queues and wake-ups.
#[cfg(all(test, feature = "shuttle"))]
pub(crate) mod tokio {
    pub(crate) use shuttle_tokio::{select, sync, task};

    /// No time passes. Shuttle's own sleep ends at once, and who looks again and again misses no wake-up.
    pub(crate) mod time {
        use std::time::Duration;

        pub(crate) async fn sleep(_forever: Duration) {
            std::future::pending().await
        }
    }
}

/// How tests run a body again and again.
#[cfg(all(test, feature = "shuttle"))]
pub(crate) mod explore {
    use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
    use shuttle::{Config, Runner};

    /// The same in each run, so that a failure comes back. `SHUTTLE_RANDOM_SEED` in the environment goes before it.
    const SEED: u64 = 20_261_125;
    /// How many of a body's steps the second half of [`many`] delays.
    const DELAYS: usize = 3;
    /// Shuttle's own 60 kB are too few for signatures in a debug build. Bytes.
    const STACK: usize = 512 * 1024;

    /// Runs a body under so many schedules: half of them with a throw of the dice at each step, half with fixed priorities that
    /// change at a few steps, which finds what needs one thread to stand still for long.
    pub(crate) fn many(schedules: usize, body: fn()) {
        run(RandomScheduler::new_from_seed(SEED, schedules / 2), body);
        run(PctScheduler::new_from_seed(SEED, DELAYS, schedules / 2), body);
    }

    /// Runs a body under every schedule there is and says how many those are. For small bodies.
    pub(crate) fn all(body: fn()) -> usize {
        run(DfsScheduler::new(None, false), body)
    }

    fn run(scheduler: impl Scheduler + 'static, body: fn()) -> usize {
        let mut config = Config::new();
        config.stack_size = STACK;
        config.silence_warnings = true;
        Runner::new(scheduler, config).run(body)
    }
}
