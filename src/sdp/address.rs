//! Which addresses of a description may be sent to (RELIABILITY A18): every disguise of an address is taken off first.
//! Not here: whether the peer has proved that it is there (`media::latch`, RELIABILITY A20), and names: nothing is looked up.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What configuration allows. By default nothing out of the ordinary.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AddressRules {
    /// Whether 127.0.0.0/8 and `::1` are peers like others: in tests and the demonstration.
    pub loopback: bool,
}

/// Where one leg wants its packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Remote {
    /// RTP; `None` while the leg wants nothing: port 0 or an unspecified address, the old way to hold (RFC 3264 §8.4).
    pub rtp: Option<SocketAddr>,
    /// RTCP: `a=rtcp` (RFC 3605), else the RTP port plus one; `None` with `rtp`, or where there is no such port.
    pub rtcp: Option<SocketAddr>,
}

/// Why an address of a description is not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadAddress {
    /// No `c=` for the stream.
    Missing,
    /// A host name, or a kind of network that is not the Internet.
    NotAnIp,
    /// An address that no peer has, or that would reach ourselves or many.
    Forbidden(IpAddr),
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadAddress::Missing => f.write_str("the stream has no c= line"),
            BadAddress::NotAnIp => f.write_str("the connection address is not an IP address"),
            BadAddress::Forbidden(ip) => write!(f, "{ip} may not be sent to"),
        }
    }
}

impl std::error::Error for BadAddress {}

impl AddressRules {
    /// `ip` as it is to be used, `None` if it is unspecified (hold), or why it is not.
    pub fn check(self, ip: IpAddr) -> Result<Option<IpAddr>, BadAddress> {
        let ip = unmapped(ip);
        let allowed = match ip {
            _ if ip.is_unspecified() => return Ok(None),
            _ if ip.is_loopback() => self.loopback,
            IpAddr::V4(v4) => is_ordinary_v4(v4),
            IpAddr::V6(v6) => is_ordinary_v6(v6),
        };
        if allowed { Ok(Some(ip)) } else { Err(BadAddress::Forbidden(ip)) }
    }
}

/// The IPv4 address in an IPv4-mapped one (RFC 4291 §2.5.5.2), any other as it is.
pub fn unmapped(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// RFC 6890: neither "this network", loopback, link-local (where clouds keep their metadata), multicast nor reserved and broadcast.
fn is_ordinary_v4(ip: Ipv4Addr) -> bool {
    let [first, ..] = ip.octets();
    first != 0 && first < 240 && !ip.is_loopback() && !ip.is_link_local() && !ip.is_multicast()
}

fn is_ordinary_v6(ip: Ipv6Addr) -> bool {
    !ip.is_unicast_link_local() && !ip.is_multicast() && embedded_v4(ip).is_none_or(is_ordinary_v4)
}

/// The IPv4 address that a gateway would find in an IPv6 one. Loopback in such a dress is never one of our tests.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match ip.segments() {
        // IPv4-compatible (RFC 4291 §2.5.5.1) and IPv4-translated (RFC 2765 §2.1)
        [0, 0, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => (high, low),
        // NAT64 (RFC 6052 §2.1), and its local prefix as it is used (RFC 8215)
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low] => (high, low),
        // 6to4 (RFC 3056 §2)
        [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: AddressRules = AddressRules { loopback: false };
    const AT_HOME: AddressRules = AddressRules { loopback: true };

    #[test]
    fn ordinary_addresses_are_used_and_mapped_ones_unmapped() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("10.0.0.1", "10.0.0.1"),
            ("100.64.0.1", "100.64.0.1"),
            ("172.16.0.1", "172.16.0.1"),
            ("223.255.255.255", "223.255.255.255"),
            ("169.253.255.255", "169.253.255.255"),
            ("2001:db8::1", "2001:db8::1"),
            ("fd00::1", "fd00::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("64:ff9b::192.0.2.1", "64:ff9b::192.0.2.1"),
            ("2002:c000:201::1", "2002:c000:201::1"),
        ] {
            let expected: IpAddr = expected.parse().unwrap();
            assert_eq!(STRICT.check(text.parse().unwrap()), Ok(Some(expected)), "{text}");
        }
    }

    #[test]
    fn unspecified_addresses_are_hold() {
        for text in ["0.0.0.0", "::", "::ffff:0.0.0.0"] {
            assert_eq!(STRICT.check(text.parse().unwrap()), Ok(None), "{text}");
        }
    }

    #[test]
    fn addresses_that_reach_ourselves_or_many_are_refused_in_every_disguise() {
        let forms = [
            "0.0.0.1",
            "0.255.255.255",
            "169.254.0.1",
            "169.254.169.254",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "ff0e::1",
            "::ffff:169.254.169.254",
            "::ffff:255.255.255.255",
            "::ffff:224.0.0.1",
            "::127.0.0.1",
            "::169.254.169.254",
            "::2",
            "::ffff:0:127.0.0.1",
            "::ffff:0:224.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::0.0.0.0",
            "64:ff9b::169.254.169.254",
            "64:ff9b::255.255.255.255",
            "64:ff9b:1::127.0.0.1",
            "2002:7f00:1::",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::1",
            "2002:0:0::1",
            "2002:e000:1::",
            "2002:ffff:ffff::",
        ];
        for text in forms {
            for rules in [STRICT, AT_HOME] {
                let found = rules.check(text.parse().unwrap());
                assert!(matches!(found, Err(BadAddress::Forbidden(_))), "{text}: {found:?}");
            }
        }
    }

    #[test]
    fn loopback_is_a_peer_only_where_the_rules_say_so() {
        for text in ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(STRICT.check(ip), Err(BadAddress::Forbidden(unmapped(ip))), "{text}");
            assert_eq!(AT_HOME.check(ip), Ok(Some(unmapped(ip))), "{text}");
        }
    }
}
