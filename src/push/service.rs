//! A push service of any kind: whether it can wake a device, what it is asked, and what its answer means.
//! Not here: when, how often and how many at a time (`office`).

use super::apns::Apns;
use super::client::{Answer, Client, Question};
use super::device::{BrowserKeys, Device};
use super::encryption;
use super::fcm::Fcm;
use super::web_push::WebPush;
use super::webhook::Webhook;
use crate::config::{self, PushKind, PushProvider};
use crate::id::CallId;
use crate::limits;
use crate::registrar::Target;
use crate::time::{Duration, Wall};
use bytes::Bytes;
use hyper::header::HeaderValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

/// What is to be said to a device.
pub(super) struct Letter {
    /// To whom.
    pub(super) device: Arc<Device>,
    /// Of which call.
    pub(super) call: CallId,
    /// The event.
    pub(super) text: Bytes,
    /// How long it is worth anything.
    pub(super) lasts: Duration,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Said {
    /// The service has taken it.
    Taken,
    /// There is no such device any more.
    Dead,
    /// Not now; in so long, if it said so.
    Again(Option<Duration>, String),
    /// Never, as far as this push goes.
    Refused(String),
}

/// How many are asked at a time, and when again: of one host, so that one that hangs is waited for by its own pushes alone.
pub(super) struct Lane {
    /// Pushes whose answer is waited for.
    pub(super) asking: Semaphore,
    held_until: std::sync::Mutex<Option<Instant>>,
}

/// A push service.
pub(super) struct Service {
    /// As clients call it.
    pub(super) name: String,
    /// What metrics call it.
    pub(super) kind: &'static str,
    /// Whether it is told when a call is over.
    tells_end: bool,
    /// Whether what wakes has the bridge token in it.
    pub(super) has_token: bool,
    /// All pushes that are not done.
    pub(super) open: Arc<Semaphore>,
    lanes: Vec<Lane>,
    how: How,
}

enum How {
    Webhook(Webhook),
    WebPush(WebPush),
    Apns(Apns),
    Fcm(Fcm),
}

/// All of them, by name.
pub(super) type Services = Arc<BTreeMap<String, Arc<Service>>>;

/// Makes them of the configuration.
pub(super) fn open(config: &config::Push) -> Result<Services, String> {
    let service = |provider: &Arc<PushProvider>| Ok((provider.name.clone(), Arc::new(Service::new(provider)?)));
    config.providers.iter().map(service).collect::<Result<_, String>>().map(Arc::new)
}

impl Service {
    fn new(provider: &PushProvider) -> Result<Service, String> {
        let (kind, lanes, has_token, how) = match &provider.kind {
            PushKind::Webhook { url, secret, tokens } => {
                ("webhook", 1, *tokens, How::Webhook(Webhook::new(url, secret.as_ref())?))
            }
            PushKind::WebPush { key, public, contact, hosts } => {
                ("webpush", hosts.len(), false, How::WebPush(WebPush::new(key, (public, contact), hosts)?))
            }
            PushKind::Apns { base_url, team, key_id, topic, key } => {
                ("apns", 1, false, How::Apns(Apns::new(base_url, (team, key_id, topic), key)?))
            }
            PushKind::Fcm { base_url, account } => ("fcm", 1, false, How::Fcm(Fcm::new(base_url, account)?)),
        };
        Ok(Service {
            name: provider.name.clone(),
            kind,
            tells_end: provider.tells_end,
            has_token,
            open: Arc::new(Semaphore::new(limits::PUSHES_OPEN_MAX)),
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            how,
        })
    }

    /// Whether it can wake such a device.
    pub(super) fn fits(&self, target: &Target, keys: Option<&BrowserKeys>) -> bool {
        match &self.how {
            How::Webhook(_) => keys.is_none(),
            How::WebPush(web_push) => {
                web_push.fits(&target.prid) && keys.is_none_or(|keys| encryption::encrypt(keys, b"").is_ok())
            }
            How::Apns(_) => keys.is_none() && Apns::fits(&target.prid),
            How::Fcm(_) => keys.is_none(),
        }
    }

