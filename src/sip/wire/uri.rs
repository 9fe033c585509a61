//! SIP and SIPS URIs (RFC 3261 §19.1), and other URIs as scheme and opaque rest.
//! Not here: resolving a host, and which names a URI stands for (`name`).

use super::Error;
use super::abnf::{self, HNV, PARAM, PASSWORD, Parsed, URIC, USER, escaped_run};
use super::host::{self, Host};
use super::params::{Params, same_unescaped};
use crate::limits;
use nom::Parser;
use nom::bytes::complete::{take, take_while, take_while1};
use nom::character::complete::char as byte;
use nom::combinator::{map, recognize, verify};
use nom::sequence::{pair, terminated};

/// A URI over the bytes it was read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uri<'a> {
    /// The scheme.
    pub scheme: Scheme<'a>,
    /// The user part, escapes still inside; `None` without `@`.
    pub user: Option<&'a [u8]>,
    /// The password after the user, escapes still inside. Do not log it.
    pub password: Option<&'a [u8]>,
    /// The host; `None` for a URI that is neither SIP nor SIPS, of which [`opaque`](Uri::opaque) tells the rest.
    pub host: Option<Host<'a>>,
    /// The port, 1 to 65535.
    pub port: Option<u16>,
    /// The uri-parameters, escapes still inside.
    pub params: Params<'a>,
    /// What follows the `?`; empty if nothing does.
    pub headers: &'a [u8],
    bytes: &'a [u8],
}

/// A URI's scheme, compared without regard to case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme<'a> {
    /// `sip`
    Sip,
    /// `sips`
    Sips,
    /// Any other, as it was written.
    Other(&'a [u8]),
}

impl<'a> Uri<'a> {
    /// Reads a URI that fills all of `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Uri<'a>, Error> {
        abnf::whole(addr_spec, bytes).ok_or(Error::Uri)
    }

    /// The URI as it was written.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the scheme and its colon.
    pub fn opaque(&self) -> &'a [u8] {
        let colon = memchr::memchr(b':', self.bytes);
        colon.and_then(|colon| self.bytes.get(colon + 1..)).unwrap_or_default()
    }

    /// A uri-parameter, name unescaped and compared without regard to case: absent, there without a value, or with one.
    pub fn param(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.params.get_escaped(name.as_bytes())
    }

    /// The value of a uri-parameter with its escapes undone; `None` for one that has no value, or one that is no text, has control characters
    /// or is longer than so many bytes.
    pub fn param_unescaped(&self, name: &str, longest: usize) -> Option<String> {
        let bytes: Vec<u8> = abnf::unescaped(self.param(name)??).take(longest + 1).collect();
        let text = String::from_utf8(bytes).ok()?;
        (text.len() <= longest && !text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
    }

    /// The user part with its escapes undone, in `buffer`; `None` if there is no user part or the buffer is too short.
    /// `/` and `%2F` come out the same. A `%00` comes out as a NUL byte: who looks it up must refuse it (`Name::parse` does).
    pub fn user_unescaped<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let mut length = 0;
        for byte in abnf::unescaped(self.user?) {
            *buffer.get_mut(length)? = byte;
            length += 1;
        }
        buffer.get(..length)
    }

    /// Whether two URIs are equal by RFC 3261 §19.1.4: user and password to the letter, the rest without regard to case,
    /// escapes undone. URI headers must be the same bytes; other URIs than SIP's too.
    pub fn same(&self, other: &Uri<'_>) -> bool {
        // Whatever has the same bytes is the same, also where a parameter is there twice with two values, which is nobody's rule.
        if self.bytes == other.bytes {
            return true;
        }
        let (Some(host), Some(other_host)) = (self.host, other.host) else { return false };
        self.scheme == other.scheme
            && same_text(self.user, other.user)
            && same_text(self.password, other.password)
            && host.same(&other_host)
            && self.port == other.port
            && self.headers == other.headers
            && agree(&self.params, &other.params)
            && agree(&other.params, &self.params)
    }
}

