//! Sixteen callbacks at once, for one call or for the last place that one client has: policy and the relay answer in any order, and as many win
//! as may. Each order follows from a number.
//! Not here: races with callers, with timers and with what gets lost (`sim`).

use super::tests::{NOW, SECRET, keyring, switch};
use super::*;
use crate::id::QuestionId;
use crate::name::Name;
use crate::policy::{
    self, Algorithm, Allowance, Engine, Engines, Grant, Grants, Order, Restrictions, Server, SigningKey,
};
use crate::rng::Rng;
use crate::sip::Transport;
use crate::time::Duration;
use crate::token::{Audience, Contents, seal};
use std::collections::BTreeMap;
use std::net::SocketAddr;

const CALLBACKS: u8 = 16;
/// How many orders unless `PARKWAY_RACES` says.
const SEEDS: u64 = 100;

/// Who runs for what.
#[derive(Clone, Copy)]
struct Field {
    /// Calls that wait; callbacks take them in turn.
    calls: u8,
    /// Whether all of them are one client's, and then with one token a call.
    is_one_client: bool,
    concurrent: u32,
    in_all: Option<u32>,
    /// The server says no to who has so many calls as the question has it.
    server_allows: Option<u32>,
    /// Whether who has a call hangs up, sooner or later.
    hangs_up: bool,
}

/// What can happen next.
enum Move {
    Call(u8),
    Answer(QuestionId, bool),
    Opened(FlowId),
    HangUp(u8),
}

struct Race {
    switch: Switch,
    open: Vec<Move>,
    /// The final response to each callback.
    answered: BTreeMap<u8, u16>,
    /// Who has a call, with the tag that makes it his dialog.
    talking: BTreeMap<u8, String>,
    /// The most who had one at a time.
    talked: usize,
    field: Field,
}

/// Policy asks a server about each callback, and the grant has to allow it as well.
fn asking() -> Switch {
    let mut switch = switch();
    let (host, path, timeout) = ("opa".into(), "/".into(), Duration::from_secs(1));
    let server = Server { is_secure: false, host, port: 8181, path, timeout };
    let chain = vec![Engine::Http(Arc::new(server)), Engine::Grants(Grants::default())];
    switch.engine = Arc::new(Engines::new(chain, BTreeMap::new()));
    let mut settings = (*switch.settings).clone();
    let many = u32::from(CALLBACKS);
    (settings.caps.total, settings.caps.per_name, settings.caps.per_source) = (many, many, many);
    settings.trunks = vec![Arc::new(crate::call::Trunk { calls_max: many, ..(*settings.trunks[0]).clone() })];
    switch.settings = Arc::new(settings);
    switch
}

