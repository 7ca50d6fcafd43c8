//! Percent-decoding of paths and queries (RFC 3986 section 2.1).

use std::borrow::Cow;
use std::fmt;

/// A `%` that two hexadecimal digits do not follow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BadEscape;

impl fmt::Display for BadEscape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`%` must be followed by two hexadecimal digits")
    }
}

impl std::error::Error for BadEscape {}

/// Decodes every escape of `text`. The result may hold any byte. O(n).
pub fn decode(text: &str) -> Result<Vec<u8>, BadEscape> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = bytes.next().and_then(nibble).ok_or(BadEscape)?;
            let low = bytes.next().and_then(nibble).ok_or(BadEscape)?;
            out.push(high << 4 | low);
        } else {
            out.push(byte);
        }
    }
    Ok(out)
}

/// Escapes what may not stand in one path segment. O(n).
pub fn encode_segment(segment: &str) -> String {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        // unreserved and sub-delims of RFC 3986, `:` and `@`
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        }
    }
    out
}

/// The first value of `name` in a query of `name=value` pairs joined by `&`, decoded; `+` is a
/// space. `None` when absent or when the value is not valid UTF-8 or wrongly escaped. O(n).
pub fn query_value<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, str>> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key != name {
            return None;
        }
        if value.contains(['%', '+']) {
            let spaced = value.replace('+', " ");
            String::from_utf8(decode(&spaced).ok()?)
                .ok()
                .map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(value))
        }
    })
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_escapes_of_either_case_and_refuses_half_ones() {
        assert_eq!(decode("a%2Fb%2f%00").unwrap(), b"a/b/\0");
        for bad in ["%", "%4", "%zz", "a%4", "%+1"] {
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
