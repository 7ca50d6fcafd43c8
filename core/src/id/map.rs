//! Streams by their keys and ids: a slab, and one dense window per stream class. A
//! look-up is two array reads, but for the few streams that have outlived their
//! neighbours by far.

use std::collections::{BTreeMap, VecDeque};

use slab::Slab;

use super::{StreamId, StreamKey};

/// Marks the absence of a slot.
pub(crate) const NONE: u32 = u32::MAX;

/// What stands in a [`StreamMap`] knows whose it is.
pub(crate) trait Named {
    /// Its stream.
    fn id(&self) -> StreamId;
}

/// The live streams of a connection.
#[derive(Debug)]
pub(crate) struct StreamMap<V> {
    slots: Slab<V>,
    /// Slots of keys count from here: ids begin anew when early data is rejected, and a
    /// key from before is to name nothing.
    first: u32,
    windows: [IdWindow; 4],
}

impl<V> Default for StreamMap<V> {
    fn default() -> Self {
        Self {
            slots: Slab::new(),
            first: 0,
            windows: Default::default(),
        }
    }
}

fn class(id: StreamId) -> usize {
    (id.wire() & 3) as usize
}

impl<V: Named> StreamMap<V> {
    /// Adds a stream. Ids of a class come in increasing order.
    pub(crate) fn insert(&mut self, value: V) -> StreamKey {
        let id = value.id();
        let index = u32::try_from(self.slots.insert(value)).unwrap_or(NONE);
        if let Some(window) = self.windows.get_mut(class(id)) {
            window.insert(id.number(), index);
        }
        self.key(index, id)
    }

    /// The key of a place. Of what is beyond all places there is none.
    fn key(&self, index: u32, id: StreamId) -> StreamKey {
        StreamKey {
            slot: index.wrapping_add(self.first),
            id,
        }
    }

    /// The place of a key: out of range for one that is older than the map.
    fn place(&self, key: StreamKey) -> usize {
        key.slot.wrapping_sub(self.first) as usize
    }

    /// Makes this map, which is empty, one that knows no key of `before`.
    pub(crate) fn restart_after(&mut self, before: &Self) {
        // No more slots than streams, whose ids are dense.
        let opened: u64 = before.windows.iter().map(IdWindow::end).sum();
        self.first = before.first + u32::try_from(opened).unwrap_or(0);
    }

    /// Whether a key is of a stream that was here, or in the map before this one.
    pub(crate) fn knew(&self, key: StreamKey) -> bool {
        key.slot < self.first || self.was_seen(key.id)
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: StreamKey) -> Option<V> {
        self.get(key)?;
        if let Some(window) = self.windows.get_mut(class(key.id)) {
            window.remove(key.id.number());
        }
        self.slots.try_remove(self.place(key))
    }

    #[inline]
    pub(crate) fn get(&self, key: StreamKey) -> Option<&V> {
        let value = self.slots.get(self.place(key));
        value.filter(|value| value.id() == key.id)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: StreamKey) -> Option<&mut V> {
        let place = self.place(key);
        let value = self.slots.get_mut(place);
        value.filter(|value| value.id() == key.id)
    }

    /// The key of a live stream.
    #[inline]
    pub(crate) fn find(&self, id: StreamId) -> Option<StreamKey> {
        let index = self.windows.get(class(id))?.get(id.number())?;
        Some(self.key(index, id))
    }

    /// Whether a stream of this id was ever in the map.
    pub(crate) fn was_seen(&self, id: StreamId) -> bool {
        self.windows
            .get(class(id))
            .is_some_and(|window| id.number() < window.end())
    }

    /// The first stream of the class of `like` that was never in the map.
    pub(crate) fn end(&self, like: StreamId) -> StreamId {
        let number = self.windows.get(class(like)).map_or(0, IdWindow::end);
        StreamId::new(like.initiator(), like.dir(), number)
    }

    /// Number of live streams.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// All live streams, in table order. O(slots).
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.slots.iter().map(|(_, value)| value)
    }

    /// Keys of all live streams, in table order. O(slots).
    pub(crate) fn keys(&self) -> impl Iterator<Item = StreamKey> + '_ {
        self.slots
            .iter()
            .map(|(index, value)| self.key(u32::try_from(index).unwrap_or(NONE), value.id()))
    }
}

