//! What the tests of engines ask with.

use super::{Action, Claims, Decision, Grant, MediaKinds, PolicyEngine, Query, Subject};
use crate::name::Name;
use crate::time::{Now, Wall};

pub(super) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// Of a credential that does not expire.
pub(super) fn claims(subject: &str, grant: Grant) -> Claims {
    Claims { subject: subject.into(), expires: Wall(u64::MAX), not_before: None, grant }
}

/// With audio, from nowhere, with no bridge so far.
pub(super) fn query<'a>(action: Action, subject: Subject<'a>, name: &'a Name) -> Query<'a> {
    Query { action, subject, name, media: MediaKinds::AUDIO, source: None, usage: 0, call: None }
}

/// The id of what an engine says, which must not be a question.
pub(super) fn verdict(engine: &dyn PolicyEngine, now: Now, query: &Query<'_>) -> String {
    match engine.decide(now, query) {
        Decision::Verdict(verdict) => verdict.id().into(),
        Decision::Ask(_) => "asks".into(),
    }
}
