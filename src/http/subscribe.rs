//! The door to a channel: `GET /v1/subscribe?name=NAME` as a WebSocket handshake, or for a stream of events. Everything that can be refused
//! before that is refused here (`admission`).
//! Not here: the channel's life (`channel`, `stream`).

use crate::event::EventId;
use crate::http::admission::{Admission, Wanted};
use crate::http::listener::Peer;
use crate::http::problem::Problem;
use crate::http::{Public, bounded, channel, stream};
use crate::name::Name;
use crate::net::Slot;
use crate::notify::Subscription;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;

/// What is known of a client when its connection is upgraded.
pub(super) enum Caller {
    /// Its credential came in the header.
    Known(Box<Subscription>),
    /// A browser, which cannot set headers: its credential comes as the first message.
    Unknown(Newcomer),
}

/// What a browser asks for before it says who it is.
pub(super) struct Newcomer {
    pub(super) name: Name,
    pub(super) last: Option<EventId>,
    pub(super) contacts: Vec<Name>,
}

/// Answers the handshake, or the request for a stream of events.
pub(super) async fn subscribe(
    State(public): State<Arc<Public>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    query: Result<Query<Wanted>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let peer = peer.ip();
    let admitted = match upgrade {
        Err(_) if !wants_stream(&headers) => Err(Problem::NotWebSocket),
        upgrade => Admission::of(&public, peer, &headers, query).and_then(|admission| {
            let subscription = admission.subscribe(&public)?;
            match (upgrade, subscription) {
                (Ok(upgrade), Some(subscription)) => {
                    Ok(open(&public, upgrade, Caller::Known(subscription), admission.slot, peer))
                }
                (Ok(upgrade), None) => {
                    let Admission { slot, name, last, contacts, .. } = admission;
                    let caller = Caller::Unknown(Newcomer { name, last, contacts });
                    Ok(open(&public, upgrade, caller, slot, peer))
                }
                (Err(_), Some(subscription)) => Ok(stream::respond(subscription, admission.slot)),
                (Err(_), None) => Err(Problem::NO_CREDENTIAL),
            }
        }),
    };
    admitted.unwrap_or_else(|problem| {
        tracing::debug!(%peer, reason = problem.id(), "a subscription was refused");
        problem.into_response()
    })
}

fn open(public: &Public, upgrade: WebSocketUpgrade, caller: Caller, slot: Slot, peer: IpAddr) -> Response {
    let registry = Arc::clone(&public.registry);
    bounded(upgrade, 512).on_upgrade(move |socket| channel::run(Box::new(socket), caller, registry, peer, slot))
}

/// What an EventSource says, or whoever wants to be answered like one.
fn wants_stream(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.split(',').any(|kind| kind.trim().starts_with("text/event-stream")))
}
