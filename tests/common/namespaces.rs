//! Three network namespaces of the test's own: one for callers and clients, one for the daemon, one for a stranger, who has no part in
//! the calls. SIP may go over two wires whose other ends are here, for the test to join as it likes; everything else goes over wires of
//! its own. The daemon's host believes any source address on any wire, as one behind a careless network would.
//! Not here: what joins the two (`impairment`), and what the stranger does.
//!
//! ```text
//!  callers:  sip0 10.77.1.1 ──── end 0 ┄┄┄ the test ┄┄┄ end 1 ──── sip0 10.77.1.2  :the daemon
//!            clean0 10.77.2.1, 10.77.2.3 ───────────────────────── clean0 10.77.2.2
//!  stranger: far0 10.77.3.1 ────────────────────────────────────── far0 10.77.3.2
//! ```
#![allow(unsafe_code, reason = "neither std nor socket2 takes a thread into a namespace")]

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Tells one test's from another's of the same program.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// The namespaces; they end with this value.
pub(crate) struct Namespaces {
    /// Where callers and clients are.
    pub(crate) callers: String,
    /// Where the daemon is.
    pub(crate) daemon: String,
    /// Where whoever is that has no part in the calls.
    pub(crate) stranger: String,
    /// The wires' ends on this side.
    pub(crate) ends: [String; 2],
}

impl Namespaces {
    /// Makes them; `None`, and says so, where that is not allowed.
    pub(crate) fn make() -> Option<Namespaces> {
        let number = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let [callers, daemon, stranger] = ["c", "d", "s"].map(|side| format!("parkway-{side}-{number}"));
        if !ip(&format!("netns add {callers}")) {
            eprintln!("SKIPPED: `ip netns add` is not allowed here (it takes root, and the Debian package iproute2)");
            return None;
        }
        let ends = ["c", "d"].map(|side| format!("pw{side}{number}"));
        let namespaces = Namespaces { callers, daemon, stranger, ends };
        namespaces.furnish();
        Some(namespaces)
    }

    fn furnish(&self) {
        let Namespaces { callers, daemon, stranger, ends: [first, second] } = self;
        must(&format!("netns add {daemon}"));
        must(&format!("netns add {stranger}"));
        for namespace in [callers, daemon] {
            // No addresses of a link alone (RFC 4862 §5.3), which come a second or two after the link: then routes change in the midst of a test.
            Namespaces::within(namespace, || fs::write("/proc/sys/net/ipv6/conf/default/addr_gen_mode", "1").unwrap());
        }
        must(&format!("link add {first} type veth peer name sip0 netns {callers}"));
        must(&format!("link add {second} type veth peer name sip0 netns {daemon}"));
        must(&format!("-n {callers} link add clean0 type veth peer name clean0 netns {daemon}"));
        for (namespace, host) in [(callers, 1), (daemon, 2)] {
            for (device, network) in [("sip0", 1), ("clean0", 2)] {
                must(&format!("-n {namespace} addr add 10.77.{network}.{host}/24 dev {device}"));
                must(&format!("-n {namespace} link set {device} up"));
            }
            must(&format!("-n {namespace} link set lo up"));
        }
        must(&format!("-n {callers} addr add 10.77.2.3/24 dev clean0"));
        must(&format!("-n {stranger} link add far0 type veth peer name far0 netns {daemon}"));
        for (namespace, host) in [(stranger, 1), (daemon, 2)] {
            must(&format!("-n {namespace} addr add 10.77.3.{host}/24 dev far0"));
            must(&format!("-n {namespace} link set far0 up"));
        }
        must(&format!("-n {stranger} link set lo up"));
        must(&format!("-n {stranger} route add default via 10.77.3.2"));
        Namespaces::within(daemon, || {
            for device in ["all", "far0", "clean0"] {
                fs::write(format!("/proc/sys/net/ipv4/conf/{device}/rp_filter"), "0").unwrap();
            }
        });
        must(&format!("link set {first} up"));
        must(&format!("link set {second} up"));
    }

    /// What starts a program in a namespace.
    pub(crate) fn exec(namespace: &str) -> Vec<String> {
        ["ip", "netns", "exec", namespace].map(str::to_owned).to_vec()
    }

    /// Does some work on a thread of a namespace: sockets and threads that it opens are there, and stay there.
    pub(crate) fn within<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            let there = File::open(format!("/run/netns/{namespace}")).unwrap();
            // SAFETY: a system call with a descriptor that is open; it changes this thread alone.
            let entered = unsafe { libc::setns(there.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(entered, 0, "setns {namespace}: {}", std::io::Error::last_os_error());
            work()
        };
        let done = std::thread::scope(|scope| scope.spawn(inside).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // The wires go with them.
        for namespace in [&self.callers, &self.daemon, &self.stranger] {
            ip(&format!("netns del {namespace}"));
        }
    }
}

fn ip(arguments: &str) -> bool {
    let quiet = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet(Command::new("ip").args(arguments.split(' '))).is_ok_and(|status| status.success())
}

pub(crate) fn must(arguments: &str) {
    assert!(ip(arguments), "ip {arguments}");
}
