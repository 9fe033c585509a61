//! `[digest]` and `[[user]]`: telephones that prove a password, and what each may do. `[registrar]`: how long they are remembered.
//! Not here: the proof (`sip::auth`), and what a grant means (`policy`).

use super::raw::{self, Raw};
use super::typed::{Check, label};
use super::{address, keys};
use crate::name::Name;
use crate::number::Pattern;
use crate::policy::{
    Addressee, Allowance, Grant, Hours, MediaKinds, Parameters, RecordRule, Restrictions, Users, parse_instant,
};
use crate::registrar::Lifetimes;
use crate::secret::Secret;
use crate::sip::auth::Algorithm;
use std::collections::BTreeSet;

/// Longest registration that can be configured: a day, after which nobody knows whether a telephone is still there.
const EXPIRES_SECONDS_MAX: u64 = 86_400;

impl Check {
    pub(super) fn users(&mut self, raw: &Raw) -> Option<Users> {
        let realm = self.parsed("digest.realm", &raw.digest.realm, realm);
        let algorithms = self.each("digest.algorithms", &raw.digest.algorithms, algorithm);
        if raw.digest.algorithms.is_empty() && !raw.user.is_empty() {
            self.note("digest.algorithms", "empty; no user could prove a password");
        }
        let mut names = BTreeSet::new();
        let mut users = Vec::new();
        for (at, user) in raw.user.iter().enumerate() {
            let key = format!("user[{at}]");
            if !names.insert(user.name.as_str()) {
                self.note(
                    &format!("{key}.name"),
                    format!("`{}` is taken; give each user a name of his own", user.name),
                );
            }
            users.push(self.user(&key, user, &raw.policy.time_zone));
        }
        let (realm, algorithms) = (realm?, algorithms?);
        let mut all = Users::new(&realm, &algorithms);
        for user in users {
            let (name, password, grant) = user?;
            all.add(&name, password.expose(), grant);
        }
        Some(all)
    }

    pub(super) fn lifetimes(&mut self, raw: &Raw) -> Option<Lifetimes> {
        let given = &raw.registrar;
        let min = self.number("registrar.expires_seconds_min", given.expires_seconds_min, 1..=EXPIRES_SECONDS_MAX);
        let range = min.map_or(1, u64::from)..=EXPIRES_SECONDS_MAX;
        let max = self.number("registrar.expires_seconds_max", given.expires_seconds_max, range.clone());
        let range = *range.start()..=max.map_or(EXPIRES_SECONDS_MAX, u64::from);
        let default = self.number("registrar.expires_seconds_default", given.expires_seconds_default, range);
        Some(Lifetimes { seconds_min: min?, seconds_max: max?, seconds_default: default? })
    }

    fn user(&mut self, key: &str, user: &raw::User, zone: &str) -> Option<(String, Secret<String>, Grant)> {
        let at = |name: &str| format!("{key}.{name}");
        let name = self.parsed(&at("name"), &user.name, user_name);
        let password = self.password(key, user);
        let receive = self.each(&at("receive"), &user.receive, name_of);
        let bridge = self.each(&at("bridge"), &user.bridge, name_of);
        let transfer = self.each(&at("transfer"), &user.transfer, name_of);
        let message = self.each(&at("message"), &user.message, Addressee::parse);
        let presence = self.each(&at("presence"), &user.presence, name_of);
        let default = Grant::default();
        let media = match &user.media {
            Some(words) => self.each(&at("media"), words, media).map(MediaKinds::from_iter),
            None => Some(default.media),
        };
        let concurrent = user.concurrent.unwrap_or(default.concurrent.into());
        let concurrent = self.number(&at("concurrent"), concurrent, 0..=u64::from(u32::MAX));
        let dial = user.dial.unwrap_or(default.dial);
        let ring = user.ring.as_deref().map_or(Some(false), |text| self.parsed(&at("ring"), text, ring));
        let record = user.record.as_deref().map(|text| self.parsed(&at("record"), text, rule));
        let only = self.restrictions(key, user, zone);
        let parameters = self.parameters(&at("parameters"), user.parameters.as_deref().unwrap_or_default());
        let (receive, bridge, transfer) = (receive?, bridge?, transfer?);
        let (message, presence) = (message?, presence?);
        let (media, concurrent, ring) = (media?, concurrent?, ring?);
        let record = record.map_or(Some(None), |rule| rule.map(Some))?;
        let only = only.filter(|only| !only.is_none()).map(Box::new);
        let parameters = parameters?;
        Some((
            name?,
            password?,
            Grant {
                receive,
                bridge,
                transfer,
                message,
                presence,
                dial,
                media,
                concurrent,
                ring,
                record,
                only,
                parameters,
            },
        ))
    }

