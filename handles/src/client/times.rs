//! Which requests are to be looked at when.
//!
//! A request is looked at as often as the shortest of its times passes, and more often
//! near an end. So nothing is moved while it goes on, however often it is read: it is
//! filed when it begins and taken out when it is over, under a lock that is held anyway.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
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
    /// One entry of each; those of requests that are over go when they surface.
    times: BinaryHeap<Reverse<(Instant, TimeKey)>>,
    id: u64,
}

impl Times {
    /// Files a request to be looked at then. O(log n).
    pub(super) fn add(&mut self, at: Instant, exchange: Weak<Exchange>) -> TimeKey {
        self.id += 1;
        let id = self.id;
        let index = self.all.insert((id, exchange));
        let key = TimeKey { id, index };
        self.times.push(Reverse((at, key)));
        let Self { all, times, .. } = self;
        if times.len() > 4 * all.len() + 64 {
            times.retain(|Reverse((_, key))| is_in(all, *key));
        }
        key
    }

    /// Looks at a request again then, unless it is over. It was [due](Self::due) before.
    pub(super) fn again(&mut self, key: TimeKey, at: Instant) {
        if is_in(&self.all, key) {
            self.times.push(Reverse((at, key)));
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
            let Some(Reverse((_, key))) = self.times.pop() else {
                break;
            };
            let exchange = self.all.get(key.index).and_then(|(_, it)| it.upgrade());
            due.extend(exchange.map(|exchange| (key, exchange)));
        }
        due
    }

    /// When somebody is to be looked at next.
    pub(super) fn next(&mut self) -> Option<Instant> {
        while let Some(Reverse((at, key))) = self.times.peek() {
            if is_in(&self.all, *key) {
                return Some(*at);
            }
            self.times.pop();
        }
        None
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
