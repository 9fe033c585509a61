//! Both ends of many sessions' audio: every leg sends a packet each 20 ms from an address of its own, evenly spread over time, and all that
//! comes back is checked. One thread, which never waits (PERF "How to measure").
//! Not here: how a session is made with a server.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of packets and legs are small, and RTP's wrap"
)]

use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

/// G.711 of 20 ms: 12 bytes of RTP header, 160 of sound.
pub(crate) const PACKET_BYTES: usize = 172;
/// PCMA (RFC 3551 §6).
const PAYLOAD_TYPE: u8 = 8;
/// Packets that are sent before what came back is taken.
const SENT_AT_ONCE: usize = 16;
/// How long after the last packet others may come back.
const PATIENCE: Duration = Duration::from_millis(300);
/// Of both sockets.
const BUFFER_BYTES: usize = 8 << 20;

/// Where the server takes a session's audio: from the caller, and from the client.
pub(crate) type Session = [SocketAddrV4; 2];

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Packets a second, of all legs together.
    pub(crate) rate: u32,
    /// Packets of this time are not counted: addresses are validated in it.
    pub(crate) warm_up: Duration,
    /// Packets of this time are counted.
    pub(crate) measured: Duration,
}

/// What came of it.
pub(crate) struct Outcome<L> {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Of these, before the second look at the server.
    pub(crate) in_time: u64,
    /// Came after a later one of the same leg.
    pub(crate) reordered: u64,
    /// Is not what was sent.
    pub(crate) corrupted: u64,
    /// Came from a port of another session, or from the wrong side.
    pub(crate) misrouted: u64,
    /// How long the generator took to send each that is counted, in order: on loopback, what the kernel did until it was in a socket is in it.
    pub(crate) sending: Vec<Duration>,
    /// How late the generator was at most.
    pub(crate) late: Duration,
    /// From one end to the other, in order.
    pub(crate) transit: Vec<Duration>,
    /// The server before and after the counted packets.
    pub(crate) looks: [L; 2],
}

/// All legs' sockets: one for the callers, one for the clients.
pub(crate) struct Audio {
    sockets: [UdpSocket; 2],
    sessions: Vec<Session>,
}

impl Audio {
    /// Nobody's yet.
    pub(crate) fn new() -> Audio {
        let socket = || {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("there is a free port");
            socket.set_nonblocking(true).expect("a socket can be told not to wait");
            let reference = socket2::SockRef::from(&socket);
            // The kernel gives what its own limit allows.
            let _ = (reference.set_recv_buffer_size(BUFFER_BYTES), reference.set_send_buffer_size(BUFFER_BYTES));
            socket
        };
        Audio { sockets: [socket(), socket()], sessions: Vec::new() }
    }

    /// Where a leg of a session is, the caller's (0) or the client's (1): every leg has another IP address.
    pub(crate) fn own(&self, session: usize, side: usize) -> SocketAddrV4 {
        let port = self.sockets[side].local_addr().expect("it is bound").port();
        SocketAddrV4::new(address(session, side), port)
    }

    /// A session is there.
    pub(crate) fn add(&mut self, session: Session) {
        self.sessions.push(session);
    }

