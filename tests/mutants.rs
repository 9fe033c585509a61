//! Whether the simulator is any good: every bug that can be planted in the core is found, within [`SEEDS_MAX`] seeds.
//! `cargo test --release --features sim --test mutants -- --nocapture` prints what found which.

use parkway::mutant::{Mutant, plant};
use parkway::sim::{Case, Scenario, Simulator};

/// Most seeds that a bug may stay hidden for.
const SEEDS_MAX: u64 = 10_000;

#[test]
fn every_planted_bug_is_found() {
    assert!(Mutant::ALL.len() >= 30);
    std::panic::set_hook(Box::new(|_| {}));
    let simulator = Simulator::new();
    let mut hidden = Vec::new();
    for mutant in Mutant::ALL {
        plant(Some(*mutant));
        let found = (0..SEEDS_MAX).find_map(|seed| {
            let violation = simulator.run(&Case::new(seed, Scenario::Mixed)).violation?;
            Some((seed, violation))
        });
        plant(None);
        match found {
            Some((seed, violation)) => println!("{:<26} seed {seed:>5}  {violation}", mutant.as_str()),
            None => hidden.push(mutant.as_str()),
        }
    }
    let _ = std::panic::take_hook();
    assert!(hidden.is_empty(), "not found in {SEEDS_MAX} seeds: {hidden:?}");
}

/// What finds bugs finds none where there are none.
#[test]
fn without_a_bug_nothing_is_found() {
    let simulator = Simulator::new();
    for seed in 0..500 {
        assert_eq!(simulator.run(&Case::new(seed, Scenario::Mixed)).violation, None, "seed {seed}");
    }
}
