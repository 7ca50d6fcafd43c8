//! Integers that share their first byte with other bits (RFC 9204 section
//! 4.1.1, RFC 7541 section 5.1), and the cursor that reads them.

use std::slice;

use bytes::{BufMut, BytesMut};

/// One past the largest integer QPACK knows.
const LIMIT: u64 = 1 << 62;

/// Longest encoding [`put_int`] makes: the prefix and nine groups of 7 bits.
pub(super) const MAX_LEN: usize = 10;

/// Continuation bytes cover 70 bits at most, which leaves room for encoders
/// that pad with zero groups but bounds what a reader has to keep.
const MAX_SHIFT: u32 = 63;

/// Why an item cannot be read from the bytes at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadError {
    /// At least `more` bytes are missing.
    Incomplete {
        /// Never zero.
        more: usize,
    },
    /// An integer does not fit 62 bits.
    TooLarge,
    /// A string is longer than the table entry it is meant for may be.
    TooLong,
}

/// Appends `value` with a prefix of `prefix_bits` (1..=8); `flags` are the bits
/// above the prefix.
pub(super) fn put_int(out: &mut BytesMut, flags: u8, prefix_bits: u32, value: u64) {
    let mask = prefix_mask(prefix_bits);
    if value < mask {
        out.put_u8(flags | value as u8);
        return;
    }
    out.put_u8(flags | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

const fn prefix_mask(prefix_bits: u32) -> u64 {
    (1 << prefix_bits) - 1
}

/// Reads from the front of a slice. A failed read leaves it where it was.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    cut: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            cut: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes not yet read.
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Bytes in place that were read of an integer which is cut off or too large.
    pub(super) fn cut(&self) -> usize {
        self.cut
    }

    /// The next byte, left in place.
    pub(super) fn peek(&self) -> Result<u8, ReadError> {
        self.rest
            .first()
            .copied()
            .ok_or(ReadError::Incomplete { more: 1 })
    }

    /// An integer in the low `prefix_bits` (1..=8) of the next byte and as many
    /// bytes as follow from it.
    pub(super) fn int(&mut self, prefix_bits: u32) -> Result<u64, ReadError> {
        let mut bytes = self.rest.iter();
        let value = read_int(&mut bytes, prefix_mask(prefix_bits));
        match value {
            Ok(_) => self.rest = bytes.as_slice(),
            Err(_) => self.cut = self.rest.len() - bytes.len(),
        }
        value
    }

    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: u64) -> Result<&'a [u8], ReadError> {
        let available = self.rest.len() as u64;
        if len > available {
            let more = usize::try_from(len - available).unwrap_or(usize::MAX);
            return Err(ReadError::Incomplete { more });
        }
        // `len` is at most the length of a slice, so it fits.
        let (taken, rest) = self.rest.split_at(len as usize);
        self.rest = rest;
        Ok(taken)
    }
}

/// An integer whose first byte has it in the bits of `mask`.
fn read_int(bytes: &mut slice::Iter<'_, u8>, mask: u64) -> Result<u64, ReadError> {
    let mut next = || {
        let byte = bytes.next().copied();
        byte.ok_or(ReadError::Incomplete { more: 1 })
    };
    let mut value = u64::from(next()?) & mask;
    if value < mask {
        return Ok(value);
    }
    let mut shift = 0;
    //= https://www.rfc-editor.org/rfc/rfc9204#section-4.1.1
    // Integers up to and including 62 bits long have to be decodable.
    while shift <= MAX_SHIFT {
        let byte = next()?;
        value = u64::from(byte & 0x7f)
            .checked_mul(1 << shift)
            .and_then(|group| value.checked_add(group))
            .filter(|value| *value < LIMIT)
            .ok_or(ReadError::TooLarge)?;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
        shift += 7;
    }
    Err(ReadError::TooLarge)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put(prefix_bits: u32, value: u64) -> BytesMut {
        let mut out = BytesMut::new();
        put_int(&mut out, 0, prefix_bits, value);
        out
    }

    #[test]
    fn examples_of_rfc_7541_appendix_c_1() {
        for (bits, value, bytes) in [
            (5, 10, &[0x0a][..]),
            (5, 1337, &[0x1f, 0x9a, 0x0a]),
            (8, 42, &[0x2a]),
        ] {
            assert_eq!(put(bits, value), bytes);
            assert_eq!(Cursor::new(bytes).int(bits), Ok(value));
        }
    }

    #[test]
    fn integers_end_at_62_bits() {
        let largest = put(3, LIMIT - 1);
        assert_eq!(largest.len(), MAX_LEN);
        assert_eq!(Cursor::new(&largest).int(3), Ok(LIMIT - 1));
        assert_eq!(Cursor::new(&put(3, LIMIT)).int(3), Err(ReadError::TooLarge));
        assert_eq!(
            Cursor::new(&put(8, u64::MAX)).int(8),
            Err(ReadError::TooLarge)
        );
    }

    #[test]
    fn padding_groups_are_allowed_up_to_ten_bytes() {
        let mut padded = vec![0x7f];
        padded.extend([0x80; 9]);
        padded.push(0);
        assert_eq!(Cursor::new(&padded).int(7), Ok(127));
        padded.insert(1, 0x80);
        assert_eq!(Cursor::new(&padded).int(7), Err(ReadError::TooLarge));
        // The refusal does not wait for the byte that would follow.
        padded.truncate(11);
        assert_eq!(Cursor::new(&padded).int(7), Err(ReadError::TooLarge));
    }

    #[test]
    fn a_failed_read_does_not_move() {
        let mut cursor = Cursor::new(&[0x1f, 0x9a]);
        assert_eq!(cursor.int(5), Err(ReadError::Incomplete { more: 1 }));
        assert_eq!(cursor.take(5), Err(ReadError::Incomplete { more: 3 }));
        assert_eq!(cursor.take(2), Ok(&[0x1f, 0x9a][..]));
        assert!(cursor.is_empty());
        assert_eq!(cursor.peek(), Err(ReadError::Incomplete { more: 1 }));
    }

    proptest! {
        #[test]
        fn every_value_survives_every_prefix(value in 0..LIMIT, drop_bits in 0u32..62, bits in 1u32..=8) {
            let value = value >> drop_bits;
            let bytes = put(bits, value);
            prop_assert_eq!(Cursor::new(&bytes).int(bits), Ok(value));
            for cut in 0..bytes.len() {
                let cut = Cursor::new(&bytes[..cut]).int(bits);
                prop_assert_eq!(cut, Err(ReadError::Incomplete { more: 1 }));
            }
        }
    }
}
