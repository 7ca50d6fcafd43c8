//! WebTransport: asking for sessions, and one session.

use bytes::Bytes;
use http::StatusCode;

use super::super::command::Command;
use super::Access;
use crate::head::ResponseHead;
use crate::id::{Dir, SessionKey, StreamKey};
use crate::transport::Transport;
use crate::webtransport::dialect::{Negotiated, NegotiationFailure};
use crate::webtransport::{
    AcceptError, ConnectAnswer, ConnectRequest, OpenSessionError, OpenStreamError, RejectError,
    SessionError, SessionStats,
};

impl<T: Transport> Access<'_, T> {
    /// Asks for a WebTransport session (client). The request is never early data and
    /// waits for the SETTINGS of this very connection, whatever an earlier one to the
    /// same server has announced.
    ///
    /// # Errors
    /// [`OpenSessionError`]; nothing was sent.
    pub fn open_session(
        &mut self,
        request: &ConnectRequest,
    ) -> Result<SessionKey, OpenSessionError> {
        self.shell.state.may_open()?;
        let call = self
            .shell
            .noted(|| Command::OpenSession(Box::new(request.clone())));
        self.run(call, |sessions, cx| sessions.open(cx, request))
    }

    /// Whether a session could be opened now, and why not (client).
    ///
    /// # Errors
    /// The [`OpenSessionError`] that [`Self::open_session`] would give.
    pub fn may_open_session(&self) -> Result<(), OpenSessionError> {
        self.shell.state.may_open_session(self.t)
    }

    /// What both sides agreed on for sessions.
    ///
    /// # Errors
    /// [`NegotiationFailure`] names everything that is missing, on either side.
    pub fn negotiated(&self) -> Result<Negotiated, NegotiationFailure> {
        self.shell
            .state
            .sessions
            .negotiate(&self.shell.state.h3, self.t)
    }

    /// A WebTransport session. Whether there is one under this key is told by what is
    /// done with it.
    pub fn webtransport(&mut self, session: SessionKey) -> WebTransport<'_, T> {
        WebTransport {
            access: self.reborrow(),
            key: session,
        }
    }
}

/// One WebTransport session of a borrowed connection. Its streams are used by
/// [`Access::send`] and [`Access::recv`], its datagrams by [`Access::send_datagram`] and
/// [`Access::recv_datagram`].
#[derive(Debug)]
pub struct WebTransport<'a, T> {
    access: Access<'a, T>,
    key: SessionKey,
}

impl<T: Transport> WebTransport<'_, T> {
    /// Accepts the session that was requested (server).
    ///
    /// # Errors
    /// [`AcceptError`]; nothing was sent.
    pub fn accept(&mut self, answer: &ConnectAnswer) -> Result<(), AcceptError> {
        let session = self.key;
        let call = || Command::AcceptSession(session, Box::new(answer.clone()));
        let call = self.access.shell.noted(call);
        self.access
            .run(call, |sessions, cx| sessions.accept(cx, session, answer))
    }

    /// Rejects the session that was requested with a status of 300 to 599 (server). The
    /// session is gone; no `Closed` event follows.
    ///
    /// # Errors
    /// [`RejectError`]; nothing was sent.
    pub fn reject(&mut self, status: StatusCode) -> Result<(), RejectError> {
        self.reject_with(&ResponseHead::new(status), Bytes::new())
    }

    /// As [`Self::reject`], with fields and content that say why. The content is held
    /// until the peer takes it: keep it short.
    ///
    /// # Errors
    /// [`RejectError`]; nothing was sent.
    pub fn reject_with(
        &mut self,
        head: &ResponseHead,
        content: impl Into<Bytes>,
    ) -> Result<(), RejectError> {
        let (session, content) = (self.key, content.into());
        let call = || Command::RejectSession(session, Box::new(head.clone()), content.clone());
        let call = self.access.shell.noted(call);
        self.access.run(call, |sessions, cx| {
            sessions.reject(cx, session, head, content)
        })
    }

    /// Asks the peer to wind the session down (WT_DRAIN_SESSION). Repeating it is
    /// harmless.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn drain(&mut self) -> Result<(), SessionError> {
        let session = self.key;
        let call = self.access.shell.noted(|| Command::DrainSession(session));
        self.access
            .run(call, |sessions, cx| sessions.drain(cx, session))
    }

    /// Ends the session: code and reason reach the peer, its streams are reset, and what
    /// the peer has not read of them is lost, acknowledged or not. `Closed` is queued as the
    /// session's last event. O(streams of the session).
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn close(&mut self, code: u32, reason: &str) -> Result<(), SessionError> {
        let session = self.key;
        let call = || Command::CloseSession(session, code, reason.to_owned());
        let call = self.access.shell.noted(call);
        self.access.run(call, |sessions, cx| {
            sessions.close(cx, session, code, reason)
        })
    }

    /// Opens a stream in the established session. Its header goes out at once.
    ///
    /// # Errors
    /// [`OpenStreamError`].
    pub fn open_stream(&mut self, dir: Dir) -> Result<StreamKey, OpenStreamError> {
        if self.access.shell.is_closed() {
            return Err(OpenStreamError::Closed);
        }
        let session = self.key;
        let call = self
            .access
            .shell
            .noted(|| Command::OpenStream(session, dir));
        self.access
            .run(call, |sessions, cx| sessions.open_stream(cx, session, dir))
    }

    /// What it has counted; `None` when it is over.
    #[must_use]
    pub fn stats(&self) -> Option<SessionStats> {
        let state = &self.access.shell.state;
        state.sessions.stats(&state.h3, self.key)
    }
}
