//! One leg's two sockets. The one for RTP is connected while its peer is certain: the kernel then drops what others send before it wakes
//! anybody, looks for the way to the peer once and not for each packet, and tells if nobody listens there.
//! Not here: which ports (`relay::ports`) and what passes through them (`relay::bridge`).

use crate::limits;
use crate::relay::offload::{Lane, Offload};
use crate::relay::ports::{Lease, Ports};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A leg's sockets. Fields drop in order: the rule ends and both are closed before their ports go back.
pub(super) struct LegSockets {
    /// Where the kernel's rule for the RTP port stands, if it forwards anything.
    pub(super) lane: Option<Lane>,
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
    reach: Reach,
    lease: Lease,
    _counted: Counted,
}

/// Who can be heard through the socket for RTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reach {
    Anyone,
    /// It is connected.
    Only(SocketAddr),
    /// The kernel did not want to connect it; it is not asked for each packet.
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
            match bind(lease.rtp(), self.dscp).and_then(|rtp| Ok((rtp, bind(lease.rtcp(), self.dscp)?))) {
                Ok((rtp, rtcp)) => {
                    self.open.fetch_add(2, Ordering::Relaxed);
                    return Ok(LegSockets {
                        lane: self.offload.as_ref().and_then(|offload| offload.lane(lease.rtp())),
                        rtp,
                        rtcp,
                        reach: Reach::Anyone,
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

    /// From now on RTP comes from `peer` alone, and goes to it.
    pub(super) fn connect(&mut self, peer: SocketAddr) {
        self.reach = match self.rtp.connect(peer) {
            Ok(()) => Reach::Only(peer),
            Err(error) => {
                tracing::debug!(%peer, %error, "an RTP socket could not be connected");
                Reach::Unconnectable
            }
        };
    }

    /// RTP may come from anybody again. The socket keeps its port: it was bound to it by name.
    pub(super) fn dissolve(&mut self) {
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
