//! What a client is told of a call: one signed JSON document a client, with tokens sealed for it alone. Made of a notice and of who
//! hears it; the same words whether they go over a WebSocket or over SIP.
//! Not here: who is told and over what (`notify`, `switch`).

mod document;
mod herald;
mod sign;

pub use document::{EventId, Invitation, closing, digit, ended, error, gone, hello, incoming, pong, synced, warning};
pub use herald::{Authority, Hearer, Herald};
pub use sign::Signer;
