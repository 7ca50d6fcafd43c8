//! A look at a connection: what it has counted, what it allows, and the datagrams that
//! wait, which are taken. None of it gives the connection anything to send or to tell;
//! once a look has found no datagram, the next one that comes is told again.

use std::time::Instant;

use bytes::Bytes;

use super::shell::Shell;
use crate::error::CloseReason;
use crate::id::{SessionKey, Side, StreamKey};
use crate::stats::Stats;
use crate::transport::{EarlyData, Transport};
use crate::webtransport::dialect::{Negotiated, NegotiationFailure};
use crate::webtransport::{OpenSessionError, SessionStats};
use crate::wire::settings::Settings;

/// A connection borrowed together with its transport, to be looked at.
#[derive(Debug)]
pub struct Peek<'a, T> {
    shell: &'a mut Shell,
    t: &'a mut T,
    now: Instant,
}

impl<'a, T: Transport> Peek<'a, T> {
    pub(super) fn new(shell: &'a mut Shell, t: &'a mut T, now: Instant) -> Self {
        Self { shell, t, now }
    }

    /// As [`Access::recv_datagram`](super::Access::recv_datagram).
    pub fn recv_datagram(&mut self, stream: impl Into<StreamKey>) -> Option<Bytes> {
        self.shell.pop_datagram(self.t, self.now, stream.into())
    }

    /// Whether HTTP datagrams can be sent on the connection at present: both sides have
    /// said so, and QUIC carries them.
    #[must_use]
    pub fn has_datagrams(&self) -> bool {
        self.shell.h3().datagrams_enabled() && self.t.max_datagram_size().is_some()
    }

    /// As [`Access::max_datagram_size`](super::Access::max_datagram_size).
    #[must_use]
    pub fn max_datagram_size(&self, stream: impl Into<StreamKey>) -> Option<usize> {
        let state = &self.shell.state;
        let sessions = &state.sessions;
        sessions.max_datagram_size(&state.h3, self.t, stream.into())
    }

    /// As [`Access::datagrams_overflowed`](super::Access::datagrams_overflowed).
    #[must_use]
    pub fn datagrams_overflowed(&self, stream: impl Into<StreamKey>) -> u64 {
        let state = &self.shell.state;
        let sessions = &state.sessions;
        sessions.datagrams_overflowed(&state.h3, stream.into())
    }

    /// Bytes of a message's content that are still to be taken: as far as content-length
    /// or the end tells, `None` before. What has been given up has none.
    #[must_use]
    pub fn content_left(&self, stream: StreamKey) -> Option<u64> {
        self.shell.h3().content_left(stream).0
    }

    /// Whether all of a message's content has been taken and its end has come, though
    /// nobody may have read so far.
    #[must_use]
    pub fn is_content_over(&self, stream: StreamKey) -> bool {
        self.shell.h3().content_left(stream).1
    }

    /// What a session has counted; `None` when it is over.
    #[must_use]
    pub fn session_stats(&self, session: SessionKey) -> Option<SessionStats> {
        let state = &self.shell.state;
        state.sessions.stats(&state.h3, session)
    }

    /// As [`Access::may_open_session`](super::Access::may_open_session).
    ///
    /// # Errors
    /// What [`Access::open_session`](super::Access::open_session) would refuse with.
    pub fn may_open_session(&self) -> Result<(), OpenSessionError> {
        self.shell.state.may_open_session(self.t)
    }

    /// As [`Access::negotiated`](super::Access::negotiated).
    ///
    /// # Errors
    /// [`NegotiationFailure`] names everything that is missing, on either side.
    pub fn negotiated(&self) -> Result<Negotiated, NegotiationFailure> {
        let state = &self.shell.state;
        state.sessions.negotiate(&state.h3, self.t)
    }

    /// The peer's SETTINGS, once they arrived.
    #[must_use]
    pub fn peer_settings(&self) -> Option<&Settings> {
        self.shell.h3().peer_settings.as_ref()
    }

    /// What the connection has counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shell.h3().stats()
    }

    /// As [`Access::open_requests`](super::Access::open_requests).
    #[must_use]
    pub fn open_requests(&self) -> usize {
        self.shell.h3().open_requests()
    }

    /// Streams of every kind that are in the tables at present.
    #[must_use]
    pub fn live_streams(&self) -> usize {
        self.shell.h3().table.len()
    }

    /// As [`Access::may_send_early`](super::Access::may_send_early).
    #[must_use]
    pub fn may_send_early(&self) -> bool {
        self.shell.state.may_send_early()
    }

    /// As [`Access::early_data`](super::Access::early_data).
    #[must_use]
    pub fn early_data(&self) -> Option<EarlyData> {
        self.shell.state.early_data()
    }

    /// As [`Access::close_reason`](super::Access::close_reason).
    #[must_use]
    pub fn close_reason(&self) -> Option<&CloseReason> {
        self.shell.state.close_reason()
    }

    /// Which end this is.
    #[must_use]
    pub fn side(&self) -> Side {
        self.shell.h3().side
    }
}
