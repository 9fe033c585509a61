//! SIP (RFC 3261): bytes to messages, messages to transactions and dialogs, and back.
//! Not here: what a call does with a request (`call`), and sockets (`net`).

pub mod auth;
pub mod dialog;
pub mod endpoint;
pub mod target;
pub mod transaction;
pub mod typed;
pub mod wire;

pub use endpoint::{Endpoint, Transmit};
pub use wire::{Path, Transport};
