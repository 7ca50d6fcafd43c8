//! Entries by keys that are never used again, and lists threaded through them.

use slab::Slab;

use crate::time::heap::TimerKey;

/// Names an entry, and never another one.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub(super) struct Key {
    /// First, so that keys stand in the order in which they were made.
    pub(super) serial: u64,
    pub(super) index: u32,
}

impl TimerKey for Key {
    fn slot(self) -> usize {
        self.index as usize
    }
}

/// An entry's neighbours in the one list that it is in.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Links {
    prev: Option<Key>,
    next: Option<Key>,
}

/// What can be in a list.
pub(super) trait Linked {
    fn links(&mut self) -> &mut Links;
}

/// The ends of a list.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct List {
    head: Option<Key>,
    tail: Option<Key>,
    len: usize,
}

impl List {
    pub(super) fn first(&self) -> Option<Key> {
        self.head
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head.is_none()
    }
}

/// All entries of one kind.
#[derive(Debug)]
pub(super) struct Table<T> {
    entries: Slab<(u64, T)>,
    next: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            entries: Slab::new(),
            next: 0,
        }
    }
}

impl<T> Table<T> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn insert(&mut self, value: T) -> Key {
        let serial = self.next;
        self.next += 1;
        let index = self.entries.insert((serial, value));
        // Every table is bounded far below this.
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        Key { serial, index }
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let (serial, value) = self.entries.get(key.index as usize)?;
        (*serial == key.serial).then_some(value)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (serial, value) = self.entries.get_mut(key.index as usize)?;
        (*serial == key.serial).then_some(value)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        Some(self.entries.remove(key.index as usize).1)
    }

    /// Every entry's key, in the order in which they were made. O(n log n).
    pub(super) fn keys(&self) -> Vec<Key> {
        let key = |(index, (serial, _)): (usize, &(u64, T))| Key {
            serial: *serial,
            index: u32::try_from(index).unwrap_or(u32::MAX),
        };
        let mut keys: Vec<_> = self.entries.iter().map(key).collect();
        keys.sort_unstable();
        keys
    }
}

impl<T: Linked> Table<T> {
    /// Puts an entry that is in no list at the end of one.
    pub(super) fn push_back(&mut self, list: &mut List, key: Key) {
        let prev = list.tail.replace(key);
        match prev.and_then(|prev| self.get_mut(prev)) {
            Some(entry) => entry.links().next = Some(key),
            None => list.head = Some(key),
        }
        self.link(key, Links { prev, next: None });
        list.len += 1;
    }

    /// The same, before the first entry that was made later. O(those before it).
    pub(super) fn insert_in_order(&mut self, list: &mut List, key: Key) {
        let mut next = list.head;
        while let Some(earlier) = next.filter(|next| *next < key) {
            next = self.after(earlier);
        }
        let Some(next) = next else {
            return self.push_back(list, key);
        };
        let prev = self
            .get_mut(next)
            .and_then(|entry| entry.links().prev.replace(key));
        match prev.and_then(|prev| self.get_mut(prev)) {
            Some(entry) => entry.links().next = Some(key),
            None => list.head = Some(key),
        }
        self.link(
            key,
            Links {
                prev,
                next: Some(next),
            },
        );
        list.len += 1;
    }

    /// Takes an entry out of the list that it is in.
    pub(super) fn unlink(&mut self, list: &mut List, key: Key) {
        let Some(entry) = self.get_mut(key) else {
            return;
        };
        let Links { prev, next } = std::mem::take(entry.links());
        match prev.and_then(|prev| self.get_mut(prev)) {
            Some(entry) => entry.links().next = next,
            None => list.head = next,
        }
        match next.and_then(|next| self.get_mut(next)) {
            Some(entry) => entry.links().prev = prev,
            None => list.tail = prev,
        }
        list.len -= 1;
    }

    /// The entry after one in its list.
    pub(super) fn after(&mut self, key: Key) -> Option<Key> {
        self.get_mut(key)?.links().next
    }

    fn link(&mut self, key: Key, links: Links) {
        if let Some(entry) = self.get_mut(key) {
            *entry.links() = links;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Linked for Links {
        fn links(&mut self) -> &mut Links {
            self
        }
    }

    fn all(table: &mut Table<Links>, list: &List) -> Vec<Key> {
        let first = list.first();
        std::iter::successors(first, |key| table.after(*key)).collect()
    }

    #[test]
    fn a_list_keeps_its_order_whatever_leaves_it() {
        let mut table = Table::default();
        let mut list = List::default();
        let keys: Vec<_> = (0..4).map(|_| table.insert(Links::default())).collect();
        for at in [1, 3] {
            table.push_back(&mut list, keys[at]);
        }
        for at in [2, 0] {
            table.insert_in_order(&mut list, keys[at]);
        }
        assert_eq!(all(&mut table, &list), keys);
        for (gone, left) in [
            (1, vec![0, 2, 3]),
            (3, vec![0, 2]),
            (0, vec![2]),
            (2, vec![]),
        ] {
            table.unlink(&mut list, keys[gone]);
            let left: Vec<_> = left.into_iter().map(|at: usize| keys[at]).collect();
            assert_eq!(all(&mut table, &list), left);
            assert_eq!((list.len(), list.is_empty()), (left.len(), left.is_empty()));
        }
    }

    #[test]
    fn a_key_never_names_a_successor() {
        let mut table = Table::default();
        let first = table.insert(Links::default());
        assert!(table.remove(first).is_some());
        let second = table.insert(Links::default());
        assert_eq!(first.index, second.index, "the slot is used again");
        assert!(table.get(first).is_none() && table.remove(first).is_none());
        assert!(table.get(second).is_some());
        assert_eq!(table.keys(), [second]);
    }
}
