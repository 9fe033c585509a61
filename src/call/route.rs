//! Where calls may come from and which name a called number stands for, as the operator configured it.
//! Not here: which keys of the configuration say so (`config`), and counting (`switch::lot`).

use super::Rewrite;
use crate::media::{Sides, SoundId};
use crate::mutant::{Mutant, planted};
use crate::name::Name;
use crate::number::Pattern;
use crate::time::Duration;
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;

/// A peer whose INVITEs are parked: known by the addresses it sends from, by the certificate that it shows, or by
/// the password that it proves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trunk {
    /// Its name in records, logs and metrics.
    pub name: Arc<str>,
    /// The networks it sends from.
    pub allow: Vec<IpNet>,
    /// The names in lower case of which its TLS certificate has one, whatever its address is.
    pub tls_names: Vec<String>,
    /// The user whose password it proves (RFC 7616), wherever it calls from.
    pub user: Option<String>,
    /// Most calls of it at one time, parked and bridged together.
    pub calls_max: u32,
    /// What it is believed about who calls.
    pub identity: Identity,
    /// Most new calls of it in one second; `None`: as many as come.
    pub calls_per_second_max: Option<u32>,
    /// How a number that it calls becomes the one that routes know.
    pub called: Rewrite,
    /// How the number of its caller becomes the one that clients and records see.
    pub calling: Rewrite,
    /// Whether its calls have to come with SRTP.
    pub srtp_required: bool,
}

/// By which header a trunk says who calls.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Identity {
    /// From, which its callers may write themselves.
    #[default]
    From,
    /// P-Asserted-Identity where there is one (RFC 3325): the trunk is part of a network that vouches for its callers.
    Asserted,
}

impl Trunk {
    /// Whether a source address is this trunk's. An IPv4 address written as IPv6 counts as what it is (RELIABILITY A18).
    pub fn sends_from(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.allow.iter().any(|network| network.contains(&source)) || planted(Mutant::StrangerAdmitted)
    }

    /// Whether a certificate with these names, in lower case, is this trunk's.
    pub fn is_named(&self, names: &[String]) -> bool {
        self.tls_names.iter().any(|name| names.contains(name))
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
    /// What the caller hears of us while the call waits; `None`: what its own telephone makes of the ringing.
    pub hears: Option<SoundId>,
    /// Whose words are recorded once it is answered, unless policy says otherwise; `None`: nobody's.
    pub record: Option<Sides>,
    /// How long the call waits for a callback.
    pub park: Duration,
    /// The final response when nobody called back, 400–699.
    pub fallback_status: u16,
    /// Whether telephones that registered are rung, and not told of the call.
    pub invites: bool,
    /// Handed to the client with the notification.
    pub data: Option<Arc<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trunk_is_known_by_its_networks_in_either_spelling() {
        let allow = vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let trunk = Trunk { name: "t".into(), allow, calls_max: 1, ..Trunk::default() };
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
