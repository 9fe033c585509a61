//! The HTTP listeners: subscriptions by WebSocket, stream and poll, messages, SIP over WebSocket and published keys for clients; health and metrics for the operator.
//! Not here: who listens on which name (`notify`), who may (`policy`), and what is measured (`telemetry`).

mod admin;
mod admission;
mod channel;
mod devices;
mod listener;
mod messages;
mod origin;
mod poll;
mod presence;
mod problem;
mod say;
mod sip;
mod stream;
mod subscribe;
mod ticket;
mod word;

#[cfg(test)]
mod tests;

pub use admin::Admin;

use crate::limits;
use crate::net::{Door, Slots};
use crate::notify::{Closing, Registry};
use crate::push::Desk;
use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use problem::Problem;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use ticket::Tickets;

/// What the public listener is told at start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Web origins that may subscribe (`https://app.example.com`); empty: only pages of the host that they connect to.
    pub allowed_origins: Vec<String>,
    /// Most channels at once.
    pub channels_max: usize,
    /// Most channels from one address at once.
    pub channels_per_source_max: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            allowed_origins: Vec::new(),
            channels_max: limits::CHANNELS_MAX,
            channels_per_source_max: limits::CHANNELS_PER_SOURCE_MAX,
        }
    }
}

/// What the handlers of the public listener share.
struct Public {
    registry: Arc<Registry>,
    /// Takes devices in, if any can be woken.
    push: Option<Arc<Desk>>,
    allowed_origins: Vec<String>,
    slots: Arc<Slots>,
    tickets: Tickets,
    /// Whether nobody comes in any more.
    stopping: AtomicBool,
    /// Where SIP over WebSocket comes in.
    door: Door,
    /// This listener.
    local: SocketAddr,
}

/// Serves clients until `shutdown` completes, then closes the channels with a reason and returns.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    (registry, push): (Arc<Registry>, Option<Arc<Desk>>),
    door: Door,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let slots = Slots::new(settings.channels_max, settings.channels_per_source_max);
    let public = Arc::new(Public {
        registry: Arc::clone(&registry),
        push,
        allowed_origins: settings.allowed_origins,
        slots: Arc::clone(&slots),
        tickets: Tickets::default(),
        stopping: AtomicBool::new(false),
        door,
        local: listener.local_addr()?,
    });
    let shared = Router::new()
        .route("/v1/subscribe", get(subscribe::subscribe))
        .route("/v1/poll", get(poll::poll))
        .route("/v1/tickets", post(ticket::issue))
        .route("/v1/say", post(say::say))
        .route("/v1/devices", get(devices::services).post(devices::register))
        .route("/v1/devices/{id}", delete(devices::forget))
        .route("/v1/messages", post(messages::post))
        .route("/v1/messages/{id}", get(messages::status))
        .route("/v1/presence/{*name}", get(presence::presence))
        // Here as well, so that a browser's question before the request comes by the layers.
        .method_not_allowed_fallback(|| async { Problem::Method })
        .layer(DefaultBodyLimit::max(limits::CLIENT_MESSAGE_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(&public), origin::share));
    let alone = Router::new().route("/sip", get(sip::open)).route("/.well-known/parkway-keys", get(keys));
    let app = refusing(shared.merge(alone).with_state(Arc::clone(&public)));
    // Streams end on the connections that the listener holds, so it goes last.
    let farewell = async {
        shutdown.await;
        public.stopping.store(true, Ordering::Relaxed);
        registry.cut_all(Closing::ServerStopping);
        // Twice: a channel may be in the middle of an event before it says goodbye.
        let _all_left = tokio::time::timeout(2 * limits::CHANNEL_CLOSE_WAIT_MAX, slots.empty()).await;
    };
    listener::serve(listener, app, settings.channels_per_source_max, farewell).await
}

/// Serves `/healthz`, `/readyz` and `/metrics` until `shutdown` completes.
pub async fn serve_admin(listener: TcpListener, admin: Admin, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    listener::serve(listener, refusing(admin::router(admin)), limits::HTTP_CONNECTIONS_MAX, shutdown).await
}

/// What is not there is refused like everything else, with a problem document.
fn refusing(router: Router) -> Router {
    router.fallback(|| async { Problem::NotFound }).method_not_allowed_fallback(|| async { Problem::Method })
}

/// A WebSocket that takes no more than a client's message, that reads so many bytes at a time and gathers nothing to write:
/// less than 4 kB a connection with half a kilobyte to read into, instead of 134 kB.
fn bounded(upgrade: WebSocketUpgrade, read_bytes: usize) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(read_bytes)
        .write_buffer_size(0)
        .max_frame_size(limits::CLIENT_MESSAGE_BYTES_MAX)
        .max_message_size(limits::CLIENT_MESSAGE_BYTES_MAX)
}

/// The keys that verify events. Public, so any page may read them; short-lived in caches, so that a new key is seen soon.
async fn keys(State(public): State<Arc<Public>>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/jwk-set+json"),
        (header::CACHE_CONTROL, "public, max-age=300"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    (headers, public.registry.jwks().to_owned()).into_response()
}
