//! QUIC variable-length integers (RFC 9000 section 16).
use std::fmt;

use bytes::{Buf, BufMut, Bytes};
use thiserror::Error;

use crate::id::StreamId;

/// Largest encodable value, 2^62 - 1.
pub const MAX: u64 = (1 << 62) - 1;

/// An integer known to be encodable, 0 to 2^62 - 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VarInt(u64);

/// The value is 2^62 or more and has no encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0} does not fit 62 bits")]
pub struct OutOfRange(pub u64);

impl VarInt {
    /// 2^62 - 1.
    pub const MAX: Self = Self(MAX);

    /// Checks the bound.
    ///
    /// # Errors
    /// [`OutOfRange`] if `value` is above 2^62 - 1.
    pub const fn new(value: u64) -> Result<Self, OutOfRange> {
        if value > MAX {
            Err(OutOfRange(value))
        } else {
            Ok(Self(value))
        }
    }

    /// Every `u32` fits.
    #[must_use]
    pub const fn from_u32(value: u32) -> Self {
        Self(value as u64)
    }

    /// The length of something held in memory. No address space reaches 2^62
    /// bytes, so the bound is never met; it saturates there.
    #[must_use]
    pub const fn of_len(len: usize) -> Self {
        let len = len as u64;
        Self(if len > MAX { MAX } else { len })
    }

    /// The plain number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Bytes of the shortest encoding: 1, 2, 4 or 8.
    #[expect(clippy::len_without_is_empty, reason = "a number, not a container")]
    #[must_use]
    pub const fn len(self) -> usize {
        match self.0 {
            0..=0x3f => 1,
            0x40..=0x3fff => 2,
            0x4000..=0x3fff_ffff => 4,
            _ => 8,
        }
    }

    /// Appends the shortest encoding.
    ///
    /// # Panics
    /// As every `BufMut` does, if a fixed-size `buf` has less than
    /// [`VarInt::len`] bytes left; growable buffers never do.
    pub fn put(self, buf: &mut impl BufMut) {
        match self.len() {
            1 => buf.put_u8(self.0 as u8),
            2 => buf.put_u16(self.0 as u16 | 0x4000),
            4 => buf.put_u32(self.0 as u32 | 0x8000_0000),
            _ => buf.put_u64(self.0 | 0xc000_0000_0000_0000),
        }
    }
}

impl TryFrom<u64> for VarInt {
    type Error = OutOfRange;

    fn try_from(value: u64) -> Result<Self, OutOfRange> {
        Self::new(value)
    }
}

impl From<u32> for VarInt {
    fn from(value: u32) -> Self {
        Self::from_u32(value)
    }
}

impl From<StreamId> for VarInt {
    fn from(id: StreamId) -> Self {
        // Stream ids have the same bound, checked where they are made.
        Self(id.wire())
    }
}

impl From<VarInt> for u64 {
    fn from(value: VarInt) -> Self {
        value.0
    }
}

impl fmt::Display for VarInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Appends `value` in its shortest encoding.
///
/// # Errors
/// [`OutOfRange`] if `value` is above [`MAX`]; nothing is written.
pub fn put(buf: &mut impl BufMut, value: u64) -> Result<(), OutOfRange> {
    VarInt::new(value)?.put(buf);
    Ok(())
}

/// Reads the integer at the front of `bytes`: its value and how many bytes it
/// takes. `None` if `bytes` ends before the integer does. Longer encodings than
/// necessary are accepted.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<(u64, usize)> {
    //= https://www.rfc-editor.org/rfc/rfc9000#section-16
    // The two high bits of the first byte are the base-2 logarithm of the length.
    let first = *bytes.first()?;
    Some(match first >> 6 {
        0 => (u64::from(first), 1),
        1 => (
            u64::from(u16::from_be_bytes(*bytes.first_chunk()?) & 0x3fff),
            2,
        ),
        2 => (
            u64::from(u32::from_be_bytes(*bytes.first_chunk()?) & 0x3fff_ffff),
            4,
        ),
        _ => (u64::from_be_bytes(*bytes.first_chunk()?) & MAX, 8),
    })
}

/// Bytes the encoding that begins with `first` takes: 1, 2, 4 or 8.
#[must_use]
pub const fn encoded_len(first: u8) -> usize {
    1 << (first >> 6)
}

/// Takes the integer at the front of `input`. `None`, and `input` untouched, if
/// it is incomplete.
pub fn take(input: &mut Bytes) -> Option<u64> {
    let (value, used) = decode(input)?;
    input.advance(used);
    Some(value)
}

/// Takes the integer at the front of a slice. `None`, and `input` untouched, if
/// it is incomplete.
pub fn take_slice(input: &mut &[u8]) -> Option<u64> {
    let (value, used) = decode(input)?;
    *input = input.get(used..)?;
    Some(value)
}

