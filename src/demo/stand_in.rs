//! Tests of the two endpoints together, before a daemon and without one: a stand-in that pairs calls by the token and passes on what
//! each end says. It lets the ends exchange audio directly by handing each the other's offer, and can be told to misbehave.
//! Not here: anything that resembles Parkway's own way of doing it; `tests/demo.rs` runs against the real daemon.

use super::dialog::respond;
use super::message::{Message as Sip, Start, user_of};
use super::*;
use axum::Router;
use axum::extract::ws::{Message as Frame, WebSocketUpgrade};
use axum::routing::get;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::broadcast;

/// In what the stand-in differs from a good server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    /// It takes no calls.
    Refuses,
    /// The first datagram of each request is lost.
    Loses,
}

/// An INVITE that was received: what is needed to answer it later and to send a BYE.
#[derive(Clone)]
struct Leg {
    invite: Arc<Sip>,
    peer: SocketAddr,
}

struct StandIn {
    fault: Fault,
    socket: UdpSocket,
    events: broadcast::Sender<String>,
    records: PathBuf,
    parked: BTreeMap<String, Leg>,
    /// By Call-ID: the leg itself, and the other one.
    bridged: BTreeMap<String, (Leg, Leg)>,
    dropped: BTreeSet<String>,
}

impl StandIn {
    async fn serve(mut self) {
        let mut buffer = [0; 4096];
        loop {
            let (length, peer) = self.socket.recv_from(&mut buffer).await.unwrap();
            let Some(message) = Sip::read(&buffer[..length]) else { continue };
            let Start::Request(method) = &message.start else { continue };
            let key = format!("{method} {}", message.branch().unwrap());
            if self.fault == Fault::Loses && method != "ACK" && self.dropped.insert(key) {
                continue;
            }
            match method.as_str() {
                "INVITE" if message.header("x-bridge-token").is_some() => self.bridge(message, peer).await,
                "INVITE" => self.park(message, peer).await,
                "BYE" => self.pass_on_bye(message, peer).await,
                "CANCEL" => self.answer(&Leg { invite: Arc::new(message), peer }, "200 OK", "").await,
                _ => {}
            }
        }
    }

    async fn park(&mut self, invite: Sip, peer: SocketAddr) {
        let leg = Leg { invite: Arc::new(invite), peer };
        if self.fault == Fault::Refuses {
            return self.answer(&leg, "403 Forbidden", "").await;
        }
        self.answer(&leg, "100 Trying", "").await;
        self.answer(&leg, "180 Ringing", "").await;
        let from = leg.invite.header("from").unwrap().split(['<', '>']).nth(1).unwrap().to_owned();
        let callback = format!("sip:{NAME}@{}", self.socket.local_addr().unwrap());
        let event = serde_json::json!({
            "type": "incoming", "call": format!("id-{}", user_of(&from)), "from": from, "token": user_of(&from),
            "callback": { "sip": callback },
        });
        self.parked.insert(user_of(&from).to_owned(), leg);
        self.events.send(event.to_string()).unwrap();
    }

    async fn bridge(&mut self, invite: Sip, peer: SocketAddr) {
        assert_eq!(invite.header("authorization"), Some("Bearer jwt for demo/web"));
        let client = Leg { invite: Arc::new(invite), peer };
        let token = client.invite.header("x-bridge-token").unwrap().to_owned();
        let Some(caller) = self.parked.remove(&token) else { return };
        self.answer(&client, "200 OK", &caller.invite.body).await;
        self.answer(&caller, "200 OK", &client.invite.body).await;
        for (leg, other) in [(&caller, &client), (&client, &caller)] {
            let id = leg.invite.header("call-id").unwrap().to_owned();
            self.bridged.insert(id, (leg.clone(), other.clone()));
        }
    }

