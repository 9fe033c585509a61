//! What reading an INVITE and writing a 180 cost, beside rsip in the same run: time, allocations, and the ratio.
//! Goals (PERF "Signalling"): at most 600 ns, 0 allocations and an eighth of rsip typed; a 180 in at most 100 ns, 0 allocations.
//!
//! `cargo bench --bench parse`; with `-- --test` everything runs once, so that it still compiles and agrees.
#![allow(missing_docs, clippy::unwrap_used)]
#![allow(clippy::disallowed_types, reason = "rsip's whole messages are what we are compared with")]

mod support;

use bytes::BytesMut;
use criterion::{Criterion, Throughput};
use parkway::sip::wire::write::{Reply, reply};
use parkway::sip::wire::{Message, Start};
use parkway::sip::{Path, Transport};
use rsip::message::HeadersExt as _;
use rsip::prelude::{ToTypedHeader as _, UntypedHeader as _};
use std::hint::black_box;
use std::time::{Duration, Instant};
use support::counting::{Counting, allocations};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a trunk sends: two hops, G.711 and telephone-event. 880 bytes.
const INVITE: &str = "INVITE sip:+493012345678@198.51.100.20:5060;user=phone SIP/2.0\r\n\
    Via: SIP/2.0/UDP 203.0.113.5:5060;rport;branch=z9hG4bK-524287-1---7f1c2ab09d44e1a3\r\n\
    Record-Route: <sip:203.0.113.5;lr>\r\n\
    Max-Forwards: 68\r\n\
    From: \"Anna Beispiel\" <sip:+4917012345678@trunk.example.net;user=phone>;tag=8f2c6b17e5\r\n\
    To: <sip:+493012345678@198.51.100.20;user=phone>\r\n\
    Call-ID: 4f1c8be2-7d0a-4c55-9a3e-2b1f6d7c8e90@203.0.113.5\r\n\
    CSeq: 20117 INVITE\r\n\
    Contact: <sip:+4917012345678@203.0.113.5:5060>\r\n\
    Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE\r\n\
    Supported: 100rel, timer\r\n\
    User-Agent: Trunk-SBC/7.4 (b20261123-eu-central)\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 226\r\n\
    \r\n\
    v=0\r\n\
    o=- 20117 20117 IN IP4 203.0.113.5\r\n\
    s=-\r\n\
    c=IN IP4 203.0.113.5\r\n\
    t=0 0\r\n\
    m=audio 40022 RTP/AVP 8 0 101\r\n\
    a=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-15\r\n\
    a=ptime:20\r\n\
    a=sendrecv\r\n";

/// Index, and what transactions and dialogs are found by.
fn ours(text: &str) -> usize {
    let message = Message::parse(text.as_bytes()).unwrap();
    let (via, from, to) = (message.via(), message.from(), message.to());
    let user = match message.start() {
        Start::Request { uri, .. } => uri.user,
        Start::Response { .. } => None,
    };
    let cseq = usize::try_from(message.cseq().number).unwrap();
    let slices = [via.branch(), Some(via.sent_by()), from.tag(), to.tag(), Some(message.call_id()), user];
    slices.iter().flatten().map(|slice| slice.len()).sum::<usize>() + cseq
}

fn rsip_untyped(text: &str) -> usize {
    let message = rsip::Request::try_from(text).unwrap();
    let values = [
        message.via_header().unwrap().value(),
        message.from_header().unwrap().value(),
        message.to_header().unwrap().value(),
        message.call_id_header().unwrap().value(),
        message.cseq_header().unwrap().value(),
    ];
    values.iter().map(|value| value.len()).sum::<usize>() + message.uri.user().unwrap().len()
}

fn rsip_typed(text: &str) -> usize {
    let message = rsip::Request::try_from(text).unwrap();
    let via = message.via_header().unwrap().typed().unwrap();
    let from = message.from_header().unwrap().typed().unwrap();
    let to = message.to_header().unwrap().typed().unwrap();
    let cseq = message.cseq_header().unwrap().typed().unwrap();
    let to_tag = to.tag().map_or(0, |tag| tag.value().len());
    let sent_by = via.sent_by().to_string().len();
    via.branch().unwrap().value().len()
        + sent_by
        + from.tag().unwrap().value().len()
        + to_tag
        + message.call_id_header().unwrap().value().len()
        + message.uri.user().unwrap().len()
        + usize::try_from(cseq.seq).unwrap()
}

