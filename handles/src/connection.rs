//! A connection: its state and its end.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::endpoint::{
    ConnectionInfo, ExportFailed, PathStats, PeerParameters, ResetStats,
};
use aqueduct_core::error::{CloseReason, RequestError};
use aqueduct_core::id::{ConnKey, Side};
use aqueduct_core::settings::Settings;
use aqueduct_core::stats::Stats;
use aqueduct_core::time::after;
use aqueduct_core::transport::EarlyData;
use aqueduct_core::webtransport::OpenSessionError;
use aqueduct_core::webtransport::dialect::{Negotiated, NegotiationFailure, Requirement};
use bytes::Bytes;
use rustls::pki_types::CertificateDer;

use crate::clock::now;
use crate::meter::Meter;
use crate::place::state_of;
use crate::shared::{Locked, Shared, Step, wait_for};

/// One connection, either side. Clones refer to the same connection.
///
/// Requests and sessions share it, in any number. Every handle that comes from
/// it (sessions, requests, streams) keeps it open; when the last one is dropped
/// the connection closes with H3_NO_ERROR, and what the peer has not
/// acknowledged by then is lost, as is what it has not read.
/// [`drain`](Self::drain) ends it without loss.
///
/// What is over keeps nothing open: when all handles that are left are those of sessions
/// that have ended, with their streams, and of requests that were read and delivered to
/// the end, the connection is drained, within 3 s.
#[derive(Debug)]
pub struct Connection(pub(crate) Arc<ConnHandle>);

/// What all handles of one connection share. Its drop is the last handle's.
pub(crate) struct ConnHandle {
    pub(crate) shared: Arc<Shared>,
    /// Place in the handles' table.
    pub(crate) at: usize,
    pub(crate) key: ConnKey,
}

impl fmt::Debug for ConnHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.key)
    }
}

impl ConnHandle {
    /// The first handle of an entry.
    pub(crate) fn new(shared: &Arc<Shared>, locked: &mut Locked<'_>, at: usize) -> Arc<Self> {
        let conn = locked.conn(at);
        conn.handle = true;
        Arc::new(Self {
            shared: shared.clone(),
            at,
            key: conn.key,
        })
    }

    pub(crate) fn lock(&self) -> Locked<'_> {
        self.shared.lock()
    }

    /// Tells of the datagrams that were dropped since it was told last.
    pub(crate) fn count_dropped(&self, meter: &Arc<dyn Meter>) {
        let stats = self.lock().peek(self.key, |core| core.stats());
        if let Some(stats) = stats {
            meter.dropped(&stats);
        }
    }
}

impl Drop for ConnHandle {
    fn drop(&mut self) {
        let mut locked = self.shared.lock();
        let conn = locked.conn(self.at);
        conn.handle = false;
        if conn.closed.is_some() {
            locked.state().remove_conn(self.at);
        } else if !conn.left {
            locked.core(self.key, |core| core.close(Code::H3_NO_ERROR, ""));
        }
    }
}

impl Clone for Connection {
    fn clone(&self) -> Self {
        Self::of(&self.0)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The very last handle closes the connection.
        let last = Arc::strong_count(&self.0) == 1;
        let mut locked = self.0.lock();
        locked.conn(self.0.at).users -= 1;
        if !last {
            locked.state().leave_unused(self.0.at);
        }
    }
}

impl Connection {
    /// One more handle of a connection that has some.
    pub(crate) fn of(handle: &Arc<ConnHandle>) -> Self {
        handle.lock().conn(handle.at).users += 1;
        Self(handle.clone())
    }

    /// The first handle of a connection.
    pub(crate) fn first(shared: &Arc<Shared>, locked: &mut Locked<'_>, at: usize) -> Self {
        locked.conn(at).users += 1;
        Self(ConnHandle::new(shared, locked, at))
    }

    /// Waits for the end of the handshake. Cancel safe.
    ///
    /// # Errors
    /// The [`CloseReason`] when it failed.
    pub async fn connected(&self) -> Result<(), CloseReason> {
        let at = self.0.at;
        wait_for(&self.0.shared, |locked| {
            let conn = locked.conn(at);
            match &conn.closed {
                Some(reason) => Step::Done(Err(reason.clone())),
                None if conn.connected => Step::Done(Ok(())),
                None => Step::Wait(state_of(at)),
            }
        })
        .await
    }

