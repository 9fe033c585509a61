//! The call detail record: one a call, made when the call is over, the same whoever reads it.
//! Not here: where it is written (`telemetry`).

use super::pressed::DigitCounts;
use crate::id::{CallId, Side};
use crate::media::{Closed, Counters, Finding, Recorded};
use crate::policy::Parameters;
use crate::sip::endpoint::{DialogId, Endpoint};
use crate::sip::typed;
use crate::sip::wire::{Head, Header, NameAddr};
use crate::time::{Duration, Wall};
use serde::{Serialize, Serializer};
use std::sync::Arc;

/// How a call ended, seen from the caller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A client called back and the two were bridged.
    Answered,
    /// The caller hung up first.
    CallerCancelled,
    /// Nobody called back in time.
    Timeout,
    /// A client declined.
    Declined,
    /// Something of ours or of a peer's failed; [`Record::reason`] says what.
    Failed,
    /// Parkway was shut down.
    Stopped,
}

impl Outcome {
    /// The word in records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::CallerCancelled => "caller_cancelled",
            Outcome::Timeout => "timeout",
            Outcome::Declined => "declined",
            Outcome::Failed => "failed",
            Outcome::Stopped => "stopped",
        }
    }
}

/// Who ended it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The caller's leg.
    Caller,
    /// The client's leg.
    Client,
    /// We did.
    Parkway,
}

impl From<Side> for EndedBy {
    fn from(side: Side) -> EndedBy {
        match side {
            Side::Caller => EndedBy::Caller,
            Side::Client => EndedBy::Client,
        }
    }
}

/// One call, from INVITE to the end. Times are RFC 3339 in UTC; durations are milliseconds on the monotonic clock.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// The format's version.
    pub v: u8,
    /// Our id of the call.
    #[serde(serialize_with = "as_text")]
    pub call: CallId,
    /// The Call-ID of the caller's leg.
    pub sip_call_id: String,
    /// The Call-ID of the client's leg, if there was one.
    pub client_sip_call_id: Option<String>,
    /// Both ends as the caller's leg names them in Session-ID (RFC 7989); the client's leg has the same two.
    pub session_id: Option<String>,
    /// The trunk it came from.
    #[serde(serialize_with = "as_text")]
    pub trunk: Arc<str>,
    /// The name it was parked for first.
    pub name: String,
    /// How it was handed on, in order.
    pub transfers: Vec<Transfer>,
    /// The caller's From URI.
    pub from: String,
    /// The URI that the trunk asserts the caller to be, if it may (RFC 3325); the caller's wish for privacy is not heeded here.
    pub asserted_identity: Option<String>,
    /// The caller's To URI.
    pub to: String,
    /// When the INVITE came.
    #[serde(serialize_with = "as_text")]
    pub started: Wall,
    /// When both sides had their 200, the first time.
    #[serde(serialize_with = "as_text_or_null")]
    pub answered: Option<Wall>,
    /// When it was over.
    #[serde(serialize_with = "as_text")]
    pub ended: Wall,
    /// From the INVITE to the bridge, or to the end without one.
    pub waited_ms: u64,
    /// From the bridge to its end, of all bridges together.
    pub talked_ms: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// The final response to the caller's INVITE.
    pub status: u16,
    /// A short, stable text: why it ended as it did.
    pub reason: &'static str,
    /// The name that answered.
    pub winner: Option<String>,
    /// Policy's reason for the bridge.
    pub permit: Option<String>,
    /// What the credential of who answered wants to be passed on.
    pub parameters: Option<Parameters>,
    /// Callbacks that were refused while the call waited.
    pub refused_callbacks: u32,
    /// Policy's reason for the last of them.
    pub last_refusal: Option<&'static str>,
    /// From the INVITE to the first client that said it rings; `null` if none did.
    pub rang_ms: Option<u32>,
    /// The codec that both sides speak.
    pub codec: Option<String>,
    /// How each side's audio was encrypted at last; `null` where it was not.
    pub srtp: Encrypted,
    /// What became of its recording; `null` where there was to be none.
    pub recording: Option<Recorded>,
    /// How many keys were pressed in the bridge, and never which; `null` where nobody counts.
    pub digits: Option<DigitCounts>,
    /// What the relay counted.
    pub media: Option<Closed>,
    /// The video of a call that had some; `null` of others.
    pub video: Option<Video>,
    /// Of a call that became a fax; `null` of others.
    pub fax: Option<Fax>,
    /// How many warnings the client was told while the call went on.
    pub warnings: u8,
    /// What was wrong with the audio; empty of a call that was heard.
    pub findings: Vec<Finding>,
}

