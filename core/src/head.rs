//! Heads of messages in the vocabulary of the `http` crate.
//!
//! What is sent is what the parts of a head say: its method or status, its target
//! and its `headers`. A head that was received also remembers its field lines as
//! they stood on the wire, if the configuration says so; whoever changes a header
//! and sends the head on sends the change. To keep the order of lines as well, a
//! proxy asks for it: [`RequestHead::from_fields`], [`ResponseHead::from_fields`]. That
//! no table may hold a value is kept of the headers in any case, and of `:path` and its
//! like by these alone: a target has no place for it.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

pub use crate::wire::fields::{Field, FieldIter, FieldSection};

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

/// Whether a request may be early data (0-RTT): sent before the handshake is complete, which
/// saves a round trip, and which whoever sees it can send to the server again (RFC 8470).
/// It says nothing of a request that was received.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum Early {
    /// When its method is safe (RFC 9110 §9.2.1): GET, HEAD, OPTIONS, TRACE.
    #[default]
    IfSafe,
    /// Whatever its method, but for CONNECT: the server does no harm by acting twice.
    Always,
    /// Never: it waits for the handshake.
    Never,
}

/// A request's head.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestHead {
    /// `:method`.
    pub method: Method,
    /// `:scheme`, `:authority` and `:path`; the authority alone for plain CONNECT.
    pub uri: Uri,
    /// `:protocol`, for extended CONNECT only.
    pub protocol: Option<Protocol>,
    /// The other fields. Repeated fields keep their order and none is lost. The values of a
    /// received head, and its URI, share one copy of all its text, up to
    /// [`Limits::field_section`](crate::config::Limits::field_section): whoever keeps one of
    /// them for long copies it.
    pub headers: HeaderMap,
    /// Whether it may be early data. Nothing of it is sent.
    pub early: Early,
    pub(crate) fields: FieldSection,
    /// Whether `fields` go out as they stand while the parts say the same.
    pub(crate) in_order: bool,
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
            early: Early::default(),
            fields: FieldSection::new(),
            in_order: false,
        }
    }

    /// The same head, that may be early data as said.
    #[must_use]
    pub fn early(mut self, early: Early) -> Self {
        self.early = early;
        self
    }

    /// The head of an `http` request; a [`Protocol`] among its extensions becomes
    /// `:protocol`, and [`Early`] is taken from there. Other extensions are not looked at,
    /// the [`FieldSection`] of [`Self::into_http`] neither.
    #[must_use]
    pub fn from_http(request: Request<()>) -> Self {
        let (mut parts, ()) = request.into_parts();
        let (protocol, early) = match parts.extensions.is_empty() {
            true => (None, None),
            false => (parts.extensions.remove(), parts.extensions.remove()),
        };
        Self {
            method: parts.method,
            uri: parts.uri,
            protocol,
            headers: parts.headers,
            early: early.unwrap_or_default(),
            fields: FieldSection::new(),
            in_order: false,
        }
    }

    /// The head as an `http` request of version HTTP/3; [`Protocol`] and the
    /// [`FieldSection`], where there is one, go into its extensions.
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
        if !self.fields.is_empty() {
            request.extensions_mut().insert(self.fields);
        }
        request
    }

    /// All field lines in wire order, pseudo-header fields included, as they
    /// arrived, where [`Config::field_lines`](crate::config::Config::field_lines) keeps
    /// them, or as the head was made from them; empty on any other head. A change of the
    /// parts does not show here.
    #[must_use]
    pub fn fields(&self) -> &FieldSection {
        &self.fields
    }

    /// The lines of [`Self::fields`], to be changed and made a head again by
    /// [`Self::from_fields`].
    #[must_use]
    pub fn into_fields(self) -> FieldSection {
        self.fields
    }

    /// Whether it may be sent before the handshake is complete, by its method and by
    /// [`Self::early`].
    #[must_use]
    pub fn may_be_early(&self) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc8470#section-4
        // What is not safe goes early only where the caller knows better.
        match self.early {
            Early::IfSafe => self.method.is_safe(),
            Early::Always => self.method != Method::CONNECT,
            Early::Never => false,
        }
    }

    /// Keeps the parts alone.
    pub(crate) fn forget_lines(&mut self) {
        self.fields = FieldSection::new();
    }

    /// Whether both say the same, whatever lines they remember.
    pub(crate) fn has_parts_of(&self, other: &Self) -> bool {
        self.method == other.method
            && self.uri == other.uri
            && self.protocol == other.protocol
            && same_headers(&self.headers, &other.headers)
    }
}

