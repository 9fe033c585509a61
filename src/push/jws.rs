//! Compact signatures over JSON (RFC 7515): with them we prove to push services who we are.
//! Not here: what is claimed (`web_push`, `apns`, `fcm`), and clients' own JWTs (`policy`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::Value;

/// Who signs.
pub(super) enum Signer {
    /// `ES256`
    P256(EcdsaKeyPair),
    /// `RS256`
    Rsa(RsaKeyPair),
}

impl Signer {
    /// With a key of P-256 in PKCS #8, which the configuration has tried.
    pub(super) fn p256(pkcs8: &[u8]) -> Result<Signer, String> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new())
            .map(Signer::P256)
            .map_err(|error| error.to_string())
    }

    /// With an RSA key in PKCS #8, which the configuration has tried.
    pub(super) fn rsa(pkcs8: &[u8]) -> Result<Signer, String> {
        RsaKeyPair::from_pkcs8(pkcs8).map(Signer::Rsa).map_err(|error| error.to_string())
    }

    /// The claims with a signature; `key_id` is the header's `kid`. An error is the kernel's want of chance.
    pub(super) fn sign(&self, key_id: Option<&str>, claims: &Value) -> Result<String, String> {
        let algorithm = match self {
            Signer::P256(_) => "ES256",
            Signer::Rsa(_) => "RS256",
        };
        let mut header = serde_json::json!({ "alg": algorithm, "typ": "JWT" });
        if let (Some(key_id), Some(header)) = (key_id, header.as_object_mut()) {
            header.insert("kid".into(), key_id.into());
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(claims));
        let (bytes, random) = (signed.as_bytes(), SystemRandom::new());
        let failed = |error: ring::error::Unspecified| error.to_string();
        let signature = match self {
            Signer::P256(key) => key.sign(&random, bytes).map_err(failed)?.as_ref().to_vec(),
            Signer::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut signature).map_err(failed)?;
                signature
            }
        };
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, KeyPair as _, UnparsedPublicKey};

    #[test]
    fn a_signature_is_over_header_and_claims_and_the_service_can_verify_it() {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let signer = Signer::p256(pkcs8.as_ref()).unwrap();
        let jwt = signer.sign(Some("K1"), &serde_json::json!({ "iss": "TEAM" })).unwrap();
        let (signed, signature) = jwt.rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let json = |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
        assert_eq!(json(header), serde_json::json!({ "alg": "ES256", "kid": "K1", "typ": "JWT" }));
        assert_eq!(json(claims), serde_json::json!({ "iss": "TEAM" }));
        let Signer::P256(key) = &signer else { panic!("P-256") };
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key().as_ref());
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert_eq!(signature.len(), 64, "RFC 7518 §3.4");
        assert!(public.verify(signed.as_bytes(), &signature).is_ok());
        assert!(public.verify(header.as_bytes(), &signature).is_err());
    }
}
