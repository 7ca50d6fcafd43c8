//! The receiving half of any stream.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use aqueduct_core::code::Code;
use aqueduct_core::connection::Access;
use aqueduct_core::endpoint::QuinnTransport;
use aqueduct_core::error::ReadError as CoreRead;
use aqueduct_core::id::Side;
use aqueduct_core::transport::{Read, ReadState};
use bytes::{Bytes, BytesMut};

use super::Half;
use crate::error::{ReadError, ResetError};
use crate::share::price_of;
use crate::shared::Locked;
use crate::table::{RecvOver, SendOver};

/// Chunks moved per lock when bytes are collected.
const BATCH: usize = 16;

/// Chunks of fewer bytes are joined with what comes behind them.
const SMALL: usize = 512;

/// Bytes that are joined to a small chunk at most, one copy.
const JOINED: usize = 4096;

/// Batches that are joined at most.
const ROUNDS: usize = 16;

/// Bytes that waiting for a stream's end reads ahead at most.
const AHEAD: usize = 64 * 1024;

/// The receiving half of any stream.
#[derive(Debug)]
pub(crate) struct RecvHalf {
    pub(crate) half: Half,
    /// What waiting for the end has read ahead, oldest first.
    ahead: VecDeque<Bytes>,
    /// The end has been read.
    over: bool,
    /// No trailers came with it.
    pub(crate) plain: bool,
}

impl RecvHalf {
    /// Whether it is known to be read to its end.
    pub(crate) fn is_over(&self) -> bool {
        self.over && self.ahead.is_empty()
    }

    pub(crate) fn new(half: Half) -> Self {
        Self {
            half,
            ahead: VecDeque::new(),
            over: false,
            plain: false,
        }
    }

    /// Ready with one chunk, or `None` at the end. Reads as far as the end if that is all
    /// that comes behind it, so that it need not be looked for.
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        let mut chunks = [const { Bytes::new() }; 2];
        let moved = ready!(self.poll_chunks(cx, usize::MAX, &mut chunks))?;
        let [mut chunk, next] = chunks;
        if moved == Some(2) {
            if chunk.len() < SMALL && next.len() <= JOINED {
                chunk = [&chunk[..], &next[..]].concat().into();
            } else {
                self.ahead.push_front(next);
            }
        }
        Poll::Ready(Ok(moved.map(|_| chunk)))
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

    /// Bytes that are still to be read, as far as that is known, and whether nothing more
    /// comes, trailers neither.
    pub(crate) fn left(&self) -> (Option<u64>, bool) {
        let ahead: usize = self.ahead.iter().map(Bytes::len).sum();
        let mut locked = self.half.conn.lock();
        // Trailers are told by an event.
        locked.pump();
        let stream = locked.stream(self.half.at);
        let trailers = (stream.message.as_ref()).is_some_and(|message| message.trailers.is_some());
        let (left, over) = match stream.recv_over {
            Some(RecvOver::Finished) => (Some(0), true),
            Some(RecvOver::Stopped) => (None, false),
            None => {
                let (key, stream) = (self.half.conn.key, self.half.key);
                let peeked = locked.peek(key, |core| {
                    (core.content_left(stream), core.is_content_over(stream))
                });
                peeked.unwrap_or((None, false))
            }
        };
        let left = left.map(|left| left.saturating_add(ahead as u64));
        (left, over && ahead == 0 && !trailers)
    }

    /// Ready when the peer has ended or reset the stream, or this side stopped it.
    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
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
        self.poll_copy(cx, out.len(), &mut into_buffer(out))
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

    /// Ready when the connection's share allows as much more as `price`.
    pub(crate) fn poll_share(&mut self, cx: &mut Context<'_>, price: u32) -> Poll<()> {
        let mut locked = self.half.conn.lock();
        if locked.rest_reader(self.half.at, cx) {
            return Poll::Pending;
        }
        locked.take_share(self.half.at.conn, price);
        Poll::Ready(())
    }

