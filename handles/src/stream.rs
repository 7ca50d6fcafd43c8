//! The streams of a session, and those of claimed types.

use std::future::poll_fn;
use std::sync::Arc;

use aqueduct_core::error::PeerCode;
use aqueduct_core::id::{StreamId, StreamKey};
use bytes::Bytes;

use crate::connection::ConnHandle;
use crate::error::{ReadError, ResetError, WriteError};
use crate::half::{Half, RecvHalf, SendHalf};
use crate::shared::Locked;

/// Makes the handles of a stream from its place and key.
pub(crate) type Make<T> = fn(&Arc<ConnHandle>, &mut Locked<'_>, usize, StreamKey) -> T;

pub(crate) fn sending(
    conn: &Arc<ConnHandle>,
    locked: &mut Locked<'_>,
    at: usize,
    key: StreamKey,
) -> SendStream {
    SendStream(SendHalf::new(Half::new(conn, locked, at, key)))
}

pub(crate) fn receiving(
    conn: &Arc<ConnHandle>,
    locked: &mut Locked<'_>,
    at: usize,
    key: StreamKey,
) -> RecvStream {
    RecvStream(RecvHalf::new(Half::new(conn, locked, at, key)))
}

pub(crate) fn both(
    conn: &Arc<ConnHandle>,
    locked: &mut Locked<'_>,
    at: usize,
    key: StreamKey,
) -> (SendStream, RecvStream) {
    let send = sending(conn, locked, at, key);
    (send, receiving(conn, locked, at, key))
}

/// The sending half of a session's stream, or of one of a claimed type.
///
/// Dropping it before [`finish`](Self::finish) resets the stream with
/// application code 0.
#[derive(Debug)]
pub struct SendStream(pub(crate) SendHalf);

impl SendStream {
    /// The QUIC stream id.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.0.half.key.id()
    }

    /// Sends part of `data` and tells how much: one copy.
    ///
    /// Cancel safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was taken.
    pub async fn write(&mut self, data: &[u8]) -> Result<usize, WriteError> {
        poll_fn(|cx| self.0.poll_write(cx, data)).await
    }

    /// Sends all of `data`: one copy.
    ///
    /// Not cancel safe: a dropped future has sent an unknown part.
    ///
    /// # Errors
    /// [`WriteError`]; an unknown part was sent.
    pub async fn write_all(&mut self, data: &[u8]) -> Result<(), WriteError> {
        self.0.write_chunk(Bytes::copy_from_slice(data)).await
    }

    /// Sends all of `chunk` without copying it.
    ///
    /// Not cancel safe: a dropped future has sent an unknown part. Use
    /// [`write_chunks`](Self::write_chunks) where that matters.
    ///
    /// # Errors
    /// [`WriteError`]; an unknown part was sent.
    pub async fn write_chunk(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        self.0.write_chunk(chunk).await
    }

    /// Sends from the front of `chunks` without copying until something was
    /// taken, tells how many bytes, and leaves the rest in place: taken chunks
    /// become empty.
    ///
    /// Cancel safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was taken.
    pub async fn write_chunks(&mut self, chunks: &mut [Bytes]) -> Result<usize, WriteError> {
        poll_fn(|cx| self.0.poll_chunks(cx, chunks)).await
    }

    /// Sends all of `chunk` without copying it, and the end: as
    /// [`write_chunk`](Self::write_chunk) and [`finish`](Self::finish), cheaper.
    ///
    /// Not cancel safe: a dropped future has sent an unknown part.
    ///
    /// # Errors
    /// [`WriteError`]; an unknown part was sent.
    pub async fn finish_with(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        self.0.finish_with(chunk).await
    }

    /// Ends the stream after what was written. Does not wait: see
    /// [`stopped`](Self::stopped) for the peer's acknowledgement, which is not that it
    /// was read. A close of the session takes what was not.
    ///
    /// # Errors
    /// [`WriteError`] when the stream has ended otherwise.
    pub fn finish(&mut self) -> Result<(), WriteError> {
        self.0.finish()
    }

    /// Abandons the stream with an application code; what was not delivered is
    /// lost.
    ///
    /// # Errors
    /// [`ResetError::Gone`] after the end.
    pub fn reset(&mut self, code: u32) -> Result<(), ResetError> {
        self.0.reset(code.into())
    }

    /// Waits until the peer stopped the stream (`Some`) or has acknowledged all
    /// of it, end included (`None`). Borrows nothing, so that writing can go on
    /// meanwhile. Cancel safe.
    ///
    /// Acknowledged is [not read](crate#acknowledged-is-not-read): the peer's QUIC has it,
    /// and its application loses it to a close that comes before it has taken it.
    ///
    /// # Errors
    /// [`WriteError`] when the stream, session or connection ends otherwise.
    pub fn stopped(
        &self,
    ) -> impl Future<Output = Result<Option<PeerCode>, WriteError>> + Send + 'static + use<> {
        self.0.half.stopped()
    }

    /// Order of this stream among the session's streams of its group: higher goes
    /// first, streams of the same order share. Default 0.
    ///
    /// An order counts within its session only: the highest in use of every session
    /// shares with that of the others, and streams of lower orders step back, behind
    /// what other sessions of the same urgency have to send. Only the rank matters,
    /// not the distance; beyond 64 different orders in use the lowest share. What
    /// QUIC holds already may keep its turn, so set it before writing.
    ///
    /// O(n log n) for n streams of the session, as is then the end of each of them.
    pub fn set_send_order(&mut self, order: i32) {
        self.0.half.set_send_order(order);
    }

    /// Group of this stream: orders are compared within a group of the session, and
    /// groups share. Default 0. Cost as of [`set_send_order`](Self::set_send_order).
    pub fn set_send_group(&mut self, group: u32) {
        self.0.half.set_send_group(group);
    }
}

