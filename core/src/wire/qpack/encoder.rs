//! The sending half: maintains the table of the peer's decoder and encodes
//! field sections with it.

use std::collections::{BTreeMap, VecDeque};

use bytes::BytesMut;

use super::error::{DecoderStreamReason, QpackError};
use super::field_line::{self, Prefix, Reference};
use super::instruction::{self, DecoderInstruction, Partial, StepError};
use super::names::{self, Policy};
use super::prefix_int::{Cursor, MAX_LEN, ReadError};
use super::references::{References, Section};
use super::static_table::Match;
use super::table::{Entry, Table};
use crate::wire::fields::Field;
use crate::wire::seen::Seen;

/// Most bytes of instructions that wait for [`Encoder::take_output`]. When they
/// pile up, fields are encoded without new entries.
pub const MAX_ENCODER_BACKLOG: usize = 4096;

/// Fields remembered to notice the second time they are seen.
const RECENT_FIELDS: usize = 64;

/// Encodes field sections, with a dynamic table as far as the peer permits.
///
/// An entry is referenced before its acknowledgment only while fewer streams
/// than the peer allows could block on it, and evicted only once it is
/// acknowledged and no outstanding section refers to it. Sections count as
/// outstanding until the peer acknowledges them or cancels their stream: when
/// a stream is reset on our side nothing is to be done here, as the peer owes a
/// Stream Cancellation. References of a section that never reaches the wire
/// stay; [`super::MAX_OUTSTANDING_SECTIONS`] bounds them.
///
/// Encoding is linear in the fields, plus a logarithm of the number of entries
/// for each.
#[derive(Clone, Debug)]
pub struct Encoder {
    table: Table<Meta>,
    /// What the peer advertised; the encoding of the prefix depends on it.
    peer_max_capacity: u64,
    /// Capacity in use as soon as the peer has been told.
    target_capacity: u64,
    max_blocked: u64,
    /// Newest entry by hash of name and value, and by hash of its name. Where
    /// hashes collide, the newer entry wins and the older one is not found.
    by_field: BTreeMap<u64, u64>,
    by_name: BTreeMap<u64, u64>,
    /// Bytes of all entries ever inserted.
    inserted_bytes: u64,
    recent: VecDeque<u64>,
    references: References,
    partial: Partial,
    output: BytesMut,
    /// Bytes that `output` may hold.
    output_limit: usize,
    /// Inserts handed out through `take_output`.
    sent: u64,
    /// Lines of the section being encoded; empty between calls.
    lines: BytesMut,
    /// Instructions read.
    work: u32,
}

/// What the encoder keeps with an entry.
#[derive(Clone, Copy, Debug)]
struct Meta {
    hashes: Hashes,
    /// `inserted_bytes` before it was inserted.
    position: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hashes {
    name: u64,
    field: u64,
}

impl Hashes {
    /// FNV-1a: the same on every run. A peer that finds collisions only makes
    /// its own fields miss the table.
    fn of(field: Field<'_>) -> Self {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let name = field.name.iter().fold(0xcbf2_9ce4_8422_2325, step);
        // 0xff ends the name, so that moving a byte into the value matters.
        let field = field.value.iter().fold(step(name, &0xff), step);
        Self { name, field }
    }
}

/// A section while it is encoded.
struct Pass {
    base: u64,
    /// References are possible at all.
    may_refer: bool,
    /// References may go beyond the Known Received Count.
    may_block: bool,
    /// Smallest and largest index referenced.
    range: Option<(u64, u64)>,
}

impl Pass {
    fn can_refer(&self, index: u64, known_received: u64) -> bool {
        self.may_refer && (self.may_block || index < known_received)
    }

    fn refer(&mut self, index: u64) -> Reference {
        let (oldest, newest) = self.range.unwrap_or((index, index));
        self.range = Some((oldest.min(index), newest.max(index)));
        Reference::dynamic(index, self.base)
    }

