//! Who sent a request: the bearer of a JWT (RFC 8898) or a user who proves a password (digest, RFC 7616). Both come to the same claims,
//! so policy is asked about both in the same way. Whoever is neither gets 401 and what he may bring.
//! Not here: what he may do then, and trunks that are known by their address (`admit`).

use super::Switch;
use crate::call::{Refusal, Trunk};
use crate::policy::{self, Claims, Reason};
use crate::registrar::Who;
use crate::sip::auth::Refused;
use crate::sip::wire::{AuthParams, Header, Message, Method, Start};
use crate::time::Now;
use std::sync::Arc;

/// Somebody who has proved who he is.
pub(super) struct Identified {
    pub(super) claims: Box<Claims>,
    /// Whether the proof is good for one request only: then its answer must be kept, for the same bytes will not be believed again.
    pub(super) once: bool,
}

impl Identified {
    /// The same, for somebody who is remembered.
    pub(super) fn who(&self) -> Who {
        match self.once {
            true => Who::User(self.claims.subject().into()),
            false => Who::Bearer(Arc::new(Claims::clone(&self.claims))),
        }
    }
}

impl Switch {
    /// Who sent a request that anybody may send, or the 401 for it.
    pub(super) fn identify(&mut self, now: Now, request: &Message<'_>) -> Result<Identified, Refusal> {
        self.credential(now, request).map_err(|reason| self.unauthorized(now, request, reason))
    }

    /// The trunk that an INVITE from an address that is nobody's proves to be from. Where no trunk has a password, nobody is asked for one.
    pub(super) fn trunk_by_password(&mut self, now: Now, invite: &Message<'_>) -> Result<Arc<Trunk>, Refusal> {
        let stranger = || Refusal::warned(403, "stranger", "this address is no trunk's");
        if !self.settings.asks_for_passwords() {
            return Err(stranger());
        }
        // A JWT makes nobody a trunk; and some gateways look at no challenge but the last.
        let of_passwords = |name: &str, value: &str| name != "WWW-Authenticate" || value.starts_with("Digest ");
        let identified = self.identify(now, invite).map_err(|refusal| refusal.only(of_passwords))?;
        let user = Some(identified.claims.subject()).filter(|_| identified.once);
        user.and_then(|user| self.settings.trunk_of_user(user)).cloned().ok_or_else(stranger)
    }

    fn credential(&mut self, now: Now, request: &Message<'_>) -> Result<Identified, Reason> {
        if let Some(jwt) = bearer(request) {
            let claims = policy::verify(&self.keyring, now.wall, jwt)?;
            return Ok(Identified { claims: Box::new(claims), once: false });
        }
        let users = self.keyring.users();
        let values = request.headers(Header::Authorization).filter_map(AuthParams::parse);
        let ours = only(values.filter(|value| self.gate.is_for(users.realm(), value)));
        let (Some(credentials), Start::Request { method, uri }) = (ours, request.start()) else {
            return Err(Reason::NoCredential);
        };
        let offer = (users.realm(), users.algorithms());
        let find = |name: &str| users.find(name).map(policy::User::secrets);
        match self.gate.judge(now.at, offer, (method, uri), &credentials, find) {
            Ok(name) => {
                let user = users.find(&name).ok_or(Reason::PasswordWrong)?;
                Ok(Identified { claims: Box::new(user.claims().clone()), once: true })
            }
            Err(Refused::Wrong) => Err(Reason::PasswordWrong),
            Err(Refused::Stale) => Err(Reason::NonceStale),
        }
    }

    /// 401 with what a client may bring: a password's proof, where there are users, or a JWT (RFC 8898 §2.2). Who registers and has not
    /// shown that it knows JWTs is asked for the password alone: telephones (libre 1.1) give up at a scheme that they do not know, and
    /// whoever has a JWT sends it unasked.
    fn unauthorized(&mut self, now: Now, request: &Message<'_>, reason: Reason) -> Refusal {
        let users = self.keyring.users();
        let stale = reason == Reason::NonceStale;
        let offer = (users.realm(), users.algorithms());
        let mut challenges = self.gate.challenges(now.at, offer, &mut self.rng, stale);
        let calls_back = request.start().method() == Some(Method::Invite);
        if challenges.is_empty() || calls_back || bearer(request).is_some() {
            challenges.push(format!("Bearer realm=\"{}\"", users.realm()));
        }
        // A 401 is of no use without a challenge (RFC 3261 §21.4.2).
        Refusal::warned(401, reason.as_str(), reason.title()).with_first("WWW-Authenticate", challenges)
    }
}

/// The JWT of `Authorization: Bearer …` (RFC 8898 §2.1). Credentials of other schemes may be beside it.
pub(super) fn bearer<'a>(request: &Message<'a>) -> Option<&'a [u8]> {
    only(request.headers(Header::Authorization).filter_map(|credentials| {
        let (scheme, token) = credentials.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
    }))
}

/// What is there once. Of two, whoever reads the request before or after us could take the other.
pub(super) fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.next().is_none().then_some(first)
}
