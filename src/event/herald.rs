//! Turns a parked call into one client's event: asks policy again, seals the client's own tokens, writes and signs.
//! Not here: who is told (`notify`, `switch`), and the words of the event (`document`).

use super::document::{self, EventId, Invitation};
use super::sign::Signer;
use crate::call::{Gone, Incoming, News, Personal};
use crate::id::CallId;
use crate::letter::{Change, Letter};
use crate::name::Name;
use crate::policy::{
    self, Action, Claims, Decision, Keyring, MediaKinds, Permit, PolicyEngine, Query, Reason, Spent, Subject, Verdict,
};
use crate::rng::Rng;
use crate::time::Now;
use crate::token::{self, Audience, Contents, Keys};
use std::net::IpAddr;
use std::sync::Arc;

/// Who is nobody that a request could go to (RFC 3323 §4.1.1.3).
const ANONYMOUS: &str = "sip:anonymous@anonymous.invalid";

/// Who may do what, and with which keys: replaced whole on reload.
#[derive(Clone)]
pub struct Authority {
    /// What clients prove themselves with.
    pub keyring: Arc<Keyring>,
    /// Decides who may subscribe, receive and dial.
    pub engine: Arc<dyn PolicyEngine>,
    /// The masters that seal bridge tokens.
    pub keys: Arc<Keys>,
}

/// A client that hears of calls.
#[derive(Clone, Copy)]
pub struct Hearer<'h> {
    /// The name under which it hears them.
    pub name: &'h Name,
    /// Who it is and what it may do.
    pub claims: &'h Claims,
    /// Where it is, for the policy engine.
    pub source: Option<IpAddr>,
}

/// Everything that goes into an event and is neither the call's nor the client's.
pub struct Herald {
    /// Signs what tells of a call.
    pub signer: Signer,
    /// Tells the event ids of this run of the server from those of an earlier one: the start time, or a random number.
    pub epoch: u64,
    /// `host` or `host:port` of the SIP listener, as clients reach it: the host part of the call-back URIs.
    pub sip_host: String,
}

impl Herald {
    /// The event that tells this client of this call, the notice of that number.
    pub fn incoming(
        &self,
        authority: &Authority,
        now: Now,
        hearer: Hearer<'_>,
        (sequence, call): (u64, &Incoming),
        rng: &mut Rng,
    ) -> String {
        // A URI that can be dialled is good for sound alone.
        let about = Some((call.call, &*call.called));
        let dials = authority.permit(now, Action::Dial, MediaKinds::AUDIO, hearer, about).ok();
        let contents = Contents {
            node: authority.keys.node(),
            call: call.call,
            generation: call.generation,
            expires: call.token_expires,
            subject: hearer.claims.subject_hash(),
            record: None,
        };
        let client = Audience::Client { name: hearer.name, subject: hearer.claims.subject() };
        let token = token::seal(&authority.keys, rng, &contents, &client);
        tracing::debug!(call = %call.call, name = %hearer.name, token = %token.hash(), "a client is told");
        let dial = dials.map(|permit| {
            let contents = Contents { record: permit.recording(), ..contents };
            let token = token::seal(&authority.keys, rng, &contents, &Audience::Dial);
            format!("sip:{}@{}", token.expose(), self.sip_host)
        });
        let invitation = Invitation {
            subscriber: hearer.name,
            token: token.expose(),
            sip: &self.sip_uri(hearer.name),
            dial: dial.as_deref(),
            parameters: hearer.claims.grant().parameters.as_deref(),
            is_recorded: call.is_recorded(hearer.claims.grant().record),
        };
        document::incoming(self.id(sequence), call, &invitation, &self.signer)
    }

    /// The event that wakes a client which is not connected: without a token, because whoever carries it need not have one. The client gets
    /// its own when it subscribes.
    pub fn waking(&self, name: &Name, (sequence, call): (u64, &Incoming)) -> String {
        let invitation = Invitation {
            subscriber: name,
            token: "",
            sip: &self.sip_uri(name),
            dial: None,
            parameters: None,
            is_recorded: call.is_recorded(None),
        };
        document::incoming(self.id(sequence), call, &invitation, &self.signer)
    }

