//! Deterministic simulation of the core: virtual time, a network with faults, trunks and clients that keep the rules or break them, policy and
//! relay that fail, all drawn from one number; and a law that is checked after every event (RELIABILITY §4). The same number gives the same
//! world, byte for byte.
//! Not here: the shell. This module imports core modules only, and the daemon is built without it (feature `sim`).
//!
//! ```text
//!  seed ─▶ draw ─▶ Plan ─▶ World: queue of happenings ──Input──▶ Switch × nodes ──Effect──▶ law: right? ─▶ done ─▶ queue
//!                              agents ◀── network ◀── datagrams ◀─┘
//! ```

mod agent;
mod chance;
mod channel;
mod coverage;
mod dial;
mod draw;
mod effects;
mod law;
mod network;
mod office;
mod operator;
mod plan;
mod policy;
mod promise;
mod relay;
mod scenario;
mod shrink;
mod sound;
mod text;
mod world;

pub use coverage::Coverage;
pub use scenario::Scenario;
pub use shrink::{Omission, read as read_omissions};

use chance::Chance;
use office::Office;
use plan::Plan;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::World;

/// Most runs that are spent on making a failing case smaller.
const SHRINK_TRIES: u32 = 600;

/// What all simulations of a thread share.
pub struct Simulator {
    office: Office,
}

/// One simulation: everything that happens in it follows from this.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// The number it is drawn from.
    pub seed: u64,
    /// What its calls are about.
    pub scenario: Scenario,
    /// What is left out of it.
    pub without: BTreeSet<Omission>,
}

/// What came of a case.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Calls that were parked.
    pub calls: u64,
    /// Calls that had to be answered, whatever else happened (RELIABILITY L3).
    pub promised: u64,
    /// Things that happened.
    pub happenings: u64,
    /// The hash of all that happened: the same for the same case.
    pub trace: u64,
    /// What was met.
    pub coverage: Coverage,
    /// The rule that was broken, if one was.
    pub violation: Option<String>,
    /// What happened, line by line, if it was asked for.
    pub ladder: Vec<String>,
}

impl Case {
    /// A seed as it is drawn.
    pub fn new(seed: u64, scenario: Scenario) -> Case {
        Case { seed, scenario, without: BTreeSet::new() }
    }

    fn plan(&self) -> Plan {
        let mut chance = Chance::Seeded(self.seed);
        let mut plan = draw::draw(self.seed, &mut chance);
        self.scenario.bend(&mut plan, &mut chance);
        self.without.iter().for_each(|omission| omission.apply(&mut plan));
        plan
    }
}

/// As the command line has it, and as it writes itself: `--seed 7 --scenario glare --without c0-5,loss`.
impl std::str::FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Case, String> {
        let mut case = Case::new(0, Scenario::Mixed);
        let mut words = text.split_ascii_whitespace();
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} of what?"))?;
            match word {
                "--seed" => case.seed = value.parse().map_err(|_| format!("{value} is no seed"))?,
                "--scenario" => case.scenario = value.parse()?,
                "--without" => case.without = read_omissions(value)?,
                _ => return Err(format!("{word}: a case is --seed N --scenario NAME --without LIST")),
            }
        }
        Ok(case)
    }
}

/// The command line that runs it again.
impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--seed {} --scenario {}", self.seed, self.scenario)?;
        if self.without.is_empty() {
            return Ok(());
        }
        write!(f, " --without {}", shrink::write(&self.without))
    }
}

impl Default for Simulator {
    fn default() -> Simulator {
        Simulator::new()
    }
}

impl Simulator {
    /// Makes keys and credentials.
    pub fn new() -> Simulator {
        Simulator { office: Office::new() }
    }

    /// Runs a case.
    pub fn run(&self, case: &Case) -> Outcome {
        self.play(case.plan(), false)
    }

    /// Runs a case and keeps what happens, line by line.
    pub fn tell(&self, case: &Case) -> Outcome {
        self.play(case.plan(), true)
    }

    /// Runs what some bytes from outside stand for: a fuzzer's way in.
    pub fn run_bytes(&self, bytes: &[u8]) -> Outcome {
        let plan = draw::draw_few(&mut Chance::Bytes(bytes));
        self.play(plan, false)
    }

    /// The smallest case that could be found which breaks the same rule.
    pub fn shrink(&self, case: &Case, violation: &str) -> Case {
        let rule = without_numbers(violation);
        let with = |without: &BTreeSet<Omission>| {
            let without = case.without.iter().chain(without).cloned().collect();
            Case { without, ..case.clone() }
        };
        let fails = |without: &BTreeSet<Omission>| {
            self.run(&with(without)).violation.is_some_and(|found| without_numbers(&found) == rule)
        };
        with(&shrink::shrink(&case.plan(), SHRINK_TRIES, fails))
    }

    fn play(&self, plan: Plan, ladder: bool) -> Outcome {
        let mut world = World::new(&self.office, plan, ladder);
        // A panic outside of the switch's own guard is a violation like any other.
        let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
        let violation = ran.unwrap_or_else(|_| Err("a panic".into())).err();
        Outcome {
            calls: world.nodes.iter().map(|node| node.calls.len() as u64).sum(),
            promised: world.promised,
            happenings: world.happenings,
            trace: world.trace.0,
            coverage: world.coverage,
            violation,
            ladder: world.ladder.unwrap_or_default(),
        }
    }
}

/// A rule without what is different each time.
fn without_numbers(violation: &str) -> String {
    violation.chars().filter(|character| !character.is_ascii_digit()).collect()
}
