//! The pool on virtual time, row by row.

mod ends;
mod queue;
mod rules;
mod times;

use std::time::{Duration, Instant};

use super::*;
use crate::code::Code;
use crate::error::{CloseReason, TransportFailure};
use crate::id::{Dir, Side, StreamId};

/// Where virtual time begins.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant is had in no other way"
)]
pub(super) fn epoch() -> Instant {
    Instant::now()
}

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The stream of the `n`-th request on a connection.
pub(super) fn request(n: u64) -> StreamId {
    StreamId::new(Side::Client, Dir::Bi, n)
}

pub(super) fn origin(n: usize) -> Origin {
    Origin::new(&format!("o{n}.example"), 443).expect("an origin")
}

pub(super) fn died() -> CloseReason {
    CloseReason::Transport(TransportFailure::TimedOut)
}

pub(super) fn ended() -> CloseReason {
    CloseReason::Remote {
        code: Code::H3_NO_ERROR,
        reason: bytes::Bytes::new(),
    }
}

/// A pool with a clock.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) pool: Pool,
    pub(super) now: Instant,
}

impl Run {
    /// A pool whose origins all have these settings.
    pub(super) fn with(change: impl FnOnce(&mut OriginConfig)) -> Self {
        Self::within(PoolLimits::default(), change)
    }

    pub(super) fn within(limits: PoolLimits, change: impl FnOnce(&mut OriginConfig)) -> Self {
        let mut origin = OriginConfig::default();
        change(&mut origin);
        let config = PoolConfig {
            limits,
            rules: Rules::new(origin).expect("rules"),
            seed: 1,
        };
        Self {
            pool: Pool::new(config).expect("a pool"),
            now: epoch(),
        }
    }

    pub(super) fn checkout(&mut self, n: usize) -> Ticket {
        self.pool.checkout(self.now, &origin(n)).expect("a ticket")
    }

    pub(super) fn checkouts<const N: usize>(&mut self, n: usize) -> [Ticket; N] {
        std::array::from_fn(|_| self.checkout(n))
    }

    /// All actions at present.
    pub(super) fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.pool.poll_action(self.now)).collect()
    }

    /// The one dial that is wanted, and nothing else.
    #[track_caller]
    pub(super) fn dial(&mut self) -> ConnId {
        match &self.actions()[..] {
            [Action::Dial { conn, .. }] => *conn,
            other => panic!("one dial is wanted: {other:?}"),
        }
    }

    /// A connection with as much credit as there may be, with one request on it.
    #[track_caller]
    pub(super) fn connect(&mut self, n: usize) -> (ConnId, Ticket) {
        let ticket = self.checkout(n);
        let conn = self.dial();
        self.connected(conn, None);
        assert_eq!(self.actions(), [lent(ticket, conn)]);
        (conn, ticket)
    }

    #[track_caller]
    pub(super) fn connected(&mut self, conn: ConnId, max_streams: Option<u64>) {
        let wanted = self.pool.connected(self.now, conn, max_streams);
        assert!(wanted, "{conn:?} is not wanted");
    }

    pub(super) fn open(&mut self, ticket: Ticket, n: u64) -> bool {
        self.pool.request_opened(self.now, ticket, request(n))
    }

    pub(super) fn release(&mut self, ticket: Ticket) -> bool {
        self.pool.release(self.now, ticket)
    }

    pub(super) fn closed(&mut self, conn: ConnId, reason: CloseReason) {
        self.pool.closed(self.now, conn, reason);
    }

    /// What happens in a time, each with when it does, in milliseconds from now.
    pub(super) fn advance(&mut self, by: Duration) -> Vec<(u64, Action)> {
        let (start, until) = (self.now, self.now + by);
        let mut all = Vec::new();
        while let Some(due) = self.pool.poll_timeout().filter(|due| due.at <= until) {
            self.now = self.now.max(due.at);
            let at = self.now.duration_since(start).as_millis() as u64;
            let before = all.len();
            all.extend(self.actions().into_iter().map(|action| (at, action)));
            let again = self.pool.poll_timeout();
            let stuck = all.len() == before && again.is_some_and(|again| again.at <= self.now);
            assert!(!stuck, "{again:?} is due for ever");
        }
        self.now = until;
        all
    }
}

pub(super) fn lent(ticket: Ticket, conn: ConnId) -> Action {
    Action::Lend { ticket, conn }
}

pub(super) fn failed(ticket: Ticket, error: PoolError) -> Action {
    Action::Fail { ticket, error }
}

pub(super) fn retired(conn: ConnId, why: Retired) -> Action {
    Action::Retire { conn, why }
}