    fn oldest(&self) -> u64 {
        self.range.map_or(u64::MAX, |(oldest, _)| oldest)
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder that uses the static table only, until limits are set.
    pub fn new() -> Self {
        Self {
            table: Table::new(),
            peer_max_capacity: 0,
            target_capacity: 0,
            max_blocked: 0,
            by_field: BTreeMap::new(),
            by_name: BTreeMap::new(),
            inserted_bytes: 0,
            recent: VecDeque::new(),
            references: References::default(),
            partial: Partial::default(),
            output: BytesMut::new(),
            output_limit: MAX_ENCODER_BACKLOG,
            sent: 0,
            lines: BytesMut::new(),
            work: 0,
        }
    }

    /// Instructions that were read since the last call.
    pub(crate) fn take_work(&mut self) -> u32 {
        std::mem::take(&mut self.work)
    }

    /// Sets what the peer advertised as `SETTINGS_QPACK_MAX_TABLE_CAPACITY`
    /// (bytes) and `SETTINGS_QPACK_BLOCKED_STREAMS`, and the most memory we
    /// want to spend on the table. May be called again, for the SETTINGS that
    /// follow remembered ones (0-RTT) or to change `our_capacity`. If 0-RTT was
    /// rejected, start over with a new encoder.
    ///
    /// A smaller capacity takes effect with the first section encoded after the
    /// entries it displaces can be evicted; nothing is inserted until then.
    ///
    /// # Errors
    /// [`QpackError::DecoderStream`] when a capacity other than zero was set
    /// before and the peer's differs from it.
    pub fn set_peer_limits(
        &mut self,
        peer_max_table_capacity: u64,
        peer_max_blocked_streams: u64,
        our_capacity: u64,
    ) -> Result<(), QpackError> {
        //= https://www.rfc-editor.org/rfc/rfc9204#section-3.2.3
        // A capacity remembered from an earlier connection, unless it is zero,
        // has to be advertised again unchanged.
        if self.peer_max_capacity != 0 && self.peer_max_capacity != peer_max_table_capacity {
            return Err(DecoderStreamReason::CapacityChanged.into());
        }
        self.peer_max_capacity = peer_max_table_capacity;
        self.max_blocked = peer_max_blocked_streams;
        self.target_capacity = our_capacity.min(peer_max_table_capacity);
        Ok(())
    }

    /// Says how many bytes the encoder stream can take now: its flow control
    /// credit, and the connection's, less what was taken and not written yet.
    /// Instructions that would not fit are not made. Unless this is called,
    /// only [`MAX_ENCODER_BACKLOG`] limits them; it applies in any case.
    pub fn set_output_credit(&mut self, bytes: u64) {
        //= https://www.rfc-editor.org/rfc/rfc9204#section-2.1.3
        // An instruction that flow control holds back could block a section
        // whose stream the peer does not read on, so it is better not written.
        self.output_limit = usize::try_from(bytes)
            .unwrap_or(usize::MAX)
            .min(MAX_ENCODER_BACKLOG);
    }

    /// Appends the encoded section of `fields` to `out`, for `stream`. The
    /// instructions it depends on wait for [`Self::take_output`].
    ///
    /// The sections of one stream, including trailers and push promises, have
    /// to be sent in the order they were encoded in.
    pub fn encode<'a>(
        &mut self,
        stream: u64,
        fields: impl IntoIterator<Item = Field<'a>>,
        out: &mut BytesMut,
    ) {
        let mut pass = Pass {
            base: self.table.insert_count(),
            may_refer: self.references.has_room(),
            may_block: self.references.may_block(stream, self.max_blocked),
            range: None,
        };
        if self.target_capacity < self.table.capacity() {
            self.adopt_capacity(&pass);
        }
        let mut lines = std::mem::take(&mut self.lines);
        for field in fields {
            self.encode_line(field, &mut pass, &mut lines);
        }
        let required_insert_count = pass.range.map_or(0, |(_, newest)| newest + 1);
        Prefix {
            required_insert_count,
            base: pass.base,
        }
        .put(out, self.peer_max_capacity);
        out.extend_from_slice(&lines);
        lines.clear();
        self.lines = lines;
        if let Some((oldest, _)) = pass.range {
            self.references.add(
                stream,
                Section {
                    required: required_insert_count,
                    oldest,
                },
            );
        }
    }

    fn encode_line(&mut self, field: Field<'_>, pass: &mut Pass, lines: &mut BytesMut) {
        let known = names::find(field.name);
        let policy = names::policy(field, known);
        let entry = known.map_or(Match::None, |known| known.entries.find(field.value));
        let static_name = match entry {
            Match::Field(index) if policy != Policy::Sensitive => {
                return field_line::put_indexed(lines, Reference::Static(index));
            }
            Match::Field(index) | Match::Name(index) => Some(index),
            Match::None => None,
        };
        if policy == Policy::Sensitive {
            return put_literal(lines, field, static_name.map(Reference::Static), true);
        }
        if self.target_capacity > 0 && pass.may_refer {
            let hashes = Hashes::of(field);
            if let Some(index) = self.entry_for(field, hashes, policy, static_name, pass) {
                return field_line::put_indexed(lines, pass.refer(index));
            }
            if static_name.is_none()
                && let Some(index) = self.find_name(field, hashes)
                && pass.can_refer(index, self.references.known_received())
                && !self.is_draining(index)
            {
                return put_literal(lines, field, Some(pass.refer(index)), false);
            }
        }
        put_literal(lines, field, static_name.map(Reference::Static), false);
    }

