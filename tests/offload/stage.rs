//! A relay in one network namespace and two telephones in another, with a wire for each, or all of them on one loopback interface.
//! Not here: what happens there (the tests).

use crate::common::namespaces::{Namespaces, must};
use crate::common::until;
use crate::wire::{self, Dress, Forger, Seen, Version, Watcher};
use nix::sched::{CloneFlags, setns};
use parkway::id::{FlowId, Side};
use parkway::media::header::Rtp;
use parkway::media::{Closed, Codec, Command, Event, Line, Mapping, RtcpPort, Stream, Trust};
use parkway::relay::{Offload, Relay, RelaySettings};
use parkway::time;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

pub(crate) const WAIT: Duration = Duration::from_secs(20);
/// How long is waited for what must not come.
const QUIET: Duration = Duration::from_millis(40);
const FLOW: FlowId = FlowId(1);
/// The payload types of PCMU and of telephone-event, as the caller and the client call them.
pub(crate) const AUDIO: [u8; 2] = [0, 100];
pub(crate) const KEYS: [u8; 2] = [101, 96];

/// Where everybody is.
pub(crate) struct Place {
    _namespaces: Namespaces,
    homes: Homes,
    is_wired: bool,
    /// The caller's version of IP, and the client's.
    pub(crate) versions: [Version; 2],
    relay: [IpAddr; 2],
    phones: [SocketAddr; 2],
    /// Where the client moves to, and where a stranger is.
    pub(crate) moved: SocketAddr,
    pub(crate) stranger: SocketAddr,
}

/// The relay's network namespace and the telephones'.
struct Homes {
    relay: String,
    phones: String,
}

/// The addresses of one wire.
fn on_wire(version: Version, network: u8, host: u8, port: u16) -> SocketAddr {
    let ip: IpAddr = match version {
        Version::Four => Ipv4Addr::new(10, 77, network, host).into(),
        Version::Six => Ipv6Addr::new(0xFD77, network.into(), 0, 0, 0, 0, 0, host.into()).into(),
    };
    SocketAddr::new(ip, port)
}

/// Those of a loopback interface, which has one of IPv6 unless it is given more.
fn on_loopback(version: Version, host: u8, port: u16) -> SocketAddr {
    match version {
        Version::Four => SocketAddr::new(Ipv4Addr::new(127, 0, 0, host).into(), port),
        Version::Six => on_wire(version, 127, host, port),
    }
}

/// Waits until wires are up and addresses may be used: those of IPv6 may not be at once, even where nobody is asked for them.
fn await_network(namespace: &str) {
    let shown = |words: &[&str]| {
        let shown = process::Command::new("ip").args(["-n", namespace]).args(words).output().unwrap();
        String::from_utf8(shown.stdout).unwrap()
    };
    // A wire's news that it is there comes up to a second late, and then the relay takes its rules back, as it should.
    until("the wires", WAIT, || {
        let links = shown(&["-o", "link", "show", "type", "veth"]);
        links.lines().all(|link| link.contains(" state UP ")).then_some(())
    });
    until("the addresses", WAIT, || shown(&["-6", "addr", "show", "tentative"]).is_empty().then_some(()));
}

impl Place {
    /// Two wires between two namespaces, the caller's and the client's; `None`, and says so, where that is not allowed.
    pub(crate) fn wires(versions: [Version; 2]) -> Option<Place> {
        let namespaces = Namespaces::make()?;
        let Namespaces { callers, daemon, .. } = &namespaces;
        must(&format!("-n {callers} link add extra0 type veth peer name extra0 netns {daemon}"));
        for (namespace, network, host, device) in [
            (callers, 13, 1, "extra0"),
            (daemon, 13, 2, "extra0"),
            (callers, 13, 9, "extra0"),
            (callers, 2, 66, "clean0"),
            (callers, 2, 1, "clean0"),
            (daemon, 2, 2, "clean0"),
        ] {
            let version = versions[usize::from(network == 13)];
            must(&format!("-n {namespace} link set {device} up"));
            // Neighbours are asked for from there (RFC 4861 §7.2.2).
            if version == Version::Six && host <= 2 {
                must(&format!("-n {namespace} addr add fe80::{host}/64 dev {device} nodad"));
            }
            let is_there = version == Version::Four && device == "clean0" && host != 66;
            if !is_there {
                let address = on_wire(version, network, host, 0).ip();
                must(&format!(
                    "-n {namespace} addr add {address}/{} dev {device}{}",
                    version.bits(24, 64),
                    version.at_once()
                ));
            }
        }
        for namespace in [callers, daemon] {
            await_network(namespace);
        }
        let at = |network, host, port| on_wire(versions[usize::from(network == 13)], network, host, port);
        Some(Place {
            homes: Homes { relay: daemon.clone(), phones: callers.clone() },
            _namespaces: namespaces,
            is_wired: true,
            versions,
            relay: [at(2, 2, 0).ip(), at(13, 2, 0).ip()],
            phones: [at(2, 1, 4_000), at(13, 1, 5_000)],
            moved: at(13, 9, 5_000),
            stranger: at(2, 66, 4_000),
        })
    }

