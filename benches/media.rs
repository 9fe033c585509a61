//! What a packet costs, Parkway beside rtpengine (user space): CPU time, how long packets take, the highest rate at which none is lost, and
//! memory. Parkway's sessions are calls made over SIP, rtpengine's are made over its NG protocol; then the same packets go through both.
//! Server and generator each have a CPU of their own.
//!
//! `cargo bench --bench media`; with `-- --test` few sessions, once and short. `-- --only cost` (`rate`) measures one thing, `--parkway`
//! leaves rtpengine out; `--sessions`, `--coalesce`, `--seconds` and `--repeats` say other numbers.
//!
//! `-- --offload` measures the kernel's own way (`media.offload`), beside its NAT (nftables) and the two servers, in a network namespace of
//! its own, which takes root. On loopback it runs in the sender's time, so what a packet costs is what sending takes longer than if there
//! were nothing between the two ends, and the server's time.

mod support;

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};
use support::Arguments;
use support::daemon::Parkway;
use support::kernel::{self, Times};
use support::leg::{self, Leg};
use support::nat::Nat;
use support::rtp::{Audio, Outcome, Plan, Session};
use support::rtpengine::Rtpengine;
use support::subscription::{self, Invitation, Subscription};

/// Packets a second of one leg.
const LEG_RATE: u32 = 50;
/// rtpengine learns addresses late (PERF "How to measure").
const WARM_UP: Duration = Duration::from_secs(4);
/// A generator that was later than this was not open-loop.
const LATE_MAX: Duration = Duration::from_millis(20);
/// A rate counts as sustained with a lower median only: socket buffers hide an overload for seconds.
const MEDIAN_MAX: Duration = Duration::from_millis(10);
/// A run that did not count, because the machine was busy, is made again so often.
const TRIES: u32 = 3;
/// The client's own calls are told from the trunk's by this.
const CLIENT_NUMBERS: u64 = 1 << 40;
/// Says to this program that it runs in a network namespace of its own.
const INSIDE: &str = "PARKWAY_BENCH_INSIDE";
/// How long one step of a call's beginning may take.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() {
    let options = Options::read();
    if options.offload && std::env::var_os(INSIDE).is_none() {
        return in_a_namespace();
    }
    let (pinned, cpu) = support::cpu::pin();
    println!("{pinned}; {options:?}");
    let bench = Bench { cpu, options };
    if bench.options.offload {
        return support::print_rows(["what", "kernel", "other", "ratio", "goal"], &bench.offload());
    }
    let mut rows = Vec::new();
    for (name, measure) in [("cost", Bench::cost as fn(&Bench) -> Vec<[String; 5]>), ("rate", Bench::rate)] {
        if bench.options.only.as_ref().is_none_or(|only| only == name) {
            rows.extend(measure(&bench));
        }
    }
    support::print_rows(["what", "Parkway", "rtpengine", "ratio", "goal"], &rows);
}

/// What the command line says.
#[derive(Clone, Debug)]
struct Options {
    only: Option<String>,
    rtpengine: bool,
    /// Whether the kernel's own way is measured, and nothing else.
    offload: bool,
    sessions: u32,
    /// How long packets gather, microseconds.
    coalesce: u32,
    measured: Duration,
    repeats: u32,
    test: bool,
}

impl Options {
    fn read() -> Options {
        let arguments = Arguments::read();
        Options {
            only: arguments.value("--only").cloned(),
            rtpengine: !arguments.given("--parkway") && Rtpengine::is_installed(),
            offload: arguments.given("--offload"),
            sessions: arguments.number("--sessions", 500, 10),
            coalesce: arguments.number("--coalesce", 500, 500),
            measured: arguments.seconds("--seconds", 8, 1),
            repeats: arguments.number("--repeats", 3, 1),
            test: support::is_test(),
        }
    }
}

/// Whom we measure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Which {
    /// Each packet as soon as it comes.
    AtOnce,
    /// Packets gather for a while.
    Gathering,
    Rtpengine,
    /// The kernel does it by itself.
    Kernel,
    /// Its NAT does.
    Nat,
    /// There is nothing between the two ends.
    Nobody,
}

/// A server with its sessions.
enum Server {
    Parkway(Parkway, Box<Phones>),
    Rtpengine(Rtpengine),
    Nat(Nat),
    Nobody,
}

impl Server {
    fn start(which: Which, cpu: Option<usize>, coalesce: u32) -> Server {
        match which {
            Which::AtOnce | Which::Gathering | Which::Kernel => {
                let coalesce = if which == Which::Gathering { coalesce } else { 0 };
                let parkway = start_parkway(cpu, coalesce, if which == Which::Kernel { "required" } else { "off" });
                let phones = Box::new(Phones::new(&parkway));
                Server::Parkway(parkway, phones)
            }
            Which::Rtpengine => Server::Rtpengine(Rtpengine::start(cpu)),
            Which::Nat => Server::Nat(Nat::start()),
            Which::Nobody => Server::Nobody,
        }
    }

