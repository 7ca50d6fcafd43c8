//! The field names that anything is known of: one look-up says how a field is compressed,
//! where the static table has it, whether HTTP/3 allows it, and has its name ready.

use http::HeaderName;

use super::static_table;
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

/// Where HTTP/3 allows a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    Everywhere,
    /// It says something about one connection of an older HTTP.
    Nowhere,
    /// In a request, with one value.
    Te,
}

/// A name, and what is known of it.
#[derive(Debug)]
pub(crate) struct Known {
    name: &'static [u8],
    /// The name as the `http` crate has it; none of a pseudo-header field.
    pub(crate) ready: Option<HeaderName>,
    pub(crate) allowed: Allowed,
    policy: Policy,
    /// Its entries of the static table.
    pub(super) entries: static_table::Run,
}

/// Cookies shorter than this are guessed too easily to be indexed.
const SHORT_COOKIE: usize = 20;

/// The table: names in their order, and what differs from a usual field.
macro_rules! names {
    ($($name:literal $policy:ident $allowed:ident $ready:tt)*) => {
        const COUNT: usize = [$($name),*].len();
        static NAMES: [Known; COUNT] = [$(Known {
            name: $name.as_bytes(),
            ready: names!(@ready $ready $name),
            allowed: Allowed::$allowed,
            policy: Policy::$policy,
            entries: static_table::Run::of($name.as_bytes()),
        }),*];
    };
    (@ready field $name:literal) => { Some(HeaderName::from_static($name)) };
    (@ready pseudo $name:literal) => { None };
}

names! {
    ":authority" Stable Everywhere pseudo
    ":method" Stable Everywhere pseudo
    ":path" Volatile Everywhere pseudo
    ":protocol" Stable Everywhere pseudo
    ":scheme" Stable Everywhere pseudo
    ":status" Stable Everywhere pseudo
    "accept" Stable Everywhere field
    "accept-charset" Stable Everywhere field
    "accept-encoding" Stable Everywhere field
    "accept-language" Stable Everywhere field
    "accept-ranges" Stable Everywhere field
    "access-control-allow-credentials" Stable Everywhere field
    "access-control-allow-headers" Stable Everywhere field
    "access-control-allow-methods" Stable Everywhere field
    "access-control-allow-origin" Stable Everywhere field
    "access-control-expose-headers" Stable Everywhere field
    "access-control-max-age" Stable Everywhere field
    "access-control-request-headers" Volatile Everywhere field
    "access-control-request-method" Volatile Everywhere field
    "age" Volatile Everywhere field
    "alt-svc" Stable Everywhere field
    "authorization" Sensitive Everywhere field
    "cache-control" Stable Everywhere field
    "capsule-protocol" Stable Everywhere field
    "connection" Volatile Nowhere field
    "content-disposition" Volatile Everywhere field
    "content-encoding" Stable Everywhere field
    "content-language" Stable Everywhere field
    "content-length" Volatile Everywhere field
    "content-security-policy" Stable Everywhere field
    "content-type" Stable Everywhere field
    "cookie" Stable Everywhere field
    "cross-origin-embedder-policy" Stable Everywhere field
    "cross-origin-opener-policy" Stable Everywhere field
    "cross-origin-resource-policy" Stable Everywhere field
    "date" Volatile Everywhere field
    "dnt" Stable Everywhere field
    "early-data" Volatile Everywhere field
    "etag" Volatile Everywhere field
    "expect-ct" Volatile Everywhere field
    "forwarded" Volatile Everywhere field
    "host" Stable Everywhere field
    "if-modified-since" Volatile Everywhere field
    "if-none-match" Volatile Everywhere field
    "if-range" Volatile Everywhere field
    "keep-alive" Volatile Nowhere field
    "last-modified" Volatile Everywhere field
    "link" Volatile Everywhere field
    "location" Volatile Everywhere field
    "origin" Stable Everywhere field
    "permissions-policy" Stable Everywhere field
    "pragma" Stable Everywhere field
    "priority" Stable Everywhere field
    "proxy-authorization" Sensitive Everywhere field
    "proxy-connection" Volatile Nowhere field
    "purpose" Volatile Everywhere field
    "range" Volatile Everywhere field
    "referer" Volatile Everywhere field
    "referrer-policy" Stable Everywhere field
    "sec-ch-ua" Stable Everywhere field
    "sec-ch-ua-mobile" Stable Everywhere field
    "sec-ch-ua-platform" Stable Everywhere field
    "sec-fetch-dest" Stable Everywhere field
    "sec-fetch-mode" Stable Everywhere field
    "sec-fetch-site" Stable Everywhere field
    "sec-fetch-user" Stable Everywhere field
    "sec-webtransport-http3-draft" Stable Everywhere field
    "server" Stable Everywhere field
    "set-cookie" Sensitive Everywhere field
    "strict-transport-security" Stable Everywhere field
    "te" Stable Te field
    "timing-allow-origin" Stable Everywhere field
    "transfer-encoding" Volatile Nowhere field
    "upgrade" Volatile Nowhere field
    "upgrade-insecure-requests" Stable Everywhere field
    "user-agent" Stable Everywhere field
    "vary" Stable Everywhere field
    "via" Stable Everywhere field
    "wt-available-protocols" Stable Everywhere field
    "wt-protocol" Stable Everywhere field
    "x-api-key" Sensitive Everywhere field
    "x-content-type-options" Stable Everywhere field
    "x-csrf-token" Sensitive Everywhere field
    "x-forwarded-for" Volatile Everywhere field
    "x-frame-options" Stable Everywhere field
    "x-xsrf-token" Sensitive Everywhere field
    "x-xss-protection" Stable Everywhere field
}

