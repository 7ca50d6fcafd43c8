//! The key of stateless resets, when it is to stay the same.

use std::fmt;

use quinn_proto::crypto::{CryptoError, HmacKey};
use rustls::SupportedCipherSuite;
use rustls::crypto::tls13::{Hkdf, OkmBlock};

use super::error::ConfigError;
use super::tls;

/// Bytes of an HMAC with SHA-256.
const TAG: usize = 32;

/// A key for HMAC with SHA-256, whose provider is the one of everything else.
//= https://www.rfc-editor.org/rfc/rfc9000#section-10.3.2
// A token is a pseudorandom function of a static key and a connection id, so nothing has to be kept
// for a connection but the key.
#[derive(Clone)]
pub(super) struct ResetKey {
    key: OkmBlock,
    hmac: &'static dyn Hkdf,
}

impl ResetKey {
    pub(super) fn new(key: [u8; 32]) -> Result<Self, ConfigError> {
        let suites = &tls::provider().cipher_suites;
        let hmac = suites.iter().find_map(|suite| match suite {
            SupportedCipherSuite::Tls13(suite) => {
                let sha256 = suite.common.hash_provider.output_len() == TAG;
                sha256.then_some(suite.hkdf_provider)
            }
            #[allow(
                unreachable_patterns,
                reason = "without TLS 1.2 in rustls there is no other"
            )]
            _ => None,
        });
        let hmac = hmac.ok_or_else(|| ConfigError::Tls("no SHA-256".to_owned()))?;
        Ok(Self {
            key: OkmBlock::new(&key),
            hmac,
        })
    }

    /// Bytes for another use, which tell nothing of the tokens: a connection id is never as short
    /// as `purpose` with its prefix, nor does any begin with it by more than chance.
    pub(super) fn derive<const N: usize>(&self, purpose: &[u8]) -> [u8; N] {
        let tag = self.tag(&[b"aqueduct connection ids: ", purpose].concat());
        let mut bytes = tag.into_iter();
        std::array::from_fn(|_| bytes.next().unwrap_or_default())
    }

    fn tag(&self, data: &[u8]) -> [u8; TAG] {
        let mut tag = [0; TAG];
        let signed = self.hmac.hmac_sign(&self.key, data);
        for (to, from) in tag.iter_mut().zip(signed.as_ref()) {
            *to = *from;
        }
        tag
    }
}

impl fmt::Debug for ResetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResetKey")
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], out: &mut [u8]) {
        for (to, from) in out.iter_mut().zip(self.tag(data)) {
            *to = from;
        }
    }

    fn signature_len(&self) -> usize {
        TAG
    }

    /// quinn makes tokens and compares those of its peers itself: it never asks.
    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let tag = self.tag(data);
        // No byte tells by the time that it takes how many before it were right.
        let differ = tag
            .iter()
            .zip(signature)
            .fold(0, |all, (a, b)| all | (a ^ b));
        (differ == 0 && signature.len() == TAG)
            .then_some(())
            .ok_or(CryptoError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= https://www.rfc-editor.org/rfc/rfc4231#section-4.2
    //= type=test
    // HMAC with SHA-256 of a short key, which is filled up with zeros: the 20 bytes of the first
    // case and 12 zeros are the same key.
    #[test]
    fn a_tag_is_hmac_with_sha256() {
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let key = ResetKey::new(key).unwrap();
        let tag = key.tag(b"Hi There");
        assert_eq!(tag[..4], [0xb0, 0x34, 0x4c, 0x61]);
        assert_eq!(tag[28..], [0x2e, 0x32, 0xcf, 0xf7]);
        assert!(key.verify(b"Hi There", &tag).is_ok());
        assert!(key.verify(b"Hi there", &tag).is_err());
        assert!(key.verify(b"Hi There", &tag[..31]).is_err());
    }
}
