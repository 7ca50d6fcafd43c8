//! The memory of received datagrams: what of it is still in use, counted for each
//! connection, and used again.
//!
//! QUIC keeps slices of a datagram for as long as something in it is unread, and a
//! slice holds all of it. What leaves QUIC is copied
//! ([`QuinnTransport`](super::QuinnTransport)), so a datagram is in use here exactly as
//! long as QUIC itself has unread bytes of it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// What a datagram costs beside its bytes: the counter of its users, the allocator's
/// words, and quinn's entry for a frame in it.
const OVERHEAD: usize = 128;

/// Smallest buffer that is kept to be used again.
const KEEP: usize = 1200;

/// Buffers that are kept to be used again.
const SPARE: usize = 512;

/// Datagrams in use from which on those in the middle are looked at.
const SWEEP: usize = 64;

/// Buffers for datagrams, used again as soon as nobody has unread bytes in them.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    spare: Vec<BytesMut>,
}

impl Buffers {
    /// A copy of a datagram, in memory of its own.
    pub(super) fn copy(&mut self, datagram: &[u8]) -> BytesMut {
        if datagram.len() >= KEEP
            && let Some(mut buffer) = self.spare.pop()
            && buffer.capacity() >= datagram.len()
        {
            buffer.extend_from_slice(datagram);
            return buffer;
        }
        BytesMut::from(datagram)
    }

    fn put(&mut self, buffer: BytesMut) {
        if buffer.capacity() >= KEEP && self.spare.len() < SPARE {
            self.spare.push(buffer);
        }
    }
}

/// Blocks that the small ones among the datagrams that QUIC gives at once are copied to: a
/// few of them to a block, which lives as long as any of these.
const BLOCK: usize = 4096;

/// Copies of what QUIC gives as datagrams, which do not hold the packets they came in.
#[derive(Debug, Default)]
pub(super) struct Copies {
    block: BytesMut,
    /// One has been copied since the last time there was no other.
    begun: bool,
}

impl Copies {
    /// One more. Memory of its own is for the first, which may be the only one, and for what
    /// leaves no room for others.
    pub(super) fn copy(&mut self, datagram: &[u8]) -> Bytes {
        if !std::mem::replace(&mut self.begun, true) || datagram.len() > BLOCK / 8 {
            return Bytes::copy_from_slice(datagram);
        }
        if self.block.capacity() < datagram.len() {
            self.block = BytesMut::with_capacity(BLOCK);
        }
        self.block.extend_from_slice(datagram);
        self.block.split().freeze()
    }

    /// There is no other: nothing is kept while none comes.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }
}

/// The memory of a datagram.
#[derive(Debug)]
pub(super) struct Memory {
    /// What is behind the last byte.
    rest: BytesMut,
    /// Bytes of all of it.
    pub(super) bytes: usize,
    /// Bytes of the datagram.
    pub(super) len: usize,
}

/// The datagrams of one connection that are in use.
#[derive(Debug)]
pub(super) struct Received {
    held: VecDeque<Memory>,
    /// Of all that are held.
    bytes: usize,
    len: usize,
    sweep_at: usize,
    /// How many have been looked at one by one.
    swept: u64,
}

impl Default for Received {
    fn default() -> Self {
        Self {
            held: VecDeque::new(),
            bytes: 0,
            len: 0,
            sweep_at: SWEEP,
            swept: 0,
        }
    }
}

impl Received {
    /// Splits off what remembers a datagram's memory while QUIC has the datagram.
    pub(super) fn remember(datagram: &mut BytesMut) -> Memory {
        let (bytes, len) = (datagram.capacity() + OVERHEAD, datagram.len());
        let rest = datagram.split_off(len);
        Memory { rest, bytes, len }
    }

    /// Counts a datagram that QUIC has dealt with, if any of it is still in use.
    /// O(1), amortized.
    pub(super) fn push(&mut self, mut datagram: Memory, buffers: &mut Buffers) {
        if is_free(&mut datagram.rest) {
            return buffers.put(datagram.rest);
        }
        self.bytes += datagram.bytes;
        self.len += datagram.len;
        self.held.push_back(datagram);
        if self.held.len() >= self.sweep_at {
            self.sweep(buffers);
        }
    }

