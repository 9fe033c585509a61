//! An authority of the tests' own, and certificates that it has signed (RFC 5280).
//! Not here: who shows them to whom.

use super::line::Identity;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::path::Path;

/// An authority and the certificates that it has signed.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub(crate) certificate: CertificateDer<'static>,
    pem: String,
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let signed = params.self_signed(&key).unwrap();
        let (certificate, pem) = (signed.der().clone(), signed.pem());
        Authority { issuer: Issuer::new(params, key), certificate, pem }
    }

    /// The same in PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a name, and its key, both in PEM and as they are.
    pub(crate) fn sign(&self, name: &str) -> (String, String, Identity) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        // Whoever has the name of its issuer is taken for one that signed itself.
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (certificate.pem(), key.serialize_pem(), (vec![certificate.der().clone()], der))
    }

    /// Puts a certificate and its key where the configuration below looks.
    pub(crate) fn put(&self, dir: &Path, name: &str) {
        let (certificate, key, _) = self.sign(name);
        fs::write(dir.join(format!("{name}.pem")), certificate).unwrap();
        fs::write(dir.join(format!("{name}.key")), key).unwrap();
    }
}
