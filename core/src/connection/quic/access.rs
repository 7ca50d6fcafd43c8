//! What an application does with a connection of raw QUIC.

use std::time::Instant;

use bytes::Bytes;

use super::{QuicCall, QuicConnection, QuicOutcome};
use crate::error::CloseReason;
use crate::id::{Dir, Side, StreamKey};
use crate::quic::{
    About, CloseError, ConfirmError, DatagramError, ReadError, Shutdown, ShutdownError, Start,
    StartError, WriteError,
};
use crate::transport::{Read, Transport};

/// A connection of raw QUIC, borrowed together with its transport.
#[derive(Debug)]
pub struct QuicAccess<'a, T> {
    connection: &'a mut QuicConnection,
    t: &'a mut T,
    now: Instant,
}

impl<'a, T: Transport> QuicAccess<'a, T> {
    pub(super) fn new(connection: &'a mut QuicConnection, t: &'a mut T, now: Instant) -> Self {
        Self { connection, t, now }
    }

    /// Which end this is.
    #[must_use]
    pub fn side(&self) -> Side {
        self.connection.state.side()
    }

    /// What is known of the connection; `None` before the transport has said anything.
    #[must_use]
    pub fn about(&self) -> Option<&About> {
        self.connection.state.about()
    }

    /// Whether the handshake is complete, and the certificates confirmed where the
    /// application does that. What is read before, on a server, is early data (0-RTT), which
    /// may be a replay.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.connection.state.is_established()
    }

    /// Why the connection ended, if it has.
    #[must_use]
    pub fn close_reason(&self) -> Option<&CloseReason> {
        self.connection.state.close_reason()
    }

    /// The time of this borrow.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Streams that are under way, this side's that wait for the peer's limit included.
    #[must_use]
    pub fn live_streams(&self) -> usize {
        self.connection.state.live_streams()
    }

    /// Streams of this direction that may be begun at present without waiting, by the peer's
    /// limit (RFC 9000 §4.6); `None` while that is not known, and over a transport that does
    /// not tell.
    #[must_use]
    pub fn available(&self, dir: Dir) -> Option<u64> {
        let limit = self.t.stream_limit(dir)?;
        Some(limit.saturating_sub(self.connection.state.begun(dir)))
    }

    /// Their keys, in no order that means anything. O(streams).
    pub fn streams(&self) -> impl Iterator<Item = StreamKey> + '_ {
        self.connection.state.keys()
    }

    /// Whether a stream is under way.
    #[must_use]
    pub fn has_stream(&self, stream: StreamKey) -> bool {
        self.connection.state.stream(stream).is_some()
    }

    /// Where in the stream the next byte that is read stands: so many have been read.
    /// `None` of a stream that is gone.
    #[must_use]
    pub fn offset(&self, stream: StreamKey) -> Option<u64> {
        self.connection
            .state
            .stream(stream)
            .map(|stream| stream.read)
    }

    /// Says whether the peer's certificates will do, after `Event::Confirm`; if not, with
    /// the TLS alert that says why (RFC 8446 §6.2). The peer hears of a refusal as of one
    /// by TLS, a close of QUIC's with 0x100 and the alert; without
    /// `TransportSettings::reliable_reset` by one of the application's with the same code.
    ///
    /// # Errors
    /// [`ConfirmError`].
    pub fn confirm(&mut self, verdict: Result<(), u8>) -> Result<(), ConfirmError> {
        let now = self.now;
        self.connection.run(
            self.t,
            now,
            || QuicCall::Confirm(verdict),
            QuicOutcome::done,
            |state, t| state.confirm(t, now, verdict),
        )
    }

    /// Begins a stream. Nothing of it goes out before something is written, or it is ended.
    /// `StreamEvent::Started` follows.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(&mut self, dir: Dir, how: Start) -> Result<StreamKey, StartError> {
        self.connection.run(
            self.t,
            self.now,
            || QuicCall::Start(dir, how),
            QuicOutcome::Start,
            |state, t| state.start(t, dir, how),
        )
    }

    /// Takes whole or partial chunks from the front of `chunks`, leaving the rest in place,
    /// and tells how many bytes it took. When that is less than was offered,
    /// `StreamEvent::Writable` follows.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write(&mut self, stream: StreamKey, chunks: &mut [Bytes]) -> Result<usize, WriteError> {
        if self.connection.observer.is_none() {
            return self.connection.state.write(self.t, stream, chunks);
        }
        let offered = chunks.to_vec();
        self.connection.run(
            self.t,
            self.now,
            || QuicCall::Write(stream, offered),
            QuicOutcome::Write,
            |state, t| state.write(t, stream, chunks),
        )
    }

    /// Moves up to `out.len()` chunks, at most `max` bytes in all, into the front of `out`, in
    /// the order of the stream. A read that ends `Blocked` is followed by
    /// `StreamEvent::Readable`; one that ends `Finished` has told the end, which may come
    /// without a byte.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(
        &mut self,
        stream: StreamKey,
        max: usize,
        out: &mut [Bytes],
    ) -> Result<Read, ReadError> {
        let (now, chunks) = (self.now, out.len());
        self.connection.run(
            self.t,
            now,
            || QuicCall::Read(stream, max, chunks),
            QuicOutcome::Read,
            |state, t| state.read(t, now, stream, max, out),
        )
    }

    /// Ends a stream, or half of it. A stream that is over is told by
    /// `StreamEvent::Closed`.
    ///
    /// # Errors
    /// [`ShutdownError`]; of both halves, when neither could be ended.
    pub fn shutdown(&mut self, stream: StreamKey, how: Shutdown) -> Result<(), ShutdownError> {
        self.connection.run(
            self.t,
            self.now,
            || QuicCall::Shutdown(stream, how),
            QuicOutcome::done,
            |state, t| state.shutdown(t, stream, how),
        )
    }

    /// Urgency of the stream's data relative to other streams of the connection: higher
    /// first, equal ones share. Streams begin with 0.
    ///
    /// # Errors
    /// [`ShutdownError::Gone`], [`ShutdownError::NoSuchHalf`].
    pub fn set_priority(&mut self, stream: StreamKey, priority: i32) -> Result<(), ShutdownError> {
        self.connection.run(
            self.t,
            self.now,
            || QuicCall::SetPriority(stream, priority),
            QuicOutcome::done,
            |state, t| state.set_priority(t, stream, priority),
        )
    }

    /// Queues a datagram (RFC 9221).
    ///
    /// # Errors
    /// [`DatagramError`]; the datagram is gone.
    pub fn send_datagram(&mut self, datagram: Bytes) -> Result<(), DatagramError> {
        let sent = datagram.clone();
        self.connection.run(
            self.t,
            self.now,
            || QuicCall::SendDatagram(sent),
            QuicOutcome::done,
            |state, t| state.send_datagram(t, datagram),
        )
    }

    /// The oldest datagram that has arrived.
    pub fn recv_datagram(&mut self) -> Option<Bytes> {
        if self.connection.observer.is_none() {
            return self.connection.state.recv_datagram(self.t);
        }
        let mut datagram = None;
        self.connection.run(
            self.t,
            self.now,
            || QuicCall::RecvDatagram,
            QuicOutcome::RecvDatagram,
            |state, t| {
                datagram = state.recv_datagram(t);
                datagram.as_ref().map(Bytes::len)
            },
        );
        datagram
    }

    /// The largest datagram that can be sent at present, in bytes; `None` when none can.
    #[must_use]
    pub fn max_datagram_size(&self) -> Option<usize> {
        self.t.max_datagram_size()
    }

    /// Winds the connection down: nothing new begins here, and it is closed with code 0 when
    /// no stream is left, or when `until` has come. Repeating it can only bring `until`
    /// forward.
    pub fn drain(&mut self, until: Instant) {
        self.connection.run(
            self.t,
            self.now,
            || QuicCall::Drain(until),
            |()| QuicOutcome::Done,
            |state, t| state.drain(t, until),
        );
    }

    /// Closes the connection at once, with a code of 62 bits: the peer loses what it has not
    /// read, acknowledged or not. As much of the reason as fits a packet reaches it.
    ///
    /// # Errors
    /// [`CloseError`].
    pub fn close(&mut self, code: u64, reason: impl Into<Bytes>) -> Result<(), CloseError> {
        let reason = reason.into();
        let said = reason.clone();
        self.connection.run(
            self.t,
            self.now,
            || QuicCall::Close(code, said),
            QuicOutcome::done,
            |state, t| state.close(t, code, reason),
        )
    }
}
