//! What a switch of the flows is made of: its configuration, keys, tokens and policy.
//! Not here: time, and who says what (`stage`).

use super::script::{Words, duration};
use parkway::call::{self, Incoming, Route, Trunk};
use parkway::event::{Herald, Signer};
use parkway::name::Name;
use parkway::number::Pattern;
use parkway::policy::{
    Algorithm, Allowance, Answer, Decision, Grant, Grants, Keyring, MediaKinds, Order, Parameters, PolicyEngine, Query,
    Question, Reason, RecordRule, Restrictions, SigningKey, Verdict, VerifyingKey, mint,
};
use parkway::registrar::Registrar;
use parkway::rng::Rng;
use parkway::secret::Secret;
use parkway::sip::endpoint::{Endpoint, EndpointSettings};
use parkway::switch::{Caps, Parts, Settings, Switch};
use parkway::time::{Duration, Now, Wall};
use parkway::token::{Audience, Contents, Keys, SubjectHash, seal};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The number that has a route.
pub(crate) const NUMBER: &str = "+4930123";
/// The name behind it.
pub(crate) const NAME: &str = "demo";
/// Another route's, to which calls may be handed.
const OTHER: (&str, &str) = ("+4930999", "sales");
const NODE: u64 = 1;
const MASTER: [u8; 32] = [7; 32];
const SECRET: &[u8] = b"a secret that signs the JWTs of the flows' clients, long enough";

/// How a switch is set up; `given` lines change it.
pub(crate) struct Plan {
    pub(crate) caps: Caps,
    pub(crate) trunk_calls: u32,
    pub(crate) park: Duration,
    pub(crate) ring: u16,
    pub(crate) fallback: u16,
    pub(crate) concurrent: u32,
    pub(crate) asks: bool,
    pub(crate) media_holds: bool,
    /// Whether there are ports for further lines.
    pub(crate) media_adds: bool,
    pub(crate) session_expires: u32,
    pub(crate) reliable: bool,
    pub(crate) rings: bool,
    pub(crate) identity: call::Identity,
    pub(crate) keys: call::KeyReach,
    pub(crate) srtp_required: bool,
    pub(crate) hears: Option<parkway::media::SoundId>,
    pub(crate) hold_sound: Option<parkway::media::SoundId>,
    pub(crate) record: Option<parkway::media::Sides>,
    pub(crate) recording: Option<call::RecordingTerms>,
    pub(crate) digits: call::DigitTerms,
}

impl Default for Plan {
    fn default() -> Plan {
        let retry_after = Duration::from_secs(5);
        Plan {
            caps: Caps { total: 100, per_name: 100, per_source: 100, retry_after },
            trunk_calls: 100,
            park: Duration::from_secs(60),
            ring: 180,
            fallback: 480,
            concurrent: 9,
            asks: false,
            media_holds: false,
            media_adds: true,
            session_expires: 1800,
            reliable: false,
            rings: false,
            identity: call::Identity::From,
            keys: call::KeyReach::Anywhere,
            srtp_required: false,
            hears: None,
            hold_sound: None,
            record: None,
            recording: Some(call::RecordingTerms { announces: None, every: None, is_required: true }),
            digits: call::DigitTerms::default(),
        }
    }
}

