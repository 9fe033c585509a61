//! The events as JSON documents, and the bytes under their signature. Version 1; the README's chapter on events is the client's view.
//! Not here: who gets an event, and what makes its token (`herald`).
//!
//! An app verifies an event by joining the values below with single line feeds, in this order, and checking the Ed25519
//! `signature` over these bytes with the published key `kid`. It needs no canonical JSON, and a push relay may re-order
//! members or change white space. An absent value or `null` is the empty string; `media` is joined by commas.
//!
//! ```text
//! incoming: parkway-event-v1, "incoming", id, call, name, for, from, from_display, to, media, expires,
//!           token, callback.sip, callback.dial, data
//! message:  parkway-event-v1, "message", id, message, name, from, content_type, at, text
//! ```
//!
//! `recorded` is not signed: what is recorded says so itself, to both sides, before it is.
//! Only `data` and `text`, the last, may hold a line feed, so no two events have the same bytes. `gone` is not signed: a relay that would forge
//! it to silence a ring can as well keep the ring to itself, and what it takes back is a call that can be answered no more in any case.

use super::sign::Signer;
use crate::call::{Digit, Ended, EndedBy, Gone, Incoming, Personal, Quality};
use crate::letter::{Change, Failure, Letter};
use crate::media::{Finding, Means, Warning};
use crate::name::Name;
use crate::policy::Parameters;
use crate::presence::{Scope, Snapshot};
use crate::time::Wall;
use serde::Serialize;
use std::borrow::Cow;

/// The first line under every signature; changes with the meaning of what follows it.
const SIGNED: &str = "parkway-event-v1";
/// `v` of every event.
const VERSION: u8 = 1;

/// What an `incoming` event holds that is one subscriber's own.
pub struct Invitation<'a> {
    /// The subscriber's name.
    pub subscriber: &'a Name,
    /// The bridge token for a header of the callback; empty in an event that only wakes.
    pub token: &'a str,
    /// The URI to call back with the token in a header.
    pub sip: &'a str,
    /// The URI that carries its own token, for phones that can only dial; where the subscriber's JWT grants it.
    pub dial: Option<&'a str>,
    /// What its credential wants to be passed on. Whoever reads them knows them from there, so they are not under the signature.
    pub parameters: Option<&'a Parameters>,
    /// Whether the call is recorded if that subscriber answers.
    pub is_recorded: bool,
}

/// Identifies a notice, the same for all its subscribers: a client that got it twice can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventId {
    /// This run of the server.
    pub epoch: u64,
    /// Counts the notices of the run.
    pub sequence: u64,
}

impl EventId {
    /// Reads what `Display` writes, and nothing else.
    pub fn parse(text: &str) -> Option<EventId> {
        let (epoch, sequence) = text.split_once('-')?;
        let id = EventId { epoch: epoch.parse().ok()?, sequence: sequence.parse().ok()? };
        (id.to_string() == text).then_some(id)
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

#[derive(Serialize)]
struct IncomingEvent<'a> {
    v: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    call: &'a str,
    name: &'a str,
    #[serde(rename = "for")]
    subscriber: &'a str,
    from: &'a str,
    from_display: Option<&'a str>,
    to: &'a str,
    media: &'a [&'static str],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    recorded: bool,
    expires: &'a str,
    token: Option<&'a str>,
    callback: Callback<'a>,
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a Parameters>,
    kid: &'a str,
    signature: &'a str,
}

#[derive(Serialize)]
struct Callback<'a> {
    sip: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dial: Option<&'a str>,
}

/// The event that tells one subscriber of a parked call.
pub fn incoming(id: EventId, call: &Incoming, invitation: &Invitation<'_>, signer: &Signer) -> String {
    let (id, call_id, expires) = (id.to_string(), call.call.to_string(), call.expires.to_string());
    let (from, to) = (one_line(&call.from), one_line(&call.to));
    let from_display = call.from_display.as_deref().map(one_line);
    let media: Vec<&'static str> = call.media.words().collect();
    let signature = signer.sign(&signed(&[
        "incoming",
        &id,
        &call_id,
        call.name.as_str(),
        invitation.subscriber.as_str(),
        &from,
        from_display.as_deref().unwrap_or_default(),
        &to,
        &media.join(","),
        &expires,
        invitation.token,
        invitation.sip,
        invitation.dial.unwrap_or_default(),
        call.data.as_deref().unwrap_or_default(),
    ]));
    text(&IncomingEvent {
        v: VERSION,
        kind: "incoming",
        id: &id,
        call: &call_id,
        name: call.name.as_str(),
        subscriber: invitation.subscriber.as_str(),
        from: &from,
        from_display: from_display.as_deref(),
        to: &to,
        media: &media,
        recorded: invitation.is_recorded,
        expires: &expires,
        token: Some(invitation.token).filter(|token| !token.is_empty()),
        callback: Callback { sip: invitation.sip, dial: invitation.dial },
        data: call.data.as_deref(),
        parameters: invitation.parameters,
        kid: signer.kid(),
        signature: &signature,
    })
}

