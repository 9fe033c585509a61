//! A subscription by long poll, for networks that let nothing else through: `GET /v1/poll?name=NAME&since=ID` answers with what happened
//! since, at once if something did, else when something does, at the latest after half a minute.
//! Not here: which events there are (`notify`).

use crate::event::EventId;
use crate::http::Public;
use crate::http::admission::{Admission, Wanted};
use crate::http::listener::Peer;
use crate::http::problem::Problem;
use crate::limits;
use crate::notify::{Closing, Subscription, Told, What};
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// Answers one poll.
pub(super) async fn poll(
    State(public): State<Arc<Public>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let admitted = Admission::of(&public, peer.ip(), &headers, query).and_then(|admission| {
        // Whoever polls would be told how it is each time; it may ask for that.
        if !admission.contacts.is_empty() {
            return Err(Problem::Contacts);
        }
        let subscription = admission.subscribe(&public)?.ok_or(Problem::NO_CREDENTIAL)?;
        Ok((admission.slot, subscription))
    });
    // They are parts of what was read, all of which would be kept as long as one of them is.
    drop(headers);
    let answer = match admitted {
        Ok((_slot, mut subscription)) => gather(&mut subscription).await.map_err(problem),
        Err(problem) => Err(problem),
    };
    match answer {
        Ok(batch) => batch.respond(),
        Err(problem) => problem.into_response(),
    }
}

/// What a poll is answered whose subscription ended: that policy says no, or that the client may come back later.
fn problem(closing: Closing) -> Problem {
    if let Closing::Refused(reason) = closing { Problem::Refused(reason) } else { Problem::Full }
}

/// What one poll is answered with.
#[derive(Default)]
struct Batch {
    resumed: bool,
    id: Option<EventId>,
    events: Vec<Bytes>,
}

/// What was before, or else the first that happens.
async fn gather(subscription: &mut Subscription) -> Result<Batch, Closing> {
    let deadline = Instant::now() + limits::POLL_WAIT_MAX;
    let mut batch = Batch { resumed: subscription.is_resumed(), ..Batch::default() };
    while batch.events.len() < limits::POLL_EVENTS_MAX {
        let told = match subscription.poll_event()? {
            Some(told) => told,
            // Where nothing is resumed, the client waits for a place to come back to.
            None if !batch.events.is_empty() || !batch.resumed => break,
            None => match timeout_at(deadline, subscription.next()).await {
                Ok(told) => told?,
                Err(_) => break,
            },
        };
        batch.take(told);
    }
    Ok(batch)
}

impl Batch {
    fn take(&mut self, told: Told) {
        self.id = told.id.or(self.id);
        match told.what {
            What::Notice => self.events.push(told.text),
            What::Hello | What::Synced | What::Presence => {}
        }
    }

    fn respond(self) -> Response {
        let id = self.id.map(|id| format!("\"{id}\"")).unwrap_or_else(|| "null".into());
        let head = format!("{{\"v\":1,\"id\":{id},\"resumed\":{},\"events\":[", self.resumed);
        let body = [head.as_bytes(), &self.events.join(&b','), b"]}"].concat();
        let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
        (headers, body).into_response()
    }
}