    /// An entry equal to `field` that this section can refer to, inserted if
    /// that is worth it. May insert one for later sections and return nothing.
    fn entry_for(
        &mut self,
        field: Field<'_>,
        hashes: Hashes,
        policy: Policy,
        static_name: Option<u64>,
        pass: &Pass,
    ) -> Option<u64> {
        let known_received = self.references.known_received();
        let usable = |index: &u64| pass.can_refer(*index, known_received);
        let Some(index) = self.find_field(field, hashes) else {
            if policy == Policy::Volatile && !self.seen_before(hashes.field) {
                return None;
            }
            return self.insert(field, hashes, static_name, pass).filter(usable);
        };
        if self.is_draining(index)
            && let Some(copy) = self.duplicate(index, pass).filter(usable)
        {
            return Some(copy);
        }
        // Making the copy may have evicted the original.
        Some(index)
            .filter(usable)
            .filter(|index| self.table.get(*index).is_some())
    }

    fn find_field(&self, field: Field<'_>, hashes: Hashes) -> Option<u64> {
        let index = *self.by_field.get(&hashes.field)?;
        let entry = self.table.get(index)?;
        (entry.name() == field.name && entry.value() == field.value).then_some(index)
    }

    fn find_name(&self, field: Field<'_>, hashes: Hashes) -> Option<u64> {
        let index = *self.by_name.get(&hashes.name)?;
        (self.table.get(index)?.name() == field.name).then_some(index)
    }

    fn seen_before(&mut self, hash: u64) -> bool {
        let seen = self.recent.contains(&hash);
        if !seen {
            if self.recent.len() == RECENT_FIELDS {
                self.recent.pop_front();
            }
            self.recent.push_back(hash);
        }
        seen
    }

    /// Whether an entry is in the oldest quarter of a table that is full, and
    /// so will be evicted before long.
    fn is_draining(&self, index: u64) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc9204#section-2.1.1.1
        // References to entries that are about to go would keep them from
        // going; a duplicate is referred to in their place.
        let capacity = self.table.capacity();
        self.table.get(index).is_some_and(|entry| {
            self.inserted_bytes - entry.meta.position > capacity - capacity / 4
        })
    }

    /// Makes an instruction that inserts `field`, and returns its index.
    fn insert(
        &mut self,
        field: Field<'_>,
        hashes: Hashes,
        static_name: Option<u64>,
        pass: &Pass,
    ) -> Option<u64> {
        // Larger entries would push out too much at once.
        if field.size() > self.target_capacity / 2 {
            return None;
        }
        // A string is never longer than plain text and the length before it.
        let text_len = field.name.len() + field.value.len();
        self.reserve(field.size(), text_len + 2 * MAX_LEN, pass)?;
        let newest = self.table.insert_count();
        if let Some(index) = static_name {
            instruction::put_insert_static_name(&mut self.output, index, field.value);
        } else if let Some(index) = self.find_name(field, hashes) {
            let relative = newest - 1 - index;
            instruction::put_insert_dynamic_name(&mut self.output, relative, field.value);
        } else {
            instruction::put_insert(&mut self.output, field.name, field.value);
        }
        let bytes = [field.name, field.value].concat();
        self.store(Entry::new(bytes.into(), field.name.len(), hashes))
    }

    /// Makes an instruction that inserts the entry `index` again.
    fn duplicate(&mut self, index: u64, pass: &Pass) -> Option<u64> {
        let entry = self.table.get(index)?;
        let copy = entry.with_meta(entry.meta.hashes);
        // The entry may be evicted on the way; its relative index is the one
        // before the insertion.
        let relative = self.table.insert_count() - 1 - index;
        self.reserve(copy.size(), MAX_LEN, pass)?;
        instruction::put_duplicate(&mut self.output, relative);
        self.store(copy)
    }

    /// Makes room for an entry of `size`, and for an instruction of at most
    /// `instruction_len` bytes after one that sets the capacity. On failure the
    /// table is as before.
    fn reserve(&mut self, size: u64, instruction_len: usize, pass: &Pass) -> Option<()> {
        let output_len = self.output.len() + MAX_LEN + instruction_len;
        if output_len > self.output_limit || !self.adopt_capacity(pass) {
            return None;
        }
        let room = self.table.capacity().checked_sub(size)?;
        self.evict_to(room, pass).then_some(())
    }

    /// Brings the table to the capacity it should have, if entries that are in
    /// use do not prevent it and the instruction has room.
    fn adopt_capacity(&mut self, pass: &Pass) -> bool {
        let target = self.target_capacity;
        if target == self.table.capacity() {
            return true;
        }
        if self.output.len() + MAX_LEN > self.output_limit || !self.evict_to(target, pass) {
            return false;
        }
        //= https://www.rfc-editor.org/rfc/rfc9204#section-4.3.1
        // The table starts without capacity; this instruction gives it some.
        instruction::put_set_capacity(&mut self.output, target);
        self.table.set_capacity(target);
        true
    }

