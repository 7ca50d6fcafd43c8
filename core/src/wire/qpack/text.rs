//! String literals (RFC 9204 section 4.1.2).

use bytes::{BufMut, BytesMut};

use super::huffman::{self, InvalidHuffman, Symbols};
use super::prefix_int::{Cursor, ReadError, put_int};

/// A name or value, as it stands on the wire or in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// The bytes themselves.
    Plain(&'a [u8]),
    /// Huffman-coded, not looked at yet.
    Huffman(&'a [u8]),
}

impl<'a> Text<'a> {
    /// Reads a string whose length has a prefix of `prefix_bits`, below the bit
    /// that says Huffman. A string that cannot stand for `limit` bytes or fewer
    /// is refused as soon as its length is known.
    pub(super) fn read(
        cursor: &mut Cursor<'a>,
        prefix_bits: u32,
        limit: u64,
    ) -> Result<Self, ReadError> {
        let coded = cursor.peek()? & (1 << prefix_bits) != 0;
        let len = cursor.int(prefix_bits)?;
        let min_len = if coded {
            huffman::min_decoded_len(len)
        } else {
            len
        };
        if min_len > limit {
            return Err(ReadError::TooLong);
        }
        let bytes = cursor.take(len)?;
        Ok(if coded {
            Self::Huffman(bytes)
        } else {
            Self::Plain(bytes)
        })
    }

    /// What it stands for; `None` if it is not coded as it has to be. Linear in its
    /// length.
    #[must_use]
    pub fn plain(&self) -> Option<Vec<u8>> {
        let mut plain = Vec::new();
        self.append_to(&mut plain, u64::MAX).ok().map(|_| plain)
    }

    /// The bytes on the wire, without their length.
    #[must_use]
    pub fn wire(&self) -> &'a [u8] {
        match self {
            Self::Plain(bytes) | Self::Huffman(bytes) => bytes,
        }
    }

    /// Fewest bytes the string may stand for.
    pub(super) fn min_len(&self) -> u64 {
        match self {
            Self::Plain(bytes) => bytes.len() as u64,
            Self::Huffman(bytes) => huffman::min_decoded_len(bytes.len() as u64),
        }
    }

    /// Appends the string to `out` if it has at most `limit` bytes, and says
    /// whether it does. A longer one is checked to its end all the same; what
    /// it appended is `limit` bytes at most.
    pub(super) fn append_to(&self, out: &mut Vec<u8>, limit: u64) -> Result<bool, InvalidHuffman> {
        match self {
            Self::Plain(bytes) => {
                let fits = bytes.len() as u64 <= limit;
                if fits {
                    out.extend_from_slice(bytes);
                }
                Ok(fits)
            }
            Self::Huffman(bytes) => {
                let mut room = limit;
                let mut fits = true;
                for symbol in Symbols::new(bytes) {
                    let byte = symbol?;
                    if room > 0 {
                        room -= 1;
                        out.push(byte);
                    } else {
                        fits = false;
                    }
                }
                Ok(fits)
            }
        }
    }

    /// Checks the string without keeping it.
    pub(super) fn check(&self) -> Result<(), InvalidHuffman> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Huffman(bytes) => Symbols::new(bytes).try_for_each(|symbol| symbol.map(drop)),
        }
    }
}

/// Appends `text`, Huffman-coded if that is shorter. Its length has a prefix of
/// `prefix_bits`; `flags` are the bits above the Huffman bit.
pub(super) fn put_text(out: &mut BytesMut, flags: u8, prefix_bits: u32, text: &[u8]) {
    let coded_len = huffman::encoded_len(text);
    if coded_len < text.len() {
        put_int(out, flags | 1 << prefix_bits, prefix_bits, coded_len as u64);
        huffman::encode(text, out);
    } else {
        put_int(out, flags, prefix_bits, text.len() as u64);
        out.put_slice(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_form_is_chosen_and_read_back() {
        for (text, coded) in [
            (&b"www.example.com"[..], true),
            (b"\x00\x01", false),
            (b"", false),
        ] {
            let mut out = BytesMut::new();
            put_text(&mut out, 0, 3, text);
            assert_eq!(out[0] & 8 != 0, coded);
            let read = Text::read(&mut Cursor::new(&out), 3, 100).unwrap();
            let mut back = Vec::new();
            assert_eq!(read.append_to(&mut back, text.len() as u64), Ok(true));
            assert_eq!(back, text);
        }
    }

    #[test]
    fn the_length_alone_is_enough_to_refuse() {
        // 101 plain bytes declared, none present.
        assert_eq!(
            Text::read(&mut Cursor::new(&[101]), 7, 100),
            Err(ReadError::TooLong)
        );
        let missing = Err(ReadError::Incomplete { more: 100 });
        assert_eq!(Text::read(&mut Cursor::new(&[100]), 7, 100), missing);
        // 4 coded bytes are 25 bits or more of symbols: one byte at least.
        assert_eq!(
            Text::read(&mut Cursor::new(&[0x84]), 7, 0),
            Err(ReadError::TooLong)
        );
    }

    #[test]
    fn a_long_string_is_checked_to_its_end() {
        // "aaa", then "aa" and zero padding.
        let mut out = Vec::new();
        assert_eq!(
            Text::Huffman(&[0x18, 0xc7]).append_to(&mut out, 2),
            Ok(false)
        );
        assert_eq!(out, b"aa");
        assert_eq!(
            Text::Huffman(&[0x18, 0xc0]).append_to(&mut out, 1),
            Err(InvalidHuffman)
        );
        assert_eq!(Text::Huffman(&[0x18, 0xc0]).check(), Err(InvalidHuffman));
    }
}
