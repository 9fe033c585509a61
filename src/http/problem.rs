//! Refusals as RFC 9457 problem documents with the stable reason id that logs and records carry too.
//! Not here: what the client asked for: a document never repeats it, so two refusals for one reason are the same bytes.

use crate::notify::is_about_credential;
use crate::policy::Reason;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Where the ids of problem types start; they name, and need not lead anywhere (RFC 9457 §3.1.1).
const TYPE_PREFIX: &str = "urn:parkway:problem:";
/// Seconds after which a client that was turned away for lack of room may come back.
const RETRY_AFTER_SECONDS: &str = "5";

/// Why a request was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Problem {
    /// Policy or the credential says no.
    Refused(Reason),
    /// The query is not `name=…` with a well-formed name.
    BadName,
    /// The names to be watched are none, too many, or asked for by polling.
    Contacts,
    /// A ticket that is none, for another name, too old or used; or one beside a JWT.
    Ticket,
    /// What was posted is no word of a client's.
    Word,
    /// The call that a client speaks of does not wait for its name.
    UnknownCall,
    /// What was posted is no device, or none that its service would know.
    Device,
    /// No such push service.
    PushService,
    /// A message that cannot be taken, or asked after.
    Letter(BadLetter),
    /// A page of another origin.
    Origin,
    /// Not a WebSocket handshake.
    NotWebSocket,
    /// A WebSocket for something else than SIP.
    Subprotocol,
    /// Too many channels, in all or from this address.
    Full,
    /// Nothing at this path.
    NotFound,
    /// Another method is wanted.
    Method,
}

/// What is wrong with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BadLetter {
    /// It is none, or for nobody who could have a name.
    Malformed,
    /// It is longer than one may be.
    TooLarge,
    /// It is no plain text.
    Type,
    /// There is none for whoever asks.
    Unknown,
}

impl BadLetter {
    fn status(self) -> StatusCode {
        match self {
            BadLetter::Malformed => StatusCode::BAD_REQUEST,
            BadLetter::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            BadLetter::Type => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            BadLetter::Unknown => StatusCode::NOT_FOUND,
        }
    }

    fn texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            BadLetter::Malformed => (
                "malformed",
                "The message cannot be understood",
                "Post a JSON object with to, text, and maybe content_type, id and from",
            ),
            BadLetter::TooLarge => (
                "message_too_large",
                "The message is too long",
                "A text has 4096 bytes at most; put more behind a link",
            ),
            BadLetter::Type => ("message_type", "Messages are plain text", "Leave content_type out, or say text/plain"),
            BadLetter::Unknown => {
                ("unknown_message", "There is no such message", "A sender may ask after its own, for two hours")
            }
        }
    }
}

#[derive(Serialize)]
struct Document {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'static str,
    reason: &'static str,
}

impl Problem {
    /// A request that needs a credential has none.
    pub(super) const NO_CREDENTIAL: Problem = Problem::Refused(Reason::NoCredential);

