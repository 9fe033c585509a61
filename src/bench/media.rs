//! What a packet costs with each forwarder, by turns: CPU time, how long packets take, the highest rate at which none is lost, and memory.
//! Server and generator each have a CPU of their own.
//! Not here: one run (`run`).
//!
//! What the kernel forwards by itself on loopback it forwards in the sender's time. So what a packet costs in all is what sending took longer
//! than with nobody between the two ends, and the server's own time. Over wires it is the time of all the server's threads, the kernel's that
//! take packets from the wires among them; nothing is subtracted.

use super::costs::{self, Costs, Round};
use super::cpu::{self, First};
use super::failed;
use super::nat::Nat;
use super::options::{Measure, Options};
use super::place::Place;
use super::rates::{Rates, Search};
use super::rtp::Plan;
use super::rtpengine::Rtpengine;
use super::run::Bridged;
use super::server::{Forwarder, Server, Setting};
use crate::daemon::{Code, Failure};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Packets a second of one session.
const SESSION_RATE: u32 = 100;
/// rtpengine learns addresses late.
const WARM_UP: Duration = Duration::from_secs(4);
/// A run that did not count, because the machine was busy, is made again so often.
const TRIES: u32 = 3;

/// Measures what the options ask for and prints it. An error if something could not be started, or if packets came that nobody sent.
pub fn perform(options: Options) -> Result<(), Failure> {
    if options.plot.is_some() && !options.measures(Measure::Cost) {
        let what = "--plot draws what packets cost: leave out --only rate".to_owned();
        return Err(Failure { code: Code::Configuration, what });
    }
    if let Some(file) = &options.plot {
        // Before anything is measured for it.
        write(file, "")?;
    }
    let (pinned, cpu) = cpu::pin();
    // Figures of a test say nothing, so others need not wait for them.
    let _first = (!options.test).then(First::go);
    let place = if options.wire { Place::wire(cpu, options.moderate)? } else { Place::loopback() };
    println!("{pinned}; other work on this machine is in the figures: compare what was measured in one run");
    let program = std::env::current_exe().map_err(|error| failed(format!("which program is this? {error}")))?;
    let bench = Bench { options, place, cpu, program };
    let forwarders = bench.forwarders();
    if bench.options.measures(Measure::Cost) {
        bench.costs(&forwarders)?;
    }
    if bench.options.measures(Measure::Rate) {
        bench.rate(&forwarders)?;
    }
    Ok(())
}

struct Bench {
    options: Options,
    place: Place,
    /// The server's.
    cpu: Option<usize>,
    /// `parkway` itself.
    program: PathBuf,
}

impl Bench {
    /// Whom this machine lets us measure.
    fn forwarders(&self) -> Vec<Forwarder> {
        let others = !self.options.alone;
        let mut all = vec![Forwarder::AtOnce, Forwarder::Gathering];
        if self.options.record {
            all.push(Forwarder::Recorded);
        }
        if others && Rtpengine::is_installed() {
            all.push(Forwarder::Rtpengine);
        }
        // What knows no keys forwards no SRTP.
        if self.place.is_our_own() && self.options.srtp.is_none() {
            if !self.place.is_wired() {
                all.push(Forwarder::Nobody);
            }
            match Server::start(Forwarder::Kernel, &self.setting()) {
                Ok(_) => all.push(Forwarder::Kernel),
                Err(why) => println!("not measured: the kernel's own way, media.offload: {why}"),
            }
            if others && Nat::is_installed() {
                all.push(Forwarder::Nat);
            }
        }
        all.sort_unstable();
        all
    }

    fn setting(&self) -> Setting<'_> {
        Setting {
            place: &self.place,
            program: &self.program,
            cpu: self.cpu,
            coalesce: self.options.coalesce,
            suite: self.options.srtp,
        }
    }

    fn plan(&self, rate: u32) -> Plan {
        let warm_up = if self.options.test { Duration::from_secs(1) } else { WARM_UP };
        Plan { rate, burst: self.place.burst(), warm_up, measured: self.options.measured() }
    }

    fn costs(&self, forwarders: &[Forwarder]) -> Result<(), Failure> {
        let mut all = Vec::new();
        for sessions in self.options.sessions() {
            let costs = self.cost(forwarders, sessions)?;
            costs.print(&self.place);
            all.push(costs);
        }
        let Some(file) = &self.options.plot else { return Ok(()) };
        write(file, &costs::plot(&all, &self.place).svg())?;
        println!("\nwritten: {}", file.display());
        Ok(())
    }

    /// Each forwarder in its turn, as often as is asked for.
    fn cost(&self, forwarders: &[Forwarder], sessions: u16) -> Result<Costs, Failure> {
        let plan = self.plan(SESSION_RATE * u32::from(sessions));
        let mut rounds = Vec::new();
        for _ in 0..self.options.repeats() {
            let mut round = Round::new();
            for forwarder in forwarders {
                for _ in 0..TRIES {
                    let run = Bridged::start(*forwarder, &self.setting(), sessions)?.measure(plan)?;
                    if run.counts() || self.options.test {
                        round.insert(*forwarder, run);
                        break;
                    }
                }
            }
            rounds.push(round);
        }
        Ok(Costs { sessions, rounds })
    }

    /// The highest rate of each forwarder that is a process, by turns.
    fn rate(&self, forwarders: &[Forwarder]) -> Result<(), Failure> {
        let sessions = self.options.sessions().first().copied().unwrap_or_default();
        let mut rates = Rates::default();
        for _ in 0..self.options.repeats() {
            for forwarder in forwarders.iter().filter(|forwarder| forwarder.is_a_process()) {
                let mut bridged = Bridged::start(*forwarder, &self.setting(), sessions)?;
                let search =
                    Search { first: SESSION_RATE * u32::from(sessions), plan: self.plan(0), short: self.options.test };
                rates.add(*forwarder, search.run(&mut bridged)?);
            }
        }
        rates.print();
        Ok(())
    }
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let what =
        |error| format!("--plot: cannot write {}: {error}; name a file in a directory that is there", file.display());
    std::fs::write(file, text).map_err(|error| Failure { code: Code::Configuration, what: what(error) })
}
