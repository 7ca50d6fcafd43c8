//! The sending half of any stream.

use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::task::{Context, Poll, ready};

use aqueduct_core::connection::Access;
use aqueduct_core::endpoint::QuinnTransport;
use aqueduct_core::error::WriteError as CoreWrite;
use bytes::Bytes;

use super::Half;
use crate::error::{ResetError, SendError, WriteError};
use crate::shared::{Locked, Slot};
use crate::table::SendOver;

/// The sending half of any stream.
#[derive(Debug)]
pub(crate) struct SendHalf {
    pub(crate) half: Half,
    /// Bytes that the next write from a borrowed buffer copies at most.
    copies: usize,
    /// Where it is waited for the stream's end by polling.
    ended: Slot,
}

/// Bounds of what one write from a borrowed buffer copies.
const COPIES: RangeInclusive<usize> = 1024..=64 * 1024;

impl SendHalf {
    pub(crate) fn new(half: Half) -> Self {
        Self {
            half,
            copies: *COPIES.end(),
            ended: Slot::default(),
        }
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, WriteError>> {
        // More than is taken would be copied in vain, again and again where the peer
        // takes little, and kept as long as the little that it took. So a write copies
        // twice what the last one could place.
        let part = data.get(..data.len().min(self.copies)).unwrap_or_default();
        let polled = self.poll_chunks(cx, &mut [Bytes::copy_from_slice(part)]);
        let taken = match &polled {
            Poll::Ready(Ok(taken)) => *taken,
            Poll::Ready(Err(_)) => return polled,
            Poll::Pending => 0,
        };
        if taken < part.len() || taken == self.copies {
            self.copies = (2 * taken).clamp(*COPIES.start(), *COPIES.end());
        }
        polled
    }

    #[cfg(test)]
    pub(crate) fn copies(&self) -> usize {
        self.copies
    }

    /// Ready when something was taken, or there was nothing to take.
    pub(crate) fn poll_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<usize, WriteError>> {
        let mut locked = self.half.conn.lock();
        self.poll_in(&mut locked, cx, chunks)
    }

    /// As [`Self::poll_chunks`], under the lock.
    pub(crate) fn poll_in(
        &self,
        locked: &mut Locked<'_>,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<usize, WriteError>> {
        if let Some(over) = locked.stream(self.half.at).send_over {
            return Poll::Ready(Err(over.into()));
        }
        if chunks.iter().all(Bytes::is_empty) {
            return Poll::Ready(Ok(0));
        }
        let write = |core: &mut Access<'_, QuinnTransport<'_>>| match core.send(self.half.key) {
            Ok(mut send) => send.write(chunks),
            Err(_) => Err(CoreWrite::Gone),
        };
        match locked
            .core_often(self.half.conn.key, write)
            .unwrap_or(Err(CoreWrite::Gone))
        {
            Ok(0) => {}
            Ok(taken) => return Poll::Ready(Ok(taken)),
            Err(error) => {
                if let Some(error) = self.half.write_error(locked, error) {
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

    /// Sends all of a chunk and the end, most often with the lock taken once.
    pub(crate) async fn finish_with(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        let chunks = &mut [chunk];
        poll_fn(|cx| self.poll_finish_with(&mut self.half.conn.lock(), cx, chunks)).await
    }

    /// Ready when all was taken and the end has been said.
    pub(crate) fn poll_finish_with(
        &self,
        locked: &mut Locked<'_>,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<(), WriteError>> {
        while !chunks.iter().all(Bytes::is_empty) {
            let _taken = ready!(self.poll_in(locked, cx, chunks))?;
        }
        Poll::Ready(self.finish_in(locked))
    }

    pub(crate) fn finish(&mut self) -> Result<(), WriteError> {
        let mut locked = self.half.conn.lock();
        self.finish_in(&mut locked)
    }

    fn finish_in(&self, locked: &mut Locked<'_>) -> Result<(), WriteError> {
        if let Some(over) = locked.stream(self.half.at).send_over {
            return Err(over.into());
        }
        let finish = |core: &mut Access<'_, QuinnTransport<'_>>| match core.send(self.half.key) {
            Ok(mut send) => send.finish(),
            Err(_) => Err(SendError::Gone),
        };
        match locked
            .core_often(self.half.conn.key, finish)
            .unwrap_or(Err(SendError::Gone))
        {
            Ok(()) => {
                locked.end_send(self.half.at, SendOver::Finished);
                Ok(())
            }
            Err(error) => Err(self.half.send_error(locked, error)),
        }
    }

    pub(crate) fn reset(&mut self, code: u64) -> Result<(), ResetError> {
        let mut locked = self.half.conn.lock();
        self.half.reset(&mut locked, code)
    }

    /// Ready as soon as [`Half::stopped`] is.
    #[cfg(feature = "_polled")]
    pub(crate) fn poll_stopped(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<aqueduct_core::error::PeerCode>, WriteError>> {
        let Self { half, ended, .. } = self;
        ended.poll(&half.conn.shared, cx, |locked| half.stopped_yet(locked))
    }

    /// Nothing more will be written: what the handles note about it.
    pub(crate) fn over(&self, locked: &mut Locked<'_>) {
        locked.end_send(self.half.at, SendOver::Finished);
    }
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        let Self { half, ended, .. } = self;
        let last = half.is_last();
        let mut locked = half.conn.lock();
        ended.leave(&mut locked);
        if locked.stream(half.at).send_over.is_none() {
            let code = half.abandon_code(&mut locked);
            // A stream that ended otherwise needs no reset.
            let _ = half.reset(&mut locked, code);
        }
        // Under the same hold of the lock.
        half.release(&mut locked, last);
        drop(locked);
        half.released = true;
    }
}
