//! Making JWTs: for `parkway token mint`, the demo, and tests. Applications mint their own with any JWT library.
//! Not here: clocks (the caller says when it expires). The switch never mints.

use super::jwt::is_subject;
use super::keyring::{hmac_key, pem};
use super::{Algorithm, BadKey, Grant};
use crate::limits;
use crate::secret::Secret;
use crate::time::Wall;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::{hmac, signature};
use serde::Serialize;
use std::fmt;

/// A key that signs, with the `kid` it is known by. Debug prints the algorithm and the kid.
pub struct SigningKey {
    kid: Option<String>,
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    Hmac(hmac::Key),
    Ed25519(signature::Ed25519KeyPair),
}

impl SigningKey {
    /// From key material: for HS* the secret's bytes; for EdDSA a PKCS#8 private key (RFC 8410 §7), PEM or DER.
    /// ES256 is [`BadKey::Form`]: its signatures need a source of chance, which the core has not.
    pub fn new(algorithm: Algorithm, material: &[u8], kid: Option<&str>) -> Result<SigningKey, BadKey> {
        let material = match algorithm {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => Material::Hmac(hmac_key(algorithm, material)?),
            Algorithm::EdDsa => Material::Ed25519(ed25519_pair(material)?),
            Algorithm::Es256 => return Err(BadKey::Form),
        };
        Ok(SigningKey { kid: kid.map(String::from), algorithm, material })
    }

    fn sign(&self, message: &[u8]) -> String {
        match &self.material {
            Material::Hmac(key) => BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(key, message)),
            Material::Ed25519(pair) => BASE64_URL_SAFE_NO_PAD.encode(pair.sign(message)),
        }
    }
}

/// With or without the public key in it: OpenSSL leaves it out, and then it is computed.
fn ed25519_pair(material: &[u8]) -> Result<signature::Ed25519KeyPair, BadKey> {
    let der = Secret::new(pem(material, "PRIVATE KEY").unwrap_or_else(|| material.to_vec()));
    signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.expose()).map_err(|_| BadKey::Form)
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {:?})", self.algorithm.as_str(), self.kid)
    }
}

/// What a JWT is to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order<'a> {
    /// `sub`: who.
    pub subject: &'a str,
    /// `aud`: for whom; the [`Keyring`](super::Keyring)'s audience.
    pub audience: &'a str,
    /// `iat`.
    pub issued: Wall,
    /// `exp`.
    pub expires: Wall,
    /// `nbf`, if it is to be good only later.
    pub not_before: Option<Wall>,
    /// The member `parkway`.
    pub grant: Grant,
}

/// Why no JWT was made: [`verify`](super::verify) would refuse it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CannotMint {
    /// The subject is empty, too long, or has control characters.
    Subject,
    /// It would expire before it is issued.
    Expiry,
    /// It would be longer than [`limits::JWT_BYTES_MAX`].
    TooLong,
}

impl fmt::Display for CannotMint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CannotMint::Subject => "a subject has 1 to 256 bytes and no control characters",
            CannotMint::Expiry => "it would expire before it is issued",
            CannotMint::TooLong => "with so many grants it would be longer than 4096 bytes",
        })
    }
}

impl std::error::Error for CannotMint {}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

#[derive(Serialize)]
struct Payload<'a> {
    sub: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    parkway: &'a Grant,
}

/// Makes a JWT that [`verify`](super::verify) accepts, in time, with the key's other half.
pub fn mint(key: &SigningKey, order: &Order<'_>) -> Result<String, CannotMint> {
    if !is_subject(order.subject) {
        return Err(CannotMint::Subject);
    }
    if order.expires.seconds() <= order.issued.seconds() {
        return Err(CannotMint::Expiry);
    }
    let header = Header { alg: key.algorithm.as_str(), typ: "JWT", kid: key.kid.as_deref() };
    let payload = Payload {
        sub: order.subject,
        aud: order.audience,
        iat: order.issued.seconds(),
        exp: order.expires.seconds(),
        nbf: order.not_before.map(Wall::seconds),
        parkway: &order.grant,
    };
    let signing_input = format!("{}.{}", encode(&header), encode(&payload));
    let token = format!("{signing_input}.{}", key.sign(signing_input.as_bytes()));
    if token.len() > limits::JWT_BYTES_MAX { Err(CannotMint::TooLong) } else { Ok(token) }
}

