//! The certificates of a server, by the names that clients ask for.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::provider;
use crate::exit::{Exit, Failure};
use crate::identity::Identity;

/// Certificates with their keys, which may be replaced while the server serves. Clones share them.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<RwLock<Vec<Arc<CertifiedKey>>>>);

impl Certificates {
    /// Those of `identities`; the first is for clients that name no host or one that none is for.
    ///
    /// # Errors
    /// When a key is of no use, or another certificate's.
    pub fn new(identities: &[Identity]) -> Result<Self, Failure> {
        Ok(Self(Arc::new(RwLock::new(keys(identities)?))))
    }

    /// Takes these instead, for handshakes from now on.
    ///
    /// # Errors
    /// As for [`Certificates::new`]; then nothing is replaced.
    pub fn replace(&self, identities: &[Identity]) -> Result<(), Failure> {
        let keys = keys(identities)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// The first that is for `name` and signs as the client can check; the first of all if there is
    /// none. O(certificates).
    fn choose(
        &self,
        name: Option<&str>,
        signs: impl Fn(&CertifiedKey) -> bool,
    ) -> Option<Arc<CertifiedKey>> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let name = name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
        let suits = |key: &&Arc<CertifiedKey>| {
            let named = name.as_ref().is_some_and(|name| is_for(key, name));
            named && signs(key)
        };
        keys.iter().find(suits).or_else(|| keys.first()).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), |key| {
            key.key.choose_scheme(hello.signature_schemes()).is_some()
        })
    }
}

fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let leaf = key.cert.first().map(ParsedCertificate::try_from);
    let Some(Ok(leaf)) = leaf else { return false };
    rustls::client::verify_server_name(&leaf, name).is_ok()
}

fn keys(identities: &[Identity]) -> Result<Vec<Arc<CertifiedKey>>, Failure> {
    let provider = provider();
    let key = |identity: &Identity| {
        let chain = identity.chain().to_vec();
        CertifiedKey::from_der(chain, identity.key(), &provider).map(Arc::new)
    };
    identities
        .iter()
        .map(key)
        .collect::<Result<_, _>>()
        .map_err(|error| {
            let why = match error {
                rustls::Error::InconsistentKeys(_) => "the key is another certificate's",
                _ => "servers cannot use such a key",
            };
            let what = format!("the certificate and its key cannot be used together: {why}");
            Failure::new(Exit::Certificate, what)
        })
}