fn ringing(message: &Message<'_>, out: &mut BytesMut, path: &Path) -> usize {
    let reply_180 =
        Reply { to_tag: Some("00c0ffee12345678"), contact: Some("<sip:198.51.100.20:5060>"), ..Reply::new(180) };
    out.clear();
    reply(out, message, &reply_180, path);
    out.len()
}

fn path() -> Path {
    let (local, peer) = ("198.51.100.20:5060".parse().unwrap(), "203.0.113.5:5060".parse().unwrap());
    Path { transport: Transport::Udp, local, peer }
}

/// One thing that is measured: its name, what it does, its nanoseconds a run in each round, and its allocations.
struct Row<'r> {
    name: &'static str,
    run: Box<dyn FnMut() -> usize + 'r>,
    times: Vec<f64>,
    allocations: u64,
}

impl<'r> Row<'r> {
    fn new(name: &'static str, mut run: impl FnMut() -> usize + 'r) -> Row<'r> {
        black_box(run());
        let before = allocations();
        black_box(run());
        let allocations = allocations() - before;
        Row { name, run: Box::new(run), times: Vec::new(), allocations }
    }

    fn round(&mut self, runs: u32) {
        let start = Instant::now();
        for _ in 0..runs {
            black_box((self.run)());
        }
        self.times.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(runs));
    }

    /// The median and the best round.
    fn nanoseconds(&mut self) -> (f64, f64) {
        self.times.sort_by(f64::total_cmp);
        (self.times[self.times.len() / 2], self.times[0])
    }
}

/// Short rounds in turn, so that what else the machine does falls on all alike.
fn table(rounds: usize, runs: u32) {
    let message = Message::parse(INVITE.as_bytes()).unwrap();
    let (mut out, path) = (BytesMut::with_capacity(2048), path());
    let mut rows = [
        Row::new("rsip 0.4 typed", || rsip_typed(black_box(INVITE))),
        Row::new("rsip 0.4 untyped", || rsip_untyped(black_box(INVITE))),
        Row::new("parkway", || ours(black_box(INVITE))),
        Row::new("parkway: write a 180", || ringing(black_box(&message), &mut out, &path)),
    ];
    for _ in 0..rounds {
        rows.iter_mut().for_each(|row| row.round(runs));
    }
    let (typed, typed_best) = rows[0].nanoseconds();
    println!(
        "\n{:<22} {:>9} {:>9} {:>12} {:>15}",
        "880-byte INVITE", "median ns", "best ns", "allocations", "÷ rsip typed"
    );
    for row in &mut rows {
        let (median, best) = row.nanoseconds();
        let (name, allocations) = (row.name, row.allocations);
        let (by_median, by_best) = (median / typed, best / typed_best);
        println!("{name:<22} {median:>9.0} {best:>9.0} {allocations:>12} {by_median:>8.3} {by_best:>6.3}");
    }
}

fn main() {
    assert_eq!(INVITE.len(), 880);
    assert_eq!(ours(INVITE), rsip_typed(INVITE), "both read the same");
    let once = std::env::args().any(|argument| argument == "--test");
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let message = Message::parse(INVITE.as_bytes()).unwrap();
    let (mut out, path) = (BytesMut::with_capacity(2048), path());
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Bytes(880));
    group.bench_function("parkway", |b| b.iter(|| ours(black_box(INVITE))));
    group.bench_function("rsip untyped", |b| b.iter(|| rsip_untyped(black_box(INVITE))));
    group.bench_function("rsip typed", |b| b.iter(|| rsip_typed(black_box(INVITE))));
    group.finish();
    criterion.bench_function("write 180", |b| b.iter(|| ringing(black_box(&message), &mut out, &path)));
    criterion.final_summary();
    if once { table(1, 1) } else { table(301, 200) }
}
