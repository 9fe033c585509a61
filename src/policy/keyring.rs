//! The keys that may sign JWTs, and the checking of a signature. The algorithm is the key's, never the token's own word
//! (RFC 8725 §3.1). JWS algorithms of RFC 7518 §3.1 and RFC 8037 §3.1.
//! Not here: fetching keys, or taking one from a token (`jku`, `jwk`, `x5u`): a key is configured or it is none.

use super::Users;
use super::access::Form;
use crate::limits;
use crate::time::Duration;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::{hmac, signature};
use std::collections::BTreeMap;
use std::fmt;

/// How a key signs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519 (`EdDSA`, RFC 8037).
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 5] =
        [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512, Algorithm::Es256, Algorithm::EdDsa];

    /// The `alg` of RFC 7518 §3.1: `HS256`.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Hs256 => "HS256",
            Algorithm::Hs384 => "HS384",
            Algorithm::Hs512 => "HS512",
            Algorithm::Es256 => "ES256",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of an `alg`, case included.
    pub fn from_word(word: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == word)
    }
}

/// Why something is no key, or cannot join a keyring. It never repeats the material.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadKey {
    /// An HMAC secret shorter than [`limits::HMAC_SECRET_BYTES_MIN`] or than its hash (RFC 7518 §3.2).
    TooShort,
    /// A PEM document where an HMAC secret should be: a public key is no secret.
    NotSecret,
    /// No key of this algorithm: wrong length, wrong curve, or a PEM document that is not what it should be.
    Form,
    /// The key id is empty or already taken.
    Id,
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadKey::TooShort => "an HMAC secret has at least as many bytes as its hash: 32, 48 or 64",
            BadKey::NotSecret => "this is a PEM document; an HMAC key is a secret, not a public or private key",
            BadKey::Form => "this is no key of that algorithm",
            BadKey::Id => "a key id is not empty and not used twice",
        })
    }
}

impl std::error::Error for BadKey {}

/// A key that checks signatures of one algorithm. Debug prints the algorithm alone.
#[derive(Clone)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    material: Material,
    form: Form,
}

#[derive(Clone)]
enum Material {
    Hmac(hmac::Key),
    Public(signature::UnparsedPublicKey<Vec<u8>>),
}

impl VerifyingKey {
    /// From key material: for HS* the secret's bytes; for ES256 a PEM `PUBLIC KEY` (RFC 7468 §13) or the 65 bytes of an
    /// uncompressed point; for EdDSA such a PEM or the 32 bytes of RFC 8032 §5.1.5.
    pub fn new(algorithm: Algorithm, material: &[u8]) -> Result<VerifyingKey, BadKey> {
        let material = match algorithm {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => Material::Hmac(hmac_key(algorithm, material)?),
            Algorithm::Es256 => {
                let point = public_key(material, &P256_PREFIX, 65).filter(|point| point.first() == Some(&4));
                Material::Public(unparsed(&signature::ECDSA_P256_SHA256_FIXED, point)?)
            }
            Algorithm::EdDsa => {
                Material::Public(unparsed(&signature::ED25519, public_key(material, &ED25519_PREFIX, 32))?)
            }
        };
        Ok(VerifyingKey { algorithm, material, form: Form::Own })
    }

    /// The same, for tokens of another form; [`Form::Own`] unless said.
    pub fn with_form(self, form: Form) -> VerifyingKey {
        VerifyingKey { form, ..self }
    }

    /// The form of the tokens that it signs.
    pub(super) fn form(&self) -> &Form {
        &self.form
    }

    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `signed` is its signature under `message`; an HMAC is compared in constant time.
    pub(super) fn signed(&self, message: &[u8], signed: &[u8]) -> bool {
        match &self.material {
            Material::Hmac(key) => hmac::verify(key, message, signed).is_ok(),
            Material::Public(key) => key.verify(message, signed).is_ok(),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.algorithm.as_str())
    }
}

/// The key of an HS* algorithm, if the secret is one.
pub(super) fn hmac_key(algorithm: Algorithm, secret: &[u8]) -> Result<hmac::Key, BadKey> {
    let (hash, bytes_min) = match algorithm {
        Algorithm::Hs256 => (hmac::HMAC_SHA256, limits::HMAC_SECRET_BYTES_MIN),
        Algorithm::Hs384 => (hmac::HMAC_SHA384, 48),
        Algorithm::Hs512 => (hmac::HMAC_SHA512, 64),
        Algorithm::Es256 | Algorithm::EdDsa => return Err(BadKey::Form),
    };
    // Who configures a public key as a secret has published the secret: the classical confusion (RFC 8725 §2.1).
    if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
        return Err(BadKey::NotSecret);
    }
    // RFC 7518 §3.2: "A key of the same size as the hash output […] or larger MUST be used".
    if secret.len() < bytes_min { Err(BadKey::TooShort) } else { Ok(hmac::Key::new(hash, secret)) }
}

