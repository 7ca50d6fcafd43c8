//! Whose connections may be shared: the key of a pool.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use crate::uri::{HttpsUri, UriError};

/// An https origin (RFC 6454 §4), and what else two requests must have in common to share
/// a connection. A clone costs a count.
///
/// ```
/// # use aqueduct_core::pool::Origin;
/// let origin: Origin = "https://Example.com".parse()?;
/// assert_eq!(origin, Origin::new("example.com", 443)?);
/// assert_ne!(origin, origin.clone().partitioned(b"a user of its own"));
/// # Ok::<(), aqueduct_core::uri::UriError>(())
/// ```
#[derive(Clone)]
pub struct Origin(Arc<Parts>);

// Clones are the same without a look at their parts.
impl Ord for Origin {
    fn cmp(&self, other: &Self) -> Ordering {
        match Arc::ptr_eq(&self.0, &other.0) {
            true => Ordering::Equal,
            false => self.0.cmp(&other.0),
        }
    }
}

impl PartialOrd for Origin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Eq for Origin {}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

#[derive(Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
struct Parts {
    host: Box<str>,
    port: u16,
    zone: Option<Box<str>>,
    partition: Box<[u8]>,
}

impl Origin {
    /// The scheme of every origin here: HTTP/3 is https alone (RFC 9114 §3.1).
    pub const SCHEME: &str = "https";

    /// A host, which is a name or an address, an IPv6 one in brackets, and a port.
    ///
    /// # Errors
    /// [`UriError`] for what is no host, and for port 0.
    pub fn new(host: &str, port: u16) -> Result<Self, UriError> {
        if host.contains(['/', '?', '#']) || (host.contains(':') && !host.ends_with(']')) {
            return Err(UriError::Host(host.into()));
        }
        format!("https://{host}:{port}").parse()
    }

    /// The same with a mark of the caller's: a fingerprint of certificates and settings,
    /// a network partition, a user. Those with different marks share nothing, not even
    /// alternative services.
    #[must_use]
    pub fn partitioned(self, partition: &[u8]) -> Self {
        let mut parts = Arc::unwrap_or_clone(self.0);
        parts.partition = partition.into();
        Self(Arc::new(parts))
    }

    /// The host as a certificate names it: in lower case, an IPv6 address without
    /// brackets and zone. It is the name that the certificate has to have, whatever
    /// alternative is connected to (RFC 7838 §2.1).
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The zone of a link-local IPv6 address: through which interface it is reached.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.0.zone.as_deref()
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The mark of [`Self::partitioned`]; empty without one.
    #[must_use]
    pub fn partition(&self) -> &[u8] {
        &self.0.partition
    }
}

impl From<&HttpsUri> for Origin {
    fn from(uri: &HttpsUri) -> Self {
        Self(Arc::new(Parts {
            host: uri.host().into(),
            port: uri.port(),
            zone: uri.zone().map(Into::into),
            partition: Box::default(),
        }))
    }
}

impl FromStr for Origin {
    type Err = UriError;

    /// Of a URI: its path and what follows count for nothing.
    fn from_str(text: &str) -> Result<Self, UriError> {
        Ok(Self::from(&text.parse::<HttpsUri>()?))
    }
}

/// As a URI, with the port and without the mark.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (self.host(), self.port());
        match self.zone() {
            Some(zone) => write!(f, "https://[{host}%25{zone}]:{port}"),
            None if host.contains(':') => write!(f, "https://[{host}]:{port}"),
            None => write!(f, "https://{host}:{port}"),
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        match self.partition() {
            [] => Ok(()),
            partition => write!(f, " ({} bytes apart)", partition.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row D13: what shares connections is one key however it is written.
    #[test]
    fn one_origin_has_one_key() {
        let origin = Origin::new("example.com", 443).expect("an origin");
        for text in [
            "https://example.com",
            "HTTPS://EXAMPLE.com:443/a?b#c",
            "https://ex%61mple.com/",
        ] {
            assert_eq!(text.parse::<Origin>().as_ref(), Ok(&origin), "{text}");
        }
        for (host, port) in [("example.com", 444), ("www.example.com", 443)] {
            assert_ne!(Origin::new(host, port).expect("an origin"), origin);
        }
        let apart = origin.clone().partitioned(b"1");
        assert_ne!(apart, origin);
        assert_eq!(
            (apart.host(), apart.partition()),
            ("example.com", &b"1"[..])
        );
        assert_eq!(
            format!("{apart:?}"),
            "https://example.com:443 (1 bytes apart)"
        );
    }

    #[test]
    fn what_it_shows_is_the_same_again() {
        for text in ["https://[2001:db8::1]:8443", "https://[fe80::1%25eth0]:1"] {
            let origin: Origin = text.parse().expect("an origin");
            assert_eq!(origin.to_string(), text);
            assert_eq!(origin.to_string().parse(), Ok(origin));
        }
        assert!(Origin::new("[::1]", 443).is_ok());
    }

    #[test]
    fn what_is_no_origin() {
        for host in ["", "a/b", "a:1", "::1", "a b", "ü.example", "[::1]:2"] {
            assert!(Origin::new(host, 443).is_err(), "{host}");
        }
        assert_eq!(Origin::new("a", 0), Err(UriError::Port("0".into())));
        assert_eq!("http://a".parse::<Origin>(), Err(UriError::Scheme));
    }
}
