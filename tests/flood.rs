//! A flood from an address that is no trunk's: every method in turn, 20,000 requests a second, and noise. Memory stays as it is, calls
//! that go on meanwhile lose no audio and all end rightly, and the stranger, whose address nobody has verified, never gets more bytes
//! than he sends. What comes faster than it is read is counted.
//!
//! `cargo test --test flood` takes two seconds for each; `PARKWAY_FLOOD_SECONDS=60 cargo test --release --test flood` is the whole of it.
//! Not here: bad messages one at a time (`bad_input`, `torture`), and floods of connections.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::{Crowd, Daemon, Setup, Subscriber, crowd, story};
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

const SECONDS: &str = "PARKWAY_FLOOD_SECONDS";
const RATE: u64 = 20_000;
/// Not in the trunk's list.
const STRANGER: &str = "127.0.0.9:0";
/// Of the daemon's memory, in a hundred.
const GROWTH_MAX: u64 = 5;
const METHODS: [&str; 9] = ["INVITE", "REGISTER", "OPTIONS", "MESSAGE", "SUBSCRIBE", "BYE", "CANCEL", "ACK", "noise"];
/// Sent before anything is measured, so that tables and buffers are as large as they get.
const WARM_UP: Duration = Duration::from_millis(500);

/// How long no answer comes when all have come, and how long that may take at most.
const QUIET: Duration = Duration::from_millis(300);
const WAIT_MAX: Duration = Duration::from_secs(10);

/// What a flood of one method did.
#[derive(Debug)]
struct Flood {
    method: &'static str,
    sent: u64,
    bytes_sent: u64,
    answers: u64,
    bytes_got: u64,
    /// Answers that were longer than what they answer can have been.
    amplified: u64,
    memory_kib: [u64; 2],
}

#[test]
fn a_flood_of_strangers_harms_nobody() {
    let seconds: u64 = std::env::var(SECONDS).map_or(2, |seconds| seconds.parse().unwrap());
    let tables =
        "[[trunk]]\nname = \"gateway\"\nallow = [\"127.0.0.1/32\"]\n\n[[route]]\nnumber = \"*\"\nname = \"demo\"\n";
    let daemon = Daemon::start_as(&Setup { tables: tables.into(), ..Setup::with(&["log.level=info"]) });
    let mut subscriber = Subscriber::ready(&daemon, "demo");
    let (mut caller, mut other) = story::bridge(&daemon, &mut subscriber);
    let mut crowd = Crowd::new([127, 0, 0, 1].into(), daemon.sip);
    let each = Duration::from_secs(seconds);
    let calls = 2 * (seconds + 2) * u64::try_from(METHODS.len()).unwrap();
    let plan = crowd::Plan { calls, rate: 2, cancel_every: 5, hold: Duration::from_secs(1) };
    let floods = std::thread::scope(|scope| {
        let floods = scope.spawn(|| {
            let socket = stranger(daemon.sip);
            METHODS.iter().for_each(|method| _ = flood(&daemon, &socket, method, WARM_UP));
            METHODS.map(|method| flood(&daemon, &socket, method, each))
        });
        crowd.run(plan, &mut subscriber, |_| {});
        floods.join().unwrap()
    });
    let metrics = daemon.metrics();
    let overflows = metrics.sum("parkway_sip_overflows_total");
    floods.iter().for_each(|flood| println!("{flood:?}"));
    println!("{overflows} found no room; {:?}; {:?}", crowd.seen, crowd.complaints);
    for flood in &floods {
        let Flood { method, sent, bytes_sent, bytes_got, amplified, memory_kib: [before, after], .. } = flood;
        assert!(*sent > 0 && bytes_got <= bytes_sent && *amplified == 0, "{flood:?}");
        let margin = before * GROWTH_MAX / 100;
        assert!(before.abs_diff(*after) <= margin, "{method}: from {before} to {after} KiB");
    }
    let counted = metrics.sum("parkway_sip_requests_total") + metrics.sum("parkway_sip_malformed_total") + overflows;
    let sent: u64 = floods.iter().map(|flood| flood.sent).sum();
    assert!(counted >= f64::from(u32::try_from(sent).unwrap()), "{sent} sent, {counted} received or lost");
    assert_eq!((crowd.seen.wrong, crowd.seen.answered), (0, crowd.seen.bridged), "{:?}", crowd.complaints);
    for side in [&caller, &other] {
        let heard = side.voice.heard();
        assert!(heard.packets > 50 && heard.lost == 0 && heard.strange == 0, "{} lost", heard.lost);
    }
    caller.phone.hang_up();
    other.phone.be_hung_up_on();
    daemon.finish(usize::try_from(calls + 1).unwrap());
}

fn stranger(daemon: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(STRANGER).unwrap();
    socket.connect(daemon).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Sends what is due every millisecond, and counts what comes back.
fn flood(daemon: &Daemon, socket: &UdpSocket, method: &'static str, time: Duration) -> Flood {
    let own = socket.local_addr().unwrap();
    let before = daemon.memory_kib();
    let mut flood =
        Flood { method, sent: 0, bytes_sent: 0, answers: 0, bytes_got: 0, amplified: 0, memory_kib: [before; 2] };
    let start = Instant::now();
    let mut buffer = [0; 65_536];
    let longest = request(method, own, u64::MAX).len();
    let mut due = 0;
    while start.elapsed() < time {
        let now_due = u64::try_from(start.elapsed().as_micros()).unwrap() * RATE / 1_000_000;
        for number in due..now_due {
            if let Ok(length) = socket.send(request(method, own, number).as_bytes()) {
                flood.sent += 1;
                flood.bytes_sent += u64::try_from(length).unwrap();
            }
        }
        due = now_due;
        flood.hear(socket, &mut buffer, longest);
        std::thread::sleep(Duration::from_millis(1));
    }
    // What still waits at the daemon is of this flood, and not of the next.
    let mut quiet = Instant::now();
    while quiet.elapsed() < QUIET && start.elapsed() < time + WAIT_MAX {
        if flood.hear(socket, &mut buffer, longest) {
            quiet = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    flood.memory_kib[1] = daemon.memory_kib();
    flood
}

impl Flood {
    /// Counts the answers that have come; whether there were any.
    fn hear(&mut self, socket: &UdpSocket, buffer: &mut [u8], longest: usize) -> bool {
        let before = self.answers;
        while let Ok(length) = socket.recv(buffer) {
            self.answers += 1;
            self.bytes_got += u64::try_from(length).unwrap();
            self.amplified += u64::from(length > longest);
        }
        self.answers > before
    }
}

/// A request as short as it can be, so that there is little to answer with; every one has its own transaction and dialog.
fn request(method: &str, own: SocketAddr, number: u64) -> String {
    if method == "noise" {
        return format!("\u{0}\u{1}\u{2}{number:x} INVITE sip:noise SIP/2.0\r\nx\r\n\r\n");
    }
    format!(
        "{method} sip:1@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{number:x}\r\nMax-Forwards: 70\r\n\
         From: <sip:s@127.0.0.9>;tag={number:x}\r\nTo: <sip:1@127.0.0.1>\r\nCall-ID: {method}{number:x}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:s@127.0.0.9>\r\nContent-Length: 0\r\n\r\n"
    )
}

impl Daemon {
    /// What it has in memory, with what it shares.
    fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}
