//! What the fuzz targets do with any bytes: give them to a reader or to the core, and fail if that panics or a rule is broken that holds
//! for all bytes. `fuzz/fuzz_targets` has one line for each of them.
//! Not here: the fuzzer (`fuzz/run` builds it), and rules that hold for some bytes only, which are unit tests where the rule is. The daemon is
//! built without this module (feature `fuzz`); each target's seeds are replayed by `cargo test`, too.

mod differential;
mod digest;
mod endpoint;
mod message;
#[cfg(test)]
mod replay;
mod rtp;
mod sdp;
#[cfg(feature = "sim")]
mod sim;
mod srtp;
mod stream;
mod uri;
mod websocket;

pub use differential::differential;
pub use digest::digest;
pub use endpoint::endpoint;
pub use message::message;
pub use rtp::rtp;
pub use sdp::sdp;
#[cfg(feature = "sim")]
pub use sim::sim;
pub use srtp::srtp;
pub use stream::stream;
pub use uri::uri;
pub use websocket::websocket;
