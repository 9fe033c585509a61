//! Any bytes as the decisions of a simulation: trunks, clients, policy, relay and network do what they say, and no rule is broken.
//! Not here: the simulation (`crate::sim`).

use crate::sim::Simulator;

thread_local! {
    static SIMULATOR: Simulator = Simulator::new();
}

/// The decisions of a simulation.
pub fn sim(bytes: &[u8]) {
    let outcome = SIMULATOR.with(|simulator| simulator.run_bytes(bytes));
    assert_eq!(outcome.violation, None);
}
