//! Addresses as From, To, Contact, Route and their like have them (RFC 3261 §20.10, §20.20): name-addr or addr-spec, and parameters.
//! Not here: which of them a peer may claim (`policy`).

use super::abnf::{self, Parsed, TOKEN, is_space};
use super::{Error, Params, Uri, uri};
use nom::Parser;
use nom::bytes::complete::{take_while, take_while1};
use nom::character::complete::char as byte;
use nom::combinator::{map, opt};
use nom::sequence::terminated;

/// `"Display name" <uri> ;params`, or `uri;params` where the parameters are the header's, not the URI's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NameAddr<'a> {
    /// The display name as it was written, with its quotes if it has any.
    pub display: Option<&'a [u8]>,
    /// The address.
    pub uri: Uri<'a>,
    /// The header's parameters.
    pub params: Params<'a>,
    tag: Option<&'a [u8]>,
}

impl<'a> NameAddr<'a> {
    /// Reads one value, which fills all of `value`.
    pub fn parse(value: &'a [u8]) -> Result<NameAddr<'a>, Error> {
        abnf::whole(address_and_params, value).ok_or(Error::NameAddr)
    }

    /// The tag, if there is one. Compared byte by byte.
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.tag
    }

    /// A header parameter: absent, there without a value, or with one.
    pub fn param(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.params.get(name)
    }

    /// The display name without quotes, backslashes and folds, in `buffer`; `None` if there is none or the buffer is too short.
    /// May hold any byte, control characters too: escape it before it is shown (RELIABILITY A21).
    pub fn display_unquoted<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let mut length = 0;
        for byte in unquoted(self.display?) {
            *buffer.get_mut(length)? = byte;
            length += 1;
        }
        buffer.get(..length)
    }
}

/// What a quoted string or some tokens say. A fold is one space (RFC 3261 §7.3.1).
pub(super) fn unquoted(text: &[u8]) -> impl Iterator<Item = u8> {
    let quoted = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
    let mut rest = quoted.unwrap_or(text);
    std::iter::from_fn(move || {
        let (byte, after) = rest.split_first()?;
        let (byte, after) = match byte {
            b'\\' if quoted.is_some() => after.split_first()?,
            b'\r' => (&b' ', after.trim_ascii_start()),
            _ => (byte, after),
        };
        rest = after;
        Some(*byte)
    })
}

/// `( name-addr / addr-spec ) *( SEMI generic-param )`
fn address_and_params(input: &[u8]) -> Parsed<'_, NameAddr<'_>> {
    let (rest, (display, uri)) = match opt(display_name).parse(input)? {
        (rest @ [b'<', ..], display) => bracketed_addr_spec(rest).map(|(rest, uri)| (rest, (display, uri)))?,
        _ => bare_addr_spec(input).map(|(rest, uri)| (rest, (None, uri)))?,
    };
    let (rest, (params, tag)) = abnf::header_params(b"tag")(rest)?;
    // §25.1: it has a value. We would give one without a tag of ours, and that would be the second.
    if tag == Some(None) {
        return Err(nom::Err::Failure(()));
    }
    Ok((rest, NameAddr { display, uri, params: Params::of_checked(params), tag: tag.flatten() }))
}

/// `LAQUOT addr-spec RAQUOT`, without white space inside the brackets (RFC 4475 §3.1.2.14).
fn bracketed_addr_spec(input: &[u8]) -> Parsed<'_, Uri<'_>> {
    let (rest, _) = byte('<')(input)?;
    let (rest, uri) = uri::addr_spec(rest)?;
    let (rest, _) = byte('>')(rest)?;
    Ok((rest, uri))
}

/// `display-name`. Bytes beyond ASCII would need quotes, but phones send them without; a comma or an `@` is still refused.
fn display_name(input: &[u8]) -> Parsed<'_, &[u8]> {
    if let [b'"', ..] = input {
        return terminated(abnf::quoted_string, take_while(is_space)).parse(input);
    }
    let tokens = take_while1(|byte: u8| abnf::is(TOKEN, byte) || is_space(byte) || !byte.is_ascii());
    map(tokens, <[u8]>::trim_ascii_end).parse(input)
}

