//! The static table (RFC 9204 Appendix A).

/// The 99 entries, indexed from zero.
#[rustfmt::skip]
pub(super) const ENTRIES: [(&[u8], &[u8]); 99] = [
    (b":authority", b""),
    (b":path", b"/"),
    (b"age", b"0"),
    (b"content-disposition", b""),
    (b"content-length", b"0"),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"referer", b""),
    (b"set-cookie", b""),
    (b":method", b"CONNECT"),
    (b":method", b"DELETE"),
    (b":method", b"GET"),
    (b":method", b"HEAD"),
    (b":method", b"OPTIONS"),
    (b":method", b"POST"),
    (b":method", b"PUT"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"103"),
    (b":status", b"200"),
    (b":status", b"304"),
    (b":status", b"404"),
    (b":status", b"503"),
    (b"accept", b"*/*"),
    (b"accept", b"application/dns-message"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"accept-ranges", b"bytes"),
    (b"access-control-allow-headers", b"cache-control"),
    (b"access-control-allow-headers", b"content-type"),
    (b"access-control-allow-origin", b"*"),
    (b"cache-control", b"max-age=0"),
    (b"cache-control", b"max-age=2592000"),
    (b"cache-control", b"max-age=604800"),
    (b"cache-control", b"no-cache"),
    (b"cache-control", b"no-store"),
    (b"cache-control", b"public, max-age=31536000"),
    (b"content-encoding", b"br"),
    (b"content-encoding", b"gzip"),
    (b"content-type", b"application/dns-message"),
    (b"content-type", b"application/javascript"),
    (b"content-type", b"application/json"),
    (b"content-type", b"application/x-www-form-urlencoded"),
    (b"content-type", b"image/gif"),
    (b"content-type", b"image/jpeg"),
    (b"content-type", b"image/png"),
    (b"content-type", b"text/css"),
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-type", b"text/plain"),
    (b"content-type", b"text/plain;charset=utf-8"),
    (b"range", b"bytes=0-"),
    (b"strict-transport-security", b"max-age=31536000"),
    (b"strict-transport-security", b"max-age=31536000; includesubdomains"),
    (b"strict-transport-security", b"max-age=31536000; includesubdomains; preload"),
    (b"vary", b"accept-encoding"),
    (b"vary", b"origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-xss-protection", b"1; mode=block"),
    (b":status", b"100"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"302"),
    (b":status", b"400"),
    (b":status", b"403"),
    (b":status", b"421"),
    (b":status", b"425"),
    (b":status", b"500"),
    (b"accept-language", b""),
    (b"access-control-allow-credentials", b"FALSE"),
    (b"access-control-allow-credentials", b"TRUE"),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-allow-methods", b"get"),
    (b"access-control-allow-methods", b"get, post, options"),
    (b"access-control-allow-methods", b"options"),
    (b"access-control-expose-headers", b"content-length"),
    (b"access-control-request-headers", b"content-type"),
    (b"access-control-request-method", b"get"),
    (b"access-control-request-method", b"post"),
    (b"alt-svc", b"clear"),
    (b"authorization", b""),
    (b"content-security-policy", b"script-src 'none'; object-src 'none'; base-uri 'none'"),
    (b"early-data", b"1"),
    (b"expect-ct", b""),
    (b"forwarded", b""),
    (b"if-range", b""),
    (b"origin", b""),
    (b"purpose", b"prefetch"),
    (b"server", b""),
    (b"timing-allow-origin", b"*"),
    (b"upgrade-insecure-requests", b"1"),
    (b"user-agent", b""),
    (b"x-forwarded-for", b""),
    (b"x-frame-options", b"deny"),
    (b"x-frame-options", b"sameorigin"),
];

