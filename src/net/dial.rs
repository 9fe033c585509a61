//! Opening connections to peers, away from the switch thread.
//! Not here: to whom (`sip::endpoint`), and what goes over them (`connection`).

use super::connection::{self, Opener};
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

/// Opens connections on the runtime that carries them.
pub struct Dialler {
    runtime: Handle,
    door: Door,
    room: Arc<Semaphore>,
}

impl Dialler {
    /// One that has opened none yet.
    pub fn new(runtime: Handle, door: Door) -> Dialler {
        Dialler { runtime, door, room: Arc::new(Semaphore::new(limits::SIP_DIALLED_MAX)) }
    }

    /// Begins to open a connection; what is put into the link meanwhile goes as soon as it is open. `None`: nobody can be reached so,
    /// or there are too many.
    pub(super) fn dial(&self, path: Path) -> Option<Link> {
        match path.transport {
            Transport::Tcp => {}
            // A WebSocket's peer is no server; and a certificate is judged by a name, which is not known of an address.
            Transport::Udp | Transport::Tls | Transport::Ws => return None,
        }
        let permit = Arc::clone(&self.room).try_acquire_owned().ok()?;
        let (link, passage) = self.door.passage(path);
        self.runtime.spawn(run(passage, self.door.clone(), permit));
        Some(link)
    }
}

async fn run(passage: Passage, door: Door, permit: OwnedSemaphorePermit) {
    let path = passage.path();
    let ended = match timeout(limits::SIP_CONNECT_MAX, connect(path)).await {
        Ok(Ok(stream)) => connection::run(stream, passage, Opener::Us).await,
        Ok(Err(_)) | Err(_) => {
            passage.leave().await;
            Ended::Unreachable
        }
    };
    door.count(path, ended);
    drop(permit);
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
