//! A pool under anything that may happen to it, and what must hold whatever does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::error::{CloseReason, TransportFailure};
use aqueduct_core::id::{Dir, Side, StreamId};
use aqueduct_core::pool::{
    Action, ConnId, DialFailure, Origin, OriginConfig, Pool, PoolConfig, PoolError, PoolLimits,
    Retired, Rules, Ticket,
};
use bytes::Bytes;

/// Origins that there are.
const ORIGINS: u8 = 4;
/// Requests at once on a connection.
const STREAMS: u64 = 3;

/// Three bytes, of which the first says what happens and the others to whom and how much.
pub type Op = [u8; 3];

/// Where a ticket is, as far as whoever has it was told.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum At {
    Waiting,
    Lent(ConnId),
    Sent(ConnId, StreamId),
}

#[derive(Copy, Clone, Debug)]
struct Held {
    origin: u8,
    until: Instant,
    at: At,
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Life {
    Dialling,
    Connected,
    Draining,
    Closed,
}

#[derive(Debug)]
struct Known {
    origin: u8,
    life: Life,
    /// Streams that were opened.
    streams: u64,
    max_streams: Option<u64>,
    goaway: Option<StreamId>,
}

/// A pool, and what its user knows of it.
#[derive(Debug)]
pub struct Model {
    pool: Pool,
    now: Instant,
    /// Every action is taken at once; else they wait until something says so.
    prompt: bool,
    shut: bool,
    tickets: BTreeMap<Ticket, Held>,
    conns: BTreeMap<ConnId, Known>,
}

/// The `n`-th origin.
///
/// # Panics
/// Never.
#[must_use]
pub fn origin(n: u8) -> Origin {
    Origin::new(&format!("o{n}.example"), 443).expect("an origin")
}

fn died() -> CloseReason {
    CloseReason::Transport(TransportFailure::TimedOut)
}

impl Model {
    /// A small pool, whose bounds are soon met.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn new(prompt: bool) -> Self {
        let mut all = OriginConfig::default();
        (all.max_streams, all.max_waiters) = (STREAMS, 6);
        all.keep_alive = Some(Duration::from_secs(7));
        let mut wide = all.clone();
        wide.max_connections = 3;
        let rules = Rules::new(all).and_then(|rules| rules.rule("https://o0.example", wide));
        let mut config = PoolConfig::default();
        config.rules = rules.expect("rules");
        let mut limits = PoolLimits::default();
        (limits.max_connections, limits.max_waiters) = (4, 15);
        limits.max_back_offs = 2;
        config.limits = limits;
        Self {
            pool: Pool::new(config).expect("a pool"),
            now: aqueduct_core::testing::epoch(),
            prompt,
            shut: false,
            tickets: BTreeMap::new(),
            conns: BTreeMap::new(),
        }
    }

    /// Lets all of it happen, and the pool come to its end.
    ///
    /// # Panics
    /// When a promise is broken.
    pub fn run(mut self, ops: &[Op]) {
        for op in ops {
            self.happen(*op);
            if self.prompt {
                self.act(usize::MAX);
                self.check();
            }
        }
        self.act(usize::MAX);
        self.check();
        self.end();
    }

    fn ticket(&self, n: u8) -> Option<(Ticket, Held)> {
        let at = usize::from(n) % self.tickets.len().max(1);
        self.tickets.iter().nth(at).map(|(key, held)| (*key, *held))
    }

    fn conn(&self, n: u8, life: impl Fn(Life) -> bool) -> Option<ConnId> {
        let suits = self.conns.iter().filter(|(_, known)| life(known.life));
        let suits: Vec<_> = suits.map(|(key, _)| *key).collect();
        suits.get(usize::from(n) % suits.len().max(1)).copied()
    }

