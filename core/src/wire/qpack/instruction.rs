//! Instructions of the encoder stream (RFC 9204 section 4.3) and of the decoder
//! stream (section 4.4), and cutting them out of bytes in any chunking.

use bytes::BytesMut;

use super::prefix_int::{Cursor, ReadError, put_int};
use super::table::ENTRY_OVERHEAD;
use super::text::{Text, put_text};

/// A change to the dynamic table. Dynamic indices are relative to the newest
/// entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EncoderInstruction<'a> {
    InsertWithStaticName { index: u64, value: Text<'a> },
    InsertWithDynamicName { index: u64, value: Text<'a> },
    InsertWithLiteralName { name: Text<'a>, value: Text<'a> },
    SetCapacity(u64),
    Duplicate { index: u64 },
}

impl<'a> EncoderInstruction<'a> {
    /// Reads one instruction; strings that cannot be part of an entry of at most
    /// `capacity` are refused before they have arrived.
    pub(super) fn read(cursor: &mut Cursor<'a>, capacity: u64) -> Result<Self, ReadError> {
        let room = capacity
            .checked_sub(ENTRY_OVERHEAD)
            .ok_or(ReadError::TooLong);
        let first = cursor.peek()?;
        if first & 0x80 != 0 {
            let index = cursor.int(6)?;
            let value = Text::read(cursor, 7, room?)?;
            Ok(if first & 0x40 != 0 {
                Self::InsertWithStaticName { index, value }
            } else {
                Self::InsertWithDynamicName { index, value }
            })
        } else if first & 0x40 != 0 {
            let name = Text::read(cursor, 5, room?)?;
            let room = room?.saturating_sub(name.min_len());
            let value = Text::read(cursor, 7, room)?;
            Ok(Self::InsertWithLiteralName { name, value })
        } else if first & 0x20 != 0 {
            Ok(Self::SetCapacity(cursor.int(5)?))
        } else {
            Ok(Self::Duplicate {
                index: cursor.int(5)?,
            })
        }
    }
}

/// Appends Set Dynamic Table Capacity.
pub(super) fn put_set_capacity(out: &mut BytesMut, capacity: u64) {
    put_int(out, 0x20, 5, capacity);
}

/// Appends Insert with Name Reference to a static entry.
pub(super) fn put_insert_static_name(out: &mut BytesMut, index: u64, value: &[u8]) {
    put_int(out, 0xc0, 6, index);
    put_text(out, 0, 7, value);
}

/// Appends Insert with Name Reference to a dynamic entry.
pub(super) fn put_insert_dynamic_name(out: &mut BytesMut, index: u64, value: &[u8]) {
    put_int(out, 0x80, 6, index);
    put_text(out, 0, 7, value);
}

/// Appends Insert with Literal Name.
pub(super) fn put_insert(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    put_text(out, 0x40, 5, name);
    put_text(out, 0, 7, value);
}

/// Appends Duplicate.
pub(super) fn put_duplicate(out: &mut BytesMut, index: u64) {
    put_int(out, 0, 5, index);
}

/// What a decoder tells the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecoderInstruction {
    SectionAck { stream: u64 },
    StreamCancellation { stream: u64 },
    InsertCountIncrement(u64),
}

impl DecoderInstruction {
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, ReadError> {
        let first = cursor.peek()?;
        if first & 0x80 != 0 {
            Ok(Self::SectionAck {
                stream: cursor.int(7)?,
            })
        } else if first & 0x40 != 0 {
            Ok(Self::StreamCancellation {
                stream: cursor.int(6)?,
            })
        } else {
            Ok(Self::InsertCountIncrement(cursor.int(6)?))
        }
    }

    pub(super) fn put(self, out: &mut BytesMut) {
        match self {
            Self::SectionAck { stream } => put_int(out, 0x80, 7, stream),
            Self::StreamCancellation { stream } => put_int(out, 0x40, 6, stream),
            Self::InsertCountIncrement(increment) => put_int(out, 0, 6, increment),
        }
    }
}

/// The start of an instruction whose end has not arrived.
///
/// It holds less than one instruction, so what bounds instructions bounds it.
#[derive(Clone, Debug, Default)]
pub(super) struct Partial(Vec<u8>);