fn same_text(one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => abnf::unescaped(one).eq(abnf::unescaped(other)),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// Whether what `one` says is not contradicted by `other`. A parameter of one URI alone is ignored,
/// but for those that change where a request goes or who is called.
fn agree(one: &Params<'_>, other: &Params<'_>) -> bool {
    // Each is looked up in the other, which is quadratic: a list as long as only an attack has is equal to itself alone.
    if one.as_bytes().len().max(other.as_bytes().len()) > limits::SIP_COMPARED_PARAMS_BYTES_MAX {
        return one == other;
    }
    one.iter().all(|(name, value)| match other.get_escaped(name) {
        Some(other) => same_unescaped(value.unwrap_or_default(), other.unwrap_or_default()),
        None => {
            ![&b"user"[..], b"ttl", b"method", b"maddr", b"transport"].iter().any(|must| same_unescaped(name, must))
        }
    })
}

/// `SIP-URI / SIPS-URI / absoluteURI`
pub(super) fn addr_spec(input: &[u8]) -> Parsed<'_, Uri<'_>> {
    let (after_scheme, scheme) = scheme_and_colon(input)?;
    let (rest, mut uri) = match scheme {
        Scheme::Sip | Scheme::Sips => sip_uri(scheme, after_scheme)?,
        Scheme::Other(_) => absolute_uri(scheme, after_scheme)?,
    };
    (_, uri.bytes) = take(input.len() - rest.len())(input)?;
    Ok((rest, uri))
}

/// `scheme ":"`
fn scheme_and_colon(input: &[u8]) -> Parsed<'_, Scheme<'_>> {
    match input {
        [b's' | b'S', b'i' | b'I', b'p' | b'P', b':', rest @ ..] => Ok((rest, Scheme::Sip)),
        [b's' | b'S', b'i' | b'I', b'p' | b'P', b's' | b'S', b':', rest @ ..] => Ok((rest, Scheme::Sips)),
        _ => map(terminated(scheme, byte(':')), Scheme::Other).parse(input),
    }
}

/// `scheme`
fn scheme(input: &[u8]) -> Parsed<'_, &[u8]> {
    let first = take_while1(|byte: u8| byte.is_ascii_alphabetic());
    let others = take_while(|byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    recognize(pair(first, others)).parse(input)
}

/// What follows `sip:`
fn sip_uri<'a>(scheme: Scheme<'a>, input: &'a [u8]) -> Parsed<'a, Uri<'a>> {
    // The `;` and `?` of a user part separate nothing (RFC 4475 §3.1.1.9), so the userinfo is what reaches to the `@`.
    // Behind the userinfo no `@` is unescaped: there is one way to read each.
    let (rest, (user, password)) = match userinfo(input) {
        Ok((rest, (user, password))) => (rest, (Some(user), password)),
        Err(_) => (input, (None, None)),
    };
    let (rest, (host, port)) = host::hostport(rest)?;
    let (rest, params) = uri_parameters(rest)?;
    let (rest, headers) = headers(rest)?;
    let params = Params::of_checked(params);
    Ok((rest, Uri { scheme, user, password, host: Some(host), port, params, headers, bytes: &[] }))
}

/// `userinfo`
fn userinfo(input: &[u8]) -> Parsed<'_, (&[u8], Option<&[u8]>)> {
    let (rest, user) = escaped_run(USER)(input)?;
    let (rest, password) = match rest {
        [b':', password @ ..] => escaped_run(PASSWORD)(password).map(|(rest, password)| (rest, Some(password)))?,
        _ => (rest, None),
    };
    match rest {
        [b'@', rest @ ..] if !user.is_empty() => Ok((rest, (user, password))),
        _ => Err(nom::Err::Error(())),
    }
}

/// `uri-parameters`
fn uri_parameters(input: &[u8]) -> Parsed<'_, &[u8]> {
    let mut rest = input;
    while let [b';', after @ ..] = rest {
        (rest, _) = uri_parameter(after)?;
    }
    take(input.len() - rest.len())(input)
}

/// `uri-parameter`. Some phones have no value after the `=`: `;lr=`.
fn uri_parameter(input: &[u8]) -> Parsed<'_, ()> {
    match escaped_run(PARAM)(input)? {
        (_, []) => Err(nom::Err::Failure(())),
        ([b'=', value @ ..], _) => escaped_run(PARAM)(value).map(|(rest, _)| (rest, ())),
        (rest, _) => Ok((rest, ())),
    }
}

/// `headers`, without the `?`; empty if there are none.
fn headers(input: &[u8]) -> Parsed<'_, &[u8]> {
    let [b'?', headers @ ..] = input else { return Ok((input, &[])) };
    verify(escaped_run(HNV), |headers: &[u8]| !headers.is_empty()).parse(headers)
}