/// Slots of the hash table; few enough to be found in a cache, and enough for hardly any
/// name to be behind another.
const SLOTS: usize = 256;
/// A slot without a name.
const FREE: u8 = u8::MAX;

/// The index of a name by its hash, or in the next slots.
static SLOT_OF: [u8; SLOTS] = {
    let mut slots = [FREE; SLOTS];
    let mut index = 0;
    while index < NAMES.len() {
        let mut slot = hash(NAMES[index].name);
        while slots[slot] != FREE {
            slot = (slot + 1) % SLOTS;
        }
        slots[slot] = index as u8;
        index += 1;
    }
    slots
};

/// A hash under which no name is further than three slots from its own.
const fn hash(name: &[u8]) -> usize {
    let Some((first, _)) = name.split_first() else {
        return 0;
    };
    let (middle, last) = (name[name.len() / 2], name[name.len() - 1]);
    (name.len() * 35 + *first as usize * 5 + last as usize * 59 + middle as usize * 5) % SLOTS
}

/// What is known of a name. O(length of the name).
pub(crate) fn find(name: &[u8]) -> Option<&'static Known> {
    let mut slot = hash(name);
    loop {
        let known = NAMES.get(usize::from(*SLOT_OF.get(slot)?))?;
        if known.name == name {
            return Some(known);
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// The policy for a field of which this is known.
pub(super) fn policy(field: Field<'_>, known: Option<&Known>) -> Policy {
    let policy = known.map_or(Policy::Volatile, |known| known.policy);
    let short_cookie = || field.name == b"cookie" && field.value.len() < SHORT_COOKIE;
    if field.never_indexed || policy == Policy::Stable && short_cookie() {
        //= https://www.rfc-editor.org/rfc/rfc9204#section-7.1.3
        // Secrets with little entropy, or chosen next to an attacker's data,
        // belong in never-indexed literals.
        return Policy::Sensitive;
    }
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_within_three_slots() {
        assert!(NAMES.is_sorted_by(|a, b| a.name < b.name), "each once");
        for known in &NAMES {
            let found = find(known.name).expect("in the table");
            assert!(std::ptr::eq(found, known));
            let start = hash(known.name);
            let is_at = |slot: usize| NAMES.get(usize::from(SLOT_OF[slot % SLOTS]));
            let near =
                (start..start + 3).any(|slot| is_at(slot).is_some_and(|at| at.name == known.name));
            assert!(near, "{}", known.name.escape_ascii());
            let ready = known.ready.as_ref().map(|name| name.as_str().as_bytes());
            let pseudo = known.name[0] == b':';
            assert_eq!(ready, Some(known.name).filter(|_| !pseudo));
        }
        for other in ["", "x", "x-custom", "accep", "Accept", "accept-rangez"] {
            assert!(find(other.as_bytes()).is_none(), "{other}");
        }
    }

    #[test]
    fn every_name_of_the_static_table_is_known() {
        for (name, _) in static_table::ENTRIES {
            assert!(find(name).is_some(), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn secrets_are_told_from_the_rest() {
        let of =
            |name: &str, value: &str| policy(Field::from((name, value)), find(name.as_bytes()));
        assert_eq!(of("authorization", "Basic a"), Policy::Sensitive);
        assert_eq!(of("cookie", "id=1"), Policy::Sensitive);
        assert_eq!(of("cookie", "id=0123456789abcdefghij"), Policy::Stable);
        assert_eq!(of("user-agent", "x"), Policy::Stable);
        assert_eq!(of(":path", "/x"), Policy::Volatile);
        assert_eq!(of("x-custom", "x"), Policy::Volatile);
        let never = Field::new_never_indexed(b"user-agent", b"x");
        assert_eq!(policy(never, find(b"user-agent")), Policy::Sensitive);
    }
}
