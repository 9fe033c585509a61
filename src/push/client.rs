//! Asks push services over HTTP: one request, one answer, within a time and a length. Connections are kept and shared. No redirect is followed:
//! what is said of a call goes where the operator said, and nowhere else.
//! Not here: what is asked, and what an answer means (`service`).

use super::connector::Connector;
use crate::config;
use crate::limits;
use crate::time::Duration;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper::header::{HeaderMap, RETRY_AFTER};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// What is asked.
pub(super) type Question = Request<Full<Bytes>>;

/// Asks; clones share connections.
#[derive(Clone)]
pub(super) struct Client(legacy::Client<Connector, Full<Bytes>>);

/// What a service said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// When it wants to be asked again (RFC 9110 §10.2.3).
    pub(super) retry_after: Option<Duration>,
    /// The beginning of the body; empty if it is longer than anybody reads.
    pub(super) body: Bytes,
}

impl Client {
    /// With what the configuration trusts.
    pub(super) fn new(config: &config::Push) -> Result<Client, String> {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new());
        Ok(Client(builder.build(Connector::new(config)?)))
    }

    /// Asks, and waits for the answer as long as may be; the text says what went wrong.
    pub(super) async fn ask(&self, question: Question) -> Result<Answer, String> {
        match tokio::time::timeout(limits::PUSH_ANSWER_WAIT_MAX, self.answer(question)).await {
            Ok(answer) => answer,
            Err(_) => Err("no answer in time".into()),
        }
    }

    async fn answer(&self, question: Question) -> Result<Answer, String> {
        let response = self.0.request(question).await.map_err(|error| reasons(&error))?;
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        let body = Limited::new(response.into_body(), limits::PUSH_ANSWER_BYTES_MAX).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        Ok(Answer { status, retry_after, body })
    }
}

/// Seconds; a date, which services do not use, is as though absent.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// An error with what it came of: hyper's own words say only that something failed.
fn reasons(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_obeyed_and_anything_else_is_not_there() {
        for (value, expected) in [("120", Some(120)), (" 7 ", Some(7)), ("-1", None), ("Fri, 27 Nov", None), ("", None)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{value:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