    fn bridge(&mut self, session: usize, own: Session) -> Session {
        match self {
            Server::Parkway(_, phones) => phones.bridge(session, own),
            Server::Rtpengine(rtpengine) => rtpengine.bridge(session, own),
            Server::Nat(nat) => nat.bridge(session, own),
            Server::Nobody => [own[1], own[0]],
        }
    }

    fn ids(&self) -> Vec<u32> {
        match self {
            Server::Parkway(parkway, _) => vec![parkway.id()],
            Server::Rtpengine(rtpengine) => rtpengine.ids(),
            Server::Nat(_) | Server::Nobody => Vec::new(),
        }
    }

    fn memory_bytes(&self) -> u64 {
        self.ids().into_iter().map(kernel::memory_bytes).sum()
    }
}

/// A run that counts.
struct Run {
    outcome: Outcome<Times>,
    /// Of the server, bytes a session.
    memory: f64,
}

impl Run {
    /// CPU time a packet, nanoseconds, of all threads together.
    fn nanos(&self) -> f64 {
        let [before, after] = &self.outcome.looks;
        let sum = |times: &Times| times.values().sum::<Duration>();
        sum(after).saturating_sub(sum(before)).as_secs_f64() * 1e9 / self.outcome.in_time.max(1) as f64
    }

    /// How long it took to send a packet, nanoseconds. The longest hundredth is left out: in that the machine did something else.
    fn sending_nanos(&self) -> f64 {
        let counted = self.outcome.sending.len() * 99 / 100;
        let sum: Duration = self.outcome.sending.iter().take(counted).sum();
        sum.as_secs_f64() * 1e9 / counted.max(1) as f64
    }

    fn transit_micros(&self, per_mille: usize) -> f64 {
        let times = &self.outcome.transit;
        let at = (times.len() * per_mille / 1000).min(times.len().saturating_sub(1));
        times.get(at).copied().unwrap_or_default().as_secs_f64() * 1e6
    }

    /// PERF "How to measure": less than one in a thousand lost, and less than one in a hundred still under way at the end.
    fn is_sustained(&self) -> bool {
        let Outcome { sent, received, in_time, .. } = self.outcome;
        (sent - received) * 1_000 < sent
            && (sent - in_time) * 100 < sent
            && self.transit_micros(500) < MEDIAN_MAX.as_secs_f64() * 1e6
    }
}

struct Bench {
    cpu: Option<usize>,
    options: Options,
}

impl Bench {
    fn servers(&self) -> Vec<Which> {
        let all = [Which::AtOnce, Which::Gathering, Which::Rtpengine];
        all.into_iter().filter(|which| *which != Which::Rtpengine || self.options.rtpengine).collect()
    }

    fn plan(&self, rate: u32) -> Plan {
        let warm_up = if self.options.test { Duration::from_secs(1) } else { WARM_UP };
        Plan { rate, warm_up, measured: self.options.measured }
    }

    fn cost(&self) -> Vec<[String; 5]> {
        let sessions = self.options.sessions;
        let mut runs: BTreeMap<Which, Vec<Run>> = BTreeMap::new();
        for _ in 0..self.options.repeats {
            for which in self.servers() {
                let run = (0..TRIES).find_map(|_| self.run(which, self.plan(2 * LEG_RATE * sessions)));
                runs.entry(which).or_default().extend(run);
            }
        }
        let gathered = format!("… gathered for {} µs", self.options.coalesce);
        let (at_once, gathering) = (Which::AtOnce, Which::Gathering);
        let mut rows = vec![
            row(&format!("CPU ns a packet, {sessions} sessions"), &runs, at_once, "≤ 0.75", Run::nanos),
            row(&gathered, &runs, gathering, "≤ 0.55", Run::nanos),
        ];
        for (which, when) in [(at_once, "at once"), (gathering, "gathered")] {
            for (name, per_mille, goal) in [("p50", 500, "–"), ("p99", 990, "–"), ("p99.9", 999, "–")] {
                let what = format!("from end to end, {when}, {name}, µs");
                rows.push(row(&what, &runs, which, goal, |run| run.transit_micros(per_mille)));
            }
        }
        rows.push(row("bytes a session", &runs, at_once, "≤ 0.5", |run| run.memory));
        rows
    }

