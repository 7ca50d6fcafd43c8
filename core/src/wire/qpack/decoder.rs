//! The receiving half: follows the peer's table and decodes field sections.

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;

use super::error::{DecompressionReason, EncoderStreamReason, QpackError};
use super::field_line::{FieldLine, Prefix};
use super::huffman::InvalidHuffman;
use super::instruction::{DecoderInstruction, EncoderInstruction, Partial, StepError};
use super::prefix_int::{Cursor, ReadError};
use super::static_table;
use super::table::{ENTRY_OVERHEAD, Entry, Table};
use super::text::Text;
use crate::wire::fields::FieldSection;
use crate::wire::seen::Seen;

/// Most bytes of Section Acknowledgments and Stream Cancellations that wait
/// for [`Decoder::take_output`]: over 1,600 instructions, whatever the stream
/// ids. A peer that makes more without reading the decoder stream is refused.
pub const MAX_DECODER_BACKLOG: usize = 16 * 1024;

/// Outcome of [`Decoder::decode`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The lines of the section.
    Section(FieldSection),
    /// The section needs entries that have not arrived. Keep its bytes and
    /// decode again once [`Decoder::poll_unblocked`] returns the stream.
    Blocked,
    /// The section exceeds `max_size` or [`Decoder::max_lines`]. It is valid and accounted for; its lines
    /// are lost.
    TooLarge,
}

/// Decodes field sections with the dynamic table the peer's encoder maintains.
///
/// Sections of one stream have to be decoded in the order they arrive in, and
/// each once until it is not [`Decoded::Blocked`]. Memory in use stays within
/// the table capacity, about four times that for an instruction that arrives in
/// pieces (Huffman coding may lengthen strings), [`MAX_DECODER_BACKLOG`] and a
/// few words for each blocked stream.
#[derive(Clone, Debug)]
pub struct Decoder {
    table: Table<()>,
    max_capacity: u64,
    max_blocked: u64,
    max_lines: usize,
    partial: Partial,
    /// Required Insert Count of each blocked stream.
    blocked: BTreeMap<u64, u64>,
    /// `blocked`, ordered by Required Insert Count.
    waiting: BTreeSet<(u64, u64)>,
    /// Streams that left `blocked`, with the same count, until they are decoded.
    unblocked: BTreeMap<u64, u64>,
    /// Those of them that were not polled yet.
    ready: BTreeSet<u64>,
    /// Inserts the peer knows we have, once it has read `output`.
    reported: u64,
    output: BytesMut,
    /// Room for the next section, when it was given back.
    spare: FieldSection,
    /// Instructions read.
    work: u32,
}

impl Decoder {
    /// A decoder that advertises these values as
    /// `SETTINGS_QPACK_MAX_TABLE_CAPACITY` (bytes) and
    /// `SETTINGS_QPACK_BLOCKED_STREAMS`.
    pub fn new(max_table_capacity: u64, max_blocked_streams: u64) -> Self {
        Self {
            table: Table::new(),
            max_capacity: max_table_capacity,
            max_blocked: max_blocked_streams,
            max_lines: usize::MAX,
            partial: Partial::default(),
            blocked: BTreeMap::new(),
            waiting: BTreeSet::new(),
            unblocked: BTreeMap::new(),
            ready: BTreeSet::new(),
            reported: 0,
            output: BytesMut::new(),
            spare: FieldSection::new(),
            work: 0,
        }
    }

    /// Instructions that were read since the last call.
    pub(crate) fn take_work(&mut self) -> u32 {
        std::mem::take(&mut self.work)
    }

    /// Takes a section back that is not needed any more: its room serves the next one.
    pub(crate) fn give_back(&mut self, section: FieldSection) {
        self.spare = section.emptied();
    }

    /// The same with a limit to the lines of a section, beside that of its size.
    #[must_use]
    pub fn max_lines(mut self, lines: usize) -> Self {
        self.max_lines = lines;
        self
    }

    /// Takes bytes of the peer's encoder stream, in any chunking. Linear in
    /// their number.
    ///
    /// # Errors
    /// [`QpackError::EncoderStream`] for an instruction that is malformed or
    /// cannot be applied. A string too long for the table is refused as soon as
    /// its length is known.
    pub fn handle_encoder_stream(&mut self, bytes: &[u8]) -> Result<(), QpackError> {
        self.handle_encoder_stream_seen(bytes, &mut |_| {})
    }

