//! Google's service, the HTTP v1 API: a data message of high priority, with an access token for which we sign (RFC 7523, RS256) and which is kept until
//! shortly before its end.
//! Not here: what the application does with the message.

use super::client::{Answer, Client, Question};
use super::jws::Signer;
use super::service::{Letter, NotAsked, Said, built, failed, secret_header};
use crate::config::ServiceAccount;
use crate::secret::Secret;
use crate::time::{Duration, Wall};
use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Request, Uri};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

/// What we ask to be allowed.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// How long our signature is good, and so at most the token.
const SIGNED_FOR: Duration = Duration::from_secs(3600);
/// How long before its end a token is not used any more.
const SPARE: Duration = Duration::from_secs(60);

/// How it is asked.
pub(super) struct Fcm {
    url: Uri,
    account: ServiceAccount,
    signer: Signer,
    /// Held while another is fetched, so that one fetch does for all who wait.
    access: Mutex<Option<Access>>,
    /// Whether the one that we have was refused.
    is_stale: std::sync::atomic::AtomicBool,
}

struct Access {
    token: Secret<String>,
    ends: Wall,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Failure {
    error: Status,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    status: String,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(rename = "errorCode")]
    code: Option<String>,
}

impl Fcm {
    /// There, as that account.
    pub(super) fn new(base_url: &str, account: &ServiceAccount) -> Result<Fcm, String> {
        let url = format!("{base_url}/v1/projects/{}/messages:send", account.project);
        let url = url.parse().map_err(|error| format!("{url}: {error}"))?;
        let signer = Signer::rsa(account.key.expose())?;
        Ok(Fcm { url, account: account.clone(), signer, access: Mutex::new(None), is_stale: false.into() })
    }

    pub(super) async fn question(&self, client: &Client, now: Wall, letter: &Letter) -> Result<Question, NotAsked> {
        let event = std::str::from_utf8(&letter.text).map_err(|error| NotAsked::Never(error.to_string()))?;
        let body = json!({ "message": {
            "token": letter.device.target.prid,
            "data": { "parkway": event },
            "android": {
                "priority": "HIGH",
                "ttl": format!("{}s", letter.lasts.as_secs()),
                "collapse_key": letter.call.to_string(),
            },
        }});
        let access = self.access(client, now).await?;
        let request = Request::post(self.url.clone())
            .header(AUTHORIZATION, secret_header(&format!("Bearer {}", access.expose()))?)
            .header(CONTENT_TYPE, "application/json");
        built(request.body(Bytes::from(body.to_string()).into()))
    }

    /// The access token of now.
    async fn access(&self, client: &Client, now: Wall) -> Result<Secret<String>, NotAsked> {
        let mut kept = self.access.lock().await;
        let refused = self.is_stale.swap(false, std::sync::atomic::Ordering::Relaxed);
        if let Some(access) = kept.as_ref().filter(|access| now < access.ends && !refused) {
            return Ok(access.token.clone());
        }
        *kept = None;
        let answer = client.ask(self.request_for_access(now)?).await.map_err(NotAsked::Later)?;
        if answer.status != 200 {
            let what = format!("no access token: status {}", answer.status);
            return Err(match failed(&answer) {
                Said::Again(..) => NotAsked::Later(what),
                Said::Taken | Said::Dead | Said::Refused(_) => NotAsked::Never(what),
            });
        }
        // The answer is a secret, so what is wrong with it is not said.
        let granted: Granted = serde_json::from_slice(&answer.body)
            .map_err(|_| NotAsked::Never("no access token: the answer cannot be read".into()))?;
        let lasts = Duration::from_secs(granted.expires_in).saturating_sub(SPARE);
        let access = kept.insert(Access { token: Secret::new(granted.access_token), ends: now + lasts });
        Ok(access.token.clone())
    }

    /// RFC 7523 §2.1.
    fn request_for_access(&self, now: Wall) -> Result<Question, NotAsked> {
        let ServiceAccount { email, key_id, token_url, .. } = &self.account;
        let (issued, ends) = (now.seconds(), (now + SIGNED_FOR).seconds());
        let claims = json!({ "iss": email, "scope": SCOPE, "aud": token_url, "iat": issued, "exp": ends });
        let assertion = self.signer.sign(key_id.as_deref(), &claims).map_err(NotAsked::Later)?;
        let form = format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        let request = Request::post(token_url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        built(request.body(Bytes::from(form).into()))
    }

    /// What Google's codes mean: a 404 is about the device only where the code says so.
    pub(super) fn read(&self, answer: &Answer) -> Said {
        let failure = serde_json::from_slice::<Failure>(&answer.body).map(|failure| failure.error);
        let Status { status, details } = failure.unwrap_or_default();
        let code = details.into_iter().find_map(|detail| detail.code).unwrap_or(status);
        match answer.status {
            200 => Said::Taken,
            404 if code == "UNREGISTERED" => Said::Dead,
            401 => {
                self.is_stale.store(true, std::sync::atomic::Ordering::Relaxed);
                Said::Again(None, "the access token was refused".into())
            }
            400..=499 if answer.status != 429 => {
                let is_word = |letter: &char| letter.is_ascii_uppercase() || *letter == '_';
                let word: String = code.chars().take(64).filter(is_word).collect();
                Said::Refused(format!("status {} {word}", answer.status))
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

    fn fcm() -> Fcm {
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let account = ServiceAccount {
            project: "tests".into(),
            email: "parkway@tests.example".into(),
            key_id: None,
            key: Secret::new(Vec::new()),
            token_url: "https://tokens.example/token".into(),
        };
        let signer = Signer::p256(key.as_ref()).unwrap();
        let (url, is_stale) = (Uri::from_static("https://fcm.example/"), false.into());
        Fcm { url, account, signer, access: Mutex::new(None), is_stale }
    }

    #[test]
    fn only_what_is_said_of_a_device_drops_it() {
        let fcm = fcm();
        let code =
            |code: &str| format!("{{\"error\":{{\"status\":\"X\",\"details\":[{{}},{{\"errorCode\":\"{code}\"}}]}}}}");
        for (status, body, expected) in [
            (200, String::new(), Said::Taken),
            (404, code("UNREGISTERED"), Said::Dead),
            (404, code("OTHER"), Said::Refused("status 404 OTHER".into())),
            (404, "<html>".into(), Said::Refused("status 404 ".into())),
            (400, code("INVALID_ARGUMENT"), Said::Refused("status 400 INVALID_ARGUMENT".into())),
            (
                403,
                r#"{"error":{"status":"PERMISSION_DENIED"}}"#.into(),
                Said::Refused("status 403 PERMISSION_DENIED".into()),
            ),
            (429, code("QUOTA_EXCEEDED"), Said::Again(None, "status 429".into())),
            (503, String::new(), Said::Again(None, "status 503".into())),
            (401, String::new(), Said::Again(None, "the access token was refused".into())),
        ] {
            let answer = Answer { status, retry_after: None, body: body.into() };
            assert_eq!(fcm.read(&answer), expected, "{status}");
        }
    }
}
