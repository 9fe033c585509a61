//! One media description (RFC 8866 §5.14) and its formats, with the static payload types of RFC 3551 §6 filled in.
//! Not here: reading the lines (`parse`) and comparing two legs (`answer`).

use super::address::{AddressRules, BadAddress, Remote, unmapped};
use super::crypto::Crypto;
use super::direction::Direction;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// One `m=` line and what belongs to it; what the session says for all its media is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media<'a> {
    /// What it carries.
    pub kind: Kind<'a>,
    /// The port; 0 means refused or switched off.
    pub port: u16,
    /// How it is carried.
    pub protocol: Protocol<'a>,
    /// The first format as written, for the refusal that repeats it; empty only where the port is 0.
    pub first_format: &'a [u8],
    /// The formats of RTP audio or video by preference, each number once; none for other streams, of which nothing more is read.
    /// At most [`crate::limits::SDP_FORMATS_MAX`]. Not an array: eight of them would be 25 kB moved about for one stream.
    pub formats: Vec<Format<'a>>,
    /// What the author does; a direction in which an unspecified address says "do not send" is taken out (RFC 3264 §8.4).
    pub direction: Direction,
    /// The nearest `c=`.
    pub connection: Option<Connection<'a>>,
    /// `a=rtcp` (RFC 3605).
    pub rtcp: Option<Rtcp<'a>>,
    /// `a=rtcp-mux` (RFC 5761), or `a=rtcp-mux-only`, whose author can do nothing else (RFC 8858): RTCP on the RTP port, if both want it.
    pub rtcp_mux: bool,
    /// `a=ptime`: milliseconds of audio in a packet that the author would like to get, 1–200.
    pub ptime_ms: Option<u8>,
    /// The first `a=crypto` that we can do: its author's order is its preference (RFC 4568 §5.1.1). In RTP/AVP, too: such an author takes SRTP
    /// where it can get it (RFC 8643).
    pub crypto: Option<Box<Crypto>>,
    /// The values of `b=` of a video stream, which a far sender needs to know. At most [`crate::limits::SDP_BANDWIDTHS_MAX`].
    pub bandwidth: Vec<&'a [u8]>,
    /// The values of `a=rtcp-fb` of a video stream (RFC 4585 §4.2), each with its payload type; `None` is `*`, all of them.
    pub feedback: Vec<(Option<u8>, &'a [u8])>,
    /// The attributes of a fax that begin with `T38` (ITU-T T.38 annex D), as they are written. At most [`crate::limits::SDP_T38_MAX`].
    pub t38: Vec<&'a [u8]>,
}

impl Media<'_> {
    /// Whether it is a stream that Parkway relays: one that is not switched off, over RTP/AVP, or over RTP/SAVP with a key that we can do;
    /// video also with feedback, over RTP/AVPF or RTP/SAVPF; a fax over UDPTL.
    pub fn is_relayed(&self) -> bool {
        let sees = self.kind == Kind::Video;
        let is_carried = match self.protocol {
            Protocol::RtpAvp => true,
            Protocol::RtpSavp => self.crypto.is_some(),
            Protocol::RtpAvpf => sees,
            Protocol::RtpSavpf => sees && self.crypto.is_some(),
            Protocol::Udptl => self.is_t38(),
            Protocol::DtlsSavp | Protocol::DtlsSavpf | Protocol::Other(_) => false,
        };
        (self.has_codecs() || self.is_t38()) && is_carried && self.port != 0
    }

    /// Whether it is a fax as we can carry one (T.38 annex D, RFC 3362).
    pub(super) fn is_t38(&self) -> bool {
        let is_image = self.kind == Kind::Image && self.protocol == Protocol::Udptl;
        is_image && self.first_format.eq_ignore_ascii_case(b"t38")
    }

    /// Whether its formats are codecs of which we read more than the number.
    pub(super) fn has_codecs(&self) -> bool {
        matches!(self.kind, Kind::Audio | Kind::Video) && self.protocol.is_rtp()
    }

    /// Takes out the payload types that nobody could tell from RTCP on the same port (RFC 5761 §4): who wants it there must not offer them.
    pub(super) fn leave_room_for_rtcp(&mut self) {
        const RTCP: RangeInclusive<u8> = 64..=95;
        if self.rtcp_mux {
            self.formats.retain(|format| !RTCP.contains(&format.payload_type));
        }
    }

    /// Where the author wants its packets.
    pub fn remote(&self, rules: AddressRules) -> Result<Remote, BadAddress> {
        if self.port == 0 {
            return Ok(Remote::default());
        }
        let connection = self.connection.ok_or(BadAddress::Missing)?;
        let Some(ip) = rules.check(connection.ip()?)? else { return Ok(Remote::default()) };
        let rtcp = match self.rtcp {
            // RFC 3550 §11: the next higher port
            None => self.port.checked_add(1).map(|port| SocketAddr::new(ip, port)),
            Some(Rtcp { port: 0, .. }) => None,
            Some(Rtcp { port, connection: None }) => Some(SocketAddr::new(ip, port)),
            Some(Rtcp { port, connection: Some(other) }) => {
                rules.check(other.ip()?)?.map(|ip| SocketAddr::new(ip, port))
            }
        };
        Ok(Remote { rtp: Some(SocketAddr::new(ip, self.port)), rtcp })
    }
}

