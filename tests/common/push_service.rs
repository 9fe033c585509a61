//! A push service of the tests' own: HTTP/1.1 and HTTP/2 over TLS, by a certificate of the tests' authority. It notes what it is asked and answers as
//! a test wants.
//! Not here: whether what it was asked is right; each test verifies that as the true service would.

use super::authority::Authority;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use tokio_rustls::TlsAcceptor;

/// How long a push may take.
const ASKED_WITHIN: Duration = Duration::from_secs(10);

/// What it was asked.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) version: Version,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) at: Instant,
}

impl Asked {
    /// A header's value; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// How it answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// With a status, `Retry-After` perhaps, and a body.
    Status(u16, Option<u64>, &'static str),
    /// Not at all.
    Never,
}

/// A running service.
pub(crate) struct PushService {
    pub(crate) address: SocketAddr,
    asked: mpsc::Receiver<Asked>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    _runtime: tokio::runtime::Runtime,
}

impl PushService {
    /// One that takes everything.
    pub(crate) fn start(authority: &Authority) -> PushService {
        let (_, _, (chain, key)) = authority.sign("localhost");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, asked) = mpsc::channel();
        let answers: Arc<Mutex<VecDeque<Answer>>> = Arc::default();
        runtime.spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), sender, Arc::clone(&answers)));
        PushService { address, asked, answers, _runtime: runtime }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The next answers, before it takes everything again.
    pub(crate) fn will_answer(&self, answers: &[Answer]) {
        self.answers.lock().unwrap().extend(answers.iter().cloned());
    }

    /// What it is asked next.
    pub(crate) fn next(&self) -> Asked {
        self.poll(ASKED_WITHIN).expect("a push in time")
    }

    /// The same, if there is anything within that time.
    pub(crate) fn poll(&self, longest: Duration) -> Option<Asked> {
        self.asked.recv_timeout(longest).ok()
    }

    /// Asserts that it is asked nothing for a while.
    pub(crate) fn stays_silent(&self) {
        let asked = self.poll(Duration::from_millis(400));
        assert!(asked.is_none(), "{asked:?}");
    }
}

async fn serve(
    listener: tokio::net::TcpListener,
    acceptor: TlsAcceptor,
    sender: mpsc::Sender<Asked>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, sender, answers) = (acceptor.clone(), sender.clone(), Arc::clone(&answers));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| answer(request, sender.clone(), Arc::clone(&answers)));
            let _ended = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<hyper::body::Incoming>,
    sender: mpsc::Sender<Asked>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    let path = parts.uri.path_and_query().unwrap().to_string();
    let is_token = path == "/token";
    // Before the test hears of it: what it wants answered from then on is for the next one.
    let wanted = if is_token { None } else { answers.lock().unwrap().pop_front() };
    let _ = sender.send(Asked { version: parts.version, path, headers: parts.headers, body, at: Instant::now() });
    let (status, retry, text) = match wanted {
        Some(Answer::Status(status, retry, text)) => (status, retry, text.to_owned()),
        Some(Answer::Never) => return std::future::pending().await,
        None if is_token => (200, None, format!("{{\"access_token\":\"{}\",\"expires_in\":3600}}", super::unique())),
        None => (200, None, String::new()),
    };
    let mut response = Response::builder().status(status);
    if let Some(seconds) = retry {
        response = response.header("retry-after", seconds);
    }
    Ok(response.body(Full::from(text)).unwrap())
}
