//! Where requests of ours may go: a SIP URI as the operator writes it, or an address, and what comes of it once it is resolved.
//! RFC 3263 in types: what is given narrows down what has to be asked.
//! Not here: asking DNS (`resolve`), and which target is taken (`trunk`).

use super::wire::{Host, Scheme, Transport, Uri};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What carries requests to a target: the transports over which we can reach somebody who has not reached us.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Carrier {
    /// Datagrams.
    Udp,
    /// A connection.
    Tcp,
    /// A connection inside of TLS.
    Tls,
}

impl Carrier {
    /// All of them, in the order in which they are tried where nothing else says so (RFC 3263 §4.1 leaves it open).
    pub const ALL: [Carrier; 3] = [Carrier::Udp, Carrier::Tcp, Carrier::Tls];

    /// As a URI's `transport` writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Carrier::Udp => "udp",
            Carrier::Tcp => "tcp",
            Carrier::Tls => "tls",
        }
    }

    /// The same among all transports.
    pub fn transport(self) -> Transport {
        match self {
            Carrier::Udp => Transport::Udp,
            Carrier::Tcp => Transport::Tcp,
            Carrier::Tls => Transport::Tls,
        }
    }

    /// The port where none is named (RFC 3261 §19.1.2).
    pub fn port(self) -> u16 {
        match self {
            Carrier::Udp | Carrier::Tcp => 5060,
            Carrier::Tls => 5061,
        }
    }
}

/// Who is meant by a target.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TargetHost {
    /// An address: nothing has to be asked.
    Ip(IpAddr),
    /// A domain, in lower case.
    Name(Arc<str>),
}

/// Where requests of ours may go.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Target {
    /// The host.
    pub host: TargetHost,
    /// The port, if one is named; then there is no SRV (RFC 3263 §4.2).
    pub port: Option<u16>,
    /// The transport, if one is named; then there is no NAPTR (RFC 3263 §4.1).
    pub carrier: Option<Carrier>,
    /// Whether it was a `sips:` URI: nothing but TLS will do.
    pub is_secure: bool,
}

/// One way to a target, ready to be taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Hop {
    /// Over what.
    pub carrier: Carrier,
    /// Where to.
    pub address: SocketAddr,
}

/// Why there is no way to a target.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Unlocated {
    /// Name servers say that there is no such host.
    Absent,
    /// No name server answers.
    Unanswered,
    /// It could only be reached by a transport or an address family that we have no listener for.
    Unsupported,
}

impl fmt::Display for Unlocated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unlocated::Absent => "no such host",
            Unlocated::Unanswered => "no name server answers",
            Unlocated::Unsupported => "no listener of ours has its transport and address family",
        })
    }
}

impl Target {
    /// Reads `sip:gw1.example;transport=tcp`, `sips:gw.example`, `gw1.example:5070`, `192.0.2.7:5060`, `[2001:db8::7]`. The error says
    /// what to write instead.
    pub fn parse(text: &str) -> Result<Target, String> {
        let bad = || format!("`{text}` is no target; write for example sip:gw.example;transport=tcp or 192.0.2.7:5060");
        let with_scheme = if has_scheme(text) { text.to_owned() } else { format!("sip:{text}") };
        let uri = Uri::parse(with_scheme.as_bytes()).map_err(|_| bad())?;
        Target::of_uri(&uri).ok_or_else(bad)?
    }

    /// The target of a URI's host; `None` for a URI that has none. The inner error says what of it cannot be done.
    pub fn of_uri(uri: &Uri<'_>) -> Option<Result<Target, String>> {
        let is_secure = match uri.scheme {
            Scheme::Sip => false,
            Scheme::Sips => true,
            Scheme::Other(_) => return None,
        };
        let host = match uri.host? {
            Host::Name(name) => {
                TargetHost::Name(std::str::from_utf8(name).ok()?.trim_end_matches('.').to_lowercase().into())
            }
            host @ (Host::V4(_) | Host::V6(_)) => TargetHost::Ip(host.ip()?),
        };
        let named = uri.param("transport").map(Option::unwrap_or_default);
        let carrier = match named {
            None => None,
            Some(named) => match Carrier::ALL.into_iter().find(|it| named.eq_ignore_ascii_case(it.as_str().as_bytes()))
            {
                // RFC 3261 §26.2.2: in a sips URI `tcp` means TLS over TCP.
                Some(Carrier::Tcp | Carrier::Tls) if is_secure => Some(Carrier::Tls),
                Some(Carrier::Udp) if is_secure => return Some(Err("a sips: target cannot go over udp".into())),
                Some(carrier) => Some(carrier),
                None => {
                    let named = String::from_utf8_lossy(named);
                    return Some(Err(format!("transport `{named}` is not known; write udp, tcp or tls")));
                }
            },
        };
        Some(Ok(Target { host, port: uri.port, carrier, is_secure }))
    }

