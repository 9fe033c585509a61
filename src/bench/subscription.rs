//! A client's subscription as the generator has it: a WebSocket that is never waited for.
//! Not here: the call that the client makes of an event.

use super::failed;
use crate::daemon::Failure;
use crate::name::Name;
use crate::policy::{self, Algorithm, Grant, Order, SigningKey};
use crate::time::{Duration, Wall};
use serde_json::Value;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Instant, SystemTime};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, HandshakeError, Message, WebSocket, client};

/// Signs the clients' JWTs.
const SECRET: &str = "a secret of the benches, long enough for HS256";

/// How long the first events may take.
const SYNCED_WITHIN: Duration = Duration::from_secs(20);

/// What the configuration file says of the clients' key and of the numbers that they answer.
pub fn configuration(desks: u8) -> String {
    let mut text = format!("[[policy.key]]\nkid = \"bench\"\ntype = \"hs256\"\nsecret = \"{SECRET}\"\n");
    text += "[[trunk]]\nname = \"trunk\"\nallow = [\"127.0.0.1/32\"]\n";
    for desk in 0..desks {
        text += &format!("[[route]]\nnumber = \"+4930{desk:02}*\"\nname = \"desk/{desk:02}\"\n");
    }
    text
}

/// An open subscription.
pub struct Subscription {
    socket: WebSocket<TcpStream>,
    /// What the client's callbacks carry.
    pub jwt: String,
}

/// What a client is told of a parked call, as far as it calls back with it.
pub struct Invitation {
    /// Where the client calls.
    pub uri: String,
    /// What names the call.
    pub token: String,
}

impl Subscription {
    /// Subscribes one desk and waits until the daemon has said that it hears all.
    pub fn open(http: SocketAddr, desk: u8) -> Result<Subscription, Failure> {
        let jwt = credential(desk);
        let request = format!("ws://{http}/v1/subscribe?name=desk%2F{desk:02}");
        let mut request = request.into_client_request().expect("the address of a socket makes a URI");
        let bearer = format!("Bearer {jwt}").parse().expect("a JWT is text");
        request.headers_mut().insert("authorization", bearer);
        let begun = Instant::now();
        let mut shaking = client::client(request, connect(http).map_err(|error| failed(format!("{http}: {error}")))?);
        let socket = loop {
            match shaking {
                Ok((socket, _)) => break socket,
                Err(HandshakeError::Failure(error)) => return Err(failed(format!("no subscription: {error}"))),
                Err(HandshakeError::Interrupted(half)) => {
                    in_time(begun, "takes no subscription")?;
                    std::thread::yield_now();
                    shaking = half.handshake();
                }
            }
        };
        let mut subscription = Subscription { socket, jwt };
        while !subscription.poll_event().is_some_and(|event| event["type"] == "synced") {
            in_time(begun, "tells its subscriber nothing")?;
            std::thread::yield_now();
        }
        Ok(subscription)
    }

    /// For epoll.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }

    /// The next call that waits, if one was told.
    pub fn poll(&mut self) -> Option<Invitation> {
        loop {
            let event = self.poll_event()?;
            if event["type"] == "incoming" {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                return Some(Invitation { uri: text(&event["callback"]["sip"]), token: text(&event["token"]) });
            }
        }
    }

    fn poll_event(&mut self) -> Option<Value> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return serde_json::from_str(&text).ok(),
                // The answer to a ping leaves with the flush.
                Ok(_) => _ = self.socket.flush(),
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return None,
                // Cut off, because the machine was too busy to read: the calls that it is not told of fail, and the run does not count.
                Err(_) => return None,
            }
        }
    }
}

fn connect(http: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(http)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn in_time(begun: Instant, what: &str) -> Result<(), Failure> {
    if begun.elapsed() < SYNCED_WITHIN { Ok(()) } else { Err(failed(format!("the daemon {what}"))) }
}

/// The JWT of a desk's client.
pub fn credential(desk: u8) -> String {
    let names = vec![Name::parse(&format!("desk/{desk:02}")).expect("a name")];
    let grant = Grant { receive: names.clone(), bridge: names, concurrent: 1_000_000, ..Grant::default() };
    let key = SigningKey::new(Algorithm::Hs256, SECRET.as_bytes(), Some("bench")).expect("the secret is long enough");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    let issued = Wall(u64::try_from(now.as_millis()).expect("it is before the year 500 million"));
    let expires = issued + Duration::from_secs(8 * 3600);
    let subject = format!("desk-{desk:02}");
    policy::mint(&key, &Order { subject: &subject, audience: "parkway", issued, expires, not_before: None, grant })
        .expect("nothing in it is too long")
}
