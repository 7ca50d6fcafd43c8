//! Which fields are worth an entry of the dynamic table.

use crate::wire::fields::Field;

/// How a field is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// Never in a table, here or further on: an attacker who can make guesses
    /// next to it could tell a right one by the length.
    Sensitive,
    /// Likely the same in the next message: insert on sight.
    Stable,
    /// Anything else: insert when it is seen again.
    Volatile,
}

/// Cookies shorter than this are guessed too easily to be indexed.
const SHORT_COOKIE: usize = 20;

/// Fields whose values are secrets, sorted.
const SENSITIVE: &[&[u8]] = &[
    b"authorization",
    b"proxy-authorization",
    b"set-cookie",
    b"x-api-key",
    b"x-csrf-token",
    b"x-xsrf-token",
];

/// Fields that an endpoint tends to repeat on one connection, sorted.
const STABLE: &[&[u8]] = &[
    b":authority",
    b":method",
    b":protocol",
    b":scheme",
    b":status",
    b"accept",
    b"accept-charset",
    b"accept-encoding",
    b"accept-language",
    b"accept-ranges",
    b"access-control-allow-credentials",
    b"access-control-allow-headers",
    b"access-control-allow-methods",
    b"access-control-allow-origin",
    b"access-control-expose-headers",
    b"access-control-max-age",
    b"alt-svc",
    b"cache-control",
    b"capsule-protocol",
    b"content-encoding",
    b"content-language",
    b"content-security-policy",
    b"content-type",
    b"cookie",
    b"cross-origin-embedder-policy",
    b"cross-origin-opener-policy",
    b"cross-origin-resource-policy",
    b"dnt",
    b"host",
    b"origin",
    b"permissions-policy",
    b"pragma",
    b"priority",
    b"referrer-policy",
    b"sec-ch-ua",
    b"sec-ch-ua-mobile",
    b"sec-ch-ua-platform",
    b"sec-fetch-dest",
    b"sec-fetch-mode",
    b"sec-fetch-site",
    b"sec-fetch-user",
    b"sec-webtransport-http3-draft",
    b"server",
    b"strict-transport-security",
    b"te",
    b"timing-allow-origin",
    b"upgrade-insecure-requests",
    b"user-agent",
    b"vary",
    b"via",
    b"wt-available-protocols",
    b"wt-protocol",
    b"x-content-type-options",
    b"x-frame-options",
    b"x-xss-protection",
];

/// The policy for `field`. Logarithmic in the number of names known here.
pub(super) fn policy(field: Field<'_>) -> Policy {
    let short_cookie = field.name == b"cookie" && field.value.len() < SHORT_COOKIE;
    if field.never_indexed || short_cookie || SENSITIVE.binary_search(&field.name).is_ok() {
        //= https://www.rfc-editor.org/rfc/rfc9204#section-7.1.3
        // Secrets with little entropy, or chosen next to an attacker's data,
        // belong in never-indexed literals.
        Policy::Sensitive
    } else if STABLE.binary_search(&field.name).is_ok() {
        Policy::Stable
    } else {
        Policy::Volatile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_in_one_list() {
        assert!(SENSITIVE.is_sorted());
        assert!(STABLE.is_sorted());
        assert!(
            SENSITIVE
                .iter()
                .all(|name| STABLE.binary_search(name).is_err())
        );
    }

    #[test]
    fn secrets_are_told_from_the_rest() {
        let of = |name: &str, value: &str| policy(Field::from((name, value)));
        assert_eq!(of("authorization", "Basic a"), Policy::Sensitive);
        assert_eq!(of("cookie", "id=1"), Policy::Sensitive);
        assert_eq!(of("cookie", "id=0123456789abcdefghij"), Policy::Stable);
        assert_eq!(of("user-agent", "x"), Policy::Stable);
        assert_eq!(of(":path", "/x"), Policy::Volatile);
        assert_eq!(
            policy(Field::new_never_indexed(b"user-agent", b"x")),
            Policy::Sensitive
        );
    }
}
