//! rustls configurations that suit HTTP/3: TLS 1.3, ALPN `h3`, the crypto that
//! the features chose. Anything beyond is done with rustls itself.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The rustls whose configurations an endpoint takes.
pub use rustls;

/// HTTP/3's name in TLS (RFC 9114 §3.1).
pub const ALPN: &[u8] = b"h3";

/// The crypto that the features chose; *ring* when both are on.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "ring")]
    let provider = rustls::crypto::ring::default_provider();
    #[cfg(not(feature = "ring"))]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    Arc::new(provider)
}

/// A server with one certificate chain, end entity first, and no client
/// certificates.
///
/// # Errors
/// The key does not fit the certificate, or is of a kind the provider lacks.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// A client that trusts `roots` and has no certificate of its own.
///
/// # Errors
/// The provider lacks TLS 1.3.
pub fn client_config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}