    /// As [`Self::handle_encoder_stream`]; tells what the bytes are.
    #[doc(hidden)]
    pub fn handle_encoder_stream_seen(
        &mut self,
        bytes: &[u8],
        seen: &mut impl FnMut(Seen<'_>),
    ) -> Result<(), QpackError> {
        let mut partial = std::mem::take(&mut self.partial);
        let result = partial.drive(bytes, |cursor| {
            let before = cursor.remaining();
            let instruction = EncoderInstruction::read(cursor, self.table.capacity());
            let read = before - cursor.remaining();
            match &instruction {
                Ok(instruction) => self.tell(instruction, read, seen),
                Err(ReadError::Incomplete { .. }) => seen(Seen::Ahead(read + cursor.cut())),
                // The first byte says what it was to be.
                Err(_) => seen(Seen::Structure((read + cursor.cut()).max(1))),
            }
            self.work += 1;
            self.apply(instruction?).map_err(StepError::Apply)
        });
        self.partial = partial;
        self.unblock();
        result.map_err(|error| match error {
            StepError::Apply(reason) => reason.into(),
            StepError::Read(ReadError::TooLong) => EncoderStreamReason::EntryTooLarge.into(),
            StepError::Read(ReadError::TooLarge | ReadError::Incomplete { .. }) => {
                EncoderStreamReason::IntegerTooLarge.into()
            }
        })
    }

    /// Tells what an instruction of `read` bytes consists of.
    fn tell(
        &self,
        instruction: &EncoderInstruction<'_>,
        read: usize,
        seen: &mut impl FnMut(Seen<'_>),
    ) {
        let (name, value) = match *instruction {
            EncoderInstruction::SetCapacity(_) | EncoderInstruction::Duplicate { .. } => {
                return seen(Seen::Structure(read));
            }
            EncoderInstruction::InsertWithStaticName { index, value } => {
                (static_table::get(index).map(|(name, _)| name), value)
            }
            EncoderInstruction::InsertWithDynamicName { index, value } => {
                (self.relative(index).ok().map(Entry::name), value)
            }
            EncoderInstruction::InsertWithLiteralName { name, value } => {
                let head = read - value.wire().len();
                return seen(Seen::Field { head, name, value });
            }
        };
        let head = read - value.wire().len();
        match name.map(Text::Plain) {
            Some(name) => seen(Seen::Field { head, name, value }),
            // Whatever the value is, the instruction is refused.
            None => seen(Seen::Structure(head)),
        }
    }

    fn apply(&mut self, instruction: EncoderInstruction<'_>) -> Result<(), EncoderStreamReason> {
        let entry = match instruction {
            EncoderInstruction::SetCapacity(capacity) => {
                //= https://www.rfc-editor.org/rfc/rfc9204#section-4.3.1
                // The capacity may not exceed what we advertised.
                if capacity > self.max_capacity {
                    return Err(EncoderStreamReason::CapacityAboveMaximum);
                }
                self.table.set_capacity(capacity);
                return Ok(());
            }
            EncoderInstruction::InsertWithStaticName { index, value } => {
                let (name, _) = static_table::get(index).ok_or(EncoderStreamReason::StaticIndex)?;
                self.new_entry(Text::Plain(name), value)?
            }
            EncoderInstruction::InsertWithDynamicName { index, value } => {
                self.new_entry(Text::Plain(self.relative(index)?.name()), value)?
            }
            EncoderInstruction::InsertWithLiteralName { name, value } => {
                self.new_entry(name, value)?
            }
            EncoderInstruction::Duplicate { index } => self.relative(index)?.clone(),
        };
        //= https://www.rfc-editor.org/rfc/rfc9204#section-3.2.2
        // An entry larger than the capacity is an error. The insertion may evict
        // the very entry it was made from, which `entry` no longer needs.
        self.table
            .insert(entry)
            .map(drop)
            .map_err(|_| EncoderStreamReason::EntryTooLarge)
    }

    fn relative(&self, index: u64) -> Result<&Entry<()>, EncoderStreamReason> {
        self.table
            .index_of_relative(index)
            .and_then(|index| self.table.get(index))
            .ok_or(EncoderStreamReason::DynamicIndex)
    }

    fn new_entry(&self, name: Text<'_>, value: Text<'_>) -> Result<Entry<()>, EncoderStreamReason> {
        let mut bytes = Vec::new();
        let mut append = |text: Text<'_>, limit: u64| match text.append_to(&mut bytes, limit) {
            Ok(true) => Ok(bytes.len()),
            Ok(false) => Err(EncoderStreamReason::EntryTooLarge),
            Err(InvalidHuffman) => Err(EncoderStreamReason::InvalidHuffman),
        };
        let room = self.table.capacity().checked_sub(ENTRY_OVERHEAD);
        let room = room.ok_or(EncoderStreamReason::EntryTooLarge)?;
        let name_len = append(name, room)?;
        append(value, room.saturating_sub(name_len as u64))?;
        Ok(Entry::new(bytes.into(), name_len, ()))
    }

    /// Decodes one field section of `stream`. `max_size` bounds the section's
    /// size as [`FieldSection::size`] counts it, and so what is allocated.
    /// Linear in the section and in what it decodes to, at most `max_size`.
    ///
    /// # Errors
    /// [`QpackError::DecompressionFailed`] for a section that is malformed or
    /// names missing entries, and when it would block more streams than
    /// advertised; [`QpackError::DecoderBacklog`] when the peer does not take
    /// our acknowledgments.
    pub fn decode(
        &mut self,
        stream: u64,
        section: &[u8],
        max_size: u64,
    ) -> Result<Decoded, QpackError> {
        self.decode_seen(stream, section, max_size, &mut |_| {})
    }

    /// As [`Self::decode`]; tells what the bytes are.
    #[doc(hidden)]
    pub fn decode_seen(
        &mut self,
        stream: u64,
        section: &[u8],
        max_size: u64,
        seen: &mut impl FnMut(Seen<'_>),
    ) -> Result<Decoded, QpackError> {
        let mut told = 0;
        let decoded = self.decode_section(stream, section, max_size, &mut |what: Seen<'_>| {
            told += what.len();
            seen(what);
        });
        if decoded.is_err() {
            seen(Seen::Refused(section.len() - told));
        }
        decoded
    }

    fn decode_section(
        &mut self,
        stream: u64,
        section: &[u8],
        max_size: u64,
        seen: &mut impl FnMut(Seen<'_>),
    ) -> Result<Decoded, QpackError> {
        let mut cursor = Cursor::new(section);
        let inserts = self.table.insert_count();
        //= https://www.rfc-editor.org/rfc/rfc9204#section-4.5.1.1
        // The count is sent modulo a range around the inserts made. A section that
        // waited means what it meant when it came, however many were made since.
        let known = self.blocked.get(&stream).or(self.unblocked.get(&stream));
        let around = known.copied().unwrap_or(inserts);
        let prefix = Prefix::read(&mut cursor, self.max_capacity, around)?;
        self.forget(stream);
        let required = prefix.required_insert_count;
        let read = section.len() - cursor.remaining();
        if required > inserts {
            let blocked = self.block(stream, required)?;
            seen(Seen::Ahead(read));
            return Ok(blocked);
        }
        seen(Seen::Structure(read));
        let mut sink = Sink {
            section: std::mem::take(&mut self.spare),
            room: max_size,
            lines: self.max_lines,
            overflow: false,
        };
        let mut lines = 0;
        let most = sink.lines;
        while !(cursor.is_empty() || sink.overflow && lines > most) {
            lines += 1;
            let before = cursor.remaining();
            let line = FieldLine::read(&mut cursor)?;
            let read = before - cursor.remaining();
            self.decode_line(line, read, prefix, &mut sink, seen)?;
        }
        if !cursor.is_empty() {
            // Beyond the number of lines that is taken nothing is looked at: the work
            // would be for nothing.
            seen(Seen::Refused(cursor.remaining()));
        }
        if required > 0 {
            //= https://www.rfc-editor.org/rfc/rfc9204#section-4.4.1
            // A section with a Required Insert Count is acknowledged after its
            // last line, and implies having received that many inserts.
            self.put(DecoderInstruction::SectionAck { stream })?;
            self.reported = self.reported.max(required);
        }
        Ok(if sink.overflow {
            Decoded::TooLarge
        } else {
            Decoded::Section(sink.section)
        })
    }

    fn decode_line(
        &self,
        line: FieldLine<'_>,
        read: usize,
        prefix: Prefix,
        sink: &mut Sink,
        seen: &mut impl FnMut(Seen<'_>),
    ) -> Result<(), DecompressionReason> {
        let (name, value, never_indexed) = match line {
            FieldLine::Indexed(reference) => {
                let (name, value) = prefix.resolve(reference, &self.table)?;
                seen(Seen::Structure(read));
                return sink.push(Text::Plain(name), Text::Plain(value), false);
            }
            FieldLine::NameReference {
                name,
                value,
                never_indexed,
            } => {
                let (name, _) = prefix.resolve(name, &self.table)?;
                (Text::Plain(name), value, never_indexed)
            }
            FieldLine::Literal {
                name,
                value,
                never_indexed,
            } => (name, value, never_indexed),
        };
        let head = read - value.wire().len();
        seen(Seen::Field { head, name, value });
        sink.push(name, value, never_indexed)
    }

    fn block(&mut self, stream: u64, required: u64) -> Result<Decoded, QpackError> {
        //= https://www.rfc-editor.org/rfc/rfc9204#section-2.1.2
        // More blocked streams than we promised to support is an error.
        if self.blocked.len() as u64 >= self.max_blocked {
            return Err(DecompressionReason::TooManyBlockedStreams.into());
        }
        self.blocked.insert(stream, required);
        self.waiting.insert((required, stream));
        Ok(Decoded::Blocked)
    }

    fn forget(&mut self, stream: u64) {
        if let Some(required) = self.blocked.remove(&stream) {
            self.waiting.remove(&(required, stream));
        }
        self.unblocked.remove(&stream);
        self.ready.remove(&stream);
    }

    fn unblock(&mut self) {
        while let Some((required, stream)) = self.waiting.first().copied()
            && required <= self.table.insert_count()
        {
            self.forget(stream);
            self.unblocked.insert(stream, required);
            self.ready.insert(stream);
        }
    }

    /// The next stream, lowest number first, whose blocked section can be
    /// decoded.
    pub fn poll_unblocked(&mut self) -> Option<u64> {
        self.ready.pop_first()
    }

    /// Number of streams that are blocked.
    pub fn blocked_streams(&self) -> usize {
        self.blocked.len()
    }

    /// The peer reset `stream`, or reading it was given up, before all of its
    /// sections were decoded.
    ///
    /// # Errors
    /// [`QpackError::DecoderBacklog`] when the peer does not take what we write
    /// to the decoder stream.
    pub fn cancel_stream(&mut self, stream: u64) -> Result<(), QpackError> {
        self.forget(stream);
        //= https://www.rfc-editor.org/rfc/rfc9204#section-2.2.2.2
        // Without a dynamic table there are no references to give back, and the
        // instruction may be left out.
        if self.max_capacity == 0 {
            return Ok(());
        }
        self.put(DecoderInstruction::StreamCancellation { stream })
    }

    fn put(&mut self, instruction: DecoderInstruction) -> Result<(), QpackError> {
        if self.output.len() >= MAX_DECODER_BACKLOG {
            return Err(QpackError::DecoderBacklog);
        }
        instruction.put(&mut self.output);
        Ok(())
    }

    /// Whether there is something to write to the decoder stream.
    pub fn has_output(&self) -> bool {
        self.owed() > 0
    }

    /// Bytes to write to the decoder stream, an increment counted as one.
    pub(crate) fn owed(&self) -> usize {
        self.output.len() + usize::from(self.table.insert_count() > self.reported)
    }

    /// Moves what is to be written to the decoder stream to the end of `out`.
    /// Inserts that no acknowledgment covers are reported as one increment, so
    /// calling this late saves bytes; calling it while earlier bytes are still
    /// unwritten gives up the bound that [`MAX_DECODER_BACKLOG`] is.
    pub fn take_output(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(&self.output);
        self.output.clear();
        //= https://www.rfc-editor.org/rfc/rfc9204#section-4.4.3
        // An increment counts only what earlier increments and acknowledgments
        // did not, and is never zero.
        let inserts = self.table.insert_count();
        if inserts > self.reported {
            DecoderInstruction::InsertCountIncrement(inserts - self.reported).put(out);
            self.reported = inserts;
        }
    }
}

/// Collects lines until they exceed the limit, then only checks them.
struct Sink {
    section: FieldSection,
    room: u64,
    lines: usize,
    overflow: bool,
}

impl Sink {
    fn push(
        &mut self,
        name: Text<'_>,
        value: Text<'_>,
        never_indexed: bool,
    ) -> Result<(), DecompressionReason> {
        if self.overflow {
            name.check()?;
            value.check()?;
            return Ok(());
        }
        match self.store(name, value, never_indexed)? {
            Some(room) => self.room = room,
            None => {
                self.overflow = true;
                self.section = FieldSection::new();
                value.check()?;
            }
        }
        Ok(())
    }

    /// Stores a line and returns the room that is left, unless it is too large.
    fn store(
        &mut self,
        name: Text<'_>,
        value: Text<'_>,
        never_indexed: bool,
    ) -> Result<Option<u64>, InvalidHuffman> {
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.2.2
        // A line counts as its uncompressed name and value and 32.
        let room = self.room.checked_sub(ENTRY_OVERHEAD);
        let Some(room) = room.filter(|_| self.section.len() < self.lines) else {
            name.check()?;
            return Ok(None);
        };
        let bytes = self.section.open_line();
        let start = bytes.len();
        if !name.append_to(bytes, room)? {
            return Ok(None);
        }
        let name_end = bytes.len();
        let room = room.saturating_sub((name_end - start) as u64);
        if !value.append_to(bytes, room)? {
            return Ok(None);
        }
        let room = room.saturating_sub((bytes.len() - name_end) as u64);
        self.section.commit(name_end, never_indexed);
        Ok(Some(room))
    }
}

impl From<InvalidHuffman> for DecompressionReason {
    fn from(_: InvalidHuffman) -> Self {
        Self::InvalidHuffman
    }
}

#[cfg(test)]
mod tests;
