//! What holds for a subscription of any transport before it is one: the name, the page's origin, room, and a credential. The cheapest is looked
//! at first.
//! Not here: who may subscribe (`policy`, through `notify`).

use crate::event::EventId;
use crate::http::problem::Problem;
use crate::http::{Public, origin};
use crate::name::Name;
use crate::net::Slot;
use crate::notify::{self, NotWatched, Subscription};
use crate::policy::Reason;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::atomic::Ordering;

/// What a browser's EventSource says when it comes back.
const LAST_EVENT_ID: &str = "last-event-id";

/// The query. Nothing else may be in it: a JWT in a URL ends up in logs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    name: String,
    /// The id of the event that was heard last; `since` to those who poll.
    #[serde(alias = "since")]
    last: Option<String>,
    /// The names that it watches, with commas between them.
    contacts: Option<String>,
    /// In place of a JWT, for those who cannot set headers.
    ticket: Option<String>,
}

/// A client that may come in, if its credential says so too.
pub(super) struct Admission {
    /// Its place among the channels.
    pub(super) slot: Slot,
    /// The name that it wants to hear of.
    pub(super) name: Name,
    /// Where it comes from.
    peer: IpAddr,
    /// The event that it heard last.
    pub(super) last: Option<EventId>,
    /// The names that it watches.
    pub(super) contacts: Vec<Name>,
    /// Its JWT, from the header or for a ticket.
    pub(super) jwt: Option<String>,
}

impl Admission {
    /// Looks at a request.
    pub(super) fn of(
        public: &Public,
        peer: IpAddr,
        headers: &HeaderMap,
        query: Result<Query<Wanted>, QueryRejection>,
    ) -> Result<Admission, Problem> {
        let Query(wanted) = query.map_err(|_| Problem::BadName)?;
        let name = Name::parse(&wanted.name).map_err(|_| Problem::BadName)?;
        let contacts = match &wanted.contacts {
            Some(contacts) => notify::contacts(contacts).ok_or(Problem::Contacts)?,
            None => Vec::new(),
        };
        let slot = enter(public, peer, headers)?;
        let jwt = match (bearer(headers)?, &wanted.ticket) {
            (Some(jwt), None) => Some(jwt.to_owned()),
            (None, Some(ticket)) => Some(public.tickets.redeem(ticket, &name).ok_or(Problem::Ticket)?),
            (None, None) => None,
            (Some(_), Some(_)) => return Err(Problem::Ticket),
        };
        // Of two, the browser's own is newer than what the page once wrote into the URL.
        let last = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).or(wanted.last.as_deref());
        Ok(Admission { slot, name, peer, last: last.and_then(EventId::parse), contacts, jwt })
    }

    /// The subscription, if there is a credential.
    pub(super) fn subscribe(&self, public: &Public) -> Result<Option<Box<Subscription>>, Problem> {
        let Some(jwt) = &self.jwt else { return Ok(None) };
        let subscription = public.registry.subscribe(self.name.clone(), jwt.as_bytes(), Some(self.peer), self.last);
        let mut subscription = subscription.map_err(Problem::Refused)?;
        subscription.watch(self.contacts.clone()).map_err(|why| match why {
            NotWatched::Refused(reason) => Problem::Refused(reason),
            NotWatched::Full => Problem::Full,
        })?;
        Ok(Some(Box::new(subscription)))
    }
}

/// What holds for every request of a client's: the page's origin, and room.
pub(super) fn enter(public: &Public, peer: IpAddr, headers: &HeaderMap) -> Result<Slot, Problem> {
    if !origin::allowed(headers, &public.allowed_origins) {
        return Err(Problem::Origin);
    }
    if public.stopping.load(Ordering::Relaxed) {
        return Err(Problem::Full);
    }
    public.slots.take(peer).ok_or(Problem::Full)
}

/// The JWT of `Authorization: Bearer` (RFC 6750 §2.1), if the header is there at all.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let malformed = Problem::Refused(Reason::TokenMalformed);
    let text = value.to_str().map_err(|_| malformed)?;
    match (text.split_once(' '), values.next()) {
        (Some((scheme, jwt)), None) if scheme.eq_ignore_ascii_case("Bearer") => Ok(Some(jwt.trim())),
        (Some(_) | None, _) => Err(malformed),
    }
}
