//! What a callback costs before it reaches its call: the bridge token, the JWT and the decision, by grants, by rules or in Rego (`--features rego`).
//! Not here: the switch's own work and the network's.

use criterion::{Criterion, criterion_group, criterion_main};
use parkway::id::CallId;
use parkway::name::Name;
use parkway::number::Pattern;
use parkway::policy::{
    Action, Algorithm, Allowance, Decision, Effect, Engine, Engines, Grant, Grants, Hours, Keyring, Limits, MediaKinds,
    Order, Parameters, Person, Query, Restrictions, Rule, Rules, SigningKey, Spent, Subject, Verdict, VerifyingKey,
    ask, mint, verify,
};
use parkway::rng::Rng;
use parkway::time::{Duration, Now, Wall};
use parkway::token::{Audience, Contents, Keys, SubjectHash, open, seal};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

const NOW: Wall = Wall(1_795_000_000_000);
const SECRET: [u8; 32] = [9; 32];

fn tokens(criterion: &mut Criterion) {
    let (keys, mut rng) = (Keys::new(1, [1; 32]), Rng::from_seed([2; 32]));
    let name = Name::parse("foo/web").expect("a name");
    let audience = Audience::Client { name: &name, subject: "alice-web" };
    let expires = NOW + Duration::from_secs(60);
    let contents = Contents {
        node: 1,
        call: CallId(1),
        generation: 1,
        expires,
        subject: SubjectHash::of("alice-web"),
        record: None,
    };
    criterion
        .bench_function("token/seal", |bench| bench.iter(|| seal(&keys, &mut rng, black_box(&contents), &audience)));
    let token = seal(&keys, &mut rng, &contents, &audience);
    let text = token.expose().as_bytes();
    criterion.bench_function("token/open", |bench| bench.iter(|| open(&keys, NOW, black_box(text), &audience)));
    let stranger = Keys::new(2, [3; 32]);
    criterion.bench_function("token/open unknown kid", |bench| {
        bench.iter(|| open(&stranger, NOW, black_box(text), &audience))
    });
    criterion.bench_function("token/open wrong audience", |bench| {
        bench.iter(|| open(&keys, NOW, black_box(text), &Audience::Dial))
    });
}

/// A JWT that grants this, and the keyring by which it is verified.
fn minted(grant: Grant) -> (Keyring, String) {
    let expires = NOW + Duration::from_secs(3600);
    let order = Order { subject: "alice-web", audience: "parkway", issued: NOW, expires, not_before: None, grant };
    let signing = SigningKey::new(Algorithm::Hs256, &SECRET, Some("k1")).expect("a key");
    let mut keyring = Keyring::new("parkway");
    keyring.add("k1", VerifyingKey::new(Algorithm::Hs256, &SECRET).expect("a key")).expect("a new key id");
    let text = mint(&signing, &order).expect("a token");
    (keyring, text)
}

fn jwts(criterion: &mut Criterion) {
    let name = Name::parse("foo").expect("a name");
    let grant = Grant { receive: vec![name.clone()], bridge: vec![name.clone()], ..Grant::default() };
    let (keyring, text) = minted(grant);
    criterion
        .bench_function("jwt/verify HS256", |bench| bench.iter(|| verify(&keyring, NOW, black_box(text.as_bytes()))));
    let huge = vec![b'a'; 65_535];
    criterion.bench_function("jwt/refuse 64 kB", |bench| bench.iter(|| verify(&keyring, NOW, black_box(&huge))));

    let (engine, now) = (Grants::default(), Now { wall: NOW, ..Now::default() });
    criterion.bench_function("jwt/verify HS256 and decide", |bench| {
        bench.iter(|| {
            let claims = verify(&keyring, NOW, black_box(text.as_bytes())).expect("a good token");
            let (subject, media) = (Subject::Claims(&claims), MediaKinds::AUDIO);
            let query = Query { media, ..bridge(subject, &name) };
            ask(&engine, now, &query)
        })
    });
}

/// To answer a call that came for +493012345.
fn bridge<'a>(subject: Subject<'a>, name: &'a Name) -> Query<'a> {
    let (action, media, spent, called) = (Action::Bridge, MediaKinds::AUDIO, Spent::default(), Some("+493012345"));
    Query { action, subject, name, media, source: None, usage: 0, spent, call: None, called }
}

