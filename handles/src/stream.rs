//! The streams of a session, and the halves that they and HTTP messages share.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aqueduct_core::access::Access;
use aqueduct_core::code::Code;
use aqueduct_core::endpoint::QuinnTransport;
use aqueduct_core::error::{PeerCode, ReadError as CoreRead, WriteError as CoreWrite};
use aqueduct_core::id::{Side, StreamId, StreamKey};
use aqueduct_core::transport::ReadState;
use aqueduct_core::wire::priority::Priority;
use bytes::{Bytes, BytesMut};

use crate::connection::ConnHandle;
use crate::error::{ReadError, ResetError, SendError, WriteError};
use crate::shared::{At, Locked, Place, Step, wait_for};
use crate::table::{RecvOver, SendOver};

/// Chunks moved per lock when bytes are collected.
const BATCH: usize = 16;

/// Bytes that waiting for a stream's end reads ahead at most.
const AHEAD: usize = 64 * 1024;

/// The sending half of a session's stream.
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

    /// Ends the stream after what was written. Does not wait: see
    /// [`stopped`](Self::stopped) for the peer's acknowledgement.
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
    pub fn set_priority(&mut self, order: i32) {
        self.0.half.set_order(order);
    }

    /// Group of this stream: orders are compared within a group of the session, and
    /// groups share. Default 0. Cost as of [`set_priority`](Self::set_priority).
    pub fn set_group(&mut self, group: u32) {
        self.0.half.set_group(group);
    }
}

/// The receiving half of a session's stream.
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

/// A reference to a stream's entry.
pub(crate) struct Half {
    pub(crate) conn: Arc<ConnHandle>,
    pub(crate) at: At,
    pub(crate) key: StreamKey,
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?}", self.key, self.conn.key)
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.conn.lock().release(self.at);
    }
}

impl Half {
    /// One more reference to an entry.
    pub(crate) fn new(
        conn: &Arc<ConnHandle>,
        locked: &mut Locked<'_>,
        stream: usize,
        key: StreamKey,
    ) -> Self {
        let at = At {
            conn: conn.at,
            stream,
        };
        locked.stream(at).refs += 1;
        Self {
            conn: conn.clone(),
            at,
            key,
        }
    }

    /// What dropping a half tells the peer. Data streams of a session carry
    /// application codes, whose zero means nothing in particular.
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1.1
    // A client that cancels, and a server that gives up a request it may have
    // acted upon, say H3_REQUEST_CANCELLED; "rejected" would promise that nothing
    // was done.
    fn abandon_code(&self, locked: &mut Locked<'_>) -> u64 {
        if locked.stream(self.at).message.is_some() {
            Code::H3_REQUEST_CANCELLED.value()
        } else {
            0
        }
    }

