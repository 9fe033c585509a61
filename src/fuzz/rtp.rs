//! Any bytes as a script of what signalling says of two legs and of what comes to their ports: nothing is forwarded from or to an address that
//! signalling did not lead to, nor to one that was never heard; what is forwarded is what was received, but for the payload type and a key's duration.
//! Some scripts are of a fax, whose datagrams cross as they are.
//! Not here: after how many packets an address is believed (`media::latch`), sockets, SRTP (`srtp`).

use crate::id::{FlowId, Side};
use crate::media::header::{Rtp, is_rtcp, rtcp_sender};
use crate::media::{
    Codec, Counters, Digits, Event, Flow, Kind, Line, Mapping, Outcome, Packet, Reporting, RtcpPort, Stream, Trust,
    udptl,
};
use crate::time::{Duration, Instant};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Deeds of one script.
const STEPS_MAX: usize = 300;
/// Bytes that a deed takes as a packet.
const STRAY_BYTES_MAX: usize = 64;

/// Deeds of four bytes, some with a packet behind them.
pub fn rtp(bytes: &[u8]) {
    let line = if bytes.first().is_some_and(|first| first & 0x20 != 0) { Line::Fax } else { Line::Audio };
    let (mut bridge, mut rest) = (Bridge::new(line), bytes);
    for _ in 0..STEPS_MAX {
        let Some((&[deed, one, two, three], behind)) = rest.split_first_chunk() else { break };
        rest = behind;
        bridge.now = bridge.now + Duration::from_millis(three.into());
        let side = if deed & 0x80 == 0 { Side::Caller } else { Side::Client };
        let stray = &behind[..behind.len().min(STRAY_BYTES_MAX)];
        match deed % 8 {
            0 => bridge.set(side, one, two & 1 == 1),
            1 => bridge.clear(side),
            2..=4 if line == Line::Fax => bridge.receive_fax(side, one, &page(two, deed)),
            6 if line == Line::Fax => bridge.receive_fax(side, one, stray),
            2..=4 => bridge.receive(side, one, &speech(two, deed)),
            5 if deed & 0x40 == 0 => bridge.receive_rtcp(side, one, &report(deed)),
            5 if line == Line::Fax => bridge.receive_fax(side, one, &report(deed)),
            5 => bridge.receive(side, one, &report(deed)),
            6 => bridge.receive(side, one, stray),
            _ => bridge.receive_rtcp(side, one, stray),
        }
        bridge.settle();
    }
}

/// A flow, and what may become of packets by what was said and heard.
struct Bridge {
    flow: Flow,
    line: Line,
    now: Instant,
    caller: Leg,
    client: Leg,
}

/// What is known of one leg since whoever is on it came.
#[derive(Default)]
struct Leg {
    /// Addresses that signalling named or came from, by their IP addresses.
    known: Vec<IpAddr>,
    /// Where well-formed packets came from to its RTP port.
    heard_rtp: Vec<SocketAddr>,
    /// The same of its RTCP port.
    heard_rtcp: Vec<SocketAddr>,
    /// What signalling said last.
    stream: Option<Stream>,
    /// RTP packets, whatever they were.
    received: u64,
}

impl Bridge {
    fn new(line: Line) -> Bridge {
        let (flow, now) = (Flow::new(FlowId(1)), Instant(0));
        let mut bridge = Bridge { flow, line, now, caller: Leg::default(), client: Leg::default() };
        bridge.set(Side::Caller, 0, false);
        bridge.set(Side::Client, 0, false);
        bridge
    }

    fn set(&mut self, side: Side, choice: u8, is_muxed: bool) {
        let named = address(side, choice & 0x07);
        let signalling = address(side, choice >> 3 & 0x03).ip();
        let audio = Mapping {
            here: 0,
            there: 0,
            clock_rate: 8_000,
            clock_rate_there: 8_000,
            telephone_event: false,
            codec: Codec::Other,
        };
        let ((here, clock_rate), (there, clock_rate_there)) =
            if side == Side::Caller { ((101, 8_000), (96, 48_000)) } else { ((96, 48_000), (101, 8_000)) };
        let keys = Mapping { here, there, clock_rate, clock_rate_there, telephone_event: true, codec: Codec::Other };
        let wants = choice & 0x20 == 0;
        let stream = Stream {
            line: self.line,
            remote_rtp: wants.then_some(named),
            rtcp: if is_muxed { RtcpPort::Shared } else { RtcpPort::Own(wants.then(|| beside(named))) },
            signalling,
            trust: if choice & 0x40 == 0 { Trust::Nothing } else { Trust::Burst },
            plays: None,
            payload_types: [audio, keys].into_iter().collect(),
            sends: choice & 0x80 == 0,
            silence_max: Some(Duration::from_secs(1)),
            keys: None,
            recording: None,
            digits: Digits { reporting: Reporting::Tell, ..Digits::default() },
        };
        self.flow.set(self.now, side, stream.clone());
        let leg = self.leg(side);
        leg.known.extend([named.ip(), signalling].map(canonical));
        leg.stream = Some(stream);
    }

