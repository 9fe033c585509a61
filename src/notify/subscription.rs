//! One subscriber's ordered stream of events: `hello`, what it has missed or the calls that wait already, `synced`, then what happens.
//! Not here: the socket. The same stream is for every kind of channel.

use crate::call::ClientMessageKind;
use crate::event::{self, EventId};
use crate::id::{CallId, LetterId};
use crate::letter::State;
use crate::name::Name;
use crate::notify::announce::NotTold;
use crate::notify::closing::Closing;
use crate::notify::registry::{NotPassed, Registry};
use crate::notify::seat::{About, Parcel, Seat};
use crate::notify::watch::NotWatched;
use crate::policy::Reason;
use crate::sync::atomic::Ordering;
use crate::sync::tokio;
use crate::time::{Duration, Wall};
use bytes::Bytes;
use std::sync::Arc;

/// The longest wait for a credential's end before the wall clock is read again: it may have been set meanwhile.
const EXPIRY_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// A subscriber's end; dropping it ends the subscription.
pub struct Subscription {
    registry: Arc<Registry>,
    seat: Arc<Seat>,
    stage: Stage,
    catch_up: CatchUp,
    /// The names that it watches.
    contacts: Vec<Name>,
}

/// What a subscriber is told at the start.
pub(super) struct CatchUp {
    /// Newest first, so that the oldest can be popped.
    pub(super) parcels: Vec<Parcel>,
    /// Notices up to this one happened before the start: what is still to be told of them is here, and the queue's are skipped.
    pub(super) counted: u64,
    /// Whether the client is told what it has missed, and not all that waits.
    pub(super) resumed: bool,
}

enum Stage {
    /// Nothing was said yet.
    Hello,
    /// Telling what was before.
    CatchUp,
    /// Telling what happens.
    Live,
}

/// An event, as a subscriber is told it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// Of what.
    pub what: What,
    /// The place in the stream after it, to which a client may come back; events that are no notice have none.
    pub id: Option<EventId>,
    /// The JSON document.
    pub text: Bytes,
}

/// What an event tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// The channel's beginning.
    Hello,
    /// That what was before is told.
    Synced,
    /// A call, or a message.
    Notice,
    /// Who is there.
    Presence,
}

impl Subscription {
    /// A stream that starts with what was before.
    pub(super) fn new(registry: Arc<Registry>, seat: Arc<Seat>, catch_up: CatchUp) -> Subscription {
        Subscription { registry, seat, stage: Stage::Hello, catch_up, contacts: Vec::new() }
    }

    /// The name subscribed to.
    pub fn name(&self) -> &Name {
        &self.seat.name
    }

    /// Whether it goes on where the client's last one ended; else all that waits is told, and what the client shows besides is gone.
    pub fn is_resumed(&self) -> bool {
        self.catch_up.resumed
    }

    /// When the credential ends, and the subscription with it.
    pub fn expires(&self) -> Wall {
        self.seat.claims().expires()
    }

    /// Watches these names: who is there is told after what waits, and whenever it changes.
    pub fn watch(&mut self, contacts: Vec<Name>) -> Result<(), NotWatched> {
        let mut present = self.registry.watch(&self.seat, &contacts)?;
        self.contacts = contacts;
        present.reverse();
        self.catch_up.parcels.splice(0..0, present);
        Ok(())
    }

    /// Goes on with a newer credential of the same subject; an error ends it.
    pub fn renew(&mut self, jwt: &[u8]) -> Result<(), Closing> {
        self.registry.renew(&self.seat, jwt)
    }

    /// The next event, as soon as there is one, or why there will be none. Safe to cancel: no event is lost.
    pub async fn next(&mut self) -> Result<Told, Closing> {
        loop {
            if let Some(told) = self.poll_event()? {
                return Ok(told);
            }
            let remaining = Duration::from_millis(self.expires().0.saturating_sub(self.registry.clock.now().wall.0));
            tokio::select! {
                () = self.seat.woken() => {}
                () = tokio::time::sleep(remaining.min(EXPIRY_CHECK_INTERVAL)) => {}
            }
        }
    }

