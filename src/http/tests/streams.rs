//! The same subscription by Server-Sent Events and by long poll, and what such clients post.

use super::*;

/// One request over a connection of its own, and what comes back of it, piece by piece.
struct Http(TcpStream, String);

impl Http {
    async fn send(server: &Server, head: &str, headers: &str, body: &str) -> Http {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{head} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}",
            server.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        Http(stream, String::new())
    }

    /// What has come up to and with this text.
    async fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.1.find(text) {
                let rest = self.1.split_off(at + text.len());
                return std::mem::replace(&mut self.1, rest);
            }
            let mut buffer = [0; 4096];
            let read = patiently(self.0.read(&mut buffer)).await.unwrap();
            assert!(read > 0, "`{text}` before the end: {}", self.1);
            self.1.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
    }

    /// All that comes.
    async fn rest(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.1).into_bytes();
        patiently(self.0.read_to_end(&mut rest)).await.unwrap();
        String::from_utf8(rest).unwrap()
    }

    /// The next event of a stream: its id, and its document.
    async fn event(&mut self) -> (Option<String>, Value) {
        let mut id = None;
        loop {
            let line = self.until("\n").await;
            if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.trim().to_owned());
            } else if let Some(text) = line.strip_prefix("data: ") {
                return (id, serde_json::from_str(text).unwrap());
            }
        }
    }
}

/// Beyond every deadline of ours, for tests whose clock is paused.
async fn patiently<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(90), future).await.expect("within the test's patience")
}

fn bearer(names: &[&str]) -> String {
    format!("Authorization: Bearer {}\r\n", jwt("ann", names))
}

async fn stream(server: &Server, target: &str, headers: &str) -> Http {
    let mut http =
        Http::send(server, &format!("GET {target}"), &format!("Accept: text/event-stream\r\n{headers}"), "").await;
    let head = http.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("content-type: text/event-stream\r\n"), "{head}");
    http
}

/// The status and the body of an answer.
async fn answer(server: &Server, head: &str, headers: &str, body: &str) -> (String, Value) {
    let text = Http::send(server, head, headers, body).await.rest().await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().to_owned();
    (status, serde_json::from_str(body).unwrap_or_default())
}

