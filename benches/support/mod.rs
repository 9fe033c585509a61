//! What the benches share: a trunk and a client that follow a script, a counting allocator, a real daemon and its peer as child
//! processes, a generator of calls, and the table that they print.
//! Not here: what is measured; each bench says that itself.
#![allow(dead_code, reason = "every bench is a program of its own and uses its part of this")]

use std::process::{Command, Stdio};
use std::time::Duration;

pub(crate) mod counting;
pub(crate) mod cpu;
pub(crate) mod daemon;
pub(crate) mod generator;
pub(crate) mod kamailio;
pub(crate) mod kernel;
pub(crate) mod leg;
pub(crate) mod nat;
pub(crate) mod rtp;
pub(crate) mod rtpengine;
pub(crate) mod subscription;

/// Whether everything is to run once only, to see that it works: `cargo bench -- --test`, and `cargo test --benches`.
pub(crate) fn is_test() -> bool {
    let given = |flag| std::env::args().any(|argument| argument == flag);
    given("--test") || !given("--bench")
}

/// Whether the program that we are measured beside is installed; says so if it is not.
pub(crate) fn is_installed(program: &str, version: &str) -> bool {
    let found = Command::new(program).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let installed = found.is_ok_and(|status| status.success());
    if !installed {
        println!("{program} is not installed: there is nothing to compare with");
    }
    installed
}

/// What the command line says besides cargo's own words.
pub(crate) struct Arguments(Vec<String>);

impl Arguments {
    pub(crate) fn read() -> Arguments {
        Arguments(std::env::args().collect())
    }

    pub(crate) fn given(&self, flag: &str) -> bool {
        self.0.iter().any(|argument| argument == flag)
    }

    /// What follows a flag.
    pub(crate) fn value(&self, flag: &str) -> Option<&String> {
        self.0.get(self.0.iter().position(|argument| argument == flag)? + 1)
    }

    /// The number that follows a flag; without the flag the one that is usual, or usual where everything runs once only.
    pub(crate) fn number(&self, flag: &str, usual: u32, in_test: u32) -> u32 {
        let usual = if is_test() { in_test } else { usual };
        self.value(flag).map_or(usual, |text| text.parse().expect("a number"))
    }

    /// The same in seconds.
    pub(crate) fn seconds(&self, flag: &str, usual: u32, in_test: u32) -> Duration {
        Duration::from_secs(self.number(flag, usual, in_test).into())
    }
}

/// A row with what both servers took, medians of some runs, and the ratio of the two.
pub(crate) fn compare(what: &str, ours: &[f64], theirs: &[f64], goal: &str, digits: usize) -> [String; 5] {
    let [ours, theirs] = [ours, theirs].map(|values| (!values.is_empty()).then(|| median(values)));
    let text = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.digits$}"));
    let ratio = ours.zip(theirs).filter(|(_, theirs)| *theirs > 0.0);
    let ratio = ratio.map_or("–".to_owned(), |(ours, theirs)| format!("{:.2}", ours / theirs));
    [what.into(), text(ours), text(theirs), ratio, goal.into()]
}

/// Prints what was measured beside the goals, as a table that the README can take over.
pub(crate) fn print_table(rows: &[[String; 3]]) {
    print_rows(["what", "measured", "goal"], rows);
}

/// The same with any columns.
pub(crate) fn print_rows<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
    println!("\n| {} |\n|{}", head.join(" | "), "---|".repeat(N));
    rows.iter().for_each(|row| println!("| {} |", row.join(" | ")));
}

/// The value in the middle; 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