    /// The way, where nothing has to be asked: the host is an address (RFC 3263 §4.1, §4.2).
    pub fn direct(&self) -> Option<Hop> {
        let TargetHost::Ip(ip) = self.host else { return None };
        let carrier = self.carrier.unwrap_or(self.carrier_by_default());
        Some(Hop { carrier, address: SocketAddr::new(ip, self.port.unwrap_or(carrier.port())) })
    }

    /// What carries requests when neither the URI nor DNS says so (RFC 3263 §4.1).
    pub fn carrier_by_default(&self) -> Carrier {
        if self.is_secure { Carrier::Tls } else { Carrier::Udp }
    }
}

/// Whether a text begins with `sip:` or `sips:`; `sip:5070` is a host named `sip` to nobody.
fn has_scheme(text: &str) -> bool {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips")
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_secure { "sips:" } else { "sip:" })?;
        match &self.host {
            TargetHost::Ip(IpAddr::V4(ip)) => write!(f, "{ip}")?,
            TargetHost::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]")?,
            TargetHost::Name(name) => f.write_str(name)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match self.carrier {
            Some(carrier) if !(self.is_secure && carrier == Carrier::Tls) => {
                write!(f, ";transport={}", carrier.as_str())
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.carrier.as_str(), self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_uri_or_a_host_with_or_without_port() {
        for (text, written) in [
            ("sip:gw1.example;transport=tcp", "sip:gw1.example;transport=tcp"),
            ("SIP:GW1.Example.;transport=TCP", "sip:gw1.example;transport=tcp"),
            ("sips:gw.example", "sips:gw.example"),
            ("sips:gw.example;transport=tcp", "sips:gw.example"),
            ("sip:gw.example;transport=tls;lr", "sip:gw.example;transport=tls"),
            ("gw1.example:5070", "sip:gw1.example:5070"),
            ("192.0.2.7", "sip:192.0.2.7"),
            ("192.0.2.7:5060", "sip:192.0.2.7:5060"),
            ("[2001:db8::7]:5060", "sip:[2001:db8::7]:5060"),
            ("sip:user@gw.example", "sip:gw.example"),
        ] {
            assert_eq!(Target::parse(text).map(|target| target.to_string()), Ok(written.to_owned()), "{text}");
        }
        for bad in [
            "",
            "sip:",
            "tel:+4930",
            "gw example",
            "gw.example:99999",
            "sip:gw;transport=sctp",
            "http://gw",
            "2001:db8::7",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Target::parse("sips:gw.example;transport=udp").unwrap_err().contains("udp"));
    }

    /// RFC 3263 §4.1, §4.2: an address needs no question, whatever else is there.
    #[test]
    fn an_address_is_a_way_by_itself_and_a_name_is_none() {
        for (text, hop) in [
            ("192.0.2.7", Some("udp:192.0.2.7:5060")),
            ("192.0.2.7:5070", Some("udp:192.0.2.7:5070")),
            ("sip:192.0.2.7;transport=tcp", Some("tcp:192.0.2.7:5060")),
            ("sip:192.0.2.7;transport=tls", Some("tls:192.0.2.7:5061")),
            ("sips:192.0.2.7", Some("tls:192.0.2.7:5061")),
            ("sips:[2001:db8::7]:5070", Some("tls:[2001:db8::7]:5070")),
            ("sip:gw.example:5070;transport=udp", None),
        ] {
            let found = Target::parse(text).unwrap().direct().map(|hop| hop.to_string());
            assert_eq!(found.as_deref(), hop, "{text}");
        }
    }
}