    /// Everybody on the loopback interface of one namespace.
    pub(crate) fn loopback(version: Version) -> Option<Place> {
        let namespaces = Namespaces::make()?;
        let at = |host, port| on_loopback(version, host, port);
        if version == Version::Six {
            for host in [2, 11, 12, 13, 66] {
                must(&format!("-n {} addr add {}/128 dev lo nodad", namespaces.daemon, at(host, 0).ip()));
            }
        }
        await_network(&namespaces.daemon);
        Some(Place {
            homes: Homes { relay: namespaces.daemon.clone(), phones: namespaces.daemon.clone() },
            _namespaces: namespaces,
            is_wired: false,
            versions: [version; 2],
            relay: [at(2, 0).ip(), at(2, 0).ip()],
            phones: [at(11, 4_000), at(12, 5_000)],
            moved: at(13, 5_000),
            stranger: at(66, 4_000),
        })
    }
}

impl Place {
    /// Has the way to the client lead over the caller's wire, or takes that back.
    pub(crate) fn detour(&self, verb: &str) {
        let [caller, client] = self.phones.map(|phone| phone.ip());
        let bits = self.versions[1].bits(32, 128);
        must(&format!("-n {} route {verb} {client}/{bits} via {caller}", self.homes.relay));
    }

    /// Adds or deletes a policy of IPsec, for addresses of nobody here.
    pub(crate) fn policy(&self, verb: &str) {
        must(&format!("-n {} xfrm policy {verb} src 10.99.1.1 dst 10.99.1.2 dir out", self.homes.relay));
    }
}

