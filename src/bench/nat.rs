//! The kernel's own NAT (nftables) as what Parkway's way through the kernel is compared with: each session is a pair of ports of an address,
//! what comes to one of them leaves from the other. It knows nothing of RTP. Rules are asked for the first packet of a leg; for the others
//! conntrack remembers the answer, and rewrites both addresses and both ports of each.
//! Not here: load.

use super::place::Place;
use super::rtp::Session;
use super::{failed, table};
use crate::daemon::Failure;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::{Command, Stdio};

const TABLE: &str = "parkway_bench";
const PORT_MIN: u16 = 10_000;

/// Rules in this network namespace; they end with this value.
pub(super) struct Nat {
    address: Ipv4Addr,
    /// Elements of the maps that the kernel does not know yet: to tell it of each session alone takes longer than the sessions do.
    untold: String,
}

impl Nat {
    /// Whether it is installed; says so if it is not.
    pub(super) fn is_installed() -> bool {
        table::is_installed("nft", "--version")
    }

    /// No session yet.
    pub(super) fn start(place: &Place, address: Ipv4Addr) -> Result<Nat, Failure> {
        // What is sent on this host passes no `prerouting` before it is routed.
        let hook = if place.is_wired() { "prerouting" } else { "output" };
        nft(&format!(
            "table ip {TABLE} {{\n\
             map targets {{ type inet_service : ipv4_addr . inet_service; }}\n\
             map origins {{ type ipv4_addr : ipv4_addr . inet_service; }}\n\
             chain to {{ type nat hook {hook} priority -100;\n\
             ip daddr {address} meta l4proto udp dnat ip to udp dport map @targets; }}\n\
             chain from {{ type nat hook postrouting priority srcnat;\n\
             ct status dnat meta l4proto udp snat ip to ip daddr map @origins; }}\n}}"
        ))?;
        Ok(Nat { address, untold: String::new() })
    }

    /// Makes a session between two addresses; says where it takes what each of them sends.
    pub(super) fn bridge(&mut self, session: u16, [caller, client]: Session) -> Session {
        let first = PORT_MIN + 4 * session;
        let [for_caller, for_client] = [first, first + 2].map(|port| SocketAddrV4::new(self.address, port));
        for (here, there, peer) in [(for_caller, for_client, client), (for_client, for_caller, caller)] {
            let (port, (ip, peer_port), own) = (here.port(), (peer.ip(), peer.port()), self.address);
            let _ = writeln!(self.untold, "add element ip {TABLE} targets {{ {port} : {ip} . {peer_port} }}");
            let _ = writeln!(self.untold, "add element ip {TABLE} origins {{ {ip} : {own} . {} }}", there.port());
        }
        [for_caller, for_client]
    }

    /// All sessions are there.
    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        nft(&std::mem::take(&mut self.untold))
    }
}

impl Drop for Nat {
    fn drop(&mut self) {
        // If it cannot be taken away it ends with its network namespace.
        let _ = nft(&format!("delete table ip {TABLE}"));
    }
}

/// By way of a file: the sessions are more than a command line holds.
fn nft(commands: &str) -> Result<(), Failure> {
    let wrong = |what: String| failed(format!("nft does not take its rules: {what}"));
    let file = tempfile::NamedTempFile::new().map_err(|error| wrong(error.to_string()))?;
    std::fs::write(file.path(), commands).map_err(|error| wrong(error.to_string()))?;
    let output = Command::new("nft").arg("-f").arg(file.path()).stdout(Stdio::null()).output();
    let output = output.map_err(|error| wrong(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(wrong(said.lines().next().unwrap_or_default().to_owned())) }
}
