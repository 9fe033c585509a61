//! The connections that SIP travels on, as the switch thread has them: which there are, what came over them, what is to go.
//! Each connection is a task of the shell; it hands in messages by a [`Passage`] and takes what is to be sent out of it. One bounded queue
//! leads to the switch thread, one bounded queue to each connection.
//! Not here: reading and writing (`connection`, and WebSockets in `http`), and any word of SIP.

use super::dial::Dialler;
use crate::limits;
use crate::sip::{Path, Transport};
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// What a connection tells the switch thread.
pub enum StreamEvent {
    /// It is there.
    Opened {
        /// Which.
        path: Path,
        /// The way to it.
        link: Link,
        /// The names in the certificate that the peer has shown; none without TLS.
        names: Vec<String>,
    },
    /// A message came.
    Message {
        /// Over which.
        path: Path,
        /// The message, or what will be refused as none.
        bytes: Bytes,
    },
    /// It is gone.
    Closed {
        /// Which.
        path: Path,
        /// The path may have another connection by now.
        serial: u64,
    },
}

/// What the switch has to be told.
#[derive(Debug)]
pub enum Happened {
    /// A connection is there, opened by its peer.
    Connected {
        /// Which.
        path: Path,
        /// The names in the certificate that the peer has shown.
        names: Vec<String>,
    },
    /// A message came.
    Message {
        /// Over which connection.
        path: Path,
        /// The message.
        bytes: Bytes,
    },
    /// Connections are gone: this one, and those that it stood in for.
    Disconnected(Vec<Path>),
    /// Nothing that matters.
    Nothing,
}

/// The switch thread's end of a connection.
#[derive(Debug)]
pub struct Link {
    serial: u64,
    queue: mpsc::Sender<Bytes>,
    /// Connections that are gone, and over which requests went that are waited for on this one.
    instead_of: BTreeSet<Path>,
}

/// The connection's end.
pub struct Passage {
    path: Path,
    serial: u64,
    events: mpsc::Sender<StreamEvent>,
    outgoing: mpsc::Receiver<Bytes>,
}

/// Where connections come in.
#[derive(Clone)]
pub struct Door {
    events: mpsc::Sender<StreamEvent>,
    serials: Arc<AtomicU64>,
    counts: Arc<ConnectionCounts>,
}

/// Why connections ended, counted.
#[derive(Debug, Default)]
pub struct ConnectionCounts([AtomicU64; Ended::ALL.len()]);

/// Why a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The peer closed it, or the network did.
    Left,
    /// It took too long to send a message or to take one.
    Slow,
    /// Nothing was said on it for long.
    Idle,
    /// What came was no message.
    Broken,
    /// It was not let in: its source or all together have too many.
    Refused,
    /// TLS could not be agreed on.
    Handshake,
    /// It could not be opened by us.
    Unreachable,
}

impl Ended {
    /// All of them.
    pub const ALL: [Ended; 7] =
        [Ended::Left, Ended::Slow, Ended::Idle, Ended::Broken, Ended::Refused, Ended::Handshake, Ended::Unreachable];

    /// As metrics and logs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Ended::Left => "left",
            Ended::Slow => "slow",
            Ended::Idle => "idle",
            Ended::Broken => "broken",
            Ended::Refused => "refused",
            Ended::Handshake => "handshake",
            Ended::Unreachable => "unreachable",
        }
    }
}

