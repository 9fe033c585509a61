//! Makes subscribers' events, on each subscriber's task, just before the event leaves: so the answer of policy is the newest there is,
//! and neither the switch thread nor the fan-out pays.
//! Not here: who is told (`listeners`), and what an event is made of (`event`).

use crate::call::{Gone, Personal};
use crate::event::{Authority, Hearer, Herald};
use crate::id::CallId;
use crate::name::Name;
use crate::notify::closing::Closing;
use crate::notify::parked::Waiting;
use crate::notify::seat::Seat;
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
        let authority = self.authority();
        let claims = policy::verify(&authority.keyring, now.wall, jwt)?;
        let hearer = Hearer { name, claims: &claims, source };
        authority.decide(now, Action::Subscribe, MediaKinds::NONE, hearer, None)?;
        Ok(claims)
    }

    /// Asks policy again whether this subscriber may hear of this call.
    pub(super) fn may_receive(&self, now: Now, seat: &Seat, call: (CallId, &str)) -> Result<(), NotTold> {
        // To be told of a call uses no media yet.
        let decided = self.authority().decide(now, Action::Receive, MediaKinds::NONE, hearer(seat), Some(call));
        decided.map_err(not_told)
    }

    /// Asks policy whether this subscriber may answer this call, and so may also turn it down for everybody.
    pub(super) fn may_answer(&self, now: Now, seat: &Seat, call: (CallId, &str)) -> Result<(), Reason> {
        self.authority().decide(now, Action::Bridge, MediaKinds::AUDIO, hearer(seat), Some(call))
    }

    /// The event that tells this subscriber of this call.
    pub(super) fn incoming(&self, now: Now, seat: &Seat, waiting: &Waiting) -> Bytes {
        let call = (waiting.sequence, &waiting.call);
        self.herald.incoming(&self.authority(), now, hearer(seat), call, &mut self.rng()).into()
    }

    /// The event that takes a call back, the same for all.
    pub(super) fn gone(&self, sequence: u64, gone: &Gone) -> Bytes {
        self.herald.gone(sequence, gone).into()
    }

    /// The event that tells a client of its own call.
    pub(super) fn personal(&self, sequence: u64, personal: &Personal) -> Bytes {
        self.herald.personal(sequence, personal).into()
    }

    /// A generator of this event's own, so that tasks on other threads wait for 32 bytes only and not for the sealing.
    pub(super) fn rng(&self) -> Rng {
        let mut seed = [0; 32];
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fill(&mut seed);
        Rng::from_seed(seed)
    }
}

fn hearer(seat: &Seat) -> Hearer<'_> {
    Hearer { name: &seat.name, claims: &seat.claims, source: seat.source }
}

/// Whether a no is about this call or about the whole subscription.
fn not_told(reason: Reason) -> NotTold {
    match reason {
        // An engine that is down for a moment must not send all clients away at once.
        Reason::MediaNotGranted | Reason::ConcurrencyExceeded | Reason::DialNotGranted => NotTold::Withheld,
        Reason::TransferNotGranted | Reason::PolicyUnavailable => NotTold::Withheld,
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