    async fn pass_on_bye(&mut self, bye: Sip, peer: SocketAddr) {
        let id = bye.header("call-id").unwrap().to_owned();
        self.answer(&Leg { invite: Arc::new(bye), peer }, "200 OK", "").await;
        let Some((leg, other)) = self.bridged.remove(&id) else { return };
        let header = |name| other.invite.header(name).unwrap();
        let text = format!(
            "BYE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKx\r\nFrom: {};tag=s\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\n\r\n",
            header("to"),
            header("from"),
            header("call-id")
        );
        self.socket.send_to(text.as_bytes(), other.peer).await.unwrap();
        self.record(&leg, &other);
    }

    fn record(&self, leg: &Leg, other: &Leg) {
        let token = leg.invite.header("x-bridge-token").or(other.invite.header("x-bridge-token")).unwrap();
        let line = serde_json::json!({ "call": format!("id-{token}"), "from": token }).to_string();
        let text = std::fs::read_to_string(&self.records).unwrap_or_default();
        std::fs::write(&self.records, text + &line + "\n").unwrap();
    }

    async fn answer(&self, leg: &Leg, status: &str, body: &str) {
        let local = self.socket.local_addr().unwrap();
        // One fixed tag, so that a BYE from here is within the dialog.
        let text = respond(&leg.invite, status);
        let to = text.lines().find(|line| line.starts_with("To: ")).unwrap();
        let tagged = format!("{};tag=s", to.split(";tag=").next().unwrap());
        let text = text.replace(to, if leg.invite.header("to").unwrap().contains("tag=") { to } else { &tagged });
        let text = text.replace("Content-Length: 0\r\n\r\n", &format!("Contact: <sip:{local}>\r\n\r\n{body}"));
        self.socket.send_to(text.as_bytes(), leg.peer).await.unwrap();
    }
}

async fn http(events: broadcast::Sender<String>) -> SocketAddr {
    let subscribe = move |upgrade: WebSocketUpgrade| async move {
        upgrade.on_upgrade(|mut socket| async move {
            let mut events = events.subscribe();
            socket.send(Frame::text(r#"{"type":"hello"}"#)).await.unwrap();
            while let Ok(event) = events.recv().await {
                if socket.send(Frame::text(event)).await.is_err() {
                    return;
                }
            }
        })
    };
    let router = Router::new().route("/readyz", get(|| async {})).route("/v1/subscribe", get(subscribe));
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Runs the demo against a stand-in with that fault.
async fn outcome(fault: Fault, calls: u32) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let (events, _) = broadcast::channel(64);
    let socket = UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let http = http(events.clone()).await;
    let orders = Arc::new(Mutex::new(Vec::new()));
    let target = Target {
        sip: socket.local_addr().unwrap(),
        http,
        admin: http,
        records: directory.path().join("cdr.jsonl"),
        mint: Box::new({
            let orders = Arc::clone(&orders);
            move |request| {
                orders.lock().unwrap().push((request.subject.to_owned(), request.concurrent));
                format!("jwt for {}", request.name)
            }
        }),
    };
    let (records, parked, bridged, dropped) =
        (target.records.clone(), BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    let stand_in = StandIn { fault, socket, events, records, parked, bridged, dropped };
    let serving = tokio::spawn(stand_in.serve());
    let outcome = run(&target, Options { calls, concurrency: 4 }).await;
    serving.abort();
    assert_eq!(*orders.lock().unwrap(), [(SUBJECT.to_owned(), calls.min(4) * 2)]);
    outcome
}

#[tokio::test]
async fn one_call_and_many_calls_hold_every_line() {
    for calls in [1, 5] {
        let outcome = outcome(Fault::None, calls).await;
        assert!(outcome.holds(), "{outcome:?}");
        assert_eq!((outcome.calls, outcome.good), (calls, calls));
    }
}

#[tokio::test]
async fn a_request_that_is_lost_is_sent_again() {
    let outcome = outcome(Fault::Loses, 1).await;
    assert!(outcome.holds(), "{outcome:?}");
}

#[tokio::test]
async fn a_server_that_refuses_is_a_failure_of_both_ends() {
    let outcome = outcome(Fault::Refuses, 1).await;
    assert!(!outcome.holds());
    let failures = ["1 × client: no notification within 5 s", "1 × trunk: 403 Forbidden instead of 180 Ringing"];
    assert_eq!(outcome.failures, failures);
}
