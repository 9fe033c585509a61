//! What only the inside can show: a call that panics takes nothing with it, what is logged, and what a trunk's own settings do.
//! Everything else about the switch is in `tests/flows`.

use super::*;
use crate::call::{Call, News, Notice, Route, Trunk};
use crate::id::Side;
use crate::number::Pattern;
use crate::policy::{Algorithm, Grant, Grants, Keyring, Order, SigningKey, Users, VerifyingKey, mint};
use crate::rng::Rng;
use crate::secret::Secret;
use crate::sip::Transport;
use crate::sip::auth::{self, Credentials};
use crate::sip::endpoint::EndpointSettings;
use crate::time::{Duration, Wall};
use crate::token::{Audience, Contents, SubjectHash, seal};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Mutex;

pub(super) const NOW: Now = Now { at: Instant(1_000_000), wall: Wall(1_795_000_000_000) };

/// One trunk, one number; whoever dials a token of the call may have it.
pub(super) fn switch() -> Switch {
    let any = || "192.0.2.1".parse().unwrap();
    let call = crate::call::Settings {
        repeat: Duration::from_secs(60),
        media_bind: any(),
        media_advertised: any(),
        media_external: None,
        loopback: false,
        silence: Duration::from_secs(20),
        t38: true,
        hold_silence: Duration::from_secs(20),
        rings_reliably: false,
        session_timer: crate::call::SessionTerms { expires_seconds: 1800, min_seconds: 90 },
        srtp: crate::call::SrtpTerms { reach: crate::call::KeyReach::Anywhere, is_required: false },
        hold_sound: None,
        recording: None,
        digits: crate::call::DigitTerms::default(),
    };
    let trunk =
        Trunk { name: "t".into(), allow: vec!["192.0.2.0/24".parse().unwrap()], calls_max: 9, ..Trunk::default() };
    let name = crate::name::Name::parse("demo").unwrap();
    let (ring, park) = (180, Duration::from_secs(60));
    let route = Route {
        number: Pattern::parse("*").unwrap(),
        name,
        ring,
        park,
        hears: None,
        record: None,
        fallback_status: 480,
        invites: false,
        data: None,
    };
    let caps = Caps { total: 9, per_name: 9, per_source: 9, retry_after: Duration::from_secs(1) };
    let (trunks, routes) = (vec![Arc::new(trunk)], vec![Arc::new(route)]);
    Switch::new(Parts {
        settings: Arc::new(Settings {
            node: 1,
            trunks,
            routes,
            call: Arc::new(call),
            caps,
            push: Default::default(),
            pass_headers: Vec::new(),
        }),
        keys: Arc::new(Keys::new(1, [7; 32])),
        keyring: Arc::new(keyring()),
        engine: Arc::new(Grants { dial_concurrent: 9 }),
        rng: Rng::from_seed([1; 32]),
        endpoint: Endpoint::new(Rng::from_seed([2; 32]), EndpointSettings::default()),
        herald: Arc::new(herald()),
        registrar: Registrar::default(),
    })
}

fn herald() -> Herald {
    let signer = crate::event::Signer::from_seed(&crate::secret::Secret::new([4; 32]));
    Herald { signer, epoch: 1, sip_host: "192.0.2.1:5060".into() }
}

/// Signs the JWTs of clients that have one.
pub(super) const SECRET: [u8; 32] = [5; 32];

pub(super) fn keyring() -> Keyring {
    let mut keyring = Keyring::new("parkway");
    keyring.add("k", VerifyingKey::new(Algorithm::Hs256, &SECRET).unwrap()).unwrap();
    keyring
}

/// A message of one of the peers `a`, `b`, `c`, and what the switch does about it, a word each: `a:500`, `b:BYE`, `close`, `gone`, `record`.
fn tell(switch: &mut Switch, peer: char, start: &str, cseq: &str, to: &str, sdp: bool) -> Vec<String> {
    let body = if sdp {
        "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
    } else {
        ""
    };
    let message = format!(
        "{start} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.{0};branch=z9hG4bK{peer}{1}\r\nFrom: <sip:{peer}@x>;tag={peer}\r\nTo: {to}\r\n\
         Call-ID: {peer}\r\nCSeq: {cseq}\r\nContact: <sip:{peer}@192.0.2.{0}>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {2}\r\n\r\n{body}",
        u32::from(peer),
        cseq.replace(' ', ""),
        body.len()
    );
    let address = |host: u32| format!("192.0.2.{host}:5060").parse().unwrap();
    let path = Path { transport: Transport::Udp, local: address(1), peer: address(u32::from(peer)) };
    switch.handle(NOW, Input::Datagram { path, bytes: message.as_bytes() });
    done(switch)
}