    pub(crate) fn stopped(
        &self,
    ) -> impl Future<Output = Result<Option<PeerCode>, WriteError>> + Send + 'static + use<> {
        let half = Self::new(&self.conn, &mut self.conn.lock(), self.at.stream, self.key);
        async move {
            wait_for(&half.conn.shared, |locked| {
                let stream = locked.stream(half.at);
                if let Some(code) = stream.stopped {
                    return Step::Done(Ok(Some(code)));
                }
                if stream.delivered {
                    return Step::Done(Ok(None));
                }
                if stream.send_over == Some(SendOver::Reset) {
                    return Step::Done(Err(WriteError::Closed));
                }
                match half.write_end(locked) {
                    Some(error) => Step::Done(Err(error)),
                    None => Step::Wait(Place::SendEnd(half.at)),
                }
            })
            .await
        }
    }

    pub(crate) fn set_order(&self, order: i32) {
        self.conn.lock().core(self.conn.key, |core| {
            // A stream that is over needs no order.
            if let Ok(mut send) = core.send(self.key) {
                send.set_order(order);
            }
        });
    }

    pub(crate) fn set_group(&self, group: u32) {
        self.conn.lock().core(self.conn.key, |core| {
            // A stream that is over needs no group.
            if let Ok(mut send) = core.send(self.key) {
                send.set_group(group);
            }
        });
    }

    pub(crate) fn set_priority(&self, priority: Priority) {
        // A request that is over needs no priority.
        let _ = self
            .conn
            .lock()
            .core(self.conn.key, |core| core.set_priority(self.key, priority));
    }

    /// How the sending half ended from the peer's side, if it has.
    fn write_end(&self, locked: &mut Locked<'_>) -> Option<WriteError> {
        let stream = locked.stream(self.at);
        if let Some(code) = stream.stopped {
            return Some(WriteError::Stopped(code));
        }
        if let Some(why) = stream.malformed {
            return Some(WriteError::Malformed(why));
        }
        if stream.unprocessed {
            return Some(WriteError::Unprocessed);
        }
        if let Some(close) = stream.end.as_ref().and_then(|end| end.get()) {
            return Some(WriteError::Session(close.clone()));
        }
        locked
            .conn(self.at.conn)
            .closed
            .clone()
            .map(WriteError::Connection)
    }

    /// How the receiving half ended from the peer's side, if it has.
    pub(crate) fn read_end(&self, locked: &mut Locked<'_>) -> Option<ReadError> {
        let stream = locked.stream(self.at);
        if let Some(code) = stream.reset {
            return Some(ReadError::Reset(code));
        }
        if let Some(why) = stream.malformed {
            return Some(ReadError::Malformed(why));
        }
        if stream.unprocessed {
            return Some(ReadError::Unprocessed);
        }
        if let Some(close) = stream.end.as_ref().and_then(|end| end.get()) {
            return Some(ReadError::Session(close.clone()));
        }
        locked
            .conn(self.at.conn)
            .closed
            .clone()
            .map(ReadError::Connection)
    }

    /// The error of a core write, in the words of whoever ended the stream.
    /// `None` while that is still on its way.
    pub(crate) fn write_error(
        &self,
        locked: &mut Locked<'_>,
        error: CoreWrite,
    ) -> Option<WriteError> {
        match error {
            CoreWrite::Stopped(code) => return Some(WriteError::Stopped(code)),
            CoreWrite::WrongState => return Some(WriteError::WrongState),
            CoreWrite::ContentLength => return Some(WriteError::ContentLength),
            _ => {}
        }
        locked.pump();
        match self.write_end(locked) {
            // The session's last event follows and wakes its streams.
            None if error == CoreWrite::SessionGone => None,
            None => Some(WriteError::Closed),
            told => told,
        }
    }

    pub(crate) fn send_error(&self, locked: &mut Locked<'_>, error: SendError) -> WriteError {
        match error {
            SendError::WrongState => WriteError::WrongState,
            SendError::InvalidHead => WriteError::InvalidHead,
            SendError::HeadTooLarge => WriteError::HeadTooLarge,
            SendError::ContentLength => WriteError::ContentLength,
            _ => {
                locked.pump();
                self.write_end(locked).unwrap_or(WriteError::Closed)
            }
        }
    }

    fn read_error(&self, locked: &mut Locked<'_>, error: CoreRead) -> Option<ReadError> {
        match error {
            CoreRead::Reset(code) => return Some(ReadError::Reset(code)),
            CoreRead::Malformed(why) => return Some(ReadError::Malformed(why)),
            _ => {}
        }
        locked.pump();
        match self.read_end(locked) {
            None if error == CoreRead::SessionGone => None,
            None => Some(ReadError::Closed),
            told => told,
        }
    }
}

/// The sending half of any stream.
#[derive(Debug)]
pub(crate) struct SendHalf {
    pub(crate) half: Half,
}

impl SendHalf {
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, WriteError>> {
        // What one call copies: more than QUIC takes at once would be copied in vain.
        let part = data.get(..data.len().min(64 * 1024)).unwrap_or_default();
        self.poll_chunks(cx, &mut [Bytes::copy_from_slice(part)])
    }

    /// Ready when something was taken, or there was nothing to take.
    pub(crate) fn poll_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<usize, WriteError>> {
        let mut locked = self.half.conn.lock();
        if locked.stream(self.half.at).send_over.is_some() {
            return Poll::Ready(Err(WriteError::Closed));
        }
        if chunks.iter().all(Bytes::is_empty) {
            return Poll::Ready(Ok(0));
        }
        let write = |core: &mut Access<'_, QuinnTransport<'_>>| match core.send(self.half.key) {
            Ok(mut send) => send.write(chunks),
            Err(_) => Err(CoreWrite::Gone),
        };
        match locked
            .core(self.half.conn.key, write)
            .unwrap_or(Err(CoreWrite::Gone))
        {
            Ok(0) => {}
            Ok(taken) => return Poll::Ready(Ok(taken)),
            Err(error) => {
                if let Some(error) = self.half.write_error(&mut locked, error) {
                    return Poll::Ready(Err(error));
                }
            }
        }
        locked.wait_write(self.half.at, cx);
        Poll::Pending
    }