/// An INVITE with an offer.
fn invite(host: SocketAddr, number: u8, user: &str, headers: &str) -> String {
    let ip = host.ip();
    let body = format!("v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n");
    format!(
        "INVITE sip:{user}@x SIP/2.0\r\nVia: SIP/2.0/UDP {host};branch=z9hG4bK{ip}\r\nFrom: <sip:{number}@x>;tag={number}\r\n\
         To: <sip:{user}@x>\r\nCall-ID: {ip}\r\nCSeq: 1 INVITE\r\nContact: <sip:{number}@{host}>\r\n{headers}\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

impl Field {
    fn subject(self, number: u8) -> String {
        if self.is_one_client { "anna".into() } else { format!("client-{number}") }
    }

    /// The headers that a callback brings.
    fn headers(self, switch: &Switch, calls: &[CallRef], number: u8) -> String {
        let name = Name::parse("demo").unwrap();
        let calls_allowed = Allowance { in_all: self.in_all, ..Allowance::default() };
        let only = Some(Box::new(Restrictions { calls: calls_allowed, ..Restrictions::default() }));
        let grant = Grant { bridge: vec![name.clone()], concurrent: self.concurrent, only, ..Grant::default() };
        let (subject, expires) = (self.subject(number), NOW.wall + Duration::from_secs(60));
        let order =
            Order { subject: &subject, audience: "parkway", issued: NOW.wall, expires, not_before: None, grant };
        let jwt = policy::mint(&SigningKey::new(Algorithm::Hs256, &SECRET, Some("k")).unwrap(), &order).unwrap();
        let hash = policy::verify(&keyring(), NOW.wall, jwt.as_bytes()).unwrap().subject_hash();
        let call = switch.lot.get(calls[usize::from(number % self.calls)]).unwrap().facts().id;
        let contents = Contents { node: 1, call, generation: 1, expires, subject: hash, record: None };
        let audience = Audience::Client { name: &name, subject: &subject };
        let token = seal(&Keys::new(1, [7; 32]), &mut Rng::from_seed([3; 32]), &contents, &audience);
        format!("X-Bridge-Token: {}\r\nAuthorization: Bearer {jwt}\r\n", token.expose())
    }

    /// How each callback is answered in the order that follows from the seed.
    fn run(self, seed: u64) -> Race {
        let (answered, talking) = (BTreeMap::new(), BTreeMap::new());
        let mut race = Race { switch: asking(), open: Vec::new(), answered, talking, talked: 0, field: self };
        for number in 0..self.calls {
            let host = SocketAddr::from(([192, 0, 2, 10 + number], 5060));
            race.hear(host, &invite(host, number, "1", ""));
        }
        let calls = race.switch.lot.all();
        assert_eq!(calls.len(), usize::from(self.calls));
        let headers: Vec<_> = (0..CALLBACKS).map(|number| self.headers(&race.switch, &calls, number)).collect();
        race.open = (0..CALLBACKS).map(Move::Call).collect();
        let mut rng = Rng::from_seed(std::array::from_fn(|at| seed.to_le_bytes()[at % 8]));
        while !race.open.is_empty() {
            let at = rng.below(u32::try_from(race.open.len()).unwrap());
            let next = race.open.swap_remove(at as usize);
            race.go(next, &headers);
        }
        race
    }

    /// Many orders: as many win as `may`, the others hear one of `loses`, and nothing is left over.
    fn check(self, may: usize, loses: &[u16]) {
        let seeds = std::env::var("PARKWAY_RACES").map_or(SEEDS, |text| text.parse().unwrap());
        let mut in_all = 0;
        for seed in 0..seeds {
            let mut race = self.run(seed);
            let won = race.answered.values().filter(|status| **status == 200).count();
            let lost = race.answered.values().filter(|status| loses.contains(status)).count();
            assert_eq!(won + lost, usize::from(CALLBACKS), "seed {seed}: {:?}", race.answered);
            assert!(race.talked <= may, "seed {seed}: {} at once", race.talked);
            assert!(if self.hangs_up { won >= may } else { won == may }, "seed {seed}: {won}");
            in_all += won;
            race.handle(Input::Stop);
            race.handle(Input::Abandon);
            assert!(race.switch.usage.is_empty() && race.switch.questions.is_empty(), "seed {seed}");
        }
        let each_once = may * usize::try_from(seeds).unwrap();
        assert_eq!(in_all > each_once, self.hangs_up, "{in_all}");
    }
}

impl Race {
    fn go(&mut self, next: Move, headers: &[String]) {
        match next {
            Move::Call(number) => {
                let host = client(number);
                self.hear(host, &invite(host, number, "demo", &headers[usize::from(number)]));
            }
            Move::Answer(question, allows) => {
                let answer = policy::Answer::Reply(format!("{{\"result\":{allows}}}").into_bytes());
                self.handle(Input::Answer { question, answer });
            }
            Move::Opened(flow) => {
                let address = "192.0.2.1:30000".parse().unwrap();
                self.handle(Input::Media(media::Event::Opened { flow, caller: address, client: address }));
            }
            Move::HangUp(number) => {
                let (host, tag) = (client(number), self.talking.remove(&number).unwrap());
                for (sequence, method) in [(1, "ACK"), (2, "BYE")] {
                    self.hear(host, &later(host, number, &tag, sequence, method));
                }
            }
        }
    }

    fn hear(&mut self, peer: SocketAddr, message: &str) {
        let path = Path { transport: Transport::Udp, local: "192.0.2.1:5060".parse().unwrap(), peer };
        self.handle(Input::Datagram { path, bytes: message.as_bytes() });
    }

    fn handle(&mut self, input: Input<'_>) {
        self.switch.handle(NOW, input);
        while let Some(effect) = self.switch.poll_effect() {
            if let Effect::Ask { id, question } = effect {
                let asked: serde_json::Value = serde_json::from_str(question.document()).unwrap();
                let bridges = asked["input"]["usage"]["bridges"].as_u64().unwrap();
                let allows = self.field.server_allows.is_none_or(|most| bridges < most.into());
                self.open.push(Move::Answer(id, allows));
            } else if let Effect::Media(media::Command::Open { flow, .. }) = effect {
                self.open.push(Move::Opened(flow));
            } else if let Effect::Transmit(sent) = effect {
                self.note(sent.path.peer, std::str::from_utf8(&sent.bytes).unwrap());
            }
        }
        self.talked = self.talked.max(self.talking.len());
    }

    /// A final response to a callback.
    fn note(&mut self, peer: SocketAddr, text: &str) {
        let Some(number) = (0..CALLBACKS).find(|number| client(*number) == peer) else { return };
        let message = Message::parse(text.as_bytes()).unwrap();
        let status = text.strip_prefix("SIP/2.0 ").map(|rest| rest[..3].parse::<u16>().unwrap());
        let Some(status) = status.filter(|status| *status >= 200 && text.contains("CSeq: 1 INVITE")) else { return };
        assert_eq!(self.answered.insert(number, status), None, "one final response each");
        if status == 200 {
            let tag = message.to().tag().unwrap();
            self.talking.insert(number, String::from_utf8(tag.to_vec()).unwrap());
            self.open.extend(self.field.hangs_up.then_some(Move::HangUp(number)));
        }
    }
}

fn client(number: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, number], 5060))
}

