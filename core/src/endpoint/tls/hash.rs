//! The hash by which a certificate is known.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// SHA-256 of a certificate in DER, as browsers take it in `serverCertificateHashes`.
/// In text it is 64 hexadecimal digits; read, they may have colons between bytes, as
/// OpenSSL prints them.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub struct CertificateHash(pub [u8; 32]);

/// The text is no hash of a certificate.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[error("a certificate's SHA-256 hash has 64 hexadecimal digits")]
pub struct NotAHash;

impl CertificateHash {
    /// The hash of a certificate in DER. O(n).
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        #[cfg(not(feature = "ring"))]
        use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256 as SUITE;
        #[cfg(feature = "ring")]
        use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256 as SUITE;
        let tls13 = SUITE.tls13().expect("its name says so");
        let hash = tls13.common.hash_provider.hash(certificate);
        Self(hash.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Display for CertificateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for CertificateHash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        let mut nibbles = text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16));
        let mut next = || nibbles.next().flatten().ok_or(NotAHash);
        let mut hash = [0; 32];
        for byte in &mut hash {
            let (high, low) = (next()?, next()?);
            *byte = u8::try_from(high << 4 | low).map_err(|_| NotAHash)?;
        }
        nibbles
            .next()
            .is_none()
            .then_some(Self(hash))
            .ok_or(NotAHash)
    }
}

impl From<[u8; 32]> for CertificateHash {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "abc" of FIPS 180-2.
    #[test]
    fn a_hash_is_written_and_read() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let hash = CertificateHash::of(b"abc");
        assert_eq!(hash.to_string(), hex);
        let pairs: Vec<_> = (0..64).step_by(2).map(|at| &hex[at..at + 2]).collect();
        for text in [hex, &hex.to_uppercase(), &pairs.join(":")] {
            assert_eq!(text.parse(), Ok(hash), "{text}");
        }
        for text in [
            "",
            "ba78",
            &hex[1..],
            &format!("{hex}0"),
            &hex.replace('b', "g"),
        ] {
            assert_eq!(text.parse::<CertificateHash>(), Err(NotAHash), "{text}");
        }
    }
}
