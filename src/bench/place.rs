//! Where packets pass: on a loopback interface or over wires, in network namespaces of this bench's own where that is allowed, so that nobody
//! else's rules and packets are in it.
//! Not here: who is at the two ends (`rtp`) and between them (`server`).

use super::wire::Wire;
use super::{failed, table};
use crate::daemon::Failure;
use nix::sched::{CloneFlags, unshare};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;

/// Packets that come over a wire at the same moment: a trunk's come as its sender's timer has them.
const BURST: u32 = 32;

/// Where everybody is.
pub(super) enum Place {
    /// All on one interface.
    Loopback {
        /// Whether nobody else is there: only then may rules and programs be put into it.
        alone: bool,
    },
    /// The generator at one end, the server at the other.
    Wire(Wire),
}

impl Place {
    /// Goes to a network namespace of its own, with all that this thread starts from now on; says so if that is not allowed.
    pub(super) fn loopback() -> Place {
        let alone = table::is_installed("ip", "-V") && unshare(CloneFlags::CLONE_NEWNET).is_ok();
        let alone = alone && ip("link set lo up").is_ok();
        if !alone {
            println!("not measured: the kernel's own way and its NAT; they take root and the Debian package iproute2");
        }
        Place::Loopback { alone }
    }

    /// The same with wires, whose interfaces wait so many microseconds for more; the server's CPU takes what comes to it.
    pub(super) fn wire(cpu: Option<usize>, moderation: u32) -> Result<Place, Failure> {
        Wire::lay(cpu, moderation).map(Place::Wire)
    }

    /// Whether rules and programs may be put into it.
    pub(super) fn is_our_own(&self) -> bool {
        match self {
            Place::Loopback { alone } => *alone,
            Place::Wire(_) => true,
        }
    }

    /// Whether packets come over wires.
    pub(super) fn is_wired(&self) -> bool {
        matches!(self, Place::Wire(_))
    }

    /// The address of a server: each has another, which is 2, 3 or 4.
    pub(super) fn server(&self, number: u8) -> Ipv4Addr {
        match self {
            Place::Loopback { .. } => Ipv4Addr::new(127, 0, 0, number),
            Place::Wire(_) => Wire::server(number),
        }
    }

    /// A leg's IP address, the caller's (0) or the client's (1): each has another.
    pub(super) fn leg(&self, session: u16, side: usize) -> Ipv4Addr {
        let [high, low] = (session + 1).to_be_bytes();
        match self {
            Place::Loopback { .. } => Ipv4Addr::new(127, if side == 0 { 1 } else { 2 }, high, low),
            Place::Wire(_) => Wire::leg(side, [high, low]),
        }
    }

    /// How many packets come at the same moment.
    pub(super) fn burst(&self) -> u32 {
        match self {
            Place::Loopback { .. } => 1,
            Place::Wire(_) => BURST,
        }
    }

    /// The kernel's threads whose time is the server's.
    pub(super) fn receivers(&self) -> &[u32] {
        match self {
            Place::Loopback { .. } => &[],
            Place::Wire(wire) => wire.receivers(),
        }
    }

    /// The callers' and the clients'.
    pub(super) fn sockets(&self) -> Result<[UdpSocket; 2], Failure> {
        let any = || UdpSocket::bind("0.0.0.0:0").map_err(|error| failed(format!("no socket for audio: {error}")));
        match self {
            Place::Loopback { .. } => Ok([any()?, any()?]),
            Place::Wire(wire) => wire.sockets(),
        }
    }
}

/// Does what `ip` of iproute2 does, in this thread's namespace.
pub(super) fn ip(arguments: &str) -> Result<(), Failure> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output =
        output.map_err(|error| failed(format!("ip {arguments}: {error}; the Debian package iproute2 has it")))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(failed(format!("ip {arguments}: {}", said.trim_end()))) }
}
