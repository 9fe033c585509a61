//! Bad input from everywhere: the configuration file, datagrams, session descriptions, credentials, WebSocket frames. What is
//! wrong is told or counted, nothing panics, and a call that waits meanwhile is answered afterwards.
//! Not here: the torture messages of the RFCs (`torture`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::setup::SECRET;
use common::story::{NUMBER, Side, assert_can_be_answered, bridge, credentials, park};
use common::voice::describe;
use common::{Daemon, Incoming, Phone, Rights, Setup, Subscriber, Voice, Wire, unique, until};
use parkway::rng::Rng;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message as Frame;

/// Starts the program with that file; its exit code and what it complains of.
fn start_with(dir: &TempDir, text: &str) -> (Option<i32>, Vec<String>) {
    let file = dir.path().join("parkway.toml");
    fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_parkway"));
    let output = command.arg("--config").arg(&file).env_remove("RUST_LOG").output().unwrap();
    assert!(output.stdout.is_empty(), "complaints go to standard error");
    let text = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text.lines().map(str::to_owned).collect())
}

#[test]
fn a_mistake_in_the_configuration_is_one_line_with_file_line_key_and_remedy_and_exit_78() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().display().to_string();
    fs::write(dir.path().join("short"), "too short").unwrap();
    let key = |material: &str| format!("[[policy.key]]\nkid = \"k\"\ntype = \"hs256\"\n{material}\n");
    for (text, place, remedy) in [
        ("[park]\nseconds_maxx = 5\n".to_owned(), ":2: park.seconds_maxx: ", "seconds_max"),
        ("[parkk]\nseconds_max = 5\n".to_owned(), ":1: parkk: ", "park"),
        ("[park]\n\nseconds_max = \"soon\"\n".to_owned(), ":3: park.seconds_max: ", "number"),
        ("[park]\nfallback_status = 200\n".to_owned(), ":2: park.fallback_status: ", "300 to 699"),
        ("[sip]\nlisten = [\"127.0.0.1\"]\n".to_owned(), ":2: sip.listen[0]: ", "port"),
        ("[sip]\nlisten = [\n".to_owned(), ":", ""),
        ("[[trunk]]\nname = \"x\"\nallow = [\"10.0.0.0/33\"]\n".to_owned(), ":3: trunk[0].allow[0]: ", "/"),
        ("[[route]]\nnumber = \"*\"\nname = \"a//b\"\n".to_owned(), ":3: route[0].name: ", ""),
        (key(&format!("secret_file = \"{path}/nowhere\"")), ":4: policy.key[0].secret_file: ", "nowhere"),
        (key(&format!("secret_file = \"{path}/short\"")), ":4: policy.key[0].secret_file: ", "openssl rand"),
        (format!("[token]\nkey_file = \"{path}/nowhere\"\n"), ":2: token.key_file: ", "nowhere"),
        (format!("[token]\nkey_file = \"{path}\"\n"), ":2: token.key_file: ", ""),
    ] {
        let (code, lines) = start_with(&dir, &text);
        assert_eq!((code, lines.len()), (Some(78), 1), "{text}{lines:#?}");
        let start = format!("parkway: {path}/parkway.toml{place}");
        assert!(
            lines[0].starts_with(&start) && lines[0].contains(remedy),
            "{text}{lines:#?}\nwanted: {start}…{remedy}"
        );
        assert!(lines[0].len() > start.len() + 10, "{lines:#?}");
    }
}

#[test]
fn a_port_that_is_taken_is_one_line_with_its_key_and_exit_69() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let sip = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (taken, sip) = (taken.local_addr().unwrap(), sip.local_addr().map(|address| (sip, address)).unwrap());
    let dir = TempDir::new().unwrap();
    let secret = dir.path().join("clients.secret");
    fs::write(&secret, SECRET).unwrap();
    // A secret that all can read would be a line of its own.
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let free = Setup::default().file(dir.path()).replace("\"trace\"", "\"info\"");
    let http = "[http]\nlisten = \"127.0.0.1:0\"";
    for (key, from, to) in [
        ("sip.listen", "[sip]\nlisten = [\"127.0.0.1:0\"]", format!("[sip]\nlisten = [\"{}\"]", sip.1)),
        ("http.listen", http, format!("[http]\nlisten = \"{taken}\"")),
        ("admin.listen", "[admin]\nlisten = \"127.0.0.1:0\"", format!("[admin]\nlisten = \"{taken}\"")),
    ] {
        assert!(free.contains(from));
        let (code, lines) = start_with(&dir, &free.replace(from, &to));
        let last = lines.last().cloned().unwrap_or_default();
        assert_eq!((code, lines.len()), (Some(69), 1), "{key}: {lines:#?}");
        assert!(last.starts_with("parkway: ") && last.contains(key) && last.contains("choose another port"), "{last}");
    }
}

