//! What connections tell.

use std::sync::Arc;
use std::time::Instant;

use super::action::{ConnId, DialFailure, PoolError, Retired};
use super::machine::{Life, Pool, State};
use super::table::Key;
use crate::error::CloseReason;
use crate::id::StreamId;

impl Pool {
    /// The connection is made. `max_streams` is the peer's limit on bidirectional streams
    /// over the connection's life (RFC 9000 §19.11); `None` if QUIC does not tell it. False
    /// if the pool does not want it any more: it is to be closed.
    #[must_use = "a connection that is not wanted is to be closed"]
    pub fn connected(&mut self, now: Instant, conn: ConnId, max_streams: Option<u64>) -> bool {
        let found = self.conns.get_mut(conn.0);
        let Some(entry) = found.filter(|conn| conn.life == Life::Connecting) else {
            return false;
        };
        entry.life = Life::Connected;
        entry.told = true;
        entry.heard = now;
        entry.max_streams = entry.max_streams.max(max_streams);
        let origin = entry.origin;
        self.count(origin, |now| {
            now.connecting -= 1;
            now.connections += 1;
        });
        self.changed(now, conn.0);
        self.serve(now, origin);
        self.make_room(now);
        true
    }

    /// The peer allows more streams: its new limit over the connection's life, or `None`
    /// if QUIC says only that there is more
    /// ([`Event::Available`](crate::event::Event::Available)). Limits that are lower than
    /// before count for nothing.
    pub fn credit(&mut self, now: Instant, conn: ConnId, max_streams: Option<u64>) {
        let Some(entry) = self.conns.get_mut(conn.0) else {
            return;
        };
        //= https://www.rfc-editor.org/rfc/rfc9000#section-4.6
        // A limit never becomes lower.
        let more = max_streams.is_none() || entry.max_streams < max_streams;
        entry.max_streams = entry.max_streams.max(max_streams);
        entry.heard = now;
        if more {
            entry.blocked = false;
            entry.epoch += 1;
        }
        let origin = entry.origin;
        self.changed(now, conn.0);
        self.serve(now, origin);
    }

    /// Something came from the peer: the connection need not be kept alive for a while.
    pub fn heard(&mut self, now: Instant, conn: ConnId) {
        if let Some(entry) = self.conns.get_mut(conn.0) {
            entry.heard = now;
            self.arm_life(conn.0);
        }
    }

    /// The server's GOAWAY: nothing new goes there, and when the last request is over it
    /// is retired. Requests with this id and above fail as unprocessed
    /// ([`PoolError::Unprocessed`]), the others go on. `None` if the connection itself
    /// tells which those are
    /// ([`StreamEvent::Unprocessed`](crate::event::StreamEvent::Unprocessed)); they are
    /// released then. Of several, the lowest counts. O(requests there).
    pub fn goaway(&mut self, now: Instant, conn: ConnId, id: Option<StreamId>) {
        let Some(entry) = self.conns.get_mut(conn.0) else {
            return;
        };
        //= https://www.rfc-editor.org/rfc/rfc9114#section-5.2
        // Further GOAWAYs have the same id or a lower one.
        entry.goaway = [entry.goaway, id].into_iter().flatten().min();
        let lowest = entry.goaway;
        if let Some(lowest) = lowest {
            for ticket in self.users(conn.0) {
                let place = self.tickets.get(ticket);
                let beyond = place.is_some_and(
                    |place| matches!(place.state, State::Sent { stream, .. } if stream >= lowest),
                );
                if beyond {
                    //= https://www.rfc-editor.org/rfc/rfc9114#section-5.2
                    // What is at or above the id was not and will not be processed.
                    self.fail(ticket, PoolError::Unprocessed);
                    self.leave(now, ticket, conn.0);
                }
            }
        }
        self.wind_down(now, conn.0, Retired::Drained);
        self.make_room(now);
    }

    /// This side winds the connection down, with a GOAWAY of its own or without
    /// (row D20): nothing new goes there, and what is under way goes on.
    pub fn drain(&mut self, now: Instant, conn: ConnId) {
        //= https://www.rfc-editor.org/rfc/rfc9114#section-5.2
        // A client's GOAWAY carries a push id, which says nothing of requests.
        self.wind_down(now, conn.0, Retired::Drained);
        self.make_room(now);
    }

