//! Digest as the server does it (RFC 7616 §3.3 to §3.5, RFC 8760 §2): challenges, and the judgement of what comes back.
//! Not here: where users come from, and the 401 around the challenges (`switch`).

use super::algorithm::Proof;
use super::nonce::Nonces;
use super::{Algorithm, Secrets};
use crate::rng::Rng;
use crate::sip::wire::{AuthParams, Method, Uri};
use crate::time::Instant;
use ring::hmac;

/// Why somebody is not who he says he is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// An unknown user, the wrong password, or a header that does not say what it must. Which of them, nobody is told.
    Wrong,
    /// The password is right, but the nonce is too old or was used up: with a new one it will do (RFC 7616 §3.3 `stale`).
    Stale,
}

/// Asks for a user's name and a proof of the password, and judges it.
pub struct Gate {
    realm: String,
    /// In the order in which they are offered.
    algorithms: Vec<Algorithm>,
    nonces: Nonces,
    /// The secrets of whoever is unknown: nobody has their password, and his guess costs as much time as another's.
    nobody: Secrets,
    /// Two proofs are compared under it, so that the time it takes says nothing of where they differ.
    compare: hmac::Key,
}

impl Gate {
    /// For a realm, offering these algorithms in this order. None: nobody can prove anything.
    pub fn new(realm: &str, algorithms: &[Algorithm], rng: &mut Rng) -> Gate {
        let (password, mut compare) = (format!("{:032x}", rng.u128()), [0; 32]);
        rng.fill(&mut compare);
        Gate {
            realm: realm.to_owned(),
            algorithms: algorithms.to_vec(),
            nonces: Nonces::new(rng),
            nobody: Secrets::new("", realm, &password),
            compare: hmac::Key::new(hmac::HMAC_SHA256, &compare),
        }
    }

    /// The values of WWW-Authenticate, one a line, the most wanted first (RFC 8760 §2.3). They share a nonce: one is answered.
    pub fn challenges(&self, now: Instant, rng: &mut Rng, stale: bool) -> impl Iterator<Item = String> {
        let nonce = self.nonces.make(now, rng);
        let stale = if stale { ", stale=true" } else { "" };
        self.algorithms.iter().map(move |algorithm| {
            let (realm, algorithm) = (&self.realm, algorithm.as_str());
            format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", qop=\"auth\", algorithm={algorithm}{stale}")
        })
    }

    /// Whether a value of Authorization is digest in our realm: a request may carry others for servers behind us (RFC 3261 §22.3).
    pub fn is_for_us(&self, value: &AuthParams<'_>) -> bool {
        value.is("Digest") && value.get("realm").is_some_and(|realm| realm == self.realm)
    }

    /// Who sent a request with these credentials. `find` has the secrets of a user; for one that it does not know the same is done.
    pub fn judge<'s>(
        &mut self,
        now: Instant,
        (method, uri): (Method<'_>, Uri<'_>),
        credentials: &AuthParams<'_>,
        find: impl FnOnce(&str) -> Option<&'s Secrets>,
    ) -> Result<String, Refused> {
        let given = Given::read(credentials).ok_or(Refused::Wrong)?;
        let offered = self.algorithms.contains(&given.algorithm) && self.is_for_us(credentials);
        // RFC 7616 §3.4.6: a proof is for one resource; for another it is somebody else's request with his proof.
        let meant = Uri::parse(given.uri.as_bytes()).is_ok_and(|given| given.same(&uri));
        let found = find(&given.username);
        let (known, secrets) = (found.is_some(), found.unwrap_or(&self.nobody));
        let qop = Some((given.count.as_str(), given.cnonce.as_str()));
        let proof = Proof { method: method.as_bytes(), uri: &given.uri, nonce: &given.nonce, qop };
        let expected = proof.response(given.algorithm, secrets);
        let expected = hmac::sign(&self.compare, expected.as_bytes());
        let given_right =
            hmac::verify(&self.compare, given.response.to_ascii_lowercase().as_bytes(), expected.as_ref()).is_ok();
        if !(offered && meant && known && given_right) {
            return Err(Refused::Wrong);
        }
        let count = u32::from_str_radix(&given.count, 16).map_err(|_| Refused::Wrong)?;
        if self.nonces.spend(now, &given.nonce, count) { Ok(given.username) } else { Err(Refused::Stale) }
    }
}

/// What credentials must have (RFC 7616 §3.4), with `qop=auth`: without a count, whoever overhears a request could repeat it.
struct Given {
    username: String,
    uri: String,
    nonce: String,
    count: String,
    cnonce: String,
    response: String,
    algorithm: Algorithm,
}

