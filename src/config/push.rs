//! `[push]` and `[[push.provider]]`: the services that wake sleeping devices, each with what proves to it that we may.
//! Not here: asking them (`push`). Keys are read and tried here, so that a bad one is found before the first call.

use super::raw::{self, Raw};
use super::typed::{Check, label};
use super::{certificate, keys};
use crate::limits;
use crate::registrar::{Service, Services};
use crate::secret::Secret;
use crate::time::Duration;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RsaKeyPair};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where Apple is asked.
const APNS: &str = "https://api.push.apple.com";
/// Where Google is asked.
const FCM: &str = "https://fcm.googleapis.com";
/// Longest wait before a device is woken whose client is connected: by then most callers have given up.
const AFTER_MS_MAX: u64 = 60_000;
/// Longest life of a device that does not come back.
const DAYS_MAX: u64 = 3_650;
/// Most devices that a limit may be set to: a file of some 100 MB.
const DEVICES_MAX: u64 = 100_000;

/// `[push]`
#[derive(Clone, Debug)]
pub struct Push {
    /// How long a call waits before a device is woken whose client is connected.
    pub after: Duration,
    /// How long a device is remembered that does not come back.
    pub longest: Duration,
    /// Most devices.
    pub devices_max: usize,
    /// Most devices of one name.
    pub per_name_max: usize,
    /// Whose certificates the services must show; empty: the system's.
    pub authorities: Vec<CertificateDer<'static>>,
    /// The services; none: nobody is woken.
    pub providers: Vec<Arc<Provider>>,
}

/// A push service.
#[derive(Clone, Debug)]
pub struct Provider {
    /// What clients call it: `pn-provider`.
    pub name: String,
    /// Whether it is told when a call is over for which it woke somebody.
    pub tells_end: bool,
    /// How it is spoken to.
    pub kind: Kind,
}

/// How a service is spoken to, and with which secrets.
#[derive(Clone, Debug)]
pub enum Kind {
    /// The operator's own.
    Webhook {
        /// Where events are posted.
        url: String,
        /// Sent as `Authorization: Bearer`.
        secret: Option<Secret<String>>,
        /// Whether events have the bridge token in them.
        tokens: bool,
    },
    /// A browser's (RFC 8030).
    WebPush {
        /// The key of RFC 8292, in PKCS #8.
        key: Secret<Vec<u8>>,
        /// Its public half, in base64url.
        public: String,
        /// Whom a service may write to about us: `mailto:` or `https:` (RFC 8292 §2.1).
        contact: String,
        /// The hosts, with their ports if they have one, that may be asked: a client names the URL, and must not lead us anywhere else.
        hosts: Vec<String>,
    },
    /// Apple's.
    Apns {
        /// Without a path.
        base_url: String,
        /// Who signs.
        team: String,
        /// With which key.
        key_id: String,
        /// The application, ending in `.voip`.
        topic: String,
        /// The key, in PKCS #8.
        key: Secret<Vec<u8>>,
    },
    /// Google's.
    Fcm {
        /// Without a path.
        base_url: String,
        /// Who asks.
        account: ServiceAccount,
    },
}

/// What Google calls a service account.
#[derive(Clone, Debug)]
pub struct ServiceAccount {
    /// The project whose devices are woken.
    pub project: String,
    /// Who we are there.
    pub email: String,
    /// The key's name, if it has one.
    pub key_id: Option<String>,
    /// The RSA key, in PKCS #8.
    pub key: Secret<Vec<u8>>,
    /// Where an access token is asked for.
    pub token_url: String,
}

impl Push {
    /// The services as registrations and clients name them.
    pub fn services(&self) -> Services {
        let service = |provider: &Arc<Provider>| {
            let (param, vapid) = match &provider.kind {
                Kind::Webhook { .. } => (None, None),
                Kind::WebPush { public, .. } => (None, Some(public.clone())),
                // RFC 8599 §10: the team and the topic.
                Kind::Apns { team, topic, .. } => (Some(format!("{team}.{topic}")), None),
                Kind::Fcm { account, .. } => (Some(account.project.clone()), None),
            };
            Service { name: provider.name.clone(), param, vapid }
        };
        Services(self.providers.iter().map(service).collect())
    }
}

