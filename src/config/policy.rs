//! `[policy]`: whose signature is believed, which engines are asked, the operator's rules, and the cases that they must pass.
//! Not here: what an engine decides (`policy`).

use super::keys;
use super::raw::{self, Raw};
use super::typed::{Check, label};
use super::users::{media, name_of};
use super::{Policy, PolicyKey, address, cases};
use crate::limits;
use crate::name::Name;
use crate::number::Pattern;
use crate::policy::{
    Action, Algorithm, Chain, Effect, Engine, Engines, Form, Grants, Limits, MediaKinds, OUTCOMES, Person, Reason,
    Rego, Rule, Rules, Server, VerifyingKey, no_action,
};
use crate::secret::Secret;
use crate::time::Duration;
use hyper::Uri;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// What is asked where the URL names nothing.
const DECISION: &str = "/v1/data/parkway/decision";

/// What a chain may be made of, besides grants.
#[derive(Clone, Copy)]
struct Known<'a> {
    rules: Option<&'a Arc<Rules>>,
    rego: Option<&'a Arc<Rego>>,
    server: Option<&'a Arc<Server>>,
}

/// Each method takes the sections' values and gives `None` when a mistake was noted.
impl Check {
    pub(super) fn policy(&mut self, raw: &Raw) -> Option<Policy> {
        let audience = self.parsed("policy.audience", &raw.policy.audience, label);
        let skew = self.seconds("policy.skew_seconds", raw.policy.skew_seconds, 0..=300);
        let engines = self.engines(raw);
        let mut kids = BTreeSet::new();
        let mut keys = Vec::new();
        for (at, key) in raw.policy.key.iter().enumerate() {
            let path = format!("policy.key[{at}]");
            if !kids.insert(key.kid.as_str()) {
                self.note(&format!("{path}.kid"), format!("`{}` is taken; give each key its own", key.kid));
            }
            keys.push(self.policy_key(&path, key));
        }
        let keys: Option<Vec<_>> = keys.into_iter().collect();
        let engines = engines?;
        self.try_cases(&raw.policy.cases_file, &engines);
        Some(Policy { audience: audience?, skew: skew?, keys: keys?, engines })
    }

    fn policy_key(&mut self, path: &str, key: &raw::PolicyKey) -> Option<PolicyKey> {
        let kid = self.parsed(&format!("{path}.kid"), &key.kid, label);
        let algorithm = self.parsed(&format!("{path}.type"), &key.kind, algorithm)?;
        let (name, material) = self.material(path, key, algorithm)?;
        if let Err(error) = VerifyingKey::new(algorithm, material.expose()) {
            return self
                .wrong(&format!("{path}.{name}"), format!("{error}; make a secret with `openssl rand -base64 48`"));
        }
        let form = self.form(path, key, algorithm)?;
        Some(PolicyKey { kid: kid?, algorithm, material, form })
    }

    /// What the tokens look like that the key signs.
    fn form(&mut self, path: &str, key: &raw::PolicyKey, algorithm: Algorithm) -> Option<Form> {
        let at = |name: &str| format!("{path}.{name}");
        let word = key.form.as_deref().unwrap_or("jwt");
        if word != "jwt" && !keys::is_secret(algorithm) {
            return self.wrong(
                &at("form"),
                format!("`{word}` is signed with a shared secret; give type hs256, hs384 or hs512"),
            );
        }
        match (word, &key.account) {
            ("access", Some(account)) => {
                self.parsed(&at("account"), account, label).map(|account| Form::Access { account })
            }
            ("access", None) => self.wrong(path, "give account: the account whose key this is"),
            ("jwt" | "capability", Some(_)) => {
                self.wrong(&at("account"), "only a key of form access has one; leave it out")
            }
            ("jwt", None) => Some(Form::Own),
            ("capability", None) => Some(Form::Capability),
            (other, _) => self.wrong(&at("form"), format!("`{other}` is no form; write jwt, access or capability")),
        }
    }

    /// The one key among the three that is given and fits the algorithm, and what it says.
    fn material(
        &mut self,
        path: &str,
        key: &raw::PolicyKey,
        algorithm: Algorithm,
    ) -> Option<(&'static str, Secret<Vec<u8>>)> {
        let symmetric = keys::is_secret(algorithm);
        match (&key.secret, &key.secret_file, &key.public_key_file) {
            (Some(text), None, None) if symmetric => Some(("secret", Secret::new(text.clone().into_bytes()))),
            (None, Some(file), None) if symmetric => {
                self.parsed(&format!("{path}.secret_file"), file, keys::read_secret).map(|it| ("secret_file", it))
            }
            (None, None, Some(file)) if !symmetric => {
                self.parsed(&format!("{path}.public_key_file"), file, keys::read_file).map(|it| ("public_key_file", it))
            }
            _ if symmetric => self.wrong(path, "give exactly one of secret_file and secret, and no public_key_file"),
            _ => self.wrong(path, "give public_key_file and no secret: this type of key has a public half"),
        }
    }

