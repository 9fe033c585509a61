//! Who runs where: the generator on one CPU, the server on another, so that neither is in the other's time.
//! Not here: what the time is (`kernel`).

use std::ffi::OsStr;
use std::process::{Command, Stdio};

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

/// A command that runs on one CPU, if one is named.
pub fn command_on(cpu: Option<usize>, program: impl AsRef<OsStr>) -> Command {
    let Some(cpu) = cpu else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["-c", &cpu.to_string()]).arg(program);
    command
}
