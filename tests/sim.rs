//! The simulator itself: the same number gives the same world, failures that once were stay away, a failure can be made small and seen again.
//! Runs with the feature `sim`, and in a reasonable time with `--release`: `cargo test --release --features sim --test sim`.
//! That planted bugs are found is in `mutants.rs`; the long runs are commands of their own (README).

use parkway::mutant::{Mutant, plant};
use parkway::sim::{Case, Coverage, Scenario, Simulator};
use std::path::Path;

#[test]
fn the_same_seed_is_the_same_world() {
    let (one, other) = (Simulator::new(), Simulator::new());
    let mut traces = std::collections::BTreeSet::new();
    for seed in 0..1_000 {
        let case = Case::new(seed, Scenario::Mixed);
        let (first, second) = (one.run(&case), other.run(&case));
        assert_eq!(
            (first.trace, first.happenings, first.calls),
            (second.trace, second.happenings, second.calls),
            "{case}"
        );
        assert_eq!(first.violation, None, "{case}");
        traces.insert(first.trace);
    }
    assert_eq!(traces.len(), 1_000, "another seed is another world");
}

#[test]
fn every_scenario_holds() {
    let simulator = Simulator::new();
    for (name, scenario) in Scenario::ALL {
        let (mut calls, mut promised) = (0, 0);
        for seed in 0..100 {
            let outcome = simulator.run(&Case::new(seed, scenario));
            assert_eq!(outcome.violation, None, "{}", Case::new(seed, scenario));
            calls += outcome.calls;
            promised += outcome.promised;
        }
        assert!(calls > 1_000, "{name}: {calls} calls");
        assert!(scenario != Scenario::Calm || promised > 100, "{name}: {promised} promises");
    }
}

/// `tests/seeds/*.seed`: what failed once. A line that begins with `#` says what it was.
#[test]
fn seeds_that_once_failed_hold() {
    let (simulator, mut run) = (Simulator::new(), 0);
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seeds")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let case: Case = line.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let outcome = simulator.run(&case);
            assert_eq!(outcome.violation, None, "{}", path.display());
            assert!(outcome.happenings > 0, "{}: nothing happens", path.display());
            run += 1;
        }
    }
    assert!(run > 0, "there are no seeds");
}

#[test]
fn a_failure_is_made_small_and_seen_again() {
    plant(Some(Mutant::RecordTwice));
    let simulator = Simulator::new();
    let case =
        (0..100).map(|seed| Case::new(seed, Scenario::Mixed)).find(|case| simulator.run(case).violation.is_some());
    let case = case.expect("it is found soon");
    let violation = simulator.run(&case).violation.unwrap();
    let small = simulator.shrink(&case, &violation);
    // As a person would: from the line that was printed.
    let read: Case = small.to_string().parse().unwrap();
    assert_eq!(read, small);
    let told = simulator.tell(&read);
    plant(None);
    assert_eq!(told.violation.as_deref(), Some("L5: two records of one call"));
    assert_eq!(told.calls, 1, "{small}");
    assert!(told.ladder.iter().any(|line| line.contains("INVITE")), "{:#?}", told.ladder);
    assert_eq!(simulator.run(&read).violation, None, "without the bug it holds");
}

#[test]
fn a_case_that_cannot_be_read_says_why() {
    for (text, expected) in [
        ("--seed x", "no seed"),
        ("--seed", "of what"),
        ("--scenario glaring", "there are mixed, calm"),
        ("--without c1,lost", "`lost` is no part of a plan"),
        ("--seeds 5", "a case is --seed N"),
    ] {
        let error = text.parse::<Case>().unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn any_bytes_are_a_world() {
    let simulator = Simulator::new();
    let mut bytes = Vec::new();
    for number in 0..300_u32 {
        bytes.extend(number.wrapping_mul(2_654_435_761).to_be_bytes());
        let outcome = simulator.run_bytes(&bytes);
        assert_eq!(outcome.violation, None, "{bytes:?}");
    }
    assert_eq!(simulator.run_bytes(&[]).violation, None);
}

#[test]
fn what_was_not_met_is_listed() {
    let mut coverage = Coverage::default();
    let empty = coverage.missing(1);
    assert!(empty.iter().any(|line| line.contains("both BYE")) && empty.len() > 60, "{empty:#?}");
    let simulator = Simulator::new();
    (0..400).for_each(|seed| coverage.add(&simulator.run(&Case::new(seed, Scenario::Mixed)).coverage));
    assert!(coverage.missing(1).len() < 5, "{:#?}", coverage.missing(1));
}