fn done(switch: &mut Switch) -> Vec<String> {
    let effect = |effect| match effect {
        Effect::Transmit(transmit) => {
            let host = transmit.path.peer.ip().to_string();
            let peer = host.rsplit('.').next().and_then(|host| host.parse::<u8>().ok()).map_or('?', char::from);
            let text = String::from_utf8_lossy(&transmit.bytes).into_owned();
            let word = text.trim_start_matches("SIP/2.0 ").split(' ').next().unwrap_or_default();
            format!("{peer}:{word}")
        }
        Effect::Media(media::Command::Open { .. }) => "open".into(),
        Effect::Media(media::Command::Add { .. }) => "add".into(),
        Effect::Media(media::Command::Set { .. }) => "set".into(),
        Effect::Media(media::Command::Record { .. }) => "record".into(),
        Effect::Media(media::Command::Clear { .. }) => "clear".into(),
        Effect::Media(media::Command::Press { .. }) => "press".into(),
        Effect::Media(media::Command::Close { .. }) => "close".into(),
        Effect::Device(_) => "device".into(),
        Effect::Notify(Notice::Incoming(_)) => "incoming".into(),
        Effect::Notify(Notice::Gone(gone)) => format!("gone {}", gone.reason.as_str()),
        Effect::Notify(Notice::Personal(personal)) => match personal.news {
            News::Ended(_) => format!("ended {}", personal.name),
            News::Digit(digit) => format!("digit {} {}", personal.name, digit.key),
            News::Warning(warning) => format!("warning {} {}", personal.name, warning.for_client.id),
        },
        Effect::Notify(Notice::Letter(letter)) => format!("letter {}", letter.name),
        Effect::Notify(Notice::Changed(change)) => change.state.as_str().into(),
        Effect::Notify(Notice::Forgotten(_)) => "forgotten".into(),
        Effect::Reachable { name, telephones } => format!("reachable {name} {telephones}"),
        Effect::Ask { .. } => "ask".into(),
        Effect::Locate(_) => "locate".into(),
        Effect::Record(record) => format!("record {} {}", record.status, record.sip_call_id),
    };
    std::iter::from_fn(|| switch.poll_effect()).map(effect).collect()
}

fn park(switch: &mut Switch, peer: char) -> CallRef {
    let heard = tell(switch, peer, "INVITE sip:1@x", "1 INVITE", "<sip:1@x>", true);
    assert_eq!(heard, [format!("{peer}:180"), "incoming".into()]);
    switch.lot.all().into_iter().next_back().unwrap()
}

/// The client `b` dials the token of a call; the relay has opened its ports when `media` says so.
fn call_back(switch: &mut Switch, at: CallRef) -> Vec<String> {
    let (keys, facts) = (Keys::new(1, [7; 32]), switch.lot.get(at).unwrap().facts().clone());
    let (expires, subject) = (NOW.wall + Duration::from_secs(60), SubjectHash([0; 16]));
    let contents = Contents { node: 1, call: facts.id, generation: 1, expires, subject, record: None };
    let token = seal(&keys, &mut Rng::from_seed([3; 32]), &contents, &Audience::Dial);
    tell(switch, 'b', &format!("INVITE sip:{}@x", token.expose()), "1 INVITE", "<sip:1@x>", true)
}

fn relay(switch: &mut Switch, at: CallRef, event: impl FnOnce(FlowId) -> media::Event) -> Vec<String> {
    let flow = switch.lot.get(at).and_then(Call::flow).unwrap();
    switch.handle(NOW, Input::Media(event(flow)));
    done(switch)
}

fn opened(flow: FlowId) -> media::Event {
    let address = "192.0.2.1:30000".parse().unwrap();
    media::Event::Opened { flow, caller: address, client: address }
}

