//! Why a request has no answer, or not all of it.

use aqueduct_core::error::{Class, RequestError as Refusal};
use aqueduct_core::pool::PoolError;
use aqueduct_core::uri::UriError;
use thiserror::Error;

use super::early::EarlyOutcome;
use crate::error::{ReadError, WriteError};

/// What a body of the application's fails with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Which time of [`Timeouts`](super::Timeouts) has passed.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Error)]
#[non_exhaustive]
pub enum Timeout {
    /// There was no answer.
    #[error("there was no answer in time")]
    FirstByte,
    /// The server took no more of the content of the request.
    #[error("the server has taken nothing for too long")]
    Write,
    /// Nobody read the content of the answer.
    #[error("nobody has read the answer for too long")]
    Idle,
    /// The server sent no more of the content.
    #[error("the server has sent nothing for too long")]
    Read,
    /// The request as a whole took too long.
    #[error("the request took too long")]
    Total,
}

/// Why a request has no answer, or not all of it. Nothing is sent again: whoever wants to
/// asks [`is_unprocessed`](Self::is_unprocessed), or knows that the request is idempotent
/// and asks [`is_retryable`](Self::is_retryable).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The URI is not one that can be asked for over HTTP/3; nothing was sent.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// There is no connection for it; nothing was sent.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// It cannot be sent as it is, or to this server; nothing was sent.
    #[error(transparent)]
    Refused(Refusal),
    /// There are no HTTP datagrams on a connection to this server: one of the two sides
    /// does not want them (SETTINGS_H3_DATAGRAM), or QUIC does not carry them there. Nothing
    /// was sent.
    #[error("there are no datagrams on connections to this server")]
    DatagramsDisabled,
    /// The content of the request does not match its `content-length`, or its trailers
    /// cannot be sent; it was cancelled.
    #[error("the content cannot be sent")]
    Content(#[source] WriteError),
    /// The body of the request failed; it was cancelled.
    #[error("the body of the request failed")]
    Body(#[source] BoxError),
    /// The answer does not come.
    #[error(transparent)]
    Answer(#[from] ReadError),
    /// The answer has begun, and its rest does not come. Whatever the server says, it has
    /// acted upon the request.
    #[error(transparent)]
    Rest(ReadError),
    /// The request was early data (0-RTT), and there was no connection in the end on which
    /// the server could have said whether it took it: the handshake failed or took too
    /// long, which the source says, or another address answered first. The server may have
    /// acted upon it. One that it did not take is [`ReadError::EarlyDataRejected`].
    #[error("whether the server took the request as early data is not known")]
    EarlyDataUnknown {
        /// Why there is no connection.
        source: Option<PoolError>,
    },
    /// A time has passed; the request was cancelled.
    #[error("{0}")]
    TimedOut(#[source] Timeout),
    /// More content than the caller's limit.
    #[error("more content than the limit of {0} bytes")]
    TooLong(usize),
}

impl Error {
    /// Whether the server has done nothing, as far as this side can know: the same request
    /// may be sent again, whatever its method.
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1.1
    // A request that was rejected, or lies beyond a GOAWAY, was not processed.
    #[must_use]
    pub fn is_unprocessed(&self) -> bool {
        match self {
            Self::Uri(_) | Self::Refused(_) | Self::DatagramsDisabled => true,
            Self::Pool(error) => error.is_unprocessed(),
            Self::Answer(ReadError::Unprocessed | ReadError::EarlyDataRejected) => true,
            Self::Answer(ReadError::Reset(code)) => code.is_unprocessed(),
            Self::Content(_)
            | Self::Body(_)
            | Self::Answer(_)
            | Self::Rest(_)
            | Self::EarlyDataUnknown { .. }
            | Self::TimedOut(_)
            | Self::TooLong(_) => false,
        }
    }

    /// What became of the early data that the request was; `None` if it was none. Of a
    /// request that the server took and that failed later it is not told.
    #[must_use]
    pub fn early_data(&self) -> Option<EarlyOutcome> {
        match self {
            Self::Answer(ReadError::EarlyDataRejected) => Some(EarlyOutcome::Rejected),
            Self::EarlyDataUnknown { .. } => Some(EarlyOutcome::Unknown),
            _ => None,
        }
    }

    /// Who would have to change for the same to succeed.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Pool(error) => error.class(),
            Self::Refused(why) => why.class(),
            Self::EarlyDataUnknown { source } => {
                (source.as_ref()).map_or(Class::Transient, PoolError::class)
            }
            Self::Answer(error) | Self::Rest(error) if error.is_retryable() => Class::Transient,
            Self::TimedOut(Timeout::Idle) => Class::Invalid,
            Self::TimedOut(_) => Class::Transient,
            Self::Uri(_) | Self::Content(_) | Self::Body(_) | Self::TooLong(_) => Class::Invalid,
            Self::Answer(_) | Self::Rest(_) | Self::DatagramsDisabled => Class::Unrecoverable,
        }
    }

    /// Whether the class is [`Class::Transient`]: the same may succeed later. The server
    /// may have acted upon it already, unless it is
    /// [unprocessed](Self::is_unprocessed).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.class() == Class::Transient
    }
}