    /// Lets go of the oldest ones that are in use no more.
    #[inline]
    pub(super) fn release(&mut self, buffers: &mut Buffers) {
        while let Some(front) = self.held.front_mut()
            && is_free(&mut front.rest)
        {
            self.bytes -= front.bytes;
            self.len -= front.len;
            if let Some(front) = self.held.pop_front() {
                buffers.put(front.rest);
            }
        }
    }

    /// Lets go of all that are in use no more. O(datagrams in use), which is counted.
    pub(super) fn sweep(&mut self, buffers: &mut Buffers) {
        self.swept += self.held.len() as u64;
        for mut datagram in std::mem::take(&mut self.held) {
            if is_free(&mut datagram.rest) {
                self.bytes -= datagram.bytes;
                self.len -= datagram.len;
                buffers.put(datagram.rest);
            } else {
                self.held.push_back(datagram);
            }
        }
        self.sweep_at = (self.held.len() * 2).max(SWEEP);
    }

    /// Datagrams that sweeps have looked at so far.
    pub(super) fn swept(&self) -> u64 {
        self.swept
    }

    /// Bytes of memory that are in use, as of the last time anybody looked.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the datagrams in use: there are no more of streams in them.
    pub(super) fn content(&self) -> usize {
        self.len
    }
}

/// Whether nobody else uses the memory; then all of it is this buffer's again.
fn is_free(rest: &mut BytesMut) -> bool {
    // More than there is behind the datagram can be had only if nobody has the datagram.
    rest.try_reclaim(rest.capacity() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(buffers: &mut Buffers, len: usize) -> (BytesMut, Memory) {
        let mut datagram = buffers.copy(&vec![7; len]);
        let rest = Received::remember(&mut datagram);
        (datagram, rest)
    }

    #[test]
    fn a_slice_counts_as_the_datagram_it_holds() {
        let (mut received, mut buffers) = (Received::default(), Buffers::default());
        let (unread, rest) = datagram(&mut buffers, 1400);
        let slice = unread.freeze().slice(700..701);
        received.push(rest, &mut buffers);
        assert_eq!(received.bytes(), 1400 + OVERHEAD);
        received.release(&mut buffers);
        received.sweep(&mut buffers);
        assert_eq!(received.bytes(), 1400 + OVERHEAD);
        assert_eq!(received.content(), 1400);
        drop(slice);
        received.release(&mut buffers);
        assert_eq!((received.bytes(), received.content()), (0, 0));
    }

    #[test]
    fn what_nobody_holds_is_used_again() {
        let (mut received, mut buffers) = (Received::default(), Buffers::default());
        let (read, rest) = datagram(&mut buffers, 1400);
        let at = read.as_ptr();
        drop(read);
        received.push(rest, &mut buffers);
        assert_eq!(received.bytes(), 0);
        let (again, _) = datagram(&mut buffers, 1300);
        assert_eq!(again.as_ptr(), at);
        assert_eq!(again, vec![7; 1300]);
    }

    #[test]
    fn small_ones_that_come_together_share_a_block() {
        let mut copies = Copies::default();
        let [alone, one, two] = [7; 3].map(|byte| copies.copy(&[byte; 100]));
        assert_eq!(two.as_ptr().addr(), one.as_ptr().addr() + one.len());
        let large = copies.copy(&[7; 1200]);
        assert_eq!([alone.len(), large.len()], [100, 1200]);
    }

    #[test]
    fn nothing_is_kept_while_none_comes() {
        let mut copies = Copies::default();
        let mut kept: Vec<_> = (0..3).map(|_| copies.copy(&[7; 100])).collect();
        copies.end();
        kept.truncate(2);
        assert!(kept.iter().all(Bytes::is_unique));
    }

    #[test]
    fn one_that_is_held_hides_no_others_for_long() {
        let (mut received, mut buffers) = (Received::default(), Buffers::default());
        let (_held, rest) = datagram(&mut buffers, 1400);
        received.push(rest, &mut buffers);
        for _ in 0..1000 {
            let (brief, rest) = datagram(&mut buffers, 1400);
            received.push(rest, &mut buffers);
            drop(brief);
            received.release(&mut buffers);
        }
        assert!(received.bytes() <= SWEEP * (1400 + OVERHEAD));
    }
}
