//! What the tests of engines ask with.

use super::{Action, Claims, Decision, Grant, MediaKinds, PolicyEngine, Query, Spent, Subject};
use crate::name::Name;
use crate::time::{Now, Wall};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;

pub(super) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// Of a credential that does not expire.
pub(super) fn claims(subject: &str, grant: Grant) -> Claims {
    Claims { subject: subject.into(), expires: Wall(u64::MAX), not_before: None, grant, application: None }
}

/// With audio, from nowhere, with no bridge so far.
pub(super) fn query<'a>(action: Action, subject: Subject<'a>, name: &'a Name) -> Query<'a> {
    let (media, spent) = (MediaKinds::AUDIO, Spent::default());
    Query { action, subject, name, media, source: None, usage: 0, spent, call: None, called: None }
}

/// The id of what an engine says, which must not be a question.
pub(super) fn verdict(engine: &dyn PolicyEngine, now: Now, query: &Query<'_>) -> String {
    match engine.decide(now, query) {
        Decision::Verdict(verdict) => verdict.id().into(),
        Decision::Ask(_) => "asks".into(),
    }
}

/// A part of a JWS (RFC 7515 §2).
pub(super) fn encode(part: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(part)
}

/// Signed with `secret` by HMAC-SHA256, whatever the header says.
pub(super) fn signed_with(secret: &[u8], header: &str, payload: &str) -> String {
    let message = format!("{}.{}", encode(header), encode(payload));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag))
}