fn unparsed(
    how: &'static dyn signature::VerificationAlgorithm,
    key: Option<Vec<u8>>,
) -> Result<signature::UnparsedPublicKey<Vec<u8>>, BadKey> {
    Ok(signature::UnparsedPublicKey::new(how, key.ok_or(BadKey::Form)?))
}

/// What stands before the point in a SubjectPublicKeyInfo of a P-256 key (RFC 5480 §2): all lengths in it are fixed.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The same for an Ed25519 key (RFC 8410 §4).
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The key itself, out of a PEM document or as it is.
fn public_key(material: &[u8], prefix: &[u8], key_bytes: usize) -> Option<Vec<u8>> {
    let key = match pem(material, "PUBLIC KEY") {
        Some(der) => der.strip_prefix(prefix)?.to_vec(),
        None => material.to_vec(),
    };
    (key.len() == key_bytes).then_some(key)
}

/// The contents of a PEM document with one block of this label (RFC 7468 §3).
pub(super) fn pem(material: &[u8], label: &str) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(material).ok()?.trim();
    let body = text.strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let body = body.strip_suffix(&format!("-----END {label}-----"))?;
    let body: String = body.split_ascii_whitespace().collect();
    BASE64_STANDARD.decode(body).ok()
}

/// All that a client can prove itself with: the keys that may sign, by key id, and for whom a token must be; users with passwords.
/// Replaced whole on reload.
#[derive(Clone, Debug)]
pub struct Keyring {
    audience: String,
    skew: Duration,
    keys: BTreeMap<String, VerifyingKey>,
    users: Users,
}

impl Keyring {
    /// No keys yet: refuses everything. `audience` is what a token's `aud` must contain.
    pub fn new(audience: &str) -> Keyring {
        Keyring { audience: audience.into(), skew: limits::JWT_SKEW, keys: BTreeMap::new(), users: Users::default() }
    }

    /// Another tolerance for clocks that differ; [`limits::JWT_SKEW`] unless set.
    pub fn with_skew(self, skew: Duration) -> Keyring {
        Keyring { skew, ..self }
    }

    /// With users who prove a password instead.
    pub fn with_users(self, users: Users) -> Keyring {
        Keyring { users, ..self }
    }

    /// Users who prove a password; none unless set.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// Adds a key under the `kid` by which tokens name it.
    pub fn add(&mut self, kid: &str, key: VerifyingKey) -> Result<(), BadKey> {
        if kid.is_empty() || self.keys.contains_key(kid) {
            return Err(BadKey::Id);
        }
        self.keys.insert(kid.into(), key);
        Ok(())
    }

    /// What a token's `aud` must contain.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// How far a token's times may be off.
    pub fn skew(&self) -> Duration {
        self.skew
    }

    /// The key that a token names, with its id. A token that names none means the only key of its form; where there are several, nobody guesses.
    pub(super) fn find(&self, kid: Option<&str>) -> Option<(&str, &VerifyingKey)> {
        match kid {
            Some(kid) => self.keys.get_key_value(kid),
            None => {
                let mut own = self.keys.iter().filter(|(_, key)| key.form == Form::Own);
                own.next().filter(|_| own.next().is_none())
            }
        }
        .map(|(kid, key)| (kid.as_str(), key))
    }

    /// Whether there are keys that tokens name as their issuer.
    pub(super) fn has_issuers(&self) -> bool {
        self.keys.values().any(|key| key.form != Form::Own)
    }

