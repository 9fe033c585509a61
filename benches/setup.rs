//! How long a caller waits for its 180: the real daemon on loopback at 1,500 INVITEs a second, sent when they are due whether or not
//! others were answered. Daemon and generator each have a CPU of their own where `taskset` (util-linux) is there to give them one.
//! Each call is cancelled as soon as it rings.
//!
//! `cargo bench --bench setup`; with `-- --test` a hundred calls, to see that it works.

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use support::cpu;
use support::leg::{self, Leg};

const CALLS_PER_SECOND: u32 = 1_500;
const SECONDS: u32 = 12;
/// The first second, in which caches and tables get warm, is not counted.
const WARM_UP: usize = 1_500;
/// How long after the last INVITE answers may come.
const PATIENCE: Duration = Duration::from_secs(5);
/// A generator that was later than this was not open-loop (PERF "How to measure").
const LATE_MAX: Duration = Duration::from_millis(20);

fn main() {
    let (calls, warm_up) = if support::is_test() { (100, 0) } else { (CALLS_PER_SECOND * SECONDS, WARM_UP) };
    let (pinned, of_daemon) = cpu::pin();
    let parkway = support::start_parkway(of_daemon, &[]);
    let mut generator = Generator::new(parkway.sip, u64::from(calls));
    generator.run();
    let failed = generator.calls.iter().filter(|call| !call.is_complete()).count();
    println!("{calls} calls at {CALLS_PER_SECOND} a second; {pinned}");
    println!(
        "{failed} failed, {} messages came twice, the generator was at most {:.1} ms late",
        generator.repeated,
        generator.late.as_secs_f64() * 1e3
    );
    if generator.repeated > 0 || generator.late > LATE_MAX {
        println!("This run does not count: the machine was busy.");
    }
    generator.print(warm_up);
    assert_eq!(failed, 0, "every call rings, is cancelled and gets its 487");
}

/// One call as far as it came.
#[derive(Clone, Copy, Default)]
struct Call {
    sent: Option<Instant>,
    rang_after: Option<Duration>,
    cancelled: bool,
}

impl Call {
    fn is_complete(&self) -> bool {
        self.rang_after.is_some() && self.cancelled
    }
}

/// One socket, many calls.
struct Generator {
    socket: UdpSocket,
    own: SocketAddr,
    /// Written before the first is sent, so that writing is in nobody's time.
    invites: Vec<String>,
    calls: Vec<Call>,
    repeated: u32,
    late: Duration,
}

impl Generator {
    fn new(parkway: SocketAddr, calls: u64) -> Generator {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        socket.connect(parkway).expect("loopback is reachable");
        socket.set_nonblocking(true).expect("a socket can be told not to wait");
        let own = socket.local_addr().expect("it is bound");
        let invites: Vec<String> = (0..calls).map(|call| leg(call, own).invite("")).collect();
        let calls = vec![Call::default(); invites.len()];
        Generator { socket, own, invites, calls, repeated: 0, late: Duration::ZERO }
    }

    /// Sends what is due and takes what comes, without ever sleeping.
    fn run(&mut self) {
        let (start, pause) = (Instant::now(), Duration::from_secs(1) / CALLS_PER_SECOND);
        let (mut next, mut complete, mut due) = (0, 0, start);
        let mut buffer = [0; 4096];
        let end = start + pause * u32::try_from(self.calls.len()).unwrap_or(u32::MAX) + PATIENCE;
        while complete < self.calls.len() && Instant::now() < end {
            if next < self.calls.len() && Instant::now() >= due {
                self.invite(next, due);
                (next, due) = (next + 1, due + pause);
            }
            if let Ok(length) = self.socket.recv(&mut buffer) {
                let message = std::str::from_utf8(&buffer[..length]).expect("all we sent was text");
                complete += usize::from(self.hear(message, Instant::now()));
            }
        }
    }

    fn invite(&mut self, call: usize, due: Instant) {
        let now = Instant::now();
        self.late = self.late.max(now - due);
        self.calls[call].sent = Some(now);
        self.send(&self.invites[call]);
    }

    /// Notes an answer and takes the call's next step. `true`: that was its last.
    fn hear(&mut self, message: &str, now: Instant) -> bool {
        let Some((number, status)) = leg::number(message).zip(leg::status(message, "INVITE")) else { return false };
        let call = &mut self.calls[usize::try_from(number).expect("it is one of ours")];
        let mut leg = leg(number, self.own);
        match status {
            100 => false,
            180 if call.rang_after.is_none() => {
                call.rang_after = call.sent.map(|sent| now - sent);
                self.send(&leg.cancel());
                false
            }
            487 => {
                let first = !std::mem::replace(&mut call.cancelled, true);
                self.repeated += u32::from(!first);
                leg.hear(message);
                self.send(&leg.acknowledge_refusal());
                first
            }
            180 => {
                self.repeated += 1;
                false
            }
            _ => panic!("call {number} was answered by\n{message}"),
        }
    }

    fn send(&self, message: &str) {
        // What the kernel does not take is missed at the end.
        let _ = self.socket.send(message.as_bytes());
    }

    fn print(&self, warm_up: usize) {
        let mut times: Vec<Duration> = self.calls.iter().skip(warm_up).filter_map(|call| call.rang_after).collect();
        times.sort_unstable();
        let row = |name: &str, per_mille: usize, goal: &str| {
            let at = (times.len() * per_mille / 1000).min(times.len().saturating_sub(1));
            let time = times.get(at).copied().unwrap_or_default();
            let what = format!("INVITE → 180 at {CALLS_PER_SECOND} a second, {name}");
            [what, format!("{:.3} ms", time.as_secs_f64() * 1e3), goal.into()]
        };
        support::print_table(&[row("p50", 500, "≤ 0.2 ms"), row("p99", 990, "≤ 2 ms"), row("p99.9", 999, "–")]);
    }
}

fn leg(call: u64, own: SocketAddr) -> Leg {
    Leg::new(call, own, "sip:+493012345678@127.0.0.1:5060")
}
