//! What an application does with a connection: requests, sessions, streams,
//! datagrams, shutdown. Each file has one concern.

mod datagrams;
mod http;
mod streams;
mod webtransport;

use std::time::Instant;

use bytes::Bytes;

use super::command::{Call, ToOutcome};
use super::observer::Watched;
use super::shell::Shell;
use crate::code::Code;
use crate::error::{CloseReason, Gone};
use crate::h3::connection::H3;
use crate::h3::streams::Slot;
use crate::id::{Side, StreamKey};
use crate::session::{Cx, Sessions};
use crate::stats::Stats;
use crate::transport::{EarlyData, Transport};
use crate::wire::settings::Settings;

pub use self::streams::{RecvStream, SendStream};
pub use self::webtransport::WebTransport;

/// A connection borrowed together with its transport.
#[derive(Debug)]
pub struct Access<'a, T> {
    shell: &'a mut Shell,
    t: &'a mut T,
    now: Instant,
}

impl<'a, T: Transport> Access<'a, T> {
    pub(super) fn new(shell: &'a mut Shell, t: &'a mut T, now: Instant) -> Self {
        Self { shell, t, now }
    }
}

impl<T: Transport> Access<'_, T> {
    /// Winds the connection down: GOAWAY, WT_DRAIN_SESSION to each session, nothing
    /// new. A client closes with H3_NO_ERROR when it has read all answers, on a server's
    /// GOAWAY as on its own. A server waits for that, because what was acknowledged may
    /// still be unread: it closes by itself, soon, only what it has never answered on.
    /// When `until` has come, sessions that are left are closed with code 0, and the
    /// connection with H3_NO_ERROR: at once, or, with sessions, when they have ended or
    /// 1 s later. Repeating it can only bring `until` forward.
    pub fn drain(&mut self, until: Instant) {
        self.shell.drain(self.t, self.now, until);
    }

    /// Closes the connection at once: the peer loses what it has not read, acknowledged or
    /// not ([`drain`](Self::drain) waits), and sessions are told no code. No effect on one
    /// that is closed. The reason is for people, best in UTF-8; as much of it as fits a
    /// packet reaches the peer.
    pub fn close(&mut self, code: Code, reason: impl Into<Bytes>) {
        self.shell.close(self.t, self.now, code, reason.into());
    }

    /// The peer's SETTINGS, once they arrived.
    #[must_use]
    pub fn peer_settings(&self) -> Option<&Settings> {
        self.h3().peer_settings.as_ref()
    }

    /// What the connection has counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.h3().stats()
    }

    /// Streams of every kind that are in the tables at present.
    #[must_use]
    pub fn live_streams(&self) -> usize {
        self.h3().table.len()
    }

    /// What became of early data (0-RTT); `None` before the handshake is complete, as long
    /// as that is not known.
    #[must_use]
    pub fn early_data(&self) -> Option<EarlyData> {
        self.shell.state.early_data()
    }

    /// Whether requests may be sent as early data at present (client): the handshake is not
    /// complete, and the connection began with a ticket that allows them.
    /// [`Self::request`] refuses none then that [may be early](crate::head::Early).
    #[must_use]
    pub fn may_send_early(&self) -> bool {
        self.shell.state.may_send_early()
    }

    /// Why the connection ended, if it has; for as long as it can be looked at.
    #[must_use]
    pub fn close_reason(&self) -> Option<&CloseReason> {
        self.shell.state.close_reason()
    }

    /// Which end this is.
    #[must_use]
    pub fn side(&self) -> Side {
        self.h3().side
    }

    // ---- for the files of this folder ----------------------------------------------

    /// An operation of a session.
    fn run<R: ToOutcome>(
        &mut self,
        call: Option<Box<Call>>,
        work: impl FnOnce(&mut Sessions, &mut Cx<'_, Watched<'_, T>>) -> R,
    ) -> R {
        self.shell.run(self.t, self.now, call, work)
    }

    /// An operation of HTTP alone.
    fn run_http<R: ToOutcome>(
        &mut self,
        call: Option<Box<Call>>,
        work: impl FnOnce(&mut H3, &mut Watched<'_, T>) -> R,
    ) -> R {
        self.shell.run_http(self.t, self.now, call, work)
    }

    fn reborrow(&mut self) -> Access<'_, T> {
        Access {
            shell: self.shell,
            t: self.t,
            now: self.now,
        }
    }

    fn h3(&self) -> &H3 {
        &self.shell.state.h3
    }

    fn slot(&self, stream: StreamKey) -> Result<&Slot, Gone> {
        let table = &self.h3().table;
        let gone = || match table.knew(stream) {
            true => Gone::Over,
            false => Gone::Unknown,
        };
        table.get(stream).ok_or_else(gone)
    }
}
