//! Who runs where: the generator on one CPU, the server on another, so that neither is in the other's time.
//! Not here: what the time is (`kernel`).

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};

const AUTOGROUP: &str = "/proc/self/autogroup";

/// Gives this process a CPU of its own and names the server's. Without `taskset` or with one CPU both go where they like.
pub fn pin() -> (&'static str, Option<usize>) {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let own = std::process::id().to_string();
    let taskset = Command::new("taskset").args(["-cp", "1", &own]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if cpus > 1 && taskset.is_ok_and(|status| status.success()) {
        ("the server on CPU 0, the generator on CPU 1", Some(0))
    } else {
        ("server and generator are not pinned", None)
    }
}

/// While this is there, this process and all that it starts go before other work on their CPUs: a generator that has to wait is not open-loop.
/// Servers are its children, so all of them have the same. Without the right to it runs count only on a quiet machine, and say so.
pub struct First {
    /// Of the session's group (sched(7), "The autogroup feature"), whose own counts for more than its processes'.
    group_before: Option<String>,
}

impl First {
    /// From now on.
    pub fn go() -> First {
        let own = std::process::id().to_string();
        let _ =
            Command::new("renice").args(["-n", "-20", "-p", &own]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        // "/autogroup-25 nice 0"
        let before =
            fs::read_to_string(AUTOGROUP).ok().and_then(|text| Some(text.trim().rsplit(' ').next()?.to_owned()));
        First { group_before: before.filter(|_| fs::write(AUTOGROUP, "-20").is_ok()) }
    }
}

impl Drop for First {
    fn drop(&mut self) {
        // The shell that we were started from is in the group, too. If it cannot be told, it stays quick.
        let _ = self.group_before.as_ref().map(|before| fs::write(AUTOGROUP, before));
    }
}

/// A command that runs on one CPU, if one is named.
pub fn command_on(cpu: Option<usize>, program: impl AsRef<OsStr>) -> Command {
    let Some(cpu) = cpu else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["-c", &cpu.to_string()]).arg(program);
    command
}
