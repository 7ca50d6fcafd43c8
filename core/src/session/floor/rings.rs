//! HTTP datagrams (RFC 9297): a bounded ring per session or request, and the buffer
//! that outgoing ones are cut from.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use slab::Slab;

use super::Cx;
use super::owner::Owner;
use crate::config::Limits;
use crate::error::DatagramError;
use crate::h3::connection::H3;
use crate::h3::streams::NONE;
use crate::id::StreamKey;
use crate::transport::{DatagramRefused, Transport};
use crate::wire::datagram::{self, ContextId};

/// Size of the buffer that outgoing datagrams are cut from: many of the largest, and little
/// enough for the processor to have it at hand.
const ARENA: usize = 16 * 1024;

/// Size of the blocks of memory in which datagrams arrive. A datagram is a slice of one,
/// and holds all of it.
const BLOCK: usize = 64 * 1024;

/// Blocks that the datagrams of a ring may hold; those that come in others are copied.
const BLOCKS: u8 = 16;

/// What a datagram costs beside its bytes.
const ENTRY: usize = 64;

/// Datagrams of one session or request that the application has not taken.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// The application knows that it is not empty.
    told: bool,
    /// A send was refused for lack of room.
    wants_room: bool,
    /// Blocks held since the ring was empty, and where in the last of them the first
    /// datagram is.
    blocks: u8,
    last_block: usize,
    overflowed: u64,
}

/// What became of a datagram that was put into a ring.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Pushed {
    /// Older ones that were dropped for it.
    pub(crate) dropped: u64,
    /// The application is to be told that there are some.
    pub(crate) tell: bool,
}

impl Ring {
    /// Adds a datagram; the oldest go when it is full, or all rings are: `all` is what
    /// they hold together.
    #[inline]
    pub(crate) fn push(&mut self, payload: Bytes, all: &mut usize, limits: &Limits) -> Pushed {
        self.bytes += payload.len();
        *all += payload.len() + ENTRY;
        let payload = self.within_blocks(payload);
        self.queue.push_back(payload);
        let mut dropped = 0;
        while self.queue.len() > limits.datagrams.max(1)
            || *all > limits.all_datagram_bytes
            || (self.bytes > limits.datagram_bytes && self.queue.len() > 1)
        {
            let Some(oldest) = self.queue.pop_front() else {
                break;
            };
            self.bytes -= oldest.len();
            *all -= oldest.len() + ENTRY;
            dropped += 1;
        }
        self.overflowed += dropped;
        Pushed {
            dropped,
            tell: !std::mem::replace(&mut self.told, true),
        }
    }

    /// The datagram as it arrived, or a copy if it would hold a block too many. What has
    /// come in one block lies close together; a block whose datagrams take turns with
    /// another's is counted each time.
    #[inline]
    fn within_blocks(&mut self, payload: Bytes) -> Bytes {
        if self.queue.is_empty() {
            self.blocks = 0;
        }
        let at = payload.as_ptr().addr();
        if self.blocks > 0 && at.wrapping_sub(self.last_block) < BLOCK {
            return payload;
        }
        if self.blocks == BLOCKS {
            return Bytes::copy_from_slice(&payload);
        }
        self.blocks += 1;
        self.last_block = at;
        payload
    }

    /// Takes the oldest datagram.
    #[inline]
    pub(crate) fn pop(&mut self, all: &mut usize) -> Option<Bytes> {
        let Some(payload) = self.queue.pop_front() else {
            self.told = false;
            return None;
        };
        self.bytes -= payload.len();
        *all -= payload.len() + ENTRY;
        Some(payload)
    }

    /// What it holds of the bytes of all rings.
    pub(crate) fn held(&self) -> usize {
        self.bytes + self.queue.len() * ENTRY
    }

    /// Datagrams that were dropped for lack of room.
    pub(crate) fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Remembers that a send was refused for lack of room.
    pub(crate) fn want_room(&mut self) {
        self.wants_room = true;
    }

    /// Whether a send was refused for lack of room since the last call.
    pub(crate) fn wanted_room(&mut self) -> bool {
        std::mem::take(&mut self.wants_room)
    }
}

/// The rings of requests that are no sessions.
#[derive(Debug, Default)]
pub(crate) struct Rings {
    requests: Slab<(StreamKey, Ring)>,
}

impl Rings {
    /// Gives a request a ring, if it has none.
    pub(crate) fn insert(&mut self, h3: &mut H3, stream: StreamKey) {
        let without = matches!(Owner::find(h3, stream), Owner::Application | Owner::Claimed);
        if without && h3.table.get(stream).is_some() {
            let ring = Ring::default();
            let index = u32::try_from(self.requests.insert((stream, ring))).unwrap_or(NONE);
            Owner::Request(index).give(h3, stream);
        }
    }

