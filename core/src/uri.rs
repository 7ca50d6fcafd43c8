//! URIs as people write them, made ready for a client: where to connect to, what the
//! certificate has to name, what to ask for.
//!
//! [`http::Uri`] takes less than RFC 3986 does (no percent-encoded host), more than
//! RFC 9110 does (user information), and does not tell an empty path from `/`.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Uri};
use thiserror::Error;

/// An absolute `https` URI in the form in which it is asked for: without user
/// information, fragment, zone and default port, the host in lower case and decoded, the
/// path at least `/`.
///
/// ```
/// # use aqueduct_core::uri::HttpsUri;
/// let uri: HttpsUri = "https://Ex%61mple.com:443?q=1#part".parse()?;
/// assert_eq!(uri.to_string(), "https://example.com/?q=1");
/// assert_eq!((uri.host(), uri.port()), ("example.com", 443));
/// # Ok::<(), aqueduct_core::uri::UriError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpsUri {
    uri: Uri,
    host: Box<str>,
    zone: Option<Box<str>>,
    port: u16,
    /// There was no path.
    bare: bool,
}

/// What is wrong with a URI.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum UriError {
    /// It is not a URI at all; the parser's words.
    #[error("not a URI: {0}")]
    Syntax(Box<str>),
    /// It does not begin with `https://`.
    #[error("HTTP/3 needs an https:// URI")]
    Scheme,
    /// It has a user name, which RFC 9110 §4.2.4 forbids to send.
    #[error("a URI with a user name (before `@`) cannot be requested")]
    UserInfo,
    /// It has no host.
    #[error("the URI has no host")]
    NoHost,
    /// The host is neither a name nor an address.
    #[error("`{0}` is not a host")]
    Host(Box<str>),
    /// The host is not ASCII, which names in DNS are.
    #[error("the host `{0}` is not ASCII: write it in its form that begins with `xn--`")]
    Unicode(Box<str>),
    /// The port is not a number from 1 to 65,535.
    #[error("`{0}` is not a port")]
    Port(Box<str>),
    /// The path or the query has what no URI may have.
    #[error("`{0}` is not a path with a query: blanks and the like are percent-encoded")]
    Path(Box<str>),
}

impl HttpsUri {
    /// What is asked for.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// What is asked for with this method: OPTIONS without a path is about the server
    /// itself.
    #[must_use]
    pub fn uri_for(&self, method: &Method) -> Uri {
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.3.1
        // OPTIONS for a URI that has no path component has the path `*`.
        if !(self.bare && *method == Method::OPTIONS) {
            return self.uri.clone();
        }
        let mut parts = self.uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static("*"));
        Uri::from_parts(parts).unwrap_or_else(|_| self.uri.clone())
    }

    /// The same server's root, `/`.
    pub(crate) fn root(&self) -> Self {
        let mut parts = self.uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
        Self {
            uri: Uri::from_parts(parts).unwrap_or_else(|_| self.uri.clone()),
            bare: false,
            ..self.clone()
        }
    }

    /// The host as a certificate names it: an IPv6 address without brackets and zone.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The zone of a link-local IPv6 address: through which interface it is reached.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// The host as the system's resolver takes it: with the zone.
    #[must_use]
    pub fn resolvable(&self) -> Cow<'_, str> {
        match &self.zone {
            None => Cow::Borrowed(&*self.host),
            Some(zone) => Cow::Owned(format!("{}%{zone}", self.host)),
        }
    }

    /// The port; 443 where none is named.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for HttpsUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

impl From<HttpsUri> for Uri {
    fn from(uri: HttpsUri) -> Self {
        uri.uri
    }
}

impl FromStr for HttpsUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once("://").ok_or(UriError::Scheme)?;
        if !scheme.eq_ignore_ascii_case("https") {
            return Err(UriError::Scheme);
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        //= https://www.rfc-editor.org/rfc/rfc9110#section-4.2.4
        // A sender must not put user information into an http or https URI.
        if authority.contains('@') {
            return Err(UriError::UserInfo);
        }
        let Place { host, zone, port } = Place::parse(authority)?;
        let named = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_string()
        };
        let named = match port {
            443 => named,
            port => format!("{named}:{port}"),
        };
        let target = target.split('#').next().unwrap_or_default();
        let path = path(target);
        let wrong = || UriError::Path(target.into());
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        let authority = Authority::try_from(named).map_err(|_| UriError::Host(host.clone()))?;
        parts.authority = Some(authority);
        parts.path_and_query = Some(PathAndQuery::try_from(&*path).map_err(|_| wrong())?);
        Ok(Self {
            uri: Uri::from_parts(parts).map_err(|_| wrong())?,
            host,
            zone,
            port,
            bare: target.is_empty(),
        })
    }
}

/// The parts of an authority without user information.
struct Place {
    host: Box<str>,
    zone: Option<Box<str>>,
    port: u16,
}

