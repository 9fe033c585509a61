//! What must hold whatever happens (PRODUCT.md "Invariants", RELIABILITY §4): each node has a law, which sees what goes into its switch and
//! what comes out, and knows nothing of how the switch works. An error is a violation and ends the simulation.
//! Not here: doing anything about it.

mod calls;
mod dialled;
mod media;
mod told;
mod transactions;

pub(super) use calls::{Calls, Party};
pub(super) use dialled::{Dialled, Heard};
pub(super) use media::Media;
pub(super) use told::{News, Told};
pub(super) use transactions::Transactions;

/// A rule that was broken, in words.
pub(super) type Verdict = Result<(), String>;

/// An error unless it holds.
pub(super) fn hold(holds: bool, rule: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(rule()) }
}