    /// Waits for the peer's SETTINGS. Cancel safe.
    ///
    /// # Errors
    /// The [`CloseReason`] when the connection ended before.
    pub async fn settings(&self) -> Result<Settings, CloseReason> {
        let conn = &self.0;
        wait_for(&conn.shared, |locked| {
            let settings = locked.peek(conn.key, |core| core.peer_settings().cloned());
            if let Some(settings) = settings.flatten() {
                return Step::Done(Ok(settings));
            }
            match &locked.conn(conn.at).closed {
                Some(reason) => Step::Done(Err(reason.clone())),
                None => Step::Wait(state_of(conn.at)),
            }
        })
        .await
    }

    /// Whether a session could be asked for, and why not (client). Before the
    /// peer's [`settings`](Self::settings) the answer is that they are missing.
    ///
    /// # Errors
    /// What [`open_session`](Self::open_session) would refuse with, or wait for.
    pub fn may_open_session(&self) -> Result<(), OpenSessionError> {
        let ask = self
            .0
            .lock()
            .peek(self.0.key, |core| core.may_open_session());
        ask.unwrap_or(Err(RequestError::Closed.into()))
    }

    /// What both sides agreed on for sessions: dialect and flow control. Before the
    /// peer's [`settings`](Self::settings) they are what is missing, as after the
    /// end.
    ///
    /// # Errors
    /// [`NegotiationFailure`] names everything that is missing, on either side.
    pub fn negotiated(&self) -> Result<Negotiated, NegotiationFailure> {
        let mut locked = self.0.lock();
        let conn = locked.conn(self.0.at);
        let (peer, over) = (conn.side.peer(), conn.closed.is_some());
        match locked.peek(self.0.key, |core| core.negotiated()) {
            Some(agreed) if !over => agreed,
            _ => Err(NegotiationFailure::new([(peer, Requirement::Settings)])),
        }
    }

    /// Waits for the end of the connection and tells why it ended and who ended
    /// it. Cancel safe; any number of tasks may wait.
    pub async fn closed(&self) -> CloseReason {
        let at = self.0.at;
        wait_for(&self.0.shared, |locked| match &locked.conn(at).closed {
            Some(reason) => Step::Done(reason.clone()),
            None => Step::Wait(state_of(at)),
        })
        .await
    }

