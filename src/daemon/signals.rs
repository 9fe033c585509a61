//! Signals, and what the service manager is told: the main thread waits here until the daemon is over.
//! TERM and INT drain; a second one ends it now. HUP opens the file of records anew, for logrotate, and reads
//! the keys again.

use super::service::Service;
use super::{Daemon, Failure};
use crate::limits;
use crate::telemetry::Log;
use crate::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that we attend to, caught from the start: one that comes while the daemon is starting is not lost.
pub(super) struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From now on they do not kill the process.
    pub(super) fn catch() -> Result<Signals, Failure> {
        let runtime = super::runtime(&mut tokio::runtime::Builder::new_current_thread())?;
        let _inside = runtime.enter();
        let catch = |kind| signal(kind).map_err(|error| Failure::run_time(format!("cannot catch signals: {error}")));
        let (terminate, interrupt) = (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?);
        let hang_up = catch(SignalKind::hangup())?;
        drop(_inside);
        Ok(Signals { runtime, terminate, interrupt, hang_up })
    }
}

/// Tells the service manager that we are ready, then waits for the end.
pub(super) fn attend(mut daemon: Daemon, log: &Log, signals: Signals, drain: Duration) -> Result<(), Failure> {
    let Signals { runtime, mut terminate, mut interrupt, mut hang_up } = signals;
    let service = Service;
    tracing::info!(addresses = ?daemon.addresses(), "ready");
    service.ready(&daemon.status.line());
    runtime.block_on(async {
        let mut look = tokio::time::interval(service.watchdog_every().unwrap_or(limits::STATUS_EVERY));
        let mut pulse = super::pulse::Pulse::of(&daemon);
        let mut asked_to_end = false;
        loop {
            tokio::select! {
                () = daemon.over() => break,
                _ = terminate.recv() => end(&daemon, &service, &mut asked_to_end, drain),
                _ = interrupt.recv() => end(&daemon, &service, &mut asked_to_end, drain),
                _ = hang_up.recv() => daemon.reload(),
                _ = look.tick() => {
                    if pulse.is_alive(&daemon) {
                        service.alive();
                    }
                    service.status(&daemon.status.line());
                    daemon.status.count_lost_lines(log.dropped());
                }
            }
        }
    });
    tracing::info!("stopped");
    daemon.wait()
}

/// The first signal drains, the next ends it now.
fn end(daemon: &Daemon, service: &Service, asked: &mut bool, drain: Duration) {
    if std::mem::replace(asked, true) {
        tracing::info!("stopping now");
        return daemon.stop();
    }
    tracing::info!(seconds = drain.as_secs(), "draining: no new calls, the others may run out");
    service.stopping(drain, &daemon.status.line());
    daemon.drain(drain);
}