fn encode(part: &impl Serialize) -> String {
    let json = serde_json::to_vec(part).expect("strings, numbers and lists are always JSON");
    BASE64_URL_SAFE_NO_PAD.encode(json)
}

#[cfg(test)]
mod tests {
    use super::super::{Addressee, Keyring, MediaKinds, RecordRule, Restrictions, VerifyingKey, verify};
    use super::*;
    use crate::name::Name;
    use crate::time::Duration;

    const NOW: Wall = Wall(1_795_000_000_500);
    /// RFC 8037 A.1 and A.2.
    const PRIVATE: &str = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
    const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn order() -> Order<'static> {
        let names = |texts: &[&str]| texts.iter().map(|text| Name::parse(text).unwrap()).collect();
        let media = MediaKinds::AUDIO | MediaKinds::MESSAGE;
        let grant = Grant {
            receive: names(&["foo", "bar/web"]),
            bridge: names(&["foo"]),
            transfer: names(&["bar"]),
            message: ["bar", "+49*"].map(|text| Addressee::parse(text).unwrap()).to_vec(),
            presence: names(&["bar"]),
            dial: true,
            media,
            concurrent: 3,
            record: Some(RecordRule::Forbid),
            ring: true,
            only: Some(Box::new(Restrictions { call_seconds_max: Some(60), ..Restrictions::default() })),
            parameters: None,
        };
        let expires = NOW + Duration::from_secs(60);
        Order { subject: "alice-web", audience: "parkway", issued: NOW, expires, not_before: Some(NOW), grant }
    }

    fn pem() -> String {
        ["-----BEGIN PRIVATE KEY-----", PRIVATE, "-----END PRIVATE KEY-----", ""].join("\n")
    }

    fn hmac(algorithm: Algorithm) -> SigningKey {
        SigningKey::new(algorithm, &[9; 64], Some("k")).unwrap()
    }

    #[test]
    fn what_is_minted_verifies_with_the_other_half_of_the_key() {
        let public = BASE64_URL_SAFE_NO_PAD.decode(PUBLIC).unwrap();
        let eddsa = SigningKey::new(Algorithm::EdDsa, pem().as_bytes(), Some("k")).unwrap();
        for (signing, verifying) in [
            (hmac(Algorithm::Hs256), &[9; 64][..]),
            (hmac(Algorithm::Hs384), &[9; 64]),
            (hmac(Algorithm::Hs512), &[9; 64]),
            (eddsa, &public),
        ] {
            let mut keyring = Keyring::new("parkway");
            keyring.add("k", VerifyingKey::new(signing.algorithm, verifying).unwrap()).unwrap();
            let token = mint(&signing, &order()).unwrap();
            let claims = verify(&keyring, NOW, token.as_bytes()).unwrap();
            assert_eq!((claims.subject(), claims.grant()), ("alice-web", &order().grant), "{signing:?}");
            assert_eq!(claims.expires(), Wall(1_795_000_090_000), "in whole seconds, and the skew");
        }
    }

    #[test]
    fn ed25519_signs_the_example_of_rfc_8037_a_4() {
        let key = SigningKey::new(Algorithm::EdDsa, pem().as_bytes(), None).unwrap();
        let signed = key.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc");
        assert_eq!(signed, "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
    }

    #[test]
    fn what_would_not_verify_is_not_minted() {
        let many = vec![Name::parse(&"a".repeat(200)).unwrap(); 20];
        let long = Grant { receive: many, ..Grant::default() };
        for (order, expected) in [
            (order(), None),
            (Order { subject: "", ..order() }, Some(CannotMint::Subject)),
            (Order { subject: "a\nb", ..order() }, Some(CannotMint::Subject)),
            (Order { expires: NOW, ..order() }, Some(CannotMint::Expiry)),
            (Order { grant: long, ..order() }, Some(CannotMint::TooLong)),
        ] {
            assert_eq!(mint(&hmac(Algorithm::Hs256), &order).err(), expected);
        }
    }

    #[test]
    fn what_cannot_sign_is_refused() {
        for (algorithm, material, expected) in [
            (Algorithm::Hs256, &[9; 31][..], BadKey::TooShort),
            (Algorithm::Hs256, pem().as_bytes(), BadKey::NotSecret),
            (Algorithm::EdDsa, &[9; 32], BadKey::Form),
            (Algorithm::Es256, pem().as_bytes(), BadKey::Form),
        ] {
            assert_eq!(SigningKey::new(algorithm, material, None).err(), Some(expected));
        }
    }
}
