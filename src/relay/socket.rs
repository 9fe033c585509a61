//! One leg's two sockets. The one for RTP is connected while its peer is certain: the kernel then drops what others send before it wakes
//! anybody, looks for the way to the peer once and not for each packet, and tells if nobody listens there.
//! Not here: which ports (`relay::ports`) and what passes through them (`relay::bridge`).

use crate::limits;
use crate::relay::offload::{Lane, Offload};
use crate::relay::ports::{Lease, Ports};
use crate::relay::recorder::Inlet;
use crate::relay::{delay, icmp};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A leg's sockets. Fields drop in order: the rule ends and both are closed before their ports go back.
pub(super) struct LegSockets {
    /// Where the kernel's rule for the RTP port stands, if it forwards anything.
    pub(super) lane: Option<Box<Lane>>,
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
    reach: Reach,
    /// Whether the kernel says when RTP came.
    timed: bool,
    /// ICMP errors since the last word of signalling.
    errors: u32,
    lease: Lease,
    _counted: Counted,
}

/// Who can be heard through the socket for RTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reach {
    Anyone,
    /// It is connected.
    Only(SocketAddr),
    /// It is not to be connected, or the kernel did not want to; neither is asked for each packet.
    Unconnectable,
}

/// Two open sockets, in the relay's count of them.
struct Counted(Arc<AtomicUsize>);

/// Where sockets are opened, and how.
#[derive(Clone)]
pub(super) struct Opener {
    pub(super) ports: Arc<Ports>,
    /// How many sockets are open in the whole relay.
    pub(super) open: Arc<AtomicUsize>,
    pub(super) dscp: Option<u8>,
    /// For how many flows a worker may keep sockets open that no flow uses.
    pub(super) kept_max: usize,
    pub(super) offload: Option<Arc<Offload>>,
    pub(super) recorder: Option<Inlet>,
}