#[derive(Serialize)]
struct GoneEvent<'a> {
    v: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    call: &'a str,
    name: &'a str,
    reason: &'static str,
    winner: Option<&'a str>,
    at: &'a str,
}

/// The event that takes an `incoming` one back; the same for every subscriber.
pub fn gone(id: EventId, gone: &Gone) -> String {
    let (id, call, at) = (id.to_string(), gone.call.to_string(), gone.at.to_string());
    text(&GoneEvent {
        v: VERSION,
        kind: "gone",
        id: &id,
        call: &call,
        name: gone.name.as_str(),
        reason: gone.reason.as_str(),
        winner: gone.winner.as_ref().map(Name::as_str),
        at: &at,
    })
}

#[derive(Serialize)]
struct EndedEvent<'a> {
    v: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    call: &'a str,
    name: &'a str,
    ended_by: EndedBy,
    talked_ms: u64,
    quality: Option<Quality>,
    findings: &'a [Finding],
    at: &'a str,
}

/// The event that tells a client how the call was that it had. Not signed: it asks for nothing to be done.
pub fn ended(id: EventId, of: &Personal, ended: &Ended) -> String {
    let (id, call, at) = (id.to_string(), of.call.to_string(), of.at.to_string());
    text(&EndedEvent {
        v: VERSION,
        kind: "ended",
        id: &id,
        call: &call,
        name: of.name.as_str(),
        ended_by: ended.ended_by,
        talked_ms: ended.talked_ms,
        quality: ended.quality,
        findings: &ended.findings,
        at: &at,
    })
}

#[derive(Serialize)]
struct DigitEvent<'a> {
    v: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    call: &'a str,
    name: &'a str,
    leg: EndedBy,
    key: char,
    duration_ms: Option<u32>,
    heard: Means,
    at: &'a str,
}

/// The event that tells a client of a key that was pressed in its call. Not signed, as `ended` is not.
pub fn digit(id: EventId, of: &Personal, digit: &Digit) -> String {
    let (id, call, at) = (id.to_string(), of.call.to_string(), of.at.to_string());
    text(&DigitEvent {
        v: VERSION,
        kind: "digit",
        id: &id,
        call: &call,
        name: of.name.as_str(),
        leg: digit.leg.into(),
        key: digit.key,
        duration_ms: digit.duration_ms,
        heard: digit.heard,
        at: &at,
    })
}

#[derive(Serialize)]
struct WarningEvent<'a> {
    v: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    call: &'a str,
    name: &'a str,
    warning: &'static str,
    leg: &'static str,
    state: &'static str,
    text: &'a str,
    lasted_ms: Option<u64>,
    at: &'a str,
}

/// The event that tells a client that a side of its call is not heard, or is again. Not signed, as `ended` is not.
pub fn warning(id: EventId, of: &Personal, warning: &Warning) -> String {
    let (id, call, at) = (id.to_string(), of.call.to_string(), of.at.to_string());
    let Finding { id: what, leg, text: words } = &warning.for_client;
    text(&WarningEvent {
        v: VERSION,
        kind: "warning",
        id: &id,
        call: &call,
        name: of.name.as_str(),
        warning: what,
        leg,
        state: if warning.over_after.is_some() { "cleared" } else { "began" },
        text: words,
        lasted_ms: warning.over_after.map(|lasted| u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX)),
        at: &at,
    })
}

#[derive(Serialize)]
struct MessageEvent<'a> {
    v: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    message: &'a str,
    name: &'a str,
    from: &'a str,
    content_type: &'static str,
    at: &'a str,
    text: &'a str,
    kid: &'a str,
    signature: &'a str,
}

/// The kind of text that a message is.
pub const TEXT: &str = "text/plain";

