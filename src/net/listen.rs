//! Listening for connections that carry SIP: TCP at the addresses that have UDP too (RFC 3261 §18.2.1), and TLS.
//! Not here: what goes over them (`connection`).

use super::connection::{self, Opener};
use super::slots::Slots;
use super::streams::{Door, Ended};
use super::tls::Acceptor;
use crate::limits;
use crate::sip::{Path, Transport};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// How long to leave a listener alone when there is no descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound address where connections are waited for.
pub struct StreamListener {
    listener: std::net::TcpListener,
    local: SocketAddr,
    tls: Option<Acceptor>,
}

impl StreamListener {
    /// Binds an address for TCP or, with what it takes, for TLS.
    pub fn bind(address: SocketAddr, tls: Option<Acceptor>) -> io::Result<StreamListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Connections of the process before this one may still be closing.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(limits::SIP_BACKLOG)?;
        let listener = std::net::TcpListener::from(socket);
        let local = listener.local_addr()?;
        Ok(StreamListener { listener, local, tls })
    }

    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.local
    }

    /// Takes connections for ever; `slots` says how many. Call it inside of the runtime that is to carry them.
    pub async fn serve(self, door: Door, slots: Arc<Slots>) -> io::Result<()> {
        let StreamListener { listener, local, tls } = self;
        let listener = TcpListener::from_std(listener)?;
        let transport = if tls.is_some() { Transport::Tls } else { Transport::Tcp };
        loop {
            let Ok((stream, peer)) = listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let path = Path { transport, local, peer };
            match slots.take(peer.ip()) {
                Some(slot) => {
                    let (door, tls) = (door.clone(), tls.clone());
                    tokio::spawn(async move {
                        let ended = carry(stream, path, &door, tls).await;
                        door.count(path, ended);
                        drop(slot);
                    });
                }
                None => door.count(path, Ended::Refused),
            }
        }
    }
}

async fn carry(stream: TcpStream, path: Path, door: &Door, tls: Option<Acceptor>) -> Ended {
    if stream.set_nodelay(true).is_err() {
        return Ended::Left;
    }
    let Some(tls) = tls else {
        let Some(passage) = door.enter(path, Vec::new()).await else { return Ended::Left };
        return connection::run(stream, passage, Opener::Peer).await;
    };
    let secured = match timeout(limits::TLS_HANDSHAKE_MAX, tls.accept(stream)).await {
        Ok(Ok(secured)) => secured,
        Ok(Err(error)) => {
            tracing::debug!(peer = %path, %error, "a TLS handshake failed");
            return Ended::Handshake;
        }
        Err(_) => return Ended::Handshake,
    };
    let Some(passage) = door.enter(path, secured.names).await else { return Ended::Left };
    connection::run(secured.stream, passage, Opener::Peer).await
}
