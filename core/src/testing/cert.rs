//! Certificates for tests: Ed25519, so that handshakes have the same size every
//! time, and from fixed keys, so that they have the same bytes.

use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ED25519};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::endpoint::tls;

/// A PKCS #8 header of an Ed25519 key (RFC 8410 §7); the 32 bytes of the key follow.
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A self-signed certificate and its key.
#[derive(Debug)]
pub struct Identity {
    /// The certificate.
    pub cert: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    /// An identity for `names`, the same for the same `number`.
    ///
    /// # Panics
    /// When a name is not ASCII.
    #[must_use]
    pub fn new(number: u8, names: &[&str]) -> Self {
        let key: Vec<u8> = PKCS8.into_iter().chain([number; 32]).collect();
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from(key.clone()),
            &PKCS_ED25519,
        )
        .expect("the header is RFC 8410's");
        let names: Vec<String> = names.iter().copied().map(String::from).collect();
        let mut params = CertificateParams::new(names).expect("names are ASCII");
        // Different subjects make a stranger's certificate an unknown one rather
        // than a forged one.
        let subject = format!("test identity {number}");
        params.distinguished_name.push(DnType::CommonName, subject);
        let cert = params.self_signed(&pair).expect("the key signs");
        Self {
            cert: cert.der().clone(),
            key,
        }
    }

    /// The identity of `localhost` that [`Pair`](super::pair::Pair) uses.
    #[must_use]
    pub fn localhost() -> Self {
        Self::new(1, &["localhost", "127.0.0.1", "::1"])
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }

    /// A server that shows this certificate.
    ///
    /// # Panics
    /// Never: the certificate and its key fit.
    #[must_use]
    pub fn server(&self) -> rustls::ServerConfig {
        tls::server_config(vec![self.cert.clone()], self.key())
            .expect("the key fits the certificate")
    }

    /// A client that trusts this certificate and no other. It does not resume
    /// sessions, so that every handshake is alike.
    ///
    /// # Panics
    /// Never: the certificate is well formed.
    #[must_use]
    pub fn client(&self) -> rustls::ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.cert.clone()).expect("a certificate");
        let mut config = tls::client_config(roots).expect("the provider has TLS 1.3");
        config.resumption = rustls::client::Resumption::disabled();
        config
    }

    /// [`Self::client`] behind an `Arc`.
    #[must_use]
    pub fn client_arc(&self) -> Arc<rustls::ClientConfig> {
        Arc::new(self.client())
    }
}