    /// Returns when the subscription is cut off, for a channel that waits for its network and cannot call [`Subscription::next`].
    pub async fn cut_off(&self) -> Closing {
        self.seat.cut_off().await
    }

    /// Passes the client's word on a call to the switch.
    pub fn say(&self, call: CallId, kind: ClientMessageKind) -> Result<(), NotPassed> {
        self.registry.pass_on(&self.seat, call, kind)
    }

    /// Passes on that the client has a message, or that somebody has read it.
    pub fn receipt(&self, letter: LetterId, state: State) -> Result<(), NotPassed> {
        self.registry.receipt(&self.seat, letter, state)
    }

    /// The next event if there is one by now.
    pub fn poll_event(&mut self) -> Result<Option<Told>, Closing> {
        if self.registry.clock.now().wall >= self.expires() {
            return Err(Closing::Refused(Reason::TokenExpired));
        }
        if let Some(closing) = self.seat.closing() {
            return Err(closing);
        }
        match self.stage {
            Stage::Hello => {
                self.stage = Stage::CatchUp;
                let text = event::hello(&self.seat.name, self.expires(), self.catch_up.resumed).into();
                Ok(Some(Told { what: What::Hello, id: None, text }))
            }
            Stage::CatchUp => self.poll_catch_up().map(Some),
            Stage::Live => self.poll_live(),
        }
    }

    fn poll_catch_up(&mut self) -> Result<Told, Closing> {
        while let Some(parcel) = self.catch_up.parcels.pop() {
            if let Some(told) = self.tell(&parcel)? {
                return Ok(told);
            }
        }
        self.stage = Stage::Live;
        self.catch_up.parcels = Vec::new();
        let id = self.registry.announcer.herald.id(self.catch_up.counted);
        Ok(Told { what: What::Synced, id: Some(id), text: event::synced(id).into() })
    }

    fn poll_live(&mut self) -> Result<Option<Told>, Closing> {
        while let Some(parcel) = self.seat.pop() {
            if parcel.sequence() <= self.catch_up.counted {
                continue;
            }
            if let Some(told) = self.tell(&parcel)? {
                return Ok(Some(told));
            }
        }
        Ok(None)
    }

    /// The event for a notice, unless its call is gone meanwhile or policy withholds it.
    fn tell(&self, parcel: &Parcel) -> Result<Option<Told>, Closing> {
        let Registry { announcer, clock, parked, delivered, withheld, .. } = &*self.registry;
        let now = clock.now();
        let about = match parcel {
            Parcel::Incoming(waiting) if !parked.holds(waiting) => return Ok(None),
            Parcel::Incoming(waiting) => About::Call(waiting.call.call, waiting.call.called.clone()),
            Parcel::Written(written) => written.about.clone(),
            Parcel::Presence(_) => About::Own,
        };
        let may = match (&about, parcel) {
            (_, Parcel::Presence(seen)) => announcer.may_watch(now, &self.seat, &seen.name),
            (About::Call(call, called), _) => announcer.may_receive(now, &self.seat, Some((*call, called))),
            (About::Letter(_), _) => announcer.may_receive(now, &self.seat, None),
            (About::Own, _) => Ok(()),
        };
        match may {
            Ok(()) => {}
            Err(NotTold::Refused(closing)) => return Err(closing),
            Err(NotTold::Withheld) => {
                withheld.fetch_add(1, Ordering::Relaxed);
                return Ok(None);
            }
        }
        delivered.fetch_add(1, Ordering::Relaxed);
        let text = match parcel {
            Parcel::Incoming(waiting) => announcer.incoming(now, &self.seat, waiting),
            Parcel::Written(written) => written.text.clone(),
            Parcel::Presence(seen) => seen.text.clone(),
        };
        if let About::Letter(id) = about {
            self.registry.handed_over(id);
        }
        let (what, id) = match parcel {
            Parcel::Presence(_) => (What::Presence, None),
            Parcel::Incoming(_) | Parcel::Written(_) => (What::Notice, Some(announcer.herald.id(parcel.sequence()))),
        };
        Ok(Some(Told { what, id, text }))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.registry.leave(&self.seat, &self.contacts);
    }
}
