//! Turns: how much an endpoint does before it looks at its socket again, and what waits
//! for the next turn.
//!
//! A datagram that comes to a connection is dealt with at once while this turn has work
//! left, and waits in the connection's inbox when it has none. In the next turn those who
//! had nothing waiting before go first, so a peer that asks for little waits for no peer
//! that asks for much. Connection attempts and handshakes, which cost most, have work of
//! their own. Networks take turns, with those as with everything else that waits, so one that
//! has many connections is waited for as one.

use std::time::Instant;

use quinn_proto::{ConnectionHandle, Incoming};

use super::connection::{self, State};
use super::fair::Fair;
use super::inbox::Datagram;
use super::process::touched;
use super::shares::{Block, Origin, Place};
use super::{Endpoint, state_of};
use crate::id::ConnKey;
use crate::time::{Deadline, Why};

/// Work of one turn, a quarter of a millisecond or so: of datagrams, of deadlines that have
/// come, and of attempts.
const WORK: u32 = 2048;

/// Work that a datagram is, whatever is in it; a frame in it is one, and so is a unit of
/// [`Limits::work`](crate::config::Limits::work).
const DATAGRAM: u32 = 16;

/// Received datagrams that are looked at, whether they are in use, for one of work.
const SWEPT: u64 = 8;

/// Work that each stream of a connection is that ends: whoever waits for something of the
/// stream is told so, and lets go of it.
const ENDED: u64 = 32;

/// Work that an attempt is: one handshake is a turn's.
const ACCEPT: u32 = WORK;
/// One that is answered without a handshake.
const ANSWER: u32 = WORK / 32;
/// What a datagram is to a handshake that is under way: keys, signatures, and the begin of
/// HTTP/3 after the last one.
const HANDSHAKE: u32 = WORK / 2;

/// Bytes that one connection is fed before it is pumped, and others have their turn.
const FEED: usize = 16 * 1024;

/// Bytes after which what was in them is looked at.
const MEASURE: usize = 8 * 1024;

/// Bytes that wait for all connections together, as long as each has [`LEAST`].
const MAX_WAITING: usize = 2 << 20;

/// Bytes that may wait for a connection, however many others there are: a first flight.
const LEAST: usize = 16 * 1024;

/// What is left of the turn's work, and whose inboxes have something in them.
#[derive(Debug)]
pub(super) struct Turn {
    left: u32,
    attempts: u32,
    /// Connections that had nothing waiting when something came, those whose inbox was
    /// not emptied by a turn, and those that are not established; each on one of these once.
    fresh: Fair<ConnKey>,
    busy: Fair<ConnKey>,
    young: Fair<ConnKey>,
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            left: WORK,
            attempts: WORK,
            fresh: Fair::new(usize::MAX),
            busy: Fair::new(usize::MAX),
            young: Fair::new(usize::MAX),
        }
    }
}

impl Turn {
    /// Uses up some of the work.
    pub(super) fn spend(&mut self, work: u32) {
        self.left = self.left.saturating_sub(work);
    }

    /// Uses up what a datagram is to a connection that is established, or is not yet.
    fn spend_on_datagram(&mut self, young: bool) {
        match young {
            true => self.attempts = self.attempts.saturating_sub(HANDSHAKE),
            false => self.spend(DATAGRAM),
        }
    }

    /// What is left for connections that are established, or are not yet.
    fn left(&self, young: bool) -> u32 {
        if young { self.attempts } else { self.left }
    }

    /// Whose inbox is next: a quarter of the work is for the busy ones.
    fn next(&mut self) -> Option<ConnKey> {
        let (first, second) = match self.left > WORK / 4 {
            true => (&mut self.fresh, &mut self.busy),
            false => (&mut self.busy, &mut self.fresh),
        };
        first.pop().or_else(|| second.pop())
    }

    /// Puts a connection on the line where it belongs: by whether it is established, and
    /// whether it had nothing waiting. O(log networks).
    fn line_up(&mut self, state: &State, key: ConnKey, fresh: bool) {
        let line = match (state.is_young(), fresh) {
            (true, _) => &mut self.young,
            (false, true) => &mut self.fresh,
            (false, false) => &mut self.busy,
        };
        line.push(state.network(), key);
    }

