//! Why something was not done on a connection of raw QUIC.

use thiserror::Error;

/// Why a stream was not begun.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The peer's stream limit is reached; `Event::Available` follows.
    #[error("the peer's stream limit is reached")]
    Blocked,
    /// As many wait as [`Config::queued_starts`](super::Config::queued_starts) lets.
    #[error("too many streams wait for the peer's limit")]
    TooMany,
    /// The handshake is not complete, and there is no early data.
    #[error("the connection is not established yet")]
    NotConnected,
    /// The connection winds down.
    #[error("the connection is draining")]
    Draining,
    /// The connection is over.
    #[error("the connection is closed")]
    Closed,
}

/// Why nothing can be read.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer abandoned the stream: RESET_STREAM with this code.
    #[error("the peer reset the stream with {0}")]
    Reset(u64),
    /// Its end was told before.
    #[error("the stream was read to its end before")]
    Finished,
    /// This side has stopped it.
    #[error("the stream was stopped before")]
    Stopped,
    /// The stream does not receive.
    #[error("the stream has no receiving half")]
    NoSuchHalf,
    /// The stream is over, never was, or the connection is over.
    #[error("the stream is gone")]
    Gone,
}

/// Why nothing can be written.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The peer does not want more: STOP_SENDING with this code.
    #[error("the peer stopped the stream with {0}")]
    Stopped(u64),
    /// This side has ended it.
    #[error("the stream was finished before")]
    Finished,
    /// This side has reset it.
    #[error("the stream was reset before")]
    Reset,
    /// The stream does not send.
    #[error("the stream has no sending half")]
    NoSuchHalf,
    /// The stream is over, never was, or the connection is over.
    #[error("the stream is gone")]
    Gone,
}

/// Why a stream was not ended.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// Codes have 62 bits.
    #[error("the code does not fit 62 bits")]
    CodeOutOfRange,
    /// The stream has no such half.
    #[error("the stream has no such half")]
    NoSuchHalf,
    /// The half is over, the stream is, or never was.
    #[error("the stream is gone")]
    Gone,
}

/// Why a datagram was not sent.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// Larger than the peer will ever take.
    #[error("the datagram is larger than the peer takes")]
    TooLarge,
    /// Larger than the path takes at present.
    #[error("the datagram is larger than the path takes")]
    TooLargeForPath,
    /// The peer takes none, or this side does not.
    #[error("datagrams are not enabled on this connection")]
    Disabled,
    /// The send buffer is full; `Event::DatagramsUnblocked` follows.
    #[error("the datagram send buffer is full")]
    Blocked,
    /// The handshake is not complete.
    #[error("the connection is not established yet")]
    NotConnected,
    /// The connection is over.
    #[error("the connection is closed")]
    Closed,
}

/// Why a connection was not closed.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum CloseError {
    /// Codes have 62 bits.
    #[error("the code does not fit 62 bits")]
    CodeOutOfRange,
    /// It is over.
    #[error("the connection is closed")]
    Closed,
}

/// Why certificates were not confirmed or refused.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum ConfirmError {
    /// Nobody has asked, or it was said before.
    #[error("no certificates wait to be confirmed")]
    NotAsked,
    /// The connection is over.
    #[error("the connection is closed")]
    Closed,
}
