//! One value of Authorization, WWW-Authenticate and their Proxy twins (RFC 3261 §25.1: credentials, challenge): a scheme and its
//! auth-params. Each such value has a line of its own (RFC 3261 §7.3.1), because commas are within it.
//! Not here: what Digest computes (`sip::auth`), and the token of Bearer, which is no list.

use super::abnf::{self, Parsed, is_space, lws, quoted_string, separator, skip_space, token};
use super::name_addr::unquoted;
use crate::limits;
use arrayvec::ArrayVec;
use nom::Parser;
use nom::branch::alt;
use nom::sequence::separated_pair;
use std::borrow::Cow;

/// A scheme and its parameters. A parameter that is there twice is refused: two readers could decide differently.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthParams<'a> {
    /// `Digest`, to be compared without regard to case.
    pub scheme: &'a [u8],
    params: ArrayVec<(&'a [u8], &'a [u8]), { limits::SIP_AUTH_PARAMS_MAX }>,
}

impl<'a> AuthParams<'a> {
    /// Reads one header line's value; `None` if it is no such list.
    pub fn parse(value: &'a [u8]) -> Option<AuthParams<'a>> {
        abnf::whole(auth_params, value.trim_ascii())
    }

    /// Whether the scheme is this one.
    pub fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme.as_bytes())
    }

    /// The value of a parameter, without its quotes if it has any: the RFCs quote some and not others, and peers mix them up.
    /// `None` if it is absent or no UTF-8.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        let (_, value) = self.params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))?;
        match value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")) {
            Some(plain) if plain.iter().all(|byte| !matches!(byte, b'\\' | b'\r')) => text(plain),
            Some(_) => String::from_utf8(unquoted(value).collect()).ok().map(Cow::Owned),
            None => text(value),
        }
    }
}

fn text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    std::str::from_utf8(bytes).ok().map(Cow::Borrowed)
}

/// `auth-scheme LWS auth-param *( COMMA auth-param )`
fn auth_params(input: &[u8]) -> Parsed<'_, AuthParams<'_>> {
    let (rest, scheme) = token(input)?;
    let (mut rest, _) = lws(rest)?;
    let mut params: ArrayVec<(&[u8], &[u8]), { limits::SIP_AUTH_PARAMS_MAX }> = ArrayVec::new();
    loop {
        let (after, (name, value)) = auth_param(rest)?;
        let is_new = !params.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !is_new || params.try_push((name, value)).is_err() {
            return Err(nom::Err::Error(()));
        }
        match separator(b',')(after) {
            Ok((next, ())) => rest = next,
            Err(_) => return Ok((skip_space(after), AuthParams { scheme, params })),
        }
    }
}

/// `auth-param-name EQUAL ( token / quoted-string )`. An unquoted value may have more than a token's bytes, as a nonce in base64 does.
fn auth_param(input: &[u8]) -> Parsed<'_, (&[u8], &[u8])> {
    separated_pair(token, separator(b'='), alt((quoted_string, bare_value))).parse(input)
}

/// Up to a comma or a space.
fn bare_value(input: &[u8]) -> Parsed<'_, &[u8]> {
    nom::bytes::complete::take_while1(|byte: u8| {
        byte.is_ascii_graphic() && !matches!(byte, b',' | b'"') && !is_space(byte)
    })(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_and_its_parameters_are_read() {
        let value =
            b"Digest username=\"bob\", realm = \"a \\\"b\\\"\",\r\n nonce=abc/+=,qop=auth , NC=00000001,empty=\"\"";
        let read = AuthParams::parse(value).unwrap();
        assert!(read.is("digest") && !read.is("Bearer"));
        for (name, expected) in [
            ("username", Some("bob")),
            ("Realm", Some("a \"b\"")),
            ("nonce", Some("abc/+=")),
            ("qop", Some("auth")),
            ("nc", Some("00000001")),
            ("empty", Some("")),
            ("opaque", None),
        ] {
            assert_eq!(read.get(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn what_is_no_list_of_parameters_is_refused() {
        let many = format!(
            "Digest {}",
            (0..=limits::SIP_AUTH_PARAMS_MAX).map(|at| format!("p{at}=1")).collect::<Vec<_>>().join(",")
        );
        for value in [
            "",
            "Digest",
            "Digest ",
            "Digest a",
            "Digest a=",
            "Digest a=1,",
            "Digest ,a=1",
            "Digest a=1 b=2",
            "Digest a=\"x",
            "Digest a=1,A=2",
            "Digest a=1;b=2 c",
            "Bearer abc.def.ghi",
            "Digest realm=\"a\", Bearer realm=\"b\"",
            &many,
        ] {
            assert_eq!(AuthParams::parse(value.as_bytes()), None, "{value}");
        }
        // Not UTF-8: there, but no text.
        assert_eq!(AuthParams::parse(b"Digest username=\"\xff\"").unwrap().get("username"), None);
    }
}
