//! Clients that are reached over SIP, in virtual time: what every method gets from everybody, and what becomes of clients that are silent,
//! move, lose their rights or their way.
//! Not here: the same over real sockets (`tests/registrar.rs`).

use super::tests::{NOW, SECRET, keyring, switch};
use super::*;
use crate::event::Authority;
use crate::limits;
use crate::policy::{Algorithm, Grant, Order, SigningKey, Users, mint};
use crate::sip::Transport;
use crate::time::{Duration, Wall};

/// Everybody there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    /// At an address of a trunk's, without a credential.
    Trunk,
    /// Somewhere, with a JWT.
    Client,
    /// Somewhere.
    Stranger,
}

struct Bench {
    switch: Switch,
    now: Now,
    requests: u32,
    path: Path,
}

/// The answer to a request of ours.
fn response(request: &str, status: u16, headers: &str) -> String {
    let field = |name: &str| request.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].map(field).join("\r\n");
    format!("SIP/2.0 {status} x\r\n{kept}\r\n{headers}Content-Length: 0\r\n\r\n")
}

/// That the kind of content is not understood.
fn refusal(request: &str, headers: &str) -> Vec<u8> {
    response(request, 415, headers).into_bytes()
}

fn path(peer: &str) -> Path {
    Path { transport: Transport::Udp, local: "192.0.2.1:5060".parse().unwrap(), peer: peer.parse().unwrap() }
}

fn jwt(seconds: u64) -> String {
    let name = crate::name::Name::parse("demo").unwrap();
    let expires = NOW.wall + Duration::from_secs(seconds);
    let grant = Grant { receive: vec![name.clone()], bridge: vec![name], ..Grant::default() };
    let order = Order { subject: "ann", audience: "parkway", issued: Wall(0), expires, not_before: None, grant };
    mint(&SigningKey::new(Algorithm::Hs256, &SECRET, Some("k")).unwrap(), &order).unwrap()
}

impl Bench {
    fn new() -> Bench {
        Bench { switch: switch(), now: NOW, requests: 0, path: path("198.51.100.7:5060") }
    }

    /// A request, and the start of each message that it leads to.
    fn say(&mut self, method: &str, headers: &str) -> Vec<String> {
        let text = self.request(method, headers);
        self.hear(&text)
    }

    fn request(&mut self, method: &str, headers: &str) -> String {
        self.requests += 1;
        let (count, peer) = (self.requests, self.path.peer);
        let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
        let body = if method == "INVITE" { sdp } else { "" };
        format!(
            "{method} sip:demo@x SIP/2.0\r\nVia: SIP/2.0/UDP {peer};branch=z9hG4bK{count}\r\nFrom: <sip:a@x>;tag=1\r\n\
             To: <sip:demo@x>\r\nCall-ID: 1\r\nCSeq: {count} {method}\r\nContact: <sip:a@{peer}>\r\nX-Padding: {}\r\n{headers}\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            "x".repeat(400),
            body.len()
        )
    }

    fn hear(&mut self, text: &str) -> Vec<String> {
        self.switch.handle(self.now, Input::Datagram { path: self.path, bytes: text.as_bytes() });
        self.sent()
    }

    /// All messages that were sent since, whole.
    fn messages(&mut self) -> Vec<(Path, String)> {
        let effects = std::iter::from_fn(|| self.switch.poll_effect());
        effects
            .filter_map(|effect| match effect {
                Effect::Transmit(sent) => Some((sent.path, String::from_utf8(sent.bytes.to_vec()).unwrap())),
                Effect::Media(_) | Effect::Notify(_) | Effect::Ask { .. } => None,
                Effect::Record(_) | Effect::Locate(_) | Effect::Device(_) => None,
                Effect::Reachable { .. } => None,
            })
            .collect()
    }

    /// A word for each: `200`, `MESSAGE`.
    fn sent(&mut self) -> Vec<String> {
        let word = |text: String| text.trim_start_matches("SIP/2.0 ").split(' ').next().unwrap().to_owned();
        self.messages().into_iter().map(|(_, text)| word(text)).collect()
    }

