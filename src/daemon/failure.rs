//! Why the daemon could not start or go on, and the exit code that says so to a service manager.

use crate::config::Config;
use crate::relay::Refused;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

/// One line for stderr, and how the process ends.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub code: Code,
    /// One line: what failed; what to do.
    pub what: String,
}

/// Exit codes (sysexits.h where it has one).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 1: something failed while running.
    RunTime,
    /// 69, EX_UNAVAILABLE: an address or port cannot be bound.
    CannotBind,
    /// 78, EX_CONFIG: the configuration; restarting will not help.
    Configuration,
}

impl Code {
    /// The number for the operating system.
    pub fn number(self) -> u8 {
        match self {
            Code::RunTime => 1,
            Code::CannotBind => 69,
            Code::Configuration => 78,
        }
    }
}

impl Failure {
    pub(super) fn run_time(what: String) -> Failure {
        Failure { code: Code::RunTime, what }
    }

    pub(super) fn configuration(what: String) -> Failure {
        Failure { code: Code::Configuration, what }
    }

    /// The file of records cannot be written.
    pub(super) fn records(config: &Config, error: &io::Error) -> Failure {
        let path = config.records.path.as_deref().unwrap_or(Path::new(""));
        let what =
            format!("cannot write {}: {error}; make its directory and let this user write there", path.display());
        Failure::configuration(config.mistake("records.path", what).to_string())
    }

    /// Nothing can be written where recordings are to go.
    pub(super) fn recording(config: &Config, directory: &Path, error: &io::Error) -> Failure {
        let what = format!(
            "cannot write below {}: {error}; make the directory and let this user write there, as in a unit by StateDirectory= or ReadWritePaths=",
            directory.display()
        );
        Failure::configuration(config.mistake("recording.directory", what).to_string())
    }

    /// The kernel is required to forward audio by itself, and does not let us tell it to.
    pub(super) fn offload(config: &Config, refused: &Refused) -> Failure {
        let what = format!("required, but {refused}; it takes Linux 6.6, CAP_BPF and CAP_NET_ADMIN, or write auto");
        Failure::configuration(config.mistake("media.offload", what).to_string())
    }

    /// An address of the configuration cannot be listened on.
    pub(super) fn bind(config: &Config, key: &str, address: SocketAddr, error: &io::Error) -> Failure {
        let remedies = [
            (io::ErrorKind::AddrInUse, "another program has it; stop that or choose another port"),
            (io::ErrorKind::AddrNotAvailable, "no interface of this machine has that address; see `ip address`"),
            (io::ErrorKind::PermissionDenied, "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one"),
        ];
        let known = remedies.iter().find(|(kind, _)| *kind == error.kind());
        let remedy = known.map_or("choose another address or port", |(_, remedy)| remedy);
        let mistake = config.mistake(key, format!("cannot listen on {address}: {error}; {remedy}"));
        Failure { code: Code::CannotBind, what: mistake.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}