    fn clear(&mut self, side: Side) {
        self.flow.clear(self.now, side);
        let leg = self.leg(side);
        *leg = Leg { received: leg.received, ..Leg::default() };
    }

    fn receive(&mut self, side: Side, source: u8, packet: &[u8]) {
        let source = address(side, source);
        let mut sent = packet.to_vec();
        let outcome = self.flow.receive(self.now, side, source, &mut Packet::new(&mut sent, usize::MAX));
        if self.leg(side).is_muxed() && is_rtcp(packet) {
            self.check_report((side, Kind::Rtp), source, packet, &sent, outcome);
            return;
        }
        self.leg(side).received += 1;
        if Rtp::parse(packet).is_ok() {
            self.leg(side).heard_rtp.push(source);
        }
        let Outcome::Forward { to } = outcome else {
            assert_eq!(sent, packet, "what is dropped is left alone");
            return;
        };
        assert!(self.leg(side).knows(source), "{source} is nobody's");
        let other = self.leg(side.other());
        let named =
            other.stream.as_ref().filter(|stream| stream.trust == Trust::Burst).and_then(|stream| stream.remote_rtp);
        let validated = other.knows(to) && other.heard_rtp.contains(&to);
        assert!(validated || named == Some(to), "{to} was never heard");
        assert!(other.stream.as_ref().is_some_and(|stream| stream.remote_rtp.is_some()), "{to} wants nothing");
        let (before, after) = (Rtp::parse(packet).expect("it is RTP"), Rtp::parse(&sent).expect("it still is"));
        let stream = self.leg(side).stream.as_ref().expect("nothing comes of a leg that was not set");
        let mapping = stream.payload_types.iter().find(|mapping| mapping.here == before.0.payload_type);
        let mapping = mapping.expect("a payload type that was agreed on");
        assert!(stream.sends, "it may not send");
        let ((rtp, from), (sent_rtp, to)) = (before, after);
        if mapping.rescales() {
            let timestamp = sent_rtp.timestamp;
            assert_eq!(sent_rtp, Rtp { payload_type: mapping.there, timestamp, ..rtp });
            assert!(from.len() >= 4, "of an event without a duration nothing can be said");
            assert_eq!(
                (sent.len(), &to[..2], &to[4..]),
                (packet.len(), &from[..2], &from[4..]),
                "but for its duration"
            );
        } else {
            assert_eq!(sent_rtp, Rtp { payload_type: mapping.there, ..rtp });
            assert_eq!((sent.first(), sent.get(2..)), (packet.first(), packet.get(2..)), "all else is as it came");
        }
    }

    fn receive_fax(&mut self, side: Side, source: u8, datagram: &[u8]) {
        let source = address(side, source);
        let mut sent = datagram.to_vec();
        let outcome = self.flow.receive(self.now, side, source, &mut Packet::new(&mut sent, usize::MAX));
        assert_eq!(sent, datagram, "it crosses as it is");
        self.leg(side).received += 1;
        if udptl::parse(datagram).is_ok() {
            self.leg(side).heard_rtp.push(source);
        }
        let Outcome::Forward { to } = outcome else { return };
        assert!(udptl::parse(datagram).is_ok() && self.leg(side).knows(source), "{source} is nobody's");
        assert!(self.leg(side).stream.as_ref().is_some_and(|stream| stream.sends), "it may not send");
        let other = self.leg(side.other());
        let stream = other.stream.as_ref().expect("nothing goes to a leg that was not set");
        let named = stream.remote_rtp.expect("it wants something");
        let validated = other.knows(to) && other.heard_rtp.contains(&to);
        assert!(validated || stream.trust == Trust::Burst && named == to, "{to} was never heard");
    }

    fn receive_rtcp(&mut self, side: Side, source: u8, packet: &[u8]) {
        let source = address(side, source);
        let mut sent = packet.to_vec();
        let outcome = self.flow.receive_rtcp(self.now, side, source, &mut Packet::new(&mut sent, usize::MAX));
        self.check_report((side, Kind::Rtcp), source, packet, &sent, outcome);
    }

