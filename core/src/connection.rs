//! One HTTP/3 connection, sessions included, over any [`Transport`].
//!
//! ```text
//!   transport events, time ──▶ handle, handle_timeout ─┐
//!   application ─────────────▶ access() ───────────────┼─▶ poll_event, poll_timeout
//! ```
//!
//! Inputs never fail: what the peer does wrong becomes a reset or a close and an
//! event. Inputs and accesses come in any order and number; after them the
//! outputs are drained, again in any order. Draining twice is harmless.
//!
//! This is the shell: it writes down what goes in and out where a connection is
//! recorded. The state machine is in `state`.

mod state;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::access::Access;
use crate::code::Code;
use crate::config::Config;
use crate::event::Event;
use crate::fault::Fault;
use crate::id::{Side, StreamKey};
use crate::record::{Call, Record, Tape, Taped};
use crate::session::{Cx, Sessions};
use crate::stats::Stats;
use crate::time::Deadline;
use crate::transport::{Transport, TransportEvent};

pub(crate) use state::{Life, State};

/// One connection.
#[derive(Debug)]
pub struct Connection {
    pub(crate) state: State,
    /// Where everything is written down, if it is.
    tape: Option<Box<Tape>>,
}

/// The transport, with the tape if there is one. A macro, so that the state can be
/// used beside it.
macro_rules! taped {
    ($connection:expr, $t:expr) => {
        Taped {
            t: $t,
            tape: $connection.tape.as_deref_mut(),
        }
    };
}

impl Connection {
    /// A connection that has not heard anything yet. `seed` chooses the reserved
    /// values that are sent for GREASE, nothing else.
    #[must_use]
    pub fn new(side: Side, config: Arc<Config>, seed: u64) -> Self {
        Self {
            state: State::new(side, config, seed),
            tape: None,
        }
    }

    /// As [`Self::new`], and everything that happens is written down for
    /// [`Self::take_recorded`]; see [`crate::record`].
    #[must_use]
    pub fn recorded(side: Side, config: Arc<Config>, seed: u64, record: &Record) -> Self {
        let tape = Tape::new(record, side, &config, seed);
        Self::with_tape(side, config, seed, tape)
    }

    pub(crate) fn with_tape(side: Side, config: Arc<Config>, seed: u64, tape: Tape) -> Self {
        let mut connection = Self::new(side, config, seed);
        connection.tape = Some(Box::new(tape));
        connection
    }

    /// Takes what QUIC has to tell.
    pub fn handle<T: Transport>(&mut self, t: &mut T, now: Instant, event: TransportEvent) {
        if self.is_closed() {
            return;
        }
        let mut t = taped!(self, t);
        t.note(|tape, t| tape.input(t, now, &event));
        self.state.handle(&mut t, now, &event);
    }

    /// Does what is due at `now`. Calling it early, late or twice is harmless.
    pub fn handle_timeout<T: Transport>(&mut self, t: &mut T, now: Instant) {
        if self.is_closed() {
            return;
        }
        let mut t = taped!(self, t);
        t.note(|tape, t| tape.due(t, now));
        self.state.handle_timeout(&mut t, now);
    }

