//! What whoever decides outside of the house is told, and what its answer means; both in the form of OPA's data API
//! (`POST /v1/data/…`, `{"input": …}`, `{"result": …}`), so that one text of a policy is read alike wherever it is evaluated.
//! Pure. Not here: who is asked (`server`, `rego`).
//!
//! ```json
//! {"input":{"v":1,"action":"bridge","name":"support/web","subject":"anna","subject_hash":"…","claims":{"receive":["support"],…},
//!   "expires":"2026-11-23T17:00:00.000Z","media":["audio"],"source":"192.0.2.1","call":"…","called":"+493012345",
//!   "usage":{"bridges":0,"calls":0,"calls_this_hour":0,"calls_today":0},"parameters":{"ticket":"4711"},"time":"2026-11-23T16:00:00.000Z"}}
//!
//! {"result":{"allow":true,"reason":"staff","limits":{"media":["audio"],"concurrent":2,"call_seconds_max":600}}}
//! ```
//! Anything but a result that allows is a denial: none at all (OPA's "undefined"), another form, a limit that is not one of these.

use super::rules::Limits;
use super::written::media;
use super::{Grant, MediaKinds, Parameters, Query, Reason, Subject, Verdict};
use crate::limits;
use crate::time::{Duration, Now, Wall};
use serde::{Deserialize, Serialize, Serializer};
use std::net::IpAddr;

/// What is asked: `{"input": …}`.
pub(super) fn question(now: Now, query: &Query<'_>) -> String {
    let document = serde_json::to_string(&Asked { input: Input::of(now, query) });
    document.expect("strings, numbers and lists are always JSON")
}

/// The same without its frame, for an engine that is handed it.
#[cfg(feature = "rego")]
pub(super) fn input(now: Now, query: &Query<'_>) -> String {
    serde_json::to_string(&Input::of(now, query)).expect("strings, numbers and lists are always JSON")
}

/// What an answer, `{"result": …}`, means for the same query. A permit names `engine` where the answer gives no reason.
pub(super) fn judge(query: &Query<'_>, answer: &[u8], engine: &str) -> Verdict {
    match serde_json::from_slice::<Answered>(answer) {
        Err(_) => Verdict::Deny(Reason::PolicyUnavailable),
        Ok(Answered { result: None }) => Verdict::Deny(Reason::PolicyDenied),
        Ok(Answered { result: Some(Outcome::Bare(allow)) }) => Said { allow, ..Said::default() }.judge(query, engine),
        Ok(Answered { result: Some(Outcome::Said(said)) }) => said.judge(query, engine),
    }
}

#[derive(Serialize)]
struct Asked<'a> {
    input: Input<'a>,
}

#[derive(Serialize)]
struct Input<'a> {
    v: u8,
    action: &'static str,
    name: &'a str,
    /// `null`: nobody, or the holder of a dialled URI, of whom the hash alone is known.
    subject: Option<&'a str>,
    subject_hash: Option<String>,
    claims: Option<&'a Grant>,
    #[serde(serialize_with = "text_or_null")]
    expires: Option<Wall>,
    media: Vec<&'static str>,
    source: Option<IpAddr>,
    call: Option<String>,
    called: Option<&'a str>,
    usage: Usage,
    parameters: Option<&'a Parameters>,
    #[serde(serialize_with = "text_or_null")]
    time: Option<Wall>,
}

#[derive(Serialize)]
struct Usage {
    bridges: u32,
    calls: u32,
    calls_this_hour: u32,
    calls_today: u32,
}

impl<'a> Input<'a> {
    fn of(now: Now, query: &Query<'a>) -> Input<'a> {
        let (claims, hash) = match query.subject {
            Subject::Claims(claims) => (Some(claims), Some(claims.subject_hash())),
            Subject::Dial(hash) => (None, Some(hash)),
            Subject::Nobody => (None, None),
        };
        let grant = claims.map(|claims| claims.grant());
        Input {
            v: 1,
            action: query.action.as_str(),
            name: query.name.as_str(),
            subject: claims.map(|claims| claims.subject()),
            subject_hash: hash.map(|hash| format!("{:032x}", u128::from_be_bytes(hash.0))),
            claims: grant,
            expires: claims.map(|claims| claims.expires()).filter(|expires| expires.0 < u64::MAX),
            media: query.media.words().collect(),
            source: query.source,
            call: query.call.map(|call| call.to_string()),
            called: query.called,
            usage: Usage {
                bridges: query.usage,
                calls: query.spent.in_all,
                calls_this_hour: query.spent.this_hour,
                calls_today: query.spent.today,
            },
            parameters: grant.and_then(|grant| grant.parameters.as_deref()),
            time: Some(now.wall),
        }
    }
}

fn text_or_null<S: Serializer>(at: &Option<Wall>, to: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => to.collect_str(at),
        None => to.serialize_none(),
    }
}

/// Other members are OPA's own (`decision_id`, `metrics`).
#[derive(Deserialize)]
struct Answered {
    result: Option<Outcome>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Outcome {
    Bare(bool),
    Said(Said),
}

#[derive(Default, Deserialize)]
struct Said {
    allow: bool,
    reason: Option<String>,
    limits: Option<SaidLimits>,
}

/// A limit that we do not know is one that we would not keep: such an answer allows nothing.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SaidLimits {
    #[serde(deserialize_with = "some_media")]
    media: Option<MediaKinds>,
    concurrent: Option<u32>,
    call_seconds_max: Option<u32>,
}

fn some_media<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<MediaKinds>, D::Error> {
    media(from).map(Some)
}

