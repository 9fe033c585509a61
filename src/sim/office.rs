//! What the simulated switches are made of: names, keys, credentials, settings. Made once; every seed begins at the same wall-clock time.
//! Not here: policy's mind (`policy`), and who brings which credential (`plan`).

use super::plan::{Called, JwtKind, Plan, TokenKind};
use super::policy::Engine;
use crate::call::{self, Incoming, Route, Trunk};
use crate::event::{Herald, Signer};
use crate::name::Name;
use crate::number::Pattern;
use crate::policy::{Algorithm, Grant, Keyring, Order, SigningKey, VerifyingKey, mint};
use crate::registrar::Registrar;
use crate::rng::Rng;
use crate::secret::Secret;
use crate::sip::endpoint::{Endpoint, EndpointSettings};
use crate::switch::{Caps, Parts, Settings, Switch};
use crate::time::{Duration, Wall};
use crate::token::{Audience, Contents, Keys, SubjectHash, seal};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

/// Names that clients subscribe to, first those of several calls. The first segment decides most; `foobar` must never be taken for `foo`.
pub(super) static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let shared = ["foo", "foo/web", "foo/mobile", "foo/web/left", "foobar", "bar", "bar/x"];
    assert_eq!(shared.len(), SHARED_NAMES, "the names of one call's telephones come after them");
    let own = (0..OWN_NAMES).map(|number| format!("own/{number}"));
    shared.map(String::from).into_iter().chain(own).collect()
});
/// How many of them are of several calls.
pub(super) const SHARED_NAMES: usize = 7;
/// How many are of one call, or a few, and their telephones.
const OWN_NAMES: u8 = 140;
/// The numbers that lead to them: of those that ring, and of the others.
static OWN_NUMBERS: LazyLock<[Vec<String>; 2]> = LazyLock::new(|| {
    ["+4930", "+4931"].map(|area| (0..OWN_NAMES).map(|number| format!("{area}8{number:03}")).collect())
});
/// Clients, as their JWTs call them.
pub(super) const SUBJECTS: [&str; 9] = ["ann", "ben", "cid", "dan", "eve", "fay", "gus", "hal", "ida"];
/// The first of those who have telephones.
pub(super) const TELEPHONES: u8 = 6;
/// Wall-clock time at which every seed begins.
pub(super) const START: Wall = Wall(1_795_000_000_000);

/// Where trunks send from.
const TRUNKS: &str = "192.0.2.0/24";
/// The bridges that a JWT may allow: one credential for each.
const CONCURRENT: [u32; 3] = [1, 2, 50];
const SECRET: &[u8] = b"a secret that signs the JWTs of the simulated clients, long enough";

/// What all seeds share.
pub(super) struct Office {
    keyring: Arc<Keyring>,
    jwts: BTreeMap<(u8, JwtKind, u32), String>,
    pub(super) names: Vec<Name>,
    pub(super) hashes: Vec<SubjectHash>,
}

impl Office {
    pub(super) fn new() -> Office {
        let mut keyring = Keyring::new("parkway");
        let key = VerifyingKey::new(Algorithm::Hs256, SECRET).expect("the secret is long enough");
        keyring.add("k", key).expect("there is no other");
        let mut jwts = BTreeMap::new();
        for (index, subject) in (0..).zip(SUBJECTS) {
            for kind in [JwtKind::Good, JwtKind::Expired, JwtKind::Forged, JwtKind::Ungranted, JwtKind::Rings] {
                for concurrent in CONCURRENT {
                    jwts.insert((index, kind, concurrent), jwt(kind, subject, concurrent));
                }
            }
        }
        Office {
            keyring: Arc::new(keyring),
            jwts,
            names: NAMES.iter().map(|name| Name::parse(name).expect("a name")).collect(),
            hashes: SUBJECTS.iter().map(|subject| SubjectHash::of(subject)).collect(),
        }
    }

