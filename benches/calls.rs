//! What a call costs, Parkway beside Kamailio: CPU of a bridged call with both legs, of a call that is parked and cancelled, how long
//! callers wait, how many calls a second one core takes, and memory. Server and generator each have a CPU of their own. Kamailio is a
//! stateful, record-routing proxy with dialogs; Parkway tells subscribed clients, takes their tokens and opens RTP ports as well.
//!
//! `cargo bench --bench calls`; with `-- --test` once and short. `-- --only bridge` (`cancel`, `rate`, `overload`, `memory`) measures one thing,
//! `--parkway` leaves Kamailio out; `--rate`, `--seconds`, `--warm-up` and `--repeats` say other numbers.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;
use support::Arguments;
use support::generator::{Deed, Generator, Outcome, Plan};
use support::kamailio::Kamailio;
use support::kernel::{self, Times};
use support::subscription::Subscription;

/// Clients that are subscribed, each to its own name: one alone would have to read thousands of events a second.
const DESKS: u8 = 16;
/// How long a bridged call lasts.
const HOLD: Duration = Duration::from_millis(100);
/// A generator that was later than this was not open-loop (PERF "How to measure").
const LATE_MAX: Duration = Duration::from_millis(20);
/// A rate counts as sustained with a lower median only: socket buffers hide an overload for seconds.
const MEDIAN_MAX: Duration = Duration::from_millis(10);
/// A run that did not count, because the machine was busy, is made again so often.
const TRIES: u32 = 4;
/// Loads that are tried until one is too much: twelve steps of a fourth are fourteen times the first.
const LOADS_MAX: u32 = 12;
/// Calls that are held for the memory of one.
const HELD: u32 = 4_000;
/// Transactions are forgotten after 64*T1.
const FORGOTTEN: Duration = Duration::from_secs(40);

fn main() {
    let options = Options::read();
    let (pinned, cpu) = support::cpu::pin();
    println!("{pinned}; {options:?}");
    let bench = Bench { cpu, options };
    let mut rows = Vec::new();
    for (name, measure) in [
        ("bridge", Bench::bridge as fn(&Bench) -> Vec<[String; 5]>),
        ("cancel", Bench::cancel),
        ("rate", Bench::rate),
        ("overload", Bench::overload),
        ("memory", Bench::memory),
    ] {
        if bench.options.only.as_ref().is_none_or(|only| only == name) {
            rows.extend(measure(&bench));
        }
    }
    support::print_rows(["what", "Parkway", "Kamailio", "ratio", "goal"], &rows);
}

/// What the command line says.
#[derive(Clone, Debug)]
struct Options {
    only: Option<String>,
    kamailio: bool,
    rate: u32,
    measured: Duration,
    warm_up: Duration,
    repeats: u32,
    test: bool,
}

impl Options {
    fn read() -> Options {
        let arguments = Arguments::read();
        Options {
            only: arguments.value("--only").cloned(),
            kamailio: !arguments.given("--parkway") && Kamailio::is_installed(),
            rate: arguments.number("--rate", 2_500, 200),
            measured: arguments.seconds("--seconds", 8, 1),
            warm_up: arguments.seconds("--warm-up", 34, 0),
            repeats: arguments.number("--repeats", 3, 1),
            test: support::is_test(),
        }
    }
}

/// Whom we measure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Server {
    Parkway,
    Kamailio,
}

/// What is read from a server.
struct Look {
    cpu: Times,
    memory: u64,
    kernel: u64,
}

/// A run that counts.
struct Run(Outcome<Look>);

impl Run {
    /// CPU time a call, microseconds, of each thread.
    fn micros(&self) -> BTreeMap<String, f64> {
        let [before, after] = &self.0.looks;
        let calls = self.0.calls as f64;
        let since = |name: &String, time: &Duration| {
            time.saturating_sub(before.cpu.get(name).copied().unwrap_or_default()).as_secs_f64() * 1e6 / calls
        };
        after.cpu.iter().map(|(name, time)| (name.clone(), since(name, time))).collect()
    }

    fn total_micros(&self) -> f64 {
        self.micros().values().sum()
    }

    /// Bytes a call, of the server and of the kernel's sockets.
    fn bytes(&self) -> [f64; 2] {
        let [before, after] = &self.0.looks;
        let calls = self.0.calls as f64;
        [(before.memory, after.memory), (before.kernel, after.kernel)]
            .map(|(before, after)| after.saturating_sub(before) as f64 / calls)
    }

