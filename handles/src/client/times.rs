//! Which requests are to be looked at when.
//!
//! A request is looked at as often as the shortest of its times passes, and more often
//! near an end. So nothing is moved while it goes on, however often it is read: it is
//! filed when it begins and taken out when it is over, under a lock that is held anyway.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Instant;

use slab::Slab;

use super::exchange::Exchange;

/// Names a request that is watched, and never another one.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub(super) struct TimeKey {
    id: u64,
    index: usize,
}

/// Requests that are watched.
#[derive(Debug, Default)]
pub(super) struct Times {
    all: Slab<(u64, Weak<Exchange>)>,
    /// One entry of each here or below; those of requests that are over go when they
    /// surface. Most requests have the same times, so that who comes later is due later.
    row: VecDeque<(Instant, TimeKey)>,
    /// Those for whom that is not so.
    rest: BinaryHeap<Reverse<(Instant, TimeKey)>>,
    id: u64,
}

impl Times {
    /// Files a request to be looked at then. O(1) where it is due after all others, else
    /// O(log n).
    pub(super) fn add(&mut self, at: Instant, exchange: Weak<Exchange>) -> TimeKey {
        self.id += 1;
        let id = self.id;
        let index = self.all.insert((id, exchange));
        let key = TimeKey { id, index };
        self.file(at, key);
        key
    }

    fn file(&mut self, at: Instant, key: TimeKey) {
        if self.row.back().is_none_or(|(last, _)| *last <= at) {
            self.row.push_back((at, key));
        } else {
            self.rest.push(Reverse((at, key)));
        }
        let Self { all, row, rest, .. } = self;
        if row.len() + rest.len() > 4 * all.len() + 64 {
            row.retain(|(_, key)| is_in(all, *key));
            rest.retain(|Reverse((_, key))| is_in(all, *key));
        }
    }

    /// Looks at a request again then, unless it is over. It was [due](Self::due) before.
    pub(super) fn again(&mut self, key: TimeKey, at: Instant) {
        if is_in(&self.all, key) {
            self.file(at, key);
        }
    }

    /// A request is over.
    pub(super) fn remove(&mut self, key: TimeKey) {
        if is_in(&self.all, key) {
            self.all.remove(key.index);
        }
    }

    /// Who is to be looked at. Each comes back by way of [`again`](Self::again).
    pub(super) fn due(&mut self, now: Instant) -> Vec<(TimeKey, Arc<Exchange>)> {
        let mut due = Vec::new();
        while self.next().is_some_and(|at| at <= now) {
            let in_row = self.row.front().is_some_and(|(at, _)| *at <= now);
            let key = match in_row {
                true => self.row.pop_front().map(|(_, key)| key),
                false => self.rest.pop().map(|Reverse((_, key))| key),
            };
            let exchange = key.and_then(|key| Some((key, self.all.get(key.index)?.1.upgrade()?)));
            due.extend(exchange);
        }
        due
    }

    /// A time that is not after [`next`](Self::next), had without a look at who is over.
    pub(super) fn peek(&self) -> Option<Instant> {
        let row = self.row.front().map(|(at, _)| *at);
        let rest = self.rest.peek().map(|Reverse((at, _))| *at);
        row.into_iter().chain(rest).min()
    }

    /// When somebody is to be looked at next.
    pub(super) fn next(&mut self) -> Option<Instant> {
        let Self { all, row, rest, .. } = self;
        while row.front().is_some_and(|(_, key)| !is_in(all, *key)) {
            row.pop_front();
        }
        while rest
            .peek()
            .is_some_and(|Reverse((_, key))| !is_in(all, *key))
        {
            rest.pop();
        }
        let row = row.front().map(|(at, _)| *at);
        let rest = rest.peek().map(|Reverse((at, _))| *at);
        row.into_iter().chain(rest).min()
    }

    /// Requests that are watched.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

fn is_in(all: &Slab<(u64, Weak<Exchange>)>, key: TimeKey) -> bool {
    all.get(key.index).is_some_and(|(id, _)| *id == key.id)
}
