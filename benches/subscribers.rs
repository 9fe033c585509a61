//! What clients that only listen cost: the real daemon with 10,000 of them by WebSocket, by Server-Sent Events and by long poll; its memory for
//! each, and how long one event takes to reach 8,000 of them. Daemon and clients each have a CPU of their own where `taskset` is
//! there to give them one.
//!
//! `cargo bench --bench subscribers`; with `-- --test` fifty clients, to see that it works. `--clients N`, `--hear N`.

mod support;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};
use support::leg::Leg;
use support::{Arguments, Parkway, cpu, kernel, subscription};

/// How long anything may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(20);
/// Before memory is read.
const SETTLE: Duration = Duration::from_secs(2);
/// Connections from one address: below what the kernel and the daemon give one.
const PER_ADDRESS: usize = 900;
/// Those that pay for what all share.
const FIRST: usize = 20;

fn main() {
    let arguments = Arguments::read();
    let clients = arguments.number("--clients", 10_000, 50) as usize;
    let hearing = (arguments.number("--hear", 8_000, 50) as usize).min(clients);
    let (pinned, of_daemon) = cpu::pin();
    println!("{clients} clients, an event for {hearing} of them; {pinned}");
    let rows: Vec<[String; 3]> = [Way::WebSocket, Way::Stream, Way::Poll]
        .iter()
        .flat_map(|way| measure(*way, of_daemon, clients, hearing))
        .collect();
    support::print_table(&rows);
}

/// How a client listens.
#[derive(Clone, Copy)]
enum Way {
    WebSocket,
    Stream,
    Poll,
}

impl Way {
    /// With our goals: memory of a client, time of an event.
    fn texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Way::WebSocket => ("WebSocket", "≤ 4 KiB", "≤ 60 ms"),
            Way::Stream => ("Server-Sent Events", "≤ 16 KiB", "–"),
            Way::Poll => ("long poll", "≤ 16 KiB", "–"),
        }
    }
}

/// One daemon and all clients of one way.
fn measure(way: Way, of_daemon: Option<usize>, clients: usize, hearing: usize) -> Vec<[String; 3]> {
    let parkway = support::start_with_desks(of_daemon, 2, &[]);
    let credential = [subscription::credential(0), subscription::credential(1)];
    let open = |numbers: std::ops::Range<usize>| -> Vec<Client> {
        // Desk 0 is called, desk 1 never.
        let desk = |number: usize| usize::from(number >= hearing);
        numbers.map(|number| Client::open(way, parkway.http, number, desk(number), &credential[desk(number)])).collect()
    };
    let mut all = open(0..FIRST.min(clients));
    let before = parkway.memory_bytes();
    all.extend(open(all.len()..clients));
    std::thread::sleep(SETTLE);
    let after = parkway.memory_bytes();
    let (took, cpu) = fan_out(&parkway, &mut all[..hearing]);
    let a_client = after.saturating_sub(before) as f64 / 1024.0 / (clients - FIRST.min(clients - 1)) as f64;
    let (name, memory_goal, time_goal) = way.texts();
    vec![
        [format!("memory a client, {name}"), format!("{a_client:.1} KiB"), memory_goal.into()],
        [
            format!("an event to {hearing} of them"),
            format!(
                "{:.0} ms, {:.1} µs of CPU each",
                took.as_secs_f64() * 1e3,
                cpu.as_secs_f64() * 1e6 / hearing as f64
            ),
            time_goal.into(),
        ],
    ]
}

