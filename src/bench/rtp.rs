//! Both ends of many sessions' audio: every leg sends a packet each 20 ms from an address of its own, evenly spread over time or in bursts,
//! and all that comes back is checked. One thread, which never waits.
//! Not here: how a session is made with a server.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of packets and legs are small, and RTP's wrap"
)]

use super::failed;
use super::place::Place;
use super::secure::{Master, Secure, Suite};
use crate::daemon::Failure;
use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

/// G.711 of 20 ms: 12 bytes of RTP header, 160 of sound.
const PACKET_BYTES: usize = 172;
/// PCMA (RFC 3551 §6).
const PAYLOAD_TYPE: u8 = 8;
/// Packets that are sent before what came back is taken.
const SENT_AT_ONCE: usize = 32;
/// How long after the last packet others may come back.
const PATIENCE: Duration = Duration::from_millis(300);
/// Of both sockets.
const BUFFER_BYTES: usize = 8 << 20;

/// Two addresses: the caller's, or for it, and the client's, or for it.
pub(super) type Session = [SocketAddrV4; 2];

/// Both ends of a session, or a server's for them.
pub(super) struct Ends {
    pub(super) at: Session,
    /// What protects the audio that goes out from there on the client's side, if it is protected.
    pub(super) key: Option<Master>,
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Packets a second, of all legs together.
    pub(super) rate: u32,
    /// How many of them are due at the same moment.
    pub(super) burst: u32,
    /// Packets of this time are not counted: addresses are validated in it.
    pub(super) warm_up: Duration,
    /// Packets of this time are counted.
    pub(super) measured: Duration,
}

/// What came of it.
pub(super) struct Outcome<L> {
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Of these, before the second look at the server.
    pub(super) in_time: u64,
    pub(super) faults: Faults,
    /// How long the generator took to send each that is counted, in order: on loopback, what the kernel did until it was in a socket is in it.
    pub(super) sending: Vec<Duration>,
    /// How late the generator was at most.
    pub(super) late: Duration,
    /// From one end to the other, in order.
    pub(super) transit: Vec<Duration>,
    /// The server before and after the counted packets.
    pub(super) looks: [L; 2],
}

/// Packets that no forwarder may make.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Faults {
    /// Came after a later one of the same leg.
    pub(super) reordered: u64,
    /// Is not what was sent.
    pub(super) corrupted: u64,
    /// Came from a port of another session, or from the wrong side.
    pub(super) misrouted: u64,
}

/// All legs: one socket for the callers, one for the clients.
pub(super) struct Audio<'a> {
    place: &'a Place,
    sockets: [UdpSocket; 2],
    /// A session's caller, its client, the next session's caller …
    legs: Vec<Leg>,
    /// The number of the next packet: legs go on where they were.
    next: u64,
}

/// One leg.
struct Leg {
    own: Ipv4Addr,
    /// Where the server takes what it says, and where all that it hears has to come from.
    server: SocketAddrV4,
    secure: Option<Secure>,
}

