//! A peer's connection to the daemon, over TCP or TLS: messages out, messages in, by Content-Length (RFC 3261 §18.3).
//! Not here: what is said.

use super::Message;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Something to read from and to write to.
pub(crate) trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// A connection.
pub(crate) struct Line {
    wire: Box<dyn Wire>,
    unread: Vec<u8>,
    /// Our end.
    pub(crate) local: SocketAddr,
    /// The certificate that the daemon has shown, with TLS.
    pub(crate) certificate: Option<CertificateDer<'static>>,
}

/// Who a peer is in TLS.
pub(crate) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Line {
    /// Over TCP.
    pub(crate) fn tcp(daemon: SocketAddr) -> Line {
        let stream = TcpStream::connect(daemon).unwrap();
        Line::of(stream.local_addr().unwrap(), Box::new(patient(stream)))
    }

    /// Over TLS to who calls itself `name` and is vouched for by `authority`; the error is the handshake's.
    pub(crate) fn tls(
        daemon: SocketAddr,
        name: &str,
        authority: &CertificateDer<'static>,
        identity: Option<Identity>,
    ) -> Result<Line, std::io::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = patient(TcpStream::connect(daemon).unwrap());
        let local = stream.local_addr().unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        let certificate = connection.peer_certificates().and_then(|chain| chain.first()).cloned();
        Ok(Line { certificate, ..Line::of(local, Box::new(StreamOwned::new(connection, stream))) })
    }

    /// One that the daemon has opened.
    pub(crate) fn adopted(stream: TcpStream) -> Line {
        Line::of(stream.local_addr().unwrap(), Box::new(patient(stream)))
    }

    fn of(local: SocketAddr, wire: Box<dyn Wire>) -> Line {
        Line { wire, unread: Vec::new(), local, certificate: None }
    }

    /// Writes.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.write_all(bytes.as_ref()).unwrap();
        self.wire.flush().unwrap();
    }

    /// The next message; `None` when the daemon has closed the connection or says nothing.
    pub(crate) fn next(&mut self) -> Option<Message> {
        loop {
            let text = String::from_utf8_lossy(&self.unread).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length =
                    head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).unwrap_or(0);
                if body.len() >= length {
                    let whole: Vec<u8> = self.unread.drain(..head.len() + 4 + length).collect();
                    return Message::read(&whole);
                }
            }
            if !self.read_more() {
                return None;
            }
        }
    }

    /// The next message with a final status.
    pub(crate) fn last(&mut self) -> Option<u16> {
        std::iter::from_fn(|| self.next()).filter_map(|message| message.status()).find(|status| *status >= 200)
    }

    /// The next bytes, whatever they are.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        while self.unread.len() < length && self.read_more() {}
        let length = length.min(self.unread.len());
        self.unread.drain(..length).collect()
    }

    /// Whether the daemon closes it soon.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.wire.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
            }
        }
    }

    fn read_more(&mut self) -> bool {
        let mut buffer = [0; 65_536];
        match self.wire.read(&mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(length) => {
                self.unread.extend_from_slice(&buffer[..length]);
                true
            }
        }
    }
}

/// Waits as long as a slow machine may need.
fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}