/// One or two encoded integers on the stack: frame headers, stream headers,
/// datagram prefixes. Dereferences to the encoded bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Head {
    bytes: [u8; 16],
    len: u8,
}

impl Head {
    /// One integer.
    #[must_use]
    pub fn one(first: VarInt) -> Self {
        let mut head = Self {
            bytes: [0; 16],
            len: 0,
        };
        head.push(first);
        head
    }

    /// Two integers, one after the other.
    #[must_use]
    pub fn two(first: VarInt, second: VarInt) -> Self {
        let mut head = Self::one(first);
        head.push(second);
        head
    }

    /// The encoded bytes, 1 to 16 of them.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    // Private, so that two pushes, 16 bytes, are all that ever happens.
    fn push(&mut self, value: VarInt) {
        if let Some(mut free) = self.bytes.get_mut(usize::from(self.len)..) {
            value.put(&mut free);
            self.len += value.len() as u8;
        }
    }
}

impl std::ops::Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Head {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", self.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::testing::hex;

    fn encoded(value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, value).expect("in range");
        out
    }

    // Test-vectors 1, RFC 9000 A.1.
    #[test]
    fn decodes_the_published_examples() {
        for (bytes, value) in [
            ("c2197c5eff14e88c", 151_288_809_941_952_652),
            ("9d7f3e7d", 494_878_333),
            ("7bbd", 15_293),
            ("25", 37),
            ("4025", 37),
        ] {
            assert_eq!(
                decode(&hex(bytes)),
                Some((value, bytes.len() / 2)),
                "{bytes}"
            );
        }
    }

    // Test-vectors 1: boundaries and every codepoint of the project.
    #[test]
    fn encodes_boundaries_and_codepoints() {
        for (value, bytes) in [
            (63, "3f"),
            (64, "4040"),
            (16383, "7fff"),
            (16384, "80004000"),
            ((1 << 30) - 1, "bfffffff"),
            (1 << 30, "c000000040000000"),
            (MAX, "ffffffffffffffff"),
            (0x41, "4041"),
            (0x54, "4054"),
            (0x2b60_3742, "ab603742"),
            (0xc671_706a, "c0000000c671706a"),
            (0x14e9_cd29, "94e9cd29"),
            (0x2c7c_f000, "ac7cf000"),
            (0x2b61, "6b61"),
            (0x2b64, "6b64"),
            (0x2b65, "6b65"),
            (0xff_d277, "80ffd277"),
            (0x2843, "6843"),
            (0x78ae, "800078ae"),
            (0x190b_4d38, "990b4d38"),
            (0x190b_4d44, "990b4d44"),
            (0xf0700, "800f0700"),
            (0x3994_bd84, "b994bd84"),
            (0x170d_7b68, "970d7b68"),
            (0x045d_4487, "845d4487"),
            (0x0817_b3dd, "8817b3dd"),
            (0x212c_0d48, "a12c0d48"),
            (0xff_e600, "80ffe600"),
            (0x2028_d7f2, "a028d7f2"),
            (0x17_f758_6d2c_b571, "c017f7586d2cb571"),
        ] {
            assert_eq!(encoded(value), hex(bytes), "{value:#x}");
        }
    }

    #[test]
    fn out_of_range_values_are_refused_and_write_nothing() {
        let mut out = Vec::new();
        assert_eq!(put(&mut out, MAX + 1), Err(OutOfRange(MAX + 1)));
        assert!(out.is_empty());
        assert_eq!(VarInt::new(u64::MAX), Err(OutOfRange(u64::MAX)));
    }

    #[test]
    fn head_holds_two_of_the_longest() {
        let head = Head::two(VarInt::MAX, VarInt::MAX);
        assert_eq!(head.as_slice(), [0xff; 16]);
        assert_eq!(Head::one(VarInt::from_u32(5)).as_slice(), [5]);
    }

    proptest! {
        // Row A20.
        #[test]
        fn round_trips_and_every_truncation_is_incomplete(value in 0..=MAX, shift in 0..62_u32) {
            let value = value >> shift;
            let bytes = encoded(value);
            prop_assert_eq!(bytes.len(), VarInt::new(value).unwrap().len());
            prop_assert_eq!(encoded_len(bytes[0]), bytes.len());
            prop_assert_eq!(decode(&bytes), Some((value, bytes.len())));
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut]), None);
                let mut short = Bytes::copy_from_slice(&bytes[..cut]);
                prop_assert_eq!(take(&mut short), None);
                prop_assert_eq!(short.len(), cut);
            }
        }

        #[test]
        fn random_bytes_decode_within_bounds(bytes in prop::collection::vec(any::<u8>(), 0..10)) {
            if let Some((value, used)) = decode(&bytes) {
                prop_assert!(value <= MAX && used <= bytes.len());
                let mut rest = &bytes[..];
                prop_assert_eq!(take_slice(&mut rest), Some(value));
                prop_assert_eq!(rest, &bytes[used..]);
            }
        }
    }
}
