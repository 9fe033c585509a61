//! Subscribers by name and parked calls by name: where the switch thread, the fan-out task and the connections meet.
//! Not here: how a subscriber is connected. A channel of any kind (`http`'s WebSocket is the first) takes a [`Subscription`]
//! (`subscription`), sends what it yields and drops it at its end.

use crate::call::{ClientMessage, ClientMessageKind, Gone};
use crate::event::{Authority, EventId, Herald};
use crate::id::CallId;
use crate::letter::{Change, Sender};
use crate::limits;
use crate::name::Name;
use crate::net::Clock;
use crate::notify::announce::Announcer;
use crate::notify::closing::Closing;
use crate::notify::history::History;
use crate::notify::letters::{Numbered, Shelf, change};
use crate::notify::listeners::Listeners;
use crate::notify::parked::Parked;
use crate::notify::publisher::{FanOut, Publisher};
use crate::notify::seat::{About, Parcel, Seat, Written};
use crate::notify::subscription::{CatchUp, Subscription};
use crate::notify::watch::Presence;
use crate::policy::Reason;
use crate::rng::Rng;
use crate::switch::FromClient;
use crate::sync;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::tokio::sync::Notify;
use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

/// What the registry is told at start.
pub struct Settings {
    /// Writes the events.
    pub herald: Arc<Herald>,
    /// Keys and engine; a reload replaces them by [`Registry::replace_authority`].
    pub authority: Authority,
    /// Salts the bridge tokens; seeded from the kernel.
    pub rng: Rng,
    /// Where clients' words go, on the way to the switch thread.
    pub messages: mpsc::Sender<FromClient>,
}

/// Makes the three ends of the notification path.
pub fn open(settings: Settings) -> (Publisher, Arc<Registry>, FanOut) {
    let announcer = Announcer::new(settings.authority, settings.herald, settings.rng);
    let registry = Arc::new(Registry {
        listeners: Listeners::default(),
        parked: Parked::default(),
        history: History::default(),
        letters: Shelf::default(),
        presence: Presence::default(),
        announcer,
        clock: Clock::start(),
        messages: settings.messages,
        published: AtomicU64::new(0),
        overrun: Notify::new(),
        seats: AtomicU64::new(0),
        left: AtomicU64::new(0),
        delivered: AtomicU64::new(0),
        withheld: AtomicU64::new(0),
        slow: AtomicU64::new(0),
        resyncs: AtomicU64::new(0),
        mistakes: AtomicU64::new(0),
    });
    let (sender, receiver) = sync::tokio::sync::mpsc::channel(limits::NOTICES_QUEUED_MAX);
    let publisher = Publisher { registry: Arc::clone(&registry), jobs: sender };
    let fan_out = FanOut { registry: Arc::clone(&registry), jobs: receiver };
    (publisher, registry, fan_out)
}

/// Subscribers and parked calls. Shared by `Arc`; none of its methods waits.
pub struct Registry {
    pub(super) listeners: Listeners,
    pub(super) parked: Parked,
    pub(super) history: History,
    pub(super) letters: Shelf,
    pub(super) presence: Presence,
    pub(super) announcer: Announcer,
    pub(super) clock: Clock,
    messages: mpsc::Sender<FromClient>,
    /// Notices so far: the sequence of the newest. Written by the [`Publisher`] alone.
    pub(super) published: AtomicU64,
    /// Wakes the fan-out: a notice found its queue full.
    pub(super) overrun: Notify,
    seats: AtomicU64,
    left: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) withheld: AtomicU64,
    pub(super) slow: AtomicU64,
    pub(super) resyncs: AtomicU64,
    mistakes: AtomicU64,
}

/// What the registry counted since its start, for the metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Subscriptions now.
    pub subscriptions: u64,
    /// Subscriptions ever.
    pub subscriptions_total: u64,
    /// Calls that wait now, as clients are told.
    pub waiting: u64,
    /// Notices that the switch published.
    pub published_total: u64,
    /// Events that were handed to a channel.
    pub delivered_total: u64,
    /// Events that policy withheld.
    pub withheld_total: u64,
    /// Subscribers that were cut off because they did not read.
    pub slow_total: u64,
    /// How often all channels were closed because the fan-out was overrun.
    pub resyncs_total: u64,
    /// Clients' messages that could not be understood.
    pub mistakes_total: u64,
}