impl Given {
    fn read(credentials: &AuthParams<'_>) -> Option<Given> {
        let text = |name| credentials.get(name).map(|value| value.into_owned());
        let is_plain = |value: &str| value.eq_ignore_ascii_case("false");
        // RFC 7616 §3.3: no `algorithm` is MD5. §3.4.4: a hashed user name is not offered.
        let algorithm =
            credentials.get("algorithm").map_or(Some(Algorithm::Md5), |word| Algorithm::from_word(&word))?;
        let is_auth = credentials.get("qop").is_some_and(|qop| qop.eq_ignore_ascii_case("auth"));
        let is_named = credentials.get("userhash").is_none_or(|hash| is_plain(&hash));
        let count =
            text("nc").filter(|count| count.len() == 8 && count.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        (is_auth && is_named).then_some(Given {
            username: text("username")?,
            uri: text("uri")?,
            nonce: text("nonce")?,
            count,
            cnonce: text("cnonce")?,
            response: text("response")?,
            algorithm,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Credentials, client};
    use super::*;
    use crate::limits;

    const NOW: Instant = Instant(0);
    const URI: &str = "sip:parkway.example";

    fn gate() -> (Gate, Rng) {
        let mut rng = Rng::from_seed([1; 32]);
        (Gate::new("parkway", &[Algorithm::Sha256, Algorithm::Md5], &mut rng), rng)
    }

    fn judge(gate: &mut Gate, now: Instant, method: &str, uri: &str, value: &str) -> Result<String, Refused> {
        let secrets = Secrets::new("bob", "parkway", "secret");
        let value = AuthParams::parse(value.as_bytes()).unwrap();
        let request = (Method::of(method.as_bytes()), Uri::parse(uri.as_bytes()).unwrap());
        gate.judge(now, request, &value, |name| (name == "bob").then_some(&secrets))
    }

    /// What a client with a password makes of the challenges.
    fn answered(challenges: &[String], username: &str, password: &str) -> String {
        let credentials = Credentials {
            username: username.into(),
            realm: None,
            password: crate::secret::Secret::new(password.into()),
        };
        let lines = challenges.iter().map(|line| line.as_bytes());
        client::value(lines, &credentials, b"REGISTER", URI, "0a4f113b").unwrap()
    }

    #[test]
    fn the_right_password_opens_and_any_other_thing_does_not() {
        let (mut gate, mut rng) = gate();
        let challenges: Vec<_> = gate.challenges(NOW, &mut rng, false).collect();
        assert_eq!(challenges.len(), 2);
        assert!(challenges[0].contains("algorithm=SHA-256") && challenges[1].contains("algorithm=MD5"));
        let good = answered(&challenges, "bob", "secret");
        let with = |from: &str, to: &str| {
            assert!(good.contains(from), "{from} in {good}");
            good.replacen(from, to, 1)
        };
        for value in [
            answered(&challenges, "bob", "other"),
            answered(&challenges, "eve", "secret"),
            with("SHA-256", "MD5"),
            with("SHA-256", "SHA-512-256"),
            with("realm=\"parkway\"", "realm=\"other\""),
            with("qop=auth, ", ""),
            with("qop=auth", "qop=auth-int"),
            with("nc=00000001", "nc=1"),
            with("nc=00000001", "nc=00000002"),
            with("cnonce=\"0a4f113b\"", "cnonce=\"1\""),
            with("username=\"bob\"", "username=\"bob\", userhash=true"),
            with("username=\"bob\"", "username=\"BOB\""),
            with(URI, "sip:other.example"),
        ] {
            assert_eq!(judge(&mut gate, NOW, "REGISTER", URI, &value), Err(Refused::Wrong), "{value}");
        }
        assert_eq!(judge(&mut gate, NOW, "INVITE", URI, &good), Err(Refused::Wrong));
        assert_eq!(judge(&mut gate, NOW, "REGISTER", "sip:other.example", &good), Err(Refused::Wrong));
        assert_eq!(judge(&mut gate, NOW, "REGISTER", URI, &good), Ok("bob".into()));
    }

    #[test]
    fn with_md5_alone_a_client_is_as_welcome() {
        let (mut gate, mut rng) = gate();
        let challenges: Vec<_> = gate.challenges(NOW, &mut rng, false).collect();
        let good = answered(&challenges[1..], "bob", "secret");
        assert!(good.contains("algorithm=MD5"));
        assert_eq!(judge(&mut gate, NOW, "REGISTER", URI, &good), Ok("bob".into()));
    }

    #[test]
    fn a_nonce_that_is_used_up_is_stale_to_whoever_knows_the_password() {
        let (mut gate, mut rng) = gate();
        let challenges: Vec<_> = gate.challenges(NOW, &mut rng, false).collect();
        let (good, wrong) = (answered(&challenges, "bob", "secret"), answered(&challenges, "bob", "other"));
        assert_eq!(judge(&mut gate, NOW, "REGISTER", URI, &good), Ok("bob".into()));
        assert_eq!(judge(&mut gate, NOW, "REGISTER", URI, &good), Err(Refused::Stale));
        let late = NOW + limits::DIGEST_NONCE_LIFE;
        assert_eq!(judge(&mut gate, late, "REGISTER", URI, &good), Err(Refused::Stale));
        assert_eq!(judge(&mut gate, late, "REGISTER", URI, &wrong), Err(Refused::Wrong));
        // One that another process made: a telephone has it from before our restart.
        let strange: Vec<_> =
            Gate::new("parkway", &[Algorithm::Md5], &mut rng).challenges(NOW, &mut rng, false).collect();
        assert_eq!(judge(&mut gate, NOW, "REGISTER", URI, &answered(&strange, "bob", "secret")), Err(Refused::Stale));
        let again: Vec<_> = gate.challenges(NOW, &mut rng, true).collect();
        assert!(again.iter().all(|value| value.ends_with(", stale=true")) && !challenges[0].contains("stale"));
        assert_eq!(judge(&mut gate, NOW, "REGISTER", URI, &answered(&again, "bob", "secret")), Ok("bob".into()));
    }

    #[test]
    fn without_an_algorithm_nobody_is_let_in() {
        let mut rng = Rng::from_seed([1; 32]);
        let mut closed = Gate::new("parkway", &[], &mut rng);
        assert_eq!(closed.challenges(NOW, &mut rng, false).count(), 0);
        let challenges: Vec<_> = gate().0.challenges(NOW, &mut rng, false).collect();
        let value = answered(&challenges, "bob", "secret");
        assert_eq!(judge(&mut closed, NOW, "REGISTER", URI, &value), Err(Refused::Wrong));
    }
}
