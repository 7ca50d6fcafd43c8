//! What a connection's tunnels tell, and why something was not done.

use thiserror::Error;

use super::codec::TunnelFault;
use super::gate::TunnelRequest;
use super::head::AnswerFault;
use crate::code::Code;
use crate::error::{CloseReason, DatagramError, RequestError, WriteError};
use crate::fault::Violation;
use crate::head::ResponseHead;
use crate::id::{StreamId, StreamKey};

/// A tunnel, named by its request stream.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct TunnelKey(pub(super) StreamKey);

impl TunnelKey {
    /// The tunnel of a request stream. It names nothing if there is none.
    #[must_use]
    pub const fn new(stream: StreamKey) -> Self {
        Self(stream)
    }

    /// The request stream.
    #[must_use]
    pub const fn stream(self) -> StreamKey {
        self.0
    }

    /// The stream's id.
    #[must_use]
    pub const fn id(self) -> StreamId {
        self.0.id
    }
}

impl std::fmt::Debug for TunnelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tunnel {}", self.0.id)
    }
}

/// What happened to a tunnel.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TunnelEvent {
    /// Somebody asks for it (server): find its target, reach it, and answer with
    /// [`Tunnels::accept`](super::Tunnels::accept) or
    /// [`refuse`](super::Tunnels::refuse), within
    /// [`start_timeout`](super::TunnelsConfig::start_timeout).
    Requested(Box<TunnelRequest>),
    /// It is open (client). The head of the answer.
    Opened(Box<ResponseHead>),
    /// It is refused (client), and over. The head says why: status, `proxy-status`, and
    /// `www-authenticate` perhaps.
    Refused(Box<ResponseHead>),
    /// There are UDP payloads to receive. Told once until there are none.
    Datagrams,
    /// UDP payloads can be sent again, after [`TunnelSendError::Blocked`].
    DatagramsUnblocked,
    /// There are bytes of TCP to read, or their end. Told once until a read gives
    /// [`TunnelRead::Blocked`](super::TunnelRead::Blocked).
    Readable,
    /// Bytes of TCP can be written again, after a write that took less than offered.
    Writable,
    /// The proxy winds down (client), or this side does: nothing new, this one goes on.
    Draining,
    /// It is over: its last event, once. What it has received can still be taken.
    Closed(TunnelClose),
}

/// Why a tunnel is over.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, Error)]
pub enum TunnelClose {
    /// The peer ended it, or both sides did.
    #[error("ended")]
    Finished,
    /// This side closed or cancelled it.
    #[error("closed here")]
    Local,
    /// The peer reset or stopped its stream.
    #[error("reset by the peer: {0}")]
    Reset(Code),
    /// The peer broke a rule; the stream was reset.
    #[error("reset here: {0}")]
    Fault(TunnelFault),
    /// The message was malformed.
    #[error("reset here: {0}")]
    Malformed(Violation),
    /// The answer opens no tunnel, though it says that it does (client).
    #[error("{0}")]
    BadAnswer(AnswerFault),
    /// It was not started in time.
    #[error("it was not started in time")]
    StartTimedOut,
    /// Nothing went through it for too long.
    #[error("idle for too long")]
    Idle,
    /// It was not processed because of a GOAWAY (client): another connection may be
    /// asked.
    #[error("not processed")]
    Unprocessed,
    /// The connection ended.
    #[error("{0}")]
    Connection(CloseReason),
}

/// Why no tunnel was asked for.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
pub enum OpenTunnelError {
    /// The request could not be sent.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The head cannot be made.
    #[error("the target or the proxy is no authority")]
    Head,
    /// There are as many tunnels as there may be.
    #[error("too many tunnels on this connection")]
    TooManyTunnels,
}

/// Why an answer was not sent.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
pub enum AnswerTunnelError {
    /// The tunnel is over, or was given up meanwhile: whoever began to reach its target
    /// stops.
    #[error("the tunnel is gone")]
    Gone,
    /// It is answered already.
    #[error("the tunnel has been answered")]
    Answered,
}

/// Why a UDP payload was not sent. It is lost, as on any path.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
pub enum TunnelSendError {
    /// The tunnel is over, carries no UDP, or this side has ended it.
    #[error("the tunnel is gone")]
    Gone,
    /// The tunnel is not open yet.
    #[error("the tunnel is not open yet")]
    Pending,
    /// Larger than the path takes at present, or than UDP does.
    #[error("the payload is larger than the path takes")]
    TooLarge,
    /// There is no room at present; [`TunnelEvent::DatagramsUnblocked`] follows.
    #[error("there is no room to send")]
    Blocked,
}

impl From<DatagramError> for TunnelSendError {
    fn from(error: DatagramError) -> Self {
        match error {
            DatagramError::Pending => Self::Pending,
            DatagramError::TooLarge | DatagramError::TooLargeForPath => Self::TooLarge,
            DatagramError::Blocked => Self::Blocked,
            DatagramError::Gone | DatagramError::Disabled => Self::Gone,
        }
    }
}

/// Why bytes of TCP were not written or read.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
pub enum TunnelIoError {
    /// The tunnel is over, or carries no TCP.
    #[error("the tunnel is gone")]
    Gone,
    /// The tunnel is not open yet.
    #[error("the tunnel is not open yet")]
    Pending,
    /// This side has ended its bytes.
    #[error("the end was written before")]
    Finished,
    /// Bytes were offered that were not taken, and offered no more: the peer has been
    /// promised them, so the tunnel was reset.
    #[error("bytes that were offered are missing")]
    Promised,
    /// The peer aborted: its TCP connection was reset.
    #[error("reset by the peer")]
    Reset,
}

impl From<WriteError> for TunnelIoError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped(_) => Self::Reset,
            WriteError::Finished | WriteError::Reset => Self::Finished,
            _ => Self::Gone,
        }
    }
}

/// What cancelling a start did.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Cancelled {
    /// The tunnel was pending, and is over.
    Pending,
    /// There was nothing to cancel.
    Unknown,
    /// Not done: the tunnel is open, and is to be closed instead.
    Active,
}

/// A tunnel in numbers.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct TunnelStats {
    /// Payloads or bytes of TCP that came, in bytes.
    pub bytes_received: u64,
    /// The same that were sent.
    pub bytes_sent: u64,
    /// UDP payloads that came.
    pub received: u64,
    /// UDP payloads that were sent.
    pub sent: u64,
    /// UDP payloads, and others, that were dropped.
    pub drops: Drops,
}

/// What was dropped, by the reason.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Drops {
    /// Came before the tunnel was open, beyond the limit.
    pub early: u64,
    /// Of a context that nobody has registered.
    pub unknown_context: u64,
    /// Without a whole context id.
    pub no_context: u64,
    /// Nobody took them in time.
    pub overflowed: u64,
    /// Too large for the path or for UDP.
    pub too_large: u64,
    /// There was no room to send.
    pub blocked: u64,
}

impl std::ops::AddAssign for Drops {
    fn add_assign(&mut self, other: Self) {
        self.early += other.early;
        self.unknown_context += other.unknown_context;
        self.no_context += other.no_context;
        self.overflowed += other.overflowed;
        self.too_large += other.too_large;
        self.blocked += other.blocked;
    }
}
