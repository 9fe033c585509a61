//! A policy server that does whatever a server can do wrong, and the real daemon: nobody gets a call without its yes, every callback has its
//! answer, and every caller waits on as before. `PARKWAY_CALLBACKS=10000 cargo test --test policy_server` is the long form.
//! Not here: what an answer means (`policy::server`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::credentials::Rights;
use common::story::{call_back, park};
use common::{Daemon, Setup, Subscriber, Wire, until};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What the server does, by the subject that it is asked about; all but the last deny.
const MOODS: [&str; 12] = [
    "hangs",
    "closes",
    "dribbles",
    "floods",
    "floods-head",
    "nonsense",
    "fails",
    "redirects",
    "undefined",
    "denies",
    "breaks-off",
    "allows",
];
/// From a callback to its answer at the latest (PRODUCT "Policy").
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Listens, and counts how often it allowed something and how many connections there were.
#[derive(Default)]
struct Counts {
    allowed: AtomicU32,
    connections: AtomicU32,
}

fn serve() -> (SocketAddr, Arc<Counts>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, counts) = (listener.local_addr().unwrap(), Arc::<Counts>::default());
    let shared = Arc::clone(&counts);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let counts = Arc::clone(&shared);
            counts.connections.fetch_add(1, Ordering::Relaxed);
            // Whoever is cut off has no more to say.
            thread::spawn(move || drop(attend(stream, &counts)));
        }
    });
    (address, counts)
}

/// The body of the next request.
fn read(from: &mut impl BufRead) -> std::io::Result<String> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            let mut body = vec![0; length];
            from.read_exact(&mut body)?;
            return Ok(String::from_utf8(body).unwrap());
        }
    }
}

fn attend(mut stream: TcpStream, counts: &Counts) -> std::io::Result<()> {
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    let mut from = BufReader::new(stream.try_clone()?);
    loop {
        let asked: serde_json::Value = serde_json::from_str(&read(&mut from)?).unwrap();
        let input = &asked["input"];
        assert_eq!((&input["action"], &input["called"]), (&"bridge".into(), &"4930123456".into()), "{asked}");
        let mut say = |status: &str, body: &str| {
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        };
        let yes = r#"{"result":{"allow":true,"reason":"asked"}}"#;
        match input["subject"].as_str().unwrap() {
            "hangs" => thread::sleep(Duration::from_secs(3)),
            "closes" => return Ok(()),
            "dribbles" => {
                for byte in format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{yes}", yes.len()).bytes() {
                    stream.write_all(&[byte])?;
                    thread::sleep(Duration::from_millis(50));
                }
            }
            "floods" => {
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")?;
                (0..1_000).try_for_each(|_| stream.write_all(&[b' '; 1_000_000]))?;
            }
            "floods-head" => {
                write!(stream, "HTTP/1.1 200 OK\r\nX: ")?;
                (0..1_000).try_for_each(|_| stream.write_all(&[b'x'; 1_000_000]))?;
            }
            "nonsense" => say("200 OK", r#"{"result":{"allow":"true"}}"#)?,
            "fails" => say("500 Internal Server Error", yes)?,
            "redirects" => say("307 Temporary Redirect\r\nLocation: /yes", yes)?,
            "undefined" => say("200 OK", "{}")?,
            "denies" => say("200 OK", r#"{"result":{"allow":false,"reason":"time_not_granted"}}"#)?,
            "breaks-off" => return write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{yes}"),
            _ => {
                counts.allowed.fetch_add(1, Ordering::Relaxed);
                say("200 OK", yes)?;
            }
        }
    }
}

#[test]
fn no_call_is_had_without_the_servers_yes_and_each_callback_has_its_answer() {
    let callbacks: usize = std::env::var("PARKWAY_CALLBACKS").map_or(96, |text| text.parse().unwrap());
    let (address, counts) = serve();
    let url = format!("policy.http_url=http://{address}");
    let daemon = Daemon::start_as(&Setup::with(&["policy.engines=grants,http", &url, "policy.http_timeout_ms=700"]));
    let mut clients = MOODS.map(|mood| {
        let name = format!("demo/{mood}");
        let mut client = Subscriber::open(&daemon, &name, &Rights::full(&name).of(mood));
        client.expect("synced");
        client
    });
    let rounds = callbacks.div_ceil(MOODS.len());
    for round in 0..rounds {
        let mut caller = park(&daemon);
        let told = clients.each_mut().map(Subscriber::incoming);
        // All of the bad ones at once: none takes anything from another.
        let bad = MOODS.len() - 1;
        let begun = Instant::now();
        let mut waiting: Vec<_> = (0..bad).map(|at| call_back(&daemon, &clients[at], &told[at], Wire::Plain)).collect();
        for (side, mood) in waiting.iter_mut().zip(MOODS) {
            let refusal = side.phone.expect(403);
            let expected = match mood {
                "denies" => "time_not_granted",
                "undefined" => "policy_denied",
                _ => "policy_unavailable",
            };
            assert!(refusal.header("warning").contains(expected), "{mood}: {refusal:?}");
        }
        // Twice as long, for a busy machine.
        assert!(begun.elapsed() < ANSWER_MAX * 2, "{:?}", begun.elapsed());
        let mut other = call_back(&daemon, &clients[bad], &told[bad], Wire::Plain);
        other.phone.expect(200);
        caller.phone.expect(200);
        caller.phone.hang_up();
        other.phone.be_hung_up_on();
        clients.iter_mut().zip(&told).for_each(|(client, told)| drop(client.gone(&told.call, "answered_elsewhere")));
        let record = until("a record", Duration::from_secs(10), || daemon.records().into_iter().nth(round));
        assert_eq!((&record["permit"], &record["refused_callbacks"]), (&"asked".into(), &bad.into()), "{record}");
    }
    assert_eq!(counts.allowed.load(Ordering::Relaxed) as usize, rounds);
    println!("{} callbacks, {} connections", rounds * MOODS.len(), counts.connections.load(Ordering::Relaxed));
}

#[test]
fn where_no_server_is_nobody_gets_the_call_and_it_waits_on() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("policy.http_url=http://{free}/v1/data/x");
    let daemon = Daemon::start_as(&Setup::with(&["policy.engines=http,grants", &url]));
    let mut client = Subscriber::ready(&daemon, "demo/web");
    let mut caller = park(&daemon);
    let told = client.incoming();
    let mut other = call_back(&daemon, &client, &told, Wire::Plain);
    let refusal = other.phone.expect(403);
    assert!(refusal.header("warning").contains("policy_unavailable"), "{refusal:?}");
    caller.phone.cancel();
    assert_eq!(client.gone(&told.call, "caller_cancelled"), None);
    assert_eq!(daemon.record()["last_refusal"], "policy_unavailable");
    daemon.finish(1);
}
