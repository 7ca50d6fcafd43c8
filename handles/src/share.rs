//! A connection's share between two turns of the driver.
//!
//! A task that finds a handle always ready never gives way, and takes the endpoint's
//! lock again as soon as it has let go of it. A peer that keeps sending what costs it
//! little could so have a runtime's thread and the lock to itself. What all handles of
//! one connection take in therefore counts against one share. When it is used up they
//! wait for the driver's next turn, which serves every other connection first.
//!
//! No runtime is asked how much a task may still do: the share holds on every runtime,
//! for all tasks of a connection together, and for a `select!` that always finds one
//! of its branches ready.

use std::task::{Context, Waker};

use crate::place::{At, Place, Resting};
use crate::shared::{Locked, Step};
use crate::table::State;

/// What the handles of one connection may do until they wait for the driver: about as
/// much as one turn of the driver brings in, 1 MiB or 1,024 datagrams.
pub(crate) const SHARE: u32 = 2048;

/// The price of a datagram, of something accepted, or of a read. A read pays one more
/// for each chunk and each KiB.
pub(crate) const PRICE: u32 = 2;

impl State {
    /// The driver took a turn: who waited for it goes on. O(who waited).
    pub(crate) fn share_out(&mut self, wakes: &mut Vec<Waker>) {
        for resting in std::mem::take(&mut self.resting) {
            let conn = match resting {
                Resting::Reader(at) => {
                    let conn = self.conns.get_mut(at.conn);
                    if let Some(stream) = conn.and_then(|conn| conn.streams.get_mut(at.stream)) {
                        stream.rests = false;
                        stream.wake_read(wakes);
                    }
                    Some(at.conn)
                }
                Resting::Place(place) => {
                    if let Some(waiters) = self.waiters(place) {
                        waiters.rested(wakes);
                    }
                    place.conn()
                }
            };
            if let Some(conn) = conn.and_then(|at| self.conns.get_mut(at)) {
                conn.taken = 0;
            }
        }
    }
}

impl Locked<'_> {
    /// Counts what a handle of a connection took in.
    pub(crate) fn take_share(&mut self, conn: usize, price: u32) {
        let conn = self.conn(conn);
        conn.taken = conn.taken.saturating_add(price);
        if conn.taken >= SHARE && conn.taken - price < SHARE {
            conn.rests += 1;
        }
    }

    /// Whether a connection's share is used up, so that the driver's next turn is to be
    /// waited for. Nobody comes between the rest of what had arrived and its reader
    /// once the connection is over.
    pub(crate) fn must_rest(&mut self, conn: usize) -> bool {
        let connection = self.conn(conn);
        if connection.taken < SHARE || connection.closed.is_some() || self.state().failed.is_some()
        {
            return false;
        }
        self.kick();
        true
    }

    /// Leaves a reader's waker for the driver's next turn, if it must wait for that.
    pub(crate) fn rest_reader(&mut self, at: At, cx: &Context<'_>) -> bool {
        if !self.must_rest(at.conn) {
            return false;
        }
        self.wait_read(at, cx);
        if !std::mem::replace(&mut self.stream(at).rests, true) {
            self.state().resting.push(Resting::Reader(at));
        }
        true
    }

    /// Where to wait, if that is for the driver's next turn.
    pub(crate) fn rest_at<T>(&mut self, place: Place) -> Option<Step<T>> {
        if !self.must_rest(place.conn()?) {
            return None;
        }
        if self.state().waiters(place)?.rest() {
            self.state().resting.push(Resting::Place(place));
        }
        Some(Step::Wait(place))
    }
}

/// What a read of so many chunks and bytes costs.
pub(crate) fn price_of(chunks: usize, bytes: usize) -> u32 {
    let price = chunks.saturating_add(bytes / 1024);
    PRICE.saturating_add(u32::try_from(price).unwrap_or(u32::MAX))
}
