//! Who stands between the two ends: Parkway with its calls made over SIP, rtpengine with its sessions, rules of the kernel, or nobody.
//! Not here: the packets.

use super::nat::Nat;
use super::parkway::Parkway;
use super::phones::Phones;
use super::place::Place;
use super::rtp::Ends;
use super::rtpengine::Rtpengine;
use super::secure::Suite;
use super::{failed, kernel, subscription};
use crate::daemon::Failure;
use crate::limits::BENCH_SESSIONS_MAX;
use std::net::Ipv4Addr;
use std::path::Path;
use tempfile::TempDir;

/// Whom we measure, in the order of the table and of a round: what the kernel forwards soon after nobody, from whose packets it is told apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Forwarder {
    /// There is nothing between the two ends.
    Nobody,
    /// Parkway: the kernel forwards by itself what Parkway told it (`media.offload`).
    Kernel,
    /// The kernel's NAT.
    Nat,
    /// Parkway's sockets: each packet as soon as it comes.
    AtOnce,
    /// Parkway's sockets: packets gather for a while.
    Gathering,
    /// As `AtOnce`, with each call recorded.
    Recorded,
    /// rtpengine in user space.
    Rtpengine,
}

impl Forwarder {
    /// As tables and plots call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Forwarder::Nobody => "nobody between",
            Forwarder::Kernel => "Parkway, media.offload",
            Forwarder::AtOnce => "Parkway, at once",
            Forwarder::Gathering => "Parkway, gathered",
            Forwarder::Recorded => "Parkway, recorded",
            Forwarder::Rtpengine => "rtpengine, user space",
            Forwarder::Nat => "nftables NAT",
        }
    }

    /// Whether packets go through a process whose highest rate is looked for; what the kernel forwards takes the generator's time, and what is
    /// recorded is measured for what it costs alone.
    pub(super) fn is_a_process(self) -> bool {
        matches!(self, Forwarder::AtOnce | Forwarder::Gathering | Forwarder::Rtpengine)
    }
}

/// How a server is started.
pub(super) struct Setting<'a> {
    pub(super) place: &'a Place,
    /// `parkway` itself.
    pub(super) program: &'a Path,
    /// The server's CPU, if it has one of its own.
    pub(super) cpu: Option<usize>,
    /// How long packets gather, microseconds, where they do.
    pub(super) coalesce: u32,
    /// How the clients' audio is protected, if it is; the callers' is plain.
    pub(super) suite: Option<Suite>,
}

/// A server with its sessions; it ends with this value.
pub(super) enum Server {
    Parkway {
        parkway: Parkway,
        phones: Box<Phones>,
        /// Where its recordings go, if there are any: as long as it runs.
        _recordings: Option<TempDir>,
    },
    Rtpengine(Rtpengine),
    Nat(Nat),
    Nobody,
}

impl Server {
    pub(super) fn start(forwarder: Forwarder, setting: &Setting<'_>) -> Result<Server, Failure> {
        let address = |number| setting.place.server(number);
        let start = |coalesce, offload, recordings: Option<TempDir>| {
            let parkway =
                start_parkway(setting, address(2), (coalesce, offload), recordings.as_ref().map(TempDir::path))?;
            let phones = Box::new(Phones::new(&parkway)?);
            Ok(Server::Parkway { parkway, phones, _recordings: recordings })
        };
        let parkway = |coalesce, offload| start(coalesce, offload, None);
        match forwarder {
            Forwarder::Kernel => parkway(0, "required"),
            Forwarder::AtOnce => parkway(0, "off"),
            Forwarder::Gathering => parkway(setting.coalesce, "off"),
            Forwarder::Recorded => start(0, "off", Some(directory("recordings")?)),
            Forwarder::Rtpengine => Ok(Server::Rtpengine(Rtpengine::start(setting.cpu, address(3).into())?)),
            Forwarder::Nat => Ok(Server::Nat(Nat::start(setting.place, address(4))?)),
            Forwarder::Nobody => Ok(Server::Nobody),
        }
    }

    /// Makes a session between two ends; says where each of them is to send its audio.
    pub(super) fn bridge(&mut self, session: u16, own: &Ends) -> Result<Ends, Failure> {
        match self {
            Server::Parkway { phones, .. } => phones.bridge(session, own),
            Server::Rtpengine(rtpengine) => rtpengine.bridge(session, own),
            Server::Nat(nat) => Ok(Ends { at: nat.bridge(session, own.at), key: None }),
            Server::Nobody => Ok(Ends { at: [own.at[1], own.at[0]], key: None }),
        }
    }

    /// All sessions are there.
    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        match self {
            Server::Nat(nat) => nat.settle(),
            Server::Parkway { .. } | Server::Rtpengine(_) | Server::Nobody => Ok(()),
        }
    }

    /// Its processes.
    pub(super) fn ids(&self) -> Vec<u32> {
        match self {
            Server::Parkway { parkway, .. } => vec![parkway.id()],
            Server::Rtpengine(rtpengine) => rtpengine.ids(),
            Server::Nat(_) | Server::Nobody => Vec::new(),
        }
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        self.ids().into_iter().map(kernel::memory_bytes).sum()
    }
}

/// A directory for something of a server's.
fn directory(what: &str) -> Result<TempDir, Failure> {
    TempDir::with_prefix("parkway-bench-").map_err(|error| failed(format!("no directory for {what}: {error}")))
}

/// With one relay thread, as there is one core for it, and all ports of an address that nobody else uses.
fn start_parkway(
    setting: &Setting<'_>,
    address: Ipv4Addr,
    (coalesce, offload): (u32, &str),
    recordings: Option<&Path>,
) -> Result<Parkway, Failure> {
    let directory = directory("a configuration")?;
    let file = directory.path().join("parkway.toml");
    std::fs::write(&file, subscription::configuration(1))
        .map_err(|error| failed(format!("cannot write {}: {error}", file.display())))?;
    let mut set = vec![
        "media.workers=1".to_owned(),
        "media.port_min=10000".to_owned(),
        "media.port_max=64999".to_owned(),
        format!("media.address={address}"),
        format!("media.coalesce_us={coalesce}"),
        format!("media.offload={offload}"),
        format!("media.srtp={}", if setting.suite.is_some() { "any" } else { "tls" }),
    ];
    if let Some(recordings) = recordings {
        set.push(format!("recording.directory={}", recordings.display()));
        let files_max = format!("recording.files_max={BENCH_SESSIONS_MAX}");
        // Nobody is told: what is measured are the clients' packets, one for one.
        let rest = ["park.record=both", "recording.announce=none", "recording.free_mb_min=0", &files_max];
        set.extend(rest.map(str::to_owned));
    }
    let file = file.display().to_string();
    let set = set.iter().flat_map(|set| ["--set", set.as_str()]);
    let arguments: Vec<&str> = ["--config", file.as_str()].into_iter().chain(set).collect();
    Parkway::start(setting.program, setting.cpu, &arguments)
}
