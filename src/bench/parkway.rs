//! The real daemon as a child process on loopback, and what its own metrics tell of it.
//! Not here: load.

use super::{cpu, failed, kernel};
use crate::daemon::Failure;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long it may take until it listens.
const START_MAX: Duration = Duration::from_secs(20);

/// A running Parkway; it ends with this value.
pub struct Parkway {
    child: Child,
    admin: SocketAddr,
    /// Where it takes calls.
    pub sip: SocketAddr,
    /// Where it takes subscriptions.
    pub http: SocketAddr,
}

impl Parkway {
    /// Starts it with caps out of the way and calls that wait for an hour, if wanted on one CPU, and waits until it takes calls.
    /// The program is `parkway` itself; `arguments` go before.
    pub fn start(program: &Path, cpu: Option<usize>, arguments: &[&str]) -> Result<Parkway, Failure> {
        let (sip, http, admin) = (free_udp()?, free_tcp()?, free_tcp()?);
        let mut command = cpu::command_on(cpu, program);
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
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = spawned.map_err(|error| failed(format!("cannot start {}: {error}", program.display())))?;
        let mut parkway = Parkway { child, admin, sip, http };
        parkway.wait_until_ready()?;
        Ok(parkway)
    }

    fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let until = Instant::now() + START_MAX;
        while !self.get("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            // Why, it has said on the standard error that is ours too.
            if let Ok(Some(ended)) = self.child.try_wait() {
                return Err(failed(format!("the daemon ended at once: {ended}")));
            }
            if Instant::now() > until {
                return Err(failed(format!("the daemon did not get ready within {START_MAX:?}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The value of a metric, up to a second old.
    pub fn metric(&self, name: &str) -> Option<u64> {
        let page = self.get("/metrics")?;
        page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// Waits until a metric has a value; `false` if it does not come to that.
    pub fn wait_for(&self, name: &str, value: u64, longest: Duration) -> bool {
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
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its memory, bytes: what it has alone and its share of what others have as well (PSS).
    pub fn memory_bytes(&self) -> u64 {
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
pub fn free_udp() -> Result<SocketAddr, Failure> {
    free(UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()))
}

fn free_tcp() -> Result<SocketAddr, Failure> {
    free(TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()))
}

fn free(address: std::io::Result<SocketAddr>) -> Result<SocketAddr, Failure> {
    address.map_err(|error| failed(format!("loopback has no free port: {error}")))
}
