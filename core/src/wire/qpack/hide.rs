//! Rewrites the peer's QPACK bytes so that values are other values of the same
//! length on the wire, for records that are shared.
//!
//! Everything that is not a value stays: names, indices, lengths however they are
//! encoded, the choice of Huffman coding. What a [`Decoder`](super::Decoder) makes
//! of the rewritten bytes differs in values only, and fails where it failed.

use bytes::BytesMut;

use super::error::DecompressionReason;
use super::field_line::{FieldLine, Prefix};
use super::huffman::{self, InvalidHuffman};
use super::instruction::{EncoderInstruction, Partial, StepError};
use super::prefix_int::{Cursor, MAX_LEN, ReadError};
use super::static_table;
use super::table::{Entry, Table};
use super::text::Text;

/// Gives what stands for the value of a field, or `None` to keep it; the name is
/// `None` when it cannot be told. What it gives has the length of the value, and
/// its length once Huffman-coded. Called for lines that are table entries too,
/// whose values are not in the line, to show them.
pub(crate) type Hide<'a> = &'a dyn Fn(Option<&[u8]>, &[u8]) -> Option<Vec<u8>>;

/// Follows the peer's encoder stream with a table of its own, and rewrites what it
/// reads. As many bytes come out as go in, whatever they are.
///
/// Memory in use is bounded as a [`Decoder`](super::Decoder)'s is.
#[derive(Clone, Debug)]
pub(crate) struct Hider {
    table: Table<()>,
    max_capacity: u64,
    partial: Partial,
    /// Bytes in `partial`.
    held: usize,
    /// The encoder stream cannot be followed any further.
    failed: bool,
}

/// An instruction that cannot be applied.
#[derive(Debug)]
struct Broken;

impl Hider {
    /// Beside a decoder that advertises this as `SETTINGS_QPACK_MAX_TABLE_CAPACITY`.
    pub(crate) fn new(max_capacity: u64) -> Self {
        Self {
            table: Table::new(),
            max_capacity,
            partial: Partial::default(),
            held: 0,
            failed: false,
        }
    }

    /// Entries the peer has inserted.
    pub(crate) fn inserted(&self) -> u64 {
        self.table.insert_count()
    }

    /// Takes bytes of the encoder stream in any chunking, and appends those of
    /// whole instructions; the rest follows with a later call. After an
    /// instruction that is an error, zeros.
    pub(crate) fn encoder_stream(&mut self, bytes: &[u8], out: &mut Vec<u8>, hide: Hide<'_>) {
        let end = out.len() + self.held + bytes.len();
        if !self.failed {
            let mut partial = std::mem::take(&mut self.partial);
            let result = partial.drive(bytes, |cursor| self.instruction(cursor, out, hide));
            self.partial = partial;
            if result.is_ok() {
                self.held = end.saturating_sub(out.len());
                return;
            }
            self.failed = true;
        }
        self.held = 0;
        out.resize(end, 0);
    }

