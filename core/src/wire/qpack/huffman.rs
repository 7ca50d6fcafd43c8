//! The static Huffman code of RFC 7541 section 5.2.
//!
//! The code is canonical: codes of one length are consecutive and follow the
//! symbols' order. Decoding therefore needs no tree, only where each length
//! starts; codes of up to [`FAST_BITS`] bits, which is all of common ASCII, are
//! looked up at once.

use bytes::{BufMut, BytesMut};

use super::huffman_table::{CODES, EOS};

const MIN_BITS: u32 = 5;
const MAX_BITS: u32 = 30;
const FAST_BITS: u32 = 9;

/// A string that is not Huffman-coded as RFC 7541 section 5.2 demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvalidHuffman;

/// Length in bits of one byte's code.
#[doc(hidden)]
pub const fn code_bits(byte: u8) -> u8 {
    CODES[byte as usize].1
}

/// Length in bytes of `text` once encoded. Linear in its length.
pub(super) fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text
        .iter()
        .map(|byte| usize::from(CODES[usize::from(*byte)].1))
        .sum();
    bits.div_ceil(8)
}

/// Fewest bytes that `len` encoded bytes can stand for.
pub(super) fn min_decoded_len(len: u64) -> u64 {
    // All but the last 7 bits belong to symbols, and no symbol takes more than 30.
    len.saturating_mul(8)
        .saturating_sub(7)
        .div_ceil(u64::from(MAX_BITS))
}

/// Appends `text` encoded.
#[doc(hidden)]
pub fn encode(text: &[u8], out: &mut BytesMut) {
    let mut pending = 0u64;
    let mut bits = 0;
    for byte in text {
        let (code, len) = CODES[usize::from(*byte)];
        pending = pending << len | u64::from(code);
        bits += u32::from(len);
        while bits >= 8 {
            bits -= 8;
            out.put_u8((pending >> bits) as u8);
        }
    }
    if bits > 0 {
        //= https://www.rfc-editor.org/rfc/rfc7541#section-5.2
        // Fill the last byte with the most significant bits of EOS, all ones.
        out.put_u8((pending << (8 - bits)) as u8 | 0xff >> bits);
    }
}

/// The bytes an encoded string stands for. Ends after the first error.
#[derive(Clone, Debug)]
pub(super) struct Symbols<'a> {
    rest: std::slice::Iter<'a, u8>,
    /// Bits not yet used, from the top.
    pending: u64,
    bits: u32,
}

impl<'a> Symbols<'a> {
    pub(super) fn new(encoded: &'a [u8]) -> Self {
        Self {
            rest: encoded.iter(),
            pending: 0,
            bits: 0,
        }
    }

    fn fail(&mut self) -> Option<Result<u8, InvalidHuffman>> {
        *self = Self::new(&[]);
        Some(Err(InvalidHuffman))
    }
}

impl Iterator for Symbols<'_> {
    type Item = Result<u8, InvalidHuffman>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.bits <= 56
            && let Some(byte) = self.rest.next()
        {
            self.pending |= u64::from(*byte) << (56 - self.bits);
            self.bits += 8;
        }
        if self.bits == 0 {
            return None;
        }
        let padding = u32::MAX.checked_shr(self.bits).unwrap_or(0);
        let window = (self.pending >> 32) as u32 | padding;
        //= https://www.rfc-editor.org/rfc/rfc7541#section-5.2
        // Padding is shorter than 8 bits and a prefix of EOS, which is all ones.
        if self.bits < 8 && window == u32::MAX {
            self.bits = 0;
            return None;
        }
        match symbol(window) {
            Some((symbol, len)) if symbol != EOS && len <= self.bits => {
                self.pending <<= len;
                self.bits -= len;
                Some(Ok(symbol as u8))
            }
            // EOS as a symbol, or bits left over that are not padding.
            _ => self.fail(),
        }
    }
}

/// The symbol that `window` starts with, and the bits it takes.
fn symbol(window: u32) -> Option<(u16, u32)> {
    let (symbol, len) = *FAST.get((window >> (32 - FAST_BITS)) as usize)?;
    if len > 0 {
        return Some((symbol, u32::from(len)));
    }
    LENGTHS
        .iter()
        .zip(MIN_BITS..)
        .skip((FAST_BITS + 1 - MIN_BITS) as usize)
        .find_map(|(length, bits)| {
            let code = window >> (32 - bits);
            let nth = code.checked_sub(length.first_code)?;
            let index = (nth < length.count).then_some(length.offset + nth)?;
            Some((*SYMBOLS.get(index as usize)?, bits))
        })
}

/// Codes of one length.
#[derive(Clone, Copy)]
struct Length {
    first_code: u32,
    count: u32,
    /// Where its symbols start in [`SYMBOLS`].
    offset: u32,
}

const LENGTH_COUNT: usize = (MAX_BITS - MIN_BITS + 1) as usize;

static LENGTHS: [Length; LENGTH_COUNT] = build().0;
/// Symbols by length of their code, then by code.
static SYMBOLS: [u16; 257] = build().1;
/// Symbol and length by the next [`FAST_BITS`] bits; length 0 where the code is
/// longer.
static FAST: [(u16, u8); 1 << FAST_BITS] = build_fast();

