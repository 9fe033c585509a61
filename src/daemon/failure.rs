//! Why the daemon could not start or go on, and the exit code that says so to a service manager.

use std::fmt;
use std::io;
use std::net::SocketAddr;

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

    /// An address of the configuration cannot be listened on.
    pub(super) fn bind(key: &str, address: SocketAddr, error: &io::Error) -> Failure {
        let remedies = [
            (io::ErrorKind::AddrInUse, "another program has it; stop that or choose another port"),
            (io::ErrorKind::AddrNotAvailable, "no interface of this machine has that address; see `ip address`"),
            (io::ErrorKind::PermissionDenied, "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one"),
        ];
        let known = remedies.iter().find(|(kind, _)| *kind == error.kind());
        let remedy = known.map_or("choose another address or port", |(_, remedy)| remedy);
        Failure { code: Code::CannotBind, what: format!("{key}: cannot listen on {address}: {error}; {remedy}") }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}
