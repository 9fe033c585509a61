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

/// A realm and the algorithms that are offered in it, the most wanted first. None: nobody can prove anything.
pub type Offer<'o> = (&'o str, &'o [Algorithm]);

/// Asks for a user's name and a proof of the password, and judges it.
pub struct Gate {
    nonces: Nonces,
    /// The secrets of whoever is unknown: nobody has their password, and his guess costs as much time as another's.
    nobody: Secrets,
    /// Two proofs are compared under it, so that the time it takes says nothing of where they differ.
    compare: hmac::Key,
}

impl Gate {
    /// With a key of its own for nonces: those of an earlier process are stale.
    pub fn new(rng: &mut Rng) -> Gate {
        let (password, mut compare) = (format!("{:032x}", rng.u128()), [0; 32]);
        rng.fill(&mut compare);
        Gate {
            nonces: Nonces::new(rng),
            nobody: Secrets::new("", "", &password),
            compare: hmac::Key::new(hmac::HMAC_SHA256, &compare),
        }
    }

    /// The values of WWW-Authenticate, one a line (RFC 8760 §2.3). They share a nonce: one of them is answered.
    pub fn challenges(&self, now: Instant, (realm, algorithms): Offer<'_>, rng: &mut Rng, stale: bool) -> Vec<String> {
        if algorithms.is_empty() {
            return Vec::new();
        }
        let nonce = self.nonces.make(now, rng);
        let stale = if stale { ", stale=true" } else { "" };
        let challenge = |algorithm: &Algorithm| {
            let algorithm = algorithm.as_str();
            format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", qop=\"auth\", algorithm={algorithm}{stale}")
        };
        algorithms.iter().map(challenge).collect()
    }

    /// Whether a value of Authorization is digest in this realm: a request may carry others for servers behind us (RFC 3261 §22.3).
    pub fn is_for(&self, realm: &str, value: &AuthParams<'_>) -> bool {
        value.is("Digest") && value.get("realm").is_some_and(|said| said == realm)
    }

    /// Who sent a request with these credentials. `find` has the secrets of a user; for one that it does not know the same is done.
    pub fn judge<'s>(
        &mut self,
        now: Instant,
        (realm, algorithms): Offer<'_>,
        (method, uri): (Method<'_>, Uri<'_>),
        credentials: &AuthParams<'_>,
        find: impl FnOnce(&str) -> Option<&'s Secrets>,
    ) -> Result<String, Refused> {
        let given = Given::read(credentials).ok_or(Refused::Wrong)?;
        let offered = algorithms.contains(&given.algorithm) && self.is_for(realm, credentials);
        // RFC 7616 §3.4.6: a proof is for one resource; for another it is somebody else's request with his proof.
        let meant = Uri::parse(given.uri.as_bytes()).is_ok_and(|given| given.same(&uri));
        let found = find(&given.username);
        let (known, secrets) = (found.is_some(), found.unwrap_or(&self.nobody));
        let right = self.is_right(&given, method, secrets);
        if !(offered && meant && known && right) {
            return Err(Refused::Wrong);
        }
        let count = u32::from_str_radix(&given.count, 16).map_err(|_| Refused::Wrong)?;
        if self.nonces.spend(now, &given.nonce, count) { Ok(given.username) } else { Err(Refused::Stale) }
    }

    fn is_right(&self, given: &Given, method: Method<'_>, secrets: &Secrets) -> bool {
        let qop = Some((given.count.as_str(), given.cnonce.as_str()));
        let proof = Proof { method: method.as_bytes(), uri: &given.uri, nonce: &given.nonce, qop };
        let expected = proof.response(given.algorithm, secrets);
        let expected = hmac::sign(&self.compare, expected.as_bytes());
        let response = given.response.to_ascii_lowercase();
        hmac::verify(&self.compare, response.as_bytes(), expected.as_ref()).is_ok()
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
    const OFFER: Offer<'static> = ("parkway", &[Algorithm::Sha256, Algorithm::Md5]);

    fn gate() -> (Gate, Rng) {
        let mut rng = Rng::from_seed([1; 32]);
        (Gate::new(&mut rng), rng)
    }

    fn judge(gate: &mut Gate, now: Instant, method: &str, uri: &str, value: &str) -> Result<String, Refused> {
        let secrets = Secrets::new("bob", "parkway", "secret");
        let value = AuthParams::parse(value.as_bytes()).unwrap();
        let request = (Method::of(method.as_bytes()), Uri::parse(uri.as_bytes()).unwrap());
        gate.judge(now, OFFER, request, &value, |name| (name == "bob").then_some(&secrets))
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
        let challenges = gate.challenges(NOW, OFFER, &mut rng, false);
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
        let challenges = gate.challenges(NOW, OFFER, &mut rng, false);
        let good = answered(&challenges[1..], "bob", "secret");
        assert!(good.contains("algorithm=MD5"));
        assert_eq!(judge(&mut gate, NOW, "REGISTER", URI, &good), Ok("bob".into()));
    }

    #[test]
    fn a_nonce_that_is_used_up_is_stale_to_whoever_knows_the_password() {
        let (mut gate, mut rng) = gate();
        let challenges = gate.challenges(NOW, OFFER, &mut rng, false);
        let (good, wrong) = (answered(&challenges, "bob", "secret"), answered(&challenges, "bob", "other"));
        assert_eq!(judge(&mut gate, NOW, "REGISTER", URI, &good), Ok("bob".into()));
        assert_eq!(judge(&mut gate, NOW, "REGISTER", URI, &good), Err(Refused::Stale));
        let late = NOW + limits::DIGEST_NONCE_LIFE;
        assert_eq!(judge(&mut gate, late, "REGISTER", URI, &good), Err(Refused::Stale));
        assert_eq!(judge(&mut gate, late, "REGISTER", URI, &wrong), Err(Refused::Wrong));
        // One that another process made: a telephone has it from before our restart.
        let strange = Gate::new(&mut rng).challenges(NOW, OFFER, &mut rng, false);
        assert_eq!(judge(&mut gate, NOW, "REGISTER", URI, &answered(&strange, "bob", "secret")), Err(Refused::Stale));
        let again = gate.challenges(NOW, OFFER, &mut rng, true);
        assert!(again.iter().all(|value| value.ends_with(", stale=true")) && !challenges[0].contains("stale"));
        assert_eq!(judge(&mut gate, NOW, "REGISTER", URI, &answered(&again, "bob", "secret")), Ok("bob".into()));
    }

    #[test]
    fn without_an_algorithm_nobody_is_let_in() {
        let (mut gate, mut rng) = gate();
        assert!(gate.challenges(NOW, ("parkway", &[]), &mut rng, false).is_empty());
        let value = answered(&gate.challenges(NOW, OFFER, &mut rng, false), "bob", "secret");
        let value = AuthParams::parse(value.as_bytes()).unwrap();
        let (request, secrets) =
            ((Method::Register, Uri::parse(URI.as_bytes()).unwrap()), Secrets::new("bob", "parkway", "secret"));
        for (offer, expected) in [
            (("parkway", &[][..]), Err(Refused::Wrong)),
            (("other", OFFER.1), Err(Refused::Wrong)),
            (OFFER, Ok("bob".into())),
        ] {
            assert_eq!(gate.judge(NOW, offer, request, &value, |_| Some(&secrets)), expected, "{offer:?}");
        }
    }
}
