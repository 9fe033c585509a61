//! The simulated policy: an engine that keeps a book of every yes it says, so that no bridge can come from anything else; and the server
//! behind an engine that asks.
//! Not here: what the switch does with a verdict.

use super::chance::{ByHash, Hash, Lot};
use super::plan::{EngineKind, Faults, Plan};
use crate::id::CallId;
use crate::policy::{Action, Answer, Decision, Grants, PolicyEngine, Query, Question, Reason, Subject, Verdict};
use crate::time::{Duration, Now};
use crate::token::SubjectHash;
use std::sync::{Arc, Mutex, PoisonError};

/// Every yes, by call and client, and how many questions there were.
#[derive(Default)]
pub(super) struct Book {
    allowed: ByHash<u32>,
    /// The agent that wants something, and how often any did.
    agent: u32,
    moods: ByHash<u64>,
}

/// Shared by a node's engine and its law.
pub(super) type Shared = Arc<Mutex<Book>>;

/// The engine.
pub(super) struct Engine {
    kind: EngineKind,
    seed: u64,
    concurrent: u32,
    is_broken: bool,
    book: Shared,
}

impl Engine {
    pub(super) fn new(plan: &Plan, book: Shared) -> Engine {
        let is_broken = plan.faults.has(Faults::BROKEN_POLICY);
        Engine { kind: plan.terms.engine, seed: plan.seed, concurrent: plan.terms.concurrent, is_broken, book }
    }

    fn note(&self, query: &Query<'_>, verdict: Verdict) -> Verdict {
        if let (Verdict::Allow(_), Some(call)) = (&verdict, query.call) {
            let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            *book.allowed.entry(key(call, of(query.subject))).or_default() += 1;
        }
        verdict
    }

    /// What this engine would like today: most things.
    fn mood(&self, query: &Query<'_>) -> Verdict {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let agent = book.agent.into();
        let times = book.moods.entry(agent).or_default();
        *times += 1;
        let lot = Lot::of(self.seed, [agent, *times << 8 | 0x90]);
        drop(book);
        let refused = if self.is_broken { 30 } else { 8 };
        match lot.percent(0, refused) {
            true => Verdict::Deny(Reason::PolicyDenied),
            false if self.is_broken && lot.percent(1, 20) => for_another_call(query),
            false => self.note(query, Verdict::allow(query, "mood")),
        }
    }
}

impl PolicyEngine for Engine {
    fn decide(&self, now: Now, query: &Query<'_>) -> Decision {
        // Who may be told is not what the seeds are about.
        if query.action != Action::Bridge {
            return Grants { dial_concurrent: self.concurrent }.decide(now, query);
        }
        match self.kind {
            EngineKind::Grants => match (Grants { dial_concurrent: self.concurrent }).decide(now, query) {
                Decision::Verdict(verdict) => Decision::Verdict(self.note(query, verdict)),
                Decision::Ask(question) => Decision::Ask(question),
            },
            EngineKind::Sure => Decision::Verdict(self.mood(query)),
            EngineKind::Asks => Decision::Ask(Question::new(String::new(), Duration::from_secs(2))),
        }
    }

    fn answered(&self, _now: Now, query: &Query<'_>, answer: Answer) -> Verdict {
        match answer {
            Answer::Reply(body) if body == b"allow" => self.note(query, Verdict::allow(query, "asked")),
            Answer::Reply(body) if body == b"other" => for_another_call(query),
            Answer::Reply(_) => Verdict::Deny(Reason::PolicyDenied),
            Answer::Unavailable | Answer::TimedOut => Verdict::Deny(Reason::PolicyUnavailable),
        }
    }
}

/// A broken engine's yes: to a question that nobody asked.
fn for_another_call(query: &Query<'_>) -> Verdict {
    Verdict::allow(&Query { call: Some(CallId(1)), ..*query }, "mixed up")
}

/// The agent that whatever is asked next is about.
pub(super) fn ask_for(book: &Shared, agent: u32) {
    book.lock().unwrap_or_else(PoisonError::into_inner).agent = agent;
}

/// Whether policy said yes to this client for this call, ever.
pub(super) fn has_allowed(book: &Shared, call: CallId, subject: &str, hash: SubjectHash, dialled: bool) -> bool {
    let client = if dialled { Hash::of(&[&hash.0]) } else { Hash::of(&[subject.as_bytes()]) };
    book.lock().unwrap_or_else(PoisonError::into_inner).allowed.contains_key(&key(call, client))
}

/// Who it is, as the query says it; a dialled token names its subject by hash only.
fn of(subject: Subject<'_>) -> u64 {
    match subject {
        Subject::Claims(claims) => Hash::of(&[claims.subject().as_bytes()]),
        Subject::Dial(hash) => Hash::of(&[&hash.0]),
        Subject::Nobody => 0,
    }
}

fn key(call: CallId, client: u64) -> u64 {
    Hash::of(&[&call.0.to_le_bytes(), &client.to_le_bytes()])
}

/// What the server says to one question, each with its delay: usually one answer, in time.
pub(super) fn answers(plan: &Plan, number: u64) -> Vec<(Duration, Answer)> {
    let lot = Lot::of(plan.seed, [number, 0x91]);
    let slow = plan.faults.has(Faults::SLOW_POLICY);
    let delay = |which| Duration::from_millis(u64::from(lot.below(which, if slow { 2_600 } else { 15 })));
    let yes = || Answer::Reply(b"allow".into());
    if !plan.faults.has(Faults::BROKEN_POLICY) {
        return vec![(delay(0), if lot.percent(1, 8) { Answer::Reply(b"deny".into()) } else { yes() })];
    }
    match lot.below(2, 10) {
        0 => vec![(delay(0), Answer::Unavailable)],
        1 => vec![(delay(0), Answer::TimedOut)],
        2 => vec![],
        3 => vec![(delay(0), Answer::Reply(b"{nonsense".into()))],
        6 => vec![(delay(0), Answer::Reply(b"other".into()))],
        // Two answers: the first counts, whatever the other says.
        4 => vec![(delay(0), Answer::Reply(b"deny".into())), (delay(0) + delay(1), yes())],
        5 => vec![(delay(0), yes()), (delay(0) + delay(1), Answer::Reply(b"deny".into()))],
        _ => vec![(delay(0), yes())],
    }
}
