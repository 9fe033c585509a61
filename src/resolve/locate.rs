//! Which questions a target needs, one after the other (RFC 3263 §4.1, §4.2): what the URI says itself is not asked.
//! Not here: single questions (`dns`), and the order of what they bring (`order`).

use super::Resolver;
use super::cache::Kind;
use super::dns::{Data, Unanswered};
use super::order::{self, Naptr, Srv};
use crate::limits;
use crate::rng::Rng;
use crate::sip::target::{Carrier, Hop, Target, TargetHost, Unlocated};
use futures_util::future::join_all;
use std::net::{IpAddr, SocketAddr};

/// A host, with what carries requests to it.
struct Stop {
    carrier: Carrier,
    host: String,
    port: u16,
}

pub(super) async fn locate(resolver: &Resolver, target: &Target, rng: &mut Rng) -> Result<Vec<Hop>, Unlocated> {
    let supports = |carrier: &Carrier| resolver.settings.carriers.contains(carrier);
    let allowed: Vec<Carrier> = Carrier::ALL
        .into_iter()
        .filter(|carrier| supports(carrier) && (!target.is_secure || *carrier == Carrier::Tls))
        .filter(|carrier| target.carrier.is_none_or(|named| named == *carrier))
        .collect();
    let name = match (&target.host, target.direct()) {
        (TargetHost::Name(name), _) => name,
        (TargetHost::Ip(_), Some(hop)) => {
            let reached = allowed.contains(&hop.carrier) && resolver.reaches(hop.address.ip());
            return if reached { Ok(vec![hop]) } else { Err(Unlocated::Unsupported) };
        }
        (TargetHost::Ip(_), None) => return Err(Unlocated::Unsupported),
    };
    if allowed.is_empty() {
        return Err(Unlocated::Unsupported);
    }
    let stops = match target.port {
        // §4.2: a port that is named is meant, and SRV would name another.
        Some(port) => by_name(target, &allowed, name, Some(port)),
        None => match by_records(resolver, target, &allowed, name, rng).await {
            stops if stops.is_empty() => by_name(target, &allowed, name, None),
            stops => stops,
        },
    };
    addresses(resolver, stops).await
}

/// The host of the URI itself, by what it names or else by default.
fn by_name(target: &Target, allowed: &[Carrier], name: &str, port: Option<u16>) -> Vec<Stop> {
    let carrier = target.carrier.unwrap_or(target.carrier_by_default());
    let stop = Stop { carrier, host: name.to_owned(), port: port.unwrap_or(carrier.port()) };
    allowed.contains(&carrier).then_some(stop).into_iter().collect()
}

/// The hosts of SRV records: those that NAPTR records lead to, or those of each transport that is allowed. A question that nobody
/// answers counts as one whose answer is no: many name servers of access routers know no NAPTR and say nothing.
async fn by_records(resolver: &Resolver, target: &Target, allowed: &[Carrier], name: &str, rng: &mut Rng) -> Vec<Stop> {
    let naptrs = match target.carrier {
        // §4.1: a transport that is named is meant.
        Some(_) => Vec::new(),
        None => resolver.dns.ask(name, Kind::Naptr).await.unwrap_or_default().into_iter().filter_map(naptr).collect(),
    };
    let mut services = order::follow(target, naptrs, allowed);
    if services.is_empty() {
        services = allowed.iter().map(|carrier| (*carrier, order::srv_name(*carrier, name))).collect();
    }
    services.truncate(limits::HOPS_MAX);
    let answers = join_all(services.iter().map(|(_, name)| resolver.dns.ask(name, Kind::Srv))).await;
    let mut stops = Vec::new();
    for ((carrier, _), answer) in services.iter().zip(answers) {
        let records = answer.unwrap_or_default().into_iter().filter_map(srv).collect();
        let drawn = order::draw(records, rng).into_iter();
        stops.extend(drawn.map(|srv| Stop { carrier: *carrier, host: srv.host, port: srv.port }));
    }
    stops.truncate(limits::HOPS_MAX);
    stops
}

/// The addresses of hosts, in the hosts' order. Of one host the IPv4 addresses come first: where both work it is the same, and a
/// listener on `[::]` does not say that there is a route.
async fn addresses(resolver: &Resolver, stops: Vec<Stop>) -> Result<Vec<Hop>, Unlocated> {
    let kinds = [(Kind::V4, resolver.settings.v4), (Kind::V6, resolver.settings.v6)];
    let kinds: Vec<Kind> = kinds.into_iter().filter(|(_, can)| *can).map(|(kind, _)| kind).collect();
    let kinds = &kinds;
    let of_host = |stop: Stop| async move {
        let answers = join_all(kinds.iter().map(|kind| resolver.dns.ask(&stop.host, *kind))).await;
        (stop, answers)
    };
    let mut hops = Vec::new();
    let mut unanswered = false;
    for (stop, answers) in join_all(stops.into_iter().map(of_host)).await {
        for answer in answers {
            match answer {
                Ok(records) => hops.extend(records.into_iter().filter_map(ip).map(|ip| {
                    let address = SocketAddr::new(ip, stop.port);
                    Hop { carrier: stop.carrier, address }
                })),
                Err(Unanswered) => unanswered = true,
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    hops.retain(|hop| seen.insert(*hop));
    hops.truncate(limits::HOPS_MAX);
    match (hops.is_empty(), unanswered) {
        (false, _) => Ok(hops),
        (true, true) => Err(Unlocated::Unanswered),
        (true, false) => Err(Unlocated::Absent),
    }
}

impl Resolver {
    fn reaches(&self, ip: IpAddr) -> bool {
        if ip.is_ipv4() { self.settings.v4 } else { self.settings.v6 }
    }
}

fn naptr(data: Data) -> Option<Naptr> {
    if let Data::Naptr(naptr) = data { Some(naptr) } else { None }
}

fn srv(data: Data) -> Option<Srv> {
    if let Data::Srv(srv) = data { Some(srv) } else { None }
}

fn ip(data: Data) -> Option<IpAddr> {
    if let Data::Ip(ip) = data { Some(ip) } else { None }
}