    fn ringing_ms(&self, per_mille: usize) -> f64 {
        quantile_ms(&self.0.ringing, per_mille)
    }

    fn answered_ms(&self, per_mille: usize) -> f64 {
        quantile_ms(&self.0.answered, per_mille)
    }
}

struct Bench {
    cpu: Option<usize>,
    options: Options,
}

impl Bench {
    fn servers(&self) -> Vec<Server> {
        if self.options.kamailio { vec![Server::Parkway, Server::Kamailio] } else { vec![Server::Parkway] }
    }

    fn plan(&self, deed: Deed) -> Plan {
        let Options { rate, measured, warm_up, .. } = self.options;
        let hold = if deed == Deed::Bridge { HOLD } else { Duration::ZERO };
        Plan { deed, rate, warm_up, measured, hold, settle: Duration::ZERO, repeats: false }
    }

    fn bridge(&self) -> Vec<[String; 5]> {
        let runs = self.repeat(self.plan(Deed::Bridge));
        let rate = self.options.rate;
        let mut rows = vec![row(
            &format!("CPU µs a bridged call, {rate} a second"),
            &runs,
            "≤ 1.0, stretch 0.8",
            1,
            Run::total_micros,
        )];
        rows.push(signalling(&runs));
        rows.extend(parts(&runs));
        rows.push(row("INVITE → 180, p50, ms", &runs, "≤ 1.0", 3, |run| run.ringing_ms(500)));
        rows.push(row("INVITE → 180, p99, ms", &runs, "–", 3, |run| run.ringing_ms(990)));
        rows.push(row("INVITE → 200, p50, ms", &runs, "–", 3, |run| run.answered_ms(500)));
        rows.push(row("INVITE → 200, p99, ms", &runs, "–", 3, |run| run.answered_ms(990)));
        rows
    }

    fn cancel(&self) -> Vec<[String; 5]> {
        let runs = self.repeat(self.plan(Deed::Cancel));
        let rate = self.options.rate;
        let mut rows = vec![row(
            &format!("CPU µs a parked and cancelled call, {rate} a second"),
            &runs,
            "≤ 0.6",
            1,
            Run::total_micros,
        )];
        rows.push(signalling(&runs));
        rows.extend(parts(&runs));
        rows
    }

    /// The highest rate at which nothing is lost, by steps of a fifth and then halving the last one three times.
    fn rate(&self) -> Vec<[String; 5]> {
        let mut found = BTreeMap::new();
        let begin = self.options.rate;
        for server in self.servers() {
            let holds = |rate: u32| {
                let measured = Duration::from_secs(if self.options.test { 1 } else { 4 });
                let plan = Plan { rate, measured, warm_up: Duration::from_secs(1), ..self.plan(Deed::Bridge) };
                // Twice: the machine may have been busy with something else.
                (0..2).any(|_| {
                    self.run(server, plan).is_some_and(|run| run.ringing_ms(500) < MEDIAN_MAX.as_secs_f64() * 1e3)
                })
            };
            let (mut low, mut high) = (0, begin);
            while holds(high) && !self.options.test {
                (low, high) = (high, high + high / 5);
            }
            if self.options.test {
                low = high;
            }
            for _ in 0..3 {
                let middle = low.midpoint(high);
                if middle > low && holds(middle) { low = middle } else { high = middle }
            }
            found.insert(server, vec![f64::from(low)]);
        }
        vec![row_of("loss-free calls a second, one core", &found, "≥ 1.0", 0)]
    }

    /// Calls that come through where three times as many come as one core can take, beside the most that ever do. Callers repeat what hears
    /// nothing.
    fn overload(&self) -> Vec<[String; 5]> {
        let (mut most, mut kept) = (BTreeMap::new(), BTreeMap::new());
        for server in self.servers() {
            let (mut rate, mut best) = (self.options.rate, 0.0_f64);
            for _ in 0..if self.options.test { 1 } else { LOADS_MAX } {
                let goodput = self.goodput(server, rate);
                best = best.max(goodput);
                if goodput < 0.9 * f64::from(rate) {
                    break;
                }
                rate += rate / 4;
            }
            let thrice = format!("{:.0}", 3.0 * best).parse().expect("a number");
            kept.insert(server, vec![self.goodput(server, thrice) / best.max(1.0)]);
            most.insert(server, vec![best]);
        }
        vec![
            row_of("calls a second that come through, at most", &most, "–", 0),
            row_of("… part of that at three times the load", &kept, "≥ 0.8", 2),
        ]
    }

