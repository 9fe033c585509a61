//! The SIP UDP sockets of one thread: bound, read in batches, written without waiting.

use crate::limits;
use socket2::{Domain, Protocol, Socket, Type};
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::task::Poll;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The sockets, in the order of their addresses in the configuration.
pub struct Sockets {
    sockets: Vec<Listener>,
    /// Where the next look begins, so that a busy socket does not starve the others.
    next: usize,
    buffer: Box<[u8]>,
}

struct Listener {
    /// Waited on for reading alone. tokio's own socket asks the kernel for news of its send buffer too, and each datagram that leaves
    /// it then wakes the thread for nothing.
    socket: AsyncFd<UdpSocket>,
    local: SocketAddr,
    /// Datagrams that were read since there was none.
    in_a_row: usize,
}

/// One datagram, lent until the next is read.
#[derive(Debug)]
pub struct Received<'a> {
    /// Which of our addresses it came to.
    pub local: SocketAddr,
    /// Where it came from.
    pub peer: SocketAddr,
    /// What it is.
    pub bytes: &'a [u8],
}

impl Sockets {
    /// Binds all addresses; port 0 takes a free one. Call it inside the runtime that will read them. The error names the address.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Sockets, (SocketAddr, io::Error)> {
        let bind = |address: &SocketAddr| bind(*address).map_err(|error| (*address, error));
        let sockets = addresses.iter().map(bind).collect::<Result<_, _>>()?;
        Ok(Sockets { sockets, next: 0, buffer: vec![0; limits::SIP_BYTES_MAX].into() })
    }

    /// The addresses, with the ports that were taken.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|listener| listener.local).collect()
    }

    /// Waits until a socket has something to read; its number is for [`Sockets::receive`].
    pub async fn readable(&mut self) -> usize {
        let (sockets, first) = (&self.sockets, self.next);
        let ready = poll_fn(|context| {
            let order = (first..sockets.len()).chain(0..first);
            let mut ready = order.filter(|at| {
                sockets.get(*at).is_some_and(|listener| listener.socket.poll_read_ready(context).is_ready())
            });
            ready.next().map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        self.next = (ready + 1) % self.sockets.len().max(1);
        ready
    }

    /// The next datagram of a socket that was readable; `None` when there is no more. What the kernel says of earlier datagrams
    /// (an ICMP error from a peer that is gone) is passed over: retransmission timers deal with it.
    pub fn receive(&mut self, socket: usize) -> Option<Received<'_>> {
        let listener = self.sockets.get_mut(socket)?;
        // A socket that has nothing but errors is left alone until the next look: others want their turn.
        for _ in 0..limits::SIP_BATCH_MAX {
            match listener.socket.try_io(Interest::READABLE, |socket| socket.recv_from(&mut self.buffer)) {
                Ok((length, peer)) => {
                    listener.in_a_row += 1;
                    let bytes = self.buffer.get(..length)?;
                    return Some(Received { local: listener.local, peer, bytes });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    listener.in_a_row = 0;
                    return None;
                }
                Err(_) => {}
            }
        }
        None
    }

    /// How many datagrams were read of one socket since it was last found empty, at most.
    pub fn backlog(&self) -> usize {
        self.sockets.iter().map(|listener| listener.in_a_row).max().unwrap_or_default()
    }

    /// Sends a datagram from one of our addresses. `false`: the kernel did not take it; SIP repeats what matters.
    pub fn send(&self, local: SocketAddr, peer: SocketAddr, bytes: &[u8]) -> bool {
        let listener = self.sockets.iter().find(|listener| listener.local == local);
        listener.is_some_and(|listener| listener.socket.get_ref().send_to(bytes, peer).is_ok())
    }
}

fn bind(address: SocketAddr) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // An IPv4 listener on the same port is a listener of its own.
        socket.set_only_v6(true)?;
    }
    // The kernel gives what its own limit allows; a smaller buffer is no reason not to start.
    let _ = socket.set_recv_buffer_size(limits::SIP_RECEIVE_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(limits::SIP_RECEIVE_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let socket = UdpSocket::from(socket);
    let local = socket.local_addr()?;
    // tokio's doubt is about types that lie of their descriptor, or close it early; the standard library's socket does neither.
    #[expect(deprecated, reason = "what replaces it is unsafe")]
    let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
    Ok(Listener { socket, local, in_a_row: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UdpSocket;

    #[tokio::test]
    async fn a_datagram_arrives_with_both_addresses_and_is_answered_from_the_same_one() {
        let mut sockets = Sockets::bind(&["127.0.0.1:0".parse().unwrap(), "127.0.0.1:0".parse().unwrap()]).unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let second = sockets.addresses()[1];
        peer.send_to(b"hello", second).await.unwrap();
        let ready = sockets.readable().await;
        let received = sockets.receive(ready).unwrap();
        assert_eq!((received.local, received.bytes), (second, &b"hello"[..]));
        let from = received.peer;
        assert_eq!(sockets.backlog(), 1);
        assert!(sockets.receive(ready).is_none());
        assert_eq!(sockets.backlog(), 0, "it was found empty");
        assert!(sockets.send(second, from, b"hi"));
        let mut buffer = [0; 16];
        assert_eq!(peer.recv_from(&mut buffer).await.unwrap(), (2, second));
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_named() {
        let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let (named, error) = Sockets::bind(&[address]).err().unwrap();
        assert_eq!((named, error.kind()), (address, io::ErrorKind::AddrInUse));
    }
}
