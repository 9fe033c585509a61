//! What the relay's decision costs a packet, in memory, without the kernel: `cargo bench --bench relay`.
//! Proves, too, that it allocates nothing. The sockets' share is not here; PERF compares that with other media servers.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use parkway::id::{FlowId, Side};
use parkway::media::header::Rtp;
use parkway::media::tone::Law;
use parkway::media::{Codec, Digits, Flow, Line, Mapping, Outcome, Packet, Recording, RtcpPort, Stream, Trust};
use parkway::time::{Duration, Instant};
use std::hint::black_box;
use std::net::SocketAddr;

const SESSIONS: u64 = 500;

/// A G.711 packet of 20 ms that is sent again and again with its numbers counted up.
struct Source {
    flows: Vec<Flow>,
    addresses: Vec<SocketAddr>,
    packet: [u8; 172],
    now: Instant,
    rtp: Rtp,
}

impl Source {
    fn new(sessions: u64, payload_type: u8, is_recorded: bool) -> Source {
        let addresses: Vec<SocketAddr> = (0..sessions)
            .map(|n| SocketAddr::new([127, 1, 2, 3].into(), 10_000 + u16::try_from(n).unwrap_or(0)))
            .collect();
        let flows = (0..).zip(&addresses).map(|(id, address)| bridged(FlowId(id), *address, is_recorded)).collect();
        let rtp = Rtp { payload_type, ssrc: 7, ..Rtp::default() };
        Source { flows, addresses, packet: [0x55; 172], now: Instant(0), rtp }
    }

    /// One packet of each session; returns how many were forwarded, and how many are for a recording.
    fn round(&mut self, from_stranger: bool) -> (usize, usize) {
        self.now = self.now + Duration::from_millis(20);
        self.rtp.sequence = self.rtp.sequence.wrapping_add(1);
        self.rtp.timestamp = self.rtp.timestamp.wrapping_add(160);
        let (mut forwarded, mut heard) = (0, 0);
        for (flow, address) in self.flows.iter_mut().zip(&self.addresses) {
            self.rtp.write(&[0x01, 0x0A, 0x00, 0xA0], &mut self.packet);
            let port = if from_stranger { 9 } else { address.port() };
            let source = SocketAddr::new(address.ip(), port);
            let mut packet = Packet::new(black_box(&mut self.packet), usize::MAX);
            let outcome = flow.receive(self.now, Side::Caller, black_box(source), &mut packet);
            forwarded += usize::from(matches!(black_box(outcome), Outcome::Forward { .. }));
            heard += usize::from(black_box(flow.take_heard()).is_some());
            while flow.poll_event().is_some() {}
        }
        (forwarded, heard)
    }
}

fn stream(address: SocketAddr, is_recorded: bool) -> Stream {
    let mapping = |(here, there), telephone_event| Mapping {
        here,
        there,
        clock_rate: 8_000,
        clock_rate_there: 8_000,
        telephone_event,
        codec: Codec::G711,
    };
    Stream {
        line: Line::Audio,
        remote_rtp: Some(address),
        rtcp: RtcpPort::Own(None),
        signalling: address.ip(),
        trust: Trust::Nothing,
        plays: None,
        payload_types: [mapping((0, 0), false), mapping((98, 8), false), mapping((101, 96), true)]
            .into_iter()
            .collect(),
        sends: true,
        silence_max: Some(Duration::from_secs(60)),
        keys: None,
        recording: is_recorded
            .then(|| Box::new(Recording { laws: [(0, Law::Mu)].into_iter().collect(), announces: None })),
        digits: Digits::default(),
    }
}

fn bridged(id: FlowId, caller: SocketAddr, is_recorded: bool) -> Flow {
    let client = SocketAddr::new([127, 4, 5, 6].into(), 4_000);
    let mut flow = Flow::new(id);
    if is_recorded {
        flow.record();
    }
    flow.set(Instant(0), Side::Caller, stream(caller, is_recorded));
    flow.set(Instant(0), Side::Client, stream(client, is_recorded));
    for (side, source) in [(Side::Caller, caller), (Side::Client, client)] {
        let mut packet = [0; 12];
        Rtp { ssrc: 7, ..Rtp::default() }.write(&[], &mut packet);
        flow.receive(Instant(0), side, source, &mut Packet::new(&mut packet, usize::MAX));
        while flow.poll_event().is_some() {}
    }
    flow
}

fn receive(criterion: &mut Criterion) {
    for (name, sessions, payload_type, from_stranger, is_recorded) in [
        ("audio", SESSIONS, 0, false, false),
        ("audio_recorded", SESSIONS, 0, false, true),
        ("audio_one_session", 1, 0, false, false),
        ("audio_remapped", SESSIONS, 98, false, false),
        ("telephone_event", SESSIONS, 101, false, false),
        ("stranger_dropped", SESSIONS, 0, true, false),
        ("unknown_payload_type_dropped", SESSIONS, 33, false, false),
    ] {
        let mut group = criterion.benchmark_group("flow_receive");
        group.throughput(Throughput::Elements(sessions));
        let mut source = Source::new(sessions, payload_type, is_recorded);
        group.bench_function(name, |bencher| bencher.iter(|| source.round(from_stranger)));
        let heard = source.round(from_stranger).1;
        assert_eq!(heard > 0, is_recorded, "{name}: what is recorded is handed on, and nothing else is");
        let allocations = allocation_counter::measure(|| {
            for _ in 0..20 {
                black_box(source.round(from_stranger));
            }
        });
        assert_eq!(allocations.count_total, 0, "{name}: the data path must not allocate");
        group.finish();
    }
}

/// What it costs to listen for tones, beside audio of the same size in which nobody does.
fn listen(criterion: &mut Criterion) {
    let audio: Vec<u8> = (0..160).map(|n: u8| Law::Mu.encode(300 * i16::from(n.wrapping_mul(37) >> 2))).collect();
    for (name, in_band) in [("nobody", false), ("for_tones", true)] {
        let (caller, mut now) = (SocketAddr::new([127, 1, 2, 3].into(), 4_000), Instant(1_000));
        let mut flow = bridged(FlowId(1), caller, false);
        let digits = Digits { in_band, ..Digits::default() };
        flow.set(now, Side::Caller, Stream { digits, ..stream(caller, false) });
        let mut rtp = Rtp { ssrc: 7, sequence: 1, ..Rtp::default() };
        let mut packet = [0; 172];
        let mut group = criterion.benchmark_group("flow_listens");
        group.throughput(Throughput::Elements(1));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                now = now + Duration::from_millis(20);
                rtp.sequence = rtp.sequence.wrapping_add(1);
                rtp.timestamp = rtp.timestamp.wrapping_add(160);
                rtp.write(&audio, &mut packet);
                let outcome =
                    flow.receive(now, Side::Caller, caller, &mut Packet::new(black_box(&mut packet), usize::MAX));
                assert!(matches!(outcome, Outcome::Forward { .. }));
                while flow.poll_event().is_some() {}
            });
        });
        group.finish();
    }
}

criterion_group!(benches, receive, listen);
criterion_main!(benches);