    pub(crate) async fn write_chunk(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        let chunks = &mut [chunk];
        while !chunks[0].is_empty() {
            poll_fn(|cx| self.poll_chunks(cx, chunks)).await?;
        }
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> Result<(), WriteError> {
        let mut locked = self.half.conn.lock();
        if locked.stream(self.half.at).send_over.is_some() {
            return Err(WriteError::Closed);
        }
        let finish = |core: &mut Access<'_, QuinnTransport<'_>>| match core.send(self.half.key) {
            Ok(mut send) => send.finish(),
            Err(_) => Err(SendError::Gone),
        };
        match locked
            .core(self.half.conn.key, finish)
            .unwrap_or(Err(SendError::Gone))
        {
            Ok(()) => {
                locked.stream(self.half.at).send_over = Some(SendOver::Finished);
                Ok(())
            }
            Err(error) => Err(self.half.send_error(&mut locked, error)),
        }
    }

    pub(crate) fn reset(&mut self, code: u64) -> Result<(), ResetError> {
        let mut locked = self.half.conn.lock();
        if locked.stream(self.half.at).send_over == Some(SendOver::Reset) {
            return Err(ResetError::Gone);
        }
        let reset = |core: &mut Access<'_, QuinnTransport<'_>>| match core.send(self.half.key) {
            Ok(mut send) => send.reset(code),
            Err(_) => Err(ResetError::Gone),
        };
        let done = locked
            .core(self.half.conn.key, reset)
            .unwrap_or(Err(ResetError::Gone));
        if done.is_ok() {
            locked.stream(self.half.at).send_over = Some(SendOver::Reset);
            locked.wake(Place::SendEnd(self.half.at));
        }
        done
    }

    /// Nothing more will be written: what the handles note about it.
    pub(crate) fn over(&self, locked: &mut Locked<'_>) {
        locked.stream(self.half.at).send_over = Some(SendOver::Finished);
    }
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        let code = {
            let mut locked = self.half.conn.lock();
            if locked.stream(self.half.at).send_over.is_some() {
                return;
            }
            self.half.abandon_code(&mut locked)
        };
        // A stream that ended otherwise needs no reset.
        let _ = self.reset(code);
    }
}

/// The receiving half of any stream.
#[derive(Debug)]
pub(crate) struct RecvHalf {
    pub(crate) half: Half,
    /// What waiting for the end has read ahead, oldest first.
    ahead: VecDeque<Bytes>,
}

impl RecvHalf {
    pub(crate) fn new(half: Half) -> Self {
        Self {
            half,
            ahead: VecDeque::new(),
        }
    }

    /// Hands out what was read ahead; `None` when there is nothing of it.
    fn take_ahead(&mut self, max: usize, out: &mut [Bytes]) -> Option<usize> {
        let (mut left, mut moved) = (max, 0);
        for slot in out {
            let Some(chunk) = self.ahead.front_mut().filter(|_| left > 0) else {
                break;
            };
            *slot = chunk.split_to(chunk.len().min(left));
            left -= slot.len();
            moved += 1;
            if chunk.is_empty() {
                self.ahead.pop_front();
            }
        }
        (moved > 0).then_some(moved)
    }