/// Parks a call; how long it takes until the last client has heard of it, and the daemon's CPU time.
fn fan_out(parkway: &Parkway, clients: &mut [Client]) -> (Duration, Duration) {
    let mut poll = Poll::new().expect("the kernel has epoll");
    for (number, client) in clients.iter().enumerate() {
        client.stream.set_nonblocking(true).expect("a socket can be told not to wait");
        let source = client.stream.as_raw_fd();
        poll.registry().register(&mut SourceFd(&source), Token(number), Interest::READABLE).expect("it is a socket");
    }
    let trunk = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let own = trunk.local_addr().expect("it is bound");
    let invite = Leg::new(1, own, &format!("sip:+4930000001@{}", parkway.sip)).invite("");
    let cpu = || kernel::cpu_times(&[parkway.id()]).values().sum::<Duration>();
    let (cpu_before, begun) = (cpu(), Instant::now());
    trunk.send_to(invite.as_bytes(), parkway.sip).expect("loopback takes it");
    let (mut events, mut left, mut took) = (Events::with_capacity(1024), clients.len(), Duration::ZERO);
    while left > 0 && begun.elapsed() < PATIENCE {
        poll.poll(&mut events, Some(Duration::from_millis(100))).expect("epoll works");
        for event in &events {
            if clients[event.token().0].hear() {
                (left, took) = (left - 1, begun.elapsed());
            }
        }
    }
    assert_eq!(left, 0, "everybody hears of the call");
    (took, cpu() - cpu_before)
}

/// One connection.
struct Client {
    stream: TcpStream,
    text: Vec<u8>,
    has_heard: bool,
}

impl Client {
    /// Connects from one of many addresses and waits until the daemon has said that it hears all.
    fn open(way: Way, http: SocketAddr, number: usize, desk: usize, credential: &str) -> Client {
        let address = u32::from(Ipv4Addr::new(127, 0, 1, 1)) + u32::try_from(number / PER_ADDRESS).expect("small");
        let mut client = Client { stream: connect(Ipv4Addr::from(address), http), text: Vec::new(), has_heard: false };
        let (path, more) = match way {
            Way::WebSocket => (
                "subscribe",
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
            ),
            Way::Stream => ("subscribe", "Accept: text/event-stream\r\n"),
            Way::Poll => ("poll", ""),
        };
        let request = |since: &str| {
            format!(
                "GET /v1/{path}?name=desk%2F{desk:02}{since} HTTP/1.1\r\nHost: {http}\r\nAuthorization: Bearer {credential}\r\n{more}\r\n"
            )
        };
        client.ask(&request(""));
        match way {
            Way::WebSocket | Way::Stream => client.wait_for("\"synced\""),
            Way::Poll => {
                client.wait_for("\"events\"");
                let text = String::from_utf8_lossy(&client.text).into_owned();
                let id = text
                    .split_once("\"id\":\"")
                    .and_then(|(_, rest)| rest.split('"').next())
                    .expect("a poll says its id");
                client.ask(&request(&format!("&since={id}")));
            }
        }
        client.text = Vec::new();
        client
    }

    fn ask(&mut self, request: &str) {
        self.stream.write_all(request.as_bytes()).expect("the daemon listens");
    }

    fn wait_for(&mut self, word: &str) {
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a socket has a timeout");
        while !self.has(word) {
            let mut buffer = [0; 4096];
            let length = self.stream.read(&mut buffer).expect("the daemon answers");
            self.text.extend_from_slice(&buffer[..length]);
            assert!(length > 0, "the daemon answers with {word}, not {}", String::from_utf8_lossy(&self.text));
        }
    }

    fn has(&self, word: &str) -> bool {
        self.text.windows(word.len()).any(|part| part == word.as_bytes())
    }

    /// Takes what has come. `true`: with it the client has heard of the call.
    fn hear(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => panic!("the daemon has hung up"),
                Ok(length) => self.text.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        let hears_now = !self.has_heard && self.has("\"incoming\"");
        self.has_heard |= hears_now;
        hears_now
    }
}

/// From that address of loopback.
fn connect(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("there are sockets left");
    socket.bind(&SocketAddr::from((from, 0)).into()).expect("all of 127/8 is loopback");
    socket.connect(&to.into()).expect("the daemon listens");
    socket.into()
}