/// The event that brings a message; the same for every subscriber.
pub fn message(id: EventId, letter: &Letter, signer: &Signer) -> String {
    let (id, message, at) = (id.to_string(), letter.id.to_string(), letter.at.to_string());
    let (name, from) = (letter.name.as_str(), one_line(&letter.from));
    let signature = signer.sign(&signed(&["message", &id, &message, name, &from, TEXT, &at, &letter.text]));
    text(&MessageEvent {
        v: VERSION,
        kind: "message",
        id: &id,
        message: &message,
        name,
        from: &from,
        content_type: TEXT,
        at: &at,
        text: &letter.text,
        kid: signer.kid(),
        signature: &signature,
    })
}

#[derive(Serialize)]
struct MessageStateEvent<'a> {
    v: u8,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    message: &'a str,
    to: &'a str,
    state: &'static str,
    reason: Option<&'static str>,
    sip_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}

/// The event that tells a sender what became of a message.
pub fn message_state(id: EventId, change: &Change) -> String {
    let head = (Some("message_state"), Some(id.to_string()), Some(change.at.to_string()));
    state_of(head, change)
}

/// What a sender is answered that asks what became of a message.
pub fn message_status(change: &Change) -> String {
    state_of((None, None, None), change)
}

fn state_of((kind, id, at): (Option<&'static str>, Option<String>, Option<String>), change: &Change) -> String {
    let failure = change.state.failure();
    text(&MessageStateEvent {
        v: VERSION,
        kind,
        id,
        message: &change.id.to_string(),
        to: change.name.as_str(),
        state: change.state.as_str(),
        reason: failure.map(Failure::as_str),
        sip_status: failure.and_then(Failure::status),
        at,
    })
}

#[derive(Serialize)]
struct PresenceEvent<'a> {
    v: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    online: bool,
    clients: u32,
    scopes: Vec<PresenceScope<'a>>,
    media: Vec<&'static str>,
    at: &'a str,
}

#[derive(Serialize)]
struct PresenceScope<'a> {
    name: &'a str,
    channels: u32,
    telephones: u32,
}

impl<'a> PresenceScope<'a> {
    fn of(scope: &'a Scope) -> PresenceScope<'a> {
        PresenceScope { name: scope.name.as_str(), channels: scope.channels, telephones: scope.telephones }
    }
}

/// The event that tells who is there under a name. Not signed: it asks for nothing to be done.
pub fn presence(name: &Name, snapshot: &Snapshot, at: Wall) -> String {
    text(&PresenceEvent {
        v: VERSION,
        kind: "presence",
        name: name.as_str(),
        online: snapshot.clients > 0,
        clients: snapshot.clients,
        scopes: snapshot.scopes.iter().map(PresenceScope::of).collect(),
        media: snapshot.media.words().collect(),
        at: &at.to_string(),
    })
}

/// The rest are the channel's own: they say nothing that a relay would carry on, so they are not signed.
#[derive(Serialize)]
struct ChannelEvent<'a> {
    v: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl ChannelEvent<'_> {
    fn new(kind: &'static str) -> Self {
        ChannelEvent {
            v: VERSION,
            kind,
            id: None,
            name: None,
            expires: None,
            resumed: None,
            reason: None,
            detail: None,
        }
    }
}

/// The first event of a channel: under which name it stands, until when, and whether it goes on where the client's last one ended.
pub fn hello(name: &Name, expires: Wall, resumed: bool) -> String {
    let (name, expires) = (Some(name.as_str()), Some(expires.to_string()));
    text(&ChannelEvent { name, expires, resumed: Some(resumed), ..ChannelEvent::new("hello") })
}

/// Follows `hello` and what the client has missed. Where the channel was not resumed, that was all calls that wait: what a client still
/// shows from before and was not told of again is gone. `id` is the place in the stream to come back to.
pub fn synced(id: EventId) -> String {
    text(&ChannelEvent { id: Some(id.to_string()), ..ChannelEvent::new("synced") })
}

/// The answer to a newer credential: until when the channel lasts now.
pub fn renewed(expires: Wall) -> String {
    text(&ChannelEvent { expires: Some(expires.to_string()), ..ChannelEvent::new("renewed") })
}

/// The answer to `ping`.
pub fn pong() -> String {
    text(&ChannelEvent::new("pong"))
}

