//! What the operator's tools ask: is it alive, does it take calls, what has it counted. Served on a listener of its own, on loopback.
//! Not here: control of the server (a Unix socket, later), and what is counted (`telemetry`).

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;

/// The version of Prometheus' text format that `/metrics` is in.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the admin listener is told at start.
#[derive(Clone)]
pub struct Admin {
    /// Whether this server still takes calls; `/readyz` says 503 when it does not.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
    /// The text of `/metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// `/healthz`, `/readyz` and `/metrics`.
pub(super) fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

/// A load balancer looks here: 503 in drain, while `/healthz` goes on saying that nothing needs a restart.
async fn ready(State(admin): State<Admin>) -> Response {
    match (admin.ready)() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response(),
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], (admin.metrics)()).into_response()
}