/// Why a client's word was not passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotPassed {
    /// No such call waits for this subscriber, or none any more.
    UnknownCall,
    /// There is no such message for this subscriber, or none any more.
    UnknownMessage,
    /// To decline a call is to decide about it, and its grant does not let it answer calls for this name.
    NotGranted(Reason),
    /// The switch has too much to do; the client may say it again.
    Busy,
}

impl Registry {
    /// Opens a subscription for the bearer of a JWT, or says why not. What policy says of a name is the same whether calls
    /// ever come for it or not. A client that says which event it heard last is told what it has missed; one that says nothing, or
    /// was away for too long or since before this run, is told all that waits.
    pub fn subscribe(
        self: &Arc<Self>,
        name: Name,
        jwt: &[u8],
        source: Option<IpAddr>,
        last: Option<EventId>,
    ) -> Result<Subscription, Reason> {
        let claims = self.announcer.admit(self.clock.now(), &name, jwt, source)?;
        let id = self.seats.fetch_add(1, Ordering::Relaxed);
        let seat = Arc::new(Seat::new(id, name, claims, source));
        // In this order: see `publisher`.
        self.listeners.enter(&seat);
        self.presence.enter(self.clock.now().at, &seat.name, seat.claims().grant().media);
        let counted = self.published.load(Ordering::SeqCst);
        let missed = last.and_then(|last| self.missed(&seat, last, counted));
        let resumed = missed.is_some();
        let catch_up = missed.unwrap_or_else(|| self.all_waiting(&seat.name, counted));
        Ok(Subscription::new(Arc::clone(self), seat, CatchUp { parcels: catch_up, counted, resumed }))
    }

    /// Whether the bearer of a JWT might subscribe to this name now.
    pub fn check(&self, name: &Name, jwt: &[u8], source: Option<IpAddr>) -> Result<(), Reason> {
        self.announcer.admit(self.clock.now(), name, jwt, source).map(drop)
    }

    /// What happened after `last` up to `counted`, newest first; `None` if that cannot be told.
    fn missed(&self, seat: &Seat, last: EventId, counted: u64) -> Option<Vec<Parcel>> {
        let name = &seat.name;
        if last.epoch != self.announcer.herald.epoch || last.sequence > counted {
            return None;
        }
        let ended = |(sequence, gone): (u64, Arc<Gone>)| {
            let (about, text) = (About::Call(gone.call, gone.called.clone()), self.announcer.gone(sequence, &gone));
            Parcel::Written(Arc::new(Written { sequence, about, text }))
        };
        let ends = self.history.since(last.sequence, name)?.into_iter().map(ended);
        let mut missed: Vec<Parcel> = ends.filter(|end| end.sequence() <= counted).collect();
        missed.extend(self.waiting(name, last.sequence, counted));
        let letters = self.letters.lock();
        let written = letters.since(last.sequence, name)?;
        let sender = Sender::Client(seat.subject);
        let changed: Vec<(u64, Change)> =
            letters.changed_since(last.sequence, &sender).map(|kept| (kept.changed, change(kept))).collect();
        drop(letters);
        missed.extend(self.written(written, counted));
        let states = changed.iter().filter(|(sequence, _)| *sequence <= counted);
        let state = |(sequence, change): &(u64, Change)| self.announcer.message_state(*sequence, change);
        missed.extend(states.map(state).map(|written| Parcel::Written(Arc::new(written))));
        missed.sort_unstable_by_key(|parcel| Reverse(parcel.sequence()));
        Some(missed)
    }

    /// All that waits up to `counted`, newest first: calls, and messages that no client has said that it has.
    fn all_waiting(&self, name: &Name, counted: u64) -> Vec<Parcel> {
        let mut all = self.waiting(name, 0, counted);
        let letters = self.letters.lock().waiting_for(name);
        all.extend(self.written(letters, counted));
        all.sort_unstable_by_key(|parcel| Reverse(parcel.sequence()));
        all
    }

