//! JSON web tokens (RFC 7519) in the compact form of JWS (RFC 7515 §3.1), verified with care (RFC 8725): bytes go in,
//! [`Claims`] come out or the [`Reason`] why not.
//! Not here: where a token comes from (`sip`, `http`), what it allows (`grants`). Nothing of the payload is believed before its
//! signature is good, and nothing a token says chooses how it is checked: its key does, and the form of the payload with it (`access`).

use super::access::{self, Form};
use super::{Algorithm, Claims, Grant, Keyring, Reason, VerifyingKey};
use crate::limits;
use crate::time::{Duration, Wall};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// Verifies a JWT: the part after `Bearer ` (RFC 6750 §2.1, RFC 8898 §2).
pub fn verify(keyring: &Keyring, now: Wall, text: &[u8]) -> Result<Claims, Reason> {
    let jws = Compact::split(text).ok_or(Reason::TokenMalformed)?;
    let header = decode(jws.header).ok_or(Reason::TokenMalformed)?;
    let header: Header<'_> = parse_object(&header).ok_or(Reason::TokenMalformed)?;
    let (kid, key) = check_signature(keyring, &jws, &header)?;
    let payload = decode(jws.payload).ok_or(Reason::TokenMalformed)?;
    match key.form() {
        Form::Own => {
            let payload: Payload<'_> = parse_object(&payload).ok_or(Reason::TokenMalformed)?;
            payload.judge(keyring, now)
        }
        Form::Access { account } if header.cty.as_deref() == Some(access::CONTENT_TYPE) => {
            access::read(&payload, kid, account)?.judge(keyring, now)
        }
        Form::Access { .. } => Err(Reason::TokenMalformed),
        Form::Capability => access::read_capability(&payload, kid)?.judge(keyring, now),
    }
}

/// The key that signed it, with its id.
fn check_signature<'k>(
    keyring: &'k Keyring,
    jws: &Compact<'_>,
    header: &Header<'_>,
) -> Result<(&'k str, &'k VerifyingKey), Reason> {
    let algorithm = Algorithm::from_word(&header.alg).ok_or(Reason::TokenAlgorithm)?;
    if header.demands_or_brings_a_key() {
        return Err(Reason::TokenAlgorithm);
    }
    let (kid, key) = jws.find_key(keyring, header).ok_or(Reason::TokenUnknownKey)?;
    // RFC 8725 §3.1: the key says how it is used; the token's word can only agree.
    if key.algorithm() != algorithm {
        return Err(Reason::TokenAlgorithm);
    }
    let signature = decode(jws.signature).ok_or(Reason::TokenMalformed)?;
    if key.signed(jws.signing_input, &signature) { Ok((kid, key)) } else { Err(Reason::TokenBadSignature) }
}

/// RFC 7515 §7.1: `BASE64URL(header) . BASE64URL(payload) . BASE64URL(signature)`.
struct Compact<'a> {
    header: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8],
    /// What is signed: the first two parts with the dot between them (RFC 7515 §5.1).
    signing_input: &'a [u8],
}

impl<'a> Compact<'a> {
    fn split(text: &'a [u8]) -> Option<Compact<'a>> {
        if text.len() > limits::JWT_BYTES_MAX {
            return None;
        }
        let mut parts = text.split(|byte| *byte == b'.');
        let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let signing_input = text.get(..header.len() + 1 + payload.len())?;
        parts.next().is_none().then_some(Compact { header, payload, signature, signing_input })
    }

    /// The key that the header names. A token of a helper library's names its own as the issuer alone: that is looked at where there are
    /// such keys, to know which signature to check.
    fn find_key<'k>(&self, keyring: &'k Keyring, header: &Header<'_>) -> Option<(&'k str, &'k VerifyingKey)> {
        let by_issuer = || {
            let payload = decode(self.payload)?;
            let issued: Issued<'_> = parse_object(&payload)?;
            keyring.find_issuer(&issued.iss)
        };
        match header.kid.as_deref() {
            None if keyring.has_issuers() => by_issuer().or_else(|| keyring.find(None)),
            kid => keyring.find(kid),
        }
    }
}

