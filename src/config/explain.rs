//! `policy explain`: which engine and which rule decide about something, without doing it.
//! Not here: what is decided (`policy`).

use super::{Config, Keys, Mistake};
use crate::name::Name;
use crate::policy::{self, Action, Claims, MediaKinds, Opinion, Query, Reason, Spent, Subject};
use crate::time::Now;
use std::net::IpAddr;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// Who.
    pub who: Asking<'a>,
    /// What he wants to do.
    pub action: Action,
    /// With which name.
    pub name: &'a Name,
    /// With which kinds of media.
    pub media: MediaKinds,
    /// From where.
    pub source: Option<IpAddr>,
    /// How many bridges he has.
    pub bridges: u32,
    /// How many calls he has answered.
    pub spent: Spent,
    /// The number that was called, if it is about a call.
    pub called: Option<&'a str>,
}

/// Who wants it.
#[derive(Clone, Copy, Debug)]
pub enum Asking<'a> {
    /// The bearer of a JWT.
    Bearer(&'a str),
    /// A `[[user]]` who proved his password.
    User(&'a str),
    /// Somebody who proves nothing.
    Nobody,
}

/// What is decided, and by whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explained {
    /// `allow`, `deny`, or `ask`: the policy server decides.
    pub outcome: &'static str,
    /// A line each: who it is, what each engine said, and the reason in words.
    pub lines: Vec<String>,
}

impl Config {
    /// Asks the configured policy. An error: a credential cannot be judged, since there are no keys.
    pub fn explain_policy(&self, now: Now, asked: &Asked<'_>) -> Result<Explained, Mistake> {
        let keyring = Keys::verifying(self)?;
        let claims = match asked.who {
            Asking::Bearer(jwt) => match policy::verify(&keyring, now.wall, jwt.as_bytes()) {
                Ok(claims) => Some(claims),
                Err(reason) => return Ok(refused(reason)),
            },
            Asking::User(user) => match self.users.find(user) {
                Some(user) => Some(user.claims().clone()),
                None => return Ok(refused(Reason::PasswordWrong)),
            },
            Asking::Nobody => None,
        };
        Ok(self.explain_claims(now, asked, claims.as_ref()))
    }

    fn explain_claims(&self, now: Now, asked: &Asked<'_>, claims: Option<&Claims>) -> Explained {
        let &Asked { action, name, media, source, bridges: usage, spent, called, .. } = asked;
        let subject = claims.map_or(Subject::Nobody, Subject::Claims);
        let query = Query { action, subject, name, media, source, usage, spent, call: None, called };
        let opinions = self.policy.engines.explain(now, &query);
        let last = opinions.last();
        let outcome = last.map_or("deny", Opinion::outcome);
        let who = claims.map_or("nobody", Claims::subject);
        let mut lines = vec![format!("{who} wants to {} {name}", action.as_str())];
        lines.extend(claims.and_then(Claims::application).map(|application| {
            let parameters = application.parameters.iter().map(|(name, value)| format!(" {name}={value}"));
            format!("its own calls are for {}{}", application.id, parameters.collect::<String>())
        }));
        lines.extend(opinions.iter().map(ToString::to_string));
        let denied = |id: &str| Reason::ALL.iter().find(|reason| reason.as_str() == id);
        lines.extend(
            last.filter(|_| outcome == "deny")
                .and_then(|last| denied(&last.id))
                .map(|reason| reason.title().to_owned()),
        );
        Explained { outcome, lines }
    }
}

/// Before any engine is asked.
fn refused(reason: Reason) -> Explained {
    Explained { outcome: "deny", lines: vec![format!("credential: {reason}"), reason.title().to_owned()] }
}
