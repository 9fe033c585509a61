//! What the tests of `notify` and `http` share: a registry with known keys, JWTs for it, and calls.
//! Not here: anything that the daemon uses.

use crate::call::{ClientMessage, Gone, GoneReason, Incoming, Notice};
use crate::event::{Authority, Herald, Signer};
use crate::id::CallId;
use crate::name::Name;
use crate::notify::{Publisher, Registry, Settings, open};
use crate::policy::{
    self, Algorithm, Grant, Grants, Keyring, MediaKinds, Order, PolicyEngine, SigningKey, VerifyingKey,
};
use crate::rng::Rng;
use crate::secret::Secret;
use crate::switch::FromClient;
use crate::time::{Duration, Wall};
use crate::token::Keys;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The node of the test's keys.
const NODE: u64 = 7;
/// What the tests' JWTs are for.
const AUDIENCE: &str = "parkway";
/// Signs the tests' JWTs.
const SECRET: [u8; 32] = [11; 32];

/// A running registry with the ends that the daemon would hold.
pub(crate) struct Desk {
    pub(crate) publisher: Publisher,
    pub(crate) registry: Arc<Registry>,
    pub(crate) messages: mpsc::Receiver<FromClient>,
    pub(crate) keys: Arc<Keys>,
}

impl Desk {
    /// The next word on a call that comes out of the switch's queue.
    pub(crate) async fn heard(&mut self) -> ClientMessage {
        match soon(self.messages.recv()).await {
            Some(FromClient::Call(message)) => message,
            other => panic!("{other:?} is no word on a call"),
        }
    }
}

/// A registry whose fan-out runs on the current runtime.
pub(crate) fn desk() -> Desk {
    desk_with(Arc::new(Grants::default()))
}

/// The same with another engine.
pub(crate) fn desk_with(engine: Arc<dyn PolicyEngine>) -> Desk {
    let (desk, fan_out) = idle_desk(engine);
    tokio::spawn(fan_out.run());
    desk
}

/// The same with a fan-out that does not run yet.
pub(crate) fn idle_desk(engine: Arc<dyn PolicyEngine>) -> (Desk, crate::notify::FanOut) {
    let keys = Arc::new(Keys::new(NODE, [9; 32]));
    let (sender, messages) = mpsc::channel(2);
    let (publisher, registry, fan_out) = open(Settings {
        herald: Arc::new(Herald {
            signer: Signer::from_seed(&Secret::new([5; 32])),
            epoch: 1,
            sip_host: "127.0.0.1:5060".to_owned(),
        }),
        authority: authority(engine, Arc::clone(&keys)),
        rng: Rng::from_seed([1; 32]),
        messages: sender,
    });
    (Desk { publisher, registry, messages, keys }, fan_out)
}

/// The tests' keyring, without tolerance for clocks, with an engine.
pub(crate) fn authority(engine: Arc<dyn PolicyEngine>, keys: Arc<Keys>) -> Authority {
    let mut keyring = Keyring::new(AUDIENCE).with_skew(Duration::ZERO);
    keyring.add("test", VerifyingKey::new(Algorithm::Hs256, &SECRET).unwrap()).unwrap();
    Authority { keyring: Arc::new(keyring), engine, keys }
}

/// The time, as JWTs are checked against it.
pub(crate) fn wall() -> Wall {
    Wall::default() + std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap()
}

/// A JWT for a subject that may receive for these names, good for a minute.
pub(crate) fn jwt(subject: &str, receive: &[&str]) -> String {
    jwt_with(subject, receive, false, wall() + Duration::from_secs(60), AUDIENCE, &SECRET)
}

/// A JWT with every choice.
fn jwt_with(subject: &str, receive: &[&str], dial: bool, expires: Wall, audience: &str, secret: &[u8]) -> String {
    let receive: Vec<Name> = receive.iter().map(|text| name(text)).collect();
    let grant = Grant { bridge: receive.clone(), receive, dial, ..Grant::default() };
    // Issued in the past, for tests of what has expired.
    let order = Order { subject, audience, issued: Wall(1_000), expires, not_before: None, grant };
    policy::mint(&SigningKey::new(Algorithm::Hs256, secret, Some("test")).unwrap(), &order).unwrap()
}

/// A JWT that carries a dial grant, or that expires at a moment of the test's choice.
pub(crate) fn jwt_until(subject: &str, receive: &[&str], dial: bool, expires: Wall) -> String {
    jwt_with(subject, receive, dial, expires, AUDIENCE, &SECRET)
}

/// A JWT for somebody else.
pub(crate) fn jwt_for(subject: &str, receive: &[&str], audience: &str) -> String {
    jwt_with(subject, receive, false, wall() + Duration::from_secs(60), audience, &SECRET)
}

/// A JWT that somebody else signed.
pub(crate) fn foreign_jwt(subject: &str, receive: &[&str]) -> String {
    jwt_with(subject, receive, false, wall() + Duration::from_secs(60), AUDIENCE, &[12; 32])
}

/// A name.
pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A call for a name, parked for a minute.
pub(crate) fn incoming(call: u128, called: &str) -> Incoming {
    Incoming {
        call: CallId(call),
        generation: 3,
        name: name(called),
        called: "+49301".into(),
        from: "sip:+4930123@trunk.example".into(),
        from_display: None,
        to: "sip:+49301@pbx.example".into(),
        media: MediaKinds::AUDIO,
        recorded: false,
        expires: wall() + Duration::from_secs(60),
        token_expires: wall() + Duration::from_secs(360),
        rings: false,
        data: None,
    }
}

/// Its end.
pub(crate) fn gone(call: u128, called: &str, reason: GoneReason) -> Notice {
    let name = name(called);
    let called = "+49301".into();
    Notice::Gone(Gone { call: CallId(call), name, called, reason, winner: None, at: wall(), rings: false })
}

/// What a future yields, if it does so before a test has waited long enough.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("within the test's patience")
}
