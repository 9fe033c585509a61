//! The relay with real sockets on loopback: fake phones, a sprayer, and what is left when all is over.
//! Nothing here asserts how long something takes; every wait ends.

mod hearing;
mod lines;
mod ports;
mod recording;

use super::*;
use crate::id::Side;
use crate::limits;
use crate::media::dtmf::KeyWriter;
use crate::media::header::Rtp;
use crate::media::tone::{self, FRAME_SAMPLES, Law, Sine};
use crate::media::{Closed, Codec, Digits, Line, Mapping, Reporting, RtcpPort, Sound, Stream, Trust};
use crate::time::Duration;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};

const WAIT: Duration = Duration::from_secs(20);
const FLOW: FlowId = FlowId(1);

/// A loopback address that no other process which runs these tests uses.
fn here() -> IpAddr {
    let [a, b, c, d] = std::process::id().to_be_bytes();
    IpAddr::from([127, 64 + (a ^ b) % 64, c, d])
}

/// What one test's relay is started with. Ports from 28,000 on are for tests that count on particular ones.
fn settings(workers: usize, port_min: u16, port_max: u16) -> RelaySettings {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let seed = [u8::try_from(STARTED.fetch_add(1, Ordering::Relaxed) % 256).unwrap(); 32];
    RelaySettings {
        workers,
        port_min,
        port_max,
        addresses: vec![here()],
        dscp: Some(46),
        coalesce: Duration::ZERO,
        kept_max: 1_000,
        sounds: sounds(),
        warnings: WarningTerms::default(),
        offload: None,
        recorder: None,
        seed,
    }
}

/// One sound of 1,000 Hz.
fn sounds() -> Arc<[Sound]> {
    let samples: Vec<i16> = Sine::new(1_000).take(8_000).collect();
    Arc::from([Sound::new(&samples).unwrap()])
}

fn start(workers: usize, port_min: u16, port_max: u16) -> (Relay, Receiver<Event>) {
    let (sender, receiver) = channel();
    let relay = Relay::start(settings(workers, port_min, port_max), move |event| drop(sender.send(event)));
    (relay.unwrap(), receiver)
}

fn open(relay: &Relay, events: &Receiver<Event>, flow: FlowId) -> (SocketAddr, SocketAddr) {
    relay.command(Command::Open { flow, caller_local: here(), client_local: here() });
    let event = events.recv_timeout(WAIT).unwrap();
    let Event::Opened { flow: opened, caller, client } = event else { panic!("{event:?}") };
    assert_eq!(opened, flow);
    (caller, client)
}

fn close(relay: &Relay, events: &Receiver<Event>, flow: FlowId) -> Closed {
    relay.command(Command::Close { flow });
    loop {
        if let Event::Closed { flow: closed, report } = events.recv_timeout(WAIT).unwrap() {
            assert_eq!(closed, flow);
            return *report;
        }
    }
}

/// Half a call: a socket that talks RTP with the relay.
struct Phone {
    socket: UdpSocket,
    relay: SocketAddr,
    rtp: Rtp,
    tone: Sine,
}

