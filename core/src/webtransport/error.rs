//! Errors of sessions, one type for each operation, and why a session ended.

use thiserror::Error;

use crate::code::Code;
use crate::error::{CloseReason, InvalidHead, RequestError, said};
use crate::fault::Violation;
use crate::id::Side;

/// Why a session was not asked for.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum OpenSessionError {
    /// No request can be sent, for a session or for anything else.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// As many sessions as the peer, or the configuration, allows are open.
    #[error("too many sessions on this connection")]
    TooManySessions,
    /// This side's configuration speaks no WebTransport.
    #[error("WebTransport is switched off on this side")]
    WebTransportDisabled,
    /// The peer announces no WebTransport dialect.
    #[error("the peer does not enable WebTransport")]
    WebTransportNotEnabled,
    /// The peer announces dialects, and none that is spoken here: by configuration, or
    /// for want of RESET_STREAM_AT. `Access::negotiated` says which.
    #[error("the peer speaks other drafts of WebTransport than this side")]
    NoCommonDialect,
    /// Datagrams are not usable in both directions.
    #[error("HTTP datagrams are not usable in both directions")]
    DatagramsNotEnabled,
}

/// Why a stream was not opened in a session.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum OpenStreamError {
    /// The peer's QUIC stream limit is reached; `Event::Available` follows.
    #[error("the peer's stream limit is reached")]
    Blocked,
    /// The session's own limit of streams is reached; `SessionEvent::StreamsAvailable`
    /// follows.
    #[error("the session's stream limit is reached")]
    StreamLimit,
    /// The session is not established yet.
    #[error("the session is not established yet")]
    SessionPending,
    /// The session has announced its end and this side refuses new streams.
    #[error("the session is draining")]
    SessionDraining,
    /// The session is over or never was.
    #[error("the session is gone")]
    SessionGone,
    /// The application does not claim the type that the stream was to have.
    #[error("the configuration does not claim this type of streams")]
    NotClaimed,
    /// The connection is over.
    #[error("the connection is closed")]
    Closed,
}

/// Why a session was not accepted.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The session is over or never was.
    #[error("the session is gone")]
    Gone,
    /// The session is past that point, or this is not the server.
    #[error("the session is past that point")]
    WrongState,
    /// The status is not one that accepts: 200 to 299 but for 204, 205 and 206.
    #[error("a session is accepted with a status of 200 to 299, but not with 204, 205 or 206")]
    InvalidStatus,
    /// The client did not offer the application protocol.
    #[error("the client did not offer the application protocol")]
    ProtocolNotOffered,
    /// The answer's head is not valid.
    #[error("the response's head is not valid: {0}")]
    InvalidHead(InvalidHead),
    /// The head is larger than the peer's SETTINGS_MAX_FIELD_SECTION_SIZE.
    #[error("the response's head is larger than the peer accepts")]
    HeadTooLarge,
}

/// Why a session was not turned down.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum RejectError {
    /// The session is over or never was.
    #[error("the session is gone")]
    Gone,
    /// The session is past that point, or this is not the server.
    #[error("the session is past that point")]
    WrongState,
    /// The status is not one that rejects: 300 to 599.
    #[error("a rejection needs a status from 300 to 599")]
    InvalidStatus,
    /// The answer's head is not valid.
    #[error("the response's head is not valid: {0}")]
    InvalidHead(InvalidHead),
    /// The head is larger than the peer's SETTINGS_MAX_FIELD_SECTION_SIZE.
    #[error("the response's head is larger than the peer accepts")]
    HeadTooLarge,
}

/// Why a session was not drained or closed.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The session is over or never was.
    #[error("the session is gone")]
    Gone,
    /// The session is not established yet.
    #[error("the session is not established yet")]
    WrongState,
    /// The close reason is longer than 1,024 bytes.
    #[error("the close reason is longer than 1024 bytes")]
    ReasonTooLong,
}

/// Why a session ended, told exactly once.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum SessionClose {
    /// Cleanly, with a code and a reason: a close capsule, or the end of the
    /// CONNECT stream without one, which counts as code 0 and no reason.
    #[error("closed by the {by} with code {code}{}", said(.reason.as_bytes()))]
    Closed {
        /// Who closed it.
        by: Side,
        /// The application's code.
        code: u32,
        /// The application's reason: UTF-8, at most 1,024 bytes.
        reason: String,
    },
    /// The peer reset the CONNECT stream, or stopped it and did not end the session
    /// otherwise in time.
    #[error("the peer reset the session: {0}")]
    Reset(Code),
    /// The peer broke a rule of the session and we reset the CONNECT stream.
    #[error("reset by us: {code}: {why}")]
    PeerMisbehaved {
        /// Code on the wire.
        code: Code,
        /// The rule.
        why: Violation,
    },
    /// The server did not process the request because of its GOAWAY: the session
    /// may be asked for again on another connection.
    #[error("not processed: the server is going away")]
    Unprocessed,
    /// The whole connection ended.
    #[error("the connection ended: {0}")]
    Connection(CloseReason),
}

impl OpenSessionError {
    /// Whether the same can succeed later or elsewhere.
    ///
    /// | case | |
    /// |---|---|
    /// | `Request` | as [`RequestError::is_retryable`] |
    /// | `TooManySessions` | yes, on another connection |
    /// | `WebTransportDisabled`, `WebTransportNotEnabled`, `NoCommonDialect`, `DatagramsNotEnabled` | no: one side would have to change |
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Request(error) => error.is_retryable(),
            Self::TooManySessions => true,
            Self::WebTransportDisabled
            | Self::WebTransportNotEnabled
            | Self::NoCommonDialect
            | Self::DatagramsNotEnabled => false,
        }
    }
}

impl OpenStreamError {
    /// Whether the same can succeed later or elsewhere.
    ///
    /// | case | |
    /// |---|---|
    /// | `Blocked`, `StreamLimit`, `SessionPending` | yes, here: an event follows |
    /// | `SessionDraining` | yes, in another session |
    /// | `SessionGone`, `Closed` | no: ask the reason that came with the end |
    /// | `NotClaimed` | no: claim the type |
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Blocked | Self::StreamLimit | Self::SessionPending | Self::SessionDraining => {
                true
            }
            Self::SessionGone | Self::NotClaimed | Self::Closed => false,
        }
    }
}

impl SessionClose {
    /// Whether the session may be asked for again.
    ///
    /// | case | |
    /// |---|---|
    /// | `Unprocessed`: left out by a GOAWAY | yes, on another connection |
    /// | `Reset` with H3_REQUEST_REJECTED, H3_INTERNAL_ERROR or H3_NO_ERROR | yes |
    /// | `Reset` with another code | no |
    /// | `Connection` | as [`CloseReason::is_retryable`] |
    /// | `Closed` | no: code and reason are the application's, which may read them otherwise. A server that goes away closes what is left with code 0; it has said so before, by [`SessionEvent::Draining`](super::SessionEvent::Draining) |
    /// | `PeerMisbehaved` | no |
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unprocessed => true,
            Self::Reset(code) => code.is_retryable(),
            Self::Connection(reason) => reason.is_retryable(),
            Self::Closed { .. } | Self::PeerMisbehaved { .. } => false,
        }
    }

    /// Whether the server promises that it never acted upon the request for the
    /// session.
    #[must_use]
    pub fn is_unprocessed(&self) -> bool {
        matches!(
            self,
            Self::Unprocessed | Self::Reset(Code::H3_REQUEST_REJECTED)
        )
    }
}
