//! The small texts of the file that have a grammar of their own: addresses, lists of addresses.
//! Not here: which key has which (`typed`). Every error says what to write instead.

use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// What we call ourselves towards others: a host or an address, with or without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// As a URI's host part has it: a name, an IPv4 address, an IPv6 address in brackets.
    pub host: String,
    /// The address, if `host` is one: SDP's connection address for clients that resolve no names.
    pub ip: Option<IpAddr>,
    /// Instead of the listener's port.
    pub port: Option<u16>,
}

impl Advertised {
    /// `192.0.2.1`, `192.0.2.1:5060`, `2001:db8::1`, `[2001:db8::1]:5060`, `sip.example`, `sip.example:5060`.
    pub(super) fn parse(text: &str) -> Result<Advertised, String> {
        if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Advertised::address(text, ip, None);
        }
        if let Ok(socket) = text.parse::<SocketAddr>() {
            return Advertised::address(text, socket.ip(), Some(socket.port()));
        }
        let bad = || format!("`{text}` is no host; write an address or a name, with or without `:PORT`");
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?)),
            None => (text, None),
        };
        if is_host_name(host) { Ok(Advertised { host: host.to_owned(), ip: None, port }) } else { Err(bad()) }
    }

    fn address(text: &str, ip: IpAddr, port: Option<u16>) -> Result<Advertised, String> {
        if ip.is_unspecified() || port == Some(0) {
            return Err(format!("nobody can reach `{text}`; write the address that others see, or leave it empty"));
        }
        let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        Ok(Advertised { host, ip: Some(ip), port })
    }
}

/// RFC 3261 §25.1 `hostname`: labels of letters, digits and inner hyphens; the last begins with a letter.
fn is_host_name(text: &str) -> bool {
    let labels: Vec<&str> = text.trim_end_matches('.').split('.').collect();
    let good = |label: &&str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= 253
        && labels.iter().all(good)
        && labels.last().is_some_and(|top| top.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// Where SIP is listened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Listener {
    /// UDP and TCP, as RFC 3261 §18.2.1 wants it.
    Both(SocketAddr),
    Udp(SocketAddr),
    Tcp(SocketAddr),
    Tls(SocketAddr),
}

impl Listener {
    pub(super) fn udp(self) -> Option<SocketAddr> {
        match self {
            Listener::Both(address) | Listener::Udp(address) => Some(address),
            Listener::Tcp(_) | Listener::Tls(_) => None,
        }
    }

    pub(super) fn tcp(self) -> Option<SocketAddr> {
        match self {
            Listener::Both(address) | Listener::Tcp(address) => Some(address),
            Listener::Udp(_) | Listener::Tls(_) => None,
        }
    }

    pub(super) fn tls(self) -> Option<SocketAddr> {
        match self {
            Listener::Tls(address) => Some(address),
            Listener::Both(_) | Listener::Udp(_) | Listener::Tcp(_) => None,
        }
    }
}

/// `0.0.0.0:5060`, or for one transport `udp:0.0.0.0:5060`, `tcp:…`, `tls:…`.
pub(super) fn listener(text: &str) -> Result<Listener, String> {
    let of = |prefix: &str, kind: fn(SocketAddr) -> Listener| Some(socket(text.strip_prefix(prefix)?).map(kind));
    let named = of("udp:", Listener::Udp).or_else(|| of("tcp:", Listener::Tcp)).or_else(|| of("tls:", Listener::Tls));
    named.unwrap_or_else(|| socket(text).map(Listener::Both))
}

/// A host name as certificates have it, in lower case.
pub(super) fn host_name(text: &str) -> Result<String, String> {
    if is_host_name(text) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(format!("`{text}` is no host name; write one that the peer's certificate has, for example sbc.carrier.example"))
}

/// `0.0.0.0:5060`, `[::]:5060`.
pub(super) fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is no address and port; write for example 0.0.0.0:5060 or [::]:5060"))
}

/// An address without a port.
pub(super) fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is no address; write for example 192.0.2.1, without a port"))
}

/// `192.0.2.0/24`, or one address.
pub(super) fn net(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let net = parsed.ok_or_else(|| format!("`{text}` is no address list entry; write for example 192.0.2.0/24"))?;
    Ok(net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertised_host_is_what_a_uri_may_have() {
        for (text, host, port) in [
            ("192.0.2.1", "192.0.2.1", None),
            ("192.0.2.1:5070", "192.0.2.1", Some(5070)),
            ("2001:db8::1", "[2001:db8::1]", None),
            ("[2001:db8::1]", "[2001:db8::1]", None),
            ("[2001:db8::1]:5070", "[2001:db8::1]", Some(5070)),
            ("sip.example", "sip.example", None),
            ("sip.example:5070", "sip.example", Some(5070)),
        ] {
            let parsed = Advertised::parse(text).unwrap();
            assert_eq!((parsed.host.as_str(), parsed.port), (host, port), "{text}");
            assert_eq!(parsed.ip.is_some(), !text.starts_with("sip"), "{text}");
        }
        for bad in ["", "0.0.0.0", "[::]:5060", "host:", "host:0", "host:99999", "a b", "-x.example", "1.2.3", "sip:x"]
        {
            assert!(Advertised::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_listener_is_for_udp_and_tcp_unless_it_names_one() {
        let address: SocketAddr = "0.0.0.0:5060".parse().unwrap();
        for (text, udp, tcp, tls) in [
            ("0.0.0.0:5060", true, true, false),
            ("udp:0.0.0.0:5060", true, false, false),
            ("tcp:0.0.0.0:5060", false, true, false),
            ("tls:0.0.0.0:5060", false, false, true),
        ] {
            let found = listener(text).unwrap();
            let expected = [udp, tcp, tls].map(|is| is.then_some(address));
            assert_eq!([found.udp(), found.tcp(), found.tls()], expected, "{text}");
        }
        assert_eq!(listener("[::]:5060"), Ok(Listener::Both("[::]:5060".parse().unwrap())));
        for bad in ["", "tls:", "ws:0.0.0.0:5060", "udp:tcp:0.0.0.0:5060", "TLS:0.0.0.0:5061"] {
            assert!(listener(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_address_list_takes_networks_and_single_addresses() {
        for (text, expected) in [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(net(text).unwrap().to_string(), expected);
        }
        for bad in ["192.0.2.0/33", "example.org", "", "192.0.2"] {
            assert!(net(bad).is_err(), "{bad:?}");
        }
    }
}
