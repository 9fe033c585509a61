//! Hosts and ports (RFC 3261 §25.1: host, hostport), addresses as RFC 5118 has them.
//! Not here: resolving a name, and which addresses may be sent to.

use super::abnf::{self, HOST, Parsed, run, separator};
use nom::Parser;
use nom::bytes::complete::{tag, take_until};
use nom::combinator::{cut, map_opt, opt};
use nom::sequence::{delimited, pair, preceded};
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
    pair(host, opt(preceded(tag(&b":"[..]), cut(abnf::port)))).parse(input)
}

/// `sent-by` as in a Via: white space may be round the colon.
pub(super) fn sent_by(input: &[u8]) -> Parsed<'_, (Host<'_>, Option<u16>)> {
    pair(host, opt(preceded(separator(':'), cut(abnf::port)))).parse(input)
}

/// `host`
pub(super) fn host(input: &[u8]) -> Parsed<'_, Host<'_>> {
    match input.first() {
        Some(b'[') => ipv6_reference.map(Host::V6).parse(input),
        Some(_) | None => map_opt(run(HOST), hostname_or_ipv4).parse(input),
    }
}

/// `IPv6reference`
fn ipv6_reference(input: &[u8]) -> Parsed<'_, Ipv6Addr> {
    let address = map_opt(take_until(&b"]"[..]), |text: &[u8]| text_of(text)?.parse().ok());
    delimited(tag(&b"["[..]), address, tag(&b"]"[..])).parse(input)
}

/// `hostname` or `IPv4address`. RFC 3261: the last label of a name begins with a letter, so nothing is both, and
/// no other spelling of an address (`0x7f.1`, `2130706433`) passes for a name.
fn hostname_or_ipv4(text: &[u8]) -> Option<Host<'_>> {
    let name = text.strip_suffix(b".").unwrap_or(text);
    let last = name.rsplit(|byte| *byte == b'.').next()?;
    if !last.first()?.is_ascii_digit() {
        let bad_label = |label: &[u8]| label.is_empty() || label.starts_with(b"-") || label.ends_with(b"-");
        return (!name.split(|byte| *byte == b'.').any(bad_label)).then_some(Host::Name(text));
    }
    ipv4_address(text).map(Host::V4)
}

/// `IPv4address`: four numbers of one to three digits; a leading zero would be octal to some, so there is none.
fn ipv4_address(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut parts = text.split(|byte| *byte == b'.');
    for octet in &mut octets {
        *octet = octet_of(parts.next()?)?;
    }
    parts.next().is_none().then_some(Ipv4Addr::from(octets))
}

fn octet_of(digits: &[u8]) -> Option<u8> {
    if digits.is_empty() || digits.len() > 1 && digits.starts_with(b"0") {
        return None;
    }
    digits.iter().try_fold(0u8, |sum, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        sum.checked_mul(10)?.checked_add(digit)
    })
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
            ("a..example", None),
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