    fn poll_unread(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        out: &mut [Bytes],
    ) -> Poll<Result<Option<usize>, ReadError>> {
        if self.over {
            return Poll::Ready(Ok(None));
        }
        let mut locked = self.half.conn.lock();
        match locked.stream(self.half.at).recv_over {
            Some(RecvOver::Finished) => return Poll::Ready(Ok(None)),
            Some(RecvOver::Stopped) => return Poll::Ready(Err(ReadError::Closed)),
            None => {}
        }
        if locked.rest_reader(self.half.at, cx) {
            return Poll::Pending;
        }
        match self.read_now(&mut locked, max, out) {
            Ok(read) => {
                if read.chunks > 0 {
                    if read.state == ReadState::Open
                        && let Some(last) = out.get_mut(read.chunks - 1)
                        && last.len() < SMALL
                    {
                        self.join(&mut locked, last, max - read.bytes);
                    }
                    let stream = locked.stream(self.half.at);
                    self.over = stream.recv_over == Some(RecvOver::Finished);
                    self.plain = stream.plain;
                    return Poll::Ready(Ok(Some(read.chunks)));
                }
                if read.state == ReadState::Finished {
                    self.plain = locked.stream(self.half.at).plain;
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

    /// One read of the core's.
    fn read_now(
        &self,
        locked: &mut Locked<'_>,
        max: usize,
        out: &mut [Bytes],
    ) -> Result<Read, CoreRead> {
        if let Some(kept) = &mut locked.stream(self.half.at).kept {
            let read = kept.read(max, out);
            if read.state == ReadState::Finished {
                locked.end_recv(self.half.at, RecvOver::Finished);
            }
            return Ok(read);
        }
        let mut trailers = None;
        let read = |core: &mut Access<'_, QuinnTransport<'_>>| {
            let read = match core.recv(self.half.key) {
                Ok(mut recv) => recv.read(max, out),
                Err(_) => Err(CoreRead::Gone),
            };
            if matches!(&read, Ok(read) if read.state == ReadState::Finished) {
                trailers = Some(core.stats().trailers);
            }
            read
        };
        // Only what moved something gives the driver work: credit, or, in a
        // message, acknowledgements of field sections.
        let read = locked
            .quietly(self.half.conn.key, read)
            .unwrap_or(Err(CoreRead::Gone));
        let idle =
            matches!(&read, Ok(read) if read.chunks == 0 && read.state == ReadState::Blocked);
        if !idle || locked.stream(self.half.at).message.is_some() {
            locked.kick();
        }
        if let Ok(read) = &read {
            if read.state == ReadState::Finished {
                locked.end_recv(self.half.at, RecvOver::Finished);
                // Trailers are told by an event, which the read that finds the end causes.
                // Most have none.
                let told = locked.conn(self.half.at.conn).trailers;
                let stream = locked.stream(self.half.at);
                let message = stream.message.as_ref();
                let none = message.is_none_or(|message| message.trailers.is_none());
                stream.plain = none && trailers == Some(told);
            }
            if read.chunks > 0 {
                let price = price_of(read.chunks, read.bytes);
                locked.take_share(self.half.at.conn, price);
            }
        }
        read
    }

    /// Joins to a small chunk what comes behind it: a peer that sends in small pieces
    /// makes no more work for those who read than it sends bytes.
    fn join(&self, locked: &mut Locked<'_>, last: &mut Bytes, room: usize) {
        let mut joined = BytesMut::new();
        let mut chunks = [const { Bytes::new() }; BATCH];
        for _ in 0..ROUNDS {
            let max = room.min(JOINED).saturating_sub(joined.len());
            if max == 0 {
                break;
            }
            let read = match self.read_now(locked, max, &mut chunks) {
                Ok(read) => read,
                Err(error) => {
                    // What came before is given first; the next read tells it.
                    if let CoreRead::Reset(code) = error {
                        locked.stream(self.half.at).reset.get_or_insert(code);
                    }
                    break;
                }
            };
            for chunk in chunks.iter_mut().take(read.chunks) {
                joined.extend_from_slice(&std::mem::take(chunk));
            }
            if read.state != ReadState::Open {
                break;
            }
        }
        if !joined.is_empty() {
            *last = [&last[..], &joined[..]].concat().into();
        }
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
        let kept = locked.stream(self.half.at).kept.take();
        let done = locked
            .core(self.half.conn.key, stop)
            .unwrap_or(Err(ResetError::Gone));
        if done.is_ok() || kept.is_some() {
            locked.end_recv(self.half.at, RecvOver::Stopped);
        }
        drop(locked);
        self.ahead.clear();
        done
    }
}

impl Drop for RecvHalf {
    fn drop(&mut self) {
        if self.over {
            return;
        }
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

/// Puts pieces one behind the other into `out`, which has room for them all.
pub(crate) fn into_buffer(out: &mut [u8]) -> impl FnMut(&[u8]) {
    let mut rest = out;
    move |bytes| {
        // No more than asked for comes.
        let (part, behind) = std::mem::take(&mut rest).split_at_mut(bytes.len());
        part.copy_from_slice(bytes);
        rest = behind;
    }
}
