//! Whom a client believes.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::hash::CertificateHash;

/// Whom a client believes; by default nobody. What is named by several calls is trusted
/// by each.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    roots: Option<RootCertStore>,
    certificates: Vec<CertificateDer<'static>>,
    hashes: Vec<CertificateHash>,
}

impl Trust {
    /// Servers with certificates that one of `roots` has signed.
    #[must_use]
    pub fn roots(roots: RootCertStore) -> Self {
        Self {
            roots: Some(roots),
            ..Self::default()
        }
    }

    /// Servers that have one of these certificates, or one signed by one of them: for a
    /// file of certificates, whether they are authorities' or, as `openssl req -x509`
    /// makes them, both at once. Names and dates are checked.
    #[must_use]
    pub fn certificates(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        Self {
            certificates: certificates.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Servers whose certificate has one of these SHA-256 hashes, as
    /// `serverCertificateHashes` of browsers: [`Identity::hash`](super::Identity::hash).
    /// Neither names nor dates are checked, since the hash says which certificate is
    /// meant.
    #[must_use]
    pub fn hashes(hashes: impl IntoIterator<Item = CertificateHash>) -> Self {
        Self {
            hashes: hashes.into_iter().collect(),
            ..Self::default()
        }
    }

    /// These and those.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        match (&mut self.roots, others.roots) {
            (Some(ours), Some(theirs)) => ours.extend(theirs.roots),
            (ours, theirs) => *ours = ours.take().or(theirs),
        }
        self.certificates.extend(others.certificates);
        self.hashes.extend(others.hashes);
        self
    }

    pub(super) fn verifier(
        self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        let mut roots = self.roots.unwrap_or_else(RootCertStore::empty);
        for certificate in &self.certificates {
            roots.add(certificate.clone())?;
        }
        let mut signed = None;
        if !roots.is_empty() {
            let builder =
                WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider));
            signed = Some(
                builder
                    .build()
                    .map_err(|why| Error::General(why.to_string()))?,
            );
        }
        Ok(Arc::new(Verifier {
            signed,
            certificates: self.certificates,
            hashes: self.hashes,
            algorithms: provider.signature_verification_algorithms,
        }))
    }
}

impl From<RootCertStore> for Trust {
    fn from(roots: RootCertStore) -> Self {
        Self::roots(roots)
    }
}

#[derive(Debug)]
struct Verifier {
    /// `None` when nobody is trusted for a signature.
    signed: Option<Arc<WebPkiServerVerifier>>,
    certificates: Vec<CertificateDer<'static>>,
    hashes: Vec<CertificateHash>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// The hash that would have matched: what whoever mistyped it looks for.
pub(super) struct OtherHash(CertificateHash);

impl fmt::Display for OtherHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its SHA-256 is {}", self.0)
    }
}

// This is how rustls shows errors that are not its own.
impl fmt::Debug for OtherHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for OtherHash {}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let hash = (!self.hashes.is_empty()).then(|| CertificateHash::of(end_entity));
        if hash.is_some_and(|hash| self.hashes.contains(&hash)) {
            return Ok(ServerCertVerified::assertion());
        }
        let Some(signed) = &self.signed else {
            return Err(match hash {
                Some(hash) => CertificateError::Other(OtherError(Arc::new(OtherHash(hash)))),
                None => CertificateError::UnknownIssuer,
            }
            .into());
        };
        let checked =
            signed.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match checked {
            // Dates have been looked at before the signer, and before the use: that an
            // authority is a server itself has no name of its own in rustls.
            Err(Error::InvalidCertificate(
                CertificateError::UnknownIssuer
                | CertificateError::BadSignature
                | CertificateError::Other(_),
            )) if self.certificates.iter().any(|known| known == end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            checked => checked,
        }
    }

    // That the server has the certificate's key is checked whoever is trusted: anybody
    // can show a certificate.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
