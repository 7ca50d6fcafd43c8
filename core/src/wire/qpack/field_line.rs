//! Encoded field sections: their prefix and their lines (RFC 9204 section 4.5).

use bytes::BytesMut;

use super::error::DecompressionReason;
use super::prefix_int::{Cursor, ReadError, put_int};
use super::static_table;
use super::table::{ENTRY_OVERHEAD, Table};
use super::text::{Text, put_text};

/// Entry counts that a Required Insert Count is encoded modulo, for a table of
/// this maximum capacity: zero if no entry fits.
fn full_range(max_capacity: u64) -> u64 {
    //= https://www.rfc-editor.org/rfc/rfc9204#section-4.5.1.1
    // Twice the most entries a table of the maximum capacity can hold.
    max_capacity / ENTRY_OVERHEAD * 2
}

/// What precedes the lines of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    /// One more than the largest dynamic index in use, or 0.
    pub(super) required_insert_count: u64,
    /// What dynamic indices in the section are relative to.
    pub(super) base: u64,
}

impl Prefix {
    /// Reads the prefix at a decoder that advertised `max_capacity` and has
    /// received `inserts` entries so far.
    pub(super) fn read(
        cursor: &mut Cursor<'_>,
        max_capacity: u64,
        inserts: u64,
    ) -> Result<Self, DecompressionReason> {
        let encoded = cursor.int(8)?;
        let required_insert_count = decode_required_insert_count(encoded, max_capacity, inserts)
            .ok_or(DecompressionReason::InvalidRequiredInsertCount)?;
        let negative = cursor.peek()? & 0x80 != 0;
        let delta = cursor.int(7)?;
        //= https://www.rfc-editor.org/rfc/rfc9204#section-4.5.1.2
        // The sign bit counts down from the Required Insert Count, starting one
        // below it; the result is never negative.
        let base = if negative {
            required_insert_count
                .checked_sub(delta)
                .and_then(|base| base.checked_sub(1))
        } else {
            required_insert_count.checked_add(delta)
        };
        let base = base.ok_or(DecompressionReason::NegativeBase)?;
        Ok(Self {
            required_insert_count,
            base,
        })
    }

    /// Name and value of the entry that a line of the section names.
    pub(super) fn resolve<M>(
        self,
        reference: Reference,
        table: &Table<M>,
    ) -> Result<(&[u8], &[u8]), DecompressionReason> {
        let index = match reference {
            Reference::Static(index) => {
                return static_table::get(index).ok_or(DecompressionReason::StaticIndex);
            }
            //= https://www.rfc-editor.org/rfc/rfc9204#section-3.2.5
            // Relative index 0 is the entry just below the Base.
            Reference::Relative(index) => self
                .base
                .checked_sub(index)
                .and_then(|index| index.checked_sub(1))
                .ok_or(DecompressionReason::BelowZero)?,
            //= https://www.rfc-editor.org/rfc/rfc9204#section-3.2.6
            // Post-base index 0 is the entry at the Base.
            Reference::PostBase(index) => self.base.saturating_add(index),
        };
        //= https://www.rfc-editor.org/rfc/rfc9204#section-2.2.3
        // An index at or beyond the Required Insert Count is an error, and so
        // is one whose entry is gone.
        if index >= self.required_insert_count {
            return Err(DecompressionReason::BeyondRequiredInsertCount);
        }
        let entry = table.get(index).ok_or(DecompressionReason::Evicted)?;
        Ok((entry.name(), entry.value()))
    }

    /// Appends the prefix for a decoder that advertised `max_capacity`.
    pub(super) fn put(self, out: &mut BytesMut, max_capacity: u64) {
        let required = self.required_insert_count;
        let encoded = match full_range(max_capacity) {
            range if required > 0 && range > 0 => required % range + 1,
            _ => 0,
        };
        put_int(out, 0, 8, encoded);
        if encoded == 0 {
            // Without dynamic references any Base does; 0 is the shortest.
            put_int(out, 0, 7, 0);
        } else if let Some(delta) = self.base.checked_sub(required) {
            put_int(out, 0, 7, delta);
        } else {
            put_int(out, 0x80, 7, required - self.base - 1);
        }
    }
}