impl Plan {
    /// A `given` line.
    pub(crate) fn change(&mut self, words: &Words) -> Result<(), String> {
        self.caps.total = words.number("total")?.unwrap_or(self.caps.total);
        self.caps.per_name = words.number("per_name")?.unwrap_or(self.caps.per_name);
        self.caps.per_source = words.number("per_source")?.unwrap_or(self.caps.per_source);
        self.trunk_calls = words.number("trunk_calls")?.unwrap_or(self.trunk_calls);
        self.ring = words.number("ring")?.unwrap_or(self.ring);
        self.fallback = words.number("fallback")?.unwrap_or(self.fallback);
        self.concurrent = words.number("concurrent")?.unwrap_or(self.concurrent);
        self.park = words.value("park").and_then(duration).unwrap_or(self.park);
        self.session_expires = words.number("session_expires")?.unwrap_or(self.session_expires);
        if words.value("identity") == Some("asserted") {
            self.identity = call::Identity::Asserted;
        }
        self.keys = match words.value("keys") {
            None | Some("any") => call::KeyReach::Anywhere,
            Some("tls") => call::KeyReach::Encrypted,
            Some(_) => call::KeyReach::Nowhere,
        };
        self.srtp_required |= words.has("srtp_required");
        self.hears = words.number("hears")?.map(parkway::media::SoundId).or(self.hears);
        self.hold_sound = words.number("hold_sound")?.map(parkway::media::SoundId).or(self.hold_sound);
        self.record = match words.value("record") {
            None => self.record,
            Some("both") => Some(parkway::media::Sides::Both),
            Some("caller") => Some(parkway::media::Sides::Caller),
            Some(word) => return Err(format!("`{word}` is nobody who is recorded")),
        };
        self.digits.reporting = match words.value("digits") {
            None => self.digits.reporting,
            Some("off") => parkway::media::Reporting::Off,
            Some("tell") => parkway::media::Reporting::Tell,
            Some(word) => return Err(format!("`{word}` is nothing to make of keys")),
        };
        if words.value("info_as") == Some("rfc4733") {
            self.digits.info_as = call::InfoAs::Rfc4733;
        }
        if let Some(terms) = &mut self.recording {
            terms.announces = words.number("announce")?.map(parkway::media::SoundId).or(terms.announces);
            terms.is_required &= !words.has("unless_possible");
        }
        if words.has("no_recorder") {
            self.recording = None;
        }
        self.reliable |= words.has("reliable");
        self.rings |= words.has("rings");
        self.asks |= words.value("policy") == Some("asks");
        match words.value("media") {
            Some("holds") => self.media_holds = true,
            Some("audio-only") => self.media_adds = false,
            Some(_) | None => {}
        }
        words.finish()
    }

    pub(crate) fn switch(&self) -> Switch {
        let mut keyring = Keyring::new("parkway");
        let key = VerifyingKey::new(Algorithm::Hs256, SECRET).expect("the secret is long enough");
        keyring.add("k", key).expect("there is no other");
        let engine: Arc<dyn PolicyEngine> =
            if self.asks { Arc::new(Asks) } else { Arc::new(Grants { dial_concurrent: self.concurrent }) };
        Switch::new(Parts {
            settings: Arc::new(self.settings()),
            keys: Arc::new(Keys::new(NODE, MASTER)),
            keyring: Arc::new(keyring),
            engine,
            rng: Rng::from_seed([1; 32]),
            endpoint: Endpoint::new(
                Rng::from_seed([2; 32]),
                EndpointSettings { trusted: vec![trunks()], ..EndpointSettings::default() },
            ),
            herald: Arc::new(Herald {
                signer: Signer::from_seed(&Secret::new([3; 32])),
                epoch: 1,
                sip_host: "203.0.113.1:5060".into(),
            }),
            registrar: Registrar::default(),
        })
    }

    fn settings(&self) -> Settings {
        let allow = vec![trunks()];
        let trunk = Trunk {
            name: "carrier".into(),
            allow,
            calls_max: self.trunk_calls,
            identity: self.identity,
            srtp_required: self.srtp_required,
            ..Trunk::default()
        };
        let route = Route {
            invites: self.rings,
            number: Pattern::parse(NUMBER).expect("a number"),
            name: name(NAME),
            ring: self.ring,
            hears: self.hears,
            record: self.record,
            park: self.park,
            fallback_status: self.fallback,
            data: None,
        };
        let call = call::Settings {
            repeat: Duration::from_secs(60),
            media_bind: "203.0.113.1".parse().expect("an address"),
            media_advertised: "203.0.113.1".parse().expect("an address"),
            media_external: None,
            loopback: false,
            silence: Duration::from_secs(20),
            t38: true,
            hold_silence: Duration::from_secs(300),
            rings_reliably: self.reliable,
            session_timer: call::SessionTerms { expires_seconds: self.session_expires, min_seconds: 90 },
            srtp: call::SrtpTerms { reach: self.keys, is_required: false },
            hold_sound: self.hold_sound,
            recording: self.recording,
            digits: self.digits,
        };
        let (number, name) = (Pattern::parse(OTHER.0).expect("a number"), name(OTHER.1));
        let other = Route { number, name, ..route.clone() };
        let (trunks, routes) = (vec![Arc::new(trunk)], vec![Arc::new(route), Arc::new(other)]);
        Settings {
            node: NODE,
            trunks,
            routes,
            call: Arc::new(call),
            caps: self.caps,
            push: Default::default(),
            pass_headers: Vec::new(),
        }
    }

