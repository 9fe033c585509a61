//! A WebSocket channel's life: the browser's credential, which may be followed by newer ones, then events out and words in, then a Close frame that says why.
//! One task and one timer a channel; the socket is not split, so a channel that waits for its network does nothing else. What is seldom done is done
//! in a box of its own: a task is as large as the largest of what it may do, and ten thousand of them wait.
//! Not here: which events there are (`notify`).

use crate::call::ClientMessageKind;
use crate::event;
use crate::http::subscribe::{Caller, Newcomer};
use crate::http::word::{Pace, Word};
use crate::letter::State;
use crate::limits;
use crate::net::Slot;
use crate::notify::{Closing, NotPassed, NotWatched, Registry, Subscription};
use crate::policy::Reason;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite;

/// Runs a channel to its end; the slot comes back then.
pub(super) async fn run(
    mut socket: Box<WebSocket>,
    caller: Caller,
    registry: Arc<Registry>,
    peer: IpAddr,
    _slot: Slot,
) {
    let subscribed = match caller {
        Caller::Known(subscription) => Ok(subscription),
        Caller::Unknown(newcomer) => Box::pin(authorise(&mut socket, newcomer, &registry, peer)).await.map(Box::new),
    };
    let closing = match subscribed {
        Ok(subscription) => {
            let name = subscription.name().clone();
            let closing = Channel::new(&registry, subscription).run(&mut socket).await;
            tracing::debug!(%peer, %name, reason = closing.as_str(), "a channel ended");
            closing
        }
        Err(closing) => {
            tracing::debug!(%peer, reason = closing.as_str(), "a channel was refused");
            closing
        }
    };
    Box::pin(close(&mut socket, closing)).await;
}

/// The subscription of a client whose first message is to be its credential.
async fn authorise(
    socket: &mut WebSocket,
    newcomer: Newcomer,
    registry: &Arc<Registry>,
    peer: IpAddr,
) -> Result<Subscription, Closing> {
    let first =
        timeout(limits::CHANNEL_AUTH_WAIT_MAX, first_text(socket)).await.map_err(|_| Closing::AuthTimeout)??;
    match Word::parse(&first) {
        Some(Word::Auth { token }) => {
            let Newcomer { name, last, contacts } = newcomer;
            let subscribed = registry.subscribe(name, token.as_bytes(), Some(peer), last);
            let mut subscription = subscribed.map_err(Closing::Refused)?;
            subscription.watch(contacts).map_err(|why| match why {
                NotWatched::Refused(reason) => Closing::Refused(reason),
                NotWatched::Full => Closing::Resync,
            })?;
            Ok(subscription)
        }
        Some(Word::Decline { .. } | Word::Ringing { .. } | Word::Press { .. } | Word::Ping) => {
            Err(Closing::Refused(Reason::NoCredential))
        }
        Some(Word::Delivered { .. } | Word::Read { .. }) | None => Err(Closing::Refused(Reason::NoCredential)),
    }
}

async fn first_text(socket: &mut WebSocket) -> Result<Utf8Bytes, Closing> {
    loop {
        match socket.recv().await {
            Some(Ok(Message::Text(text))) => return Ok(text),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Binary(_))) => return Err(Closing::Refused(Reason::NoCredential)),
            Some(Ok(Message::Close(_))) | None => return Err(Closing::Left),
            Some(Err(error)) => return Err(why_broken(error)),
        }
    }
}

/// An authorised channel.
struct Channel<'a> {
    registry: &'a Registry,
    subscription: Box<Subscription>,
    mistakes: u32,
    pace: Pace,
    ping_at: Instant,
    /// Whether anything was heard since the last ping.
    heard: bool,
}

