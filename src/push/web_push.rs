//! Browsers (RFC 8030): the event encrypted for the browser that subscribed (RFC 8291), our name and signature for its push service (RFC 8292).
//! A browser names the URL that it is woken at, so only hosts that the operator lists are ever asked: no client can lead us into a network.
//! Not here: the encryption (`encryption`).

use super::client::{Answer, Question};
use super::encryption::encrypt;
use super::jws::Signer;
use super::service::{Letter, NotAsked, Said, built, failed, secret_header};
use crate::secret::Secret;
use crate::time::{Duration, Wall};
use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use hyper::{Request, Uri};
use serde_json::json;

/// How long our signature is good: less than the day that RFC 8292 §2 allows.
const SIGNED_FOR: Duration = Duration::from_secs(12 * 3600);

/// How it is asked.
pub(super) struct WebPush {
    signer: Signer,
    public: String,
    contact: String,
    hosts: Vec<String>,
}

impl WebPush {
    /// With our key and its public half, with whom may be written to, and with the hosts that may be asked.
    pub(super) fn new(
        key: &Secret<Vec<u8>>,
        (public, contact): (&str, &str),
        hosts: &[String],
    ) -> Result<WebPush, String> {
        let signer = Signer::p256(key.expose())?;
        Ok(WebPush { signer, public: public.to_owned(), contact: contact.to_owned(), hosts: hosts.to_vec() })
    }

    /// Whether this URL may be asked.
    pub(super) fn fits(&self, url: &str) -> bool {
        self.host_of(url).is_some()
    }

    /// The entry of the list of hosts that lets this URL be asked.
    pub(super) fn host_of(&self, url: &str) -> Option<usize> {
        let url: Uri = url.parse().ok()?;
        let authority = url.authority()?.as_str().to_ascii_lowercase();
        (url.scheme_str() == Some("https")).then_some(())?;
        self.hosts.iter().position(|host| match host.strip_prefix('*') {
            Some(domain) => authority.ends_with(domain) && !authority.contains('@'),
            None => authority == *host,
        })
    }

    /// RFC 8030 §5: urgent, and one push of a call takes the place of the one before that was not delivered (`Topic`).
    pub(super) fn question(&self, now: Wall, letter: &Letter) -> Result<Question, NotAsked> {
        let url: Uri = letter.device.target.prid.parse().map_err(|_| NotAsked::Never("no URL".into()))?;
        let origin = format!("https://{}", url.authority().map_or("", |authority| authority.as_str()));
        let claims = json!({ "aud": origin, "exp": (now + SIGNED_FOR).seconds(), "sub": self.contact });
        let jwt = self.signer.sign(None, &claims).map_err(NotAsked::Later)?;
        let request = Request::post(url)
            .header(AUTHORIZATION, secret_header(&format!("vapid t={jwt}, k={}", self.public))?)
            .header("ttl", letter.lasts.as_secs())
            .header("urgency", "high")
            .header("topic", letter.call.to_string());
        // A device that registered over SIP says no keys (RFC 8599): its push has no text, and wakes all the same.
        let Some(keys) = &letter.device.keys else { return built(request.body(Bytes::new().into())) };
        let body = encrypt(keys, &letter.text).map_err(|_| NotAsked::Never("cannot be encrypted for it".into()))?;
        let request = request.header(CONTENT_TYPE, "application/octet-stream").header(CONTENT_ENCODING, "aes128gcm");
        built(request.body(Bytes::from(body).into()))
    }

    /// RFC 8030 §5, §7.3.
    pub(super) fn read(answer: &Answer) -> Said {
        match answer.status {
            200..=299 => Said::Taken,
            404 | 410 => Said::Dead,
            _ => failed(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

    #[test]
    fn a_browser_leads_us_to_listed_hosts_alone() {
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let hosts = ["push.example".to_owned(), "*.notify.example".into(), "localhost:8443".into()];
        let key = Secret::new(key.as_ref().to_vec());
        let web_push = WebPush::new(&key, ("BK", "mailto:a@b.example"), &hosts).unwrap();
        for (url, expected) in [
            ("https://push.example/a?b=1", Some(0)),
            ("https://PUSH.example/a", Some(0)),
            ("https://db5p.notify.example/w/?token=1", Some(1)),
            ("https://localhost:8443/x", Some(2)),
            ("http://push.example/a", None),
            ("https://push.example:22/a", None),
            ("https://push.example.evil.example/a", None),
            ("https://evilnotify.example/", None),
            ("https://evil.example@x.notify.example/", None),
            ("https://169.254.169.254/latest", None),
            ("/a", None),
            ("", None),
        ] {
            assert_eq!(web_push.host_of(url), expected, "{url}");
        }
    }

    #[test]
    fn who_unsubscribed_is_dead_and_who_is_busy_is_not() {
        let read = |status| WebPush::read(&Answer { status, retry_after: None, body: Bytes::new() });
        for (status, expected) in [
            (201, Said::Taken),
            (404, Said::Dead),
            (410, Said::Dead),
            (413, Said::Refused("status 413".into())),
            (429, Said::Again(None, "status 429".into())),
        ] {
            assert_eq!(read(status), expected, "{status}");
        }
    }
}