    fn register(&mut self, seconds: u64) -> Vec<String> {
        let credential = format!("Authorization: Bearer {}\r\n", jwt(seconds));
        self.say("REGISTER", &credential)
    }

    fn subscribe(&mut self) -> Vec<String> {
        let headers = format!("Event: parkway-call\r\nAuthorization: Bearer {}\r\n", jwt(3600));
        self.say("SUBSCRIBE", &headers)
    }

    /// A call of a trunk's is parked.
    fn park(&mut self) {
        let client = std::mem::replace(&mut self.path, path("192.0.2.7:5060"));
        let text = self.request("INVITE", "").replace("Call-ID: 1", &format!("Call-ID: call{}", self.requests));
        self.switch.handle(self.now, Input::Datagram { path: self.path, bytes: text.as_bytes() });
        self.path = client;
    }

    /// Answers a request of ours.
    fn answer(&mut self, request: &str, status: u16) -> Vec<String> {
        self.hear(&response(request, status, ""))
    }

    /// Time passes, each timer at its time; what was sent meanwhile.
    fn pass(&mut self, seconds: u64) -> Vec<String> {
        let until = self.now.at + Duration::from_secs(seconds);
        let mut sent = Vec::new();
        while let Some(due) = self.switch.poll_timeout().filter(|due| *due <= until) {
            self.advance(due);
            sent.extend(self.sent());
        }
        self.advance(until);
        sent
    }

    fn advance(&mut self, to: Instant) {
        let by = to - self.now.at;
        self.now = Now { at: self.now.at + by, wall: self.now.wall + by };
        self.switch.handle_timeout(self.now);
    }
}

/// RELIABILITY A8, A19; PRODUCT "who may do what".
#[test]
fn every_method_has_its_answer_for_everybody() {
    let none: &[&str] = &[];
    let rows: [(&str, [&[&str]; 3]); 15] = [
        // method, and what a trunk, a client and a stranger get
        ("INVITE", [&["180"], &["403"], &["403"]]),
        ("ACK", [none, none, none]),
        ("BYE", [&["481"], &["481"], &["481"]]),
        ("CANCEL", [&["481"], &["481"], &["481"]]),
        ("OPTIONS", [&["200"], &["403"], &["403"]]),
        ("REGISTER", [&["401"], &["200"], &["401"]]),
        ("SUBSCRIBE", [&["401"], &["200", "NOTIFY"], &["401"]]),
        ("PRACK", [&["481"], &["481"], &["481"]]),
        ("UPDATE", [&["481"], &["481"], &["481"]]),
        ("INFO", [&["481"], &["481"], &["481"]]),
        ("NOTIFY", [&["405"], &["405"], &["405"]]),
        ("PUBLISH", [&["405"], &["405"], &["405"]]),
        ("MESSAGE", [&["415"], &["415"], &["401"]]),
        ("REFER", [&["403"], &["403"], &["403"]]),
        ("NEWMETHOD", [&["501"], &["501"], &["501"]]),
    ];
    let known = Method::KNOWN.map(|(name, _)| name);
    assert!(known.iter().all(|method| rows.iter().any(|(row, _)| row == method)), "a method has no row");
    for (method, expected) in rows {
        for (who, expected) in [Who::Trunk, Who::Client, Who::Stranger].into_iter().zip(expected) {
            let mut bench = Bench::new();
            bench.path = path(if who == Who::Trunk { "192.0.2.7:5060" } else { "198.51.100.7:5060" });
            let mut headers = if method == "SUBSCRIBE" { "Event: parkway-call\r\n".into() } else { String::new() };
            if who == Who::Client {
                headers += &format!("Authorization: Bearer {}\r\n", jwt(3600));
            }
            assert_eq!(bench.say(method, &headers), expected, "{method} of a {who:?}");
            let kept = usize::from(who == Who::Client);
            let (contacts, subscriptions) = bench.switch.bindings();
            assert_eq!(contacts, if method == "REGISTER" { kept } else { 0 }, "{method} of a {who:?}");
            assert_eq!(subscriptions, if method == "SUBSCRIBE" { kept } else { 0 }, "{method} of a {who:?}");
            assert_eq!(bench.switch.calls(), usize::from(method == "INVITE" && who == Who::Trunk));
        }
    }
}

