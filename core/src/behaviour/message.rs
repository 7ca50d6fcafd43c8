//! What a behaviour is told from outside, by way of an adapter's mailbox.

use thiserror::Error;

/// Why a message was not taken, and the message.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum SendMessageError<M> {
    /// As many wait as may.
    #[error("too many messages wait")]
    Full(M),
    /// The behaviour runs no more.
    #[error("the connection is over")]
    Over(M),
}
