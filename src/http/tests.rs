//! The listeners over real sockets on loopback, with another library's WebSocket as the client. Tests of deadlines run on
//! tokio's paused clock, which jumps when nothing is left to do.

mod streams;

use super::*;
use crate::call::{ClientMessageKind, GoneReason, Notice};
use crate::notify::testing::{self, Desk, desk, gone, incoming, jwt, name, soon};
use crate::time::{Duration, Wall};
use crate::token::{self, Audience};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt as _, StreamExt as _};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// A public listener on loopback.
struct Server {
    desk: Desk,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<io::Result<()>>,
}

fn server() -> Server {
    server_with(Settings::default())
}

fn server_with(settings: Settings) -> Server {
    let desk = desk();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let registry = Arc::clone(&desk.registry);
    let (door, _switch) = crate::net::Door::open();
    let served = tokio::spawn(serve(listener, settings, (registry, None), door, async move {
        let _asked = stopped.await;
    }));
    Server { desk, address, stop, served }
}

impl Server {
    fn publish(&mut self, notice: Notice) {
        self.desk.publisher.publish(notice);
    }

    /// A channel, whatever comes of it.
    async fn connect(&self, name: &str, headers: &[(&'static str, &str)]) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        self.handshake(stream, name, headers).await
    }

    async fn handshake(&self, stream: TcpStream, name: &str, headers: &[(&'static str, &str)]) -> Client {
        let url = format!("ws://{}/v1/subscribe?name={name}", self.address);
        let mut request = url.into_client_request().unwrap();
        for (header, value) in headers {
            request.headers_mut().insert(*header, value.parse().unwrap());
        }
        Client(tokio_tungstenite::client_async(request, stream).await.unwrap().0)
    }

    /// A channel that has heard `hello`; the calls that wait come next.
    async fn subscribe(&self, name: &str) -> Client {
        let bearer = format!("Bearer {}", jwt("ann", &[name]));
        let mut client = self.connect(name, &[("authorization", &bearer)]).await;
        assert_eq!(client.event().await["type"], "hello");
        client
    }

    /// The answer to a request, as text, without the header field that tells the time.
    async fn get(&self, target: &str, headers: &str) -> String {
        get(self.address, target, headers).await
    }
}

async fn get(address: SocketAddr, target: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // A refused handshake keeps the connection; the deadline for another head ends it.
    while !is_whole(&answer) {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the whole answer: {answer}");
        answer.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    answer.split_inclusive("\r\n").filter(|line| !line.starts_with("date:")).collect()
}

fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| body.len() >= length.parse().unwrap())
}

/// The header fields of a handshake that `get` makes by hand.
const UPGRADE: &str = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

struct Client(WebSocketStream<TcpStream>);

/// The end of a channel: the reason of the `closing` event, the code and the text of the Close frame.
type End = (Option<String>, u16, String);

impl Client {
    /// The next event.
    async fn event(&mut self) -> Value {
        loop {
            match soon(self.0.next()).await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                end @ (Message::Binary(_) | Message::Close(_) | Message::Frame(_)) => panic!("{end:?} is no event"),
            }
        }
    }

    /// The next event about a call: its type and number.
    async fn call_event(&mut self) -> (String, u128) {
        loop {
            let event = self.event().await;
            if let Some(call) = event["call"].as_str() {
                return (event["type"].as_str().unwrap().to_owned(), u128::from_str_radix(call, 16).unwrap());
            }
        }
    }

    async fn say(&mut self, word: &Value) {
        self.0.send(Message::text(word.to_string())).await.unwrap();
    }

    /// Reads to the end.
    async fn end(&mut self) -> End {
        let mut reason = None;
        loop {
            match self.0.next().await.expect("a Close frame before the end").unwrap() {
                Message::Text(text) => {
                    let event: Value = serde_json::from_str(&text).unwrap();
                    if event["type"] == "closing" {
                        reason = Some(event["reason"].as_str().unwrap().to_owned());
                    }
                }
                Message::Close(frame) => {
                    let frame = frame.unwrap();
                    return (reason, frame.code.into(), frame.reason.to_string());
                }
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
            }
        }
    }
}

fn ended(code: u16, reason: &str) -> End {
    (Some(reason.to_owned()), code, reason.to_owned())
}

fn auth(token: &str) -> Value {
    json!({"type": "auth", "token": token})
}

#[tokio::test]
async fn a_credential_opens_a_channel_in_the_header_and_in_the_first_message() {
    let server = server();
    let token = jwt("ann", &["foo"]);
    let bearer = format!("Bearer {token}");
    let mut by_header = server.connect("foo/web", &[("authorization", &bearer)]).await;
    let mut by_message = server.connect("foo/web", &[]).await;
    by_message.say(&auth(&token)).await;
    for client in [&mut by_header, &mut by_message] {
        let hello = client.event().await;
        assert_eq!((&hello["type"], &hello["name"]), (&json!("hello"), &json!("foo/web")));
        assert_eq!(client.event().await["type"], "synced");
        client.say(&json!({"type": "ping"})).await;
        assert_eq!(client.event().await, json!({"v": 1, "type": "pong"}));
    }
    assert_eq!(server.desk.registry.stats().subscriptions, 2);
}

#[tokio::test]
async fn what_is_wrong_with_a_credential_is_said_at_either_door() {
    let server = server();
    let past = Wall(2_000);
    for (token, status, code, reason) in [
        ("nonsense".to_owned(), 401, 4401, "token_malformed"),
        (testing::foreign_jwt("ann", &["foo"]), 401, 4401, "token_bad_signature"),
        (testing::jwt_until("ann", &["foo"], false, past), 401, 4401, "token_expired"),
        (testing::jwt_for("ann", &["foo"], "somebody-else"), 401, 4401, "token_wrong_audience"),
        (jwt("ann", &["bar"]), 403, 4403, "name_not_granted"),
    ] {
        let headers = format!("{UPGRADE}Authorization: Bearer {token}\r\n");
        let answer = server.get("/v1/subscribe?name=foo", &headers).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{reason}: {answer}");
        assert!(answer.contains("content-type: application/problem+json\r\n"), "{answer}");
        assert_eq!(answer.contains("www-authenticate: Bearer"), status == 401, "{answer}");
        let problem: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!((&problem["reason"], &problem["status"]), (&json!(reason), &json!(status)));
        assert_eq!(problem["type"], format!("urn:parkway:problem:{}", reason.replace('_', "-")));

        let mut client = server.connect("foo", &[]).await;
        client.say(&auth(&token)).await;
        assert_eq!(soon(client.end()).await, ended(code, reason));
    }
    assert_eq!(server.desk.registry.stats().subscriptions_total, 0);
}

#[tokio::test]
async fn a_name_without_calls_or_clients_and_a_forbidden_one_look_the_same() {
    let mut server = server();
    server.publish(Notice::Incoming(incoming(1, "secret")));
    let _listener = server.subscribe("secret").await;
    let token = jwt("eve", &["foo"]);
    let headers = format!("{UPGRADE}Authorization: Bearer {token}\r\n");
    let mut answers = Vec::new();
    let mut ends = Vec::new();
    for name in ["secret", "secret/web", "nobody"] {
        answers.push(server.get(&format!("/v1/subscribe?name={name}"), &headers).await);
        let mut client = server.connect(name, &[]).await;
        client.say(&auth(&token)).await;
        ends.push(soon(client.end()).await);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:#?}");
}

#[tokio::test]
async fn a_request_that_is_no_subscription_is_refused_with_its_reason() {
    let server =
        server_with(Settings { allowed_origins: vec!["https://app.example".to_owned()], ..Settings::default() });
    let token = jwt("ann", &["foo"]);
    let (good, foreign) = ("Origin: https://app.example\r\n", "Origin: https://evil.example\r\n");
    let basic = "Authorization: Basic YW5uOmFubg==\r\n";
    for (target, headers, expected) in [
        ("/v1/subscribe?name=foo".to_owned(), String::new(), "426 not_websocket"),
        ("/v1/subscribe".to_owned(), UPGRADE.to_owned(), "400 bad_name"),
        ("/v1/subscribe?name=foo//bar".to_owned(), UPGRADE.to_owned(), "400 bad_name"),
        ("/v1/subscribe?name=foo%00".to_owned(), UPGRADE.to_owned(), "400 bad_name"),
        (format!("/v1/subscribe?name=foo&token={token}"), UPGRADE.to_owned(), "400 bad_name"),
        ("/v1/subscribe?name=foo".to_owned(), format!("{UPGRADE}{foreign}"), "403 origin_refused"),
        ("/v1/subscribe?name=foo".to_owned(), format!("{UPGRADE}{good}{foreign}"), "403 origin_refused"),
        ("/v1/subscribe?name=foo".to_owned(), format!("{UPGRADE}{good}{basic}"), "401 token_malformed"),
        ("/v1/subscribe?name=foo".to_owned(), format!("{UPGRADE}{basic}{basic}"), "401 token_malformed"),
        ("/".to_owned(), String::new(), "404 not_found"),
        ("/healthz".to_owned(), String::new(), "404 not_found"),
        ("/metrics".to_owned(), String::new(), "404 not_found"),
    ] {
        let answer = server.get(&target, &headers).await;
        let problem: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        let told = format!("{} {}", problem["status"], problem["reason"].as_str().unwrap());
        assert_eq!(told, expected, "{target} {headers}");
        assert!(answer.starts_with(&format!("HTTP/1.1 {} ", problem["status"])));
    }
    let bearer = format!("Bearer {token}");
    let mut page = server.connect("foo", &[("origin", "https://app.example"), ("authorization", &bearer)]).await;
    assert_eq!(page.event().await["type"], "hello");
}

#[tokio::test]
async fn an_event_reaches_the_name_and_those_below_and_its_end_takes_it_back() {
    let mut server = server();
    let (mut foo, mut web) = (server.subscribe("foo").await, server.subscribe("foo/web").await);
    let mut foobar = server.subscribe("foobar").await;
    server.publish(Notice::Incoming(incoming(1, "foo")));
    for client in [&mut foo, &mut web] {
        assert_eq!(client.call_event().await, ("incoming".to_owned(), 1));
    }
    let mut late = server.subscribe("foo/mobile").await;
    assert_eq!(late.call_event().await, ("incoming".to_owned(), 1));
    server.publish(gone(1, "foo", GoneReason::CallerCancelled));
    for client in [&mut foo, &mut web, &mut late] {
        assert_eq!(client.call_event().await, ("gone".to_owned(), 1));
    }
    server.publish(Notice::Incoming(incoming(2, "foobar")));
    assert_eq!(foobar.call_event().await, ("incoming".to_owned(), 2), "and nothing before it");
}

#[tokio::test]
async fn an_event_is_verified_with_the_published_key_and_its_token_opens_for_its_client() {
    let mut server = server();
    let mut client = server.subscribe("foo/web").await;
    server.publish(Notice::Incoming(incoming(1, "foo")));
    let event = loop {
        let event = client.event().await;
        if event["type"] == "incoming" {
            break event;
        }
    };
    let answer = server.get("/.well-known/parkway-keys", "").await;
    assert!(answer.contains("content-type: application/jwk-set+json\r\n"), "{answer}");
    let jwks: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let key = jwks["keys"].as_array().unwrap().iter().find(|key| key["kid"] == event["kid"]).unwrap();
    assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519")));
    let public = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = vec!["parkway-event-v1".to_owned()];
    for member in ["type", "id", "call", "name", "for", "from", "from_display", "to"] {
        lines.push(text(&event[member]));
    }
    lines.push(event["media"].as_array().unwrap().iter().map(text).collect::<Vec<_>>().join(","));
    lines.push(text(&event["expires"]));
    lines.push(text(&event["token"]));
    lines.push(text(&event["callback"]["sip"]));
    lines.push(text(&event["callback"]["dial"]));
    lines.push(text(&event["data"]));
    let signature = URL_SAFE_NO_PAD.decode(event["signature"].as_str().unwrap()).unwrap();
    UnparsedPublicKey::new(&ED25519, public).verify(lines.join("\n").as_bytes(), &signature).unwrap();

    assert_eq!(event["callback"], json!({"sip": "sip:foo/web@127.0.0.1:5060"}));
    let token = text(&event["token"]);
    for (subscriber, subject, opens) in [("foo/web", "ann", true), ("foo/web", "bob", false), ("foo", "ann", false)] {
        let audience = Audience::Client { name: &name(subscriber), subject };
        let opened = token::open(&server.desk.keys, testing::wall(), token.as_bytes(), &audience);
        assert_eq!(opened.is_ok(), opens, "{subscriber} {subject}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_delays_nobody() {
    let mut server = server();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(server.address).await.unwrap();
    let bearer = format!("Bearer {}", jwt("ann", &["foo"]));
    let _slow = server.handshake(stream, "foo", &[("authorization", &bearer)]).await;
    let mut fast = server.subscribe("foo").await;
    let data: Arc<str> = "x".repeat(32_000).into();
    let mut call = 0;
    while server.desk.registry.stats().subscriptions == 2 {
        call += 1;
        assert!(call < 10_000, "the slow one is cut off at some time");
        let parked = crate::call::Incoming { data: Some(Arc::clone(&data)), ..incoming(call, "foo") };
        server.publish(Notice::Incoming(parked));
        assert_eq!(fast.call_event().await, ("incoming".to_owned(), call));
        server.publish(gone(call, "foo", GoneReason::Timeout));
        assert_eq!(fast.call_event().await, ("gone".to_owned(), call));
    }
    assert_eq!(server.desk.registry.stats().slow_total, 1);
}

#[tokio::test]
async fn a_clients_words_come_out_of_the_switchs_queue() {
    let mut server = server();
    let mut client = server.subscribe("foo/web").await;
    server.publish(Notice::Incoming(incoming(1, "foo")));
    assert_eq!(client.call_event().await, ("incoming".to_owned(), 1));
    let call = format!("{:032x}", 1);
    client.say(&json!({"type": "ringing", "call": call})).await;
    client.say(&json!({"type": "decline", "call": call})).await;
    for kind in [ClientMessageKind::Ringing, ClientMessageKind::Declined] {
        let message = server.desk.heard().await;
        assert_eq!((message.call.0, message.kind, message.name.as_str()), (1, kind, "foo/web"));
    }
    client.say(&json!({"type": "decline", "call": format!("{:032x}", 2)})).await;
    loop {
        let event = client.event().await;
        if event["type"] == "error" {
            assert_eq!(event["reason"], "unknown_call");
            break;
        }
    }
    assert!(server.desk.messages.try_recv().is_err(), "nothing of a call that is not the client's");
}

#[tokio::test]
async fn mistakes_are_answered_and_counted_and_then_the_channel_is_closed() {
    let server = server();
    let mut client = server.subscribe("foo").await;
    assert_eq!(client.event().await["type"], "synced");
    for _ in 1..limits::CLIENT_MISTAKES_MAX {
        client.0.send(Message::text("{\"type\":\"answer\"}")).await.unwrap();
        assert_eq!(client.event().await["reason"], "malformed");
    }
    client.0.send(Message::binary(vec![1, 2])).await.unwrap();
    assert_eq!(soon(client.end()).await, ended(1008, "too_many_mistakes"));
    assert_eq!(server.desk.registry.stats().mistakes_total, u64::from(limits::CLIENT_MISTAKES_MAX));
}

#[tokio::test]
async fn a_client_that_says_too_much_is_closed() {
    let server = server();
    let mut client = server.subscribe("foo").await;
    for _ in 0..=10 * limits::CLIENT_MESSAGES_PER_SECOND_MAX {
        let _may_be_closed_by_now = client.0.send(Message::text("{\"type\":\"ping\"}")).await;
    }
    assert_eq!(soon(client.end()).await, ended(1008, "too_many_messages"));
}

#[tokio::test]
async fn a_message_beyond_the_limit_closes_the_channel() {
    let server = server();
    let mut client = server.subscribe("foo").await;
    client.0.send(Message::text("x".repeat(limits::CLIENT_MESSAGE_BYTES_MAX + 1))).await.unwrap();
    assert_eq!(soon(client.end()).await, ended(1009, "message_too_big"));
}

#[tokio::test]
async fn a_channel_ends_when_its_credential_does() {
    let server = server();
    let soon_over = testing::wall() + Duration::from_secs(2);
    let bearer = format!("Bearer {}", testing::jwt_until("ann", &["foo"], false, soon_over));
    let mut client = server.connect("foo", &[("authorization", &bearer)]).await;
    assert_eq!(client.event().await["type"], "hello");
    assert_eq!(soon(client.end()).await, ended(4401, "token_expired"));
    assert!(testing::wall().seconds() >= soon_over.seconds(), "not before its time");
}

#[tokio::test]
async fn a_channel_too_many_is_told_when_to_come_back() {
    let server = server_with(Settings { channels_per_source_max: 2, ..Settings::default() });
    let (first, _second) = (server.subscribe("foo").await, server.connect("foo", &[]).await);
    let answer = server.get("/v1/subscribe?name=foo", UPGRADE).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 5\r\n"), "{answer}");
    drop(first);
    // Another refusal than that for want of room: the place came back.
    let headers = format!("{UPGRADE}Authorization: Basic YW5uOmFubg==\r\n");
    soon(async { while !server.get("/v1/subscribe?name=foo", &headers).await.starts_with("HTTP/1.1 401 ") {} }).await;
}

#[tokio::test]
async fn the_end_of_the_server_is_told_to_all_channels() {
    let server = server();
    let (mut one, mut two) = (server.subscribe("foo").await, server.subscribe("bar").await);
    server.stop.send(()).unwrap();
    for client in [&mut one, &mut two] {
        assert_eq!(soon(client.end()).await, ended(1001, "server_stopping"));
    }
    drop((one, two));
    soon(server.served).await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "and nobody listens any more");
}

#[tokio::test(start_paused = true)]
async fn a_browser_that_does_not_say_who_it_is_is_closed() {
    let server = server();
    let mut client = server.connect("foo", &[]).await;
    assert_eq!(client.end().await, ended(4408, "auth_timeout"));
    let mut client = server.connect("foo", &[]).await;
    client.say(&json!({"type": "ping"})).await;
    assert_eq!(client.end().await, ended(4401, "no_credential"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_ping_is_closed() {
    let server = server();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let bearer = format!("Authorization: Bearer {}\r\n", jwt("ann", &["foo"]));
    let head = format!("GET /v1/subscribe?name=foo HTTP/1.1\r\nHost: x\r\n{UPGRADE}{bearer}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    let heard = String::from_utf8_lossy(&heard);
    assert!(heard.starts_with("HTTP/1.1 101 ") && heard.contains("no_pong"), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_its_time_is_dropped() {
    let server = server();
    for beginning in ["", "GET /v1/sub", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
    }
}

#[tokio::test]
async fn the_admin_listener_says_how_the_server_is() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ready = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&ready);
    let admin = Admin {
        ready: Arc::new(move || asked.load(Ordering::SeqCst)),
        metrics: Arc::new(|| "parkway_calls 0\n".to_owned()),
    };
    tokio::spawn(serve_admin(listener, admin, std::future::pending()));
    for (draining, target, status, body) in [
        (false, "/healthz", 200, "ok\n"),
        (false, "/readyz", 200, "ready\n"),
        (true, "/healthz", 200, "ok\n"),
        (true, "/readyz", 503, "draining\n"),
        (true, "/metrics", 200, "parkway_calls 0\n"),
    ] {
        ready.store(!draining, Ordering::SeqCst);
        let answer = get(address, target, "").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.ends_with(body), "{target}: {answer}");
    }
    assert!(get(address, "/metrics", "").await.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert!(get(address, "/v1/subscribe", "").await.starts_with("HTTP/1.1 404 "));
}