/// A daemon with a caller who waits, and a route for noise whose calls do not wait long.
struct Besieged {
    daemon: Daemon,
    client: Subscriber,
    caller: Side,
    waiting: Incoming,
}

impl Besieged {
    fn start() -> Besieged {
        let tables = format!(
            "[[trunk]]\nname = \"gateway\"\nallow = [\"127.0.0.0/8\"]\n\
             [[route]]\nnumber = \"{NUMBER}\"\nname = \"demo\"\n\
             [[route]]\nnumber = \"*\"\nname = \"noise\"\npark_seconds = 1\n"
        );
        let daemon = Daemon::start_as(&Setup { tables, ..Setup::default() });
        let mut client = Subscriber::ready(&daemon, "demo");
        let caller = park(&daemon);
        let waiting = client.incoming();
        Besieged { daemon, client, caller, waiting }
    }

    /// The call that waited through it all is answered; everything that was accepted has its record.
    fn end(mut self) {
        assert!(self.daemon.is_alive(), "{}", self.daemon.log());
        assert_can_be_answered(&self.daemon, &self.client, &self.waiting, &mut self.caller);
        let total = || self.daemon.metrics().sum("parkway_calls_total");
        let counted = until("the noise is over", Duration::from_secs(10), || {
            let before = total();
            (self.daemon.metrics().sum("parkway_calls") == 0.0 && before == total()).then_some(before)
        });
        assert_eq!(self.daemon.metrics().sum("parkway_panics_total"), 0.0);
        let records = (0..).take_while(|records| f64::from(*records) < counted).count();
        let records = self.daemon.finish(records);
        let answered = records.iter().filter(|record| record["outcome"] == "answered");
        assert_eq!(answered.count(), 1);
    }
}

/// Asks whether the daemon listens, which also keeps the sender from running ahead of it.
fn assert_listens(daemon: &Daemon) {
    let mut phone = Phone::new(daemon.sip, Wire::Plain);
    phone.ask(&format!("sip:{}", daemon.sip), "OPTIONS");
    phone.expect(200);
}

/// A whole INVITE for the noise, as a phone would send it, or a callback with a token that is none.
fn invite(local: SocketAddr, daemon: SocketAddr, jwt: &str) -> Vec<u8> {
    let sdp = common::voice::sdp(local, "sendrecv", 1);
    let extra = if jwt.is_empty() { String::new() } else { credentials("x".repeat(140).as_str(), jwt) };
    let (branch, call, length) = (unique(), unique(), sdp.len());
    format!(
        "INVITE sip:999@{daemon} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{branch};rport\r\nMax-Forwards: 70\r\n\
         From: \"Noise\" <sip:noise@{local}>;tag={branch}\r\nTo: <sip:999@{daemon}>\r\nCall-ID: {call}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:noise@{local}>\r\n{extra}Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{sdp}"
    )
    .into_bytes()
}

fn below(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(u32::try_from(bound).unwrap())).unwrap()
}

/// Bytes without sense, a message cut off, or one with some bits turned.
fn broken(rng: &mut Rng, whole: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    match rng.below(4) {
        0 => {
            bytes = vec![0; below(rng, 1500)];
            rng.fill(&mut bytes);
        }
        1 => bytes.truncate(below(rng, whole.len())),
        _ => {
            for _ in 0..=rng.below(8) {
                let at = below(rng, bytes.len());
                bytes[at] ^= 1 << rng.below(8);
            }
        }
    }
    bytes
}

#[test]
fn ten_thousand_broken_datagrams_leave_a_waiting_call_unharmed() {
    let besieged = Besieged::start();
    let daemon = &besieged.daemon;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let jwt = daemon.mint(&Rights::full("demo"));
    let mut rng = Rng::from_seed([42; 32]);
    for round in 0..10_000 {
        let jwt = if round % 2 == 0 { "" } else { jwt.as_str() };
        let whole = invite(socket.local_addr().unwrap(), daemon.sip, jwt);
        socket.send_to(&broken(&mut rng, &whole), daemon.sip).unwrap();
        if round % 50 == 0 {
            assert_listens(daemon);
        }
    }
    assert_listens(daemon);
    let least = 1000.0;
    daemon.wait_for_metric("parkway_sip_malformed_total", Duration::from_secs(5), |count| count > least);
    besieged.end();
}

