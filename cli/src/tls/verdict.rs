//! What is wrong with a certificate, in words, and which option helps.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aqueduct_tokio::protocol::escape::escaped;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error};

use super::Trust;
use crate::certificate::{Claims, date};
use crate::identity::Sha256Digest;

/// Why a certificate was not trusted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Objection {
    /// What is wrong with it.
    pub why: String,
    /// What whoever knows better can do.
    pub help: String,
}

/// The last judgement of a server's certificate, shared by those who judge and those who tell.
#[derive(Clone, Debug, Default)]
pub struct Verdict(Arc<Mutex<Option<Objection>>>);

impl Verdict {
    /// Takes the place of what was said of another.
    pub(crate) fn set(&self, objection: Option<Objection>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = objection;
    }

    /// The objection to the last one, if there is one.
    #[must_use]
    pub fn objection(&self) -> Option<Objection> {
        let objection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        objection.clone()
    }
}

/// A certificate that does not have one of the digests asked for.
pub(super) fn not_pinned(leaf: &CertificateDer<'_>, asked: usize) -> Objection {
    let which = match asked {
        1 => "the one asked for",
        _ => "any of those asked for",
    };
    Objection {
        why: format!(
            "its SHA-256 is {}, not {which}",
            Sha256Digest::of(leaf).to_hex()
        ),
        help: "--cert-hash takes that digest, if it is the server's".to_owned(),
    }
}

/// What `error` says of `leaf`, which was shown for `name`.
pub(super) fn objection(
    error: &Error,
    leaf: &CertificateDer<'_>,
    name: &ServerName<'_>,
    trust: &Trust,
) -> Objection {
    let claims = Claims::of(leaf);
    let Error::InvalidCertificate(error) = error else {
        return Objection {
            why: "it could not be judged".to_owned(),
            help: format!("--cert-hash {} trusts it", Sha256Digest::of(leaf).to_hex()),
        };
    };
    let host = match name {
        ServerName::IpAddress(address) => std::net::IpAddr::from(*address).to_string(),
        name => escaped(name.to_str().as_ref()).to_string(),
    };
    let why = why(error, claims.as_ref(), &host, trust);
    Objection {
        why,
        help: help(error, claims.as_ref(), leaf),
    }
}

fn why(error: &CertificateError, claims: Option<&Claims>, host: &str, trust: &Trust) -> String {
    use CertificateError as E;
    let known = |of: fn(&Claims) -> SystemTime| claims.map(|claims| date(of(claims)).to_string());
    let at = |time: &UnixTime| date(UNIX_EPOCH + Duration::from_secs(time.as_secs())).to_string();
    match error {
        E::ExpiredContext { not_after, .. } => format!("it expired on {}", at(not_after)),
        E::Expired => match known(|claims| claims.not_after) {
            Some(date) => format!("it expired on {date}"),
            None => "it has expired".to_owned(),
        },
        E::NotValidYetContext { not_before, .. } => {
            format!("it is not valid before {}", at(not_before))
        }
        E::NotValidYet => "it is not valid yet".to_owned(),
        E::UnknownIssuer => match claims {
            Some(claims) if claims.self_issued => "it is self-signed".to_owned(),
            Some(claims) => format!("its issuer, {}, is not among {trust}", claims.issuer),
            None => format!("its issuer is not among {trust}"),
        },
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            let names = claims.map_or_else(|| "other names".to_owned(), Claims::names);
            format!("it is for {names}, not for {host}")
        }
        E::Revoked => "it was revoked".to_owned(),
        E::BadEncoding => "it is not well formed".to_owned(),
        E::BadSignature => "a signature in it or with it is wrong".to_owned(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "it is not meant for servers".to_owned()
        }
        E::UnhandledCriticalExtension => {
            "it has a critical extension that nobody here knows".to_owned()
        }
        E::UnsupportedSignatureAlgorithmContext { .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed in a way that is not accepted".to_owned()
        }
        _ if claims.is_some_and(|claims| claims.authority) => {
            "it is an authority's own, as `openssl req -x509` makes them".to_owned()
        }
        _ if claims.is_none() => "it is not X.509 version 3".to_owned(),
        _ => "it breaks a rule of X.509".to_owned(),
    }
}

fn help(error: &CertificateError, claims: Option<&Claims>, leaf: &CertificateDer<'_>) -> String {
    use CertificateError as E;
    let digest = Sha256Digest::of(leaf).to_hex();
    match error {
        // Nothing makes up for a key that the server does not hold.
        E::BadSignature => {
            "the server does not hold its key, or the certificate was changed".to_owned()
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => format!(
            "name one of them in the URL, and with --connect-to the address; \
             or --cert-hash {digest}"
        ),
        E::UnknownIssuer if claims.is_some_and(|claims| claims.self_issued) => {
            format!("--cacert FILE with this certificate trusts it, or --cert-hash {digest}")
        }
        E::UnknownIssuer => format!(
            "--cacert FILE trusts the issuers in it; --cert-hash {digest} trusts this certificate"
        ),
        _ if claims.is_some_and(|claims| claims.authority) => {
            format!("--cacert FILE with this certificate trusts it, or --cert-hash {digest}")
        }
        _ => format!("--cert-hash {digest} trusts it all the same"),
    }
}