/// RFC 7519 §4.1.1.
#[derive(Deserialize)]
struct Issued<'a> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
}

/// Strict: no padding, no other alphabet, no stray bits (RFC 7515 §2).
fn decode(part: &[u8]) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(part).ok()
}

pub(super) fn parse_object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    let text = std::str::from_utf8(bytes).ok()?;
    serde_json::from_str::<Object<T>>(text).ok().map(|object| object.0)
}

/// RFC 7515 §4. Members not named here are ignored, as §4.2 wants; one named here that comes twice is refused (§4).
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "some")]
    kid: Option<Cow<'a, str>>,
    /// RFC 7519 §5.2. Only where the key is for tokens that have one: any other value is as good as none.
    #[serde(borrow, default)]
    cty: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "some")]
    crit: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "some")]
    jku: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "some")]
    jwk: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "some")]
    x5u: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "some")]
    x5c: Option<IgnoredAny>,
}

impl Header<'_> {
    /// `crit` demands extensions, of which we have none (RFC 7515 §4.1.11); the others bring a key, or say where to get one,
    /// and a key that comes with the token proves nothing.
    fn demands_or_brings_a_key(&self) -> bool {
        [&self.crit, &self.jku, &self.jwk, &self.x5u, &self.x5c].into_iter().any(Option::is_some)
    }
}

/// RFC 7519 §4.1, and our own member.
#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    sub: Cow<'a, str>,
    exp: NumericDate,
    #[serde(default, deserialize_with = "some")]
    nbf: Option<NumericDate>,
    #[serde(default, deserialize_with = "some")]
    iat: Option<NumericDate>,
    #[serde(borrow, default)]
    aud: Audiences<'a>,
    #[serde(default, deserialize_with = "some")]
    parkway: Option<Object<Grant>>,
}

impl Payload<'_> {
    fn judge(self, keyring: &Keyring, now: Wall) -> Result<Claims, Reason> {
        if !is_subject(&self.sub) {
            return Err(Reason::TokenMalformed);
        }
        // RFC 7519 §4.1.3. One without `aud` was not made for us, and may have been made for anybody.
        if !self.aud.0.iter().any(|audience| audience == keyring.audience()) {
            return Err(Reason::TokenWrongAudience);
        }
        let times = Times { expires: self.exp, not_before: self.nbf, issued: self.iat };
        let expires = times.judge(keyring, now)?;
        let grant = self.parkway.map(|object| object.0).unwrap_or_default();
        let not_before = self.nbf.map(|date| date.0);
        Ok(Claims { subject: self.sub.into_owned(), expires, not_before, grant, application: None })
    }
}

/// The dates of a token.
pub(super) struct Times {
    pub(super) expires: NumericDate,
    pub(super) not_before: Option<NumericDate>,
    pub(super) issued: Option<NumericDate>,
}

impl Times {
    /// Until when it is good, if it is now.
    pub(super) fn judge(&self, keyring: &Keyring, now: Wall) -> Result<Wall, Reason> {
        // RFC 7519 §4.1.4: "on or after which the JWT MUST NOT be accepted", with a leeway for skew.
        let expires = self.expires.0 + keyring.skew();
        if now >= expires {
            return Err(Reason::TokenExpired);
        }
        // §4.1.5. A signer whose clock is ahead by more than the skew (`iat`) is refused as well: its `exp` is no better.
        let starts = self.not_before.iter().chain(&self.issued).map(|date| date.0).max();
        if starts.is_some_and(|starts| now + keyring.skew() < starts) {
            return Err(Reason::TokenNotYetValid);
        }
        Ok(expires)
    }
}

