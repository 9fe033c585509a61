//! Packets of the test's own making, and what a wire carries: IP with whatever header a test wants, sent past the sender's own stack, and
//! every frame that reaches the telephones' interface.
//! Not here: the relay (`stage`).

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// An Ethernet header's length.
const ETHERNET: usize = 14;
/// `ETH_P_ALL`.
const ALL: u16 = 3;
const UDP: u8 = 17;
/// Extension headers (RFC 8200 §4): a fragment's, and options for the destination.
const FRAGMENT: u8 = 44;
const OPTIONS: u8 = 60;
const DO_NOT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;

/// A version of IP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Version {
    Four,
    Six,
}

impl Version {
    /// How many bits of an address.
    pub(crate) fn bits(self, of_four: u8, of_six: u8) -> u8 {
        if self == Version::Four { of_four } else { of_six }
    }

    /// What has an address be there at once: over IPv6 others are asked first whether it is theirs (RFC 4862 §5.4).
    pub(crate) fn at_once(self) -> &'static str {
        if self == Version::Four { "" } else { " nodad" }
    }
}

/// How a datagram is dressed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dress {
    /// Options that say nothing (RFC 791; RFC 8200 §4.6).
    pub(crate) options: bool,
    /// Cut in two.
    pub(crate) fragments: bool,
    /// A UDP checksum of 0.
    pub(crate) without_checksum: bool,
}

/// What sends datagrams in anybody's name, over IPv4 and over IPv6.
pub(crate) struct Forger([Socket; 2]);

impl Forger {
    /// For the network namespace of this thread.
    pub(crate) fn new() -> Forger {
        let raw = |domain| Socket::new(domain, Type::RAW, Some(Protocol::from(255))).unwrap();
        let four = raw(Domain::IPV4);
        four.set_header_included_v4(true).unwrap();
        Forger([four, raw(Domain::IPV6)])
    }

    pub(crate) fn send(&self, source: SocketAddr, destination: SocketAddr, payload: &[u8], dress: Dress) {
        let udp = udp(source, destination, payload, dress);
        let parts = if dress.fragments {
            vec![(0, &udp[..24], true), (3, &udp[24..], false)]
        } else {
            vec![(0, &udp[..], false)]
        };
        for (offset, part, more) in parts {
            let packet = match (source.ip(), destination.ip()) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    let flags = if more { MORE_FRAGMENTS } else { 0 } | offset;
                    let flags = if dress.fragments { flags } else { DO_NOT_FRAGMENT };
                    ip4(source, destination, flags, part, dress.options)
                }
                (IpAddr::V6(source), IpAddr::V6(destination)) => {
                    let extension = if dress.fragments {
                        // The offset is in the upper thirteen bits, whether there is more in the lowest one (RFC 8200 §4.5).
                        let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
                        Some((FRAGMENT, [UDP, 0, high, low, 0, 0, 0x77, 0x77]))
                    } else {
                        dress.options.then_some((OPTIONS, [UDP, 0, 1, 4, 0, 0, 0, 0]))
                    };
                    ip6(source, destination, extension, part)
                }
                (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => panic!("of two versions"),
            };
            // The port of such a socket's peer is the protocol, if it is any.
            self.0[usize::from(source.is_ipv6())]
                .send_to(&packet, &SockAddr::from(SocketAddr::new(destination.ip(), 0)))
                .unwrap();
        }
    }
}

fn ip4(source: Ipv4Addr, destination: Ipv4Addr, flags: u16, payload: &[u8], options: bool) -> Vec<u8> {
    let header = if options { 24 } else { 20 };
    let length = u16::try_from(header + payload.len()).unwrap().to_be_bytes();
    let first = 0x40 | u8::try_from(header / 4).unwrap();
    let mut packet = vec![first, 0, length[0], length[1], 0x77, 0x77, 0, 0, 64, UDP, 0, 0];
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

/// With a flow label, which says nothing of how the packet goes on.
fn ip6(source: Ipv6Addr, destination: Ipv6Addr, extension: Option<(u8, [u8; 8])>, payload: &[u8]) -> Vec<u8> {
    let (next, extension) = extension.map_or((UDP, vec![]), |(next, octets)| (next, octets.to_vec()));
    let [high, low] = u16::try_from(extension.len() + payload.len()).unwrap().to_be_bytes();
    let head = [0x60, 0x07, 0x77, 0x77, high, low, next, 64];
    [&head[..], &source.octets(), &destination.octets(), &extension, payload].concat()
}

fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8], dress: Dress) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let checksum = if dress.without_checksum { 0 } else { checksum(source, destination, payload) };
    [&[source.port(), destination.port(), length, checksum].map(u16::to_be_bytes).concat()[..], payload].concat()
}