impl Check {
    pub(super) fn push(&mut self, raw: &Raw) -> Option<Push> {
        let push = &raw.push;
        let after = self.number("push.after_ms", push.after_ms, 0..=AFTER_MS_MAX);
        let days: Option<u64> = self.number("push.days_max", push.days_max, 1..=DAYS_MAX);
        let devices_max = self.number("push.devices_max", push.devices_max, 1..=DEVICES_MAX);
        let per_name_max = self.number("push.per_name_max", push.per_name_max, 1..=DEVICES_MAX);
        let authorities = self.optional("push.authorities_file", &push.authorities_file, certificate::chain);
        let mut names = BTreeSet::new();
        let mut providers = Vec::new();
        for (at, provider) in push.provider.iter().enumerate() {
            let key = format!("push.provider[{at}]");
            if !names.insert(provider.name.as_str()) {
                self.note(&format!("{key}.name"), format!("`{}` is taken; give each its own", provider.name));
            }
            providers.push(self.provider(&key, provider).map(Arc::new));
        }
        Some(Push {
            after: Duration::from_millis(after?),
            longest: Duration::from_secs(days? * 86_400),
            devices_max: devices_max?,
            per_name_max: per_name_max?,
            authorities: authorities?.unwrap_or_default(),
            providers: providers.into_iter().collect::<Option<_>>()?,
        })
    }

    fn provider(&mut self, key: &str, given: &raw::Provider) -> Option<Provider> {
        let name = self.parsed(&format!("{key}.name"), &given.name, provider_name);
        let kind = match given.kind.as_str() {
            "webhook" => self.webhook(key, given),
            "webpush" => self.web_push(key, given),
            "apns" => self.apns(key, given),
            "fcm" => self.fcm(key, given),
            other => self.wrong(
                &format!("{key}.type"),
                format!("`{other}` is no kind of service; write webhook, webpush, apns or fcm"),
            ),
        };
        let kind = kind?;
        // Apple wants each push of this kind to be shown as a call, so one that takes a call back rings again.
        let tells_end = given.gone.unwrap_or(!matches!(kind, Kind::Apns { .. }));
        Some(Provider { name: name?, tells_end, kind })
    }

    fn webhook(&mut self, key: &str, given: &raw::Provider) -> Option<Kind> {
        let url = self.needed(key, "base_url", given.base_url.as_ref(), base_url);
        let secret = match &given.secret_file {
            Some(file) => self.parsed(&format!("{key}.secret_file"), file, bearer_in).map(Some),
            None => Some(None),
        };
        Some(Kind::Webhook { url: url?, secret: secret?, tokens: given.tokens.unwrap_or(false) })
    }

    fn web_push(&mut self, key: &str, given: &raw::Provider) -> Option<Kind> {
        if given.base_url.is_some() {
            self.note(&format!("{key}.base_url"), "a browser says its own URL; name the hosts that may be asked");
        }
        let pair = self.needed(key, "key_file", given.key_file.as_ref(), p256_key);
        let contact = self.needed(key, "contact", given.contact.as_ref(), contact);
        let hosts = given.hosts.clone().unwrap_or_default();
        if hosts.is_empty() {
            self.note(&format!("{key}.hosts"), "missing or empty; for example fcm.googleapis.com, updates.push.services.mozilla.com, *.push.apple.com, *.notify.windows.com");
        }
        let hosts = self.each(&format!("{key}.hosts"), &hosts, host);
        let (key, public) = pair?;
        Some(Kind::WebPush { key, public, contact: contact?, hosts: hosts? })
    }

    fn apns(&mut self, key: &str, given: &raw::Provider) -> Option<Kind> {
        let base_url = self.parsed(&format!("{key}.base_url"), given.base_url.as_deref().unwrap_or(APNS), base_url);
        let team = self.needed(key, "team_id", given.team_id.as_ref(), word);
        let key_id = self.needed(key, "key_id", given.key_id.as_ref(), word);
        let topic = self.needed(key, "topic", given.topic.as_ref(), |text| match text.strip_suffix(".voip") {
            Some(_) => word(text),
            None => Err(format!("`{text}` does not end in .voip, as the topic of pushes that wake for a call does")),
        });
        let pair = self.needed(key, "key_file", given.key_file.as_ref(), p256_key);
        Some(Kind::Apns { base_url: base_url?, team: team?, key_id: key_id?, topic: topic?, key: pair?.0 })
    }

    fn fcm(&mut self, key: &str, given: &raw::Provider) -> Option<Kind> {
        let base_url = self.parsed(&format!("{key}.base_url"), given.base_url.as_deref().unwrap_or(FCM), base_url);
        let account = self.needed(key, "service_account_file", given.service_account_file.as_ref(), service_account);
        Some(Kind::Fcm { base_url: base_url?, account: account? })
    }

    /// A key that this kind of service cannot do without.
    fn needed<T>(
        &mut self,
        key: &str,
        name: &str,
        text: Option<&String>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.parsed(&format!("{key}.{name}"), text.map_or("", String::as_str), |text| match text {
            "" => Err("missing or empty; this kind of service needs it".into()),
            text => parse(text),
        })
    }
}

/// As a value of `pn-provider`, of a metric's label and of JSON, without anything to escape.
fn provider_name(text: &str) -> Result<String, String> {
    word(text).and_then(|name| match name.len() {
        0 => Err("missing or empty; give it a name, for example apns".into()),
        1..=32 => Ok(name),
        _ => Err("longer than 32 letters".into()),
    })
}