impl ConnectionCounts {
    /// One more.
    pub fn count(&self, ended: Ended) {
        if let Some(total) = self.0.get(ended as usize) {
            total.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many ended so since the start.
    pub fn totals(&self) -> impl Iterator<Item = (Ended, u64)> {
        Ended::ALL.into_iter().zip(self.0.iter().map(|total| total.load(Ordering::Relaxed)))
    }
}

impl Door {
    /// A door and what comes through it.
    pub fn open() -> (Door, mpsc::Receiver<StreamEvent>) {
        let (events, out) = mpsc::channel(limits::SIP_STREAM_MESSAGES_MAX);
        (Door { events, serials: Arc::default(), counts: Arc::default() }, out)
    }

    /// A connection that somebody has opened to us. `None`: the switch thread has ended.
    pub async fn enter(&self, path: Path, names: Vec<String>) -> Option<Passage> {
        let (link, passage) = self.passage(path);
        self.events.send(StreamEvent::Opened { path, link, names }).await.ok()?;
        Some(passage)
    }

    /// Both ends of a connection that the switch thread already knows.
    pub(super) fn passage(&self, path: Path) -> (Link, Passage) {
        let serial = self.serials.fetch_add(1, Ordering::Relaxed);
        let (queue, outgoing) = mpsc::channel(limits::SIP_CONNECTION_MESSAGES_MAX);
        let link = Link { serial, queue, instead_of: BTreeSet::new() };
        (link, Passage { path, serial, events: self.events.clone(), outgoing })
    }

    /// What was counted.
    pub fn counts(&self) -> Arc<ConnectionCounts> {
        Arc::clone(&self.counts)
    }

    /// A connection ended.
    pub fn count(&self, path: Path, ended: Ended) {
        self.counts.count(ended);
        tracing::debug!(peer = %path, reason = ended.as_str(), "a connection ended");
    }
}

impl Passage {
    /// The path that it is.
    pub fn path(&self) -> Path {
        self.path
    }

    /// Hands a message in. Waits while the switch thread has enough to do: so the network slows the sender down. `false`: it has ended.
    pub async fn hand_in(&self, bytes: Bytes) -> bool {
        self.events.send(StreamEvent::Message { path: self.path, bytes }).await.is_ok()
    }

    /// What is to be sent next. `None`: the connection is to end.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.outgoing.recv().await
    }

    /// The connection is at its end: the switch thread is told before the path can have another.
    pub async fn leave(self) {
        let Passage { path, serial, events, outgoing } = self;
        drop(outgoing);
        let _ended = events.send(StreamEvent::Closed { path, serial }).await;
    }
}

/// All connections.
pub struct Streams {
    links: HashMap<Path, Link>,
    events: mpsc::Receiver<StreamEvent>,
    dialler: Dialler,
}

impl Streams {
    /// None yet.
    pub fn new(events: mpsc::Receiver<StreamEvent>, dialler: Dialler) -> Streams {
        Streams { links: HashMap::new(), events, dialler }
    }

    /// Waits for a connection to tell something.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        self.events.recv().await
    }

    /// The next one that is there already.
    pub fn try_next(&mut self) -> Option<StreamEvent> {
        self.events.try_recv().ok()
    }

    /// A connection has told something.
    pub fn handle(&mut self, event: StreamEvent) -> Happened {
        match event {
            StreamEvent::Opened { path, link, names } => {
                self.links.insert(path, link);
                Happened::Connected { path, names }
            }
            StreamEvent::Message { path, bytes } => Happened::Message { path, bytes },
            StreamEvent::Closed { path, serial } => {
                let is_this = self.links.get(&path).is_some_and(|link| link.serial == serial);
                if is_this { Happened::Disconnected(self.forget(path)) } else { Happened::Nothing }
            }
        }
    }

    /// Sends a message over the connection of its path or, if that is gone, over one to `reopen`, which is opened if need be. What is
    /// given back are the connections over which nothing goes any more.
    pub fn send(&mut self, path: Path, reopen: Option<SocketAddr>, bytes: Bytes) -> Vec<Path> {
        match self.links.get(&path).map(|link| link.queue.try_send(bytes.clone())) {
            Some(Ok(())) => return Vec::new(),
            // A peer that does not read is as good as gone.
            Some(Err(_)) => return self.forget(path),
            None => {}
        }
        let Some(peer) = reopen else { return vec![path] };
        let other = Path { peer, ..path };
        if !self.links.contains_key(&other) {
            match self.dialler.dial(other) {
                Some(link) => drop(self.links.insert(other, link)),
                None => return vec![path],
            }
        }
        let Some(link) = self.links.get_mut(&other) else { return vec![path] };
        if other != path && link.instead_of.len() < limits::SIP_CONNECTION_MESSAGES_MAX {
            link.instead_of.insert(path);
        }
        if link.queue.try_send(bytes).is_ok() { Vec::new() } else { self.forget(other) }
    }