    /// What became of something that came as RTCP.
    fn check_report(
        &mut self,
        (side, port): (Side, Kind),
        source: SocketAddr,
        packet: &[u8],
        sent: &[u8],
        outcome: Outcome,
    ) {
        assert_eq!(sent, packet, "reports cross as they are");
        if rtcp_sender(packet).is_ok() && port == Kind::Rtcp {
            self.leg(side).heard_rtcp.push(source);
        }
        let Outcome::Report { to, through } = outcome else {
            assert!(matches!(outcome, Outcome::Drop(_)), "it is no audio");
            return;
        };
        assert!(rtcp_sender(packet).is_ok() && self.leg(side).knows(source), "{source} is nobody's");
        assert_eq!(self.leg(side).is_muxed(), port == Kind::Rtp, "it came to a port that is not for it");
        let other = self.leg(side.other());
        assert_eq!(other.is_muxed(), through == Kind::Rtp, "it goes through a port that is not for it");
        // RTCP goes beside RTP before it was heard itself.
        let beside_rtp = other.heard_rtp.iter().any(|heard| canonical(heard.ip()) == canonical(to.ip()));
        let named = match other.stream.as_ref().map(|stream| stream.rtcp) {
            Some(RtcpPort::Own(address)) => address,
            Some(RtcpPort::Shared) | None => None,
        };
        let heard = if other.is_muxed() { &other.heard_rtp } else { &other.heard_rtcp };
        let validated = other.knows(to) && heard.contains(&to);
        assert!(validated || beside_rtp && named == Some(to), "{to} was never heard");
    }

    /// What signalling hears, and that nothing came without being counted.
    fn settle(&mut self) {
        self.flow.handle_timeout(self.now);
        while let Some(event) = self.flow.poll_event() {
            if let Event::Latched { side, peer, .. } = event {
                let leg = self.leg(side);
                assert!(leg.knows(peer) && leg.heard_rtp.contains(&peer), "{peer} was never heard");
            }
        }
        let report = self.flow.report();
        for (counters, received) in [(report.caller, self.caller.received), (report.client, self.client.received)] {
            let Counters { packets_received, packets_forwarded, dropped_source, dropped_malformed, .. } = counters;
            assert_eq!(packets_received + dropped_source + dropped_malformed, received);
            assert_eq!(packets_received, packets_forwarded + counters.dropped_unbridged + counters.packets_replaced);
        }
    }

    fn leg(&mut self, side: Side) -> &mut Leg {
        match side {
            Side::Caller => &mut self.caller,
            Side::Client => &mut self.client,
        }
    }
}

impl Leg {
    fn is_muxed(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.rtcp == RtcpPort::Shared)
    }

    fn knows(&self, address: SocketAddr) -> bool {
        self.known.contains(&canonical(address.ip()))
    }
}

/// Addresses of a leg's host, of its signalling's host, and of strangers.
fn address(side: Side, number: u8) -> SocketAddr {
    let network = if side == Side::Caller { 1 } else { 2 };
    let host = |last| IpAddr::V4(Ipv4Addr::new(192, 0, network, last));
    let (ip, port) = match number % 8 {
        0 => (host(10), 4_000),
        1 => (host(10), 61_000),
        2 => (host(20), 4_000),
        3 => (host(20), 61_000),
        4 => (IpAddr::V6(Ipv4Addr::new(192, 0, network, 10).to_ipv6_mapped()), 4_000),
        5 => (host(66), 4_000),
        6 => (IpAddr::V6(Ipv6Addr::LOCALHOST), 4_000),
        // The other leg's host.
        _ => (IpAddr::V4(Ipv4Addr::new(192, 0, 3 - network, 10)), 4_000),
    };
    SocketAddr::new(ip, port)
}

/// The port above.
fn beside(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port() + 1)
}

/// A receiver report without a word in it.
fn report(deed: u8) -> [u8; 8] {
    [0x80, 201, 0, 1, 0, 0, 0, deed >> 5 & 1]
}

fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// A datagram that is well-formed.
fn page(number: u8, flags: u8) -> [u8; 7] {
    let mut datagram = [0; 7];
    udptl::write(number.into(), &[number, flags], &mut datagram).expect("it fits");
    datagram
}

/// A packet that is well-formed.
fn speech(number: u8, flags: u8) -> [u8; 20] {
    let payload_type = [0, 101, 96, 9][usize::from(flags >> 3 & 3)];
    let rtp = Rtp {
        sequence: number.into(),
        ssrc: u32::from(flags >> 5 & 1),
        payload_type,
        marker: flags & 0x40 != 0,
        timestamp: 160 * u32::from(number),
    };
    let mut packet = [0; 20];
    rtp.write(&[number % 20, flags, 0, number, 0, 0, 0, 0], &mut packet).expect("it fits");
    packet
}