/// Whatever was lost, the other call is there as before, and its caller still waits for an answer.
fn check_other(switch: &mut Switch) {
    assert_eq!(switch.stats().panics, 1);
    assert_eq!(switch.calls(), 1);
    switch.handle(NOW, Input::Stop);
    assert_eq!(done(switch), ["c:503", "gone server_stopping", "record 503 c"]);
    assert_eq!(switch.calls(), 0);
    assert!(switch.usage.is_empty() && switch.questions.is_empty() && switch.lot.is_clear());
}

#[test]
fn a_call_that_panics_as_it_arrives_gets_500_and_one_record() {
    let mut switch = switch();
    park(&mut switch, 'c');
    let next = switch.lot.next();
    switch.fault = Some(CallRef { generation: next.generation + 1, ..next });
    let heard = tell(&mut switch, 'a', "INVITE sip:1@x", "1 INVITE", "<sip:1@x>", true);
    assert_eq!(heard, ["a:180", "a:500", "record 500 a"]);
    check_other(&mut switch);
}

#[test]
fn a_parked_call_that_panics_ends_with_500_and_one_record() {
    let mut switch = switch();
    let at = park(&mut switch, 'a');
    park(&mut switch, 'c');
    switch.fault = Some(at);
    // What the step did before it broke is not done: no ports are opened that nobody would close.
    assert_eq!(call_back(&mut switch, at), ["a:500", "b:500", "gone failed", "record 500 a"]);
    check_other(&mut switch);
}

#[test]
fn a_bridged_call_that_panics_ends_with_bye_and_one_record() {
    let mut switch = switch();
    let at = park(&mut switch, 'a');
    park(&mut switch, 'c');
    assert_eq!(call_back(&mut switch, at), ["open"]);
    let heard = relay(&mut switch, at, opened);
    assert_eq!(heard, ["set", "set", "a:200", "b:200", "gone answered_elsewhere"]);
    for (peer, side) in [('a', Side::Caller), ('b', Side::Client)] {
        let dialog = switch.lot.get(at).and_then(|call| call.dialog(side)).unwrap();
        tell(&mut switch, peer, "ACK sip:1@x", "1 ACK", &format!("<sip:1@x>;tag={dialog}"), false);
    }
    switch.fault = Some(at);
    let heard =
        relay(&mut switch, at, |flow| media::Event::Silent { flow, side: Side::Client, line: media::Line::Audio });
    // The step's own BYEs had left when it broke; they are not said twice.
    assert_eq!(heard, ["close", "a:BYE", "b:BYE", "record 500 a"]);
    check_other(&mut switch);
}

#[test]
fn a_call_that_panics_after_its_record_has_no_second() {
    let mut switch = switch();
    let at = park(&mut switch, 'a');
    park(&mut switch, 'c');
    call_back(&mut switch, at);
    relay(&mut switch, at, opened);
    switch.step(NOW, at, Event::Stop);
    done(&mut switch);
    let heard = relay(&mut switch, at, |flow| media::Event::Closed { flow, report: Box::default() });
    assert_eq!(heard, ["record 200 a", "ended demo"]);
    switch.fault = Some(at);
    let dialog = switch.lot.get(at).and_then(|call| call.dialog(Side::Caller)).unwrap();
    let heard = tell(&mut switch, 'a', "BYE sip:1@x", "2 BYE", &format!("<sip:1@x>;tag={dialog}"), false);
    assert!(!heard.iter().any(|word| word.starts_with("record")), "{heard:?}");
    check_other(&mut switch);
}

/// What the switch logs, all levels together.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Logged {
    fn of(act: impl FnOnce()) -> String {
        let (logged, level) = (Logged::default(), tracing::Level::TRACE);
        let writer = logged.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(level).with_ansi(false);
        tracing::subscriber::with_default(subscriber.with_writer(move || writer.clone()).finish(), act);
        let bytes = logged.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }
}

