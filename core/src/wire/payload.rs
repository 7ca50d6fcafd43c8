//! Payloads of known length out of chunks of any size: gathered, or passed over by
//! counting. Shared by the readers of frames and capsules.
use bytes::{Bytes, BytesMut};

/// Gathers a payload whose length its reader has accepted. The buffer grows with
/// the bytes that come, and a payload that comes in one piece is not copied.
#[derive(Debug)]
pub(super) struct Gather {
    left: u64,
    /// What has come, when it comes in pieces.
    buf: Option<Box<BytesMut>>,
}

impl Gather {
    pub(super) fn new(len: u64) -> Self {
        Self {
            left: len,
            buf: None,
        }
    }

    /// Length of the whole payload.
    pub(super) fn len(&self) -> u64 {
        self.left + self.before() as u64
    }

    /// Bytes of the payload that came before.
    pub(super) fn before(&self) -> usize {
        self.buf.as_ref().map_or(0, |buf| buf.len())
    }

    /// What has come, and the memory held for it.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        let capacity = self.buf.as_ref().map_or(0, |buf| buf.capacity());
        (self.before(), capacity)
    }

    /// The payload, once all of it has come.
    pub(super) fn take(&mut self, input: &mut Bytes) -> Option<Bytes> {
        let chunk = split(input, self.left);
        self.left -= chunk.len() as u64;
        if self.left == 0 && self.buf.is_none() {
            return Some(chunk);
        }
        if chunk.is_empty() {
            return None;
        }
        let buf = self.buf.get_or_insert_default();
        buf.extend_from_slice(&chunk);
        (self.left == 0).then(|| std::mem::take(&mut **buf).freeze())
    }
}

/// Takes up to `max` bytes from the front of `input`, without a copy.
pub(super) fn split(input: &mut Bytes, max: u64) -> Bytes {
    let len = usize::try_from(max).unwrap_or(usize::MAX).min(input.len());
    input.split_to(len)
}
