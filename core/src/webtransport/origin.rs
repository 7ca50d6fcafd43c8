//! Whose pages may open sessions.

use http::HeaderMap;
use http::header::ORIGIN;
use http::uri::Authority;

/// Whose pages may open sessions (server). Programs that are no browsers name no origin,
/// and may by each of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Origins(Vec<String>);

impl Origins {
    /// Those of the server's own authority, the one that is asked for.
    #[must_use]
    pub const fn own() -> Self {
        Self(Vec::new())
    }

    /// Those of the server's own authority and of these origins, such as
    /// `https://example.com:8443`; `*` is every origin. Scheme and host are compared
    /// without regard to case, and the port of the scheme may be named or not.
    #[must_use]
    pub fn listed<O: Into<String>>(origins: impl IntoIterator<Item = O>) -> Self {
        Self(origins.into_iter().map(Into::into).collect())
    }

    /// All.
    #[must_use]
    pub fn any() -> Self {
        Self::listed(["*"])
    }

    /// The origins listed.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether a page of this origin may open a session at this authority. O(origins
    /// listed).
    #[must_use]
    pub fn allow(&self, origin: &str, authority: Option<&Authority>) -> bool {
        authority.is_some_and(|authority| same_authority(origin, authority))
            || self.iter().any(|it| it == "*" || same_origin(it, origin))
    }

    /// The same for the fields of a request. More than one origin is none that is known.
    pub(crate) fn allow_request(&self, headers: &HeaderMap, authority: Option<&Authority>) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => true,
            _ if self.iter().any(|it| it == "*") => true,
            (Some(origin), None) => origin.to_str().is_ok_and(|it| self.allow(it, authority)),
            _ => false,
        }
    }
}

/// Sessions are asked for over `https`, whose port is 443 when it is not named.
fn same_authority(origin: &str, authority: &Authority) -> bool {
    let theirs = authority_of(origin);
    theirs.is_some_and(|(https, host, port)| {
        https
            && authority.host().eq_ignore_ascii_case(host)
            && port_of(authority, true) == Some(port)
    })
}

/// Whether two names are of one origin, with the port of its scheme named or not.
fn same_origin(one: &str, other: &str) -> bool {
    match (authority_of(one), authority_of(other)) {
        (Some((https, host, port)), Some(theirs)) => {
            (https, port) == (theirs.0, theirs.2) && host.eq_ignore_ascii_case(theirs.1)
        }
        // Origins of other schemes, and what is none, as it stands.
        _ => one.eq_ignore_ascii_case(other),
    }
}

/// Whether it is `https`, not `http`; the host; the port. None of what is no such origin.
fn authority_of(origin: &str) -> Option<(bool, &str, u16)> {
    let (scheme, rest) = origin.split_once("://")?;
    let https = scheme.eq_ignore_ascii_case("https");
    //= https://www.rfc-editor.org/rfc/rfc6454#section-6.2
    // A serialized origin has a scheme, a host and perhaps a port, and nothing else: no
    // user information, which http would leave out of the host.
    let authority: Authority = rest.parse().ok().filter(|_| !rest.contains('@'))?;
    let known = https || scheme.eq_ignore_ascii_case("http");
    let port = port_of(&authority, https).filter(|_| known)?;
    Some((https, rest.get(..authority.host().len())?, port))
}

/// The port, by the scheme when none is named; none when what is named is no port.
fn port_of(authority: &Authority, https: bool) -> Option<u16> {
    match authority.as_str().rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => port.parse().ok(),
        _ => Some(if https { 443 } else { 80 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_the_server_and_listed_ones_may_open_sessions_and_no_others() {
        let here: Authority = "example.com:443".parse().expect("an authority");
        let listed = Origins::listed(["https://friend.test:8443"]);
        assert!(listed.allow("https://EXAMPLE.com", Some(&here)));
        assert!(listed.allow("https://friend.test:8443", Some(&here)));
        assert!(!Origins::own().allow("https://friend.test:8443", Some(&here)));
        for stranger in [
            "http://example.com",
            "https://example.com:444",
            "https://example.com.evil.test",
            "https://friend.test",
            "null",
        ] {
            assert!(!listed.allow(stranger, Some(&here)), "{stranger}");
            assert!(Origins::any().allow(stranger, Some(&here)), "{stranger}");
        }
    }

    #[test]
    fn what_is_no_origin_is_not_that_of_the_server() {
        let here: Authority = "example.com".parse().expect("an authority");
        for odd in [
            "",
            "https://",
            "https://example.com/",
            "https://example.com/page",
            "https://user@example.com",
            "https://example.com:70000",
            "https://example.com:",
            "https://example.com, https://example.com",
        ] {
            assert!(!Origins::own().allow(odd, Some(&here)), "{odd}");
        }
    }

    #[test]
    fn the_port_of_a_scheme_is_the_same_named_or_not() {
        let here: Authority = "[::1]:4433".parse().expect("an authority");
        let listed = Origins::listed(["https://friend.test:443", "http://Friend.test", "null"]);
        for friend in [
            "https://friend.test",
            "HTTPS://friend.test:443",
            "http://friend.test:80",
            "null",
            "https://[::1]:4433",
        ] {
            assert!(listed.allow(friend, Some(&here)), "{friend}");
        }
        for stranger in [
            "https://friend.test:80",
            "http://friend.test:443",
            "https://[::1]",
        ] {
            assert!(!listed.allow(stranger, Some(&here)), "{stranger}");
        }
    }
}
