//! What a peer may cost: useless work over the life of a connection, and any work in
//! one turn.
//!
//! Useless work is a debt. What pays it back is what an attacker cannot make cheaply:
//! time, thousands of bytes that the application took, and requests that went through.
//! Beyond the limit the connection closes. Work of a turn that is beyond its budget
//! waits for the next turn, so that other connections have theirs.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::id::StreamKey;

/// Parts of a nuisance: what is small counts so much less.
pub(crate) const PARTS: u32 = 64;

/// Bytes of content or datagrams that pay for one nuisance.
const BYTES: u64 = 1000;

/// Work that a stream is, whatever comes on it.
pub(super) const STREAM: u32 = 8;

/// What a request pays for that went through, and a stream of a session.
pub(super) const FINISHED_REQUEST: u32 = 2 * PARTS;
pub(super) const FINISHED_STREAM: u32 = PARTS / 4;

/// What of use at times is, and cheap to send: notices about limits.
pub(crate) const NOTICE: u32 = PARTS / 16;

/// Time that pays for as many nuisances as are tolerated.
const RECOVERY: Duration = Duration::from_secs(100);

/// Content shorter than this is a small thing, which costs more than it brings.
pub(super) const SMALL: usize = 16;

/// The debt and the budget of one connection.
#[derive(Debug)]
pub(super) struct Budget {
    /// Parts of nuisances that nothing has paid for.
    pub(super) debt: u64,
    /// Bytes taken since the debt was last looked at.
    pub(super) bytes: u64,
    /// Until when time has paid.
    paid: Option<Instant>,
    /// What may be done in a turn, and what still may in this one.
    turn_work: u32,
    pub(super) work: u32,
    /// What was done in all turns before.
    done: u64,
    /// When this turn is.
    pub(super) turn: Option<Instant>,
    /// Streams whose input waits for the next turn, each once.
    pub(super) waiting: VecDeque<StreamKey>,
    /// Streams of the peer's, by [`Dir`](crate::id::Dir), that are taken in in the next turn.
    pub(super) accept: [bool; 2],
    /// How often a stream had to wait.
    pub(super) cut_short: u64,
}

impl Budget {
    pub(super) fn new(work: u32) -> Self {
        let work = work.max(1);
        Self {
            debt: 0,
            bytes: 0,
            paid: None,
            turn_work: work,
            work,
            done: 0,
            turn: None,
            waiting: VecDeque::new(),
            accept: [false; 2],
            cut_short: 0,
        }
    }

    /// The time of the last input.
    pub(super) fn now(&self) -> Option<Instant> {
        self.turn
    }

    /// A turn begins, with all its work to spend.
    #[inline]
    pub(super) fn begin(&mut self, now: Instant) {
        self.turn = Some(now);
        self.done = self.total();
        self.work = self.turn_work;
    }

    /// Work done so far, as far as it was within a turn's.
    pub(super) fn total(&self) -> u64 {
        self.done + u64::from(self.turn_work - self.work)
    }

    /// Adds to the debt after what has been paid; false beyond the limit.
    pub(super) fn charge(&mut self, parts: u32, limit: u32) -> bool {
        let full = u64::from(limit) * u64::from(PARTS);
        if self.debt == 0 {
            // Nothing is owed, and nothing is paid in advance.
            (self.bytes, self.paid) = (0, self.turn);
        } else {
            let bytes = self.bytes / BYTES * u64::from(PARTS);
            self.bytes %= BYTES;
            let paid = bytes.saturating_add(self.time_pays(full));
            self.debt = self.debt.saturating_sub(paid);
        }
        self.debt += u64::from(parts);
        self.debt <= full
    }

    /// What the time since the last call is worth. What is too short to count is kept.
    fn time_pays(&mut self, full: u64) -> u64 {
        let (Some(now), Some(since)) = (self.turn, self.paid) else {
            return 0;
        };
        if now == since {
            return 0;
        }
        let waited = now.saturating_duration_since(since).min(RECOVERY);
        let millis = waited.as_secs() * 1000 + u64::from(waited.subsec_millis());
        let worth = millis * full / (RECOVERY.as_secs() * 1000);
        if worth > 0 {
            self.paid = Some(now);
        }
        worth
    }

    /// Uses up some of this turn's work; false when it was used up before.
    #[inline]
    pub(super) fn spend(&mut self, work: u32) -> bool {
        let left = self.work;
        self.work = left.saturating_sub(work);
        left > 0
    }

    /// Goes on with a stream in the next turn. `deferred` is its own note of that.
    pub(super) fn defer(&mut self, key: StreamKey, deferred: &mut bool) {
        if !std::mem::replace(deferred, true) {
            self.cut_short += 1;
            self.waiting.push_back(key);
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an epoch to count from")]
mod tests {
    use super::*;

    fn debt_at(budget: &mut Budget, now: Instant) -> u64 {
        budget.begin(now);
        budget.charge(0, 2);
        budget.debt
    }

    #[test]
    fn nothing_is_paid_in_advance() {
        let (mut budget, start) = (Budget::new(1), Instant::now());
        debt_at(&mut budget, start);
        budget.bytes = 10 * BYTES;
        budget.begin(start + RECOVERY);
        assert!(budget.charge(2 * PARTS, 2), "two are tolerated");
        assert!(!budget.charge(1, 2), "and nothing was in store");
        budget.bytes = 2 * BYTES - 1;
        budget.charge(0, 2);
        assert_eq!(budget.debt, u64::from(PARTS) + 1);
    }

    /// Two nuisances in 100 s: a part of one in 781 ms.
    #[test]
    fn time_pays_and_what_is_too_short_is_kept() {
        let (mut budget, start) = (Budget::new(1), Instant::now());
        budget.begin(start);
        budget.charge(2 * PARTS, 2);
        let full = u64::from(2 * PARTS);
        for (millis, paid) in [(700, 0), (1_400, 1), (1_400, 1), (2_181, 1), (2_182, 2)] {
            let now = start + Duration::from_millis(millis);
            assert_eq!(debt_at(&mut budget, now), full - paid, "after {millis} ms");
        }
        let late = start + 10 * RECOVERY;
        assert_eq!(debt_at(&mut budget, late), 0);
    }

    #[test]
    fn work_is_added_up_over_turns() {
        let (mut budget, now) = (Budget::new(10), Instant::now());
        for (turn, total) in [3, 6, 9].into_iter().enumerate() {
            budget.begin(now);
            assert!(budget.spend(3), "turn {turn}");
            assert_eq!(budget.total(), total);
        }
    }
}
