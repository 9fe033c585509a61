//! Devices that can be woken: `POST /v1/devices` says how, by the bearer of a JWT that may hear of calls for the name; `DELETE /v1/devices/ID?name=NAME`
//! takes that back; `GET /v1/devices` says which services there are.
//! Not here: waking them, and what a service's words for a device may be (`push`).

use crate::http::Public;
use crate::http::admission::bearer;
use crate::http::listener::Peer;
use crate::http::origin;
use crate::http::problem::Problem;
use crate::name::Name;
use crate::policy::{Claims, Proof};
use crate::push::{Desk, DeviceId, Registration, Unfit};
use crate::registrar::Target;
use crate::secret::Secret;
use axum::extract::rejection::{QueryRejection, StringRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What is posted. A browser's subscription as its page gets it (`endpoint`, `keys`) will do, with a name and a provider.
#[derive(Deserialize)]
struct Order {
    name: String,
    provider: String,
    /// What the service knows the device by.
    #[serde(alias = "endpoint")]
    prid: String,
    param: Option<String>,
    keys: Option<Keys>,
}

#[derive(Deserialize)]
struct Keys {
    p256dh: String,
    auth: String,
}

/// The query of a deletion.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    name: String,
}

/// Remembers a device, or renews it.
pub(super) async fn register(
    State(public): State<Arc<Public>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    body: Result<String, StringRejection>,
) -> Response {
    let registered = desk_for(&public, &headers).and_then(|desk| {
        let order: Order = body.ok().and_then(|body| serde_json::from_str(&body).ok()).ok_or(Problem::Device)?;
        let (name, claims, jwt) = owner(&public, &order.name, peer.ip(), &headers)?;
        let target = Target { provider: order.provider, prid: order.prid, param: order.param };
        if target.prid.is_empty() || target.prid.len() > crate::limits::PUSH_PARAM_BYTES_MAX {
            return Err(Problem::Device);
        }
        let registration = Registration {
            name,
            subject: claims.subject().to_owned(),
            proof: Proof::Jwt(Secret::new(jwt)),
            target,
            keys: order.keys.map(|keys| (keys.p256dh, keys.auth)),
            instance: None,
            by_sip: false,
            credential: claims.expires(),
        };
        desk.register(public.registry.now().wall, registration).map_err(|unfit| match unfit {
            Unfit::UnknownService => Problem::PushService,
            Unfit::Malformed => Problem::Device,
            Unfit::Full => Problem::Full,
        })
    });
    match registered {
        Ok((id, expires)) => {
            let body = json!({ "device": id.to_string(), "expires": expires.to_string() });
            (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

/// Forgets a device.
pub(super) async fn forget(
    State(public): State<Arc<Public>>,
    Extension(Peer(peer)): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
    query: Result<Query<Whose>, QueryRejection>,
) -> Response {
    let forgotten = desk_for(&public, &headers).and_then(|desk| {
        let Query(Whose { name }) = query.map_err(|_| Problem::BadName)?;
        let (name, claims, _) = owner(&public, &name, peer.ip(), &headers)?;
        let is_forgotten = DeviceId::parse(&id).is_some_and(|id| desk.forget(&name, claims.subject(), id));
        is_forgotten.then_some(()).ok_or(Problem::NotFound)
    });
    match forgotten {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// Which services there are: nothing that is a secret.
pub(super) async fn services(State(public): State<Arc<Public>>) -> Response {
    let services = public.push.as_ref().map(|desk| desk.services()).unwrap_or_default();
    let list = services.into_iter().map(|(name, kind, vapid)| json!({ "name": name, "type": kind, "vapid": vapid }));
    Json(json!({ "providers": list.collect::<Vec<_>>() })).into_response()
}

fn desk_for<'p>(public: &'p Public, headers: &HeaderMap) -> Result<&'p Desk, Problem> {
    if !origin::allowed(headers, &public.allowed_origins) {
        return Err(Problem::Origin);
    }
    if public.stopping.load(Ordering::Relaxed) {
        return Err(Problem::Full);
    }
    public.push.as_deref().ok_or(Problem::PushService)
}

/// Who asks, if he may hear of calls for that name.
fn owner(public: &Public, name: &str, peer: IpAddr, headers: &HeaderMap) -> Result<(Name, Claims, String), Problem> {
    let name = Name::parse(name).map_err(|_| Problem::BadName)?;
    let jwt = bearer(headers)?.ok_or(Problem::NO_CREDENTIAL)?;
    let claims = public.registry.vouch(&name, jwt.as_bytes(), Some(peer)).map_err(Problem::Refused)?;
    Ok((name, claims, jwt.to_owned()))
}
