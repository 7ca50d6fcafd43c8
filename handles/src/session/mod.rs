//! An established WebTransport session.

#[cfg(feature = "_polled")]
mod polled;
mod request;

use std::fmt;
use std::sync::{Arc, LazyLock};

use aqueduct_core::connection::Access;
use aqueduct_core::endpoint::{ExportFailed, QuinnTransport};
use aqueduct_core::error::DatagramError as CoreDatagram;
use aqueduct_core::id::{Dir, SessionKey, StreamId};
use aqueduct_core::webtransport::dialect::Dialect;
use aqueduct_core::webtransport::{
    self, ConnectAnswer, SessionClose, SessionStats, SessionTransport, exporter,
};
use bytes::Bytes;
use http::{HeaderMap, Uri};

use crate::connection::Connection;
use crate::error::{DatagramError, OpenStreamError, SessionError};
use crate::half::Half;
use crate::place::{Place, SessionTopic};
use crate::share::PRICE;
use crate::shared::{Locked, Step, wait_for};
use crate::stream::{Make, RecvStream, SendStream, both, receiving, sending};
use crate::table::{RecvOver, SendOver, Stream};
use crate::wait::{Failed, open_step};

pub(crate) use request::PendingSession;
pub use request::SessionRequest;

/// An established WebTransport session. Clones refer to the same session.
///
/// Dropping the last clone closes the session with code 0 and no reason; its
/// streams end with it. The connection and other sessions go on.
#[derive(Clone)]
pub struct Session(
    Arc<SessionHandle>,
    #[cfg(feature = "_polled")] polled::Polled,
);

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.0).finish()
    }
}

struct SessionHandle {
    half: Half,
    uri: Uri,
    /// What the answer says, if it says anything.
    answer: Option<Box<ConnectAnswer>>,
    dialect: Option<Dialect>,
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?}", self.key(), self.half.conn.key)
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        // A session that has ended otherwise needs no close.
        let _ = self.close(0, "");
        let mut locked = self.half.conn.lock();
        let stream = locked.stream(self.half.at);
        stream.send_over.get_or_insert(SendOver::Finished);
        stream.recv_over.get_or_insert(RecvOver::Finished);
    }
}

impl SessionHandle {
    fn key(&self) -> SessionKey {
        SessionKey::new(self.half.key)
    }

    fn close(&self, code: u32, reason: &str) -> Result<(), SessionError> {
        let conn = &self.half.conn;
        let close = conn.lock().core(conn.key, |core| {
            core.webtransport(self.key()).close(code, reason)
        });
        close.unwrap_or(Err(SessionError::Gone))
    }

    fn place(&self, topic: SessionTopic) -> Place {
        Place::Session(self.half.at, topic)
    }

    fn end(&self, locked: &mut Locked<'_>) -> Option<SessionClose> {
        locked.ended(self.half.at)
    }

    /// One try to open a stream.
    fn open<T>(
        &self,
        locked: &mut Locked<'_>,
        dir: Dir,
        make: Make<T>,
    ) -> Step<Result<T, Failed<webtransport::OpenStreamError>>> {
        let half = &self.half;
        let conn = &half.conn;
        open_step(locked, conn.at, dir, Some(half.at), |locked| {
            let open = |core: &mut Access<'_, QuinnTransport<'_>>| {
                core.webtransport(self.key()).open_stream(dir)
            };
            let opened = locked.core_often(conn.key, open);
            let stream = opened.unwrap_or(Err(webtransport::OpenStreamError::Closed))?;
            let end = locked.stream(half.at).end.clone().unwrap_or_default();
            let entry = Stream::data(stream, end);
            let at = locked.conn(conn.at).insert_stream(entry);
            Ok(make(conn, locked, at, stream))
        })
    }

    /// One try to accept a stream.
    fn accept<T>(
        &self,
        locked: &mut Locked<'_>,
        dir: Dir,
        make: Make<T>,
    ) -> Step<Result<T, SessionClose>> {
        let half = &self.half;
        let place = self.place(SessionTopic::accept(dir));
        if let Some(wait) = locked.rest_at(place) {
            return wait;
        }
        let session = locked.stream(half.at).session.as_mut();
        if let Some(at) = session.and_then(|state| state.incoming(dir).pop_front()) {
            locked.take_share(half.at.conn, PRICE);
            let key = locked.conn(half.at.conn).streams[at].key;
            return Step::Done(Ok(make(&half.conn, locked, at, key)));
        }
        match self.end(locked) {
            Some(close) => Step::Done(Err(close)),
            None => Step::Wait(place),
        }
    }

