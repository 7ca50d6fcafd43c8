//! The pool itself: checkouts, and what becomes of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Origin;
use super::action::{Action, ConnId, DialFailure, PoolError, Retired, Ticket};
use super::config::{OriginConfig, PoolConfig, PoolConfigError};
use super::open::Open;
use super::stats::{OriginStats, PoolStats};
use super::table::{Key, Linked, Links, List, Table};
use crate::error::CloseReason;
use crate::id::StreamId;
use crate::mix::Mix;
use crate::time::heap::Timers;
use crate::time::{Deadline, Why, after};

/// Connections of a client, shared by its requests; see [the module](super).
#[derive(Debug)]
pub struct Pool {
    pub(super) config: PoolConfig,
    pub(super) luck: Mix,
    pub(super) names: BTreeMap<Origin, Key>,
    pub(super) origins: Table<Known>,
    pub(super) conns: Table<Conn>,
    pub(super) tickets: Table<Place>,
    /// Connections without requests, the one that is so for longest first.
    pub(super) idle: List,
    /// Origins that would connect if there were room.
    pub(super) wanting: List,
    /// Origins that are known for their back-off alone.
    pub(super) remembered: usize,
    pub(super) actions: VecDeque<Queued>,
    pub(super) waits: Timers<Key>,
    pub(super) lives: Timers<Key>,
    pub(super) back_offs: Timers<Key>,
    pub(super) stats: PoolStats,
    pub(super) shut: bool,
}

/// An action that still counts when it is taken, or not.
#[derive(Debug)]
pub(super) enum Queued {
    Dial(Key),
    Lend(Key, Key),
    Fail(Key, PoolError),
    Retire(Key, Retired),
    KeepAlive(Key),
}

/// An origin.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) origin: Origin,
    pub(super) config: Arc<OriginConfig>,
    pub(super) waiting: List,
    /// Tickets that have not failed, wherever they are.
    pub(super) tickets: usize,
    /// Connections that take a request, by how many they have.
    pub(super) open: Open,
    pub(super) now: OriginStats,
    /// Dials that failed since the last request that was over.
    pub(super) failures: u32,
    pub(super) last: Option<Arc<DialFailure>>,
    /// Nothing is dialled before.
    pub(super) ready: Option<Instant>,
    /// The back-off counts for nothing any more.
    pub(super) forget: Option<Instant>,
    pub(super) remembered: bool,
    pub(super) wants: bool,
    links: Links,
}

impl Linked for Known {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Life {
    Connecting,
    Connected,
    Draining,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) origin: Key,
    pub(super) life: Life,
    /// Its dial was taken by the caller.
    pub(super) told: bool,
    /// The tickets that have a place on it.
    pub(super) using: List,
    /// Those of them that have opened no stream yet.
    pub(super) unopened: u64,
    /// Streams that have been opened, ever, as their ids tell.
    pub(super) opened: u64,
    /// The peer's MAX_STREAMS; `None` if QUIC does not tell.
    pub(super) max_streams: Option<u64>,
    /// It had no credit when asked.
    pub(super) blocked: bool,
    /// How often credit was told.
    pub(super) epoch: u64,
    /// The lowest id of the server's GOAWAYs.
    pub(super) goaway: Option<StreamId>,
    /// A request on it came to its end.
    pub(super) proven: bool,
    /// Its entry in [`Known::open`].
    pub(super) listed: Option<usize>,
    pub(super) begun: Instant,
    pub(super) heard: Instant,
    /// It is in [`Pool::idle`], since then.
    pub(super) idle: Option<Instant>,
    pub(super) links: Links,
}

impl Linked for Conn {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// A ticket's place.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) origin: Key,
    pub(super) state: State,
    pub(super) until: Instant,
    links: Links,
}

