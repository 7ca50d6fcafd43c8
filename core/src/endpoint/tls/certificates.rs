//! Several certificates of one server, by the names that clients ask for.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{ALPN, Identity, provider};

/// The certificates of a server that has several names. The first is for clients that name
/// no host, or one that none is for.
#[derive(Clone, Debug)]
pub struct Certificates {
    keys: Vec<Arc<CertifiedKey>>,
    provider: Arc<CryptoProvider>,
}

impl Certificates {
    /// Those of `identities`, of which there has to be one at least. O(n).
    ///
    /// # Errors
    /// There is none; or a key does not fit its certificate, or is of a kind the provider
    /// lacks.
    pub fn new(identities: impl IntoIterator<Item = Identity>) -> Result<Self, rustls::Error> {
        Self::new_with(provider(), identities)
    }

    /// As [`Certificates::new`], with crypto of the caller's.
    ///
    /// # Errors
    /// As for [`Certificates::new`].
    pub fn new_with(
        provider: Arc<CryptoProvider>,
        identities: impl IntoIterator<Item = Identity>,
    ) -> Result<Self, rustls::Error> {
        let key =
            |Identity { chain, key }| CertifiedKey::from_der(chain, key, &provider).map(Arc::new);
        let keys: Vec<_> = identities.into_iter().map(key).collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(rustls::Error::General("no certificate".into()));
        }
        Ok(Self { keys, provider })
    }

    /// A server with these certificates, and no certificates of clients.
    ///
    /// # Errors
    /// The provider lacks TLS 1.3.
    pub fn into_config(self) -> Result<ServerConfig, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self));
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }

    /// The first that is for `name` and signs as the client can check; the first of all if
    /// there is none. O(certificates).
    fn choose(
        &self,
        name: Option<&str>,
        signs: impl Fn(&CertifiedKey) -> bool,
    ) -> Option<Arc<CertifiedKey>> {
        let name = name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
        let suits = |key: &&Arc<CertifiedKey>| {
            let named = name.as_ref().is_some_and(|name| is_for(key, name));
            named && signs(key)
        };
        (self.keys.iter().find(suits))
            .or_else(|| self.keys.first())
            .cloned()
    }
}

//= https://www.rfc-editor.org/rfc/rfc6066#section-3
// The name that the client asks for guides the choice of a certificate; an unknown one is
// no reason to give up, since the client decides whom it takes.
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

#[cfg(all(test, feature = "pair", feature = "self-signed"))]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::super::{CertificateHash, Trust, client_config};
    use super::*;
    use crate::endpoint::Target;
    use crate::testing::pair::{Options, Pair};

    fn identity(name: &str) -> Identity {
        // Who trusts a hash looks at no date.
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        Identity::self_signed([name], then).expect("a name")
    }

    /// Whether a client that asks for `name` is shown this certificate. Names are not looked at.
    fn shows(server: &Arc<ServerConfig>, name: &str, hash: CertificateHash) -> bool {
        let mut pair = Pair::new(Options {
            server_tls: Some(Arc::clone(server)),
            ..Options::default()
        });
        let tls = client_config(Trust::hashes([hash])).expect("suits");
        let target = Target::new(pair.server.addr, name, Arc::new(tls));
        let begun = pair.client.endpoint.connect(pair.now, &target);
        let key = begun.expect("begins");
        pair.drive();
        let info = pair.client.endpoint.info(key);
        info.is_some_and(|info| !info.peer_certificates().is_empty())
    }

    #[test]
    fn the_name_asked_for_chooses_and_the_first_is_for_all_others() {
        let identities = ["a.example", "b.example"].map(identity);
        let [a, b] = [identities[0].hash(), identities[1].hash()];
        let certificates = Certificates::new(identities).expect("keys fit");
        let server = Arc::new(certificates.into_config().expect("TLS 1.3"));
        for (name, is_a) in [
            ("a.example", true),
            ("b.example", false),
            ("c.example", true),
            ("192.0.2.1", true),
        ] {
            assert_eq!(shows(&server, name, a), is_a, "{name}");
            assert_eq!(shows(&server, name, b), !is_a, "{name}");
        }
    }

    #[test]
    fn keys_of_others_and_no_certificate_at_all_are_refused() {
        let [a, b] = ["a.example", "b.example"].map(identity);
        let mixed = Identity {
            chain: a.chain,
            key: b.key,
        };
        let refused = Certificates::new([mixed]).expect_err("another's key");
        assert!(
            matches!(refused, rustls::Error::InconsistentKeys(_)),
            "{refused}"
        );
        Certificates::new([]).expect_err("none");
    }
}
