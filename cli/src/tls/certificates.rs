//! The certificates of a server, which may be replaced while it serves.

use std::sync::{Arc, PoisonError, RwLock};

use aqueduct_tokio::protocol::endpoint::tls;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::exit::{Exit, Failure};
use crate::identity::Identity;

/// Certificates with their keys, chosen among by the name that a client asks for. Clones share
/// them, in whatever endpoints they are.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<RwLock<tls::Certificates>>);

impl Certificates {
    /// Those of `identities`; the first is for clients that name no host or one that none is for.
    ///
    /// # Errors
    /// When a key is of no use, or another certificate's.
    pub fn new(identities: &[Identity]) -> Result<Self, Failure> {
        Ok(Self(Arc::new(RwLock::new(usable(identities)?))))
    }

    /// Takes these instead, for handshakes from now on.
    ///
    /// # Errors
    /// As for [`Certificates::new`]; then nothing is replaced.
    pub fn replace(&self, identities: &[Identity]) -> Result<(), Failure> {
        let usable = usable(identities)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = usable;
        Ok(())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificates = self.0.read().unwrap_or_else(PoisonError::into_inner);
        certificates.resolve(hello)
    }
}

fn usable(identities: &[Identity]) -> Result<tls::Certificates, Failure> {
    let identity = |identity: &Identity| tls::Identity {
        chain: identity.chain().to_vec(),
        key: identity.key(),
    };
    tls::Certificates::new(identities.iter().map(identity)).map_err(|error| {
        let why = match error {
            rustls::Error::InconsistentKeys(_) => "the key is another certificate's",
            _ => "servers cannot use such a key",
        };
        let what = format!("the certificate and its key cannot be used together: {why}");
        Failure::new(Exit::Certificate, what)
    })
}
