//! What an engine answers: yes with a [`Permit`], no with a [`Reason`], or a question to somebody who knows.
//! Not here: who asks and what follows. Only an engine makes permits.

use super::{Action, Allowance, MediaKinds, Parameters, Query, Reason, RecordRule, Server, Subject};
use crate::id::CallId;
use crate::limits;
use crate::time::Duration;
use std::borrow::Cow;
use std::sync::Arc;

/// The rule that a [`Permit`] of the house's engines names: the credential's own grants.
pub const GRANTED: &str = "granted";

/// What an engine makes of a query.
#[derive(Debug)]
pub enum Decision {
    /// It knows.
    Verdict(Verdict),
    /// Somebody else knows: put this to the external server, and hand the [`Answer`] to [`settle`](super::settle).
    Ask(Question),
}

/// Yes or no.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    /// Yes, and the proof of it.
    Allow(Permit),
    /// No, and why.
    Deny(Reason),
}

impl Verdict {
    /// Yes to this query and to no other. *For engines only*: whoever calls it elsewhere has left policy out.
    /// `rule` says what allowed it, for the record and for `policy explain`.
    pub fn allow(query: &Query<'_>, rule: impl Into<Cow<'static, str>>) -> Verdict {
        let grant = match query.subject {
            Subject::Claims(claims) => Some(claims.grant()),
            Subject::Dial(_) | Subject::Nobody => None,
        };
        let (recording, parameters) = (grant.and_then(|it| it.record), grant.and_then(|it| it.parameters.clone()));
        let (Query { action, call, media, .. }, rule) = (*query, rule.into());
        Verdict::Allow(Permit { action, call, media, rule, recording, lasts: None, counts: false, parameters })
    }

    /// The same, for a call that is no longer than `lasts` and counts, if there is a limit to their number.
    pub fn within(self, lasts: Option<Duration>, calls: Allowance) -> Verdict {
        match self {
            Verdict::Allow(permit) => Verdict::Allow(Permit { lasts, counts: calls.counts(), ..permit }),
            Verdict::Deny(reason) => Verdict::Deny(reason),
        }
    }

    /// What two say of the same query: yes if both do, with the limits of both, by what allowed it in the second.
    pub fn and(self, next: Verdict) -> Verdict {
        match (self, next) {
            (Verdict::Allow(first), Verdict::Allow(second)) => {
                let lasts = [first.lasts, second.lasts].into_iter().flatten().min();
                let counts = first.counts || second.counts;
                // Of two words on recording the first goes: it is the credential's.
                let recording = first.recording.or(second.recording);
                Verdict::Allow(Permit { lasts, counts, recording, ..second })
            }
            (Verdict::Deny(reason), _) | (Verdict::Allow(_), Verdict::Deny(reason)) => Verdict::Deny(reason),
        }
    }

    /// The same, with another word on whether the call is recorded than the credential's own.
    pub fn recorded(self, rule: Option<RecordRule>) -> Verdict {
        match self {
            Verdict::Allow(permit) => Verdict::Allow(Permit { recording: rule, ..permit }),
            Verdict::Deny(reason) => Verdict::Deny(reason),
        }
    }

    /// The stable id of the outcome: the rule that allowed, or the reason that did not.
    pub fn id(&self) -> &str {
        match self {
            Verdict::Allow(permit) => permit.rule(),
            Verdict::Deny(reason) => reason.as_str(),
        }
    }
}

/// Policy's yes to one query. It cannot be copied: it is one of the two proofs without which no bridge can be built.
#[derive(Debug)]
pub struct Permit {
    action: Action,
    call: Option<CallId>,
    media: MediaKinds,
    rule: Cow<'static, str>,
    recording: Option<RecordRule>,
    lasts: Option<Duration>,
    counts: bool,
    parameters: Option<Box<Parameters>>,
}

impl Permit {
    /// What is allowed.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The call for which it is allowed.
    pub fn call(&self) -> Option<CallId> {
        self.call
    }

    /// The kinds of media for which it is allowed.
    pub fn media(&self) -> MediaKinds {
        self.media
    }

    /// What allowed it: [`GRANTED`], or a word of the engine's own.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// Whether the call is recorded; `None`: as its route has it.
    pub fn recording(&self) -> Option<RecordRule> {
        self.recording
    }

    /// How long the call may be; `None`: as long as it likes.
    pub fn lasts(&self) -> Option<Duration> {
        self.lasts
    }

    /// Whether the call counts among those that its subject may answer.
    pub fn counts(&self) -> bool {
        self.counts
    }

    /// What the credential wants to be passed on.
    pub fn parameters(&self) -> Option<&Parameters> {
        self.parameters.as_deref()
    }

    /// Whether it is the yes to this query.
    pub fn answers(&self, query: &Query<'_>) -> bool {
        (self.action, self.call, self.media) == (query.action, query.call, query.media)
    }
}

/// What the shell is to ask an external server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    document: String,
    timeout: Duration,
    server: Option<Arc<Server>>,
}

impl Question {
    /// A JSON document to send, and how long to wait for the answer: at most [`limits::POLICY_WAIT_MAX`], whatever is asked for.
    pub fn new(document: String, timeout: Duration) -> Question {
        Question { document, timeout: timeout.min(limits::POLICY_WAIT_MAX), server: None }
    }

    /// The same for this server.
    pub fn to(self, server: Arc<Server>) -> Question {
        Question { server: Some(server), ..self }
    }

    /// Whom to ask.
    pub fn server(&self) -> Option<&Arc<Server>> {
        self.server.as_ref()
    }

    /// The JSON document.
    pub fn document(&self) -> &str {
        &self.document
    }

    /// After this, the answer is [`Answer::TimedOut`].
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// What came of a [`Question`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The server's body, as it came; the engine judges it.
    Reply(Vec<u8>),
    /// No server, or one that failed, or too many questions at once.
    Unavailable,
    /// Nothing within the question's timeout.
    TimedOut,
}
