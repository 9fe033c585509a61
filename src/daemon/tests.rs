//! What shows only when all threads run, over real sockets on loopback: who gets a turn under a flood, and what peers and clients hear
//! of a stop. Calls as such are in `tests/flows`.

use super::*;
use crate::config::Sources;
use crate::name::Name;
use crate::policy::{self, Grant, Order};
use futures_util::StreamExt as _;
use serde_json::Value;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The built-in defaults on free ports, with a directory of its own.
fn config(directory: &TempDir) -> Config {
    let directory = directory.path().display();
    let set = vec![
        "sip.listen=127.0.0.1:0".into(),
        "http.listen=127.0.0.1:0".into(),
        "admin.listen=127.0.0.1:0".into(),
        format!("node.state_dir={directory}"),
        format!("records.path={directory}/cdr.jsonl"),
    ];
    Config::load(&Sources { set, ..Sources::default() }).unwrap()
}

fn invite(from: SocketAddr) -> String {
    format!(
        "INVITE sip:1@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKa;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:a@{from}>;tag=a\r\nTo: <sip:1@127.0.0.1>\r\nCall-ID: a@{from}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:a@{from}>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A caller whose call is parked.
fn parked(daemon: &Daemon) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(invite(socket.local_addr().unwrap()).as_bytes(), daemon.addresses().sip[0]).unwrap();
    assert_eq!(status(&socket), "180");
    socket
}

fn status(socket: &UdpSocket) -> String {
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn a_flood_of_datagrams_starves_neither_timers_nor_the_watchdog() {
    let directory = TempDir::new().unwrap();
    let daemon = Daemon::start(config(&directory)).unwrap();
    let (to, flooding) = (daemon.addresses().sip[0], Arc::new(AtomicBool::new(true)));
    let flood = || {
        let flooding = Arc::clone(&flooding);
        std::thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            while flooding.load(Ordering::Relaxed) {
                let _ = socket.send_to(b"OPTIONS sip:a SIP/2.0\r\n\r\n", to);
            }
        })
    };
    let floods = [flood(), flood(), flood(), flood()];
    let (began, first) = (std::time::Instant::now(), daemon.status.beats());
    while daemon.status.beats() < first + 3 {
        assert!(began.elapsed() < PATIENCE, "{} beats in {PATIENCE:?}", daemon.status.beats() - first);
        std::thread::yield_now();
    }
    flooding.store(false, Ordering::Relaxed);
    floods.into_iter().for_each(|flood| flood.join().unwrap());
}

#[test]
fn a_caller_that_did_not_hear_of_the_stop_is_told_again() {
    let directory = TempDir::new().unwrap();
    let daemon = Daemon::start(config(&directory)).unwrap();
    let caller = parked(&daemon);
    daemon.stop();
    assert_eq!([status(&caller), status(&caller)], ["503", "503"]);
    daemon.wait().unwrap();
    let records = std::fs::read_to_string(directory.path().join("cdr.jsonl")).unwrap();
    assert_eq!(records.lines().count(), 1);
}

#[test]
fn a_client_hears_that_the_server_stops() {
    let directory = TempDir::new().unwrap();
    let config = config(&directory);
    let daemon = Daemon::start(config.clone()).unwrap();
    let url = format!("ws://{}/v1/subscribe?name=demo", daemon.addresses().http);
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {}", jwt(&config)).parse().unwrap());
    let client = runtime(&mut tokio::runtime::Builder::new_current_thread()).unwrap();
    let mut channel = client.block_on(tokio_tungstenite::connect_async(request)).unwrap().0;
    let mut event = || loop {
        match client.block_on(channel.next()).unwrap().unwrap() {
            Message::Text(text) => {
                let event: Value = serde_json::from_str(&text).unwrap();
                return event["reason"].as_str().or(event["type"].as_str()).unwrap().to_owned();
            }
            Message::Close(frame) => return frame.unwrap().reason.to_string(),
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    };
    assert_eq!([event(), event()], ["hello", "synced"]);
    daemon.drain(Duration::ZERO);
    let stopped = std::thread::spawn(move || daemon.wait());
    assert_eq!([event(), event()], ["server_stopping", "server_stopping"]);
    stopped.join().unwrap().unwrap();
}

fn jwt(config: &Config) -> String {
    let names = vec![Name::parse("demo").unwrap()];
    let grant = Grant { receive: names.clone(), bridge: names, ..Grant::default() };
    let issued = Clock::start().now().wall;
    let (expires, audience) = (issued + Duration::from_secs(60), config.policy.audience.as_str());
    let order = Order { subject: "ann", audience, issued, expires, not_before: None, grant };
    policy::mint(&Keys::signing(config).unwrap(), &order).unwrap()
}
