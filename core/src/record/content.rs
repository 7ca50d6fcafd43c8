//! What a connection read from its streams, with everything secret replaced by
//! bytes of the same length that HTTP/3 parses to the same structure.
//!
//! Kept are: stream types and ids, frame and capsule headers, control frames, the
//! instructions of the QPACK streams, field names, capsules about limits. Masked
//! are field values and the message of a session's end. All else is counted.

mod capsules;
mod frames;
mod output;
mod stream;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(crate) use self::output::Piece;
use self::output::{Output, Sink};
use self::stream::{Shared, Stream, Wait};
use super::mask::Mask;
use crate::config::Config;
use crate::id::{Side, StreamId};
use crate::wire::qpack::Hider;

/// Most bytes of a stream held while it is not known what to make of them. That is
/// what the connection itself reads ahead.
const MAX_HELD: usize = 64 * 1024;

/// Streams that may be over and wait all the same.
const MAX_ENDED: usize = 16;

/// What a bidirectional stream turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request and its response, or a tunnel: content is opaque.
    Exchange,
    /// The CONNECT stream of a session: content is capsules.
    Session,
    /// A data stream of a session that we opened: all of it is opaque.
    Data,
}

/// The streams of one connection, as far as they were read.
///
/// What comes out of a stream adds up to what went in, in order, and may lag behind
/// it: until a unit is whole, until the insertions it refers to have come, until it
/// is known what a stream is for. A stream costs one field section, what is held
/// meanwhile (64 KiB) and one message of a session's end.
#[derive(Debug)]
pub(crate) struct Contents {
    /// `None` if nothing is hidden.
    shared: Option<Shared>,
    streams: BTreeMap<StreamId, Stream>,
    /// Streams with a section that waits, by its Required Insert Count.
    blocked: BTreeSet<(u64, StreamId)>,
    /// Streams that are over and wait, the oldest first.
    ended: VecDeque<StreamId>,
}

impl Contents {
    /// Nothing read yet. Without a mask, every byte passes.
    pub(crate) fn new(mask: Option<Mask>, side: Side, config: &Config) -> Self {
        let limits = &config.limits;
        Self {
            shared: mask.map(|mask| Shared {
                mask,
                side,
                webtransport: config.webtransport,
                control_frame: limits.control_frame,
                section: limits.field_section_encoded,
                hider: Hider::new(limits.qpack_table),
                encoder: None,
                decoder: None,
            }),
            streams: BTreeMap::new(),
            blocked: BTreeSet::new(),
            ended: VecDeque::new(),
        }
    }

    /// Takes what was read next from a stream. Linear in its length.
    pub(crate) fn read(&mut self, id: StreamId, bytes: &[u8], out: Sink<'_>) {
        let Some(shared) = &self.shared else {
            if !bytes.is_empty() {
                out(id, Piece::Bytes(bytes));
            }
            return;
        };
        let side = shared.side;
        let mut stream = self.take(id).unwrap_or_else(|| Stream::new(id, side));
        if stream.wait.is_some() {
            stream.held.extend_from_slice(bytes);
            if stream.held.len() > MAX_HELD {
                self.with(&mut stream, out, |stream, shared, out| {
                    stream.give_up(shared, out);
                    resume(stream, shared, out);
                });
            }
        } else {
            self.with(&mut stream, out, |stream, shared, out| {
                feed(stream, bytes, shared, out);
            });
        }
        self.put(stream, out);
        let encoder = self.shared.as_ref().and_then(|shared| shared.encoder);
        if encoder == Some(id) {
            self.unblock(out);
        }
    }

    /// Says what a bidirectional stream is for: before anything is read from one that
    /// we opened, once its head was read for one of the peer's.
    pub(crate) fn learn(&mut self, id: StreamId, kind: Kind, out: Sink<'_>) {
        let Some(shared) = &self.shared else {
            return;
        };
        let side = shared.side;
        let local = (id.initiator() == side).then(|| Stream::new(id, side));
        // A stream of the peer's that is not there is over.
        let Some(mut stream) = self.take(id).or(local) else {
            return;
        };
        // Content that was counted in the meantime cannot be read from its middle.
        stream.kind.get_or_insert(kind);
        if matches!(stream.wait, Some(Wait::Kind)) {
            stream.wait = None;
            self.with(&mut stream, out, resume);
        }
        self.put(stream, out);
    }

    /// No more bytes will come from a stream. What still waits comes out when it no
    /// longer has to; the rest comes out at once.
    pub(crate) fn end(&mut self, id: StreamId, out: Sink<'_>) {
        let Some(mut stream) = self.take(id) else {
            return;
        };
        stream.ended = true;
        self.put(stream, out);
    }

    /// No more bytes will come from any stream: everything comes out.
    pub(crate) fn end_all(&mut self, out: Sink<'_>) {
        while let Some((_, stream)) = self.streams.pop_first() {
            self.close(stream, out);
        }
        self.blocked.clear();
        self.ended.clear();
    }

    /// Goes on with the sections whose insertions have come.
    fn unblock(&mut self, out: Sink<'_>) {
        while let Some((required, id)) = self.blocked.first().copied()
            && (self.shared.as_ref()).is_some_and(|shared| required <= shared.hider.inserted())
        {
            // Taking the stream takes it out of the list, too.
            let Some(mut stream) = self.take(id) else {
                return;
            };
            self.with(&mut stream, out, |stream, shared, out| {
                stream.unblock(shared, out);
                resume(stream, shared, out);
            });
            self.put(stream, out);
        }
    }

    fn take(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.streams.remove(&id)?;
        if let Some(Wait::Section { required, .. }) = stream.wait {
            self.blocked.remove(&(required, id));
        }
        if stream.ended {
            self.ended.retain(|ended| *ended != id);
        }
        Some(stream)
    }

    fn put(&mut self, stream: Stream, out: Sink<'_>) {
        let id = stream.id();
        if stream.ended {
            if stream.wait.is_none() {
                return self.close(stream, out);
            }
            if self.ended.len() >= MAX_ENDED
                && let Some(oldest) = self.ended.front().copied()
                && let Some(oldest) = self.take(oldest)
            {
                self.close(oldest, out);
            }
            self.ended.push_back(id);
        }
        if let Some(Wait::Section { required, .. }) = stream.wait {
            self.blocked.insert((required, id));
        }
        self.streams.insert(id, stream);
    }

    fn close(&mut self, mut stream: Stream, out: Sink<'_>) {
        self.with(&mut stream, out, |stream, shared, out| {
            while stream.wait.is_some() {
                stream.give_up(shared, out);
                resume(stream, shared, out);
            }
            stream.finish(shared, out);
        });
    }

    fn with(
        &mut self,
        stream: &mut Stream,
        out: Sink<'_>,
        work: impl FnOnce(&mut Stream, &mut Shared, &mut Output<'_>),
    ) {
        if let Some(shared) = &mut self.shared {
            let mut output = Output::new(stream.id(), out, stream.message.take());
            work(stream, shared, &mut output);
            stream.message = output.finish();
        }
    }
}

/// Goes on with what was held.
fn resume(stream: &mut Stream, shared: &mut Shared, out: &mut Output<'_>) {
    let held = std::mem::take(&mut stream.held);
    feed(stream, &held, shared, out);
}

fn feed(stream: &mut Stream, mut input: &[u8], shared: &mut Shared, out: &mut Output<'_>) {
    loop {
        stream.advance(&mut input, shared, out);
        if input.len() <= MAX_HELD {
            stream.held.extend_from_slice(input);
            return;
        }
        stream.give_up(shared, out);
    }
}

#[cfg(test)]
mod tests;
