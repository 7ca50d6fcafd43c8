//! rustls configurations for QUIC, and what a client trusts.
//!
//! The provider of the cryptography is chosen by feature and handed to every configuration; the
//! process-wide default of rustls is neither set nor read.
//!
//! A client trusts the root certificates of the system, read by `rustls-native-certs`: the same
//! verifier then runs on every platform with the provider given here, and `SSL_CERT_FILE` works.

mod certificates;
mod verdict;
mod verify;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::exit::{Exit, Failure};
use crate::identity::{Sha256Digest, load_certificates};
use verify::{Believed, Judge};

use aqueduct_tokio::protocol::endpoint::tls::key_log_file;
pub use aqueduct_tokio::protocol::endpoint::tls::{ALPN as ALPN_H3, provider};
pub use certificates::Certificates;
pub use verdict::{Objection, Verdict};

/// Whom a client believes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Trust {
    /// The root certificates of the system.
    #[default]
    System,
    /// Only the root certificates of this PEM file, and servers that show one of them.
    CaFile(PathBuf),
    /// Exactly the certificates with these SHA-256 digests; neither names nor dates are looked at,
    /// since the digest already says which certificate is meant.
    Pins(Vec<Sha256Digest>),
    /// Anyone.
    Insecure,
}

impl fmt::Display for Trust {
    /// What an issuer would have to be among.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CaFile(path) => write!(f, "those of `{}`", path.display()),
            _ => f.write_str("the roots of this system"),
        }
    }
}

/// A server's configuration: TLS 1.3, ALPN `h3`, no client certificates, `SSLKEYLOGFILE` honoured.
pub fn server_config(certificates: &Certificates) -> Result<ServerConfig, Failure> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(no_tls13)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificates.clone()));
    config.alpn_protocols = vec![ALPN_H3.to_vec()];
    config.key_log = key_log_file();
    Ok(config)
}

/// A client's configuration: TLS 1.3, ALPN `h3`, `SSLKEYLOGFILE` honoured. Reads the system's
/// certificates or the file named, as `trust` says. What is objected to in a server's certificate
/// is left in `verdict`.
pub fn client_config(trust: &Trust, verdict: &Verdict) -> Result<ClientConfig, Failure> {
    client(trust, verdict, false)
}

/// The same, but an objection is left in `verdict` and no more.
pub fn curious_config(trust: &Trust, verdict: &Verdict) -> Result<ClientConfig, Failure> {
    client(trust, verdict, true)
}

fn client(trust: &Trust, verdict: &Verdict, lenient: bool) -> Result<ClientConfig, Failure> {
    let provider = provider();
    let judge = Judge::new(
        believed(trust)?,
        trust.clone(),
        &provider,
        verdict.clone(),
        lenient,
    );
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(no_tls13)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(judge))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_H3.to_vec()];
    config.key_log = key_log_file();
    Ok(config)
}

fn believed(trust: &Trust) -> Result<Believed, Failure> {
    let mut roots = RootCertStore::empty();
    let mut named = Vec::new();
    match trust {
        Trust::Pins(pins) => return Ok(Believed::Pins(pins.clone())),
        Trust::Insecure => return Ok(Believed::Anyone),
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
            named = load_certificates(path)?;
            for (at, certificate) in (1..).zip(&named) {
                roots.add(certificate.clone()).map_err(|_| {
                    let path = path.display();
                    let what = format!("certificate {at} of `{path}` is not X.509 version 3");
                    Failure::new(Exit::Certificate, what)
                })?;
            }
        }
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider()).build();
    let chains = verifier.map_err(|error: VerifierBuilderError| {
        Failure::because(
            Exit::Certificate,
            "the root certificates cannot be used",
            error,
        )
    })?;
    Ok(Believed::Roots { chains, named })
}

fn no_tls13(error: rustls::Error) -> Failure {
    Failure::because(Exit::Failure, "this build has no TLS 1.3", error)
}

#[cfg(test)]
mod tests;
