//! Heads of tunnels: how one is asked for, and what the answer means.

use std::net::SocketAddr;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use sfv::{KeyRef, ListSerializer, StringRef};
use thiserror::Error;

use super::dialect::Dialect;
use super::refusal::named;
use super::{Target, Template};
use crate::head::{Protocol, RequestHead, ResponseHead};
use crate::wire::sf;

/// `Capsule-Protocol` (RFC 9297 section 3.4).
pub(super) const CAPSULE_PROTOCOL: HeaderName = HeaderName::from_static("capsule-protocol");

/// `Proxy-Status` (RFC 9209).
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// A tunnel that a client asks a proxy for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenTunnel {
    /// In which words.
    pub dialect: Dialect,
    /// To where.
    pub target: Target,
    /// Where the proxy is asked for it; not looked at for [`Dialect::Classic`].
    pub template: Template,
    /// Fields to send along, `authorization` perhaps.
    pub headers: HeaderMap,
}

impl OpenTunnel {
    /// A tunnel to a target, by a proxy's template.
    #[must_use]
    pub fn new(dialect: Dialect, target: Target, template: Template) -> Self {
        Self {
            dialect,
            target,
            template,
            headers: HeaderMap::new(),
        }
    }

    /// The same with one more field.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// The head that asks for it.
    ///
    /// # Errors
    /// [`http::Error`] when the target is no authority, which no [`Target`] is.
    pub fn head(&self) -> Result<RequestHead, http::Error> {
        let mut head = match self.dialect.token() {
            //= https://www.rfc-editor.org/rfc/rfc9114#section-4.4
            // Host and port of the target alone, and no path.
            None => {
                let uri = Uri::builder().authority(self.target.to_string()).build()?;
                RequestHead::new(Method::CONNECT, uri)
            }
            //= https://www.rfc-editor.org/rfc/rfc9298#section-3.4
            // The authority is the proxy's, and the path what the template gives.
            Some(token) => {
                let uri = self.template.expand(&self.target);
                let mut head = RequestHead::new(Method::CONNECT, uri);
                head.protocol = Some(Protocol::new(token));
                head
            }
        };
        head.headers = self.headers.clone();
        if self.dialect.has_capsules() {
            head.headers.insert(CAPSULE_PROTOCOL, true_item());
        }
        Ok(head)
    }
}

/// `?1`.
fn true_item() -> HeaderValue {
    HeaderValue::from_static("?1")
}

/// Why an answer opens no tunnel.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum AnswerFault {
    /// A 2xx with a field that only content has, or that content is excluded by.
    #[error("the answer has `{0}`, which a tunnel has not")]
    Field(&'static str),
    /// A 2xx that has no content: 204, 205 or 206.
    #[error("status {0} opens no tunnel")]
    Status(u16),
    /// It speaks of capsules where there are none: classic CONNECT.
    #[error("the answer to CONNECT speaks of capsules")]
    Capsules,
}

/// What a final answer means. `capsule-protocol` may be missing: the protocol that was asked
/// for says that there are capsules (RFC 9297 section 3.4).
///
/// # Errors
/// [`AnswerFault`]: the request is to be aborted.
pub fn is_opened(dialect: Dialect, head: &ResponseHead) -> Result<bool, AnswerFault> {
    //= https://www.rfc-editor.org/rfc/rfc9298#section-3.5
    // Any 2xx opens the tunnel, anything else does not, redirections among them.
    if !head.status.is_success() {
        return Ok(false);
    }
    //= https://www.rfc-editor.org/rfc/rfc9297#section-3.2
    // These have no content, so there could be no capsules.
    if matches!(
        head.status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT
    ) {
        return Err(AnswerFault::Status(head.status.as_u16()));
    }
    //= https://www.rfc-editor.org/rfc/rfc9297#section-3.2
    // Messages with capsules have none of these fields.
    for name in [CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING] {
        if head.headers.contains_key(&name) {
            let name = match name {
                CONTENT_LENGTH => "content-length",
                CONTENT_TYPE => "content-type",
                _ => "transfer-encoding",
            };
            return Err(AnswerFault::Field(name));
        }
    }
    if dialect == Dialect::Classic && speaks_capsules(&head.headers) {
        return Err(AnswerFault::Capsules);
    }
    Ok(true)
}

/// Whether a head says `capsule-protocol: ?1`.
#[must_use]
pub fn speaks_capsules(headers: &HeaderMap) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9297#section-3.4
    // A Boolean; what is anything else, or comes twice, is as if it were not there.
    // Parameters are passed over.
    let mut values = headers.get_all(CAPSULE_PROTOCOL).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    sf::boolean(value.as_bytes()) == Ok(true)
}

/// The head of the answer that opens a tunnel: 200, and where it leads if that is to be
/// told.
#[must_use]
pub fn opening(dialect: Dialect, name: &str, next_hop: Option<SocketAddr>) -> ResponseHead {
    let mut head = ResponseHead::new(StatusCode::OK);
    if dialect.has_capsules() {
        head.headers.insert(CAPSULE_PROTOCOL, true_item());
    }
    if let Some(to) = next_hop {
        //= https://www.rfc-editor.org/rfc/rfc9209#section-2.1.2
        // The address of the next hop, for those who are allowed to know.
        let mut list = ListSerializer::new();
        let item = named(&mut list, name);
        if let Ok(to) = StringRef::from_str(&to.to_string()) {
            let _ = item.parameter(KeyRef::constant("next-hop"), to).finish();
        }
        let status = list.finish().unwrap_or_default();
        if let Ok(status) = HeaderValue::try_from(status) {
            head.headers.insert(PROXY_STATUS, status);
        }
    }
    head
}

#[cfg(test)]
mod tests;