    /// One try to send a datagram.
    fn send_datagram(
        &self,
        locked: &mut Locked<'_>,
        payload: &[u8],
    ) -> Step<Result<(), DatagramError>> {
        let send =
            |core: &mut Access<'_, QuinnTransport<'_>>| core.send_datagram(self.key(), payload);
        let sent = locked.core_often(self.half.conn.key, send);
        Step::Done(match sent.unwrap_or(Err(CoreDatagram::Gone)) {
            Ok(()) => Ok(()),
            Err(CoreDatagram::Blocked) => {
                return Step::Wait(self.place(SessionTopic::DatagramsUnblocked));
            }
            Err(CoreDatagram::TooLarge) => Err(DatagramError::TooLarge),
            Err(CoreDatagram::TooLargeForPath) => Err(DatagramError::TooLargeForPath),
            Err(CoreDatagram::Disabled) => Err(DatagramError::Disabled),
            Err(_) => {
                locked.pump();
                let end = self.end(locked);
                Err(end.map_or(DatagramError::Disabled, DatagramError::from))
            }
        })
    }

    /// One try to receive a datagram.
    fn recv_datagram(&self, locked: &mut Locked<'_>) -> Step<Result<Bytes, SessionClose>> {
        let half = &self.half;
        let place = self.place(SessionTopic::Datagrams);
        if let Some(wait) = locked.rest_at(place) {
            return wait;
        }
        let waiting = locked.peek(half.conn.key, |core| core.recv_datagram(self.key()));
        if let Some(datagram) = waiting.flatten() {
            locked.take_share(half.at.conn, PRICE);
            return Step::Done(Ok(datagram));
        }
        match self.end(locked) {
            Some(close) => Step::Done(Err(close)),
            None => Step::Wait(place),
        }
    }

    /// Whether the session has ended.
    fn closed(&self, locked: &mut Locked<'_>) -> Step<SessionClose> {
        match self.end(locked) {
            Some(close) => Step::Done(close),
            None => Step::Wait(self.place(SessionTopic::State)),
        }
    }
}

impl Session {
    fn new(handle: SessionHandle) -> Self {
        Self(
            Arc::new(handle),
            #[cfg(feature = "_polled")]
            polled::Polled::default(),
        )
    }