    fn happen(&mut self, [what, who, how]: Op) {
        let now = self.now;
        let live = |life| life != Life::Closed;
        match what % 16 {
            0..=3 => self.checkout(who % ORIGINS, how),
            4 => {
                if let Some((ticket, _)) = self.ticket(who) {
                    assert!(self.pool.release(now, ticket), "{ticket:?} is not over");
                    self.tickets.remove(&ticket);
                }
            }
            5..=7 => self.open(who),
            8 => {
                if let Some((ticket, held)) = self.ticket(who) {
                    let given = self.pool.give_back(now, ticket);
                    let may = matches!(held.at, At::Lent(_));
                    // One whose loan was not told yet is lent all the same.
                    assert!(given || !may, "{ticket:?} is lent");
                    if given {
                        self.set(ticket, At::Waiting);
                    }
                }
            }
            9 | 10 => {
                if let Some(conn) = self.conn(who, |life| life == Life::Dialling) {
                    let max = (how % 2 == 0).then_some(u64::from(how / 2 % 8));
                    let wanted = self.pool.connected(now, conn, max);
                    let known = self.conns.get_mut(&conn).expect("it is known");
                    known.max_streams = max;
                    // Else a Retire is on its way.
                    if wanted {
                        known.life = Life::Connected;
                    }
                    assert!(wanted || !self.prompt, "{conn:?} is not wanted");
                }
            }
            11 => {
                if let Some(conn) = self.conn(who, |life| life == Life::Dialling) {
                    self.pool.dial_failed(now, conn, DialFailure::TimedOut);
                    self.lose(conn);
                }
            }
            12 => {
                if let Some(conn) = self.conn(who, live) {
                    let no_error = CloseReason::Remote {
                        code: Code::H3_NO_ERROR,
                        reason: Bytes::new(),
                    };
                    let reason = [died(), no_error];
                    let reason = reason[usize::from(how) % 2].clone();
                    self.pool.closed(now, conn, reason);
                    self.lose(conn);
                }
            }
            13 => {
                if let Some(conn) = self.conn(who, live) {
                    let known = self.conns.get_mut(&conn).expect("it is known");
                    let to = known.streams + 2;
                    let id = StreamId::new(Side::Client, Dir::Bi, u64::from(how) % to);
                    known.goaway = known.goaway.map_or(Some(id), |old| Some(old.min(id)));
                    self.pool.goaway(now, conn, Some(id));
                    self.drains(conn);
                }
            }
            14 => match self.conn(who, live) {
                Some(conn) if how < 64 => {
                    self.pool.drain(now, conn);
                    self.drains(conn);
                }
                Some(conn) => {
                    let known = self.conns.get_mut(&conn).expect("it is known");
                    if let Some(max) = &mut known.max_streams {
                        *max += u64::from(how % 4);
                    }
                    let max = known.max_streams;
                    self.pool.credit(now, conn, max);
                }
                None => {}
            },
            _ => match how {
                255 if who == 255 => {
                    self.pool.shut_down(now);
                    self.shut = true;
                    let conns: Vec<_> = self.conns.keys().copied().collect();
                    conns.into_iter().for_each(|conn| self.drains(conn));
                }
                0..=99 => self.now += Duration::from_millis(u64::from(who) * 4),
                100..=130 => self.now += Duration::from_millis(u64::from(who) * 100),
                _ => self.act(usize::from(who % 8)),
            },
        }
    }

    fn checkout(&mut self, n: u8, how: u8) {
        let wait = Duration::from_millis(u64::from(how) * 40);
        let of = origin(n);
        let waiting = self.waiting(n).count();
        let all: usize = (0..ORIGINS).map(|n| self.waiting(n).count()).sum();
        let (result, until) = match how % 3 {
            0 => {
                let result = self.pool.checkout(self.now, &of);
                (result, self.now + Duration::from_secs(5))
            }
            _ => {
                let result = self.pool.checkout_within(self.now, &of, wait);
                (result, self.now + wait)
            }
        };
        match result {
            Ok(ticket) => {
                // Who was given back is not refused, and counts.
                let full = waiting >= 6 || (all >= 15 && waiting > 0);
                assert!(!(self.prompt && full), "the queue is full");
                let held = Held {
                    origin: n,
                    until,
                    at: At::Waiting,
                };
                let last = self.tickets.last_key_value();
                assert!(last.is_none_or(|(last, _)| *last < ticket), "{ticket:?}");
                self.tickets.insert(ticket, held);
            }
            Err(error) => {
                assert!(error.is_unprocessed(), "{error}");
                assert_eq!(error == PoolError::ShutDown, self.shut);
            }
        }
    }

