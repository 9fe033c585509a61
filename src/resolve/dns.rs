//! One question to DNS: from what is still known, else from the name servers, else from what was known.
//! An answer counts for the name that was asked, or that this name is an alias of; whatever else a name server adds is dropped.
//! Not here: which questions a target needs (`locate`).

use super::cache::{Cache, Kind, Known};
use super::order::{Naptr, Srv};
use crate::limits;
use crate::time::Duration;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{ResolverBuilder, TokioResolver};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A record that SIP has a use for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Data {
    Naptr(Naptr),
    Srv(Srv),
    Ip(IpAddr),
}

/// No name server answered, and nothing that was known could stand in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unanswered;

/// Name servers and what they said.
pub(super) struct Dns {
    resolver: TokioResolver,
    cache: Mutex<Cache<Data>>,
}

impl Dns {
    /// With these name servers; without any, with those of `/etc/resolv.conf`.
    pub(super) fn new(servers: &[SocketAddr]) -> Result<Dns, String> {
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio().map_err(|error| format!("/etc/resolv.conf: {error}"))?
        } else {
            TokioResolver::builder_with_config(of_servers(servers), Default::default())
        };
        tune(&mut builder);
        let resolver = builder.build().map_err(|error| error.to_string())?;
        Ok(Dns { resolver, cache: Mutex::default() })
    }

    /// All records of a kind that a name has; none is an answer too.
    pub(super) async fn ask(&self, name: &str, kind: Kind) -> Result<Vec<Data>, Unanswered> {
        let known = self.cache().look_up(Instant::now(), name, kind);
        let old = match known {
            Known::Fresh(records) => return Ok(records),
            Known::Stale(records) => Some(records),
            Known::Unknown => None,
        };
        let asked = tokio::time::timeout(limits::DNS_WAIT_MAX, self.look_up(name, kind)).await;
        let now = Instant::now();
        match (asked.unwrap_or(Err(Unanswered)), old) {
            (Ok((records, life)), _) => {
                self.cache().keep(now, name, kind, records.clone(), life);
                Ok(records)
            }
            (Err(Unanswered), Some(old)) => {
                tracing::debug!(name, "no name server answers; the last answer stands in");
                self.cache().extend(now, name, kind);
                Ok(old)
            }
            (Err(unanswered), None) => Err(unanswered),
        }
    }

    async fn look_up(&self, name: &str, kind: Kind) -> Result<(Vec<Data>, Duration), Unanswered> {
        let mut asked = Name::from_utf8(name).map_err(|_| Unanswered)?;
        // A name with a dot is a whole one; one of a single label may be a machine of the operator's own domain.
        asked.set_fqdn(name.contains('.'));
        match self.resolver.lookup(asked, record_type(kind)).await {
            Ok(lookup) => Ok(relevant(&lookup, kind)),
            Err(NetError::Dns(DnsError::NoRecordsFound(absent))) => {
                let life = absent.negative_ttl.map_or(limits::DNS_ABSENCE_LIFE, |ttl| Duration::from_secs(ttl.into()));
                Ok((Vec::new(), life))
            }
            Err(error) => {
                tracing::debug!(name, %error, "a DNS question was not answered");
                Err(Unanswered)
            }
        }
    }

    /// A test's way to let time pass.
    #[cfg(test)]
    pub(super) fn expire(&self) {
        self.cache().expire(Instant::now());
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache<Data>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_servers(servers: &[SocketAddr]) -> ResolverConfig {
    let server = |address: &SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = address.port();
            connection
        });
        NameServerConfig::new(address.ip(), true, connections.into())
    };
    ResolverConfig::from_name_servers(servers.iter().map(server).collect())
}

fn tune<P>(builder: &mut ResolverBuilder<P>)
where
    P: hickory_resolver::ConnectionProvider,
{
    let options = builder.options_mut();
    options.timeout = limits::DNS_WAIT_MAX / 2;
    options.attempts = 1;
    // Answers are kept by us: an old one has to stand in where there is no other.
    options.cache_size = 0;
}

fn record_type(kind: Kind) -> RecordType {
    match kind {
        Kind::Naptr => RecordType::NAPTR,
        Kind::Srv => RecordType::SRV,
        Kind::V4 => RecordType::A,
        Kind::V6 => RecordType::AAAA,
    }
}

/// The records that answer the question, and how long they are good.
fn relevant(lookup: &Lookup, kind: Kind) -> (Vec<Data>, Duration) {
    let mut names = vec![lookup.query().name().clone()];
    // Aliases are in order, as a rule; as many looks as there are records find them in any.
    for _ in lookup.answers() {
        let alias = lookup.answers().iter().find_map(|record| alias_of(record, &names));
        match alias {
            Some(alias) => names.push(alias),
            None => break,
        }
    }
    let good = lookup.answers().iter().filter(|record| names.contains(&record.name));
    let life = good.clone().map(|record| record.ttl).min();
    let records = good.filter_map(|record| read(&record.data, kind)).collect();
    (records, life.map_or(limits::DNS_ABSENCE_LIFE, |ttl| Duration::from_secs(ttl.into())))
}

fn alias_of(record: &Record, names: &[Name]) -> Option<Name> {
    let RData::CNAME(alias) = &record.data else { return None };
    (names.contains(&record.name) && !names.contains(&alias.0)).then(|| alias.0.clone())
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the library's list of all kinds of records is open")]
fn read(data: &RData, kind: Kind) -> Option<Data> {
    let text = |name: &Name| name.to_ascii().trim_end_matches('.').to_lowercase();
    match (kind, data) {
        (Kind::Naptr, RData::NAPTR(naptr)) => Some(Data::Naptr(Naptr {
            order: naptr.order,
            preference: naptr.preference,
            flags: String::from_utf8_lossy(&naptr.flags).into_owned(),
            service: String::from_utf8_lossy(&naptr.services).into_owned(),
            replacement: text(&naptr.replacement),
        })),
        (Kind::Srv, RData::SRV(srv)) => {
            Some(Data::Srv(Srv { priority: srv.priority, weight: srv.weight, port: srv.port, host: text(&srv.target) }))
        }
        (Kind::V4, RData::A(address)) => sendable(address.0.into()).map(Data::Ip),
        (Kind::V6, RData::AAAA(address)) => sendable(address.0.into()).map(Data::Ip),
        _ => None,
    }
}

/// An address of one host. Others are nobody's, or everybody's.
fn sendable(ip: IpAddr) -> Option<IpAddr> {
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    (!ip.is_unspecified() && !ip.is_multicast() && !is_broadcast).then_some(ip)
}