impl Linked for Place {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

#[derive(Debug)]
pub(super) enum State {
    /// In [`Known::waiting`].
    Waiting,
    /// In [`Conn::using`], as `Sent` is.
    Lent {
        conn: Key,
        told: bool,
        epoch: u64,
    },
    Sent {
        conn: Key,
        stream: StreamId,
    },
    /// Lent, and the connection ended before its holder said what it did.
    Orphan {
        reason: Arc<CloseReason>,
        goaway: Option<StreamId>,
    },
    /// To be told.
    Failed,
}

impl Pool {
    /// A pool without connections.
    ///
    /// # Errors
    /// [`PoolConfigError`] if an origin may have more than all together.
    pub fn new(config: PoolConfig) -> Result<Self, PoolConfigError> {
        config.rules.check(&config.limits)?;
        Ok(Self {
            luck: Mix(config.seed),
            config,
            names: BTreeMap::new(),
            origins: Table::default(),
            conns: Table::default(),
            tickets: Table::default(),
            idle: List::default(),
            wanting: List::default(),
            remembered: 0,
            actions: VecDeque::new(),
            waits: Timers::default(),
            lives: Timers::default(),
            back_offs: Timers::default(),
            stats: PoolStats::default(),
            shut: false,
        })
    }

    /// Asks for a place on a connection to an origin, to be had within its
    /// [`checkout_timeout`](OriginConfig::checkout_timeout). [`Action::Lend`] or
    /// [`Action::Fail`] follows. O(log n).
    ///
    /// # Errors
    /// [`PoolError::QueueFull`], [`PoolError::ShutDown`], and [`PoolError::Dial`] if there
    /// will be no further try in time.
    pub fn checkout(&mut self, now: Instant, origin: &Origin) -> Result<Ticket, PoolError> {
        self.check_out(now, origin, None)
    }

    /// The same, to be had within `timeout`.
    ///
    /// # Errors
    /// As [`Self::checkout`].
    pub fn checkout_within(
        &mut self,
        now: Instant,
        origin: &Origin,
        timeout: Duration,
    ) -> Result<Ticket, PoolError> {
        self.check_out(now, origin, Some(timeout))
    }

    /// The same where a connection is free: the ticket has its place on it, and no action
    /// tells of it. `None` where none is, or an action is there to be taken first, and
    /// nothing has changed. O(log n) of the origins.
    pub fn checkout_now(
        &mut self,
        now: Instant,
        origin: &Origin,
        timeout: Option<Duration>,
    ) -> Option<(Ticket, ConnId)> {
        if self.shut || !self.actions.is_empty() {
            return None;
        }
        let origin = *self.names.get(origin)?;
        let known = self.origins.get_mut(origin)?;
        // Nobody waits while a connection is free.
        let conn = known.open.first()?;
        let until = after(now, timeout.unwrap_or(known.config.checkout_timeout));
        known.tickets += 1;
        let ticket = self.tickets.insert(Place {
            origin,
            state: State::Waiting,
            until,
            links: Links::default(),
        });
        self.assign(now, ticket, conn, true);
        self.stats.lent += 1;
        Some((Ticket(ticket), ConnId(conn)))
    }

    fn check_out(
        &mut self,
        now: Instant,
        origin: &Origin,
        timeout: Option<Duration>,
    ) -> Result<Ticket, PoolError> {
        if self.shut {
            return Err(PoolError::ShutDown);
        }
        let all = self.stats.all.queued;
        let key = self.know(origin);
        let Some(known) = self.origins.get(key) else {
            return Err(PoolError::ShutDown);
        };
        let until = after(now, timeout.unwrap_or(known.config.checkout_timeout));
        let free = known.open.first();
        if free.is_none() {
            let many = known.waiting.len() >= known.config.max_waiters;
            let refusal = if many || all >= self.config.limits.max_waiters {
                self.stats.refused += 1;
                Some(PoolError::QueueFull)
            } else {
                known.hopeless(now, until).map(PoolError::Dial)
            };
            if let Some(refusal) = refusal {
                self.settle(now, key);
                return Err(refusal);
            }
        }
        let ticket = self.tickets.insert(Place {
            origin: key,
            state: State::Waiting,
            until,
            links: Links::default(),
        });
        if let Some(known) = self.origins.get_mut(key) {
            known.tickets += 1;
        }
        if let Some(conn) = free {
            // Nobody waits while a connection is free.
            self.lend(now, ticket, conn);
        } else {
            self.enqueue(key, ticket);
            self.serve(now, key);
        }
        Ok(Ticket(ticket))
    }

