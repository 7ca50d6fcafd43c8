//! What `Proxy-Status` says, for whoever was refused (RFC 9209).

use std::convert::Infallible;

use http::HeaderMap;
use sfv::visitor::{
    EntryVisitor, Ignored, InnerListVisitor, ItemVisitor, ListVisitor, ParameterVisitor,
};
use sfv::{BareItemFromInput, KeyRef, Parser};

use super::head::PROXY_STATUS;
use crate::escape::escaped;
use crate::head::ResponseHead;

/// Why a client was refused, for people: the status, and what `proxy-status` says.
#[must_use]
pub fn refusal_in_words(head: &ResponseHead) -> String {
    match proxy_error(&head.headers) {
        Some(error) => format!("{} ({})", head.status, escaped(&error)),
        None => head.status.to_string(),
    }
}

/// The `error` of the proxy that is nearest, if it tells one.
#[must_use]
pub fn proxy_error(headers: &HeaderMap) -> Option<String> {
    //= https://www.rfc-editor.org/rfc/rfc9209#section-2
    // A list, to which each proxy on the way back adds itself.
    let value = headers.get_all(PROXY_STATUS).iter().next_back()?;
    let list = Parser::new(value.as_bytes()).parse_list_with_visitor(Proxies(None));
    list.ok().flatten()
}

/// The error of the last member so far.
struct Proxies(Option<String>);

impl<'de> ListVisitor<'de> for Proxies {
    type Out = Option<String>;
    type Error = Infallible;

    fn entry(&mut self) -> Result<impl EntryVisitor<'de>, Infallible> {
        self.0 = None;
        Ok(Proxy(&mut self.0))
    }

    fn finish(self) -> Result<Option<String>, Infallible> {
        Ok(self.0)
    }
}

struct Proxy<'a>(&'a mut Option<String>);

impl<'de> EntryVisitor<'de> for Proxy<'_> {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'de>, Infallible> {
        Ok(Name(self.0))
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, Infallible> {
        Ok(Ignored)
    }
}

/// The proxy's name, which nobody asks for.
struct Name<'a>(&'a mut Option<String>);

impl<'de> ItemVisitor<'de> for Name<'_> {
    type Out = ();
    type Error = Infallible;

    fn bare_item(
        self,
        _: BareItemFromInput<'de>,
    ) -> Result<impl ParameterVisitor<'de, Out = ()>, Infallible> {
        Ok(Parameters(self.0))
    }
}

struct Parameters<'a>(&'a mut Option<String>);

impl<'de> ParameterVisitor<'de> for Parameters<'_> {
    type Out = ();
    type Error = Infallible;

    fn parameter(
        &mut self,
        key: &'de KeyRef,
        value: BareItemFromInput<'de>,
    ) -> Result<(), Infallible> {
        if key.as_str() == "error"
            && let BareItemFromInput::Token(error) = value
        {
            *self.0 = Some(error.as_str().to_owned());
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
