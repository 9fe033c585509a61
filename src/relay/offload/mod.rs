//! The kernel's way: once both legs of a flow are certain, a program at the interfaces' ingress forwards their audio itself, so that a
//! packet of it wakes nobody (`program.c`). It does what the sockets would do or lets a packet pass on to them, so there is no second
//! behaviour, only a shorter path. The rules are in memory that is shared with it: to write or to read one takes no system call.
//! Not here: what there is a rule for (`media::forward`), and when it is written (`relay::bridge`).
//!
//! ```text
//!               a rule matches in every respect
//!  interface ─▶ program ──────────────────────────────▶ the other interface, or (loopback) on to the phone's socket
//!                  └─ all else: RTCP, keys, strangers ─▶ the stack ─▶ the relay's sockets
//! ```

mod lane;
mod routes;
mod table;

pub(super) use lane::Lane;
pub(super) use routes::Routes;

use crate::relay::RelaySettings;
use crate::relay::ports;
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};
use aya::{Ebpf, EbpfLoader};
use socket2::SockRef;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use table::{ADDRESSES_MAX, Table, words};

/// What clang made of `program.c`.
static PROGRAM: &[u8] = aya::include_bytes_aligned!("program.o");
/// Its loopback interface, in each network namespace.
const LOOPBACK: &str = "lo";
/// What is usual, where the host does not say it.
const HOPS: u32 = 64;

/// The program at its interfaces, and the rules that it follows. When this is dropped it is gone: the kernel keeps neither for a process
/// that has ended.
pub struct Offload {
    /// Holds the links.
    _program: Ebpf,
    table: Arc<Table>,
    interfaces: Vec<String>,
}

/// Why the kernel cannot be asked to forward anything.
#[derive(Debug)]
pub struct Refused(String);

impl Offload {
    /// Loads the program and puts it at the interfaces that have the relay's addresses, and at loopback. It takes CAP_BPF and CAP_NET_ADMIN,
    /// and Linux 6.6.
    pub fn start(settings: &RelaySettings) -> Result<Offload, Refused> {
        let addresses: Vec<IpAddr> = settings.addresses.iter().map(IpAddr::to_canonical).collect();
        if addresses.is_empty() || addresses.len() > ADDRESSES_MAX {
            return Err(Refused(format!("it takes one to {ADDRESSES_MAX} addresses to relay on")));
        }
        let pairs = || ports::pairs(settings.port_min..=settings.port_max);
        let (first, count) = (pairs().next().unwrap_or(0), u32::try_from(pairs().count()).unwrap_or(0));
        let refused = |what: &str, error: &dyn Error| Refused(format!("{what}: {}", reasons(error)));
        let mut program = load(&addresses, first, count, settings.dscp).map_err(|error| refused("program", &error))?;
        let rules = program.map("rules").ok_or_else(|| Refused("the program has no rules".into()))?;
        let table = Table::map(rules, addresses, first, count).map_err(|error| refused("rules", &error))?;
        let classifier: &mut SchedClassifier = program
            .program_mut("forward")
            .ok_or_else(|| Refused("there is no program".into()))?
            .try_into()
            .map_err(|error| refused("program", &error))?;
        classifier.load().map_err(|error| refused("program", &error))?;
        let interfaces = interfaces(&settings.addresses).map_err(|error| refused("interfaces", &error))?;
        for interface in &interfaces {
            // After the operator's own programs: what those let through is ours.
            let last = TcAttachOptions::TcxOrder(LinkOrder::default());
            let attached = classifier.attach_with_options(interface, TcAttachType::Ingress, last);
            attached.map_err(|error| refused(interface, &error))?;
        }
        Ok(Offload { _program: program, table: Arc::new(table), interfaces })
    }

    /// Where the program is.
    pub fn interfaces(&self) -> &[String] {
        &self.interfaces
    }

    /// The place of a leg's rule; `None` if there can be none for it.
    pub(super) fn lane(&self, local: SocketAddr) -> Option<Lane> {
        Lane::new(&self.table, local)
    }
}

impl fmt::Debug for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offload").field("interfaces", &self.interfaces).finish_non_exhaustive()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Refused {}

fn load(addresses: &[IpAddr], first: u16, pairs: u32, dscp: Option<u8>) -> Result<Ebpf, aya::EbpfError> {
    let (mut known, mut versions) = ([[0u32; 4]; ADDRESSES_MAX], [0u32; ADDRESSES_MAX]);
    known.iter_mut().zip(addresses).for_each(|(known, address)| *known = words(*address));
    versions.iter_mut().zip(addresses).for_each(|(version, address)| *version = if address.is_ipv4() { 4 } else { 6 });
    let entries = pairs.saturating_mul(u32::try_from(addresses.len()).unwrap_or(u32::MAX));
    // RFC 2474 §3: the DSCP is the upper six bits of the octet.
    let class = u32::from(dscp.unwrap_or(0)) << 2;
    EbpfLoader::new()
        .btf(None)
        .override_global("addresses", known.as_flattened(), true)
        .override_global("versions", &versions[..], true)
        .override_global("port_first", &u32::from(first), true)
        .override_global("pairs", &pairs, true)
        .override_global("class", &class, true)
        .override_global("hops4", &hops4(), true)
        .override_global("hops6", &hops6(), true)
        .map_max_entries("rules", entries)
        .load(PROGRAM)
}

/// The TTL that a socket of this host starts with.
fn hops4() -> u32 {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.ttl()).unwrap_or(HOPS)
}

/// The same of IPv6. Where a router has advertised another one for its link, this one is kept.
fn hops6() -> u32 {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0));
    socket.and_then(|socket| SockRef::from(&socket).unicast_hops_v6()).unwrap_or(HOPS)
}

/// Those that carry one of these addresses, and loopback.
fn interfaces(addresses: &[IpAddr]) -> std::io::Result<Vec<String>> {
    let all = if_addrs::get_if_addrs()?;
    let ours = all.into_iter().filter(|interface| addresses.contains(&interface.ip()));
    let mut routes = Routes::open()?;
    let ours = ours.filter(|interface| interface.index.is_some_and(|index| routes.is_ethernet(index)));
    let names: BTreeSet<String> = ours.map(|interface| interface.name).chain([LOOPBACK.to_owned()]).collect();
    Ok(names.into_iter().collect())
}

/// An error with what is behind it, on one line.
fn reasons(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text = format!("{text}: {error}");
        below = error.source();
    }
    // The verifier's log has many lines, of which the log of a daemon needs none.
    text.lines().next().unwrap_or_default().to_owned()
}
