//! One HTTP/3 connection, sessions included, over any [`Transport`].

use std::sync::Arc;
use std::time::Instant;

use crate::access::Access;
use crate::config::Config;
use crate::event::Event;
use crate::id::Side;
use crate::time::Deadline;
use crate::transport::{Transport, TransportEvent};

/// One connection's state.
#[derive(Debug)]
pub struct Connection {
    side: Side,
}

impl Connection {
    /// A connection that has not heard anything yet. `seed` chooses the reserved
    /// values that are sent for GREASE, nothing else.
    #[must_use]
    pub fn new(side: Side, config: Arc<Config>, seed: u64) -> Self {
        let _ = (config, seed);
        Self { side }
    }

    /// Takes what QUIC has to tell.
    pub fn handle<T: Transport>(&mut self, t: &mut T, now: Instant, event: TransportEvent) {
        let _ = (t, now, event);
        todo!()
    }

    /// Does what is due at `now`. Calling it early, late or twice is harmless.
    pub fn handle_timeout<T: Transport>(&mut self, t: &mut T, now: Instant) {
        let _ = (t, now);
        todo!()
    }

    /// The next event for the application.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!()
    }

    /// When `handle_timeout` is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        todo!()
    }

    /// The connection together with its transport: everything an application
    /// does goes through it.
    pub fn access<'a, T: Transport>(&'a mut self, t: &'a mut T, now: Instant) -> Access<'a, T> {
        Access { conn: self, t, now }
    }

    /// Whether [`Event::Closed`] has been queued.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        todo!()
    }

    /// Which end this is.
    #[must_use]
    pub fn side(&self) -> Side {
        self.side
    }
}
