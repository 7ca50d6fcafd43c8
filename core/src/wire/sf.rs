//! Structured field values (RFC 9651), as much as HTTP/3 and WebTransport use:
//! a Boolean item, a String item, a list of Strings, and the walk through a
//! dictionary that priorities need.
//!
//! Values are the bytes of one field value; several lines of one field are
//! joined with `", "` before parsing. The grammar is the `sfv` crate's; here are
//! the shapes wanted and the limit.

use std::borrow::Cow;
use std::convert::Infallible;

use sfv::visitor::{
    DictionaryVisitor, EntryVisitor, Ignored, InnerListVisitor, ItemVisitor, ListVisitor, Never,
};
use sfv::{BareItemFromInput, ItemSerializer, KeyRef, ListSerializer, Parser, StringRef};
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
    Parser::new(value).parse_item().map_err(|_| Invalid)
}

/// Parses a String item such as `"moq-00"`. Parameters are ignored.
///
/// # Errors
/// [`Invalid`] for any other type or broken syntax.
pub fn string(value: &[u8]) -> Result<String, Invalid> {
    let text: Cow<'_, StringRef> = Parser::new(value).parse_item().map_err(|_| Invalid)?;
    Ok(text.as_str().to_owned())
}

/// Parses a list of which every member is a String, such as `"a", "b"`.
/// Parameters are ignored; an empty value is an empty list.
///
/// # Errors
/// [`Invalid`] if one member is anything else, for broken syntax, and above
/// [`MAX_MEMBERS`] members.
pub fn string_list(value: &[u8]) -> Result<Vec<String>, Invalid> {
    let list = Parser::new(value).parse_list_with_visitor(Strings(Vec::new()));
    list.map_err(|_| Invalid)
}

/// Appends `text` as a String item.
///
/// # Errors
/// [`Invalid`], and nothing is written, if `text` has characters other than
/// printable ASCII.
pub fn put_string(out: &mut String, text: &str) -> Result<(), Invalid> {
    let text = StringRef::from_str(text).map_err(|_| Invalid)?;
    let _ = ItemSerializer::with_buffer(out).bare_item(text).finish();
    Ok(())
}

/// The texts as a list of Strings; empty for none, in which case the field is
/// not sent.
///
/// # Errors
/// [`Invalid`] if one has characters other than printable ASCII.
pub fn encode_string_list<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<String, Invalid> {
    let mut list = ListSerializer::new();
    for text in texts {
        let text = StringRef::from_str(text).map_err(|_| Invalid)?;
        let _ = list.bare_item(text);
    }
    Ok(list.finish().unwrap_or_default())
}

/// A Boolean item.
#[must_use]
pub const fn encode_boolean(value: bool) -> &'static str {
    if value { "?1" } else { "?0" }
}

/// The strings of a list so far.
struct Strings(Vec<String>);

impl<'de> ListVisitor<'de> for Strings {
    type Out = Vec<String>;
    type Error = Invalid;

    fn entry(&mut self) -> Result<impl EntryVisitor<'de>, Invalid> {
        if self.0.len() == MAX_MEMBERS {
            return Err(Invalid);
        }
        Ok(self)
    }

    fn finish(self) -> Result<Vec<String>, Invalid> {
        Ok(self.0)
    }
}

impl<'de> EntryVisitor<'de> for &mut Strings {
    type Error = Invalid;

    fn item(self) -> Result<impl ItemVisitor<'de>, Invalid> {
        Ok(|item: BareItemFromInput<'de>| match item {
            BareItemFromInput::String(text) => {
                self.0.push(text.as_str().to_owned());
                Ok(Ignored)
            }
            _ => Err(Invalid),
        })
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, Invalid> {
        Err::<Never, _>(Invalid)
    }
}

/// A member of a dictionary, as far as anyone here looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Boolean(bool),
    Integer(i64),
    /// Another item or an inner list: well-formed, and never the type wanted.
    Other,
}

/// Visits the members of a dictionary in order. A later member with the same key
/// replaces an earlier one, which is the visitor's to do, and so is to forget what
/// it was told when the value turns out to be broken.
pub(super) fn dictionary(value: &[u8], visit: impl FnMut(&str, Member)) -> Result<(), Invalid> {
    let walk = Parser::new(value).parse_dictionary_with_visitor(Members(visit));
    walk.map_err(|_| Invalid)
}

struct Members<F>(F);

impl<'de, F: FnMut(&str, Member)> DictionaryVisitor<'de> for Members<F> {
    type Out = ();
    type Error = Infallible;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, Infallible> {
        Ok(Entry(key.as_str(), &mut self.0))
    }

    fn finish(self) -> Result<(), Infallible> {
        Ok(())
    }
}

struct Entry<'k, 'v, F>(&'k str, &'v mut F);

impl<'de, F: FnMut(&str, Member)> EntryVisitor<'de> for Entry<'_, '_, F> {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'de>, Infallible> {
        Ok(|item: BareItemFromInput<'de>| {
            let member = match item {
                BareItemFromInput::Boolean(flag) => Member::Boolean(flag),
                BareItemFromInput::Integer(number) => Member::Integer(number.into()),
                _ => Member::Other,
            };
            (self.1)(self.0, member);
            Ok::<_, Infallible>(Ignored)
        })
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, Infallible> {
        (self.1)(self.0, Member::Other);
        Ok(Ignored)
    }
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
        // One digit of base64 is no byte.
        assert_eq!(string(br#""a";v=:A:"#), Err(Invalid));
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
