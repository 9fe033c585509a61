//! What a client has to say that hears events by a stream or by polling: `POST /v1/say?name=NAME` with what a WebSocket would carry.
//! Not here: what becomes of it (`notify`, `switch`).

use crate::call::ClientMessageKind;
use crate::http::Public;
use crate::http::admission::{Admission, Wanted};
use crate::http::listener::Peer;
use crate::http::problem::{BadLetter, Problem};
use crate::http::word::Word;
use crate::letter;
use crate::notify::NotPassed;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Passes one word on.
pub(super) async fn say(
    State(public): State<Arc<Public>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    query: Result<Query<Wanted>, QueryRejection>,
    body: Result<String, axum::extract::rejection::StringRejection>,
) -> Response {
    let said = Admission::of(&public, peer.ip(), &headers, query).and_then(|admission| {
        let subscription = admission.subscribe(&public)?.ok_or(Problem::NO_CREDENTIAL)?;
        let passed = match body.ok().as_deref().and_then(Word::parse) {
            Some(Word::Decline { call }) => subscription.say(call, ClientMessageKind::Declined),
            Some(Word::Ringing { call }) => subscription.say(call, ClientMessageKind::Ringing),
            Some(Word::Press { call, digits }) => subscription.say(call, ClientMessageKind::Pressed(digits)),
            Some(Word::Delivered { message }) => subscription.receipt(message, letter::State::Delivered),
            Some(Word::Read { message }) => subscription.receipt(message, letter::State::Read),
            Some(Word::Auth { .. } | Word::Ping) | None => return Err(Problem::Word),
        };
        passed.map_err(|why| match why {
            NotPassed::UnknownMessage => Problem::Letter(BadLetter::Unknown),
            NotPassed::UnknownCall => Problem::UnknownCall,
            NotPassed::NotGranted(reason) => Problem::Refused(reason),
            NotPassed::Busy => Problem::Full,
        })
    });
    match said {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => problem.into_response(),
    }
}
