//! An `https` URL that a client connects to.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// An absolute `https` URL with a host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    uri: Uri,
    host: String,
    port: u16,
}

impl Target {
    /// The whole URL; its path is at least `/`.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The host without the brackets of an IPv6 address, as a resolver and TLS want it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 443 when the URL names none.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A bare host is what people type.
        let text = if text.contains("://") {
            text.to_owned()
        } else {
            format!("https://{text}")
        };
        let uri: Uri = text
            .parse()
            .map_err(|error| format!("not a URL: {error}"))?;
        if uri.scheme_str() != Some("https") {
            return Err("HTTP/3 needs an https:// URL".to_owned());
        }
        let authority = uri.authority().ok_or("the URL has no host")?;
        //= https://www.rfc-editor.org/rfc/rfc9110#section-4.2.4
        // A sender must not put user information into an http or https URI.
        if authority.as_str().contains('@') {
            return Err("a URL with a user name cannot be requested".to_owned());
        }
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        if host.is_empty() {
            return Err("the URL has no host".to_owned());
        }
        let host = host.to_owned();
        // `port_u16` is also `None` for a port that is out of range.
        let port = match (authority.port_u16(), authority.as_str().rsplit_once(':')) {
            (Some(0), _) => return Err("port 0 cannot be connected to".to_owned()),
            (Some(port), _) => port,
            (None, Some((_, rest))) if !rest.contains(']') => {
                return Err(format!("`{rest}` is not a port"));
            }
            (None, _) => 443,
        };
        Ok(Self { uri, host, port })
    }
}