#[test]
fn a_repetition_gets_the_same_answer_and_nothing_happens_twice() {
    let mut bench = Bench::new();
    let register = bench.request("REGISTER", &format!("Authorization: Bearer {}\r\n", jwt(3600)));
    assert_eq!((bench.hear(&register), bench.hear(&register)), (vec!["200".into()], vec!["200".into()]));
    let headers = format!("Event: parkway-call\r\nAuthorization: Bearer {}\r\n", jwt(3600));
    let subscribe = bench.request("SUBSCRIBE", &headers);
    assert_eq!(bench.hear(&subscribe), ["200", "NOTIFY"]);
    assert_eq!(bench.hear(&subscribe), ["200"]);
    assert_eq!(bench.switch.bindings(), (1, 1));
}

#[test]
fn a_contact_that_is_silent_is_gone_and_one_that_refuses_is_told_the_next_thing() {
    let mut bench = Bench::new();
    bench.register(3600);
    bench.park();
    let (_, message) = bench.messages().into_iter().find(|(_, text)| text.starts_with("MESSAGE")).unwrap();
    assert!(bench.answer(&message, 405).is_empty());
    assert_eq!(bench.switch.bindings(), (1, 0));
    bench.park();
    assert!(bench.sent().contains(&"MESSAGE".to_owned()));
    let sent = bench.pass(40);
    assert!(sent.iter().filter(|word| *word == "MESSAGE").count() > 5, "Timer E: {sent:?}");
    assert_eq!(bench.switch.bindings(), (0, 0), "Timer F");
    let told = &bench.switch.stats().told.0;
    assert_eq!((told.get("refused"), told.get("unanswered")), (Some(&1), Some(&1)));
}

#[test]
fn many_clients_of_a_name_do_not_hold_up_everything_else() {
    let mut bench = Bench::new();
    let many = 2 * limits::BINDINGS_TOLD_AT_ONCE + 3;
    for at in 0..many {
        let text = bench.request("REGISTER", &format!("Authorization: Bearer {}\r\n", jwt(3600)));
        assert_eq!(bench.hear(&text.replace("To: <sip:demo@x>", &format!("To: <sip:demo%2F{at}@x>"))), ["200"]);
    }
    bench.park();
    let told = |sent: Vec<String>| sent.iter().filter(|word| *word == "MESSAGE").count();
    assert_eq!(told(bench.sent()), limits::BINDINGS_TOLD_AT_ONCE);
    assert_eq!(
        bench.switch.poll_timeout(),
        Some(bench.now.at),
        "the others are told at once, but after whatever came meanwhile"
    );
    assert_eq!(told(bench.pass(0)), many - limits::BINDINGS_TOLD_AT_ONCE);
    assert!(bench.switch.poll_timeout().is_some_and(|due| due > bench.now.at));
}

#[test]
fn a_telephone_that_takes_text_alone_gets_text() {
    let mut bench = Bench::new();
    bench.register(3600);
    bench.park();
    let message = |bench: &mut Bench| {
        bench.messages().into_iter().find(|(_, text)| text.starts_with("MESSAGE")).map(|(_, text)| text)
    };
    let json = message(&mut bench).unwrap();
    assert!(json.contains("Content-Type: application/json"), "{json}");
    bench
        .switch
        .handle(bench.now, Input::Datagram { path: bench.path, bytes: &refusal(&json, "Accept: text/plain\r\n") });
    let text = message(&mut bench).unwrap();
    let body = |message: &str| message.split_once("\r\n\r\n").unwrap().1.split_once("\"token\"").unwrap().0.to_owned();
    assert!(text.contains("Content-Type: text/plain") && body(&text) == body(&json), "{text}");
    bench
        .switch
        .handle(bench.now, Input::Datagram { path: bench.path, bytes: &refusal(&text, "Accept: text/plain\r\n") });
    assert_eq!(message(&mut bench), None, "once is enough");
    bench.register(3600);
    bench.park();
    let text = message(&mut bench).unwrap();
    assert!(text.contains("Content-Type: text/plain"), "and it is remembered: {text}");
    let mut bench = Bench::new();
    bench.register(3600);
    bench.park();
    let json = message(&mut bench).unwrap();
    bench.switch.handle(
        bench.now,
        Input::Datagram { path: bench.path, bytes: &refusal(&json, "Accept: application/pidf+xml\r\n") },
    );
    assert_eq!(message(&mut bench), None, "nothing that it could be told in");
}

