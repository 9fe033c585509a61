//! Hosts and ports (RFC 3261 §25.1: host, hostport), addresses as RFC 5118 has them.
//! Not here: resolving a name, and which addresses may be sent to.

use super::abnf::{self, HOST, LABEL, Parsed, separator};
use nom::Parser;
use nom::bytes::complete::{take, take_until};
use nom::character::complete::char as byte;
use nom::combinator::map_opt;
use nom::sequence::delimited;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host: a name or an address. No look-up has been made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Host<'a> {
    /// A domain name as it was written; never something that looks like a number.
    Name(&'a [u8]),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, written in brackets. May hide an IPv4 one: see [`Host::ip`].
    V6(Ipv6Addr),
}

impl Host<'_> {
    /// The address, an IPv4 address inside an IPv6 one taken out (RELIABILITY A18); `None` for a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Name(_) => None,
            Host::V4(address) => Some(IpAddr::V4(*address)),
            Host::V6(address) => Some(IpAddr::V6(*address).to_canonical()),
        }
    }

    /// Whether two hosts are written alike but for case, or are the same address.
    pub fn same(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Host::Name(one), Host::Name(other)) => one.eq_ignore_ascii_case(other),
            (Host::V4(_) | Host::V6(_) | Host::Name(_), _) => self.ip().is_some() && self.ip() == other.ip(),
        }
    }
}

/// `hostport` as in a URI: no white space.
pub(super) fn hostport(input: &[u8]) -> Parsed<'_, (Host<'_>, Option<u16>)> {
    let (rest, host) = host(input)?;
    match rest {
        [b':', port @ ..] => abnf::port(port).map(|(rest, port)| (rest, (host, Some(port)))),
        _ => Ok((rest, (host, None))),
    }
}

/// `sent-by` as in a Via: white space may be round the colon.
pub(super) fn sent_by(input: &[u8]) -> Parsed<'_, (Host<'_>, Option<u16>)> {
    let (rest, host) = host(input)?;
    match separator(b':')(rest) {
        Ok((port, ())) => abnf::port(port).map(|(rest, port)| (rest, (host, Some(port)))),
        Err(_) => Ok((rest, (host, None))),
    }
}

/// `host`
pub(super) fn host(input: &[u8]) -> Parsed<'_, Host<'_>> {
    match input.first() {
        Some(b'[') => ipv6_reference.map(Host::V6).parse(input),
        Some(b'0'..=b'9') => match ipv4_address(input) {
            Ok((rest, address)) => Ok((rest, Host::V4(address))),
            Err(_) => hostname(input),
        },
        Some(_) | None => hostname(input),
    }
}

/// `IPv6reference`
fn ipv6_reference(input: &[u8]) -> Parsed<'_, Ipv6Addr> {
    let address = map_opt(take_until(&b"]"[..]), |text: &[u8]| text_of(text)?.parse().ok());
    delimited(byte('['), address, byte(']')).parse(input)
}

/// `hostname`. RFC 3261: its last label begins with a letter, so it is never an IPv4 address, and no other spelling of one
/// (`0x7f.1`, `2130706433`) passes for a name.
fn hostname(input: &[u8]) -> Parsed<'_, Host<'_>> {
    let (mut rest, mut last) = label(input)?;
    while let [b'.', after @ ..] = rest {
        rest = after;
        if !rest.first().is_some_and(|next| abnf::is(HOST, *next)) {
            // A dot may be behind the last label.
            break;
        }
        (rest, last) = label(rest)?;
    }
    match last.first() {
        Some(first) if !first.is_ascii_digit() => take(input.len() - rest.len()).map(Host::Name).parse(input),
        Some(_) | None => Err(nom::Err::Error(())),
    }
}

/// One or more letters, digits and hyphens; no hyphen at its ends.
#[inline(always)]
fn label(input: &[u8]) -> Parsed<'_, &[u8]> {
    match abnf::run(LABEL)(input)? {
        (_, [b'-', ..] | [.., b'-']) => Err(nom::Err::Error(())),
        label => Ok(label),
    }
}

/// `IPv4address`, and nothing after it that would make it something else.
fn ipv4_address(input: &[u8]) -> Parsed<'_, Ipv4Addr> {
    let (mut rest, mut octets) = (input, [0; 4]);
    for (at, octet) in octets.iter_mut().enumerate() {
        if at > 0 {
            (rest, _) = byte('.')(rest)?;
        }
        (rest, *octet) = decimal_octet(rest)?;
    }
    match rest.first() {
        Some(next) if abnf::is(HOST, *next) => Err(nom::Err::Error(())),
        Some(_) | None => Ok((rest, Ipv4Addr::from(octets))),
    }
}

/// One to three digits, 0 to 255; a leading zero would be octal to some, so there is none.
fn decimal_octet(input: &[u8]) -> Parsed<'_, u8> {
    let value = |digit: &u8| u16::from(digit - b'0');
    let (rest, octet) = match input {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] => {
            (rest, value(a) * 100 + value(b) * 10 + value(c))
        }
        [a @ b'1'..=b'9', b @ b'0'..=b'9', rest @ ..] => (rest, value(a) * 10 + value(b)),
        [a @ b'0'..=b'9', rest @ ..] => (rest, value(a)),
        _ => return Err(nom::Err::Error(())),
    };
    u8::try_from(octet).map(|octet| (rest, octet)).map_err(|_| nom::Err::Error(()))
}

/// An address as `received` and `maddr` have it: with or without brackets (RFC 5118 §4.5).
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let bare = text.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]")).unwrap_or(text);
    text_of(bare)?.parse().ok()
}

fn text_of(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::wire::abnf::whole;

    #[test]
    fn a_host_is_a_name_or_an_address_and_never_both() {
        for (text, expected) in [
            ("example.com", Some(Host::Name(b"example.com"))),
            ("example.com.", Some(Host::Name(b"example.com."))),
            ("sip_1.local", Some(Host::Name(b"sip_1.local"))),
            ("192.0.2.1", Some(Host::V4(Ipv4Addr::new(192, 0, 2, 1)))),
            ("[2001:db8::10:5070]", Some(Host::V6("2001:db8::10:5070".parse().unwrap()))),
            ("[::ffff:192.0.2.10]", Some(Host::V6("::ffff:192.0.2.10".parse().unwrap()))),
            ("2001:db8::10", None),
            ("[2001:db8:::192.0.2.1]", None),
            ("[fe80::1%eth0]", None),
            ("[2001:db8::1", None),
            ("192.0.2.256", None),
            ("192.0.2.01", None),
            ("192.0.2.1.1", None),
            ("192.0.2", None),
            ("2130706433", None),
            ("127.0.0.0x1", None),
            ("-a.example", None),
            ("a-.example", None),
            ("a.-example", None),
            ("a.example-", None),
            ("a..example", None),
            ("a.example..", None),
            ("a.1.", None),
            (".", None),
            ("", None),
            ("a b", None),
        ] {
            assert_eq!(whole(host, text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn an_ipv4_address_inside_an_ipv6_one_is_seen() {
        let mapped = whole(host, b"[::ffff:192.0.2.10]").unwrap();
        assert_eq!(mapped.ip(), Some("192.0.2.10".parse().unwrap()));
        assert!(mapped.same(&Host::V4(Ipv4Addr::new(192, 0, 2, 10))));
        assert!(!Host::Name(b"a").same(&mapped));
        assert!(Host::Name(b"A.b").same(&Host::Name(b"a.B")));
    }
}
