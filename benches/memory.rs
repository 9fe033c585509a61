//! What a parked call costs in memory: the real daemon, real sockets, 10,000 and 100,000 calls parked at one time. They are parked over
//! UDP, the daemon's PSS and the kernel's socket memory are read before and after, and then all are cancelled: it must come back to
//! nothing.
//!
//! `cargo bench --bench memory`; with `-- --test` two hundred calls, to see that it works.

mod support;

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use support::Parkway;
use support::kernel::socket_memory_bytes;
use support::leg::{self, Leg};

/// Requests under way at one time: enough to keep the daemon busy, few enough that no socket buffer runs over.
const WINDOW: usize = 64;
/// A request without an answer is sent again after this (RFC 3261 §17.1.1.2: T1).
const REPEAT: Duration = Duration::from_millis(500);
/// Longest time without any answer at all.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a request's transactions may take to be forgotten: 64*T1 and some.
const FORGOTTEN: Duration = Duration::from_secs(45);
/// Before memory is read.
const SETTLE: Duration = Duration::from_secs(2);

fn main() {
    let sizes: &[u64] = if support::is_test() { &[200] } else { &[10_000, 100_000] };
    let rows: Vec<[String; 3]> = sizes.iter().flat_map(|calls| measure(*calls)).collect();
    support::print_table(&rows);
}

/// One daemon and that many calls.
fn measure(calls: u64) -> Vec<[String; 3]> {
    let parkway = support::start_parkway(None, &[]);
    let mut trunk = Trunk::new(parkway.sip);
    // The first calls pay for buffers and tables that all others share.
    trunk.ask(0..WINDOW as u64, Request::Invite);
    trunk.ask(0..WINDOW as u64, Request::Cancel);
    assert!(parkway.wait_for("parkway_sip_dialogs ", 0, FORGOTTEN), "the first calls are over");
    let before = read(&parkway);
    let parked = park(&parkway, &mut trunk, calls, 1 << 32);
    let after = forget(&parkway, &mut trunk, calls, 1 << 32);
    // What a second crowd of the same size needs tells memory that is kept for the next calls from memory that is lost.
    let parked_again = park(&parkway, &mut trunk, calls, 2 << 32);
    forget(&parkway, &mut trunk, calls, 2 << 32);
    let a_call = |bytes: u64| format!("{:.0} bytes", bytes as f64 / calls as f64);
    vec![
        [
            format!("memory a parked call, {calls} parked"),
            a_call(parked.daemon.saturating_sub(before.daemon)),
            "≤ 4,400, stretch 2,000".into(),
        ],
        ["… of the kernel, in sockets".into(), a_call(parked.kernel.saturating_sub(before.kernel)), "–".into()],
        [
            "daemon before, with all parked, after, with as many parked again".into(),
            [before, parked, after, parked_again].map(|reading| format!("{:.0}", reading.megabytes())).join(", ")
                + " MB",
            "the last as the second".into(),
        ],
    ]
}

/// Parks calls, numbered from `first`, and reads the memory that they take.
fn park(parkway: &Parkway, trunk: &mut Trunk, calls: u64, first: u64) -> Reading {
    trunk.ask(first..first + calls, Request::Invite);
    assert!(parkway.wait_for("parkway_calls{state=\"parked\"} ", calls, PATIENCE), "all are parked");
    read(parkway)
}

/// Cancels them and waits until nothing is left of them.
fn forget(parkway: &Parkway, trunk: &mut Trunk, calls: u64, first: u64) -> Reading {
    trunk.ask(first..first + calls, Request::Cancel);
    for metric in ["parkway_calls{state=\"parked\"} ", "parkway_sip_dialogs ", "parkway_sip_transactions "] {
        assert!(parkway.wait_for(metric, 0, FORGOTTEN), "{metric}comes back to 0");
    }
    read(parkway)
}

/// Memory at one moment.
struct Reading {
    daemon: u64,
    kernel: u64,
}

impl Reading {
    fn megabytes(&self) -> f64 {
        self.daemon as f64 / 1e6
    }
}

fn read(parkway: &Parkway) -> Reading {
    std::thread::sleep(SETTLE);
    Reading { daemon: parkway.memory_bytes(), kernel: socket_memory_bytes() }
}

/// What is asked of all calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Request {
    /// Answered by 180.
    Invite,
    /// Answered by the INVITE's 487, which gets its ACK.
    Cancel,
}

/// A trunk with one socket and any number of calls.
struct Trunk {
    socket: UdpSocket,
    own: SocketAddr,
    buffer: Vec<u8>,
}

impl Trunk {
    fn new(parkway: SocketAddr) -> Trunk {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        socket.connect(parkway).expect("loopback is reachable");
        socket.set_read_timeout(Some(REPEAT)).expect("the time is not zero");
        let own = socket.local_addr().expect("it is bound");
        Trunk { socket, own, buffer: vec![0; 65_536] }
    }

    /// Sends the request for each call and waits for each answer, a window of them at a time; what is not answered is sent again.
    fn ask(&mut self, mut calls: std::ops::Range<u64>, request: Request) {
        let mut waiting = BTreeMap::new();
        let mut progress = Instant::now();
        loop {
            while waiting.len() < WINDOW
                && let Some(call) = calls.next()
            {
                self.send(&self.text(call, request));
                waiting.insert(call, Instant::now());
            }
            if waiting.is_empty() {
                return;
            }
            if let Some(call) = self.answer(request) {
                waiting.remove(&call);
                progress = Instant::now();
            }
            assert!(progress.elapsed() < PATIENCE, "{} calls get no answer", waiting.len());
            for (call, sent) in waiting.iter_mut().filter(|(_, sent)| sent.elapsed() > REPEAT) {
                self.send(&self.text(*call, request));
                *sent = Instant::now();
            }
        }
    }

    fn text(&self, call: u64, request: Request) -> String {
        match request {
            Request::Invite => self.leg(call).invite(""),
            Request::Cancel => self.leg(call).cancel(),
        }
    }

    /// The call that an answer came for, if one came.
    fn answer(&mut self, request: Request) -> Option<u64> {
        let length = self.socket.recv(&mut self.buffer).ok()?;
        let message = std::str::from_utf8(&self.buffer[..length]).expect("all we sent was text");
        let (call, status) = (leg::number(message)?, leg::status(message, "INVITE")?);
        match (request, status) {
            (_, 100) | (Request::Cancel, 180) => None,
            (Request::Invite, 180) => Some(call),
            (Request::Cancel, 487) => {
                let mut leg = self.leg(call);
                leg.hear(message);
                self.send(&leg.acknowledge_refusal());
                Some(call)
            }
            (Request::Invite | Request::Cancel, _) => panic!("call {call:x} was answered by\n{message}"),
        }
    }

    fn leg(&self, call: u64) -> Leg {
        Leg::new(call, self.own, "sip:+493012345678@127.0.0.1:5060")
    }

    fn send(&self, message: &str) {
        // What the kernel does not take now is sent again when its answer is missed.
        let _ = self.socket.send(message.as_bytes());
    }
}
