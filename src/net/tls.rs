//! TLS for connections that peers open to us: the certificate by the name that the peer asked for (RFC 6066 §3), the peer's own if it has
//! one, and other certificates from the next handshake on when the operator has put others there.
//! Not here: reading files (`config`), and what a peer may do (`switch`).

use crate::config::{Certificate, Tls, names_in};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoClientAuth, ResolvesServerCert, ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DEFAULT_VERSIONS, RootCertStore};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What handshakes are made with; there may be another from one to the next.
#[derive(Clone)]
pub struct Acceptor {
    latest: watch::Receiver<Arc<ServerConfig>>,
}

/// Puts other certificates into an [`Acceptor`].
pub struct Certificates {
    latest: watch::Sender<Arc<ServerConfig>>,
}

/// A connection whose handshake is done.
pub(super) struct Secured {
    pub(super) stream: Box<TlsStream<TcpStream>>,
    /// The names in the peer's certificate, if it has shown one that an authority of ours vouches for.
    pub(super) names: Vec<String>,
}

impl Certificates {
    /// From the configuration; the text says what does not fit together in it.
    pub fn new(tls: &Tls) -> Result<(Certificates, Acceptor), String> {
        let (latest, acceptor) = watch::channel(Arc::new(server_config(tls)?));
        Ok((Certificates { latest }, Acceptor { latest: acceptor }))
    }

    /// Others from now on. Connections that are there keep theirs.
    pub fn replace(&self, tls: &Tls) -> Result<(), String> {
        self.latest.send_replace(Arc::new(server_config(tls)?));
        Ok(())
    }
}

impl Acceptor {
    /// Does the handshake.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<Secured> {
        let config = Arc::clone(&self.latest.borrow());
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let names = certificate.map(|certificate| names_in(certificate)).unwrap_or_default();
        Ok(Secured { stream: Box::new(stream), names })
    }
}

fn server_config(tls: &Tls) -> Result<ServerConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificates = Resolver::new(&tls.certificates, &provider)?;
    let verifier = match &tls.client_authorities[..] {
        [] => Arc::new(NoClientAuth),
        authorities => {
            let mut roots = RootCertStore::empty();
            for authority in authorities {
                roots.add(authority.clone()).map_err(|error| format!("an authority is of no use: {error}"))?;
            }
            // Clients without a certificate are let in: they have tokens or passwords.
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .allow_unauthenticated()
                .build()
                .map_err(|error| format!("the authorities are of no use: {error}"))?
        }
    };
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(DEFAULT_VERSIONS)
        .map_err(|error| error.to_string())?;
    Ok(builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(certificates)))
}

/// The certificates, each with its names; the first is for whoever asks for none of them.
#[derive(Debug)]
struct Resolver(Vec<(Vec<String>, Arc<CertifiedKey>)>);

impl Resolver {
    fn new(certificates: &[Certificate], provider: &CryptoProvider) -> Result<Resolver, String> {
        let with_names = |certificate: &Certificate| {
            let key = CertifiedKey::from_der(certificate.chain.clone(), certificate.key.clone_key(), provider);
            let key = key.map_err(|error| format!("{}: {error}", certificate.file.display()))?;
            Ok((certificate.names.clone(), Arc::new(key)))
        };
        certificates.iter().map(with_names).collect::<Result<_, String>>().map(Resolver)
    }

    /// The certificate for a name: one that has it, or a wildcard for its domain, else the first.
    fn of(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let asked = name.map(str::to_ascii_lowercase);
        let domain = asked.as_deref().and_then(|name| name.split_once('.')).map(|(_, domain)| format!("*.{domain}"));
        let has = |wanted: &Option<String>, names: &[String]| wanted.as_ref().is_some_and(|name| names.contains(name));
        let found =
            [&asked, &domain].into_iter().find_map(|wanted| self.0.iter().find(|(names, _)| has(wanted, names)));
        found.or_else(|| self.0.first()).map(|(_, key)| Arc::clone(key))
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.of(hello.server_name())
    }
}
