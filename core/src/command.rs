//! The control plane as data: what can wait in a queue, be recorded and
//! replayed, or be made up by a fuzzer. Bytes do not pass through here.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use thiserror::Error;

use crate::access::Access;
use crate::code::Code;
use crate::error::{Gone, OpenError, ResetError, SendError, SessionError};
use crate::head::{ConnectAnswer, ConnectRequest, End, RequestHead, ResponseHead};
use crate::id::{Dir, SessionKey, StreamKey};
use crate::transport::Transport;
use crate::wire::priority::Priority;

/// One thing to do on a connection: each variant is the [`Access`] method of
/// the same name.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// [`Access::request`]; replies [`Reply::Stream`].
    Request(Box<RequestHead>, End),
    /// [`Access::respond`].
    Respond(StreamKey, Box<ResponseHead>, End),
    /// [`Access::trailers`].
    Trailers(StreamKey, Box<HeaderMap>),
    /// [`Access::set_priority`].
    SetPriority(StreamKey, Priority),
    /// [`Access::open_session`]; replies [`Reply::Session`].
    OpenSession(Box<ConnectRequest>),
    /// [`Access::accept_session`].
    AcceptSession(SessionKey, Box<ConnectAnswer>),
    /// [`Access::reject_session`].
    RejectSession(SessionKey, StatusCode),
    /// [`Access::drain_session`].
    DrainSession(SessionKey),
    /// [`Access::close_session`].
    CloseSession(SessionKey, u32, String),
    /// [`Access::open_stream`]; replies [`Reply::Stream`].
    OpenStream(SessionKey, Dir),
    /// [`Access::enable_datagrams`].
    EnableDatagrams(StreamKey),
    /// `finish` of the sending half.
    Finish(StreamKey),
    /// `reset` of the sending half.
    Reset(StreamKey, u64),
    /// `stop` of the receiving half.
    Stop(StreamKey, u64),
    /// `set_order` of the sending half.
    SetOrder(StreamKey, i32),
    /// `set_group` of the sending half.
    SetGroup(StreamKey, u32),
    /// [`Access::drain`].
    Drain(Instant),
    /// [`Access::close`].
    Close(Code, Bytes),
}

/// What a command made.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    /// Nothing with a name.
    Done,
    /// A stream.
    Stream(StreamKey),
    /// A session.
    Session(SessionKey),
}

/// Why a command had no effect.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
pub enum CommandError {
    /// The connection is over or never was.
    #[error("the connection is gone")]
    NoConnection,
    /// Nothing was opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No head, trailers or end was sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The session did not change.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The stream was not reset or stopped.
    #[error(transparent)]
    Reset(#[from] ResetError),
    /// The stream or session is gone.
    #[error("{Gone}")]
    Gone,
}

impl From<Gone> for CommandError {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// [`CommandError`], with the error of the method the command stands for.
    pub fn apply<T: Transport>(self, to: &mut Access<'_, T>) -> Result<Reply, CommandError> {
        match self {
            Self::Request(head, end) => return Ok(Reply::Stream(to.request(&head, end)?)),
            Self::OpenSession(request) => return Ok(Reply::Session(to.open_session(&request)?)),
            Self::OpenStream(session, dir) => {
                return Ok(Reply::Stream(to.open_stream(session, dir)?));
            }
            Self::Respond(stream, head, end) => to.respond(stream, &head, end)?,
            Self::Trailers(stream, trailers) => to.trailers(stream, &trailers)?,
            Self::SetPriority(stream, priority) => to.set_priority(stream, priority)?,
            Self::AcceptSession(session, answer) => to.accept_session(session, &answer)?,
            Self::RejectSession(session, status) => to.reject_session(session, status)?,
            Self::DrainSession(session) => to.drain_session(session)?,
            Self::CloseSession(session, code, reason) => {
                to.close_session(session, code, &reason)?;
            }
            Self::EnableDatagrams(stream) => to.enable_datagrams(stream)?,
            Self::Finish(stream) => to.send(stream)?.finish()?,
            Self::Reset(stream, code) => to.send(stream)?.reset(code)?,
            Self::Stop(stream, code) => to.recv(stream)?.stop(code)?,
            Self::SetOrder(stream, order) => to.send(stream)?.set_order(order),
            Self::SetGroup(stream, group) => to.send(stream)?.set_group(group),
            Self::Drain(until) => to.drain(until),
            Self::Close(code, reason) => to.close(code, reason),
        }
        Ok(Reply::Done)
    }
}
