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
    let Said { error, details } = said(&head.headers);
    match (error, details) {
        (Some(error), None) => format!("{} ({})", head.status, escaped(&error)),
        (Some(error), Some(details)) => {
            let (error, details) = (escaped(&error), escaped(&details));
            format!("{} ({error}: {details})", head.status)
        }
        (None, Some(details)) => format!("{} ({})", head.status, escaped(&details)),
        (None, None) => head.status.to_string(),
    }
}

/// The `error` of the proxy that is nearest, if it tells one.
#[must_use]
pub fn proxy_error(headers: &HeaderMap) -> Option<String> {
    said(headers).error
}

fn said(headers: &HeaderMap) -> Said {
    //= https://www.rfc-editor.org/rfc/rfc9209#section-2
    // A list, to which each proxy on the way back adds itself.
    let value = headers.get_all(PROXY_STATUS).iter().next_back();
    let list = value.map(|value| {
        let proxies = Proxies(Said::default());
        Parser::new(value.as_bytes()).parse_list_with_visitor(proxies)
    });
    list.and_then(Result::ok).unwrap_or_default()
}

/// What one proxy says.
#[derive(Debug, Default)]
struct Said {
    error: Option<String>,
    //= https://www.rfc-editor.org/rfc/rfc9209#section-2.1.5
    // Text of the proxy's own.
    details: Option<String>,
}

/// What the last member says so far.
struct Proxies(Said);

impl<'de> ListVisitor<'de> for Proxies {
    type Out = Said;
    type Error = Infallible;

    fn entry(&mut self) -> Result<impl EntryVisitor<'de>, Infallible> {
        self.0 = Said::default();
        Ok(Proxy(&mut self.0))
    }

    fn finish(self) -> Result<Said, Infallible> {
        Ok(self.0)
    }
}

struct Proxy<'a>(&'a mut Said);

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
struct Name<'a>(&'a mut Said);

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

struct Parameters<'a>(&'a mut Said);

impl<'de> ParameterVisitor<'de> for Parameters<'_> {
    type Out = ();
    type Error = Infallible;

    fn parameter(
        &mut self,
        key: &'de KeyRef,
        value: BareItemFromInput<'de>,
    ) -> Result<(), Infallible> {
        match (key.as_str(), value) {
            ("error", BareItemFromInput::Token(error)) => {
                self.0.error = Some(error.as_str().to_owned());
            }
            ("details", BareItemFromInput::String(details)) => {
                self.0.details = Some(details.as_str().to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
