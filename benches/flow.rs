//! The whole flow in memory, without sockets: a trunk's INVITE is parked, a client is told and calls back with the bridge token and its
//! HS256 JWT, the two are merged, the caller hangs up, the record is written. Wire bytes in, wire bytes out.
//!
//! Time is virtual and runs at 300 calls a second, so that the tables hold what they hold on a busy switch: tens of thousands of
//! transactions that wait for their timers. The script of trunk and client is in the time, not in the allocations.
//!
//! `cargo bench --bench flow`; with `-- --test` a hundred calls, to see that it works.

mod support;

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use parkway::call::{self, Incoming, Notice, Route, Trunk};
use parkway::event::{Herald, Signer};
use parkway::id::FlowId;
use parkway::media;
use parkway::name::Name;
use parkway::number::Pattern;
use parkway::policy::{self, Algorithm, Grant, Grants, Keyring, Order, SigningKey, VerifyingKey};
use parkway::registrar::Registrar;
use parkway::rng::Rng;
use parkway::secret::Secret;
use parkway::sip::endpoint::EndpointSettings;
use parkway::sip::{Endpoint, Path, Transport};
use parkway::switch::{Caps, Effect, Input, Parts, Settings, Switch};
use parkway::time::{Duration, Instant, Now, Wall};
use parkway::token::{self, Audience, Contents, Keys, SubjectHash};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use support::counting::{Counting, allocations};
use support::leg::{self, Leg};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PARKWAY: SocketAddr = SocketAddr::new(LOCALHOST, 5060);
const CALLER: SocketAddr = SocketAddr::new(LOCALHOST, 5070);
const CLIENT: SocketAddr = SocketAddr::new(LOCALHOST, 5080);
const SUBJECT: &str = "alice-web";
const SECRET: &[u8] = b"a secret of thirty-two bytes and more";
const NODE: u64 = 1;
/// From one call to the next.
const PAUSE: Duration = Duration::from_micros(3_333);
/// Longer than any timer of a call that is over.
const QUIET: Duration = Duration::from_secs(120);
/// Longer than the whole bench, in virtual time.
const JWT_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);

fn main() {
    let mut stage = Stage::new();
    let test = support::is_test();
    // Beyond 32 s the oldest transactions end as fast as new ones begin: from here on it is steady.
    let warm_up = if test { 0 } else { 15_000 };
    (0..warm_up).for_each(|_| stage.flow());
    if !test {
        let mut criterion = Criterion::default().configure_from_args();
        let mut group = criterion.benchmark_group("flow");
        group.throughput(Throughput::Elements(1));
        group.bench_function("invite_to_record", |bench| bench.iter(|| stage.flow()));
        group.finish();
    }
    let measured = stage.measure(if test { 100 } else { 20_000 });
    stage.finish();
    support::print_table(&[
        [
            "whole flow in memory, one core".into(),
            format!("{:.0} a second", measured.flows_per_second),
            "≥ 10,000".into(),
        ],
        ["allocations a flow".into(), format!("{:.1}", measured.allocations_per_flow), "–".into()],
    ]);
}

/// What was seen of many flows.
struct Measured {
    flows_per_second: f64,
    allocations_per_flow: f64,
}

/// The switch between a scripted trunk and a scripted client.
struct Stage {
    switch: Switch,
    keys: Arc<Keys>,
    rng: Rng,
    jwt: String,
    now: Now,
    flows: u64,
    records: u64,
    /// Made by the switch, not by the script.
    allocations: u64,
    heard: Heard,
}

/// What came out of the switch and was not used yet.
#[derive(Default)]
struct Heard {
    caller: Vec<Bytes>,
    client: Vec<Bytes>,
    incoming: Option<Incoming>,
    opening: Option<FlowId>,
    closing: Option<FlowId>,
}

impl Stage {
    fn new() -> Stage {
        let now = Now { at: Instant(0), wall: Wall(1_795_000_000_000) };
        let keys = Arc::new(Keys::new(NODE, [0x11; 32]));
        let mut keyring = Keyring::new("parkway");
        let key = VerifyingKey::new(Algorithm::Hs256, SECRET).expect("the secret is long enough");
        keyring.add("bench", key).expect("it is the only key");
        let switch = Switch::new(Parts {
            settings: Arc::new(settings()),
            keys: keys.clone(),
            keyring: Arc::new(keyring),
            engine: Arc::new(Grants::default()),
            rng: Rng::from_seed([1; 32]),
            endpoint: Endpoint::new(Rng::from_seed([2; 32]), endpoint_settings()),
            herald: Arc::new(Herald {
                signer: Signer::from_seed(&Secret::new([4; 32])),
                epoch: 1,
                sip_host: "127.0.0.1:5060".into(),
            }),
            registrar: Registrar::default(),
        });
        let (rng, jwt) = (Rng::from_seed([3; 32]), jwt(now.wall));
        Stage { switch, keys, rng, jwt, now, flows: 0, records: 0, allocations: 0, heard: Heard::default() }
    }