/// The receiving half of a session's stream, or of one of a claimed type.
///
/// Dropping it before the end asks the peer to stop with application code 0.
#[derive(Debug)]
pub struct RecvStream(pub(crate) RecvHalf);

impl RecvStream {
    /// The QUIC stream id.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.0.half.key.id()
    }

    /// Receives some bytes into `out`, one copy; `None` at the end. Cancel safe:
    /// a dropped future has taken nothing.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read(&mut self, out: &mut [u8]) -> Result<Option<usize>, ReadError> {
        poll_fn(|cx| self.0.poll_read(cx, out)).await
    }

    /// Receives at most `max` bytes without copying; `None` at the end. Cancel
    /// safe: a dropped future has taken nothing.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, ReadError> {
        self.0.read_chunk(max).await
    }

    /// Receives as many chunks as there are, at most `out.len()`, into the front
    /// of `out` without copying, and tells how many; `None` at the end. Cancel
    /// safe: a dropped future has taken nothing.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_chunks(&mut self, out: &mut [Bytes]) -> Result<Option<usize>, ReadError> {
        poll_fn(|cx| self.0.poll_chunks(cx, usize::MAX, out)).await
    }

    /// Receives all that is left, at most `limit` bytes.
    ///
    /// Not cancel safe: a dropped future loses what it has collected.
    ///
    /// # Errors
    /// [`ReadError::TooLong`] beyond `limit`, and as for [`read`](Self::read).
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Bytes, ReadError> {
        self.0.read_to_end(limit).await
    }

    /// Waits until the peer has ended the stream. What comes before the end stays to
    /// be read: at most 64 KiB of it are taken from QUIC, and behind more than that
    /// neither end nor reset is seen until it is read. Cancel safe.
    ///
    /// # Errors
    /// [`ReadError`]: how the stream, session or connection ended otherwise;
    /// [`ReadError::Closed`] when this side stopped it.
    pub async fn closed(&mut self) -> Result<(), ReadError> {
        poll_fn(|cx| self.0.poll_closed(cx)).await
    }

    /// Asks the peer to stop with an application code and discards what arrives.
    ///
    /// # Errors
    /// [`ResetError::Gone`] after the end.
    pub fn stop(&mut self, code: u32) -> Result<(), ResetError> {
        self.0.stop(code.into())
    }
}