#[test]
fn a_subscriber_that_refuses_a_notify_is_none_any_more() {
    for status in [481, 489, 603] {
        let mut bench = Bench::new();
        let headers = format!("Event: parkway-call\r\nAuthorization: Bearer {}\r\n", jwt(3600));
        let text = bench.request("SUBSCRIBE", &headers);
        bench.switch.handle(bench.now, Input::Datagram { path: bench.path, bytes: text.as_bytes() });
        let (_, notify) = bench.messages().pop().unwrap();
        assert!(notify.starts_with("NOTIFY"), "{notify}");
        bench.answer(&notify, status);
        assert_eq!(bench.switch.bindings(), (0, 0), "{status}");
    }
}

#[test]
fn a_registration_ends_with_its_credential_and_with_its_way() {
    let mut bench = Bench::new();
    bench.register(100);
    // The skew that is allowed to clocks is on top.
    bench.pass(129);
    assert_eq!(bench.switch.bindings(), (1, 0));
    bench.pass(1);
    assert_eq!(bench.switch.bindings(), (0, 0));
    let tcp = Path { transport: Transport::Tcp, ..bench.path };
    bench.path = tcp;
    bench.register(3600);
    bench.switch.handle(bench.now, Input::Disconnected { path: path("198.51.100.7:5060") });
    assert_eq!(bench.switch.bindings(), (1, 0), "another way");
    bench.park();
    assert!(bench.messages().iter().any(|(path, text)| *path == tcp && text.starts_with("MESSAGE")));
    bench.switch.handle(bench.now, Input::Disconnected { path: tcp });
    assert_eq!(bench.switch.bindings(), (0, 0));
}

#[test]
fn who_comes_by_another_way_is_told_again_of_what_waits() {
    let mut bench = Bench::new();
    bench.register(3600);
    bench.park();
    bench.messages();
    assert_eq!(bench.register(3600), ["200"], "the same way");
    bench.path = path("198.51.100.7:7000");
    let text = bench.request("REGISTER", &format!("Authorization: Bearer {}\r\n", jwt(3600)));
    let text = text.replace("Contact: <sip:a@198.51.100.7:7000>", "Contact: <sip:a@198.51.100.7:5060>");
    bench.switch.handle(bench.now, Input::Datagram { path: bench.path, bytes: text.as_bytes() });
    let sent = bench.messages();
    let told: Vec<_> = sent.iter().filter(|(_, text)| text.starts_with("MESSAGE")).collect();
    assert!(told.len() == 1 && told[0].0 == bench.path, "{sent:?}");
    assert_eq!(bench.switch.bindings(), (1, 0));
}

#[test]
fn a_user_who_is_taken_out_is_told_nothing_more() {
    let mut users = Users::default();
    let grant = Grant { receive: vec![crate::name::Name::parse("demo").unwrap()], ..Grant::default() };
    users.add("bob", "secret", grant);
    let mut bench = Bench::new();
    let authority = bench.switch.authority();
    let with = |users: Users| {
        Input::Authority(Authority { keyring: Arc::new(keyring().with_users(users)), ..authority.clone() })
    };
    bench.switch.handle(bench.now, with(users));
    let refusal = bench.request("REGISTER", "");
    bench.switch.handle(bench.now, Input::Datagram { path: bench.path, bytes: refusal.as_bytes() });
    let (_, challenge) = bench.messages().pop().unwrap();
    let challenge = Message::parse(challenge.as_bytes()).unwrap();
    let password = crate::secret::Secret::new("secret".to_owned());
    let credentials = crate::sip::auth::Credentials { username: "bob".into(), realm: Some("parkway".into()), password };
    let (_, proof) = crate::sip::auth::answer(&challenge, &credentials, b"REGISTER", "sip:demo@x", "abc").unwrap();
    assert_eq!(bench.say("REGISTER", &format!("Authorization: {proof}\r\n")), ["200"]);
    bench.switch.handle(bench.now, with(Users::default()));
    bench.park();
    assert_eq!(bench.sent(), ["180"]);
    assert_eq!(bench.switch.stats().told.0.get("withheld"), Some(&1));
}