    /// Bytes that may wait for one more connection.
    fn share(&self) -> usize {
        let connections = self.fresh.len() + self.busy.len() + self.young.len() + 1;
        (MAX_WAITING / connections).max(LEAST)
    }
}

impl Endpoint {
    /// Takes a datagram for a connection, now or later.
    pub(super) fn take(&mut self, now: Instant, handle: ConnectionHandle, datagram: Datagram) {
        let Some(slot) = self.slots.get_mut(handle.0) else {
            return;
        };
        let Some(state) = &mut slot.state else { return };
        let key = connection::key(handle, slot.generation);
        let young = state.handshaking;
        if self.turn.left(young) > 0 && state.inbox.queue.is_empty() {
            self.turn.spend_on_datagram(young);
            self.stats.closed_hoarding += u64::from(state.feed(now, datagram, &mut self.buffers));
            touched(&mut self.dirty, state, key);
            // Before QUIC drops datagrams that there is room for above it, and before others
            // end, too.
            if state.fed >= FEED || state.is_ending() {
                self.process();
            }
            return;
        }
        let size = datagram.memory.bytes;
        let waiting = state.inbox.bytes + size;
        if waiting > self.turn.share().min(state.room()) {
            self.stats.datagrams_dropped += 1;
            return;
        }
        if state.inbox.queue.is_empty() {
            self.turn.line_up(state, key, true);
        }
        state.inbox.bytes = waiting;
        state.inbox.queue.push_back(datagram);
    }

    /// Begins a turn with what the last one has left.
    pub(super) fn begin_turn(&mut self, now: Instant) {
        (self.turn.left, self.turn.attempts) = (WORK, WORK);
        while self.turn.left > 0
            && let Some(key) = self.turn.next()
        {
            self.feed_waiting(now, key);
            self.process();
        }
        while self.turn.attempts > 0 && !(self.turn.young.is_empty() && self.attempts.is_empty()) {
            if let Some(key) = self.turn.young.pop() {
                self.feed_waiting(now, key);
                self.process();
            }
            if let Some((at, incoming)) = self.attempts.pop() {
                self.judge(at, incoming);
            }
        }
    }

    /// Feeds a connection some of what waits for it, an eighth of a turn's work at most.
    fn feed_waiting(&mut self, now: Instant, key: ConnKey) {
        let Some(state) = state_of(&mut self.slots, key) else {
            return;
        };
        let young = state.handshaking;
        let until = self.turn.left(young).saturating_sub(WORK / 8);
        while state.fed < FEED
            && self.turn.left(young) > until
            && let Some(datagram) = state.inbox.queue.pop_front()
        {
            self.turn.spend_on_datagram(young);
            state.inbox.bytes -= datagram.memory.bytes;
            self.stats.closed_hoarding += u64::from(state.feed(now, datagram, &mut self.buffers));
        }
        if !state.inbox.queue.is_empty() {
            self.turn.line_up(state, key, false);
        }
        touched(&mut self.dirty, state, key);
    }

    /// Decides about a connection attempt, or lets it wait.
    pub(super) fn attempt(&mut self, now: Instant, incoming: Incoming) {
        if self.turn.attempts > 0 && self.attempts.is_empty() {
            return self.judge(now, incoming);
        }
        let of = Origin::from(incoming.remote_address().ip()).network;
        if let Some((_, lost)) = self.attempts.push(of, (now, incoming)) {
            self.stats.attempts_dropped += 1;
            self.quinn.ignore(lost);
        }
    }

    /// An attempt was taken, or answered.
    pub(super) fn spend_on_attempt(&mut self, taken: bool) {
        let work = if taken { ACCEPT } else { ANSWER };
        self.turn.attempts = self.turn.attempts.saturating_sub(work);
    }