impl Place {
    fn parse(authority: &str) -> Result<Self, UriError> {
        let (host, zone, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let wrong = || UriError::Host(authority.into());
                let (inside, after) = rest.split_once(']').ok_or_else(wrong)?;
                let (host, zone) = literal(inside).ok_or_else(wrong)?;
                (host, zone, after)
            }
            None => {
                let end = authority.find(':').unwrap_or(authority.len());
                let (host, port) = authority.split_at(end);
                (name(host)?, None, port)
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => 443,
            None => return Err(UriError::Host(authority.into())),
            //= https://www.rfc-editor.org/rfc/rfc3986#section-6.2.3
            // An empty port is the default one.
            Some("") => 443,
            Some(digits) => {
                let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
                let number = digits.parse().ok().filter(|port| is_number && *port != 0);
                number.ok_or_else(|| UriError::Port(digits.into()))?
            }
        };
        Ok(Self { host, zone, port })
    }
}

/// A host as a URI has it, an IPv6 address in brackets and without a zone, in the form in
/// which it is compared: in lower case, decoded, without brackets.
pub(crate) fn host(text: &str) -> Result<Box<str>, UriError> {
    let wrong = || UriError::Host(text.into());
    let Some(inside) = text.strip_prefix('[') else {
        return name(text);
    };
    let (host, zone) = inside
        .strip_suffix(']')
        .and_then(literal)
        .ok_or_else(wrong)?;
    if zone.is_some() {
        return Err(wrong());
    }
    Ok(host)
}

/// An IPv6 address, and its zone.
fn literal(inside: &str) -> Option<(Box<str>, Option<Box<str>>)> {
    //= https://www.rfc-editor.org/rfc/rfc6874#section-2
    // The `%` of a zone is percent-encoded in a URI, and often is not.
    let (address, zone) = match inside.split_once('%') {
        None => (inside, None),
        Some((address, zone)) => (address, Some(zone.strip_prefix("25").unwrap_or(zone))),
    };
    let zone = match zone {
        None => None,
        Some(zone) => Some(decoded(zone).filter(|zone| !zone.is_empty())?),
    };
    let address: Ipv6Addr = address.parse().ok()?;
    let zone = zone.map(String::into_boxed_str);
    Some((address.to_string().into_boxed_str(), zone))
}

/// A registered name or an IPv4 address.
fn name(text: &str) -> Result<Box<str>, UriError> {
    let wrong = || UriError::Host(text.into());
    //= https://www.rfc-editor.org/rfc/rfc3986#section-3.2.2
    // A name may be percent-encoded, and is the same name then.
    let mut name = decoded(text).ok_or_else(wrong)?;
    //= https://www.rfc-editor.org/rfc/rfc9110#section-4.2.2
    // An https URI without a host is invalid.
    if name.is_empty() {
        return Err(UriError::NoHost);
    }
    if !name.is_ascii() {
        return Err(UriError::Unicode(name.into()));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte);
    if !name.bytes().all(allowed) {
        return Err(wrong());
    }
    name.make_ascii_lowercase();
    Ok(name.into_boxed_str())
}

/// The text without percent-encoding, if that is well formed and UTF-8.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    let digit = |bytes: &mut std::str::Bytes<'_>| char::from(bytes.next()?).to_digit(16);
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => u8::try_from(digit(&mut bytes)? << 4 | digit(&mut bytes)?).ok()?,
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

/// `:path` of a path and query that may be empty in either part, in ASCII.
pub(crate) fn path(target: &str) -> Cow<'_, str> {
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.3.1
    // An empty path is sent as `/`, in front of the query if there is one.
    let target = match target.as_bytes().first() {
        None => Cow::Borrowed("/"),
        Some(b'?') => Cow::Owned(format!("/{target}")),
        Some(_) => Cow::Borrowed(target),
    };
    match ascii(target.as_bytes()) {
        Cow::Borrowed(_) => target,
        Cow::Owned(encoded) => Cow::Owned(String::from_utf8(encoded).unwrap_or_default()),
    }
}

/// A path as a URI may have it. Some peers send it as it was typed, and a terminal obeys
/// what that may contain.
pub(crate) fn ascii(path: &[u8]) -> Cow<'_, [u8]> {
    //= https://www.rfc-editor.org/rfc/rfc3986#section-2
    // A URI has characters of ASCII alone; others are percent-encoded.
    if path.is_ascii() {
        return Cow::Borrowed(path);
    }
    let mut encoded = Vec::with_capacity(path.len() + 16);
    for &byte in path {
        match byte {
            0x80.. => encoded.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            _ => encoded.push(byte),
        }
    }
    Cow::Owned(encoded)
}