#[test]
fn in_a_drain_nobody_new_is_taken_and_at_the_stop_subscribers_are_told() {
    let mut bench = Bench::new();
    assert_eq!(bench.subscribe(), ["200", "NOTIFY"]);
    bench.switch.handle(bench.now, Input::Drain);
    assert_eq!(bench.register(3600), ["503"]);
    bench.requests += 10;
    let other = bench.request("SUBSCRIBE", &format!("Event: parkway-call\r\nAuthorization: Bearer {}\r\n", jwt(3600)));
    assert_eq!(bench.hear(&other.replace("Call-ID: 1", "Call-ID: 2")), ["503"]);
    bench.switch.handle(bench.now, Input::Stop);
    let sent = bench.messages();
    let last = sent.iter().find(|(_, text)| text.starts_with("NOTIFY")).map(|(_, text)| text.as_str());
    assert!(last.is_some_and(|text| text.contains("Subscription-State: terminated;reason=deactivated")), "{sent:?}");
    assert_eq!(bench.switch.bindings(), (0, 0));
}

/// RFC 3327 §5.3, §5.4.
#[test]
fn a_client_behind_proxies_is_told_by_them_and_sees_them_if_it_knows_of_that() {
    let proxies = "<sip:edge2.example;lr>, <sip:edge1.example;lr>";
    let (line, knows) = (format!("Path: {proxies}\r\n"), "Supported: gruu, Path\r\n");
    for (headers, status, shown) in [
        (String::new(), "200", None),
        (knows.to_owned(), "200", None),
        (line.clone(), "200", None),
        (format!("{line}{knows}"), "200", Some(proxies)),
        (format!("{line}{knows}Require: path\r\n"), "200", Some(proxies)),
        (format!("{knows}Path: <sip:strict.example>\r\n"), "400", None),
        (format!("{knows}{}", line.repeat(limits::PATHS_MAX)), "400", None),
    ] {
        let mut bench = Bench::new();
        let register = bench.request("REGISTER", &format!("{headers}Authorization: Bearer {}\r\n", jwt(3600)));
        bench.switch.handle(bench.now, Input::Datagram { path: bench.path, bytes: register.as_bytes() });
        let (_, answer) = bench.messages().remove(0);
        assert!(answer.starts_with(&format!("SIP/2.0 {status} ")), "{headers}: {answer}");
        assert_eq!(answer.lines().find_map(|line| line.strip_prefix("Path: ")), shown, "{headers}");
        bench.park();
        let told = bench.messages().into_iter().find(|(_, text)| text.starts_with("MESSAGE sip:a@198.51.100.7:5060 "));
        let routed =
            told.as_ref().map(|(path, text)| (path, text.lines().find_map(|line| line.strip_prefix("Route: "))));
        let by = headers.contains(proxies).then_some(proxies);
        assert_eq!(routed, (status == "200").then_some((&bench.path, by)), "{headers}");
    }
}

#[test]
fn flows_are_promised_only_if_the_proxy_next_to_the_client_keeps_them() {
    for (path, promised) in
        [("", true), ("Path: <sip:e.example;lr;ob>\r\n", true), ("Path: <sip:e.example;lr>\r\n", false)]
    {
        let mut bench = Bench::new();
        let register =
            bench.request("REGISTER", &format!("{path}Supported: outbound\r\nAuthorization: Bearer {}\r\n", jwt(3600)));
        let flow = ">;reg-id=1;+sip.instance=\"<urn:uuid:1>\"\r\nX-Padding";
        let register = register.replace(">\r\nX-Padding", flow);
        bench.switch.handle(bench.now, Input::Datagram { path: bench.path, bytes: register.as_bytes() });
        let (_, answer) = bench.messages().remove(0);
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        assert_eq!(answer.contains("Require: outbound\r\n"), promised, "{path}");
    }
}
