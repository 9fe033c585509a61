//! The simulated network between an agent and its switch: what becomes of each datagram, decided by its number alone. After
//! [`HEALED`] everything arrives.
//! Not here: what is in a datagram.

use super::chance::Lot;
use super::plan::{Faults, Plan};
use crate::time::{Duration, Instant};
use arrayvec::ArrayVec;

/// When every simulation begins.
pub(super) const BEGIN: Instant = Instant(1_000_000_000);
/// From then on the network has no faults.
pub(super) const HEALED: Instant = Instant(BEGIN.0 + 60_000_000);
/// The longest datagram that always gets through, bytes.
const MTU: usize = 900;

/// When copies of a datagram arrive: none, one, or two.
pub(super) type Arrivals = ArrayVec<Instant, 2>;

/// Where a datagram is on its way.
#[derive(Clone, Copy)]
pub(super) struct Datagram {
    /// The agent at one end.
    pub(super) agent: u32,
    pub(super) to_switch: bool,
    /// Counts the agent's datagrams in this direction.
    pub(super) number: u32,
    pub(super) bytes: usize,
    /// Its sender has repeated it for so long that its transaction may be over when it comes.
    pub(super) is_old: bool,
}

/// When it arrives.
pub(super) fn arrivals(plan: &Plan, now: Instant, datagram: Datagram) -> Arrivals {
    let Datagram { agent, to_switch, number, bytes, is_old } = datagram;
    let link = Lot::of(plan.seed, [agent.into(), 0x11]);
    let lot = Lot::of(plan.seed, [agent.into(), u64::from(number) << 8 | u64::from(to_switch) << 1]);
    let latency = Duration::from_micros(500 + u64::from(link.below(0, 30_000)));
    let mut out = Arrivals::new();
    if now >= HEALED {
        out.push(now + latency);
        return out;
    }
    let faults = plan.faults;
    let parted = parted(faults, link).is_some_and(|(from, until)| from <= now && now < until);
    let lost = faults.has(Faults::LOSS) && lot.percent(0, 5 + link.below(1, 20));
    let too_long = faults.has(Faults::MTU) && bytes > MTU && link.percent(2, 50);
    if !(parted || lost || too_long) {
        let late = if faults.has(Faults::REORDERING) && lot.percent(1, 20) { lot.below(2, 400_000) } else { 0 };
        out.push(now + latency + Duration::from_micros(late.into()));
    }
    if faults.has(Faults::DUPLICATION) && lot.percent(3, 10) && !parted && !too_long {
        // Nothing lingers in the network for longer than T4, which is 5 s (RFC 3261 §17.1.2.2).
        let most = if lot.percent(4, 10) && !is_old { 4_500_000 } else { 300_000 };
        out.push(now + latency + Duration::from_micros(lot.below(5, most).into()));
    }
    out
}

/// When something arrives that goes over a connection behind what arrives at `last`.
pub(super) fn in_order(plan: &Plan, now: Instant, datagram: Datagram, last: Instant) -> Instant {
    let link = Lot::of(plan.seed, [datagram.agent.into(), 0x11]);
    let latency = Duration::from_micros(500 + u64::from(link.below(0, 30_000)));
    last.max(now + latency)
}

/// From when to when nothing gets through.
fn parted(faults: Faults, link: Lot) -> Option<(Instant, Instant)> {
    let long = faults.has(Faults::LONG_PARTITION) && link.percent(3, 30);
    let short = faults.has(Faults::PARTITION) && link.percent(4, 40);
    if !(long || short) {
        return None;
    }
    let from = BEGIN + Duration::from_millis(link.below(5, 40_000).into());
    let millis = if long { 34_000 } else { 500 + link.below(6, 8_000) };
    Some((from, from + Duration::from_millis(millis.into())))
}