    /// Why the connection ended, if it has. Kept after the end.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.0.lock().conn(self.0.at).closed.clone()
    }

    /// What became of early data (0-RTT): accepted, rejected, or none was sent; `None` before
    /// the handshake is complete, as long as that is not known. Kept after the end.
    #[must_use]
    pub fn early_data(&self) -> Option<EarlyData> {
        self.0.lock().conn(self.0.at).early
    }

    /// Whether requests go out as early data at present (client): the handshake is not
    /// complete, and the connection began with a ticket that allows them. Which do,
    /// [`Early`](aqueduct_core::head::Early) says, a value of which may be among a request's
    /// extensions; all others wait for the handshake.
    #[must_use]
    pub fn may_send_early(&self) -> bool {
        let may = self.0.lock().peek(self.0.key, |core| core.may_send_early());
        may.unwrap_or(false)
    }

    /// Waits until either side has begun to wind the connection down with
    /// GOAWAY and tells which; `None` when it ended otherwise. Cancel safe.
    pub async fn draining(&self) -> Option<Side> {
        let at = self.0.at;
        wait_for(&self.0.shared, |locked| {
            let conn = locked.conn(at);
            if conn.draining.is_some() || conn.closed.is_some() {
                Step::Done(conn.draining)
            } else {
                Step::Wait(state_of(at))
            }
        })
        .await
    }

    /// Winds the connection down: GOAWAY, a drain request to every session, nothing
    /// new. A client closes with H3_NO_ERROR when it has read all answers, when it
    /// drains as when its server does; a server waits for that, since it knows what has
    /// arrived and not what was read. It closes itself what it has never answered on, and
    /// after `limit` everything: sessions that are left with code 0, and the connection
    /// when they have ended, at the latest 1 s later. Returns at once: see
    /// [`closed`](Self::closed).
    pub fn drain(&self, limit: Duration) {
        self.0
            .lock()
            .core(self.0.key, |core| core.drain(after(now(), limit)));
    }

    /// Closes the connection at once; streams and sessions on it end, and what the peer
    /// has not read is lost, [acknowledged or not](crate#acknowledged-is-not-read):
    /// [`drain`](Self::drain) ends it without loss. Returns before the peer knows: see
    /// [`closed`](Self::closed) and the endpoint's `wait_idle`.
    pub fn close(&self, code: Code, reason: impl Into<Bytes>) {
        self.0
            .lock()
            .core(self.0.key, |core| core.close(code, reason));
    }

    /// Which end this is.
    #[must_use]
    pub fn side(&self) -> Side {
        self.0.lock().conn(self.0.at).side
    }

    /// What the connection has counted; `None` some time after the end.
    #[must_use]
    pub fn stats(&self) -> Option<Stats> {
        self.0.lock().peek(self.0.key, |core| core.stats())
    }

    /// Requests and sessions of the client's that wait to be accepted or have handles
    /// (server); `None` some time after the end. See the [limits](crate#limits).
    #[must_use]
    pub fn open_requests(&self) -> Option<usize> {
        self.0.lock().peek(self.0.key, |core| core.open_requests())
    }

    /// Times the handles of this connection had taken in their share and so waited for
    /// the driver to serve others: see the [limits](crate#limits).
    #[must_use]
    pub fn rests(&self) -> u64 {
        self.0.lock().conn(self.0.at).rests
    }

    /// Round-trip time as QUIC estimates it; `None` some time after the end.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.0.lock().info(self.0.key, |info| info.rtt())
    }

    /// Path and traffic in numbers; `None` some time after the end.
    #[must_use]
    pub fn path(&self) -> Option<PathStats> {
        self.0.lock().info(self.0.key, |info| info.path())
    }

    /// The peer's address at present; it changes when a client migrates. `None`
    /// some time after the end.
    #[must_use]
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.0.lock().info(self.0.key, |info| info.remote_address())
    }

    /// The local address the peer used, where the socket tells it (server).
    #[must_use]
    pub fn local_ip(&self) -> Option<IpAddr> {
        self.0
            .lock()
            .info(self.0.key, |info| info.local_ip())
            .flatten()
    }

    /// The application protocol that TLS agreed on, once known.
    #[must_use]
    pub fn alpn(&self) -> Option<Vec<u8>> {
        self.0.lock().info(self.0.key, |info| info.alpn()).flatten()
    }

    /// The name the client asked for, if it did and once known.
    #[must_use]
    pub fn server_name(&self) -> Option<String> {
        self.0
            .lock()
            .info(self.0.key, |info| info.server_name())
            .flatten()
    }

    /// The peer's certificates, end entity first, once known; empty when it has
    /// shown none.
    #[must_use]
    pub fn peer_certificates(&self) -> Vec<CertificateDer<'static>> {
        self.0
            .lock()
            .info(self.0.key, |info| info.peer_certificates())
            .unwrap_or_default()
    }

    /// The peer's QUIC transport parameters, once the handshake is complete.
    #[must_use]
    pub fn peer_parameters(&self) -> Option<PeerParameters> {
        self.0
            .lock()
            .info(self.0.key, |info| info.peer_parameters())
            .flatten()
    }

    /// RESET_STREAM_AT frames, and the resets that they were for; `None`
    /// some time after the end.
    #[must_use]
    pub fn resets(&self) -> Option<ResetStats> {
        self.0.lock().info(self.0.key, |info| info.resets())
    }

    /// Keying material derived from the TLS session (RFC 8446 §7.5), of
    /// `out.len()` bytes.
    ///
    /// # Errors
    /// [`ExportFailed`] before the handshake is complete, after the end, and when
    /// `out` is longer than the hash allows.
    pub fn export_keying_material(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportFailed> {
        let export = |info: ConnectionInfo<'_>| info.export_keying_material(out, label, context);
        self.0
            .lock()
            .info(self.0.key, export)
            .unwrap_or(Err(ExportFailed))
    }
}
