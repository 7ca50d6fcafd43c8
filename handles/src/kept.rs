//! What is kept of an answer when its connection ends before it was read.

use std::collections::VecDeque;

use aqueduct_core::connection::Access;
use aqueduct_core::endpoint::QuinnTransport;
use aqueduct_core::error::CloseReason;
use aqueduct_core::id::{ConnKey, Side, StreamKey};
use aqueduct_core::transport::{Read, ReadState};
use bytes::Bytes;

use crate::clock::now;
use crate::table::State;

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

    /// All that has arrived of a message.
    fn of(core: &mut Access<'_, QuinnTransport<'_>>, stream: StreamKey, kept: &mut Self) -> bool {
        let mut out = [const { Bytes::new() }; BATCH];
        let read = core.recv(stream).ok();
        let Some(Ok(read)) = read.map(|mut recv| recv.read(usize::MAX, &mut out)) else {
            return false;
        };
        let got = out.iter_mut().take(read.chunks).map(std::mem::take);
        kept.chunks.extend(got);
        kept.whole = read.state == ReadState::Finished;
        // A turn's work may be used up before what has arrived is.
        !kept.whole && read.chunks > 0
    }
}

impl State {
    /// A connection has ended that the client's answers came on: those that somebody
    /// reads are taken out of it, since QUIC forgets it soon. Who closed it itself has
    /// given them up.
    pub(crate) fn keep_unread(&mut self, at: usize, key: ConnKey, reason: &CloseReason) {
        let conn = &mut self.conns[at];
        if conn.side == Side::Server || matches!(reason, CloseReason::Local { .. }) {
            return;
        }
        for (_, stream) in &mut conn.streams {
            if stream.message.is_none() || stream.refs == 0 || stream.recv_over.is_some() {
                continue;
            }
            let mut kept = Kept::default();
            // Each read is a turn of its own.
            while let Some(mut core) = self.endpoint.connection(now(), key)
                && Kept::of(&mut core.access(), stream.key, &mut kept)
            {}
            if kept.whole || !kept.chunks.is_empty() {
                stream.kept = Some(Box::new(kept));
            }
        }
    }
}
