//! rustls configurations that suit HTTP/3: TLS 1.3, ALPN `h3`, the crypto that
//! the features chose. Anything beyond is done with rustls itself.

use std::sync::Arc;

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::quic::{ServerConnection, Version};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::error::ConfigError;

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

/// A client's configuration as quinn takes it: `h3` where it offers nothing else, and
/// no early data.
pub(super) fn client_crypto(
    mut tls: Arc<ClientConfig>,
) -> Result<Arc<QuicClientConfig>, ConfigError> {
    if tls.alpn_protocols.is_empty() {
        Arc::make_mut(&mut tls).alpn_protocols = vec![ALPN.to_vec()];
    }
    //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.2
    // CONNECT is not safe to be replayed. Nothing goes out early.
    if tls.enable_early_data {
        Arc::make_mut(&mut tls).enable_early_data = false;
    }
    let crypto =
        QuicClientConfig::try_from(tls).map_err(|why| ConfigError::Tls(why.to_string()))?;
    Ok(Arc::new(crypto))
}

/// A server's configuration as quinn takes it, as for [`client_crypto`], once a session
/// could be started with it.
pub(super) fn server_crypto(
    mut tls: Arc<ServerConfig>,
) -> Result<Arc<QuicServerConfig>, ConfigError> {
    if tls.alpn_protocols.is_empty() {
        Arc::make_mut(&mut tls).alpn_protocols = vec![ALPN.to_vec()];
    }
    // What may be a replay is not taken, so that a CONNECT never is one.
    if tls.max_early_data_size > 0 {
        Arc::make_mut(&mut tls).max_early_data_size = 0;
    }
    // quinn takes it for granted that a session can be started, so that is tried
    // once here instead of failing at the first connection.
    ServerConnection::new(Arc::clone(&tls), Version::V1, Vec::new())
        .map_err(|why| ConfigError::Tls(why.to_string()))?;
    let crypto =
        QuicServerConfig::try_from(tls).map_err(|why| ConfigError::Tls(why.to_string()))?;
    Ok(Arc::new(crypto))
}
