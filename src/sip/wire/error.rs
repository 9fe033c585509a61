//! What can be wrong with a message, and what may be answered.
//! Not here: the answers themselves (`write`), and refusals that need more than one message to decide (`sip::endpoint`).

use super::write::Answerable;
use super::{Head, Header, Method, start_line};
use std::fmt;

/// What is wrong, in terms of RFC 3261. Always the sender's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// Longer than [`SIP_BYTES_MAX`](crate::limits::SIP_BYTES_MAX).
    TooLong,
    /// A CR or LF of the head that is not part of a CRLF.
    LineEnding,
    /// No empty line ends the head.
    NoBlankLine,
    /// More header lines than [`SIP_HEADERS_MAX`](crate::limits::SIP_HEADERS_MAX).
    TooManyHeaders,
    /// A continuation line with nothing on it.
    Fold,
    /// A line that does not begin with a token and a colon.
    HeaderName,
    /// Neither a Request-Line nor a Status-Line.
    StartLine,
    /// A well-formed version that is not SIP/2.0.
    Version,
    /// The Request-URI is no URI, or has what a Request-URI may not have (RFC 3261 §19.1.1: headers).
    RequestUri,
    /// A header that every message has is absent (RFC 3261 §8.1.1).
    Missing(Header),
    /// A header that a message has once is there twice.
    Repeated(Header),
    /// The value of a header is not what its grammar says, or out of range.
    Malformed(Header),
    /// Content-Length counts more bytes than there are (RFC 3261 §18.3).
    BodyShort,
    /// CSeq names another method than the Request-Line.
    CSeqMethod,
    /// Not a URI.
    Uri,
    /// Not a name-addr or addr-spec with parameters.
    NameAddr,
    /// Not a via-parm.
    ViaParm,
    /// Not a number, or beyond its range.
    Number,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::TooLong => f.write_str("message too long"),
            Error::LineEnding => f.write_str("CR or LF alone"),
            Error::NoBlankLine => f.write_str("no empty line after the headers"),
            Error::TooManyHeaders => f.write_str("too many headers"),
            Error::Fold => f.write_str("bad continuation line"),
            Error::HeaderName => f.write_str("bad header name"),
            Error::StartLine => f.write_str("bad start line"),
            Error::Version => f.write_str("version not supported"),
            Error::RequestUri => f.write_str("bad Request-URI"),
            Error::Missing(header) => write!(f, "missing {header}"),
            Error::Repeated(header) => write!(f, "repeated {header}"),
            Error::Malformed(header) => write!(f, "bad {header}"),
            Error::BodyShort => f.write_str("body shorter than Content-Length"),
            Error::CSeqMethod => f.write_str("CSeq has another method"),
            Error::Uri => f.write_str("bad URI"),
            Error::NameAddr => f.write_str("bad address"),
            Error::ViaParm => f.write_str("bad Via value"),
            Error::Number => f.write_str("bad number"),
        }
    }
}

impl std::error::Error for Error {}

/// A datagram that is no acceptable message, with what could be read of it.
pub struct Broken<'a> {
    /// The first thing that was found wrong.
    pub error: Error,
    head: Head<'a>,
}

impl<'a> Broken<'a> {
    pub(super) fn new(error: Error, head: Head<'a>) -> Broken<'a> {
        Broken { error, head }
    }

    /// The status of the one stateless response that may be sent (400, 505 for another version, 513 for more than we can hold), if
    /// any may: the start line is that of a request other than ACK, and there is a Via, From, To, Call-ID and CSeq to answer with
    /// (RFC 3261 §8.2.6, §16.3). `None`: drop it and count it.
    pub fn reply_status(&self) -> Option<u16> {
        self.may_be_answered()?;
        Some(match self.error {
            Error::Version => 505,
            Error::TooLong | Error::TooManyHeaders => 513,
            Error::LineEnding | Error::NoBlankLine | Error::Fold | Error::HeaderName | Error::StartLine => 400,
            Error::RequestUri | Error::Missing(_) | Error::Repeated(_) | Error::Malformed(_) => 400,
            Error::BodyShort | Error::CSeqMethod | Error::Uri | Error::NameAddr | Error::ViaParm | Error::Number => 400,
        })
    }

    /// What [`reply`](super::write::reply) needs for that response; `None` when none may be sent.
    pub fn answerable(&self) -> Option<Answerable<'_, 'a>> {
        self.may_be_answered().map(Answerable::of_head)
    }

    fn may_be_answered(&self) -> Option<&Head<'a>> {
        // RFC 3261 §17.1.1.3: nothing answers an ACK.
        let answered = start_line::method_of(self.head.start_line())? != Method::Ack;
        (answered && self.head.has_reply_headers()).then_some(&self.head)
    }
}

impl fmt::Debug for Broken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broken").field("error", &self.error).field("reply_status", &self.reply_status()).finish()
    }
}
