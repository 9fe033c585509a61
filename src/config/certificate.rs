//! Certificates and private keys in PEM files: read when the configuration is, so that a bad one is found before it is needed.
//! Not here: which key of the configuration names which file (`typed`), and TLS (`net`).

use crate::time::Wall;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A certificate that we show, with those that lead to its authority, and its key.
#[derive(Debug)]
pub struct Certificate {
    /// Where it was read.
    pub file: PathBuf,
    /// Ours first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
    /// The host names that it is for, in lower case.
    pub names: Vec<String>,
    /// When it is good no longer.
    pub expires: Wall,
}

impl Clone for Certificate {
    fn clone(&self) -> Certificate {
        let Certificate { file, chain, key, names, expires } = self;
        Certificate {
            file: file.clone(),
            chain: chain.clone(),
            key: key.clone_key(),
            names: names.clone(),
            expires: *expires,
        }
    }
}

impl Certificate {
    /// Reads both files.
    pub(super) fn read(chain_file: &str, key_file: &str) -> Result<Certificate, String> {
        let chain = chain(chain_file)?;
        let key = PrivateKeyDer::from_pem_file(key_file)
            .map_err(|error| format!("cannot read a private key in {key_file}: {error}"))?;
        let first = chain.first().ok_or_else(|| format!("{chain_file} has no certificate in it"))?;
        let expires = expiry(first).ok_or_else(|| format!("the first certificate in {chain_file} cannot be read"))?;
        let names = names_in(first);
        Ok(Certificate { file: PathBuf::from(chain_file), chain, key, names, expires })
    }
}

/// All certificates in a PEM file, at least one.
pub(super) fn chain(file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let bad = |error: &dyn std::fmt::Display| format!("cannot read certificates in {file}: {error}");
    let found = CertificateDer::pem_file_iter(Path::new(file)).map_err(|error| bad(&error))?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| bad(&error))?;
    if found.is_empty() { Err(format!("{file} has no certificate in it")) } else { Ok(found) }
}

/// Where Linux systems keep the certificates of the authorities that they trust: Debian's place, then Red Hat's.
const SYSTEM_AUTHORITIES: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// The authorities that this system trusts; none where it keeps none.
pub fn system_authorities() -> Vec<CertificateDer<'static>> {
    SYSTEM_AUTHORITIES.iter().find_map(|file| chain(file).ok()).unwrap_or_default()
}

fn expiry(certificate: &CertificateDer<'_>) -> Option<Wall> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    Some(Wall(seconds.saturating_mul(1000)))
}

/// The host names that a certificate is for, in lower case: DNS names and the hosts of SIP URIs in its subjectAltName (RFC 5922 §7.1).
pub fn names_in(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return Vec::new() };
    let host = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::URI(uri) => {
            uri.strip_prefix("sip:").filter(|host| !host.contains('@')).map(str::to_ascii_lowercase)
        }
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::IPAddress(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    };
    alternative.value.general_names.iter().filter_map(host).collect()
}
