//! TLS for HTTP/3: TLS 1.3, ALPN `h3`, and the crypto that the features chose.
//!
//! [`server_config`] and [`client_config`] make rustls configurations with
//! [`provider`]; the process-wide default of rustls is neither read nor set, so it does
//! not matter which crypto other crates brought along. `rustls::ServerConfig::builder()`
//! and `ClientConfig::builder()` do read it, and panic where there are two: hand them a
//! provider (`builder_with_provider`), or use [`server_config_with`] and
//! [`client_config_with`].
//!
//! ```
//! # #[cfg(feature = "self-signed")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::SystemTime;
//!
//! use aqueduct_core::endpoint::tls::{self, Identity, Trust};
//!
//! // A server without a certificate of its own; browsers take this one by its hash.
//! let identity = Identity::self_signed(["localhost", "127.0.0.1"], SystemTime::now())?;
//! let hash = identity.hash();
//! let server = tls::server_config(identity.chain, identity.key)?;
//! // A client that trusts this server and nobody else.
//! let client = tls::client_config(Trust::hashes([hash]))?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "self-signed"))]
//! # fn main() {}
//! ```

mod certificates;
mod early;
mod fault;
mod hash;
mod identity;
mod tickets;
mod trust;

use std::sync::Arc;

use quinn_proto::crypto;
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::quic::{ClientConnection, ServerConnection, Version};
use rustls::{ClientConfig, KeyLog, KeyLogFile, ServerConfig};

use super::error::ConfigError;
use super::protocol::Offer;

pub(super) use super::reset_at::tls::Shaken;
use super::reset_at::tls::{ClientCrypto, ServerCrypto};
pub use certificates::Certificates;
pub(super) use early::EarlyCrypto;
pub(super) use fault::in_words;
pub use hash::{CertificateHash, NotAHash};
#[cfg(feature = "self-signed")]
pub use identity::SELF_SIGNED_VALIDITY;
pub use identity::{Identity, IdentityError};
pub(super) use tickets::Tickets;
pub use tickets::{Ticket, TicketStore};
pub use trust::Trust;

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
    server_config_with(provider(), chain, key)
}

