//! The highest rate at which a forwarder loses nothing. One server with its sessions is sent packets at one rate after the other, for a
//! short time each: an overload shows at once, because packets that wait are counted too.
//! Not here: what makes a rate sustained (`run`).

use super::rtp::Plan;
use super::run::Bridged;
use super::server::Forwarder;
use super::table;
use crate::daemon::Failure;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long packets are sent at one rate.
const MEASURED: Duration = Duration::from_secs(2);
/// How long they are sent before that, when addresses are known.
const WARM_UP: Duration = Duration::from_millis(500);
/// A rate that did not hold is tried again so often: the machine may have been busy with something else.
const TRIES: u32 = 2;
/// How often the last step is halved: a thirtieth of the rate is left then.
const HALVINGS: u32 = 3;
/// Steps of a fourth until one does not hold: more than any machine has.
const STEPS: u32 = 20;

/// One search.
pub(super) struct Search {
    /// The rate that is tried first, packets a second.
    pub(super) first: u32,
    /// How addresses are made known.
    pub(super) plan: Plan,
    /// One rate, once: does it all work?
    pub(super) short: bool,
}

impl Search {
    /// Packets a second; 0 if not even an eighth of the first rate holds.
    pub(super) fn run(&self, bridged: &mut Bridged<'_>) -> Result<u32, Failure> {
        bridged.measure(Plan { rate: self.first, measured: WARM_UP, ..self.plan })?;
        if self.short {
            return Ok(if self.holds(bridged, self.first)? { self.first } else { 0 });
        }
        let (mut low, mut high) = (0, self.first);
        for _ in 0..STEPS {
            if !self.holds(bridged, high)? {
                break;
            }
            (low, high) = (high, high + high / 4);
        }
        for _ in 0..HALVINGS {
            let middle = low.midpoint(high);
            if self.holds(bridged, middle)? { low = middle } else { high = middle }
        }
        Ok(low)
    }

    fn holds(&self, bridged: &mut Bridged<'_>, rate: u32) -> Result<bool, Failure> {
        let plan = Plan { rate, warm_up: WARM_UP, measured: MEASURED, ..self.plan };
        for _ in 0..TRIES {
            if bridged.measure(plan)?.is_sustained() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What was found, packets a second.
#[derive(Default)]
pub(super) struct Rates(BTreeMap<Forwarder, Vec<f64>>);

impl Rates {
    pub(super) fn add(&mut self, forwarder: Forwarder, rate: u32) {
        self.0.entry(forwarder).or_default().push(rate.into());
    }

    pub(super) fn print(&self) {
        let of = |forwarder| self.0.get(&forwarder).map(Vec::as_slice).unwrap_or_default();
        let row = |forwarder: Forwarder| {
            let what = format!("loss-free packets a second on one core, {}", forwarder.name());
            table::compare(&what, of(forwarder), of(Forwarder::Rtpengine), "≥ 1.3", 0)
        };
        let rows = [row(Forwarder::AtOnce), row(Forwarder::Gathering)];
        table::print_rows(["what", "Parkway", "rtpengine", "ratio", "goal"], &rows);
        for (forwarder, rates) in &self.0 {
            println!("{}: {}", forwarder.name(), table::spread(rates, 0));
        }
    }
}
