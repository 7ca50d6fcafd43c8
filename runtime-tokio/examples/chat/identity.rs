//! A certificate that browsers take by its hash: ECDSA P-256, valid for less than
//! 14 days. And the other side of it: trust in one hash.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aqueduct_tokio::protocol::endpoint::tls;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::Anything;

pub(crate) struct Identity {
    pub(crate) cert: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    pub(crate) fn new() -> Result<Self, Anything> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(["localhost".into(), "127.0.0.1".into()])?;
        // An hour back, for clients whose clock is behind ours.
        let from = SystemTime::now() - Duration::from_secs(3600);
        params.not_before = from.into();
        params.not_after = (from + Duration::from_secs(13 * 86_400)).into();
        let cert = params.self_signed(&key)?.der().clone();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Ok(Self { cert, key })
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        sha256(&self.cert)
    }
}

fn sha256(data: &[u8]) -> [u8; 32] {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let suite = suite.tls13().expect("its name says so");
    let hash = suite.common.hash_provider.hash(data);
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

pub(crate) fn hex(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 64 hexadecimal digits, with or without colons.
pub(crate) fn parse_hash(text: &str) -> Result<[u8; 32], Anything> {
    let digits = text.replace(':', "");
    if digits.len() != 64 || !digits.is_ascii() {
        return Err("a SHA-256 has 64 hexadecimal digits".into());
    }
    let mut hash = [0; 32];
    for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16)?;
    }
    Ok(hash)
}

/// A client that trusts the one certificate with this hash.
pub(crate) fn trust(hash: [u8; 32]) -> Result<Arc<ClientConfig>, Error> {
    let mut config = tls::client_config(RootCertStore::empty())?;
    config
        .dangerous()
        .set_certificate_verifier(Arc::new(Pinned {
            hash,
            provider: tls::provider(),
        }));
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Pinned {
    hash: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if sha256(end_entity) == self.hash {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    // That the server holds the certificate's key is checked all the same.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
