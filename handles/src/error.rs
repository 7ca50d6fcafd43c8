//! Errors of the handles: what the core says, and who ended what.
//!
//! Each tells by `is_retryable` whether the same may succeed on another connection,
//! which is what a client needs that reconnects: GOAWAY, timeouts and requests the
//! server did not process pass; certificates that are not trusted, peers without
//! WebTransport and 404 do not. [`SessionError`], [`SendError`] and [`ResetError`]
//! are about the moment in a message's life at which something was tried, and never
//! pass.

mod retry;

use std::{error, fmt, io};

use aqueduct_core::error::{CloseReason, PeerCode, SessionClose};
use aqueduct_core::fault::Violation;
use http::{HeaderMap, StatusCode};

pub use aqueduct_core::dialect::NegotiationFailure;
pub use aqueduct_core::endpoint::ExportFailed;
pub use aqueduct_core::error::{OpenError as Refusal, ResetError, SendError, SessionError};

/// Why a request was not sent or a stream not opened.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum OpenError {
    /// It is not possible here; nothing was sent. Never one of the cases that
    /// pass by waiting, because the handles wait.
    Refused(Refusal),
    /// The session is over.
    Session(SessionClose),
    /// The connection is over.
    Connection(CloseReason),
}

/// Why a session was not established.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ConnectError {
    /// It is not possible here, for instance because the peer does not announce
    /// WebTransport; nothing was sent.
    Refused(Refusal),
    /// The server answered with something else than 2xx. A redirect is
    /// reported, never followed.
    Rejected {
        /// The status.
        status: StatusCode,
        /// The other fields of the answer.
        headers: HeaderMap,
    },
    /// The CONNECT stream ended before an answer.
    Session(SessionClose),
    /// The connection is over.
    Connection(CloseReason),
}

/// Why bytes were not taken.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WriteError {
    /// The peer does not want more: STOP_SENDING with this code.
    Stopped(PeerCode),
    /// The peer broke a rule on this stream, which has been reset.
    Malformed(Violation),
    /// The server did not process the request because of a GOAWAY; it may be
    /// sent again on another connection.
    Unprocessed,
    /// The stream's session is over.
    Session(SessionClose),
    /// The connection is over.
    Connection(CloseReason),
    /// The message is not at that point: content before the head, or after the end.
    WrongState,
    /// More content than the content-length that was sent, or less at its end.
    ContentLength,
    /// The field section is not valid.
    InvalidHead,
    /// The field section is larger than the peer accepts.
    HeadTooLarge,
    /// This side finished or reset the stream before.
    Closed,
}

/// Why no bytes, no head or no trailers can be read.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer abandoned the stream: RESET_STREAM with this code.
    Reset(PeerCode),
    /// The peer sent a malformed message; the stream has been reset.
    Malformed(Violation),
    /// The server did not process the request because of a GOAWAY; it may be
    /// sent again on another connection.
    Unprocessed,
    /// The stream's session is over.
    Session(SessionClose),
    /// The connection is over.
    Connection(CloseReason),
    /// More bytes than the caller's limit.
    TooLong,
    /// The answer was asked for out of its turn: it was taken before, or this
    /// is the server.
    WrongState,
    /// This side stopped the stream before.
    Closed,
}

/// Why a datagram was not sent.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DatagramError {
    /// Larger than the peer will ever take.
    TooLarge,
    /// Larger than the path takes at present.
    TooLargeForPath,
    /// Datagrams are not usable on this connection.
    Disabled,
    /// The send buffer is full: wait with `send_datagram_wait`, or drop it.
    Blocked,
    /// The session is over.
    Session(SessionClose),
    /// The connection is over.
    Connection(CloseReason),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "{why}"),
            Self::Session(close) => write!(f, "{close}"),
            Self::Connection(reason) => write!(f, "{reason}"),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "{why}"),
            Self::Rejected { status, .. } => write!(f, "the server answered {status}"),
            Self::Session(close) => write!(f, "{close}"),
            Self::Connection(reason) => write!(f, "{reason}"),
        }
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(code) => write!(f, "the peer stopped the stream: {code}"),
            Self::Malformed(why) => write!(f, "reset by us: the peer sent {why}"),
            Self::Unprocessed => f.write_str("the server did not process the request"),
            Self::Session(close) => write!(f, "{close}"),
            Self::Connection(reason) => write!(f, "{reason}"),
            Self::WrongState => f.write_str("the message is not at that point"),
            Self::ContentLength => f.write_str("the content does not match content-length"),
            Self::InvalidHead => f.write_str("the field section is not valid"),
            Self::HeadTooLarge => f.write_str("the field section is larger than the peer accepts"),
            Self::Closed => f.write_str("the stream was finished or reset before"),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset(code) => write!(f, "the peer reset the stream: {code}"),
            Self::Malformed(why) => write!(f, "reset by us: the peer sent {why}"),
            Self::Unprocessed => f.write_str("the server did not process the request"),
            Self::Session(close) => write!(f, "{close}"),
            Self::Connection(reason) => write!(f, "{reason}"),
            Self::TooLong => f.write_str("more bytes than the limit"),
            Self::WrongState => f.write_str("the message is not at that point"),
            Self::Closed => f.write_str("the stream was stopped before"),
        }
    }
}

impl fmt::Display for DatagramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the datagram is larger than the peer takes"),
            Self::TooLargeForPath => f.write_str("the datagram is larger than the path takes"),
            Self::Disabled => f.write_str("datagrams are not enabled on this connection"),
            Self::Blocked => f.write_str("the datagram send buffer is full"),
            Self::Session(close) => write!(f, "{close}"),
            Self::Connection(reason) => write!(f, "{reason}"),
        }
    }
}

impl error::Error for OpenError {}
impl error::Error for ConnectError {}
impl error::Error for WriteError {}
impl error::Error for ReadError {}
impl error::Error for DatagramError {}

impl From<OpenError> for ConnectError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Refused(why) => Self::Refused(why),
            OpenError::Session(close) => Self::Session(close),
            OpenError::Connection(reason) => Self::Connection(reason),
        }
    }
}

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        let kind = match &error {
            WriteError::Stopped(_) | WriteError::Unprocessed => io::ErrorKind::ConnectionReset,
            WriteError::Session(_) | WriteError::Connection(_) => io::ErrorKind::ConnectionAborted,
            WriteError::Malformed(_) => io::ErrorKind::InvalidData,
            WriteError::Closed => io::ErrorKind::BrokenPipe,
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        let kind = match &error {
            ReadError::Reset(_) | ReadError::Unprocessed => io::ErrorKind::ConnectionReset,
            ReadError::Session(_) | ReadError::Connection(_) => io::ErrorKind::ConnectionAborted,
            ReadError::Malformed(_) | ReadError::TooLong => io::ErrorKind::InvalidData,
            ReadError::Closed => io::ErrorKind::NotConnected,
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}