    /// The request is sent, on this stream. False if the ticket is over: the stream is to
    /// be cancelled. [`Action::Fail`] follows if a GOAWAY has come first that leaves it
    /// unprocessed, or the connection has ended.
    pub fn request_opened(&mut self, now: Instant, ticket: Ticket, stream: StreamId) -> bool {
        let Some(place) = self.tickets.get_mut(ticket.0) else {
            return false;
        };
        match &place.state {
            State::Lent { conn, .. } => {
                let conn = *conn;
                place.state = State::Sent { conn, stream };
                self.opened(now, ticket.0, conn, stream);
            }
            State::Orphan { reason, goaway } => {
                let error = match goaway {
                    Some(id) if stream >= *id => PoolError::Unprocessed,
                    _ => PoolError::Closed(reason.clone()),
                };
                let origin = place.origin;
                self.fail(ticket.0, error);
                self.settle(now, origin);
            }
            State::Waiting | State::Sent { .. } | State::Failed => return false,
        }
        true
    }

    /// [`Self::request_opened`] and [`Self::release`] at once, of a request of which was told
    /// neither that it has its stream nor that it is over.
    pub fn release_opened(&mut self, now: Instant, ticket: Ticket, stream: StreamId) -> bool {
        if let Some(place) = self.tickets.get_mut(ticket.0)
            && let State::Lent { conn, .. } = place.state
            && let Some(entry) = self.conns.get_mut(conn)
            && entry.goaway.is_none()
        {
            place.state = State::Sent { conn, stream };
            entry.opens(now, stream);
        } else {
            self.request_opened(now, ticket, stream);
        }
        self.release(now, ticket)
    }

    /// The connection that was lent did not take the request, of which nothing was sent:
    /// it had no stream to give, was draining or closed. The ticket waits again, in its
    /// old place of the queue and until the same time, for another connection or for
    /// [`Self::credit`] of this one. False if the ticket is over or not lent.
    pub fn give_back(&mut self, now: Instant, ticket: Ticket) -> bool {
        let Some(place) = self.tickets.get(ticket.0) else {
            return false;
        };
        let (origin, until) = (place.origin, place.until);
        match place.state {
            State::Lent { conn, epoch, .. } => {
                if let Some(conn) = self.conns.get_mut(conn) {
                    // Credit that was told meanwhile may not have been there when it
                    // was asked for.
                    conn.blocked |= conn.epoch == epoch;
                }
                self.leave(now, ticket.0, conn);
            }
            State::Orphan { .. } => {}
            State::Waiting | State::Sent { .. } | State::Failed => return false,
        }
        if until <= now {
            self.time_out(origin, ticket.0);
        } else {
            self.requeue(ticket.0);
        }
        self.serve(now, origin);
        self.make_room(now);
        true
    }

    /// The ticket is over, whatever has become of it: its request is done or cancelled,
    /// or nobody wants it any more. Its place is free at once. No action names it
    /// afterwards. False if it was over.
    pub fn release(&mut self, now: Instant, ticket: Ticket) -> bool {
        let Some(place) = self.tickets.get(ticket.0) else {
            return false;
        };
        let origin = place.origin;
        match place.state {
            State::Waiting => self.dequeue(ticket.0),
            State::Lent { conn, .. } => self.leave(now, ticket.0, conn),
            State::Sent { conn, .. } => {
                if let Some(conn) = self.conns.get_mut(conn) {
                    conn.proven = true;
                }
                let known = self.origins.get_mut(origin);
                let reached = known.is_some_and(Known::reached);
                self.leave(now, ticket.0, conn);
                if reached {
                    self.settle(now, origin);
                }
            }
            State::Orphan { .. } | State::Failed => {}
        }
        self.ends(ticket.0);
        self.tickets.remove(ticket.0);
        self.serve(now, origin);
        self.make_room(now);
        true
    }

    /// Does what is due, and gives the next action.
    pub fn poll_action(&mut self, now: Instant) -> Option<Action> {
        self.expire(now);
        loop {
            let queued = self.actions.pop_front()?;
            if let Some(action) = self.current(queued) {
                return Some(action);
            }
        }
    }

