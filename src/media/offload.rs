//! What the kernel may be told of one direction of a flow, so that it forwards the audio itself, and what it says of it then.
//! A rule is true until the flow says another one: whatever is not certain makes none, and the packets come here.
//! Not here: the kernel (`relay::offload`), and whether there is a rule (`Flow::offloadable`).

use crate::limits;
use crate::media::command::Mapping;
use arrayvec::ArrayVec;
use std::net::SocketAddr;

/// One direction of a flow, as long as nothing about it can change but by a packet that does not match, or by a word of signalling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Who alone speaks: it is settled.
    pub peer: SocketAddr,
    /// The SSRC that it speaks with.
    pub ssrc: u32,
    /// Where what it says goes: settled, too.
    pub to: SocketAddr,
    /// What it may say. Keys are never among it: they are told, so they come here.
    pub payload_types: ArrayVec<Mapping, { limits::CODECS_MAX }>,
}

/// How far a leg's reception has come, for whoever counts on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// The highest sequence number.
    pub sequence: u16,
    /// The estimate of RFC 3550 §A.8, in microseconds times 16.
    pub jitter: u64,
}

/// What was forwarded by a rule since it was last asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Carried {
    /// Packets, at least one.
    pub packets: u64,
    /// Octets of payload in them.
    pub octets: u64,
    /// What came of them.
    pub standing: Standing,
}