    /// Takes a request's ring away, with what is in it.
    pub(crate) fn remove(&mut self, h3: &mut H3, index: u32) {
        if let Some((_, ring)) = self.requests.try_remove(index as usize) {
            h3.ring_bytes -= ring.held();
        }
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Ring> {
        self.requests.get(index as usize).map(|(_, ring)| ring)
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Ring> {
        self.requests.get_mut(index as usize).map(|(_, ring)| ring)
    }

    /// Requests whose sends were refused for lack of room.
    pub(crate) fn wanted_room(&mut self) -> impl Iterator<Item = StreamKey> + '_ {
        self.requests
            .iter_mut()
            .filter_map(|(_, (stream, ring))| ring.wanted_room().then_some(*stream))
    }
}

/// The way out: one buffer that datagrams are cut from.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    arena: BytesMut,
}

impl Outbox {
    /// A datagram with its prefix, in one piece of a shared buffer.
    fn cut(&mut self, prefix: &[u8], payload: &[u8]) -> Bytes {
        let len = prefix.len() + payload.len();
        if self.arena.capacity() - self.arena.len() < len {
            self.arena.reserve(ARENA.max(len));
        }
        self.arena.put_slice(prefix);
        self.arena.put_slice(payload);
        self.arena.split().freeze()
    }

    /// Sends a datagram on a stream whose sending half is open, with a context id before
    /// the payload if there is one.
    pub(crate) fn send<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
        context: Option<ContextId>,
        payload: &[u8],
    ) -> Result<(), DatagramError> {
        let prefix = match context {
            None => datagram::prefix(stream.id()),
            Some(context) => datagram::prefix_with_context(stream.id(), context),
        };
        let len = prefix.len() + payload.len();
        if !cx.h3.datagrams_enabled() {
            return Err(DatagramError::Disabled);
        }
        if cx.t.peer_max_datagram_size().is_some_and(|max| len > max) {
            return Err(DatagramError::TooLarge);
        }
        match cx.t.max_datagram_size() {
            None => return Err(DatagramError::Disabled),
            Some(max) if len > max => return Err(DatagramError::TooLargeForPath),
            Some(_) => {}
        }
        let datagram = self.cut(&prefix, payload);
        match cx.t.send_datagram(datagram) {
            Ok(()) => {
                cx.h3.stats.datagrams_sent += 1;
                Ok(())
            }
            Err(DatagramRefused::Blocked(_)) => Err(DatagramError::Blocked),
            Err(DatagramRefused::TooLarge) => Err(DatagramError::TooLargeForPath),
            Err(DatagramRefused::Disabled) => Err(DatagramError::Disabled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte that waits does not hold the 64 KiB it arrived in: the limit in bytes
    /// would be one in name only.
    #[test]
    fn what_waits_keeps_few_blocks() {
        let (mut ring, mut all) = (Ring::default(), 0);
        let blocks: Vec<_> = (0..200).map(|_| Bytes::from(vec![7; BLOCK])).collect();
        for block in &blocks {
            assert_eq!(
                ring.push(block.slice(5..6), &mut all, &Limits::default())
                    .dropped,
                0
            );
        }
        let kept = blocks.iter().filter(|block| !block.is_unique());
        assert_eq!(kept.count(), usize::from(BLOCKS));
        let taken: Vec<_> = std::iter::from_fn(|| ring.pop(&mut all)).collect();
        assert_eq!(taken, vec![Bytes::from_static(&[7]); 200]);
    }

    #[test]
    fn what_came_together_is_not_copied() {
        let (mut ring, mut all) = (Ring::default(), 0);
        let block = Bytes::from(vec![7; BLOCK]);
        for at in 0..200 {
            ring.push(
                block.slice(at * 100..at * 100 + 5),
                &mut all,
                &Limits::default(),
            );
        }
        for at in 0..200 {
            let taken = ring.pop(&mut all).expect("it waits");
            assert_eq!(taken.as_ptr(), block.slice(at * 100..).as_ptr());
        }
    }

    #[test]
    fn blocks_are_counted_afresh_once_all_is_taken() {
        let (mut ring, mut all) = (Ring::default(), 0);
        let two = Bytes::from(vec![7; 2 * BLOCK]);
        for block in [0, BLOCK] {
            ring.push(two.slice(block..=block), &mut all, &Limits::default());
        }
        assert_eq!(ring.blocks, 2, "not a byte of the second is of the first");
        while ring.pop(&mut all).is_some() {}
        ring.push(two.slice(BLOCK..=BLOCK), &mut all, &Limits::default());
        assert_eq!(ring.blocks, 1);
    }

    #[test]
    fn a_wish_for_room_is_told_once() {
        let mut ring = Ring::default();
        assert!(!ring.wanted_room());
        ring.want_room();
        assert_eq!([0, 1].map(|_| ring.wanted_room()), [true, false]);
    }

    #[test]
    fn datagrams_are_cut_from_one_buffer() {
        let mut outbox = Outbox::default();
        let [one, two] = [0, 1].map(|_| outbox.cut(b"prefix", b"payload"));
        assert_eq!(one, &b"prefixpayload"[..]);
        assert_eq!(two.as_ptr().addr(), one.as_ptr().addr() + one.len());
        let large = outbox.cut(b"", &vec![7; 2 * ARENA]);
        assert_eq!(large.len(), 2 * ARENA);
    }
}
