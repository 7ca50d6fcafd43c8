//! URI templates (RFC 6570) that have the target of a tunnel in path or query.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::PathAndQuery;
use thiserror::Error;

use crate::uri::{HttpsUri, UriError};

use super::{Target, TargetError, TunnelKind};
use matching::Matcher;
use syntax::{MAX_TEMPLATE, Part};

mod matching;
mod syntax;
#[cfg(test)]
mod tests;

/// Which URI a client asks a proxy for: an absolute URI template with the variables
/// `target_host` and `target_port`.
///
/// ```
/// # use aqueduct_core::masque::Template;
/// let template: Template = "https://proxy.example/masque{?target_host,target_port}".parse()?;
/// let uri = template.expand(&"[2001:db8::1]:53".parse()?);
/// let asked = "https://proxy.example/masque?target_host=2001%3Adb8%3A%3A1&target_port=53";
/// assert_eq!(uri, asked);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template {
    text: Box<str>,
    origin: HttpsUri,
    parts: Vec<Part>,
}

/// Which paths of a proxy are tunnels: path and query of a URI template with the variables
/// `target_host` and `target_port`.
///
/// A path fits as follows, in one pass over it. What is not a variable stands there byte
/// for byte. The value of a variable in the path goes to the next `/` or to the byte that
/// the template has behind the variable, whichever comes first; in a query, to that byte
/// or the next `&`. The parameters of `{?x,y}` and `{&x,y}` come in any order, each target
/// variable once. Variables other than the two may have any value, or be absent from a
/// list. Values are percent-decoded once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PathTemplate {
    text: Box<str>,
    matcher: Matcher,
}

/// Which rule a template breaks (RFC 9298 §2, RFC 6570).
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// It is longer than any proxy needs.
    #[error("the template has {0} bytes, and {MAX_TEMPLATE} are allowed")]
    Length(usize),
    /// A character that no template has outside of variables.
    #[error("the template has {0:?}, which is to be percent-encoded")]
    Character(char),
    /// A `%` without two hexadecimal digits.
    #[error("`{0}` is broken percent-encoding")]
    Percent(Box<str>),
    /// It is not absolute, or of another scheme.
    #[error("`{0}` does not begin with https://")]
    Scheme(Box<str>),
    /// It has a user name, which RFC 9110 §4.2.4 forbids to send.
    #[error("`{0}` has a user name (before `@`)")]
    UserInfo(Box<str>),
    /// There is no authority, or none that could be connected to.
    #[error("`{authority}` is no proxy to connect to: {error}")]
    Authority {
        /// What stands there.
        authority: Box<str>,
        /// What is wrong with it.
        error: UriError,
    },
    /// The path is empty or does not begin with a slash.
    #[error("the path of the template does not begin with `/`: `{0}`")]
    Path(Box<str>),
    /// It has a fragment.
    #[error("a template has no fragment: `{0}`")]
    Fragment(Box<str>),
    /// A variable in the scheme or authority.
    #[error("`{0}` has a variable: they are allowed in path and query alone")]
    Place(Box<str>),
    /// An operator that is not allowed.
    #[error("the operator `{operator}` of `{{{expression}}}` is not allowed")]
    Operator {
        /// The operator.
        operator: char,
        /// What is between the braces.
        expression: Box<str>,
    },
    /// A prefix length or a star behind a variable.
    #[error("the modifier of `{0}` is not allowed")]
    Modifier(Box<str>),
    /// Not the name of a variable.
    #[error("`{0}` is not the name of a variable")]
    Variable(Box<str>),
    /// A brace without its other half.
    #[error("a brace is without its other half at `{0}`")]
    Braces(Box<str>),
    /// `{?..}` where a query has begun, or `{&..}` where none has.
    #[error("`{{{0}}}` is out of place: `?` begins a query, `&` goes on with one")]
    Query(Box<str>),
    /// `{?..}` of which nothing remains, with more of a query behind it.
    #[error("`{{{0}}}` expands to nothing, so that what follows would not be in a query")]
    Empty(Box<str>),
    /// A variable that must be there is not.
    #[error("the template has no variable `{0}`")]
    Missing(&'static str),
    /// A variable that must be there once is there again.
    #[error("the template has the variable `{0}` more than once")]
    Repeated(&'static str),
    /// Two expressions next to each other.
    #[error(
        "nothing is between `{{{0}}}` and what is before it, so no proxy could tell them apart"
    )]
    Adjacent(Box<str>),
    /// What follows an expression can be part of its value; for [`PathTemplate`] alone.
    #[error("`{0}` may be part of the value before it, so paths could not be told apart")]
    Ambiguous(Box<str>),
}