/// What may be a `sub`: something, not long, and nothing that could forge a line of a log or a header.
pub(super) fn is_subject(text: &str) -> bool {
    (1..=limits::SUBJECT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// A member that may be missing but not `null`: serde by itself takes `null` for missing.
pub(super) fn some<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A JSON object: serde by itself also takes an array for a struct, member by member.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Object<T>, D::Error> {
        struct OfMap<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OfMap<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        from.deserialize_map(OfMap(PhantomData))
    }
}

/// Seconds since 1970, possibly with a fraction (RFC 7519 §2); never negative here.
#[derive(Clone, Copy)]
pub(super) struct NumericDate(pub(super) Wall);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<NumericDate, D::Error> {
        struct OfNumber;
        impl Visitor<'_> for OfNumber {
            type Value = NumericDate;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds since 1970")
            }
            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<NumericDate, E> {
                let millis = seconds.checked_mul(1000).ok_or_else(|| E::custom("too far in the future"))?;
                Ok(NumericDate(Wall(millis)))
            }
            fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<NumericDate, E> {
                let since = Duration::try_from_secs_f64(seconds).map_err(E::custom)?;
                Ok(NumericDate(Wall::default() + since))
            }
        }
        from.deserialize_any(OfNumber)
    }
}

/// `aud`: one string or a list of them (RFC 7519 §4.1.3).
#[derive(Default)]
struct Audiences<'a>(Vec<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Audiences<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Audiences<'a>, D::Error> {
        struct OfOneOrMore;
        impl<'de> Visitor<'de> for OfOneOrMore {
            type Value = Audiences<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }
            fn visit_borrowed_str<E>(self, one: &'de str) -> Result<Audiences<'de>, E> {
                Ok(Audiences(vec![Cow::Borrowed(one)]))
            }
            fn visit_str<E>(self, one: &str) -> Result<Audiences<'de>, E> {
                Ok(Audiences(vec![Cow::Owned(one.into())]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Audiences<'de>, A::Error> {
                let mut audiences = Vec::new();
                while let Some(one) = list.next_element::<String>()? {
                    audiences.push(Cow::Owned(one));
                }
                Ok(Audiences(audiences))
            }
        }
        from.deserialize_any(OfOneOrMore)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{encode, signed_with};
    use super::super::{Addressee, MediaKinds, VerifyingKey};
    use super::*;
    use crate::name::Name;
    use proptest::prelude::{any, prop_assert, proptest};

    const SECRET: [u8; 32] = [0x5a; 32];
    const NOW: Wall = Wall(1_795_000_000_000);
    const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
    const PAYLOAD: &str = r#"{"sub":"alice-web","aud":"parkway","exp":1795000060}"#;

    fn hs256() -> VerifyingKey {
        VerifyingKey::new(Algorithm::Hs256, &SECRET).unwrap()
    }

    fn keyring(keys: &[(&str, VerifyingKey)]) -> Keyring {
        let mut keyring = Keyring::new("parkway");
        keys.iter().for_each(|(kid, key)| keyring.add(kid, key.clone()).unwrap());
        keyring
    }

    fn verified(header: &str, payload: &str) -> Result<Claims, Reason> {
        verify(&keyring(&[("only", hs256())]), NOW, signed_with(&SECRET, header, payload).as_bytes())
    }

    fn check_header(rows: &[(&str, Option<Reason>, &str)]) {
        for (header, expected, rule) in rows {
            assert_eq!(verified(header, PAYLOAD).err(), *expected, "{rule}: {header}");
        }
    }

    fn check_payload(rows: &[(&str, Option<Reason>, &str)]) {
        for (payload, expected, rule) in rows {
            assert_eq!(verified(HEADER, payload).err(), *expected, "{rule}: {payload}");
        }
    }

    #[test]
    fn the_claims_are_what_was_signed() {
        let payload = r#"{"sub":"alice-web","aud":["x","parkway"],"exp":1795000060,"nbf":1794999999,"iat":1795000000,"more":[{}],
            "parkway":{"receive":["foo","foo/web"],"bridge":["foo"],"transfer":["bar"],"message":["bar","+49*"],"presence":["bar"],"dial":true,"media":["audio","video"],"concurrent":2}}"#;
        let claims = verified(HEADER, payload).unwrap();
        let name = |text| Name::parse(text).unwrap();
        assert_eq!(claims.subject(), "alice-web");
        assert_eq!(claims.expires(), Wall(1_795_000_090_000), "exp and the skew");
        assert_eq!(claims.not_before(), Some(Wall(1_794_999_999_000)));
        let expected = Grant {
            receive: vec![name("foo"), name("foo/web")],
            bridge: vec![name("foo")],
            transfer: vec![name("bar")],
            message: vec![Addressee::parse("bar").unwrap(), Addressee::parse("+49*").unwrap()],
            presence: vec![name("bar")],
            dial: true,
            media: MediaKinds::AUDIO | MediaKinds::VIDEO,
            concurrent: 2,
            ..Grant::default()
        };
        assert_eq!(claims.grant(), &expected);
    }