const fn build() -> ([Length; LENGTH_COUNT], [u16; 257]) {
    let mut lengths = [Length {
        first_code: 0,
        count: 0,
        offset: 0,
    }; LENGTH_COUNT];
    let mut symbols = [0; 257];
    let mut filled = 0;
    let mut bits = MIN_BITS;
    while bits <= MAX_BITS {
        let length = &mut lengths[(bits - MIN_BITS) as usize];
        length.offset = filled as u32;
        let mut symbol = 0;
        while symbol < CODES.len() {
            let (code, len) = CODES[symbol];
            if len as u32 == bits {
                if length.count == 0 {
                    length.first_code = code;
                }
                // Holds because the code is canonical; a wrong table does not compile.
                assert!(code == length.first_code + length.count);
                length.count += 1;
                symbols[filled] = symbol as u16;
                filled += 1;
            }
            symbol += 1;
        }
        bits += 1;
    }
    assert!(filled == CODES.len());
    (lengths, symbols)
}

const fn build_fast() -> [(u16, u8); 1 << FAST_BITS] {
    let mut fast = [(0, 0); 1 << FAST_BITS];
    let mut symbol = 0;
    while symbol < CODES.len() {
        let (code, len) = CODES[symbol];
        if len as u32 <= FAST_BITS {
            let free = FAST_BITS - len as u32;
            let mut fill = 0;
            while fill < 1 << free {
                fast[((code << free) | fill) as usize] = (symbol as u16, len);
                fill += 1;
            }
        }
        symbol += 1;
    }
    fast
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::hex;
    use super::*;

    fn encoded(text: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        encode(text, &mut out);
        out
    }

    fn decoded(bytes: &[u8]) -> Result<Vec<u8>, InvalidHuffman> {
        Symbols::new(bytes).collect()
    }

    #[test]
    fn strings_of_rfc_7541_appendix_c() {
        for (text, bytes) in [
            ("", ""),
            ("www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"),
            ("no-cache", "a8eb10649cbf"),
            ("custom-key", "25a849e95ba97d7f"),
            ("custom-value", "25a849e95bb8e8b4bf"),
            ("302", "6402"),
            ("307", "640eff"),
            ("private", "aec3771a4b"),
            ("gzip", "9bd9ab"),
            (
                "Mon, 21 Oct 2013 20:13:21 GMT",
                "d07abe941054d444a8200595040b8166e082a62d1bff",
            ),
            (
                "Mon, 21 Oct 2013 20:13:22 GMT",
                "d07abe941054d444a8200595040b8166e084a62d1bff",
            ),
            (
                "https://www.example.com",
                "9d29ad171863c78f0b97c8e9ae82ae43d3",
            ),
            (
                "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
                "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
            ),
            ("webtransport", "f058d360ea4567b13f"),
            ("webtransport-h3", "f058d360ea4567b12b4ecf"),
            ("a", "1f"),
            ("0", "07"),
        ] {
            assert_eq!(encoded(text.as_bytes()), hex(bytes), "{text}");
            assert_eq!(encoded_len(text.as_bytes()), bytes.len() / 2, "{text}");
            assert_eq!(decoded(&hex(bytes)).as_deref(), Ok(text.as_bytes()));
        }
    }

    #[test]
    fn wrong_padding_and_eos_are_refused() {
        for (bytes, why) in [
            ("18", "padding of zeros"),
            ("1e", "padding that is not all ones"),
            ("1fff", "padding of eleven bits"),
            ("ff", "padding of eight bits and nothing else"),
            ("ffffffff", "EOS with two bits of padding"),
            ("fffffffc", "EOS"),
            ("fffffe", "a code cut short"),
        ] {
            assert_eq!(decoded(&hex(bytes)), Err(InvalidHuffman), "{why}");
        }
    }

    #[test]
    fn the_table_is_the_published_one_and_complete() {
        let csv = include_str!("../../../tests/data/huffman.csv");
        let rows: Vec<_> = csv.lines().skip(1).collect();
        assert_eq!(rows.len(), CODES.len());
        for (row, (code, bits)) in rows.iter().zip(CODES) {
            let columns: Vec<_> = row.split(',').collect();
            let hex = columns[1].trim_start_matches("0x");
            assert_eq!(u32::from_str_radix(hex, 16), Ok(code), "{row}");
            assert_eq!(columns[2].parse(), Ok(bits), "{row}");
        }
        // Kraft: the code leaves no bit string unassigned.
        let sum: u64 = CODES.iter().map(|(_, bits)| 1u64 << (32 - bits)).sum();
        assert_eq!(sum, 1 << 32);
    }

    proptest! {
        #[test]
        fn any_text_survives(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = encoded(&text);
            prop_assert_eq!(bytes.len(), encoded_len(&text));
            prop_assert!(min_decoded_len(bytes.len() as u64) <= text.len() as u64);
            prop_assert_eq!(decoded(&bytes), Ok(text));
        }

        #[test]
        fn what_decodes_encodes_back(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(text) = decoded(&bytes) {
                prop_assert_eq!(&encoded(&text)[..], &bytes[..]);
            }
        }
    }
}