/// Indices of [`ENTRIES`] in the order of their names, then values.
#[rustfmt::skip]
const SORTED: [u8; 99] = [
    0, 15, 16, 17, 18, 19, 20, 21, 1, 22, 23, 63, 24, 25, 64, 65, 66, 26, 67, 68,
    27, 69, 70, 71, 28, 29, 30, 31, 72, 32, 73, 74, 75, 33, 34, 76, 77, 78, 35, 79,
    80, 81, 82, 2, 83, 84, 36, 37, 38, 39, 40, 41, 3, 42, 43, 4, 85, 44, 45, 46,
    47, 48, 49, 50, 51, 52, 53, 54, 5, 6, 86, 7, 87, 88, 8, 9, 89, 10, 11, 12,
    90, 91, 55, 13, 92, 14, 56, 57, 58, 93, 94, 95, 59, 60, 61, 96, 97, 98, 62,
];

/// What the static table has for a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// Name and value, at this index.
    Field(u64),
    /// The name only, first at this index.
    Name(u64),
    /// Nothing.
    None,
}

/// The entry at `index`, as name and value.
pub(super) fn get(index: u64) -> Option<(&'static [u8], &'static [u8])> {
    ENTRIES.get(usize::try_from(index).ok()?).copied()
}

/// The entries of one name: a part of [`SORTED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    start: u8,
    len: u8,
    /// The least index among them.
    first: u8,
}

impl Run {
    /// The entries of a name, in a constant: linear in the table.
    pub(super) const fn of(name: &[u8]) -> Self {
        let mut run = Self {
            start: 0,
            len: 0,
            first: u8::MAX,
        };
        let mut at = 0;
        while at < SORTED.len() {
            let index = SORTED[at];
            if is_same(ENTRIES[index as usize].0, name) {
                if run.len == 0 {
                    run.start = at as u8;
                }
                run.len += 1;
                if index < run.first {
                    run.first = index;
                }
            }
            at += 1;
        }
        run
    }

    /// The best of them for a value: one comparison for each.
    pub(super) fn find(self, value: &[u8]) -> Match {
        let start = usize::from(self.start);
        let run = SORTED.get(start..start + usize::from(self.len));
        let is_it = |index: &&u8| {
            ENTRIES
                .get(usize::from(**index))
                .is_some_and(|of| of.1 == value)
        };
        match run.unwrap_or_default().iter().find(is_it) {
            Some(index) => Match::Field(u64::from(*index)),
            None if self.len > 0 => Match::Name(u64::from(self.first)),
            None => Match::None,
        }
    }
}

/// `==` of slices, in a constant.
const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits `index,name,value`, whose value is quoted when it holds a comma.
    fn columns(row: &str) -> (usize, &str, &str) {
        let (index, rest) = row.split_once(',').unwrap();
        let (name, value) = rest.split_once(',').unwrap();
        (index.parse().unwrap(), name, value.trim_matches('"'))
    }

    #[test]
    fn the_table_is_the_published_one() {
        let csv = include_str!("../../../tests/data/qpack_static.csv");
        let mut rows = 0;
        for row in csv.lines().skip(1) {
            let (index, name, value) = columns(row);
            assert_eq!(ENTRIES[index], (name.as_bytes(), value.as_bytes()), "{row}");
            rows += 1;
        }
        assert_eq!(rows, ENTRIES.len());
        assert_eq!(get(98), Some((&b"x-frame-options"[..], &b"sameorigin"[..])));
        assert_eq!(get(99), None);
        assert_eq!(get(u64::MAX), None);
    }

    #[test]
    fn every_entry_is_found() {
        assert!(SORTED.is_sorted_by_key(|index| ENTRIES[usize::from(*index)]));
        for (index, (name, value)) in ENTRIES.iter().enumerate() {
            let run = Run::of(name);
            assert_eq!(run.find(value), Match::Field(index as u64));
            let first = ENTRIES.iter().position(|entry| entry.0 == *name).unwrap();
            assert_eq!(run.find(b"no such value"), Match::Name(first as u64));
        }
        for other in [&b"x-custom"[..], b"", b"~"] {
            assert_eq!(Run::of(other).find(b""), Match::None);
        }
    }
}
