//! Softphones in a web page: JsSIP and SIP.js in a headless Chromium, over SIP on WebSocket, against the real daemon. They subscribe, hear of
//! a call, and call back with the bridge token in a header. `npm ci` in `tests/browser` brings the libraries. A page without libraries hears
//! events by EventSource and WebSocket over a network that breaks.
//! Not here: the browser's own media, which need DTLS.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use common::story::{Side, park};
use common::{Daemon, Rights, Setup, Voice, program, until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message, client};

/// How long a browser may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_page_with_either_library_calls_back_over_websocket_and_talks() {
    let Some(bundle) = bundle() else { return };
    for (library, page_hangs_up) in [("jssip", true), ("jssip", false), ("sip.js", true), ("sip.js", false)] {
        let site = Site::open(&bundle);
        let origin = format!("http://{}", site.address);
        let daemon = Daemon::start_as(&Setup::with(&[&format!("http.allowed_origins={origin}")]));
        let jwt = daemon.mint(&Rights::full("demo"));
        let mut voice = Voice::bind();
        site.give(&json!({
            "library": library, "user": "demo", "host": daemon.sip.to_string(), "jwt": jwt, "sdp": voice.sdp(),
            "sip": format!("ws://{}/sip", daemon.http), "hangsUp": page_hangs_up,
            "subscribe": format!("ws://{}/v1/subscribe?name=demo", daemon.http),
        }));
        let mut browser = Browser::open(&origin, daemon.dir());
        site.wait_for("connected");
        let Side { mut phone, voice: mut caller } = park(&daemon);
        let answer = phone.expect_within(200, PATIENCE);
        caller.talk(answer.audio().unwrap(), 440);
        let port = site.wait_for("answer ");
        voice.talk(SocketAddr::new([127, 0, 0, 1].into(), port.parse().unwrap()), 350);
        site.wait_for("confirmed");
        if page_hangs_up {
            phone.be_hung_up_on();
        } else {
            for (voice, hz) in [(&voice, 440), (&caller, 350)] {
                let heard = voice.wait_for(15);
                assert!(heard.hz().is_some_and(|tone| tone.abs_diff(hz) <= 3), "{library}: {:?}", heard.hz());
            }
            phone.hang_up();
        }
        site.wait_for("ended");
        browser.close();
        let record = daemon.finish(1).remove(0);
        assert_eq!((record["outcome"].as_str(), record["winner"].as_str()), (Some("answered"), Some("demo")));
        assert_eq!(record["ended_by"], if page_hangs_up { "client" } else { "caller" });
    }
}

/// Everything over the one WebSocket that it has: it registers with a password, is told by MESSAGE, and calls back.
#[test]
fn a_page_with_either_library_registers_is_told_and_calls_back() {
    let Some(bundle) = bundle() else { return };
    for library in ["jssip", "sip.js"] {
        let site = Site::open(&bundle);
        let origin = format!("http://{}", site.address);
        let password = "a-password-of-forty-letters-that-nobody-guesses";
        let user = format!(
            "\n[[user]]\nname = \"demo\"\nsecret = \"{password}\"\nreceive = [\"demo\"]\nbridge = [\"demo\"]\n"
        );
        let setup = Setup::with(&[&format!("http.allowed_origins={origin}")]);
        let daemon = Daemon::start_as(&Setup { tables: setup.tables.clone() + &user, ..setup });
        daemon.secrets.add(password);
        let jwt = daemon.mint(&Rights::full("demo").of("demo"));
        let mut voice = Voice::bind();
        site.give(&json!({
            "library": library, "user": "demo", "password": password, "host": daemon.sip.to_string(), "jwt": jwt,
            "sdp": voice.sdp(), "sip": format!("ws://{}/sip", daemon.http), "hangsUp": false,
        }));
        let mut browser = Browser::open(&origin, daemon.dir());
        site.wait_for("registered");
        let Side { mut phone, voice: mut caller } = park(&daemon);
        let answer = phone.expect_within(200, PATIENCE);
        caller.talk(answer.audio().unwrap(), 440);
        let port = site.wait_for("answer ");
        voice.talk(SocketAddr::new([127, 0, 0, 1].into(), port.parse().unwrap()), 350);
        let tone = caller.wait_for(15).hz().unwrap_or_default();
        assert!(tone.abs_diff(350) <= 3, "{library}: {tone} Hz");
        phone.hang_up();
        site.wait_for("ended");
        browser.close();
        daemon.wait_for_metric("parkway_sip_bindings", Duration::from_secs(10), |now| now == 0.0);
        assert_eq!(daemon.finish(1)[0]["winner"], "demo");
    }
}

