//! Binds all that SIP is listened for on, and starts what carries connections.
//! Not here: reading, writing and limits (`net`).

use super::Failure;
use crate::config::Config;
use crate::limits;
use crate::net::{Acceptor, Certificates, Connector, Dialler, Door, Slots, Sockets, StreamListener, Streams};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// How often another free port is tried for UDP that is not free for TCP.
const TRIES_MAX: usize = 16;

/// Everything bound, nothing served yet.
pub(super) struct Listening {
    pub(super) sockets: Sockets,
    tcp: Vec<StreamListener>,
    tls: Vec<StreamListener>,
    certificates: Option<Certificates>,
    connector: Option<Connector>,
}

/// What carries connections.
pub(super) struct Carrying {
    pub(super) streams: Streams,
    pub(super) door: Door,
    pub(super) held: Held,
}

/// What is needed of connections while they are carried.
pub(super) struct Held {
    /// To put others in; `None` without TLS.
    certificates: Option<Certificates>,
    connector: Option<Connector>,
    slots: Arc<Slots>,
}

impl Held {
    /// Whether [`Held::renew`] could be done.
    pub(super) fn check(&self, config: &Config) -> Result<(), Failure> {
        if self.certificates.is_none() {
            return Ok(());
        }
        let checked = Connector::new(&config.tls).and_then(|_| Certificates::new(&config.tls));
        checked.map(drop).map_err(|what| Failure::configuration(config.mistake("tls.certificate", what).to_string()))
    }

    /// Shows what the configuration names now from the next handshake on. An error leaves everything as it was.
    pub(super) fn renew(&self, config: &Config) -> Result<(), Failure> {
        let Some(certificates) = &self.certificates else { return Ok(()) };
        let ours = self.connector.as_ref().map_or(Ok(()), |connector| connector.replace(&config.tls));
        let replaced = ours.and_then(|()| certificates.replace(&config.tls));
        replaced.map_err(|what| Failure::configuration(config.mistake("tls.certificate", what).to_string()))
    }

    /// Returns when the peers' connections are closed, which they are some moments after the switch thread has ended.
    pub(super) async fn closed(&self) {
        self.slots.empty().await;
    }
}

impl Listening {
    /// Binds all addresses. Call it inside of the runtime that reads datagrams.
    pub(super) fn bind(config: &Config) -> Result<Listening, Failure> {
        let (certificates, acceptor) = tls(config)?.unzip();
        let failed = |(address, error)| Failure::bind(config, "sip.listen", address, &error);
        let (sockets, tcp) = bind_pairs(config).map_err(failed)?;
        let bind =
            |address: &SocketAddr| StreamListener::bind(*address, acceptor.clone()).map_err(|error| (*address, error));
        let tls = config.sip.tls.iter().map(bind).collect::<Result<_, _>>().map_err(failed)?;
        let connector = connector(config)?;
        Ok(Listening { sockets, tcp, tls, certificates, connector })
    }

    /// Where TCP is listened for.
    pub(super) fn tcp(&self) -> Vec<SocketAddr> {
        self.tcp.iter().map(StreamListener::address).collect()
    }

    /// Where TLS is listened for.
    pub(super) fn tls(&self) -> Vec<SocketAddr> {
        self.tls.iter().map(StreamListener::address).collect()
    }

    /// What TLS connections are opened with.
    pub(super) fn connector(&self) -> Option<Connector> {
        self.connector.clone()
    }

    /// Begins to take connections, which `runtime` carries.
    pub(super) fn serve(self, runtime: &Runtime) -> (Sockets, Carrying) {
        let (door, events) = Door::open();
        let streams =
            Streams::new(events, Dialler::new(runtime.handle().clone(), door.clone(), self.connector.clone()));
        let slots = Slots::new(limits::SIP_CONNECTIONS_MAX, limits::SIP_CONNECTIONS_PER_SOURCE_MAX);
        for listener in self.tcp.into_iter().chain(self.tls) {
            runtime.spawn(listener.serve(door.clone(), Arc::clone(&slots)));
        }
        let held = Held { certificates: self.certificates, connector: self.connector, slots };
        (self.sockets, Carrying { streams, door, held })
    }
}

/// Requests over TLS go out from a listener for TLS, so there must be one.
fn connector(config: &Config) -> Result<Option<Connector>, Failure> {
    if config.sip.tls.is_empty() {
        return Ok(None);
    }
    let made = Connector::new(&config.tls);
    made.map(Some).map_err(|what| Failure::configuration(config.mistake("tls.certificate", what).to_string()))
}

fn tls(config: &Config) -> Result<Option<(Certificates, Acceptor)>, Failure> {
    if config.sip.tls.is_empty() {
        return Ok(None);
    }
    let made = Certificates::new(&config.tls);
    made.map(Some).map_err(|what| Failure::configuration(config.mistake("tls.certificate", what).to_string()))
}

/// UDP and TCP. Where an entry asks for both and for any free port, they get the same one, as others expect it of them.
fn bind_pairs(config: &Config) -> Result<(Sockets, Vec<StreamListener>), (SocketAddr, io::Error)> {
    let mut tries = 1;
    loop {
        let sockets = Sockets::bind(&config.sip.listen)?;
        let wanted = beside(&config.sip.listen, &sockets.addresses(), &config.sip.tcp);
        let bound =
            wanted.iter().map(|address| StreamListener::bind(*address, None).map_err(|error| (*address, error)));
        match bound.collect() {
            Ok(listeners) => return Ok((sockets, listeners)),
            Err((_, error)) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES_MAX => tries += 1,
            Err(failed) => return Err(failed),
        }
    }
}

/// The addresses for TCP: those of the file, with the port that the same entry got for UDP where the file says 0.
fn beside(asked: &[SocketAddr], bound: &[SocketAddr], tcp: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut pairs: Vec<(SocketAddr, SocketAddr)> = asked.iter().copied().zip(bound.iter().copied()).collect();
    let address = |wanted: &SocketAddr| match pairs.iter().position(|(asked, _)| asked == wanted) {
        Some(at) => pairs.remove(at).1,
        None => *wanted,
    };
    tcp.iter().map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcp_has_the_port_of_the_udp_that_stands_in_the_same_entry() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let any = address("127.0.0.1:0");
        let asked = [any, address("[::1]:5060"), any];
        let bound = [address("127.0.0.1:7"), address("[::1]:5060"), address("127.0.0.1:9")];
        assert_eq!(beside(&asked, &bound, &asked), bound);
        assert_eq!(
            beside(&asked[..1], &bound[..1], &[address("127.0.0.1:80"), any]),
            [address("127.0.0.1:80"), bound[0]]
        );
    }
}
