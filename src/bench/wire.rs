//! Wires between the two ends and the server: two veth pairs into a network namespace of the generator's own, one for the callers and one for
//! the clients. Whoever is at an end of a wire takes its packets with a thread of its own on its own CPU, as if by its own interrupts. The
//! kernel counts that thread's time to the nanosecond, so what it forwards by itself is measured as directly as what a process does.
//! Not here: who is at the ends.
//!
//! ```text
//!  generator: 10.96/16 ─ 10.98.1.2 ══ trunk ══ 10.98.1.1 ─┐
//!                                                         ├─ 10.98.0.2, 3 and 4 :the servers, on both devices
//!             10.97/16 ─ 10.98.2.2 ══ client ═ 10.98.2.1 ─┘
//! ```

use super::place::ip;
use super::{ethtool, failed};
use crate::daemon::Failure;
use nix::sched::{CloneFlags, setns, unshare};
use socket2::SockRef;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long the kernel may take to start a device's thread.
const THREAD_WITHIN: Duration = Duration::from_secs(2);
/// What it takes, and what to do without.
const REMEDY: &str = "--wire takes root and the Debian packages iproute2 and util-linux; without it all is on loopback";

/// The wires; they end with this program.
pub(super) struct Wire {
    /// The generator's namespace.
    there: File,
    /// The generator's ends.
    devices: [String; 2],
    /// The threads that take what comes to the server.
    receivers: Vec<u32>,
}

impl Wire {
    /// Goes to a network namespace of the server's with this thread, and lays wires from there to another.
    pub(super) fn lay(cpu: Option<usize>, moderation: u32) -> Result<Wire, Failure> {
        let wrong = |what: &str, error: &dyn std::fmt::Display| failed(format!("no wires: {what}: {error}; {REMEDY}"));
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| wrong("a network namespace", &error))?;
        let there = std::thread::spawn(|| -> io::Result<File> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        let there = there.join().expect("the thread does not panic").map_err(|error| wrong("a second one", &error))?;
        let number = std::process::id();
        let ends = |side: char| ["t", "c"].map(|wire| format!("p{wire}{number}{side}"));
        let (here, devices) = (ends('s'), ends('g'));
        let mut wire = Wire { there, devices, receivers: Vec::new() };
        wire.connect(&here)?;
        for device in &here {
            wire.receivers.push(threaded(device, cpu, moderation)?);
        }
        wire.within(|| {
            wire.devices.iter().try_for_each(|device| threaded(device, cpu.map(|_| 1), moderation).map(|_| ()))
        })?;
        Ok(wire)
    }

    fn connect(&self, here: &[String; 2]) -> Result<(), Failure> {
        // The name of the other namespace, as long as the wires are laid: a path of this process.
        let number = std::os::fd::AsRawFd::as_raw_fd(&self.there);
        let path = format!("/proc/{}/fd/{number}", std::process::id());
        ip("link set lo up")?;
        for (at, (one, other)) in here.iter().zip(&self.devices).enumerate() {
            let network = at + 1;
            ip(&format!("link add {one} type veth peer name {other} netns {path}"))?;
            ip(&format!("addr add 10.98.{network}.1/24 dev {one}"))?;
            for server in 2..=4 {
                ip(&format!("addr add 10.98.0.{server}/32 dev {one}"))?;
            }
            ip(&format!("link set {one} up"))?;
        }
        self.within(|| {
            ip("link set lo up")?;
            for (at, other) in self.devices.iter().enumerate() {
                let (network, legs) = (at + 1, 96 + at);
                ip(&format!("addr add 10.98.{network}.2/24 dev {other}"))?;
                ip(&format!("link set {other} up"))?;
                ip(&format!("route add local 10.{legs}.0.0/16 dev lo"))?;
                ip(&format!("route add 10.98.0.0/24 via 10.98.{network}.1 dev {other} metric {network}"))?;
            }
            believe_sources()
        })?;
        for (at, one) in here.iter().enumerate() {
            ip(&format!("route add 10.{}.0.0/16 via 10.98.{}.2 dev {one}", 96 + at, at + 1))?;
        }
        believe_sources()?;
        set("ipv4/ip_forward", "1")
    }