/// What a stream carries (RFC 8866 §5.14).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind<'a> {
    /// What every call has.
    Audio,
    /// Relayed, too, where both sides have it.
    Video,
    /// Whiteboards, data channels.
    Application,
    /// Real-time text (RFC 4103).
    Text,
    /// MSRP.
    Message,
    /// Fax (T.38). Relayed, too, where both sides have it.
    Image,
    /// Any other word.
    Other(&'a str),
}

impl<'a> Kind<'a> {
    /// Reads the word.
    pub fn parse(word: &'a str) -> Kind<'a> {
        match word {
            "audio" => Kind::Audio,
            "video" => Kind::Video,
            "application" => Kind::Application,
            "text" => Kind::Text,
            "message" => Kind::Message,
            "image" => Kind::Image,
            other => Kind::Other(other),
        }
    }

    /// The word.
    pub fn as_str(&self) -> &'a str {
        match self {
            Kind::Audio => "audio",
            Kind::Video => "video",
            Kind::Application => "application",
            Kind::Text => "text",
            Kind::Message => "message",
            Kind::Image => "image",
            Kind::Other(other) => other,
        }
    }
}

/// How a stream is carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol<'a> {
    /// `RTP/AVP` (RFC 3551): what is relayed as it is.
    RtpAvp,
    /// `RTP/AVPF` (RFC 4585): relayed of video.
    RtpAvpf,
    /// `RTP/SAVP` (RFC 3711): keys in `a=crypto`. Relayed, too.
    RtpSavp,
    /// `RTP/SAVPF` (RFC 5124): relayed of video.
    RtpSavpf,
    /// `UDP/TLS/RTP/SAVP` (RFC 5764): keys by DTLS.
    DtlsSavp,
    /// `UDP/TLS/RTP/SAVPF` (RFC 5764).
    DtlsSavpf,
    /// `udptl` (T.38 annex D): relayed of a fax.
    Udptl,
    /// Any other.
    Other(&'a str),
}

impl<'a> Protocol<'a> {
    /// Reads the word.
    pub fn parse(word: &'a str) -> Protocol<'a> {
        match word {
            "RTP/AVP" => Protocol::RtpAvp,
            "RTP/AVPF" => Protocol::RtpAvpf,
            "RTP/SAVP" => Protocol::RtpSavp,
            "RTP/SAVPF" => Protocol::RtpSavpf,
            "UDP/TLS/RTP/SAVP" => Protocol::DtlsSavp,
            "UDP/TLS/RTP/SAVPF" => Protocol::DtlsSavpf,
            // Gateways write it either way.
            word if word.eq_ignore_ascii_case("udptl") => Protocol::Udptl,
            other => Protocol::Other(other),
        }
    }

    /// The word.
    pub fn as_str(&self) -> &'a str {
        match self {
            Protocol::RtpAvp => "RTP/AVP",
            Protocol::RtpAvpf => "RTP/AVPF",
            Protocol::RtpSavp => "RTP/SAVP",
            Protocol::RtpSavpf => "RTP/SAVPF",
            Protocol::DtlsSavp => "UDP/TLS/RTP/SAVP",
            Protocol::DtlsSavpf => "UDP/TLS/RTP/SAVPF",
            Protocol::Udptl => "udptl",
            Protocol::Other(other) => other,
        }
    }

    /// Whether its keys stand in `a=crypto` (RFC 4568).
    pub fn is_secure(&self) -> bool {
        matches!(self, Protocol::RtpSavp | Protocol::RtpSavpf)
    }

    /// Whether `a=rtcp-fb` means something in it (RFC 4585 §4.2).
    pub fn has_feedback(&self) -> bool {
        matches!(self, Protocol::RtpAvpf | Protocol::RtpSavpf)
    }

    /// Whether its formats are RTP payload types (RFC 8866 §5.14).
    pub fn is_rtp(&self) -> bool {
        !matches!(self, Protocol::Udptl | Protocol::Other(_))
    }
}

