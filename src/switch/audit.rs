//! What only a simulation asks: which state met which event, and whether what is counted is what is there (RELIABILITY I6, I11).
//! Not here: anything that the daemon needs; without the feature `sim` this file does not exist.

use super::Switch;
use super::step::Standing;
use crate::call::{Call, Event, Phase};
use crate::id::{CallId, CallRef, Side};
use crate::media;
use crate::name::Name;
use crate::token::SubjectHash;
use std::net::IpAddr;

/// The events of a call by kind, as the rows of a coverage table.
pub const KINDS: [&str; 24] = [
    "routed",
    "callback",
    "cancelled caller",
    "cancelled client",
    "request caller",
    "request client",
    "acknowledged caller",
    "acknowledged client",
    "response caller",
    "response client",
    "failed",
    "unacknowledged caller",
    "unacknowledged client",
    "media opened",
    "media other",
    "media ended",
    "declined",
    "ringing",
    "timeout",
    "stop",
    "abandon",
    "ringing unacknowledged",
    "referred",
    "transferor",
];

/// How often each kind of event met each state, by [`KINDS`] and [`Phase::ALL`].
#[derive(Clone, Debug, Default)]
pub struct Cells {
    /// The counts.
    pub table: [[u64; Phase::ALL.len()]; KINDS.len()],
    /// All of them together: how many steps calls have taken.
    pub steps: u64,
}

impl Cells {
    pub(super) fn note(&mut self, call: &Call, event: &Event<'_>) {
        let phase = Phase::ALL.iter().position(|phase| *phase == call.state()).unwrap_or(0);
        self.steps += 1;
        if let Some(count) = self.table.get_mut(kind(event)).and_then(|row| row.get_mut(phase)) {
            *count += 1;
        }
    }
}

fn kind(event: &Event<'_>) -> usize {
    let sided = |base: usize, side: &Side| base + usize::from(*side == Side::Client);
    match event {
        Event::Routed { .. } => 0,
        Event::Callback(_) => 1,
        Event::Cancelled { side, .. } => sided(2, side),
        Event::Request { side, .. } => sided(4, side),
        Event::Acknowledged { side, .. } => sided(6, side),
        Event::Response { side, .. } => sided(8, side),
        Event::Failed { .. } => 10,
        Event::Unacknowledged { side } => sided(11, side),
        Event::Media(media::Event::Opened { .. } | media::Event::Added { .. }) => 13,
        Event::Media(media::Event::Latched { .. } | media::Event::Dtmf { .. } | media::Event::Warning { .. }) => 14,
        Event::Media(media::Event::Silent { .. } | media::Event::Failed { .. } | media::Event::Closed { .. }) => 15,
        Event::Declined { .. } => 16,
        // What a client says of its own call; the simulation has nobody who presses keys.
        Event::Ringing { .. } | Event::Pressed { .. } => 17,
        Event::Timeout => 18,
        Event::Stop => 19,
        Event::Abandon => 20,
        Event::ProvisionalUnacknowledged { .. } => 21,
        Event::Referred(_) => 22,
        Event::FromTransferor(_) => 23,
    }
}

impl Switch {
    /// Which state met which event so far.
    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// Whether all counts and tables are what the calls themselves say. The error names the table.
    pub fn audit(&self) -> Result<(), &'static str> {
        let mut sums = Sums::default();
        for (at, call) in self.lot.each() {
            sums.add(call);
            self.audit_call(at, call)?;
        }
        self.questions.subjects().for_each(|subject| count(&mut sums.subjects, subject));
        let (waiting, caps) = (self.lot.waits(), self.settings.caps);
        let within = |most: u32, sum: u32| sum <= most;
        let table = [
            (within(caps.total, sums.waiting), "I11: more calls wait than may"),
            (sums.names.iter().all(|(_, sum)| within(caps.per_name, *sum)), "I11: more calls wait for a name than may"),
            (
                sums.sources.iter().all(|(_, sum)| within(caps.per_source, *sum)),
                "I11: more calls wait of a source than may",
            ),
            (sums.census == self.census, "I11: the census is not the calls'"),
            (sums.waiting == waiting.total(), "I11: the count of waiting calls is not the calls'"),
            (sums.flows == self.flows.len(), "I11: a flow without a call, or a call without its flow"),
            (
                sums.names.iter().all(|(name, sum)| waiting.of_name(name) == *sum),
                "I11: a name's count is not its calls'",
            ),
            (
                sums.sources.iter().all(|(from, sum)| waiting.of_source(*from) == *sum),
                "I11: a source's count is not its calls'",
            ),
            (
                sums.trunks.iter().all(|(trunk, sum)| waiting.of_trunk(trunk) == *sum),
                "I11: a trunk's count is not its calls'",
            ),
            (
                sums.subjects.iter().all(|(who, sum)| self.usage.of(*who) == *sum),
                "I11: a subject's count is not its calls'",
            ),
        ];
        table.into_iter().find(|(right, _)| !right).map_or(Ok(()), |(_, what)| Err(what))
    }

    fn audit_call(&self, at: CallRef, call: &Call) -> Result<(), &'static str> {
        let dialogs = [Side::Caller, Side::Client].map(|side| call.dialog(side));
        let armed = call.wake_at().is_none_or(|wanted| self.lot.armed(at).is_some_and(|armed| armed <= wanted));
        let table = [
            (dialogs[0].is_none() || dialogs[0] != dialogs[1], "I6: a leg is bridged to itself"),
            (call.flow().is_none_or(|flow| self.flows.get(&flow) == Some(&at)), "I11: a flow leads to another call"),
            (armed, "a call that wants to be woken has no alarm"),
        ];
        table.into_iter().find(|(right, _)| !right).map_or(Ok(()), |(_, what)| Err(what))
    }

    /// A parked call, byte for byte, without the count of callbacks that were refused (RELIABILITY I16). `None` if it is not parked.
    pub fn parked(&self, call: CallId) -> Option<String> {
        let call = self.lot.get(self.lot.find(call)?)?;
        (call.state() == Phase::Parked).then(|| call.describe())
    }
}

/// What the calls say of themselves, summed up.
#[derive(Default)]
struct Sums<'c> {
    census: [usize; Phase::ALL.len()],
    waiting: u32,
    flows: usize,
    names: Vec<(&'c Name, u32)>,
    sources: Vec<(IpAddr, u32)>,
    trunks: Vec<(&'c str, u32)>,
    subjects: Vec<(SubjectHash, u32)>,
}

impl<'c> Sums<'c> {
    fn add(&mut self, call: &'c Call) {
        let (standing, facts) = (Standing::of(call), call.facts());
        for (count, phase) in self.census.iter_mut().zip(Phase::ALL) {
            *count += usize::from(standing.phase == Some(phase));
        }
        self.flows += usize::from(call.flow().is_some());
        count(&mut self.trunks, &*facts.trunk.name);
        if standing.waits {
            self.waiting += 1;
            count(&mut self.names, &facts.route.name);
            count(&mut self.sources, facts.source);
        }
        standing.holder.into_iter().for_each(|subject| count(&mut self.subjects, subject));
    }
}

/// A handful of keys, so a list is quicker than a map.
fn count<K: PartialEq>(sums: &mut Vec<(K, u32)>, key: K) {
    match sums.iter_mut().find(|(known, _)| *known == key) {
        Some((_, sum)) => *sum += 1,
        None => sums.push((key, 1)),
    }
}
