//! A subscription as Server-Sent Events, for pages and programs that cannot keep a WebSocket open: events out, nothing in. A client that comes
//! back says by `Last-Event-ID` what it heard last; browsers do so by themselves.
//! Not here: which events there are (`notify`). What such a client has to say, it posts (`say`).

use crate::event;
use crate::limits;
use crate::net::Slot;
use crate::notify::{Closing, Subscription, Told};
use axum::body::Body;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use std::convert::Infallible;
use tokio::time::timeout;

/// How long a browser waits before it comes back; and a first line at once, so that proxies pass the head on.
const PREFACE: &[u8] = b"retry: 2000\n\n";
/// A comment, which keeps the connection from being forgotten on its way.
const KEEP_ALIVE: &[u8] = b":\n\n";

/// One stream's end of the connection: both go when the client does.
struct Stream {
    subscription: Box<Subscription>,
    _slot: Slot,
}

/// The response, whose body ends with the subscription.
pub(super) fn respond(subscription: Box<Subscription>, slot: Slot) -> Response {
    let begins = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(PREFACE)) });
    let events = stream::unfold(Some(Stream { subscription, _slot: slot }), next);
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would gather events otherwise.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(stream::StreamExt::chain(begins, events))).into_response()
}

async fn next(stream: Option<Stream>) -> Option<(Result<Bytes, Infallible>, Option<Stream>)> {
    let mut stream = stream?;
    let (chunk, stream) = match timeout(limits::CHANNEL_PING_INTERVAL, stream.subscription.next()).await {
        Ok(Ok(told)) => (frame(&told), Some(stream)),
        Ok(Err(closing)) => (farewell(&stream, closing), None),
        Err(_) => (Bytes::from_static(KEEP_ALIVE), Some(stream)),
    };
    Some((Ok(chunk), stream))
}

/// One event; JSON documents have no line feeds.
fn frame(told: &Told) -> Bytes {
    let id = told.id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    [id.as_bytes(), b"data: ", &told.text, b"\n\n"].concat().into()
}

fn farewell(stream: &Stream, closing: Closing) -> Bytes {
    tracing::debug!(name = %stream.subscription.name(), reason = closing.as_str(), "a stream of events ended");
    format!("data: {}\n\n", event::closing(closing.as_str(), closing.detail())).into()
}
