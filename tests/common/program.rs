//! Programs that the tests run: whether they are there, how long they may run, and how they are ended: each by its own id.

use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// Whether a peer is installed; if not, says so, and the test that asked is skipped.
pub(crate) fn is_installed(program: &str, package: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    if !found {
        eprintln!("SKIPPED: {program} is not installed (Debian package {package})");
    }
    found
}

/// Whether test data is there; if not, says so.
pub(crate) fn is_there(path: &Path) -> bool {
    if !path.exists() {
        eprintln!("SKIPPED: {} is not there", path.display());
    }
    path.exists()
}

/// Sends a signal to one process.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "kill -{name} {pid}");
}

/// Waits for a process's end; `None` if it had to be killed.
pub(crate) fn wait(child: &mut Child, longest: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + longest;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}