    /// Each as `name=value`.
    fn parameters(&mut self, key: &str, texts: &[String]) -> Option<Option<Box<Parameters>>> {
        let pair = |text: &str| {
            let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` has no =; write name=value"))?;
            Ok((name.to_owned(), value.to_owned()))
        };
        let pairs: Vec<(String, String)> = self.each(key, texts, pair)?;
        match Parameters::new(pairs.into_iter().collect()) {
            Ok(parameters) => Some(parameters),
            Err(what) => self.wrong(key, what),
        }
    }

    /// What narrows the grant further; hours are counted where those of rules are.
    fn restrictions(&mut self, key: &str, user: &raw::User, zone: &str) -> Option<Restrictions> {
        let at = |name: &str| format!("{key}.{name}");
        let from = self.each(&at("from"), user.from.as_deref().unwrap_or_default(), address::net);
        let mut instant = |name: &str, text: &Option<String>| match text {
            Some(text) => self.parsed(&at(name), text, parse_instant).map(Some),
            None => Some(None),
        };
        let (not_before, not_after) = (instant("not_before", &user.not_before), instant("not_after", &user.not_after));
        let hours = self.hours(&at("hours"), user.hours.as_deref().unwrap_or_default(), zone);
        let called = self.each(&at("called"), user.called.as_deref().unwrap_or_default(), Pattern::parse);
        let in_all = self.limit(&at("calls"), user.calls);
        let calls = self.allowance(key, user.calls_per_hour, user.calls_per_day);
        let call_seconds_max = self.limit(&at("call_seconds_max"), user.call_seconds_max);
        Some(Restrictions {
            from: from?,
            not_before: not_before?,
            not_after: not_after?,
            hours: hours?,
            called: called?,
            calls: Allowance { in_all: in_all?, ..calls? },
            call_seconds_max: call_seconds_max?,
        })
    }

    /// Hours of the week; none if the text is empty.
    pub(super) fn hours(&mut self, key: &str, text: &str, zone: &str) -> Option<Option<Hours>> {
        self.optional(key, text, |text| Hours::parse(text, zone).map_err(|error| error.to_string()))
    }

    /// How many calls in a period.
    pub(super) fn allowance(&mut self, key: &str, hour: Option<u64>, day: Option<u64>) -> Option<Allowance> {
        let per_hour = self.limit(&format!("{key}.calls_per_hour"), hour);
        let per_day = self.limit(&format!("{key}.calls_per_day"), day);
        Some(Allowance { in_all: None, per_hour: per_hour?, per_day: per_day? })
    }

    /// A limit that need not be there.
    pub(super) fn limit(&mut self, key: &str, given: Option<u64>) -> Option<Option<u32>> {
        match given {
            Some(number) => self.number(key, number, 0..=u64::from(u32::MAX)).map(Some),
            None => Some(None),
        }
    }

    fn password(&mut self, key: &str, user: &raw::User) -> Option<Secret<String>> {
        let (name, password) = match (&user.secret, &user.secret_file) {
            (Some(text), None) => ("secret", Secret::new(text.clone())),
            (None, Some(file)) => ("secret_file", self.parsed(&format!("{key}.secret_file"), file, text_in)?),
            (Some(_), Some(_)) | (None, None) => return self.wrong(key, "give exactly one of secret_file and secret"),
        };
        if password.expose().is_empty() {
            return self.wrong(&format!("{key}.{name}"), "empty; anybody could guess it");
        }
        Some(password)
    }
}

fn text_in(file: &str) -> Result<Secret<String>, String> {
    let bytes = keys::read_secret(file)?;
    String::from_utf8(bytes.expose().clone()).map(Secret::new).map_err(|_| format!("{file} is no text in UTF-8"))
}

/// What is between quotes in a header, and needs no escapes there.
fn realm(text: &str) -> Result<String, String> {
    let fits = text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
    if fits { label(text) } else { Err("has quotes, backslashes or letters beyond ASCII; leave them out".into()) }
}

/// Whether telephones are rung by an INVITE.
pub(super) fn ring(text: &str) -> Result<bool, String> {
    match text {
        "notify" => Ok(false),
        "invite" => Ok(true),
        _ => Err(format!("`{text}` is neither notify nor invite")),
    }
}

/// Whether the calls that he answers are recorded.
fn rule(text: &str) -> Result<RecordRule, String> {
    match text {
        "require" => Ok(RecordRule::Require),
        "forbid" => Ok(RecordRule::Forbid),
        _ => Err(format!("`{text}` is neither require nor forbid; leave it out for what the route says")),
    }
}

/// As a subject of a JWT.
fn user_name(text: &str) -> Result<String, String> {
    let name = label(text)?;
    // A colon would end it within the hash (RFC 7617 §2 has the same rule, for the same reason).
    if name.contains([':', '"', '\\']) {
        return Err(format!("`{name}` has a colon, a quote or a backslash; leave them out"));
    }
    Ok(name)
}

pub(super) fn name_of(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|error| error.to_string())
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    Algorithm::from_word(text).ok_or_else(|| format!("`{text}` is no algorithm; write SHA-512-256, SHA-256 or MD5"))
}

pub(super) fn media(text: &str) -> Result<MediaKinds, String> {
    MediaKinds::from_word(text)
        .ok_or_else(|| format!("`{text}` is no kind of media; write audio, video, message or image"))
}
