//! Two connections of raw QUIC over a [`Loopback`], with a clock that only tests move.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::loopback::{End, Knobs, Loopback};
use super::watch::{Watch, watch};
use crate::connection::quic::{QuicAccess, QuicConnection};
use crate::error::TransportFailure;
use crate::event::Event;
use crate::id::Side;
use crate::quic::Config;
use crate::transport::TransportEvent;

/// Steps after which a pair that still moves is taken to run in circles.
const TOO_MANY_STEPS: usize = 2_000_000;

/// Length at which a recording is given up: the time is the test's.
const LONG: usize = 1 << 20;

/// Two connections that talk to each other. Events are taken when a test asks for them.
#[derive(Debug)]
pub struct LoopbackQuic {
    /// What lies between them.
    pub net: Loopback,
    client: QuicConnection,
    server: QuicConnection,
    now: Instant,
    seed: u64,
    scratch: Vec<(Side, TransportEvent)>,
    watch: Option<Box<dyn Watch>>,
}

/// Every test is one of recording and replaying, too.
impl Drop for LoopbackQuic {
    fn drop(&mut self) {
        self.unobserve();
        if let Some(mut watch) = self.watch.take()
            && !std::thread::panicking()
        {
            watch.check(self.seed);
        }
    }
}

impl LoopbackQuic {
    /// A pair that has not exchanged anything.
    #[must_use]
    pub fn new(client: Config, server: Config, knobs: Knobs) -> Self {
        let seed = knobs.seed;
        Self::over(client, server, seed, Loopback::new(knobs))
    }

    /// A pair over a given network.
    #[must_use]
    pub fn over(client: Config, server: Config, seed: u64, net: Loopback) -> Self {
        let mut watch = watch();
        let mut watched = |side, config: Config| match &mut watch {
            Some(watch) => {
                let observer = watch.quic_connection(side, &config);
                QuicConnection::new(side, Arc::new(config)).observed(observer)
            }
            None => QuicConnection::new(side, Arc::new(config)),
        };
        Self {
            net,
            client: watched(Side::Client, client),
            server: watched(Side::Server, server),
            now: super::epoch(),
            seed,
            scratch: Vec::new(),
            watch,
        }
    }

    fn unobserve(&mut self) {
        for connection in [&mut self.client, &mut self.server] {
            drop(connection.unobserve());
        }
    }

    /// Stops recording and gives what was recorded of both ends; empty if nobody
    /// looks on.
    pub fn recording(&mut self) -> String {
        self.unobserve();
        let watch = self.watch.take();
        watch.map_or_else(String::new, |mut watch| watch.take())
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A connection with its transport.
    pub fn connection(&mut self, side: Side) -> (&mut QuicConnection, &mut End) {
        let conn = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        (conn, self.net.end(side))
    }

    /// What the application on `side` works with.
    pub fn access(&mut self, side: Side) -> QuicAccess<'_, End> {
        let now = self.now;
        let (conn, end) = self.connection(side);
        conn.access(end, now)
    }

    /// What the client application works with.
    pub fn client(&mut self) -> QuicAccess<'_, End> {
        self.access(Side::Client)
    }

    /// What the server application works with.
    pub fn server(&mut self) -> QuicAccess<'_, End> {
        self.access(Side::Server)
    }

    /// Tells a connection something that its transport does not tell by itself.
    pub fn tell(&mut self, side: Side, event: TransportEvent) {
        let now = self.now;
        let (conn, end) = self.connection(side);
        conn.handle(end, now, event);
    }

    /// The events of a connection that were not taken before.
    pub fn events(&mut self, side: Side) -> Vec<Event> {
        let (conn, _) = self.connection(side);
        std::iter::from_fn(|| conn.poll_event()).collect()
    }

    /// Moves one thing; false when nothing is left to move.
    pub fn step(&mut self) -> bool {
        if self.watch.as_ref().is_some_and(|watch| watch.len() > LONG) {
            drop(self.recording());
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let moved = self.net.step(&mut scratch);
        for (side, event) in scratch.drain(..) {
            self.tell(side, event);
        }
        self.scratch = scratch;
        moved
    }

    /// Moves everything there is to move and does what is due, without letting time pass.
    ///
    /// # Panics
    /// When it does not come to rest.
    pub fn drive(&mut self) {
        for _ in 0..TOO_MANY_STEPS {
            if !self.step() && !self.do_due() {
                return;
            }
        }
        panic!("SEED={}: the pair does not come to rest", self.seed);
    }

    /// Lets time pass, doing what falls due on the way, each at its time.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        self.drive();
        while let Some(at) = self.next_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.drive();
        }
        self.now = until;
        self.drive();
    }

    /// Ends the connection under both.
    pub fn fail(&mut self, failure: &TransportFailure) {
        let mut scratch = Vec::new();
        self.net.fail(failure, &mut scratch);
        for (side, event) in scratch {
            self.tell(side, event);
        }
    }

    /// Does what is due; false if nothing was.
    fn do_due(&mut self) -> bool {
        let now = self.now;
        let mut due = false;
        for side in [Side::Client, Side::Server] {
            let (conn, end) = self.connection(side);
            if conn.poll_timeout().is_some_and(|timeout| timeout.at <= now) {
                conn.handle_timeout(end, now);
                due = true;
            }
        }
        due
    }

    fn next_timeout(&self) -> Option<Instant> {
        let deadlines = [self.client.poll_timeout(), self.server.poll_timeout()];
        deadlines.into_iter().flatten().map(|due| due.at).min()
    }
}
