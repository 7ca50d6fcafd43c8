//! A pool whose connections are all there.

use std::time::Instant;

use aqueduct_core::id::{Dir, Side, StreamId};
use aqueduct_core::pool::{
    Action, Origin, OriginConfig, Pool, PoolConfig, PoolLimits, Rules, Ticket,
};

/// A pool with one idle connection to each of its origins.
#[derive(Debug)]
pub struct Warm {
    pool: Pool,
    now: Instant,
    origins: Vec<Origin>,
    at: usize,
    streams: u64,
    held: Vec<Ticket>,
}

impl Warm {
    /// So many origins.
    ///
    /// # Panics
    /// When the pool does not want a connection to each.
    #[must_use]
    pub fn new(origins: usize) -> Self {
        let mut all = OriginConfig::default();
        all.max_streams = 1_000;
        let mut limits = PoolLimits::default();
        limits.max_connections = origins;
        let mut config = PoolConfig::default();
        config.limits = limits;
        config.rules = Rules::new(all).expect("rules");
        let name = |n| format!("host-{n}.example.com");
        let origin = |n| Origin::new(&name(n), 443).expect("an origin");
        let mut warm = Self {
            pool: Pool::new(config).expect("a pool"),
            now: aqueduct_core::testing::epoch(),
            origins: (0..origins).map(origin).collect(),
            at: 0,
            streams: 0,
            held: Vec::new(),
        };
        for n in 0..origins {
            let ticket = warm.pool.checkout(warm.now, &warm.origins[n]);
            let Some(Action::Dial { conn, .. }) = warm.pool.poll_action(warm.now) else {
                panic!("a dial");
            };
            assert!(warm.pool.connected(warm.now, conn, None));
            assert!(warm.pool.release(warm.now, ticket.expect("a ticket")));
            assert_eq!(warm.pool.poll_action(warm.now), None);
        }
        warm
    }

    /// Another origin each time, no two neighbours in a row.
    fn next(&mut self) -> Ticket {
        self.at = (self.at + 387) % self.origins.len();
        let ticket = self.pool.checkout(self.now, &self.origins[self.at]);
        ticket.expect("a ticket")
    }

    /// A checkout and its loan; the ticket is kept.
    ///
    /// # Panics
    /// When it has to wait.
    pub fn checkout(&mut self) {
        let ticket = self.next();
        let lent = self.pool.poll_action(self.now);
        assert!(matches!(lent, Some(Action::Lend { .. })));
        self.held.push(ticket);
    }

    /// Everything that was kept is given back.
    pub fn release_all(&mut self) {
        for ticket in self.held.drain(..) {
            self.pool.release(self.now, ticket);
        }
    }

    /// A request from its checkout to its end.
    ///
    /// # Panics
    /// When it has to wait.
    pub fn request(&mut self) {
        let ticket = self.next();
        let lent = self.pool.poll_action(self.now);
        assert!(matches!(lent, Some(Action::Lend { .. })));
        let stream = StreamId::new(Side::Client, Dir::Bi, self.streams);
        self.streams += 1;
        assert!(self.pool.request_opened(self.now, ticket, stream));
        assert!(self.pool.release(self.now, ticket));
    }
}
