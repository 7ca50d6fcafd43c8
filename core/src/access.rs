//! What an application does with a connection: requests, sessions, streams,
//! datagrams, shutdown.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::code::Code;
use crate::connection::Connection;
use crate::error::{DatagramError, Gone, OpenError, ReadError, ResetError, SendError, SessionError, WriteError};
use crate::head::{ConnectAnswer, ConnectRequest, End, RequestHead, ResponseHead};
use crate::id::{Dir, SessionKey, Side, StreamKey};
use crate::stats::{SessionStats, Stats};
use crate::transport::{Read, Transport};
use crate::wire::priority::Priority;
use crate::wire::settings::Settings;

/// A connection borrowed together with its transport.
pub struct Access<'a, T> {
    pub(crate) conn: &'a mut Connection,
    pub(crate) t: &'a mut T,
    pub(crate) now: Instant,
}

impl<T: Transport> Access<'_, T> {
    /// Sends a request (client). With [`End::More`], content follows through
    /// [`Self::send`]; plain and extended CONNECT always take [`End::More`].
    ///
    /// # Errors
    /// [`OpenError`]; nothing was sent.
    pub fn request(&mut self, head: &RequestHead, end: End) -> Result<StreamKey, OpenError> { let _ = (head, end); todo!() }
    /// Answers a request (server). A status of 100 to 199 (not 101) sends an interim response.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn respond(&mut self, stream: StreamKey, head: &ResponseHead, end: End) -> Result<(), SendError> { let _ = (stream, head, end); todo!() }
    /// Sends trailers and ends the message.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn trailers(&mut self, stream: StreamKey, trailers: &HeaderMap) -> Result<(), SendError> { let _ = (stream, trailers); todo!() }
    /// Announces the request's priority to the server (client, PRIORITY_UPDATE), or
    /// overrides it locally (server).
    ///
    /// # Errors
    /// [`Gone`] for a stream that is over.
    pub fn set_priority(&mut self, stream: StreamKey, priority: Priority) -> Result<(), Gone> { let _ = (stream, priority); todo!() }

    /// Asks for a WebTransport session (client).
    ///
    /// # Errors
    /// [`OpenError`]; nothing was sent.
    pub fn open_session(&mut self, request: &ConnectRequest) -> Result<SessionKey, OpenError> { let _ = request; todo!() }
    /// Accepts a requested session (server).
    ///
    /// # Errors
    /// [`SessionError`]; nothing was sent.
    pub fn accept_session(&mut self, session: SessionKey, answer: &ConnectAnswer) -> Result<(), SessionError> { let _ = (session, answer); todo!() }
    /// Rejects a requested session with a status of 300 to 599 (server). No `Closed` event follows.
    ///
    /// # Errors
    /// [`SessionError`]; nothing was sent.
    pub fn reject_session(&mut self, session: SessionKey, status: StatusCode) -> Result<(), SessionError> { let _ = (session, status); todo!() }
    /// Asks the peer to wind the session down (WT_DRAIN_SESSION). Repeating it is harmless.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn drain_session(&mut self, session: SessionKey) -> Result<(), SessionError> { let _ = session; todo!() }
    /// Ends the session: code and reason reach the peer, its streams are reset. The
    /// session is gone and `Closed` is its last event.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn close_session(&mut self, session: SessionKey, code: u32, reason: &str) -> Result<(), SessionError> { let _ = (session, code, reason); todo!() }
    /// Opens a stream in an established session. Its header goes out at once.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_stream(&mut self, session: SessionKey, dir: Dir) -> Result<StreamKey, OpenError> { let _ = (session, dir); todo!() }

    /// The sending half of a stream.
    ///
    /// # Errors
    /// [`Gone`] for a stream that is over.
    pub fn send(&mut self, stream: StreamKey) -> Result<SendStream<'_, T>, Gone> { let _ = stream; todo!() }
    /// The receiving half of a stream.
    ///
    /// # Errors
    /// [`Gone`] for a stream that is over.
    pub fn recv(&mut self, stream: StreamKey) -> Result<RecvStream<'_, T>, Gone> { let _ = stream; todo!() }

    /// Takes datagrams for a request that is not a session from here on.
    ///
    /// # Errors
    /// [`Gone`] for a stream that is over.
    pub fn enable_datagrams(&mut self, stream: StreamKey) -> Result<(), Gone> { let _ = stream; todo!() }
    /// Sends one datagram of a session or request. One copy, no allocation of its own
    /// once the arena is warm. On `Blocked` an unblocked event follows.
    ///
    /// # Errors
    /// [`DatagramError`]; nothing was sent.
    pub fn send_datagram(&mut self, stream: impl Into<StreamKey>, payload: &[u8]) -> Result<(), DatagramError> { let _ = (stream.into(), payload); todo!() }
    /// The oldest datagram that waits for a session or request.
    pub fn recv_datagram(&mut self, stream: impl Into<StreamKey>) -> Option<Bytes> { let _ = stream.into(); todo!() }
    /// Largest payload [`Self::send_datagram`] takes at present, in bytes.
    #[must_use]
    pub fn max_datagram_len(&self, stream: impl Into<StreamKey>) -> Option<usize> { let _ = stream.into(); todo!() }

    /// Winds the connection down: GOAWAY, WT_DRAIN_SESSION to each session, nothing new; closes with
    /// H3_NO_ERROR when all has ended or `until` has come.
    pub fn drain(&mut self, until: Instant) { let _ = until; todo!() }
    /// Closes the connection at once.
    pub fn close(&mut self, code: Code, reason: &'static str) { let _ = (code, reason); todo!() }

    /// The peer's SETTINGS, once they arrived.
    #[must_use]
    pub fn peer_settings(&self) -> Option<&Settings> { todo!() }
    /// Whether a session could be opened now, and why not (client).
    ///
    /// # Errors
    /// The [`OpenError`] that [`Self::open_session`] would give.
    pub fn webtransport(&self) -> Result<(), OpenError> { todo!() }
    /// What the connection has counted.
    #[must_use]
    pub fn stats(&self) -> Stats { todo!() }
    /// What a session has counted; `None` when it is gone.
    #[must_use]
    pub fn session_stats(&self, session: SessionKey) -> Option<SessionStats> { let _ = session; todo!() }
    /// Which end this is.
    #[must_use]
    pub fn side(&self) -> Side { self.conn.side() }
}

