//! One byte range of the Range field (RFC 9110 section 14.1.2).

use http::HeaderValue;

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
    field
        .and_then(|field| one_range(field.to_str().ok()?, total))
        .unwrap_or(Ranged::Whole)
}

fn one_range(text: &str, total: u64) -> Option<Ranged> {
    let (unit, spec) = text.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = spec.trim().split_once('-')?;
    if first.is_empty() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-14.1.2
        // A suffix longer than the representation means all of it; one of length 0 nothing.
        let len = position(last)?.min(total);
        let part = Ranged::Part {
            offset: total - len,
            len,
        };
        return Some(if len == 0 {
            Ranged::Unsatisfiable
        } else {
            part
        });
    }
    let first = position(first)?;
    let last = if last.is_empty() {
        u64::MAX
    } else {
        position(last)?
    };
    if last < first {
        return None;
    }
    if first >= total {
        return Some(Ranged::Unsatisfiable);
    }
    Some(Ranged::Part {
        offset: first,
        len: last.min(total - 1) - first + 1,
    })
}

/// Digits only. A number too large for the type is as good as the largest.
fn position(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
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
