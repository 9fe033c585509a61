//! SIP over WebSocket (RFC 7118): `GET /sip` with the subprotocol `sip`, for softphones in web pages. A WebSocket message is a SIP message;
//! what goes to the client goes over the connection on which it came, whatever its Via and Contact say (`….invalid`).
//! Not here: what is said (the switch), and who may (`policy`).

use crate::http::listener::Peer;
use crate::http::origin;
use crate::http::problem::Problem;
use crate::http::{Public, bounded};
use crate::limits;
use crate::net::{Door, Ended, Passage};
use crate::sip::wire::is_keep_alive;
use crate::sip::{Path, Transport};
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::{Instant, sleep_until, timeout};

/// The subprotocol (RFC 7118 §4).
const SUBPROTOCOL: &str = "sip";

/// Answers the handshake.
pub(super) async fn open(
    State(public): State<Arc<Public>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else { return Problem::NotWebSocket.into_response() };
    let upgrade = upgrade.protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        return Problem::Subprotocol.into_response();
    }
    if !origin::allowed(&headers, &public.allowed_origins) {
        tracing::debug!(%peer, reason = Problem::Origin.id(), "a WebSocket was refused");
        return Problem::Origin.into_response();
    }
    let Some(slot) = public.slots.take(peer.ip()) else { return Problem::Full.into_response() };
    let path = Path { transport: Transport::Ws, local: public.local, peer };
    bounded(upgrade, 2048).on_upgrade(move |socket| async move {
        carry(socket, path, &public.door).await;
        drop(slot);
    })
}

async fn carry(mut socket: WebSocket, path: Path, door: &Door) {
    let Some(mut passage) = door.enter(path, Vec::new()).await else { return };
    let ended = run(&mut socket, &mut passage).await;
    let _closed = timeout(limits::CHANNEL_CLOSE_WAIT_MAX, socket.send(Message::Close(None))).await;
    passage.leave().await;
    door.count(path, ended);
}

async fn run(socket: &mut WebSocket, passage: &mut Passage) -> Ended {
    let opened = Instant::now();
    let (mut ping_at, mut heard, mut has_spoken) = (opened + limits::CHANNEL_PING_INTERVAL, true, false);
    loop {
        let due = if has_spoken { ping_at } else { opened + limits::SIP_MESSAGE_WAIT_MAX };
        let step = tokio::select! {
            received = socket.recv() => {
                heard = true;
                match received {
                    Some(Ok(Message::Text(text))) => hand_in(socket, passage, text.into(), &mut has_spoken).await,
                    Some(Ok(Message::Binary(bytes))) => hand_in(socket, passage, bytes, &mut has_spoken).await,
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => Err(Ended::Left),
                }
            }
            outgoing = passage.next() => match outgoing {
                Some(bytes) => send(socket, message(bytes)).await,
                None => Err(Ended::Left),
            },
            () = sleep_until(due) => match (has_spoken, heard) {
                (false, _) => Err(Ended::Slow),
                (true, false) => Err(Ended::Idle),
                (true, true) => {
                    (ping_at, heard) = (Instant::now() + limits::CHANNEL_PING_INTERVAL, false);
                    send(socket, Message::Ping(Bytes::new())).await
                }
            },
        };
        if let Err(ended) = step {
            return ended;
        }
    }
}

/// A message of the client's: SIP, or a keep-alive that wants an answer (RFC 5626 §4.4.1; some clients send it over WebSockets too).
async fn hand_in(socket: &mut WebSocket, passage: &Passage, bytes: Bytes, has_spoken: &mut bool) -> Result<(), Ended> {
    *has_spoken = true;
    if is_keep_alive(&bytes) {
        return send(socket, Message::Text("\r\n".into())).await;
    }
    if passage.hand_in(bytes).await { Ok(()) } else { Err(Ended::Left) }
}

/// Text where it is such (RFC 7118 §4.2 leaves the choice; scripts in pages want text).
fn message(bytes: Bytes) -> Message {
    match Utf8Bytes::try_from(bytes.clone()) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(bytes),
    }
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), Ended> {
    match timeout(limits::CHANNEL_SEND_WAIT_MAX, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Ended::Left),
        Err(_) => Err(Ended::Slow),
    }
}