    /// How many connections of a transport there are.
    pub fn count(&self, transport: Transport) -> usize {
        self.links.keys().filter(|path| path.transport == transport).count()
    }

    fn forget(&mut self, path: Path) -> Vec<Path> {
        let stood_in = self.links.remove(&path).map(|link| link.instead_of).unwrap_or_default();
        stood_in.into_iter().chain([path]).collect()
    }
}

#[cfg(test)]
impl Link {
    /// As [`Streams::send`] does it.
    pub(super) fn send_for_test(&self, bytes: &'static [u8]) {
        self.queue.try_send(Bytes::from_static(bytes)).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime::Handle;

    fn path(port: u16) -> Path {
        let address = |port| SocketAddr::new([127, 0, 0, 1].into(), port);
        Path { transport: Transport::Tcp, local: address(5060), peer: address(port) }
    }

    fn streams() -> (Door, Streams) {
        let (door, events) = Door::open();
        let dialler = Dialler::new(Handle::current(), door.clone(), None);
        (door, Streams::new(events, dialler))
    }

    async fn entered(door: &Door, streams: &mut Streams, port: u16) -> Passage {
        let passage = door.enter(path(port), Vec::new()).await.unwrap();
        let event = streams.next().await.unwrap();
        assert!(matches!(streams.handle(event), Happened::Connected { .. }));
        passage
    }

    #[tokio::test]
    async fn a_message_goes_over_its_connection_and_its_end_is_told_once() {
        let (door, mut streams) = streams();
        let mut passage = entered(&door, &mut streams, 1).await;
        assert_eq!(streams.send(path(1), None, Bytes::from_static(b"x")), []);
        assert_eq!(passage.next().await, Some(Bytes::from_static(b"x")));
        assert_eq!((streams.count(Transport::Tcp), streams.count(Transport::Ws)), (1, 0));
        passage.leave().await;
        let event = streams.next().await.unwrap();
        assert!(matches!(streams.handle(event), Happened::Disconnected(paths) if paths == [path(1)]));
        assert_eq!(streams.send(path(1), None, Bytes::new()), [path(1)]);
    }

    #[tokio::test]
    async fn the_end_of_an_earlier_connection_is_not_that_of_the_next() {
        let (door, mut streams) = streams();
        let first = entered(&door, &mut streams, 1).await;
        let _second = entered(&door, &mut streams, 1).await;
        first.leave().await;
        let event = streams.next().await.unwrap();
        assert!(matches!(streams.handle(event), Happened::Nothing));
        assert_eq!(streams.count(Transport::Tcp), 1);
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_given_up() {
        let (door, mut streams) = streams();
        let _passage = entered(&door, &mut streams, 1).await;
        for _ in 0..limits::SIP_CONNECTION_MESSAGES_MAX {
            assert_eq!(streams.send(path(1), None, Bytes::from_static(b"x")), []);
        }
        assert_eq!(streams.send(path(1), None, Bytes::from_static(b"x")), [path(1)]);
        assert_eq!(streams.count(Transport::Tcp), 0);
    }

    #[tokio::test]
    async fn a_connection_that_is_gone_is_opened_again_where_the_peer_listens_and_both_end_together() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let (_door, mut streams) = streams();
        assert_eq!(streams.send(path(1), Some(there), Bytes::from_static(b"one,")), []);
        assert_eq!(streams.send(path(2), Some(there), Bytes::from_static(b"two")), []);
        let (mut accepted, _) = listener.accept().await.unwrap();
        let mut heard = [0; 7];
        tokio::io::AsyncReadExt::read_exact(&mut accepted, &mut heard).await.unwrap();
        assert_eq!(&heard, b"one,two");
        drop(accepted);
        let event = streams.next().await.unwrap();
        let Happened::Disconnected(paths) = streams.handle(event) else { panic!("it is still there") };
        assert_eq!(paths, [path(1), path(2), path(there.port())]);
        drop(listener);
        assert_eq!(streams.send(path(1), Some(there), Bytes::from_static(b"x")), []);
        let event = streams.next().await.unwrap();
        assert!(matches!(streams.handle(event), Happened::Disconnected(_)), "nobody listens there any more");
    }
}
