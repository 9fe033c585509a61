//! Packets, still without sockets: what the relay is told, what it tells, and where a packet goes.
//! Not here: sockets and threads (`relay`), and which call a flow belongs to (`switch`).

pub mod command;
pub mod dtmf;
pub mod forward;
pub mod header;
pub mod latch;
mod leg;
pub mod offload;
pub mod statistics;
pub mod tone;

pub use command::{Closed, Command, Counters, Event, Mapping, Stream};
pub use forward::{Flow, Outcome, Reason};
pub use offload::{Carried, Rule, Standing};