impl<'a> Channel<'a> {
    fn new(registry: &'a Registry, subscription: Box<Subscription>) -> Channel<'a> {
        let ping_at = Instant::now() + limits::CHANNEL_PING_INTERVAL;
        Channel { registry, subscription, mistakes: 0, pace: Pace::default(), ping_at, heard: true }
    }

    async fn run(mut self, socket: &mut WebSocket) -> Closing {
        loop {
            let step = tokio::select! {
                event = self.subscription.next() => match event {
                    Ok(told) => self.send_text(socket, told.text).await,
                    Err(closing) => Err(closing),
                },
                message = socket.recv() => match message {
                    Some(Ok(message)) => Box::pin(self.handle_message(socket, message)).await,
                    Some(Err(error)) => Err(why_broken(error)),
                    None => Err(Closing::Left),
                },
                () = sleep_until(self.ping_at) => self.handle_ping_due(socket).await,
            };
            if let Err(closing) = step {
                return closing;
            }
        }
    }

    async fn handle_message(&mut self, socket: &mut WebSocket, message: Message) -> Result<(), Closing> {
        self.heard = true;
        if self.pace.is_flood(std::time::Instant::now()) {
            return Err(Closing::Flood);
        }
        match message {
            Message::Text(text) => match Word::parse(&text) {
                Some(word) => self.handle_word(socket, word).await,
                None => self.handle_mistake(socket).await,
            },
            Message::Binary(_) => self.handle_mistake(socket).await,
            // The pong that answers a ping is sent by the library.
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => Err(Closing::Left),
        }
    }

    async fn handle_word(&mut self, socket: &mut WebSocket, word: Word) -> Result<(), Closing> {
        match word {
            Word::Decline { call } => {
                let passed = self.subscription.say(call, ClientMessageKind::Declined);
                self.answer(socket, passed).await
            }
            Word::Ringing { call } => {
                let passed = self.subscription.say(call, ClientMessageKind::Ringing);
                self.answer(socket, passed).await
            }
            Word::Press { call, digits } => {
                let passed = self.subscription.say(call, ClientMessageKind::Pressed(digits));
                self.answer(socket, passed).await
            }
            Word::Delivered { message } => {
                let passed = self.subscription.receipt(message, State::Delivered);
                self.answer(socket, passed).await
            }
            Word::Read { message } => {
                let passed = self.subscription.receipt(message, State::Read);
                self.answer(socket, passed).await
            }
            Word::Ping => self.send_text(socket, event::pong().into()).await,
            Word::Auth { token } => {
                self.subscription.renew(token.as_bytes())?;
                let expires = self.subscription.expires();
                self.send_text(socket, event::renewed(expires).into()).await
            }
        }
    }

    /// Nothing, unless a word could not be passed on.
    async fn answer(&mut self, socket: &mut WebSocket, passed: Result<(), NotPassed>) -> Result<(), Closing> {
        let (reason, detail) = match passed {
            Ok(()) => return Ok(()),
            Err(NotPassed::UnknownMessage) => ("unknown_message", "There is no such message for this name"),
            Err(NotPassed::UnknownCall) => ("unknown_call", "No such call waits for this name"),
            Err(NotPassed::NotGranted(reason)) => (reason.as_str(), reason.title()),
            Err(NotPassed::Busy) => ("busy", "The server is busy; say it again"),
        };
        self.send_text(socket, event::error(reason, detail).into()).await
    }

    async fn handle_mistake(&mut self, socket: &mut WebSocket) -> Result<(), Closing> {
        self.registry.count_mistake();
        self.mistakes += 1;
        if self.mistakes >= limits::CLIENT_MISTAKES_MAX {
            return Err(Closing::Mistakes);
        }
        self.send_text(socket, event::error("malformed", "The message cannot be understood").into()).await
    }

    async fn handle_ping_due(&mut self, socket: &mut WebSocket) -> Result<(), Closing> {
        if !self.heard {
            return Err(Closing::Silent);
        }
        self.heard = false;
        self.ping_at = Instant::now() + limits::CHANNEL_PING_INTERVAL;
        self.send(socket, Message::Ping(Bytes::new())).await
    }

    async fn send_text(&mut self, socket: &mut WebSocket, text: Bytes) -> Result<(), Closing> {
        let text = Utf8Bytes::try_from(text).expect("an event is a String's bytes");
        self.send(socket, Message::Text(text)).await
    }

    /// Gives a message to the network, unless the network does not take it: the client does not read.
    async fn send(&mut self, socket: &mut WebSocket, message: Message) -> Result<(), Closing> {
        tokio::select! {
            // Most often it takes it at once. A timer that is set before, only to be cleared, costs a wake-up of this thread.
            biased;
            sent = socket.send(message) => sent.map_err(why_broken),
            closing = self.subscription.cut_off() => Err(closing),
            () = sleep(limits::CHANNEL_SEND_WAIT_MAX) => Err(Closing::Slow),
        }
    }
}

/// Says why, and waits a moment for the client to have heard it: closing a socket with unread bytes would take it back.
async fn close(socket: &mut WebSocket, closing: Closing) {
    let farewell = async {
        if closing != Closing::Left {
            let event = event::closing(closing.as_str(), closing.detail());
            socket.send(Message::Text(event.into())).await?;
        }
        let frame = CloseFrame { code: closing.code(), reason: closing.as_str().into() };
        socket.send(Message::Close(Some(frame))).await?;
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<(), axum::Error>(())
    };
    // Whether the client hears it is its own affair: it is gone either way.
    let _heard = timeout(limits::CHANNEL_CLOSE_WAIT_MAX, farewell).await;
}

/// What broke a channel: a message beyond the limit, or the network.
fn why_broken(error: axum::Error) -> Closing {
    match error.into_inner().downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => Closing::TooBig,
        Some(_) | None => Closing::Left,
    }
}
