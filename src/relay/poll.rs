//! epoll as a worker needs it: which sockets have packets, and a bell that another thread rings. A socket is told of again as long as it has
//! one, so nobody has to look at it a second time to see that it is empty: that would be a system call for each packet.
//! Not here: what is done then (`relay::worker`).

use crate::time::Duration;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// How many sockets may be told of at once; the others are told of next time, before these.
const EVENTS: usize = 1_024;
/// What the bell calls itself; no socket has it.
const BELL: u64 = u64::MAX;

/// The sockets of a worker.
pub(super) struct Poll {
    epoll: OwnedFd,
    bell: Arc<OwnedFd>,
}

/// Gets a worker out of [`Poll::wait`].
pub(super) struct Waker(Arc<OwnedFd>);

/// What there is to do.
pub(super) struct Ready(Vec<epoll::Event>);

impl Poll {
    pub(super) fn new() -> io::Result<Poll> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        // Each ring counts, so that nobody has to silence the bell.
        epoll::add(&epoll, &bell, EventData::new_u64(BELL), EventFlags::IN | EventFlags::ET)?;
        Ok(Poll { epoll, bell })
    }

    /// Has a socket watched under that token. It is no longer when it is closed.
    pub(super) fn watch(&self, socket: &impl AsFd, token: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(token), EventFlags::IN)?)
    }

    /// Waits until there is something to do, or for so long.
    pub(super) fn wait(&self, ready: &mut Ready, patience: Duration) -> io::Result<()> {
        ready.0.clear();
        let patience = Timespec::try_from(patience).map_err(|_| io::ErrorKind::InvalidInput)?;
        match epoll::wait(&self.epoll, spare_capacity(&mut ready.0), Some(&patience)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Waker {
    pub(super) fn new(poll: &Poll) -> Waker {
        Waker(Arc::clone(&poll.bell))
    }

    pub(super) fn wake(&self) -> io::Result<()> {
        match rustix::io::write(&*self.0, &1u64.to_ne_bytes()) {
            // It has been rung often enough.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Ready {
    /// Nothing yet.
    pub(super) fn new() -> Ready {
        Ready(Vec::with_capacity(EVENTS))
    }

    /// The sockets that have packets, or errors: the second says so.
    pub(super) fn tokens(&self) -> impl Iterator<Item = (u64, bool)> {
        // Copied out: the kernel's struct is packed.
        let tokens = self.0.iter().map(|&epoll::Event { data, flags }| (data.u64(), flags.contains(EventFlags::ERR)));
        tokens.filter(|(token, _)| *token != BELL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    const SOON: Duration = Duration::from_secs(20);

    fn tokens(poll: &Poll, patience: Duration) -> Vec<u64> {
        let mut ready = Ready::new();
        poll.wait(&mut ready, patience).unwrap();
        ready.tokens().map(|(token, _)| token).collect()
    }

    #[test]
    fn a_socket_is_told_of_until_it_is_empty() {
        let (poll, socket) = (Poll::new().unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        poll.watch(&socket, 7).unwrap();
        assert!(tokens(&poll, Duration::ZERO).is_empty());
        (0..2).for_each(|_| _ = socket.send_to(b"x", socket.local_addr().unwrap()).unwrap());
        for _ in 0..2 {
            assert_eq!(tokens(&poll, SOON), [7]);
            assert_eq!(tokens(&poll, Duration::ZERO), [7], "nobody has taken it");
            socket.recv(&mut [0]).unwrap();
        }
        assert!(tokens(&poll, Duration::ZERO).is_empty());
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        drop(socket);
        assert!(tokens(&poll, Duration::ZERO).is_empty(), "it is closed");
    }

    #[test]
    fn a_bell_that_is_rung_ends_one_wait() {
        let poll = Poll::new().unwrap();
        for _ in 0..3 {
            Waker::new(&poll).wake().unwrap();
            Waker::new(&poll).wake().unwrap();
            let begun = std::time::Instant::now();
            assert!(tokens(&poll, SOON).is_empty());
            assert!(begun.elapsed() < SOON, "it was not waited");
        }
    }
}