    /// What was asked for: scheme, authority and path.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.0.uri
    }

    /// The fields of the server's answer.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        static NONE: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);
        let answer = self.0.answer.as_ref();
        answer.map_or(&NONE, |answer| &answer.headers)
    }

    /// The application protocol the server selected, if one was negotiated
    /// (draft-ietf-webtrans-http3-16 §3.3).
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.0.answer.as_ref()?.protocol.as_deref()
    }

    /// Keying material of this session alone, of `out.len()` bytes: both sides get
    /// the same for the same label and context (draft-ietf-webtrans-http3-16 §4.9).
    ///
    /// # Errors
    /// [`ExportFailed`] when label or context is longer than 255 bytes, `out` longer
    /// than the hash of the TLS connection allows, and some time after the end.
    pub fn export_keying_material(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportFailed> {
        let context = exporter::context(self.id(), label, context).ok_or(ExportFailed)?;
        self.connection()
            .export_keying_material(out, exporter::LABEL, &context)
    }

    /// The session id: the CONNECT stream's QUIC stream id.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.0.key().id()
    }

    /// Its connection.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection::of(&self.0.half.conn)
    }

    /// Opens a stream that both sides write; waits for stream credit. The peer
    /// learns of it at once. Cancel safe: a dropped future has opened nothing.
    ///
    /// # Errors
    /// [`OpenStreamError`].
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), OpenStreamError> {
        let (shared, session) = (&self.0.half.conn.shared, &self.0);
        let opened = wait_for(shared, |locked| session.open(locked, Dir::Bi, both));
        Ok(opened.await?)
    }

    /// Opens a stream that this side writes; otherwise as [`open_bi`](Self::open_bi).
    ///
    /// # Errors
    /// [`OpenStreamError`].
    pub async fn open_uni(&self) -> Result<SendStream, OpenStreamError> {
        let (shared, session) = (&self.0.half.conn.shared, &self.0);
        let opened = wait_for(shared, |locked| session.open(locked, Dir::Uni, sending));
        Ok(opened.await?)
    }

    /// The next stream that the peer opened and both sides write. Many tasks may
    /// wait at once; cancel safe.
    ///
    /// Streams that wait to be accepted are bounded by QUIC's stream limit. A
    /// stream on which nothing is sent delays no other.
    ///
    /// # Errors
    /// How the session ended.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), SessionClose> {
        let (shared, session) = (&self.0.half.conn.shared, &self.0);
        wait_for(shared, |locked| session.accept(locked, Dir::Bi, both)).await
    }

    /// The next stream that the peer opened and writes alone; otherwise as
    /// [`accept_bi`](Self::accept_bi).
    ///
    /// # Errors
    /// How the session ended.
    pub async fn accept_uni(&self) -> Result<RecvStream, SessionClose> {
        let (shared, session) = (&self.0.half.conn.shared, &self.0);
        wait_for(shared, |locked| session.accept(locked, Dir::Uni, receiving)).await
    }

    /// Sends a datagram, one copy. It may be lost on the way.
    ///
    /// # Errors
    /// [`DatagramError`]; nothing was sent. [`DatagramError::Blocked`] means that
    /// the send buffer is full.
    pub fn send_datagram(&self, payload: &[u8]) -> Result<(), DatagramError> {
        match self.0.send_datagram(&mut self.0.half.conn.lock(), payload) {
            Step::Done(result) => result,
            Step::Wait(_) => Err(DatagramError::Blocked),
        }
    }

    /// Sends a datagram as soon as the send buffer has room. Cancel safe: a
    /// dropped future has sent nothing.
    ///
    /// # Errors
    /// [`DatagramError`] other than [`DatagramError::Blocked`]; nothing was sent.
    pub async fn send_datagram_wait(&self, payload: &[u8]) -> Result<(), DatagramError> {
        let shared = &self.0.half.conn.shared;
        wait_for(shared, |locked| self.0.send_datagram(locked, payload)).await
    }

    /// The oldest datagram that waits, or the next to arrive. Many tasks may
    /// wait at once; cancel safe.
    ///
    /// # Errors
    /// How the session ended.
    pub async fn recv_datagram(&self) -> Result<Bytes, SessionClose> {
        let shared = &self.0.half.conn.shared;
        wait_for(shared, |locked| self.0.recv_datagram(locked)).await
    }

    /// Largest payload of a datagram at present, in bytes; `None` when there are
    /// no datagrams on this session.
    #[must_use]
    pub fn max_datagram_size(&self) -> Option<usize> {
        let conn = &self.0.half.conn;
        conn.lock()
            .peek(conn.key, |core| core.max_datagram_size(self.0.key()))
            .flatten()
    }

    /// Asks the peer to wind the session down. Nothing is closed by it.
    ///
    /// # Errors
    /// [`SessionError::Gone`] after the end.
    pub fn drain(&self) -> Result<(), SessionError> {
        let conn = &self.0.half.conn;
        let drain = conn
            .lock()
            .core(conn.key, |core| core.webtransport(self.0.key()).drain());
        drain.unwrap_or(Err(SessionError::Gone))
    }

    /// Waits until the peer asks to wind the session down; `false` when it ended
    /// without. Cancel safe.
    pub async fn draining(&self) -> bool {
        let half = &self.0.half;
        wait_for(&half.conn.shared, |locked| {
            if locked
                .stream(half.at)
                .session
                .as_ref()
                .is_some_and(|state| state.draining)
            {
                return Step::Done(true);
            }
            match self.0.end(locked) {
                Some(_) => Step::Done(false),
                None => Step::Wait(self.0.place(SessionTopic::State)),
            }
        })
        .await
    }

    /// Ends the session: code and reason reach the peer, its streams are reset.
    /// What the peer has not read by then is lost, [acknowledged or
    /// not](crate#acknowledged-is-not-read): [`drain`](Self::drain) it and await
    /// [`closed`](Self::closed), or close when an answer of the peer's has come.
    ///
    /// # Errors
    /// [`SessionError::ReasonTooLong`] above 1,024 bytes, [`SessionError::Gone`]
    /// after the end.
    pub fn close(&self, code: u32, reason: &str) -> Result<(), SessionError> {
        self.0.close(code, reason)
    }

    /// Waits for the end of the session, or of the connection, and tells how and by
    /// whom it ended: what is done for the session beside its streams listens here.
    /// Cancel safe; any number of tasks may wait.
    pub async fn closed(&self) -> SessionClose {
        let shared = &self.0.half.conn.shared;
        wait_for(shared, |locked| self.0.closed(locked)).await
    }

    /// How the session ended and by whom, if it has. Kept after the end, of the
    /// connection as well.
    #[must_use]
    pub fn close_reason(&self) -> Option<SessionClose> {
        let mut locked = self.0.half.conn.lock();
        self.0.end(&mut locked)
    }

    /// What carries the session.
    #[must_use]
    pub fn transport(&self) -> SessionTransport {
        SessionTransport::Http3
    }

    /// The dialect that is spoken. Kept after the end.
    #[must_use]
    pub fn dialect(&self) -> Option<Dialect> {
        self.0.dialect
    }

    /// What the session has counted, and its own limits when both sides negotiated
    /// some; `None` after its end.
    #[must_use]
    pub fn stats(&self) -> Option<SessionStats> {
        let conn = &self.0.half.conn;
        conn.lock()
            .peek(conn.key, |core| core.session_stats(self.0.key()))
            .flatten()
    }
}
