//! Percent-coding of paths and queries (RFC 3986 section 2.1), stricter than the crate that does it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use thiserror::Error;

/// A `%` that two hexadecimal digits do not follow.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Error)]
#[error("`%` must be followed by two hexadecimal digits")]
pub struct BadEscape;

/// What may not stand in one path segment: all but the unreserved and sub-delims of RFC 3986, `:`
/// and `@`.
const NOT_IN_SEGMENT: AsciiSet = {
    let (mut set, mut left) = (
        NON_ALPHANUMERIC.remove(b'-'),
        b"._~!$&'()*+,;=:@".as_slice(),
    );
    while let [byte, rest @ ..] = left {
        (set, left) = (set.remove(*byte), rest);
    }
    set
};

/// Decodes every escape of `text`. The result may hold any byte. O(n).
pub fn decode(text: &str) -> Result<Vec<u8>, BadEscape> {
    // The crate leaves a `%` that begins no escape as it is.
    let escape = |after: &str| {
        let digits = after.as_bytes().first_chunk::<2>();
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(escape) {
        return Err(BadEscape);
    }
    Ok(percent_decode_str(text).collect())
}

/// Escapes what may not stand in a URI at all, and nothing else. O(n).
pub fn encode_wild(text: &[u8]) -> String {
    const WILD: AsciiSet = percent_encoding::CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'<')
        .add(b'>')
        .add(b'\\')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    percent_encoding::percent_encode(text, &WILD).to_string()
}

/// Escapes what may not stand in one path segment. O(n).
pub fn encode_segment(segment: &str) -> String {
    utf8_percent_encode(segment, &NOT_IN_SEGMENT).to_string()
}

/// The first value of `name` in a query of `name=value` pairs joined by `&`, decoded; `+` is a
/// space. `None` when absent or when the value is not valid UTF-8 or wrongly escaped. O(n).
pub fn query_value(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = query?
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    String::from_utf8(decode(&value.replace('+', " ")).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_escapes_of_either_case_and_refuses_half_ones() {
        assert_eq!(decode("a%2Fb%2f%00").unwrap(), b"a/b/\0");
        for bad in ["%", "%4", "%zz", "a%4", "%+1", "%%41", "%4%41"] {
            assert_eq!(decode(bad), Err(BadEscape), "{bad}");
        }
    }

    #[test]
    fn decoding_undoes_encoding() {
        let name = "a b/ü%?#\\\"~:@";
        let encoded = encode_segment(name);
        assert!(
            !encoded.contains(['/', '?', '#', '"', '\\', ' ']),
            "{encoded}"
        );
        assert_eq!(decode(&encoded).unwrap(), name.as_bytes());
        let plain = "azAZ09-._~!$&'()*+,;=:@";
        assert_eq!(encode_segment(plain), plain);
    }

    #[test]
    fn finds_the_first_value_of_a_query_name() {
        let query = Some("x=1&reason=so%20long+then&x=2&flag");
        assert_eq!(query_value(query, "x").unwrap(), "1");
        assert_eq!(query_value(query, "reason").unwrap(), "so long then");
        assert_eq!(query_value(query, "flag").unwrap(), "");
        assert_eq!(query_value(query, "missing"), None);
        assert_eq!(query_value(Some("x=%ff"), "x"), None);
        assert_eq!(query_value(None, "x"), None);
    }
}