    /// `bearer`, `bearer=expired`, `bearer=forged`, `bearer=ungranted`, `bearer=demo` (may answer for that name, and hand nothing on): the JWT that it means.
    pub(crate) fn jwt(&self, kind: &str, subject: &str, now: Wall) -> Result<String, String> {
        let hour = Duration::from_secs(3600);
        let (issued, names) = match kind {
            "" | "forged" | "seeing" | "faxing" | "recorded" | "unrecorded" | "brief" | "once" | "abroad" => {
                (now, vec![name(NAME), name(OTHER.1)])
            }
            "demo" => (now, vec![name(NAME)]),
            "expired" => (Wall(now.0 - 7_200_000), vec![name(NAME)]),
            "ungranted" => (now, vec![name("other")]),
            _ => return Err(format!("there is no bearer={kind}")),
        };
        let secret = if kind == "forged" { [9; 64].to_vec() } else { SECRET.to_vec() };
        let key = SigningKey::new(Algorithm::Hs256, &secret, Some("k")).expect("the secret is long enough");
        let grant = Grant {
            receive: names.clone(),
            transfer: names.iter().filter(|_| kind != "demo").cloned().collect(),
            bridge: names,
            dial: true,
            media: MediaKinds::AUDIO
                | match kind {
                    "seeing" => MediaKinds::VIDEO,
                    "faxing" | "recorded" => MediaKinds::IMAGE,
                    _ => MediaKinds::NONE,
                },
            concurrent: self.concurrent,
            record: match kind {
                "recorded" => Some(RecordRule::Require),
                "unrecorded" => Some(RecordRule::Forbid),
                _ => None,
            },
            ..Grant::default()
        };
        let only = match kind {
            "brief" => Some(Restrictions { call_seconds_max: Some(60), ..Restrictions::default() }),
            "once" => {
                let calls = Allowance { in_all: Some(1), ..Allowance::default() };
                Some(Restrictions { calls, ..Restrictions::default() })
            }
            "abroad" => Some(Restrictions { called: vec![Pattern::Prefix("+1".into())], ..Restrictions::default() }),
            _ => None,
        };
        let parameters = BTreeMap::from([("ticket".to_owned(), kind.to_owned())]);
        let grant = Grant {
            parameters: only.as_ref().and_then(|_| Parameters::new(parameters).expect("few")),
            only: only.map(Box::new),
            ..grant
        };
        let order = Order { subject, audience: "parkway", issued, expires: issued + hour, not_before: None, grant };
        mint(&key, &order).map_err(|error| error.to_string())
    }
}

/// `token`, `token=dial`, `token=dial_recorded` and `token=dial_unrecorded` (whose grant has a word on recording), `token=stolen` (issued to somebody else), `token=expired`, `token=foreign` (sealed by another node),
/// `token=garbage`, `token=old` (of another generation): the text that it means.
pub(crate) fn token(kind: &str, incoming: &Incoming, called: &str, subject: &str, now: Now) -> Result<String, String> {
    let called = Name::parse(called).map_err(|error| error.to_string())?;
    let subject = if kind == "stolen" { "somebody-else" } else { subject };
    let (mut keys, mut node) = (Keys::new(NODE, MASTER), NODE);
    let mut audience = Audience::Client { name: &called, subject };
    let mut contents = Contents {
        node,
        call: incoming.call,
        generation: incoming.generation,
        expires: incoming.token_expires,
        subject: SubjectHash::of(subject),
        record: None,
    };
    match kind {
        "" | "stolen" => {}
        "dial" => audience = Audience::Dial,
        "dial_recorded" => (audience, contents.record) = (Audience::Dial, Some(RecordRule::Require)),
        "dial_unrecorded" => (audience, contents.record) = (Audience::Dial, Some(RecordRule::Forbid)),
        "expired" => contents.expires = now.wall,
        "old" => contents.generation = 0,
        "foreign" => (node, keys) = (2, Keys::new(2, [8; 32])),
        "garbage" => return Ok("A".repeat(135)),
        _ => return Err(format!("there is no token={kind}")),
    }
    contents.node = node;
    Ok(seal(&keys, &mut Rng::from_seed([3; 32]), &contents, &audience).expose().into())
}

fn trunks() -> ipnet::IpNet {
    "192.0.2.0/24".parse().expect("a network")
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

/// An engine that must ask somebody.
struct Asks;

impl PolicyEngine for Asks {
    fn decide(&self, _now: Now, _query: &Query<'_>) -> Decision {
        Decision::Ask(Question::new("{}".into(), Duration::from_secs(2)))
    }

    fn answered(&self, _now: Now, query: &Query<'_>, answer: Answer) -> Verdict {
        match answer {
            Answer::Reply(body) if body == b"allow" => Verdict::allow(query, "asked"),
            Answer::Reply(_) => Verdict::Deny(Reason::PolicyDenied),
            Answer::Unavailable | Answer::TimedOut => Verdict::Deny(Reason::PolicyUnavailable),
        }
    }
}
