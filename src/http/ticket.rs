//! Tickets: an EventSource can set no header, and a JWT must not stand in a URL, so a page exchanges its JWT for a word that opens one stream of
//! one name, once, within half a minute (`POST /v1/tickets?name=NAME`).
//! Not here: whether the JWT is good, which is asked when the ticket is issued and again when it is redeemed.

use crate::http::Public;
use crate::http::admission::{Admission, Wanted};
use crate::http::listener::Peer;
use crate::http::problem::Problem;
use crate::limits;
use crate::name::Name;
use crate::secret::Secret;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The tickets that are out.
#[derive(Default)]
pub(super) struct Tickets(Mutex<Issued>);

#[derive(Default)]
struct Issued {
    by_word: BTreeMap<String, Ticket>,
    /// In the order of their end; those that were redeemed are still in it.
    ends: VecDeque<(Instant, String)>,
}

struct Ticket {
    name: Name,
    jwt: Secret<String>,
}

impl Tickets {
    /// A ticket for the bearer of this JWT and this name; `None` if too many are out.
    fn issue(&self, name: Name, jwt: String) -> Option<String> {
        let mut random = [0_u8; 16];
        SystemRandom::new().fill(&mut random).ok()?;
        let word = random.iter().fold(String::new(), |mut word, byte| {
            // Writing to a String cannot fail.
            let _ = write!(word, "{byte:02x}");
            word
        });
        let now = Instant::now();
        let mut issued = self.lock();
        issued.forget(now);
        if issued.ends.len() >= limits::TICKETS_MAX {
            return None;
        }
        issued.ends.push_back((now + limits::TICKET_LIFETIME, word.clone()));
        issued.by_word.insert(word.clone(), Ticket { name, jwt: Secret::new(jwt) });
        Some(word)
    }

    /// The JWT that a ticket for this name was issued for. The ticket is gone, whichever name it was for.
    pub(super) fn redeem(&self, word: &str, name: &Name) -> Option<String> {
        let mut issued = self.lock();
        issued.forget(Instant::now());
        issued.by_word.remove(word).filter(|ticket| ticket.name == *name).map(|ticket| ticket.jwt.expose().clone())
    }

    /// A poisoned lock is as good as any: what can panic between lock and unlock is memory running out.
    fn lock(&self) -> MutexGuard<'_, Issued> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Issued {
    fn forget(&mut self, now: Instant) {
        while self.ends.front().is_some_and(|(end, _)| *end <= now)
            && let Some((_, word)) = self.ends.pop_front()
        {
            self.by_word.remove(&word);
        }
    }
}

/// Answers a request for a ticket.
pub(super) async fn issue(
    State(public): State<Arc<Public>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let issued = Admission::of(&public, peer.ip(), &headers, query).and_then(|Admission { name, jwt, .. }| {
        let jwt = jwt.ok_or(Problem::NO_CREDENTIAL)?;
        public.registry.check(&name, jwt.as_bytes(), Some(peer.ip())).map_err(Problem::Refused)?;
        public.tickets.issue(name, jwt).ok_or(Problem::Full)
    });
    match issued {
        Ok(ticket) => {
            let body = format!("{{\"ticket\":\"{ticket}\",\"expires_in\":{}}}", limits::TICKET_LIFETIME.as_secs());
            let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
            (StatusCode::CREATED, headers, body).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn a_ticket_is_good_once_for_its_name() {
        let tickets = Tickets::default();
        let issue = || tickets.issue(name("foo"), "jwt".into()).unwrap();
        let (first, second) = (issue(), issue());
        assert!(first != second && first.len() == 32);
        assert_eq!(tickets.redeem(&first, &name("foo")), Some("jwt".into()));
        assert_eq!(tickets.redeem(&first, &name("foo")), None, "once");
        assert_eq!(tickets.redeem(&second, &name("foo/web")), None, "another name");
        assert_eq!(tickets.redeem(&second, &name("foo")), None, "and it is gone");
        assert_eq!(tickets.redeem("", &name("foo")), None);
    }

    #[test]
    fn tickets_are_few_and_forgotten_in_time() {
        let tickets = Tickets::default();
        for _ in 0..limits::TICKETS_MAX {
            assert!(tickets.issue(name("foo"), String::new()).is_some());
        }
        assert_eq!(tickets.issue(name("foo"), String::new()), None, "no room");
        tickets.lock().forget(Instant::now() + limits::TICKET_LIFETIME);
        assert!(tickets.lock().by_word.is_empty() && tickets.issue(name("foo"), String::new()).is_some());
    }
}