    /// The next event for the application.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        if let (Some(tape), Some(event)) = (&mut self.tape, self.state.events.front()) {
            tape.event(event);
        }
        self.state.events.pop_front()
    }

    /// Whether [`Self::poll_event`] has one to give.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.state.events.is_empty()
    }

    /// When `handle_timeout` is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.state.poll_timeout()
    }

    /// What was written down since the last call, in whole lines; empty when
    /// nothing was, or the connection is not recorded. It grows until it is taken.
    #[must_use]
    pub fn take_recorded(&mut self) -> String {
        self.tape
            .as_mut()
            .map_or_else(String::new, |tape| tape.take())
    }

    /// As [`Self::take_recorded`] for the last time.
    #[must_use]
    pub fn finish_recorded(&mut self) -> String {
        self.tape.take().map_or_else(String::new, |mut tape| {
            tape.end();
            tape.take()
        })
    }

    /// The connection together with its transport: everything an application
    /// does goes through it.
    pub fn access<'a, T: Transport>(&'a mut self, t: &'a mut T, now: Instant) -> Access<'a, T> {
        Access { conn: self, t, now }
    }

    /// Whether [`Event::Closed`] has been queued.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state.life == Life::Closed
    }

    /// Which end this is.
    #[must_use]
    pub fn side(&self) -> Side {
        self.state.h3.side
    }

    /// What the connection has counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.state.h3.stats
    }

    /// Streams of every kind that are in the tables at present.
    #[must_use]
    pub fn live_streams(&self) -> usize {
        self.state.h3.table.len()
    }

    /// How often streams have been looked up.
    #[cfg(test)]
    pub(crate) fn looked_up(&self) -> u32 {
        self.state.h3.table.looked_up.get()
    }

    /// A call to be noted, if anything is.
    #[inline]
    pub(crate) fn noted(&self, call: impl FnOnce() -> Call) -> Option<Box<Call>> {
        self.tape.is_some().then(|| Box::new(call()))
    }

    /// Runs an operation of the application and everything that follows from it.
    pub(crate) fn run<T: Transport, R: Debug>(
        &mut self,
        t: &mut T,
        now: Instant,
        call: Option<Box<Call>>,
        work: impl FnOnce(&mut Sessions, &mut Cx<'_, Taped<'_, T>>) -> R,
    ) -> R {
        let Some(call) = call else {
            return self.state.work(&mut Taped { t, tape: None }, now, work);
        };
        let mut t = taped!(self, t);
        t.note(|tape, t| tape.call(t, now, &call));
        let result = self.state.work(&mut t, now, work);
        t.note(|tape, _| tape.outcome(&result));
        result
    }

    /// As [`Self::run`] for work that can reveal a fault of the peer.
    pub(crate) fn run_fallible<T: Transport, R: Debug>(
        &mut self,
        t: &mut T,
        now: Instant,
        call: Option<Box<Call>>,
        work: impl FnOnce(&mut Sessions, &mut Cx<'_, Taped<'_, T>>) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        self.run(t, now, call, |sessions, cx| {
            let result = work(sessions, cx);
            if let Err(fault) = &result {
                cx.h3.fail(cx.t, Err(*fault));
            }
            result
        })
    }

    /// The oldest datagram that waits for a session or request.
    pub(crate) fn pop_datagram<T: Transport>(
        &mut self,
        t: &T,
        now: Instant,
        stream: StreamKey,
    ) -> Option<Bytes> {
        let Some(tape) = &mut self.tape else {
            return self.state.pop_datagram(stream);
        };
        let payload = self.state.pop_datagram(stream);
        tape.call(t, now, &Call::RecvDatagram(stream));
        tape.outcome(&payload.as_ref().map(Bytes::len));
        payload
    }

    /// Begins a graceful shutdown.
    pub(crate) fn drain<T: Transport>(&mut self, t: &mut T, now: Instant, until: Instant) {
        if self.is_closed() {
            return;
        }
        let mut t = taped!(self, t);
        t.note(|tape, t| tape.call(t, now, &Call::Drain(until)));
        self.state.wind_down(&mut t, now, until);
        t.note(|tape, _| tape.outcome(&()));
    }

    /// Closes at once because the application says so.
    pub(crate) fn close<T: Transport>(
        &mut self,
        t: &mut T,
        now: Instant,
        code: Code,
        reason: Bytes,
    ) {
        if self.is_closed() {
            return;
        }
        let mut t = taped!(self, t);
        t.note(|tape, t| tape.call(t, now, &Call::Close(code)));
        self.state.close(&mut t, now, code, reason);
        t.note(|tape, _| tape.outcome(&()));
    }
}