    /// Does something where the generator is: sockets that are made there stay there.
    fn within<T: Send>(&self, work: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
        let inside = || {
            setns(&self.there, CloneFlags::CLONE_NEWNET).map_err(|error| failed(format!("no way in: {error}")))?;
            work()
        };
        let done = std::thread::scope(|scope| scope.spawn(inside).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// The callers' socket and the clients', each at its wire.
    pub(super) fn sockets(&self) -> Result<[UdpSocket; 2], Failure> {
        let socket = |device: &String| -> io::Result<UdpSocket> {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            SockRef::from(&socket).bind_device(Some(device.as_bytes()))?;
            Ok(socket)
        };
        self.within(|| {
            let [callers, clients] = &self.devices;
            let sockets = socket(callers).and_then(|callers| Ok([callers, socket(clients)?]));
            sockets.map_err(|error| failed(format!("no sockets for audio: {error}")))
        })
    }

    /// The kernel's threads whose time is the server's.
    pub(super) fn receivers(&self) -> &[u32] {
        &self.receivers
    }

    /// A leg's IP address, the caller's (0) or the client's (1).
    pub(super) fn leg(side: usize, [high, low]: [u8; 2]) -> Ipv4Addr {
        Ipv4Addr::new(10, if side == 0 { 96 } else { 97 }, high, low)
    }

    /// A server's IP address.
    pub(super) fn server(number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 98, 0, number)
    }
}

/// Has a thread of its own take what comes to a device of this namespace, before all else on that CPU, as interrupts are; which thread. It is
/// woken so many microseconds after it has found nothing more to do, at the earliest.
fn threaded(device: &str, cpu: Option<usize>, moderation: u32) -> Result<u32, Failure> {
    ethtool::use_napi(device).map_err(|error| failed(format!("{device} has no NAPI: {error}")))?;
    // What is seen in /sys is the namespace of who mounted it.
    let (of, nanos) = (format!("/sys/class/net/{device}"), u64::from(moderation) * 1_000);
    let deferred = u32::from(moderation > 0);
    let write = format!(
        "mount -t sysfs sysfs /sys && echo {nanos} > {of}/gro_flush_timeout && echo {deferred} > {of}/napi_defer_hard_irqs && \
         echo 1 > {of}/threaded"
    );
    run("unshare", &["--mount", "sh", "-c", &write])?;
    let begun = Instant::now();
    let thread = loop {
        if let Some(thread) = thread_of(device) {
            break thread;
        }
        if begun.elapsed() > THREAD_WITHIN {
            return Err(failed(format!("the kernel has no thread for {device}: --wire takes Linux 5.12 or later")));
        }
    };
    let number = thread.to_string();
    if let Some(cpu) = cpu {
        run("taskset", &["-cp", &cpu.to_string(), &number])?;
    }
    run("chrt", &["--fifo", "--pid", "1", &number])?;
    Ok(thread)
}

fn thread_of(device: &str) -> Option<u32> {
    let name = format!("napi/{device}-");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbers = processes.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok());
    numbers.find(|number| fs::read_to_string(format!("/proc/{number}/comm")).is_ok_and(|comm| comm.starts_with(&name)))
}

/// The legs' addresses are behind the wires, not on them.
fn believe_sources() -> Result<(), Failure> {
    set("ipv4/conf/all/rp_filter", "0")
}

fn set(key: &str, value: &str) -> Result<(), Failure> {
    fs::write(format!("/proc/sys/net/{key}"), value).map_err(|error| failed(format!("{key} cannot be set: {error}")))
}

fn run(program: &str, arguments: &[&str]) -> Result<(), Failure> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| failed(format!("{program}: {error}; {REMEDY}")))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(failed(format!("{program}: {}; {REMEDY}", said.trim_end()))) }
}
