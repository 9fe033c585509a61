//! The simulator's command line: runs seeds on all processors, shows progress, and says of the first failure how to see it again.
//! Not here: the simulation (`parkway::sim`).
//!
//! Exit codes: 0 no violation, 1 a violation or a gap in what was met, 2 a command line that cannot be understood.

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use parkway::mutant::{Mutant, plant};
use parkway::sim::{Case, Coverage, Outcome, Scenario, Simulator, read_omissions};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds between two lines of progress.
const LINE_EVERY: u64 = 50_000;

/// Simulates calls, from numbered seeds, and checks every rule after every event.
#[derive(Parser)]
#[command(name = "sim", version)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this seed alone, and tell what happens if it fails.
    #[arg(long)]
    seed: Option<u64>,
    /// What every call is about.
    #[arg(long, default_value = "mixed")]
    scenario: Scenario,
    /// Parts of the seed's plan to leave out, as a failure names them.
    #[arg(long, default_value = "")]
    without: String,
    /// Tell what happens in the seed, whether it fails or not.
    #[arg(long)]
    ladder: bool,
    /// Threads; as many as there are processors, unless said.
    #[arg(long)]
    threads: Option<usize>,
    /// Print how often each event met each state, and each race was run.
    #[arg(long)]
    table: bool,
    /// Fail if a state and an event that can meet did so less often, or a race was run less often.
    #[arg(long)]
    least: Option<u64>,
    /// Plant a bug, to see whether it is found.
    #[arg(long, value_parser = mutant)]
    mutant: Option<Mutant>,
}

fn mutant(name: &str) -> Result<Mutant, String> {
    let found = Mutant::ALL.iter().find(|mutant| mutant.as_str() == name).copied();
    found.ok_or_else(|| {
        let names: Vec<&str> = Mutant::ALL.iter().map(|mutant| mutant.as_str()).collect();
        format!("no such bug; there are {}", names.join(", "))
    })
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A panic is a violation and told as one.
    std::panic::set_hook(Box::new(|_| {}));
    plant(arguments.mutant);
    match arguments.seed {
        Some(seed) => {
            let case = read_omissions(&arguments.without);
            match case.map(|without| Case { seed, scenario: arguments.scenario, without }) {
                Ok(case) => one(&case, arguments.ladder),
                Err(error) => {
                    eprintln!("--without: {error}");
                    ExitCode::from(2)
                }
            }
        }
        None => many(&arguments),
    }
}

/// One case, told if it fails.
fn one(case: &Case, ladder: bool) -> ExitCode {
    let Outcome { violation, ladder: lines, calls, happenings, trace, .. } = Simulator::new().tell(case);
    if ladder || violation.is_some() {
        lines.iter().for_each(|line| println!("{line}"));
    }
    match violation {
        Some(violation) => {
            println!("\n✗ {violation}");
            ExitCode::FAILURE
        }
        None => {
            println!("✓ {calls} calls, {happenings} happenings, trace {trace:016x}: no violation");
            ExitCode::SUCCESS
        }
    }
}

/// What all threads have done so far.
#[derive(Default)]
struct Sum {
    calls: u64,
    promised: u64,
    happenings: u64,
    seeds: u64,
    coverage: Coverage,
    failed: Option<(Case, String)>,
}

fn many(arguments: &Arguments) -> ExitCode {
    let threads = arguments.threads.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    let bar = ProgressBar::new(arguments.seeds);
    let style = "{wide_bar} {pos}/{len} seeds, {msg}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("a good template"));
    let (next, sum, begun) = (AtomicU64::new(0), Mutex::new(Sum::default()), std::time::Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(arguments, &next, &sum, &bar));
        }
    });
    bar.finish_and_clear();
    let sum = sum.into_inner().expect("no thread panicked");
    let seconds = begun.elapsed().as_secs_f64();
    if arguments.table {
        println!("{}\n", sum.coverage.table());
    }
    println!(
        "{} calls in {} seeds, {} happenings; {} calls had to be answered; {seconds:.1} s on {threads} threads: {:.0} calls a second",
        sum.calls,
        sum.seeds,
        sum.happenings,
        sum.promised,
        sum.calls as f64 / seconds
    );
    conclude(arguments, &sum)
}

/// A thread: seed after seed, until there are no more or one has failed.
fn work(arguments: &Arguments, next: &AtomicU64, sum: &Mutex<Sum>, bar: &ProgressBar) {
    plant(arguments.mutant);
    let simulator = Simulator::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= arguments.seeds || sum.lock().expect("no thread panicked").failed.is_some() {
            return;
        }
        let case = Case::new(arguments.from + number, arguments.scenario);
        let outcome = simulator.run(&case);
        let mut sum = sum.lock().expect("no thread panicked");
        sum.calls += outcome.calls;
        sum.promised += outcome.promised;
        sum.happenings += outcome.happenings;
        sum.seeds += 1;
        sum.coverage.add(&outcome.coverage);
        if let Some(violation) = outcome.violation {
            sum.failed.get_or_insert((case, violation));
        }
        if number.is_multiple_of(64) {
            bar.set_position(sum.seeds);
            bar.set_message(format!("{} calls", sum.calls));
        }
        // Where no bar can be drawn, a line now and then says how far it is.
        if bar.is_hidden() && sum.seeds.is_multiple_of(LINE_EVERY) {
            eprintln!("{} of {} seeds, {} calls", sum.seeds, arguments.seeds, sum.calls);
        }
    }
}

fn conclude(arguments: &Arguments, sum: &Sum) -> ExitCode {
    if let Some((case, violation)) = &sum.failed {
        println!("\n✗ {violation}\n  seen with: sim {case}\n  making it smaller …");
        let simulator = Simulator::new();
        let small = simulator.shrink(case, violation);
        simulator.tell(&small).ladder.iter().for_each(|line| println!("{line}"));
        println!("\n✗ {violation}\n  see it again: cargo run --release --features sim --bin sim -- {small}");
        return ExitCode::FAILURE;
    }
    let missing = arguments.least.map(|least| sum.coverage.missing(least)).unwrap_or_default();
    if !missing.is_empty() {
        println!("\n✗ not met often enough:\n  {}", missing.join("\n  "));
        return ExitCode::FAILURE;
    }
    println!("✓ no violation");
    ExitCode::SUCCESS
}