    /// Whoever is lent a connection opens a request on it, if there is credit for it.
    fn open(&mut self, who: u8) {
        let Some((ticket, held)) = self.ticket(who) else {
            return;
        };
        let At::Lent(conn) = held.at else {
            let taken =
                self.pool
                    .request_opened(self.now, ticket, StreamId::new(Side::Client, Dir::Bi, 0));
            // A loan that was not told yet may be used all the same, by whoever guesses.
            assert!(!taken || !self.prompt, "{ticket:?} is not lent");
            if taken {
                self.tickets.remove(&ticket);
                self.pool.release(self.now, ticket);
            }
            return;
        };
        let known = self.conns.get_mut(&conn).expect("it is known");
        let stream = StreamId::new(Side::Client, Dir::Bi, known.streams);
        let credit = known.max_streams.is_none_or(|max| known.streams < max);
        // Row D2: what is lent has a stream.
        assert!(credit, "{conn:?} has no stream {}", known.streams);
        known.streams += 1;
        assert!(self.pool.request_opened(self.now, ticket, stream));
        self.set(ticket, At::Sent(conn, stream));
    }

    fn set(&mut self, ticket: Ticket, at: At) {
        if let Some(held) = self.tickets.get_mut(&ticket) {
            held.at = at;
        }
    }

    fn drains(&mut self, conn: ConnId) {
        if let Some(known) = self.conns.get_mut(&conn)
            && known.life == Life::Connected
        {
            known.life = Life::Draining;
        }
    }

    /// What is told of the connection from here on concerns those that have not answered.
    fn lose(&mut self, conn: ConnId) {
        if let Some(known) = self.conns.get_mut(&conn) {
            known.life = Life::Closed;
        }
    }

    fn act(&mut self, most: usize) {
        for _ in 0..most {
            let Some(action) = self.pool.poll_action(self.now) else {
                let due = self.pool.poll_timeout();
                let passed = due.filter(|due| due.at <= self.now);
                assert_eq!(passed, None, "it was done");
                return;
            };
            self.take(action);
        }
    }

    fn count(&self, n: u8, life: impl Fn(Life) -> bool) -> usize {
        let of = self.conns.values().filter(|known| known.origin == n);
        of.filter(|known| life(known.life)).count()
    }

    fn take(&mut self, action: Action) {
        match action {
            Action::Dial { conn, origin: to } => {
                let n = (0..ORIGINS).find(|n| origin(*n) == to).expect("an origin");
                let counts = |life| matches!(life, Life::Dialling | Life::Connected);
                let most = if n == 0 { 3 } else { 1 };
                let waiting = self.waiting(n).count() as u64;
                if self.prompt {
                    // Row D13, and one dial for many.
                    assert!(self.count(n, counts) < most, "{n} has enough");
                    let dialling = self.count(n, |life| life == Life::Dialling) as u64;
                    assert!(dialling * STREAMS < waiting, "one dial suffices");
                    let all = self
                        .conns
                        .values()
                        .filter(|known| known.life != Life::Closed);
                    assert!(all.count() < 4, "there are as many as there may be");
                }
                let known = Known {
                    origin: n,
                    life: Life::Dialling,
                    streams: 0,
                    max_streams: None,
                    goaway: None,
                };
                assert!(self.conns.insert(conn, known).is_none(), "{conn:?}, twice");
            }
            Action::Lend { ticket, conn } => {
                let held = self.tickets.get(&ticket).copied().expect("it is not over");
                assert_eq!(held.at, At::Waiting, "{ticket:?}");
                let known = self.conns.get(&conn).expect("it is known");
                assert_eq!(known.origin, held.origin, "{ticket:?} at {conn:?}");
                assert_eq!(known.life, Life::Connected, "{conn:?}");
                if self.prompt {
                    let first = self.waiting(held.origin).next();
                    assert_eq!(first, Some(ticket), "the order of the queue");
                }
                self.set(ticket, At::Lent(conn));
                let on =
                    |held: &&Held| matches!(held.at, At::Lent(at) | At::Sent(at, _) if at == conn);
                let users = self.tickets.values().filter(on).count() as u64;
                assert!(users <= STREAMS, "{users} on {conn:?}");
            }
            Action::Fail { ticket, error } => {
                let held = self.tickets.remove(&ticket).expect("it is not over");
                self.failed(ticket, held, &error);
            }
            Action::Retire { conn, why } => {
                let users =
                    |held: &Held| matches!(held.at, At::Lent(at) | At::Sent(at, _) if at == conn);
                assert!(
                    !self.tickets.values().any(users),
                    "{conn:?} is in use: {why:?}"
                );
                let known = self.conns.get_mut(&conn).expect("it is known");
                let made = matches!(known.life, Life::Connected | Life::Draining);
                assert!(!made || why != Retired::ConnectTimeout, "{conn:?}");
                known.life = Life::Closed;
            }
            Action::KeepAlive { conn } => {
                let known = self.conns.get(&conn).expect("it is known");
                assert_ne!(known.life, Life::Closed);
            }
            other => panic!("{other:?}"),
        }
    }

