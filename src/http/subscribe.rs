//! The door to a channel: `GET /v1/subscribe?name=NAME` as a WebSocket handshake. Everything that can be refused before the
//! upgrade is refused here, the cheapest first.
//! Not here: the channel's life (`channel`), and who may subscribe (`policy`, through `notify`).

use crate::http::channel;
use crate::http::listener::Peer;
use crate::http::origin;
use crate::http::problem::Problem;
use crate::http::{Public, bounded};
use crate::name::Name;
use crate::net::Slot;
use crate::notify::Subscription;
use crate::policy::Reason;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::sync::Arc;

/// The query. Nothing else may be in it: a token in a URL ends up in logs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    name: String,
}

/// What is known of a client when its connection is upgraded.
pub(super) enum Caller {
    /// Its credential came in the header.
    Known(Box<Subscription>),
    /// A browser, which cannot set headers: its credential comes as the first message.
    Unknown(Name),
}

/// Answers the handshake.
pub(super) async fn subscribe(
    State(public): State<Arc<Public>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    query: Result<Query<Wanted>, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let peer = peer.ip();
    let Ok(upgrade) = upgrade else { return Problem::NotWebSocket.into_response() };
    let (slot, caller) = match admit(&public, peer, &headers, query) {
        Ok(admitted) => admitted,
        Err(problem) => {
            tracing::debug!(%peer, reason = problem.id(), "a subscription was refused");
            return problem.into_response();
        }
    };
    bounded(upgrade, 1024).on_upgrade(move |socket| async move {
        channel::run(socket, caller, &public.registry, peer).await;
        drop(slot);
    })
}

fn admit(
    public: &Public,
    peer: std::net::IpAddr,
    headers: &HeaderMap,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<(Slot, Caller), Problem> {
    let Query(wanted) = query.map_err(|_| Problem::BadName)?;
    let name = Name::parse(&wanted.name).map_err(|_| Problem::BadName)?;
    if !origin::allowed(headers, &public.allowed_origins) {
        return Err(Problem::Origin);
    }
    let slot = public.slots.take(peer).ok_or(Problem::Full)?;
    let caller = match bearer(headers)? {
        Some(jwt) => {
            let subscription = public.registry.subscribe(name, jwt.as_bytes(), Some(peer)).map_err(Problem::Refused)?;
            Caller::Known(Box::new(subscription))
        }
        None => Caller::Unknown(name),
    };
    Ok((slot, caller))
}

/// The JWT of `Authorization: Bearer` (RFC 6750 §2.1), if the header is there at all.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let malformed = Problem::Refused(Reason::TokenMalformed);
    let text = value.to_str().map_err(|_| malformed)?;
    match (text.split_once(' '), values.next()) {
        (Some((scheme, jwt)), None) if scheme.eq_ignore_ascii_case("Bearer") => Ok(Some(jwt.trim())),
        (Some(_) | None, _) => Err(malformed),
    }
}
