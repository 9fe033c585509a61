//! The JWTs of clients, minted with the library as an application's own server would mint them, and all secrets that a test
//! has handed out, so that the log can be searched for them.

use super::setup::{KID, SECRET};
use parkway::name::Name;
use parkway::policy::{self, Addressee, Algorithm, Grant, MediaKinds, Order, SigningKey};
use parkway::time::{Duration, Wall};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

/// What a client may do.
#[derive(Clone, Debug)]
pub(crate) struct Rights {
    /// `sub`.
    pub(crate) subject: String,
    /// Names it may hear of and answer.
    pub(crate) receive: Vec<Name>,
    /// The second of these.
    pub(crate) bridge: Vec<Name>,
    /// Names to which it may hand calls.
    pub(crate) transfer: Vec<Name>,
    /// Whom it may write to.
    pub(crate) message: Vec<Addressee>,
    /// Under which names it may know who is there.
    pub(crate) presence: Vec<Name>,
    /// Whether it gets a URI that can be dialled.
    pub(crate) dial: bool,
    /// Whether it may have video.
    pub(crate) sees: bool,
    /// Whether it may have a fax.
    pub(crate) faxes: bool,
    /// How many calls at a time.
    pub(crate) concurrent: u32,
    /// Seconds from now to its `exp`; negative when it is long over.
    pub(crate) expires_in: i64,
}

impl Rights {
    /// May hear of calls for this name, and answer them.
    pub(crate) fn full(name: &str) -> Rights {
        Rights { bridge: vec![parse(name)], ..Rights::listen_only(name) }
    }

    /// May hear of calls and answer none.
    pub(crate) fn listen_only(name: &str) -> Rights {
        Rights {
            subject: format!("user-of-{name}"),
            receive: vec![parse(name)],
            bridge: Vec::new(),
            transfer: Vec::new(),
            message: Vec::new(),
            presence: Vec::new(),
            dial: false,
            sees: false,
            faxes: false,
            concurrent: 1000,
            expires_in: 3600,
        }
    }

    /// The same, and may hand calls to that name.
    pub(crate) fn transfer(self, name: &str) -> Rights {
        Rights { transfer: vec![parse(name)], ..self }
    }

    /// The same, and may write to these names and numbers.
    pub(crate) fn writes_to(self, whom: &[&str]) -> Rights {
        Rights { message: whom.iter().map(|text| Addressee::parse(text).unwrap()).collect(), ..self }
    }

    /// The same, and may know who is there under these names.
    pub(crate) fn watches(self, names: &[&str]) -> Rights {
        Rights { presence: names.iter().map(|name| parse(name)).collect(), ..self }
    }

    /// The same for another person.
    pub(crate) fn of(self, subject: &str) -> Rights {
        Rights { subject: subject.into(), ..self }
    }

    /// The JWT.
    pub(crate) fn mint(&self) -> String {
        let key = SigningKey::new(Algorithm::Hs256, SECRET.as_bytes(), Some(KID)).unwrap();
        let grant = Grant {
            receive: self.receive.clone(),
            bridge: self.bridge.clone(),
            transfer: self.transfer.clone(),
            message: self.message.clone(),
            presence: self.presence.clone(),
            dial: self.dial,
            media: [(true, MediaKinds::AUDIO), (self.sees, MediaKinds::VIDEO), (self.faxes, MediaKinds::IMAGE)]
                .into_iter()
                .filter_map(|(may, kind)| may.then_some(kind))
                .collect(),
            concurrent: self.concurrent,
            ..Grant::default()
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let day_ago = Wall::default() + now.checked_sub(Duration::from_secs(86_400)).unwrap();
        let expires = now.as_secs().checked_add_signed(self.expires_in).unwrap();
        let order = Order {
            subject: &self.subject,
            audience: "parkway",
            issued: day_ago,
            expires: Wall::default() + Duration::from_secs(expires),
            not_before: None,
            grant,
        };
        policy::mint(&key, &order).unwrap()
    }
}

fn parse(name: &str) -> Name {
    Name::parse(name).unwrap()
}

/// Everything that must never be in a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets(Arc<Mutex<Vec<String>>>);

impl Secrets {
    /// Notes one.
    pub(crate) fn add(&self, secret: &str) {
        self.0.lock().unwrap().push(secret.to_owned());
    }

    /// Those of them that are in the text; of a JWT its signature and its claims are looked for too.
    pub(crate) fn found_in(&self, text: &str) -> Vec<String> {
        let all = self.0.lock().unwrap().clone();
        let parts = all.iter().flat_map(|secret| secret.split('.')).filter(|part| part.len() > 40);
        parts.filter(|part| text.contains(*part)).map(str::to_owned).collect()
    }
}
