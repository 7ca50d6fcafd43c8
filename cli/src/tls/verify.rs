//! Who judges a server's certificate.
//!
//! Whatever is trusted, the server has to hold the key of the certificate it showed: without that,
//! a pin would be worth nothing, as certificates are public.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::Trust;
use super::verdict::{Objection, Verdict, not_pinned, objection};
use crate::certificate::Claims;
use crate::identity::Sha256Digest;

/// Whom a [`Judge`] believes.
#[derive(Debug)]
pub(super) enum Believed {
    /// Chains that end at these roots, and these very certificates.
    Roots {
        chains: Arc<WebPkiServerVerifier>,
        named: Vec<CertificateDer<'static>>,
    },
    /// Certificates with these digests.
    Pins(Vec<Sha256Digest>),
    /// Everyone.
    Anyone,
}

/// Judges, and leaves what it objects to where it can be told.
#[derive(Debug)]
pub(super) struct Judge {
    believed: Believed,
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
    verdict: Verdict,
    /// Whether an objection is no reason to stop.
    lenient: bool,
}

impl Judge {
    pub(super) fn new(
        believed: Believed,
        trust: Trust,
        provider: &CryptoProvider,
        verdict: Verdict,
        lenient: bool,
    ) -> Self {
        Self {
            believed,
            trust,
            algorithms: provider.signature_verification_algorithms,
            verdict,
            lenient,
        }
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), (Error, Objection)> {
        let judged = match &self.believed {
            Believed::Anyone => Ok(()),
            Believed::Pins(pins) if pins.contains(&Sha256Digest::of(leaf)) => Ok(()),
            Believed::Pins(pins) => {
                let error = CertificateError::ApplicationVerificationFailure.into();
                return Err((error, not_pinned(leaf, pins.len())));
            }
            Believed::Roots { named, .. } if named.contains(leaf) => by_name(leaf, name, now),
            Believed::Roots { chains, .. } => chains
                .verify_server_cert(leaf, intermediates, name, ocsp, now)
                .map(drop),
        };
        judged.map_err(|error| {
            let objection = objection(&error, leaf, name, &self.trust);
            (error, objection)
        })
    }
}

/// A certificate that is itself what is trusted: nobody has to vouch for it, whatever it says of
/// being an authority. Its dates hold, and its names if it has any.
fn by_name(leaf: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
    let Some(claims) = Claims::of(leaf) else {
        return Err(CertificateError::BadEncoding.into());
    };
    let now = UNIX_EPOCH + Duration::from_secs(now.as_secs());
    if now > claims.not_after {
        return Err(CertificateError::Expired.into());
    }
    if now < claims.not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    if claims.names.is_empty() {
        return Ok(());
    }
    verify_server_name(&ParsedCertificate::try_from(leaf)?, name)
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged = self.judge(end_entity, intermediates, server_name, ocsp_response, now);
        let (error, objection) = judged.err().unzip();
        self.verdict.set(objection);
        match error {
            Some(error) if !self.lenient => Err(error),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

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
        verify_tls13_signature(message, certificate, signature, &self.algorithms).inspect_err(
            |_| {
                self.verdict.set(Some(Objection {
                    why: "the server does not hold its key".to_owned(),
                    help: "someone else may be in its place".to_owned(),
                }));
            },
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
