//! The way that a message takes: transport protocol and both ends. An answer's Via depends on it (RFC 3261 §18.2).
//! Not here: sockets (`net`).

use std::fmt;
use std::net::SocketAddr;

/// How a message travelled. Issues to come add the streams.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Transport {
    /// One message a datagram; retransmission is ours.
    Udp,
}

/// The two ends of a path over which a message came or is to go. An answer goes back over the path of its request (RFC 3261 §18.2.2).
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
        match self.transport {
            Transport::Udp => write!(f, "udp:{}", self.peer),
        }
    }
}