    /// Rows D3, D7, D10, D11: what an error says is true.
    fn failed(&self, ticket: Ticket, held: Held, error: &PoolError) {
        let sent = match held.at {
            At::Sent(conn, stream) => Some((self.conns.get(&conn).expect("known"), stream)),
            At::Waiting | At::Lent(_) => None,
        };
        let beyond = sent.map(|(known, stream)| known.goaway.is_some_and(|id| stream >= id));
        let processed = beyond == Some(false);
        assert!(
            !(error.is_unprocessed() && processed),
            "{ticket:?}: {error}"
        );
        match error {
            PoolError::Closed(_) => {
                let (known, _) = sent.expect("it was sent");
                assert!(processed && known.life == Life::Closed, "{ticket:?}");
            }
            PoolError::Unprocessed => assert_eq!(beyond, Some(true), "{ticket:?}"),
            PoolError::CheckoutTimedOut { .. } => {
                assert!(sent.is_none() && held.until <= self.now, "{ticket:?}");
            }
            PoolError::Dial(_) => assert!(sent.is_none(), "{ticket:?}"),
            PoolError::ShutDown => assert!(self.shut && sent.is_none(), "{ticket:?}"),
            other => panic!("{ticket:?}: {other}"),
        }
    }

    fn waiting(&self, n: u8) -> impl Iterator<Item = Ticket> {
        let of = self
            .tickets
            .iter()
            .filter(move |(_, held)| held.origin == n);
        let of = of.filter(|(_, held)| held.at == At::Waiting);
        of.map(|(ticket, _)| *ticket)
    }

    /// Once there is nothing more to do: numbers are right, and nobody is forgotten.
    fn check(&mut self) {
        let stats = self.pool.stats();
        let open = |conn: &ConnId| self.conns.get(conn).is_some_and(|c| c.life != Life::Closed);
        let on = |held: &&Held| matches!(held.at, At::Lent(at) | At::Sent(at, _) if open(&at));
        let (queued, active) = (
            (0..ORIGINS).map(|n| self.waiting(n).count()).sum::<usize>(),
            self.tickets.values().filter(on).count(),
        );
        let is = |wanted| move |known: &&Known| known.life == wanted;
        let count = |wanted| self.conns.values().filter(is(wanted)).count();
        let all = stats.all;
        assert_eq!((all.queued, all.active), (queued, active));
        assert_eq!(
            (all.connecting, all.connections, all.draining),
            (
                count(Life::Dialling),
                count(Life::Connected),
                count(Life::Draining)
            )
        );
        assert!(all.idle <= all.connections);
        for n in 0..ORIGINS {
            let waiting = self.waiting(n).count();
            let of = self.pool.origin_stats(&origin(n));
            assert_eq!(of.queued, waiting);
            if waiting == 0 {
                continue;
            }
            // Nobody waits beside a free connection, and nobody without a time.
            for (conn, _) in self.conns.iter().filter(|(_, known)| known.origin == n) {
                assert_eq!(self.pool.free_streams(*conn), 0, "{conn:?} is free");
            }
            assert!(self.pool.poll_timeout().is_some());
        }
    }

    /// Everything is let go: nothing is left.
    fn end(mut self) {
        self.prompt = false;
        for ticket in self.tickets.keys().copied().collect::<Vec<_>>() {
            assert!(self.pool.release(self.now, ticket));
        }
        self.tickets.clear();
        self.act(usize::MAX);
        let conns: Vec<_> = self.conns.keys().copied().collect();
        for conn in conns {
            self.pool.closed(self.now, conn, died());
            self.lose(conn);
        }
        self.act(usize::MAX);
        while let Some(due) = self.pool.poll_timeout() {
            self.now = self.now.max(due.at);
            self.act(usize::MAX);
        }
        let stats = self.pool.stats();
        assert_eq!((stats.all, stats.origins), Default::default());
    }
}
