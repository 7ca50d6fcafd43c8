//! Errors of the handles: what the core says, and who ended what.
//!
//! Each tells by `is_retryable` whether the same may succeed on another connection,
//! which is what a client needs that reconnects: GOAWAY, timeouts and requests the
//! server did not process pass; certificates that are not trusted, peers without
//! WebTransport and 404 do not. [`SessionError`], [`SendError`] and [`ResetError`]
//! are about the moment in a message's life at which something was tried, and never
//! pass.

mod retry;

use std::io;

use aqueduct_core::error::{CloseReason, PeerCode};
use aqueduct_core::fault::Violation;
use aqueduct_core::webtransport::{self, SessionClose};
use http::{HeaderMap, StatusCode};
use thiserror::Error;

pub use aqueduct_core::endpoint::ExportFailed;
pub use aqueduct_core::error::{InvalidHead, ResetError, SendError};

pub use aqueduct_core::webtransport::dialect::NegotiationFailure;
pub use aqueduct_core::webtransport::{AcceptError, RejectError, SessionError};

use crate::protocol;

/// Why a request was not sent.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It is not possible here; nothing was sent. Never one of the cases that pass by
    /// waiting, because the handles wait.
    #[error(transparent)]
    Refused(protocol::error::RequestError),
    /// The connection is over.
    #[error(transparent)]
    Connection(CloseReason),
}

/// Why a stream was not opened in a session.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum OpenStreamError {
    /// It is not possible here; nothing was sent. Never one of the cases that pass by
    /// waiting, because the handles wait.
    #[error(transparent)]
    Refused(webtransport::OpenStreamError),
    /// The session is over.
    #[error(transparent)]
    Session(SessionClose),
    /// The connection is over.
    #[error(transparent)]
    Connection(CloseReason),
}

/// Why a session was not established.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum OpenSessionError {
    /// It is not possible here, for instance because the peer does not announce
    /// WebTransport; nothing was sent.
    #[error(transparent)]
    Refused(webtransport::OpenSessionError),
    /// The server answered with something else than 2xx. A redirect is
    /// reported, never followed.
    #[error("the server answered {status}")]
    Rejected {
        /// The status.
        status: StatusCode,
        /// The other fields of the answer.
        headers: HeaderMap,
    },
    /// The CONNECT stream ended before an answer.
    #[error(transparent)]
    Session(SessionClose),
    /// The connection is over.
    #[error(transparent)]
    Connection(CloseReason),
}

/// Why bytes were not taken.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The peer does not want more: STOP_SENDING with this code. One that says that the
    /// session is gone is told as [`Session`](Self::Session), when its end has come.
    #[error("the peer stopped the stream: {0}")]
    Stopped(PeerCode),
    /// The peer broke a rule on this stream, which has been reset.
    #[error("reset by us: {0}")]
    Malformed(Violation),
    /// The server did not process the request because of a GOAWAY; it may be
    /// sent again on another connection.
    #[error("the server did not process the request")]
    Unprocessed,
    /// The request was early data (0-RTT), which the server did not take: it has seen
    /// nothing of it, and it may be sent again, on this connection too.
    #[error("the server did not take the request as early data")]
    EarlyDataRejected,
    /// The stream's session is over.
    #[error(transparent)]
    Session(SessionClose),
    /// The connection is over.
    #[error(transparent)]
    Connection(CloseReason),
    /// The message is not at that point: content before the head, or after the end.
    #[error("the message is not at that point")]
    WrongState,
    /// More content than the content-length that was sent, or less at its end.
    #[error("the content does not match content-length")]
    ContentLength,
    /// The field section is not valid.
    #[error("the field section is not valid: {0}")]
    InvalidHead(InvalidHead),
    /// The field section is larger than the peer accepts.
    #[error("the field section is larger than the peer accepts")]
    HeadTooLarge,
    /// A capsule's type or length above 2^62 - 1, or a value that is longer or shorter
    /// than announced.
    #[error("the capsule cannot be written")]
    InvalidCapsule,
    /// This side finished the stream before.
    #[error("the stream was finished before")]
    Finished,
    /// This side reset the stream before.
    #[error("the stream was reset before")]
    Reset,
}

