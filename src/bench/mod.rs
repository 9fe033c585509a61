//! `parkway bench`: what a packet costs, measured by the operator on the machine that matters. A Parkway of its own is started as a process,
//! and calls are made with it over real SIP; the same packets go through rtpengine and the kernel's NAT in the same run, by turns, because a
//! machine is another one an hour later. Only the ratios of such a run say something.
//! Not here: any way into the server but its sockets; and no code of it either: what measures it reads SIP and RTP with code of its own.
//!
//! ```text
//!  callers ═══▶ a server, on a CPU of its own ═══▶ clients     `place`, `wire`: where they are; `server`: who it is
//!          ◀═══                               ◀═══             `rtp`, `secure`: what is sent and checked; `phones`: the calls
//!    all of them one thread, on another CPU                    `media`: who is measured when; `run`: one time; `table`, `plot`: what is told
//! ```

mod costs;
pub mod cpu;
mod ethtool;
pub mod kernel;
pub mod leg;
mod media;
mod nat;
mod options;
pub mod parkway;
mod phones;
mod place;
mod plot;
mod rates;
mod rtp;
mod rtpengine;
mod run;
mod secure;
mod server;
pub mod subscription;
pub mod table;
mod wire;

pub use media::perform;
pub use options::{Measure, Options};
pub use secure::Suite;

use crate::daemon::{Code, Failure};

/// Something went wrong that is nobody's configuration.
fn failed(what: impl Into<String>) -> Failure {
    Failure { code: Code::RunTime, what: what.into() }
}