    /// One call from INVITE to record.
    fn flow(&mut self) {
        self.flows += 1;
        let mut caller = Leg::new(2 * self.flows, CALLER, "sip:+493012345678@127.0.0.1:5060");
        let mut client = Leg::new(2 * self.flows + 1, CLIENT, "sip:demo/web@127.0.0.1:5060");
        self.send(CALLER, &caller.invite(""));
        let incoming = self.heard.incoming.take().expect("the clients are told");
        let credentials = self.credentials(&incoming);
        self.send(CLIENT, &client.invite(&credentials));
        let flow = self.heard.opening.take();
        let flow = flow.unwrap_or_else(|| panic!("the callback is let in, not answered by\n{}", self.last(CLIENT)));
        let opened = media::Event::Opened { flow, caller: at_port(30_000), client: at_port(30_002) };
        self.input(Input::Media(opened));
        for (whose, leg) in [(CALLER, &mut caller), (CLIENT, &mut client)] {
            let response = self.last(whose);
            assert_eq!(leg::status(&response, "INVITE"), Some(200), "both are answered");
            leg.hear(&response);
            self.send(whose, &leg.acknowledge());
        }
        self.send(CALLER, &caller.bye());
        assert_eq!(leg::status(&self.last(CALLER), "BYE"), Some(200));
        let bye = self.last(CLIENT);
        assert!(bye.starts_with("BYE "), "the client is hung up on: {bye}");
        self.send(CLIENT, &leg::ok(&bye));
        let flow = self.heard.closing.take().expect("the ports are given back");
        self.input(Input::Media(media::Event::Closed { flow, report: Box::default() }));
        assert_eq!(self.records, self.flows, "each call has one record");
        self.pass(PAUSE);
    }

    /// What the notification brings to the client, and what the client knows of itself.
    fn credentials(&mut self, incoming: &Incoming) -> String {
        let name = Name::parse("demo/web").expect("a constant");
        let contents = Contents {
            node: NODE,
            call: incoming.call,
            generation: incoming.generation,
            expires: incoming.token_expires,
            subject: SubjectHash::of(SUBJECT),
            record: None,
        };
        let audience = Audience::Client { name: &name, subject: SUBJECT };
        let token = token::seal(&self.keys, &mut self.rng, &contents, &audience);
        format!("Authorization: Bearer {}\r\nX-Bridge-Token: {}\r\n", self.jwt, token.expose())
    }

    /// The last message that Parkway sent to one of the two; those before it are passed over.
    fn last(&mut self, whose: SocketAddr) -> String {
        let messages = if whose == CALLER { &mut self.heard.caller } else { &mut self.heard.client };
        let last = messages.pop().expect("Parkway has said something");
        messages.clear();
        String::from_utf8(last.into()).expect("all we sent was text")
    }

    fn send(&mut self, peer: SocketAddr, message: &str) {
        let path = Path { transport: Transport::Udp, local: PARKWAY, peer };
        self.input(Input::Datagram { path, bytes: message.as_bytes() });
    }

