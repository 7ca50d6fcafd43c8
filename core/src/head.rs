//! Heads of messages in the vocabulary of the `http` crate, with the field
//! section as it arrived beside them.

use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};

use crate::wire::fields::FieldSection;

/// The `:protocol` of an extended CONNECT request (RFC 9220): an HTTP upgrade
/// token such as `webtransport` or `connect-udp`.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub struct Protocol(Box<str>);

impl Protocol {
    /// A protocol by its upgrade token.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self(token.into())
    }

    /// The token.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A request's head.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// `:method`.
    pub method: Method,
    /// `:scheme`, `:authority` and `:path`; the authority alone for plain CONNECT.
    pub uri: Uri,
    /// `:protocol`, for extended CONNECT only.
    pub protocol: Option<Protocol>,
    /// The other fields. Repeated fields keep their order and none is lost.
    pub headers: HeaderMap,
    /// All field lines in wire order, pseudo-header fields included: as received,
    /// or, on a head to be sent, what goes out in place of the parts above when
    /// not empty.
    pub fields: FieldSection,
}

impl RequestHead {
    /// A head without fields beyond the pseudo-header fields.
    #[must_use]
    pub fn new(method: Method, uri: Uri) -> Self {
        Self {
            method,
            uri,
            protocol: None,
            headers: HeaderMap::new(),
            fields: FieldSection::new(),
        }
    }

    /// The head of an `http` request; a [`Protocol`] among its extensions becomes
    /// `:protocol`.
    #[must_use]
    pub fn from_http(request: Request<()>) -> Self {
        let (mut parts, ()) = request.into_parts();
        Self {
            method: parts.method,
            uri: parts.uri,
            protocol: parts.extensions.remove::<Protocol>(),
            headers: parts.headers,
            fields: FieldSection::new(),
        }
    }

    /// The head as an `http` request of version HTTP/3; [`Protocol`] and the
    /// [`FieldSection`] go into its extensions.
    #[must_use]
    pub fn into_http(self) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.version_mut() = http::Version::HTTP_3;
        *request.headers_mut() = self.headers;
        if let Some(protocol) = self.protocol {
            request.extensions_mut().insert(protocol);
        }
        request.extensions_mut().insert(self.fields);
        request
    }
}

/// A response's head, interim or final.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// `:status`.
    pub status: StatusCode,
    /// The other fields. Repeated fields keep their order and none is lost.
    pub headers: HeaderMap,
    /// All field lines in wire order, as for [`RequestHead::fields`].
    pub fields: FieldSection,
}

impl ResponseHead {
    /// A head without fields beyond `:status`.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            fields: FieldSection::new(),
        }
    }

    /// The head of an `http` response.
    #[must_use]
    pub fn from_http(response: Response<()>) -> Self {
        let (parts, ()) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            fields: FieldSection::new(),
        }
    }

    /// The head as an `http` response of version HTTP/3; the [`FieldSection`]
    /// goes into its extensions.
    #[must_use]
    pub fn into_http(self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = self.status;
        *response.version_mut() = http::Version::HTTP_3;
        *response.headers_mut() = self.headers;
        response.extensions_mut().insert(self.fields);
        response
    }
}

/// Fields after the content.
#[derive(Clone, Debug)]
pub struct Trailers {
    /// The fields. Repeated fields keep their order and none is lost.
    pub headers: HeaderMap,
    /// All field lines in wire order.
    pub fields: FieldSection,
}

/// Whether content follows a head.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// Content, or trailers, or at least a separate `finish` follow.
    More,
    /// The message ends with this head.
    Fin,
}

/// The request for a session: an extended CONNECT without what the session layer
/// fills in (method, `:protocol`, version fields).
#[derive(Clone, Debug)]
pub struct ConnectRequest {
    /// Scheme `https`, authority and path.
    pub uri: Uri,
    /// Further fields, such as `origin`.
    pub headers: HeaderMap,
    /// Application protocols offered, the preferred first. They travel in
    /// `wt-available-protocols`; entries are printable ASCII.
    pub protocols: Vec<String>,
    /// End the session when the server selects none of them (client).
    pub protocol_required: bool,
}

impl ConnectRequest {
    /// A request without further fields.
    #[must_use]
    pub fn new(uri: Uri) -> Self {
        Self {
            uri,
            headers: HeaderMap::new(),
            protocols: Vec::new(),
            protocol_required: false,
        }
    }

    /// The `origin` field, if there is exactly one and it is visible ASCII.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        let mut values = self.headers.get_all(http::header::ORIGIN).iter();
        let first = values.next()?;
        if values.next().is_some() {
            return None;
        }
        first.to_str().ok()
    }
}

/// The answer that establishes a session.
#[derive(Clone, Debug)]
pub struct ConnectAnswer {
    /// A 2xx status; 200 unless there is a reason.
    pub status: StatusCode,
    /// Further fields.
    pub headers: HeaderMap,
    /// The application protocol selected, one of those offered.
    pub protocol: Option<String>,
}

impl Default for ConnectAnswer {
    fn default() -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            protocol: None,
        }
    }
}
