//! Sleeping devices, and how they are woken for a call: a push by the service that each names (RFC 8599), to those whose client is not connected at
//! once, to the others when nobody has rung for a while.
//! Not here: whether a client may hear of a call (`policy`, asked through `notify` at the moment of the push), who may register a device (`http`,
//! `switch`), and the way of a call: nothing here can delay one.
//!
//! ```text
//!  switch thread: Bell ─▶ words ─▶ Waker: which devices, when ─▶ policy, event ─▶ Office: a task a push ─▶ Service ─▶ Client ─▶ HTTP/2
//!  http: Desk ─▶ Devices ◀─ 404, 410, unregistered ─────────────────────────────────┘       └─▶ a file, in the background
//! ```

mod apns;
mod bell;
mod client;
mod connector;
mod desk;
mod device;
mod devices;
mod encryption;
mod fcm;
mod jws;
mod office;
mod service;
mod store;
mod waker;
mod web_push;
mod webhook;

pub use bell::Bell;
pub use desk::{Desk, Registration, Unfit};
pub use device::DeviceId;
pub use store::Store;
pub use waker::Waker;

use crate::config;
use crate::notify::Registry;
use crate::telemetry::Metrics;
use std::path::Path;
use std::sync::Arc;

/// The ends of what wakes devices.
pub struct Push {
    /// The switch thread's.
    pub bell: Bell,
    /// For those who register devices over HTTP.
    pub desk: Arc<Desk>,
    /// To be run.
    pub waker: Waker,
    /// To be run, and flushed at the end.
    pub store: Store,
}

/// Opens all of it, with the devices that were there before. `None` without a push service.
pub fn open(
    config: &config::Push,
    state_dir: Option<&Path>,
    registry: &Arc<Registry>,
    metrics: &Arc<Metrics>,
) -> Result<Option<Push>, String> {
    if config.providers.is_empty() {
        return Ok(None);
    }
    let bounds = devices::Bounds { total: config.devices_max, per_name: config.per_name_max, longest: config.longest };
    let devices = Arc::new(devices::Devices::new(bounds));
    let services = service::open(config)?;
    let desk = Arc::new(Desk::new(Arc::clone(&devices), config.services(), services.clone()));
    let store = Store::open(state_dir, Arc::clone(&desk), registry.now().wall);
    let office =
        office::Office::new(client::Client::new(config)?, services, Arc::clone(registry), devices, Arc::clone(metrics));
    let (bell, waker) = waker::open(config.after, Arc::clone(&desk), office);
    Ok(Some(Push { bell, desk, waker, store }))
}
