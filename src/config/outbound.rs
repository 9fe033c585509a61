//! `[[trunk]]` as far as we go to it: targets, health, registration; and how its numbers and its rate are limited.
//! Not here: who may call (`typed`).

use super::raw;
use super::typed::Check;
use crate::call::Rewrite;
use crate::limits;
use crate::secret::Secret;
use crate::sip::auth::Credentials;
use crate::sip::target::Target;
use crate::sip::wire::{Scheme, Uri};
use crate::trunk::{Outbound, Registered};
use std::sync::Arc;

/// How often a target is asked whether it is there, where the file does not say.
const HEALTH_SECONDS: u64 = 30;
/// How long a registration shall last, where the file does not say.
const REGISTER_SECONDS: u64 = 600;

impl Check {
    /// The trunks that have targets or want us registered.
    pub(super) fn outbound(&mut self, raw: &raw::Raw) -> Option<Vec<Arc<Outbound>>> {
        let entries =
            raw.trunk.iter().enumerate().filter(|(_, trunk)| {
                trunk.targets.is_some() || trunk.register.is_some() || trunk.messages == Some(true)
            });
        let all: Vec<_> = entries.map(|(at, trunk)| self.outbound_trunk(&format!("trunk[{at}]"), trunk)).collect();
        all.into_iter().collect()
    }

    fn outbound_trunk(&mut self, key: &str, trunk: &raw::Trunk) -> Option<Arc<Outbound>> {
        let targets_key = format!("{key}.targets");
        let listed = trunk.targets.as_deref().unwrap_or_default();
        let targets = self.each(&targets_key, listed, Target::parse);
        if listed.len() > limits::TARGETS_MAX {
            self.note(&targets_key, format!("more than {} targets", limits::TARGETS_MAX));
        }
        if trunk.messages == Some(true) && trunk.targets.is_none() && trunk.register.is_none() {
            self.note(&format!("{key}.messages"), "there are no targets to send them to; give some");
        }
        let register = match &trunk.register {
            Some(register) => self.register(&format!("{key}.register"), register).map(Some),
            None => Some(None),
        };
        let health = trunk.health_seconds.unwrap_or(HEALTH_SECONDS);
        let health = self.seconds(&format!("{key}.health_seconds"), health, 0..=86_400);
        let (mut targets, register, health) = (targets?, register?, health?);
        // Without targets the registrar is one.
        if let (true, Some(register)) = (targets.is_empty(), &register) {
            targets.extend(Target::parse(&register.registrar).ok());
        }
        if targets.is_empty() {
            self.note(&targets_key, "empty; give a target, for example sip:gw.carrier.example, or leave it out");
        }
        let health = Some(health).filter(|health| !health.is_zero());
        let messages = trunk.messages.unwrap_or_default();
        Some(Arc::new(Outbound { name: trunk.name.as_str().into(), targets, health, register, messages }))
    }

    fn register(&mut self, key: &str, register: &raw::Register) -> Option<Arc<Registered>> {
        let at = |name: &str| format!("{key}.{name}");
        let address = self.parsed(&at("uri"), &register.uri, address_of_record);
        let seconds = register.seconds.unwrap_or(REGISTER_SECONDS);
        let life = self.seconds(&at("seconds"), seconds, limits::REGISTER_SECONDS_MIN..=limits::REGISTER_SECONDS_MAX);
        let password = match (&register.password, &register.password_file) {
            (None, None) => Some(None),
            (Some(text), None) => Some(Some(Secret::new(text.clone()))),
            (None, Some(file)) => self.parsed(&at("password_file"), file, password_in).map(Some),
            (Some(_), Some(_)) => self.wrong(&at("password_file"), "give one of password_file and password"),
        };
        let (address, life, password) = (address?, life?, password?);
        let username = register.user.clone().unwrap_or_else(|| address.user.clone());
        let realm = Some(register.realm.clone().unwrap_or_else(|| address.domain.clone()));
        let credentials = password.map(|password| Credentials { username, realm, password });
        Some(Arc::new(Registered {
            uri: register.uri.as_str().into(),
            user: address.user.into(),
            registrar: address.registrar.into(),
            credentials,
            life,
        }))
    }

    /// The rules for a trunk's numbers.
    pub(super) fn rewrite(&mut self, key: &str, rules: Option<&Vec<String>>) -> Option<Rewrite> {
        match Rewrite::parse(rules.map(Vec::as_slice).unwrap_or_default()) {
            Ok(rewrite) => Some(rewrite),
            Err((at, what)) => self.wrong(&format!("{key}[{at}]"), what),
        }
    }
}

/// What is in an address-of-record.
struct Address {
    user: String,
    domain: String,
    /// The Request-URI of a REGISTER to it (RFC 3261 §10.2).
    registrar: String,
}

fn address_of_record(text: &str) -> Result<Address, String> {
    let bad = || format!("`{text}` is no address of record; write for example sip:account@registrar.example");
    let uri = Uri::parse(text.as_bytes()).map_err(|_| bad())?;
    let scheme = match uri.scheme {
        Scheme::Sip => "sip",
        Scheme::Sips => "sips",
        Scheme::Other(_) => return Err(bad()),
    };
    let user =
        uri.user.and_then(|user| std::str::from_utf8(user).ok()).filter(|user| !user.is_empty()).ok_or_else(bad)?;
    // RFC 3261 §10.2: without parameters that only concern a way; and a password does not belong here.
    if !uri.params.as_bytes().is_empty() || uri.password.is_some() || !uri.headers.is_empty() {
        return Err(format!("`{text}` has more than scheme, user and host; leave the rest out"));
    }
    let (_, host) = text.split_once('@').ok_or_else(bad)?;
    let domain = host.rsplit_once(':').filter(|_| uri.port.is_some()).map_or(host, |(domain, _)| domain);
    Ok(Address { user: user.to_owned(), domain: domain.to_owned(), registrar: format!("{scheme}:{host}") })
}

fn password_in(file: &str) -> Result<Secret<String>, String> {
    let bytes = super::keys::read_secret(file)?;
    let text = std::str::from_utf8(bytes.expose()).map_err(|_| format!("{file} is no text in UTF-8"))?;
    if text.is_empty() { Err(format!("{file} is empty")) } else { Ok(Secret::new(text.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_record_is_a_user_at_a_host() {
        for (text, user, domain, registrar) in [
            ("sip:us@registrar.example", "us", "registrar.example", "sip:registrar.example"),
            ("sips:%2b4930@r.example:5070", "%2b4930", "r.example", "sips:r.example:5070"),
            ("sip:us@[2001:db8::1]:5070", "us", "[2001:db8::1]", "sip:[2001:db8::1]:5070"),
        ] {
            let address = address_of_record(text).unwrap();
            assert_eq!((&*address.user, &*address.domain, &*address.registrar), (user, domain, registrar), "{text}");
        }
        for bad in
            ["", "us@r.example", "sip:r.example", "tel:+4930", "sip:us@r;transport=tcp", "sip:us:pw@r", "sip:us@r?x=1"]
        {
            assert!(address_of_record(bad).is_err(), "{bad:?}");
        }
    }
}
