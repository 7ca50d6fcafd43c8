//! Behaviours of WebTransport sessions: a session's handler as callbacks.
//!
//! [`SessionRunner`] runs one session of a [`Connection`](crate::connection::Connection) as
//! [`Runner`](super::Runner) runs a connection: `handle`, `run`, `apply`. Streams are
//! active; what is not taken stays with the peer.

mod runner;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use thiserror::Error;

use super::action::{Actions, Failure};
use crate::error::{DatagramError, PeerCode, ResetError};
use crate::id::{Dir, SessionKey, StreamKey};
use crate::webtransport::{OpenStreamError, SessionClose, SessionError};

pub use runner::SessionRunner;

/// What a callback of a session gives.
pub type SessionResult = Result<Actions<SessionAction>, Failure>;

/// What a session does. Every callback but `stream` may be left out.
///
/// Each returns what is to be done, in order. One that fails closes the session with the
/// failure's code and reason, and nothing else of the connection; `terminate` follows.
pub trait SessionBehaviour {
    /// What the application tells it from outside.
    type Message: Send + 'static;

    /// The session is established: streams and datagrams may be sent.
    fn opened(&mut self, cx: &SessionContext) -> SessionResult {
        let _ = cx;
        Ok(Actions::new())
    }

    /// The peer opened a stream, or one of [`SessionAction::Open`] is.
    fn stream_opened(
        &mut self,
        cx: &SessionContext,
        stream: StreamKey,
        by_peer: bool,
    ) -> SessionResult {
        let _ = (cx, stream, by_peer);
        Ok(Actions::new())
    }

    /// A piece of what the peer sends on a stream, in order.
    ///
    /// # Errors
    /// The callback's own.
    fn stream(&mut self, cx: &SessionContext, stream: StreamKey, data: Bytes) -> SessionResult;

    /// The last piece of a stream, which may be empty. Whoever leaves it out is given it by
    /// [`Self::stream`].
    fn stream_fin(&mut self, cx: &SessionContext, stream: StreamKey, data: Bytes) -> SessionResult {
        self.stream(cx, stream, data)
    }

    /// The peer has abandoned what it was sending (`sending`), or does not want more of what
    /// this side sends.
    fn stream_aborted(
        &mut self,
        cx: &SessionContext,
        stream: StreamKey,
        sending: bool,
        code: PeerCode,
    ) -> SessionResult {
        let _ = (cx, stream, sending, code);
        Ok(Actions::new())
    }

    /// Both halves of a stream are over, or the session is: nothing more comes of it.
    fn stream_closed(&mut self, cx: &SessionContext, stream: StreamKey) -> SessionResult {
        let _ = (cx, stream);
        Ok(Actions::new())
    }

    /// A datagram arrived.
    fn datagram(&mut self, cx: &SessionContext, datagram: Bytes) -> SessionResult {
        let _ = (cx, datagram);
        Ok(Actions::new())
    }

    /// The application says something.
    fn message(&mut self, cx: &SessionContext, message: Self::Message) -> SessionResult {
        let _ = (cx, message);
        Ok(Actions::new())
    }

    /// The time of [`SessionAction::WakeAfter`] has come.
    fn timeout(&mut self, cx: &SessionContext) -> SessionResult {
        let _ = cx;
        Ok(Actions::new())
    }

    /// The peer asks to wind the session down.
    fn draining(&mut self, cx: &SessionContext) -> SessionResult {
        let _ = cx;
        Ok(Actions::new())
    }

    /// An action was not done. To go on is to return what is to be done; a failure stops the
    /// session.
    fn action_failed(&mut self, cx: &SessionContext, why: SessionActionError) -> SessionResult {
        let _ = (cx, why);
        Ok(Actions::new())
    }

    /// The session is over. The last callback, exactly once.
    fn terminate(&mut self, cx: &SessionContext, how: &Terminated) {
        let _ = (cx, how);
    }
}

/// What a callback of a session has done.
///
/// Of what ends the session, the strongest of a list counts, wherever it stands, when all
/// else of the list is done: `Close` and `Stop` before `Drain` before going on.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SessionAction {
    /// Opens a stream and begins it with these bytes, which may be none.
    Open(Dir, Bytes),
    /// Sends bytes on a stream, behind those that wait already.
    Send(StreamKey, Bytes),
    /// Ends the sending half when everything before has been sent.
    Finish(StreamKey),
    /// Abandons the sending half.
    Reset(StreamKey, u32),
    /// Wants no more of what the peer sends.
    StopSending(StreamKey, u32),
    /// Sends a datagram.
    Datagram(Bytes),
    /// Calls [`timeout`](SessionBehaviour::timeout) after so long. There is one time; a later
    /// action replaces it.
    WakeAfter(Duration),
    /// Asks the peer to wind the session down.
    Drain,
    /// Closes the session with a code and a reason of at most 1,024 bytes.
    Close(u32, String),
    /// Closes it with code 0 and no reason.
    Stop,
}

/// Why an action of a session was not done.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum SessionActionError {
    /// The stream is gone, has no such half, or that half is over.
    #[error("{0:?} is gone")]
    NoSuchStream(StreamKey),
    /// Too much waits to be sent on it.
    #[error("too much waits on {0:?}")]
    Queued(StreamKey),
    /// No stream was opened.
    #[error(transparent)]
    Open(#[from] OpenStreamError),
    /// A half was not ended.
    #[error("{0:?}: {1}")]
    Reset(StreamKey, ResetError),
    /// A datagram was not sent.
    #[error(transparent)]
    Datagram(#[from] DatagramError),
    /// The session was not drained or closed.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// How a session ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Terminated {
    /// It was established, or asked for. Cleanly, it has a code and a reason:
    /// [`SessionClose::Closed`].
    Closed(SessionClose),
    /// The server did not accept it (client).
    Rejected(StatusCode),
}

/// What a callback of a session can see.
#[derive(Copy, Clone, Debug)]
#[non_exhaustive]
pub struct SessionContext {
    /// The session.
    pub session: SessionKey,
    /// The time.
    pub now: Instant,
    /// Streams whose end has not been told.
    pub streams: usize,
}