impl Opener {
    /// A pair of bound sockets on `address`; the error is for the record. A pair of which another program holds a port is passed
    /// over, [`limits::PORT_TRIES_MAX`] times; other refusals (no descriptors left, address gone) would meet the next pair too.
    pub(super) fn open(&self, address: IpAddr) -> Result<LegSockets, &'static str> {
        if !self.ports.has(address) {
            return Err("not an address of the relay");
        }
        for _ in 0..limits::PORT_TRIES_MAX {
            let lease = self.ports.take(address).ok_or("no free ports")?;
            match self.bind(&lease) {
                Ok((rtp, rtcp)) => {
                    self.open.fetch_add(2, Ordering::Relaxed);
                    return Ok(LegSockets {
                        lane: self.offload.as_ref().and_then(|offload| offload.lane(lease.rtp())).map(Box::new),
                        rtp,
                        rtcp,
                        reach: Reach::Anyone,
                        timed: false,
                        errors: 0,
                        lease,
                        _counted: Counted(Arc::clone(&self.open)),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => {
                    tracing::warn!(%address, %error, "an RTP socket could not be opened");
                    return Err("the kernel gave no socket");
                }
            }
        }
        Err("the ports are in use by others")
    }

    /// Both sockets. Of RTCP nobody is told whether it arrives: many a telephone has no port for it.
    fn bind(&self, lease: &Lease) -> io::Result<(UdpSocket, UdpSocket)> {
        let rtp = bind(lease.rtp(), self.dscp)?;
        icmp::ask(&rtp, lease.rtp().is_ipv6(), true)?;
        Ok((rtp, bind(lease.rtcp(), self.dscp)?))
    }
}

impl LegSockets {
    /// The address for the SDP.
    pub(super) fn address(&self) -> SocketAddr {
        self.lease.rtp()
    }

    /// Whether it is worth asking who alone is on the leg.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.reach == Reach::Anyone
    }

    /// From now on RTP comes from `peer` alone, and goes to it. Not over IPv6: Linux lets such a socket forget its peer's port and not his
    /// address, so that whoever came after him would never be heard.
    pub(super) fn connect(&mut self, peer: SocketAddr) {
        if self.lease.rtp().is_ipv6() {
            self.reach = Reach::Unconnectable;
            return;
        }
        self.reach = match self.rtp.connect(peer) {
            Ok(()) => Reach::Only(peer),
            Err(error) => {
                tracing::debug!(%peer, %error, "an RTP socket could not be connected");
                Reach::Unconnectable
            }
        };
    }

    /// Has the kernel say when it receives RTP.
    pub(super) fn time(&mut self) {
        self.timed = delay::ask(&self.rtp).is_ok();
    }

    /// Whether RTP is to be received with its time.
    #[inline]
    pub(super) fn is_timed(&self) -> bool {
        self.timed
    }

    /// ICMP said something. Beyond a bound it is no longer listened to, so that a flood of it costs nothing.
    pub(super) fn count_error(&mut self) {
        self.errors = self.errors.saturating_add(1);
        if self.errors == limits::ICMP_ERRORS_MAX {
            self.listen_to_errors(false);
        }
    }

    fn listen_to_errors(&self, wanted: bool) {
        if let Err(error) = icmp::ask(&self.rtp, self.lease.rtp().is_ipv6(), wanted) {
            tracing::debug!(wanted, %error, "a socket does not change whether it tells of ICMP");
        }
    }

    /// RTP may come from anybody again. The socket keeps its port: it was bound to it by name.
    pub(super) fn dissolve(&mut self) {
        if std::mem::take(&mut self.errors) >= limits::ICMP_ERRORS_MAX {
            self.listen_to_errors(true);
        }
        if let Reach::Only(peer) = self.reach
            && let Err(error) = rustix::net::connect_unspec(&self.rtp)
        {
            tracing::warn!(%peer, %error, "an RTP socket stays connected");
            return;
        }
        self.reach = Reach::Anyone;
    }

    /// Sends RTP.
    #[inline]
    pub(super) fn send_rtp(&self, packet: &[u8], to: SocketAddr) -> io::Result<usize> {
        match self.reach {
            Reach::Only(peer) if peer == to => self.rtp.send(packet),
            Reach::Only(_) | Reach::Anyone | Reach::Unconnectable => self.rtp.send_to(packet, to),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(2, Ordering::Relaxed);
    }
}

fn bind(address: SocketAddr, dscp: Option<u8>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    // RFC 2474 §3: the DSCP is the upper six bits of the octet.
    let class = dscp.map(|dscp| u32::from(dscp) << 2);
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        class.map_or(Ok(()), |class| socket.set_tclass_v6(class))?;
    } else {
        class.map_or(Ok(()), |class| socket.set_tos_v4(class))?;
    }
    socket.set_recv_buffer_size(limits::RTP_RECEIVE_BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::clock::Clock;
    use crate::time::Duration;
    use std::net::Ipv4Addr;

    #[test]
    fn a_flood_of_errors_is_no_longer_listened_to_until_signalling_says_something() {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let ports = Arc::new(Ports::new(&[address], 26_000..=27_999, [9; 32], Clock::start()));
        let opener = Opener { ports, open: Arc::default(), dscp: None, kept_max: 0, offload: None, recorder: None };
        let mut leg = opener.open(address).unwrap();
        let closed = UdpSocket::bind((address, 0)).unwrap().local_addr().unwrap();
        // On loopback the answer is there when the send returns.
        let hears = |leg: &LegSockets| {
            leg.send_rtp(b"x", closed).unwrap();
            std::thread::sleep(Duration::from_millis(1));
            let heard = icmp::next(&leg.rtp).is_some();
            while icmp::next(&leg.rtp).is_some() {}
            heard
        };
        assert!(hears(&leg));
        (1..limits::ICMP_ERRORS_MAX).for_each(|_| leg.count_error());
        assert!(hears(&leg));
        leg.count_error();
        assert!(!hears(&leg));
        leg.count_error();
        assert!(!hears(&leg), "nor after that");
        leg.dissolve();
        assert!(hears(&leg));
    }
}
