//! A daemon of the test's own: the real program, started with a file, watched from outside only.
//! Every test ends with [`Daemon::finish`], which looks for what is left over.

use super::credentials::{Rights, Secrets};
use super::page::{self, Metrics};
use super::program;
use super::setup::{SECRET, Setup};
use super::until;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// How long a daemon may take to be ready, with the whole suite starting others beside it.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How long it may take to end once it has nothing to do.
const ENDED_WITHIN: Duration = Duration::from_secs(15);

/// The switch shows its gauges once a second; what they say now may be that old.
const GAUGES_EVERY: Duration = Duration::from_millis(1100);

/// A running daemon. Dropping it kills the process, by its own id.
pub(crate) struct Daemon {
    child: Child,
    dir: TempDir,
    log: Arc<Mutex<String>>,
    /// SIP over UDP.
    pub(crate) sip: SocketAddr,
    /// SIP over TLS, if it listens for that.
    pub(crate) tls: Option<SocketAddr>,
    /// Subscriptions.
    pub(crate) http: SocketAddr,
    /// Health and metrics.
    pub(crate) admin: SocketAddr,
    /// What its log must not say.
    pub(crate) secrets: Secrets,
}

impl Daemon {
    /// Starts it as usual.
    pub(crate) fn start() -> Daemon {
        Daemon::start_as(&Setup::default())
    }

    /// Starts it as the test wants and waits until it is ready.
    pub(crate) fn start_as(setup: &Setup) -> Daemon {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("parkway.toml");
        fs::write(dir.path().join("clients.secret"), SECRET).unwrap();
        fs::write(&file, setup.file(dir.path())).unwrap();
        let mut words = setup.by.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_parkway")]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).arg("--config").arg(&file).env_remove("NOTIFY_SOCKET").env_remove("RUST_LOG");
        setup.set.iter().for_each(|set| _ = command.args(["--set", set]));
        command.envs(setup.environment.iter().cloned());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = keep(child.stderr.take().unwrap());
        let ([sip, http, admin], tls) = addresses(&mut child, &log);
        let daemon = Daemon { child, dir, log, sip, tls, http, admin, secrets: Secrets::default() };
        daemon.secrets.add(SECRET);
        until("readyz is 200", READY_WITHIN, || page::get(admin, "/readyz").filter(|(status, _)| *status == 200));
        daemon
    }

    /// A JWT for these rights; the log is searched for it at the end.
    pub(crate) fn mint(&self, rights: &Rights) -> String {
        let jwt = rights.mint();
        self.secrets.add(&jwt);
        jwt
    }

    /// Where a test may write files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Its counters now.
    pub(crate) fn metrics(&self) -> Metrics {
        until("metrics", Duration::from_secs(5), || Metrics::of(self.admin))
    }

    /// Sends HUP; what is logged of it.
    pub(crate) fn reload(&self) -> String {
        let before = self.log().len();
        self.signal("HUP");
        until("the signal is attended to", Duration::from_secs(5), || {
            let said = self.log().get(before..)?.to_owned();
            (said.contains("are read again") || said.contains("stay in force")).then_some(said)
        })
    }

    /// Waits until `/metrics` says so.
    pub(crate) fn wait_for_metric(&self, sample: &str, longest: Duration, right: impl Fn(f64) -> bool) {
        until(sample, longest, || right(self.metrics().value(sample)).then_some(()));
    }

    /// Waits until so many calls are in that state.
    pub(crate) fn wait_for_calls(&self, state: &str, count: f64) {
        let sample = format!("parkway_calls{{state=\"{state}\"}}");
        self.wait_for_metric(&sample, Duration::from_secs(10), |now| now == count);
    }

    /// The call detail records written so far.
    pub(crate) fn records(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.dir.path().join("cdr.jsonl")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The one record of the one call that has ended.
    pub(crate) fn record(&self) -> Value {
        until("a record", Duration::from_secs(10), || self.records().into_iter().next())
    }

    /// Sockets that the process has open, of all kinds.
    pub(crate) fn sockets(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    /// Sends a signal to this process.
    pub(crate) fn signal(&self, name: &str) {
        program::signal(self.child.id(), name);
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, longest: Duration) -> ExitStatus {
        until("the daemon ends", longest, || self.child.try_wait().unwrap())
    }

    /// The test is over: nothing may be left over but so many records, each of another call.
    pub(crate) fn finish(mut self, records: usize) -> Vec<Value> {
        let written = self.look_for_leftovers(records);
        self.signal("TERM");
        let status = self.wait(ENDED_WITHIN);
        self.look_into_log();
        assert_eq!(status.code(), Some(0), "a drain with no calls ends cleanly");
        written
    }

    /// Calls, their dialogs and their records; also for a daemon that goes on.
    pub(crate) fn look_for_leftovers(&self, records: usize) -> Vec<Value> {
        std::thread::sleep(GAUGES_EVERY);
        for family in ["parkway_calls", "parkway_sip_dialogs"] {
            until(family, Duration::from_secs(10), || (self.metrics().sum(family) == 0.0).then_some(()));
        }
        let written = until("the records", Duration::from_secs(5), || {
            let written = self.records();
            (written.len() >= records).then_some(written)
        });
        assert_eq!(written.len(), records, "one record a call: {written:#?}");
        let mut calls: Vec<&str> = written.iter().filter_map(|record| record["call"].as_str()).collect();
        calls.sort_unstable();
        calls.dedup();
        assert_eq!(calls.len(), records, "one call a record: {written:#?}");
        written
    }

    /// No secret, no panic.
    pub(crate) fn look_into_log(&self) {
        let log = self.log();
        assert_eq!(self.secrets.found_in(&log), Vec::<String>::new(), "secrets in the log");
        for bad in ["panicked", "lost to a panic"] {
            assert!(!log.contains(bad), "{bad:?} in the log:\n{log}");
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the daemon's log ---\n{}--- records ---\n{:#?}", self.log(), self.records());
        }
    }
}

/// Reads the log to its end on a thread.
fn keep(stderr: ChildStderr) -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&log);
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut log = kept.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    });
    log
}

/// The ports that it took, as its log says.
fn addresses(child: &mut Child, log: &Mutex<String>) -> ([SocketAddr; 3], Option<SocketAddr>) {
    until("the daemon says where it listens", READY_WITHIN, || {
        let log = log.lock().unwrap().clone();
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the daemon ended with {status} before it was ready:\n{log}");
        }
        let line = log.lines().find(|line| line.contains("ready") && line.contains("sip: ["))?;
        let after = |key: &str| -> Option<SocketAddr> {
            let rest = line.split_once(key)?.1;
            // An IPv6 address has brackets of its own.
            let end = rest.find("]:").map_or(0, |at| if rest.starts_with('[') { at + 2 } else { 0 });
            let (start, port) = rest.split_at(end);
            format!("{start}{}", port.split([',', ']', ' ', '}']).next()?).parse().ok()
        };
        Some(([after("sip: [")?, after("http: ")?, after("admin: ")?], after("tls: [")))
    })
}
