//! One subscriber's ordered stream of events: `hello`, the calls that wait already, `synced`, then what happens.
//! Not here: the socket. The same stream is for every kind of channel.

use crate::call::ClientMessageKind;
use crate::event;
use crate::id::CallId;
use crate::name::Name;
use crate::notify::announce::NotTold;
use crate::notify::closing::Closing;
use crate::notify::parked::Waiting;
use crate::notify::registry::{NotPassed, Registry};
use crate::notify::seat::{Parcel, Seat};
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
    /// Notices up to this one happened before the start: what still waits of them is in the catch-up, and the queue's are skipped.
    counted: u64,
}

enum Stage {
    /// Nothing was said yet. Holds the calls that wait already, newest first.
    Hello(Vec<Arc<Waiting>>),
    /// Telling what waits already.
    CatchUp(Vec<Arc<Waiting>>),
    /// Telling what happens.
    Live,
}

impl Subscription {
    /// A stream that starts with what waits already.
    pub(super) fn new(
        registry: Arc<Registry>,
        seat: Arc<Seat>,
        waiting: Vec<Arc<Waiting>>,
        counted: u64,
    ) -> Subscription {
        Subscription { registry, seat, stage: Stage::Hello(waiting), counted }
    }

    /// The name subscribed to.
    pub fn name(&self) -> &Name {
        &self.seat.name
    }

    /// When the credential ends, and the subscription with it.
    pub fn expires(&self) -> Wall {
        self.seat.claims.expires()
    }

    /// The next event's text, as soon as there is one, or why there will be none. Safe to cancel: no event is lost.
    pub async fn next(&mut self) -> Result<Bytes, Closing> {
        loop {
            if let Some(text) = self.poll_event()? {
                return Ok(text);
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

    /// The next event's text if there is one by now.
    fn poll_event(&mut self) -> Result<Option<Bytes>, Closing> {
        if self.registry.clock.now().wall >= self.expires() {
            return Err(Closing::Refused(Reason::TokenExpired));
        }
        if let Some(closing) = self.seat.closing() {
            return Err(closing);
        }
        match &mut self.stage {
            Stage::Hello(waiting) => {
                self.stage = Stage::CatchUp(std::mem::take(waiting));
                Ok(Some(event::hello(&self.seat.name, self.expires()).into()))
            }
            Stage::CatchUp(_) => self.poll_catch_up().map(Some),
            Stage::Live => self.poll_live(),
        }
    }

    fn poll_catch_up(&mut self) -> Result<Bytes, Closing> {
        while let Stage::CatchUp(calls) = &mut self.stage
            && let Some(waiting) = calls.pop()
        {
            if let Some(text) = self.tell(&Parcel::Incoming(waiting))? {
                return Ok(text);
            }
        }
        self.stage = Stage::Live;
        Ok(event::synced().into())
    }

    fn poll_live(&mut self) -> Result<Option<Bytes>, Closing> {
        while let Some(parcel) = self.seat.pop() {
            if parcel.sequence() <= self.counted {
                continue;
            }
            if let Some(text) = self.tell(&parcel)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// The event for a notice, unless its call is gone meanwhile or policy withholds it.
    fn tell(&self, parcel: &Parcel) -> Result<Option<Bytes>, Closing> {
        let Registry { announcer, clock, parked, delivered, withheld, .. } = &*self.registry;
        let now = clock.now();
        let call = match parcel {
            Parcel::Incoming(waiting) if !parked.holds(waiting) => return Ok(None),
            Parcel::Incoming(waiting) => waiting.call.call,
            Parcel::Gone(written) => written.call,
        };
        match announcer.may_receive(now, &self.seat, call) {
            Ok(()) => {}
            Err(NotTold::Refused(closing)) => return Err(closing),
            Err(NotTold::Withheld) => {
                withheld.fetch_add(1, Ordering::Relaxed);
                return Ok(None);
            }
        }
        delivered.fetch_add(1, Ordering::Relaxed);
        Ok(Some(match parcel {
            Parcel::Incoming(waiting) => announcer.incoming(now, &self.seat, waiting),
            Parcel::Gone(written) => written.text.clone(),
        }))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.registry.leave(&self.seat);
    }
}
