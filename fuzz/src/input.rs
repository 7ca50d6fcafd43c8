//! Bytes as a source of decisions, and of chunk sizes.

use bytes::Bytes;

/// Decisions taken from the front of the input; all zero once it is used up.
#[derive(Clone, Debug)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// All of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether every further decision will be zero.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A number below 256.
    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// One of `n` choices.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n.max(1)
    }

    /// A number below 2^62, as a QUIC integer.
    pub fn number(&mut self) -> u64 {
        aqueduct_core::wire::varint::take_slice(&mut self.0).unwrap_or_else(|| {
            self.0 = &[];
            0
        })
    }

    /// Up to 255 bytes behind a byte that tells how many.
    pub fn chunk(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte());
        self.take(len)
    }

    /// Up to `len` bytes.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// The rest cut into chunks, of sizes that up to 15 bytes of it tell. Some
    /// may be empty.
    #[must_use]
    pub fn chunks(mut self) -> (Bytes, Vec<Bytes>) {
        let cuts = self.below(16);
        let cuts = self.take(cuts);
        let whole = Bytes::copy_from_slice(self.0);
        let progress = cuts.iter().any(|cut| *cut > 0);
        let mut sizes = if progress { cuts } else { &[1] }.iter().cycle();
        let (mut rest, mut chunks) = (whole.clone(), Vec::new());
        while !rest.is_empty() {
            let size = sizes.next().map_or(1, |size| usize::from(*size));
            chunks.push(rest.split_to(size.min(rest.len())));
        }
        (whole, chunks)
    }
}
