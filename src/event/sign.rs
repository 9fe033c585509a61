//! The signature under an event: an app that got the event through a push relay can tell that the ring is genuine.
//! Ed25519 (RFC 8032); the public key is published as a JWK (RFC 8037).
//! Not here: which bytes are signed (`document`), and the bridge token, whose keys are secret on both sides (`token`).

use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::json;

/// Characters of a key's thumbprint that its id keeps: 96 bits, enough to tell keys apart.
const KID_CHARS: usize = 16;

/// The key that signs events, with what is published of it.
pub struct Signer {
    key: Ed25519KeyPair,
    kid: String,
    jwks: String,
}

impl Signer {
    /// The key that the seed stands for: the same seed gives the same key and the same key id.
    pub fn from_seed(seed: &Secret<[u8; 32]>) -> Signer {
        let key = Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("any 32 bytes are an Ed25519 seed");
        let x = URL_SAFE_NO_PAD.encode(key.public_key());
        // RFC 7638 §3: the thumbprint is the hash of the required members, in lexicographic order, without white space.
        let thumbprint =
            digest::digest(&digest::SHA256, format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#).as_bytes());
        let mut kid = URL_SAFE_NO_PAD.encode(thumbprint);
        kid.truncate(KID_CHARS);
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x});
        let jwks = json!({ "keys": [jwk] }).to_string();
        Signer { key, kid, jwks }
    }

    /// The signature over `text`, as base64url without padding.
    pub fn sign(&self, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.key.sign(text.as_bytes()))
    }

    /// Names the key among those that are published.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The published keys, a JWK Set (RFC 7517 §5).
    pub fn jwks(&self) -> &str {
        &self.jwks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ED25519, UnparsedPublicKey};

    #[test]
    fn the_published_key_verifies_what_the_signer_signed_and_nothing_else() {
        let signer = Signer::from_seed(&Secret::new([3; 32]));
        let jwks: serde_json::Value = serde_json::from_str(signer.jwks()).unwrap();
        let published = &jwks["keys"][0];
        assert_eq!(published["kid"], signer.kid());
        let public = URL_SAFE_NO_PAD.decode(published["x"].as_str().unwrap()).unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signer.sign("ring")).unwrap();
        let key = UnparsedPublicKey::new(&ED25519, public);
        assert!(key.verify(b"ring", &signature).is_ok());
        assert!(key.verify(b"rinq", &signature).is_err());
    }

    #[test]
    fn the_key_id_follows_the_seed() {
        let kid = |seed| Signer::from_seed(&Secret::new([seed; 32])).kid().to_owned();
        assert_eq!(kid(1), kid(1));
        assert_ne!(kid(1), kid(2));
    }

    #[test]
    fn the_key_id_is_the_rfc_7638_thumbprint() {
        // RFC 8037 §A.3 gives the thumbprint of the key whose seed is in §A.1.
        let seed = URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let signer = Signer::from_seed(&Secret::new(seed.try_into().unwrap()));
        assert_eq!(signer.kid(), &"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"[..KID_CHARS]);
    }
}