#[test]
fn the_log_has_the_reason_of_a_denial_and_no_secret() {
    let mut switch = switch();
    let (mut jwt, mut token, mut call) = (String::new(), String::new(), String::new());
    let log = Logged::of(|| {
        let at = park(&mut switch, 'a');
        let (name, id) = (crate::name::Name::parse("demo").unwrap(), switch.lot.get(at).unwrap().facts().id);
        let expires = NOW.wall + Duration::from_secs(60);
        // It may hear of calls for the name, but not take them.
        let grant = Grant { receive: vec![name.clone()], ..Grant::default() };
        let order = Order { subject: "ann", audience: "parkway", issued: NOW.wall, expires, not_before: None, grant };
        jwt = mint(&SigningKey::new(Algorithm::Hs256, &SECRET, Some("k")).unwrap(), &order).unwrap();
        let subject = crate::policy::verify(&keyring(), NOW.wall, jwt.as_bytes()).unwrap().subject_hash();
        let contents = Contents { node: 1, call: id, generation: 1, expires, subject, record: None };
        let audience = Audience::Client { name: &name, subject: "ann" };
        let sealed = seal(&Keys::new(1, [7; 32]), &mut Rng::from_seed([4; 32]), &contents, &audience);
        (token, call) = (sealed.expose().to_owned(), id.to_string());
        let to = format!("<sip:demo@x>\r\nX-Bridge-Token: {token}\r\nAuthorization: Bearer {jwt}");
        assert_eq!(tell(&mut switch, 'd', "INVITE sip:demo@x", "1 INVITE", &to, true), ["d:403"]);
        let forged = to.replace("X-Bridge-Token: ", "X-Bridge-Token: A");
        assert_eq!(tell(&mut switch, 'c', "INVITE sip:demo@x", "1 INVITE", &forged, true), ["c:403"]);
        assert_eq!(call_back(&mut switch, at), ["open"]);
        relay(&mut switch, at, opened);
    });
    let denial = log.lines().find(|line| line.contains("policy denied")).unwrap();
    assert!(denial.contains("bridge_not_granted") && denial.contains(&call), "{denial}");
    assert!(log.contains("bridge_token_invalid"), "{log}");
    // The token that was dialled too: version and key are the same in all of them, and stand at the beginning.
    let seals = [&token[..5], jwt.rsplit('.').next().unwrap(), jwt.split('.').nth(1).unwrap()];
    for secret in seals {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

/// The same with another trunk and the routes `+4930*` to `demo`.
fn with_trunk(change: impl FnOnce(&mut Trunk)) -> Switch {
    let mut switch = switch();
    let mut settings = (*switch.settings).clone();
    let mut trunk = (*settings.trunks[0]).clone();
    change(&mut trunk);
    let route = Route { number: Pattern::parse("+4930*").unwrap(), ..(*settings.routes[0]).clone() };
    (settings.trunks, settings.routes) = (vec![Arc::new(trunk)], vec![Arc::new(route)]);
    switch.settings = Arc::new(settings);
    switch
}

#[test]
fn a_trunks_numbers_are_rewritten_before_a_route_is_looked_for_and_for_clients() {
    let rules =
        |rules: &[&str]| crate::call::Rewrite::parse(&rules.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
    let mut switch = with_trunk(|trunk| {
        trunk.called = rules(&["00* -> +*", "0* -> +49*"]).unwrap();
        trunk.calling = rules(&["a -> +4989"]).unwrap();
    });
    let heard = tell(&mut switch, 'b', "INVITE sip:0301@x", "1 INVITE", "<sip:0301@x>", true);
    assert_eq!(heard, ["b:180", "incoming"]);
    let heard = tell(&mut switch, 'c', "INVITE sip:301@x", "1 INVITE", "<sip:301@x>", true);
    assert_eq!(heard, ["c:404"], "no rule, no route");
    let invite = |peer| {
        format!(
            "INVITE sip:0049301@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK7\r\nFrom: <sip:{peer}@x>;tag=1\r\nTo: <sip:0301@x>\r\nCall-ID: 7\r\nCSeq: 1 INVITE\r\nContact: <sip:a@h>\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let path = Path {
        transport: Transport::Udp,
        local: "192.0.2.1:5060".parse().unwrap(),
        peer: "192.0.2.7:5060".parse().unwrap(),
    };
    switch.handle(NOW, Input::Datagram { path, bytes: invite("a").as_bytes() });
    let notice = std::iter::from_fn(|| switch.poll_effect()).find_map(|effect| {
        if let Effect::Notify(Notice::Incoming(incoming)) = effect { Some((incoming.from, incoming.to)) } else { None }
    });
    assert_eq!(notice, Some(("sip:+4989@x".into(), "sip:+49301@x".into())));
    switch.handle(NOW, Input::Stop);
    let record = std::iter::from_fn(|| switch.poll_effect()).find_map(|effect| {
        if let Effect::Record(record) = effect { Some(record) } else { None }.filter(|record| record.sip_call_id == "7")
    });
    let record = record.map(|record| (record.from, record.to));
    assert_eq!(record, Some(("sip:+4989@x".into(), "sip:+49301@x".into())));
}

#[test]
fn a_trunk_that_calls_too_often_is_told_when_to_come_back_and_what_is_refused_does_not_count() {
    let mut switch = with_trunk(|trunk| trunk.calls_per_second_max = Some(2));
    let mut call =
        |peer, number| tell(&mut switch, peer, &format!("INVITE sip:{number}@x"), "1 INVITE", "<sip:1@x>", true);
    assert_eq!(call('a', "none"), ["a:404"]);
    assert_eq!(call('b', "+49301"), ["b:180", "incoming"]);
    assert_eq!(call('c', "+49301"), ["c:180", "incoming"]);
    assert_eq!(call('d', "+49301"), ["d:503"]);
    assert_eq!(switch.stats().refused.0.get("rate_trunk"), Some(&1));
}

/// An INVITE of somebody at this host, with credentials or without, and what comes back.
fn called_from(switch: &mut Switch, host: u8, call: &str, authorization: &str) -> Vec<String> {
    let peer = SocketAddr::from(([198, 51, 100, host], 5060));
    let padding = "x".repeat(600);
    let message = format!(
        "INVITE sip:+49301@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{call}\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:1@x>\r\n\
         Call-ID: {call}\r\nCSeq: 1 INVITE\r\nContact: <sip:a@{peer}>\r\n{authorization}Subject: {padding}\r\nContent-Length: 0\r\n\r\n"
    );
    let path = Path { transport: Transport::Udp, local: "192.0.2.1:5060".parse().unwrap(), peer };
    switch.handle(NOW, Input::Datagram { path, bytes: message.as_bytes() });
    let text = |effect| {
        if let Effect::Transmit(sent) = effect { Some(String::from_utf8(sent.bytes.to_vec()).unwrap()) } else { None }
    };
    std::iter::from_fn(|| switch.poll_effect()).filter_map(text).collect()
}

/// The Authorization that answers the challenges in a 401.
fn proof(refusal: &str, username: &str, password: &str) -> String {
    let credentials =
        Credentials { username: username.into(), realm: None, password: Secret::new(password.to_owned()) };
    let refusal = Message::parse(refusal.as_bytes()).unwrap();
    let (name, value) = auth::answer(&refusal, &credentials, b"INVITE", "sip:+49301@x", "chance").unwrap();
    format!("{name}: {value}\r\n")
}

#[test]
fn a_trunk_may_prove_a_password_and_nobody_else_is_taken_for_it() {
    let mut switch = with_trunk(|trunk| trunk.user = Some("carrier".into()));
    let mut users = Users::new("parkway", &[crate::sip::auth::Algorithm::Sha256]);
    users.add("carrier", "right", Grant::default());
    users.add("bob", "right", Grant::default());
    switch.keyring = Arc::new(keyring().with_users(users));
    let starts = |sent: &[String]| -> Vec<String> { sent.iter().map(|text| text[8..11].to_owned()).collect() };
    let challenged = called_from(&mut switch, 7, "one", "");
    assert_eq!(starts(&challenged), ["401"]);
    let asked = challenged[0].clone();
    for (call, username, password, expected) in [
        ("two", "carrier", "wrong", &["401"][..]),
        ("three", "mallory", "right", &["401"]),
        ("four", "bob", "right", &["403"]),
    ] {
        let fresh = called_from(&mut switch, 7, &format!("{call}-first"), "");
        let heard = called_from(&mut switch, 7, call, &proof(&fresh[0], username, password));
        assert_eq!(starts(&heard), expected, "{username} {password}");
    }
    let heard = called_from(&mut switch, 7, "five", &proof(&asked, "carrier", "right"));
    assert_eq!(starts(&heard), ["180"]);
    // The same proof again is somebody else's.
    assert_eq!(starts(&called_from(&mut switch, 8, "six", &proof(&asked, "carrier", "right"))), ["401"]);
    assert_eq!(switch.calls(), 1);
    // Where no trunk has a password, nobody is asked for one.
    let mut without = with_trunk(|_| ());
    assert_eq!(starts(&called_from(&mut without, 7, "seven", "")), ["403"]);
}
