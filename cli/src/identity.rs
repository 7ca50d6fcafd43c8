//! The server's certificate: self-signed or loaded, and its fingerprints.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use aqueduct_tokio::protocol::endpoint::tls;
pub use aqueduct_tokio::protocol::endpoint::tls::SELF_SIGNED_VALIDITY;
use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use sha2::{Digest as _, Sha256};

use crate::exit::{Exit, Failure};

/// A SHA-256 digest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sha256Digest(pub [u8; 32]);

impl Sha256Digest {
    /// The digest of `data`. O(n).
    pub fn of(data: &[u8]) -> Self {
        Self(Sha256::digest(data).into())
    }

    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// Standard base64 with padding, 44 characters.
    pub fn to_base64(self) -> String {
        BASE64.encode(&self.0)
    }

    /// Reads either form. Hexadecimal may have colons between bytes, as OpenSSL prints them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.replace(':', "");
        let bytes = HEXLOWER_PERMISSIVE
            .decode(digits.as_bytes())
            .or_else(|_| BASE64.decode(text.as_bytes()))
            .map_err(|_| "a SHA-256 is 64 hexadecimal digits or 44 characters of base64")?;
        let length = bytes.len();
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| format!("a SHA-256 has 32 bytes, not {length}"))
    }
}

/// The two digests by which a certificate is named.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fingerprints {
    /// SHA-256 of the whole DER certificate, as in `serverCertificateHashes`.
    pub certificate: Sha256Digest,
    /// SHA-256 of the SubjectPublicKeyInfo, as in Chromium's
    /// `--ignore-certificate-errors-spki-list`.
    pub spki: Sha256Digest,
}

/// A certificate chain, leaf first, and the key of its leaf.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    fingerprints: Fingerprints,
}

impl Identity {
    /// Makes a self-signed ECDSA P-256 certificate for localhost, valid for
    /// [`SELF_SIGNED_VALIDITY`] around `now`.
    pub fn self_signed(now: SystemTime) -> Result<Self, Failure> {
        let names = ["localhost", "127.0.0.1", "::1"];
        let made = tls::Identity::self_signed(names, now).map_err(|error| {
            let what = "cannot make a self-signed certificate";
            Failure::because(Exit::Certificate, what, error)
        })?;
        Self::new(made.chain, made.key)
    }

    /// Loads a PEM chain, leaf first, and a PEM key in PKCS #8, PKCS #1 or SEC1 form.
    pub fn load(chain: &Path, key: &Path) -> Result<Self, Failure> {
        let certificates = load_certificates(chain)?;
        let path = key;
        let key = PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| match error {
            PemError::NoItemsFound => Failure::new(
                Exit::Certificate,
                format!(
                    "`{}` holds no unencrypted private key in PEM (`-----BEGIN PRIVATE KEY-----`)",
                    path.display()
                ),
            ),
            other => not_pem(path, other),
        })?;
        Self::new(certificates, key)
    }

    /// `chain` must not be empty.
    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, Failure> {
        let leaf = chain.first().ok_or_else(|| {
            Failure::new(
                Exit::Certificate,
                "the certificate chain has no certificate",
            )
        })?;
        let fingerprints = fingerprints(leaf)?;
        Ok(Self {
            chain,
            key,
            fingerprints,
        })
    }

    /// The certificates, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// A copy of the private key.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// The digests of the leaf certificate.
    pub fn fingerprints(&self) -> Fingerprints {
        self.fingerprints
    }

    /// The chain as PEM. O(n).
    pub fn to_pem(&self) -> String {
        let mut out = String::new();
        for certificate in &self.chain {
            out.push_str("-----BEGIN CERTIFICATE-----\n");
            let text = BASE64.encode(certificate);
            for (at, c) in text.chars().enumerate() {
                if at > 0 && at % 64 == 0 {
                    out.push('\n');
                }
                out.push(c);
            }
            out.push_str("\n-----END CERTIFICATE-----\n");
        }
        out
    }
}

