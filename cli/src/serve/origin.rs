//! Whose pages may open sessions.

use http::uri::Authority;

/// The origins that are allowed beside the server's own.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins {
    listed: Vec<String>,
    anyone: bool,
}

impl Origins {
    /// Those listed; `*` is every origin.
    pub(super) fn new(listed: impl IntoIterator<Item = String>) -> Self {
        let listed: Vec<_> = listed.into_iter().collect();
        let anyone = listed.iter().any(|origin| origin == "*");
        Self { listed, anyone }
    }

    /// Whether a page of this origin may open a session at this authority: one of the same
    /// authority may, and one that is listed. Programs that are no browsers name no origin.
    //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.2
    // A server that cares about browsers compares Origin with what it expects, and answers 403.
    pub(super) fn allow(&self, origin: Option<&str>, authority: Option<&Authority>) -> bool {
        let Some(origin) = origin else { return true };
        let own = authority.is_some_and(|authority| same_authority(origin, authority));
        own || self.anyone || self.listed.iter().any(|it| it.eq_ignore_ascii_case(origin))
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
        let here: Authority = "example.com:443".parse().unwrap();
        let listed = Origins::new(["https://friend.test:8443".to_owned()]);
        let may = |origin| listed.allow(Some(origin), Some(&here));
        assert!(may("https://EXAMPLE.com"));
        assert!(may("https://friend.test:8443"));
        for stranger in [
            "http://example.com",
            "https://example.com:444",
            "https://example.com.evil.test",
            "https://friend.test",
            "null",
        ] {
            assert!(!may(stranger), "{stranger}");
        }
        assert!(listed.allow(None, Some(&here)));
        assert!(Origins::new(["*".to_owned()]).allow(Some("null"), Some(&here)));
    }
}