impl Said {
    fn judge(self, query: &Query<'_>, engine: &str) -> Verdict {
        if !self.allow {
            let known = |text: &str| Reason::ALL.into_iter().find(|reason| reason.as_str() == text);
            return Verdict::Deny(self.reason.as_deref().and_then(known).unwrap_or(Reason::PolicyDenied));
        }
        let said = self.limits.unwrap_or_default();
        let limits = Limits {
            media: said.media.unwrap_or(query.media),
            concurrent: said.concurrent.unwrap_or(u32::MAX),
            lasts: said.call_seconds_max.map(|seconds| Duration::from_secs(seconds.into())),
            ..Limits::default()
        };
        match limits.refuse(query) {
            Some(reason) => Verdict::Deny(reason),
            None => Verdict::allow(query, rule(self.reason, engine)).within(limits.lasts, limits.calls),
        }
    }
}

/// Why it was allowed, as records and logs have it: a word that could be a rule's id, or ours.
fn rule(reason: Option<String>, engine: &str) -> String {
    let fits = |text: &String| {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        (1..=limits::LABEL_BYTES_MAX).contains(&text.len()) && is_plain
    };
    reason.filter(fits).unwrap_or_else(|| engine.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{claims, name, query};
    use super::super::{Action, Spent};
    use super::*;
    use crate::id::CallId;
    use crate::time::Instant;
    use crate::token::SubjectHash;
    use serde_json::{Value, json};

    #[test]
    fn the_question_has_all_that_was_parsed_and_nothing_that_was_not() {
        let parameters = Parameters::new([("ticket".to_owned(), "4711".to_owned())].into()).unwrap();
        let claims = claims("anna", Grant { bridge: vec![name("foo")], parameters, ..Grant::default() });
        let foo = name("foo/web");
        let query = Query {
            source: Some([192, 0, 2, 1].into()),
            usage: 1,
            spent: Spent { in_all: 4, this_hour: 2, today: 3 },
            call: Some(CallId(7)),
            called: Some("+4930"),
            ..query(Action::Bridge, Subject::Claims(&claims), &foo)
        };
        let now = Now { at: Instant(0), wall: Wall(0) };
        let asked: Value = serde_json::from_str(&question(now, &query)).unwrap();
        let input = &asked["input"];
        for (member, expected) in [
            ("action", json!("bridge")),
            ("name", json!("foo/web")),
            ("subject", json!("anna")),
            ("media", json!(["audio"])),
            ("source", json!("192.0.2.1")),
            ("called", json!("+4930")),
            ("expires", Value::Null),
            ("parameters", json!({"ticket": "4711"})),
            ("usage", json!({"bridges": 1, "calls": 4, "calls_this_hour": 2, "calls_today": 3})),
            ("time", json!("1970-01-01T00:00:00.000Z")),
        ] {
            assert_eq!(input[member], expected, "{member}");
        }
        assert_eq!(input["claims"]["bridge"], json!(["foo"]));
        let dialled = Query { subject: Subject::Dial(SubjectHash([0xab; 16])), ..query };
        let asked: Value = serde_json::from_str(&question(Now::default(), &dialled)).unwrap();
        assert_eq!(asked["input"]["subject_hash"], json!("ab".repeat(16)));
        assert_eq!((&asked["input"]["subject"], &asked["input"]["claims"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn nothing_but_a_result_that_allows_is_a_yes() {
        let (claims, foo) = (claims("anna", Grant::default()), name("foo"));
        let query = Query { usage: 2, ..query(Action::Bridge, Subject::Claims(&claims), &foo) };
        for (body, expected) in [
            (r#"{"result":{"allow":true}}"#, "http"),
            (r#"{"result":true,"decision_id":"x"}"#, "http"),
            (r#"{"result":{"allow":true,"reason":"staff","other":1}}"#, "staff"),
            (r#"{"result":{"allow":true,"reason":"a b"}}"#, "http"),
            (
                r#"{"result":{"allow":true,"limits":{"concurrent":3,"media":["audio","video"],"call_seconds_max":9}}}"#,
                "http",
            ),
            (r#"{"result":{"allow":true,"limits":{"concurrent":2}}}"#, "concurrency_exceeded"),
            (r#"{"result":{"allow":true,"limits":{"media":["video"]}}}"#, "media_not_granted"),
            (r#"{"result":{"allow":true,"limits":{"calls":2}}}"#, "policy_unavailable"),
            (r#"{"result":{"allow":true,"limits":{"concurrent":-1}}}"#, "policy_unavailable"),
            (r#"{"result":{"allow":false}}"#, "policy_denied"),
            (r#"{"result":{"allow":false,"reason":"time_not_granted"}}"#, "time_not_granted"),
            (r#"{"result":{"allow":false,"reason":"bad mood"}}"#, "policy_denied"),
            (r#"{"result":false}"#, "policy_denied"),
            ("{}", "policy_denied"),
            (r#"{"result":null}"#, "policy_denied"),
            (r#"{"result":{}}"#, "policy_unavailable"),
            (r#"{"result":{"allow":"true"}}"#, "policy_unavailable"),
            (r#"{"result":{"allow":1}}"#, "policy_unavailable"),
            (r#"{"result":"allow"}"#, "policy_unavailable"),
            (r#"{"result":{"allow":true}"#, "policy_unavailable"),
            (r#"{"result":{"allow":true}}{"#, "policy_unavailable"),
            ("true", "policy_unavailable"),
            ("", "policy_unavailable"),
            ("<html>", "policy_unavailable"),
        ] {
            assert_eq!(judge(&query, body.as_bytes(), "http").id(), expected, "{body}");
        }
    }
}
