//! Packets of the test's own making, and what a wire carries: IPv4 with whatever header a test wants, sent past the sender's own stack,
//! and every frame that reaches the telephones' interface.
//! Not here: the relay (`stage`).

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

/// An Ethernet header's length.
const ETHERNET: usize = 14;
/// `ETH_P_IP`.
const IPV4: u16 = 0x0800;
const DO_NOT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;

/// How a datagram is dressed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dress {
    /// Four octets of no operation (RFC 791).
    pub(crate) options: bool,
    /// Cut in two.
    pub(crate) fragments: bool,
    /// A UDP checksum of 0.
    pub(crate) without_checksum: bool,
    /// A UDP checksum that is wrong.
    pub(crate) wrong_checksum: bool,
}

/// What sends datagrams in anybody's name.
pub(crate) struct Forger(Socket);

impl Forger {
    /// For the network namespace of this thread.
    pub(crate) fn new() -> Forger {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).unwrap();
        socket.set_header_included_v4(true).unwrap();
        Forger(socket)
    }

    pub(crate) fn send(&self, source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8], dress: Dress) {
        let udp = udp(source, destination, payload, dress);
        let parts = if dress.fragments {
            vec![(0, &udp[..24], true), (3, &udp[24..], false)]
        } else {
            vec![(0, &udp[..], false)]
        };
        for (offset, part, more) in parts {
            let flags = if more { MORE_FRAGMENTS } else { 0 } | offset;
            let flags = if dress.fragments { flags } else { DO_NOT_FRAGMENT };
            let packet = ip(*source.ip(), *destination.ip(), flags, part, dress.options);
            self.0.send_to(&packet, &SockAddr::from(SocketAddr::V4(destination))).unwrap();
        }
    }
}

fn ip(source: Ipv4Addr, destination: Ipv4Addr, flags: u16, payload: &[u8], options: bool) -> Vec<u8> {
    let header = if options { 24 } else { 20 };
    let length = u16::try_from(header + payload.len()).unwrap().to_be_bytes();
    let first = 0x40 | u8::try_from(header / 4).unwrap();
    let mut packet = vec![first, 0, length[0], length[1], 0x77, 0x77, 0, 0, 64, 17, 0, 0];
    packet[6..8].copy_from_slice(&flags.to_be_bytes());
    packet.extend(source.octets());
    packet.extend(destination.octets());
    if options {
        packet.extend([1, 1, 1, 1]);
    }
    let checksum = !sum(&packet);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(payload);
    packet
}

fn udp(source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8], dress: Dress) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let mut packet = [source.port(), destination.port(), length, 0].map(u16::to_be_bytes).concat();
    packet.extend(payload);
    let checksum = !sum(&[&pseudo_header(*source.ip(), *destination.ip(), length)[..], &packet].concat());
    let checksum = match dress {
        Dress { without_checksum: true, .. } => 0,
        Dress { wrong_checksum: true, .. } => checksum ^ 0x1111,
        _ => checksum,
    };
    packet[6..8].copy_from_slice(&checksum.to_be_bytes());
    packet
}

fn pseudo_header(source: Ipv4Addr, destination: Ipv4Addr, length: u16) -> Vec<u8> {
    [&source.octets()[..], &destination.octets(), &[0, 17], &length.to_be_bytes()].concat()
}

/// RFC 1071: the ones' complement sum of 16-bit words.
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0)));
    let mut total: u32 = words.sum();
    while total > 0xFFFF {
        total = (total & 0xFFFF) + (total >> 16);
    }
    u16::try_from(total).unwrap()
}

/// A datagram as it was on the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    /// The octets of the IP header that say how it is to be carried: class, flags and offset, hops.
    pub(crate) carriage: [u8; 4],
    /// Both addresses of the Ethernet header, by which one wire is told from the other.
    pub(crate) stations: [u8; 12],
    pub(crate) payload: Vec<u8>,
}

/// Sees all that comes to the interfaces of a network namespace.
pub(crate) struct Watcher(Socket);

impl Watcher {
    /// For the network namespace of this thread.
    pub(crate) fn new() -> Watcher {
        let protocol = Protocol::from(i32::from(IPV4.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).unwrap();
        socket.set_recv_buffer_size(1 << 20).unwrap();
        Watcher(socket)
    }

    /// The next datagram from one of these addresses; `None` if there is none for so long. Fails if one is not in order.
    pub(crate) fn next(&self, from: &[Ipv4Addr], patience: Duration) -> Option<Seen> {
        let mut frame = [0; 2_048];
        self.0.set_read_timeout(Some(patience)).unwrap();
        loop {
            let length = (&self.0).read(&mut frame).ok()?;
            let (head, packet) = frame[..length].split_first_chunk::<ETHERNET>().unwrap();
            if let Some(seen) = read(packet).filter(|seen| from.contains(seen.source.ip())) {
                let (stations, _) = head.split_first_chunk().unwrap();
                return Some(Seen { stations: *stations, ..seen });
            }
        }
    }
}

fn read(packet: &[u8]) -> Option<Seen> {
    if packet.len() < 28 || packet[0] != 0x45 || packet[9] != 17 {
        return None;
    }
    let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let address = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
    let (source, destination, total) = (address(12), address(16), usize::from(word(2)));
    assert_eq!(sum(&packet[..20]), 0xFFFF, "the header's checksum");
    assert_eq!(usize::from(word(24)), total - 20, "the lengths");
    let pseudo = pseudo_header(source, destination, word(24));
    let whole = sum(&[&pseudo[..], &packet[20..total]].concat());
    // Valid, none, or left to the interface: then it is the sum of what is not in the packet itself.
    assert!(whole == 0xFFFF || [0, sum(&pseudo)].contains(&word(26)), "the checksum {:04x}", word(26));
    Some(Seen {
        source: SocketAddrV4::new(source, word(20)),
        destination: SocketAddrV4::new(destination, word(22)),
        carriage: [packet[1], packet[6], packet[7], packet[8]],
        stations: [0; 12],
        payload: packet[28..total].to_vec(),
    })
}