/// A response's head, interim or final.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResponseHead {
    /// `:status`. A server may answer with a number above 599, which is to be taken for a
    /// server's error (RFC 9110 §15, [`Self::is_error`]); of one below 100, 500 is told.
    pub status: StatusCode,
    /// The other fields. Repeated fields keep their order and none is lost. The values of a
    /// received head share one copy of all its text, as [`RequestHead::headers`] say.
    pub headers: HeaderMap,
    pub(crate) fields: FieldSection,
    /// As for a request.
    pub(crate) in_order: bool,
}

impl ResponseHead {
    /// A head without fields beyond `:status`.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            fields: FieldSection::new(),
            in_order: false,
        }
    }

    /// Whether the answer is one of an error: 400 to 599, or a number beyond all classes.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.status.as_u16() >= 400
    }

    /// The head of an `http` response. Its extensions are not looked at.
    #[must_use]
    pub fn from_http(response: Response<()>) -> Self {
        let (parts, ()) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            fields: FieldSection::new(),
            in_order: false,
        }
    }

    /// The head as an `http` response of version HTTP/3; the [`FieldSection`], where
    /// there is one, goes into its extensions.
    #[must_use]
    pub fn into_http(self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = self.status;
        *response.version_mut() = http::Version::HTTP_3;
        *response.headers_mut() = self.headers;
        if !self.fields.is_empty() {
            response.extensions_mut().insert(self.fields);
        }
        response
    }

    /// All field lines in wire order, pseudo-header fields included, as they
    /// arrived, where [`Config::field_lines`](crate::config::Config::field_lines) keeps
    /// them, or as the head was made from them; empty on any other head. A change of the
    /// parts does not show here.
    #[must_use]
    pub fn fields(&self) -> &FieldSection {
        &self.fields
    }

    /// The lines of [`Self::fields`], to be changed and made a head again by
    /// [`Self::from_fields`].
    #[must_use]
    pub fn into_fields(self) -> FieldSection {
        self.fields
    }

    /// Keeps the parts alone.
    pub(crate) fn forget_lines(&mut self) {
        self.fields = FieldSection::new();
    }

    /// Whether both say the same, whatever lines they remember.
    pub(crate) fn has_parts_of(&self, other: &Self) -> bool {
        self.status == other.status && same_headers(&self.headers, &other.headers)
    }
}

/// Whether the fields are the same in the same order. `==` of values does not tell
/// whether they may be compressed; this does.
fn same_headers(one: &HeaderMap, other: &HeaderMap) -> bool {
    let same = |(one, other): (Line<'_>, Line<'_>)| {
        one == other && one.1.is_sensitive() == other.1.is_sensitive()
    };
    one.len() == other.len() && one.iter().zip(other).all(same)
}

type Line<'a> = (&'a HeaderName, &'a HeaderValue);

/// Fields after the content.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trailers {
    /// The fields. Repeated fields keep their order and none is lost. The values of received
    /// trailers share one copy of all their text, as [`RequestHead::headers`] say.
    pub headers: HeaderMap,
    pub(crate) fields: FieldSection,
}

impl Trailers {
    /// Trailers with these fields.
    #[must_use]
    pub fn new(headers: HeaderMap) -> Self {
        Self {
            headers,
            fields: FieldSection::new(),
        }
    }

    /// Keeps the parts alone.
    pub(crate) fn forget_lines(&mut self) {
        self.fields = FieldSection::new();
    }

    /// All field lines in wire order, as they arrived, where
    /// [`Config::field_lines`](crate::config::Config::field_lines) keeps them. A change of
    /// `headers` does not show here.
    #[must_use]
    pub fn fields(&self) -> &FieldSection {
        &self.fields
    }
}

/// Whether content follows a head, or nothing does.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// Content, or trailers, or at least a separate `finish` follow.
    More,
    /// The message ends with this head.
    Fin,
}
