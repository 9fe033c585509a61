//! Apple's service: a push of the kind that wakes an application for a call, with our token (ES256), renewed before it is an hour old.
//! Not here: HTTP/2, which it insists on (`connector`).

use super::client::{Answer, Question};
use super::jws::Signer;
use super::service::{Letter, NotAsked, Said, built, failed, secret_header};
use crate::secret::Secret;
use crate::time::{Duration, Wall};
use bytes::Bytes;
use hyper::Request;
use hyper::header::AUTHORIZATION;
use serde::Deserialize;
use serde_json::json;
use std::sync::{Mutex, PoisonError};

/// How long a token of ours is used: Apple refuses it after an hour.
const TOKEN_LIFE: Duration = Duration::from_secs(50 * 60);
/// How soon another may be made: Apple refuses those who make them more often.
const TOKEN_LIFE_MIN: Duration = Duration::from_secs(20 * 60);

/// How it is asked.
pub(super) struct Apns {
    base_url: String,
    team: String,
    key_id: String,
    topic: String,
    signer: Signer,
    token: Mutex<Option<(Wall, Secret<String>)>>,
}

#[derive(Deserialize)]
struct Refusal {
    reason: String,
}

impl Apns {
    /// There, as that team with that key, for that application.
    pub(super) fn new(
        base_url: &str,
        (team, key_id, topic): (&str, &str, &str),
        key: &Secret<Vec<u8>>,
    ) -> Result<Apns, String> {
        let own = str::to_owned;
        let (team, key_id, topic, signer) = (own(team), own(key_id), own(topic), Signer::p256(key.expose())?);
        Ok(Apns { base_url: base_url.to_owned(), team, key_id, topic, signer, token: Mutex::new(None) })
    }

    /// Whether this is a device's token: hexadecimal digits, which may stand in a path.
    pub(super) fn fits(prid: &str) -> bool {
        (8..=200).contains(&prid.len()) && prid.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    pub(super) fn question(&self, now: Wall, letter: &Letter) -> Result<Question, NotAsked> {
        let event: serde_json::Value =
            serde_json::from_slice(&letter.text).map_err(|error| NotAsked::Never(error.to_string()))?;
        let body = json!({ "aps": {}, "parkway": event });
        let request = Request::post(format!("{}/3/device/{}", self.base_url, letter.device.target.prid))
            .header(AUTHORIZATION, secret_header(&format!("bearer {}", self.token(now)?))?)
            .header("apns-topic", &self.topic)
            .header("apns-push-type", "voip")
            .header("apns-priority", "10")
            .header("apns-expiration", (now + letter.lasts).seconds())
            .header("apns-collapse-id", letter.call.to_string());
        built(request.body(Bytes::from(body.to_string()).into()))
    }

    /// The token of now, made anew when it is old.
    fn token(&self, now: Wall) -> Result<String, NotAsked> {
        let mut kept = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, token)) = kept.as_ref().filter(|(made, _)| now < *made + TOKEN_LIFE) {
            return Ok(token.expose().clone());
        }
        let claims = json!({ "iss": self.team, "iat": now.seconds() });
        let token = self.signer.sign(Some(&self.key_id), &claims).map_err(NotAsked::Later)?;
        *kept = Some((now, Secret::new(token.clone())));
        Ok(token)
    }

    /// What Apple's reasons mean. A token of a device that is none of this application's is the configuration's fault as often as the device's.
    pub(super) fn read(&self, now: Wall, answer: &Answer) -> Said {
        let reason = serde_json::from_slice::<Refusal>(&answer.body).map(|refusal| refusal.reason).unwrap_or_default();
        match (answer.status, reason.as_str()) {
            (200, _) => Said::Taken,
            (410, _) | (400, "BadDeviceToken") => Said::Dead,
            (403, "ExpiredProviderToken") => {
                let mut kept = self.token.lock().unwrap_or_else(PoisonError::into_inner);
                kept.take_if(|(made, _)| now >= *made + TOKEN_LIFE_MIN);
                Said::Again(None, reason)
            }
            (400..=499, reason) if answer.status != 429 && !reason.is_empty() => {
                Said::Refused(reason.chars().take(64).filter(char::is_ascii_alphanumeric).collect())
            }
            _ => failed(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

    fn apns() -> Apns {
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Apns::new("https://apns.example", ("TEAM", "K1", "app.voip"), &Secret::new(key.as_ref().to_vec())).unwrap()
    }

    #[test]
    fn our_token_is_used_for_fifty_minutes() {
        let apns = apns();
        let minute = |minutes: u64| Wall(1_800_000_000_000 + minutes * 60_000);
        let token = |minutes| apns.token(minute(minutes)).map_err(|_| "not asked").unwrap();
        let first = token(0);
        assert_eq!(token(49), first);
        let second = token(50);
        assert_ne!(second, first);
        let expired = Answer { status: 403, retry_after: None, body: r#"{"reason":"ExpiredProviderToken"}"#.into() };
        apns.read(minute(60), &expired);
        assert_eq!(token(60), second, "too soon for another");
        apns.read(minute(70), &expired);
        assert_ne!(token(70), second);
    }

    #[test]
    fn only_what_is_said_of_a_device_drops_it() {
        let apns = apns();
        for (status, reason, expected) in [
            (200, "", Said::Taken),
            (410, "Unregistered", Said::Dead),
            (400, "BadDeviceToken", Said::Dead),
            (400, "DeviceTokenNotForTopic", Said::Refused("DeviceTokenNotForTopic".into())),
            (404, "BadPath", Said::Refused("BadPath".into())),
            (429, "TooManyRequests", Said::Again(None, "status 429".into())),
            (503, "Shutdown", Said::Again(None, "status 503".into())),
        ] {
            let body = Bytes::from(format!("{{\"reason\":\"{reason}\"}}"));
            assert_eq!(apns.read(Wall(0), &Answer { status, retry_after: None, body }), expected, "{status} {reason}");
        }
    }

    #[test]
    fn a_token_that_could_leave_its_place_in_the_path_is_none() {
        for (prid, expected) in
            [("00fc13adff785122", true), ("../../etc", false), ("00fc", false), ("00fc 3adff7851", false)]
        {
            assert_eq!(Apns::fits(prid), expected, "{prid}");
        }
    }
}
