//! What an application does with a connection, as data. [`Command`] is the control
//! plane: what can wait in a queue, or be made up by a fuzzer. [`Call`] is that and
//! the bytes, as an [`Observer`](crate::connection::Observer) is told.

use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use thiserror::Error;

use super::quic::{QuicCall, QuicOutcome};
use crate::code::Code;
use crate::error::{
    DatagramError, Gone, ReadError, RequestError, ResetError, SendError, WriteError,
};
use crate::fault::Fault;
use crate::head::{End, RequestHead, ResponseHead};
use crate::id::{Dir, SessionKey, StreamKey};
use crate::transport::Read;
use crate::webtransport::{
    AcceptError, ConnectAnswer, ConnectRequest, OpenSessionError, OpenStreamError, RejectError,
    SessionError,
};
use crate::wire::priority::Priority;

/// One thing to do on a connection: each variant is the [`Access`](super::Access) method of
/// the same name.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// [`Access::request`](super::Access::request); replies [`Reply::Stream`].
    Request(Box<RequestHead>, End),
    /// [`Access::respond`](super::Access::respond).
    Respond(StreamKey, Box<ResponseHead>, End),
    /// [`Access::trailers`](super::Access::trailers).
    Trailers(StreamKey, Box<HeaderMap>),
    /// [`Access::set_priority`](super::Access::set_priority).
    SetPriority(StreamKey, Priority),
    /// [`Access::open_session`](super::Access::open_session); replies [`Reply::Session`].
    OpenSession(Box<ConnectRequest>),
    /// [`WebTransport::accept`](super::WebTransport::accept).
    AcceptSession(SessionKey, Box<ConnectAnswer>),
    /// [`WebTransport::reject_with`](super::WebTransport::reject_with).
    RejectSession(SessionKey, Box<ResponseHead>, Bytes),
    /// [`WebTransport::drain`](super::WebTransport::drain).
    DrainSession(SessionKey),
    /// [`WebTransport::close`](super::WebTransport::close).
    CloseSession(SessionKey, u32, String),
    /// [`WebTransport::open_stream`](super::WebTransport::open_stream); replies [`Reply::Stream`].
    OpenStream(SessionKey, Dir),
    /// [`Access::open_claimed`](super::Access::open_claimed); replies [`Reply::Stream`].
    OpenClaimed(Dir, u64),
    /// [`Access::enable_datagrams`](super::Access::enable_datagrams).
    EnableDatagrams(StreamKey),
    /// [`Access::hold`](super::Access::hold).
    Hold(StreamKey),
    /// [`Access::release`](super::Access::release).
    Release(StreamKey),
    /// [`Access::set_paced`](super::Access::set_paced).
    SetPaced(StreamKey, bool),
    /// `finish` of the sending half.
    Finish(StreamKey),
    /// `reset` of the sending half.
    Reset(StreamKey, u64),
    /// `stop` of the receiving half.
    Stop(StreamKey, u64),
    /// `set_send_order` of the sending half.
    SetSendOrder(StreamKey, i32),
    /// `set_send_group` of the sending half.
    SetSendGroup(StreamKey, u32),
    /// [`Access::drain`](super::Access::drain).
    Drain(Instant),
    /// [`Access::close`](super::Access::close).
    Close(Code, Bytes),
    /// Something on a connection of raw QUIC; replies [`Reply::Quic`].
    Quic(Box<QuicCall>),
}

/// What a command made.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// Nothing with a name.
    Done,
    /// A stream.
    Stream(StreamKey),
    /// A session.
    Session(SessionKey),
    /// What a call on a connection of raw QUIC gave.
    Quic(QuicOutcome),
}

/// Why a command had no effect.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
pub enum CommandError {
    /// The connection is over or never was.
    #[error("the connection is gone")]
    NoConnection,
    /// No request was sent.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// No head, trailers or end was sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// No session was asked for.
    #[error(transparent)]
    OpenSession(#[from] OpenSessionError),
    /// No stream was opened in a session.
    #[error(transparent)]
    OpenStream(#[from] OpenStreamError),
    /// The session was not accepted.
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// The session was not turned down.
    #[error(transparent)]
    Reject(#[from] RejectError),
    /// The session was not drained or closed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The stream was not reset or stopped.
    #[error(transparent)]
    Reset(#[from] ResetError),
    /// There is no such stream or session.
    #[error(transparent)]
    Gone(#[from] Gone),
}

/// One call of an application.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Call {
    /// Something of the control plane.
    Command(Command),
    /// `write` of the sending half, with what was offered.
    Write(StreamKey, Vec<Bytes>),
    /// `read` of the receiving half: most bytes, and most chunks.
    Read(StreamKey, usize, usize),
    /// [`Access::send_datagram`](super::Access::send_datagram).
    SendDatagram(StreamKey, Bytes),
    /// [`Access::recv_datagram`](super::Access::recv_datagram).
    RecvDatagram(StreamKey),
}

impl From<Command> for Call {
    fn from(command: Command) -> Self {
        Self::Command(command)
    }
}

/// What a call gave.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Of [`Call::Command`].
    Command(Result<Reply, CommandError>),
    /// Bytes that were taken.
    Write(Result<usize, WriteError>),
    /// Chunks and bytes that were given.
    Read(Result<Read, ReadError>),
    /// Whether the datagram was sent.
    SendDatagram(Result<(), DatagramError>),
    /// Length of the datagram, if there was one.
    RecvDatagram(Option<usize>),
    /// Of [`Command::Quic`].
    Quic(QuicOutcome),
}

/// What the methods of [`Access`](super::Access) give, as an [`Observer`](crate::connection::Observer)
/// is told.
pub(crate) trait ToOutcome {
    fn outcome(&self) -> Outcome;
}

macro_rules! outcomes {
    ($($result:ty: $outcome:ident = $map:expr;)*) => {$(
        impl ToOutcome for $result {
            fn outcome(&self) -> Outcome {
                Outcome::$outcome($map(*self))
            }
        }
    )*};
}

outcomes! {
    (): Command = |()| Ok(Reply::Done);
    Result<StreamKey, RequestError>: Command = reply(Reply::Stream);
    Result<StreamKey, OpenStreamError>: Command = reply(Reply::Stream);
    Result<(), AcceptError>: Command = reply(|()| Reply::Done);
    Result<(), RejectError>: Command = reply(|()| Reply::Done);
    Result<SessionKey, OpenSessionError>: Command = reply(Reply::Session);
    Result<(), SendError>: Command = reply(|()| Reply::Done);
    Result<(), SessionError>: Command = reply(|()| Reply::Done);
    Result<(), ResetError>: Command = reply(|()| Reply::Done);
    Result<usize, WriteError>: Write = std::convert::identity;
    Result<(), DatagramError>: SendDatagram = std::convert::identity;
    // Stopping, and reading: what they reveal may be a fault of the peer.
    Result<bool, Fault>: Command = |stopped| match stopped {
        Ok(true) => Ok(Reply::Done),
        _ => Err(ResetError::Gone.into()),
    };
    Result<Result<Read, ReadError>, Fault>: Read = |read: Result<_, Fault>| {
        read.unwrap_or_else(|fault| match fault {
            Fault::Stream(_, why) | Fault::Connection(why) => Err(ReadError::Malformed(why)),
        })
    };
}

fn reply<R, E: Into<CommandError>>(
    name: impl Fn(R) -> Reply,
) -> impl Fn(Result<R, E>) -> Result<Reply, CommandError> {
    move |result| result.map(&name).map_err(Into::into)
}