    /// Evicts the oldest entries until `size` bytes are left at most, or
    /// nothing if an entry in use prevents that.
    fn evict_to(&mut self, size: u64, pass: &Pass) -> bool {
        let first_held = self.references.first_held().min(pass.oldest());
        let mut left = self.table.size();
        let mut end = self.table.evicted();
        for entry in self.table.iter() {
            if left <= size || end >= first_held {
                break;
            }
            left -= entry.size();
            end += 1;
        }
        if left > size {
            return false;
        }
        while self.table.evicted() < end {
            let index = self.table.evicted();
            let Some(entry) = self.table.evict_oldest() else {
                break;
            };
            let Hashes { name, field } = entry.meta.hashes;
            for (map, hash) in [(&mut self.by_name, name), (&mut self.by_field, field)] {
                if map.get(&hash) == Some(&index) {
                    map.remove(&hash);
                }
            }
        }
        true
    }

    fn store(&mut self, entry: Entry<Hashes>) -> Option<u64> {
        let hashes = entry.meta;
        let entry = entry.with_meta(Meta {
            hashes,
            position: self.inserted_bytes,
        });
        let size = entry.size();
        let index = self.table.insert(entry).ok()?;
        self.inserted_bytes += size;
        self.by_name.insert(hashes.name, index);
        self.by_field.insert(hashes.field, index);
        Some(index)
    }

    /// Takes bytes of the peer's decoder stream, in any chunking. Linear in
    /// their number.
    ///
    /// # Errors
    /// [`QpackError::DecoderStream`] for an integer that is too large, and for
    /// acknowledgments of what was not sent.
    pub fn handle_decoder_stream(&mut self, bytes: &[u8]) -> Result<(), QpackError> {
        self.handle_decoder_stream_seen(bytes, &mut |_| {})
    }

    /// As [`Self::handle_decoder_stream`]; tells what the bytes are.
    #[doc(hidden)]
    pub fn handle_decoder_stream_seen(
        &mut self,
        bytes: &[u8],
        seen: &mut impl FnMut(Seen<'_>),
    ) -> Result<(), QpackError> {
        let mut partial = std::mem::take(&mut self.partial);
        let result = partial.drive(bytes, |cursor: &mut Cursor<'_>| {
            let before = cursor.remaining();
            let instruction = DecoderInstruction::read(cursor).inspect_err(|error| {
                seen(match error {
                    ReadError::Incomplete { .. } => Seen::Ahead(before),
                    _ => Seen::Structure(cursor.cut()),
                });
            })?;
            self.work += 1;
            let result = self.apply(instruction);
            let read = before - cursor.remaining();
            seen(match result {
                Ok(()) => Seen::Ack(read),
                Err(_) => Seen::Structure(read),
            });
            result.map_err(StepError::Apply)
        });
        self.partial = partial;
        result.map_err(|error| match error {
            StepError::Apply(reason) => reason.into(),
            StepError::Read(_) => DecoderStreamReason::IntegerTooLarge.into(),
        })
    }

    fn apply(&mut self, instruction: DecoderInstruction) -> Result<(), DecoderStreamReason> {
        let known_received = match instruction {
            DecoderInstruction::SectionAck { stream } => {
                //= https://www.rfc-editor.org/rfc/rfc9204#section-4.4.1
                // It is an error unless the stream has a section outstanding.
                let required = self.references.acknowledge(stream);
                required.ok_or(DecoderStreamReason::NothingToAcknowledge)?
            }
            DecoderInstruction::StreamCancellation { stream } => {
                self.references.cancel(stream);
                return Ok(());
            }
            DecoderInstruction::InsertCountIncrement(0) => {
                return Err(DecoderStreamReason::ZeroIncrement);
            }
            DecoderInstruction::InsertCountIncrement(increment) => {
                self.references.known_received().saturating_add(increment)
            }
        };
        //= https://www.rfc-editor.org/rfc/rfc9204#section-4.4.3
        // The peer cannot have received more inserts than were sent.
        if known_received > self.sent {
            return Err(DecoderStreamReason::BeyondSent);
        }
        self.references.receive_up_to(known_received);
        Ok(())
    }

    /// Whether there is something to write to the encoder stream.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Moves what is to be written to the encoder stream to the end of `out`.
    /// Best before the sections that were encoded since, so that they do not
    /// block.
    pub fn take_output(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(&self.output);
        self.output.clear();
        self.sent = self.table.insert_count();
    }
}

/// Appends a line that carries its own value.
fn put_literal(
    lines: &mut BytesMut,
    field: Field<'_>,
    name: Option<Reference>,
    never_indexed: bool,
) {
    match name {
        Some(name) => field_line::put_name_reference(lines, name, field.value, never_indexed),
        None => field_line::put_literal(lines, field.name, field.value, never_indexed),
    }
}

#[cfg(test)]
mod tests;
