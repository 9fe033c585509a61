//! Any bytes as credentials and as a challenge: no panic, and nobody is let in who does not know the password. Any name, password and
//! URI in a round trip: whoever knows the password is let in, once for each count.
//! Not here: who may register with what was proved (`sim`).

use crate::rng::Rng;
use crate::secret::Secret;
use crate::sip::auth::{Algorithm, Credentials, Gate, Offer, Secrets, answer};
use crate::sip::wire::{AuthParams, Message, Method, Uri};
use crate::time::Instant;

const NOW: Instant = Instant(1_000_000_000);
const OFFER: Offer<'static> = ("parkway", &Algorithm::ALL);
const URI: &str = "sip:parkway.example";

/// Credentials, a challenge, and, of two lines, a name and its password.
pub fn digest(bytes: &[u8]) {
    let mut rng = Rng::from_seed([1; 32]);
    let mut gate = Gate::new(&mut rng);
    let uri = Uri::parse(URI.as_bytes()).expect("a constant");
    let secrets = Secrets::new("anna", OFFER.0, "a password that nobody guesses");
    if let Some(credentials) = AuthParams::parse(bytes) {
        let judged = gate.judge(NOW, OFFER, (Method::Invite, uri), &credentials, |_| Some(&secrets));
        assert!(judged.is_err(), "nobody has a nonce of ours");
    }
    let known = Credentials { username: "anna".into(), realm: None, password: Secret::new("x".into()) };
    if let Some((name, value)) = answered(bytes, &known) {
        assert!(name == "Authorization" && !value.contains(['\r', '\n']), "a challenge adds no header to ours");
    }
    round_trip(&mut gate, &mut rng, bytes);
}

/// A challenge in a 401, and what we say to it.
fn answered(challenge: &[u8], credentials: &Credentials) -> Option<(&'static str, String)> {
    let mut text =
        b"SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
        To: <sip:a@b>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\nWWW-Authenticate: "
            .to_vec();
    text.extend_from_slice(challenge);
    text.extend_from_slice(b"\r\n\r\n");
    answer(&Message::parse(&text).ok()?, credentials, b"INVITE", URI, "0a4f113b")
}

fn round_trip(gate: &mut Gate, rng: &mut Rng, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // Header values have no control characters.
    let Some((username, password)) = text.split_once('\n').filter(|(name, _)| !name.contains(char::is_control)) else {
        return;
    };
    let secrets = Secrets::new(username, OFFER.0, password);
    let credentials =
        Credentials { username: username.into(), realm: Some(OFFER.0.into()), password: Secret::new(password.into()) };
    let uri = Uri::parse(URI.as_bytes()).expect("a constant");
    for challenge in gate.challenges(NOW, OFFER, rng, false) {
        let (_, value) = answered(challenge.as_bytes(), &credentials).expect("our own challenge can be answered");
        let read = AuthParams::parse(value.as_bytes()).expect("what we write we can read");
        let judged =
            gate.judge(NOW, OFFER, (Method::Invite, uri), &read, |name| (name == username).then_some(&secrets));
        // All challenges share a nonce, which is good for one request.
        let again = gate.judge(NOW, OFFER, (Method::Invite, uri), &read, |_| Some(&secrets));
        assert!(again.is_err(), "no proof is good twice");
        if let Ok(name) = judged {
            assert_eq!(name, username);
            return;
        }
    }
    panic!("whoever knows the password is let in");
}
