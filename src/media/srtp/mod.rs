//! SRTP and SRTCP: packets made secret and authentic for one peer, and what a peer sends checked and laid open, in the buffer that they came in.
//! Not here: where the keys come from (`a=crypto`, RFC 4568, in `sdp`), sockets, MKI (nobody offers it), re-keying by index, and encrypted
//! header extensions (RFC 6904).
//! RFC 3711 (AES-CM and HMAC-SHA1), RFC 6188 (AES-256), RFC 7714 (AES-GCM). RELIABILITY A2: nothing crosses that was not authenticated.
//!
//! ```text
//!  SRTP   | header, CSRCs, extension |≈≈≈≈≈≈≈≈ payload, padding ≈≈≈≈≈≈≈| tag |
//!  SRTCP  | first 8 bytes |≈≈≈≈≈≈≈≈≈≈≈≈≈≈ the rest ≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈| E, index | tag |     AES-CM: RFC 3711 §3.4
//!  SRTCP  | first 8 bytes |≈≈≈≈≈≈≈≈≈≈≈≈≈≈ the rest ≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈≈| tag | E, index |     AES-GCM: RFC 7714 §9.2
//! ```
//!
//! One index encrypts one packet. Two packets under one index give away what differs between them, and with GCM the key that authenticates;
//! so [`Outbound`] has a window as [`Inbound`] has, and a packet that a plain peer sends twice goes out once.

mod counter;
mod inbound;
mod keys;
mod outbound;
mod sources;
mod transform;
mod window;

#[cfg(test)]
mod differential;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod vectors;

pub use crate::sdp::{Master, Suite};
pub use inbound::Inbound;
pub use outbound::Outbound;

use transform::TAG_BYTES_MAX;

/// The most by which a packet grows: GCM's tag and the word with the SRTCP index.
pub const OVERHEAD_MAX: usize = TAG_BYTES_MAX + size_of::<u32>();

/// Why a packet is neither sent nor taken. It is counted, and ends nothing (RELIABILITY A3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Not RTP (or RTCP), too short for its tag, or the buffer has no room behind it.
    Malformed,
    /// Not made with the key, or changed since.
    Unauthentic,
    /// Its index was used before, or is too old to tell.
    Replayed,
    /// A source more than [`crate::limits::SRTP_SOURCES_MAX`].
    TooManySources,
    /// The key has no index left; only a new one helps (RFC 3711 §9.2).
    Exhausted,
}

/// What a key protects, in one direction: both have keys of their own, derived from the master.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stream {
    Rtp,
    Rtcp,
}
