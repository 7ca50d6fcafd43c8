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
    /// `https://example.com:8443`; `*` is every origin.
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
            || self
                .iter()
                .any(|it| it == "*" || it.eq_ignore_ascii_case(origin))
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
    let Some(theirs) = origin.strip_prefix("https://") else {
        return false;
    };
    let Ok(theirs) = theirs.parse::<Authority>() else {
        return false;
    };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(443);
    theirs.host().eq_ignore_ascii_case(authority.host()) && port(&theirs) == port(authority)
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
}
