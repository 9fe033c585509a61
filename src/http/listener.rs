//! Connections: accepted, given to the router, and closed when they take their time or the server stops.
//! Own loop instead of `axum::serve`, which sets no deadline for a request's head and cannot tell a flood from a crowd.
//! Not here: what is served, and channels, which leave this loop when their handshake is done.

use crate::limits;
use crate::net::{Slot, Slots};
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower_service::Service as _;

/// How long to leave the listener alone when there is no descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Longest head of a request; hyper wants no less than 8 kB of buffer.
const HEAD_BYTES_MAX: usize = 16_384;

/// The address that a connection comes from, for the handlers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Serves until `shutdown` completes. Connections that are still open then are dropped.
pub(super) async fn serve(
    listener: std::net::TcpListener,
    app: Router,
    per_source_max: usize,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    // A second listen(2) on a socket that listens already changes its backlog; std's is 128.
    SockRef::from(&listener).listen(limits::HTTP_BACKLOG)?;
    // What it accepts has the same. Left to itself, the kernel keeps up to megabytes for a client that does not read.
    SockRef::from(&listener).set_send_buffer_size(limits::HTTP_SEND_BUFFER_BYTES)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let slots = Slots::new(limits::HTTP_CONNECTIONS_MAX, per_source_max);
    let room = Arc::new(Semaphore::new(limits::HTTP_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let permit = tokio::select! {
            () = &mut shutdown => break,
            Some(_ended) = connections.join_next() => continue,
            permit = Arc::clone(&room).acquire_owned() => permit,
        };
        let (stream, peer) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener) => accepted,
        };
        let Some(slot) = slots.take(peer.ip()) else { continue };
        let app = app.clone();
        connections.spawn(async move {
            serve_connection(stream, peer, app, slot).await;
            drop(permit);
        });
    }
    Ok(())
}

/// The next connection. What goes wrong with one is its own affair; a lack of descriptors is waited out, not spun on.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept HTTP connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// One connection, until its last answer or until it becomes a channel; the slot comes back then.
async fn serve_connection(stream: TcpStream, peer: SocketAddr, app: Router, _slot: Slot) {
    // Whoever does not read what a stream of events says: hyper waits for him without end.
    let patience = SockRef::from(&stream).set_tcp_user_timeout(Some(limits::CHANNEL_UNREAD_MAX));
    if let Err(error) = patience.and_then(|()| stream.set_nodelay(true)) {
        tracing::debug!(%peer, %error, "a connection was gone before it was served");
        return;
    }
    let source = Peer(SocketAddr::new(peer.ip().to_canonical(), peer.port()));
    // Not as a layer, which would make all routes anew for each connection.
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(source);
        app.clone().call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HTTP_HEAD_WAIT_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "an HTTP connection broke");
    }
}
