//! The dynamic table (RFC 9204 section 3.2), which encoder and decoder share.

use std::collections::VecDeque;

use bytes::Bytes;

/// What an entry costs on top of its bytes.
pub(super) const ENTRY_OVERHEAD: u64 = 32;

/// A name and a value in one buffer; cloning shares it. `M` is what the owner
/// of the table keeps with an entry.
#[derive(Clone, Debug)]
pub(super) struct Entry<M> {
    bytes: Bytes,
    name_len: usize,
    pub(super) meta: M,
}

impl<M> Entry<M> {
    /// `bytes` is the name followed by the value.
    pub(super) fn new(bytes: Bytes, name_len: usize, meta: M) -> Self {
        Self {
            bytes,
            name_len,
            meta,
        }
    }

    pub(super) fn name(&self) -> &[u8] {
        self.bytes.get(..self.name_len).unwrap_or_default()
    }

    pub(super) fn value(&self) -> &[u8] {
        self.bytes.get(self.name_len..).unwrap_or_default()
    }

    /// Size as the capacity counts it.
    pub(super) fn size(&self) -> u64 {
        //= https://www.rfc-editor.org/rfc/rfc9204#section-3.2.1
        // The size of an entry is its uncoded name and value and 32.
        (self.bytes.len() as u64).saturating_add(ENTRY_OVERHEAD)
    }

    /// The same name and value with other metadata.
    pub(super) fn with_meta<N>(&self, meta: N) -> Entry<N> {
        Entry {
            bytes: self.bytes.clone(),
            name_len: self.name_len,
            meta,
        }
    }
}

/// Entries by absolute index: the first one inserted has index 0, and indices
/// are never reused.
#[derive(Clone, Debug)]
pub(super) struct Table<M> {
    entries: VecDeque<Entry<M>>,
    /// Entries evicted so far, so also the index of the oldest one left.
    evicted: u64,
    size: u64,
    capacity: u64,
}

impl<M> Table<M> {
    /// An empty table of capacity 0.
    pub(super) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            evicted: 0,
            size: 0,
            capacity: 0,
        }
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes in use.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Entries ever inserted, so also the index of the next one.
    pub(super) fn insert_count(&self) -> u64 {
        self.evicted + self.entries.len() as u64
    }

    /// Entries ever evicted, so also the index of the oldest one left.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Entries from the oldest to the newest.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry<M>> {
        self.entries.iter()
    }

    pub(super) fn get(&self, index: u64) -> Option<&Entry<M>> {
        let offset = index.checked_sub(self.evicted)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// The index that `relative` names on the encoder stream, where 0 is the
    /// newest entry; it need not be in the table any more.
    pub(super) fn index_of_relative(&self, relative: u64) -> Option<u64> {
        self.insert_count().checked_sub(1)?.checked_sub(relative)
    }

    pub(super) fn evict_oldest(&mut self) -> Option<Entry<M>> {
        let entry = self.entries.pop_front()?;
        self.evicted += 1;
        self.size -= entry.size();
        Some(entry)
    }

    /// Changes the capacity, evicting what no longer fits.
    pub(super) fn set_capacity(&mut self, capacity: u64) {
        //= https://www.rfc-editor.org/rfc/rfc9204#section-3.2.2
        // A reduction evicts from the oldest end until the rest fits.
        self.capacity = capacity;
        self.shrink_to(capacity);
    }

    /// Appends `entry` and returns its index, after evicting what it displaces.
    /// An entry larger than the capacity is handed back, and nothing changes.
    pub(super) fn insert(&mut self, entry: Entry<M>) -> Result<u64, Entry<M>> {
        let Some(room) = self.capacity.checked_sub(entry.size()) else {
            return Err(entry);
        };
        self.shrink_to(room);
        let index = self.insert_count();
        self.size += entry.size();
        self.entries.push_back(entry);
        Ok(index)
    }

    fn shrink_to(&mut self, size: u64) {
        while self.size > size && self.evict_oldest().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &'static str, value: &str) -> Entry<()> {
        Entry::new([name, value].concat().into(), name.len(), ())
    }

    #[test]
    fn inserting_evicts_the_oldest_and_keeps_indices() {
        let mut table = Table::new();
        table.set_capacity(100);
        assert_eq!(table.insert(entry("a", "1")).unwrap(), 0);
        assert_eq!(table.insert(entry("b", "2")).unwrap(), 1);
        assert_eq!(table.size(), 68);
        assert_eq!(table.insert(entry("c", "3")).unwrap(), 2);
        assert_eq!(table.size(), 68);
        assert!(table.get(0).is_none());
        assert_eq!(table.get(1).unwrap().name(), b"b");
        assert_eq!(table.get(2).unwrap().value(), b"3");
        assert!(table.get(3).is_none());
        assert_eq!((table.insert_count(), table.evicted()), (3, 1));
        assert_eq!(
            [0, 1, 2, 3].map(|i| table.index_of_relative(i)),
            [Some(2), Some(1), Some(0), None]
        );
    }

    #[test]
    fn an_entry_may_fill_the_table_but_not_exceed_it() {
        let mut table = Table::new();
        assert!(table.insert(entry("", "")).is_err(), "capacity starts at 0");
        table.set_capacity(34);
        assert!(table.insert(entry("a", "1")).is_ok());
        assert!(table.insert(entry("a", "12")).is_err());
        assert_eq!(table.size(), 34, "a refused entry evicts nothing");
        assert!(table.insert(entry("b", "1")).is_ok());
        table.set_capacity(33);
        assert_eq!(
            (table.size(), table.insert_count(), table.evicted()),
            (0, 2, 2)
        );
        table.set_capacity(1000);
        assert!(table.insert(entry("c", "")).is_ok());
        assert_eq!(table.get(2).unwrap().name(), b"c");
    }
}
