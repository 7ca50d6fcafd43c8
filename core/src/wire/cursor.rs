//! Integers split over any number of chunks, carried inline: no heap, at most
//! seven bytes held.
use bytes::{Buf, Bytes};

use super::varint;

/// Reads one variable-length integer after another from chunks of any size.
///
/// Holds the bytes of at most one incomplete integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    carry: [u8; 8],
    held: u8,
}

impl Prefix {
    /// With nothing carried.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            carry: [0; 8],
            held: 0,
        }
    }

    /// Takes bytes from the front of `input` until an integer is whole, and
    /// returns it; the reader is then ready for the next. `None` means that
    /// `input` is used up and the integer is not complete.
    pub fn read(&mut self, input: &mut Bytes) -> Option<u64> {
        if self.held == 0
            && let Some(value) = varint::take(input)
        {
            return Some(value);
        }
        while let Some(byte) = input.first().copied() {
            input.advance(1);
            // Seven held bytes never decide nothing: the eighth completes the
            // longest encoding, so the slot always exists.
            *self.carry.get_mut(usize::from(self.held))? = byte;
            self.held += 1;
            let held = self.carry.get(..usize::from(self.held))?;
            if let Some((value, _)) = varint::decode(held) {
                self.held = 0;
                return Some(value);
            }
        }
        None
    }

    /// Whether no integer has begun.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.held == 0
    }
}

/// Reads the head of a stream: a type, and for some types one id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadReader {
    prefix: Prefix,
    first: Option<u64>,
}

impl HeadReader {
    /// With nothing read.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            prefix: Prefix::new(),
            first: None,
        }
    }

    /// Takes the type from `input` and, if `has_id` says so of that type, the
    /// id behind it. `None` until all of it has arrived; nothing behind the
    /// head is consumed.
    pub fn read(
        &mut self,
        input: &mut Bytes,
        has_id: impl FnOnce(u64) -> bool,
    ) -> Option<(u64, Option<u64>)> {
        let first = match self.first {
            Some(first) => first,
            None => {
                let first = self.prefix.read(input)?;
                if !has_id(first) {
                    return Some((first, None));
                }
                *self.first.insert(first)
            }
        };
        let id = self.prefix.read(input)?;
        self.first = None;
        Some((first, Some(id)))
    }

    /// Whether an integer has begun and is not complete.
    #[must_use]
    pub const fn is_mid_integer(&self) -> bool {
        !self.prefix.is_empty()
    }

    /// The type, once read while its id is still incomplete.
    #[must_use]
    pub const fn first(&self) -> Option<u64> {
        self.first
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{testing::chunks, varint::MAX};

    // Row B7, row A15.
    #[test]
    fn a_head_in_single_bytes_leaves_the_body_alone() {
        let mut reader = HeadReader::new();
        let mut got = None;
        for byte in [0x40, 0x41] {
            got = reader.read(&mut Bytes::copy_from_slice(&[byte]), |ty| ty == 0x41);
            assert_eq!(got, None);
        }
        assert_eq!(reader.first(), Some(0x41));
        let mut rest = Bytes::from_static(&[0x04, 0xaa, 0xbb]);
        got = got.or(reader.read(&mut rest, |_| unreachable!("the type is known")));
        assert_eq!(got, Some((0x41, Some(4))));
        assert_eq!(rest, [0xaa, 0xbb][..]);
    }

    #[test]
    fn a_type_without_id_stops_after_the_type() {
        let mut input = Bytes::from_static(&[0x00, 0x04, 0x00]);
        assert_eq!(
            HeadReader::new().read(&mut input, |ty| ty == 0x54),
            Some((0, None))
        );
        assert_eq!(input.len(), 2);
    }

    #[test]
    fn sizes_stay_small() {
        assert!(size_of::<Prefix>() <= 16);
        assert!(size_of::<HeadReader>() <= 32);
    }

    proptest! {
        // Row A5: any chunking gives the same integers.
        #[test]
        fn chunking_does_not_matter(
            values in prop::collection::vec((0..=MAX, 0..62_u32), 1..20),
            cuts in prop::collection::vec(1..9_usize, 1..20),
        ) {
            let values: Vec<u64> = values.into_iter().map(|(v, shift)| v >> shift).collect();
            let mut wire = BytesMut::new();
            for value in &values {
                varint::put(&mut wire, *value).unwrap();
            }
            let mut reader = Prefix::new();
            let mut got = Vec::new();
            for mut chunk in chunks(&wire, &cuts) {
                while let Some(value) = reader.read(&mut chunk) {
                    got.push(value);
                }
                prop_assert!(chunk.is_empty());
            }
            prop_assert!(reader.is_empty());
            prop_assert_eq!(got, values);
        }
    }
}