/// What follows the colon of an `absoluteURI`
fn absolute_uri<'a>(scheme: Scheme<'a>, input: &'a [u8]) -> Parsed<'a, Uri<'a>> {
    let (rest, _) = verify(escaped_run(URIC), |opaque: &[u8]| !opaque.is_empty()).parse(input)?;
    let params = Params::default();
    Ok((rest, Uri { scheme, user: None, password: None, host: None, port: None, params, headers: &[], bytes: &[] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text.as_bytes()).unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn user_host_and_port_are_told_apart() {
        for (text, user, host, port) in [
            ("sip:example.com", None, "example.com", None),
            ("sip:+4930123@example.com:5062;user=phone", Some("+4930123"), "example.com", Some(5062)),
            ("SIPS:foo/web@example.com", Some("foo/web"), "example.com", None),
            ("sip:foo%2Fweb@example.com", Some("foo%2Fweb"), "example.com", None),
            ("sip:user;par=u%40example.net@example.com", Some("user;par=u%40example.net"), "example.com", None),
            ("sip:host?to=a@example.com", Some("host?to=a"), "example.com", None),
            ("sip:alice:secret@example.com", Some("alice"), "example.com", None),
            ("sip:*31#030@example.com", Some("*31#030"), "example.com", None),
        ] {
            let uri = uri(text);
            assert_eq!(uri.user, user.map(str::as_bytes), "{text}");
            assert_eq!((uri.host, uri.port), (Some(Host::Name(host.as_bytes())), port), "{text}");
        }
    }

    #[test]
    fn parameters_and_headers_are_told_apart() {
        let uri = uri("sip:a@b.example;lr;transport=udp?subject=x&to=y");
        assert_eq!(uri.param("LR"), Some(None));
        assert_eq!(uri.param("transport"), Some(Some(&b"udp"[..])));
        assert_eq!(uri.headers, b"subject=x&to=y");
        assert_eq!(uri.as_bytes().len(), 47);
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        for text in [
            "",
            "sip",
            "sip:",
            "sip:@example.com",
            "sip:a@",
            "sip:a@b@c",
            "sip:2001:db8::10",
            "sip:a@b:0",
            "sip:a@b:65536",
            "sip:a@b:",
            "sip:a b@c",
            "sip:a@b;",
            "sip:a@b;;lr",
            "sip:a@b?",
            "sip:a%4@b",
            "sip:a%zz@b",
            "sip:a@b;x=%2",
            "<sip:a@b>",
            "sip:a@b>",
            "sip:a\"@b",
            "sip:a\0@b",
            "sip:\u{e4}@b",
            "1sip:a@b",
            ":a@b",
            "tel:",
            "tel:+49 30",
        ] {
            assert_eq!(Uri::parse(text.as_bytes()), Err(Error::Uri), "{text:?}");
        }
    }

    #[test]
    fn other_schemes_are_kept_opaque() {
        for (text, scheme, opaque) in [
            ("tel:+49-30-123;phone-context=x", "tel", "+49-30-123;phone-context=x"),
            ("soap.beep://192.0.2.103:3002", "soap.beep", "//192.0.2.103:3002"),
            ("nobodyKnowsThisScheme:totallyopaquecontent", "nobodyKnowsThisScheme", "totallyopaquecontent"),
        ] {
            let uri = uri(text);
            assert_eq!(uri.scheme, Scheme::Other(scheme.as_bytes()));
            assert_eq!((uri.opaque(), uri.host), (opaque.as_bytes(), None));
        }
    }

    #[test]
    fn a_slash_and_its_escape_are_the_same_user() {
        let mut buffer = [0; 16];
        for (text, expected) in [
            ("sip:foo/web@h", Some(&b"foo/web"[..])),
            ("sip:foo%2Fweb@h", Some(b"foo/web")),
            ("sip:%66oo%2fweb@h", Some(b"foo/web")),
            ("sip:a%00b@h", Some(b"a\0b")),
            ("sip:%2541@h", Some(b"%41")),
            ("sip:h", None),
            ("sip:longer-than-the-buffer@h", None),
        ] {
            assert_eq!(uri(text).user_unescaped(&mut buffer), expected, "{text}");
        }
    }

    #[test]
    fn equality_is_that_of_the_rfc() {
        // The examples of RFC 3261 §19.1.4, and ours.
        for (one, other, same) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5", true),
            ("sip:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false),
            ("sip:foo/web@h", "sip:foo%2Fweb@h", true),
            ("sip:h", "sips:h", false),
            ("sip:h", "sip:a@h", false),
            ("sip:a@[::ffff:192.0.2.1]", "sip:a@192.0.2.1", true),
            ("tel:1", "tel:1", true),
            ("tel:1", "tel:2", false),
        ] {
            assert_eq!(uri(one).same(&uri(other)), same, "{one} {other}");
            assert_eq!(uri(other).same(&uri(one)), same, "{other} {one}");
        }
    }
}
