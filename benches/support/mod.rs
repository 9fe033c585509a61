//! What the benches share: a trunk and a client that follow a script, a counting allocator, a real daemon and its peer as child
//! processes, a generator of calls, and the table that they print.
//! Not here: what is measured; each bench says that itself.
#![allow(dead_code, unused_imports, reason = "every bench is a program of its own and uses its part of this")]

pub(crate) use parkway::bench::parkway::Parkway;
pub(crate) use parkway::bench::table::{compare, is_installed, median, print_rows};
pub(crate) use parkway::bench::{cpu, kernel, leg, subscription};
use std::path::Path;
use std::time::Duration;

pub(crate) mod counting;
pub(crate) mod generator;
pub(crate) mod kamailio;

/// Whether everything is to run once only, to see that it works: `cargo bench -- --test`, and `cargo test --benches`.
pub(crate) fn is_test() -> bool {
    let given = |flag| std::env::args().any(|argument| argument == flag);
    given("--test") || !given("--bench")
}

/// The real daemon, with further arguments: the binary of the profile that the bench was built in.
pub(crate) fn start_parkway(cpu: Option<usize>, arguments: &[&str]) -> Parkway {
    let program = Path::new(env!("CARGO_BIN_EXE_parkway"));
    Parkway::start(program, cpu, arguments).expect("the daemon starts")
}

/// The same with a trunk, numbers of so many desks, and the key of their clients.
pub(crate) fn start_with_desks(cpu: Option<usize>, desks: u8, set: &[&str]) -> Parkway {
    let directory = tempfile::TempDir::new().expect("there is room for a file");
    let file = directory.path().join("parkway.toml");
    std::fs::write(&file, subscription::configuration(desks)).expect("there is room for a file");
    let file = file.to_str().expect("the path is text");
    let set = set.iter().flat_map(|set| ["--set", set]);
    let arguments: Vec<&str> = ["--config", file].into_iter().chain(set).collect();
    start_parkway(cpu, &arguments)
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

/// Prints what was measured beside the goals, as a table that the README can take over.
pub(crate) fn print_table(rows: &[[String; 3]]) {
    print_rows(["what", "measured", "goal"], rows);
}
