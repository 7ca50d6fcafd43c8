//! Asking for a session, and the answer.

use http::{HeaderMap, StatusCode, Uri};

/// The request for a session: an extended CONNECT without what the session layer
/// fills in (method, `:protocol`, version fields).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
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

    /// The same with these further fields in place of those it had.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// The same with these application protocols offered, the preferred first.
    #[must_use]
    pub fn protocols<P: Into<String>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// The same, and whether the session ends when the server selects none of the
    /// protocols.
    #[must_use]
    pub fn protocol_required(mut self, required: bool) -> Self {
        self.protocol_required = required;
        self
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
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ConnectAnswer {
    /// A 2xx status; 200 unless there is a reason.
    pub status: StatusCode,
    /// Further fields.
    pub headers: HeaderMap,
    /// The application protocol selected, one of those offered.
    pub protocol: Option<String>,
}

impl ConnectAnswer {
    /// 200 without further fields or a protocol.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with another status.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with these further fields in place of those it had.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// The same with this application protocol selected.
    #[must_use]
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocol = Some(protocol.into());
        self
    }
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