impl Phone {
    fn new(ip: &str, relay: SocketAddr, hz: u16) -> Phone {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        let rtp = Rtp { ssrc: u32::from(hz), sequence: 65_530, ..Rtp::default() };
        Phone { socket, relay, rtp, tone: Sine::new(hz) }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Signalling for this phone: PCMU both ways, telephone-event by `events` (here, there).
    fn stream(&self, events: (u8, u8)) -> Stream {
        let mapping = |(here, there), telephone_event| Mapping {
            here,
            there,
            clock_rate: 8_000,
            clock_rate_there: 8_000,
            telephone_event,
            codec: Codec::G711,
        };
        let address = self.address();
        Stream {
            line: Line::Audio,
            remote_rtp: Some(address),
            rtcp: RtcpPort::Own(Some(SocketAddr::new(address.ip(), address.port() ^ 1))),
            signalling: address.ip(),
            trust: Trust::Nothing,
            plays: None,
            payload_types: [mapping((0, 0), false), mapping(events, true)].into_iter().collect(),
            sends: true,
            silence_max: None,
            keys: None,
            recording: None,
            digits: Digits { reporting: Reporting::Tell, ..Digits::default() },
        }
    }

    fn send(&mut self, payload_type: u8, payload: &[u8]) {
        let mut out = [0; 200];
        self.rtp.sequence = self.rtp.sequence.wrapping_add(1);
        let rtp = Rtp { payload_type, ..self.rtp };
        let length = rtp.write(payload, &mut out).unwrap();
        self.socket.send_to(&out[..length], self.relay).unwrap();
    }

    fn talk(&mut self) {
        let mut octets = [0; FRAME_SAMPLES];
        self.tone.fill(Law::Mu, &mut octets);
        self.send(0, &octets);
        self.rtp.timestamp += 160;
    }

    fn hear(&self) -> (Rtp, Vec<u8>, SocketAddr) {
        let mut packet = [0; 1_500];
        let (length, source) = self.socket.recv_from(&mut packet).unwrap();
        let (rtp, payload) = Rtp::parse(&packet[..length]).unwrap();
        (rtp, payload.to_vec(), source)
    }

    /// Whether nothing at all has come.
    fn heard_nothing(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let nothing = self.socket.recv_from(&mut [0; 1_500]).is_err();
        self.socket.set_nonblocking(false).unwrap();
        nothing
    }
}

/// Two phones on an open flow, both told to the relay as themselves.
fn call(relay: &Relay, events: &Receiver<Event>) -> (Phone, Phone) {
    let (caller, client) = open(relay, events, FLOW);
    let (caller, client) = (Phone::new("127.0.0.2", caller, 440), Phone::new("127.0.0.3", client, 697));
    relay.command(Command::Set { flow: FLOW, side: Side::Caller, stream: caller.stream((101, 96)) });
    relay.command(Command::Set { flow: FLOW, side: Side::Client, stream: client.stream((96, 101)) });
    (caller, client)
}

/// Has both phones speak until the relay has validated both. What one says before the other is validated is lost.
fn introduce(events: &Receiver<Event>, caller: &mut Phone, client: &mut Phone) {
    for (phone, expect) in [(caller, Side::Caller), (client, Side::Client)] {
        phone.talk();
        phone.talk();
        let event = events.recv_timeout(WAIT).unwrap();
        let Event::Latched { side, peer, .. } = event else { panic!("{event:?}") };
        assert_eq!((side, peer), (expect, phone.address()));
    }
}

/// Sends until something comes out at the other end: then all that was sent to the port before has been dealt with.
/// Returns what came out; stragglers of the introduction are passed over.
fn cross(from: &mut Phone, to: &Phone) -> (Rtp, Vec<u8>, SocketAddr) {
    from.talk();
    loop {
        let heard = to.hear();
        if heard.0.sequence == from.rtp.sequence {
            return heard;
        }
    }
}

/// Waits until the only worker has begun two turns, of which the first deals with all that was sent before.
fn settle(relay: &Relay) {
    let deadline = std::time::Instant::now() + WAIT;
    for _ in 0..2 {
        let before = relay.heartbeats();
        while relay.heartbeats() == before {
            assert!(std::time::Instant::now() < deadline, "the worker is dead");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn two_phones_hear_each_other() {
    let (relay, events) = start(2, 20_000, 27_999);
    let (mut caller, mut client) = call(&relay, &events);
    introduce(&events, &mut caller, &mut client);
    cross(&mut caller, &client);
    cross(&mut client, &caller);
    let (mut from, mut to) = (caller, client);
    for hz in [440, 697] {
        let mut samples = Vec::new();
        for _ in 0..20 {
            from.talk();
            let (rtp, payload, source) = to.hear();
            assert_eq!((rtp.ssrc, rtp.sequence), (from.rtp.ssrc, from.rtp.sequence), "in order, untouched");
            assert_eq!(source, to.relay, "from the port that the SDP names");
            samples.extend(payload.iter().map(|&octet| Law::Mu.decode(octet)));
        }
        assert!(tone::dominant_hz(&samples).unwrap().abs_diff(hz) < 3);
        std::mem::swap(&mut from, &mut to);
    }
    let report = close(&relay, &events, FLOW);
    assert_eq!((report.caller.packets_received, report.client.packets_received), (23, 23));
    assert_eq!((report.caller.packets_lost, report.client.packets_lost), (0, 0));
}

#[test]
fn keys_cross_with_the_other_legs_payload_type_and_are_told() {
    let (relay, events) = start(1, 20_000, 27_999);
    let (mut caller, mut client) = call(&relay, &events);
    introduce(&events, &mut caller, &mut client);
    cross(&mut caller, &client);
    cross(&mut client, &caller);
    let (mut from, mut to) = (caller, client);
    for (key, here, there, expect) in [('7', 101, 96, Side::Caller), ('#', 96, 101, Side::Client)] {
        let step = Duration::from_millis(20);
        let start = from.rtp.timestamp;
        for packet in KeyWriter::new(key, start, 8_000, step, Duration::from_millis(100)).unwrap() {
            from.rtp.marker = packet.marker;
            from.send(here, &packet.payload);
            let (rtp, payload, _) = to.hear();
            assert_eq!((rtp.payload_type, rtp.marker), (there, packet.marker));
            assert_eq!(payload, packet.payload);
        }
        let event = events.recv_timeout(WAIT).unwrap();
        let Event::Dtmf { side, digit, duration_ms, .. } = event else { panic!("{event:?}") };
        assert_eq!((side, digit, duration_ms), (expect, key, 100));
        std::mem::swap(&mut from, &mut to);
    }
}

#[test]
fn a_phone_behind_a_nat_is_learned_and_a_sprayer_gets_not_one_byte() {
    let (relay, events) = start(2, 20_000, 27_999);
    let (caller_port, client_port) = open(&relay, &events, FLOW);
    let mut caller = Phone::new("127.0.0.2", caller_port, 440);
    let mut client = Phone::new("127.0.0.3", client_port, 697);
    let mut sprayers: Vec<Phone> = [caller_port, client_port]
        .iter()
        .flat_map(|port| [*port, SocketAddr::new(port.ip(), port.port() + 1)])
        .map(|port| Phone::new("127.0.0.66", port, 1_000))
        .collect();
    let mut spray = || sprayers.iter_mut().for_each(|sprayer| (0..5).for_each(|_| sprayer.talk()));

    spray(); // before anything was signalled
    // The client's SDP names an address of its own network; it is reached where its signalling comes from.
    let private = Some("10.9.8.7:4000".parse().unwrap());
    let behind_nat = Stream { remote_rtp: private, rtcp: RtcpPort::Own(private), ..client.stream((96, 101)) };
    relay.command(Command::Set { flow: FLOW, side: Side::Caller, stream: caller.stream((101, 96)) });
    relay.command(Command::Set { flow: FLOW, side: Side::Client, stream: behind_nat });
    spray(); // before either was heard
    introduce(&events, &mut caller, &mut client);
    spray(); // while they speak
    for _ in 0..3 {
        cross(&mut caller, &client);
        cross(&mut client, &caller);
        spray();
    }
    cross(&mut caller, &client);
    cross(&mut client, &caller);
    assert!(caller.heard_nothing() && client.heard_nothing(), "nothing was injected");
    let report = close(&relay, &events, FLOW);
    // The caller speaks from where its SDP says, so that after its first packet the kernel drops what others send; the client's own packets
    // were on trial once.
    assert_eq!((report.caller.dropped_source, report.client.dropped_source), (10, 31));
    assert!(sprayers.iter().all(Phone::heard_nothing));
}

/// Whether the kernel lets somebody else's packet through to a port; if not, the sender is told by ICMP.
fn lets_in(port: SocketAddr) -> bool {
    let stranger = UdpSocket::bind("127.0.0.66:0").unwrap();
    stranger.connect(port).unwrap();
    stranger.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    stranger.send(&[0x80; 172]).unwrap();
    let told = stranger.recv(&mut [0; 16]).unwrap_err().kind();
    assert!(matches!(told, io::ErrorKind::ConnectionRefused | io::ErrorKind::WouldBlock), "{told}");
    told == io::ErrorKind::WouldBlock
}

#[test]
fn a_port_is_open_to_others_only_while_it_is_not_certain_who_speaks() {
    let (relay, events) = start(1, 20_000, 27_999);
    let (mut caller, mut client) = call(&relay, &events);
    let (here, there) = (caller.relay, client.relay);
    assert!(lets_in(here) && lets_in(there), "nobody was heard");
    introduce(&events, &mut caller, &mut client);
    assert!(!lets_in(here) && !lets_in(there));
    // The caller moves: until it is heard from where it is now, what it was counts.
    let mut moved = Phone { rtp: caller.rtp, ..Phone::new("127.0.0.4", here, 440) };
    relay.command(Command::Set { flow: FLOW, side: Side::Caller, stream: moved.stream((101, 96)) });
    cross(&mut caller, &client);
    assert!(lets_in(here));
    moved.talk();
    assert!(matches!(events.recv_timeout(WAIT).unwrap(), Event::Latched { peer, .. } if peer == moved.address()));
    assert!(!lets_in(here) && !lets_in(there));
    cross(&mut moved, &client);
    cross(&mut client, &moved);
    caller.talk();
    settle(&relay);
    assert!(client.heard_nothing());
    // The client hands the call on: whoever comes is new.
    relay.command(Command::Clear { flow: FLOW, side: Side::Client });
    settle(&relay);
    assert!(lets_in(there) && !lets_in(here));
    close(&relay, &events, FLOW);
}

/// One phone stops to listen while the other sends it so many packets; then it listens again, and they hear each other.
fn talk_to_nobody(relay: &Relay, from: &mut Phone, to: Phone, packets: usize) {
    let (address, there, rtp, tone) = (to.address(), to.relay, to.rtp, to.tone);
    drop(to.socket);
    for _ in 0..packets {
        from.talk();
        settle(relay);
    }
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(WAIT)).unwrap();
    let mut to = Phone { socket, relay: there, rtp, tone };
    cross(from, &to);
    cross(&mut to, from);
}

#[test]
fn a_peer_that_does_not_listen_is_counted_and_heard_again_when_it_does() {
    let (relay, events) = start(1, 20_000, 27_999);
    let (mut caller, mut client) = call(&relay, &events);
    introduce(&events, &mut caller, &mut client);
    cross(&mut caller, &client);
    talk_to_nobody(&relay, &mut caller, client, 10);
    let report = close(&relay, &events, FLOW);
    assert!(report.client.refused >= 5, "{report:?}");
    assert_eq!((report.caller.refused, report.caller.dropped_unsent), (0, 0));
    assert_eq!(report.caller.packets_forwarded, 2 + 10);
}

#[test]
fn a_peer_behind_a_nat_that_does_not_listen_is_counted_too_though_its_socket_is_never_connected() {
    let (relay, events) = start(1, 20_000, 27_999);
    let (mut caller, mut client) = call(&relay, &events);
    let behind = Stream { remote_rtp: Some(SocketAddr::new(client.address().ip(), 9)), ..client.stream((96, 101)) };
    relay.command(Command::Set { flow: FLOW, side: Side::Client, stream: behind });
    introduce(&events, &mut caller, &mut client);
    cross(&mut caller, &client);
    assert!(lets_in(client.relay), "it may still be heard from where its SDP says");
    let there = client.relay;
    talk_to_nobody(&relay, &mut caller, client, 10);
    let report = close(&relay, &events, FLOW);
    assert_eq!((report.client.refused, report.client.unreachable), (10, 0));
    assert_eq!((report.caller.refused, report.caller.dropped_unsent, report.caller.packets_lost), (0, 0, 0));
    assert_eq!(report.client.local, Some(there));
}

#[test]
fn how_long_packets_stay_is_measured_on_some_flows() {
    let (relay, events) = start(1, 20_000, 27_999);
    let (mut caller, mut client) = call(&relay, &events);
    introduce(&events, &mut caller, &mut client);
    (0..20).for_each(|_| _ = cross(&mut caller, &client));
    caller.send(77, &[0; 160]);
    close(&relay, &events, FLOW);
    let deadline = std::time::Instant::now() + WAIT;
    while relay.delays().total() < 20 {
        assert!(std::time::Instant::now() < deadline, "{}", relay.delays().total());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!((20..=22).contains(&relay.delays().total()), "only what was sent on");
}

#[test]
fn what_is_said_of_a_leg_counts_for_the_next_packet_though_it_wakes_nobody() {
    let (relay, events) = start(1, 20_000, 27_999);
    let (mut caller, mut client) = call(&relay, &events);
    introduce(&events, &mut caller, &mut client);
    cross(&mut caller, &client);
    for sends in [false, true, false, true] {
        settle(&relay);
        let stream = Stream { sends, ..caller.stream((101, 96)) };
        relay.command(Command::Set { flow: FLOW, side: Side::Caller, stream });
        if sends {
            cross(&mut caller, &client);
            continue;
        }
        caller.talk();
        settle(&relay);
        assert!(client.heard_nothing());
    }
    relay.command(Command::Close { flow: FLOW });
    caller.talk();
    assert!(matches!(events.recv_timeout(WAIT).unwrap(), Event::Closed { .. }));
    assert!(client.heard_nothing(), "a closed flow forwards nothing more");
}

#[test]
fn a_burst_longer_than_a_turn_crosses_whole_and_in_order() {
    let (relay, events) = start(1, 20_000, 27_999);
    let (mut caller, mut client) = call(&relay, &events);
    introduce(&events, &mut caller, &mut client);
    cross(&mut caller, &client);
    let first = caller.rtp.sequence;
    let burst = u16::try_from(crate::limits::RELAY_BATCH_MAX + 8).unwrap();
    (0..burst).for_each(|_| caller.talk());
    for n in 1..=burst {
        assert_eq!(client.hear().0.sequence, first.wrapping_add(n));
    }
}

#[test]
fn where_packets_are_many_they_gather_and_none_is_lost_or_overtaken() {
    let (sender, events) = channel();
    let settings = RelaySettings { coalesce: Duration::from_millis(1), ..settings(1, 20_000, 27_999) };
    let relay = Relay::start(settings, move |event| drop(sender.send(event))).unwrap();
    let (mut caller, mut client) = call(&relay, &events);
    introduce(&events, &mut caller, &mut client);
    cross(&mut caller, &client);
    assert_eq!(relay.counts().gathering, 0, "a few packets go as they come");
    let deadline = std::time::Instant::now() + WAIT;
    let mut last = caller.rtp.sequence;
    let mut burst = |caller: &mut Phone| {
        (0..limits::RELAY_BATCH_MAX).for_each(|_| caller.talk());
        for _ in 0..limits::RELAY_BATCH_MAX {
            last = last.wrapping_add(1);
            assert_eq!(client.hear().0.sequence, last);
        }
    };
    while relay.counts().gathering == 0 {
        assert!(std::time::Instant::now() < deadline, "the packets do not gather");
        burst(&mut caller);
    }
    (0..20).for_each(|_| burst(&mut caller));
    while relay.counts().gathering == 1 {
        assert!(std::time::Instant::now() < deadline, "the packets gather for ever");
        settle(&relay);
    }
    let report = close(&relay, &events, FLOW);
    assert_eq!((report.caller.packets_lost, report.caller.dropped_unsent), (0, 0));
}

#[test]
fn rtcp_crosses_on_the_odd_ports() {
    let (relay, events) = start(1, 20_000, 27_999);
    let (mut caller, mut client) = call(&relay, &events);
    introduce(&events, &mut caller, &mut client);
    let [mut from, to] = [(&caller, "127.0.0.2"), (&client, "127.0.0.3")].map(|(phone, ip)| {
        let odd = SocketAddr::new(phone.relay.ip(), phone.relay.port() + 1);
        Phone::new(ip, odd, 1)
    });
    from.rtp.ssrc = caller.rtp.ssrc;
    let report = |ssrc: u32| [&[0x80, 201, 0, 1][..], &ssrc.to_be_bytes()].concat();
    to.socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    // The first reports may cross before the other end is known.
    let deadline = std::time::Instant::now() + WAIT;
    let mut packet = [0; 100];
    let (length, source) = loop {
        assert!(std::time::Instant::now() < deadline, "no report crossed");
        to.socket.send_to(&report(client.rtp.ssrc), to.relay).unwrap();
        from.socket.send_to(&report(from.rtp.ssrc), from.relay).unwrap();
        if let Ok(received) = to.socket.recv_from(&mut packet) {
            break received;
        }
    };
    assert_eq!((&packet[..length], source), (&report(caller.rtp.ssrc)[..], to.relay));
}

#[test]
fn every_workers_heart_beats() {
    let (relay, _events) = start(3, 20_000, 27_999);
    let first = relay.heartbeats();
    assert_eq!(first.len(), 3);
    let deadline = std::time::Instant::now() + WAIT;
    while relay.heartbeats().iter().zip(&first).any(|(later, first)| later <= first) {
        assert!(std::time::Instant::now() < deadline, "a worker is dead");
        std::thread::yield_now();
    }
}

#[test]
fn a_panic_costs_only_the_flow_it_happened_in() {
    let (sender, events) = channel();
    let relay = Relay::start(settings(1, 20_000, 27_999), move |event| {
        let latched = matches!(event, Event::Latched { flow: FlowId(2), .. });
        let _ = sender.send(event);
        assert!(!latched, "a fault for the test");
    })
    .unwrap();
    let (mut caller, mut client) = call(&relay, &events);
    let (poisoned, _) = open(&relay, &events, FlowId(2));
    let mut victim = Phone::new("127.0.0.4", poisoned, 1_000);
    relay.command(Command::Set { flow: FlowId(2), side: Side::Caller, stream: victim.stream((101, 96)) });
    relay.command(Command::Open { flow: FlowId(3), caller_local: here(), client_local: here() });
    assert!(matches!(events.recv_timeout(WAIT).unwrap(), Event::Opened { .. }), "so the stream is set");
    victim.talk();
    assert!(matches!(events.recv_timeout(WAIT).unwrap(), Event::Latched { flow: FlowId(2), .. }));
    assert!(matches!(events.recv_timeout(WAIT).unwrap(), Event::Failed { flow: FlowId(2), .. }));
    introduce(&events, &mut caller, &mut client);
    cross(&mut caller, &client);
    assert_eq!((relay.counts().flows, relay.counts().sockets), (2, 8));
}

#[test]
fn ipv6_and_ipv4_meet_in_one_flow() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return; // no IPv6 on this machine
    }
    let (sender, events) = channel();
    let six: IpAddr = "::1".parse().unwrap();
    let settings = RelaySettings { addresses: vec![here(), six], ..settings(1, 20_000, 27_999) };
    let relay = Relay::start(settings, move |event| drop(sender.send(event))).unwrap();
    relay.command(Command::Open { flow: FLOW, caller_local: here(), client_local: six });
    let Event::Opened { caller, client, .. } = events.recv_timeout(WAIT).unwrap() else { panic!("not opened") };
    let (mut caller, mut client) = (Phone::new("127.0.0.2", caller, 440), Phone::new("::1", client, 697));
    relay.command(Command::Set { flow: FLOW, side: Side::Caller, stream: caller.stream((101, 101)) });
    relay.command(Command::Set { flow: FLOW, side: Side::Client, stream: client.stream((101, 101)) });
    introduce(&events, &mut caller, &mut client);
    cross(&mut caller, &client);
    assert_eq!(cross(&mut client, &caller).2, caller.relay);
}

#[test]
fn any_thread_may_command_the_relay() {
    fn check<T: Send + Sync>() {}
    check::<Relay>();
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let good = RelaySettings { dscp: Some(63), ..settings(1, 30_000, 30_003) };
    assert!(good.check().is_ok());
    for (rule, settings) in [
        ("no_worker", RelaySettings { workers: 0, ..good.clone() }),
        ("no_pair", RelaySettings { port_min: 30_001, port_max: 30_002, ..good.clone() }),
        ("empty_range", RelaySettings { port_min: 30_003, port_max: 30_000, ..good.clone() }),
        ("no_address", RelaySettings { addresses: vec![], ..good.clone() }),
        ("any_address", RelaySettings { addresses: vec!["0.0.0.0".parse().unwrap()], ..good.clone() }),
        ("seven_bit_dscp", RelaySettings { dscp: Some(64), ..good.clone() }),
    ] {
        let error = Relay::start(settings, |_| {}).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{rule}");
    }
}