/// Does something on a thread in a network namespace: what is opened there stays there.
fn within<T: Send>(namespace: &str, deed: impl FnOnce() -> T + Send) -> T {
    let inside = || {
        setns(File::open(format!("/var/run/netns/{namespace}")).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
        deed()
    };
    std::thread::scope(|scope| scope.spawn(inside).join().unwrap())
}

/// One telephone.
pub(crate) struct Phone {
    pub(crate) at: SocketAddr,
    pub(crate) rtp: Rtp,
    /// The relay's port for it.
    relay: SocketAddr,
}

/// All of them, and a flow between two.
pub(crate) struct Stage {
    pub(crate) relay: Relay,
    pub(crate) events: Receiver<Event>,
    pub(crate) phones: [Phone; 2],
    sources: [IpAddr; 2],
    /// Everybody's RTP and RTCP sockets.
    sockets: Vec<(SocketAddr, UdpSocket)>,
    forger: Forger,
    watcher: Option<Watcher>,
    /// All that has come from the relay.
    pub(crate) heard: Vec<Seen>,
    /// What it has told but for the flow's beginning and end.
    pub(crate) told: Vec<String>,
}

/// The side's place in pairs.
fn at(side: Side) -> usize {
    usize::from(side == Side::Client)
}

impl Stage {
    /// Opens a flow between the two telephones and has both speak until they are known. `None`, and says so, where the kernel lets nobody.
    pub(crate) fn start(place: &Place, offload: bool) -> Option<Stage> {
        let Place { homes, relay: [near, far], phones: [caller, client], .. } = place;
        let mut settings = RelaySettings {
            workers: 1,
            port_min: 20_000,
            port_max: 20_999,
            addresses: if near == far { vec![*near] } else { vec![*near, *far] },
            dscp: Some(46),
            coalesce: time::Duration::ZERO,
            kept_max: 0,
            sounds: Arc::from([]),
            warnings: parkway::media::WarningTerms::default(),
            offload: None,
            recorder: None,
            seed: [7; 32],
        };
        let (sender, events) = channel();
        let started = within(&homes.relay, || {
            if offload {
                settings.offload = Some(Arc::new(Offload::start(&settings)?));
            }
            Ok(Relay::start(settings, move |event| drop(sender.send(event))).unwrap())
        });
        let relay = started
            .map_err(|refused: parkway::relay::Refused| eprintln!("SKIPPED: {refused} (it takes Linux 6.6 and root)"))
            .ok()?;
        relay.command(Command::Open { flow: FLOW, caller_local: *near, client_local: *far });
        let Event::Opened { caller: here, client: there, .. } = events.recv_timeout(WAIT).unwrap() else {
            panic!("not opened")
        };
        let phone = |at, relay, ssrc| {
            let rtp = Rtp { ssrc, sequence: 65_500, timestamp: 160, ..Rtp::default() };
            Phone { at, relay, rtp }
        };
        let mut stage = within(&homes.phones, || Stage {
            phones: [phone(*caller, here, 0x1111_1111), phone(*client, there, 0x2222_2222)],
            relay,
            events,
            sources: [*near, *far],
            sockets: [*caller, *client, place.moved, place.stranger].into_iter().flat_map(sockets).collect(),
            forger: Forger::new(),
            watcher: place.is_wired.then(Watcher::new),
            heard: Vec::new(),
            told: Vec::new(),
        });
        stage.introduce(offload);
        Some(stage)
    }

    fn introduce(&mut self, offload: bool) {
        for side in [Side::Caller, Side::Client] {
            self.set(side, self.phones[at(side)].at, true);
        }
        for side in [Side::Caller, Side::Client] {
            self.talk(side);
            let event = self.events.recv_timeout(WAIT).unwrap();
            assert!(matches!(event, Event::Latched { side: latched, .. } if latched == side), "{event:?}");
        }
        self.hear();
        self.talk(Side::Caller);
        self.hear();
        if offload {
            self.await_offload();
        }
    }

    /// Waits until the kernel forwards by itself.
    pub(crate) fn await_offload(&self) {
        until("the kernel forwards", WAIT, || (self.relay.counts().offloaded == 1).then_some(()));
    }

    /// Lets the relay look after its rules, as it does five times a second.
    pub(crate) fn rest(&self) {
        for _ in 0..5 {
            let before = self.relay.heartbeats();
            until("a turn of the worker", WAIT, || (self.relay.heartbeats() != before).then_some(()));
        }
    }

    /// What signalling says of a side.
    pub(crate) fn set(&self, side: Side, address: SocketAddr, sends: bool) {
        let mapping = |types: [u8; 2], telephone_event| {
            let [here, there] = if side == Side::Caller { types } else { [types[1], types[0]] };
            Mapping { here, there, clock_rate: 8_000, clock_rate_there: 8_000, telephone_event, codec: Codec::Other }
        };
        let stream = Stream {
            line: Line::Audio,
            remote_rtp: Some(address),
            rtcp: RtcpPort::Own(Some(beside(address))),
            signalling: address.ip(),
            trust: Trust::Nothing,
            plays: None,
            payload_types: [mapping(AUDIO, false), mapping(KEYS, true)].into_iter().collect(),
            sends,
            silence_max: None,
            keys: None,
            recording: None,
            digits: parkway::media::Digits::default(),
        };
        self.relay.command(Command::Set { flow: FLOW, side, stream });
    }

    /// Whoever was on a side is gone.
    pub(crate) fn clear(&self, side: Side) {
        self.relay.command(Command::Clear { flow: FLOW, side });
    }

    /// Ends the flow; what the record says of it, but for what depends on the time.
    pub(crate) fn close(&mut self) -> Closed {
        self.relay.command(Command::Close { flow: FLOW });
        loop {
            let event = self.events.recv_timeout(WAIT).unwrap();
            let Event::Closed { mut report, .. } = event else {
                self.told.push(format!("{event:?}"));
                continue;
            };
            for leg in [&mut report.caller, &mut report.client] {
                (leg.jitter_ms, leg.jitter_ms_max, leg.mos, leg.mos_heard) = (0.0, 0.0, None, None);
                (leg.timing, leg.reported) = Default::default();
            }
            return *report;
        }
    }

    /// A side's next packet of audio.
    pub(crate) fn audio(&mut self, side: Side) -> Vec<u8> {
        let rtp = &mut self.phones[at(side)].rtp;
        (rtp.sequence, rtp.timestamp) = (rtp.sequence.wrapping_add(1), rtp.timestamp.wrapping_add(160));
        let octet = u8::try_from(rtp.sequence % 256).unwrap();
        packet(&Rtp { payload_type: AUDIO[at(side)], ..*rtp }, &[octet; 160])
    }

    /// A side says its next packet.
    pub(crate) fn talk(&mut self, side: Side) {
        let packet = self.audio(side);
        self.say(side, &packet);
    }

    /// A side sends this to its RTP port.
    pub(crate) fn say(&self, side: Side, packet: &[u8]) {
        let phone = &self.phones[at(side)];
        self.send(phone.at, phone.relay, packet);
    }

    /// The same to its RTCP port.
    pub(crate) fn report(&self, side: Side, packet: &[u8]) {
        let phone = &self.phones[at(side)];
        self.send(beside(phone.at), beside(phone.relay), packet);
    }

    /// Somebody else sends this to a side's RTP port.
    pub(crate) fn intrude(&self, side: Side, from: SocketAddr, packet: &[u8]) {
        self.send(from, self.phones[at(side)].relay, packet);
    }

    /// A side sends a packet in a dress of its own.
    pub(crate) fn say_dressed(&self, side: Side, packet: &[u8], dress: Dress) {
        let phone = &self.phones[at(side)];
        self.forger.send(phone.at, phone.relay, packet, dress);
    }

    fn send(&self, from: SocketAddr, to: SocketAddr, packet: &[u8]) {
        self.socket(from).send_to(packet, to).unwrap();
    }

    fn socket(&self, at: SocketAddr) -> &UdpSocket {
        self.sockets.iter().find_map(|(address, socket)| (*address == at).then_some(socket)).unwrap()
    }

    /// The UDP checksum of what goes from the relay to a side.
    pub(crate) fn checksum_to(&self, side: Side, packet: &[u8]) -> u16 {
        let phone = &self.phones[at(side)];
        wire::checksum(phone.relay, phone.at, packet)
    }

    /// Waits for what comes from the relay next, on the wire and at a telephone's socket.
    pub(crate) fn hear(&mut self) -> &Seen {
        let seen = self.next(WAIT).expect("something comes from the relay");
        self.heard.push(seen);
        self.heard.last().unwrap()
    }

    /// A side says its next packet, which comes out at the other.
    pub(crate) fn cross(&mut self, side: Side) -> &Seen {
        self.talk(side);
        self.hear()
    }

    /// Fails if something comes from the relay.
    pub(crate) fn hear_nothing(&self) {
        assert_eq!(self.next(QUIET), None);
    }

    fn next(&self, patience: Duration) -> Option<Seen> {
        let mut packet = [0; 2_048];
        let received = |destination: SocketAddr, socket: &UdpSocket, packet: &mut [u8]| {
            let (length, source) = socket.recv_from(packet).ok()?;
            Some(Seen { source, destination, carriage: [0; 4], stations: [0; 12], payload: packet[..length].to_vec() })
        };
        if let Some(watcher) = &self.watcher {
            let seen = watcher.next(&self.sources, patience)?;
            let socket = self.socket(seen.destination);
            socket.set_nonblocking(false).unwrap();
            let arrived = received(seen.destination, socket, &mut packet).expect("what is on the wire arrives");
            assert_eq!((arrived.source, &arrived.payload), (seen.source, &seen.payload));
            return Some(seen);
        }
        let deadline = std::time::Instant::now() + patience;
        loop {
            for (destination, socket) in &self.sockets {
                socket.set_nonblocking(true).unwrap();
                if let Some(seen) = received(*destination, socket, &mut packet) {
                    return Some(seen);
                }
            }
            if std::time::Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The bytes of a packet.
pub(crate) fn packet(rtp: &Rtp, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 12 + payload.len()];
    rtp.write(payload, &mut packet).unwrap();
    packet
}

/// The RTCP port beside an RTP port.
fn beside(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port() + 1)
}

fn sockets(at: SocketAddr) -> [(SocketAddr, UdpSocket); 2] {
    [at, beside(at)].map(|at| {
        let socket = UdpSocket::bind(at).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        (at, socket)
    })
}