impl Audio<'_> {
    /// Nobody's yet.
    pub(super) fn new(place: &Place) -> Result<Audio<'_>, Failure> {
        let sockets = place.sockets()?;
        let prepared = sockets.iter().try_for_each(prepare);
        prepared.map_err(|error| failed(format!("a socket for audio does not go on without waiting: {error}")))?;
        Ok(Audio { place, sockets, legs: Vec::new(), next: 0 })
    }

    /// The legs of a session; their key is new.
    pub(super) fn own(&self, session: u16, suite: Option<Suite>) -> Result<Ends, Failure> {
        let mut at = [SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0); 2];
        for (side, (at, socket)) in at.iter_mut().zip(&self.sockets).enumerate() {
            let address = socket.local_addr().map_err(|error| failed(format!("a socket has no port: {error}")))?;
            *at = SocketAddrV4::new(self.place.leg(session, side), address.port());
        }
        Ok(Ends { at, key: suite.map(Master::draw).transpose()? })
    }

    /// The next session is there.
    pub(super) fn add(&mut self, own: &Ends, server: &Ends) -> Result<(), Failure> {
        let keys = own.key.as_ref().zip(server.key.as_ref());
        let secure = [None, keys.map(|(own, server)| Secure::new(own, server)).transpose()?];
        let legs = own.at.iter().zip(server.at).zip(secure);
        self.legs.extend(legs.map(|((own, server), secure)| Leg { own: *own.ip(), server, secure }));
        Ok(())
    }

    /// Sends and checks, as often as one likes; `look` is how the server is looked at.
    pub(super) fn run<L>(&mut self, plan: Plan, mut look: impl FnMut() -> L) -> Outcome<L> {
        let packets = |time: Duration| (time.as_secs_f64() * f64::from(plan.rate)) as u64;
        let first = self.next;
        let (uncounted, counted) = (first + packets(plan.warm_up), packets(plan.measured));
        let mut hearing = Hearing::new(self.legs.len(), uncounted);
        let pause = Duration::from_secs(1).div_f64(f64::from(plan.rate));
        let start = Instant::now();
        let burst = u64::from(plan.burst);
        let due = |packet: u64| start + pause.mul_f64(((packet - first) / burst * burst) as f64);
        let (mut next, mut before, mut late) = (first, look(), Duration::ZERO);
        let mut sending = Vec::with_capacity(counted as usize);
        while next < uncounted + counted {
            for _ in 0..SENT_AT_ONCE {
                let now = Instant::now();
                if next >= uncounted + counted || due(next) > now {
                    break;
                }
                if next == uncounted {
                    before = look();
                }
                late = if next < uncounted { Duration::ZERO } else { late.max(now - due(next)) };
                let took = self.send(next, start);
                if next >= uncounted {
                    sending.push(took);
                }
                next += 1;
            }
            self.take(start, &mut hearing);
        }
        self.next = next;
        let (after, in_time) = (look(), hearing.received);
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            self.take(start, &mut hearing);
        }
        let Hearing { received, faults, mut transit, .. } = hearing;
        transit.sort_unstable();
        sending.sort_unstable();
        Outcome { sent: counted, received, in_time, faults, sending, late, transit, looks: [before, after] }
    }

    /// Leg after leg, each with its own sequence; how long the kernel took.
    fn send(&mut self, number: u64, start: Instant) -> Duration {
        let legs = self.legs.len() as u64;
        let (at, sequence) = ((number % legs) as usize, number / legs);
        let Some((leg, socket)) = self.legs.get_mut(at).zip(self.sockets.get(at % 2)) else { return Duration::ZERO };
        let packet = packet(number, at, sequence, start.elapsed());
        // What cannot be protected is missed at the end.
        let sealed = leg.secure.as_mut().map(|secure| secure.protect(&packet).unwrap_or_default());
        let octets = sealed.as_deref().unwrap_or(&packet);
        let from = in_addr { s_addr: u32::from_ne_bytes(leg.own.octets()) };
        let source = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: from, ipi_addr: in_addr { s_addr: 0 } };
        let (to, parts) = (SockaddrIn::from(leg.server), [IoSlice::new(octets)]);
        let source = [ControlMessage::Ipv4PacketInfo(&source)];
        let begun = Instant::now();
        // What the kernel does not take is missed at the end.
        let _ = sendmsg(socket.as_raw_fd(), &parts, &source, MsgFlags::MSG_DONTWAIT, Some(&to));
        begun.elapsed()
    }

    /// Takes all that has come.
    fn take(&mut self, start: Instant, hearing: &mut Hearing) {
        let mut buffer = [0; 2 * PACKET_BYTES];
        for (side, socket) in self.sockets.iter().enumerate() {
            for _ in 0..4 * SENT_AT_ONCE {
                let Ok((length, source)) = socket.recv_from(&mut buffer) else { break };
                let packet = buffer.get(..length).unwrap_or_default();
                // What a leg says comes out of the other leg's port, and its number can be read whether or not the sound can.
                let hears = leg_of(packet).map(|leg| leg ^ 1).filter(|hears| hears % 2 == side);
                let hears = hears.and_then(|hears| self.legs.get_mut(hears));
                let hears = hears.filter(|leg| SocketAddr::V4(leg.server) == source);
                let (is_routed, secure) = hears.map_or((false, None), |leg| (true, leg.secure.as_mut()));
                let opened = secure.map(|secure| secure.open(packet).unwrap_or_default());
                hearing.hear(opened.as_deref().unwrap_or(packet), start.elapsed(), is_routed);
            }
        }
    }
}

fn prepare(socket: &UdpSocket) -> io::Result<()> {
    let reference = socket2::SockRef::from(socket);
    // The kernel gives what its own limit allows.
    let _ = (reference.set_recv_buffer_size(BUFFER_BYTES), reference.set_send_buffer_size(BUFFER_BYTES));
    socket.set_nonblocking(true)
}

