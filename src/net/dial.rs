//! Opening connections to peers, away from the switch thread.
//! Not here: to whom (`sip::endpoint`), and what goes over them (`connection`).

use super::connection::{self, Opener};
use super::connector::Connector;
use super::streams::{Door, Ended, Link, Passage};
use crate::limits;
use crate::sip::{Path, Transport};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

/// Opens connections on the runtime that carries them.
pub struct Dialler {
    runtime: Handle,
    door: Door,
    /// Without one no TLS is spoken.
    connector: Option<Connector>,
    room: Arc<Semaphore>,
}

impl Dialler {
    /// One that has opened none yet.
    pub fn new(runtime: Handle, door: Door, connector: Option<Connector>) -> Dialler {
        Dialler { runtime, door, connector, room: Arc::new(Semaphore::new(limits::SIP_DIALLED_MAX)) }
    }

    /// Begins to open a connection; what is put into the link meanwhile goes as soon as it is open. `None`: nobody can be reached so,
    /// or there are too many.
    pub(super) fn dial(&self, path: Path) -> Option<Link> {
        let connector = match path.transport {
            Transport::Tcp => None,
            Transport::Tls => Some(self.connector.clone()?),
            // A WebSocket's peer is no server.
            Transport::Udp | Transport::Ws => return None,
        };
        let permit = Arc::clone(&self.room).try_acquire_owned().ok()?;
        let (link, passage) = self.door.passage(path);
        self.runtime.spawn(run(passage, self.door.clone(), connector, permit));
        Some(link)
    }
}

async fn run(passage: Passage, door: Door, connector: Option<Connector>, permit: OwnedSemaphorePermit) {
    let path = passage.path();
    let opened = timeout(limits::SIP_CONNECT_MAX, async {
        let stream = connect(path).await.map_err(|_| Ended::Unreachable)?;
        match connector {
            None => Ok(Opened::Plain(stream)),
            Some(connector) => match connector.connect(stream, path.peer).await {
                Ok(stream) => Ok(Opened::Secured(Box::new(stream))),
                Err(error) => {
                    tracing::warn!(peer = %path, %error, "a TLS connection could not be opened");
                    Err(Ended::Handshake)
                }
            },
        }
    });
    let ended = match opened.await.unwrap_or(Err(Ended::Unreachable)) {
        Ok(Opened::Plain(stream)) => connection::run(stream, passage, Opener::Us).await,
        Ok(Opened::Secured(stream)) => connection::run(stream, passage, Opener::Us).await,
        Err(ended) => {
            passage.leave().await;
            ended
        }
    };
    door.count(path, ended);
    drop(permit);
}

/// A connection that is open.
enum Opened {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

/// From the listener's own address, if it has one: peers know us by it.
async fn connect(path: Path) -> io::Result<TcpStream> {
    let socket = if path.peer.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if !path.local.ip().is_unspecified() {
        socket.bind(SocketAddr::new(path.local.ip(), 0))?;
    }
    socket.set_nodelay(true)?;
    socket.connect(path.peer).await
}
