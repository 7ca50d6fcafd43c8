//! One byte range of the Range field (RFC 9110 section 14.1.2).

use http::HeaderValue;
use http_range_header::parse_range_header;

/// Which part of a representation was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ranged {
    /// All of it: no range, or one that may be ignored.
    Whole,
    /// `len` bytes from `offset`, both within the representation; `len` is not 0.
    Part { offset: u64, len: u64 },
    /// Nothing that exists.
    Unsatisfiable,
}

/// Reads a Range field for a representation of `total` bytes.
///
//= https://www.rfc-editor.org/rfc/rfc9110#section-14.2
/// A server may ignore Range: this does so for other units, wrong syntax and several ranges.
pub(super) fn parse(field: Option<&HeaderValue>, total: u64) -> Ranged {
    let text = field.and_then(|field| field.to_str().ok());
    let Some(asked) = text.and_then(|text| parse_range_header(text).ok()) else {
        return Ranged::Whole;
    };
    if asked.len() > 1 {
        return Ranged::Whole;
    }
    // Of an empty representation there is no part; the crate gives no range then, or fails.
    match asked.validate(total).as_deref() {
        Ok([part]) => Ranged::Part {
            offset: *part.start(),
            len: part.end() - part.start() + 1,
        },
        _ => Ranged::Unsatisfiable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_what_exists() {
        let part = |offset, len| Ranged::Part { offset, len };
        for (text, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-9", part(0, 10)),
            ("bytes=0-", part(0, 10)),
            ("bytes=3-5", part(3, 3)),
            ("BYTES=9-99999999999999999999999", part(9, 1)),
            ("bytes=-3", part(7, 3)),
            ("bytes=-10", part(0, 10)),
            ("bytes=-99999999999999999999999", part(0, 10)),
            ("bytes=-0", Ranged::Unsatisfiable),
            ("bytes=10-", Ranged::Unsatisfiable),
            ("bytes=99999999999999999999999-", Ranged::Unsatisfiable),
            ("bytes=5-3", Ranged::Whole),
            ("bytes=0-1,3-4", Ranged::Whole),
            ("bytes=-", Ranged::Whole),
            ("bytes=+1-2", Ranged::Whole),
            ("bytes=a-b", Ranged::Whole),
            ("bytes", Ranged::Whole),
            ("lines=0-1", Ranged::Whole),
        ] {
            assert_eq!(
                parse(Some(&HeaderValue::from_static(text)), 10),
                expected,
                "{text}"
            );
        }
        assert_eq!(parse(None, 10), Ranged::Whole);
        for text in ["bytes=0-", "bytes=-1"] {
            let field = HeaderValue::from_static(text);
            assert_eq!(parse(Some(&field), 0), Ranged::Unsatisfiable, "{text}");
        }
    }
}