    /// Calls a second that are answered and end as they should.
    fn goodput(&self, server: Server, rate: u32) -> f64 {
        let warm_up = Duration::from_secs(if self.options.test { 0 } else { 3 });
        let plan = Plan { rate, warm_up, repeats: true, ..self.plan(Deed::Bridge) };
        let (outcome, lost) = self.outcome(server, plan);
        let goodput = outcome.complete as f64 / plan.measured.as_secs_f64();
        println!(
            "{server:?}, {rate} a second: {goodput:.0} complete, {} found no room, 180 after {:.1} ms, the generator was {:.1} ms late",
            lost.overflows,
            quantile_ms(&outcome.ringing, 500),
            outcome.late.as_secs_f64() * 1e3,
        );
        goodput
    }

    /// A server of its own gets the calls of a plan.
    fn outcome(&self, server: Server, plan: Plan) -> (Outcome<Look>, Lost) {
        let mut generator = Generator::new();
        let (outcome, lost) = match server {
            Server::Parkway => self.run_parkway(&mut generator, plan),
            Server::Kamailio => self.run_kamailio(&mut generator, plan),
        };
        let overflows = lost.overflows + kernel::overflows(&generator.ports());
        (outcome, Lost { overflows, ..lost })
    }

    fn memory(&self) -> Vec<[String; 5]> {
        let settle = if self.options.test { Duration::from_secs(1) } else { FORGOTTEN };
        let (rate, measured) = if self.options.test { (200, 1) } else { (HELD / 4, 4) };
        let plan = Plan {
            rate,
            measured: Duration::from_secs(measured),
            warm_up: Duration::from_secs(1),
            settle,
            hold: settle + Duration::from_secs(measured + 2),
            ..self.plan(Deed::Cancel)
        };
        let mut rows = Vec::new();
        for (what, deed) in [("ringing", Deed::Cancel), ("established", Deed::Bridge)] {
            let runs = self.once(Plan { deed, ..plan });
            rows.push(row(&format!("bytes a {what} call"), &runs, "–", 0, |run| run.bytes()[0]));
            rows.push(row("… of the kernel, in sockets", &runs, "–", 0, |run| run.bytes()[1]));
        }
        rows
    }

    /// All servers, one after the other, again and again.
    fn repeat(&self, plan: Plan) -> BTreeMap<Server, Vec<Run>> {
        let mut runs: BTreeMap<Server, Vec<Run>> = BTreeMap::new();
        for _ in 0..self.options.repeats {
            for (server, mut more) in self.once(plan) {
                runs.entry(server).or_default().append(&mut more);
            }
        }
        runs
    }

    /// One run of each server that counts; none of a server that the machine was too busy for.
    fn once(&self, plan: Plan) -> BTreeMap<Server, Vec<Run>> {
        let tries = if self.options.test { 1 } else { TRIES };
        let run = |server: Server| (server, (0..tries).find_map(|_| self.run(server, plan)).into_iter().collect());
        self.servers().into_iter().map(run).collect()
    }

    /// One run; `None` if it does not count.
    fn run(&self, server: Server, plan: Plan) -> Option<Run> {
        let (outcome, lost) = self.outcome(server, plan);
        let run = Run(outcome);
        let Outcome { calls, failed, repeated, late, .. } = run.0;
        println!(
            "{server:?}, {:?}, {} a second: {calls} calls, {:.1} µs each, 180 after {:.3} ms",
            plan.deed,
            plan.rate,
            run.total_micros(),
            run.ringing_ms(500)
        );
        let overflows = lost.overflows;
        if self.options.test {
            assert_eq!(failed, 0, "every call ends as it should");
        }
        if failed + repeated + lost.retransmissions + overflows > 0 || (late > LATE_MAX && !self.options.test) {
            println!(
                "… does not count: {failed} failed, {repeated} messages came twice, {} were sent again, {overflows} found no room; \
                 the generator was {:.1} ms late",
                lost.retransmissions,
                late.as_secs_f64() * 1e3
            );
            return None;
        }
        Some(run)
    }