    /// The connection could not be made. If it was the last hope of those that wait, they
    /// fail, and nothing is tried for a while.
    pub fn dial_failed(&mut self, now: Instant, conn: ConnId, failure: DialFailure) {
        let found = self.conns.get(conn.0);
        if found.is_some_and(|conn| conn.life == Life::Connecting) {
            self.no_connection(now, conn.0, failure);
            self.make_room(now);
        }
    }

    /// The connection is over, or never came about. Requests on it fail; those of which
    /// nothing was sent wait for another.
    pub fn closed(&mut self, now: Instant, conn: ConnId, reason: CloseReason) {
        let Some(entry) = self.conns.get(conn.0) else {
            return;
        };
        if entry.life == Life::Connecting {
            return self.dial_failed(now, conn, DialFailure::Closed(reason));
        }
        let goaway = entry.goaway;
        let users = self.users(conn.0);
        let Some(entry) = self.remove(conn.0) else {
            return;
        };
        let origin = entry.origin;
        let shared = Arc::new(reason);
        for ticket in users {
            self.count(origin, |now| now.active -= 1);
            let Some(place) = self.tickets.get_mut(ticket) else {
                continue;
            };
            place.unlinked();
            match place.state {
                // Nobody has seen it.
                State::Lent { told: false, .. } => self.requeue(ticket),
                State::Lent { .. } => {
                    place.state = State::Orphan {
                        reason: shared.clone(),
                        goaway,
                    };
                }
                _ => self.fail(ticket, PoolError::Closed(shared.clone())),
            }
        }
        // A server that takes connections and nothing else is not to be asked again at once.
        let ours = matches!(*shared, CloseReason::Local { .. } | CloseReason::Drained);
        if !entry.proven && !ours && entry.life == Life::Connected {
            self.backed_off(
                now,
                origin,
                DialFailure::Closed(CloseReason::clone(&shared)),
            );
        }
        self.serve(now, origin);
        self.make_room(now);
    }

    // ---- for the files of this folder -------------------------------------------

    /// A ticket's request has its stream.
    pub(super) fn opened(&mut self, now: Instant, ticket: Key, conn: Key, stream: StreamId) {
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        entry.opens(now, stream);
        let unprocessed = entry.goaway.is_some_and(|id| stream >= id);
        let origin = entry.origin;
        if unprocessed {
            self.fail(ticket, PoolError::Unprocessed);
            self.leave(now, ticket, conn);
        } else {
            self.changed(now, conn);
        }
        self.serve(now, origin);
        self.make_room(now);
    }

    /// Nothing new goes to a connection. Idle ones, and those that are not made yet, end.
    pub(super) fn wind_down(&mut self, now: Instant, key: Key, why: Retired) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        let origin = conn.origin;
        match conn.life {
            Life::Draining => {}
            Life::Connecting => self.retire(now, key, why),
            Life::Connected if conn.using.is_empty() => self.retire(now, key, why),
            Life::Connected => {
                conn.life = Life::Draining;
                self.count(origin, |now| {
                    now.connections -= 1;
                    now.draining += 1;
                });
                // Who has not seen that it is his turn waits for another.
                for ticket in self.users(key) {
                    let place = self.tickets.get(ticket);
                    let unseen = place.is_some_and(|place| {
                        matches!(place.state, State::Lent { told: false, .. })
                    });
                    if unseen {
                        self.leave(now, ticket, key);
                        self.requeue(ticket);
                    }
                }
                self.changed(now, key);
            }
        }
        self.serve(now, origin);
    }

    /// A connection did not come about.
    pub(super) fn no_connection(&mut self, now: Instant, key: Key, failure: DialFailure) {
        let Some(conn) = self.remove(key) else {
            return;
        };
        self.stats.dial_failures += 1;
        self.backed_off(now, conn.origin, failure);
        let known = self.origins.get(conn.origin);
        let hopeless = known.filter(|known| known.now.connections + known.now.connecting == 0);
        if let Some(cause) = hopeless.and_then(|known| known.last.clone()) {
            while let Some(ticket) = self
                .origins
                .get(conn.origin)
                .and_then(|known| known.waiting.first())
            {
                self.dequeue(ticket);
                self.fail(ticket, PoolError::Dial(cause.clone()));
            }
        }
        self.serve(now, conn.origin);
    }

    /// The tickets that have a place on a connection, in the order in which they got it.
    fn users(&mut self, key: Key) -> Vec<Key> {
        let first = self.conns.get(key).and_then(|conn| conn.using.first());
        let tickets = &mut self.tickets;
        std::iter::successors(first, |ticket| tickets.after(*ticket)).collect()
    }
}
