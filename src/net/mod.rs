//! SIP sockets and connections, and the clocks that say when: they frame and carry bytes, and know nothing of what is in them.
//! Not here: RTP sockets (`relay`), HTTP and WebSockets (`http`), and any word of SIP.

mod clock;
mod connection;
mod connector;
mod dial;
mod listen;
mod overflow;
mod slots;
mod streams;
mod tls;
mod udp;

pub use clock::Clock;
pub use connector::{Connector, client_config};
pub use dial::Dialler;
pub use listen::StreamListener;
pub use overflow::overflows;
pub use slots::{Slot, Slots};
pub use streams::{ConnectionCounts, Door, Ended, Happened, Link, Passage, StreamEvent, Streams};
pub use tls::{Acceptor, Certificates};
pub use udp::{Received, Sockets};

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The address of ours from which a packet to the outside would leave: what a wildcard listener is reached at when the operator
/// names nothing. Asks the routing table only (a UDP connect sends nothing); loopback where there is no route.
pub fn outward_address(of: IpAddr) -> IpAddr {
    if !of.is_unspecified() {
        return of;
    }
    let (any, outside, loopback): (IpAddr, IpAddr, IpAddr) = match of {
        // Documentation addresses (RFC 5737, RFC 3849): nobody's, so the default route is taken.
        IpAddr::V4(_) => (of, Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(_) => (of, Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(), Ipv6Addr::LOCALHOST.into()),
    };
    route_to(any, outside).unwrap_or(loopback)
}

fn route_to(any: IpAddr, outside: IpAddr) -> io::Result<IpAddr> {
    let probe = UdpSocket::bind(SocketAddr::new(any, 0))?;
    probe.connect(SocketAddr::new(outside, 9))?;
    Ok(probe.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_address_stands_and_a_wildcard_becomes_a_real_one() {
        let given: IpAddr = "192.0.2.7".parse().unwrap();
        assert_eq!(outward_address(given), given);
        let found = outward_address(Ipv4Addr::UNSPECIFIED.into());
        assert!(!found.is_unspecified() && found.is_ipv4());
        assert!(!outward_address(Ipv6Addr::UNSPECIFIED.into()).is_unspecified());
    }
}
