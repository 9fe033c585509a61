//! What a client is told of a call, and of a message: one signed JSON document a client, with tokens sealed for it alone. Made of a notice and of who
//! hears it; the same words whether they go over a WebSocket or over SIP.
//! Not here: who is told and over what (`notify`, `switch`).

mod document;
mod herald;
mod sign;

pub use document::{
    EventId, Invitation, TEXT, closing, digit, ended, error, gone, hello, incoming, message, message_state,
    message_status, pong, presence, renewed, synced, warning,
};
pub use herald::{Authority, Hearer, Herald};
pub use sign::Signer;