/// An address as `c=` or `a=rtcp` gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connection<'a> {
    /// An IP address; a multicast one's lifetime and count are dropped.
    Ip(IpAddr),
    /// A host name or another network's address: never looked up.
    Other(&'a str),
}

impl Connection<'_> {
    /// The IP address as written.
    pub fn ip(self) -> Result<IpAddr, BadAddress> {
        match self {
            Connection::Ip(ip) => Ok(ip),
            Connection::Other(_) => Err(BadAddress::NotAnIp),
        }
    }

    /// Whether it says "send nothing" (RFC 3264 §8.4).
    pub(super) fn is_hold(self) -> bool {
        self.ip().is_ok_and(|ip| unmapped(ip).is_unspecified())
    }
}

/// `a=rtcp:<port> [IN IP4 <address>]` (RFC 3605 §2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rtcp<'a> {
    /// The RTCP port.
    pub port: u16,
    /// Its address; the stream's where none is given.
    pub connection: Option<Connection<'a>>,
}

/// One payload type of an RTP stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Format<'a> {
    /// The number, 0–127.
    pub payload_type: u8,
    /// What it stands for: `a=rtpmap`, else RFC 3551 §6; `None` for a dynamic number that nothing explains.
    pub encoding: Option<Encoding<'a>>,
    /// `a=fmtp`, without the number.
    pub fmtp: Option<&'a [u8]>,
}

/// What a payload type stands for.
#[derive(Clone, Copy, Debug)]
pub struct Encoding<'a> {
    /// The name as written; compared without case (RFC 8866 §6.6).
    pub name: &'a str,
    /// RTP clock rate, Hz; never 0.
    pub clock_rate: u32,
    /// Channels, 1 where none are given.
    pub channels: u8,
}

/// What an encoding is to a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Speech, music or pictures: at least one is needed.
    Codec,
    /// Comfort noise (RFC 3389): nothing by itself.
    ComfortNoise,
    /// Keys (RFC 4733): nothing by itself.
    TelephoneEvent,
    /// Redundancy and the like: carries other payload types inside, where the relay cannot renumber them. Never agreed.
    Wrapper,
}

impl Encoding<'_> {
    /// What it is to a call.
    pub fn role(&self) -> Role {
        const WRAPPERS: [&str; 5] = ["red", "ulpfec", "parityfec", "flexfec", "rtx"];
        match self.name {
            name if name.eq_ignore_ascii_case("telephone-event") => Role::TelephoneEvent,
            name if name.eq_ignore_ascii_case("CN") => Role::ComfortNoise,
            name if WRAPPERS.iter().any(|wrapper| name.eq_ignore_ascii_case(wrapper)) => Role::Wrapper,
            _ => Role::Codec,
        }
    }

    /// Whether it is G.711.
    pub fn is_g711(&self) -> bool {
        ["PCMU", "PCMA"].into_iter().any(|name| *self == Encoding { name, clock_rate: 8_000, channels: 1 })
    }

    /// What a number means that no `a=rtpmap` explains (RFC 3551 §6, tables 4 and 5).
    pub fn of_static(payload_type: u8) -> Option<Encoding<'static>> {
        let (name, clock_rate, channels) = match payload_type {
            0 => ("PCMU", 8_000, 1),
            3 => ("GSM", 8_000, 1),
            4 => ("G723", 8_000, 1),
            5 => ("DVI4", 8_000, 1),
            6 => ("DVI4", 16_000, 1),
            7 => ("LPC", 8_000, 1),
            8 => ("PCMA", 8_000, 1),
            // RFC 3551 §4.5.2: 16 kHz audio, but the clock is 8 kHz for ever
            9 => ("G722", 8_000, 1),
            10 => ("L16", 44_100, 2),
            11 => ("L16", 44_100, 1),
            12 => ("QCELP", 8_000, 1),
            13 => ("CN", 8_000, 1),
            14 => ("MPA", 90_000, 1),
            15 => ("G728", 8_000, 1),
            16 => ("DVI4", 11_025, 1),
            17 => ("DVI4", 22_050, 1),
            18 => ("G729", 8_000, 1),
            // table 5
            26 => ("JPEG", 90_000, 1),
            31 => ("H261", 90_000, 1),
            32 => ("MPV", 90_000, 1),
            33 => ("MP2T", 90_000, 1),
            34 => ("H263", 90_000, 1),
            _ => return None,
        };
        Some(Encoding { name, clock_rate, channels })
    }
}

impl PartialEq for Encoding<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(other.name)
            && (self.clock_rate, self.channels) == (other.clock_rate, other.channels)
    }
}

impl Eq for Encoding<'_> {}