    /// Whether a device is told when the call is over. A push that can carry nothing would only wake it once more.
    pub(super) fn tells_end(&self, device: &Device) -> bool {
        let carries_nothing = matches!(self.how, How::WebPush(_)) && device.keys.is_none();
        self.tells_end && !carries_nothing
    }

    /// Longest event that it carries.
    pub(super) fn longest(&self) -> usize {
        match &self.how {
            How::Webhook(_) => limits::PUSH_EVENT_BYTES_MAX,
            How::WebPush(_) => encryption::TEXT_BYTES_MAX,
            How::Apns(_) => limits::APNS_EVENT_BYTES_MAX,
            How::Fcm(_) => limits::FCM_EVENT_BYTES_MAX,
        }
    }

    /// Where this device's pushes wait for each other.
    pub(super) fn lane(&self, device: &Device) -> Option<&Lane> {
        let at = match &self.how {
            How::WebPush(web_push) => web_push.host_of(&device.target.prid)?,
            How::Webhook(_) | How::Apns(_) | How::Fcm(_) => 0,
        };
        self.lanes.get(at)
    }

    /// Asks it to wake a device, or to say that the call is over.
    pub(super) async fn say(&self, client: &Client, now: Wall, letter: &Letter) -> Said {
        let question = match &self.how {
            How::Webhook(webhook) => webhook.question(letter),
            How::WebPush(web_push) => web_push.question(now, letter),
            How::Apns(apns) => apns.question(now, letter),
            How::Fcm(fcm) => fcm.question(client, now, letter).await,
        };
        let question = match question {
            Ok(question) => question,
            Err(NotAsked::Later(what)) => return Said::Again(None, what),
            Err(NotAsked::Never(what)) => return Said::Refused(what),
        };
        match client.ask(question).await {
            Ok(answer) => self.read(now, &answer),
            Err(what) => Said::Again(None, what),
        }
    }

    fn read(&self, now: Wall, answer: &Answer) -> Said {
        match &self.how {
            How::Webhook(_) => Webhook::read(answer),
            How::WebPush(_) => WebPush::read(answer),
            How::Apns(apns) => apns.read(now, answer),
            How::Fcm(fcm) => fcm.read(answer),
        }
    }
}

/// Why a service could not be asked.
pub(super) enum NotAsked {
    /// It may be possible later.
    Later(String),
    /// It never will.
    Never(String),
}

/// What all services mean by a status that is no success and is not about a device.
pub(super) fn failed(answer: &Answer) -> Said {
    let what = format!("status {}", answer.status);
    match answer.status {
        // RFC 6585 §4, RFC 9110 §15.6.
        408 | 429 | 500..=599 => Said::Again(answer.retry_after, what),
        _ => Said::Refused(what),
    }
}

/// A header's value that no log of a library shows.
pub(super) fn secret_header(text: &str) -> Result<HeaderValue, NotAsked> {
    let mut value = HeaderValue::from_str(text).map_err(|error| NotAsked::Never(error.to_string()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A request as built.
pub(super) fn built(question: Result<Question, hyper::http::Error>) -> Result<Question, NotAsked> {
    question.map_err(|error| NotAsked::Never(error.to_string()))
}

impl Default for Lane {
    fn default() -> Lane {
        Lane { asking: Semaphore::new(limits::PUSHES_ASKING_MAX), held_until: std::sync::Mutex::new(None) }
    }
}

impl Lane {
    /// It wants not to be asked for so long.
    pub(super) fn hold(&self, lasts: Duration) {
        let until = Instant::now() + lasts.min(limits::PUSH_HELD_MAX);
        let mut held = self.held_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *held = (*held).max(Some(until));
    }

    /// How long it still wants not to be asked.
    pub(super) fn held(&self) -> Duration {
        let held = self.held_until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        held.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }
}