    /// The engines of all names, and of each `[[policy.name]]`.
    fn engines(&mut self, raw: &Raw) -> Option<Engines> {
        let rules = self.rules(raw).map(Arc::new);
        let server = self.server(raw)?.map(Arc::new);
        let rego = self.optional("policy.rego_file", &raw.policy.rego_file, rego_of)?.map(Arc::new);
        let known = Known { rules: rules.as_ref(), rego: rego.as_ref(), server: server.as_ref() };
        let usual = self.chain("policy.engines", &raw.policy.engines, known);
        let mut by_name = BTreeMap::new();
        for (at, entry) in raw.policy.name.iter().enumerate() {
            let key = format!("policy.name[{at}]");
            let name = self.parsed(&format!("{key}.name"), &entry.name, name_of);
            let chain = self.chain(&format!("{key}.engines"), &entry.engines, known);
            if let (Some(name), Some(chain)) = (name, chain)
                && by_name.insert(name, chain).is_some()
            {
                self.note(&format!("{key}.name"), format!("`{}` is taken; say its engines once", entry.name));
            }
        }
        rules.and(usual).map(|usual| Engines::new(usual, by_name))
    }

    /// The application that decides, if there is one.
    fn server(&mut self, raw: &Raw) -> Option<Option<Server>> {
        let longest = u64::try_from(limits::POLICY_WAIT_MAX.as_millis()).unwrap_or(u64::MAX);
        let timeout = self.number("policy.http_timeout_ms", raw.policy.http_timeout_ms, 1..=longest)?;
        let timeout = Duration::from_millis(timeout);
        self.optional("policy.http_url", &raw.policy.http_url, |url| server_of(url, timeout))
    }

    fn chain(&mut self, key: &str, words: &[String], known: Known<'_>) -> Option<Chain> {
        let Known { rules, rego, server } = known;
        if words.is_empty() {
            return self.wrong(key, "empty, so nobody could do anything; write grants, rules, rego, or several");
        }
        if words.iter().all(|word| word == "http") {
            return self.wrong(
                key,
                "http is asked about callbacks alone; write grants, rules or rego beside it, who decide about all else",
            );
        }
        if rules.is_some_and(|rules| rules.0.is_empty()) && words.iter().any(|word| word == "rules") {
            return self.wrong(key, "there are no rules, so nobody could do anything; give a [[policy.rule]]");
        }
        self.each(key, words, |word| match word {
            "grants" => Ok(Engine::Grants(Grants::default())),
            "rules" => Ok(Engine::Rules(rules.map(Arc::clone).unwrap_or_default())),
            "rego" => {
                let rego = rego.map(Arc::clone).map(Engine::Rego);
                rego.ok_or_else(|| "there is no policy; give policy.rego_file".to_owned())
            }
            "http" => {
                let server = server.map(Arc::clone).map(Engine::Http);
                server.ok_or_else(|| "there is nobody to ask; give policy.http_url".to_owned())
            }
            _ => Err(format!("`{word}` is no engine; write grants, rules, rego or http")),
        })
    }

    fn rules(&mut self, raw: &Raw) -> Option<Rules> {
        let mut ids = BTreeSet::new();
        let mut rules = Vec::new();
        for (at, rule) in raw.policy.rule.iter().enumerate() {
            let key = format!("policy.rule[{at}]");
            if !ids.insert(rule.id.as_str()) {
                self.note(&format!("{key}.id"), format!("`{}` is taken; give each rule an id of its own", rule.id));
            }
            rules.push(self.rule(&key, rule, &raw.policy.time_zone));
        }
        rules.into_iter().collect::<Option<Vec<_>>>().map(Rules)
    }