/// A JWT with a restriction of every kind, as it comes with a callback.
fn restricted(criterion: &mut Criterion) {
    let name = Name::parse("foo").expect("a name");
    let only = Restrictions {
        from: vec!["192.0.2.0/24".parse().expect("a network")],
        not_before: Some(Wall(NOW.0 - 1)),
        not_after: Some(Wall(NOW.0 + 1)),
        hours: Some(Hours::parse("daily 00:00-24:00", "Europe/Berlin").expect("hours")),
        called: vec![Pattern::parse("+4930*").expect("numbers")],
        calls: Allowance { in_all: Some(100), per_hour: Some(10), per_day: Some(50) },
        call_seconds_max: Some(3600),
    };
    let parameters = [("ticket".to_owned(), "4711".to_owned())].into();
    let parameters = Parameters::new(parameters).expect("few");
    let grant = Grant { bridge: vec![name.clone()], only: Some(Box::new(only)), parameters, ..Grant::default() };
    let (keyring, text) = minted(grant);
    let (engine, now, source) = (Grants::default(), Now { wall: NOW, ..Now::default() }, Some([192, 0, 2, 1].into()));
    let decide = || {
        let claims = verify(&keyring, NOW, black_box(text.as_bytes())).expect("a good token");
        ask(&engine, now, &Query { source, ..bridge(Subject::Claims(&claims), &name) })
    };
    let decided = decide();
    assert!(matches!(decided, Decision::Verdict(Verdict::Allow(_))), "{decided:?}");
    criterion.bench_function("jwt/verify HS256 and decide, with every restriction", |bench| bench.iter(decide));
}

/// As many rules as an operator writes down and still knows, with conditions of every kind; the last one applies.
fn rules(criterion: &mut Criterion) {
    const RULES: usize = 20;
    let hours = Hours::parse("daily 00:00-24:00", "Europe/Berlin").expect("hours");
    let name = Name::parse("foo/web").expect("a name");
    let rule = |number: usize| Rule {
        id: format!("rule-{number}").into(),
        effect: Effect::Allow(Limits::default()),
        actions: vec![Action::Receive, Action::Bridge],
        who: vec![Person::new(if number + 1 == RULES { "alice-web" } else { "bob" })],
        names: vec![name.clone()],
        from: vec!["192.0.2.0/24".parse().expect("a network")],
        called: vec![Pattern::parse("+4930*").expect("numbers")],
        hours: Some(hours.clone()),
    };
    let rules = Rules((0..RULES).map(rule).collect());
    let engines = Engines::new(vec![Engine::Rules(Arc::new(rules))], BTreeMap::new());
    // A holder of a dialled URI: a subject like any other.
    let (subject, source) = (Subject::Dial(SubjectHash::of("alice-web")), Some([192, 0, 2, 1].into()));
    let now = Now { wall: NOW, ..Now::default() };
    let query = Query { source, ..bridge(subject, &name) };
    let decided = ask(&engines, now, &query);
    assert!(matches!(decided, Decision::Verdict(Verdict::Allow(_))), "{decided:?}");
    criterion.bench_function("rules/the last of 20", |bench| bench.iter(|| ask(&engines, now, black_box(&query))));
}

/// The same question put to a policy in Rego, in process.
#[cfg(feature = "rego")]
fn rego(criterion: &mut Criterion) {
    const POLICY: &str = r#"package parkway
import rego.v1
default decision := {"allow": false}
decision := {"allow": true, "reason": "staff", "limits": {"concurrent": 2}} if {
    input.action == "bridge"
    "foo" in input.claims.bridge
    startswith(input.called, "+4930")
    input.usage.bridges < 2
}
decision := true if input.action in {"subscribe", "receive"}
"#;
    let name = Name::parse("foo").expect("a name");
    let (keyring, text) = minted(Grant { bridge: vec![name.clone()], ..Grant::default() });
    let claims = verify(&keyring, NOW, text.as_bytes()).expect("a good token");
    let policy = parkway::policy::Rego::compile("policy.rego", POLICY).expect("a policy");
    let engines = Engines::new(vec![Engine::Rego(Arc::new(policy))], BTreeMap::new());
    let (now, query) = (Now { wall: NOW, ..Now::default() }, bridge(Subject::Claims(&claims), &name));
    let decided = ask(&engines, now, &query);
    assert!(matches!(decided, Decision::Verdict(Verdict::Allow(_))), "{decided:?}");
    criterion.bench_function("rego/two rules", |bench| bench.iter(|| ask(&engines, now, black_box(&query))));
}

/// What this build has not.
#[cfg(not(feature = "rego"))]
fn rego(_: &mut Criterion) {}

criterion_group!(benches, tokens, jwts, restricted, rules, rego);
criterion_main!(benches);
