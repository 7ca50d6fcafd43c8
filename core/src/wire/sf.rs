//! Structured field values (RFC 9651), as much as HTTP/3 and WebTransport use:
//! a Boolean item, a String item, a list of Strings, and the walk through a
//! dictionary that priorities need.
//!
//! Values are the bytes of one field value; several lines of one field are
//! joined with `", "` before parsing.

use thiserror::Error;

/// The value is not the structured field expected; the whole field is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a structured field of the expected type")]
pub struct Invalid;

/// Most members a list may have here.
pub const MAX_MEMBERS: usize = 128;

/// Parses a Boolean item such as `?1`. Parameters are ignored.
///
/// # Errors
/// [`Invalid`] for any other type or broken syntax.
pub fn boolean(value: &[u8]) -> Result<bool, Invalid> {
    let mut parser = Parser::new(value);
    let item = parser.item()?;
    parser.end()?;
    if let Bare::Boolean(flag) = item {
        Ok(flag)
    } else {
        Err(Invalid)
    }
}

/// Parses a String item such as `"moq-00"`. Parameters are ignored.
///
/// # Errors
/// [`Invalid`] for any other type or broken syntax.
pub fn string(value: &[u8]) -> Result<String, Invalid> {
    let mut parser = Parser::new(value);
    let item = parser.item()?;
    parser.end()?;
    if let Bare::String(text) = item {
        Ok(text)
    } else {
        Err(Invalid)
    }
}

/// Parses a list of which every member is a String, such as `"a", "b"`.
/// Parameters are ignored; an empty value is an empty list.
///
/// # Errors
/// [`Invalid`] if one member is anything else, for broken syntax, and above
/// [`MAX_MEMBERS`] members.
pub fn string_list(value: &[u8]) -> Result<Vec<String>, Invalid> {
    let mut parser = Parser::new(value);
    let mut list = Vec::new();
    parser.skip_spaces();
    while !parser.rest.is_empty() {
        if list.len() == MAX_MEMBERS {
            return Err(Invalid);
        }
        let Bare::String(text) = parser.bare()? else {
            return Err(Invalid);
        };
        parser.parameters()?;
        list.push(text);
        parser.next_member()?;
    }
    Ok(list)
}

/// Appends `text` as a String item.
///
/// # Errors
/// [`Invalid`], and nothing is written, if `text` has characters other than
/// printable ASCII.
pub fn put_string(out: &mut String, text: &str) -> Result<(), Invalid> {
    //= https://www.rfc-editor.org/rfc/rfc9651#section-4.1.6
    // Only the quote and the backslash are escaped; other text has no form.
    if !text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return Err(Invalid);
    }
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
    Ok(())
}

/// The texts as a list of Strings; empty for none, in which case the field is
/// not sent.
///
/// # Errors
/// [`Invalid`] if one has characters other than printable ASCII.
pub fn encode_string_list<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<String, Invalid> {
    let mut out = String::new();
    for (index, text) in texts.into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        put_string(&mut out, text)?;
    }
    Ok(out)
}

/// A Boolean item.
#[must_use]
pub const fn encode_boolean(value: bool) -> &'static str {
    if value { "?1" } else { "?0" }
}

/// A bare item, as far as anyone here looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bare {
    Boolean(bool),
    Integer(i64),
    String(String),
    /// Decimal, Token, Byte Sequence, Date, Display String or inner list:
    /// well-formed, and never the type wanted.
    Other,
}

