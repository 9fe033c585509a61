//! A client's subscription: a WebSocket on which it hears of calls.

use super::{Daemon, Rights};
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Error, Message, WebSocket, client};

/// How long an event may take.
const EVENT_WITHIN: Duration = Duration::from_secs(10);

/// An open channel.
pub(crate) struct Subscriber {
    socket: WebSocket<TcpStream>,
    secrets: super::credentials::Secrets,
    /// The JWT that opened it, and that its callbacks carry.
    pub(crate) jwt: String,
    /// The name that it is subscribed to.
    pub(crate) name: String,
}

/// What a client is told of a parked call, as far as it calls back with it.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    /// The call's id.
    pub(crate) call: String,
    /// The bridge token.
    pub(crate) token: String,
    /// The URI to call back with the token in a header.
    pub(crate) sip: String,
    /// The URI that any phone can dial.
    pub(crate) dial: Option<String>,
    /// The whole document.
    pub(crate) event: Value,
}

impl Incoming {
    /// What the event says.
    pub(crate) fn of(event: Value) -> Incoming {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Incoming {
            call: text(&event["call"]).unwrap(),
            token: text(&event["token"]).unwrap(),
            sip: text(&event["callback"]["sip"]).unwrap(),
            dial: text(&event["callback"]["dial"]),
            event,
        }
    }
}

impl Subscriber {
    /// Subscribes with these rights and waits until the channel is in step.
    pub(crate) fn open(daemon: &Daemon, name: &str, rights: &Rights) -> Subscriber {
        let jwt = daemon.mint(rights);
        let mut subscriber = Subscriber::connect(daemon, name, &jwt).unwrap();
        assert_eq!(subscriber.next()["type"], "hello");
        subscriber
    }

    /// A subscriber who may answer, and has heard of everything that waits.
    pub(crate) fn ready(daemon: &Daemon, name: &str) -> Subscriber {
        let mut subscriber = Subscriber::open(daemon, name, &Rights::full(name));
        subscriber.expect("synced");
        subscriber
    }

    /// The handshake alone.
    pub(crate) fn connect(daemon: &Daemon, name: &str, jwt: &str) -> Result<Subscriber, Box<tungstenite::Error>> {
        Subscriber::connect_with(daemon, name, "", jwt)
    }

    /// The same with more in the query: `&last=ID`.
    pub(crate) fn connect_with(
        daemon: &Daemon,
        name: &str,
        query: &str,
        jwt: &str,
    ) -> Result<Subscriber, Box<tungstenite::Error>> {
        let uri = format!("ws://{}/v1/subscribe?name={}{query}", daemon.http, name.replace('/', "%2F"));
        let mut request = uri.into_client_request().unwrap();
        if !jwt.is_empty() {
            request.headers_mut().insert("authorization", format!("Bearer {jwt}").parse().unwrap());
        }
        let stream = TcpStream::connect(daemon.http).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(EVENT_WITHIN)).unwrap();
        let (socket, _) = client::client(request, stream).map_err(|error| match error {
            tungstenite::HandshakeError::Failure(error) => Box::new(error),
            tungstenite::HandshakeError::Interrupted(_) => panic!("no answer to the handshake"),
        })?;
        let (jwt, name) = (jwt.to_owned(), name.to_owned());
        Ok(Subscriber { socket, secrets: daemon.secrets.clone(), jwt, name })
    }

    /// The next event.
    pub(crate) fn next(&mut self) -> Value {
        self.poll(EVENT_WITHIN).expect("an event in time")
    }

    /// The next event, if there is one within that time.
    pub(crate) fn poll(&mut self, longest: Duration) -> Option<Value> {
        let deadline = Instant::now() + longest;
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.socket.get_ref().set_read_timeout(Some(left)).unwrap();
            match self.socket.read() {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Ping(_)) => self.socket.flush().unwrap(),
                Ok(other) => panic!("{other:?}"),
                Err(Error::Io(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return None;
                }
                Err(error) => panic!("the channel broke: {error}"),
            }
        }
    }

    /// The next event, which must be of that type. How a call is and was is told whenever that is known, before or after what comes next, so
    /// it counts only where it is asked for.
    pub(crate) fn expect(&mut self, kind: &str) -> Value {
        let mut event = self.next();
        while ["ended", "warning"].iter().any(|own| event["type"] == *own && kind != *own) {
            event = self.next();
        }
        assert_eq!(event["type"], kind, "{event:#}");
        event
    }

    /// The next event, which must tell of a call.
    pub(crate) fn incoming(&mut self) -> Incoming {
        let incoming = Incoming::of(self.expect("incoming"));
        self.secrets.add(&incoming.token);
        let dialled = incoming.dial.as_deref().and_then(|uri| uri.strip_prefix("sip:")?.split('@').next());
        dialled.into_iter().for_each(|token| self.secrets.add(token));
        incoming
    }

    /// The next event, which must take that call back for that reason; who won it, if anybody.
    pub(crate) fn gone(&mut self, call: &str, reason: &str) -> Option<String> {
        let event = self.expect("gone");
        assert_eq!((&event["call"], &event["reason"]), (&json!(call), &json!(reason)), "{event:#}");
        event["winner"].as_str().map(str::to_owned)
    }

    /// Says something about a call: `decline`, `ringing`.
    pub(crate) fn say(&mut self, kind: &str, call: &str) {
        self.send(Message::text(json!({"type": kind, "call": call}).to_string())).unwrap();
    }

    /// Says something about a message: `delivered`, `read`.
    pub(crate) fn say_of(&mut self, kind: &str, message: &str) {
        self.send(Message::text(json!({"type": kind, "message": message}).to_string())).unwrap();
    }

    /// Sends a frame as it is.
    pub(crate) fn send(&mut self, message: Message) -> Result<(), Box<Error>> {
        self.socket.send(message).map_err(Box::new)
    }

    /// Asserts that nothing more comes for a while.
    pub(crate) fn stays_silent(&mut self) {
        let event = self.poll(Duration::from_millis(300));
        assert!(event.is_none(), "{event:?}");
    }
}
