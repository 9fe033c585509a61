//! Messages: `POST /v1/messages` takes one, `GET /v1/messages/ID` says what became of it. The answer to a POST is 202: whether somebody has it,
//! the sender hears on its own channels, or asks.
//! Not here: who is told (`notify`), and the ways over SIP (`switch`).

use crate::event;
use crate::http::Public;
use crate::http::admission::{self, bearer};
use crate::http::listener::Peer;
use crate::http::problem::{BadLetter, Problem};
use crate::id::LetterId;
use crate::limits;
use crate::name::Name;
use crate::notify::{Draft, DraftId, NotSent};
use axum::Extension;
use axum::extract::rejection::StringRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use std::sync::Arc;

/// What is posted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Posted {
    to: String,
    text: String,
    content_type: Option<String>,
    /// A word of the client's own: the same again is the same message.
    id: Option<String>,
    from: Option<String>,
}

/// Takes a message.
pub(super) async fn post(
    State(public): State<Arc<Public>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    body: Result<String, StringRejection>,
) -> Response {
    let taken = admission::enter(&public, peer.ip(), &headers).and_then(|_slot| {
        let jwt = bearer(&headers)?.ok_or(Problem::NO_CREDENTIAL)?;
        let draft = read(&body.map_err(too_long)?)?;
        let id = public.registry.send_letter(jwt.as_bytes(), Some(peer.ip()), draft);
        id.map_err(|why| match why {
            NotSent::Refused(reason) => Problem::Refused(reason),
            NotSent::Full => Problem::Full,
        })
    });
    match taken {
        Ok(id) => {
            let location = format!("/v1/messages/{id}");
            let headers = [(header::CONTENT_TYPE, "application/json"), (header::LOCATION, location.as_str())];
            (StatusCode::ACCEPTED, headers, format!("{{\"message\":\"{id}\"}}")).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

/// Says what became of a message of the bearer's. Of others nobody learns more than of those that never were.
pub(super) async fn status(
    State(public): State<Arc<Public>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let found = admission::enter(&public, peer.ip(), &headers).and_then(|_slot| {
        let jwt = bearer(&headers)?.ok_or(Problem::NO_CREDENTIAL)?;
        // Who asks is looked at first: a stranger does not learn how ids are written.
        let id = LetterId::parse(&id).unwrap_or(LetterId(0));
        let found = public.registry.letter_status(jwt.as_bytes(), id).map_err(Problem::Refused)?;
        found.ok_or(Problem::Letter(BadLetter::Unknown))
    });
    match found {
        Ok(change) => {
            let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
            (headers, event::message_status(&change)).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

fn too_long(rejection: StringRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::Letter(BadLetter::TooLarge)
    } else {
        Problem::Letter(BadLetter::Malformed)
    }
}

fn read(body: &str) -> Result<Draft, Problem> {
    let posted: Posted = serde_json::from_str(body).map_err(|_| Problem::Letter(BadLetter::Malformed))?;
    if !posted.content_type.as_deref().is_none_or(is_text) {
        return Err(Problem::Letter(BadLetter::Type));
    }
    if posted.text.len() > limits::MESSAGE_TEXT_BYTES_MAX {
        return Err(Problem::Letter(BadLetter::TooLarge));
    }
    let name = |text: &str| Name::parse(text).map_err(|_| Problem::Letter(BadLetter::Malformed));
    let own = posted.id.filter(|own| !own.is_empty() && own.len() <= limits::NAME_BYTES_MAX);
    if posted.text.is_empty() {
        return Err(Problem::Letter(BadLetter::Malformed));
    }
    let id = match own {
        Some(own) => DraftId::Own(own),
        None => DraftId::Fresh(fresh()),
    };
    Ok(Draft {
        id,
        to: name(&posted.to)?,
        from: posted.from.as_deref().map(name).transpose()?,
        text: posted.text.into(),
    })
}

/// `text/plain`, in UTF-8 if it says in what.
fn is_text(kind: &str) -> bool {
    let mut parts = kind.split(';').map(str::trim);
    let is_plain = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(event::TEXT));
    is_plain
        && parts.all(|part| ["charset=utf-8", "charset=\"utf-8\""].iter().any(|utf8| part.eq_ignore_ascii_case(utf8)))
}

fn fresh() -> LetterId {
    let mut random = [0_u8; 16];
    SystemRandom::new().fill(&mut random).expect("the kernel always has random bytes");
    LetterId(u128::from_be_bytes(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_posted_is_a_text_for_a_name_and_everything_else_is_refused() {
        let long = "x".repeat(limits::MESSAGE_TEXT_BYTES_MAX + 1);
        for (body, expected) in [
            (r#"{"to":"foo","text":"hi"}"#.to_owned(), None),
            (
                r#"{"to":"+4930","text":"hi","content_type":"Text/Plain; charset=UTF-8","id":"1","from":"ann/web"}"#
                    .into(),
                None,
            ),
            (format!(r#"{{"to":"foo","text":"{}"}}"#, &long[1..]), None),
            (format!(r#"{{"to":"foo","text":"{long}"}}"#), Some(Problem::Letter(BadLetter::TooLarge))),
            (r#"{"to":"foo","text":"hi","content_type":"text/html"}"#.into(), Some(Problem::Letter(BadLetter::Type))),
            (
                r#"{"to":"foo","text":"hi","content_type":"text/plain; charset=latin1"}"#.into(),
                Some(Problem::Letter(BadLetter::Type)),
            ),
            (r#"{"to":"foo","text":""}"#.into(), Some(Problem::Letter(BadLetter::Malformed))),
            (r#"{"to":"f o","text":"hi"}"#.into(), Some(Problem::Letter(BadLetter::Malformed))),
            (r#"{"to":"foo","text":"hi","from":"/"}"#.into(), Some(Problem::Letter(BadLetter::Malformed))),
            (r#"{"to":"foo","text":"hi","subject":"x"}"#.into(), Some(Problem::Letter(BadLetter::Malformed))),
            (r#"{"to":"foo"}"#.into(), Some(Problem::Letter(BadLetter::Malformed))),
            ("hi".into(), Some(Problem::Letter(BadLetter::Malformed))),
        ] {
            assert_eq!(read(&body).err(), expected, "{body:.80}");
        }
    }
}
