//! What whoever wakes sleeping clients (`push`) asks the registry: who is connected, which calls wait, and what a client that is not connected may
//! be told of one.
//! Not here: devices, and when they are woken.

use crate::call::Gone;
use crate::event::Hearer;
use crate::id::CallId;
use crate::name::Name;
use crate::notify::registry::Registry;
use crate::policy::{Action, Claims, MediaKinds, Proof, Reason};
use crate::time::{Now, Wall};
use crate::token::SubjectHash;
use bytes::Bytes;
use std::net::IpAddr;

/// A client that is not connected.
#[derive(Clone, Copy)]
pub struct Sleeper<'s> {
    /// The name under which it hears of calls.
    pub name: &'s Name,
    /// What it has shown of itself when it said how it is woken.
    pub proof: &'s Proof,
    /// Whether what wakes it carries its bridge token.
    pub has_token: bool,
    /// Longest event that its push service carries, bytes.
    pub longest: usize,
}

/// Why a client is not woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotWoken {
    /// The call does not wait any more.
    Over,
    /// It may not hear of it now.
    Withheld(Reason),
    /// The event is longer than its service carries.
    TooLong,
}

impl Registry {
    /// Who a JWT's bearer is, if he may hear of calls for this name now.
    pub fn vouch(&self, name: &Name, jwt: &[u8], source: Option<IpAddr>) -> Result<Claims, Reason> {
        self.announcer.admit(self.clock.now(), name, jwt, source)
    }

    /// Who has left this proof, now.
    pub fn claims(&self, proof: &Proof) -> Result<Claims, Reason> {
        proof.claims(&self.announcer.authority().keyring, self.clock.now().wall)
    }

    /// What time it is.
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// Whether this client is connected under this very name.
    pub fn hears(&self, name: &Name, who: SubjectHash) -> bool {
        self.listeners.has(name, who)
    }

    /// Until when a call waits for this very name, if it does.
    pub fn waits(&self, called: &Name, call: CallId) -> Option<Wall> {
        self.parked.find(called, call).map(|waiting| waiting.call.expires)
    }

    /// The event that wakes a client for a call. Who it is and whether it may hear of the call is asked now, of the keys, users and rules of now.
    pub fn waking(&self, (called, call): (&Name, CallId), sleeper: Sleeper<'_>) -> Result<String, NotWoken> {
        let (now, authority) = (self.clock.now(), self.announcer.authority());
        let claims = sleeper.proof.claims(&authority.keyring, now.wall).map_err(NotWoken::Withheld)?;
        let hearer = Hearer { name: sleeper.name, claims: &claims, source: None };
        let waiting = self.parked.find(called, call);
        let number = waiting.as_ref().map_or("", |waiting| &*waiting.call.called);
        let decided = authority.decide(now, Action::Receive, MediaKinds::NONE, hearer, Some((call, number)));
        decided.map_err(NotWoken::Withheld)?;
        let waiting = waiting.ok_or(NotWoken::Over)?;
        let write = |call| match sleeper.has_token {
            true => self.announcer.herald.incoming(
                &authority,
                now,
                hearer,
                (waiting.sequence, call),
                &mut self.announcer.rng(),
            ),
            false => self.announcer.herald.waking(sleeper.name, (waiting.sequence, call)),
        };
        let text = write(&waiting.call);
        // The application's own text may be long, and is in the event that the client gets once it is awake.
        let text = match text.len() <= sleeper.longest || waiting.call.data.is_none() {
            true => text,
            false => write(&crate::call::Incoming { data: None, ..waiting.call.clone() }),
        };
        (text.len() <= sleeper.longest).then_some(text).ok_or(NotWoken::TooLong)
    }

    /// The event that takes a call back, the notice of that number.
    pub fn takes_back(&self, sequence: u64, gone: &Gone) -> Bytes {
        self.announcer.gone(sequence, gone)
    }
}