    fn status(self) -> StatusCode {
        match self {
            Problem::Refused(reason) if is_about_credential(reason) => StatusCode::UNAUTHORIZED,
            Problem::Refused(_) | Problem::Origin => StatusCode::FORBIDDEN,
            Problem::Ticket => StatusCode::UNAUTHORIZED,
            Problem::Contacts => StatusCode::BAD_REQUEST,
            Problem::BadName | Problem::Subprotocol | Problem::Word | Problem::Device => StatusCode::BAD_REQUEST,
            Problem::Letter(bad) => bad.status(),
            Problem::NotWebSocket => StatusCode::UPGRADE_REQUIRED,
            Problem::Full => StatusCode::SERVICE_UNAVAILABLE,
            Problem::NotFound | Problem::UnknownCall | Problem::PushService => StatusCode::NOT_FOUND,
            Problem::Method => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// The stable id.
    pub(super) fn id(self) -> &'static str {
        self.texts().0
    }

    /// The stable id, the title and what to do about it.
    fn texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Problem::Refused(reason) if is_about_credential(reason) => (
                reason.as_str(),
                reason.title(),
                "Send a JWT as a bearer token, or as the first message of the channel",
            ),
            Problem::Refused(reason) => {
                (reason.as_str(), reason.title(), "The JWT is good, and policy does not allow this with it")
            }
            Problem::BadName => (
                "bad_name",
                "The name cannot be read",
                "The query is name=NAME, and maybe last=ID, contacts=NAMES or ticket=TICKET; never put a JWT in it",
            ),
            Problem::Contacts => (
                "bad_contacts",
                "The names to be watched cannot be read",
                "contacts=NAME,NAME, 64 at most, on a WebSocket or a stream; whoever polls asks GET /v1/presence/NAME",
            ),
            Problem::Ticket => (
                "ticket_invalid",
                "The ticket is not good for this",
                "A ticket from POST /v1/tickets opens one stream of its name, once, within half a minute",
            ),
            Problem::Word => (
                "malformed",
                "The message cannot be understood",
                "Post a JSON object with type `decline` or `ringing` and call, or `delivered` or `read` and message",
            ),
            Problem::UnknownCall => {
                ("unknown_call", "No such call waits for this name", "It may have been answered or given up")
            }
            Problem::Device => (
                "device_malformed",
                "This is no device that its service could wake",
                "Post a JSON object with name, provider and prid, and for a browser its endpoint and keys",
            ),
            Problem::PushService => (
                "push_service_unknown",
                "There is no such push service here, or not for this application",
                "GET /v1/devices says which there are",
            ),
            Problem::Letter(bad) => bad.texts(),
            Problem::Origin => {
                ("origin_refused", "Pages of this origin may not subscribe", "The operator lists the origins that may")
            }
            Problem::NotWebSocket => {
                ("not_websocket", "This is not a WebSocket handshake", "RFC 6455 §4.1 says what one holds")
            }
            Problem::Subprotocol => (
                "subprotocol_missing",
                "This WebSocket is for SIP",
                "Offer the subprotocol `sip` in Sec-WebSocket-Protocol (RFC 7118 §4)",
            ),
            Problem::Full => {
                ("full", "There is no room for another channel", "Come back after the time in Retry-After")
            }
            Problem::NotFound => {
                ("not_found", "There is nothing here", "GET /v1/subscribe opens a channel, GET /v1/poll asks once")
            }
            Problem::Method => {
                ("method_not_allowed", "This method is not for this resource", "The documentation names the methods")
            }
        }
    }

    /// The header that the status calls for.
    fn header(self) -> Option<(header::HeaderName, HeaderValue)> {
        match self {
            Problem::Refused(reason) if is_about_credential(reason) => challenge(),
            Problem::Ticket => challenge(),
            Problem::Full => Some((header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS))),
            Problem::NotWebSocket => Some((header::UPGRADE, HeaderValue::from_static("websocket"))),
            // The router says which methods there are.
            Problem::Method | Problem::NotFound | Problem::UnknownCall | Problem::PushService | Problem::Device => None,
            Problem::Refused(_) | Problem::BadName | Problem::Subprotocol | Problem::Origin | Problem::Word => None,
            Problem::Contacts => None,
            Problem::Letter(_) => None,
        }
    }
}

/// RFC 6750 §3.
fn challenge() -> Option<(header::HeaderName, HeaderValue)> {
    Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"parkway\"")))
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (reason, title, detail) = self.texts();
        let r#type = format!("{TYPE_PREFIX}{}", reason.replace('_', "-"));
        let document = Document { r#type, title, status: self.status().as_u16(), detail, reason };
        let body = serde_json::to_string(&document).expect("a problem is strings and a number, which JSON can write");
        let content = (header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        let mut response = (self.status(), [content], body).into_response();
        response.headers_mut().extend(self.header());
        response
    }
}