    fn written(&self, letters: Vec<Numbered>, counted: u64) -> impl Iterator<Item = Parcel> {
        let letters = letters.into_iter().filter(move |(sequence, _)| *sequence <= counted);
        letters.map(|(sequence, letter)| Parcel::Written(Arc::new(self.announcer.message(sequence, &letter))))
    }

    /// The calls that wait and were announced after `last` up to `counted`, newest first.
    fn waiting(&self, name: &Name, last: u64, counted: u64) -> Vec<Parcel> {
        let waiting = self.parked.waiting_for(name).into_iter();
        waiting.filter(|call| (last + 1..=counted).contains(&call.sequence)).map(Parcel::Incoming).collect()
    }

    /// The end of a subscription.
    pub(super) fn leave(&self, seat: &Arc<Seat>, watched: &[Name]) {
        self.listeners.leave(seat);
        self.presence.unwatch(seat, watched);
        self.presence.leave(self.clock.now().at, &seat.name, seat.claims().grant().media);
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets a subscriber go on with a newer credential of its own: it may come to more or less, and lasts as long as that one does.
    pub(super) fn renew(&self, seat: &Seat, jwt: &[u8]) -> Result<(), Closing> {
        let now = self.clock.now();
        let claims = self.announcer.admit(now, &seat.name, jwt, seat.source).map_err(Closing::Refused)?;
        if claims.subject_hash() != seat.subject {
            return Err(Closing::OtherSubject);
        }
        let media = claims.grant().media;
        let before = seat.renew(claims);
        self.presence.enter(now.at, &seat.name, media);
        self.presence.leave(now.at, &seat.name, before.grant().media);
        Ok(())
    }

    /// Passes a subscriber's word on a call to the switch.
    pub(super) fn pass_on(&self, seat: &Seat, call: CallId, kind: ClientMessageKind) -> Result<(), NotPassed> {
        // Whose a call is that waits no more, the switch alone knows: the client that policy has let answer it.
        let is_of_own = matches!(kind, ClientMessageKind::Pressed(_));
        if !is_of_own && !self.parked.reaches(call, &seat.name) {
            return Err(NotPassed::UnknownCall);
        }
        if kind == ClientMessageKind::Declined {
            let called = self.parked.called(call, &seat.name).ok_or(NotPassed::UnknownCall)?;
            let may = self.announcer.may_answer(self.clock.now(), seat, (call, &called));
            may.map_err(NotPassed::NotGranted)?;
        }
        let message = ClientMessage { call, name: seat.name.clone(), subject: seat.claims().subject().into(), kind };
        self.say(FromClient::Call(message))
    }

    pub(super) fn say(&self, word: FromClient) -> Result<(), NotPassed> {
        self.messages.try_send(word).map_err(|_| NotPassed::Busy)
    }

    /// Ends all subscriptions: at the end of the server, or so that all clients start over.
    pub fn cut_all(&self, closing: Closing) {
        self.listeners.cut_all(closing);
    }

    /// Replaces keys and engine after a reload. Subscriptions stay; their next event is decided by the new engine.
    pub fn replace_authority(&self, authority: Authority) {
        self.announcer.replace_authority(authority);
    }

    /// The public key that verifies events, as a JWK Set (RFC 7517, RFC 8037).
    pub fn jwks(&self) -> &str {
        self.announcer.herald.signer.jwks()
    }

    /// A client's message could not be understood.
    pub fn count_mistake(&self) {
        self.mistakes.fetch_add(1, Ordering::Relaxed);
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Left first: a subscription that ends in between must not make the difference negative.
        let left = read(&self.left);
        let entered = read(&self.seats);
        Stats {
            subscriptions: entered.saturating_sub(left),
            subscriptions_total: entered,
            waiting: self.parked.len() as u64,
            published_total: read(&self.published),
            delivered_total: read(&self.delivered),
            withheld_total: read(&self.withheld),
            slow_total: read(&self.slow),
            resyncs_total: read(&self.resyncs),
            mistakes_total: read(&self.mistakes),
        }
    }
}
