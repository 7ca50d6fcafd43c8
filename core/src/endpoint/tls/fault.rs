//! What rustls says of certificates, in words.

use crate::error::CertificateFault;

/// What quinn passes on of an error about a certificate begins so.
const INVALID: &str = "invalid peer certificate: ";

/// How rustls shows what has no name of its own.
const OTHER: &str = "Other(OtherError(";

/// How rustls shows each error, from its beginning, and what that means.
const SHOWN: &[(&str, CertificateFault)] = &[
    ("UnknownIssuer", CertificateFault::UnknownIssuer),
    ("its SHA-256 is ", CertificateFault::OtherHash),
    ("CaUsedAsEndEntity", CertificateFault::Authority),
    ("Expired", CertificateFault::Expired),
    ("certificate expired", CertificateFault::Expired),
    ("NotValidYet", CertificateFault::NotYetValid),
    ("certificate not valid yet", CertificateFault::NotYetValid),
    ("NotValidForName", CertificateFault::OtherName),
    (
        "certificate not valid for name",
        CertificateFault::OtherName,
    ),
    ("InvalidPurpose", CertificateFault::OtherUse),
    ("certificate does not allow", CertificateFault::OtherUse),
    ("Revoked", CertificateFault::Revoked),
    ("UnknownRevocationStatus", CertificateFault::Revoked),
    ("certificate revocation list", CertificateFault::Revoked),
    ("InvalidOcspResponse", CertificateFault::Revoked),
    ("BadSignature", CertificateFault::Signature),
    ("UnsupportedSignatureAlgorithm", CertificateFault::Signature),
    ("BadEncoding", CertificateFault::Malformed),
    ("UnsupportedCertVersion", CertificateFault::Malformed),
    ("UnhandledCriticalExtension", CertificateFault::Malformed),
];

/// The reason of an error in words: what a certificate lacks, and what helps. Reasons
/// that are about something else stay what they are.
pub(crate) fn in_words(reason: String) -> String {
    let Some(shown) = reason.strip_prefix(INVALID) else {
        if reason == "peer sent no certificates" {
            return CertificateFault::Missing.to_string();
        }
        return reason;
    };
    let shown = shown
        .strip_prefix(OTHER)
        .map_or(shown, |inner| inner.trim_end_matches("))"));
    let known = SHOWN.iter().find(|(begins, _)| shown.starts_with(begins));
    let fault = known.map_or(CertificateFault::Other, |(_, fault)| *fault);
    // A name of rustls' alone says less than the words; a sentence says more.
    let detail = if shown.contains(' ') || known.is_none() {
        format!(" ({shown})")
    } else {
        String::new()
    };
    format!("{}{detail}; {}", fault.words(), fault.help())
}
