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
//! This is the shell: it tells an [`Observer`] what goes in and out, if there is one.
//! The state machine is in `state`.

mod observer;
mod state;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::access::Access;
use crate::code::Code;
use crate::command::{Call, Command, Outcome, Reply};
use crate::config::Config;
use crate::event::Event;
use crate::fault::Fault;
use crate::id::{Side, StreamKey};
use crate::session::{Cx, Sessions};
use crate::stats::Stats;
use crate::time::Deadline;
use crate::transport::{Transport, TransportEvent};

pub(crate) use observer::Watched;
pub use observer::{Answer, Input, Observer, Path, Seen};
pub(crate) use state::{Life, State};

/// One connection.
#[derive(Debug)]
pub struct Connection {
    pub(crate) state: State,
    /// Who looks on, if anybody does.
    observer: Option<Box<dyn Observer>>,
}

/// The transport, with whoever looks on. A macro, so that the state can be used
/// beside it.
macro_rules! watched {
    ($connection:expr, $t:expr) => {
        Watched {
            t: $t,
            observer: $connection.observer.as_deref_mut(),
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
            observer: None,
        }
    }

    /// As [`Self::new`], and `observer` sees everything that goes in and out.
    #[must_use]
    pub fn observed(
        side: Side,
        config: Arc<Config>,
        seed: u64,
        observer: Box<dyn Observer>,
    ) -> Self {
        let mut connection = Self::new(side, config, seed);
        connection.observer = Some(observer);
        connection
    }

    /// Nobody looks on from here on.
    pub fn unobserve(&mut self) -> Option<Box<dyn Observer>> {
        self.observer.take()
    }

    /// Takes what QUIC has to tell.
    pub fn handle<T: Transport>(&mut self, t: &mut T, now: Instant, event: TransportEvent) {
        if self.is_closed() {
            return;
        }
        let mut t = watched!(self, t);
        t.input(now, Input::Transport(&event));
        self.state.handle(&mut t, now, &event);
    }

    /// Does what is due at `now`. Calling it early, late or twice is harmless.
    pub fn handle_timeout<T: Transport>(&mut self, t: &mut T, now: Instant) {
        if self.is_closed() {
            return;
        }
        let mut t = watched!(self, t);
        t.input(now, Input::Timeout);
        self.state.handle_timeout(&mut t, now);
    }

    /// The next event for the application.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        if let (Some(observer), Some(event)) = (&mut self.observer, self.state.events.front()) {
            observer.event(event);
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

    /// A call to be told, if anybody looks on.
    #[inline]
    pub(crate) fn noted<C: Into<Call>>(&self, call: impl FnOnce() -> C) -> Option<Box<Call>> {
        self.observer.is_some().then(|| Box::new(call().into()))
    }

    /// Runs an operation of the application and everything that follows from it.
    pub(crate) fn run<T: Transport, R>(
        &mut self,
        t: &mut T,
        now: Instant,
        call: Option<Box<Call>>,
        work: impl FnOnce(&mut Sessions, &mut Cx<'_, Watched<'_, T>>) -> R,
    ) -> R
    where
        for<'r> Outcome: From<&'r R>,
    {
        let Some(call) = call else {
            return self
                .state
                .work(&mut Watched { t, observer: None }, now, work);
        };
        let mut t = watched!(self, t);
        t.input(now, Input::Call(&call));
        let result = self.state.work(&mut t, now, work);
        self.tell((&result).into());
        result
    }

    /// Tells what a call gave.
    fn tell(&mut self, outcome: Outcome) {
        if let Some(observer) = &mut self.observer {
            observer.outcome(outcome);
        }
    }

    /// As [`Self::run`] for work that can reveal a fault of the peer.
    pub(crate) fn run_fallible<T: Transport, R>(
        &mut self,
        t: &mut T,
        now: Instant,
        call: Option<Box<Call>>,
        work: impl FnOnce(&mut Sessions, &mut Cx<'_, Watched<'_, T>>) -> Result<R, Fault>,
    ) -> Result<R, Fault>
    where
        for<'r> Outcome: From<&'r Result<R, Fault>>,
    {
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
        t: &mut T,
        now: Instant,
        stream: StreamKey,
    ) -> Option<Bytes> {
        if self.observer.is_some() {
            let call = Call::RecvDatagram(stream);
            watched!(self, t).input(now, Input::Call(&call));
        }
        let payload = self.state.pop_datagram(stream);
        self.tell(Outcome::RecvDatagram(payload.as_ref().map(Bytes::len)));
        payload
    }

    /// Begins a graceful shutdown.
    pub(crate) fn drain<T: Transport>(&mut self, t: &mut T, now: Instant, until: Instant) {
        if self.is_closed() {
            return;
        }
        let mut t = watched!(self, t);
        t.input(now, Input::Call(&Command::Drain(until).into()));
        self.state.wind_down(&mut t, now, until);
        self.tell(Outcome::Command(Ok(Reply::Done)));
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
        let mut t = watched!(self, t);
        t.input(
            now,
            Input::Call(&Command::Close(code, reason.clone()).into()),
        );
        self.state.close(&mut t, now, code, reason);
        self.tell(Outcome::Command(Ok(Reply::Done)));
    }
}
