//! Who gets which connection, and when one is made or not wanted any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::action::{DialFailure, Retired};
use super::machine::{Conn, Known, Life, Pool, Queued, State};
use super::table::{Key, Links, List};
use crate::time::after;

impl Pool {
    /// Lends what is free to whoever waits, in the order of the queue, and connects if
    /// there is more that waits.
    pub(super) fn serve(&mut self, now: Instant, origin: Key) {
        if self.origins.get(origin).is_some_and(Known::is_quiet) {
            return;
        }
        loop {
            let Some(known) = self.origins.get(origin) else {
                return;
            };
            let free = known.open.first();
            let (Some(ticket), Some(conn)) = (known.waiting.first(), free) else {
                break;
            };
            self.dequeue(ticket);
            self.lend(now, ticket, conn);
        }
        while self.wants_connection(now, origin) && self.has_room(now, origin) {
            self.dial(now, origin);
        }
        self.settle(now, origin);
    }

    /// Gives a ticket that is in no list a place on a connection, and tells.
    pub(super) fn lend(&mut self, now: Instant, ticket: Key, key: Key) {
        self.assign(now, ticket, key, false);
        self.actions.push_back(Queued::Lend(ticket, key));
    }

    /// The same, and its caller tells, or has been told.
    pub(super) fn assign(&mut self, now: Instant, ticket: Key, key: Key, told: bool) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if let Some(place) = self.tickets.get_mut(ticket) {
            place.state = State::Lent {
                conn: key,
                told,
                epoch: conn.epoch,
            };
        }
        self.tickets.push_back(&mut conn.using, ticket);
        conn.unopened += 1;
        let origin = conn.origin;
        self.count(origin, |now| now.active += 1);
        self.changed(now, key);
    }

    /// Takes a ticket's place on a connection from it.
    pub(super) fn leave(&mut self, now: Instant, ticket: Key, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        let place = self.tickets.get(ticket);
        if place.is_some_and(|place| matches!(place.state, State::Lent { .. })) {
            conn.unopened -= 1;
        }
        self.tickets.unlink(&mut conn.using, ticket);
        let origin = conn.origin;
        self.count(origin, |now| now.active -= 1);
        self.changed(now, key);
    }

    /// Puts a connection where it belongs after its requests, its life or its credit
    /// changed: among those that are free, among those that are idle, or out.
    pub(super) fn changed(&mut self, now: Instant, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if conn.life == Life::Draining && conn.using.is_empty() {
            return self.retire(now, key, Retired::Drained);
        }
        let Some(known) = self.origins.get_mut(conn.origin) else {
            return;
        };
        let free = conn.free(&known.config) > 0;
        let listed = free.then_some(conn.using.len());
        if listed != conn.listed {
            known.open.relist(key, conn.listed, listed);
            conn.listed = listed;
        }
        let origin = conn.origin;
        let idle = conn.life == Life::Connected && conn.using.is_empty();
        match (conn.idle, idle) {
            (None, true) => {
                conn.idle = Some(now);
                self.conns.push_back(&mut self.idle, key);
                self.count(origin, |now| now.idle += 1);
            }
            (Some(_), false) => {
                conn.idle = None;
                self.conns.unlink(&mut self.idle, key);
                self.count(origin, |now| now.idle -= 1);
            }
            // Nothing of a connection in use is due but its keep-alive.
            _ if known.config.keep_alive.is_none() => return,
            _ => {}
        }
        self.arm_life(key);
    }

    /// Whether one more connection would serve somebody who waits, and may be made.
    fn wants_connection(&mut self, now: Instant, origin: Key) -> bool {
        let Some(known) = self.origins.get(origin).filter(|_| !self.shut) else {
            return false;
        };
        let (has, config) = (&known.now, &known.config);
        // Each that is being made will serve as many as one may.
        let coming = config.max_streams.saturating_mul(has.connecting as u64);
        known.waiting.len() as u64 > coming
            && has.connecting + has.connections < config.max_connections
            && known.ready.is_none_or(|ready| ready <= now)
    }

    /// Whether there is room for one more, made if need be; else the origin has to wait.
    fn has_room(&mut self, now: Instant, origin: Key) -> bool {
        if self.conns.len() < self.config.limits.max_connections {
            return true;
        }
        if let Some(longest) = self.idle.first() {
            self.retire(now, longest, Retired::Room);
            return true;
        }
        if let Some(known) = self.origins.get_mut(origin).filter(|known| !known.wants) {
            known.wants = true;
            self.origins.push_back(&mut self.wanting, origin);
        }
        false
    }

    /// Serves the origins that wait for room, while there is some.
    pub(super) fn make_room(&mut self, now: Instant) {
        let has_room = |pool: &Self| {
            pool.conns.len() < pool.config.limits.max_connections || !pool.idle.is_empty()
        };
        while has_room(self)
            && let Some(origin) = self.wanting.first()
        {
            self.stop_wanting(origin);
            self.serve(now, origin);
        }
    }

    fn stop_wanting(&mut self, origin: Key) {
        if let Some(known) = self.origins.get_mut(origin).filter(|known| known.wants) {
            known.wants = false;
            self.origins.unlink(&mut self.wanting, origin);
        }
    }

    fn dial(&mut self, now: Instant, origin: Key) {
        let key = self.conns.insert(Conn {
            origin,
            life: Life::Connecting,
            told: false,
            using: List::default(),
            unopened: 0,
            opened: 0,
            max_streams: None,
            blocked: false,
            epoch: 0,
            goaway: None,
            proven: false,
            listed: None,
            begun: now,
            heard: now,
            idle: None,
            links: Links::default(),
        });
        self.stats.dials += 1;
        self.count(origin, |now| now.connecting += 1);
        self.actions.push_back(Queued::Dial(key));
        self.arm_life(key);
    }

    /// Takes a connection out of every list but its own, and forgets it.
    pub(super) fn remove(&mut self, key: Key) -> Option<Conn> {
        let conn = self.conns.get_mut(key)?;
        let (origin, life, idle) = (conn.origin, conn.life, conn.idle.take().is_some());
        if idle {
            self.conns.unlink(&mut self.idle, key);
        }
        self.lives.arm(key, None);
        let conn = self.conns.remove(key)?;
        if let Some(known) = self.origins.get_mut(origin) {
            known.open.relist(key, conn.listed, None);
        }
        self.count(origin, |now| {
            now.idle -= usize::from(idle);
            match life {
                Life::Connecting => now.connecting -= 1,
                Life::Connected => now.connections -= 1,
                Life::Draining => now.draining -= 1,
            }
        });
        Some(conn)
    }

    /// Ends a connection that nobody uses.
    pub(super) fn retire(&mut self, now: Instant, key: Key, why: Retired) {
        let Some(conn) = self.remove(key) else {
            return;
        };
        if conn.told {
            self.stats.retired += 1;
            self.actions.push_back(Queued::Retire(key, why));
        }
        self.settle(now, conn.origin);
    }

    /// A try to connect came to nothing: nothing is tried for a while.
    pub(super) fn backed_off(&mut self, now: Instant, origin: Key, failure: DialFailure) {
        let spread = self.luck.next();
        if let Some(known) = self.origins.get_mut(origin) {
            let wait = known.back_off(spread);
            known.failures = known.failures.saturating_add(1);
            known.last = Some(Arc::new(failure));
            known.ready = Some(after(now, wait));
            // Whoever comes back just after it, and fails, is to wait for longer.
            known.forget = Some(after(now, wait.saturating_mul(2)));
        }
    }

    /// Arms an origin's timer, and forgets it if there is nothing left to know of it.
    pub(super) fn settle(&mut self, now: Instant, key: Key) {
        let Some(known) = self.origins.get_mut(key) else {
            return;
        };
        let has = &known.now;
        if known.waiting.is_empty() && known.wants {
            self.stop_wanting(key);
            return self.settle(now, key);
        }
        let used = known.tickets + has.connecting + has.connections + has.draining > 0;
        let backs_off = known.forget.is_some_and(|forget| forget > now) && !self.shut;
        let remember = !used && backs_off;
        if remember != known.remembered {
            let full = self.remembered >= self.config.limits.max_back_offs;
            if remember && full {
                return self.forget(key);
            }
            known.remembered = remember;
            match remember {
                true => self.remembered += 1,
                false => self.remembered -= 1,
            }
        }
        if used || remember {
            self.arm_back_off(now, key);
        } else {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: Key) {
        self.back_offs.arm(key, None);
        if let Some(known) = self.origins.remove(key) {
            self.names.remove(&known.origin);
        }
    }
}

impl Known {
    /// How long to wait after one more failure: half of it is spread.
    fn back_off(&self, spread: u64) -> Duration {
        let doubled = 1u32.checked_shl(self.failures.min(31)).unwrap_or(u32::MAX);
        let whole = self.config.min_back_off.saturating_mul(doubled);
        let whole = whole.min(self.config.max_back_off);
        // In thousandths, since a duration takes no fractions.
        let part = u32::try_from(spread % 501).unwrap_or(0);
        (whole / 1_000).saturating_mul(500 + part).max(whole / 2)
    }
}
