//! What a peer may cost: useless work over the life of a connection, and any work in
//! one turn.
//!
//! Useless work is a debt. What pays it back is what an attacker cannot make cheaply:
//! time, thousands of bytes that the application took, and requests that went through.
//! Beyond the limit the connection closes. Work of a turn that is beyond its budget
//! waits for the next turn, so that other connections have theirs.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::connection::H3;
use crate::fault::{Fault, Violation};
use crate::id::{Dir, StreamKey};
use crate::stats::Stats;
use crate::time::{Deadline, Why};
use crate::transport::Transport;

/// Parts of a nuisance: what is small counts so much less.
pub(crate) const PARTS: u32 = 64;

/// Bytes of content or datagrams that pay for one nuisance.
const BYTES: u64 = 1000;

/// Work that a stream is, whatever comes on it.
pub(super) const STREAM: u32 = 8;

/// What a request pays for that went through, and a stream of a session.
const FINISHED_REQUEST: u32 = 2 * PARTS;
const FINISHED_STREAM: u32 = PARTS / 4;

/// What of use at times is, and cheap to send: notices about limits.
pub(crate) const NOTICE: u32 = PARTS / 16;

/// Time that pays for as many nuisances as are tolerated.
const RECOVERY: Duration = Duration::from_secs(100);

/// Content shorter than this is a small thing, which costs more than it brings.
const SMALL: usize = 16;

/// The debt and the budget of one connection.
#[derive(Debug)]
pub(super) struct Budget {
    /// Parts of nuisances that nothing has paid for.
    debt: u64,
    /// Bytes taken since the debt was last looked at.
    bytes: u64,
    /// Until when time has paid.
    paid: Option<Instant>,
    /// What may be done in a turn, and what still may in this one.
    turn_work: u32,
    work: u32,
    /// When this turn is.
    turn: Option<Instant>,
    /// Streams whose input waits for the next turn, each once.
    waiting: VecDeque<StreamKey>,
    /// Streams of the peer's, by [`Dir`], that are taken in in the next turn.
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

    /// Adds to the debt after what has been paid; false beyond the limit.
    fn charge(&mut self, parts: u32, limit: u32) -> bool {
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

impl H3 {
    /// What the connection has counted.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            turns_cut_short: self.budget.cut_short,
            ..self.stats
        }
    }

    /// An input at `now`. A turn begins when time has moved on.
    #[inline]
    pub(crate) fn at(&mut self, now: Instant) {
        if self.budget.turn != Some(now) {
            self.budget.turn = Some(now);
            self.budget.work = self.budget.turn_work;
        }
    }

    /// Counts useless things.
    pub(crate) fn nuisance(&mut self, cost: u32) -> Result<(), Fault> {
        self.charge(cost.saturating_mul(PARTS))
    }

    /// Counts useless things by their [`PARTS`]. A peer that makes more of them than is
    /// paid for, by more than the limit, is shown out.
    pub(crate) fn charge(&mut self, parts: u32) -> Result<(), Fault> {
        self.stats.nuisances += u64::from(parts);
        if parts > 0 && !self.budget.charge(parts, self.config.limits.nuisance) {
            return Err(Fault::Connection(Violation::Nuisance));
        }
        Ok(())
    }

    /// Counts a datagram of so many bytes: a small one costs a little, others pay.
    #[inline]
    pub(crate) fn datagram(&mut self, len: usize) -> Result<(), Fault> {
        if len < SMALL {
            return self.charge(1);
        }
        self.took(len);
        Ok(())
    }

    /// The application took bytes that the peer sent.
    #[inline]
    pub(crate) fn took(&mut self, bytes: usize) {
        self.budget.bytes = self.budget.bytes.saturating_add(bytes as u64);
    }

    /// A request went through.
    pub(super) fn finished_request(&mut self) {
        self.pay(FINISHED_REQUEST);
    }

    /// A stream of a session came to its end.
    pub(super) fn finished_stream(&mut self) {
        self.pay(FINISHED_STREAM);
    }

    /// Pays for so many parts of nuisances.
    pub(crate) fn pay(&mut self, parts: u32) {
        self.budget.debt = self.budget.debt.saturating_sub(parts.into());
    }

    /// The application took a datagram, so that a small one is paid for.
    #[inline]
    pub(crate) fn took_datagram(&mut self, len: usize) {
        if (1..SMALL).contains(&len) {
            self.pay(1);
        }
    }

    /// Uses up some of this turn's budget; false when it was used up before.
    #[inline]
    pub(crate) fn spend(&mut self, work: u32) -> bool {
        self.budget.spend(work)
    }

    /// Goes on with a stream's input in the next turn.
    pub(super) fn defer(&mut self, key: StreamKey) {
        if let Some(slot) = self.table.get_mut(key) {
            self.budget.defer(key, &mut slot.deferred);
        }
    }

    /// Keeps content of a message that its reader could not deal with in this turn, and
    /// tells that there is some in the next.
    pub(crate) fn put_back(&mut self, key: StreamKey, content: Bytes) {
        let Some(slot) = self.table.get_mut(key) else {
            return;
        };
        slot.readable_told = false;
        if let Some(exchange) = slot.exchange()
            && !content.is_empty()
        {
            exchange.content = content;
        }
        self.defer(key);
    }

    /// Begins a turn, and goes on with what the last one left, in order.
    pub(crate) fn resume<T: Transport>(&mut self, t: &mut T, now: Instant) {
        self.budget.turn = Some(now);
        self.budget.work = self.budget.turn_work;
        for dir in [Dir::Bi, Dir::Uni] {
            if std::mem::take(&mut self.budget.accept[dir as usize]) {
                self.on_opened(t, dir);
            }
        }
        for _ in 0..self.budget.waiting.len() {
            let Some(key) = self.budget.waiting.pop_front() else {
                return;
            };
            let Some(slot) = self.table.get_mut(key) else {
                continue;
            };
            slot.deferred = false;
            self.on_readable(t, key.id);
        }
    }

    /// When what waits for the next turn can be gone on with: at once.
    pub(crate) fn turn_due(&self) -> Option<Deadline> {
        let budget = &self.budget;
        let left = !budget.waiting.is_empty() || budget.accept.contains(&true);
        let at = budget.turn.filter(|_| left)?;
        Some(Deadline { at, why: Why::Work })
    }
}
