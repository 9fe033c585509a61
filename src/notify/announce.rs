//! Turns a parked call into one subscriber's event: asks policy again, seals the subscriber's own tokens, writes and signs.
//! Runs on the subscriber's task, just before the event leaves, so that the answer of policy is the newest there is.
//! Not here: who is told (`listeners`), and the words of the event (`event`).

use crate::call::Gone;
use crate::id::CallId;
use crate::name::Name;
use crate::notify::closing::Closing;
use crate::notify::event::{self, EventId, Invitation};
use crate::notify::parked::Waiting;
use crate::notify::seat::Seat;
use crate::notify::sign::Signer;
use crate::policy::{
    self, Action, Claims, Decision, Keyring, MediaKinds, PolicyEngine, Query, Reason, Subject, Verdict,
};
use crate::rng::Rng;
use crate::sync::{Mutex, RwLock};
use crate::time::Now;
use crate::token::{self, Audience, Contents, Keys};
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

/// Who may do what, and with which keys: replaced whole on reload.
pub struct Authority {
    /// The keys that sign clients' JWTs.
    pub keyring: Arc<Keyring>,
    /// Decides who may subscribe, receive and dial.
    pub engine: Arc<dyn PolicyEngine>,
    /// The masters that seal bridge tokens.
    pub keys: Arc<Keys>,
}

/// Why a subscriber is not told of a notice.
pub(super) enum NotTold {
    /// This one is not for it, the next one may be.
    Withheld,
    /// Nothing is for it any more.
    Refused(Closing),
}

/// Everything that goes into an event and is not the call's.
pub(super) struct Announcer {
    authority: RwLock<Arc<Authority>>,
    pub(super) signer: Signer,
    epoch: u64,
    sip_host: String,
    rng: Mutex<Rng>,
}

impl Announcer {
    /// With what was configured at start.
    pub(super) fn new(authority: Authority, signer: Signer, epoch: u64, sip_host: String, rng: Rng) -> Announcer {
        Announcer { authority: RwLock::new(Arc::new(authority)), signer, epoch, sip_host, rng: Mutex::new(rng) }
    }

    /// Replaces keys and engine; what is on its way keeps the old ones.
    pub(super) fn replace_authority(&self, authority: Authority) {
        *self.authority.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(authority);
    }

