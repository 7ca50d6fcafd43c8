//! Streams of a connection take turns when it has no room for what all of them want to
//! send.
//!
//! quinn-proto 0.11 tells blocked streams of room last in, first out, and one write may
//! take all there is. So the streams that wait stand in line here: the most urgent
//! first, of these the one that has waited longest. While others wait, a turn is
//! [`TURN`] bytes, and whoever wants more goes to the end of the line.
//!
//! ```text
//!            told by QUIC        its turn has come      writes
//!   Blocked ──────────────> Ready ──────────────> Told ───────> Begun
//!      ^                      ^                     │             │
//!      │     QUIC takes no more                     v             │
//!      └──────────────────────┼───────────────────────────────────┤
//!                             └───────────────────────────────────┘
//!                                       the turn is over
//! ```
//!
//! A stream is left out of the line as long as QUIC blocks it, be it for want of its
//! own credit or of the connection's room, so it holds up nobody. A turn that nobody
//! uses passes after [`PATIENCE`], and the stream may take its share later all the same.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::id::StreamId;

/// Bytes that a stream may take in its turn while others wait.
pub(super) const TURN: usize = 16 * 1024;

/// What is left of a turn when it is over, since less is not worth a packet.
const REST: usize = 1024;

/// How long those behind wait for a stream that does not use its turn.
const PATIENCE: Duration = Duration::from_millis(10);

/// Turns that are under way at once, at most.
const MOST: u32 = 64;

/// Who wants to write, and in which order. All calls are O(log streams), but for a
/// stream that goes into the middle of the line, which moves half of it at most.
#[derive(Debug, Default)]
pub(super) struct Writers {
    /// At most one for each stream that lives. The rest is of use only while there are some.
    waiting: BTreeMap<StreamId, Writer>,
    /// Those that are [`Stage::Ready`], in order.
    line: VecDeque<Place>,
    /// The last ticket given.
    tickets: u64,
    /// The connection has no room, and a stream is blocked for that alone, which QUIC
    /// tells when there is some.
    full: bool,
    /// Turns that are told and have not begun.
    told: u32,
    /// How many there may be: one at a time when room is scarce.
    at_once: u32,
    /// How often all that QUIC had to tell was told.
    pumps: u64,
    /// Turns told before this number was the present one have passed.
    round: u64,
    /// When those told pass.
    until: Option<Instant>,
}

/// A place in the line.
type Place = (Reverse<i32>, u64, StreamId);

#[derive(Debug)]
struct Writer {
    priority: i32,
    ticket: u64,
    /// Bytes left of the turn; 0 before it.
    left: usize,
    stage: Stage,
    /// QUIC has said that the stream has credit, and nothing was written since.
    has_credit: bool,
    /// After so many pumps it was written to last, or joined.
    since: u64,
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Stage {
    /// QUIC takes nothing, and tells when it does.
    Blocked,
    /// It stands in line.
    Ready,
    /// It was told in the round that it is its turn.
    Told(u64),
    /// It has made use of its turn, or could have.
    Begun,
}

/// How a write ended.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// All was taken.
    All,
    /// As much as was allowed was taken.
    Share,
    /// QUIC took no more.
    Blocked,
}

impl Writers {
    /// Whether nobody waits, so that everybody may write.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes that the stream may write at present; `None` to have it wait. Of a stream
    /// that is not known here, `priority` is asked; `None` for one that is over.
    pub(super) fn allow(
        &mut self,
        id: StreamId,
        priority: impl FnOnce() -> Option<i32>,
    ) -> Option<usize> {
        let Some(writer) = self.waiting.get(&id) else {
            // QUIC has the right words for what is over.
            let Some(priority) = priority() else {
                return Some(usize::MAX);
            };
            if self.is_behind(priority) {
                self.stand(id, priority);
                return None;
            }
            return Some(if self.told > 0 { TURN } else { usize::MAX });
        };
        let others = match writer.stage {
            // QUIC or the line tells it.
            Stage::Blocked | Stage::Ready => return None,
            Stage::Told(round) => self.told > u32::from(round == self.round),
            Stage::Begun => self.told > 0,
        };
        let (left, priority) = (writer.left, writer.priority);
        if !others && !self.is_behind(priority) {
            return Some(usize::MAX);
        }
        if left == 0 {
            self.stand(id, priority);
            return None;
        }
        Some(left)
    }

    /// Whether others stand in line that are as urgent.
    fn is_behind(&self, priority: i32) -> bool {
        let first = self.line.front();
        first.is_some_and(|(first, ..)| first.0 >= priority)
    }

    /// A stream goes to the end of its part of the line.
    fn stand(&mut self, id: StreamId, priority: i32) {
        self.forget(id);
        self.tickets += 1;
        let writer = Writer {
            priority,
            ticket: self.tickets,
            left: 0,
            stage: Stage::Ready,
            has_credit: false,
            since: self.pumps,
        };
        self.line_up((Reverse(priority), writer.ticket, id));
        self.waiting.insert(id, writer);
    }

    fn line_up(&mut self, place: Place) {
        let at = self.line.partition_point(|other| *other < place);
        self.line.insert(at, place);
    }

    fn leave(&mut self, place: Place) {
        if let Ok(at) = self.line.binary_search(&place) {
            self.line.remove(at);
        }
    }

