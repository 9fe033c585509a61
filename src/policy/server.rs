//! The engine `http`: an authentication application decides.
//! Pure. Not here: what it is told and what its answer means (`document`), and how the question gets there (`inquire`).

use super::{Action, Answer, Query, Question, Reason, Verdict, document};
use crate::limits;
use crate::time::{Duration, Now};
use std::sync::Arc;

/// An authentication application, as the operator names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Whether it is asked over TLS.
    pub is_secure: bool,
    /// A name or an address, without brackets.
    pub host: Box<str>,
    /// Its port.
    pub port: u16,
    /// The path with its query.
    pub path: Box<str>,
    /// How long it may take.
    pub timeout: Duration,
}

impl Server {
    /// Whether it is asked about such a thing: who waits for the answer to a callback waits in a transaction of his own, and nobody else does.
    pub fn decides(action: Action) -> bool {
        match action {
            Action::Bridge => true,
            Action::Subscribe | Action::Register | Action::Receive | Action::Dial | Action::Transfer => false,
            Action::Message | Action::Presence => false,
        }
    }

    /// What it is asked.
    pub fn question(self: &Arc<Server>, now: Now, query: &Query<'_>) -> Question {
        Question::new(document::question(now, query), self.timeout).to(Arc::clone(self))
    }

    /// What its answer means for the same query, as things are by now.
    pub fn judge(query: &Query<'_>, answer: &Answer) -> Verdict {
        match answer {
            Answer::Reply(body) if body.len() <= limits::POLICY_ANSWER_BYTES_MAX => {
                document::judge(query, body, "http")
            }
            Answer::Reply(_) | Answer::Unavailable | Answer::TimedOut => Verdict::Deny(Reason::PolicyUnavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{claims, name, query};
    use super::super::{Grant, Subject};
    use super::*;

    #[test]
    fn no_answer_and_too_long_a_one_are_a_no() {
        let (claims, foo) = (claims("anna", Grant::default()), name("foo"));
        let query = query(Action::Bridge, Subject::Claims(&claims), &foo);
        let allow = |padding: usize| format!(r#"{{"result":{{"allow":true}}}}{}"#, " ".repeat(padding));
        let long = allow(limits::POLICY_ANSWER_BYTES_MAX);
        for (answer, expected) in [
            (Answer::Reply(allow(1).into()), "http"),
            (Answer::Reply(long.into()), "policy_unavailable"),
            (Answer::Unavailable, "policy_unavailable"),
            (Answer::TimedOut, "policy_unavailable"),
        ] {
            assert_eq!(Server::judge(&query, &answer).id(), expected);
        }
    }
}