    /// The action, if what it was about has not changed meanwhile.
    fn current(&mut self, queued: Queued) -> Option<Action> {
        Some(match queued {
            Queued::Dial(key) => {
                let conn = self.conns.get_mut(key).filter(|conn| !conn.told)?;
                conn.told = true;
                Action::Dial {
                    conn: ConnId(key),
                    origin: self.origins.get(conn.origin)?.origin.clone(),
                }
            }
            Queued::Lend(ticket, to) => {
                let place = self.tickets.get_mut(ticket)?;
                let State::Lent { conn, told, .. } = &mut place.state else {
                    return None;
                };
                if *conn != to || std::mem::replace(told, true) {
                    return None;
                }
                self.stats.lent += 1;
                Action::Lend {
                    ticket: Ticket(ticket),
                    conn: ConnId(to),
                }
            }
            Queued::Fail(ticket, error) => {
                self.tickets.remove(ticket)?;
                Action::Fail {
                    ticket: Ticket(ticket),
                    error,
                }
            }
            Queued::Retire(conn, why) => Action::Retire {
                conn: ConnId(conn),
                why,
            },
            Queued::KeepAlive(conn) => {
                self.conns.get(conn)?;
                Action::KeepAlive { conn: ConnId(conn) }
            }
        })
    }

    /// Whether [`Self::poll_action`] may have something to give before that time. Looks at
    /// nothing closely. O(1).
    #[must_use]
    pub fn may_act_before(&self, at: Instant) -> bool {
        let due = |timers: &Timers<Key>| timers.peek().is_some_and(|due| due.at < at);
        !self.actions.is_empty() || due(&self.waits) || due(&self.lives) || due(&self.back_offs)
    }

    /// When [`Self::poll_action`] is wanted next.
    pub fn poll_timeout(&mut self) -> Option<Deadline> {
        let dues = [&mut self.waits, &mut self.lives, &mut self.back_offs];
        dues.into_iter().filter_map(Timers::next).min()
    }

    /// Nobody gets a connection any more: who waits fails, idle connections are retired,
    /// the others when their requests are over. O(all).
    pub fn shut_down(&mut self, now: Instant) {
        self.shut = true;
        for ticket in self.tickets.keys() {
            let place = self.tickets.get(ticket);
            if place.is_some_and(|place| matches!(place.state, State::Waiting)) {
                self.dequeue(ticket);
                self.fail(ticket, PoolError::ShutDown);
            }
        }
        for conn in self.conns.keys() {
            self.wind_down(now, conn, Retired::ShutDown);
        }
        for origin in self.origins.keys() {
            self.settle(now, origin);
        }
    }

    /// Whether a shut-down has come to its end: there are no connections and no tickets
    /// left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.shut && self.conns.len() == 0 && self.tickets.len() == 0
    }