impl Partial {
    /// Feeds `input` to `step`, which reads one instruction from the front of
    /// its cursor and applies it. What `step` finds incomplete is kept for the
    /// next call. After an error the kept bytes are gone.
    pub(super) fn drive<E>(
        &mut self,
        mut input: &[u8],
        mut step: impl FnMut(&mut Cursor<'_>) -> Result<(), StepError<E>>,
    ) -> Result<(), StepError<E>> {
        let mut kept = std::mem::take(&mut self.0);
        while !kept.is_empty() {
            match step(&mut Cursor::new(&kept)) {
                // Only bytes known to belong to the instruction were added.
                Ok(()) => kept.clear(),
                Err(StepError::Read(ReadError::Incomplete { more })) => {
                    if input.is_empty() {
                        self.0 = kept;
                        return Ok(());
                    }
                    let (head, tail) = input.split_at(more.min(input.len()));
                    kept.extend_from_slice(head);
                    input = tail;
                }
                Err(error) => return Err(error),
            }
        }
        let mut cursor = Cursor::new(input);
        while !cursor.is_empty() {
            let before = cursor.remaining();
            match step(&mut cursor) {
                Ok(()) => {}
                Err(StepError::Read(ReadError::Incomplete { .. })) => {
                    let start = input.len().saturating_sub(before);
                    kept.extend_from_slice(input.get(start..).unwrap_or_default());
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.0 = kept;
        Ok(())
    }

    /// Bytes kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Why a step of [`Partial::drive`] failed: reading, or applying what was read.
#[derive(Debug)]
pub(super) enum StepError<E> {
    Read(ReadError),
    Apply(E),
}

impl<E> From<ReadError> for StepError<E> {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoder_instructions_are_read_as_written() {
        let mut out = BytesMut::new();
        put_set_capacity(&mut out, 220);
        put_insert_static_name(&mut out, 64, b"\x01");
        put_insert_dynamic_name(&mut out, 3, b"\x02");
        put_insert(&mut out, b"\x03", b"\x04");
        put_duplicate(&mut out, 40);
        let mut cursor = Cursor::new(&out);
        let mut read = || EncoderInstruction::read(&mut cursor, 220).unwrap();
        assert_eq!(read(), EncoderInstruction::SetCapacity(220));
        let value = Text::Plain(b"\x01");
        assert_eq!(
            read(),
            EncoderInstruction::InsertWithStaticName { index: 64, value }
        );
        let value = Text::Plain(b"\x02");
        assert_eq!(
            read(),
            EncoderInstruction::InsertWithDynamicName { index: 3, value }
        );
        let (name, value) = (Text::Plain(b"\x03"), Text::Plain(b"\x04"));
        assert_eq!(
            read(),
            EncoderInstruction::InsertWithLiteralName { name, value }
        );
        assert_eq!(read(), EncoderInstruction::Duplicate { index: 40 });
        assert!(cursor.is_empty());
    }

    #[test]
    fn decoder_instructions_are_read_as_written() {
        for (instruction, bytes) in [
            (DecoderInstruction::SectionAck { stream: 4 }, &[0x84][..]),
            (
                DecoderInstruction::StreamCancellation { stream: 8 },
                &[0x48],
            ),
            (DecoderInstruction::InsertCountIncrement(1), &[0x01]),
            (
                DecoderInstruction::SectionAck { stream: 1024 },
                &[0xff, 0x81, 0x07],
            ),
        ] {
            let mut out = BytesMut::new();
            instruction.put(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(
                DecoderInstruction::read(&mut Cursor::new(bytes)),
                Ok(instruction)
            );
        }
    }

    #[test]
    fn a_partial_instruction_keeps_its_own_bytes_only() {
        let mut partial = Partial::default();
        let mut seen = Vec::new();
        for chunk in [&[0x84, 0xff][..], &[0x81], &[0x07, 0x48, 0xff]] {
            partial
                .drive::<()>(chunk, |cursor| {
                    seen.push(DecoderInstruction::read(cursor)?);
                    Ok(())
                })
                .unwrap();
        }
        assert_eq!(
            seen,
            [
                DecoderInstruction::SectionAck { stream: 4 },
                DecoderInstruction::SectionAck { stream: 1024 },
                DecoderInstruction::StreamCancellation { stream: 8 },
            ]
        );
        assert_eq!(partial.len(), 1);
    }
}
