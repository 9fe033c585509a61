//! Who is there under a name, once: `GET /v1/presence/NAME`. Whoever wants to hear of changes watches the name on a channel.
//! Not here: who counts as there (`presence`, `notify`).

use crate::http::Public;
use crate::http::admission::{self, bearer};
use crate::http::listener::Peer;
use crate::http::problem::Problem;
use crate::name::Name;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Answers one question. A name under which nobody ever was is one where nobody is.
pub(super) async fn presence(
    State(public): State<Arc<Public>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Response {
    let seen = admission::enter(&public, peer.ip(), &headers).and_then(|_slot| {
        let jwt = bearer(&headers)?.ok_or(Problem::NO_CREDENTIAL)?;
        let name = Name::parse(&name).map_err(|_| Problem::BadName)?;
        public.registry.presence(jwt.as_bytes(), Some(peer.ip()), &name).map_err(Problem::Refused)
    });
    match seen {
        Ok(document) => {
            let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
            (headers, document).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}