/// Reads every certificate of a PEM file; at least one.
pub fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let text = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| not_pem(path, error))?;
    if certificates.is_empty() {
        let what = format!(
            "`{}` holds no certificate in PEM (`-----BEGIN CERTIFICATE-----`)",
            path.display()
        );
        return Err(Failure::new(Exit::Certificate, what));
    }
    Ok(certificates)
}

/// The digests of a DER certificate.
pub fn fingerprints(certificate: &CertificateDer<'_>) -> Result<Fingerprints, Failure> {
    let parsed = ParsedCertificate::try_from(certificate)
        .map_err(|_| Failure::new(Exit::Certificate, "the certificate is not X.509 version 3"))?;
    Ok(Fingerprints {
        certificate: Sha256Digest::of(certificate),
        spki: Sha256Digest::of(&parsed.subject_public_key_info()),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| {
        Failure::because(
            Exit::Certificate,
            format!("cannot read `{}`", path.display()),
            error,
        )
    })
}

fn not_pem(path: &Path, error: PemError) -> Failure {
    Failure::because(
        Exit::Certificate,
        format!("`{}` is not valid PEM", path.display()),
        error,
    )
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_digest_is_read_in_all_its_spellings() {
        let digest = Sha256Digest::of(b"abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_hex(), hex);
        assert_eq!(
            digest.to_base64(),
            "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
        );
        let pairs: Vec<_> = (0..64).step_by(2).map(|at| &hex[at..at + 2]).collect();
        for text in [
            hex,
            &hex.to_uppercase(),
            &pairs.join(":"),
            &digest.to_base64(),
        ] {
            assert_eq!(Sha256Digest::parse(text), Ok(digest), "{text}");
        }
        for bad in [
            "",
            "abcd",
            &hex[1..],
            "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIA",
            "ü",
        ] {
            assert!(Sha256Digest::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_self_signed_identity_survives_its_pem_file() {
        let made = Identity::self_signed(SystemTime::now()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert.pem");
        fs::write(&path, made.to_pem()).unwrap();
        let read = load_certificates(&path).unwrap();
        assert_eq!(read, made.chain());
        assert_eq!(fingerprints(&read[0]).unwrap(), made.fingerprints());
        assert!(made.to_pem().lines().all(|line| line.len() <= 64));
        assert_ne!(made.fingerprints().certificate, made.fingerprints().spki);
    }

    #[test]
    fn a_self_signed_certificate_is_what_browsers_take_by_hash() {
        let made = Identity::self_signed(SystemTime::now()).unwrap();
        let der: &[u8] = &made.chain()[0];
        let holds = |part: &[u8]| der.windows(part.len()).any(|window| window == part);
        assert!(holds(b"localhost"));
        assert!(holds(&[0x87, 4, 127, 0, 0, 1])); // iPAddress of four bytes
        assert!(holds(&[
            0x87, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1
        ]));
        assert!(holds(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07])); // prime256v1
        assert!(SELF_SIGNED_VALIDITY < Duration::from_secs(14 * 86_400));
    }

    #[test]
    fn files_that_cannot_be_used_are_explained() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing.pem");
        let text = dir.path().join("text.pem");
        fs::write(&text, "hello").unwrap();
        let cert = dir.path().join("cert.pem");
        let made = Identity::self_signed(SystemTime::now()).unwrap();
        fs::write(&cert, made.to_pem()).unwrap();

        let error = Identity::load(&missing, &missing).unwrap_err();
        assert!(error.to_string().contains("missing.pem"), "{error}");
        assert!(error.source().is_some());
        let error = Identity::load(&text, &text).unwrap_err();
        assert!(
            error.to_string().contains("no certificate in PEM"),
            "{error}"
        );
        let error = Identity::load(&cert, &cert).unwrap_err();
        assert!(
            error.to_string().contains("no unencrypted private key"),
            "{error}"
        );
        assert_eq!(error.exit(), Exit::Certificate);
    }
}