/// Session descriptions that no call can be made of.
fn bad_descriptions() -> Vec<String> {
    let local: SocketAddr = "127.0.0.1:40000".parse().unwrap();
    let good = describe(local, "sendrecv", 1, &[(0, "PCMU/8000")]);
    let long = "a=x:".to_owned() + &"y".repeat(20_000);
    vec![
        "this is no session description".into(),
        "v=0\r\n".into(),
        good.replace("v=0", "v=1"),
        good.replace("m=audio 40000 RTP/AVP 0", "m=audio 99999 RTP/AVP 0"),
        good.replace("m=audio 40000 RTP/AVP 0", "m=audio 40000 RTP/AVP"),
        good.replace("m=audio", "m=video"),
        good.replace("RTP/AVP", "UDP/TLS/RTP/SAVPF"),
        good.replace("c=IN IP4 127.0.0.1", "c=IN IP4 255.255.255.255"),
        good.replace("c=IN IP4 127.0.0.1", "c=IN IP4 224.2.1.1/127"),
        good.replace("c=IN IP4 127.0.0.1", "c=IN IP4 1.2.3"),
        good.replace("c=IN IP4 127.0.0.1\r\n", ""),
        format!("{good}{long}\r\n"),
        good + &"m=audio 40002 RTP/AVP 0\r\n".repeat(100),
    ]
}

#[test]
fn a_bad_session_description_is_refused_wherever_it_comes_and_harms_no_call() {
    let besieged = Besieged::start();
    let Besieged { daemon, client, waiting, .. } = &besieged;
    for sdp in bad_descriptions() {
        let mut caller = Phone::new(daemon.sip, Wire::Plain);
        caller.invite(&format!("sip:999@{}", daemon.sip), "", &sdp);
        let status = caller.final_response().status();
        assert!(matches!(status, Some(400 | 413 | 488)), "{status:?} for\n{sdp}");
        let mut other = Phone::new(daemon.sip, Wire::Plain);
        other.invite(&waiting.sip, &credentials(&waiting.token, &client.jwt), &sdp);
        let status = other.final_response().status();
        assert!(matches!(status, Some(400 | 413 | 488)), "{status:?} to the callback for\n{sdp}");
    }
    besieged.end();
}

#[test]
fn a_bad_session_description_in_a_re_invite_leaves_the_call_as_it_was() {
    let daemon = Daemon::start();
    let mut client = Subscriber::ready(&daemon, "demo");
    let (mut caller, mut other) = bridge(&daemon, &mut client);
    for sdp in bad_descriptions() {
        caller.phone.request("INVITE", &sdp);
        let status = caller.phone.final_response().status();
        assert!(matches!(status, Some(400 | 413 | 488)), "{status:?} for\n{sdp}");
    }
    let before = caller.voice.heard().packets;
    caller.voice.wait_for(before + 10);
    assert!(other.phone.hears_nothing(Duration::from_millis(50)), "the other side is not bothered");
    caller.phone.hang_up();
    other.phone.be_hung_up_on();
    daemon.finish(1);
}

