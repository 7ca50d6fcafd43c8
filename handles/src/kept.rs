//! What is kept of an answer when its connection ends before it was read.

use std::collections::VecDeque;

use aqueduct_core::connection::Access;
use aqueduct_core::endpoint::QuinnTransport;
use aqueduct_core::id::StreamKey;
use aqueduct_core::transport::{Read, ReadState};
use bytes::Bytes;

/// Chunks read from the core at a time.
const BATCH: usize = 16;

/// Content that had arrived: no more than a receive window of it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    chunks: VecDeque<Bytes>,
    /// The end had arrived as well.
    whole: bool,
}

impl Kept {
    /// Whether there is anything.
    pub(crate) fn is_empty(&self) -> bool {
        !self.whole && self.chunks.is_empty()
    }

    /// As the core reads.
    pub(crate) fn read(&mut self, max: usize, out: &mut [Bytes]) -> Read {
        let (mut chunks, mut bytes) = (0, 0);
        for slot in out {
            let Some(chunk) = self.chunks.front_mut().filter(|_| bytes < max) else {
                break;
            };
            *slot = chunk.split_to(chunk.len().min(max - bytes));
            bytes += slot.len();
            chunks += 1;
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
        let state = match (self.chunks.is_empty(), self.whole) {
            (false, _) => ReadState::Open,
            (true, true) => ReadState::Finished,
            (true, false) => ReadState::Blocked,
        };
        Read::new(chunks, bytes, state)
    }

    /// Takes what has arrived of a message; whether there may be more.
    pub(crate) fn fill(
        &mut self,
        core: &mut Access<'_, QuinnTransport<'_>>,
        stream: StreamKey,
    ) -> bool {
        let mut out = [const { Bytes::new() }; BATCH];
        let read = core.recv(stream).ok();
        let Some(Ok(read)) = read.map(|mut recv| recv.read(usize::MAX, &mut out)) else {
            return false;
        };
        let got = out.iter_mut().take(read.chunks).map(std::mem::take);
        self.chunks.extend(got);
        self.whole = read.state == ReadState::Finished;
        // A turn's work may be used up before what has arrived is.
        !self.whole && read.chunks > 0
    }
}
