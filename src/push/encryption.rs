//! What a browser is sent, readable by it alone (RFC 8291, with the content coding aes128gcm of RFC 8188): one record, for a key that the browser made,
//! with a key of ours that is used once.
//! Not here: sending it (`web_push`).
//!
//! ```text
//!  salt (16) │ record size (4) │ 65 │ our public key (65) │ ciphertext of: text, 0x02 │ tag (16)
//! ```

use super::device::BrowserKeys;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::error::Unspecified;
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ring::rand::{SecureRandom, SystemRandom};

/// The record size that we say: what a push service carries at least (RFC 8030 §7.2). There is one record, so it is only a bound.
const RECORD_BYTES: u32 = 4096;
/// Before the ciphertext, after it, and the delimiter of the last record (RFC 8188 §2).
const AROUND: usize = 16 + 4 + 1 + 65 + 1 + 16;
/// Longest text.
pub(super) const TEXT_BYTES_MAX: usize = RECORD_BYTES as usize - AROUND;

/// A length for HKDF.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// The body for a browser. An error is a public key that is no point of the curve, or a text that is too long.
pub(super) fn encrypt(keys: &BrowserKeys, text: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let random = SystemRandom::new();
    let ours = EphemeralPrivateKey::generate(&ECDH_P256, &random)?;
    let public: [u8; 65] = ours.compute_public_key()?.as_ref().try_into().map_err(|_| Unspecified)?;
    let mut salt = [0; 16];
    random.fill(&mut salt)?;
    let theirs = UnparsedPublicKey::new(&ECDH_P256, &keys.public);
    agree_ephemeral(ours, &theirs, |secret| seal(keys, &public, &salt, secret, text))?
}

/// RFC 8291 §3.4, and the record of RFC 8188 §2.
fn seal(
    keys: &BrowserKeys,
    public: &[u8; 65],
    salt: &[u8; 16],
    shared: &[u8],
    text: &[u8],
) -> Result<Vec<u8>, Unspecified> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Unspecified);
    }
    let input: [u8; 32] = expand(
        &Salt::new(HKDF_SHA256, &keys.auth).extract(shared),
        &[b"WebPush: info\0", &keys.public[..], &public[..]],
    )?;
    let pseudo_random = Salt::new(HKDF_SHA256, salt).extract(&input);
    let key: [u8; 16] = expand(&pseudo_random, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce: [u8; NONCE_LEN] = expand(&pseudo_random, &[b"Content-Encoding: nonce\0"])?;
    let mut record = [text, &[2]].concat();
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut record)?;
    Ok([&salt[..], &RECORD_BYTES.to_be_bytes(), &[65], &public[..], &record].concat())
}

fn expand<const N: usize>(key: &Prk, info: &[&[u8]]) -> Result<[u8; N], Unspecified> {
    let mut out = [0; N];
    key.expand(info, Bytes(N))?.fill(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        URL_SAFE_NO_PAD.decode(text).unwrap().try_into().unwrap()
    }

    /// The browser of RFC 8291 appendix A.
    fn browser() -> BrowserKeys {
        let public = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
        BrowserKeys { public: bytes(public), auth: bytes("BTBZMqHH6r4Tts7J_aSIgg") }
    }

    #[test]
    fn the_example_of_rfc_8291_comes_out_to_the_byte() {
        let public = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8";
        let shared: [u8; 32] = bytes("kyrL1jIIOHEzg3sM2ZWRHDRB62YACZhhSlknJ672kSs");
        let salt = bytes("DGv6ra1nlYgDCS1FRnbzlw");
        let text = b"When I grow up, I want to be a watermelon";
        let sealed = seal(&browser(), &bytes(public), &salt, &shared, text).unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(sealed),
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_\
             yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        );
    }

    #[test]
    fn no_two_bodies_are_the_same_and_none_is_longer_than_services_carry() {
        let longest = [b'x'; TEXT_BYTES_MAX];
        let (one, other) = (encrypt(&browser(), &longest).unwrap(), encrypt(&browser(), &longest).unwrap());
        assert_eq!(one.len(), 4096);
        assert!(one[..16] != other[..16] && one[21..86] != other[21..86]);
        assert!(encrypt(&browser(), &[b'x'; TEXT_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn a_public_key_off_the_curve_is_refused() {
        let mut keys = browser();
        keys.public[64] ^= 1;
        assert!(encrypt(&keys, b"text").is_err());
    }
}