    /// A client's JWT.
    pub(super) fn jwt(&self, kind: JwtKind, subject: u8, concurrent: u32) -> Option<&str> {
        self.jwts.get(&(subject, kind, concurrent)).map(String::as_str)
    }

    /// One node's switch.
    pub(super) fn switch(&self, plan: &Plan, node: u8, keys: Arc<Keys>, engine: Engine) -> Switch {
        let seed = |of: u8| {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&plan.seed.to_le_bytes());
            (seed[8], seed[9]) = (node, of);
            seed
        };
        Switch::new(Parts {
            settings: Arc::new(self.settings(plan, node)),
            keys,
            keyring: Arc::clone(&self.keyring),
            engine: Arc::new(engine),
            rng: Rng::from_seed(seed(1)),
            endpoint: Endpoint::new(
                Rng::from_seed(seed(2)),
                EndpointSettings { trusted: vec![TRUNKS.parse().expect("a network")], ..EndpointSettings::default() },
            ),
            herald: Arc::new(Herald {
                signer: Signer::from_seed(&Secret::new([3; 32])),
                epoch: plan.seed,
                sip_host: address(node).to_string(),
            }),
            registrar: Registrar::default(),
        })
    }

    fn settings(&self, plan: &Plan, node: u8) -> Settings {
        let terms = &plan.terms;
        let allow = vec![TRUNKS.parse().expect("a network")];
        let trunk = Trunk { name: "carrier".into(), allow, calls_max: terms.cap_trunk, ..Trunk::default() };
        let route = |called: Called| {
            Arc::new(Route {
                number: Pattern::Exact(number(called).into()),
                name: self.names[usize::from(called_name(called))].clone(),
                ring: terms.ring,
                hears: None,
                record: None,
                park: Duration::from_millis(terms.park_ms.into()),
                fallback_status: terms.fallback,
                invites: called.rings(),
                data: None,
            })
        };
        let call = call::Settings {
            repeat: Duration::from_millis(terms.repeat_ms.into()),
            media_bind: address(node).ip(),
            media_advertised: address(node).ip(),
            media_external: None,
            loopback: false,
            silence: Duration::from_millis(terms.silence_ms.into()),
            t38: true,
            hold_silence: Duration::from_millis((2 * terms.silence_ms).into()),
            rings_reliably: false,
            session_timer: crate::call::SessionTerms { expires_seconds: 1800, min_seconds: 90 },
            srtp: crate::call::SrtpTerms { reach: crate::call::KeyReach::Anywhere, is_required: false },
            hold_sound: None,
            recording: None,
            digits: crate::call::DigitTerms::default(),
        };
        Settings {
            node: node.into(),
            trunks: vec![Arc::new(trunk)],
            routes: routed(plan).map(route).collect(),
            call: Arc::new(call),
            push: Default::default(),
            pass_headers: Vec::new(),
            caps: Caps {
                total: terms.cap_total,
                per_name: terms.cap_name,
                per_source: terms.cap_source,
                retry_after: Duration::from_secs(5),
            },
        }
    }
}

/// Where a node's switch listens.
pub(super) fn address(node: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1 + node)), 5060)
}

/// A node's masters; each rotation has another.
pub(super) fn keys(node: u8) -> Keys {
    Keys::new(node.into(), [7 + node; 32])
}

/// All that is called and has a route.
fn routed(plan: &Plan) -> impl Iterator<Item = Called> {
    let own = plan.calls.iter().map(|call| call.route).filter(|called| matches!(called, Called::Own { .. }));
    let own: BTreeMap<&str, Called> = own.map(|called| (number(called), called)).collect();
    [Called::Foo, Called::FooWeb, Called::Bar].into_iter().chain(own.into_values())
}

/// The number that is called.
pub(super) fn number(called: Called) -> &'static str {
    match called {
        Called::Foo => "+49301",
        Called::FooWeb => "+49302",
        Called::Bar => "+49303",
        Called::Own { number, rings } => &OWN_NUMBERS[usize::from(rings)][usize::from(number)],
        Called::Nobody => "+49309",
    }
}

