//! What a peer is charged and paid for, and what is left for the next turn.

use std::time::Instant;

use bytes::Bytes;

use super::budget::{FINISHED_REQUEST, FINISHED_STREAM, PARTS, SMALL};
use super::connection::H3;
use crate::fault::{Fault, Violation};
use crate::id::{Dir, StreamKey};
use crate::stats::Stats;
use crate::time::{Deadline, Why};
use crate::transport::Transport;

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
            self.budget.begin(now);
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

    /// Work done so far.
    #[cfg(feature = "quinn")]
    pub(crate) fn work_done(&self) -> u64 {
        self.budget.total()
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
        self.budget.begin(now);
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
