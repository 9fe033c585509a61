//! Why a subscription ends, in the words and numbers that a client hears.

use crate::policy::Reason;

/// Why a channel is closed. The client gets it as a `closing` event and as the code and text of the WebSocket's Close frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closing {
    /// Policy says no, at the start or since: the credential expired, the grant was withdrawn.
    Refused(Reason),
    /// A newer credential is somebody else's.
    OtherSubject,
    /// The first frame did not come in time.
    AuthTimeout,
    /// The client does not read. It should come back: what still waits will be told again.
    Slow,
    /// We fell behind and lost count. The client should come back: what still waits will be told again.
    Resync,
    /// This server stops.
    ServerStopping,
    /// The client makes too many mistakes.
    Mistakes,
    /// The client says too much.
    Flood,
    /// The client sent a message beyond the limit.
    TooBig,
    /// The client answers no ping.
    Silent,
    /// The client left, or the network did.
    Left,
}

impl Closing {
    /// The WebSocket status code: RFC 6455 §7.4.1 where it has one, else 4000 plus the HTTP status that comes nearest.
    pub fn code(self) -> u16 {
        match self {
            Closing::Refused(reason) if is_about_credential(reason) => 4401,
            Closing::Refused(_) | Closing::OtherSubject => 4403,
            Closing::AuthTimeout | Closing::Silent => 4408,
            Closing::Slow | Closing::Resync => 1013,
            Closing::ServerStopping => 1001,
            Closing::Mistakes | Closing::Flood => 1008,
            Closing::TooBig => 1009,
            Closing::Left => 1000,
        }
    }

    /// The stable id.
    pub fn as_str(self) -> &'static str {
        match self {
            Closing::Refused(reason) => reason.as_str(),
            Closing::OtherSubject => "other_subject",
            Closing::AuthTimeout => "auth_timeout",
            Closing::Slow => "slow_reader",
            Closing::Resync => "resync",
            Closing::ServerStopping => "server_stopping",
            Closing::Mistakes => "too_many_mistakes",
            Closing::Flood => "too_many_messages",
            Closing::TooBig => "message_too_big",
            Closing::Silent => "no_pong",
            Closing::Left => "left",
        }
    }

    /// One sentence for people.
    pub fn detail(self) -> &'static str {
        match self {
            Closing::Refused(reason) => reason.title(),
            Closing::OtherSubject => "The newer credential is not of the same subject; open a channel with it",
            Closing::AuthTimeout => "No credential came within the time for it",
            Closing::Slow => "Events were not read fast enough; subscribe again, and what still waits is told again",
            Closing::Resync => "Events may have been lost; subscribe again, and what still waits is told again",
            Closing::ServerStopping => "The server stops; subscribe again",
            Closing::Mistakes => "Too many messages could not be understood",
            Closing::Flood => "Too many messages in one second",
            Closing::TooBig => "A message was longer than 64 kB",
            Closing::Silent => "A ping was not answered",
            Closing::Left => "Goodbye",
        }
    }
}

/// Whether another credential could help (HTTP's 401) or the one that came is understood and not enough (403).
pub fn is_about_credential(reason: Reason) -> bool {
    match reason {
        Reason::NoCredential
        | Reason::TokenMalformed
        | Reason::TokenIdentity
        | Reason::TokenExpired
        | Reason::TokenNotYetValid
        | Reason::TokenWrongAudience
        | Reason::TokenBadSignature
        | Reason::TokenUnknownKey
        | Reason::TokenAlgorithm
        | Reason::PasswordWrong
        | Reason::NonceStale => true,
        Reason::NameNotGranted
        | Reason::BridgeNotGranted
        | Reason::TransferNotGranted
        | Reason::MessageNotGranted
        | Reason::PresenceNotGranted
        | Reason::DialNotGranted
        | Reason::MediaNotGranted
        | Reason::ConcurrencyExceeded
        | Reason::SourceNotGranted
        | Reason::TimeNotGranted
        | Reason::CalledNotGranted
        | Reason::CallsExceeded
        | Reason::RateExceeded
        | Reason::CallsUncounted
        | Reason::PolicyUnavailable
        | Reason::NoRule
        | Reason::PolicyDenied => false,
    }
}
