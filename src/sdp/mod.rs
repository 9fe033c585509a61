//! Session descriptions (RFC 8866) and offer/answer (RFC 3264), reduced to what a relay needs: who sends what where, under which number.
//! Not here: dialogs (`sip::dialog`), packets (`media`), and any copy of what a peer wrote beyond what both legs agreed.
//!
//! ```text
//!  caller's offer ─ parse ─▶ Description ─┐
//!                                         ├─ agree() ─▶ Agreement ─ write_answer() ─▶ caller, client
//!  client's offer ─ parse ─▶ Description ─┘        │
//!                                                  └─ renumbering(side) of audio and video ─▶ the relay
//!  later: A's new offer ─ propose() ─▶ Agreement ─ write_offer() ─▶ B ─ accept_answer() ─▶ Agreement ─ write_answer() ─▶ A
//! ```

mod address;
mod agreement;
mod answer;
mod crypto;
mod direction;
mod fax;
mod media;
mod parameters;
mod parse;
mod write;

pub use address::{AddressRules, BadAddress, Remote, unmapped};
pub use agreement::{Agreement, accept_answer, agree, propose, telephony};
pub use answer::{Agreed, Codecs, LegFormat, NotAgreed, Renumbering, Wishes};
pub use crypto::{Crypto, KEY_AND_SALT_BYTES_MAX, Master, Suite};
pub use direction::{Direction, Directions, sends};
pub use fax::Fax;
pub use media::{Connection, Encoding, Format, Kind, Media, Protocol, Role, Rtcp};
pub use write::{Carriage, Local, LocalStream, Outline, write_answer, write_offer};

use crate::limits;
use arrayvec::ArrayVec;
use std::fmt;

/// A session description, borrowed from the body that it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description<'a> {
    /// All of it. The same bytes again change nothing: a session refresh (RFC 3264 §8). The version in `o=` alone is not believed: there
    /// are devices that change codecs or hold a call without counting it up.
    pub bytes: &'a [u8],
    /// The value of `o=`.
    pub origin: &'a [u8],
    /// The value of the first `t=`, which an answer repeats (RFC 3264 §6); `0 0` where there was none.
    pub timing: &'a [u8],
    /// The media descriptions in their order, which every answer and later offer keeps (RFC 3264 §8).
    pub media: ArrayVec<Media<'a>, { limits::SDP_MEDIA_MAX }>,
}

impl<'a> Description<'a> {
    /// Reads a description (RFC 8866 §5, §9).
    ///
    /// Lenient where devices are known to be careless and nothing depends on it: LF for CRLF, no line end at the end,
    /// `s=` and `t=` missing, lines in another order than the RFC's, a `ptime` outside 1–200 (as though it were absent).
    /// Whatever we use and cannot read refuses the whole: a guess would send audio to the wrong place.
    pub fn parse(body: &'a [u8]) -> Result<Description<'a>, Error> {
        parse::description(body)
    }

    /// The audio that is relayed, with its place among the media: the first that can be, and rather one with keys.
    /// All streams but this, the video and the fax are answered with port 0 (RFC 3264 §6).
    pub fn audio(&self) -> Option<(usize, &Media<'a>)> {
        self.relayed(Kind::Audio)
    }

    /// The same of the video.
    pub fn video(&self) -> Option<(usize, &Media<'a>)> {
        self.relayed(Kind::Video)
    }

    /// The same of the fax.
    pub fn fax(&self) -> Option<(usize, &Media<'a>)> {
        self.relayed(Kind::Image)
    }

    fn relayed(&self, kind: Kind<'_>) -> Option<(usize, &Media<'a>)> {
        let relayed = || self.media.iter().enumerate().filter(|(_, media)| media.kind == kind && media.is_relayed());
        relayed().find(|(_, media)| media.crypto.is_some()).or_else(|| relayed().next())
    }

    /// What its author does with each stream.
    pub fn directions(&self) -> Directions {
        let of = |stream: Option<(usize, &Media<'a>)>| stream.map_or(Direction::Inactive, |(_, media)| media.direction);
        Directions { audio: of(self.audio()), video: of(self.video()), fax: of(self.fax()) }
    }

    /// The same with audio of these payload types alone.
    #[must_use]
    pub fn only(mut self, payload_types: &[u8]) -> Description<'a> {
        self.media.iter_mut().for_each(|media| media.formats.retain(|f| payload_types.contains(&f.payload_type)));
        self.without(Kind::Video).without(Kind::Image)
    }

    /// The same without any keys, for a leg that may have none: streams that need them are not relayed then.
    #[must_use]
    pub fn without_keys(mut self) -> Description<'a> {
        self.media.iter_mut().for_each(|media| media.crypto = None);
        self
    }

    /// The same with all streams of a kind switched off, for a leg that may have none, or gets none: they are refused.
    #[must_use]
    pub fn without(mut self, kind: Kind<'_>) -> Description<'a> {
        self.media.iter_mut().filter(|media| media.kind == kind).for_each(|media| media.port = 0);
        self
    }
}

/// Why a body is no session description, and in which line (counted from 1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Error {
    /// The line; one past the last for what is missing.
    pub line: usize,
    /// What is wrong with it.
    pub what: What,
}

/// What is wrong with a line of a session description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// The body is longer than [`limits::SDP_BYTES_MAX`].
    TooLong,
    /// More than [`limits::SDP_MEDIA_MAX`] media descriptions.
    TooManyMedia,
    /// More than [`limits::SDP_FORMATS_MAX`] formats in one media description.
    TooManyFormats,
    /// More than [`limits::SDP_ATTRIBUTES_MAX`] attributes.
    TooManyAttributes,
    /// Not `<letter>=<value>`, a letter that RFC 8866 does not know, or a NUL or lone CR.
    Line,
    /// `v=0` is not the first line.
    Version,
    /// `o=` is missing or not its six words.
    Origin,
    /// `c=` is not its three words, or the address is not of the type that it says.
    Connection,
    /// `t=` is not two numbers.
    Timing,
    /// `m=` is not kind, port, protocol and formats.
    Media,
    /// A port that is not 0 to 65535.
    Port,
    /// An RTP payload type that is not 0 to 127.
    PayloadType,
    /// `a=rtpmap` without encoding name or a clock rate above 0.
    RtpMap,
    /// `a=rtcp` without a port, or with a broken address.
    Rtcp,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SDP line {}: {}", self.line, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::TooLong => write!(f, "the body has more than {} bytes", limits::SDP_BYTES_MAX),
            What::TooManyMedia => write!(f, "more than {} media descriptions", limits::SDP_MEDIA_MAX),
            What::TooManyFormats => write!(f, "more than {} formats", limits::SDP_FORMATS_MAX),
            What::TooManyAttributes => write!(f, "more than {} attributes", limits::SDP_ATTRIBUTES_MAX),
            What::Line => f.write_str("not <letter>=<value>"),
            What::Version => f.write_str("v=0 must come first"),
            What::Origin => f.write_str("o= is missing or has not its six words"),
            What::Connection => f.write_str("c= has no address of the type that it names"),
            What::Timing => f.write_str("t= is not two numbers"),
            What::Media => f.write_str("m= is not kind, port, protocol and formats"),
            What::Port => f.write_str("the port is not 0 to 65535"),
            What::PayloadType => f.write_str("the payload type is not 0 to 127"),
            What::RtpMap => f.write_str("a=rtpmap is not <type> <name>/<clock rate>[/<channels>]"),
            What::Rtcp => f.write_str("a=rtcp is not <port> [IN <type> <address>]"),
        }
    }
}

impl std::error::Error for Error {}