/// RFC 9204 section 4.5.1.1.
fn decode_required_insert_count(encoded: u64, max_capacity: u64, inserts: u64) -> Option<u64> {
    if encoded == 0 {
        return Some(0);
    }
    let full_range = full_range(max_capacity);
    if encoded > full_range {
        // Includes every value when no entry fits the table.
        return None;
    }
    let max_value = inserts.checked_add(full_range / 2)?;
    let max_wrapped = max_value / full_range * full_range;
    let mut required = max_wrapped.checked_add(encoded - 1)?;
    if required > max_value {
        if required <= full_range {
            return None;
        }
        required -= full_range;
    }
    (required > 0).then_some(required)
}

/// One line as it stands in a section. Dynamic indices count down from the
/// Base, post-base indices up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldLine<'a> {
    Indexed(Reference),
    /// `never_indexed` is the `N` bit.
    NameReference {
        name: Reference,
        value: Text<'a>,
        never_indexed: bool,
    },
    Literal {
        name: Text<'a>,
        value: Text<'a>,
        never_indexed: bool,
    },
}

/// An entry, as a section names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    Static(u64),
    Relative(u64),
    PostBase(u64),
}

impl Reference {
    /// How a section with this `base` names the dynamic entry `index`.
    pub(super) fn dynamic(index: u64, base: u64) -> Self {
        match index.checked_sub(base) {
            Some(offset) => Self::PostBase(offset),
            None => Self::Relative(base - index - 1),
        }
    }
}

impl<'a> FieldLine<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecompressionReason> {
        let first = cursor.peek()?;
        let bit = |mask: u8| first & mask != 0;
        if bit(0x80) {
            let index = cursor.int(6)?;
            let reference = if bit(0x40) {
                Reference::Static
            } else {
                Reference::Relative
            };
            Ok(Self::Indexed(reference(index)))
        } else if bit(0x40) {
            let index = cursor.int(4)?;
            let reference = if bit(0x10) {
                Reference::Static
            } else {
                Reference::Relative
            };
            let value = Text::read(cursor, 7, u64::MAX)?;
            let name = reference(index);
            Ok(Self::NameReference {
                name,
                value,
                never_indexed: bit(0x20),
            })
        } else if bit(0x20) {
            let name = Text::read(cursor, 3, u64::MAX)?;
            let value = Text::read(cursor, 7, u64::MAX)?;
            Ok(Self::Literal {
                name,
                value,
                never_indexed: bit(0x10),
            })
        } else if bit(0x10) {
            Ok(Self::Indexed(Reference::PostBase(cursor.int(4)?)))
        } else {
            let name = Reference::PostBase(cursor.int(3)?);
            let value = Text::read(cursor, 7, u64::MAX)?;
            Ok(Self::NameReference {
                name,
                value,
                never_indexed: bit(0x08),
            })
        }
    }
}

/// Appends a line that is an entry.
pub(super) fn put_indexed(out: &mut BytesMut, reference: Reference) {
    match reference {
        Reference::Static(index) => put_int(out, 0xc0, 6, index),
        Reference::Relative(index) => put_int(out, 0x80, 6, index),
        Reference::PostBase(index) => put_int(out, 0x10, 4, index),
    }
}

/// Appends a line with the name of an entry.
pub(super) fn put_name_reference(
    out: &mut BytesMut,
    name: Reference,
    value: &[u8],
    never_indexed: bool,
) {
    let flag = |bit: u8| if never_indexed { bit } else { 0 };
    match name {
        Reference::Static(index) => put_int(out, 0x50 | flag(0x20), 4, index),
        Reference::Relative(index) => put_int(out, 0x40 | flag(0x20), 4, index),
        Reference::PostBase(index) => put_int(out, flag(0x08), 3, index),
    }
    put_text(out, 0, 7, value);
}

/// Appends a line that refers to nothing.
pub(super) fn put_literal(out: &mut BytesMut, name: &[u8], value: &[u8], never_indexed: bool) {
    put_text(out, if never_indexed { 0x30 } else { 0x20 }, 3, name);
    put_text(out, 0, 7, value);
}