#[tokio::test]
async fn a_stream_tells_the_same_as_a_websocket_and_goes_on_where_it_ended() {
    let mut server = server();
    let mut events = stream(&server, "/v1/subscribe?name=foo/web", &bearer(&["foo"])).await;
    let (id, hello) = events.event().await;
    assert_eq!((id, &hello["type"], &hello["resumed"]), (None, &json!("hello"), &json!(false)));
    let (id, synced) = events.event().await;
    assert_eq!((&json!(id), &synced["type"]), (&synced["id"], &json!("synced")));
    server.publish(Notice::Incoming(incoming(1, "foo")));
    let (last, incoming_event) = events.event().await;
    assert_eq!((&json!(last), &incoming_event["type"]), (&incoming_event["id"], &json!("incoming")));
    drop(events);
    // It is away while one call ends and another comes.
    server.publish(gone(1, "foo", GoneReason::CallerCancelled));
    server.publish(Notice::Incoming(incoming(2, "foo")));
    let last = last.unwrap();
    for (target, header) in [
        ("/v1/subscribe?name=foo/web".to_owned(), format!("Last-Event-ID: {last}\r\n")),
        (format!("/v1/subscribe?name=foo/web&last={last}"), String::new()),
    ] {
        let mut events = stream(&server, &target, &format!("{}{header}", bearer(&["foo"]))).await;
        let mut told = Vec::new();
        for _ in 0..4 {
            let (_, event) = events.event().await;
            told.push(format!("{} {}", event["type"], event["resumed"]));
        }
        assert_eq!(told, ["\"hello\" true", "\"gone\" null", "\"incoming\" null", "\"synced\" null"], "{target}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_reason() {
    let server = server();
    let mut events = stream(&server, "/v1/subscribe?name=foo", &bearer(&["foo"])).await;
    events.until("synced").await;
    assert_eq!(server.desk.registry.stats().subscriptions, 1);
    server.stop.send(()).unwrap();
    let rest = events.rest().await;
    assert!(rest.contains(r#""type":"closing","reason":"server_stopping""#), "{rest}");
    server.served.await.unwrap().unwrap();
    assert_eq!(server.desk.registry.stats().subscriptions, 0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_kept_alive() {
    let server = server();
    let mut events = stream(&server, "/v1/subscribe?name=foo", &bearer(&["foo"])).await;
    events.until("synced").await;
    let begun = tokio::time::Instant::now();
    events.until("\n:\n\n").await;
    assert!(begun.elapsed() >= limits::CHANNEL_PING_INTERVAL);
}

#[tokio::test]
async fn a_poll_answers_with_what_happened_since() {
    let mut server = server();
    let poll = "GET /v1/poll?name=foo/web";
    let (status, first) = answer(&server, poll, &bearer(&["foo"]), "").await;
    assert_eq!((status.as_str(), &first["resumed"], &first["events"]), ("200", &json!(false), &json!([])));
    server.publish(Notice::Incoming(incoming(1, "foo")));
    let since = |answer: &Value| format!("{poll}&since={}", answer["id"].as_str().unwrap());
    let (_, second) = answer(&server, &since(&first), &bearer(&["foo"]), "").await;
    assert_eq!((&second["resumed"], &second["events"][0]["type"]), (&json!(true), &json!("incoming")));
    assert_eq!(second["id"], second["events"][0]["id"]);
    // Nothing happened since: it hangs until something does.
    let mut hanging = Http::send(&server, &since(&second), &bearer(&["foo"]), "").await;
    while server.desk.registry.stats().subscriptions == 0 {
        tokio::task::yield_now().await;
    }
    server.publish(gone(1, "foo", GoneReason::CallerCancelled));
    let text = hanging.rest().await;
    let third: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&third["events"][0]["type"], third["events"].as_array().unwrap().len()), (&json!("gone"), 1));
    // Of another run: what it shows is worth nothing.
    let (_, strange) = answer(&server, &format!("{poll}&since=2-1"), &bearer(&["foo"]), "").await;
    assert_eq!((&strange["resumed"], &strange["events"]), (&json!(false), &json!([])));
}

#[tokio::test(start_paused = true)]
async fn a_poll_for_which_nothing_happens_ends_in_time() {
    let server = server();
    let poll = "GET /v1/poll?name=foo";
    let (_, first) = answer(&server, poll, &bearer(&["foo"]), "").await;
    let id = first["id"].as_str().unwrap();
    let begun = tokio::time::Instant::now();
    let mut hanging = Http::send(&server, &format!("{poll}&since={id}"), &bearer(&["foo"]), "").await;
    let text = hanging.rest().await;
    assert!(text.contains(&format!("\"id\":\"{id}\",\"resumed\":true,\"events\":[]")), "{text}");
    assert!(begun.elapsed() >= limits::POLL_WAIT_MAX);
}

#[tokio::test]
async fn many_calls_that_wait_come_in_several_answers() {
    let mut server = server();
    let calls = u128::try_from(limits::POLL_EVENTS_MAX).unwrap() + 3;
    (1..=calls).for_each(|call| server.publish(Notice::Incoming(incoming(call, "foo"))));
    let (_, first) = answer(&server, "GET /v1/poll?name=foo", &bearer(&["foo"]), "").await;
    let id = first["id"].as_str().unwrap();
    let (_, second) = answer(&server, &format!("GET /v1/poll?name=foo&since={id}"), &bearer(&["foo"]), "").await;
    let count = |answer: &Value| answer["events"].as_array().unwrap().len();
    assert_eq!((count(&first), &first["resumed"]), (limits::POLL_EVENTS_MAX, &json!(false)));
    assert_eq!((count(&second), &second["resumed"]), (3, &json!(true)));
}

#[tokio::test]
async fn a_ticket_opens_one_stream_in_place_of_a_header() {
    let server = server();
    let issue = "POST /v1/tickets?name=foo";
    let (status, issued) = answer(&server, issue, &bearer(&["foo"]), "").await;
    assert_eq!((status.as_str(), &issued["expires_in"]), ("201", &json!(30)));
    let target = format!("/v1/subscribe?name=foo&ticket={}", issued["ticket"].as_str().unwrap());
    stream(&server, &target, "").await.until("hello").await;
    let accept = "Accept: text/event-stream\r\n";
    for (head, headers, expected) in [
        (format!("GET {target}"), accept.to_owned(), "401 ticket_invalid"),
        ("GET /v1/subscribe?name=foo&ticket=x".into(), format!("{accept}{}", bearer(&["foo"])), "401 ticket_invalid"),
        ("GET /v1/subscribe?name=foo".into(), accept.into(), "401 no_credential"),
        (issue.into(), bearer(&["bar"]), "403 name_not_granted"),
        (issue.into(), String::new(), "401 no_credential"),
        ("GET /v1/tickets?name=foo".into(), bearer(&["foo"]), "405 method_not_allowed"),
    ] {
        let (status, problem) = answer(&server, &head, &headers, "").await;
        assert_eq!(format!("{status} {}", problem["reason"].as_str().unwrap()), expected, "{head}");
    }
}

#[tokio::test]
async fn a_client_without_a_websocket_posts_what_it_has_to_say() {
    let mut server = server();
    server.publish(Notice::Incoming(incoming(7, "foo")));
    let say = "POST /v1/say?name=foo/web";
    let word = |kind: &str, call: u128| json!({"type": kind, "call": format!("{call:032x}")}).to_string();
    for (headers, body, expected) in [
        (bearer(&["foo"]), word("ringing", 7), "204"),
        (bearer(&["foo"]), word("decline", 8), "404"),
        (bearer(&["foo"]), word("dance", 7), "400"),
        (bearer(&["foo"]), "x".repeat(limits::CLIENT_MESSAGE_BYTES_MAX + 1), "400"),
        (bearer(&["bar"]), word("ringing", 7), "403"),
        (String::new(), word("ringing", 7), "401"),
    ] {
        let (status, problem) = answer(&server, say, &headers, &body).await;
        assert_eq!(status, expected, "{problem}");
    }
    let message = server.desk.heard().await;
    assert_eq!((message.call, message.kind), (crate::id::CallId(7), ClientMessageKind::Ringing));
}

#[tokio::test]
async fn pages_that_may_subscribe_may_read_the_answers() {
    let settings = Settings { allowed_origins: vec!["https://app.example".to_owned()], ..Settings::default() };
    let server = server_with(settings);
    let (good, bad) = ("Origin: https://app.example\r\n", "Origin: https://evil.example\r\n");
    let asks = "Access-Control-Request-Method: POST\r\n";
    for (head, headers, status, shared) in [
        ("OPTIONS /v1/say?name=foo", format!("{good}{asks}"), "204", true),
        ("OPTIONS /v1/say?name=foo", format!("{bad}{asks}"), "405", false),
        ("OPTIONS /v1/say?name=foo", good.to_owned(), "405", true),
        ("GET /v1/poll?name=foo", format!("{good}{}", bearer(&["foo"])), "200", true),
        ("GET /v1/poll?name=foo", format!("{bad}{}", bearer(&["foo"])), "403", false),
        ("GET /v1/poll?name=foo", bearer(&["foo"]), "200", false),
    ] {
        let text = Http::send(&server, head, &headers, "").await.rest().await;
        assert_eq!(text.split(' ').nth(1), Some(status), "{text}");
        assert_eq!(text.contains("access-control-allow-origin: https://app.example\r\n"), shared, "{text}");
        assert!(text.contains("vary: origin\r\n"), "{text}");
    }
}
