//! The first line of a message (RFC 3261 §7.1, §7.2) and the methods.
//! Not here: whether a method is one that we serve (`sip::endpoint`).

use super::abnf::{self, Parsed, token};
use super::{Error, Uri};
use nom::Parser;
use nom::bytes::complete::{tag_no_case, take_until1};
use nom::character::complete::{char as byte, digit1};
use nom::combinator::{map, map_opt, opt, recognize, rest, verify};
use nom::sequence::{preceded, terminated};

/// The start line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start<'a> {
    /// A Request-Line.
    Request {
        /// What is asked.
        method: Method<'a>,
        /// Of whom.
        uri: Uri<'a>,
    },
    /// A Status-Line.
    Response {
        /// 100 to 699.
        status: u16,
        /// For people; may be empty, may be any bytes but CR and LF.
        reason: &'a [u8],
    },
}

/// A request's method. Case-sensitive (RFC 3261 §7.1), and never unescaped: `RE%47ISTER` is an extension of somebody's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Method<'a> {
    /// RFC 3261 §13.
    Invite,
    /// RFC 3261 §13.
    Ack,
    /// RFC 3261 §9.
    Cancel,
    /// RFC 3261 §15.
    Bye,
    /// RFC 3261 §11.
    Options,
    /// RFC 3261 §10.
    Register,
    /// RFC 6665.
    Subscribe,
    /// RFC 6665.
    Notify,
    /// RFC 3903.
    Publish,
    /// RFC 3428.
    Message,
    /// RFC 6086.
    Info,
    /// RFC 3262.
    Prack,
    /// RFC 3311.
    Update,
    /// RFC 3515.
    Refer,
    /// Another token.
    Other(&'a [u8]),
}

impl<'a> Method<'a> {
    /// The methods we know, as they are written.
    pub const KNOWN: [(&'static str, Method<'static>); 14] = [
        ("INVITE", Method::Invite),
        ("ACK", Method::Ack),
        ("BYE", Method::Bye),
        ("CANCEL", Method::Cancel),
        ("OPTIONS", Method::Options),
        ("REGISTER", Method::Register),
        ("PRACK", Method::Prack),
        ("UPDATE", Method::Update),
        ("INFO", Method::Info),
        ("SUBSCRIBE", Method::Subscribe),
        ("NOTIFY", Method::Notify),
        ("PUBLISH", Method::Publish),
        ("MESSAGE", Method::Message),
        ("REFER", Method::Refer),
    ];

    /// The method that a token names.
    pub fn of(token: &'a [u8]) -> Method<'a> {
        Method::KNOWN
            .iter()
            .find(|(name, _)| name.as_bytes() == token)
            .map_or(Method::Other(token), |(_, method)| *method)
    }

    /// The token.
    pub fn as_bytes(&self) -> &'a [u8] {
        if let Method::Other(token) = self {
            return token;
        }
        Method::KNOWN.iter().find(|(_, method)| method == self).map_or(b"", |(name, _)| name.as_bytes())
    }
}

impl<'a> Start<'a> {
    /// Reads a first line, without its CRLF.
    pub(super) fn parse(line: &'a [u8]) -> Result<Start<'a>, Error> {
        if line.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"SIP/")) {
            return status_line(line);
        }
        let (method, uri, version) = abnf::whole(request_line, line).ok_or(Error::StartLine)?;
        check_version(version)?;
        let uri = Uri::parse(uri).map_err(|_| Error::RequestUri)?;
        // RFC 3261 §19.1.1: a Request-URI has no headers.
        if uri.headers.is_empty() { Ok(Start::Request { method, uri }) } else { Err(Error::RequestUri) }
    }

    /// The method, of a request only.
    pub fn method(&self) -> Option<Method<'a>> {
        match self {
            Start::Request { method, .. } => Some(*method),
            Start::Response { .. } => None,
        }
    }
}

/// The method of a request whose start line may be wrong after it; `None` for a response.
pub(super) fn method_of(line: &[u8]) -> Option<Method<'_>> {
    terminated(token, byte(' ')).parse(line).ok().map(|(_, token)| Method::of(token))
}

/// `Request-Line`: single spaces, nothing after the version (RFC 4475 §3.1.2.8 to §3.1.2.10).
fn request_line(input: &[u8]) -> Parsed<'_, (Method<'_>, &[u8], Version)> {
    let (input, method) = terminated(token, byte(' ')).parse(input)?;
    let (input, uri) = terminated(take_until1(&b" "[..]), byte(' ')).parse(input)?;
    let (input, version) = sip_version(input)?;
    Ok((input, (Method::of(method), uri, version)))
}

/// `SIP-Version`
fn sip_version(input: &[u8]) -> Parsed<'_, Version> {
    if let b"SIP/2.0" = input {
        return Ok((&[], Version::Two));
    }
    let version = preceded(tag_no_case(&b"SIP/"[..]), recognize((digit1, byte('.'), digit1)));
    map(version, |version| if version == b"2.0" { Version::Two } else { Version::Other }).parse(input)
}

