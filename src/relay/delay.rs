//! How long packets stay with us: from the time at which the kernel received one, by its own word, to when it has been sent on. It is asked
//! on some sockets only, because the word costs a longer system call and a look at another clock.
//! Not here: which sockets (`relay::worker`), and what else is received with a packet (`relay::icmp`).

use crate::relay::bridge::Buffer;
use crate::telemetry::counts::Histogram;
use crate::time::Duration;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::SystemTime;

/// Room for what comes beside a packet, laid out as the kernel's headers want it.
#[repr(align(16))]
pub(super) struct Control<const BYTES: usize>(pub(super) [u8; BYTES]);

/// A worker's delays since the last tick.
pub(super) struct Delays {
    counts: Vec<u64>,
    sum: Duration,
    all: Arc<Histogram>,
}

impl Delays {
    /// Of a worker; they go to `all`.
    pub(super) fn new(all: Arc<Histogram>) -> Delays {
        Delays { counts: vec![0; all.places()], sum: Duration::ZERO, all }
    }

    /// A packet that was received then has been sent. If the clock was put back meanwhile, nobody knows.
    pub(super) fn note(&mut self, received: SystemTime) {
        let Ok(stayed) = received.elapsed() else { return };
        self.sum += stayed;
        self.counts.get_mut(self.all.place(stayed)).into_iter().for_each(|count| *count += 1);
    }

    /// Hands over what there is.
    pub(super) fn flush(&mut self) {
        if !self.sum.is_zero() {
            self.all.add(&self.counts, self.sum);
            self.counts.fill(0);
            self.sum = Duration::ZERO;
        }
    }
}

/// Has the kernel tell when it received each packet.
pub(super) fn ask(socket: &UdpSocket) -> io::Result<()> {
    Ok(setsockopt(socket, ReceiveTimestampns, &true)?)
}

/// The next packet of a socket that was asked to tell, and when the kernel received it.
pub(super) fn receive(socket: &UdpSocket, buffer: &mut Buffer) -> io::Result<(usize, SocketAddr, Option<SystemTime>)> {
    let mut control = Control([0; 64]);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control.0), flags)?;
    let received = message.cmsgs()?.find_map(|beside| {
        let ControlMessageOwned::ScmTimestampns(at) = beside else { return None };
        SystemTime::UNIX_EPOCH.checked_add(Duration::from(at))
    });
    let source = message.address.as_ref().and_then(address).ok_or(io::ErrorKind::InvalidData)?;
    Ok((message.bytes, source, received))
}

/// An address as std has it.
pub(super) fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::bridge::BUFFER_BYTES;

    const BOUNDS: [f64; 2] = [0.001, 3600.0];

    #[test]
    fn a_packet_comes_with_its_source_and_its_time_where_the_kernel_was_asked() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = UdpSocket::bind(local) else {
                eprintln!("SKIPPED: no {local} here");
                continue;
            };
            let sender = UdpSocket::bind(local).unwrap();
            let mut buffer: Buffer = [0; BUFFER_BYTES];
            assert_eq!(receive(&socket, &mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            let before = SystemTime::now();
            for asked in [false, true] {
                if asked {
                    ask(&socket).unwrap();
                }
                sender.send_to(&[7; 172], socket.local_addr().unwrap()).unwrap();
                let (length, source, received) = receive(&socket, &mut buffer).unwrap();
                assert_eq!((length, source), (172, sender.local_addr().unwrap()));
                assert_eq!((buffer[171], buffer[172]), (7, 0));
                assert_eq!(received.is_some(), asked);
                assert!(received.is_none_or(|at| before <= at && at <= SystemTime::now()));
            }
        }
    }

    #[test]
    fn delays_are_handed_over_once() {
        let all = Arc::new(Histogram::new(&BOUNDS));
        let mut delays = Delays::new(Arc::clone(&all));
        let now = SystemTime::now();
        for ago in [60, 60, 7_200] {
            delays.note(now - Duration::from_secs(ago));
        }
        delays.note(now + Duration::from_secs(60));
        assert_eq!(all.total(), 0);
        delays.flush();
        delays.flush();
        assert_eq!(all.total(), 3, "not what comes from a clock that was put back");
    }
}