/// The name behind a number, as an index into [`NAMES`].
pub(super) fn called_name(called: Called) -> u8 {
    match called {
        Called::Foo | Called::Nobody => 0,
        Called::FooWeb => 1,
        Called::Bar => 5,
        Called::Own { number, .. } => u8::try_from(SHARED_NAMES).unwrap_or(0) + number,
    }
}

/// Whether an event for one name must reach a subscriber of the other: by segments, not by `Name`'s own rule.
pub(super) fn reaches(name: &str, subscriber: &str) -> bool {
    let mut below = subscriber.split('/');
    name.split('/').all(|segment| below.next() == Some(segment))
}

fn jwt(kind: JwtKind, subject: &str, concurrent: u32) -> String {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    // Old enough to be good when the clock jumps back.
    let issued = Wall(START.0 - 10 * 3_600_000);
    let expires = if kind == JwtKind::Expired { issued + hours(1) } else { issued + hours(10_000) };
    let secret = if kind == JwtKind::Forged { [9; 64].to_vec() } else { SECRET.to_vec() };
    let of = |names: &[&str]| names.iter().map(|name| Name::parse(name).expect("a name")).collect::<Vec<_>>();
    let names = if kind == JwtKind::Ungranted { of(&["other"]) } else { of(&["foo", "foobar", "bar", "own"]) };
    let ring = kind == JwtKind::Rings;
    let grant = Grant { receive: names.clone(), bridge: names, dial: true, concurrent, ring, ..Grant::default() };
    let key = SigningKey::new(Algorithm::Hs256, &secret, Some("k")).expect("the secret is long enough");
    mint(&key, &Order { subject, audience: "parkway", issued, expires, not_before: None, grant }).expect("short")
}

/// The text of a client's bridge token.
pub(super) fn token(
    kind: TokenKind,
    keys: &Keys,
    incoming: &Incoming,
    (name, subject): (&Name, &str),
    rng: &mut Rng,
) -> String {
    let foreign = Keys::new(99, [8; 32]);
    let keys = if kind == TokenKind::Foreign { &foreign } else { keys };
    let sealed_for = if kind == TokenKind::Stolen { "somebody-else" } else { subject };
    let other = Name::parse("foo/other").expect("a name");
    let name = if kind == TokenKind::OtherName { &other } else { name };
    let contents = Contents {
        node: keys.node(),
        call: incoming.call,
        generation: if kind == TokenKind::OtherGeneration { incoming.generation + 1 } else { incoming.generation },
        // Expired by any clock that a simulation has.
        expires: if kind == TokenKind::Expired { Wall(START.0 - 7_200_000) } else { incoming.token_expires },
        subject: SubjectHash::of(sealed_for),
        record: None,
    };
    let client = Audience::Client { name, subject: sealed_for };
    let audience = if kind == TokenKind::Dial { Audience::Dial } else { client };
    if kind == TokenKind::Garbage {
        return "A".repeat(crate::token::TEXT_CHARS);
    }
    let mut text = seal(keys, rng, &contents, &audience).expose().to_owned();
    if kind == TokenKind::Changed {
        let at = rng.below(100) as usize + 10;
        let other = if text.as_bytes()[at] == b'x' { "y" } else { "x" };
        text.replace_range(at..=at, other);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_by_whole_segments() {
        for (name, subscriber, expected) in [
            ("foo", "foo", true),
            ("foo", "foo/web/left", true),
            ("foo", "foobar", false),
            ("foo/web", "foo", false),
            ("foo/web", "foo/mobile", false),
        ] {
            assert_eq!(reaches(name, subscriber), expected, "{name} {subscriber}");
            let [one, other] = [name, subscriber].map(|name| Name::parse(name).unwrap());
            assert_eq!(one.reaches(&other), expected, "{name} {subscriber}");
        }
    }
}