    /// A stream that was allowed to has written.
    #[inline]
    pub(super) fn wrote(
        &mut self,
        id: StreamId,
        taken: usize,
        ended: Ended,
        priority: impl FnOnce() -> Option<i32>,
    ) {
        if ended != Ended::All || !self.is_empty() {
            self.note(id, taken, ended, priority);
        }
    }

    fn note(
        &mut self,
        id: StreamId,
        taken: usize,
        ended: Ended,
        priority: impl FnOnce() -> Option<i32>,
    ) {
        let round = self.round;
        let priority = match self.waiting.get(&id) {
            Some(writer) => writer.priority,
            None if ended == Ended::All => return,
            None => match priority() {
                Some(priority) => priority,
                None => return,
            },
        };
        if (self.waiting.get(&id)).is_some_and(|writer| writer.stage == Stage::Told(round)) {
            self.told -= 1;
            // There is room for more at a time.
            if ended != Ended::Blocked {
                self.tell_more();
            }
        }
        self.full &= ended == Ended::Blocked;
        match ended {
            Ended::All if self.line.is_empty() => _ = self.waiting.remove(&id),
            Ended::All => {
                if let Some(writer) = self.waiting.get_mut(&id) {
                    writer.left = writer.left.saturating_sub(taken);
                    writer.stage = Stage::Begun;
                    writer.has_credit = false;
                    writer.since = self.pumps;
                }
            }
            Ended::Share => {
                if let Some(writer) = self.waiting.get_mut(&id) {
                    writer.stage = Stage::Begun;
                }
                self.stand(id, priority);
            }
            Ended::Blocked => self.blocked(id, taken, priority),
        }
    }

    fn blocked(&mut self, id: StreamId, taken: usize, priority: i32) {
        let writer = self.waiting.entry(id).or_insert(Writer {
            priority,
            ticket: 0,
            left: 0,
            stage: Stage::Blocked,
            has_credit: false,
            since: self.pumps,
        });
        writer.stage = Stage::Blocked;
        writer.since = self.pumps;
        // Nothing but the connection can be what blocks it.
        let has_credit = std::mem::take(&mut writer.has_credit);
        let full = has_credit && taken == 0;
        if taken > 0 {
            writer.left = writer.left.saturating_sub(taken);
        }
        // Who has had something to spare of its turn stays in front.
        if writer.ticket == 0 || (taken > 0 && writer.left < REST) {
            self.tickets += 1;
            writer.left = 0;
            writer.ticket = self.tickets;
        }
        if full {
            self.full = true;
            self.at_once = 1;
        }
    }

    /// QUIC takes bytes of a stream again. False of one that does not wait here.
    pub(super) fn has_room(&mut self, id: StreamId) -> bool {
        let Some(writer) = self.waiting.get_mut(&id) else {
            return false;
        };
        self.full = false;
        // What was written since QUIC noted it may have used the credit up.
        writer.has_credit = writer.since < self.pumps;
        if writer.stage == Stage::Blocked {
            writer.stage = Stage::Ready;
            let place = (Reverse(writer.priority), writer.ticket, id);
            self.line_up(place);
        }
        true
    }

    /// QUIC has nothing more to tell.
    #[inline]
    pub(super) fn pumped(&mut self) {
        self.pumps += 1;
    }

    /// The next stream whose turn it is, which has to be told.
    pub(super) fn next(&mut self, now: Instant) -> Option<StreamId> {
        if self.full || self.line.is_empty() {
            return None;
        }
        if self.told >= self.at_once.max(1) {
            if self.until.is_some_and(|until| now < until) {
                return None;
            }
            self.told = 0;
            self.round += 1;
            // Others may be as slow.
            self.tell_more();
        }
        let (.., id) = self.line.pop_front()?;
        let writer = self.waiting.get_mut(&id)?;
        writer.stage = Stage::Told(self.round);
        if writer.left == 0 {
            writer.left = TURN;
        }
        self.told += 1;
        self.until = Some(now + PATIENCE);
        Some(id)
    }

    fn tell_more(&mut self) {
        self.at_once = (self.at_once.max(1) * 2).min(MOST);
    }

    /// When a turn passes that others wait for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.full || self.line.is_empty() {
            return None;
        }
        self.until
    }

    /// Another urgency counts from now on.
    pub(super) fn set_priority(&mut self, id: StreamId, priority: i32) {
        let Some(writer) = self.waiting.get_mut(&id) else {
            return;
        };
        let before = (Reverse(writer.priority), writer.ticket, id);
        writer.priority = priority;
        if writer.stage == Stage::Ready {
            let place = (Reverse(priority), writer.ticket, id);
            self.leave(before);
            self.line_up(place);
        }
    }

    /// A stream is over, or nothing more is to be written to it.
    pub(super) fn forget(&mut self, id: StreamId) {
        let Some(writer) = self.waiting.remove(&id) else {
            return;
        };
        match writer.stage {
            Stage::Ready => self.leave((Reverse(writer.priority), writer.ticket, id)),
            Stage::Told(round) if round == self.round => self.told -= 1,
            // It may be the one that QUIC would have told of room.
            Stage::Blocked => self.full = false,
            Stage::Told(_) | Stage::Begun => {}
        }
    }

    /// QUIC has forgotten all streams.
    pub(super) fn clear(&mut self) {
        let pumps = self.pumps;
        *self = Self {
            pumps,
            ..Self::default()
        };
    }
}

#[cfg(test)]
mod tests;
