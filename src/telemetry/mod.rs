//! What Parkway tells those who run it: the log, counters for Prometheus, and one record a finished call.
//! Not here: what is worth telling (the switch's effects and stats say it, the daemon carries it here), and the HTTP listener
//! that hands the counters out (`http`). Nothing here ever makes the switch wait.

pub mod counts;
pub mod log;
pub mod metrics;
mod page;
mod process;
pub mod records;

pub use log::Log;
pub use metrics::Metrics;
pub use records::Records;