    /// Does what is due, for as long as the turn's work for that lasts: the rest is due
    /// still.
    pub(super) fn run_timers(&mut self, now: Instant) {
        self.arm_timers();
        let mut left = WORK;
        // Each connection once: what wants to be called again at the same time is
        // armed when it is pumped.
        while left > 0
            && let Some(key) = self.timers.pop_due(now)
        {
            left = left.saturating_sub(DATAGRAM);
            if let Some(state) = state_of(&mut self.slots, key) {
                let late = state.handle_timeout(now, &mut self.buffers);
                self.stats.handshakes_timed_out += u64::from(late);
                left = left.saturating_sub(state.work());
                touched(&mut self.dirty, state, key);
            } else {
                self.forget(key);
            }
        }
    }

    /// When what waits can be gone on with: at once.
    pub(super) fn turn_due(&self) -> Option<Deadline> {
        let turn = &self.turn;
        let lines = [&turn.fresh, &turn.busy, &turn.young];
        let waits = lines.iter().any(|line| !line.is_empty()) || !self.attempts.is_empty();
        let at = self.now.filter(|_| waits)?;
        Some(Deadline { at, why: Why::Work })
    }
}

impl State {
    /// Whether it was accepted and is not established.
    fn is_young(&self) -> bool {
        self.place.is_some() && self.handshaking
    }

    /// The network that it was accepted from, or goes to.
    fn network(&self) -> Block {
        let place = self.place.as_ref().map(Place::origin);
        let origin = place.unwrap_or_else(|| self.quic.remote_address().ip().into());
        origin.network
    }

    /// Bytes that may still wait for this connection beside what it holds.
    fn room(&self) -> usize {
        self.windows
            .max_received()
            .saturating_sub(self.received.bytes())
    }

    /// Whether QUIC is closed and nobody above has heard of it.
    fn is_ending(&self) -> bool {
        self.quic.is_closed() && !self.upper.is_closed()
    }

    /// Work done beside QUIC since the last call: above it, there at the end for its streams
    /// as well, and on the memory of what it has received.
    pub(super) fn work(&mut self) -> u32 {
        let total = self.upper.work();
        let before = std::mem::replace(&mut self.done.http, total);
        let mut above = total.saturating_sub(before);
        if self.upper.is_closed() && !std::mem::replace(&mut self.done.ended, true) {
            above = above.saturating_add(ENDED * self.upper.live_streams() as u64);
        }
        // What is less than one is told with the next.
        let swept = (self.received.swept() - self.done.swept) / SWEPT;
        self.done.swept += swept * SWEPT;
        u32::try_from(above.saturating_add(swept)).unwrap_or(u32::MAX)
    }

    /// Work done since the last call, datagrams as such not included: what is in a few is
    /// told with the next.
    pub(super) fn cost(&mut self) -> u32 {
        let work = self.work();
        if self.done.unmeasured < MEASURE {
            return work;
        }
        self.done.unmeasured = 0;
        let counts = self.quic.stats().frame_rx;
        let frames = [
            counts.acks,
            counts.crypto,
            counts.data_blocked,
            counts.datagram,
            counts.max_data,
            counts.max_stream_data,
            counts.max_streams_bidi,
            counts.max_streams_uni,
            counts.new_connection_id,
            counts.path_challenge,
            counts.path_response,
            counts.ping,
            counts.reset_stream,
            counts.retire_connection_id,
            counts.stop_sending,
            counts.stream,
            counts.stream_data_blocked,
            counts.streams_blocked_bidi,
            counts.streams_blocked_uni,
        ];
        let total: u64 = frames.iter().sum();
        let before = std::mem::replace(&mut self.done.frames, total);
        let frames = u32::try_from(total.saturating_sub(before)).unwrap_or(u32::MAX);
        work.saturating_add(frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of 2 MiB everybody has the same, and 16 KiB at least.
    #[test]
    fn what_may_wait_is_shared() {
        let mut turn = Turn::default();
        let mut shares = Vec::new();
        for generation in 0..200 {
            shares.push(turn.share() >> 10);
            let key = ConnKey {
                index: 0,
                generation,
            };
            let line = match generation % 2 {
                0 => &mut turn.fresh,
                _ => &mut turn.busy,
            };
            line.push(Block::V4(generation / 3), key);
        }
        let some = [0, 1, 3, 127, 128, 199].map(|at| shares[at]);
        assert_eq!(some, [2048, 1024, 512, 16, 16, 16]);
    }
}
