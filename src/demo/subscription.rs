//! The client's one WebSocket (RFC 6455): subscribes to a name with a signed token, tells waiting phones of their calls, reports `ringing`.
//! One connection for all calls, and each goes to whoever waits for its caller: as an application server does it.
//! Not here: answering a call (`client`).

use super::Failure;
use super::ladder::{Ink, Ladder, Lane, Way};
use super::message::{uri_of, user_of};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long the handshake and the first event may take.
const OPEN_WITHIN: Duration = Duration::from_secs(5);
/// Orders that may wait for the connection's task.
const ORDERS: usize = 64;

/// The open subscription. Dropping it closes the connection.
pub(super) struct Subscription {
    orders: mpsc::Sender<Order>,
}

/// A call that waits for the client.
#[derive(Debug, PartialEq)]
pub(super) struct Incoming {
    /// Its id, as records have it too.
    pub(super) call: String,
    /// The bridge token.
    pub(super) token: String,
    /// The URI to call back.
    pub(super) sip: String,
    /// When the event was read.
    pub(super) at: Instant,
}

/// Where a phone hears of its call, or why it never will.
pub(super) type Awaited = oneshot::Receiver<Result<Incoming, Failure>>;

enum Order {
    /// Tell `phone` of the next call from that number.
    Expect { number: String, phone: oneshot::Sender<Result<Incoming, Failure>> },
    /// Report that a call rings.
    Ringing { call: String },
}

/// The members of an event that the client needs; events have more, and there are more kinds.
#[derive(Deserialize, Debug, PartialEq)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    Hello,
    Incoming {
        call: String,
        from: String,
        token: String,
        callback: Callback,
    },
    Gone {
        reason: String,
    },
    Closing {
        reason: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize, Debug, PartialEq)]
struct Callback {
    sip: String,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Subscription {
    /// Connects, and returns when the server has said hello.
    pub(super) async fn open(http: SocketAddr, name: &str, jwt: &str, ladder: Ladder) -> Result<Subscription, Failure> {
        let opening = async {
            let mut socket = connect(http, name, jwt, ladder).await?;
            match next_event(&mut socket, ladder).await? == Event::Hello {
                true => Ok(socket),
                false => Err(failure("the subscription does not start with hello")),
            }
        };
        let refused = || failure(format!("no subscription within {} s", OPEN_WITHIN.as_secs()));
        let socket = timeout(OPEN_WITHIN, opening).await.map_err(|_| refused())??;
        let (orders, received) = mpsc::channel(ORDERS);
        tokio::spawn(Connection { socket, orders: received, phones: BTreeMap::new(), ladder }.serve());
        Ok(Subscription { orders })
    }

    /// Asks to be told of the call from that number; the first event of it counts, and no later one.
    pub(super) async fn expect(&self, number: &str) -> Awaited {
        let (phone, awaited) = oneshot::channel();
        // If the connection is gone, the sender is dropped with the order, which the phone sees.
        let _ = self.orders.send(Order::Expect { number: number.to_owned(), phone }).await;
        awaited
    }

    /// Tells the server that the call rings. Best effort: a client that does not say so may answer as well.
    pub(super) async fn ringing(&self, call: &str) {
        let _ = self.orders.send(Order::Ringing { call: call.to_owned() }).await;
    }
}

/// Owns the connection and who waits for what.
struct Connection {
    socket: Socket,
    orders: mpsc::Receiver<Order>,
    phones: BTreeMap<String, oneshot::Sender<Result<Incoming, Failure>>>,
    ladder: Ladder,
}

impl Connection {
    async fn serve(mut self) {
        let end = loop {
            tokio::select! {
                // Orders first: who asks before the call is made must be known before the call's event is read.
                biased;
                order = self.orders.recv() => match order {
                    Some(order) => if let Err(failure) = self.obey(order).await { break failure },
                    None => {
                        let _ = self.socket.close(None).await;
                        return;
                    }
                },
                event = next_event(&mut self.socket, self.ladder) => match event {
                    Ok(event) => self.dispatch(event, Instant::now()),
                    Err(failure) => break failure,
                },
            }
        };
        for phone in self.phones.into_values() {
            let _ = phone.send(Err(end.clone()));
        }
    }

