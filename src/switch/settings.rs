//! What the operator decides about calls, as the core needs it: checked values, no text left to read.
//! Not here: reading it (`config`).

use crate::call::{Route, Trunk};
use crate::registrar::Services;
use crate::time::Duration;
use std::net::IpAddr;
use std::sync::Arc;

/// All of it. Replaced whole on a reload; a call keeps the route it began with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node's number, written into every bridge token.
    pub node: u64,
    /// Whose INVITEs are parked.
    pub trunks: Vec<Arc<Trunk>>,
    /// First match decides.
    pub routes: Vec<Arc<Route>>,
    /// How calls are handled, whatever their route.
    pub call: Arc<crate::call::Settings>,
    /// How many may wait.
    pub caps: Caps,
    /// Push services that may wake clients.
    pub push: Services,
    /// Headers of a caller's INVITE that telephones which are rung for it get too: names that mean nothing to us.
    pub pass_headers: Vec<String>,
}

/// How many calls may wait at one time; beyond it a new INVITE gets 503 and leaves no state.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// In total.
    pub total: u32,
    /// For one name.
    pub per_name: u32,
    /// From one source address.
    pub per_source: u32,
    /// The `Retry-After` of the 503.
    pub retry_after: Duration,
}

impl Settings {
    /// The trunk that sends from an address.
    pub fn trunk_of(&self, source: IpAddr) -> Option<&Arc<Trunk>> {
        self.trunks.iter().find(|trunk| trunk.sends_from(source))
    }

    /// The trunk that proves a user's password.
    pub fn trunk_of_user(&self, user: &str) -> Option<&Arc<Trunk>> {
        self.trunks.iter().find(|trunk| trunk.user.as_deref() == Some(user))
    }

    /// Whether there is a trunk that proves a password, so that a stranger may be one.
    pub fn asks_for_passwords(&self) -> bool {
        self.trunks.iter().any(|trunk| trunk.user.is_some())
    }

    /// The trunk whose certificate has one of these names.
    pub fn trunk_named(&self, names: &[String]) -> Option<&Arc<Trunk>> {
        self.trunks.iter().find(|trunk| trunk.is_named(names))
    }

    /// The route of a called number.
    pub fn route_of(&self, user: &str) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| route.number.matches(user))
    }
}
