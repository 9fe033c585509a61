//! A server is started, gets its sessions and forwards their packets, once or at several rates.
//! Not here: how often, and what is made of it (`costs`, `rates`).

use super::failed;
use super::kernel::{self, Times};
use super::rtp::{Audio, Faults, Outcome, Plan};
use super::secure::Suite;
use super::server::{Forwarder, Server, Setting};
use crate::daemon::Failure;
use std::ops::Range;
use std::time::Duration;

/// A generator that was later than this was not open-loop.
const LATE_MAX: Duration = Duration::from_millis(20);
/// A rate counts as sustained with a lower median only: socket buffers hide an overload for seconds.
const MEDIAN_MAX: Duration = Duration::from_millis(10);

/// A server with its sessions, and both ends of each.
pub(super) struct Bridged<'a> {
    forwarder: Forwarder,
    /// Ends with this value.
    _server: Server,
    audio: Audio<'a>,
    /// Whose time a packet costs.
    threads: Vec<u32>,
    sessions: u16,
    /// Of the server, bytes a session.
    memory: f64,
}

impl Bridged<'_> {
    pub(super) fn start<'a>(
        forwarder: Forwarder,
        setting: &Setting<'a>,
        sessions: u16,
    ) -> Result<Bridged<'a>, Failure> {
        let (mut server, mut audio) = (Server::start(forwarder, setting)?, Audio::new(setting.place)?);
        // The first sessions pay for what all share.
        let first = sessions / 10;
        bridge(&mut server, &mut audio, setting.suite, 0..first)?;
        let before = server.memory_bytes();
        bridge(&mut server, &mut audio, setting.suite, first..sessions)?;
        let memory = server.memory_bytes().saturating_sub(before) as f64 / f64::from(sessions - first);
        server.settle()?;
        let threads = [&server.ids(), setting.place.receivers()].concat();
        Ok(Bridged { forwarder, _server: server, audio, threads, sessions, memory })
    }

    /// Sends for a while. An error if packets came that nobody sent so: then nothing else that was measured counts.
    pub(super) fn measure(&mut self, plan: Plan) -> Result<Run, Failure> {
        let Bridged { forwarder, audio, threads, sessions, .. } = self;
        let run = Run { outcome: audio.run(plan, || kernel::cpu_times(threads)), memory: self.memory };
        let Outcome { sent, received, faults, .. } = &run.outcome;
        println!(
            "{}, {sessions} sessions, {} packets a second: {} of {sent} lost, {:.0} ns each, {:.0} ns to send, p50 {:.0} µs",
            forwarder.name(),
            plan.rate,
            sent - received,
            run.nanos(),
            run.sending_nanos(),
            run.transit_micros(500),
        );
        if *faults != Faults::default() {
            return Err(failed(format!("{}: what comes is not what was sent: {faults:?}", forwarder.name())));
        }
        Ok(run)
    }
}

/// What one time gave.
pub(super) struct Run {
    outcome: Outcome<Times>,
    /// Of the server, bytes a session.
    pub(super) memory: f64,
}

impl Run {
    /// Whether the generator sent when packets were due; says so if not.
    pub(super) fn counts(&self) -> bool {
        let in_time = self.outcome.late <= LATE_MAX;
        if !in_time {
            println!("… does not count: the generator was {:.1} ms late", self.outcome.late.as_secs_f64() * 1e3);
        }
        in_time
    }

    /// Of a thousand packets.
    pub(super) fn lost_per_mille(&self) -> f64 {
        (self.outcome.sent - self.outcome.received) as f64 * 1e3 / self.outcome.sent.max(1) as f64
    }

    /// The part of it that is not the kernel's threads'.
    pub(super) fn process_nanos(&self) -> f64 {
        let of_kernel = |times: &Times| -> Duration {
            times.iter().filter(|(name, _)| name.starts_with("napi/")).map(|(_, time)| *time).sum()
        };
        let [before, after] = &self.outcome.looks;
        let kernel = of_kernel(after).saturating_sub(of_kernel(before));
        self.nanos() - kernel.as_secs_f64() * 1e9 / self.outcome.in_time.max(1) as f64
    }

    /// CPU time a packet, nanoseconds, of the server's threads together: with wires, also of those that take packets from these.
    pub(super) fn nanos(&self) -> f64 {
        let [before, after] = &self.outcome.looks;
        let sum = |times: &Times| times.values().sum::<Duration>();
        sum(after).saturating_sub(sum(before)).as_secs_f64() * 1e9 / self.outcome.in_time.max(1) as f64
    }

    /// How long it took to send a packet, nanoseconds. The longest hundredth is left out: in that the machine did something else.
    pub(super) fn sending_nanos(&self) -> f64 {
        let counted = self.outcome.sending.len() * 99 / 100;
        let sum: Duration = self.outcome.sending.iter().take(counted).sum();
        sum.as_secs_f64() * 1e9 / counted.max(1) as f64
    }

    pub(super) fn transit_micros(&self, per_mille: usize) -> f64 {
        let times = &self.outcome.transit;
        let at = (times.len() * per_mille / 1000).min(times.len().saturating_sub(1));
        times.get(at).copied().unwrap_or_default().as_secs_f64() * 1e6
    }

    /// Sent when it was due, less than one in a thousand lost, and less than one in a hundred still under way at the end.
    pub(super) fn is_sustained(&self) -> bool {
        let Outcome { sent, received, in_time, .. } = self.outcome;
        self.counts()
            && (sent - received) * 1_000 < sent
            && sent.saturating_sub(in_time) * 100 < sent
            && self.transit_micros(500) < MEDIAN_MAX.as_secs_f64() * 1e6
    }
}

fn bridge(
    server: &mut Server,
    audio: &mut Audio<'_>,
    suite: Option<Suite>,
    sessions: Range<u16>,
) -> Result<(), Failure> {
    for session in sessions {
        let own = audio.own(session, suite)?;
        audio.add(&own, &server.bridge(session, &own)?)?;
    }
    Ok(())
}
