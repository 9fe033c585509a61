//! An attacker of media: a thread in a namespace of its own that sends what looks like audio to every port of the relay, from its own
//! address and from forged ones. Each payload that it sends bears a mark.
//! Not here: what must not come of it.

use super::namespaces::Namespaces;
use super::talker::{MARK, rtp};
use parkway::rng::Rng;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Packets a second.
const RATE: u64 = 100_000;
/// So many above 1,023 are forged: all below those that the kernel gives to who has the right ones.
const FORGED_PORTS: u32 = 30_000;
/// IPPROTO_RAW: the IP header is in the packet.
const RAW: i32 = 255;
/// RFC 768.
const UDP: u8 = 17;

/// A leg that is known to the attacker, as to one who reads all of the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leg {
    /// The relay's port for it.
    pub(crate) port: u16,
    /// Its own address.
    pub(crate) peer: SocketAddrV4,
    /// Its source.
    pub(crate) ssrc: u32,
    /// Whether its packets are authenticated.
    pub(crate) srtp: bool,
}

/// What the attacker is told while it sprays.
#[derive(Default)]
pub(crate) struct Known {
    /// All legs there are.
    pub(crate) legs: Mutex<Vec<Leg>>,
    /// The number of the legs' next packets.
    pub(crate) sequence: AtomicU16,
    /// Whether all legs were heard: then plain RTP is also copied number by number under a forged IP address, which before would be
    /// what a NAT's new port looks like.
    pub(crate) latched: AtomicBool,
    /// How many were sent.
    pub(crate) sent: AtomicU64,
    over: AtomicBool,
}

/// A running attacker.
pub(crate) struct Sprayer {
    known: Arc<Known>,
    thread: Option<JoinHandle<()>>,
}

impl Sprayer {
    /// Begins to spray all these ports of the relay, from the namespace of a stranger.
    pub(crate) fn start(namespaces: &Namespaces, relay: Ipv4Addr, ports: RangeInclusive<u16>) -> (Sprayer, Arc<Known>) {
        let known = Arc::new(Known::default());
        let own = Namespaces::within(&namespaces.stranger, || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
        let forger = Forger::bind(namespaces);
        let rng = Rng::from_seed([9; 32]);
        let mut spray = Spray { own, forger, relay, ports, known: Arc::clone(&known), rng, number: 0 };
        let thread = std::thread::spawn(move || spray.run());
        (Sprayer { known: Arc::clone(&known), thread: Some(thread) }, known)
    }
}

impl Drop for Sprayer {
    fn drop(&mut self) {
        self.known.over.store(true, Ordering::Relaxed);
        self.thread.take().into_iter().for_each(|thread| _ = thread.join());
    }
}

/// UDP datagrams that came to a namespace, whoever they were for.
pub(crate) fn datagrams_received(namespace: &str) -> u64 {
    counted(namespace, &["InDatagrams", "NoPorts", "InErrors"])
}

/// UDP datagrams for which a socket of a namespace had no room: whoever reads it had no time.
pub(crate) fn overflows(namespace: &str) -> u64 {
    counted(namespace, &["RcvbufErrors", "SndbufErrors"])
}

/// The sum of some of the kernel's counters of UDP (RFC 1213's and its own).
fn counted(namespace: &str, wanted: &[&str]) -> u64 {
    let text = Namespaces::within(namespace, || fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let all = names.split(' ').zip(values.split(' '));
    all.filter(|(name, _)| wanted.contains(name)).map(|(_, value)| value.parse::<u64>().unwrap()).sum()
}

/// Sends from any address.
pub(crate) struct Forger(Socket);

impl Forger {
    /// From the namespace of a stranger.
    pub(crate) fn bind(namespaces: &Namespaces) -> Forger {
        let raw = || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW))).unwrap();
        Forger(Namespaces::within(&namespaces.stranger, raw))
    }

    /// Sends a datagram as though it came from there.
    pub(crate) fn send(&self, source: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) {
        let _ = self.0.send_to(&datagram(source, to, payload), &SockAddr::from(SocketAddr::V4(to)));
    }
}

struct Spray {
    own: UdpSocket,
    forger: Forger,
    relay: Ipv4Addr,
    ports: RangeInclusive<u16>,
    known: Arc<Known>,
    rng: Rng,
    number: u64,
}