/// Maps the numbers of one stream class to slots.
///
/// QUIC numbers the streams of a class densely, so a ring of slot indices is
/// nearly full. A stream that outlives its neighbours by far moves to a side map,
/// so that the ring's length stays proportional to the live streams.
#[derive(Debug, Default)]
struct IdWindow {
    base: u64,
    ring: VecDeque<u32>,
    live: usize,
    long_lived: BTreeMap<u64, u32>,
}

impl IdWindow {
    /// One above the largest number ever inserted.
    fn end(&self) -> u64 {
        self.base + self.ring.len() as u64
    }

    fn insert(&mut self, number: u64, slot: u32) {
        let end = self.end();
        if number < end {
            // Streams come in order; an earlier number is an old acquaintance.
            self.long_lived.insert(number, slot);
            return;
        }
        if self.ring.is_empty() {
            self.base = number;
        } else {
            for _ in end..number {
                self.ring.push_back(NONE);
            }
        }
        self.ring.push_back(slot);
        self.live += 1;
        self.shrink();
    }

    fn get(&self, number: u64) -> Option<u32> {
        match number.checked_sub(self.base) {
            Some(offset) => self
                .ring
                .get(usize::try_from(offset).ok()?)
                .copied()
                .filter(|slot| *slot != NONE),
            None => self.long_lived.get(&number).copied(),
        }
    }

    fn remove(&mut self, number: u64) {
        match number.checked_sub(self.base) {
            Some(offset) => {
                let slot = usize::try_from(offset)
                    .ok()
                    .and_then(|at| self.ring.get_mut(at));
                if let Some(slot) = slot
                    && *slot != NONE
                {
                    *slot = NONE;
                    self.live -= 1;
                }
                self.shrink();
            }
            None => {
                self.long_lived.remove(&number);
            }
        }
    }

    /// Drops vacancies from the front and moves survivors aside when they hold
    /// the ring open. Each entry leaves the ring once: amortised O(1).
    fn shrink(&mut self) {
        loop {
            match self.ring.front() {
                Some(&NONE) if self.ring.len() > 1 => {}
                Some(&slot) if self.ring.len() > 4 * self.live + 64 => {
                    self.long_lived.insert(self.base, slot);
                    self.live -= 1;
                }
                _ => return,
            }
            self.ring.pop_front();
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Dir, Side};

    impl Named for StreamId {
        fn id(&self) -> StreamId {
            *self
        }
    }

    fn open(map: &mut StreamMap<StreamId>, number: u64) -> StreamKey {
        map.insert(StreamId::new(Side::Client, Dir::Bi, number))
    }

    #[test]
    fn a_survivor_does_not_hold_the_window_open() {
        let mut map = StreamMap::default();
        let survivor = open(&mut map, 0);
        for number in 1..10_000 {
            let key = open(&mut map, number);
            assert_eq!(map.find(key.id), Some(key));
            assert!(map.remove(key).is_some());
            assert_eq!(map.find(key.id), None);
        }
        assert_eq!(map.find(survivor.id), Some(survivor));
        let ring = map.windows[0].ring.len();
        assert!(ring <= 69, "{ring}");
        assert_eq!(map.windows[0].long_lived.len(), 1);
        assert!(map.remove(survivor).is_some());
        assert_eq!(map.windows[0].long_lived.len(), 0);
        assert!(map.was_seen(survivor.id));
        assert!(!map.was_seen(StreamId::new(Side::Client, Dir::Bi, 10_000)));
    }

    #[test]
    fn a_stale_key_never_names_another_stream() {
        let mut map = StreamMap::default();
        let old = open(&mut map, 0);
        map.remove(old);
        let new = open(&mut map, 1);
        assert_eq!(old.slot, new.slot);
        assert!(map.get(old).is_none());
        assert!(map.remove(old).is_none());
        assert!(map.get(new).is_some());
    }

    #[test]
    fn a_key_from_before_a_restart_names_nothing_after_it() {
        let mut before = StreamMap::default();
        let old = [open(&mut before, 0), open(&mut before, 1)];
        let mut map = StreamMap::default();
        map.restart_after(&before);
        let new = [open(&mut map, 0), open(&mut map, 1), open(&mut map, 2)];
        assert_eq!(old.map(|key| key.id), [new[0].id, new[1].id]);
        for key in old {
            assert!(map.get(key).is_none() && map.knew(key), "{key:?}");
            assert!(map.remove(key).is_none());
        }
        let keys: Vec<_> = map.keys().collect();
        assert_eq!(keys, new);
        for key in new {
            assert_eq!(map.find(key.id), Some(key));
            assert_eq!(map.remove(key), Some(key.id));
        }
    }
}
