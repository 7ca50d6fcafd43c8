//! What a certificate says of itself: dates, names, the kind of its key, and whom that suits.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aqueduct_tokio::protocol::escape::escaped;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY};
use x509_parser::prelude::FromDer as _;

/// The longest validity with which browsers take a certificate by its hash.
pub const BROWSER_VALIDITY: Duration = Duration::from_secs(14 * 86_400);

/// Names of a certificate that are shown.
const NAMES: usize = 5;

/// What a certificate says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claims {
    /// The first moment of its validity.
    pub not_before: SystemTime,
    /// The last.
    pub not_after: SystemTime,
    /// The names it is for, as they were written, escaped.
    pub names: Vec<String>,
    /// Whether it calls itself an authority.
    pub authority: bool,
    /// Whether it names itself as who issued it.
    pub self_issued: bool,
    /// Who issued it, escaped.
    pub issuer: String,
    /// Whether its key is for ECDSA with P-256.
    pub p256: bool,
}

impl Claims {
    /// Reads them; `None` of what is no X.509 certificate. O(n).
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.map(|extension| &extension.value.general_names);
        let key = &parsed.public_key().algorithm;
        let curve = key.parameters.as_ref().and_then(|it| it.as_oid().ok());
        let issuer = escaped(&parsed.issuer().to_string()).to_string();
        Some(Self {
            not_before: moment(parsed.validity().not_before.timestamp()),
            not_after: moment(parsed.validity().not_after.timestamp()),
            names: names.into_iter().flatten().filter_map(name).collect(),
            authority: parsed.is_ca(),
            self_issued: parsed.issuer().as_raw() == parsed.subject().as_raw(),
            issuer,
            p256: key.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == Some(OID_EC_P256),
        })
    }

    /// Whether `now` is outside of its validity, in words.
    #[must_use]
    pub fn untimely(&self, now: SystemTime) -> Option<String> {
        if now > self.not_after {
            return Some(format!("it expired on {}", date(self.not_after)));
        }
        let early = now < self.not_before;
        early.then(|| format!("it is not valid before {}", date(self.not_before)))
    }

    /// Why browsers would not take it by its hash, in words; empty when they do.
    //= https://www.w3.org/TR/webtransport/#custom-certificate-requirements
    // The time is within its validity, which is of two weeks at most, and its key is neither RSA
    // nor anything but what every browser knows: ECDSA with P-256.
    #[must_use]
    pub fn unfit_for_browsers(&self, now: SystemTime) -> Vec<String> {
        let mut why: Vec<_> = self.untimely(now).into_iter().collect();
        let validity = self.not_after.duration_since(self.not_before);
        if let Ok(validity) = validity
            && validity > BROWSER_VALIDITY
        {
            let days = validity.as_secs().div_ceil(86_400);
            why.push(format!("it is valid for {days} days, not 14 at most"));
        }
        if !self.p256 {
            why.push("its key is not ECDSA P-256".to_owned());
        }
        why
    }

    /// The names in one line.
    #[must_use]
    pub fn names(&self) -> String {
        let more = match self.names.len().saturating_sub(NAMES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let shown: Vec<_> = self.names.iter().take(NAMES).cloned().collect();
        match shown.is_empty() {
            true => "no name".to_owned(),
            false => shown.join(", ") + &more,
        }
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    Some(match name {
        GeneralName::DNSName(name) => escaped(name).to_string(),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or(v6).ok()?.to_string()
        }
        _ => return None,
    })
}

/// Seconds since 1970, as X.509 can say them: from 1950 on.
fn moment(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let found = match seconds < 0 {
        true => UNIX_EPOCH.checked_sub(distance),
        false => UNIX_EPOCH.checked_add(distance),
    };
    found.unwrap_or(UNIX_EPOCH)
}

/// The day and the time, UTC.
pub fn date(time: SystemTime) -> impl fmt::Display {
    // humantime writes nothing before 1970.
    humantime::format_rfc3339_seconds(time.max(UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};

    use super::*;
    use crate::identity::Identity;

    const DAY: Duration = Duration::from_secs(86_400);

    fn claims(days: u32, key: &'static rcgen::SignatureAlgorithm, from: SystemTime) -> Claims {
        let key = KeyPair::generate_for(key).unwrap();
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_before = from.into();
        params.not_after = (from + days * DAY).into();
        Claims::of(params.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn our_own_is_fit_for_browsers_today_and_not_in_two_weeks() {
        let now = SystemTime::now();
        let ours = Identity::self_signed(now).unwrap();
        let claims = Claims::of(&ours.chain()[0]).unwrap();
        assert_eq!(claims.names(), "localhost, 127.0.0.1, ::1");
        assert!(claims.self_issued && claims.p256 && !claims.authority);
        assert_eq!(claims.unfit_for_browsers(now), Vec::<String>::new());
        let late = claims.unfit_for_browsers(now + 14 * DAY);
        assert!(late[0].starts_with("it expired on 2"), "{late:?}");
        let early = claims.untimely(now - DAY).unwrap();
        assert!(early.starts_with("it is not valid before 2"), "{early}");
    }

    #[test]
    fn what_is_too_long_or_has_another_key_is_named() {
        let now = SystemTime::now();
        let fits = claims(14, &PKCS_ECDSA_P256_SHA256, now - DAY);
        assert_eq!(fits.unfit_for_browsers(now), Vec::<String>::new());
        let long = claims(15, &PKCS_ECDSA_P256_SHA256, now - DAY);
        assert_eq!(
            long.unfit_for_browsers(now),
            ["it is valid for 15 days, not 14 at most"]
        );
        let other = claims(2, &PKCS_ED25519, now - DAY);
        assert_eq!(
            other.unfit_for_browsers(now),
            ["its key is not ECDSA P-256"]
        );
    }
}