    /// Ready when the peer has ended or reset the stream, or this side stopped it.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        let mut chunks = [const { Bytes::new() }; BATCH];
        loop {
            let held: usize = self.ahead.iter().map(Bytes::len).sum();
            let room = AHEAD.saturating_sub(held);
            if room == 0 {
                // Nothing more is looked at; the end of all that carries the stream
                // still counts.
                let mut locked = self.half.conn.lock();
                if let Some(error) = self.half.read_end(&mut locked) {
                    return Poll::Ready(Err(error));
                }
                locked.wait_read(self.half.at, cx);
                return Poll::Pending;
            }
            match ready!(self.poll_unread(cx, room, &mut chunks)) {
                Ok(Some(moved)) => {
                    let moved = chunks.iter_mut().take(moved).map(std::mem::take);
                    self.ahead.extend(moved);
                }
                Ok(None) => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<Result<Option<usize>, ReadError>> {
        let len = out.len();
        let mut rest = out;
        self.poll_copy(cx, len, &mut |bytes| {
            // No more than asked for comes.
            let (part, behind) = std::mem::take(&mut rest).split_at_mut(bytes.len());
            part.copy_from_slice(bytes);
            rest = behind;
        })
    }

    /// Gives at most `max` bytes to `put`, and tells how many.
    pub(crate) fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        put: &mut dyn FnMut(&[u8]),
    ) -> Poll<Result<Option<usize>, ReadError>> {
        let mut chunks = [const { Bytes::new() }; BATCH];
        self.poll_chunks(cx, max, &mut chunks).map_ok(|moved| {
            let moved = chunks.get(..moved?).unwrap_or_default();
            moved.iter().for_each(|chunk| put(chunk));
            Some(moved.iter().map(Bytes::len).sum())
        })
    }

    /// Ready with the number of chunks moved, or `None` at the end.
    pub(crate) fn poll_chunks(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        out: &mut [Bytes],
    ) -> Poll<Result<Option<usize>, ReadError>> {
        if max == 0 || out.is_empty() {
            return Poll::Ready(Ok(Some(0)));
        }
        match self.take_ahead(max, out) {
            Some(moved) => Poll::Ready(Ok(Some(moved))),
            None => self.poll_unread(cx, max, out),
        }
    }

    fn poll_unread(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        out: &mut [Bytes],
    ) -> Poll<Result<Option<usize>, ReadError>> {
        let mut locked = self.half.conn.lock();
        match locked.stream(self.half.at).recv_over {
            Some(RecvOver::Finished) => return Poll::Ready(Ok(None)),
            Some(RecvOver::Stopped) => return Poll::Ready(Err(ReadError::Closed)),
            None => {}
        }
        let read = |core: &mut Access<'_, QuinnTransport<'_>>| match core.recv(self.half.key) {
            Ok(mut recv) => recv.read(max, out),
            Err(_) => Err(CoreRead::Gone),
        };
        // Only what moved something gives the driver work: credit, or, in a
        // message, acknowledgements of field sections.
        let read = locked
            .peek(self.half.conn.key, read)
            .unwrap_or(Err(CoreRead::Gone));
        let idle =
            matches!(&read, Ok(read) if read.chunks == 0 && read.state == ReadState::Blocked);
        if !idle || locked.stream(self.half.at).message.is_some() {
            locked.kick();
        }
        match read {
            Ok(read) => {
                if read.state == ReadState::Finished {
                    locked.stream(self.half.at).recv_over = Some(RecvOver::Finished);
                }
                if read.chunks > 0 {
                    return Poll::Ready(Ok(Some(read.chunks)));
                }
                if read.state == ReadState::Finished {
                    return Poll::Ready(Ok(None));
                }
            }
            Err(error) => {
                if let Some(error) = self.half.read_error(&mut locked, error) {
                    return Poll::Ready(Err(error));
                }
            }
        }
        // What had arrived before the connection's end has been read.
        if locked.conn(self.half.at.conn).closed.is_some()
            && let Some(end) = self.half.read_end(&mut locked)
        {
            return Poll::Ready(Err(end));
        }
        locked.wait_read(self.half.at, cx);
        Poll::Pending
    }

    pub(crate) async fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, ReadError> {
        let mut out = [Bytes::new()];
        let moved = poll_fn(|cx| self.poll_chunks(cx, max, &mut out)).await?;
        let [chunk] = out;
        Ok(moved.map(|_| chunk))
    }

    pub(crate) async fn read_to_end(&mut self, limit: usize) -> Result<Bytes, ReadError> {
        let mut all = BytesMut::new();
        let mut chunks = [const { Bytes::new() }; BATCH];
        // One byte more than allowed tells an exact fit from too much.
        while let Some(moved) = {
            let max = limit.saturating_sub(all.len()).saturating_add(1);
            poll_fn(|cx| self.poll_chunks(cx, max, &mut chunks)).await?
        } {
            for chunk in chunks.iter_mut().take(moved) {
                all.extend_from_slice(&std::mem::take(chunk));
            }
            if all.len() > limit {
                return Err(ReadError::TooLong);
            }
        }
        Ok(all.freeze())
    }

    pub(crate) fn stop(&mut self, code: u64) -> Result<(), ResetError> {
        let mut locked = self.half.conn.lock();
        if locked.stream(self.half.at).recv_over.is_some() {
            return Err(ResetError::Gone);
        }
        let stop = |core: &mut Access<'_, QuinnTransport<'_>>| match core.recv(self.half.key) {
            Ok(mut recv) => recv.stop(code),
            Err(_) => Err(ResetError::Gone),
        };
        let done = locked
            .core(self.half.conn.key, stop)
            .unwrap_or(Err(ResetError::Gone));
        if done.is_ok() {
            locked.stream(self.half.at).recv_over = Some(RecvOver::Stopped);
        }
        drop(locked);
        self.ahead.clear();
        done
    }
}

impl Drop for RecvHalf {
    fn drop(&mut self) {
        let code = {
            let mut locked = self.half.conn.lock();
            let served = locked.conn(self.half.at.conn).side == Side::Server;
            let stream = locked.stream(self.half.at);
            if stream.recv_over.is_some() {
                return;
            }
            //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1
            // A server that answers without the rest of the request says
            // H3_NO_ERROR, so that the client keeps the answer.
            if served && stream.message.is_some() && stream.send_over != Some(SendOver::Reset) {
                Code::H3_NO_ERROR.value()
            } else {
                self.half.abandon_code(&mut locked)
            }
        };
        // A stream that ended otherwise needs no stop.
        let _ = self.stop(code);
    }
}