#[test]
fn a_page_whose_network_is_cut_loses_no_ring_and_shows_no_ghost() {
    if !program::is_installed("chromium", "chromium") {
        return;
    }
    let site = Site::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/events.js"));
    let origin = format!("http://{}", site.address);
    let daemon = Daemon::start_as(&Setup::with(&[&format!("http.allowed_origins={origin}")]));
    let mut line = Line::to(daemon.http);
    let jwt = daemon.mint(&Rights::full("demo"));
    site.give(&json!({ "jwt": jwt, "daemon": line.address.to_string() }));
    let mut browser = Browser::open(&origin, daemon.dir());
    let ways = ["stream", "socket"];
    ways.iter().for_each(|way| _ = site.wait_for(&format!("{way} synced")));
    let mut caller = park(&daemon);
    let first = ways.map(|way| site.wait_for(&format!("{way} incoming ")));
    assert_eq!(first[0], first[1]);
    line.cut();
    caller.phone.cancel();
    caller.phone.expect(200);
    caller.phone.expect(487);
    let mut other = park(&daemon);
    line.mend();
    for way in ways {
        site.wait_for(&format!("{way} hello true"));
        assert_eq!(site.wait_for(&format!("{way} gone ")), first[0]);
        until("the other call rings", PATIENCE, || (site.count(&format!("{way} incoming ")) == 2).then_some(()));
        assert_eq!(site.count(&format!("{way} gone ")), 1);
    }
    other.phone.cancel();
    other.phone.expect(200);
    other.phone.expect(487);
    browser.close();
    daemon.finish(2);
}

