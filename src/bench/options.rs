//! The command line of `parkway bench media`.
//! Not here: what is done with it.

use super::secure::Suite;
use crate::limits::BENCH_SESSIONS_MAX;
use std::path::PathBuf;
use std::time::Duration;

/// Sessions at which cost is measured where nothing else is said.
const SESSIONS: [u16; 1] = [500];
/// The same for a plot.
const SESSIONS_OF_PLOT: [u16; 5] = [100, 500, 1_000, 1_500, 2_000];
/// The same with `--test`.
const SESSIONS_OF_TEST: [u16; 1] = [10];
/// Longest measured time of one run, seconds: an hour says what eight seconds say.
const SECONDS_MAX: i64 = 3_600;

/// What the command line says.
#[derive(Clone, PartialEq, Eq, Debug, Default, clap::Args)]
pub struct Options {
    /// How many calls at one time; several with commas for a table, or a point of the plot, of each [default: 500; with --plot 100 to 2000]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = sessions())]
    pub sessions: Vec<u16>,
    /// How long each run is measured, seconds [default: 8]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=SECONDS_MAX))]
    pub seconds: Option<u32>,
    /// How often each server is measured; servers take turns, and medians count [default: 3]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub repeats: Option<u32>,
    /// How long packets gather where Parkway lets them (`media.coalesce_us`), microseconds
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub coalesce: u32,
    /// Measure one thing only
    #[arg(long, value_enum)]
    pub only: Option<Measure>,
    /// Leave out what is not Parkway
    #[arg(long)]
    pub alone: bool,
    /// Write what a packet costs with so many sessions as a line plot (SVG)
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    /// Measure over wires (veth), from a network namespace of the generator's own, in bursts of 32. Takes root
    #[arg(long)]
    pub wire: bool,
    /// With --wire: its interfaces wait so long for more packets before they wake anybody, as network cards do (interrupt moderation)
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 0, requires = "wire", value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub moderate: u32,
    /// The clients' audio is SRTP, with that suite; the callers' is plain
    #[arg(long, value_enum, value_name = "SUITE")]
    pub srtp: Option<Suite>,
    /// Measure calls that are recorded, too: so many files are written, of 32 kB a second
    #[arg(long)]
    pub record: bool,
    /// Few calls, once and short: does it all work? Its figures say nothing
    #[arg(long)]
    pub test: bool,
}

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Measure {
    /// CPU time and memory, and how long packets take.
    Cost,
    /// The highest rate at which none is lost.
    Rate,
}

fn sessions() -> impl clap::builder::TypedValueParser<Value = u16> {
    clap::value_parser!(u16).range(10..=i64::from(BENCH_SESSIONS_MAX))
}

impl Options {
    pub(super) fn sessions(&self) -> Vec<u16> {
        match (self.sessions.is_empty(), self.test, &self.plot) {
            (false, ..) => self.sessions.clone(),
            (true, true, _) => SESSIONS_OF_TEST.to_vec(),
            (true, false, None) => SESSIONS.to_vec(),
            (true, false, Some(_)) => SESSIONS_OF_PLOT.to_vec(),
        }
    }

    pub(super) fn measured(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(if self.test { 1 } else { 8 }).into())
    }

    pub(super) fn repeats(&self) -> u32 {
        self.repeats.unwrap_or(if self.test { 1 } else { 3 })
    }

    pub(super) fn measures(&self, measure: Measure) -> bool {
        self.only.is_none_or(|only| only == measure)
    }
}