/// `addr-spec` without brackets. RFC 3261 §20.10: what has a comma, question mark or semicolon must be in brackets,
/// so the first `;` begins the header's parameters.
fn bare_addr_spec(input: &[u8]) -> Parsed<'_, Uri<'_>> {
    let (rest, text) = take_while1(|byte: u8| byte != b';' && !is_space(byte))(input)?;
    let in_brackets_only = text.iter().any(|byte| matches!(byte, b',' | b'?'));
    let uri = abnf::whole(uri::addr_spec, text).filter(|_| !in_brackets_only);
    uri.map(|uri| (rest, uri)).ok_or(nom::Err::Error(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> NameAddr<'_> {
        NameAddr::parse(text.as_bytes()).unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn name_address_and_tag_are_told_apart() {
        for (text, display, uri, tag) in [
            ("<sip:a@b.example>;tag=1", None, "sip:a@b.example", Some("1")),
            ("sip:a@b.example;tag=1", None, "sip:a@b.example", Some("1")),
            ("sip:a@b.example", None, "sip:a@b.example", None),
            ("\"A, B\" <sip:a@b.example>", Some("\"A, B\""), "sip:a@b.example", None),
            (
                "\"<sip:x@y.example>\"<sip:a@b.example>;tag=1",
                Some("\"<sip:x@y.example>\""),
                "sip:a@b.example",
                Some("1"),
            ),
            ("A. Bell<sip:a@b.example;lr> ; x ; Tag = 1", Some("A. Bell"), "sip:a@b.example;lr", Some("1")),
            ("J\u{f6}rg <sip:a@b.example>", Some("J\u{f6}rg"), "sip:a@b.example", None),
            ("<tel:+4930;x=1>;tag=1", None, "tel:+4930;x=1", Some("1")),
            ("<sip:a@b.example?Route=%3Csip:c%3E>", None, "sip:a@b.example?Route=%3Csip:c%3E", None),
        ] {
            let address = address(text);
            assert_eq!(address.display, display.map(str::as_bytes), "{text}");
            assert_eq!(address.uri.as_bytes(), uri.as_bytes(), "{text}");
            assert_eq!(address.tag(), tag.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn a_parameter_after_a_bare_address_is_the_headers() {
        let bare = address("sip:a@b.example;unknownparam");
        assert_eq!((bare.param("unknownparam"), bare.uri.param("unknownparam")), (Some(None), None));
        let bracketed = address("<sip:a@b.example;unknownparam>");
        assert_eq!((bracketed.param("unknownparam"), bracketed.uri.param("unknownparam")), (None, Some(None)));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "*",
            "\"A <sip:a@b.example>",
            "Bell, Alexander <sip:a@b.example>",
            "a@b <sip:a@b.example>",
            "< sip:a@b.example>",
            "<sip:a@b.example >",
            "<sip:a@b.example",
            "<<sip:a@b.example>>",
            "<>",
            "sip:a@b.example?Route=%3Csip:c%3E",
            "sip:a,b@c.example",
            "sip:user;par=u%40example.net@example.com",
            "<sip:a@b.example>;",
            "<sip:a@b.example>;;;;",
            "<sip:a@b.example>tag=1",
            "<sip:a@b.example>;tag=1, <sip:c@d.example>",
            "<sip:a@b.example>;tag=",
            "<sip:a@b.example>;tag=1;Tag=2",
        ] {
            assert_eq!(NameAddr::parse(text.as_bytes()), Err(Error::NameAddr), "{text:?}");
        }
    }

    #[test]
    fn a_display_name_loses_quotes_backslashes_and_folds() {
        let mut buffer = [0; 12];
        for (text, expected) in [
            ("\"J Ros \\\\\\\"\" <sip:a@b>", Some("J Ros \\\"")),
            ("\"a\r\n  b\" <sip:a@b>", Some("a b")),
            ("token\\ <sip:a@b>", None),
            ("plain name <sip:a@b>", Some("plain name")),
            ("\"\" <sip:a@b>", Some("")),
            ("<sip:a@b>", None),
            ("\"longer than it\" <sip:a@b>", None),
        ] {
            let Ok(address) = NameAddr::parse(text.as_bytes()) else { continue };
            assert_eq!(address.display_unquoted(&mut buffer), expected.map(str::as_bytes), "{text}");
        }
    }
}