/// That of UDP (RFC 768), which is never left out here: 0 stays 0.
pub(crate) fn checksum(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> u16 {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let head = [source.port(), destination.port(), length, 0].map(u16::to_be_bytes).concat();
    !sum(&[&pseudo_header(source.ip(), destination.ip(), length)[..], &head, payload].concat())
}

fn pseudo_header(source: IpAddr, destination: IpAddr, length: u16) -> Vec<u8> {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    [&octets(source)[..], &octets(destination), &[0, UDP], &length.to_be_bytes()].concat()
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
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    /// The octets of the IP header that say how it is to be carried: class, flags and offset (of IPv4), hops. Not the flow label, which the
    /// kernel draws for each socket.
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
        let protocol = Protocol::from(i32::from(ALL.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).unwrap();
        socket.set_recv_buffer_size(1 << 20).unwrap();
        Watcher(socket)
    }

    /// The next datagram from one of these addresses; `None` if there is none for so long. Fails if one is not in order.
    pub(crate) fn next(&self, from: &[IpAddr], patience: Duration) -> Option<Seen> {
        let mut frame = [0; 2_048];
        self.0.set_read_timeout(Some(patience)).unwrap();
        loop {
            let length = (&self.0).read(&mut frame).ok()?;
            let (head, packet) = frame[..length].split_first_chunk::<ETHERNET>().unwrap();
            if let Some(seen) = read(packet, from) {
                let (stations, _) = head.split_first_chunk().unwrap();
                return Some(Seen { stations: *stations, ..seen });
            }
        }
    }
}

/// `None`: it is no datagram, or not from one of these.
fn read(packet: &[u8], from: &[IpAddr]) -> Option<Seen> {
    let octets = |at: usize| packet[at..].first_chunk::<16>().copied().unwrap_or_default();
    let version_four = |at: usize| IpAddr::from([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
    let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let (source, destination, head, length, carriage) = match (packet.first()? >> 4, packet.len()) {
        (4, 28..) if packet[0] == 0x45 && packet[9] == UDP => {
            assert_eq!(sum(&packet[..20]), 0xFFFF, "the header's checksum");
            let carriage = [packet[1], packet[6], packet[7], packet[8]];
            (version_four(12), version_four(16), 20, usize::from(word(2)) - 20, carriage)
        }
        (6, 48..) if packet[6] == UDP => {
            let carriage = [packet[0] << 4 | packet[1] >> 4, 0, 0, packet[7]];
            (IpAddr::from(octets(8)), IpAddr::from(octets(24)), 40, usize::from(word(4)), carriage)
        }
        _ => return None,
    };
    if !from.contains(&source) {
        return None;
    }
    assert_eq!(usize::from(word(head + 4)), length, "the lengths");
    let pseudo = pseudo_header(source, destination, word(head + 4));
    let whole = sum(&[&pseudo[..], &packet[head..head + length]].concat());
    let checksum = word(head + 6);
    // Valid, none, or left to the interface: then it is the sum of what is not in the packet itself. IPv6 knows no "none" (RFC 8200 §8.1).
    let is_none = checksum == 0 && head == 20;
    assert!((whole == 0xFFFF && checksum != 0) || is_none || checksum == sum(&pseudo), "the checksum {checksum:04x}");
    Some(Seen {
        source: SocketAddr::new(source, word(head)),
        destination: SocketAddr::new(destination, word(head + 2)),
        carriage,
        stations: [0; 12],
        payload: packet[head + 8..head + length].to_vec(),
    })
}
