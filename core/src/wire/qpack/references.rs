//! What the encoder has to remember of sections the peer has not acknowledged:
//! which entries they hold in the table, and which streams they could block.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

/// Most sections with dynamic references that wait for acknowledgment on one
/// connection. Sections beyond that are encoded without the dynamic table, so
/// a peer that never acknowledges costs compression and not memory.
pub const MAX_OUTSTANDING_SECTIONS: usize = 1024;

/// What a section refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// One more than the largest index.
    pub(super) required: u64,
    /// The smallest index. As entries leave in order, holding this one holds
    /// all that the section names.
    pub(super) oldest: u64,
}

#[derive(Clone, Debug, Default)]
struct Stream {
    /// In the order they were sent.
    sections: SmallVec<[Section; 2]>,
    /// Largest Required Insert Count among them.
    required: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct References {
    streams: BTreeMap<u64, Stream>,
    /// Sections in `streams`.
    sections: usize,
    /// How many sections have this index as their oldest.
    held: BTreeMap<u64, usize>,
    /// Streams with a section beyond `known_received`, as (largest Required
    /// Insert Count, stream).
    at_risk: BTreeSet<(u64, u64)>,
    known_received: u64,
}

impl References {
    /// RFC 9204 section 2.1.4: inserts the peer is known to have.
    pub(super) fn known_received(&self) -> u64 {
        self.known_received
    }

    /// Whether one more section can be remembered.
    pub(super) fn has_room(&self) -> bool {
        self.sections < MAX_OUTSTANDING_SECTIONS
    }

    /// Whether a section of `stream` may need entries that are not known to be
    /// received.
    pub(super) fn may_block(&self, stream: u64, max_blocked: u64) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc9204#section-2.1.2
        // The limit counts streams that could block, whether or not they do; a
        // stream that already could makes no difference.
        (self.at_risk.len() as u64) < max_blocked
            || self
                .streams
                .get(&stream)
                .is_some_and(|s| s.required > self.known_received)
    }

    /// Entries from this index on may not be evicted.
    pub(super) fn first_held(&self) -> u64 {
        //= https://www.rfc-editor.org/rfc/rfc9204#section-2.1.1
        // An entry stays until its insertion is acknowledged and no section
        // that refers to it is outstanding.
        let referenced = self.held.keys().next().copied().unwrap_or(u64::MAX);
        referenced.min(self.known_received)
    }

    pub(super) fn add(&mut self, stream: u64, section: Section) {
        let state = self.streams.entry(stream).or_default();
        if section.required > state.required {
            self.at_risk.remove(&(state.required, stream));
            state.required = section.required;
            if section.required > self.known_received {
                self.at_risk.insert((section.required, stream));
            }
        }
        state.sections.push(section);
        self.sections += 1;
        *self.held.entry(section.oldest).or_default() += 1;
    }

    /// The peer decoded the oldest section of `stream`. Returns its Required
    /// Insert Count, or nothing if there is no such section.
    pub(super) fn acknowledge(&mut self, stream: u64) -> Option<u64> {
        let Entry::Occupied(mut state) = self.streams.entry(stream) else {
            return None;
        };
        // A stream without sections is not kept.
        let section = state.get_mut().sections.remove(0);
        if state.get().sections.is_empty() {
            state.remove();
        }
        self.release(section);
        self.receive_up_to(section.required);
        Some(section.required)
    }

    /// The peer will not decode any further section of `stream`.
    pub(super) fn cancel(&mut self, stream: u64) {
        let Some(state) = self.streams.remove(&stream) else {
            return;
        };
        self.at_risk.remove(&(state.required, stream));
        for section in state.sections {
            self.release(section);
        }
    }

    /// The peer has received `inserts` entries at least.
    pub(super) fn receive_up_to(&mut self, inserts: u64) {
        self.known_received = self.known_received.max(inserts);
        while let Some((required, _)) = self.at_risk.first()
            && *required <= self.known_received
        {
            self.at_risk.pop_first();
        }
    }

    fn release(&mut self, section: Section) {
        self.sections -= 1;
        if let Entry::Occupied(mut count) = self.held.entry(section.oldest) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(oldest: u64, required: u64) -> Section {
        Section { required, oldest }
    }

    #[test]
    fn sections_are_acknowledged_in_order() {
        let mut references = References::default();
        references.add(4, section(2, 5));
        references.add(4, section(0, 3));
        references.add(8, section(1, 2));
        assert_eq!(references.first_held(), 0);
        assert_eq!(references.acknowledge(4), Some(5));
        assert_eq!(references.known_received(), 5);
        assert_eq!(references.acknowledge(4), Some(3));
        assert_eq!(references.known_received(), 5, "never goes back");
        assert_eq!(references.first_held(), 1);
        assert_eq!(references.acknowledge(4), None);
        references.cancel(8);
        assert_eq!(references.first_held(), 5);
        assert_eq!(references.sections, 0);
    }

    #[test]
    fn sections_are_remembered_to_the_last() {
        let mut references = References::default();
        for stream in 1..MAX_OUTSTANDING_SECTIONS as u64 {
            references.add(stream, section(0, 1));
        }
        assert!(references.has_room(), "one is left");
        references.add(0, section(0, 1));
        assert!(!references.has_room());
        references.cancel(0);
        assert!(references.has_room());
    }

    #[test]
    fn streams_count_once_while_they_could_block() {
        let mut references = References::default();
        assert!(!references.may_block(0, 0));
        references.add(0, section(0, 1));
        references.add(0, section(0, 2));
        assert!(references.may_block(0, 1), "counts already");
        assert!(!references.may_block(4, 1));
        references.receive_up_to(1);
        assert!(!references.may_block(4, 1), "entry 1 is still unknown");
        references.receive_up_to(2);
        assert!(references.may_block(4, 1));
        references.add(4, section(2, 3));
        references.cancel(4);
        references.add(12, section(2, 9));
        references.add(12, section(2, 3));
        references.receive_up_to(3);
        assert!(
            !references.may_block(8, 1),
            "the first section of 12 needs nine"
        );
        references.cancel(12);
        assert!(references.may_block(8, 1));
        assert_eq!(
            references.known_received(),
            3,
            "a cancellation confirms nothing"
        );
    }
}
