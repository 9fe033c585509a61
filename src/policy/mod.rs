//! May this client do that? One trait, asked with what was parsed; anything but an explicit allow is a denial.
//! Not here: what happens to a call after the answer (`call`), and how a question reaches an HTTP server (`inquire`).
//!
//! ```text
//!  JWT ─▶ [`verify`] ─▶ Claims ────────┐
//!  digest ─▶ a [`User`]'s Claims ──────┤
//!  opened dial token ──────────────────┼─▶ Query ─▶ [`ask`] ─▶ Verdict ─▶ Permit, or the Reason why not
//!                                      │              │ Question ─▶ (the shell asks) ─▶ Answer ─▶ [`settle`] ─▶ Verdict
//! ```

mod access;
mod case;
mod claims;
mod document;
mod engines;
mod grants;
mod hours;
mod jwt;
mod keyring;
mod mint;
mod proof;
mod query;
mod reason;
mod rego;
mod restrictions;
mod rules;
mod server;
#[cfg(test)]
mod testing;
mod users;
mod verdict;
mod written;

pub use crate::token::RecordRule;
pub use access::Form;
pub use case::{Case, OUTCOMES, no_action, parse_instant};
pub use claims::{Addressee, Application, Claims, Grant, Parameters};
pub use engines::{Chain, Engine, Engines, Opinion};
pub use grants::Grants;
pub use hours::{BadHours, Hours};
pub use jwt::verify;
pub use keyring::{Algorithm, BadKey, Keyring, VerifyingKey};
pub use mint::{CannotMint, Order, SigningKey, mint};
pub use proof::Proof;
pub use query::{Action, MediaKinds, Query, Subject};
pub use reason::Reason;
pub use rego::Rego;
pub use restrictions::{Allowance, Restrictions, Spent};
pub use rules::{Effect, Limits, Person, Rule, Rules};
pub use server::Server;
pub use users::{User, Users, Who};
pub use verdict::{Answer, Decision, GRANTED, Permit, Question, Verdict};

