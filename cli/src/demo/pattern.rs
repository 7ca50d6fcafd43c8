//! The pattern of test bytes: byte `i` is `(i * 131 + (i >> 8)) & 255`.
//!
//! Only the low sixteen bits of `i` matter, so the pattern repeats every 64 KiB. One shared block
//! of two periods serves every chunk as a slice without a copy, and checking is a comparison of
//! slices.

use std::sync::LazyLock;

use bytes::Bytes;
use thiserror::Error;

/// The longest chunk that a [`Pattern`] yields, and the length after which it repeats.
pub const CHUNK: usize = 1 << 16;

static BLOCK: LazyLock<Bytes> = LazyLock::new(|| (0..2 * CHUNK as u64).map(byte_at).collect());

/// Byte `index` of the pattern.
pub fn byte_at(index: u64) -> u8 {
    (index.wrapping_mul(131).wrapping_add(index >> 8) & 255) as u8
}

/// The part of the shared block that starts where the pattern is at `offset`.
fn slice_at(offset: u64, len: usize) -> Bytes {
    let start = (offset % CHUNK as u64) as usize;
    BLOCK.slice(start..start + len.min(CHUNK))
}

/// The first bytes of the pattern, in chunks of at most [`CHUNK`]. No chunk is copied or allocated.
#[derive(Clone, Debug)]
pub struct Pattern {
    next: u64,
    end: u64,
}

impl Pattern {
    /// A pattern of `len` bytes.
    pub fn new(len: u64) -> Self {
        Self { next: 0, end: len }
    }

    /// Bytes not yet yielded.
    pub fn remaining(&self) -> u64 {
        self.end - self.next
    }
}

impl Iterator for Pattern {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let left = self.remaining();
        if left == 0 {
            return None;
        }
        let chunk = slice_at(self.next, usize::try_from(left).unwrap_or(CHUNK));
        self.next += chunk.len() as u64;
        Some(chunk)
    }
}

/// Compares a received stream with the pattern, in whatever chunks it comes.
#[derive(Clone, Debug, Default)]
pub struct PatternCheck {
    received: u64,
}

impl PatternCheck {
    /// Bytes checked so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Checks the next bytes of the stream. O(n).
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Mismatch> {
        for piece in chunk.chunks(CHUNK) {
            let expected = slice_at(self.received, piece.len());
            if piece != expected {
                let at = piece
                    .iter()
                    .zip(&expected)
                    .position(|(got, want)| got != want);
                let at = at.unwrap_or_default();
                return Err(Mismatch {
                    offset: self.received + at as u64,
                    expected: expected[at],
                    got: piece[at],
                });
            }
            self.received += piece.len() as u64;
        }
        Ok(())
    }
}

/// The first byte of a stream that is not that of the pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Error)]
#[error("byte {offset} is {got:#04x} where {expected:#04x} was expected")]
pub struct Mismatch {
    /// Offset in the stream, in bytes.
    pub offset: u64,
    /// The byte of the pattern.
    pub expected: u8,
    /// The byte received.
    pub got: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_join_to_the_formula_across_periods() {
        let len = 3 * CHUNK as u64 + 17;
        let mut joined = Vec::new();
        for chunk in Pattern::new(len) {
            assert!(chunk.len() <= CHUNK);
            joined.extend_from_slice(&chunk);
        }
        assert_eq!(joined.len() as u64, len);
        for (i, byte) in (0u64..).zip(&joined) {
            assert_eq!(u64::from(*byte), (i * 131 + (i >> 8)) & 255, "byte {i}");
        }
        assert_eq!(Pattern::new(0).next(), None);
        // The largest size must neither overflow nor allocate.
        assert_eq!(
            Pattern::new(u64::MAX)
                .take(3)
                .map(|c| c.len())
                .sum::<usize>(),
            3 * CHUNK
        );
    }

    #[test]
    fn checking_accepts_any_chunking_and_names_the_first_wrong_byte() {
        let mut data: Vec<u8> = (0..200_000).map(byte_at).collect();
        for size in [1, 7, 1000, CHUNK, 150_000] {
            let mut check = PatternCheck::default();
            for chunk in data.chunks(size) {
                check.push(chunk).unwrap();
            }
            assert_eq!(check.received(), 200_000);
        }
        data[150_001] ^= 0x80;
        let mut check = PatternCheck::default();
        let wrong = data
            .chunks(999)
            .find_map(|chunk| check.push(chunk).err())
            .unwrap();
        assert_eq!(wrong.offset, 150_001);
        assert_eq!(wrong.got ^ wrong.expected, 0x80);
    }
}
