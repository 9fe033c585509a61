//! Sleeping devices are woken for calls, against the real daemon and push services that verify what the true ones would.
//! Not here: the true services.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::authority::Authority;
use common::digest::{self, User};
use common::push_service::{Answer, Asked, PushService};
use common::story::{self, call_back, park};
use common::{Daemon, Phone, Rights, Setup, Subscriber, Wire};
use hyper::Version;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey as Point, agree_ephemeral};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::SystemRandom;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// What Google calls an account; the key is nobody's.
const ACCOUNT_KEY: &str = include_str!("push/account.key");
/// What Apple calls a device.
const APNS_TOKEN: &str = "00fc13adff78512200fc13adff78512200fc13adff78512200fc13adff785122";
/// What Google calls one.
const FCM_TOKEN: &str = "fcm-token-of-a-device:APA91bFoO-and-so-on-for-some-hundred-letters-more";

/// A daemon, and the services that it knows: all at one address.
struct Place {
    daemon: Daemon,
    service: PushService,
    /// Public half of the key that Apple and the browsers know us by.
    public: Vec<u8>,
    _dir: TempDir,
}

/// The operator's `[push]` with all kinds of services.
fn push_tables(dir: &Path, service: &PushService, authority: &Authority, keys: &str) -> Vec<u8> {
    fs::write(dir.join("authority.pem"), authority.pem()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    fs::write(dir.join("p256.key"), key.serialize_pem()).unwrap();
    fs::write(dir.join("hook.secret"), "the-secret-of-the-operators-own-service-of-forty-letters\n").unwrap();
    let account = json!({
        "type": "service_account", "project_id": "tests", "private_key_id": "K9", "private_key": ACCOUNT_KEY,
        "client_email": "parkway@tests.example", "token_uri": format!("{}/token", service.url()),
    });
    fs::write(dir.join("account.json"), account.to_string()).unwrap();
    let (url, files, host) = (service.url(), dir.display(), format!("localhost:{}", service.address.port()));
    let text = format!(
        "\n[push]\nauthorities_file = \"{files}/authority.pem\"\n{keys}\
         \n[[push.provider]]\nname = \"hook\"\ntype = \"webhook\"\nbase_url = \"{url}/wake\"\nsecret_file = \"{files}/hook.secret\"\n\
         \n[[push.provider]]\nname = \"webpush\"\ntype = \"webpush\"\nkey_file = \"{files}/p256.key\"\n\
         contact = \"mailto:operator@tests.example\"\nhosts = [\"{host}\"]\n\
         \n[[push.provider]]\nname = \"apns\"\ntype = \"apns\"\nbase_url = \"{url}\"\nkey_file = \"{files}/p256.key\"\n\
         team_id = \"TEAM\"\nkey_id = \"K1\"\ntopic = \"example.app.voip\"\n\
         \n[[push.provider]]\nname = \"fcm\"\ntype = \"fcm\"\nbase_url = \"{url}\"\nservice_account_file = \"{files}/account.json\"\n"
    );
    fs::write(dir.join("push.toml"), text).unwrap();
    key.public_key_raw().to_vec()
}

impl Place {
    fn new() -> Place {
        Place::with("", &[])
    }

    fn with(keys: &str, set: &[&str]) -> Place {
        let (dir, authority) = (TempDir::new().unwrap(), Authority::new());
        let service = PushService::start(&authority);
        let public = push_tables(dir.path(), &service, &authority, keys);
        let setup = Setup::with(set);
        let tables = setup.tables.clone() + &fs::read_to_string(dir.path().join("push.toml")).unwrap();
        let daemon = Daemon::start_as(&Setup { tables, ..setup });
        for secret in [APNS_TOKEN, FCM_TOKEN, ACCOUNT_KEY, "the-secret-of-the-operators-own-service-of-forty-letters"] {
            daemon.secrets.add(secret);
        }
        Place { daemon, service, public, _dir: dir }
    }

    /// The owner of a device of this name registers it; its id.
    fn register(&self, name: &str, device: Value) -> String {
        let (status, answer) = self.post(&self.daemon.mint(&Rights::full(name)), name, device);
        assert_eq!(status, 201, "{answer}");
        answer["device"].as_str().unwrap().to_owned()
    }

    fn post(&self, jwt: &str, name: &str, mut device: Value) -> (u16, Value) {
        device["name"] = name.into();
        ask(&self.daemon, "POST", "/v1/devices", jwt, &device.to_string())
    }

    fn pushes(&self, provider: &str, outcome: &str) -> f64 {
        self.daemon.metrics().value(&format!("parkway_push_total{{provider=\"{provider}\",outcome=\"{outcome}\"}}"))
    }

    fn wait_for_pushes(&self, provider: &str, outcome: &str, count: f64) {
        let sample = format!("parkway_push_total{{provider=\"{provider}\",outcome=\"{outcome}\"}}");
        self.daemon.wait_for_metric(&sample, Duration::from_secs(10), |now| now == count);
    }

    fn wait_for_devices(&self, count: f64) {
        self.daemon.wait_for_metric("parkway_push_devices", Duration::from_secs(10), |now| now == count);
    }
}

/// An HTTP request of a client's, and the answer.
fn ask(daemon: &Daemon, method: &str, target: &str, jwt: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(daemon.http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let proof = if jwt.is_empty() { String::new() } else { format!("Authorization: Bearer {jwt}\r\n") };
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{proof}Content-Length: {}\r\n\r\n{body}",
        daemon.http,
        body.len()
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
}

fn hook(prid: &str) -> Value {
    json!({ "provider": "hook", "prid": prid })
}

/// That an event was signed by the key that the daemon publishes.
fn verify_event(daemon: &Daemon, event: &Value) {
    let (_, keys) = ask(daemon, "GET", "/.well-known/parkway-keys", "", "");
    let key = URL_SAFE_NO_PAD.decode(keys["keys"][0]["x"].as_str().unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let media: Vec<String> = event["media"].as_array().unwrap().iter().map(text).collect();
    let mut lines = vec!["parkway-event-v1".to_owned(), "incoming".into()];
    lines.extend(["id", "call", "name", "for", "from", "from_display", "to"].map(|key| text(&event[key])));
    lines.extend([media.join(","), text(&event["expires"]), text(&event["token"])]);
    lines.extend([text(&event["callback"]["sip"]), text(&event["callback"]["dial"]), text(&event["data"])]);
    let signature = URL_SAFE_NO_PAD.decode(text(&event["signature"])).unwrap();
    let key = UnparsedPublicKey::new(&signature::ED25519, key);
    key.verify(lines.join("\n").as_bytes(), &signature).expect("the event's signature");
}

/// Header and claims of a JWT whose signature was verified.
fn opened(jwt: &str, algorithm: &'static dyn signature::VerificationAlgorithm, key: &[u8]) -> (Value, Value) {
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(algorithm, key).verify(signed.as_bytes(), &signature).expect("the JWT's signature");
    let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    (json(header), json(claims))
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn hang_up(caller: &mut story::Side) {
    caller.phone.cancel();
    caller.phone.expect(200);
    caller.phone.expect(487);
}

#[test]
fn a_device_whose_client_sleeps_is_woken_subscribes_and_answers() {
    let place = Place::new();
    let device = place.register("demo/phone", hook("anna's telephone"));
    let mut caller = park(&place.daemon);
    let asked = place.service.next();
    assert_eq!((asked.version, asked.path.as_str()), (Version::HTTP_2, "/wake"));
    assert_eq!(asked.header("authorization"), "Bearer the-secret-of-the-operators-own-service-of-forty-letters");
    let push = asked.json();
    assert_eq!(
        (&push["device"], &push["prid"], &push["name"]),
        (&json!(device), &json!("anna's telephone"), &json!("demo/phone"))
    );
    assert!((50..=60).contains(&push["ttl"].as_u64().unwrap()), "{push:#}");
    let event = &push["event"];
    assert_eq!(
        (&event["type"], &event["for"], &event["token"]),
        (&json!("incoming"), &json!("demo/phone"), &Value::Null)
    );
    verify_event(&place.daemon, event);
    // Awake.
    let mut client = Subscriber::open(&place.daemon, "demo/phone", &Rights::full("demo/phone"));
    let incoming = client.incoming();
    assert_eq!(json!(incoming.call), event["call"]);
    let mut other = call_back(&place.daemon, &client, &incoming, Wire::Plain);
    other.phone.expect(200);
    caller.phone.expect(200);
    let gone = place.service.next().json();
    assert_eq!((&gone["event"]["type"], &gone["event"]["winner"]), (&json!("gone"), &json!("demo/phone")));
    caller.phone.hang_up();
    other.phone.be_hung_up_on();
    place.wait_for_pushes("webhook", "delivered", 2.0);
    place.daemon.finish(1);
}

#[test]
fn a_device_whose_client_is_connected_is_woken_only_if_nobody_rings() {
    let place = Place::with("after_ms = 700\n", &[]);
    place.register("demo/phone", hook("a telephone"));
    let mut client = Subscriber::ready(&place.daemon, "demo/phone");
    let mut first = park(&place.daemon);
    let incoming = client.incoming();
    client.say("ringing", &incoming.call);
    assert!(place.service.poll(Duration::from_millis(1500)).is_none(), "it rings");
    hang_up(&mut first);
    client.gone(&incoming.call, "caller_cancelled");
    let mut second = park(&place.daemon);
    let incoming = client.incoming();
    assert_eq!(place.service.next().json()["event"]["call"], json!(incoming.call), "nobody says that it rings");
    hang_up(&mut second);
    assert_eq!(place.service.next().json()["event"]["reason"], json!("caller_cancelled"));
    // Somebody else's connection under the same name is not this device's.
    place.register("demo", hook("another telephone"));
    let _other = Subscriber::open(&place.daemon, "demo", &Rights::full("demo").of("somebody else"));
    let mut third = park(&place.daemon);
    assert_eq!(place.service.next().json()["prid"], json!("another telephone"), "at once");
    hang_up(&mut third);
    place.daemon.finish(3);
}

/// A browser: its keys, and how it reads what it is sent.
struct Browser {
    private: EphemeralPrivateKey,
    public: Vec<u8>,
    auth: [u8; 16],
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Browser {
    fn new() -> Browser {
        let private = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).unwrap();
        let public = private.compute_public_key().unwrap().as_ref().to_vec();
        Browser { private, public, auth: *b"sixteen letters!" }
    }

    /// As a page hands it to its server.
    fn subscription(&self, url: &str) -> Value {
        let keys = json!({ "p256dh": URL_SAFE_NO_PAD.encode(&self.public), "auth": URL_SAFE_NO_PAD.encode(self.auth) });
        json!({ "provider": "webpush", "endpoint": url, "expirationTime": null, "keys": keys })
    }

    /// RFC 8291 §3.4 and RFC 8188 §2, from the browser's side.
    fn decrypt(self, body: &[u8]) -> Value {
        let (salt, rest) = body.split_at(16);
        assert_eq!(&rest[..5], [0, 0, 16, 0, 65], "record size and length of the key");
        let (theirs, record) = rest[5..].split_at(65);
        let expand = |salt: &[u8], secret: &[u8], info: &[&[u8]], length: usize| {
            let mut out = vec![0; length];
            Salt::new(HKDF_SHA256, salt).extract(secret).expand(info, Length(length)).unwrap().fill(&mut out).unwrap();
            out
        };
        let public = self.public.clone();
        let secret = agree_ephemeral(self.private, &Point::new(&ECDH_P256, theirs), |shared| {
            expand(&self.auth, shared, &[b"WebPush: info\0", &public, theirs], 32)
        });
        let secret = secret.unwrap();
        let key = expand(salt, &secret, &[b"Content-Encoding: aes128gcm\0"], 16);
        let nonce = expand(salt, &secret, &[b"Content-Encoding: nonce\0"], 12);
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
        let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
        let mut record = record.to_vec();
        let text = key.open_in_place(nonce, Aad::empty(), &mut record).unwrap();
        let (last, text) = text.split_last().unwrap();
        assert_eq!(*last, 2, "the last record");
        serde_json::from_slice(text).unwrap()
    }
}

fn verify_vapid(place: &Place, asked: &Asked) {
    let value = asked.header("authorization").strip_prefix("vapid t=").unwrap();
    let (jwt, public) = value.split_once(", k=").unwrap();
    assert_eq!(URL_SAFE_NO_PAD.decode(public).unwrap(), place.public);
    let (header, claims) = opened(jwt, &ECDSA_P256_SHA256_FIXED, &place.public);
    assert_eq!(header["alg"], "ES256");
    assert_eq!(claims["aud"], place.service.url());
    assert_eq!(claims["sub"], "mailto:operator@tests.example");
    let expires = claims["exp"].as_u64().unwrap();
    assert!(expires > now() && expires <= now() + 86_400, "RFC 8292 §2");
}

#[test]
fn a_browser_alone_reads_its_push_and_one_that_unsubscribed_is_forgotten() {
    let place = Place::new();
    let (_, services) = ask(&place.daemon, "GET", "/v1/devices", "", "");
    let offered = services["providers"].as_array().unwrap().iter().find(|one| one["name"] == "webpush").unwrap();
    assert_eq!(offered["vapid"], URL_SAFE_NO_PAD.encode(&place.public));
    let browser = Browser::new();
    place.register("demo/web", browser.subscription(&format!("{}/browser?id=7", place.service.url())));
    let mut caller = park(&place.daemon);
    let asked = place.service.next();
    assert_eq!(asked.path, "/browser?id=7");
    verify_vapid(&place, &asked);
    let event = browser.decrypt(&asked.body);
    verify_event(&place.daemon, &event);
    for (header, expected) in [("content-encoding", "aes128gcm"), ("urgency", "high")] {
        assert_eq!(asked.header(header), expected);
    }
    assert_eq!(asked.header("topic"), event["call"].as_str().unwrap());
    assert!((50..=60).contains(&asked.header("ttl").parse::<u64>().unwrap()));
    place.service.will_answer(&[Answer::Status(410, None, "")]);
    hang_up(&mut caller);
    let gone = place.service.next();
    assert_eq!(gone.header("topic"), asked.header("topic"), "takes the place of the first, if that was not delivered");
    place.wait_for_pushes("webpush", "dead", 1.0);
    place.wait_for_devices(0.0);
    let mut caller = park(&place.daemon);
    place.service.stays_silent();
    hang_up(&mut caller);
    place.daemon.finish(2);
}

#[test]
fn apple_is_asked_over_http_2_with_a_token_of_ours_that_is_kept() {
    let place = Place::new();
    place.register("demo/phone", json!({ "provider": "apns", "prid": APNS_TOKEN, "param": "TEAM.example.app.voip" }));
    let mut tokens = Vec::new();
    for answer in [Answer::Status(200, None, ""), Answer::Status(400, None, r#"{"reason":"BadDeviceToken"}"#)] {
        place.service.will_answer(&[answer]);
        let mut caller = park(&place.daemon);
        let asked = place.service.next();
        assert_eq!((asked.version, asked.path.as_str()), (Version::HTTP_2, format!("/3/device/{APNS_TOKEN}").as_str()));
        let jwt = asked.header("authorization").strip_prefix("bearer ").unwrap().to_owned();
        let (header, claims) = opened(&jwt, &ECDSA_P256_SHA256_FIXED, &place.public);
        assert_eq!((&header["alg"], &header["kid"], &claims["iss"]), (&json!("ES256"), &json!("K1"), &json!("TEAM")));
        assert!(claims["iat"].as_u64().unwrap().abs_diff(now()) < 60);
        let event = &asked.json()["parkway"];
        verify_event(&place.daemon, event);
        for (header, expected) in [
            ("apns-topic", "example.app.voip"),
            ("apns-push-type", "voip"),
            ("apns-priority", "10"),
            ("apns-collapse-id", event["call"].as_str().unwrap()),
        ] {
            assert_eq!(asked.header(header), expected);
        }
        let expires: u64 = asked.header("apns-expiration").parse().unwrap();
        assert!((now() + 50..=now() + 60).contains(&expires));
        tokens.push(jwt);
        hang_up(&mut caller);
        // Apple has each push of this kind shown as a call: nothing is said of its end.
        place.service.stays_silent();
    }
    assert_eq!(tokens[0], tokens[1]);
    place.wait_for_pushes("apns", "dead", 1.0);
    place.wait_for_devices(0.0);
    place.daemon.finish(2);
}

#[test]
fn google_is_asked_with_an_access_token_that_is_kept_until_it_is_refused() {
    let place = Place::new();
    place.register("demo/phone", json!({ "provider": "fcm", "prid": FCM_TOKEN }));
    let account = PrivatePkcs8KeyDer::from_pem_slice(ACCOUNT_KEY.as_bytes()).unwrap();
    let account = RsaKeyPair::from_pkcs8(account.secret_pkcs8_der()).unwrap().public_key().as_ref().to_vec();
    let granted = |asked: &Asked| {
        assert_eq!(
            (asked.path.as_str(), asked.header("content-type")),
            ("/token", "application/x-www-form-urlencoded")
        );
        let form = String::from_utf8(asked.body.clone()).unwrap();
        let prefix = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
        let (header, claims) = opened(form.strip_prefix(prefix).unwrap(), &RSA_PKCS1_2048_8192_SHA256, &account);
        assert_eq!((&header["alg"], &header["kid"]), (&json!("RS256"), &json!("K9")));
        assert_eq!(claims["iss"], "parkway@tests.example");
        assert_eq!(claims["aud"], format!("{}/token", place.service.url()));
        assert_eq!(claims["scope"], "https://www.googleapis.com/auth/firebase.messaging");
        assert!(claims["exp"].as_u64().unwrap() <= now() + 3600);
    };
    let mut caller = park(&place.daemon);
    granted(&place.service.next());
    let asked = place.service.next();
    assert_eq!(asked.path, "/v1/projects/tests/messages:send");
    let message = &asked.json()["message"];
    assert_eq!((&message["token"], &message["android"]["priority"]), (&json!(FCM_TOKEN), &json!("HIGH")));
    assert!(message["android"]["ttl"].as_str().unwrap().ends_with('s'));
    let event: Value = serde_json::from_str(message["data"]["parkway"].as_str().unwrap()).unwrap();
    verify_event(&place.daemon, &event);
    assert_eq!(message["android"]["collapse_key"], event["call"]);
    // Google has taken it back.
    place.service.will_answer(&[Answer::Status(401, None, "{}")]);
    hang_up(&mut caller);
    let refused = place.service.next();
    assert_eq!(refused.header("authorization"), asked.header("authorization"), "the same token until then");
    granted(&place.service.next());
    let again = place.service.next();
    assert_ne!(again.header("authorization"), asked.header("authorization"));
    let dead = r#"{"error":{"code":404,"status":"NOT_FOUND","details":[{"@type":"x","errorCode":"UNREGISTERED"}]}}"#;
    place.service.will_answer(&[Answer::Status(404, None, "{}"), Answer::Status(404, None, dead)]);
    for (refused, dead, devices) in [(1.0, 0.0, 1.0), (1.0, 1.0, 0.0)] {
        let mut caller = park(&place.daemon);
        place.service.next();
        place.wait_for_pushes("fcm", "refused", refused);
        place.wait_for_pushes("fcm", "dead", dead);
        place.wait_for_devices(devices);
        hang_up(&mut caller);
    }
    place.daemon.finish(3);
}

#[test]
fn a_service_that_hangs_delays_nobody_and_one_that_is_busy_is_left_alone_for_as_long_as_it_says() {
    let place = Place::new();
    place.register("demo/phone", hook("a telephone"));
    place.service.will_answer(&[Answer::Never, Answer::Status(503, Some(2), ""), Answer::Status(200, None, "")]);
    let mut caller = park(&place.daemon);
    let first = place.service.next();
    // Meanwhile the call goes on as though there were no pushes: a client comes and answers.
    let mut client = Subscriber::open(&place.daemon, "demo/web", &Rights::full("demo/web"));
    let incoming = client.incoming();
    place.register("demo/phone", json!({ "provider": "apns", "prid": APNS_TOKEN }));
    let second = place.service.next();
    assert!(second.at - first.at >= Duration::from_secs(5), "no answer in time");
    let third = place.service.next();
    assert!(third.at - second.at >= Duration::from_secs(2), "Retry-After");
    place.wait_for_pushes("webhook", "delivered", 1.0);
    let mut other = call_back(&place.daemon, &client, &incoming, Wire::Plain);
    other.phone.expect(200);
    caller.phone.expect(200);
    assert_eq!(place.service.next().json()["event"]["type"], json!("gone"));
    caller.phone.hang_up();
    other.phone.be_hung_up_on();
    // One that hangs at the end of the daemon holds nothing up either.
    place.service.will_answer(&[Answer::Never, Answer::Never]);
    let mut caller = park(&place.daemon);
    place.service.next();
    hang_up(&mut caller);
    place.daemon.finish(2);
}

#[test]
fn nothing_is_asked_for_a_call_that_is_over() {
    let place = Place::new();
    place.register("demo/phone", hook("a telephone"));
    place.service.will_answer(&[Answer::Status(503, Some(1), "")]);
    let mut caller = park(&place.daemon);
    place.service.next();
    hang_up(&mut caller);
    place.wait_for_pushes("webhook", "over", 1.0);
    place.service.stays_silent();
    assert_eq!(place.pushes("webhook", "delivered"), 0.0);
    place.daemon.finish(1);
}

#[test]
fn only_who_may_hear_of_calls_registers_a_device_that_its_service_can_wake() {
    let place = Place::with("per_name_max = 2\n", &[]);
    let mine = place.daemon.mint(&Rights::full("demo/phone"));
    let others = place.daemon.mint(&Rights::full("other"));
    let expired = place.daemon.mint(&Rights { expires_in: -600, ..Rights::full("demo/phone") });
    let key = URL_SAFE_NO_PAD.encode([4; 65]);
    let keys = json!({ "p256dh": key, "auth": URL_SAFE_NO_PAD.encode([1; 16]) });
    let web = |url: &str| json!({ "provider": "webpush", "prid": url });
    for (jwt, device, status, reason) in [
        ("", hook("a"), 401, "no_credential"),
        (expired.as_str(), hook("a"), 401, "token_expired"),
        (&others, hook("a"), 403, "name_not_granted"),
        (&mine, json!({ "provider": "acme", "prid": "a" }), 404, "push_service_unknown"),
        (&mine, json!({ "provider": "apns", "prid": APNS_TOKEN, "param": "TEAM.other" }), 404, "push_service_unknown"),
        (&mine, json!({ "provider": "apns", "prid": "../x/../../../y" }), 400, "device_malformed"),
        (&mine, web("https://169.254.169.254/latest"), 400, "device_malformed"),
        (&mine, web("http://localhost/"), 400, "device_malformed"),
        (
            &mine,
            json!({ "provider": "webpush", "prid": format!("{}/x", place.service.url()), "keys": keys }),
            400,
            "device_malformed",
        ),
        (&mine, hook(""), 400, "device_malformed"),
        (&mine, hook(&"a".repeat(1000)), 400, "device_malformed"),
        (&mine, json!({ "prid": "a" }), 400, "device_malformed"),
    ] {
        let (answered, problem) = place.post(jwt, "demo/phone", device);
        assert_eq!((answered, problem["reason"].as_str().unwrap()), (status, reason));
    }
    let first = place.register("demo/phone", hook("a"));
    assert_eq!(place.register("demo/phone", hook("a")), first, "renewed");
    place.register("demo/phone", hook("b"));
    assert_eq!(place.post(&mine, "demo/phone", hook("c")).0, 503, "full");
    let stranger = place.daemon.mint(&Rights::full("demo/phone").of("a stranger"));
    for (jwt, name, status) in [(&stranger, "demo/phone", 404), (&mine, "demo/web", 403), (&mine, "demo/phone", 204)] {
        let name = name.replace('/', "%2F");
        let (answered, _) = ask(&place.daemon, "DELETE", &format!("/v1/devices/{first}?name={name}"), jwt, "");
        assert_eq!(answered, status, "{name}");
    }
    place.wait_for_devices(1.0);
    place.daemon.finish(0);
}

#[test]
fn devices_are_there_after_a_restart() {
    let state = TempDir::new().unwrap();
    let (dir, authority) = (TempDir::new().unwrap(), Authority::new());
    let service = PushService::start(&authority);
    push_tables(dir.path(), &service, &authority, "");
    let set = format!("node.state_dir={}", state.path().display());
    let tables = Setup::default().tables + &fs::read_to_string(dir.path().join("push.toml")).unwrap();
    let setup = Setup { tables, ..Setup::with(&[&set]) };
    let daemon = Daemon::start_as(&setup);
    let jwt = daemon.mint(&Rights::full("demo/phone"));
    let device = json!({ "name": "demo/phone", "provider": "hook", "prid": "a telephone" });
    assert_eq!(ask(&daemon, "POST", "/v1/devices", &jwt, &device.to_string()).0, 201);
    daemon.finish(0);
    let file = state.path().join("devices.jsonl");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let lines = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{{\"half a line\n{lines}")).unwrap();
    let daemon = Daemon::start_as(&setup);
    let mut caller = park(&daemon);
    assert_eq!(service.next().json()["prid"], json!("a telephone"));
    hang_up(&mut caller);
    assert!(daemon.log().contains("devices of before"), "and the line that nobody can read is told of");
    daemon.finish(1);
}

const PASSWORD: &str = "correct-horse-battery-staple-and-forty-letters-more";
const ANNA: User<'static> = User { name: "anna", password: PASSWORD };

fn users() -> String {
    format!(
        "\n[[user]]\nname = \"anna\"\nsecret = \"{PASSWORD}\"\nreceive = [\"demo/desk\"]\nbridge = [\"demo/desk\"]\n"
    )
}

/// A place in which Anna may register.
fn place_of_anna() -> (Place, TempDir) {
    let (dir, authority) = (TempDir::new().unwrap(), Authority::new());
    let service = PushService::start(&authority);
    let public = push_tables(dir.path(), &service, &authority, "");
    let tables = Setup::default().tables + &fs::read_to_string(dir.path().join("push.toml")).unwrap() + &users();
    let daemon = Daemon::start_as(&Setup { tables, ..Setup::default() });
    daemon.secrets.add(APNS_TOKEN);
    (Place { daemon, service, public, _dir: TempDir::new().unwrap() }, dir)
}

fn register_over_sip(place: &Place, phone: &mut Phone, headers: &str) -> common::Message {
    let (domain, aor) = (format!("sip:{}", place.daemon.sip), format!("<sip:demo%2Fdesk@{}>", place.daemon.sip));
    phone.ask_with(&domain, &aor, "REGISTER", headers);
    let challenge = phone.final_response();
    assert_eq!(challenge.status(), Some(401));
    let proof = digest::answer(&challenge, "SHA-256", ANNA, ("REGISTER", &domain), 1);
    phone.ask_with(&domain, &aor, "REGISTER", &format!("{headers}{proof}"));
    phone.final_response()
}

#[test]
fn a_telephone_says_in_its_contact_how_it_is_woken() {
    let (place, _dir) = place_of_anna();
    let mut phone = Phone::new(place.daemon.sip, Wire::Plain);
    let contact = |params: &str| format!("Contact: <sip:desk@192.0.2.1{params}>;+sip.instance=\"<urn:uuid:1>\"\r\n");
    let asks = register_over_sip(&place, &mut phone, &contact(";pn-provider"));
    let caps = asks.header("feature-caps").to_owned();
    assert!(
        asks.status() == Some(200) && caps.contains("*;+sip.pns=\"apns\"") && caps.contains("+sip.vapid="),
        "{asks:#?}"
    );
    for params in
        [";pn-provider=acme;pn-prid=1", ";pn-provider=acme", ";pn-provider=apns;pn-prid=00;pn-param=OTHER.app"]
    {
        let refused = register_over_sip(&place, &mut phone, &contact(params));
        assert_eq!(refused.status(), Some(555), "{refused:#?}");
        assert!(refused.start.starts_with("SIP/2.0 555 Push Notification Service Not Supported"), "{refused:#?}");
    }
    let refused = register_over_sip(&place, &mut phone, &contact(";pn-provider=apns;pn-prid"));
    assert_eq!(refused.status(), Some(400));
    let params = format!(";pn-provider=apns;pn-prid={APNS_TOKEN};pn-param=TEAM.example.app.voip");
    let taken = register_over_sip(&place, &mut phone, &contact(&params));
    assert_eq!((taken.status(), taken.header("feature-caps")), (Some(200), "*;+sip.pns=\"apns\""), "{taken:#?}");
    place.wait_for_devices(1.0);
    let mut caller = park(&place.daemon);
    assert_eq!(
        place.service.next().path,
        format!("/3/device/{APNS_TOKEN}"),
        "over datagrams nobody knows that it is there"
    );
    hang_up(&mut caller);
    // A browser's engine in a telephone says no keys here: it is woken by a push without text, and once.
    let url = format!("{}/engine", place.service.url()).replace("://", ":%2F%2F");
    let contact_of_engine = format!("Contact: <sip:engine@192.0.2.1;pn-provider=webpush;pn-prid={url}>\r\n");
    assert_eq!(register_over_sip(&place, &mut phone, &contact_of_engine).status(), Some(200));
    place.wait_for_devices(2.0);
    let mut caller = park(&place.daemon);
    let both = [place.service.next(), place.service.next()];
    let asked = both.iter().find(|asked| asked.path == "/engine").unwrap();
    assert!(asked.body.is_empty() && asked.header("content-encoding").is_empty(), "{asked:?}");
    verify_vapid(&place, asked);
    hang_up(&mut caller);
    place.service.stays_silent();
    let left = contact_of_engine.replace(">\r\n", ">;expires=0\r\n");
    assert_eq!(register_over_sip(&place, &mut phone, &left).status(), Some(200));
    place.wait_for_devices(1.0);
    // It registers without saying how it is woken, so it is not any more.
    assert_eq!(register_over_sip(&place, &mut phone, &contact("")).status(), Some(200));
    place.wait_for_devices(0.0);
    place.daemon.finish(2);
}

#[test]
fn a_subscription_over_sip_may_say_so_too_and_takes_nothing_back_that_it_does_not_name() {
    let (place, _dir) = place_of_anna();
    let mut phone = Phone::new(place.daemon.sip, Wire::Plain);
    let uri = format!("sip:demo%2Fdesk@{}", place.daemon.sip);
    let mut subscribe = |contact: &str, expires: u32| {
        let headers = format!("Event: parkway-call\r\nExpires: {expires}\r\nContact: {contact}\r\n");
        phone.ask_with(&uri, &format!("<{uri}>"), "SUBSCRIBE", &headers);
        let challenge = phone.final_response();
        assert_eq!(challenge.status(), Some(401));
        let proof = digest::answer(&challenge, "SHA-256", ANNA, ("SUBSCRIBE", &uri), 1);
        phone.ask_with(&uri, &format!("<{uri}>"), "SUBSCRIBE", &format!("{headers}{proof}"));
        phone.final_response()
    };
    let woken = "<sip:desk@192.0.2.1;pn-provider=hook;pn-prid=desk>;+sip.instance=\"<urn:uuid:1>\"";
    let refused = subscribe("<sip:desk@192.0.2.1;pn-provider=acme;pn-prid=desk>", 600);
    assert_eq!(refused.status(), Some(555), "{refused:#?}");
    let taken = subscribe(woken, 600);
    assert_eq!((taken.status(), taken.header("feature-caps")), (Some(200), "*;+sip.pns=\"hook\""), "{taken:#?}");
    place.wait_for_devices(1.0);
    let plain = subscribe("<sip:desk@192.0.2.1>;+sip.instance=\"<urn:uuid:1>\"", 600);
    assert_eq!((plain.status(), plain.header("feature-caps")), (Some(200), ""), "{plain:#?}");
    let mut caller = park(&place.daemon);
    assert_eq!(place.service.next().json()["prid"], json!("desk"));
    hang_up(&mut caller);
    assert_eq!(subscribe(woken, 0).status(), Some(200));
    place.wait_for_devices(0.0);
    place.daemon.finish(1);
}

#[test]
fn who_may_nothing_any_more_is_not_woken() {
    let (place, dir) = place_of_anna();
    let mut phone = Phone::new(place.daemon.sip, Wire::Plain);
    let contact = "Contact: <sip:desk@192.0.2.1;pn-provider=hook;pn-prid=desk>\r\n";
    assert_eq!(register_over_sip(&place, &mut phone, contact).status(), Some(200));
    place.wait_for_devices(1.0);
    let file = place.daemon.dir().join("parkway.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(&users(), "")).unwrap();
    place.daemon.signal("HUP");
    common::until("a reload", Duration::from_secs(5), || place.daemon.log().contains("are read again").then_some(()));
    let mut caller = park(&place.daemon);
    place.wait_for_pushes("webhook", "withheld", 1.0);
    place.service.stays_silent();
    hang_up(&mut caller);
    drop(dir);
    place.daemon.finish(1);
}
