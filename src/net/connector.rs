//! TLS for connections that we open: the peer must show a certificate for the name that led to its address (RFC 5922 §4), or, where no
//! name did, for the address itself. We show our first certificate to whoever asks for one, so that a trunk may know us by it.
//! Not here: TLS of connections that peers open (`tls`), and TCP below it (`dial`).

use crate::config::{Tls, system_authorities};
use crate::limits;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, DEFAULT_VERSIONS, RootCertStore};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Does the handshakes of connections that we open. Clones share what they know.
#[derive(Clone)]
pub struct Connector {
    /// What the next handshake is made with.
    config: Arc<Mutex<Arc<ClientConfig>>>,
    /// Which name led to an address: the last one.
    names: Arc<Mutex<BTreeMap<SocketAddr, ServerName<'static>>>>,
}

impl Connector {
    /// With the authorities of the configuration, or the system's. Authorities that cannot be used are left out: there are always some.
    pub fn new(tls: &Tls) -> Result<Connector, String> {
        Ok(Connector { config: Arc::new(Mutex::new(client_config(tls)?)), names: Arc::default() })
    }

    /// With others from the next handshake on. Connections that are there keep theirs.
    pub fn replace(&self, tls: &Tls) -> Result<(), String> {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = client_config(tls)?;
        Ok(())
    }

    /// A name has led to an address: that is the name which a certificate there must have.
    pub fn know(&self, address: SocketAddr, name: &str) {
        let Ok(name) = ServerName::try_from(name.to_owned()) else { return };
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() < limits::TLS_NAMES_MAX || names.contains_key(&address) {
            names.insert(address, name);
        }
    }

    /// Does the handshake.
    pub(super) async fn connect(&self, stream: TcpStream, peer: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner));
        TlsConnector::from(config).connect(self.name_of(peer), stream).await
    }

    fn name_of(&self, peer: SocketAddr) -> ServerName<'static> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let known = names.get(&peer).cloned();
        known.unwrap_or_else(|| ServerName::from(peer.ip().to_canonical()))
    }
}

/// What connections that we open are made with.
pub fn client_config(tls: &Tls) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let authorities = if tls.authorities.is_empty() { system_authorities() } else { tls.authorities.clone() };
    roots.add_parsable_certificates(authorities);
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(DEFAULT_VERSIONS)
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let config = match tls.certificates.first() {
        Some(ours) => builder
            .with_client_auth_cert(ours.chain.clone(), ours.key.clone_key())
            .map_err(|error| format!("{}: {error}", ours.file.display()))?,
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_asked_for_the_name_that_led_to_it_and_else_for_itself() {
        let connector =
            Connector::new(&Tls { certificates: Vec::new(), client_authorities: Vec::new(), authorities: Vec::new() })
                .unwrap();
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        connector.know(address("192.0.2.7:5061"), "gw.example");
        connector.know(address("192.0.2.8:5061"), "no name");
        for (peer, expected) in [
            ("192.0.2.7:5061", "gw.example"),
            ("192.0.2.7:5062", "192.0.2.7"),
            ("192.0.2.8:5061", "192.0.2.8"),
            ("[::ffff:192.0.2.8]:5061", "192.0.2.8"),
        ] {
            assert_eq!(connector.name_of(address(peer)).to_str(), expected, "{peer}");
        }
    }
}