    fn run_parkway(&self, generator: &mut Generator, plan: Plan) -> (Outcome<Look>, Lost) {
        // All ports of an address that nobody else uses: a call takes four, and each rests for seconds.
        let set =
            ["media.address=127.0.0.2", "media.port_min=1024", "media.port_max=65535", "media.silence_seconds=3600"];
        let parkway = support::start_with_desks(self.cpu, DESKS, &set);
        generator.attach(
            parkway.sip,
            (0..DESKS).map(|desk| Subscription::open(parkway.http, desk).expect("the daemon takes it")).collect(),
        );
        let outcome = generator.run(plan, || Look {
            cpu: kernel::cpu_times(&[parkway.id()]),
            memory: parkway.memory_bytes(),
            kernel: kernel::socket_memory_bytes(),
        });
        // Its counters are shown once a second.
        std::thread::sleep(Duration::from_millis(1_200));
        let retransmissions = parkway.metric("parkway_sip_retransmissions_total ").unwrap_or(u64::MAX);
        (outcome, Lost { overflows: kernel::overflows(&[parkway.sip.port()]), retransmissions })
    }

    fn run_kamailio(&self, generator: &mut Generator, plan: Plan) -> (Outcome<Look>, Lost) {
        let kamailio = Kamailio::start(self.cpu, generator.client());
        generator.attach(kamailio.sip, Vec::new());
        let outcome = generator.run(plan, || Look {
            cpu: kernel::cpu_times(&kamailio.ids()),
            memory: kamailio.memory_bytes(),
            kernel: kernel::socket_memory_bytes(),
        });
        // What it repeats the generator hears twice.
        (outcome, Lost { overflows: kernel::overflows(&[kamailio.sip.port()]), retransmissions: 0 })
    }
}

/// What a run must not have.
struct Lost {
    overflows: u64,
    retransmissions: u64,
}

/// Medians of both servers and their ratio.
fn row(
    what: &str,
    runs: &BTreeMap<Server, Vec<Run>>,
    goal: &str,
    digits: usize,
    value: impl Fn(&Run) -> f64,
) -> [String; 5] {
    let values = runs.iter().map(|(server, runs)| (*server, runs.iter().map(&value).collect())).collect();
    row_of(what, &values, goal, digits)
}

fn row_of(what: &str, values: &BTreeMap<Server, Vec<f64>>, goal: &str, digits: usize) -> [String; 5] {
    let of = |server: Server| values.get(&server).map(Vec::as_slice).unwrap_or_default();
    support::compare(what, of(Server::Parkway), of(Server::Kamailio), goal, digits)
}

/// What is common to both servers: Kamailio tells no clients and opens no RTP ports, so of Parkway the thread that has the SIP sockets.
fn signalling(runs: &BTreeMap<Server, Vec<Run>>) -> [String; 5] {
    let of = |server: Server, runs: &[Run]| {
        let micros = |run: &Run| match server {
            Server::Parkway => run.micros().get("switch").copied().unwrap_or_default(),
            Server::Kamailio => run.total_micros(),
        };
        runs.iter().map(micros).collect()
    };
    let values = runs.iter().map(|(server, runs)| (*server, of(*server, runs))).collect();
    row_of("… signalling alone", &values, "–", 1)
}

/// Which threads of Parkway's the time went to.
fn parts(runs: &BTreeMap<Server, Vec<Run>>) -> Vec<[String; 5]> {
    let ours = runs.get(&Server::Parkway).map(Vec::as_slice).unwrap_or_default();
    let names: Vec<String> = ours.first().map(|run| run.micros().into_keys().collect()).unwrap_or_default();
    let part = |name: &String| {
        let values: Vec<f64> = ours.iter().map(|run| run.micros().get(name).copied().unwrap_or_default()).collect();
        (name.clone(), support::median(&values))
    };
    let worth_telling = names.iter().map(part).filter(|(_, micros)| *micros >= 0.05);
    worth_telling
        .map(|(name, micros)| [format!("… thread {name}"), format!("{micros:.1}"), "–".into(), "–".into(), "–".into()])
        .collect()
}

fn quantile_ms(times: &[Duration], per_mille: usize) -> f64 {
    let at = (times.len() * per_mille / 1000).min(times.len().saturating_sub(1));
    times.get(at).copied().unwrap_or_default().as_secs_f64() * 1e3
}
