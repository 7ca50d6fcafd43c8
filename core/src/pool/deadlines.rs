//! What is due when.

use std::time::Instant;

use super::action::{DialFailure, Retired};
use super::machine::{Life, Pool, Queued};
use super::table::Key;
use crate::time::heap::Timers;
use crate::time::{Deadline, Why, after, earliest};

impl Pool {
    /// Does what is due.
    pub(super) fn expire(&mut self, now: Instant) {
        let is_due = |timers: &Timers<Key>| timers.peek().is_some_and(|due| due.at <= now);
        if !(is_due(&self.waits) || is_due(&self.lives) || is_due(&self.back_offs)) {
            return;
        }
        while let Some(ticket) = self.waits.pop_due(now) {
            self.waited(now, ticket);
        }
        while let Some(conn) = self.lives.pop_due(now) {
            self.lived(now, conn);
        }
        while let Some(origin) = self.back_offs.pop_due(now) {
            self.serve(now, origin);
        }
        self.make_room(now);
    }

    /// Notes when something is due of a connection.
    pub(super) fn arm_life(&mut self, key: Key) {
        let Some(conn) = self.conns.get(key) else {
            return;
        };
        let Some(config) = self.origins.get(conn.origin).map(|known| &known.config) else {
            return;
        };
        let due = |at, why| Some(Deadline { at, why });
        let due = match conn.life {
            Life::Connecting => due(after(conn.begun, config.connect_timeout), Why::Handshake),
            Life::Connected | Life::Draining => {
                let idle = conn.idle.map(|since| after(since, config.idle_timeout));
                let quiet = config.keep_alive.map(|wait| after(conn.heard, wait));
                earliest(
                    idle.and_then(|at| due(at, Why::Idle)),
                    quiet.and_then(|at| due(at, Why::KeepAlive)),
                )
            }
        };
        self.lives.arm(key, due);
    }

    /// Notes when an origin may be dialled again, or is not worth remembering.
    pub(super) fn arm_back_off(&mut self, now: Instant, key: Key) {
        let Some(known) = self.origins.get(key) else {
            return;
        };
        let waits = !known.waiting.is_empty();
        let ready = known.ready.filter(|ready| waits && *ready > now);
        let forget = known.forget.filter(|_| known.remembered);
        let why = Why::BackOff;
        let due = ready.or(forget).map(|at| Deadline { at, why });
        self.back_offs.arm(key, due);
    }

    /// A ticket has waited for as long as it may.
    fn waited(&mut self, now: Instant, ticket: Key) {
        let Some(origin) = self.tickets.get(ticket).map(|place| place.origin) else {
            return;
        };
        self.dequeue(ticket);
        self.time_out(origin, ticket);
        self.settle(now, origin);
    }

    /// Something is due of a connection.
    fn lived(&mut self, now: Instant, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        let Some(config) = self.origins.get(conn.origin).map(|known| &known.config) else {
            return;
        };
        if conn.life == Life::Connecting {
            if conn.told {
                self.stats.retired += 1;
                let why = Retired::ConnectTimeout;
                self.actions.push_back(Queued::Retire(key, why));
            }
            return self.no_connection(now, key, DialFailure::TimedOut);
        }
        let idle = conn.idle.map(|since| after(since, config.idle_timeout));
        if idle.is_some_and(|at| at <= now) {
            return self.retire(now, key, Retired::Idle);
        }
        let quiet = config.keep_alive.map(|wait| after(conn.heard, wait));
        if quiet.is_some_and(|at| at <= now) {
            conn.heard = now;
            self.actions.push_back(Queued::KeepAlive(key));
        }
        self.arm_life(key);
    }
}