    /// The event that takes a call back, the same for all.
    pub fn gone(&self, sequence: u64, gone: &Gone) -> String {
        document::gone(self.id(sequence), gone)
    }

    /// The event that tells a client of its own call.
    pub fn personal(&self, sequence: u64, personal: &Personal) -> String {
        let id = self.id(sequence);
        match &personal.news {
            News::Ended(ended) => document::ended(id, personal, ended),
            News::Digit(digit) => document::digit(id, personal, digit),
            News::Warning(warning) => document::warning(id, personal, warning),
        }
    }

    /// The event that brings a message, the same for all.
    pub fn message(&self, sequence: u64, letter: &Letter) -> String {
        document::message(self.id(sequence), letter, &self.signer)
    }

    /// The event that tells a sender what became of a message.
    pub fn message_state(&self, sequence: u64, change: &Change) -> String {
        document::message_state(self.id(sequence), change)
    }

    /// The URI of a name here. RFC 3261 §25.1: a user part may hold `/` and every other byte of a name, but not `@`.
    pub fn sip_uri(&self, name: &Name) -> String {
        format!("sip:{}@{}", name.as_str().replace('@', "%40"), self.sip_host)
    }

    /// The URI of whoever wrote a message: what came by SIP has one, a name's is here, and who is neither cannot be answered.
    pub fn author_uri(&self, from: &str) -> String {
        match Name::parse(from) {
            _ if from.starts_with("sip:") || from.starts_with("sips:") => from.to_owned(),
            Ok(name) => self.sip_uri(&name),
            Err(_) => ANONYMOUS.to_owned(),
        }
    }

    /// The id of the notice of that number.
    pub fn id(&self, sequence: u64) -> EventId {
        EventId { epoch: self.epoch, sequence }
    }
}

impl Authority {
    /// Asks policy whether a client may do something under its name, now. The name is the client's: a grant of `foo/web` lets it hear
    /// of calls for `foo`. A call comes with the number that was called. A question to somebody else is a no here: nobody waits for a third party to be told of a call.
    pub fn decide(
        &self,
        now: Now,
        action: Action,
        media: MediaKinds,
        hearer: Hearer<'_>,
        call: Option<(CallId, &str)>,
    ) -> Result<(), Reason> {
        self.permit(now, action, media, hearer, call).map(drop)
    }

    fn permit(
        &self,
        now: Now,
        action: Action,
        media: MediaKinds,
        hearer: Hearer<'_>,
        call: Option<(CallId, &str)>,
    ) -> Result<Permit, Reason> {
        if now.wall >= hearer.claims.expires() {
            return Err(Reason::TokenExpired);
        }
        let (subject, name, source) = (Subject::Claims(hearer.claims), hearer.name, hearer.source);
        let (call, called, spent) = (call.map(|it| it.0), call.map(|it| it.1), Spent::default());
        let query = Query { action, subject, name, media, source, usage: 0, spent, call, called };
        match policy::ask(&*self.engine, now, &query) {
            Decision::Verdict(Verdict::Allow(permit)) => Ok(permit),
            Decision::Verdict(Verdict::Deny(reason)) => Err(reason),
            Decision::Ask(_question) => Err(Reason::PolicyUnavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn a_name_becomes_the_user_part_of_a_sip_uri() {
        let signer = Signer::from_seed(&Secret::new([1; 32]));
        let herald = Herald { signer, epoch: 1, sip_host: "10.0.0.1:5060".into() };
        for (name, uri) in [
            ("foo", "sip:foo@10.0.0.1:5060"),
            ("foo/web", "sip:foo/web@10.0.0.1:5060"),
            ("+49.30~1", "sip:+49.30~1@10.0.0.1:5060"),
            ("ann@example.com/web", "sip:ann%40example.com/web@10.0.0.1:5060"),
        ] {
            assert_eq!(herald.sip_uri(&Name::parse(name).unwrap()), uri);
        }
    }
}