    fn authority(&self) -> Arc<Authority> {
        Arc::clone(&self.authority.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who a JWT's bearer is, if he may subscribe to this name.
    pub(super) fn admit(&self, now: Now, name: &Name, jwt: &[u8], source: Option<IpAddr>) -> Result<Claims, Reason> {
        let authority = self.authority();
        let claims = policy::verify(&authority.keyring, now.wall, jwt)?;
        let query = Query {
            action: Action::Subscribe,
            subject: Subject::Claims(&claims),
            name,
            media: MediaKinds::NONE,
            source,
            usage: 0,
            call: None,
        };
        decide(&authority, now, &query)?;
        Ok(claims)
    }

    /// Asks policy again whether this subscriber may hear of this call.
    pub(super) fn may_receive(&self, now: Now, seat: &Seat, call: CallId) -> Result<(), NotTold> {
        // To be told of a call uses no media yet.
        let query = query(Action::Receive, MediaKinds::NONE, seat, call);
        decide(&self.authority(), now, &query).map_err(not_told)
    }

    /// Asks policy whether this subscriber may answer this call, and so may also turn it down for everybody.
    pub(super) fn may_answer(&self, now: Now, seat: &Seat, call: CallId) -> Result<(), Reason> {
        decide(&self.authority(), now, &query(Action::Bridge, MediaKinds::AUDIO, seat, call))
    }

    /// The event that tells this subscriber of this call.
    pub(super) fn incoming(&self, now: Now, seat: &Seat, waiting: &Waiting) -> Bytes {
        let authority = self.authority();
        // A URI that can be dialled is good for sound alone.
        let dials = decide(&authority, now, &query(Action::Dial, MediaKinds::AUDIO, seat, waiting.call.call)).is_ok();
        let contents = Contents {
            node: authority.keys.node(),
            call: waiting.call.call,
            generation: waiting.call.generation,
            expires: waiting.call.token_expires,
            subject: seat.claims.subject_hash(),
        };
        let mut rng = self.rng();
        let client = Audience::Client { name: &seat.name, subject: seat.claims.subject() };
        let token = token::seal(&authority.keys, &mut rng, &contents, &client);
        tracing::debug!(call = %waiting.call.call, name = %seat.name, token = %token.hash(), "a client is told");
        let dial = dials.then(|| {
            let token = token::seal(&authority.keys, &mut rng, &contents, &Audience::Dial);
            format!("sip:{}@{}", token.expose(), self.sip_host)
        });
        let invitation = Invitation {
            subscriber: &seat.name,
            token: token.expose(),
            sip: &sip_uri(&seat.name, &self.sip_host),
            dial: dial.as_deref(),
        };
        event::incoming(self.id(waiting.sequence), &waiting.call, &invitation, &self.signer).into()
    }

    /// The event that takes a call back, the same for all.
    pub(super) fn gone(&self, sequence: u64, gone: &Gone) -> Bytes {
        event::gone(self.id(sequence), gone, &self.signer).into()
    }

    fn id(&self, sequence: u64) -> EventId {
        EventId { epoch: self.epoch, sequence }
    }

    /// A generator of this event's own, so that tasks on other threads wait for 32 bytes only and not for the sealing.
    fn rng(&self) -> Rng {
        let mut seed = [0; 32];
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fill(&mut seed);
        Rng::from_seed(seed)
    }
}

/// The name is the subscriber's: a grant of `foo/web` lets it hear of calls for `foo`.
fn query(action: Action, media: MediaKinds, seat: &Seat, call: CallId) -> Query<'_> {
    Query {
        action,
        subject: Subject::Claims(&seat.claims),
        name: &seat.name,
        media,
        source: seat.source,
        usage: 0,
        call: Some(call),
    }
}

/// A question to somebody else is a no here: a channel does not wait for a third party.
fn decide(authority: &Authority, now: Now, query: &Query<'_>) -> Result<(), Reason> {
    if let Subject::Claims(claims) = query.subject
        && now.wall >= claims.expires()
    {
        return Err(Reason::TokenExpired);
    }
    match policy::ask(&*authority.engine, now, query) {
        Decision::Verdict(Verdict::Allow(_permit)) => Ok(()),
        Decision::Verdict(Verdict::Deny(reason)) => Err(reason),
        Decision::Ask(_question) => Err(Reason::PolicyUnavailable),
    }
}

/// Whether a no is about this call or about the whole subscription.
fn not_told(reason: Reason) -> NotTold {
    match reason {
        // An engine that is down for a moment must not send all clients away at once.
        Reason::MediaNotGranted | Reason::ConcurrencyExceeded | Reason::DialNotGranted | Reason::PolicyUnavailable => {
            NotTold::Withheld
        }
        Reason::NoCredential
        | Reason::TokenMalformed
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
        | Reason::PolicyDenied => NotTold::Refused(Closing::Refused(reason)),
    }
}

/// The URI to call back. RFC 3261 §25.1: a user part may hold `/` and every other byte of a name, but not `@`.
fn sip_uri(name: &Name, host: &str) -> String {
    format!("sip:{}@{host}", name.as_str().replace('@', "%40"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_the_user_part_of_a_sip_uri() {
        for (name, uri) in [
            ("foo", "sip:foo@10.0.0.1:5060"),
            ("foo/web", "sip:foo/web@10.0.0.1:5060"),
            ("+49.30~1", "sip:+49.30~1@10.0.0.1:5060"),
            ("ann@example.com/web", "sip:ann%40example.com/web@10.0.0.1:5060"),
        ] {
            assert_eq!(sip_uri(&Name::parse(name).unwrap(), "10.0.0.1:5060"), uri);
        }
    }
}