impl Spray {
    fn run(&mut self) {
        let start = Instant::now();
        while !self.known.over.load(Ordering::Relaxed) {
            let due = u64::try_from(start.elapsed().as_micros()).unwrap() * RATE / 1_000_000;
            let legs = self.known.legs.lock().unwrap().clone();
            // What a busy machine has missed is not made up for in a burst that no link would carry.
            for _ in self.number..due.min(self.number + RATE / 500) {
                self.send_next(&legs);
                self.number += 1;
            }
            self.known.sent.store(self.number, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kinds in equal parts, each from its own address, from the right one's other ports, and, where that must not help, from
    /// the right address.
    fn send_next(&mut self, legs: &[Leg]) {
        let (kind, way) = (self.number % 3, self.number / 3 % 4);
        let chosen = u64::from(self.rng.below(u32::MAX));
        let known = legs.get(usize::try_from(chosen % u64::try_from(legs.len().max(1)).unwrap()).unwrap());
        let swept =
            self.ports.start() + u16::try_from(self.number / 12 % u64::try_from(self.ports.len()).unwrap()).unwrap();
        // A copy is of a leg that there is; the others sweep all ports.
        let port = known.filter(|_| kind == 1).map_or(swept, |leg| leg.port);
        let leg = legs.iter().find(|leg| leg.port == port & !1);
        let forged_port = 1_024 + u16::try_from(self.rng.below(FORGED_PORTS)).unwrap();
        let source = match (way, leg) {
            (0 | 1, _) | (_, None) => None,
            (2, Some(leg)) => Some(SocketAddrV4::new(*leg.peer.ip(), forged_port)),
            (_, Some(leg)) if leg.srtp => Some(leg.peer),
            (_, Some(leg)) => Some(SocketAddrV4::new(*leg.peer.ip(), forged_port)),
        };
        let may_copy = source.is_none() || self.known.latched.load(Ordering::Relaxed) || leg.is_none_or(|leg| leg.srtp);
        let packet = match kind {
            1 if may_copy => self.copy(leg),
            2 => self.noise(),
            _ => self.stray(),
        };
        let to = SocketAddrV4::new(self.relay, port);
        match source {
            None => _ = self.own.send_to(&packet, to),
            Some(source) => self.forger.send(source, to, &packet),
        }
    }

    /// RTP of nobody.
    fn stray(&mut self) -> Vec<u8> {
        let sequence = u16::try_from(self.rng.below(65_536)).unwrap();
        rtp(self.rng.below(u32::MAX), sequence, &MARK.repeat(10))
    }

    /// What the leg is about to say, as far as one can know.
    fn copy(&mut self, leg: Option<&Leg>) -> Vec<u8> {
        let sequence = self.known.sequence.load(Ordering::Relaxed);
        leg.map_or_else(|| self.stray(), |leg| rtp(leg.ssrc, sequence, &MARK.repeat(10)))
    }

    /// A STUN request, a receiver report, a goodbye, or nothing that anybody knows.
    fn noise(&mut self) -> Vec<u8> {
        let head: &[u8] = match self.rng.below(4) {
            0 => &[0x00, 0x01, 0x00, 0x10, 0x21, 0x12, 0xA4, 0x42],
            1 => &[0x80, 201, 0x00, 0x05],
            2 => &[0x81, 203, 0x00, 0x05],
            _ => &[0xFF; 8],
        };
        let source = self.rng.below(u32::MAX).to_be_bytes();
        [head, &source, &MARK].concat()
    }
}

/// An IPv4 datagram with UDP in it (RFC 791 §3.1, RFC 768). The kernel fills in the checksum of the header; UDP's may be left out.
fn datagram(source: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let udp_length = u16::try_from(8 + payload.len()).unwrap();
    let total = (20 + udp_length).to_be_bytes();
    let ip = [0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, UDP, 0, 0];
    let (from, there) = (source.ip().octets(), to.ip().octets());
    let udp = [source.port(), to.port(), udp_length, 0].map(u16::to_be_bytes);
    [&ip[..], &from, &there, udp.as_flattened(), payload].concat()
}