    /// Appends what stands for an instruction that stays incomplete.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        self.held = 0;
        let capacity = self.table.capacity();
        put_unreadable(&self.partial.take(), out, |cursor| {
            EncoderInstruction::read(cursor, capacity).map(drop)
        });
    }

    /// Rewrites one instruction from the front of `cursor` and applies it.
    fn instruction(
        &mut self,
        cursor: &mut Cursor<'_>,
        out: &mut Vec<u8>,
        hide: Hide<'_>,
    ) -> Result<(), StepError<Broken>> {
        let start = cursor.clone();
        let capacity = self.table.capacity();
        let instruction = EncoderInstruction::read(cursor, capacity).inspect_err(|error| {
            if !matches!(error, ReadError::Incomplete { .. }) {
                put_unreadable(rest(&start), out, |cursor| {
                    EncoderInstruction::read(cursor, capacity).map(drop)
                });
            }
        })?;
        let whole = between(&start, cursor);
        let (name, value) = match instruction {
            EncoderInstruction::SetCapacity(capacity) => {
                out.extend_from_slice(whole);
                if capacity > self.max_capacity {
                    return Err(StepError::Apply(Broken));
                }
                self.table.set_capacity(capacity);
                return Ok(());
            }
            EncoderInstruction::Duplicate { index } => {
                out.extend_from_slice(whole);
                let entry = self.relative(index).cloned();
                return self.insert(entry);
            }
            EncoderInstruction::InsertWithStaticName { index, value } => {
                let name = static_table::get(index).map(|(name, _)| name.to_vec());
                (name, value)
            }
            EncoderInstruction::InsertWithDynamicName { index, value } => {
                let name = self.relative(index).map(|entry| entry.name().to_vec());
                (name, value)
            }
            EncoderInstruction::InsertWithLiteralName { name, value } => (decoded(name), value),
        };
        let value = put_line(whole, name.as_deref(), value, out, hide);
        let entry = name.zip(value).map(|(mut bytes, value)| {
            let name_len = bytes.len();
            bytes.extend_from_slice(&value);
            Entry::new(bytes.into(), name_len, ())
        });
        self.insert(entry)
    }

    fn insert(&mut self, entry: Option<Entry<()>>) -> Result<(), StepError<Broken>> {
        entry
            .and_then(|entry| self.table.insert(entry).ok())
            .map(drop)
            .ok_or(StepError::Apply(Broken))
    }

    fn relative(&self, index: u64) -> Option<&Entry<()>> {
        self.table.get(self.table.index_of_relative(index)?)
    }

    /// The Required Insert Count of a section that is complete now: it can be
    /// rewritten once [`Self::inserted`] reaches it. `None` if it has none that is
    /// valid.
    pub(crate) fn required(&self, section: &[u8]) -> Option<u64> {
        self.prefix(&mut Cursor::new(section), self.inserted())
            .map(|prefix| prefix.required_insert_count)
            .ok()
    }

    fn prefix(&self, cursor: &mut Cursor<'_>, around: u64) -> Result<Prefix, DecompressionReason> {
        Prefix::read(cursor, self.max_capacity, around)
    }

    /// Appends a section rewritten, as far as it is valid, and zeros for the rest.
    /// `around` is what [`Self::inserted`] was when the section was complete.
    pub(crate) fn section(&self, section: &[u8], around: u64, out: &mut Vec<u8>, hide: Hide<'_>) {
        let end = out.len() + section.len();
        self.lines(section, around, out, hide);
        out.resize(end, 0);
    }

    /// Appends the prefix of a section that waits for insertions without end, and
    /// zeros: it goes on waiting wherever it is read.
    pub(crate) fn waiting_section(&self, section: &[u8], around: u64, out: &mut Vec<u8>) {
        let end = out.len() + section.len();
        let start = Cursor::new(section);
        let mut cursor = start.clone();
        // Whatever is wrong with the prefix is wrong with what is kept of it.
        self.prefix(&mut cursor, around).ok();
        out.extend_from_slice(between(&start, &cursor));
        out.resize(end, 0);
    }

    /// Ends at the first line that is an error.
    fn lines(&self, section: &[u8], around: u64, out: &mut Vec<u8>, hide: Hide<'_>) {
        let mut cursor = Cursor::new(section);
        let Ok(prefix) = self.prefix(&mut cursor, around) else {
            put_unreadable(section, out, |cursor| self.prefix(cursor, around).map(drop));
            return;
        };
        out.extend_from_slice(between(&Cursor::new(section), &cursor));
        while !cursor.is_empty() {
            let start = cursor.clone();
            let Ok(line) = FieldLine::read(&mut cursor) else {
                put_unreadable(rest(&start), out, |cursor| {
                    FieldLine::read(cursor).map(drop)
                });
                return;
            };
            let whole = between(&start, &cursor);
            let (name, value) = match line {
                FieldLine::Indexed(reference) => {
                    out.extend_from_slice(whole);
                    let Ok((name, value)) = prefix.resolve(reference, &self.table) else {
                        return;
                    };
                    hide(Some(name), value);
                    continue;
                }
                FieldLine::NameReference { name, value, .. } => {
                    let entry = prefix.resolve(name, &self.table);
                    (entry.ok().map(|(name, _)| name.to_vec()), value)
                }
                FieldLine::Literal { name, value, .. } => (decoded(name), value),
            };
            let value = put_line(whole, name.as_deref(), value, out, hide);
            if name.is_none() || value.is_none() {
                return;
            }
        }
    }
}

/// Appends `whole`, which ends with `value`, with another value. Returns the value
/// it had, if it can be decoded.
fn put_line(
    whole: &[u8],
    name: Option<&[u8]>,
    value: Text<'_>,
    out: &mut Vec<u8>,
    hide: Hide<'_>,
) -> Option<Vec<u8>> {
    let end = out.len() + whole.len();
    let head = whole.len().saturating_sub(value.wire().len());
    out.extend_from_slice(whole.get(..head).unwrap_or_default());
    let plain = decoded(value);
    if let Some(plain) = &plain {
        match (hide(name, plain), value) {
            (None, _) => out.extend_from_slice(value.wire()),
            (Some(masked), Text::Plain(_)) => out.extend_from_slice(&masked),
            (Some(masked), Text::Huffman(_)) => {
                let mut coded = BytesMut::new();
                huffman::encode(&masked, &mut coded);
                out.extend_from_slice(&coded);
            }
        }
    }
    //= https://www.rfc-editor.org/rfc/rfc7541#section-5.2
    // Ones without end are no valid string, as what could not be decoded is not.
    out.resize(end, 0xff);
    plain
}

fn decoded(text: Text<'_>) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    match text.append_to(&mut plain, u64::MAX) {
        Ok(_) => Some(plain),
        Err(InvalidHuffman) => None,
    }
}

/// Appends what stands for `bytes`, whose front `read` cannot read: the integers it
/// finds there, zeros from then on, so that it fails in the same way.
fn put_unreadable<E: PartialEq>(
    bytes: &[u8],
    out: &mut Vec<u8>,
    read: impl Fn(&mut Cursor<'_>) -> Result<(), E>,
) {
    let start = Cursor::new(bytes);
    let mut cursor = start.clone();
    let result = read(&mut cursor);
    let base = out.len();
    out.extend_from_slice(between(&start, &cursor));
    let front = out.len();
    out.resize(base + bytes.len(), 0);
    // Where an integer is what cannot be read, as much of it is kept as matters.
    // That is its prefix and ten bytes at most, whose high bit says that it goes on.
    for (place, byte) in (front..=front + MAX_LEN + 1).zip(rest(&cursor).iter()) {
        let written = out.get(base..).unwrap_or_default();
        if read(&mut Cursor::new(written)) == result {
            break;
        }
        if let Some(written) = out.get_mut(place) {
            *written = *byte;
        }
    }
}

/// What `start` had to read and `end` has not.
fn between<'a>(start: &Cursor<'a>, end: &Cursor<'a>) -> &'a [u8] {
    let len = start.remaining().saturating_sub(end.remaining());
    start.clone().take(len as u64).unwrap_or_default()
}

fn rest<'a>(cursor: &Cursor<'a>) -> &'a [u8] {
    cursor
        .clone()
        .take(cursor.remaining() as u64)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