use crate::mutant::{Mutant, planted};
use crate::time::Now;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Decides. Sans-IO: an engine that must ask a server says what to ask, and the shell brings the answer.
///
/// Shared by the switch thread and the subscribers' tasks, hence `&self` and `Sync`; call it through [`ask`] and [`settle`],
/// which turn a panic into a denial. The engines of the house: [`Grants`], [`Rules`], [`Rego`]
/// and the application that a [`Server`] names, put together by [`Engines`].
pub trait PolicyEngine: Send + Sync {
    /// What it makes of a query: a verdict, or a question to somebody else. Within microseconds: the switch waits.
    fn decide(&self, now: Now, query: &Query<'_>) -> Decision;

    /// The answer to the question that [`decide`](PolicyEngine::decide) returned for the same query.
    /// An engine that never asks keeps this default, which denies.
    fn answered(&self, _now: Now, _query: &Query<'_>, _answer: Answer) -> Verdict {
        Verdict::Deny(Reason::PolicyUnavailable)
    }
}

/// Asks an engine and fails closed: a panic, or a permit for something that was not asked, is [`Reason::PolicyUnavailable`].
pub fn ask(engine: &dyn PolicyEngine, now: Now, query: &Query<'_>) -> Decision {
    match catch_unwind(AssertUnwindSafe(|| engine.decide(now, query))) {
        Ok(Decision::Verdict(verdict)) => Decision::Verdict(for_this_query(verdict, query)),
        Ok(Decision::Ask(question)) => Decision::Ask(question),
        Err(_) => Decision::Verdict(Verdict::Deny(Reason::PolicyUnavailable)),
    }
}

/// Hands an engine the answer to its question and fails closed as [`ask`] does.
pub fn settle(engine: &dyn PolicyEngine, now: Now, query: &Query<'_>, answer: Answer) -> Verdict {
    let fails_open = (answer == Answer::Unavailable && planted(Mutant::UnavailableAllowed))
        || (answer == Answer::TimedOut && planted(Mutant::TimeoutAllowed));
    match catch_unwind(AssertUnwindSafe(|| engine.answered(now, query, answer))) {
        Ok(Verdict::Deny(_)) if fails_open => Verdict::allow(query, GRANTED),
        Ok(verdict) => for_this_query(verdict, query),
        Err(_) => Verdict::Deny(Reason::PolicyUnavailable),
    }
}

/// An engine that keeps permits and hands one out for another query is broken: its yes is not to this question.
fn for_this_query(verdict: Verdict, query: &Query<'_>) -> Verdict {
    match verdict {
        Verdict::Allow(permit) if !permit.answers(query) && !planted(Mutant::PermitUnchecked) => {
            Verdict::Deny(Reason::PolicyUnavailable)
        }
        Verdict::Deny(_) if planted(Mutant::DenialAllowed) => Verdict::allow(query, GRANTED),
        Verdict::Allow(_) | Verdict::Deny(_) => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CallId;
    use crate::name::Name;
    use crate::time::Duration;

    /// An engine of a stranger's: allows what a function allows.
    struct Stranger<F>(F);

    impl<F: Fn(&Query<'_>) -> Decision + Send + Sync> PolicyEngine for Stranger<F> {
        fn decide(&self, _now: Now, query: &Query<'_>) -> Decision {
            (self.0)(query)
        }
    }

    fn with_query<R>(call: u128, body: impl FnOnce(&Query<'_>) -> R) -> R {
        let name = Name::parse("foo").unwrap();
        body(&Query { call: Some(CallId(call)), ..testing::query(Action::Bridge, Subject::Nobody, &name) })
    }

    fn id(decision: &Decision) -> &str {
        match decision {
            Decision::Verdict(verdict) => verdict.id(),
            Decision::Ask(_) => "asks",
        }
    }

    #[test]
    fn a_strangers_engine_can_allow_deny_and_ask() {
        let allows = Stranger(|query: &Query<'_>| Decision::Verdict(Verdict::allow(query, "house rule 7")));
        let denies = Stranger(|_: &Query<'_>| Decision::Verdict(Verdict::Deny(Reason::PolicyDenied)));
        let asks = Stranger(|_: &Query<'_>| Decision::Ask(Question::new("{}".into(), Duration::from_secs(9))));
        with_query(1, |query| {
            assert_eq!(id(&ask(&allows, Now::default(), query)), "house rule 7");
            assert_eq!(id(&ask(&denies, Now::default(), query)), "policy_denied");
            assert_eq!(id(&ask(&asks, Now::default(), query)), "asks");
        });
    }

    #[test]
    fn an_engine_that_panics_has_said_no() {
        struct Panics;
        impl PolicyEngine for Panics {
            fn decide(&self, _now: Now, _query: &Query<'_>) -> Decision {
                panic!("a bug in an engine, on purpose")
            }
            fn answered(&self, _now: Now, _query: &Query<'_>, _answer: Answer) -> Verdict {
                panic!("a bug in an engine, on purpose")
            }
        }
        with_query(1, |query| {
            assert_eq!(id(&ask(&Panics, Now::default(), query)), "policy_unavailable");
            assert_eq!(settle(&Panics, Now::default(), query, Answer::TimedOut).id(), "policy_unavailable");
        });
    }

    #[test]
    fn an_engine_that_never_asks_refuses_every_answer() {
        let allows = Stranger(|query: &Query<'_>| Decision::Verdict(Verdict::allow(query, "all")));
        for answer in [Answer::Reply(br#"{"result":true}"#.to_vec()), Answer::Unavailable, Answer::TimedOut] {
            let verdict = with_query(1, |query| settle(&allows, Now::default(), query, answer));
            assert_eq!(verdict.id(), "policy_unavailable");
        }
    }

    #[test]
    fn a_permit_for_another_query_is_no_permit() {
        let replays = Stranger(|_: &Query<'_>| {
            Decision::Verdict(with_query(1, |first| Verdict::allow(first, "kept from call 1")))
        });
        let decision = with_query(2, |query| ask(&replays, Now::default(), query));
        assert_eq!(id(&decision), "policy_unavailable");
    }

    #[test]
    fn what_a_credential_says_of_recording_is_in_the_permit_of_whoever_shows_it() {
        let allows = Stranger(|query: &Query<'_>| Decision::Verdict(Verdict::allow(query, "all")));
        let silent = Stranger(|query: &Query<'_>| Decision::Verdict(Verdict::allow(query, "all").recorded(None)));
        for record in [None, Some(RecordRule::Require), Some(RecordRule::Forbid)] {
            let claims = testing::claims("alice", Grant { record, ..Grant::default() });
            let (name, subject) = (Name::parse("foo").unwrap(), Subject::Claims(&claims));
            let ask = |engine: &dyn PolicyEngine, action| {
                ask(engine, Now::default(), &testing::query(action, subject, &name))
            };
            let recording = |decision| match decision {
                Decision::Verdict(Verdict::Allow(permit)) => permit.recording(),
                Decision::Verdict(Verdict::Deny(_)) | Decision::Ask(_) => panic!("allowed"),
            };
            // That of the URI that may be dialled goes into its token.
            assert_eq!([Action::Bridge, Action::Dial].map(|action| recording(ask(&allows, action))), [record; 2]);
            assert_eq!(recording(ask(&silent, Action::Bridge)), None, "an engine may say otherwise");
        }
    }

    #[test]
    fn a_question_never_waits_longer_than_the_limit() {
        let at_most = crate::limits::POLICY_WAIT_MAX;
        for (asked, expected) in [(Duration::from_millis(50), Duration::from_millis(50)), (Duration::MAX, at_most)] {
            assert_eq!(Question::new("{}".into(), asked).timeout(), expected);
        }
    }
}
