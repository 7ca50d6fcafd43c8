//! The data streams of all sessions of a connection, and the list of them that each
//! session has, threaded through the table: ending one session touches its own
//! streams and nothing else.

use slab::Slab;

use crate::h3::streams::NONE;
use crate::id::StreamKey;

/// One data stream.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) stream: StreamKey,
    /// The session's entry.
    pub(crate) session: u32,
    prev: u32,
    next: u32,
    /// Higher goes first within the group.
    pub(super) order: i32,
    /// Streams of different groups share.
    pub(super) group: u32,
    /// The rank that the carrier was told.
    pub(super) told: Option<u8>,
    /// A write ended at the session's limit: a writable event is due with credit.
    pub(super) wants_credit: bool,
}

/// The streams of one session: the first of its list, and how many there are.
#[derive(Copy, Clone, Debug)]
pub(crate) struct List {
    first: u32,
    pub(super) len: u32,
    /// Those with an order of their own.
    pub(super) ordered: u32,
}

impl Default for List {
    fn default() -> Self {
        Self {
            first: NONE,
            len: 0,
            ordered: 0,
        }
    }
}

/// All data streams of a connection.
#[derive(Debug, Default)]
pub(crate) struct Table {
    members: Slab<Member>,
}

impl Table {
    pub(crate) fn get(&self, index: u32) -> Option<&Member> {
        self.members.get(index as usize)
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Member> {
        self.members.get_mut(index as usize)
    }

    /// Adds a stream at the front of a session's list.
    pub(super) fn link(&mut self, list: &mut List, session: u32, stream: StreamKey) -> u32 {
        let member = Member {
            stream,
            session,
            prev: NONE,
            next: list.first,
            order: 0,
            group: 0,
            told: None,
            wants_credit: false,
        };
        let index = u32::try_from(self.members.insert(member)).unwrap_or(NONE);
        if let Some(next) = self.get_mut(list.first) {
            next.prev = index;
        }
        list.first = index;
        list.len += 1;
        index
    }

    /// Takes a stream out of its session's list and forgets it.
    pub(super) fn unlink(&mut self, list: &mut List, index: u32) -> Option<Member> {
        let member = self.members.try_remove(index as usize)?;
        list.len -= 1;
        list.ordered -= u32::from(member.order != 0);
        match self.get_mut(member.prev) {
            Some(prev) => prev.next = member.next,
            None => list.first = member.next,
        }
        if let Some(next) = self.get_mut(member.next) {
            next.prev = member.prev;
        }
        Some(member)
    }

    /// Takes the first stream out of a session's list.
    pub(super) fn pop(&mut self, list: &mut List) -> Option<Member> {
        self.unlink(list, list.first)
    }

    /// A session's streams with their places, the latest first.
    pub(super) fn of(&self, list: List) -> impl Iterator<Item = (u32, &Member)> {
        let mut next = list.first;
        std::iter::from_fn(move || {
            let member = self.get(next)?;
            let index = std::mem::replace(&mut next, member.next);
            Some((index, member))
        })
    }

    /// The place after this one in a session's list; the first for [`NONE`].
    pub(super) fn next(&self, list: List, index: u32) -> u32 {
        match self.get(index) {
            Some(member) => member.next,
            None => list.first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Dir, Side, StreamId};

    fn key(number: u64) -> StreamKey {
        StreamKey {
            slot: number as u32,
            id: StreamId::new(Side::Client, Dir::Uni, number),
        }
    }

    #[test]
    fn a_list_survives_what_leaves_it() {
        let (mut table, mut list, mut other) = (Table::default(), List::default(), List::default());
        let mine: Vec<u32> = (0..4).map(|n| table.link(&mut list, 0, key(n))).collect();
        table.link(&mut other, 1, key(9));
        for gone in [mine[1], mine[3], mine[0]] {
            assert!(table.unlink(&mut list, gone).is_some());
        }
        let left: Vec<u32> = table.of(list).map(|(index, _)| index).collect();
        assert_eq!(left, [mine[2]]);
        assert_eq!(table.pop(&mut list).map(|m| m.stream), Some(key(2)));
        assert!(table.pop(&mut list).is_none());
        assert_eq!((list.len, other.len), (0, 1));
    }
}