    async fn obey(&mut self, order: Order) -> Result<(), Failure> {
        match order {
            Order::Expect { number, phone } => {
                self.phones.insert(number, phone);
                Ok(())
            }
            Order::Ringing { call } => {
                let text = serde_json::json!({ "type": "ringing", "call": call }).to_string();
                self.ladder.arrow(Instant::now(), Lane::Client, Way::Sent, Ink::Event, "ringing");
                self.socket.send(Message::text(text)).await.map_err(|e| broken(&e))
            }
        }
    }

    fn dispatch(&mut self, event: Event, at: Instant) {
        match event {
            Event::Incoming { call, from, token, callback } => {
                let Some(phone) = self.phones.remove(user_of(uri_of(&from))) else { return };
                let _ = phone.send(Ok(Incoming { call, token, sip: callback.sip, at }));
            }
            Event::Hello | Event::Gone { .. } | Event::Closing { .. } | Event::Other => {}
        }
    }
}

async fn connect(http: SocketAddr, name: &str, jwt: &str, ladder: Ladder) -> Result<Socket, Failure> {
    let url = format!("ws://{http}/v1/subscribe?name={name}");
    let mut request = url.into_client_request().map_err(|e| broken(&e))?;
    let credential = HeaderValue::from_str(&format!("Bearer {jwt}")).map_err(|e| failure(format!("the JWT: {e}")))?;
    request.headers_mut().insert("Authorization", credential);
    ladder.arrow(Instant::now(), Lane::Client, Way::Sent, Ink::Event, "subscribe, JWT");
    let (socket, _) = tokio_tungstenite::connect_async(request).await.map_err(|e| broken(&e))?;
    Ok(socket)
}

/// The next event; an end of the connection is a failure that tells the server's reason. Cancel safe: nothing is kept between two reads.
async fn next_event(socket: &mut Socket, ladder: Ladder) -> Result<Event, Failure> {
    loop {
        let text = match socket.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(_))) | None => return Err(failure("the server closed the subscription")),
            // The library answers pings itself.
            Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Err(error)) => return Err(broken(&error)),
        };
        let event = serde_json::from_str(&text).map_err(|e| failure(format!("an event cannot be read: {e}")))?;
        let label = match &event {
            Event::Hello => "hello",
            Event::Incoming { .. } => "incoming, token",
            Event::Gone { reason } => &format!("gone, {reason}"),
            Event::Closing { reason } => return Err(failure(format!("the server closed the subscription: {reason}"))),
            Event::Other => return Ok(event),
        };
        ladder.arrow(Instant::now(), Lane::Client, Way::Heard, Ink::Event, label);
        return Ok(event);
    }
}

fn broken(error: &tungstenite::Error) -> Failure {
    failure(format!("subscription: {error}"))
}

fn failure(what: impl Into<String>) -> Failure {
    Failure::new(Lane::Client, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_by_what_the_client_needs_of_them() {
        let incoming = r#"{"v":1,"type":"incoming","id":"1-1","call":"0a","name":"demo","for":"demo/web",
            "from":"sip:+493023125000@127.0.0.1","from_display":null,"to":"sip:x","media":["audio"],"expires":"…",
            "token":"AQ","callback":{"sip":"sip:demo/web@127.0.0.1:5060"},"data":null,"kid":"k","signature":"s"}"#;
        let expected = Event::Incoming {
            call: "0a".to_owned(),
            from: "sip:+493023125000@127.0.0.1".to_owned(),
            token: "AQ".to_owned(),
            callback: Callback { sip: "sip:demo/web@127.0.0.1:5060".to_owned() },
        };
        for (text, event) in [
            (incoming, expected),
            (r#"{"v":1,"type":"hello","name":"demo/web"}"#, Event::Hello),
            (r#"{"type":"gone","call":"0a","reason":"timeout"}"#, Event::Gone { reason: "timeout".to_owned() }),
            (r#"{"type":"synced"}"#, Event::Other),
        ] {
            assert_eq!(serde_json::from_str::<Event>(text).unwrap(), event);
        }
        assert!(serde_json::from_str::<Event>(r#"{"type":"incoming","call":"0a"}"#).is_err());
    }
}