    #[test]
    fn what_is_not_said_is_not_granted() {
        let empty = r#"{"sub":"alice-web","aud":"parkway","exp":1795000060,"parkway":{}}"#;
        for payload in [PAYLOAD, empty] {
            assert_eq!(verified(HEADER, payload).unwrap().grant(), &Grant::default());
        }
        let grant = Grant::default();
        let Grant { receive, bridge, transfer, message, presence, dial, media, concurrent, ring, record, .. } = &grant;
        let (dial, ring, media, concurrent) = (*dial, *ring, *media, *concurrent);
        assert!(transfer.is_empty() && message.is_empty() && presence.is_empty());
        assert!(grant.only.is_none() && grant.parameters.is_none());
        assert!(
            !ring
                && record.is_none()
                && receive.is_empty()
                && bridge.is_empty()
                && !dial
                && media == MediaKinds::AUDIO
                && concurrent == 1
        );
    }

    #[test]
    fn the_algorithm_is_the_keys_and_extensions_and_keys_in_the_header_are_refused() {
        let (algorithm, malformed) = (Some(Reason::TokenAlgorithm), Some(Reason::TokenMalformed));
        check_header(&[
            (HEADER, None, "the key's own"),
            (r#"{"alg":"HS256","zzz":{"a":[1]},"cty":"x"}"#, None, "RFC 7515 §4.2: unknown members are ignored"),
            (r#"{"alg":"none"}"#, algorithm, "none"),
            (r#"{"alg":"None"}"#, algorithm, "none in other case"),
            (r#"{"alg":""}"#, algorithm, "nothing"),
            (r#"{"alg":"hs256"}"#, algorithm, "case counts"),
            (r#"{"alg":"HS512"}"#, algorithm, "another hash than the key's"),
            (r#"{"alg":"ES256"}"#, algorithm, "another kind than the key's"),
            (r#"{"alg":"RS256"}"#, algorithm, "one we do not do"),
            (r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, algorithm, "crit"),
            (r#"{"alg":"HS256","crit":[]}"#, algorithm, "crit with nothing in it"),
            (r#"{"alg":"HS256","crit":null}"#, algorithm, "crit is there even if null"),
            (r#"{"alg":"HS256","jku":"https://evil.example/"}"#, algorithm, "jku"),
            (r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}"#, algorithm, "jwk"),
            (r#"{"alg":"HS256","x5u":"https://evil.example/"}"#, algorithm, "x5u"),
            (r#"{"alg":"HS256","x5c":[]}"#, algorithm, "x5c"),
            (r#"{}"#, malformed, "no alg"),
            (r#"{"alg":null}"#, malformed, "alg is a string"),
            (r#"{"alg":["HS256"]}"#, malformed, "alg is one string"),
            (r#"{"alg":"none","alg":"HS256"}"#, malformed, "RFC 7515 §4: names are unique"),
            (r#"{"alg":"HS256","\u0061lg":"none"}"#, malformed, "also when escaped"),
            (r#"{"alg":"HS256","kid":null}"#, malformed, "kid is a string"),
            (r#"["HS256"]"#, malformed, "an array is no object"),
            (r#"{"alg":"HS256"} x"#, malformed, "something after it"),
            ("", malformed, "nothing at all"),
        ]);
    }

    #[test]
    fn only_the_key_that_is_named_verifies() {
        let other = VerifyingKey::new(Algorithm::Hs256, &[1; 32]).unwrap();
        let (one, two) = (keyring(&[("a", hs256())]), keyring(&[("a", hs256()), ("b", other)]));
        let none = keyring(&[]);
        let header = |kid: &str| format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#);
        let (unknown, wrong) = (Some(Reason::TokenUnknownKey), Some(Reason::TokenBadSignature));
        for (ring, header, expected, rule) in [
            (&one, header("a"), None, "the key it names"),
            (&one, HEADER.into(), None, "no kid means the only key"),
            (&one, header("b"), unknown, "a kid that is not ours, even if there is only one key"),
            (&one, header(""), unknown, "an empty kid is a kid"),
            (&one, header("../../dev/null"), unknown, "a kid is looked up and nothing else"),
            (&two, header("a"), None, "the one of two"),
            (&two, header("b"), wrong, "the other one did not sign it"),
            (&two, HEADER.into(), unknown, "no kid, two keys: nobody guesses"),
            (&none, HEADER.into(), unknown, "no keys, nothing is good"),
        ] {
            let result = verify(ring, NOW, signed_with(&SECRET, &header, PAYLOAD).as_bytes());
            assert_eq!(result.err(), expected, "{rule}");
        }
    }

    #[test]
    fn a_public_key_never_serves_as_an_hmac_secret() {
        let point: Vec<u8> = std::iter::once(4).chain([0x11; 64]).collect();
        let ring = keyring(&[("k", VerifyingKey::new(Algorithm::Es256, &point).unwrap())]);
        for (header, expected) in [(HEADER, Reason::TokenAlgorithm), (r#"{"alg":"ES256"}"#, Reason::TokenBadSignature)]
        {
            let forged = signed_with(&point, header, PAYLOAD);
            assert_eq!(verify(&ring, NOW, forged.as_bytes()).err(), Some(expected), "{header}");
        }
    }

    #[test]
    fn what_was_signed_by_another_or_changed_since_is_refused() {
        let ring = keyring(&[("only", hs256())]);
        let good = signed_with(&SECRET, HEADER, PAYLOAD);
        let (message, signature) = good.rsplit_once('.').unwrap();
        let header = message.split('.').next().unwrap();
        let richer = encode(&PAYLOAD.replace("alice-web", "mallory"));
        let wrong = Some(Reason::TokenBadSignature);
        for (text, expected, rule) in [
            (good.clone(), None, "as signed"),
            (signed_with(&[1; 32], HEADER, PAYLOAD), wrong, "another secret"),
            (format!("{header}.{richer}.{signature}"), wrong, "another payload"),
            (format!("{message}."), wrong, "no signature"),
            (format!("{message}.AAAA"), wrong, "a short signature"),
            (format!("{message}.{}", &signature[..40]), wrong, "a cut signature (no truncated HMAC)"),
            (format!("{header}.!.{signature}"), wrong, "the payload is not read before the signature is good"),
        ] {
            assert_eq!(verify(&ring, NOW, text.as_bytes()).err(), expected, "{rule}");
        }
        for at in 0..good.len() {
            let mut changed = good.clone().into_bytes();
            changed[at] ^= 1;
            assert!(verify(&ring, NOW, &changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn what_has_not_the_compact_form_is_refused() {
        let ring = keyring(&[("only", hs256())]);
        let good = signed_with(&SECRET, HEADER, PAYLOAD);
        let long = format!(r#"{{"sub":"{}","aud":"parkway","exp":1795000060}}"#, "a".repeat(limits::JWT_BYTES_MAX));
        for (text, rule) in [
            (String::new(), "nothing"),
            ("..".into(), "three empty parts"),
            (good.replacen('.', "", 1), "two parts"),
            (format!("{good}.x"), "four parts"),
            (format!("{good}."), "a fourth, empty part"),
            (format!("{good}="), "padding"),
            (format!(" {good}"), "a space before"),
            (format!("{good}\n"), "a line end after"),
            (format!("Bearer {good}"), "the scheme is the caller's to take off"),
            (format!("+{}", &good[1..]), "another alphabet"),
            (signed_with(&SECRET, HEADER, &long), "too long, though signed"),
            (".".repeat(limits::JWT_BYTES_MAX + 1), "too long"),
            ("a".repeat(100_000_000), "much too long"),
            (signed_with(&SECRET, HEADER, &"[".repeat(2000)), "deep nesting"),
            (signed_with(&SECRET, &format!(r#"{{"alg":"HS256","a":{}"#, "[".repeat(2000)), PAYLOAD), "in the header"),
        ] {
            assert_eq!(verify(&ring, NOW, text.as_bytes()).err(), Some(Reason::TokenMalformed), "{rule}");
        }
    }

    #[test]
    fn the_payload_says_who_for_whom_and_until_when() {
        let (malformed, audience) = (Some(Reason::TokenMalformed), Some(Reason::TokenWrongAudience));
        check_payload(&[
            (PAYLOAD, None, "all there"),
            (r#"{"sub":"a","aud":["parkway"],"exp":1795000060.5}"#, None, "RFC 7519 §2: a date may have a fraction"),
            (r#"{"sub":"a","aud":["x","y"],"exp":1795000060}"#, audience, "a list without us"),
            (r#"{"sub":"a","aud":[],"exp":1795000060}"#, audience, "an empty list"),
            (r#"{"sub":"a","aud":"Parkway","exp":1795000060}"#, audience, "case counts"),
            (r#"{"sub":"a","aud":"parkway2","exp":1795000060}"#, audience, "whole, not a prefix"),
            (r#"{"sub":"a","exp":1795000060}"#, audience, "no audience"),
            (r#"{"sub":"a","aud":null,"exp":1795000060}"#, malformed, "aud is a string or a list"),
            (r#"{"sub":"a","aud":[1],"exp":1795000060}"#, malformed, "a list of strings"),
            (r#"{"aud":"parkway","exp":1795000060}"#, malformed, "no subject"),
            (r#"{"sub":"","aud":"parkway","exp":1795000060}"#, malformed, "an empty subject"),
            (r#"{"sub":"a\r\nb","aud":"parkway","exp":1795000060}"#, malformed, "a line end in the subject"),
            (r#"{"sub":7,"aud":"parkway","exp":1795000060}"#, malformed, "sub is a string"),
            (r#"{"sub":"a","aud":"parkway"}"#, malformed, "no expiry"),
            (r#"{"sub":"a","aud":"parkway","exp":null}"#, malformed, "exp is a number"),
            (r#"{"sub":"a","aud":"parkway","exp":"1795000060"}"#, malformed, "exp is no string"),
            (r#"{"sub":"a","aud":"parkway","exp":-1}"#, malformed, "exp is not before 1970"),
            (r#"{"sub":"a","aud":"parkway","exp":1e300}"#, malformed, "exp is not after everything"),
            (r#"{"sub":"a","aud":"parkway","exp":18446744073709551615}"#, malformed, "exp does not overflow"),
            (r#"{"sub":"a","aud":"parkway","exp":1795000060,"nbf":null}"#, malformed, "nbf is a number if there"),
            (r#"{"sub":"a","sub":"b","aud":"parkway","exp":1795000060}"#, malformed, "who twice"),
            (r#"{"sub":"a","aud":"parkway","exp":1,"exp":1795000060}"#, malformed, "until when twice"),
            (r#"["a",1795000060,null,null,"parkway"]"#, malformed, "an array is no object"),
            (r#"{"sub":"a","aud":"parkway","exp":1795000060"#, malformed, "cut"),
            ("null", malformed, "null"),
        ]);
        let longest = "a".repeat(limits::SUBJECT_BYTES_MAX);
        for (subject, expected) in [(longest.clone(), None), (longest + "a", malformed)] {
            let payload = PAYLOAD.replace("alice-web", &subject);
            assert_eq!(verified(HEADER, &payload).err(), expected, "a subject of {} bytes", subject.len());
        }
    }

    #[test]
    fn a_grant_that_is_not_understood_whole_is_refused() {
        let malformed = Some(Reason::TokenMalformed);
        for (grant, expected, rule) in [
            (r#"{"receive":["foo"]}"#, None, "a good one"),
            (r#"{"media":[],"concurrent":0}"#, None, "nothing at all may be granted"),
            (r#"{"recieve":["foo"]}"#, malformed, "a typo"),
            (r#"{"bridge":["foo"],"until":"noon"}"#, malformed, "a restriction we do not know"),
            (r#"{"receive":["foo"],"receive":["bar"]}"#, malformed, "twice"),
            (r#"{"receive":"foo"}"#, malformed, "a name where a list should be"),
            (r#"{"receive":["*"]}"#, malformed, "no wildcards"),
            (r#"{"receive":[""]}"#, malformed, "an empty name"),
            (r#"{"bridge":["foo/"]}"#, malformed, "a name with an empty segment"),
            (r#"{"bridge":null}"#, malformed, "null for a list"),
            (r#"{"dial":1}"#, malformed, "a number for yes"),
            (r#"{"media":["audio","sound"]}"#, malformed, "a kind of media we do not know"),
            (r#"{"concurrent":-1}"#, malformed, "fewer than none"),
            (r#"{"concurrent":1.5}"#, malformed, "one and a half"),
            (r#"{"concurrent":4294967296}"#, malformed, "more than there can be"),
            (r#"[["foo"],["foo"],true]"#, malformed, "an array is no object"),
            ("null", malformed, "null is no grant"),
        ] {
            let payload = format!(r#"{{"sub":"a","aud":"parkway","exp":1795000060,"parkway":{grant}}}"#);
            assert_eq!(verified(HEADER, &payload).err(), expected, "{rule}: {grant}");
        }
    }

    #[test]
    fn times_are_kept_with_the_skew_and_not_beyond() {
        let at = NOW.seconds();
        let (expired, early) = (Some(Reason::TokenExpired), Some(Reason::TokenNotYetValid));
        for (exp, nbf, iat, skew, expected, rule) in [
            (at + 1, 0, 0, 0, None, "before its expiry"),
            (at, 0, 0, 0, expired, "RFC 7519 §4.1.4: not at it"),
            (at - 29, 0, 0, 30, None, "a second inside the skew"),
            (at - 30, 0, 0, 30, expired, "at its end"),
            (0, 0, 0, 30, expired, "in 1970"),
            (at + 60, at, 0, 0, None, "RFC 7519 §4.1.5: at nbf it is valid"),
            (at + 60, at + 1, 0, 0, early, "before it, not"),
            (at + 60, at + 30, 0, 30, None, "nbf at the end of the skew"),
            (at + 60, at + 31, 0, 30, early, "past it"),
            (at + 60, 0, at + 30, 30, None, "iat at the end of the skew"),
            (at + 60, 0, at + 31, 30, early, "made in the future"),
            (u64::MAX / 1000, 0, 0, u64::MAX, None, "the sum does not overflow"),
        ] {
            let payload = format!(r#"{{"sub":"a","aud":"parkway","exp":{exp},"nbf":{nbf},"iat":{iat}}}"#);
            let ring = keyring(&[("only", hs256())]).with_skew(Duration::from_secs(skew));
            let result = verify(&ring, NOW, signed_with(&SECRET, HEADER, &payload).as_bytes());
            assert_eq!(result.err(), expected, "{rule}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_verify(text in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(verify(&keyring(&[("only", hs256())]), NOW, &text).is_err());
        }

        #[test]
        fn random_signed_payloads_never_panic(payload in "[{}\\[\\]\",:a-z0-9.e-]{0,80}") {
            prop_assert!(verified(HEADER, &payload).is_err());
        }
    }
}
