//! Which errors pass. See each error's own table; the words mean what they mean in
//! [`CloseReason::is_retryable`].
//!
//! [`CloseReason::is_retryable`]: aqueduct_core::error::CloseReason::is_retryable

use http::StatusCode;

use super::{
    DatagramError, OpenSessionError, OpenStreamError, ReadError, RequestError, WriteError,
};

/// Answers that speak of the moment, not of the request (RFC 9110 §15, RFC 8470
/// §5.2, RFC 6585 §4). `retry-after` may say when to come back.
const PASSING: [StatusCode; 8] = [
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::MISDIRECTED_REQUEST,
    StatusCode::TOO_EARLY,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

impl RequestError {
    /// Whether the same can succeed on another connection.
    ///
    /// | case | |
    /// |---|---|
    /// | `Refused` | as [`RequestError::is_retryable`](aqueduct_core::error::RequestError::is_retryable): a GOAWAY is, an invalid head is not |
    /// | `Connection` | as [`CloseReason::is_retryable`](aqueduct_core::error::CloseReason::is_retryable) |
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(why) => why.is_retryable(),
            Self::Connection(reason) => reason.is_retryable(),
        }
    }
}

impl OpenStreamError {
    /// Whether the same can succeed in another session.
    ///
    /// | case | |
    /// |---|---|
    /// | `Refused` | as [`OpenStreamError::is_retryable`](aqueduct_core::webtransport::OpenStreamError::is_retryable) |
    /// | `Session` | as [`SessionClose::is_retryable`](aqueduct_core::webtransport::SessionClose::is_retryable) |
    /// | `Connection` | as [`CloseReason::is_retryable`](aqueduct_core::error::CloseReason::is_retryable) |
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(why) => why.is_retryable(),
            Self::Session(close) => close.is_retryable(),
            Self::Connection(reason) => reason.is_retryable(),
        }
    }
}

impl OpenSessionError {
    /// Whether the same session can be asked for again, elsewhere or later.
    ///
    /// | case | |
    /// |---|---|
    /// | `Rejected` with 408, 421, 425, 429, 500, 502, 503, 504 | yes |
    /// | `Rejected` with another status: not found, forbidden, a redirect | no |
    /// | `Refused` | as [`OpenSessionError::is_retryable`](aqueduct_core::webtransport::OpenSessionError::is_retryable): a GOAWAY is, a peer without WebTransport is not |
    /// | `Session` | as [`SessionClose::is_retryable`](aqueduct_core::webtransport::SessionClose::is_retryable) |
    /// | `Connection` | as [`CloseReason::is_retryable`](aqueduct_core::error::CloseReason::is_retryable) |
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(why) => why.is_retryable(),
            Self::Rejected { status, .. } => PASSING.contains(status),
            Self::Session(close) => close.is_retryable(),
            Self::Connection(reason) => reason.is_retryable(),
        }
    }
}

impl WriteError {
    /// Whether the same message can be sent again on another connection.
    ///
    /// | case | |
    /// |---|---|
    /// | `Unprocessed`, `EarlyDataRejected` | yes, whatever the request was; the latter here too |
    /// | `Stopped` with H3_REQUEST_REJECTED | yes, whatever the request was |
    /// | `Session`, `Connection` | as their reasons; the server may have acted upon the request |
    /// | `Stopped` with another code, `Malformed` | no |
    /// | `WrongState`, `ContentLength`, `InvalidHead`, `HeadTooLarge`, `InvalidCapsule`, `Finished`, `Reset` | no |
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Session(close) => close.is_retryable(),
            Self::Connection(reason) => reason.is_retryable(),
            Self::Unprocessed | Self::EarlyDataRejected => true,
            Self::Stopped(code) => code.is_unprocessed(),
            Self::Malformed(_)
            | Self::WrongState
            | Self::ContentLength
            | Self::InvalidHead(_)
            | Self::HeadTooLarge
            | Self::InvalidCapsule
            | Self::Finished
            | Self::Reset => false,
        }
    }
}

impl ReadError {
    /// Whether the same can be asked for again on another connection.
    ///
    /// | case | |
    /// |---|---|
    /// | `Unprocessed`, `EarlyDataRejected` | yes, whatever the request was; the latter here too |
    /// | `Reset` with H3_REQUEST_REJECTED | yes, whatever the request was |
    /// | `Session`, `Connection` | as their reasons; the server may have acted upon the request |
    /// | `Reset` with another code, `Malformed` | no |
    /// | `TooLong`, `WrongState`, `Closed` | no |
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Session(close) => close.is_retryable(),
            Self::Connection(reason) => reason.is_retryable(),
            Self::Unprocessed | Self::EarlyDataRejected => true,
            Self::Reset(code) => code.is_unprocessed(),
            Self::Malformed(_) | Self::TooLong | Self::WrongState | Self::Closed => false,
        }
    }
}

impl DatagramError {
    /// Whether a datagram of this size can be sent later or elsewhere.
    ///
    /// | case | |
    /// |---|---|
    /// | `Blocked` | yes, here, when there is room |
    /// | `Session`, `Connection` | as their reasons |
    /// | `TooLarge`, `TooLargeForPath`, `Disabled`, `Closed` | no |
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Blocked => true,
            Self::Session(close) => close.is_retryable(),
            Self::Connection(reason) => reason.is_retryable(),
            Self::TooLarge | Self::TooLargeForPath | Self::Disabled | Self::Closed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use aqueduct_core::error::TransportFailure::TimedOut;
    use aqueduct_core::error::{CloseReason, PeerCode, RequestError as Refusal};
    use aqueduct_core::webtransport::{OpenSessionError as CoreSession, SessionClose};
    use http::HeaderMap;

    use super::*;

    #[test]
    fn a_rejection_is_final_unless_the_status_says_otherwise() {
        let rejected = |status| OpenSessionError::Rejected {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: HeaderMap::new(),
        };
        for status in [308, 400, 401, 403, 404, 405, 501, 505] {
            assert!(!rejected(status).is_retryable(), "{status}");
        }
        for status in [408, 421, 425, 429, 500, 502, 503, 504] {
            assert!(rejected(status).is_retryable(), "{status}");
        }
    }

    #[test]
    fn an_error_is_as_final_as_what_caused_it() {
        let timeout = CloseReason::Transport(TimedOut);
        let closed = SessionClose::Connection(timeout.clone());
        assert!(OpenStreamError::Session(closed.clone()).is_retryable());
        assert!(OpenSessionError::Connection(timeout.clone()).is_retryable());
        assert!(DatagramError::Session(closed).is_retryable());
        assert!(WriteError::Connection(timeout).is_retryable());
        assert!(!ReadError::Session(SessionClose::Connection(CloseReason::Drained)).is_retryable());
        assert!(!OpenSessionError::Refused(CoreSession::WebTransportNotEnabled).is_retryable());
        assert!(RequestError::Refused(Refusal::Draining).is_retryable());
        assert!(ReadError::Reset(PeerCode::http(0x10b)).is_retryable());
        assert!(!WriteError::Stopped(PeerCode::http(0x10c)).is_retryable());
    }
}
