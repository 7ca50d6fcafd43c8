//! Which connection wants to be called when: a binary heap whose stale entries
//! are dropped when they surface, so that moving a deadline costs nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::id::ConnKey;
use crate::time::Deadline;

/// One connection's part. An entry of the heap counts only while `queued`
/// equals it; every other entry is stale.
#[derive(Copy, Clone, Debug, Default)]
struct Armed {
    generation: u32,
    want: Option<Deadline>,
    queued: Option<Deadline>,
}

/// All connections' deadlines.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Deadline, ConnKey)>>,
    armed: Vec<Armed>,
}

impl Timers {
    /// Notes a connection's deadline, or that it has none. A later one than
    /// before waits for the old entry to surface: O(log n) when it became
    /// earlier, else O(1).
    pub(super) fn arm(&mut self, key: ConnKey, want: Option<Deadline>) {
        if self.armed.len() <= key.index() {
            self.armed.resize(key.index() + 1, Armed::default());
        }
        let Some(armed) = self.armed.get_mut(key.index()) else {
            return;
        };
        if armed.generation != key.generation {
            *armed = Armed {
                generation: key.generation,
                want: None,
                queued: None,
            };
        }
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
    pub(super) fn next(&mut self) -> Option<Deadline> {
        self.settle().map(|(at, _)| at)
    }

    /// A connection whose deadline has come. Its deadline is forgotten until it
    /// is armed again.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<ConnKey> {
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
    fn settle(&mut self) -> Option<(Deadline, ConnKey)> {
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

    fn find(&mut self, key: ConnKey) -> Option<&mut Armed> {
        self.armed
            .get_mut(key.index())
            .filter(|armed| armed.generation == key.generation)
    }

    /// Drops stale entries when they outnumber the connections several times, so
    /// that the heap stays O(connections). Amortised O(1) per [`Self::arm`].
    fn compact(&mut self) {
        let Self { heap, armed } = self;
        if heap.len() > 4 * armed.len() + 64 {
            heap.retain(|Reverse((at, key))| {
                armed
                    .get(key.index())
                    .is_some_and(|a| a.generation == key.generation && a.queued == Some(*at))
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
