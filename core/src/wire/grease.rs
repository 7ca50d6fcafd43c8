//! Reserved ("GREASE") values: numbers nobody assigns, sent now and then so
//! that peers keep ignoring what they do not know.
use super::varint::{self, VarInt};

/// Whether `value` is reserved as a frame type, stream type, setting id or
/// error code: `0x1f * N + 0x21` (RFC 9114 section 7.2.8).
#[must_use]
pub const fn is_reserved(value: u64) -> bool {
    value >= 0x21 && (value - 0x21).is_multiple_of(0x1f)
}

/// Whether `value` is reserved as a capsule type: `0x29 * N + 0x17`
/// (RFC 9297 section 5.4).
#[must_use]
pub const fn is_reserved_capsule(value: u64) -> bool {
    value >= 0x17 && (value - 0x17).is_multiple_of(0x29)
}

/// The reserved frame type, stream type, setting id or error code that `seed`
/// picks. The same seed always picks the same value.
#[must_use]
pub const fn reserved(seed: u64) -> VarInt {
    pick(seed, 0x1f, 0x21)
}

/// The reserved capsule type that `seed` picks.
#[must_use]
pub const fn reserved_capsule(seed: u64) -> VarInt {
    pick(seed, 0x29, 0x17)
}

const fn pick(seed: u64, step: u64, first: u64) -> VarInt {
    let count = (varint::MAX - first) / step + 1;
    match VarInt::new(first + seed % count * step) {
        Ok(value) => value,
        // `count` is the number of values up to the bound; this arm only tells
        // the compiler what to do with an impossible case.
        Err(_) => VarInt::from_u32(0x21),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Test-vectors 5: the first values of both series.
    #[test]
    fn the_first_values_are_the_published_ones() {
        let types: Vec<u64> = (0..4).map(|seed| reserved(seed).get()).collect();
        assert_eq!(types, [0x21, 0x40, 0x5f, 0x7e]);
        let capsules: Vec<u64> = (0..4).map(|seed| reserved_capsule(seed).get()).collect();
        assert_eq!(capsules, [0x17, 0x40, 0x69, 0x92]);
    }

    #[test]
    fn neighbours_are_not_reserved() {
        for value in [0, 0x20, 0x22, 0x3f, 0x41, 0x54] {
            assert!(!is_reserved(value), "{value:#x}");
        }
        for value in [0, 0x16, 0x18, 0x41, 0x2843, 0x78ae, 0x190b_4d3d] {
            assert!(!is_reserved_capsule(value), "{value:#x}");
        }
    }

    proptest! {
        #[test]
        fn every_seed_gives_an_encodable_reserved_value(seed in any::<u64>()) {
            prop_assert!(is_reserved(reserved(seed).get()));
            prop_assert!(is_reserved_capsule(reserved_capsule(seed).get()));
        }
    }
}
