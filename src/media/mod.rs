//! Packets, still without sockets: what the relay is told, what it tells, and where a packet goes.
//! Not here: sockets and threads (`relay`), and which call a flow belongs to (`switch`).

pub mod command;
mod counted;
pub mod diagnosis;
pub mod digits;
pub mod dtmf;
pub mod feedback;
pub mod forward;
pub mod header;
mod in_band;
pub mod latch;
mod leg;
pub mod offload;
mod packet;
pub mod player;
pub mod presence;
mod presser;
pub mod quality;
pub mod recording;
mod rescale;
pub mod rtcp;
mod security;
pub mod sound;
pub mod srtp;
pub mod statistics;
pub mod timeline;
pub mod tone;
pub mod tones;
pub mod udptl;
pub mod watch;

pub use command::{Closed, Command, Counters, Event, Keys, Line, Mapping, Ports, RtcpPort, Stream};
pub use diagnosis::{Finding, Trouble};
pub use digits::{Digits, Means, Reporting};
pub use dtmf::Dialled;
pub use forward::{Complaint, Flow, Kind, Outcome, Reason};
pub use latch::Trust;
pub use offload::{Carried, Rule, Standing};
pub use packet::Packet;
pub use player::Play;
pub use quality::Codec;
pub use recording::{Announcement, Heard, Recorded, Recording, Sides};
pub use sound::{Sound, SoundId};
pub use timeline::Timeline;
pub use watch::{Warning, WarningTerms};
