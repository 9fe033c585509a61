//! Any bytes as the decisions of a simulation: trunks, clients, policy, relay and network do what they say, and no rule is broken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use parkway::sim::Simulator;

thread_local! {
    static SIMULATOR: Simulator = Simulator::new();
}

fuzz_target!(|bytes: &[u8]| {
    let outcome = SIMULATOR.with(|simulator| simulator.run_bytes(bytes));
    assert_eq!(outcome.violation, None);
});
