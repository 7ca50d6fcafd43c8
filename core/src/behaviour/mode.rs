//! How a stream receives: the modes, and what is asked for in the passive one.

use thiserror::Error;

/// How what arrives on a stream is handed to its owner.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// Whatever arrives, as it arrives.
    #[default]
    Active,
    /// The next piece; then the stream is [`Passive`](Self::Passive).
    Once,
    /// So many pieces; then the stream is [`Passive`](Self::Passive), and its owner is told by
    /// [`passive`](super::StreamBehaviour::passive). Of 0 it is told at once.
    Times(u32),
    /// Nothing but what is asked for ([`StreamAction::Receive`](super::StreamAction::Receive)).
    /// The rest stays with the peer: that is QUIC's flow control.
    Passive,
}

/// What is asked for on a passive stream.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum Want {
    /// So many bytes in one piece, from 1 to
    /// [`Config::receive`](super::Config::receive). They are gathered before they are given.
    Exact(usize),
    /// Whatever comes next: a byte at least, or the end.
    Any,
}

/// Why what was asked for is not given. Nothing is lost by it: what has arrived can be asked
/// for once more.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash, Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The peer has ended the stream, and so many bytes of those asked for never come. Of
    /// [`Want::Any`], 0: the end was given before.
    #[error("the peer finished the stream, {missing} bytes short")]
    PeerFinished {
        /// Bytes that are missing.
        missing: usize,
    },
    /// The peer has abandoned the stream with this code.
    #[error("the peer reset the stream with {0}")]
    Reset(u64),
    /// This side has abandoned it, it has no receiving half, or the connection is over.
    #[error("the stream receives nothing any more")]
    Closed,
    /// What was asked for before has not come yet, and still will.
    #[error("something else was asked for before")]
    Busy,
    /// The stream is not passive.
    #[error("the stream is not passive")]
    NotPassive,
    /// The mode was changed meanwhile.
    #[error("the mode was changed meanwhile")]
    Switched,
    /// An exact length of 0, or more than
    /// [`Config::receive`](super::Config::receive).
    #[error("the length is 0 or more than may be gathered")]
    Length,
}

/// Where a piece of data stands.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub struct At {
    /// Where its first byte stands in the stream, from 0.
    pub offset: u64,
    /// The stream ends with it. The end may come with the last bytes, or alone, with none.
    pub end: bool,
    /// A server received it before the handshake was complete (0-RTT): it may be a replay
    /// (RFC 9001 §9.2).
    pub early: bool,
}

impl At {
    /// There, with more to follow.
    #[must_use]
    pub const fn new(offset: u64) -> Self {
        Self {
            offset,
            end: false,
            early: false,
        }
    }

    /// The same, and the stream ends with it.
    #[must_use]
    pub const fn end(mut self) -> Self {
        self.end = true;
        self
    }
}