/// `:authority` of an authority: without a port that the scheme implies or that is empty,
/// and without the zone of an IPv6 address, which means something here alone.
pub(crate) fn authority<'a>(authority: &'a Authority, scheme: Option<&str>) -> Cow<'a, str> {
    let text = authority.as_str();
    let default = match scheme {
        Some("https") => ":443",
        Some("http") => ":80",
        _ => "",
    };
    let text = text.strip_suffix(default).unwrap_or(text);
    let text = text.strip_suffix(':').unwrap_or(text);
    //= https://www.rfc-editor.org/rfc/rfc6874#section-4
    // No zone goes out: it is of no meaning to others.
    match (text.split_once('%'), text.rsplit_once(']')) {
        (Some((address, _)), Some((_, port))) if address.starts_with('[') => {
            Cow::Owned(format!("{address}]{port}"))
        }
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> HttpsUri {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn forms_that_are_valid_and_unusual() {
        for (text, uri, host, port) in [
            ("https://a.example", "https://a.example/", "a.example", 443),
            ("https://a?x=1", "https://a/?x=1", "a", 443),
            ("https://a/?x=1", "https://a/?x=1", "a", 443),
            ("https://a#part", "https://a/", "a", 443),
            ("https://a/b?c#part", "https://a/b?c", "a", 443),
            (
                "HTTPS://A.Example/B",
                "https://a.example/B",
                "a.example",
                443,
            ),
            ("https://a:443/", "https://a/", "a", 443),
            ("https://a:/", "https://a/", "a", 443),
            ("https://a:0444/", "https://a:444/", "a", 444),
            (
                "https://192.0.2.1:8443",
                "https://192.0.2.1:8443/",
                "192.0.2.1",
                8443,
            ),
            (
                "https://[2001:DB8::0:1]",
                "https://[2001:db8::1]/",
                "2001:db8::1",
                443,
            ),
            ("https://[::1]:443/", "https://[::1]/", "::1", 443),
            (
                "https://[fe80::1%25eth0]:1/",
                "https://[fe80::1]:1/",
                "fe80::1",
                1,
            ),
            (
                "https://ex%61mple.com/",
                "https://example.com/",
                "example.com",
                443,
            ),
            ("https://a/ü", "https://a/%C3%BC", "a", 443),
        ] {
            let found = parsed(text);
            assert_eq!(found.to_string(), uri, "{text}");
            assert_eq!((found.host(), found.port()), (host, port), "{text}");
        }
    }

    #[test]
    fn a_zone_is_for_the_resolver() {
        for (text, zone, resolvable) in [
            ("https://[fe80::1%25eth0]/", Some("eth0"), "fe80::1%eth0"),
            ("https://[fe80::1%eth0]/", Some("eth0"), "fe80::1%eth0"),
            ("https://[fe80::1%253]/", Some("3"), "fe80::1%3"),
            ("https://[fe80::1]/", None, "fe80::1"),
        ] {
            let uri = parsed(text);
            assert_eq!(uri.zone(), zone, "{text}");
            assert_eq!(uri.resolvable(), resolvable, "{text}");
        }
    }

    #[test]
    fn options_without_a_path_asks_the_server_itself() {
        for (text, path) in [
            ("https://a", "*"),
            ("https://a#part", "*"),
            ("https://a/", "/"),
            ("https://a?x", "/?x"),
        ] {
            let asked = |method| {
                let uri = parsed(text).uri_for(&method);
                uri.path_and_query().map(ToString::to_string)
            };
            assert_eq!(asked(Method::OPTIONS).as_deref(), Some(path), "{text}");
            assert_ne!(asked(Method::GET).as_deref(), Some("*"), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let host = |text: &str| UriError::Host(text.into());
        let port = |text: &str| UriError::Port(text.into());
        for (text, error) in [
            ("http://a/", UriError::Scheme),
            ("a.example", UriError::Scheme),
            ("https://user@a/", UriError::UserInfo),
            ("https://user:pass@a/", UriError::UserInfo),
            ("https:///a", UriError::NoHost),
            ("https://:443/", UriError::NoHost),
            ("https://?x", UriError::NoHost),
            ("https://a:0/", port("0")),
            ("https://a:65536/", port("65536")),
            ("https://a:+1/", port("+1")),
            ("https://a:1:2/", port("1:2")),
            ("https://[::1]x/", host("[::1]x")),
            ("https://[::1/", host("[::1")),
            ("https://[::g]/", host("[::g]")),
            ("https://[fe80::1%25]/", host("[fe80::1%25]")),
            ("https://a b/", host("a b")),
            ("https://a%2/", host("a%2")),
            ("https://a%2fb/", host("a%2fb")),
            (
                "https://b%C3%BCcher.example/",
                UriError::Unicode("bücher.example".into()),
            ),
            (
                "https://bücher.example/",
                UriError::Unicode("bücher.example".into()),
            ),
            ("https://a/b c", UriError::Path("/b c".into())),
        ] {
            assert_eq!(text.parse::<HttpsUri>(), Err(error), "{text}");
        }
    }
}
