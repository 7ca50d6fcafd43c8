//! rustls configurations for QUIC, and what a client trusts.
//!
//! The provider of the cryptography is chosen by feature and handed to every configuration; the
//! process-wide default of rustls is neither set nor read.
//!
//! A client trusts the root certificates of the system, read by `rustls-native-certs`: the same
//! verifier then runs on every platform with the provider given here, and `SSL_CERT_FILE` works.

mod verify;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, KeyLogFile, RootCertStore, ServerConfig};

use crate::exit::{Exit, Failure};
use crate::identity::{Identity, Sha256Digest, load_certificates};

/// The ALPN identifier of HTTP/3 (RFC 9114 section 3.1).
pub const ALPN_H3: &[u8] = b"h3";

/// Whom a client believes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Trust {
    /// The root certificates of the system.
    #[default]
    System,
    /// Only the root certificates of this PEM file.
    CaFile(PathBuf),
    /// Exactly the certificates with these SHA-256 digests; neither names nor dates are looked at,
    /// since the digest already says which certificate is meant.
    Pins(Vec<Sha256Digest>),
    /// Anyone.
    Insecure,
}

/// The cryptography of this build.
pub fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "ring")]
    return Arc::new(rustls::crypto::ring::default_provider());
    #[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
    return Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    compile_error!("aqueduct-cli needs one of the features `ring` and `aws-lc-rs`");
}

/// A server's configuration: TLS 1.3, ALPN `h3`, no client certificates, `SSLKEYLOGFILE` honoured.
/// Fails when the key does not belong to the certificate.
pub fn server_config(identity: &Identity) -> Result<ServerConfig, Failure> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(no_tls13)?
        .with_no_client_auth()
        .with_single_cert(identity.chain().to_vec(), identity.key())
        .map_err(|error| {
            let what = "the certificate and its key cannot be used together";
            Failure::because(Exit::Certificate, what, error)
        })?;
    config.alpn_protocols = vec![ALPN_H3.to_vec()];
    config.key_log = Arc::new(KeyLogFile::new());
    Ok(config)
}

/// A client's configuration: TLS 1.3, ALPN `h3`, `SSLKEYLOGFILE` honoured. Reads the system's
/// certificates or the file named, as `trust` says.
pub fn client_config(trust: &Trust) -> Result<ClientConfig, Failure> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(no_tls13)?
        .dangerous()
        .with_custom_certificate_verifier(verifier(trust)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_H3.to_vec()];
    config.key_log = Arc::new(KeyLogFile::new());
    Ok(config)
}

fn verifier(trust: &Trust) -> Result<Arc<dyn ServerCertVerifier>, Failure> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Pins(pins) => return Ok(Arc::new(verify::Pinned::new(pins.clone(), &provider()))),
        Trust::Insecure => return Ok(Arc::new(verify::Anyone::new(&provider()))),
        Trust::System => {
            let found = rustls_native_certs::load_native_certs();
            for error in found.errors {
                tracing::debug!(%error, "part of the system's certificates could not be read");
            }
            // Old stores hold a few certificates that no longer parse; the others still count.
            let (added, ignored) = roots.add_parsable_certificates(found.certs);
            tracing::debug!(added, ignored, "read the system's root certificates");
            if roots.is_empty() {
                let what = "this system has no root certificates (on Debian, install \
                            ca-certificates); --cacert and --cert-hash work without";
                return Err(Failure::new(Exit::Certificate, what));
            }
        }
        Trust::CaFile(path) => {
            for certificate in load_certificates(path)? {
                roots.add(certificate).map_err(|error| {
                    let what = format!("`{}` holds an unusable root", path.display());
                    Failure::because(Exit::Certificate, what, error)
                })?;
            }
        }
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider()).build();
    Ok(verifier.map_err(|error: VerifierBuilderError| {
        Failure::because(
            Exit::Certificate,
            "the root certificates cannot be used",
            error,
        )
    })?)
}

fn no_tls13(error: rustls::Error) -> Failure {
    Failure::because(Exit::Failure, "this build has no TLS 1.3", error)
}

#[cfg(test)]
mod tests;