#[test]
fn a_malformed_credential_gets_401_with_a_challenge_and_the_call_waits_on() {
    let besieged = Besieged::start();
    let Besieged { daemon, client, waiting, .. } = &besieged;
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhIiwiYXVkIjoicGFya3dheSIsImV4cCI6OTk5OTk5OTk5OX0.";
    let mut forged = client.jwt.clone();
    forged.replace_range(forged.len() - 5..forged.len() - 4, "_");
    let huge = format!("{}.{}.{}", "a".repeat(5000), "b".repeat(5000), "c".repeat(43));
    for (jwt, id) in [
        ("", "no_credential"),
        ("x", "token_malformed"),
        ("a.b.c", "token_malformed"),
        ("..", "token_malformed"),
        (none, "token_"),
        (&forged, "token_bad_signature"),
        (&huge, "token_malformed"),
        ("\u{e4}\u{f6}.\u{1f4a9}.\u{0}", "token_malformed"),
    ] {
        let mut phone = Phone::new(daemon.sip, Wire::Plain);
        let bearer = if jwt.is_empty() { String::new() } else { format!("Authorization: Bearer {jwt}\r\n") };
        let headers = format!("X-Bridge-Token: {}\r\n{bearer}", waiting.token);
        phone.invite(&waiting.sip, &headers, &Voice::bind().sdp());
        let answer = phone.final_response();
        // A NUL or a header beyond all bounds makes it a bad message before it is a bad credential.
        if answer.status() != Some(400) {
            assert_eq!(answer.status(), Some(401), "{jwt:.60}: {answer:?}");
            assert!(answer.header("www-authenticate").starts_with("Bearer "), "{answer:?}");
            assert!(answer.header("warning").contains(id), "{jwt:.60}: {}", answer.header("warning"));
        }
        // RFC 6750 §3: the same over HTTP.
        let refused = Subscriber::connect(daemon, "demo", jwt.trim_matches('\u{0}'));
        assert!(jwt.is_empty() || !jwt.is_ascii() || refused.is_err(), "{jwt:.60} opened a channel");
    }
    besieged.end();
}

/// A WebSocket by hand, so that it can be broken.
fn raw_channel(daemon: &Daemon, jwt: &str) -> TcpStream {
    let mut stream = TcpStream::connect(daemon.http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(
        stream,
        "GET /v1/subscribe?name=demo HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {jwt}\r\n\r\n",
        daemon.http
    )
    .unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    stream
}

#[test]
fn broken_frames_and_words_end_their_own_channel_and_no_other() {
    let mut besieged = Besieged::start();
    let daemon = &besieged.daemon;
    let long_ping = [&b"\x89\xfe\x00\x7e\x00\x00\x00\x00"[..], &[0; 126]].concat();
    for frame in [
        &b"\x81\x02hi"[..],                                          // not masked (RFC 6455 §5.1)
        b"\xff\x80\x00\x00\x00\x00",                                 // an unknown opcode and reserved bits
        b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", // longer than everything
        b"\x81\x81\x00\x00\x00\x00\xff",                             // not UTF-8
        &long_ping,                                                  // a control frame of more than 125 bytes (§5.5)
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = raw_channel(daemon, &besieged.client.jwt);
        stream.write_all(frame).unwrap();
        // Whatever the daemon says first, it hangs up.
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert!(
            ended.is_ok() || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset),
            "{frame:?}"
        );
    }
    let rights = Rights::full("demo/other");
    let mut rude = Subscriber::open(daemon, "demo/other", &rights);
    rude.incoming();
    rude.expect("synced");
    for (mistake, word) in
        ["", "{", "[[[[", r#"{"type":"answer"}"#, r#"{"type":"decline","call":"../../etc/passwd"}"#].iter().enumerate()
    {
        rude.send(Frame::text(*word)).unwrap();
        let kind = if mistake < 4 { "error" } else { "closing" };
        rude.expect(kind);
    }
    let mut other = Subscriber::open(daemon, "demo/other", &rights);
    other.incoming();
    other.expect("synced");
    // A call of nobody's.
    other.say("decline", &"0".repeat(32));
    assert_eq!(other.expect("error")["reason"], "unknown_call");
    besieged.client.stays_silent();
    besieged.end();
}

#[test]
fn one_who_may_hear_of_a_call_and_says_nonsense_in_sip_is_refused_each_time() {
    let besieged = Besieged::start();
    let Besieged { daemon, client, waiting, .. } = &besieged;
    for (token, uri) in [
        ("", waiting.sip.clone()),
        ("%00%00", waiting.sip.clone()),
        (waiting.token.as_str(), format!("sip:demo%2F@{}", daemon.sip)),
        (waiting.token.as_str(), format!("sip:{}@{}", "x".repeat(300), daemon.sip)),
        (&waiting.token[1..], waiting.sip.clone()),
        (&"A".repeat(4000), waiting.sip.clone()),
    ] {
        let mut phone = Phone::new(daemon.sip, Wire::Plain);
        phone.invite(&uri, &credentials(token, &client.jwt), &Voice::bind().sdp());
        let status = phone.final_response().status();
        assert!(matches!(status, Some(400 | 403)), "{status:?} for {token:.40} to {uri:.60}");
    }
    besieged.end();
}