/// In a section everything has arrived, so what is missing never comes.
impl From<ReadError> for DecompressionReason {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Incomplete { .. } | ReadError::TooLong => Self::Truncated,
            ReadError::TooLarge => Self::IntegerTooLarge,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn required_insert_counts_are_resolved_near_the_insert_count() {
        // Capacity 100: three entries, so counts are known modulo six.
        for (inserts, expected) in [
            (
                10,
                [
                    Some(0),
                    Some(12),
                    Some(13),
                    Some(8),
                    Some(9),
                    Some(10),
                    Some(11),
                    None,
                ],
            ),
            (
                0,
                [Some(0), None, Some(1), Some(2), Some(3), None, None, None],
            ),
            (
                3,
                [
                    Some(0),
                    Some(6),
                    Some(1),
                    Some(2),
                    Some(3),
                    Some(4),
                    Some(5),
                    None,
                ],
            ),
        ] {
            let decoded: [_; 8] =
                std::array::from_fn(|i| decode_required_insert_count(i as u64, 100, inserts));
            assert_eq!(decoded, expected, "after {inserts} inserts");
        }
    }

    #[test]
    fn a_table_without_room_has_no_required_insert_count() {
        for max_capacity in [0, 31] {
            assert_eq!(decode_required_insert_count(0, max_capacity, 0), Some(0));
            assert_eq!(decode_required_insert_count(1, max_capacity, 0), None);
            assert_eq!(
                decode_required_insert_count(u64::MAX, max_capacity, 0),
                None
            );
        }
    }

    #[test]
    fn base_may_be_zero_but_not_negative() {
        let read = |bytes: &[u8]| Prefix::read(&mut Cursor::new(bytes), 100, 10);
        // 3 stands for a Required Insert Count of 8.
        let prefix = |base| {
            Ok(Prefix {
                required_insert_count: 8,
                base,
            })
        };
        assert_eq!(read(&[3, 0x00]), prefix(8));
        assert_eq!(read(&[3, 0x02]), prefix(10));
        assert_eq!(read(&[3, 0x80]), prefix(7));
        assert_eq!(read(&[3, 0x87]), prefix(0));
        assert_eq!(read(&[3, 0x88]), Err(DecompressionReason::NegativeBase));
        assert_eq!(read(&[0, 0x80]), Err(DecompressionReason::NegativeBase));
        assert_eq!(
            read(&[0, 0x05]),
            Ok(Prefix {
                required_insert_count: 0,
                base: 5
            })
        );
        assert_eq!(read(&[3]), Err(DecompressionReason::Truncated));
        assert_eq!(read(&[]), Err(DecompressionReason::Truncated));
        assert_eq!(
            read(&[7, 0]),
            Err(DecompressionReason::InvalidRequiredInsertCount)
        );
    }

    #[test]
    fn lines_are_read_as_written() {
        let text = Text::Plain(b"\x01");
        for reference in [
            Reference::Static(70),
            Reference::Relative(70),
            Reference::PostBase(70),
        ] {
            let mut out = BytesMut::new();
            put_indexed(&mut out, reference);
            put_name_reference(&mut out, reference, b"\x01", true);
            put_name_reference(&mut out, reference, b"\x01", false);
            put_literal(&mut out, b"\x01", b"\x01", true);
            put_literal(&mut out, b"\x01", b"\x01", false);
            let mut cursor = Cursor::new(&out);
            let mut read = || FieldLine::read(&mut cursor).unwrap();
            assert_eq!(read(), FieldLine::Indexed(reference));
            for never_indexed in [true, false] {
                let (name, value) = (reference, text);
                assert_eq!(
                    read(),
                    FieldLine::NameReference {
                        name,
                        value,
                        never_indexed
                    }
                );
            }
            for never_indexed in [true, false] {
                let (name, value) = (text, text);
                assert_eq!(
                    read(),
                    FieldLine::Literal {
                        name,
                        value,
                        never_indexed
                    }
                );
            }
            assert!(cursor.is_empty());
        }
    }

    proptest! {
        #[test]
        fn prefixes_survive(max_entries in 1u64..200, oldest in 0u64..1 << 40,
                            inserts in 0u64..200, required in 1u64..200, base in 0u64..1 << 41) {
            // A decoder lags by at most a table full of entries, and the entry
            // that is required is still in the encoder's table.
            let inserts = oldest + inserts % (max_entries + 1);
            let required = oldest + 1 + required % max_entries;
            let prefix = Prefix { required_insert_count: required, base };
            let mut out = BytesMut::new();
            prefix.put(&mut out, max_entries * 32 + 31);
            let read = Prefix::read(&mut Cursor::new(&out), max_entries * 32 + 31, inserts);
            prop_assert_eq!(read, Ok(prefix));
        }
    }
}
