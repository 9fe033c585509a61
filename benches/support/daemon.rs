//! The real daemon as a child process on loopback, and what its own metrics tell of it.
//! Not here: load.

use super::{cpu, kernel};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The binary of the profile that the bench was built in.
const PARKWAY: &str = env!("CARGO_BIN_EXE_parkway");
/// How long it may take until it listens.
const START_MAX: Duration = Duration::from_secs(20);

/// A running Parkway; it ends with this value.
pub(crate) struct Parkway {
    child: Child,
    admin: SocketAddr,
    /// Where it takes calls.
    pub(crate) sip: SocketAddr,
    /// Where it takes subscriptions.
    pub(crate) http: SocketAddr,
}

impl Parkway {
    /// Starts it with caps out of the way and calls that wait for an hour, if wanted on one CPU, and waits until it takes calls.
    pub(crate) fn start(cpu: Option<usize>) -> Parkway {
        Parkway::start_with(cpu, &[])
    }

    /// The same with further arguments.
    pub(crate) fn start_with(cpu: Option<usize>, arguments: &[&str]) -> Parkway {
        let (sip, http, admin) = (free_udp(), free_tcp(), free_tcp());
        let mut command = cpu::command_on(cpu, PARKWAY);
        command.args(arguments);
        for (key, value) in [
            ("sip.listen", sip.to_string()),
            ("http.listen", http.to_string()),
            ("admin.listen", admin.to_string()),
            ("park.seconds_max", "3600".into()),
            ("park.repeat_seconds", "150".into()),
            ("park.calls_max", "200000".into()),
            ("park.per_trunk_max", "200000".into()),
            ("park.per_name_max", "200000".into()),
            ("park.per_source_max", "200000".into()),
            ("log.level", "error".into()),
        ] {
            command.args(["--set", &format!("{key}={value}")]);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the daemon can be started");
        let mut parkway = Parkway { child, admin, sip, http };
        parkway.wait_until_ready();
        parkway
    }

    fn wait_until_ready(&mut self) {
        let until = Instant::now() + START_MAX;
        while !self.get("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            let ended = self.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "the daemon ended at once: {ended:?}");
            assert!(Instant::now() < until, "the daemon did not get ready within {START_MAX:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The value of a metric, up to a second old.
    pub(crate) fn metric(&self, name: &str) -> Option<u64> {
        let page = self.get("/metrics")?;
        page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// Waits until a metric has a value; `false` if it does not come to that.
    pub(crate) fn wait_for(&self, name: &str, value: u64, longest: Duration) -> bool {
        let until = Instant::now() + longest;
        while self.metric(name) != Some(value) {
            if Instant::now() > until {
                return false;
            }
            thread::sleep(Duration::from_millis(100));
        }
        true
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its memory, bytes: what it has alone and its share of what others have as well (PSS).
    pub(crate) fn memory_bytes(&self) -> u64 {
        kernel::memory_bytes(self.child.id())
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

impl Drop for Parkway {
    fn drop(&mut self) {
        // If it has ended by itself already, there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_udp() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    socket.local_addr().expect("it is bound")
}

fn free_tcp() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound")
}
