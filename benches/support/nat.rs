//! The kernel's own NAT (nftables) as what Parkway's way through the kernel is compared with: each session is a pair of ports of an address,
//! what comes to one of them leaves from the other. It knows nothing of RTP.
//! Not here: load.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;

const TABLE: &str = "parkway_bench";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);
const PORT_MIN: u16 = 10_000;

/// Rules in this network namespace; they end with this value.
pub(crate) struct Nat;

impl Nat {
    /// Whether it is installed; says so if it is not.
    pub(crate) fn is_installed() -> bool {
        super::is_installed("nft", "--version")
    }

    /// No session yet.
    pub(crate) fn start() -> Nat {
        nft(&format!(
            "table ip {TABLE} {{\n\
             map targets {{ type inet_service : ipv4_addr . inet_service; }}\n\
             map origins {{ type ipv4_addr : ipv4_addr . inet_service; }}\n\
             chain out {{ type nat hook output priority -100;\n\
             ip daddr {ADDRESS} meta l4proto udp dnat ip to udp dport map @targets; }}\n\
             chain post {{ type nat hook postrouting priority srcnat;\n\
             ct status dnat meta l4proto udp snat ip to ip daddr map @origins; }}\n}}"
        ));
        Nat
    }

    /// Makes a session between two addresses; says where it takes what each of them sends.
    pub(crate) fn bridge(&mut self, session: usize, [caller, client]: [SocketAddrV4; 2]) -> [SocketAddrV4; 2] {
        let first = PORT_MIN + 4 * u16::try_from(session).expect("there are ports for each session");
        let [for_caller, for_client] = [first, first + 2].map(|port| SocketAddrV4::new(ADDRESS, port));
        let mut elements = String::new();
        for (here, there, peer) in [(for_caller, for_client, client), (for_client, for_caller, caller)] {
            let (port, (ip, peer_port)) = (here.port(), (peer.ip(), peer.port()));
            elements += &format!("add element ip {TABLE} targets {{ {port} : {ip} . {peer_port} }}\n");
            elements += &format!("add element ip {TABLE} origins {{ {ip} : {ADDRESS} . {} }}\n", there.port());
        }
        nft(&elements);
        [for_caller, for_client]
    }
}

impl Drop for Nat {
    fn drop(&mut self) {
        nft(&format!("delete table ip {TABLE}"));
    }
}

fn nft(commands: &str) {
    let status = Command::new("nft").arg(commands).status();
    assert!(status.is_ok_and(|status| status.success()), "nft does not take\n{commands}");
}
