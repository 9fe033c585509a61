//! The trunks that we go to, as the shell has them: from which listeners, and the task that asks DNS for their targets.
//! Not here: what is asked (`trunk`), and how (`resolve`).

use super::{Addresses, Failure, entropy};
use crate::config::Config;
use crate::id::TargetId;
use crate::limits;
use crate::net::Connector;
use crate::resolve::{self, Resolver, Wanted};
use crate::rng::Rng;
use crate::sip::target::{Carrier, Hop, Target, TargetHost, Unlocated};
use crate::trunk::{Locate, Trunks};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// What came of a target.
pub(super) type Located = (TargetId, Result<Vec<Hop>, Unlocated>);

/// A target and its name, which a TLS certificate must have.
type Key = (TargetId, Option<Arc<str>>);

/// The way to DNS and back.
pub(super) struct Locator {
    wanted: mpsc::Sender<Wanted<Key>>,
    located: mpsc::Receiver<Located>,
}

impl Locator {
    /// Asks on a runtime that is not the switch thread's. Where no target is a name, nobody is asked and no name server is needed.
    pub(super) fn start(
        config: &Config,
        addresses: &Addresses,
        connector: Option<Connector>,
        runtime: &Runtime,
    ) -> Result<Locator, Failure> {
        let (wanted, queue) = resolve::queue();
        let (found, located) = mpsc::channel(limits::LOCATE_QUEUE_MAX);
        let mut targets = config.outbound.iter().flat_map(|trunk| &trunk.targets);
        if targets.any(|target| target.direct().is_none()) {
            // An answer that does not fit is lost; the target is looked for again in its next round.
            let tell = move |(at, name): Key, hops: Result<Vec<Hop>, Unlocated>| {
                if let (Some(connector), Some(name), Ok(hops)) = (&connector, name, &hops) {
                    let secured = hops.iter().filter(|hop| hop.carrier == Carrier::Tls);
                    secured.for_each(|hop| connector.know(hop.address, &name));
                }
                drop(found.try_send((at, hops)));
            };
            runtime.spawn(resolver(config, addresses)?.serve(queue, tell));
        }
        Ok(Locator { wanted, located })
    }

    /// A question that does not fit is lost, as though nobody had answered it.
    pub(super) fn ask(&self, Locate { at, target, chance }: Locate) {
        let name = match &target.host {
            TargetHost::Name(name) => Some(Arc::clone(name)),
            TargetHost::Ip(_) => None,
        };
        let _ = self.wanted.try_send(Wanted { key: (at, name), target, chance });
    }

    pub(super) async fn next(&mut self) -> Option<Located> {
        self.located.recv().await
    }
}

/// Whoever asks DNS for this configuration.
fn resolver(config: &Config, addresses: &Addresses) -> Result<Resolver, Failure> {
    let listeners = listeners(addresses);
    let has = |is_v4| listeners.iter().any(|(_, address)| address.is_ipv4() == is_v4);
    let carriers = Carrier::ALL.into_iter().filter(|carrier| listeners.iter().any(|(it, _)| it == carrier)).collect();
    let settings = resolve::Settings { servers: config.dns.servers.clone(), carriers, v4: has(true), v6: has(false) };
    Resolver::new(settings).map_err(|what| Failure::configuration(config.mistake("dns.servers", what).to_string()))
}

/// The trunks that we go to.
pub(super) fn trunks(config: &Config, addresses: &Addresses) -> Trunks {
    Trunks::new(&config.outbound, listeners(addresses), &mut Rng::from_seed(entropy()))
}

/// The names of the trunks that we go to, and whether they want us registered, for metrics.
pub(super) fn names(config: &Config) -> Vec<(Arc<str>, bool)> {
    config.outbound.iter().map(|trunk| (Arc::clone(&trunk.name), trunk.register.is_some())).collect()
}

/// From where requests can go out.
fn listeners(addresses: &Addresses) -> Vec<(Carrier, SocketAddr)> {
    let of = |carrier, listeners: &[SocketAddr]| listeners.iter().map(move |it| (carrier, *it)).collect::<Vec<_>>();
    [of(Carrier::Udp, &addresses.sip), of(Carrier::Tcp, &addresses.tcp), of(Carrier::Tls, &addresses.tls)].concat()
}

/// Where a target is, for whoever only wants to know: `--check-config`. The error is a sentence.
pub fn locate(config: &Config, target: &Target) -> Result<Vec<Hop>, String> {
    let addresses = Addresses {
        sip: config.sip.listen.clone(),
        tcp: config.sip.tcp.clone(),
        tls: config.sip.tls.clone(),
        http: config.http.listen,
        admin: config.admin.listen,
    };
    let runtime =
        super::runtime(&mut tokio::runtime::Builder::new_current_thread()).map_err(|failure| failure.to_string())?;
    runtime.block_on(async {
        let resolver = resolver(config, &addresses).map_err(|failure| failure.to_string())?;
        resolver.locate(target, entropy()).await.map_err(|why| why.to_string())
    })
}