fn word(text: &str) -> Result<String, String> {
    let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if fits { label(text) } else { Err(format!("`{text}` has more than letters, digits, dots and lines")) }
}

/// What we may post to: whatever says something of a call is encrypted, unless it stays on this host.
fn base_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| {
        let rest = text.strip_prefix("http://")?;
        ["127.", "localhost:", "[::1]"].iter().any(|own| rest.starts_with(own)).then_some(rest)
    });
    let fits = rest.is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\"<>\\@".contains(&byte))
    });
    match fits {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => Err(format!("`{text}` cannot be posted to; write https://…, or http:// for this host alone")),
    }
}

/// `push.example`, `*.push.example` or `push.example:8443`.
fn host(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("*.").unwrap_or(text);
    let fits = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte));
    if fits {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("`{text}` is no host; write for example *.push.example"))
    }
}

fn contact(text: &str) -> Result<String, String> {
    let fits =
        text.strip_prefix("mailto:").or_else(|| text.strip_prefix("https://")).is_some_and(|rest| !rest.is_empty());
    if fits { label(text) } else { Err(format!("`{text}` is neither mailto: nor https://")) }
}

fn bearer_in(file: &str) -> Result<Secret<String>, String> {
    let bytes = keys::read_secret(file)?;
    let text =
        String::from_utf8(bytes.expose().clone()).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    text.filter(|text| !text.is_empty())
        .map(Secret::new)
        .ok_or_else(|| format!("{file} has no word of ASCII letters that could be sent in a header"))
}

/// A P-256 key in PEM, and its public half in base64url.
fn p256_key(file: &str) -> Result<(Secret<Vec<u8>>, String), String> {
    let pkcs8 = pkcs8(&keys::read_file(file)?).ok_or_else(|| no_key(file))?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.expose(), &SystemRandom::new())
        .map_err(|error| format!("{file} is no key for P-256 ({error})"))?;
    Ok((pkcs8, URL_SAFE_NO_PAD.encode(pair.public_key())))
}

fn no_key(file: &str) -> String {
    format!("{file} has no private key in PKCS #8; `openssl pkcs8 -topk8 -nocrypt` makes it one")
}

fn pkcs8(pem: &Secret<Vec<u8>>) -> Option<Secret<Vec<u8>>> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.expose()).ok()?;
    Some(Secret::new(key.secret_pkcs8_der().to_vec()))
}

/// The file that Google hands out.
#[derive(Deserialize)]
struct AccountFile {
    project_id: String,
    client_email: String,
    private_key_id: Option<String>,
    private_key: String,
    token_uri: String,
}

fn service_account(file: &str) -> Result<ServiceAccount, String> {
    let text = keys::read_file(file)?;
    let given: AccountFile = serde_json::from_slice(text.expose())
        .map_err(|error| format!("{file} is no service account as Google hands it out ({error})"))?;
    let AccountFile { project_id, client_email, private_key_id, private_key, token_uri } = given;
    let key = pkcs8(&Secret::new(private_key.into_bytes())).ok_or_else(|| no_key(file))?;
    RsaKeyPair::from_pkcs8(key.expose()).map_err(|error| format!("{file}: its private_key is no RSA key ({error})"))?;
    let in_file = |what: String| format!("{file}: {what}");
    let (project, token_url) = (word(&project_id).map_err(in_file)?, base_url(&token_uri).map_err(in_file)?);
    let email = label(&client_email).map_err(in_file)?;
    if project.len() > limits::LABEL_BYTES_MAX {
        return Err(in_file("its project_id is too long".into()));
    }
    Ok(ServiceAccount { project, email, key_id: private_key_id, key, token_url })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_calls_leaves_the_host_encrypted() {
        for (url, expected) in [
            ("https://push.example/wake?app=1", true),
            ("https://push.example:8443", true),
            ("http://127.0.0.1:8080/wake", true),
            ("http://[::1]:80", true),
            ("http://push.example/wake", false),
            ("https://", false),
            ("https://user@push.example", false),
            ("https://push.example/a b", false),
            ("ftp://push.example", false),
            ("", false),
        ] {
            assert_eq!(base_url(url).is_ok(), expected, "{url}");
        }
        assert_eq!(base_url("https://push.example/"), Ok("https://push.example".into()));
    }

    #[test]
    fn names_and_hosts_have_nothing_to_escape() {
        for (text, expected) in [("apns", true), ("apns-2", true), ("", false), ("a b", false), ("a\"", false)] {
            assert_eq!(provider_name(text).is_ok(), expected, "{text}");
        }
        for (text, expected) in
            [("*.push.example", true), ("a.b:8443", true), ("*", false), ("a/b", false), ("", false)]
        {
            assert_eq!(host(text).is_ok(), expected, "{text}");
        }
    }
}