/// The fax of a call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Fax {
    /// When both sides had agreed on it, the first time.
    #[serde(serialize_with = "as_text")]
    pub began: Wall,
    /// What came from the caller.
    pub caller: Datagrams,
    /// What came from the client.
    pub client: Datagrams,
}

/// One leg's datagrams (UDPTL).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize)]
pub struct Datagrams {
    /// From its validated address, well-formed.
    pub received: u64,
    /// Of these, sent on to the other leg.
    pub forwarded: u64,
    /// By their numbers on their way to us, but they never came: what the ends repair by what they send twice is not known here.
    pub lost: u64,
    /// Dropped: from a strange address.
    pub dropped_source: u64,
    /// Dropped: no UDPTL, or too long.
    pub dropped_malformed: u64,
}

impl Fax {
    /// Before the relay says what crossed.
    pub(super) fn begun(began: Wall) -> Fax {
        Fax { began, caller: Datagrams::default(), client: Datagrams::default() }
    }

    /// With what it says.
    pub(super) fn count(&mut self, closed: &Closed) {
        (self.caller, self.client) = (Datagrams::of(&closed.caller), Datagrams::of(&closed.client));
    }
}

impl Datagrams {
    fn of(counters: &Counters) -> Datagrams {
        Datagrams {
            received: counters.packets_received,
            forwarded: counters.packets_forwarded,
            lost: counters.packets_lost,
            dropped_source: counters.dropped_source,
            dropped_malformed: counters.dropped_malformed,
        }
    }
}

/// The video of a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Video {
    /// The codec that both sides spoke at last; `null` if there was no video any more.
    pub codec: Option<String>,
    /// How each side's was encrypted at last.
    pub srtp: Encrypted,
    /// What the relay counted of it.
    pub media: Option<Closed>,
}

/// The suites of both sides, as RFC 4568 names them.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize)]
pub struct Encrypted {
    /// The caller's.
    pub caller: Option<&'static str>,
    /// The client's.
    pub client: Option<&'static str>,
}

/// A client has handed the call on (RFC 3515).
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Transfer {
    /// When.
    #[serde(serialize_with = "as_text")]
    pub at: Wall,
    /// The name under which that client had answered.
    pub by: String,
    /// The name that the call was waiting for before.
    pub from: String,
    /// The name that it waits for from then on.
    pub to: String,
}

/// The Call-ID of a dialog.
pub(super) fn call_id(endpoint: &Endpoint, dialog: DialogId) -> Option<String> {
    call_id_in(&made_by(endpoint, dialog)?)
}

/// The Call-ID of a message.
pub(super) fn call_id_in(message: &Head<'_>) -> Option<String> {
    message.header(Header::CallId).map(text)
}

/// The message of the peer's that made a dialog.
pub(super) fn made_by(endpoint: &Endpoint, dialog: DialogId) -> Option<Head<'_>> {
    Head::of_kept(endpoint.made_by(dialog)?).map(|(head, _)| head)
}

/// The URI in one of its addresses.
pub(super) fn uri_in(invite: &Head<'_>, header: Header) -> Option<String> {
    NameAddr::parse(invite.header(header)?).ok().map(|address| uri_text(&address))
}

/// A URI as records and events have it: normalised where it is SIP's, as it came where it is not.
pub(super) fn uri_text(address: &NameAddr<'_>) -> String {
    let uri = address.uri.as_bytes();
    typed::uri(uri).map_or_else(|| text(uri), |uri| uri.to_string())
}

/// What a peer wrote, as text that cannot steer a terminal.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "")
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn as_text<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn as_text_or_null<T: std::fmt::Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}
