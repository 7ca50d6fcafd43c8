//! Why a tunnel was not opened, or has ended.

use std::io;

use aqueduct_core::error::{CloseReason, PeerCode};
use aqueduct_core::fault::Violation;
use aqueduct_core::head::ResponseHead;
use aqueduct_core::masque::{AnswerFault, TunnelFault, refusal_in_words};
use thiserror::Error;

use crate::error::{ReadError, RequestError, WriteError};

/// Why no tunnel was opened.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum OpenTunnelError {
    /// The target is no authority.
    #[error("the target is no authority")]
    Head,
    /// The request was not sent.
    #[error(transparent)]
    Request(RequestError),
    /// There was no answer.
    #[error("no answer: {0}")]
    NoAnswer(ReadError),
    /// The proxy refuses: status and fields of its answer.
    #[error("the proxy refuses: {}", refusal_in_words(.0))]
    Refused(Box<ResponseHead>),
    /// The answer opens no tunnel, though it says so.
    #[error(transparent)]
    BadAnswer(AnswerFault),
}

/// Why nothing more goes through a tunnel.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum TunnelError {
    /// The peer reset or stopped its stream: of TCP, its connection was reset.
    #[error("reset by the peer: {0}")]
    Reset(PeerCode),
    /// The peer broke a rule; the stream was reset.
    #[error("reset here: {0}")]
    Fault(TunnelFault),
    /// The message is malformed.
    #[error("reset here: {0}")]
    Malformed(Violation),
    /// The peer ended the stream before the last bytes of its TCP connection, or the
    /// tunnel of UDP.
    #[error("the tunnel has ended")]
    Ended,
    /// A UDP payload is larger than the path takes; the tunnel goes on.
    #[error("the payload is larger than the path takes")]
    TooLarge,
    /// There is no room to send at present; the tunnel goes on.
    #[error("there is no room to send")]
    Blocked,
    /// This side ended it, or its sending half, before.
    #[error("the tunnel was closed here")]
    Closed,
    /// The connection is over.
    #[error(transparent)]
    Connection(CloseReason),
}

impl From<ReadError> for TunnelError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reset(code) => Self::Reset(code),
            ReadError::Malformed(why) => Self::Malformed(why),
            ReadError::Connection(reason) => Self::Connection(reason),
            ReadError::Closed => Self::Closed,
            _ => Self::Ended,
        }
    }
}

impl From<WriteError> for TunnelError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped(code) => Self::Reset(code),
            WriteError::Malformed(why) => Self::Malformed(why),
            WriteError::Connection(reason) => Self::Connection(reason),
            _ => Self::Closed,
        }
    }
}

impl From<TunnelError> for io::Error {
    fn from(error: TunnelError) -> Self {
        let kind = match &error {
            TunnelError::Reset(_) => io::ErrorKind::ConnectionReset,
            TunnelError::Fault(_) | TunnelError::Malformed(_) => io::ErrorKind::InvalidData,
            TunnelError::TooLarge => io::ErrorKind::InvalidInput,
            TunnelError::Blocked => io::ErrorKind::WouldBlock,
            TunnelError::Closed => io::ErrorKind::BrokenPipe,
            TunnelError::Ended | TunnelError::Connection(_) => io::ErrorKind::ConnectionAborted,
        };
        Self::new(kind, error)
    }
}
