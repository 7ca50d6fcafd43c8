//! What wants to be called when: a binary heap whose stale entries are dropped when
//! they surface, so that moving a deadline costs nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::Deadline;

/// What can have a deadline: something in a slot of a table.
pub(crate) trait TimerKey: Copy + Ord {
    /// The slot. Keys with the same slot are never in use at the same time.
    fn slot(self) -> usize;
}

/// One slot's part. An entry of the heap counts only while `queued` equals it; every
/// other entry is stale.
#[derive(Copy, Clone, Debug)]
struct Armed<K> {
    key: K,
    want: Option<Deadline>,
    queued: Option<Deadline>,
}

/// The deadlines of everything that has keys of one kind.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    heap: BinaryHeap<Reverse<(Deadline, K)>>,
    armed: Vec<Option<Armed<K>>>,
}

impl<K: TimerKey> Default for Timers<K> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            armed: Vec::new(),
        }
    }
}

impl<K: TimerKey> Timers<K> {
    /// Notes a deadline, or that there is none. A later one than before waits for the
    /// old entry to surface: O(log n) when it became earlier, else O(1).
    pub(crate) fn arm(&mut self, key: K, want: Option<Deadline>) {
        if self.armed.len() <= key.slot() {
            if want.is_none() {
                return;
            }
            self.armed.resize(key.slot() + 1, None);
        }
        let Some(slot) = self.armed.get_mut(key.slot()) else {
            return;
        };
        let fresh = Armed {
            key,
            want: None,
            queued: None,
        };
        let armed = match slot {
            Some(armed) if armed.key == key => armed,
            _ => slot.insert(fresh),
        };
        armed.want = want;
        if let Some(at) = want
            && armed.queued.is_none_or(|queued| at < queued)
        {
            armed.queued = Some(at);
            self.heap.push(Reverse((at, key)));
            self.compact();
        }
    }

    /// The earliest deadline, after stale entries before it were dropped.
    pub(crate) fn next(&mut self) -> Option<Deadline> {
        self.settle().map(|(at, _)| at)
    }

    /// A time that is not after the earliest deadline, without putting anything in
    /// order. O(1).
    pub(crate) fn peek(&self) -> Option<Deadline> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Whose deadline has come. It is forgotten until it is armed again.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (at, key) = self.settle()?;
        if at.at > now {
            return None;
        }
        self.heap.pop();
        if let Some(armed) = self.find(key) {
            armed.want = None;
            armed.queued = None;
        }
        Some(key)
    }

    /// Brings an entry that counts to the top, and gives it.
    fn settle(&mut self) -> Option<(Deadline, K)> {
        loop {
            let &Reverse((at, key)) = self.heap.peek()?;
            let armed = self.find(key).filter(|armed| armed.queued == Some(at));
            let Some(armed) = armed else {
                self.heap.pop();
                continue;
            };
            if armed.want == Some(at) {
                return Some((at, key));
            }
            armed.queued = None;
            let want = armed.want;
            self.heap.pop();
            self.arm(key, want);
        }
    }

    fn find(&mut self, key: K) -> Option<&mut Armed<K>> {
        let armed = self.armed.get_mut(key.slot())?.as_mut();
        armed.filter(|armed| armed.key == key)
    }

    /// Drops stale entries when they outnumber the slots several times, so that the
    /// heap stays O(slots). Amortised O(1) per [`Self::arm`].
    fn compact(&mut self) {
        let Self { heap, armed } = self;
        if heap.len() > 4 * armed.len() + 64 {
            heap.retain(|Reverse((at, key))| {
                let armed = armed.get(key.slot()).and_then(Option::as_ref);
                armed.is_some_and(|armed| armed.key == *key && armed.queued == Some(*at))
            });
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant is had in no other way"
)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::ConnKey;
    use crate::time::Why;

    const KEY: ConnKey = ConnKey {
        index: 0,
        generation: 7,
    };

    fn deadline(start: Instant, millis: u64) -> Option<Deadline> {
        Some(Deadline {
            at: start + Duration::from_millis(millis),
            why: Why::Quic,
        })
    }

    #[test]
    fn a_deadline_that_moves_surfaces_once() {
        let start = Instant::now();
        let mut timers = Timers::default();
        for millis in [50, 20, 80] {
            timers.arm(KEY, deadline(start, millis));
        }
        assert_eq!(timers.next(), deadline(start, 80));
        assert_eq!(timers.pop_due(start + Duration::from_millis(79)), None);
        let due = start + Duration::from_millis(80);
        assert_eq!(timers.pop_due(due), Some(KEY));
        assert_eq!(timers.pop_due(due), None, "told once");
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_deadline_taken_back_or_outlived_by_its_connection_never_surfaces() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.arm(KEY, deadline(start, 10));
        timers.arm(KEY, None);
        assert_eq!(timers.next(), None);
        timers.arm(KEY, deadline(start, 10));
        let successor = ConnKey {
            generation: 8,
            ..KEY
        };
        timers.arm(successor, deadline(start, 30));
        assert_eq!(timers.pop_due(start + Duration::from_millis(20)), None);
        assert_eq!(
            timers.pop_due(start + Duration::from_millis(30)),
            Some(successor)
        );
    }

    #[test]
    fn stale_entries_do_not_pile_up() {
        let start = Instant::now();
        let mut timers = Timers::default();
        for millis in (0..10_000).rev() {
            timers.arm(KEY, deadline(start, millis));
            assert!(timers.heap.len() <= 68);
        }
        assert_eq!(timers.next(), deadline(start, 0));
    }
}
