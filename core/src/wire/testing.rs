//! Helpers shared by the codec tests.
use bytes::Bytes;

use crate::code::Code;
use crate::fault::Violation;

/// Bytes of a hex string; spaces are ignored.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).expect("hex"))
        .collect();
    assert!(digits.len().is_multiple_of(2), "odd number of hex digits");
    digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

/// Splits `wire` into chunks whose sizes are `cuts`, repeated as needed.
pub(crate) fn chunks(wire: &[u8], cuts: &[usize]) -> Vec<Bytes> {
    let mut rest = Bytes::copy_from_slice(wire);
    let mut sizes = cuts.iter().copied().cycle();
    let mut out = Vec::new();
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(1).clamp(1, rest.len());
        out.push(rest.split_to(size));
    }
    out
}

/// The code that an error of a codec has on the wire: that of its violation.
pub(crate) fn code(error: impl Into<Violation>) -> Code {
    error.into().code()
}