    /// What a packet costs that somebody forwards, all of it.
    fn offload(&self) -> Vec<[String; 5]> {
        let others = [(Which::Nat, Nat::is_installed()), (Which::Rtpengine, self.options.rtpengine)];
        let others = others.into_iter().filter_map(|(which, is_there)| is_there.then_some(which));
        let all: Vec<Which> = [Which::Nobody, Which::Kernel, Which::AtOnce].into_iter().chain(others).collect();
        let mut runs: BTreeMap<Which, Vec<Run>> = BTreeMap::new();
        for _ in 0..self.options.repeats {
            for which in &all {
                let plan = self.plan(2 * LEG_RATE * self.options.sessions);
                runs.entry(*which).or_default().extend((0..TRIES).find_map(|_| self.run(*which, plan)));
            }
        }
        let of = |which: Which, value: &dyn Fn(&Run) -> f64| -> Vec<f64> {
            runs.get(&which).map(|runs| runs.iter().map(value).collect()).unwrap_or_default()
        };
        let direct = support::median(&of(Which::Nobody, &Run::sending_nanos));
        let cost = |run: &Run| run.nanos() + run.sending_nanos() - direct;
        let mut rows = Vec::new();
        for (which, name, goal) in [
            (Which::Nat, "nftables' NAT", "≤ 0.40"),
            (Which::Rtpengine, "rtpengine", "–"),
            (Which::AtOnce, "the sockets", "–"),
        ] {
            let what = format!("ns a packet beyond a direct one, {} sessions, beside {name}", self.options.sessions);
            rows.push(support::compare(&what, &of(Which::Kernel, &cost), &of(which, &cost), goal, 0));
        }
        let transit = |run: &Run| run.transit_micros(500);
        let (ours, direct) = (of(Which::Kernel, &transit), of(Which::Nobody, &transit));
        rows.push(support::compare("from end to end, p50, µs, beside a direct one", &ours, &direct, "–", 1));
        let (ours, theirs) = (of(Which::Kernel, &Run::nanos), of(Which::AtOnce, &Run::nanos));
        rows.push(support::compare("of it in the daemon, ns, beside the sockets", &ours, &theirs, "–", 0));
        rows
    }

    /// The highest rate at which nothing is lost, by steps of a fifth and then halving the last one twice.
    fn rate(&self) -> Vec<[String; 5]> {
        let mut found = BTreeMap::new();
        for which in self.servers() {
            let holds = |rate: u32| {
                // Twice: the machine may have been busy with something else.
                (0..2).any(|_| self.run(which, self.plan(rate)).is_some_and(|run| run.is_sustained()))
            };
            let (mut low, mut high) = (0, 2 * LEG_RATE * self.options.sessions);
            while holds(high) && !self.options.test {
                (low, high) = (high, high + high / 5);
            }
            for _ in 0..if self.options.test { 0 } else { 2 } {
                let middle = low.midpoint(high);
                if middle > low && holds(middle) { low = middle } else { high = middle }
            }
            found.insert(which, vec![f64::from(if self.options.test { high } else { low })]);
        }
        let row = |which, what| row_of(what, &found, which, "≥ 1.3");
        vec![row(Which::AtOnce, "loss-free packets a second, one core"), row(Which::Gathering, "… gathered")]
    }

    /// One run; `None` if it does not count.
    fn run(&self, which: Which, plan: Plan) -> Option<Run> {
        let (mut server, mut audio) = (Server::start(which, self.cpu, self.options.coalesce), Audio::new());
        let mut bridge = |sessions: std::ops::Range<u32>, server: &mut Server| {
            for session in sessions {
                let session = session as usize;
                audio.add(server.bridge(session, [audio.own(session, 0), audio.own(session, 1)]));
            }
        };
        // The first sessions pay for what all share.
        let (all, first) = (self.options.sessions, self.options.sessions / 10);
        bridge(0..first, &mut server);
        let before = server.memory_bytes();
        bridge(first..all, &mut server);
        let memory = server.memory_bytes().saturating_sub(before) as f64 / f64::from(all - first);
        let outcome = audio.run(plan, || kernel::cpu_times(&server.ids()));
        let run = Run { outcome, memory };
        let Outcome { sent, received, reordered, corrupted, misrouted, late, .. } = run.outcome;
        println!(
            "{which:?}, {} packets a second: {sent} sent, {} lost, {:.0} ns each, {:.0} ns to send, p50 {:.0} µs",
            plan.rate,
            sent - received,
            run.nanos(),
            run.sending_nanos(),
            run.transit_micros(500)
        );
        assert_eq!(
            (reordered, corrupted, misrouted),
            (0, 0, 0),
            "what comes is what was sent, in its order, from the right port"
        );
        assert!(!self.options.test || received * 10 > sent * 9, "the packets come through");
        if late > LATE_MAX && !self.options.test {
            println!("… does not count: the generator was {:.1} ms late", late.as_secs_f64() * 1e3);
            return None;
        }
        Some(run)
    }
}

