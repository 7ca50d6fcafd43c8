//! Who a server is: a certificate chain, its key, and the hash by which it is known.

use std::fmt;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use super::hash::CertificateHash;

/// How long a certificate of [`Identity::self_signed`] is valid: browsers take one by its
/// hash for 14 days at most, and a day is left for clocks that differ.
#[cfg(feature = "self-signed")]
pub const SELF_SIGNED_VALIDITY: std::time::Duration = std::time::Duration::from_secs(13 * 86_400);

/// Of PKCS #8 (RFC 7468 §11), and of the forms before it.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// A certificate chain and the key of its first certificate.
pub struct Identity {
    /// The certificates, end entity first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The end entity's private key.
    pub key: PrivateKeyDer<'static>,
}

/// Why there is no identity.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The chain is no PEM, or has no certificate in it.
    #[error("the chain holds no certificate in PEM: {0}")]
    Chain(String),
    /// The key is no PEM, or is of an unknown form.
    #[error("the key is no unencrypted private key in PEM: {0}")]
    Key(String),
    /// The key is encrypted, and passwords are not taken.
    #[error("the key is encrypted: `openssl pkcs8 -in KEY -out PLAIN` makes one that is not")]
    Encrypted,
    /// No certificate can be made: a name is not one, or the crypto fails.
    #[error("no certificate can be made: {0}")]
    Making(String),
}

impl Identity {
    /// From PEM: the chain, end entity first, and a key in PKCS #8, PKCS #1 or SEC1
    /// form. O(n).
    ///
    /// # Errors
    /// [`IdentityError::Chain`], [`IdentityError::Key`], [`IdentityError::Encrypted`].
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|why| IdentityError::Chain(why.to_string()))?;
        if chain.is_empty() {
            return Err(IdentityError::Chain("it is empty".into()));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|why| {
            match key.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED) {
                true => IdentityError::Encrypted,
                false => IdentityError::Key(why.to_string()),
            }
        })?;
        Ok(Self { chain, key })
    }

    /// A new key and a certificate of its own for `names`, DNS names and IP addresses,
    /// that browsers take by its [`hash`](Self::hash): ECDSA P-256, and valid for
    /// [`SELF_SIGNED_VALIDITY`] from an hour before `now`, for clients whose clocks are
    /// behind.
    ///
    /// # Errors
    /// [`IdentityError::Making`].
    #[cfg(feature = "self-signed")]
    pub fn self_signed<N: Into<String>>(
        names: impl IntoIterator<Item = N>,
        now: std::time::SystemTime,
    ) -> Result<Self, IdentityError> {
        use std::time::Duration;

        use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};

        let making = |why: rcgen::Error| IdentityError::Making(why.to_string());
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(making)?;
        let mut params = CertificateParams::new(names).map_err(making)?;
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "aqueduct self-signed");
        let from = now - Duration::from_secs(3600);
        params.not_before = from.into();
        params.not_after = (from + SELF_SIGNED_VALIDITY).into();
        let certificate = params.self_signed(&key).map_err(making)?;
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok(Self {
            chain: vec![certificate.der().clone()],
            key: key.into(),
        })
    }

    /// The hash of the end entity's certificate, for
    /// [`Trust::hashes`](super::Trust::hashes) and browsers; of nothing, when there is no
    /// certificate. O(n).
    #[must_use]
    pub fn hash(&self) -> CertificateHash {
        CertificateHash::of(self.chain.first().map_or(&[], |first| first))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}
