//! HTTP digest authentication as SIP uses it (RFC 7616, RFC 8760, RFC 3261 §22), both sides: [`Gate`] asks peers who they are,
//! [`answer`] tells a trunk who we are. Passwords become [`Secrets`] once and are compared in constant time.
//! Not here: who has which password (`policy`), what may be done then (`policy`), and Bearer (RFC 8898), which is a JWT's matter.
//!
//! ```text
//!  H(username:realm:password) = HA1      H(method:digest-uri) = HA2      H(HA1:nonce:nc:cnonce:qop:HA2) = response
//! ```

mod algorithm;
mod client;
mod gate;
mod nonce;

pub use algorithm::{Algorithm, Secrets};
pub use client::{Credentials, answer};
pub use gate::{Gate, Offer, Refused};
