//! Starts what wakes sleeping devices, on the threads of HTTP.
//! Not here: what it does (`push`).

use super::Failure;
use crate::config::Config;
use crate::notify::Registry;
use crate::push::{self, Bell, Desk, Store};
use crate::telemetry::Metrics;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Its ends; none without a push service.
#[derive(Default)]
pub(super) struct Woken {
    /// The switch thread's.
    pub(super) bell: Option<Bell>,
    /// For HTTP.
    pub(super) desk: Option<Arc<Desk>>,
    /// To be flushed at the end.
    pub(super) store: Option<Store>,
}

/// Starts it.
pub(super) fn start(
    config: &Config,
    registry: &Arc<Registry>,
    metrics: &Arc<Metrics>,
    runtime: &Runtime,
) -> Result<Woken, Failure> {
    let opened = push::open(&config.push, config.node.state_dir.as_deref(), registry, metrics);
    let opened = opened.map_err(|what| Failure::configuration(format!("push: {what}")))?;
    let Some(push::Push { bell, desk, waker, store }) = opened else { return Ok(Woken::default()) };
    runtime.spawn(waker.run());
    runtime.spawn(store.clone().run(Arc::clone(metrics)));
    Ok(Woken { bell: Some(bell), desk: Some(desk), store: Some(store) })
}
