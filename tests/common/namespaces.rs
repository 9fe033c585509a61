//! Two network namespaces of the test's own: one for callers and clients, one for the daemon. SIP between them goes over two wires
//! whose other ends are here, for the test to join as it likes; everything else goes over a wire of its own.
//! Not here: what joins the two (`impairment`).
//!
//! ```text
//!  callers:  sip0 10.77.1.1 ──── end 0 ┄┄┄ the test ┄┄┄ end 1 ──── sip0 10.77.1.2  :the daemon
//!            clean0 10.77.2.1 ──────────────────────────────────── clean0 10.77.2.2
//! ```

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Both namespaces; they end with this value.
pub(crate) struct Namespaces {
    /// Where callers and clients are.
    pub(crate) callers: String,
    /// Where the daemon is.
    pub(crate) daemon: String,
    /// The wires' ends on this side.
    pub(crate) ends: [String; 2],
}

impl Namespaces {
    /// Makes both; `None`, and says so, where that is not allowed.
    pub(crate) fn make() -> Option<Namespaces> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = format!("{}x{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let [callers, daemon] = ["c", "d"].map(|side| format!("parkway-{side}-{number}"));
        if !ip(&format!("netns add {callers}")) {
            eprintln!("SKIPPED: `ip netns add` is not allowed here (it takes root, and the Debian package iproute2)");
            return None;
        }
        let ends = ["c", "d"].map(|side| format!("pw{side}{number}"));
        let namespaces = Namespaces { callers, daemon, ends };
        namespaces.furnish();
        Some(namespaces)
    }

    fn furnish(&self) {
        let Namespaces { callers, daemon, ends: [first, second] } = self;
        must(&format!("netns add {daemon}"));
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
        must(&format!("link set {first} up"));
        must(&format!("link set {second} up"));
    }

    /// What starts a program in a namespace.
    pub(crate) fn exec(namespace: &str) -> Vec<String> {
        ["ip", "netns", "exec", namespace].map(str::to_owned).to_vec()
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // The wires go with them.
        for namespace in [&self.callers, &self.daemon] {
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