/// Walks over one field value.
pub(super) struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    pub(super) const fn new(value: &'a [u8]) -> Self {
        Self { rest: value }
    }

    /// Visits the members of a dictionary in order. A later member with the
    /// same key replaces an earlier one, which is the visitor's to do.
    pub(super) fn dictionary(mut self, mut visit: impl FnMut(&[u8], Bare)) -> Result<(), Invalid> {
        self.skip_spaces();
        while !self.rest.is_empty() {
            let key = self.key()?;
            let value = if self.eat(b'=') {
                self.member()?
            } else {
                Bare::Boolean(true)
            };
            self.parameters()?;
            visit(key, value);
            self.next_member()?;
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn eat(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.next();
        }
        found
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let len = self
            .rest
            .iter()
            .position(|byte| !wanted(*byte))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or_default();
        self.rest = rest;
        taken
    }

    fn skip_spaces(&mut self) {
        self.take_while(|byte| byte == b' ');
    }

    /// An item that is a whole field value, with its parameters dropped.
    fn item(&mut self) -> Result<Bare, Invalid> {
        self.skip_spaces();
        let bare = self.bare()?;
        self.parameters()?;
        Ok(bare)
    }

    fn end(&mut self) -> Result<(), Invalid> {
        self.skip_spaces();
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Invalid)
        }
    }

    /// Steps to the next member of a list or dictionary, or to its end.
    fn next_member(&mut self) -> Result<(), Invalid> {
        let space = |byte| matches!(byte, b' ' | b'\t');
        self.take_while(space);
        if self.rest.is_empty() {
            return Ok(());
        }
        if !self.eat(b',') {
            return Err(Invalid);
        }
        self.take_while(space);
        //= https://www.rfc-editor.org/rfc/rfc9651#section-4.2.1
        // A comma promises another member.
        if self.rest.is_empty() {
            Err(Invalid)
        } else {
            Ok(())
        }
    }

    fn key(&mut self) -> Result<&'a [u8], Invalid> {
        if !self
            .peek()
            .is_some_and(|first| matches!(first, b'a'..=b'z' | b'*'))
        {
            return Err(Invalid);
        }
        Ok(self.take_while(
            |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'),
        ))
    }

    fn parameters(&mut self) -> Result<(), Invalid> {
        while self.eat(b';') {
            self.skip_spaces();
            self.key()?;
            if self.eat(b'=') {
                self.bare()?;
            }
        }
        Ok(())
    }

    /// An item or inner list, without its parameters.
    fn member(&mut self) -> Result<Bare, Invalid> {
        if !self.eat(b'(') {
            return self.bare();
        }
        loop {
            self.skip_spaces();
            if self.eat(b')') {
                return Ok(Bare::Other);
            }
            self.bare()?;
            self.parameters()?;
            if !matches!(self.peek(), Some(b' ' | b')')) {
                return Err(Invalid);
            }
        }
    }

    fn bare(&mut self) -> Result<Bare, Invalid> {
        match self.peek().ok_or(Invalid)? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.text(),
            b'?' => {
                self.next();
                match self.next() {
                    Some(b'0') => Ok(Bare::Boolean(false)),
                    Some(b'1') => Ok(Bare::Boolean(true)),
                    _ => Err(Invalid),
                }
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'*' => {
                self.take_while(is_token);
                Ok(Bare::Other)
            }
            b':' => {
                self.next();
                self.take_while(|byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
                });
                if self.eat(b':') {
                    Ok(Bare::Other)
                } else {
                    Err(Invalid)
                }
            }
            b'@' => {
                self.next();
                match self.number()? {
                    Bare::Integer(_) => Ok(Bare::Other),
                    _ => Err(Invalid),
                }
            }
            b'%' => self.display_string(),
            _ => Err(Invalid),
        }
    }

    fn number(&mut self) -> Result<Bare, Invalid> {
        let negative = self.eat(b'-');
        let whole = self.take_while(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 15 {
            return Err(Invalid);
        }
        if self.eat(b'.') {
            let fraction = self.take_while(|byte| byte.is_ascii_digit());
            let valid = whole.len() <= 12 && (1..=3).contains(&fraction.len());
            return if valid { Ok(Bare::Other) } else { Err(Invalid) };
        }
        // Fifteen digits at most, far below the range of the type.
        let value = whole
            .iter()
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        Ok(Bare::Integer(if negative { -value } else { value }))
    }

    fn text(&mut self) -> Result<Bare, Invalid> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some(b'"') => return Ok(Bare::String(text)),
                Some(b'\\') => match self.next() {
                    Some(escaped @ (b'"' | b'\\')) => text.push(char::from(escaped)),
                    _ => return Err(Invalid),
                },
                Some(plain @ 0x20..=0x7e) => text.push(char::from(plain)),
                _ => return Err(Invalid),
            }
        }
    }

    fn display_string(&mut self) -> Result<Bare, Invalid> {
        self.next();
        if !self.eat(b'"') {
            return Err(Invalid);
        }
        let mut decoded = Vec::new();
        loop {
            let byte = match self.next() {
                Some(b'"') => break,
                Some(b'%') => {
                    let mut digit = || match self.next() {
                        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
                        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
                        _ => Err(Invalid),
                    };
                    digit()? * 16 + digit()?
                }
                Some(plain @ 0x20..=0x7e) => plain,
                _ => return Err(Invalid),
            };
            decoded.push(byte);
        }
        std::str::from_utf8(&decoded)
            .map(|_| Bare::Other)
            .map_err(|_| Invalid)
    }
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
                | b':'
                | b'/'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(value: &str) -> Result<Vec<String>, Invalid> {
        string_list(value.as_bytes())
    }

    // Test-vectors 6.4.
    #[test]
    fn protocol_lists_parse_as_published() {
        assert_eq!(list(r#""a", "b;c""#).unwrap(), ["a", "b;c"]);
        assert_eq!(string(br#""b;c""#).unwrap(), "b;c");
        assert_eq!(list(r#""a"; q=1, "b""#).unwrap(), ["a", "b"]);
        assert_eq!(list("a, b"), Err(Invalid));
        assert_eq!(list(r#""a", 5"#), Err(Invalid));
        assert_eq!(string(br#""z""#).unwrap(), "z");
    }

    #[test]
    fn strings_and_lists_follow_the_grammar() {
        assert_eq!(list("").unwrap(), [""; 0]);
        assert_eq!(list("  ").unwrap(), [""; 0]);
        assert_eq!(list("\"a\"\t,  \"\" ").unwrap(), ["a", ""]);
        assert_eq!(list(r#""q\"b\\s""#).unwrap(), [r#"q"b\s"#]);
        for bad in [
            r#""a","#,
            r#""a" "b""#,
            r#""a"#,
            r#""\x""#,
            ",",
            r#"("a")"#,
            "\"\u{e9}\"",
            "\"\t\"",
            r#""a";"#,
            r#""a";Q=1"#,
            "?1",
            "\t\"a\"",
        ] {
            assert_eq!(list(bad), Err(Invalid), "{bad}");
        }
        assert_eq!(string(br#""a", "b""#), Err(Invalid));
        assert_eq!(string(b"token"), Err(Invalid));
        assert_eq!(
            string(br#" "moq-00";v=:AA==:;d=@-5;s=%"%c3%a9" "#).unwrap(),
            "moq-00"
        );
        assert_eq!(string(br#""a";s=%"%ff""#), Err(Invalid));
    }

    #[test]
    fn booleans_are_nothing_else() {
        assert_eq!(boolean(b"?1"), Ok(true));
        assert_eq!(boolean(b" ?0;x=1.5 "), Ok(false));
        for bad in [
            "",
            "1",
            "?2",
            "?",
            "?1, ?1",
            "true",
            "?1;",
            "?1;x=",
            "?1;x=1.2345",
        ] {
            assert_eq!(boolean(bad.as_bytes()), Err(Invalid), "{bad}");
        }
        assert_eq!((encode_boolean(true), encode_boolean(false)), ("?1", "?0"));
    }

    #[test]
    fn text_without_a_form_is_refused_and_lists_are_bounded() {
        let mut out = String::from("x");
        assert_eq!(put_string(&mut out, "caf\u{e9}"), Err(Invalid));
        assert_eq!(put_string(&mut out, "a\nb"), Err(Invalid));
        assert_eq!(out, "x");
        let longest = encode_string_list(vec!["a"; MAX_MEMBERS]).unwrap();
        assert_eq!(list(&longest).unwrap().len(), MAX_MEMBERS);
        let longer = encode_string_list(vec!["a"; MAX_MEMBERS + 1]).unwrap();
        assert_eq!(list(&longer), Err(Invalid));
    }

    proptest! {
        #[test]
        fn string_lists_round_trip(texts in prop::collection::vec("[ -~]{0,20}", 0..10)) {
            let value = encode_string_list(texts.iter().map(String::as_str)).unwrap();
            prop_assert_eq!(list(&value), Ok(texts));
        }

        // Row A20.
        #[test]
        fn random_values_never_panic(value in r#"[-a-c"\\?;=, ()0-9.:@%*\t]{0,40}"#) {
            let value = value.as_bytes();
            let _ = (boolean(value).is_ok(), string(value).is_ok());
            if let Ok(texts) = string_list(value) {
                prop_assert!(texts.concat().len() + 2 * texts.len() <= value.len());
            }
        }
    }
}
