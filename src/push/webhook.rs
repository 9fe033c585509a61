//! A service of the operator's own: the event is posted to one URL, with what the device is called there.
//! Not here: what the service does with it.

use super::client::{Answer, Question};
use super::service::{Letter, NotAsked, Said, built, failed, secret_header};
use crate::secret::Secret;
use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Request, Uri};
use serde_json::json;

/// How it is asked.
pub(super) struct Webhook {
    url: Uri,
    authorization: Option<Secret<String>>,
}

impl Webhook {
    /// At that URL, with that secret.
    pub(super) fn new(url: &str, secret: Option<&Secret<String>>) -> Result<Webhook, String> {
        let authorization = secret.map(|secret| Secret::new(format!("Bearer {}", secret.expose())));
        Ok(Webhook { url: url.parse().map_err(|error| format!("{url}: {error}"))?, authorization })
    }

    /// `{"v":1,"type":"push","device":…,"name":…,"prid":…,"param":…,"ttl":…,"event":{…}}`
    pub(super) fn question(&self, letter: &Letter) -> Result<Question, NotAsked> {
        let device = &letter.device;
        let event: serde_json::Value =
            serde_json::from_slice(&letter.text).map_err(|error| NotAsked::Never(error.to_string()))?;
        let body = json!({
            "v": 1,
            "type": "push",
            "device": device.id.to_string(),
            "name": device.name.as_str(),
            "prid": device.target.prid,
            "param": device.target.param,
            "ttl": letter.lasts.as_secs(),
            "event": event,
        });
        let mut request = Request::post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, secret_header(authorization.expose())?);
        }
        built(request.body(Bytes::from(body.to_string()).into()))
    }

    /// 410 is about this device. 404 is about the URL: were it taken for an answer about devices, a slip in the configuration would cost them all.
    pub(super) fn read(answer: &Answer) -> Said {
        match answer.status {
            200..=299 => Said::Taken,
            410 => Said::Dead,
            _ => failed(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    #[test]
    fn each_status_has_its_meaning() {
        let read =
            |status| Webhook::read(&Answer { status, retry_after: Some(Duration::from_secs(3)), body: Bytes::new() });
        let again = |status: u16| Said::Again(Some(Duration::from_secs(3)), format!("status {status}"));
        for (status, expected) in [
            (200, Said::Taken),
            (204, Said::Taken),
            (302, Said::Refused("status 302".into())),
            (400, Said::Refused("status 400".into())),
            (404, Said::Refused("status 404".into())),
            (410, Said::Dead),
            (429, again(429)),
            (503, again(503)),
        ] {
            assert_eq!(read(status), expected, "{status}");
        }
    }
}
