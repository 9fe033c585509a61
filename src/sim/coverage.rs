//! What the simulations have met: every cell of (state, event), and every race by name. A race that is never run proves nothing.
//! Not here: judging (`law`).

use crate::call::Phase;
use crate::switch::audit::{Cells, KINDS};

/// The races of PRODUCT.md, by what shows that one was run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Race {
    CancelAfter200,
    TwoCallbacks,
    LateCallback,
    GoneWhileAsked,
    ByeDuringReinvite,
    BothBye,
    Glare,
    Repeated,
    LostAck,
    Forked,
    Nobody,
    Vanished,
    WithdrawnCallback,
    FailedMerge,
}

impl Race {
    const ALL: [(Race, &'static str); 14] = [
        (Race::CancelAfter200, "CANCEL x our 200"),
        (Race::TwoCallbacks, "two callbacks for one call"),
        (Race::LateCallback, "callback after the end"),
        (Race::GoneWhileAsked, "callback while policy is asked x end of the call"),
        (Race::ByeDuringReinvite, "BYE x re-INVITE"),
        (Race::BothBye, "both BYE"),
        (Race::Glare, "re-INVITE glare"),
        (Race::Repeated, "repeated request"),
        (Race::LostAck, "2xx repeated for want of an ACK"),
        (Race::Forked, "forked and merged request"),
        (Race::Nobody, "client that never calls back"),
        (Race::Vanished, "side that vanishes without BYE"),
        (Race::WithdrawnCallback, "callback that its client takes back"),
        (Race::FailedMerge, "callback that fails after policy's yes"),
    ];
}

/// Counts.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    cells: Cells,
    races: [u64; Race::ALL.len()],
}

/// Cells that cannot be: `(event, state)`. A call is [`Phase::Arriving`] for the one step that routes it. A parked call has no dialog but its
/// caller's early one, no request of ours, and no media. Callbacks come to parked calls only; a side can cancel only while its INVITE has
/// no final response. Whoever abandons has stopped before, which leaves calls that end.
fn cannot_be(event: &str, phase: Phase) -> bool {
    let begins = |words: &[&str]| words.iter().any(|word| event.starts_with(word));
    // No grant of the simulation allows a transfer.
    if begins(&["referred", "transferor"]) {
        return true;
    }
    // A ringing is repeated until the final response, and no call of the simulation is parked for 64*T1; `prack-never.flow` is.
    if event == "ringing unacknowledged" {
        return phase != Phase::Merging;
    }
    match phase {
        Phase::Arriving => event != "routed",
        Phase::Parked => {
            event.ends_with("client")
                || begins(&["routed", "failed", "acknowledged", "response", "unacknowledged", "media", "abandon"])
        }
        Phase::Merging => begins(&["routed", "callback", "response", "failed", "media other", "abandon"]),
        Phase::Bridged => begins(&["routed", "callback", "cancelled", "media opened", "abandon"]),
        Phase::Ending => begins(&["routed", "callback", "cancelled"]),
    }
}

impl Coverage {
    pub(super) fn race(&mut self, race: Race) {
        if let Some(at) = Race::ALL.iter().position(|(known, _)| *known == race) {
            self.races[at] += 1;
        }
    }

    pub(super) fn take_cells(&mut self, cells: &Cells) {
        for (mine, theirs) in self.cells.table.iter_mut().flatten().zip(cells.table.iter().flatten()) {
            *mine += theirs;
        }
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Coverage) {
        self.take_cells(&other.cells);
        for (mine, theirs) in self.races.iter_mut().zip(other.races) {
            *mine += theirs;
        }
    }

    /// What was met less than `least` times though it can be, and what was met though it cannot.
    pub fn missing(&self, least: u64) -> Vec<String> {
        let races = Race::ALL.iter().zip(self.races).filter(|(_, count)| *count < least);
        let mut out: Vec<String> = races.map(|((_, name), count)| format!("race `{name}`: {count} times")).collect();
        for (kind, row) in KINDS.iter().zip(self.cells.table) {
            for (phase, count) in Phase::ALL.into_iter().zip(row) {
                let (state, cannot) = (phase.as_str(), cannot_be(kind, phase));
                if cannot && count > 0 {
                    out.push(format!("`{kind}` in {state} cannot be, and was met {count} times"));
                } else if !cannot && count < least {
                    out.push(format!("`{kind}` in {state}: {count} times"));
                }
            }
        }
        out
    }

    /// The table, for people.
    pub fn table(&self) -> String {
        let head = Phase::ALL.map(|phase| format!("{:>12}", phase.as_str())).concat();
        let mut lines = vec![format!("{:<24}{head}", "event")];
        for (kind, row) in KINDS.iter().zip(self.cells.table) {
            let cell = |(phase, count): (Phase, u64)| {
                if cannot_be(kind, phase) && count == 0 { format!("{:>12}", "-") } else { format!("{count:>12}") }
            };
            lines.push(format!("{kind:<24}{}", Phase::ALL.into_iter().zip(row).map(cell).collect::<String>()));
        }
        lines.push(String::new());
        lines.extend(Race::ALL.iter().zip(self.races).map(|((_, name), count)| format!("{name:<52}{count:>12}")));
        lines.join("\n")
    }
}