/// The sending half of a stream.
pub struct SendStream<'a, T> { access: Access<'a, T>, stream: StreamKey }

impl<T: Transport> SendStream<'_, T> {
    /// Takes whole or partial chunks from the front of `chunks` (taken ones become
    /// empty) and tells how many bytes it took. Less than offered means blocked:
    /// `StreamEvent::Writable` follows.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was taken.
    pub fn write(&mut self, chunks: &mut [Bytes]) -> Result<usize, WriteError> { let _ = (chunks, &self.access, self.stream); todo!() }
    /// Ends the stream or message after what was written.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn finish(&mut self) -> Result<(), SendError> { todo!() }
    /// Abandons the stream. `code` is a WebTransport application code (32 bits) on a
    /// session's stream, an HTTP/3 code on any other.
    ///
    /// # Errors
    /// [`ResetError`].
    pub fn reset(&mut self, code: u64) -> Result<(), ResetError> { let _ = code; todo!() }
    /// Order of this stream's bytes relative to the session's or connection's other
    /// streams of the same urgency: higher first. Default 0; clamped to +-1,000,000.
    pub fn set_order(&mut self, order: i32) { let _ = order; todo!() }
}

/// The receiving half of a stream.
pub struct RecvStream<'a, T> { access: Access<'a, T>, stream: StreamKey }

impl<T: Transport> RecvStream<'_, T> {
    /// Moves up to `out.len()` chunks, at most `max` bytes, into the front of `out`.
    /// `ReadState::Finished` is told once; after it the half is gone.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&mut self, max: usize, out: &mut [Bytes]) -> Result<Read, ReadError> { let _ = (max, out, &self.access, self.stream); todo!() }
    /// Discards what arrives and asks the peer to stop. `code` as for [`SendStream::reset`].
    ///
    /// # Errors
    /// [`ResetError`].
    pub fn stop(&mut self, code: u64) -> Result<(), ResetError> { let _ = code; todo!() }
}