/// A request in the dialog of a callback.
fn later(host: SocketAddr, number: u8, tag: &str, sequence: u8, method: &str) -> String {
    let ip = host.ip();
    format!(
        "{method} sip:demo@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {host};branch=z9hG4bK{ip}{method}\r\nFrom: <sip:{number}@x>;tag={number}\r\n\
         To: <sip:demo@x>;tag={tag}\r\nCall-ID: {ip}\r\nCSeq: {sequence} {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Another is about to have the call, or has it.
const LATE: &[u16] = &[486, 410];
const ONE_CALL: Field =
    Field { calls: 1, is_one_client: false, concurrent: 1, in_all: None, server_allows: None, hangs_up: false };
const ONE_CLIENT: Field = Field { calls: CALLBACKS, is_one_client: true, ..ONE_CALL };

#[test]
fn of_sixteen_clients_one_has_the_call() {
    ONE_CALL.check(1, LATE);
}

#[test]
fn a_token_that_is_brought_sixteen_times_at_once_joins_once() {
    Field { is_one_client: true, concurrent: 16, ..ONE_CALL }.check(1, LATE);
}

#[test]
fn a_client_has_as_many_calls_at_a_time_as_it_may_have() {
    for concurrent in 1..=3 {
        Field { concurrent, ..ONE_CLIENT }.check(concurrent as usize, &[403]);
    }
}

#[test]
fn a_place_is_free_again_when_a_call_is_over() {
    Field { hangs_up: true, ..ONE_CLIENT }.check(1, &[403]);
}

#[test]
fn a_client_answers_as_many_calls_as_it_may_answer() {
    for in_all in 1..=3 {
        Field { concurrent: 16, in_all: Some(in_all), ..ONE_CLIENT }.check(in_all as usize, &[403]);
    }
}

#[test]
fn a_server_that_counts_hears_of_all_places_that_may_be_taken_yet() {
    Field { concurrent: 16, server_allows: Some(2), ..ONE_CLIENT }.check(2, &[403]);
}