    /// Sends and checks; `look` is how the server is looked at.
    pub(crate) fn run<L>(&self, plan: Plan, mut look: impl FnMut() -> L) -> Outcome<L> {
        let packets = |time: Duration| (time.as_secs_f64() * f64::from(plan.rate)) as u64;
        let (uncounted, counted) = (packets(plan.warm_up), packets(plan.measured));
        let mut hearing = Hearing::new(self.sessions.len(), uncounted);
        let pause = Duration::from_secs(1).div_f64(f64::from(plan.rate));
        let start = Instant::now();
        let due = |packet: u64| start + pause.mul_f64(packet as f64);
        let (mut next, mut before, mut late) = (0, None, Duration::ZERO);
        let mut sending = Vec::with_capacity(counted as usize);
        while next < uncounted + counted {
            for _ in 0..SENT_AT_ONCE {
                let now = Instant::now();
                if next >= uncounted + counted || due(next) > now {
                    break;
                }
                if next == uncounted {
                    before = Some(look());
                }
                late = if next < uncounted { Duration::ZERO } else { late.max(now - due(next)) };
                self.send(next, now - start);
                if next >= uncounted {
                    sending.push(now.elapsed());
                }
                next += 1;
            }
            self.take(start, &mut hearing);
        }
        let (after, in_time) = (look(), hearing.received);
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            self.take(start, &mut hearing);
        }
        let looks = [before.expect("some packets are counted"), after];
        let Hearing { received, reordered, corrupted, misrouted, mut transit, .. } = hearing;
        transit.sort_unstable();
        sending.sort_unstable();
        Outcome { sent: counted, received, in_time, reordered, corrupted, misrouted, sending, late, transit, looks }
    }

    /// Leg after leg, each with its own sequence.
    fn send(&self, number: u64, time: Duration) {
        let legs = 2 * self.sessions.len() as u64;
        let (leg, sequence) = ((number % legs) as usize, number / legs);
        let (session, side) = (leg / 2, leg % 2);
        let packet = packet(number, leg, sequence, time);
        let from = in_addr { s_addr: u32::from_ne_bytes(address(session, side).octets()) };
        let source = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: from, ipi_addr: in_addr { s_addr: 0 } };
        let (to, parts) = (SockaddrIn::from(self.sessions[session][side]), [IoSlice::new(&packet)]);
        let source = [ControlMessage::Ipv4PacketInfo(&source)];
        // What the kernel does not take is missed at the end.
        let _ = sendmsg(self.sockets[side].as_raw_fd(), &parts, &source, MsgFlags::MSG_DONTWAIT, Some(&to));
    }

    /// Takes all that has come.
    fn take(&self, start: Instant, hearing: &mut Hearing) {
        let mut buffer = [0; 2 * PACKET_BYTES];
        for (side, socket) in self.sockets.iter().enumerate() {
            for _ in 0..4 * SENT_AT_ONCE {
                let Ok((length, source)) = socket.recv_from(&mut buffer) else { break };
                let is_from = |leg: usize| {
                    // What a leg says comes out of the other leg's port.
                    leg % 2 != side
                        && self.sessions.get(leg / 2).is_some_and(|session| SocketAddr::V4(session[side]) == source)
                };
                hearing.hear(&buffer[..length], start.elapsed(), is_from);
            }
        }
    }
}

/// What came back.
struct Hearing {
    /// Packets below this number are not counted.
    uncounted: u64,
    received: u64,
    reordered: u64,
    corrupted: u64,
    misrouted: u64,
    transit: Vec<Duration>,
    /// The latest number of each leg.
    latest: Vec<u64>,
}

impl Hearing {
    fn new(sessions: usize, uncounted: u64) -> Hearing {
        let (latest, transit) = (vec![0; 2 * sessions], Vec::with_capacity(1 << 20));
        Hearing { uncounted, received: 0, reordered: 0, corrupted: 0, misrouted: 0, transit, latest }
    }

    fn hear(&mut self, packet: &[u8], now: Duration, is_from: impl Fn(usize) -> bool) {
        let Some((number, leg, sent)) = read(packet) else {
            self.corrupted += 1;
            return;
        };
        if !is_from(leg) {
            self.misrouted += 1;
            return;
        }
        let latest = &mut self.latest[leg];
        self.reordered += u64::from(number < *latest);
        *latest = number.max(*latest);
        if number >= self.uncounted {
            self.received += 1;
            self.transit.push(now.saturating_sub(sent));
        }
    }
}

/// A leg's IP address.
fn address(session: usize, side: usize) -> Ipv4Addr {
    let [high, low] = u16::try_from(session + 1).expect("fewer than 65,535 sessions").to_be_bytes();
    Ipv4Addr::new(127, if side == 0 { 1 } else { 2 }, high, low)
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
    let leg = u32::from_be_bytes(packet.get(8..12)?.try_into().ok()?);
    let is_whole = packet.len() == PACKET_BYTES
        && packet[..2] == [0x80, PAYLOAD_TYPE]
        && packet[28..].iter().all(|byte| Some(*byte) == number(12).map(filler));
    is_whole.then_some((number(12)?, leg as usize, Duration::from_nanos(number(20)?)))
}

fn filler(number: u64) -> u8 {
    (number % 251) as u8
}