/// The version that we speak, and any other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Two,
    Other,
}

fn check_version(version: Version) -> Result<(), Error> {
    match version {
        Version::Two => Ok(()),
        Version::Other => Err(Error::Version),
    }
}

fn status_line(line: &[u8]) -> Result<Start<'_>, Error> {
    let (version, status, reason) = abnf::whole(status_line_parts, line).ok_or(Error::StartLine)?;
    check_version(version)?;
    Ok(Start::Response { status, reason })
}

/// `Status-Line`. The space before an empty Reason-Phrase is often forgotten, and misleads nobody.
fn status_line_parts(input: &[u8]) -> Parsed<'_, (Version, u16, &[u8])> {
    let (input, version) = terminated(sip_version, byte(' ')).parse(input)?;
    let (input, status) = status_code(input)?;
    let (input, reason) = opt(preceded(byte(' '), rest)).parse(input)?;
    Ok((input, (version, status, reason.unwrap_or_default())))
}

/// `Status-Code`: three digits, 100 to 699.
fn status_code(input: &[u8]) -> Parsed<'_, u16> {
    let three = verify(digit1, |digits: &[u8]| digits.len() == 3);
    let number = map_opt(three, |digits| u16::try_from(abnf::whole(abnf::number, digits)?).ok());
    verify(number, |status| (100..=699).contains(status)).parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_case_sensitive_and_never_unescaped() {
        for (name, method) in Method::KNOWN {
            assert_eq!((Method::of(name.as_bytes()), method.as_bytes()), (method, name.as_bytes()));
        }
        for other in ["invite", "Invite", "INVITES", "RE%47IST%45R", "NEWMETHOD"] {
            assert_eq!(Method::of(other.as_bytes()), Method::Other(other.as_bytes()));
        }
    }

    #[test]
    fn a_request_line_has_three_parts_and_two_spaces() {
        for (line, expected) in [
            ("INVITE sip:a@b SIP/2.0", None),
            ("INVITE sip:a@b sip/2.0", None),
            ("INVITE tel:123 SIP/2.0", None),
            ("INVITE sip:a@b SIP/7.0", Some(Error::Version)),
            ("INVITE sip:a@b SIP/2.00", Some(Error::Version)),
            ("INVITE sip:a@b SIP/2", Some(Error::StartLine)),
            ("INVITE sip:a@b", Some(Error::StartLine)),
            ("INVITE  sip:a@b SIP/2.0", Some(Error::StartLine)),
            ("INVITE sip:a@b  SIP/2.0", Some(Error::StartLine)),
            ("INVITE sip:a@b; lr SIP/2.0", Some(Error::StartLine)),
            ("INVITE sip:a@b SIP/2.0 ", Some(Error::StartLine)),
            (" INVITE sip:a@b SIP/2.0", Some(Error::StartLine)),
            ("INVITE\tsip:a@b SIP/2.0", Some(Error::StartLine)),
            ("INV(TE sip:a@b SIP/2.0", Some(Error::StartLine)),
            ("INVITE <sip:a@b> SIP/2.0", Some(Error::RequestUri)),
            ("INVITE sip:a@b\t SIP/2.0", Some(Error::RequestUri)),
            ("INVITE sip:a@b?Route=%3Csip:c%3E SIP/2.0", Some(Error::RequestUri)),
            ("INVITE * SIP/2.0", Some(Error::RequestUri)),
            ("REGISTER sip:2001:db8::10 SIP/2.0", Some(Error::RequestUri)),
            ("", Some(Error::StartLine)),
        ] {
            assert_eq!(Start::parse(line.as_bytes()).err(), expected, "{line:?}");
        }
    }

    #[test]
    fn a_status_is_three_digits_from_100_to_699() {
        for (line, expected) in [
            ("SIP/2.0 200 OK", Ok((200, "OK"))),
            ("SIP/2.0 100 ", Ok((100, ""))),
            ("SIP/2.0 100", Ok((100, ""))),
            ("SIP/2.0 699 \u{f6}", Ok((699, "\u{f6}"))),
            ("SIP/2.0 099 Low", Err(Error::StartLine)),
            ("SIP/2.0 700 High", Err(Error::StartLine)),
            ("SIP/2.0 4294967301 Wrapped", Err(Error::StartLine)),
            ("SIP/2.0 20 Short", Err(Error::StartLine)),
            ("SIP/2.0 -20 Negative", Err(Error::StartLine)),
            ("SIP/2.0  200 OK", Err(Error::StartLine)),
            ("SIP/2.0 200\tOK", Err(Error::StartLine)),
            ("SIP/3.0 200 OK", Err(Error::Version)),
        ] {
            let expected = expected.map(|(status, reason)| Start::Response { status, reason: reason.as_bytes() });
            assert_eq!(Start::parse(line.as_bytes()), expected, "{line:?}");
        }
    }
}