    /// All of it in numbers.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        PoolStats {
            origins: self.origins.len(),
            ..self.stats
        }
    }

    /// One origin in numbers; all zero if it is not known. O(log n).
    #[must_use]
    pub fn origin_stats(&self, origin: &Origin) -> OriginStats {
        let key = self.names.get(origin);
        let known = key.and_then(|key| self.origins.get(*key));
        known.map_or_else(OriginStats::default, |known| known.now)
    }

    /// How many more requests the connection takes at present: none before it is
    /// connected and none once it is draining (row D1).
    #[must_use]
    pub fn free_streams(&self, conn: ConnId) -> u64 {
        let conn = self.conns.get(conn.0);
        let known = conn.and_then(|conn| self.origins.get(conn.origin));
        let (Some(conn), Some(known)) = (conn, known) else {
            return 0;
        };
        conn.free(&known.config)
    }

    // ---- for the files of this folder -------------------------------------------

    /// The origin's entry, made if there is none.
    fn know(&mut self, origin: &Origin) -> Key {
        if let Some(key) = self.names.get(origin) {
            return *key;
        }
        let key = self.origins.insert(Known {
            origin: origin.clone(),
            config: self.config.rules.shared(origin).clone(),
            waiting: List::default(),
            tickets: 0,
            open: Open::default(),
            now: OriginStats::default(),
            failures: 0,
            last: None,
            ready: None,
            forget: None,
            remembered: false,
            wants: false,
            links: Links::default(),
        });
        self.names.insert(origin.clone(), key);
        key
    }

    /// Counts what there is, of the origin and of all.
    pub(super) fn count(&mut self, origin: Key, change: impl Fn(&mut OriginStats)) {
        change(&mut self.stats.all);
        if let Some(known) = self.origins.get_mut(origin) {
            change(&mut known.now);
        }
    }

    /// Puts a ticket at the end of the queue.
    fn enqueue(&mut self, origin: Key, ticket: Key) {
        if let Some(known) = self.origins.get_mut(origin) {
            self.tickets.push_back(&mut known.waiting, ticket);
            self.queued(origin, ticket);
        }
    }

    /// Puts a ticket that is in no list where it was in the queue. O(those that were
    /// given back before it).
    pub(super) fn requeue(&mut self, ticket: Key) {
        if self.shut {
            return self.fail(ticket, PoolError::ShutDown);
        }
        let Some(place) = self.tickets.get_mut(ticket) else {
            return;
        };
        place.state = State::Waiting;
        let origin = place.origin;
        if let Some(known) = self.origins.get_mut(origin) {
            self.tickets.insert_in_order(&mut known.waiting, ticket);
            self.queued(origin, ticket);
        }
    }

    fn queued(&mut self, origin: Key, ticket: Key) {
        self.count(origin, |now| now.queued += 1);
        let at = self.tickets.get(ticket).map(|place| place.until);
        let why = Why::Checkout;
        self.waits.arm(ticket, at.map(|at| Deadline { at, why }));
    }

    /// Takes a ticket out of the queue.
    pub(super) fn dequeue(&mut self, ticket: Key) {
        let Some(origin) = self.tickets.get(ticket).map(|place| place.origin) else {
            return;
        };
        self.waits.arm(ticket, None);
        self.count(origin, |now| now.queued -= 1);
        if let Some(known) = self.origins.get_mut(origin) {
            self.tickets.unlink(&mut known.waiting, ticket);
        }
    }

    /// Ends a ticket that is in no list and has waited for as long as it may.
    pub(super) fn time_out(&mut self, origin: Key, ticket: Key) {
        self.stats.timed_out += 1;
        let known = self.origins.get(origin);
        let last = known.and_then(|known| known.last.clone());
        self.fail(ticket, PoolError::CheckoutTimedOut { last });
    }

    /// Ends a ticket that is in no list.
    pub(super) fn fail(&mut self, ticket: Key, error: PoolError) {
        match error {
            PoolError::Unprocessed => self.stats.unprocessed += 1,
            PoolError::Closed(_) => self.stats.cut_off += 1,
            _ => {}
        }
        self.ends(ticket);
        if let Some(place) = self.tickets.get_mut(ticket) {
            place.state = State::Failed;
            self.actions.push_back(Queued::Fail(ticket, error));
        }
    }

    /// A ticket is of no more consequence to its origin.
    fn ends(&mut self, ticket: Key) {
        let place = self.tickets.get(ticket);
        let counts = place.filter(|place| !matches!(place.state, State::Failed));
        if let Some(known) = counts.and_then(|place| self.origins.get_mut(place.origin)) {
            known.tickets -= 1;
        }
    }
}

impl Place {
    /// The list that it was in is gone.
    pub(super) fn unlinked(&mut self) {
        self.links = Links::default();
    }
}

impl Known {
    /// Why there is nothing to hope for until then.
    fn hopeless(&self, now: Instant, until: Instant) -> Option<Arc<DialFailure>> {
        let ready = self.ready.filter(|ready| *ready > now)?;
        let alone = self.now.connections + self.now.connecting == 0;
        self.last.clone().filter(|_| alone && ready >= until)
    }

    /// A request came to its end: the server is there. Whether that is news.
    fn reached(&mut self) -> bool {
        let news = self.failures > 0;
        if news {
            self.failures = 0;
            self.last = None;
            self.ready = None;
            self.forget = None;
        }
        news
    }

    /// Nobody waits, a connection is there, and none has failed: there is nothing to see to.
    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
            && self.now.connections > 0
            && !self.wants
            && !self.remembered
            && self.ready.is_none()
            && self.forget.is_none()
    }
}

impl Conn {
    /// A request on it has its stream.
    pub(super) fn opens(&mut self, now: Instant, stream: StreamId) {
        self.unopened -= 1;
        self.opened = self.opened.max(stream.number().saturating_add(1));
        self.heard = now;
    }

    /// How many more requests it takes.
    pub(super) fn free(&self, config: &OriginConfig) -> u64 {
        if self.life != Life::Connected || self.blocked {
            return 0;
        }
        let using = self.using.len() as u64;
        let ours = config.max_streams.saturating_sub(using);
        let taken = self.opened.saturating_add(self.unopened);
        let peers = self.max_streams.map(|max| max.saturating_sub(taken));
        //= https://www.rfc-editor.org/rfc/rfc9000#section-4.6
        // MAX_STREAMS counts all streams there ever were, not those that are open.
        peers.map_or(ours, |peers| peers.min(ours))
    }
}