/// As [`server_config`], with crypto of the caller's.
///
/// # Errors
/// As for [`server_config`], and the provider lacks TLS 1.3.
pub fn server_config_with(
    provider: Arc<CryptoProvider>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// For the `key_log` of a configuration: writes the secrets of its connections to the file
/// that the environment variable `SSLKEYLOGFILE` names at this moment, for Wireshark and
/// its like; nowhere when it names none. Whoever has the file reads the connections.
#[must_use]
pub fn key_log_file() -> Arc<dyn KeyLog> {
    Arc::new(KeyLogFile::new())
}

/// A client that believes whom `trust` names, and has no certificate of its own.
///
/// # Errors
/// A certificate to be trusted is not one.
pub fn client_config(trust: impl Into<Trust>) -> Result<ClientConfig, rustls::Error> {
    client_config_with(provider(), trust)
}

/// As [`client_config`], with crypto of the caller's.
///
/// # Errors
/// As for [`client_config`], and the provider lacks TLS 1.3.
pub fn client_config_with(
    provider: Arc<CryptoProvider>,
    trust: impl Into<Trust>,
) -> Result<ClientConfig, rustls::Error> {
    let verifier = trust.into().verifier(&provider)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// A client's configuration as quinn takes it: `h3` where it offers nothing else, tickets
/// from where they are kept, and early data if it may send some; once a session could be
/// started with it.
pub(super) fn client_crypto(
    mut tls: Arc<ClientConfig>,
    offer: &Offer,
    tickets: Option<Resumption>,
    early: bool,
    reliable_reset: bool,
) -> Result<Arc<dyn crypto::ClientConfig>, ConfigError> {
    suits(tls.crypto_provider())?;
    let names = offer.names(tls.alpn_protocols.clone())?;
    if tls.alpn_protocols != names {
        Arc::make_mut(&mut tls).alpn_protocols = names;
    }
    //= https://www.rfc-editor.org/rfc/rfc9114#section-7.2.4.2
    // Early data is sent by the settings that are kept with a ticket, so there is none
    // without a store for both.
    let early = early && tickets.is_some();
    if tls.enable_early_data != early {
        Arc::make_mut(&mut tls).enable_early_data = early;
    }
    if let Some(resumption) = tickets {
        Arc::make_mut(&mut tls).resumption = resumption;
    }
    // quinn takes it for granted that a session can be started. The trial is not to use
    // up a ticket.
    let mut trial = ClientConfig::clone(&tls);
    trial.resumption = Resumption::disabled();
    let nobody = ServerName::IpAddress(std::net::IpAddr::from([0, 0, 0, 0]).into());
    let trial = Arc::new(trial);
    ClientConnection::new(Arc::clone(&trial), Version::V1, nobody, Vec::new())
        .map_err(|why| ConfigError::Tls(why.to_string()))?;
    if reliable_reset {
        let crypto = ClientCrypto::new(tls, trial).ok_or(ConfigError::NoInitialSuite)?;
        return Ok(Arc::new(crypto));
    }
    let crypto = QuicClientConfig::try_from(tls).map_err(|_| ConfigError::NoInitialSuite)?;
    Ok(Arc::new(crypto))
}

/// A server's configuration with the names of what is offered.
///
/// # Errors
/// It does not suit that.
pub(super) fn server_tls(
    mut tls: Arc<ServerConfig>,
    offer: &Offer,
) -> Result<Arc<ServerConfig>, ConfigError> {
    suits(tls.crypto_provider())?;
    let names = offer.names(tls.alpn_protocols.clone())?;
    if tls.alpn_protocols != names {
        Arc::make_mut(&mut tls).alpn_protocols = names;
    }
    Ok(tls)
}

/// The same as quinn takes it, as for [`client_crypto`]; without early data.
pub(super) fn server_crypto(
    mut tls: Arc<ServerConfig>,
    reliable_reset: bool,
) -> Result<Arc<dyn crypto::ServerConfig>, ConfigError> {
    // Early data may be a replay: it is taken where the endpoint's configuration says so.
    if tls.max_early_data_size > 0 {
        Arc::make_mut(&mut tls).max_early_data_size = 0;
    }
    let quic = server_quic(Arc::clone(&tls))?;
    server_session(tls, quic, reliable_reset)
}

/// What starts sessions, of a configuration that was tried.
fn server_session(
    tls: Arc<ServerConfig>,
    quic: Arc<QuicServerConfig>,
    reliable_reset: bool,
) -> Result<Arc<dyn crypto::ServerConfig>, ConfigError> {
    if !reliable_reset {
        return Ok(quic);
    }
    let crypto = ServerCrypto::new(tls, quic).ok_or(ConfigError::NoInitialSuite)?;
    Ok(Arc::new(crypto))
}

fn server_quic(tls: Arc<ServerConfig>) -> Result<Arc<QuicServerConfig>, ConfigError> {
    // quinn takes it for granted that a session can be started, so that is tried
    // once here instead of failing at the first connection.
    ServerConnection::new(Arc::clone(&tls), Version::V1, Vec::new())
        .map_err(|why| ConfigError::Tls(why.to_string()))?;
    let crypto = QuicServerConfig::try_from(tls).map_err(|_| ConfigError::NoInitialSuite)?;
    Ok(Arc::new(crypto))
}

/// Whether ALPN and crypto of a configuration that somebody else made suit HTTP/3.
fn suits(provider: &CryptoProvider) -> Result<(), ConfigError> {
    let suites = || {
        provider
            .cipher_suites
            .iter()
            .filter_map(|suite| suite.tls13())
    };
    if suites().next().is_none() {
        return Err(ConfigError::NoTls13);
    }
    //= https://www.rfc-editor.org/rfc/rfc9001#section-5.2
    // Initial packets are sealed with AES-128-GCM, whatever is agreed on later.
    let initial = rustls::CipherSuite::TLS13_AES_128_GCM_SHA256;
    let fits = suites().any(|suite| suite.common.suite == initial && suite.quic.is_some());
    if fits {
        Ok(())
    } else {
        Err(ConfigError::NoInitialSuite)
    }
}

#[cfg(all(test, feature = "pair"))]
mod tests;