/// A way to the daemon that can be cut.
struct Line {
    address: SocketAddr,
    is_up: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    fn to(daemon: SocketAddr) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, is_up) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(true)));
        let line = Line { address, is_up: Arc::clone(&is_up), open: Arc::default() };
        let open = Arc::clone(&line.open);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Some(far) = is_up.load(Ordering::SeqCst).then(|| TcpStream::connect(daemon).ok()).flatten() else {
                    continue;
                };
                open.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                for (from, to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                    std::thread::spawn(move || carry(from, to));
                }
            }
        });
        line
    }

    fn cut(&mut self) {
        self.is_up.store(false, Ordering::SeqCst);
        for end in self.open.lock().unwrap().drain(..) {
            let _gone = end.shutdown(std::net::Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.is_up.store(true, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let _broken = std::io::copy(&mut from, &mut to);
    let _gone = to.shutdown(std::net::Shutdown::Both);
}

#[test]
fn a_websocket_is_for_sip_and_for_pages_that_may() {
    let daemon = Daemon::start_as(&Setup::with(&["http.allowed_origins=https://app.example"]));
    for (path, protocol, origin, expected) in [
        ("/sip", Some("sip"), None, 101),
        ("/sip", Some("other, sip"), Some("https://app.example"), 101),
        ("/sip", Some("sip"), Some("https://evil.example"), 403),
        ("/sip", Some("other"), None, 400),
        ("/sip", None, None, 400),
        ("/elsewhere", Some("sip"), None, 404),
    ] {
        let mut request = format!("ws://{}{path}", daemon.http).into_client_request().unwrap();
        let headers = request.headers_mut();
        protocol.map(|protocol| headers.insert("sec-websocket-protocol", protocol.parse().unwrap()));
        origin.map(|origin: &str| headers.insert("origin", origin.parse().unwrap()));
        let status = match client::client(request, TcpStream::connect(daemon.http).unwrap()) {
            Ok((_, response)) => {
                assert_eq!(response.headers()["sec-websocket-protocol"], "sip");
                101
            }
            Err(tokio_tungstenite::tungstenite::HandshakeError::Failure(Error::Http(response))) => {
                response.status().as_u16()
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(status, expected, "{path} {protocol:?} {origin:?}");
    }
    daemon.finish(0);
}

#[test]
fn a_message_is_answered_on_the_connection_whatever_its_via_says() {
    let daemon = Daemon::start();
    let mut request = format!("ws://{}/sip", daemon.http).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "sip".parse().unwrap());
    let (mut socket, _) = client::client(request, TcpStream::connect(daemon.http).unwrap()).unwrap();
    socket.send(Message::Text("\r\n\r\n".into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Text("\r\n".into()));
    let options = "OPTIONS sip:demo@parkway.invalid SIP/2.0\r\nVia: SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bK56sdasks\r\n\
        Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:demo@parkway.invalid>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\
        Contact: <sip:a@df7jal23ls0d.invalid;transport=ws>\r\nContent-Length: 0\r\n\r\n";
    for message in [Message::Text(options.into()), Message::Binary(options.replace("sks\r", "skt\r").into())] {
        socket.send(message).unwrap();
        let answer = socket.read().unwrap().into_text().unwrap();
        assert!(answer.starts_with("SIP/2.0 200 OK\r\nVia: SIP/2.0/WSS df7jal23ls0d.invalid;"), "{answer}");
    }
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    daemon.finish(0);
}

/// The page's script, if everything is there that makes and runs it.
fn bundle() -> Option<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let there = program::is_there(&sources.join("node_modules/.bin/esbuild"))
        && program::is_installed("chromium", "chromium")
        && program::is_installed("node", "nodejs");
    if !there {
        return None;
    }
    let bundle = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page.js");
    let built = Command::new(sources.join("node_modules/.bin/esbuild"))
        .args(["page.js", "--bundle", "--format=esm", "--log-level=warning"])
        .arg(format!("--outfile={}", bundle.display()))
        .current_dir(&sources)
        .status()
        .unwrap();
    assert!(built.success());
    Some(bundle)
}

/// The web server of the page: it serves the page and its job, and hears what the page reports.
struct Site {
    address: SocketAddr,
    job: Arc<Mutex<Value>>,
    reports: Arc<Mutex<Vec<String>>>,
}

impl Site {
    fn open(bundle: &Path) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let site = Site { address: listener.local_addr().unwrap(), job: Arc::default(), reports: Arc::default() };
        let (job, reports) = (Arc::clone(&site.job), Arc::clone(&site.reports));
        let script = std::fs::read(bundle).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _gone = serve(stream, &script, &job, &reports);
            }
        });
        site
    }

    fn give(&self, job: &Value) {
        *self.job.lock().unwrap() = job.clone();
    }

    /// How many reports of the page begin so.
    fn count(&self, word: &str) -> usize {
        self.reports.lock().unwrap().iter().filter(|text| text.starts_with(word)).count()
    }

    /// What follows `word` in the page's report.
    fn wait_for(&self, word: &str) -> String {
        until(word, PATIENCE, || {
            let reports = self.reports.lock().unwrap();
            let wrong = reports.iter().find(|text| text.starts_with("error") || text.starts_with("failed"));
            assert!(wrong.is_none(), "{reports:?}");
            reports.iter().find_map(|text| text.strip_prefix(word).map(str::to_owned))
        })
    }
}

fn serve(stream: TcpStream, script: &[u8], job: &Mutex<Value>, reports: &Mutex<Vec<String>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((_, value)) = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (kind, content) = match first.split(' ').nth(1).unwrap_or_default() {
        "/job" => ("application/json", job.lock().unwrap().to_string().into_bytes()),
        "/page.js" => ("text/javascript", script.to_vec()),
        "/report" => {
            reports.lock().unwrap().push(String::from_utf8_lossy(&body).into_owned());
            ("text/plain", Vec::new())
        }
        _ => ("text/html", b"<!doctype html><script type=module src=/page.js></script>".to_vec()),
    };
    let mut stream = stream;
    let length = content.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&content)
}

/// A headless Chromium. Dropping it ends it, by its own id.
struct Browser(Child);

impl Browser {
    fn open(url: &str, dir: &Path) -> Browser {
        let flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
            --disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-port=0";
        let profile = format!("--user-data-dir={}", dir.join("chromium").display());
        let mut command = Command::new("chromium");
        command.args(flags.split_whitespace()).arg(profile).arg(url).env("HOME", dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Browser(command.spawn().unwrap())
    }

    /// Ends it before its directory goes.
    fn close(&mut self) {
        program::signal(self.0.id(), "TERM");
        let _ended = program::wait(&mut self.0, Duration::from_secs(10));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
