//! Puts questions of policy to an authentication application over HTTP/1.1, with TLS where its URL says so, and brings back what it said.
//! Whatever it does, each question has one answer, in time: a server that hangs, dribbles or floods costs its own connection and nothing else.
//! Not here: what is asked, and what an answer means (`policy::Server`); that nobody answers is an answer there.
//!
//! Connections are kept for the next question. A redirect is not followed and no proxy is asked: the operator names the server, at any
//! address, and nothing that comes over a wire can change which one it is.

use crate::id::QuestionId;
use crate::limits;
use crate::policy::{Answer, Question, Server};
use axum::body::{Body, to_bytes};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

/// Asks, on a runtime that is not the switch thread's.
pub struct Inquirer {
    runtime: Handle,
    asker: Arc<Asker>,
    answered: mpsc::Sender<(QuestionId, Answer)>,
    answers: mpsc::Receiver<(QuestionId, Answer)>,
}

struct Asker {
    tls: Arc<ClientConfig>,
    room: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

/// A connection that has nothing to say just now. Dropped, it is closed.
struct Connection {
    server: Arc<Server>,
    sender: SendRequest<Body>,
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why there is no answer.
#[derive(Debug)]
enum Failed {
    Io(io::Error),
    Http(hyper::Error),
    Status(StatusCode),
    /// It is longer than [`limits::POLICY_ANSWER_BYTES_MAX`], or broke off.
    Body,
    /// The question names no server, or one that no request can be made for.
    Unaskable,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Io(error) => write!(f, "it cannot be reached: {error}"),
            Failed::Http(error) => write!(f, "it broke off: {error}"),
            Failed::Status(status) => write!(f, "it answered {status}"),
            Failed::Body => write!(f, "its answer is too long or broke off"),
            Failed::Unaskable => write!(f, "there is no such server"),
        }
    }
}

impl Inquirer {
    /// With the authorities that vouch for servers.
    pub fn new(runtime: Handle, tls: Arc<ClientConfig>) -> Inquirer {
        let (answered, answers) = mpsc::channel(limits::SWITCH_QUEUE_MAX);
        let room = Arc::new(Semaphore::new(limits::POLICY_QUESTIONS_MAX));
        let asker = Arc::new(Asker { tls, room, idle: Mutex::default() });
        Inquirer { runtime, asker, answered, answers }
    }

    /// Asks. An error: there is no room for one more question.
    pub fn ask(&self, id: QuestionId, question: Question) -> Result<(), Answer> {
        let place = Arc::clone(&self.asker.room).try_acquire_owned().map_err(|_| Answer::Unavailable)?;
        let (asker, answered) = (Arc::clone(&self.asker), self.answered.clone());
        self.runtime.spawn(async move {
            let answer = asker.ask(&question).await;
            drop(place);
            // The switch has a deadline of its own, should the queue be full.
            drop(answered.try_send((id, answer)));
        });
        Ok(())
    }

    /// The next answer.
    pub async fn next(&mut self) -> Option<(QuestionId, Answer)> {
        self.answers.recv().await
    }
}

impl Asker {
    async fn ask(&self, question: &Question) -> Answer {
        let asked = tokio::time::timeout(question.timeout(), self.exchange(question)).await;
        match asked {
            Ok(Ok(body)) => Answer::Reply(body),
            Ok(Err(failed)) => {
                tracing::warn!("the policy server gives no answer: {failed}");
                Answer::Unavailable
            }
            Err(_) => {
                tracing::warn!(timeout = ?question.timeout(), "the policy server gives no answer in time");
                Answer::TimedOut
            }
        }
    }

    /// A connection that was kept may have been closed meanwhile, which shows when it is used: then another one is opened, once. To ask twice
    /// does no harm (RFC 9110 §9.2.2): a question changes nothing.
    async fn exchange(&self, question: &Question) -> Result<Vec<u8>, Failed> {
        let server = question.server().ok_or(Failed::Unaskable)?;
        if let Some(kept) = self.kept(server) {
            match self.send(kept, question).await {
                Err(Failed::Http(_)) => {}
                done => return done,
            }
        }
        let fresh = self.open(server).await?;
        self.send(fresh, question).await
    }

    /// One that is open to this server; those to others, which the operator has named before, are closed.
    fn kept(&self, server: &Arc<Server>) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| connection.server == *server && !connection.sender.is_closed());
        idle.pop()
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < limits::POLICY_CONNECTIONS_KEPT_MAX {
            idle.push(connection);
        }
    }

    async fn open(&self, server: &Arc<Server>) -> Result<Connection, Failed> {
        let stream = TcpStream::connect((&*server.host, server.port)).await.map_err(Failed::Io)?;
        stream.set_nodelay(true).map_err(Failed::Io)?;
        if !server.is_secure {
            return shake_hands(server, stream).await;
        }
        let name = ServerName::try_from(server.host.to_string()).map_err(|_| Failed::Unaskable)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        shake_hands(server, connector.connect(name, stream).await.map_err(Failed::Io)?).await
    }

    async fn send(&self, mut connection: Connection, question: &Question) -> Result<Vec<u8>, Failed> {
        let request = request(&connection.server, question)?;
        connection.sender.ready().await.map_err(Failed::Http)?;
        let response = connection.sender.send_request(request).await.map_err(Failed::Http)?;
        if response.status() != StatusCode::OK {
            return Err(Failed::Status(response.status()));
        }
        let body = Body::new(response.into_body());
        let body = to_bytes(body, limits::POLICY_ANSWER_BYTES_MAX).await.map_err(|_| Failed::Body)?;
        self.keep(connection);
        Ok(body.into())
    }
}

async fn shake_hands(
    server: &Arc<Server>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Connection, Failed> {
    let mut builder = Builder::new();
    builder.max_buf_size(limits::POLICY_HEAD_BYTES_MAX);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(Failed::Http)?;
    // How it ends shows where it is used.
    let task = tokio::spawn(async move { drop(connection.await) }).abort_handle();
    Ok(Connection { server: Arc::clone(server), sender, task })
}

fn request(server: &Server, question: &Question) -> Result<Request<Body>, Failed> {
    let is_v6 = server.host.contains(':');
    let host =
        if is_v6 { format!("[{}]:{}", server.host, server.port) } else { format!("{}:{}", server.host, server.port) };
    Request::builder()
        .method(Method::POST)
        .uri(&*server.path)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .body(Body::from(question.document().to_owned()))
        .map_err(|_| Failed::Unaskable)
}
