//! Which web pages may open a channel. A browser sends `Origin` and page scripts cannot change it (RFC 6455 §10.2); other
//! clients send none, and their credential is what counts.
//! The same pages may read what is answered to their requests (CORS, as the Fetch standard has it).

use crate::http::Public;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Lets pages that may subscribe read the answer, and answers their browsers' question before it (preflight).
pub(super) async fn share(State(public): State<Arc<Public>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let origin = origin.filter(|_| allowed(request.headers(), &public.allowed_origins));
    let asks_first = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && origin.is_some();
    let mut response = if asks_first { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    if asks_first {
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, last-event-id"),
            (header::ACCESS_CONTROL_MAX_AGE, "600"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}

/// Whether the request comes from no page, from a page of a listed origin, or, with an empty list, from one of this very host.
pub(super) fn allowed(headers: &HeaderMap, listed: &[String]) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else { return true };
    let (Ok(origin), None) = (origin.to_str(), origins.next()) else { return false };
    if !listed.is_empty() {
        return listed.iter().any(|listed| listed.eq_ignore_ascii_case(origin));
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    match (origin.split_once("://"), host) {
        (Some((scheme, page)), Some(host)) => authority(scheme, page).eq_ignore_ascii_case(authority(scheme, host)),
        (None, _) | (_, None) => false,
    }
}

/// `host` or `host:port` without the port that the scheme implies: a browser leaves it out, a proxy may not.
fn authority<'a>(scheme: &str, text: &'a str) -> &'a str {
    let implied = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return text,
    };
    text.strip_suffix(implied).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_listed_pages_and_those_of_the_host_may_subscribe() {
        let listed = ["https://app.example.com"];
        for (origin, host, listed, expected) in [
            (None, "pbx.example.com", &listed[..], true),
            (Some("https://app.example.com"), "pbx.example.com", &listed, true),
            (Some("https://APP.example.com"), "pbx.example.com", &listed, true),
            (Some("http://app.example.com"), "pbx.example.com", &listed, false),
            (Some("https://app.example.com.evil.example"), "pbx.example.com", &listed, false),
            (Some("https://pbx.example.com"), "pbx.example.com", &listed, false),
            (Some("null"), "pbx.example.com", &listed, false),
            (Some("https://pbx.example.com"), "pbx.example.com", &[], true),
            (Some("https://pbx.example.com"), "pbx.example.com:443", &[], true),
            (Some("http://pbx.example.com:8080"), "pbx.example.com:8080", &[], true),
            (Some("http://pbx.example.com:8081"), "pbx.example.com:8080", &[], false),
            (Some("https://evil.example"), "pbx.example.com", &[], false),
            (Some("null"), "null", &[], false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            let listed: Vec<String> = listed.iter().map(|&origin| origin.to_owned()).collect();
            assert_eq!(allowed(&headers, &listed), expected, "{origin:?} at {host} with {listed:?}");
        }
    }

    #[test]
    fn two_origins_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(header::ORIGIN, HeaderValue::from_static("https://app.example.com"));
        headers.append(header::ORIGIN, HeaderValue::from_static("https://evil.example"));
        assert!(!allowed(&headers, &["https://app.example.com".to_owned()]));
    }
}
