//! What the switch counts: the source of metrics, and of the simulation's checks.

use crate::call::{Outcome, Record, Refusal};
use crate::policy::Verdict;
use std::collections::BTreeMap;

/// Counters since the start; they only grow.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Calls that were parked.
    pub calls: u64,
    /// Calls that are over, by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// INVITEs that were not parked, by reason id.
    pub refused: Tally,
    /// Callbacks: `won`, `lost` (another was first), `late` (the call was over), `denied` by policy, `invalid` (token or credential).
    pub callbacks: Tally,
    /// Policy's verdicts, by the reason id of a denial or `granted`.
    pub verdicts: Tally,
    /// Registrations and subscriptions: `accepted`, `unauthorized` (asked who it is), `refused`.
    pub registrations: Tally,
    /// What clients were told over SIP: `delivered`, `withheld` by policy, `refused` or `unanswered` by the client, `dropped` for want of room.
    pub told: Tally,
    /// Transfers that were asked for: `accepted`, `denied` (not granted, or too many of one call), `refused` (unclear, nobody there, not now).
    pub transfers: Tally,
    /// Messages that people write, by what became of them: `accepted`, `sent`, `delivered`, `read`, `failed`; and `refused` ones of SIP.
    pub messages: Tally,
    /// Calls that were lost to a panic.
    pub panics: u64,
}

/// Counts by a stable id.
#[derive(Clone, Debug, Default)]
pub struct Tally(pub BTreeMap<&'static str, u64>);

impl Tally {
    pub(super) fn note(&mut self, id: &'static str) {
        *self.0.entry(id).or_default() += 1;
    }

    pub(super) fn note_refusal(&mut self, refusal: &Refusal) {
        self.note(refusal.id.unwrap_or("other"));
    }

    pub(super) fn note_verdict(&mut self, verdict: &Verdict) {
        self.note(match verdict {
            Verdict::Allow(_) => "granted",
            Verdict::Deny(reason) => reason.as_str(),
        });
    }
}

impl Stats {
    /// A callback that was refused before policy was asked, by the status of its response.
    pub(super) fn note_callback_refused(&mut self, status: u16) {
        self.callbacks.note(match status {
            410 => "late",
            486 => "lost",
            _ => "invalid",
        });
    }

    pub(super) fn note_record(&mut self, record: &Record) {
        *self.outcomes.entry(record.outcome).or_default() += 1;
    }
}
