//! An `https` URL that a client connects to.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use aqueduct_tokio::protocol::uri::{HttpsUri, UriError};
use http::{Method, Uri};

/// An absolute `https` URL with a host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target(HttpsUri);

impl Target {
    /// The whole URL; its path is at least `/`.
    pub fn uri(&self) -> &Uri {
        self.0.uri()
    }

    /// The same for the library.
    pub fn https(&self) -> &HttpsUri {
        &self.0
    }

    /// What is asked for with a method: OPTIONS of no path is about the server itself.
    pub fn uri_for(&self, method: &Method) -> Uri {
        self.0.uri_for(method)
    }

    /// The same server's resource at this path, without a query. `None` when it is no path.
    #[must_use]
    pub fn with_path(&self, path: &str) -> Option<Self> {
        let authority = self.uri().authority()?;
        format!("https://{authority}{path}").parse().ok()
    }

    /// Whether both are on the same origin: an `https` URL's is its host and port.
    #[must_use]
    pub fn is_same_origin(&self, other: &Self) -> bool {
        (self.resolvable(), self.port()) == (other.resolvable(), other.port())
    }

    /// The host without the brackets of an IPv6 address, as TLS wants it.
    pub fn host(&self) -> &str {
        self.0.host()
    }

    /// The host as a resolver wants it, with the zone of a link-local address.
    pub fn resolvable(&self) -> Cow<'_, str> {
        self.0.resolvable()
    }

    /// The port; 443 when the URL names none.
    pub fn port(&self) -> u16 {
        self.0.port()
    }
}

impl From<HttpsUri> for Target {
    fn from(uri: HttpsUri) -> Self {
        Self(uri)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Target {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        // A bare host is what people type.
        if text.contains("://") {
            text.parse().map(Self)
        } else {
            format!("https://{text}").parse().map(Self)
        }
    }
}
