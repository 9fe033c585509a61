//! Makes subscribers' events, on each subscriber's task, just before the event leaves: so the answer of policy is the newest there is,
//! and neither the switch thread nor the fan-out pays.
//! Not here: who is told (`listeners`), and what an event is made of (`event`).

use crate::call::{Gone, Personal};
use crate::event::{Authority, Hearer, Herald};
use crate::id::CallId;
use crate::letter::{Change, Letter};
use crate::name::Name;
use crate::notify::closing::Closing;
use crate::notify::parked::Waiting;
use crate::notify::seat::{About, Seat, Written};
use crate::policy::{self, Action, Claims, MediaKinds, Reason};
use crate::rng::Rng;
use crate::sync::{Mutex, RwLock};
use crate::time::Now;
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

/// Why a subscriber is not told of a notice.
pub(super) enum NotTold {
    /// This one is not for it, the next one may be.
    Withheld,
    /// Nothing is for it any more.
    Refused(Closing),
}

/// Makes events on the subscribers' tasks.
pub(super) struct Announcer {
    authority: RwLock<Arc<Authority>>,
    pub(super) herald: Arc<Herald>,
    rng: Mutex<Rng>,
}

impl Announcer {
    /// With what was configured at start.
    pub(super) fn new(authority: Authority, herald: Arc<Herald>, rng: Rng) -> Announcer {
        Announcer { authority: RwLock::new(Arc::new(authority)), herald, rng: Mutex::new(rng) }
    }

    /// Replaces keys and engine; what is on its way keeps the old ones.
    pub(super) fn replace_authority(&self, authority: Authority) {
        *self.authority.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(authority);
    }

    /// Keys and engine, as they are now.
    pub(super) fn authority(&self) -> Arc<Authority> {
        Arc::clone(&self.authority.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who a JWT's bearer is, if he may subscribe to this name.
    pub(super) fn admit(&self, now: Now, name: &Name, jwt: &[u8], source: Option<IpAddr>) -> Result<Claims, Reason> {
        let claims = self.identify(now, jwt)?;
        self.may(now, Action::Subscribe, Hearer { name, claims: &claims, source })?;
        Ok(claims)
    }

    /// Who a JWT's bearer is.
    pub(super) fn identify(&self, now: Now, jwt: &[u8]) -> Result<Claims, Reason> {
        policy::verify(&self.authority().keyring, now.wall, jwt)
    }

    /// Asks policy about what concerns no call and uses no media.
    pub(super) fn may(&self, now: Now, action: Action, hearer: Hearer<'_>) -> Result<(), Reason> {
        self.authority().decide(now, action, MediaKinds::NONE, hearer, None)
    }

    /// Asks policy again whether this subscriber may hear of this call, or of a message.
    pub(super) fn may_receive(&self, now: Now, seat: &Seat, call: Option<(CallId, &str)>) -> Result<(), NotTold> {
        // To be told of a call uses no media yet.
        let decided =
            self.authority().decide(now, Action::Receive, MediaKinds::NONE, hearer(seat, &seat.claims()), call);
        decided.map_err(not_told)
    }

    /// Asks policy whether this subscriber may answer this call, and so may also turn it down for everybody.
    pub(super) fn may_answer(&self, now: Now, seat: &Seat, call: (CallId, &str)) -> Result<(), Reason> {
        self.authority().decide(now, Action::Bridge, MediaKinds::AUDIO, hearer(seat, &seat.claims()), Some(call))
    }

    /// Asks policy again whether this subscriber may know who is there under a name.
    pub(super) fn may_watch(&self, now: Now, seat: &Seat, name: &Name) -> Result<(), NotTold> {
        let claims = seat.claims();
        let hearer = Hearer { name, claims: &claims, source: seat.source };
        // The list is one of many things that the channel is for: it stays.
        self.may(now, Action::Presence, hearer).map_err(|_| NotTold::Withheld)
    }

    /// The event that tells this subscriber of this call.
    pub(super) fn incoming(&self, now: Now, seat: &Seat, waiting: &Waiting) -> Bytes {
        let call = (waiting.sequence, &waiting.call);
        self.herald.incoming(&self.authority(), now, hearer(seat, &seat.claims()), call, &mut self.rng()).into()
    }

    /// The event that takes a call back, the same for all.
    pub(super) fn gone(&self, sequence: u64, gone: &Gone) -> Bytes {
        self.herald.gone(sequence, gone).into()
    }

    /// The event that tells a client of its own call.
    pub(super) fn personal(&self, sequence: u64, personal: &Personal) -> Bytes {
        self.herald.personal(sequence, personal).into()
    }

    /// The event that brings a message, the same for all.
    pub(super) fn message(&self, sequence: u64, letter: &Letter) -> Written {
        Written { sequence, about: About::Letter(letter.id), text: self.herald.message(sequence, letter).into() }
    }

    /// The event that tells a sender what became of a message.
    pub(super) fn message_state(&self, sequence: u64, change: &Change) -> Written {
        Written { sequence, about: About::Own, text: self.herald.message_state(sequence, change).into() }
    }

    /// A generator of this event's own, so that tasks on other threads wait for 32 bytes only and not for the sealing.
    pub(super) fn rng(&self) -> Rng {
        let mut seed = [0; 32];
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fill(&mut seed);
        Rng::from_seed(seed)
    }
}

fn hearer<'h>(seat: &'h Seat, claims: &'h Claims) -> Hearer<'h> {
    Hearer { name: &seat.name, claims, source: seat.source }
}

/// Whether a no is about this call or about the whole subscription.
fn not_told(reason: Reason) -> NotTold {
    match reason {
        // An engine that is down for a moment must not send all clients away at once.
        Reason::MediaNotGranted | Reason::ConcurrencyExceeded | Reason::DialNotGranted => NotTold::Withheld,
        Reason::TransferNotGranted | Reason::MessageNotGranted | Reason::PresenceNotGranted => NotTold::Withheld,
        Reason::PolicyUnavailable => NotTold::Withheld,
        // Another call, or the same at another time.
        Reason::TimeNotGranted | Reason::CalledNotGranted => NotTold::Withheld,
        Reason::CallsExceeded | Reason::RateExceeded | Reason::CallsUncounted => NotTold::Withheld,
        Reason::NoCredential
        | Reason::TokenMalformed
        | Reason::TokenIdentity
        | Reason::TokenExpired
        | Reason::TokenNotYetValid
        | Reason::TokenWrongAudience
        | Reason::TokenBadSignature
        | Reason::TokenUnknownKey
        | Reason::TokenAlgorithm
        | Reason::PasswordWrong
        | Reason::NonceStale
        | Reason::NameNotGranted
        | Reason::BridgeNotGranted
        | Reason::SourceNotGranted
        | Reason::NoRule
        | Reason::PolicyDenied => NotTold::Refused(Closing::Refused(reason)),
    }
}
