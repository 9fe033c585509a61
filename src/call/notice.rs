//! What a call tells the clients that wait for it, and what they tell the call; and what they write to each other: plain data, the only words between the switch
//! and the subscribers.
//! Not here: who listens and how an event is written (`notify`), and what a decline does to the call (`call`, `switch`).

use crate::call::EndedBy;
use crate::id::{CallId, LetterId, Side};
use crate::letter::{Change, Letter};
use crate::media::{Dialled, Finding, Means, Warning};
use crate::name::Name;
use crate::policy::{MediaKinds, RecordRule};
use crate::time::Wall;
use crate::token::SubjectHash;
use serde::Serialize;
use std::sync::Arc;

/// Switch to subscribers.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A call is parked and waits for a client of its name.
    Incoming(Incoming),
    /// A call waits no more. Sent once for each [`Notice::Incoming`].
    Gone(Gone),
    /// Something for the client alone that has a call, or had it.
    Personal(Box<Personal>),
    /// Somebody has written something.
    Letter(Arc<Letter>),
    /// What became of that: for whoever wrote it.
    Changed(Box<Change>),
    /// It is not kept any more. Nobody is told.
    Forgotten(LetterId),
}

/// A parked call, as much of it as a client is told. Kept for as long as the call is parked, for clients that subscribe meanwhile:
/// boxed strings, because there may be 100,000 of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The call.
    pub call: CallId,
    /// The generation of the parked leg; the bridge token is good for this one only.
    pub generation: u32,
    /// The name that is called: subscribers of it and of the names below it are told.
    pub name: Name,
    /// The number that was called, as routes know it: for policy.
    pub called: Arc<str>,
    /// The caller's URI, as text.
    pub from: Box<str>,
    /// The caller's display name, where there is one.
    pub from_display: Option<Box<str>>,
    /// The called URI, as text.
    pub to: Box<str>,
    /// What the caller offers.
    pub media: MediaKinds,
    /// Whether its route has it recorded.
    pub recorded: bool,
    /// When the call stops waiting.
    pub expires: Wall,
    /// When the bridge token stops opening: later than `expires`, so that a late callback is told what became of the call.
    pub token_expires: Wall,
    /// Whether telephones that registered are rung, and not told.
    pub rings: bool,
    /// Opaque text of the route or the application, handed on as it is.
    pub data: Option<Arc<str>>,
}

impl Incoming {
    /// Whether the call is recorded if a client answers whose grant says that of it.
    pub fn is_recorded(&self, rule: Option<RecordRule>) -> bool {
        match rule {
            Some(RecordRule::Require) => true,
            Some(RecordRule::Forbid) => false,
            None => self.recorded,
        }
    }
}

/// A parked call that waits no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The call.
    pub call: CallId,
    /// The name under which it was announced.
    pub name: Name,
    /// The number that was called, as routes know it: for policy.
    pub called: Arc<str>,
    /// Why.
    pub reason: GoneReason,
    /// Who answered, for [`GoneReason::AnsweredElsewhere`].
    pub winner: Option<Name>,
    /// When.
    pub at: Wall,
    /// Whether telephones that registered were rung, and not told.
    pub rings: bool,
}

/// What the client is told that has a call: it alone, on each channel that it has under the name.
#[derive(Clone, Debug, PartialEq)]
pub struct Personal {
    /// The call.
    pub call: CallId,
    /// The name under which the client answered.
    pub name: Name,
    /// The number that was called, as routes know it: for policy.
    pub called: Arc<str>,
    /// Who it is: nobody else is told, under whatever name.
    pub holder: SubjectHash,
    /// What happened.
    pub news: News,
    /// When.
    pub at: Wall,
    /// Whether telephones that registered were rung, and not told.
    pub rings: bool,
}

/// What happened to a client's call.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// It is over.
    Ended(Ended),
    /// A key was pressed.
    Digit(Digit),
    /// A side that should be heard is not, or is again.
    Warning(Warning),
}

/// A key that was pressed in a call. It may be part of a PIN, so it is nobody else's, and stands in no log and no record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Digit {
    /// Who pressed it.
    pub leg: Side,
    /// `0`–`9`, `*`, `#`, `A`–`D`.
    pub key: char,
    /// For how long, milliseconds, if that was said.
    pub duration_ms: Option<u32>,
    /// How it was heard.
    pub heard: Means,
}

/// How a call was that is over, with what its record says of how it was heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Who ended it.
    pub ended_by: EndedBy,
    /// How long both sides were joined, by all clients together.
    pub talked_ms: u64,
    /// How well each side was heard; `None` if the relay did not say.
    pub quality: Option<Quality>,
    /// What was wrong with the audio, the worst first; no address of the caller's is in it.
    pub findings: Vec<Finding>,
}

/// How well the two sides were heard.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quality {
    /// What came from the caller, and what it heard.
    pub caller: Score,
    /// The same of the client.
    pub client: Score,
}

/// Two opinion scores, as in the record.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Of what came from a side, as far as here.
    pub mos: Option<f64>,
    /// Of what that side heard, by its own reports.
    pub mos_heard: Option<f64>,
}

/// Why a call waits no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoneReason {
    /// A client was bridged to it.
    AnsweredElsewhere,
    /// The caller hung up.
    CallerCancelled,
    /// Nobody called back before the deadline.
    Timeout,
    /// The clients declined it.
    Declined,
    /// The call broke: a fault of the network or of ours.
    Failed,
    /// This server stops.
    ServerStopping,
}

impl GoneReason {
    /// The stable id that events, records and late answers carry.
    pub fn as_str(self) -> &'static str {
        match self {
            GoneReason::AnsweredElsewhere => "answered_elsewhere",
            GoneReason::CallerCancelled => "caller_cancelled",
            GoneReason::Timeout => "timeout",
            GoneReason::Declined => "declined",
            GoneReason::Failed => "failed",
            GoneReason::ServerStopping => "server_stopping",
        }
    }

    /// The `Reason` (RFC 3326) for a client that comes too late.
    pub fn reason_header(self) -> &'static str {
        match self {
            GoneReason::AnsweredElsewhere => "SIP;cause=200;text=\"Call completed elsewhere\"",
            GoneReason::CallerCancelled => "SIP;cause=487;text=\"Caller hung up\"",
            GoneReason::Timeout => "Q.850;cause=19;text=\"No answer in time\"",
            GoneReason::Declined => "SIP;cause=603;text=\"Declined\"",
            GoneReason::Failed => "SIP;cause=500;text=\"Call failed\"",
            GoneReason::ServerStopping => "SIP;cause=503;text=\"Server stopping\"",
        }
    }
}

/// Subscriber to switch: what a client says of a call that it was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientMessage {
    /// The call.
    pub call: CallId,
    /// The name that the client is subscribed to.
    pub name: Name,
    /// Who the client is: the subject of its JWT.
    pub subject: Arc<str>,
    /// What it says.
    pub kind: ClientMessageKind,
}

/// What a client says of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMessageKind {
    /// It does not want the call.
    Declined,
    /// It rings.
    Ringing,
    /// It has the call, and these keys are to be pressed in it, for the caller to hear.
    Pressed(Dialled),
}
