//! The sessions of a connection, of whatever kind, and where each is in its life.

use slab::Slab;

use super::capsules::CapsuleStream;
use super::owner::Owner;
use super::rings::Ring;
use crate::h3::connection::H3;
use crate::h3::streams::NONE;
use crate::id::SessionKey;

/// Where a session is in its life.
///
/// ```text
///  server: Waiting (for SETTINGS) ──▶ Requested ──▶ Open ──▶ Over
///  client:                            Asked ──────▶ Open ──▶ Over
/// ```
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Life {
    /// A request that came before the peer's SETTINGS.
    Waiting,
    /// The application has been asked.
    Requested,
    /// The peer has been asked.
    Asked,
    /// Streams and datagrams flow.
    Open,
    /// Ended and told; the CONNECT stream is seen off.
    Over {
        /// The peer ended it and may send nothing more.
        by_peer: bool,
    },
}

impl Life {
    pub(crate) const fn is_open(self) -> bool {
        matches!(self, Self::Open)
    }

    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Self::Over { .. })
    }
}

/// One session: what all kinds have, and what its kind needs.
#[derive(Debug)]
pub(crate) struct Entry<K> {
    pub(crate) key: SessionKey,
    pub(crate) life: Life,
    /// Received datagrams; there from the session's opening to its end.
    pub(crate) ring: Option<Ring>,
    pub(crate) capsules: CapsuleStream,
    pub(crate) kind: K,
}

impl<K> Entry<K> {
    pub(crate) fn new(key: SessionKey, life: Life, kind: K) -> Self {
        Self {
            key,
            life,
            ring: None,
            capsules: CapsuleStream::default(),
            kind,
        }
    }
}

/// All sessions of a connection. The owner of a CONNECT stream names its entry, so
/// finding one is three array reads.
#[derive(Debug)]
pub(crate) struct Registry<K> {
    entries: Slab<Entry<K>>,
}

impl<K> Default for Registry<K> {
    fn default() -> Self {
        Self {
            entries: Slab::new(),
        }
    }
}

impl<K> Registry<K> {
    /// Adds a session, which owns its CONNECT stream from here on.
    pub(crate) fn insert(&mut self, h3: &mut H3, entry: Entry<K>) -> u32 {
        let stream = entry.key.stream();
        if self.entries.capacity() == 0 {
            // Most connections have one.
            self.entries.reserve_exact(1);
        }
        let index = u32::try_from(self.entries.insert(entry)).unwrap_or(NONE);
        Owner::Connect(index).give(h3, stream);
        index
    }

    /// Removes a session, whose CONNECT stream is over.
    pub(crate) fn remove(&mut self, h3: &mut H3, index: u32) {
        if let Some(entry) = self.entries.try_remove(index as usize) {
            Owner::Application.give(h3, entry.key.stream());
        }
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Entry<K>> {
        self.entries.get(index as usize)
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Entry<K>> {
        self.entries.get_mut(index as usize)
    }

    /// The index of a session's entry.
    pub(crate) fn find(h3: &H3, key: SessionKey) -> Option<u32> {
        match Owner::find(h3, key.stream()) {
            Owner::Connect(index) => Some(index),
            _ => None,
        }
    }

    /// Indices of all sessions, in table order. O(sessions).
    pub(crate) fn indices(&self) -> Vec<u32> {
        self.entries
            .iter()
            .map(|(index, _)| u32::try_from(index).unwrap_or(NONE))
            .collect()
    }

    /// All sessions, in table order.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry<K>> {
        self.entries.iter_mut().map(|(_, entry)| entry)
    }

    /// Sessions that are not over. O(sessions).
    pub(crate) fn live(&self) -> usize {
        self.count(|life| !life.is_over())
    }

    /// Live sessions that the application has been asked about. O(sessions).
    pub(crate) fn asked(&self) -> usize {
        self.count(|life| !life.is_over() && life != Life::Waiting)
    }

    fn count(&self, counts: impl Fn(Life) -> bool) -> usize {
        let entries = self.entries.iter();
        entries.filter(|(_, entry)| counts(entry.life)).count()
    }

    /// Whether there is none, not even one that has ended.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether there is more than one session.
    pub(crate) fn is_shared(&self) -> bool {
        self.entries.len() > 1
    }
}