    fn rule(&mut self, key: &str, rule: &raw::PolicyRule, zone: &str) -> Option<Rule> {
        let at = |name: &str| format!("{key}.{name}");
        let id = self.parsed(&at("id"), &rule.id, rule_id);
        let effect = self.effect(key, rule);
        let actions =
            self.each(&at("actions"), &rule.actions, |word| Action::from_word(word).ok_or_else(|| no_action(word)));
        let who = self.each(&at("who"), &rule.who, |subject| label(subject).map(|subject| Person::new(&subject)));
        let names: Option<Vec<Name>> = self.each(&at("names"), &rule.names, name_of);
        let from = self.each(&at("from"), &rule.from, address::net);
        let called = self.each(&at("called"), &rule.called, Pattern::parse);
        let hours = self.hours(&at("hours"), &rule.hours, zone);
        let (actions, who, names, from, called) = (actions?, who?, names?, from?, called?);
        Some(Rule { id: id?.into(), effect: effect?, actions, who, names, from, called, hours: hours? })
    }

    fn effect(&mut self, key: &str, rule: &raw::PolicyRule) -> Option<Effect> {
        let at = |name: &str| format!("{key}.{name}");
        let kinds = rule.media.as_ref().map(|words| self.each(&at("media"), words, media));
        match &*rule.effect {
            "allow" => {
                let usual = Limits::default();
                let concurrent = self.limit(&at("concurrent"), rule.concurrent)?.unwrap_or(usual.concurrent);
                let media = kinds.map_or(Some(usual.media), |kinds| kinds.map(MediaKinds::from_iter))?;
                let calls = self.allowance(key, rule.calls_per_hour, rule.calls_per_day)?;
                let seconds = self.limit(&at("call_seconds_max"), rule.call_seconds_max)?;
                let lasts = seconds.map(|seconds| Duration::from_secs(seconds.into()));
                Some(Effect::Allow(Limits { media, concurrent, calls, lasts }))
            }
            "deny" => {
                let limits = [
                    ("media", kinds.is_some()),
                    ("concurrent", rule.concurrent.is_some()),
                    ("calls_per_hour", rule.calls_per_hour.is_some()),
                    ("calls_per_day", rule.calls_per_day.is_some()),
                    ("call_seconds_max", rule.call_seconds_max.is_some()),
                ];
                match limits.iter().find(|(_, given)| *given) {
                    Some((name, _)) => self.wrong(&at(name), "a denial has no limits; leave it out"),
                    None => Some(Effect::Deny),
                }
            }
            other => self.wrong(&at("effect"), format!("`{other}` is neither allow nor deny")),
        }
    }

    /// A policy that does not what its operator expects of it is a mistake: the old one stays.
    fn try_cases(&mut self, file: &str, engines: &Engines) {
        if file.is_empty() {
            return;
        }
        match cases::read(Path::new(file)) {
            Err(what) => self.note("policy.cases_file", what),
            Ok(cases) => {
                let failures = cases.iter().filter_map(|case| case.judge(engines).err());
                failures.for_each(|failure| self.note("policy.cases_file", failure));
            }
        }
    }
}

fn rego_of(file: &str) -> Result<Rego, String> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| format!("{file} cannot be read ({error}); check path and permissions"))?;
    Rego::compile(file, &text)
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    let found = Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("`{text}` is no type of key; write hs256, hs384, hs512, es256 or eddsa"))
}

/// `http://127.0.0.1:8181/v1/data/parkway/decision`. Any address will do: an agent beside us is the usual case, and nobody but the operator says
/// which it is.
fn server_of(url: &str, timeout: Duration) -> Result<Server, String> {
    let wrong = || format!("`{url}` is no URL that can be asked; write for example http://127.0.0.1:8181{DECISION}");
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let (is_secure, usual) = match uri.scheme_str() {
        Some("http") => (false, 80),
        Some("https") => (true, 443),
        _ => return Err(wrong()),
    };
    let authority = uri.authority().filter(|it| !it.as_str().contains('@')).ok_or_else(wrong)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || url.len() > limits::URL_BYTES_MAX || url.contains('#') {
        return Err(wrong());
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path == "/" { DECISION } else { path };
    let port = authority.port_u16().unwrap_or(usual);
    Ok(Server { is_secure, host: host.into(), port, path: path.into(), timeout })
}

/// What stands beside the reasons of denials, and must not look like one.
fn rule_id(text: &str) -> Result<String, String> {
    let known = |text: &str| Reason::ALL.iter().any(|reason| reason.as_str() == text) || OUTCOMES.contains(&text);
    let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    match text {
        "" => Err("empty; say what the record and the log shall call this rule".into()),
        text if !fits => Err(format!("`{text}` has other characters than letters, digits, -, _ and .; leave them out")),
        text if known(text) => Err(format!("`{text}` is a word of ours; call the rule otherwise")),
        text => Ok(text.to_owned()),
    }
}
