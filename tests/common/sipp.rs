//! SIPp as a trunk or a client: runs a scenario of `tests/sipp/` and tells how it went.
//! Not here: the scenarios.

use super::{Daemon, program, unique};
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running SIPp. Dropping it ends it, by its own id.
pub(crate) struct Sipp {
    child: Child,
    scenario: String,
    /// All that it writes has this name, with an extension.
    prefix: PathBuf,
}

/// How it went.
pub(crate) struct Finished {
    /// Whether every call went as the scenario says.
    pub(crate) succeeded: bool,
    /// All messages, in both directions.
    pub(crate) messages: String,
    /// What it says of itself: exit status, errors, screen.
    pub(crate) complaints: String,
    scenario: String,
}

/// Whether it is installed.
pub(crate) fn is_installed() -> bool {
    program::is_installed("sipp", "sip-tester")
}

impl Sipp {
    /// Runs a scenario once against the daemon; `[name]` in it stands for the value that `keys` gives.
    pub(crate) fn start(daemon: &Daemon, scenario: &str, keys: &[(&str, &str)]) -> Sipp {
        Sipp::start_with(daemon, scenario, keys, &["-m", "1"])
    }

    /// The same with other arguments for how many and how fast.
    pub(crate) fn start_with(daemon: &Daemon, scenario: &str, keys: &[(&str, &str)], arguments: &[&str]) -> Sipp {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sipp").join(scenario);
        let keys = keys.iter().flat_map(|(name, value)| ["-key", name, value]);
        let arguments: Vec<&str> = keys.chain(arguments.iter().copied()).collect();
        Sipp::play(daemon, &file, daemon.dir(), &arguments)
    }

    /// Runs a scenario of any file in that directory. Arguments are stronger than what they repeat.
    pub(crate) fn play(daemon: &Daemon, file: &Path, dir: &Path, arguments: &[&str]) -> Sipp {
        let scenario = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let prefix = daemon.dir().join(format!("{scenario}-{}", unique()));
        let output = fs::File::create(prefix.with_extension("out")).unwrap();
        let here = daemon.sip.ip();
        let mut command = Command::new("sipp");
        // Left to itself, SIPp shares a port with another SIPp and takes its messages.
        let port = UdpSocket::bind((here, 0)).and_then(|socket| socket.local_addr()).unwrap().port();
        command.arg("-sf").arg(file).args(["-p", &port.to_string()]);
        command.args(["-i", &here.to_string(), "-mi", &here.to_string(), "-nostdin", "-timeout_error"]);
        command.args(["-timeout", "60s", "-recv_timeout", "20000", "-trace_msg", "-trace_err"]);
        command.arg("-message_file").arg(prefix.with_extension("messages"));
        command.arg("-error_file").arg(prefix.with_extension("errors"));
        command.args(arguments).arg(daemon.sip.to_string()).current_dir(dir);
        let errors = output.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().unwrap();
        Sipp { child, scenario, prefix }
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Runs a scenario that waits for requests, on a port of this host, for a daemon that is still to be started or already there. Its files
    /// go into `dir`.
    pub(crate) fn serve(dir: &Path, scenario: &str, port: u16, arguments: &[&str]) -> Sipp {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sipp").join(scenario);
        let prefix = dir.join(format!("{}-{}", scenario.trim_end_matches(".xml"), unique()));
        let output = fs::File::create(prefix.with_extension("out")).unwrap();
        let errors = output.try_clone().unwrap();
        let mut command = Command::new("sipp");
        command.arg("-sf").arg(file).args(["-p", &port.to_string(), "-i", "127.0.0.1", "-nostdin"]).args(arguments);
        command.args(["-trace_msg", "-trace_err", "-message_file"]).arg(prefix.with_extension("messages"));
        command.arg("-error_file").arg(prefix.with_extension("errors")).current_dir(dir);
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().unwrap();
        Sipp { child, scenario: scenario.to_owned(), prefix }
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Finished {
        let status = program::wait(&mut self.child, Duration::from_secs(70));
        let text = |extension| {
            let bytes = fs::read(self.prefix.with_extension(extension)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Finished {
            succeeded: status.is_some_and(|status| status.success()),
            messages: text("messages"),
            scenario: self.scenario.clone(),
            complaints: format!("{status:?}\n{}\n{}", text("errors"), text("out")),
        }
    }

    /// Waits for its end, which must be a success.
    pub(crate) fn succeed(self) -> Finished {
        let finished = self.wait();
        let Finished { scenario, complaints, messages, .. } = &finished;
        assert!(finished.succeeded, "{scenario}: {complaints}\n--- messages ---\n{messages}");
        finished
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Finished {
    /// The value of a header in the last message that has it.
    pub(crate) fn header(&self, name: &str) -> &str {
        let start = format!("{name}: ");
        self.messages.lines().rev().find_map(|line| line.strip_prefix(&start)).map(str::trim).unwrap_or_default()
    }
}
