//! Where calls may come from and which name a called number stands for, as the operator configured it.
//! Not here: how a configuration file is read (`config`), and counting (`switch::lot`).

use crate::name::Name;
use crate::time::Duration;
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;

/// A peer whose INVITEs are parked: known by the addresses it sends from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// Its name in records, logs and metrics.
    pub name: Arc<str>,
    /// The networks it sends from.
    pub allow: Vec<IpNet>,
    /// Most calls of it at one time, parked and bridged together.
    pub calls_max: u32,
}

impl Trunk {
    /// Whether a source address is this trunk's. An IPv4 address written as IPv6 counts as what it is (RELIABILITY A18).
    pub fn sends_from(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.allow.iter().any(|network| network.contains(&source))
    }
}

/// What a called number matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// This number alone.
    Exact(String),
    /// Every number that begins so; the empty prefix is every number.
    Prefix(String),
}

impl Pattern {
    /// Reads `+4930123` or, with a star at its end, `+4930*`.
    pub fn parse(text: &str) -> Pattern {
        match text.strip_suffix('*') {
            Some(prefix) => Pattern::Prefix(prefix.into()),
            None => Pattern::Exact(text.into()),
        }
    }

    /// Whether a Request-URI's user part, unescaped, is meant.
    pub fn matches(&self, user: &str) -> bool {
        match self {
            Pattern::Exact(number) => number == user,
            Pattern::Prefix(prefix) => user.starts_with(prefix.as_str()),
        }
    }
}

/// What becomes of a call to a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The numbers it is for.
    pub number: Pattern,
    /// Whose clients are told.
    pub name: Name,
    /// What the caller hears of it: 180 or 183.
    pub ring: u16,
    /// How long the call waits for a callback.
    pub park: Duration,
    /// The final response when nobody called back, 400–699.
    pub fallback_status: u16,
    /// Handed to the client with the notification.
    pub data: Option<Arc<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_one_number_or_all_with_its_prefix() {
        for (pattern, user, expected) in [
            ("+4930123", "+4930123", true),
            ("+4930123", "+49301234", false),
            ("+4930*", "+49301234", true),
            ("+4930*", "+4940", false),
            ("*", "anything", true),
        ] {
            assert_eq!(Pattern::parse(pattern).matches(user), expected, "{pattern} {user}");
        }
    }

    #[test]
    fn a_trunk_is_known_by_its_networks_in_either_spelling() {
        let allow = vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let trunk = Trunk { name: "t".into(), allow, calls_max: 1 };
        for (source, expected) in [
            ("192.0.2.7", true),
            ("::ffff:192.0.2.7", true),
            ("198.51.100.1", false),
            ("2001:db8::1", true),
            ("::1", false),
        ] {
            assert_eq!(trunk.sends_from(source.parse().unwrap()), expected, "{source}");
        }
    }
}