    /// The key of that id, if tokens name it as their issuer.
    pub(super) fn find_issuer(&self, issuer: &str) -> Option<(&str, &VerifyingKey)> {
        self.find(Some(issuer)).filter(|(_, key)| key.form != Form::Own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    const HMAC_KEY: &str = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    const P256_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const P256_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
    const P256_PEM: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7
6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==
-----END PUBLIC KEY-----
";
    const ED25519: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const ED25519_PEM: &str = "-----BEGIN PUBLIC KEY-----\r
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\r
-----END PUBLIC KEY-----\r
";
    const P384_PEM: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEEd4kosJRx3dXPKxeoCXkZ/II5R2/+Y/F
T2Zhy+Vlg7A3iC9KHKKX5gq828ODbYS8j6aWx3RA+S0PWDfpCgDnxShLRHdU1d7o
jJhlM7aQGusxd2htCuj7MxhEFKvmwXE6
-----END PUBLIC KEY-----
";

    fn decode(text: &str) -> Vec<u8> {
        BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    fn point() -> Vec<u8> {
        [vec![4], decode(P256_X), decode(P256_Y)].concat()
    }

    /// A JWS in compact form is its signing input, a dot and the signature.
    fn check(algorithm: Algorithm, material: &[u8], jws: &str) {
        let key = VerifyingKey::new(algorithm, material).unwrap();
        let (message, signed) = jws.rsplit_once('.').unwrap();
        let signed = decode(signed);
        assert!(key.signed(message.as_bytes(), &signed), "{key:?} takes the example");
        assert!(!key.signed(&message.as_bytes()[1..], &signed), "and not of another message");
        assert!(!key.signed(message.as_bytes(), &[]) && !key.signed(message.as_bytes(), &vec![0; signed.len()]));
        for bit in 0..signed.len() * 8 {
            let mut flipped = signed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.signed(message.as_bytes(), &flipped), "bit {bit}");
        }
    }

    #[test]
    fn the_hs256_example_of_rfc_7515_a_1_is_good_and_one_bit_off_is_not() {
        let jws = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtc\
                   GxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        check(Algorithm::Hs256, &decode(HMAC_KEY), jws);
    }

    #[test]
    fn the_es256_example_of_rfc_7515_a_3_is_good_and_one_bit_off_is_not() {
        let jws = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290I\
                   jp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        check(Algorithm::Es256, &point(), jws);
        check(Algorithm::Es256, P256_PEM.as_bytes(), jws);
    }

    #[test]
    fn the_ed25519_example_of_rfc_8037_a_4_is_good_and_one_bit_off_is_not() {
        let jws = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhi\
                   jcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        check(Algorithm::EdDsa, &decode(ED25519), jws);
        check(Algorithm::EdDsa, ED25519_PEM.as_bytes(), jws);
    }

    #[test]
    fn what_is_no_key_of_its_algorithm_is_refused() {
        let (with_private, other_label) = (format!("{P256_PEM}{P256_PEM}"), P256_PEM.replace("PUBLIC", "PRIVATE"));
        let compressed = [vec![2], decode(P256_X), decode(P256_Y)].concat();
        for (algorithm, material, expected) in [
            (Algorithm::Hs256, &[7; 32][..], None),
            (Algorithm::Hs256, &[7; 31], Some(BadKey::TooShort)),
            (Algorithm::Hs256, &[], Some(BadKey::TooShort)),
            (Algorithm::Hs384, &[7; 48], None),
            (Algorithm::Hs384, &[7; 47], Some(BadKey::TooShort)),
            (Algorithm::Hs512, &[7; 64], None),
            (Algorithm::Hs512, &[7; 63], Some(BadKey::TooShort)),
            (Algorithm::Hs256, P256_PEM.as_bytes(), Some(BadKey::NotSecret)),
            (Algorithm::Es256, P256_PEM.as_bytes(), None),
            (Algorithm::Es256, P384_PEM.as_bytes(), Some(BadKey::Form)),
            (Algorithm::Es256, ED25519_PEM.as_bytes(), Some(BadKey::Form)),
            (Algorithm::Es256, with_private.as_bytes(), Some(BadKey::Form)),
            (Algorithm::Es256, other_label.as_bytes(), Some(BadKey::Form)),
            (Algorithm::Es256, &point(), None),
            (Algorithm::Es256, &point()[1..], Some(BadKey::Form)),
            (Algorithm::Es256, &compressed, Some(BadKey::Form)),
            (Algorithm::EdDsa, ED25519_PEM.as_bytes(), None),
            (Algorithm::EdDsa, P256_PEM.as_bytes(), Some(BadKey::Form)),
            (Algorithm::EdDsa, &[7; 33], Some(BadKey::Form)),
        ] {
            assert_eq!(VerifyingKey::new(algorithm, material).err(), expected, "{algorithm:?} of {material:?}");
        }
    }

    #[test]
    fn a_key_id_is_not_empty_and_not_used_twice() {
        let key = VerifyingKey::new(Algorithm::Hs256, &[7; 32]).unwrap();
        let mut keyring = Keyring::new("parkway");
        for (kid, expected) in [("", Err(BadKey::Id)), ("a", Ok(())), ("a", Err(BadKey::Id)), ("b", Ok(()))] {
            assert_eq!(keyring.add(kid, key.clone()), expected, "{kid:?}");
        }
    }

    #[test]
    fn a_keyring_shows_no_key() {
        let mut keyring = Keyring::new("parkway");
        keyring.add("a", VerifyingKey::new(Algorithm::Hs256, &[0xab; 32]).unwrap()).unwrap();
        let shown = format!("{keyring:?}");
        assert!(shown.contains("VerifyingKey(HS256)") && !shown.contains("171") && !shown.contains("ab, "), "{shown}");
    }
}
