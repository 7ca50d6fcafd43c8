//! Asking for a session, and the answer.

use http::{HeaderMap, StatusCode, Uri};

/// The request for a session: an extended CONNECT without what the session layer
/// fills in (method, `:protocol`, version fields).
#[derive(Clone, Debug, Eq, PartialEq)]
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
#[derive(Clone, Debug, Eq, PartialEq)]
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