/// Why no bytes, no head or no trailers can be read.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer abandoned the stream: RESET_STREAM with this code. One that says that
    /// the session is gone is told as [`Session`](Self::Session), when its end has come.
    #[error("the peer reset the stream: {0}")]
    Reset(PeerCode),
    /// The peer sent a malformed message; the stream has been reset.
    #[error("reset by us: {0}")]
    Malformed(Violation),
    /// The server did not process the request because of a GOAWAY; it may be
    /// sent again on another connection.
    #[error("the server did not process the request")]
    Unprocessed,
    /// The request was early data (0-RTT), which the server did not take: it has seen
    /// nothing of it, and it may be sent again, on this connection too.
    #[error("the server did not take the request as early data")]
    EarlyDataRejected,
    /// The stream's session is over.
    #[error(transparent)]
    Session(SessionClose),
    /// The connection is over.
    #[error(transparent)]
    Connection(CloseReason),
    /// More bytes than the caller's limit.
    #[error("more bytes than the limit")]
    TooLong,
    /// The answer was asked for out of its turn: it was taken before, or this
    /// is the server.
    #[error("the message is not at that point")]
    WrongState,
    /// This side stopped the stream before; of datagrams also that its end was read.
    #[error("the stream was stopped before")]
    Closed,
}

/// Why a datagram was not sent.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// Larger than the peer will ever take.
    #[error("the datagram is larger than the peer takes")]
    TooLarge,
    /// Larger than the path takes at present.
    #[error("the datagram is larger than the path takes")]
    TooLargeForPath,
    /// Datagrams are not usable on this connection.
    #[error("datagrams are not enabled on this connection")]
    Disabled,
    /// The send buffer is full: wait with `send_datagram_wait` or `send_wait`, or drop
    /// it.
    #[error("the datagram send buffer is full")]
    Blocked,
    /// The sending half of the request is over.
    #[error("the request was finished or reset before")]
    Closed,
    /// The session is over.
    #[error(transparent)]
    Session(SessionClose),
    /// The connection is over.
    #[error(transparent)]
    Connection(CloseReason),
}

/// How a session ended, in the words of whatever was tried: the end of the whole
/// connection is told as such.
fn ended<E>(
    close: SessionClose,
    session: fn(SessionClose) -> E,
    connection: fn(CloseReason) -> E,
) -> E {
    match close {
        SessionClose::Connection(reason) => connection(reason),
        close => session(close),
    }
}

impl From<SessionClose> for WriteError {
    fn from(close: SessionClose) -> Self {
        ended(close, Self::Session, Self::Connection)
    }
}

impl From<SessionClose> for ReadError {
    fn from(close: SessionClose) -> Self {
        ended(close, Self::Session, Self::Connection)
    }
}

impl From<SessionClose> for DatagramError {
    fn from(close: SessionClose) -> Self {
        ended(close, Self::Session, Self::Connection)
    }
}

impl From<SessionClose> for OpenStreamError {
    fn from(close: SessionClose) -> Self {
        ended(close, Self::Session, Self::Connection)
    }
}

impl From<SessionClose> for OpenSessionError {
    fn from(close: SessionClose) -> Self {
        ended(close, Self::Session, Self::Connection)
    }
}

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        let kind = match &error {
            WriteError::Stopped(_) | WriteError::Unprocessed | WriteError::EarlyDataRejected => {
                io::ErrorKind::ConnectionReset
            }
            WriteError::Session(_) | WriteError::Connection(_) => io::ErrorKind::ConnectionAborted,
            WriteError::Malformed(_) => io::ErrorKind::InvalidData,
            WriteError::Finished | WriteError::Reset => io::ErrorKind::BrokenPipe,
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        let kind = match &error {
            ReadError::Reset(_) | ReadError::Unprocessed | ReadError::EarlyDataRejected => {
                io::ErrorKind::ConnectionReset
            }
            ReadError::Session(_) | ReadError::Connection(_) => io::ErrorKind::ConnectionAborted,
            ReadError::Malformed(_) | ReadError::TooLong => io::ErrorKind::InvalidData,
            ReadError::Closed => io::ErrorKind::NotConnected,
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}