    fn input(&mut self, input: Input<'_>) {
        let now = self.now;
        self.counted(|switch| switch.handle(now, input));
        self.carry_out();
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        self.now = Now { at: self.now.at + time, wall: self.now.wall + time };
        let now = self.now;
        if self.switch.poll_timeout().is_some_and(|due| due <= now.at) {
            self.counted(|switch| switch.handle_timeout(now));
            self.carry_out();
        }
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.counted(Switch::poll_effect) {
            match effect {
                Effect::Transmit(transmit) if transmit.path.peer == CALLER => self.heard.caller.push(transmit.bytes),
                Effect::Transmit(transmit) => self.heard.client.push(transmit.bytes),
                Effect::Media(media::Command::Open { flow, .. }) => self.heard.opening = Some(flow),
                Effect::Media(media::Command::Close { flow }) => self.heard.closing = Some(flow),
                Effect::Media(media::Command::Add { .. }) => unreachable!("no video"),
                Effect::Media(
                    media::Command::Set { .. }
                    | media::Command::Clear { .. }
                    | media::Command::Press { .. }
                    | media::Command::Record { .. },
                ) => {}
                Effect::Notify(Notice::Incoming(incoming)) => self.heard.incoming = Some(incoming),
                Effect::Notify(Notice::Gone(_) | Notice::Personal(_)) => {}
                Effect::Notify(Notice::Letter(_) | Notice::Changed(_) | Notice::Forgotten(_)) => {
                    panic!("nobody writes")
                }
                Effect::Reachable { .. } => {}
                Effect::Record(_) => self.records += 1,
                Effect::Ask { .. } => panic!("the grants engine asks nobody"),
                Effect::Device(_) => panic!("nobody is woken"),
                Effect::Locate(_) => panic!("no trunk is gone to"),
            }
        }
    }

    fn counted<R>(&mut self, act: impl FnOnce(&mut Switch) -> R) -> R {
        let before = allocations();
        let result = act(&mut self.switch);
        self.allocations += allocations() - before;
        result
    }

    fn measure(&mut self, flows: u32) -> Measured {
        let (allocated, start) = (self.allocations, std::time::Instant::now());
        (0..flows).for_each(|_| self.flow());
        let allocations = u32::try_from(self.allocations - allocated).unwrap_or(u32::MAX);
        Measured {
            flows_per_second: f64::from(flows) / start.elapsed().as_secs_f64(),
            allocations_per_flow: f64::from(allocations) / f64::from(flows),
        }
    }

    /// When all timers have run out, nothing may be left.
    fn finish(&mut self) {
        self.pass(QUIET);
        let counts = self.switch.endpoint().counts();
        assert!(self.switch.is_idle(), "something is left: {} calls, {counts:?}", self.switch.calls());
        assert_eq!(self.switch.stats().calls, self.flows);
    }
}

fn at_port(port: u16) -> SocketAddr {
    SocketAddr::new(LOCALHOST, port)
}

fn jwt(now: Wall) -> String {
    let names = vec![Name::parse("demo").expect("a constant")];
    let grant = Grant { receive: names.clone(), bridge: names, concurrent: 10, ..Grant::default() };
    let key = SigningKey::new(Algorithm::Hs256, SECRET, Some("bench")).expect("the secret is long enough");
    let expires = now + JWT_LIFE;
    let order = Order { subject: SUBJECT, audience: "parkway", issued: now, expires, not_before: None, grant };
    policy::mint(&key, &order).expect("nothing in it is too long")
}

fn settings() -> Settings {
    let many = 1_000_000;
    let loopback = "127.0.0.0/8".parse().expect("a constant");
    let route = Route {
        invites: false,
        number: Pattern::parse("*").expect("a constant"),
        name: Name::parse("demo").expect("a constant"),
        ring: 180,
        hears: None,
        record: None,
        park: Duration::from_secs(60),
        fallback_status: 480,
        data: None,
    };
    Settings {
        node: NODE,
        trunks: vec![Arc::new(Trunk {
            name: "loopback".into(),
            allow: vec![loopback],
            calls_max: many,
            ..Trunk::default()
        })],
        routes: vec![Arc::new(route)],
        call: Arc::new(call::Settings {
            repeat: Duration::from_secs(60),
            media_bind: LOCALHOST,
            media_advertised: LOCALHOST,
            media_external: None,
            loopback: true,
            silence: Duration::from_secs(60),
            t38: true,
            hold_silence: Duration::from_secs(3600),
            rings_reliably: false,
            session_timer: parkway::call::SessionTerms { expires_seconds: 1800, min_seconds: 90 },
            srtp: call::SrtpTerms { reach: call::KeyReach::Encrypted, is_required: false },
            hold_sound: None,
            recording: None,
            digits: call::DigitTerms::default(),
        }),
        pass_headers: Vec::new(),
        push: Default::default(),
        caps: Caps { total: many, per_name: many, per_source: many, retry_after: Duration::from_secs(10) },
    }
}

/// As the daemon has them: what its listener is reached at is known.
fn endpoint_settings() -> EndpointSettings {
    EndpointSettings { advertised: vec![(PARKWAY, PARKWAY.to_string())], ..EndpointSettings::default() }
}