/// Runs this program again where there is a loopback interface of its own: NAT and programs there concern nobody else.
fn in_a_namespace() {
    let own = std::env::current_exe().expect("Linux says which program runs");
    let inside = ["--net", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""];
    let status =
        Command::new("unshare").args(inside).arg(own).args(std::env::args_os().skip(1)).env(INSIDE, "1").status();
    match status {
        Ok(status) if status.success() => {}
        other => println!(
            "not measured: {other:?}; a network namespace takes root, and the Debian packages util-linux and iproute2"
        ),
    }
}

/// With one relay thread, as there is one core for it, and all ports of an address that nobody else uses.
fn start_parkway(cpu: Option<usize>, coalesce: u32, offload: &str) -> Parkway {
    let directory = tempfile::TempDir::new().expect("there is room for a file");
    let file = directory.path().join("parkway.toml");
    std::fs::write(&file, subscription::configuration(1)).expect("there is room for a file");
    let set = ["media.workers=1", "media.address=127.0.0.2", "media.port_min=10000", "media.port_max=64999"];
    let (coalesce, offload) = (format!("media.coalesce_us={coalesce}"), format!("media.offload={offload}"));
    let set = set.iter().copied().chain([coalesce.as_str(), offload.as_str()]).flat_map(|set| ["--set", set]);
    let file = file.to_str().expect("the path is text");
    let arguments: Vec<&str> = ["--config", file].into_iter().chain(set).collect();
    Parkway::start_with(cpu, &arguments)
}

/// A caller and a client for each call, one call after the other.
struct Phones {
    server: SocketAddr,
    trunk: UdpSocket,
    client: UdpSocket,
    subscription: Subscription,
}

impl Phones {
    fn new(parkway: &Parkway) -> Phones {
        let socket = || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
            socket.connect(parkway.sip).expect("loopback is reachable");
            socket.set_read_timeout(Some(PATIENCE)).expect("the time is not zero");
            socket
        };
        let subscription = Subscription::open(parkway.http, 0);
        Phones { server: parkway.sip, trunk: socket(), client: socket(), subscription }
    }

    fn bridge(&mut self, session: usize, [caller_media, client_media]: Session) -> Session {
        let (number, of_client) = (session as u64, CLIENT_NUMBERS + session as u64);
        let leg = |socket: &UdpSocket, number, target: &str, media| {
            let own = socket.local_addr().expect("it is bound");
            Leg::new(number, own, target).with_media(SocketAddr::V4(media))
        };
        let target = format!("sip:+493000{session:05}@{}", self.server);
        let mut caller = leg(&self.trunk, number, &target, caller_media);
        send(&self.trunk, &caller.invite(""));
        let Invitation { uri, token } = self.invitation();
        let mut client = leg(&self.client, of_client, &uri, client_media);
        let jwt = &self.subscription.jwt;
        send(&self.client, &client.invite(&format!("Authorization: Bearer {jwt}\r\nX-Bridge-Token: {token}\r\n")));
        let for_client = answered(&self.client, &mut client);
        let for_caller = answered(&self.trunk, &mut caller);
        [for_caller, for_client]
    }

    fn invitation(&mut self) -> Invitation {
        let begun = Instant::now();
        loop {
            if let Some(invitation) = self.subscription.poll() {
                return invitation;
            }
            assert!(begun.elapsed() < PATIENCE, "the client is told of no call");
            std::thread::yield_now();
        }
    }
}

/// Waits for the 200 and acknowledges it; says where the audio is to go.
fn answered(socket: &UdpSocket, leg: &mut Leg) -> std::net::SocketAddrV4 {
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).expect("the call is answered");
        let message = std::str::from_utf8(&buffer[..length]).expect("all we sent was text");
        match leg::status(message, "INVITE") {
            Some(100..=199) | None => {}
            Some(200) => {
                leg.hear(message);
                send(socket, &leg.acknowledge());
                return leg::media_address(message).expect("a 200 has a description");
            }
            Some(_) => panic!("the call is refused:\n{message}"),
        }
    }
}

fn send(socket: &UdpSocket, message: &str) {
    socket.send(message.as_bytes()).expect("loopback is reachable");
}

/// Medians of both servers and their ratio.
fn row(
    what: &str,
    runs: &BTreeMap<Which, Vec<Run>>,
    which: Which,
    goal: &str,
    value: impl Fn(&Run) -> f64,
) -> [String; 5] {
    let values = runs.iter().map(|(which, runs)| (*which, runs.iter().map(&value).collect())).collect();
    row_of(what, &values, which, goal)
}

fn row_of(what: &str, values: &BTreeMap<Which, Vec<f64>>, which: Which, goal: &str) -> [String; 5] {
    let of = |which: Which| values.get(&which).map(Vec::as_slice).unwrap_or_default();
    support::compare(what, of(which), of(Which::Rtpengine), goal, 0)
}
