//! In which order the records of a name are to be tried: NAPTR by order and preference (RFC 3403 §4.1, RFC 3263 §4.1), SRV by priority
//! and, among equals, by weight and chance (RFC 2782).
//! Not here: asking for them.

use crate::rng::Rng;
use crate::sip::target::{Carrier, Target};
use std::cmp::Reverse;

/// A NAPTR record that leads to SRV records.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Naptr {
    /// Lower first.
    pub(super) order: u16,
    /// Among equal orders, lower first.
    pub(super) preference: u16,
    /// `s` is all that SIP has a use for.
    pub(super) flags: String,
    /// `SIP+D2U` and its like.
    pub(super) service: String,
    /// The name of the SRV records.
    pub(super) replacement: String,
}

/// A SRV record.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Srv {
    /// Lower first.
    pub(super) priority: u16,
    /// Among equal priorities, a higher one comes first more often.
    pub(super) weight: u16,
    /// Where it listens.
    pub(super) port: u16,
    /// Who.
    pub(super) host: String,
}

/// What a service of a NAPTR record is carried by (RFC 3263 §4.1).
fn carrier_of(service: &str) -> Option<Carrier> {
    let services = [("SIP+D2U", Carrier::Udp), ("SIP+D2T", Carrier::Tcp), ("SIPS+D2T", Carrier::Tls)];
    services.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(service)).map(|(_, carrier)| carrier)
}

/// Of NAPTR records those that we can follow, in their order: what carries it, and the name of its SRV records. For a `sips:` target
/// nothing but TLS is left.
pub(super) fn follow(target: &Target, mut records: Vec<Naptr>, supported: &[Carrier]) -> Vec<(Carrier, String)> {
    records.sort();
    let fit = |record: Naptr| {
        let carrier = carrier_of(&record.service)?;
        let allowed = supported.contains(&carrier) && (!target.is_secure || carrier == Carrier::Tls);
        let leads = record.flags.eq_ignore_ascii_case("s") && !record.replacement.is_empty();
        (allowed && leads).then_some((carrier, record.replacement))
    };
    records.into_iter().filter_map(fit).collect()
}

/// The name of the SRV records of a domain for what carries it (RFC 3263 §4.1, §4.2).
pub(super) fn srv_name(carrier: Carrier, domain: &str) -> String {
    match carrier {
        Carrier::Udp => format!("_sip._udp.{domain}"),
        Carrier::Tcp => format!("_sip._tcp.{domain}"),
        Carrier::Tls => format!("_sips._tcp.{domain}"),
    }
}

/// RFC 2782: the lowest priority first; of equal ones, one after the other is drawn, each with a chance that is its share of the
/// weights that are left. Those of weight 0 come first in the running sum, which leaves them a small chance. A target of `.` says that
/// the service is not there.
pub(super) fn draw(mut records: Vec<Srv>, rng: &mut Rng) -> Vec<Srv> {
    records.retain(|record| !matches!(record.host.as_str(), "" | "."));
    records.sort_by_key(|record| (Reverse(record.priority), record.weight, record.host.clone(), record.port));
    let mut drawn = Vec::with_capacity(records.len());
    while let Some(priority) = records.last().map(|record| record.priority) {
        let first = records.iter().position(|record| record.priority == priority).unwrap_or(0);
        let mut equals = records.split_off(first);
        while !equals.is_empty() {
            let total: u32 = equals.iter().map(|record| u32::from(record.weight)).sum();
            let chance = rng.below(total + 1);
            let mut sum = 0;
            let reached = |record: &Srv| {
                sum += u32::from(record.weight);
                sum >= chance
            };
            let at = equals.iter().position(reached).unwrap_or(0);
            drawn.push(equals.remove(at));
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn naptr(order: u16, preference: u16, flags: &str, service: &str) -> Naptr {
        let replacement = format!("{}.{preference}", service.to_lowercase());
        Naptr { order, preference, flags: flags.into(), service: service.into(), replacement }
    }

    #[test]
    fn naptr_records_are_followed_by_order_then_preference_and_only_where_we_can() {
        let records = vec![
            naptr(20, 1, "s", "SIP+D2U"),
            naptr(10, 60, "s", "SIP+D2T"),
            naptr(10, 50, "S", "sips+d2t"),
            naptr(5, 1, "u", "E2U+sip"),
            naptr(6, 1, "a", "SIP+D2U"),
            naptr(7, 1, "s", "SIP+D2S"),
        ];
        let names = |target: &str, supported: &[Carrier]| -> Vec<String> {
            let followed = follow(&Target::parse(target).unwrap(), records.clone(), supported);
            followed.into_iter().map(|(carrier, name)| format!("{} {name}", carrier.as_str())).collect()
        };
        assert_eq!(names("sip:d", &Carrier::ALL), ["tls sips+d2t.50", "tcp sip+d2t.60", "udp sip+d2u.1"]);
        assert_eq!(names("sip:d", &[Carrier::Udp]), ["udp sip+d2u.1"]);
        assert_eq!(names("sips:d", &Carrier::ALL), ["tls sips+d2t.50"]);
        assert_eq!(names("sips:d", &[Carrier::Udp]), [""; 0]);
    }

    fn srv(priority: u16, weight: u16, host: &str) -> Srv {
        Srv { priority, weight, port: 5060, host: host.into() }
    }

    #[test]
    fn a_lower_priority_comes_first_whatever_the_weights() {
        let mut rng = Rng::from_seed([1; 32]);
        for _ in 0..50 {
            let records = vec![srv(20, 65_535, "c"), srv(10, 0, "a"), srv(15, 1, "b"), srv(1, 1, ".")];
            let hosts: Vec<String> = draw(records, &mut rng).into_iter().map(|record| record.host).collect();
            assert_eq!(hosts, ["a", "b", "c"]);
        }
    }

    #[test]
    fn among_equals_each_comes_first_as_often_as_its_weight_says_and_none_is_lost() {
        let mut rng = Rng::from_seed([2; 32]);
        let mut first: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..4000 {
            let drawn = draw(vec![srv(1, 60, "a"), srv(1, 20, "b"), srv(1, 20, "c"), srv(1, 0, "d")], &mut rng);
            let mut hosts: Vec<String> = drawn.into_iter().map(|record| record.host).collect();
            *first.entry(hosts[0].clone()).or_default() += 1;
            hosts.sort();
            assert_eq!(hosts, ["a", "b", "c", "d"]);
        }
        // Shares of 101: 60, 20, 20, and 1 for the one of weight 0.
        for (host, low, high) in [("a", 2200, 2550), ("b", 680, 910), ("c", 680, 910), ("d", 10, 90)] {
            assert!((low..high).contains(&first[host]), "{host}: {first:?}");
        }
    }
}