/// What came back.
struct Hearing {
    /// Packets below this number are not counted.
    uncounted: u64,
    received: u64,
    faults: Faults,
    transit: Vec<Duration>,
    /// The latest number of each leg.
    latest: Vec<u64>,
}

impl Hearing {
    fn new(legs: usize, uncounted: u64) -> Hearing {
        let (latest, transit) = (vec![0; legs], Vec::with_capacity(1 << 20));
        Hearing { uncounted, received: 0, faults: Faults::default(), transit, latest }
    }

    fn hear(&mut self, packet: &[u8], now: Duration, is_routed: bool) {
        let Some((number, leg, sent)) = read(packet) else {
            self.faults.corrupted += 1;
            return;
        };
        let Some(latest) = self.latest.get_mut(leg).filter(|_| is_routed) else {
            self.faults.misrouted += 1;
            return;
        };
        self.faults.reordered += u64::from(number < *latest);
        *latest = number.max(*latest);
        if number >= self.uncounted {
            self.received += 1;
            self.transit.push(now.saturating_sub(sent));
        }
    }
}

/// RTP (RFC 3550 §5.1) whose sound is what is checked: packet number, leg, time, and a filler that follows from these.
fn packet(number: u64, leg: usize, sequence: u64, time: Duration) -> [u8; PACKET_BYTES] {
    let mut packet = [filler(number); PACKET_BYTES];
    packet[0] = 0x80;
    packet[1] = PAYLOAD_TYPE;
    packet[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
    packet[4..8].copy_from_slice(&(160 * sequence as u32).to_be_bytes());
    packet[8..12].copy_from_slice(&(leg as u32).to_be_bytes());
    packet[12..20].copy_from_slice(&number.to_be_bytes());
    packet[20..28].copy_from_slice(&(time.as_nanos() as u64).to_be_bytes());
    packet
}

/// Number, leg and time of a packet that is whole.
fn read(packet: &[u8]) -> Option<(u64, usize, Duration)> {
    let number = |from: usize| Some(u64::from_be_bytes(packet.get(from..from + 8)?.try_into().ok()?));
    let is_whole = packet.len() == PACKET_BYTES
        && packet.starts_with(&[0x80, PAYLOAD_TYPE])
        && packet.iter().skip(28).all(|byte| Some(*byte) == number(12).map(filler));
    is_whole.then_some((number(12)?, leg_of(packet)?, Duration::from_nanos(number(20)?)))
}

/// Which leg says it: its SSRC, which SRTP leaves as it is.
fn leg_of(packet: &[u8]) -> Option<usize> {
    Some(u32::from_be_bytes(packet.get(8..12)?.try_into().ok()?) as usize)
}

fn filler(number: u64) -> u8 {
    (number % 251) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a packet that is heard counts as: all but the first is heard after the leg's packet 100.
    #[test]
    fn what_is_heard_is_checked() {
        let good = packet(120, 3, 40, Duration::from_micros(7));
        let changed = |at: usize| {
            let mut packet = good;
            packet[at] ^= 1;
            packet.to_vec()
        };
        let none = Faults::default();
        for (what, heard, is_routed, received, faults) in [
            ("whole", good.to_vec(), true, 1, none),
            ("before what is counted", packet(110, 3, 40, Duration::ZERO).to_vec(), true, 0, none),
            ("late", packet(90, 3, 40, Duration::ZERO).to_vec(), true, 0, Faults { reordered: 1, ..none }),
            ("a bit of the sound", changed(171), true, 0, Faults { corrupted: 1, ..none }),
            ("a bit of the number", changed(19), true, 0, Faults { corrupted: 1, ..none }),
            ("the payload type", changed(1), true, 0, Faults { corrupted: 1, ..none }),
            ("cut", good[..171].to_vec(), true, 0, Faults { corrupted: 1, ..none }),
            ("nothing", Vec::new(), true, 0, Faults { corrupted: 1, ..none }),
            ("another's", good.to_vec(), false, 0, Faults { misrouted: 1, ..none }),
            ("nobody's", packet(120, 4, 40, Duration::ZERO).to_vec(), true, 0, Faults { misrouted: 1, ..none }),
        ] {
            let mut hearing = Hearing::new(4, 115);
            hearing.hear(&packet(100, 3, 39, Duration::ZERO), Duration::ZERO, true);
            hearing.hear(&heard, Duration::from_micros(9), is_routed);
            assert_eq!((hearing.received, hearing.faults), (received, faults), "{what}");
            assert_eq!(hearing.transit, vec![Duration::from_micros(2); usize::try_from(received).expect("small")]);
        }
    }
}
