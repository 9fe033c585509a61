//! The way that a message takes: transport protocol and both ends. An answer's Via depends on it (RFC 3261 §18.2).
//! Not here: sockets (`net`).

use std::fmt;
use std::net::SocketAddr;

/// How a message travelled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Transport {
    /// One message a datagram; retransmission is ours.
    Udp,
    /// A stream of messages, each as long as its Content-Length says (RFC 3261 §18.3).
    Tcp,
    /// The same inside of TLS.
    Tls,
    /// One message a WebSocket message (RFC 7118). The peer opens the connection; nobody can open one to it.
    Ws,
}

impl Transport {
    /// All of them.
    pub const ALL: [Transport; 4] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws];

    /// Whether the transport repeats by itself what was lost, so that a transaction need not (RFC 3261 §17). Such a transport has
    /// connections, and whoever has one has shown that its address is its own.
    pub fn is_reliable(self) -> bool {
        match self {
            Transport::Udp => false,
            Transport::Tcp | Transport::Tls | Transport::Ws => true,
        }
    }

    /// As Via writes it (RFC 3261 §20.42, RFC 7118 §5.1).
    pub fn token(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
        }
    }

    /// What a URI needs for requests to come this way; UDP is what a URI means that says nothing (RFC 3263 §4.1).
    pub fn uri_parameter(self) -> &'static str {
        match self {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            Transport::Tls => ";transport=tls",
            Transport::Ws => ";transport=ws",
        }
    }

    /// As logs and metrics write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Ws => "ws",
        }
    }

    /// The one that a URI or Via names, whatever its case; a secure WebSocket is a WebSocket to whoever is behind its TLS.
    pub fn of(token: &[u8]) -> Option<Transport> {
        if token.eq_ignore_ascii_case(b"WSS") {
            return Some(Transport::Ws);
        }
        Transport::ALL.into_iter().find(|transport| token.eq_ignore_ascii_case(transport.token().as_bytes()))
    }
}

/// The two ends of a path over which a message came or is to go. An answer goes back over the path of its request (RFC 3261 §18.2.2).
/// With a transport that has connections it names one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Path {
    /// The transport protocol.
    pub transport: Transport,
    /// Our end: the address of the listener.
    pub local: SocketAddr,
    /// Their end.
    pub peer: SocketAddr,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport.as_str(), self.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transport_is_found_by_its_token_and_by_nothing_else() {
        for transport in Transport::ALL {
            assert_eq!(Transport::of(transport.token().as_bytes()), Some(transport));
            assert_eq!(Transport::of(transport.as_str().as_bytes()), Some(transport));
        }
        assert_eq!(Transport::of(b"wss"), Some(Transport::Ws));
        for other in ["", "SCTP", "UD", "UDPX"] {
            assert_eq!(Transport::of(other.as_bytes()), None, "{other}");
        }
    }
}