/// The client said something that could not be done; the channel stays.
pub fn error(reason: &str, detail: &str) -> String {
    text(&ChannelEvent { reason: Some(reason), detail: Some(detail), ..ChannelEvent::new("error") })
}

/// The last event of a channel.
pub fn closing(reason: &str, detail: &str) -> String {
    text(&ChannelEvent { reason: Some(reason), detail: Some(detail), ..ChannelEvent::new("closing") })
}

fn text(event: &impl Serialize) -> String {
    serde_json::to_string(event).expect("an event is strings and numbers, which JSON can write")
}

fn signed(values: &[&str]) -> String {
    let bytes: usize = values.iter().map(|value| value.len() + 1).sum();
    let mut text = String::with_capacity(SIGNED.len() + bytes);
    text.push_str(SIGNED);
    for value in values {
        text.push('\n');
        text.push_str(value);
    }
    text
}

/// What the caller chose, without what would forge a line under the signature or in a log, or turn the reading direction
/// of what follows (RELIABILITY A21).
fn one_line(text: &str) -> Cow<'_, str> {
    let unwanted = |c: char| {
        c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    match text.contains(unwanted) {
        true => Cow::Owned(text.replace(unwanted, " ")),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{GoneReason, News, Score};
    use crate::id::{CallId, LetterId, Side};
    use crate::letter::{Sender, State};
    use crate::limits;
    use crate::media::diagnosis::findings_for_client;
    use crate::media::{Closed, Counters};
    use crate::policy::MediaKinds;
    use crate::secret::Secret;
    use crate::time::Duration;
    use crate::token::SubjectHash;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::signature::{ED25519, UnparsedPublicKey};
    use serde_json::Value;

    const ID: EventId = EventId { epoch: 1_700_000_000, sequence: 42 };

    fn signer() -> Signer {
        Signer::from_seed(&Secret::new([5; 32]))
    }

    #[test]
    fn an_id_is_read_as_it_was_written() {
        assert_eq!(EventId::parse(&ID.to_string()), Some(ID));
        for bad in ["", "-", "1", "1-", "-1", "1-2-3", "+1-2", "01-2", "1-2 ", "x-1", "99999999999999999999-1"] {
            assert_eq!(EventId::parse(bad), None, "{bad}");
        }
    }

    fn parked() -> Incoming {
        Incoming {
            call: CallId(0xabc),
            generation: 0,
            name: Name::parse("foo").unwrap(),
            called: "+49301".into(),
            from: "sip:+4930123@trunk.example".into(),
            from_display: Some("Ann \"A\"\r\nZ\u{202e}".into()),
            to: "sip:+49301@pbx.example".into(),
            media: MediaKinds::AUDIO | MediaKinds::VIDEO,
            recorded: false,
            expires: Wall(1_795_449_810_125),
            token_expires: Wall(1_795_450_110_125),
            rings: false,
            data: Some("line 1\nline 2".into()),
        }
    }

    fn verifies(signer: &Signer, event: &str, lines: &[&str]) -> bool {
        let event: Value = serde_json::from_str(event).unwrap();
        let signature = URL_SAFE_NO_PAD.decode(event["signature"].as_str().unwrap()).unwrap();
        let jwks: Value = serde_json::from_str(signer.jwks()).unwrap();
        assert_eq!(event["kid"], jwks["keys"][0]["kid"]);
        let public = URL_SAFE_NO_PAD.decode(jwks["keys"][0]["x"].as_str().unwrap()).unwrap();
        UnparsedPublicKey::new(&ED25519, public).verify(lines.join("\n").as_bytes(), &signature).is_ok()
    }

    /// The document without its signature, which the tests check by verifying it.
    fn unsigned(event: &str) -> &str {
        event.split_once(r#","kid":"#).unwrap().0
    }

    #[test]
    fn an_incoming_event_is_this_document_with_a_signature_over_these_lines() {
        let (signer, foo_web) = (signer(), Name::parse("foo/web").unwrap());
        let invitation = Invitation {
            subscriber: &foo_web,
            token: "T0",
            sip: "sip:foo/web@pbx",
            dial: Some("sip:T1@pbx"),
            parameters: None,
            is_recorded: false,
        };
        let event = incoming(ID, &parked(), &invitation, &signer);
        assert_eq!(
            unsigned(&event),
            concat!(
                r#"{"v":1,"type":"incoming","id":"1700000000-42","call":"00000000000000000000000000000abc","#,
                r#""name":"foo","for":"foo/web","from":"sip:+4930123@trunk.example","from_display":"Ann \"A\"  Z ","#,
                r#""to":"sip:+49301@pbx.example","media":["audio","video"],"expires":"2026-11-23T16:03:30.125Z","#,
                r#""token":"T0","callback":{"sip":"sip:foo/web@pbx","dial":"sip:T1@pbx"},"data":"line 1\nline 2""#,
            )
        );
        let mut lines = vec![
            "parkway-event-v1",
            "incoming",
            "1700000000-42",
            "00000000000000000000000000000abc",
            "foo",
            "foo/web",
            "sip:+4930123@trunk.example",
            "Ann \"A\"  Z ",
            "sip:+49301@pbx.example",
            "audio,video",
            "2026-11-23T16:03:30.125Z",
            "T0",
            "sip:foo/web@pbx",
            "sip:T1@pbx",
            "line 1\nline 2",
        ];
        assert!(verifies(&signer, &event, &lines));
        for line in 1..lines.len() {
            let genuine = std::mem::replace(&mut lines[line], "forged");
            assert!(!verifies(&signer, &event, &lines), "{genuine:?} is not signed");
            lines[line] = genuine;
        }
    }

    #[test]
    fn a_client_is_told_whether_the_call_is_recorded_if_it_answers() {
        use crate::policy::RecordRule;
        for (route, rule, is_recorded) in [
            (false, None, false),
            (true, None, true),
            (false, Some(RecordRule::Require), true),
            (true, Some(RecordRule::Forbid), false),
        ] {
            let (signer, foo) = (signer(), Name::parse("foo").unwrap());
            let call = Incoming { recorded: route, ..parked() };
            let is_recorded_now = call.is_recorded(rule);
            let invitation = Invitation {
                subscriber: &foo,
                token: "T0",
                sip: "sip:foo@pbx",
                parameters: None,
                dial: None,
                is_recorded: is_recorded_now,
            };
            let event: Value = serde_json::from_str(&incoming(ID, &call, &invitation, &signer)).unwrap();
            assert_eq!(event.get("recorded"), is_recorded.then_some(&Value::Bool(true)), "{route} {rule:?}");
        }
    }

    #[test]
    fn what_a_call_does_not_have_is_null_and_signed_as_an_empty_line() {
        let (signer, foo) = (signer(), Name::parse("foo").unwrap());
        let call = Incoming { from_display: None, data: None, media: MediaKinds::NONE, ..parked() };
        let invitation = Invitation {
            subscriber: &foo,
            token: "T0",
            sip: "sip:foo@pbx",
            dial: None,
            parameters: None,
            is_recorded: false,
        };
        let event = incoming(ID, &call, &invitation, &signer);
        let document: Value = serde_json::from_str(&event).unwrap();
        assert_eq!((&document["from_display"], &document["data"]), (&Value::Null, &Value::Null));
        assert_eq!(document["callback"], serde_json::json!({"sip": "sip:foo@pbx"}));
        let call_id = call.call.to_string();
        let expires = call.expires.to_string();
        let head = ["parkway-event-v1", "incoming", "1700000000-42", &call_id, "foo", "foo", &call.from, "", &call.to];
        let tail = ["", &expires, "T0", "sip:foo@pbx", "", ""];
        assert!(verifies(&signer, &event, &[&head[..], &tail].concat()));
    }

    #[test]
    fn a_message_is_this_document_with_a_signature_over_these_lines() {
        let (signer, name) = (signer(), Name::parse("foo").unwrap());
        let letter = Letter {
            id: LetterId(0xabc),
            name: name.clone(),
            from: "ann\u{202e}".into(),
            sender: Sender::Client(SubjectHash::of("ann")),
            text: "line 1\nline 2".into(),
            at: Wall(1_795_449_810_125),
            leaves: false,
        };
        let event = message(ID, &letter, &signer);
        assert_eq!(
            unsigned(&event),
            concat!(
                r#"{"v":1,"type":"message","id":"1700000000-42","message":"00000000000000000000000000000abc","name":"foo","#,
                r#""from":"ann ","content_type":"text/plain","at":"2026-11-23T16:03:30.125Z","text":"line 1\nline 2""#,
            )
        );
        let mut lines = vec!["parkway-event-v1", "message", "1700000000-42", "00000000000000000000000000000abc", "foo"];
        lines.extend(["ann ", "text/plain", "2026-11-23T16:03:30.125Z", "line 1\nline 2"]);
        assert!(verifies(&signer, &event, &lines));
        for line in 1..lines.len() {
            let genuine = std::mem::replace(&mut lines[line], "forged");
            assert!(!verifies(&signer, &event, &lines), "{genuine:?} is not signed");
            lines[line] = genuine;
        }
        let (id, sender, at) = (letter.id, letter.sender, letter.at);
        let change = Change { id, sender, name, state: State::Failed(Failure::Refused(486)), at };
        assert_eq!(
            message_state(ID, &change),
            concat!(
                r#"{"v":1,"type":"message_state","id":"1700000000-42","message":"00000000000000000000000000000abc","to":"foo","#,
                r#""state":"failed","reason":"refused","sip_status":486,"at":"2026-11-23T16:03:30.125Z"}"#,
            )
        );
        assert_eq!(
            message_status(&Change { state: State::Read, ..change }),
            concat!(
                r#"{"v":1,"message":"00000000000000000000000000000abc","to":"foo","state":"read","reason":null,"#,
                r#""sip_status":null}"#,
            )
        );
    }

    #[test]
    fn a_gone_event_says_why_and_who_won() {
        for (reason, winner, json) in [
            (GoneReason::AnsweredElsewhere, Some("foo/mobile"), r#""answered_elsewhere","winner":"foo/mobile""#),
            (GoneReason::CallerCancelled, None, r#""caller_cancelled","winner":null"#),
            (GoneReason::Timeout, None, r#""timeout","winner":null"#),
            (GoneReason::Declined, None, r#""declined","winner":null"#),
            (GoneReason::Failed, None, r#""failed","winner":null"#),
            (GoneReason::ServerStopping, None, r#""server_stopping","winner":null"#),
        ] {
            let winner = winner.map(|name| Name::parse(name).unwrap());
            let (name, at) = (Name::parse("foo").unwrap(), Wall(1_795_449_810_125));
            let notice = Gone { call: CallId(1), name, called: "+49301".into(), reason, winner, at, rings: false };
            let expected = format!(
                r#"{{"v":1,"type":"gone","id":"1700000000-42","call":"{}","name":"foo","reason":{json},"at":"2026-11-23T16:03:30.125Z"}}"#,
                notice.call
            );
            assert_eq!(gone(ID, &notice), expected);
        }
    }

    fn personal(name: &str, ended: Ended) -> Personal {
        Personal {
            call: CallId(1),
            name: Name::parse(name).unwrap(),
            called: "+49301".into(),
            holder: SubjectHash::of("ann"),
            news: News::Ended(ended),
            at: Wall(1_795_449_810_125),
            rings: false,
        }
    }

    #[test]
    fn a_digit_event_says_who_pressed_which_key_and_how_it_was_heard() {
        let head =
            r#"{"v":1,"type":"digit","id":"1700000000-42","call":"00000000000000000000000000000001","name":"foo/web","#;
        let none = Ended { ended_by: EndedBy::Caller, talked_ms: 0, quality: None, findings: Vec::new() };
        let of = personal("foo/web", none);
        for (leg, key, duration_ms, heard, rest) in [
            (
                Side::Caller,
                '5',
                Some(120),
                Means::Rfc4733,
                r#""leg":"caller","key":"5","duration_ms":120,"heard":"rfc4733","#,
            ),
            (Side::Client, '#', None, Means::Info, r##""leg":"client","key":"#","duration_ms":null,"heard":"info","##),
            (
                Side::Caller,
                'D',
                Some(40),
                Means::InBand,
                r#""leg":"caller","key":"D","duration_ms":40,"heard":"in_band","#,
            ),
        ] {
            let event = digit(ID, &of, &Digit { leg, key, duration_ms, heard });
            assert_eq!(event, format!(r#"{head}{rest}"at":"2026-11-23T16:03:30.125Z"}}"#));
        }
    }

    #[test]
    fn a_warning_event_says_who_is_not_heard_and_that_it_is_over() {
        let none = Ended { ended_by: EndedBy::Caller, talked_ms: 0, quality: None, findings: Vec::new() };
        let of = personal("foo/web", none);
        let said = |text: &str| Finding { id: "one_way_audio", leg: "caller", text: text.into() };
        for (over_after, rest) in [
            (None, r#""state":"began","text":"without an address","lasted_ms":null"#),
            (Some(Duration::from_millis(12_345)), r#""state":"cleared","text":"without an address","lasted_ms":12345"#),
        ] {
            let told = Warning { finding: said("with 192.0.2.1"), for_client: said("without an address"), over_after };
            assert_eq!(
                warning(ID, &of, &told),
                format!(
                    r#"{{"v":1,"type":"warning","id":"1700000000-42","call":"00000000000000000000000000000001","name":"foo/web","warning":"one_way_audio","leg":"caller",{rest},"at":"2026-11-23T16:03:30.125Z"}}"#
                )
            );
        }
    }

    #[test]
    fn an_ended_event_says_how_a_call_was_heard_and_fits_a_datagram() {
        let finding = Finding { id: "lost", leg: "caller", text: "3 % of the caller's packets were lost".into() };
        let score = |mos| Score { mos, mos_heard: None };
        let mut notice = Ended {
            ended_by: EndedBy::Caller,
            talked_ms: 32_000,
            quality: Some(Quality { caller: score(Some(4.03)), client: score(None) }),
            findings: vec![finding],
        };
        let ended = |notice: &Ended| super::ended(ID, &personal("foo/web", notice.clone()), notice);
        let head =
            r#"{"v":1,"type":"ended","id":"1700000000-42","call":"00000000000000000000000000000001","name":"foo/web","#;
        assert_eq!(
            ended(&notice),
            head.to_owned()
                + concat!(
                    r#""ended_by":"caller","talked_ms":32000,"#,
                    r#""quality":{"caller":{"mos":4.03,"mos_heard":null},"client":{"mos":null,"mos_heard":null}},"#,
                    r#""findings":[{"id":"lost","leg":"caller","text":"3 % of the caller's packets were lost"}],"#,
                    r#""at":"2026-11-23T16:03:30.125Z"}"#,
                )
        );
        (notice.quality, notice.findings) = (None, Vec::new());
        let none =
            r#""ended_by":"caller","talked_ms":32000,"quality":null,"findings":[],"at":"2026-11-23T16:03:30.125Z"}"#;
        assert_eq!(ended(&notice), head.to_owned() + none);
    }

    /// RFC 3428 §8: with a head of 500 bytes it still goes over UDP.
    #[test]
    fn an_ended_event_of_a_call_in_which_all_went_wrong_fits_a_datagram() {
        let address = Some("[2001:db8:1111:2222:3333:4444:5555:6666]:20002".parse().unwrap());
        let leg = Counters {
            packets_received: 1_000_000,
            packets_lost: 900_000,
            packets_duplicated: 200_000,
            packets_reordered: 300_000,
            dropped_malformed: 900_000,
            jitter_ms: 500.0,
            refused: 1_000_000,
            unreachable: 1_000_000,
            named: address,
            heard_from: address,
            local: address,
            ..Counters::default()
        };
        let findings = findings_for_client(&Closed { caller: leg, client: leg, ..Closed::default() });
        let score = Score { mos: Some(1.23), mos_heard: Some(1.23) };
        let notice = Ended {
            ended_by: EndedBy::Parkway,
            talked_ms: 86_400_000,
            quality: Some(Quality { caller: score, client: score }),
            findings,
        };
        let event = ended(ID, &personal("a-name-that-is-rather-long/and-has/many-parts", notice.clone()), &notice);
        assert!(event.len() <= limits::SIP_DATAGRAM_BYTES_MAX - 500, "{} bytes: {event}", event.len());
    }

    #[test]
    fn the_channels_own_events_are_these_documents() {
        let name = Name::parse("foo/web").unwrap();
        for (event, expected) in [
            (
                hello(&name, Wall(0), false),
                r#"{"v":1,"type":"hello","name":"foo/web","expires":"1970-01-01T00:00:00.000Z","resumed":false}"#,
            ),
            (synced(ID), r#"{"v":1,"type":"synced","id":"1700000000-42"}"#),
            (pong(), r#"{"v":1,"type":"pong"}"#),
            (error("busy", "Later"), r#"{"v":1,"type":"error","reason":"busy","detail":"Later"}"#),
            (closing("resync", "Again"), r#"{"v":1,"type":"closing","reason":"resync","detail":"Again"}"#),
        ] {
            assert_eq!(event, expected);
        }
    }
}