impl Template {
    /// A template as a proxy's operator gives it to clients.
    ///
    /// # Errors
    /// The first rule of RFC 9298 §2 that it breaks.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        //= https://www.rfc-editor.org/rfc/rfc9298#section-2
        // Clients check these rules and refuse a configuration that breaks one.
        syntax::check_text(text)?;
        let (scheme, rest) = text
            .split_once("://")
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("https"))
            .ok_or_else(|| TemplateError::Scheme(text.into()))?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains(['{', '}']) {
            return Err(TemplateError::Place(authority.into()));
        }
        let origin = format!("{scheme}://{authority}/");
        let origin = origin.parse().map_err(|error| match error {
            UriError::UserInfo => TemplateError::UserInfo(authority.into()),
            error => TemplateError::Authority {
                authority: authority.into(),
                error,
            },
        })?;
        Ok(Self {
            text: text.into(),
            origin,
            parts: syntax::parse(path)?,
        })
    }

    /// The template of a proxy of which no more is known than where it is.
    #[must_use]
    pub fn default_for(kind: TunnelKind, origin: &HttpsUri) -> Self {
        let origin = origin.root();
        let text = origin.to_string();
        let host = text.strip_suffix('/').unwrap_or(&text);
        Self {
            text: format!("{host}{}", kind.default_path()).into_boxed_str(),
            parts: syntax::parse(kind.default_path()).unwrap_or_default(),
            origin,
        }
    }

    /// The URI to ask for to get to this target. Variables other than the two are
    /// undefined.
    ///
    /// A [`Host::Name`](super::Host::Name) that was not made by
    /// [`Host::parse`](super::Host::parse) and does not fit into a URI gives
    /// [`Self::origin`]'s.
    #[must_use]
    pub fn expand(&self, target: &Target) -> Uri {
        let path = syntax::expand(&self.parts, target);
        let mut parts = self.origin.uri().clone().into_parts();
        parts.path_and_query = PathAndQuery::try_from(path).ok();
        Uri::from_parts(parts).unwrap_or_else(|_| self.origin.uri().clone())
    }

    /// The proxy: where to connect to, and what its certificate names.
    #[must_use]
    pub fn origin(&self) -> &HttpsUri {
        &self.origin
    }
}

/// The template as it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Self::parse(text)
    }
}

impl PathTemplate {
    /// Path and query of a template.
    ///
    /// # Errors
    /// The first rule of RFC 9298 §2 that it breaks, and
    /// [`TemplateError::Ambiguous`] where it is not clear at which byte a value ends: what
    /// follows a variable has to begin with a byte that is percent-encoded in values
    /// (neither letter, digit, `-`, `.`, `_`, `~` nor `%`), and what follows `{?..}` or
    /// `{&..}` has to be a parameter of another name.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        syntax::check_text(text)?;
        let parts = syntax::parse(text)?;
        Ok(Self {
            text: text.into(),
            matcher: Matcher::new(&parts)?,
        })
    }

    /// What clients use that know no other template.
    #[must_use]
    pub fn default_for(kind: TunnelKind) -> Self {
        let parts = syntax::parse(kind.default_path()).unwrap_or_default();
        Self {
            text: kind.default_path().into(),
            matcher: Matcher::new(&parts).unwrap_or_default(),
        }
    }

    /// The target in a path with query, or what is wrong with it; `None` if the path is
    /// not of this template. O(length of the path).
    #[must_use]
    pub fn matches(&self, path_and_query: &str) -> Option<Result<Target, TargetError>> {
        self.matcher.matches(path_and_query)
    }
}

/// The template as it was written.
impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for PathTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Self::parse(text)
    }
}
