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

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::access::Access;
use crate::code::Code;
use crate::config::Config;
use crate::error::CloseReason;
use crate::event::Event;
use crate::fault::Fault;
use crate::h3::H3Event;
use crate::h3::connection::H3;
use crate::id::{SessionKey, Side, StreamKey};
use crate::record::{Call, Record, Tape, Taped};
use crate::session::{self, Cx, Sessions};
use crate::stats::Stats;
use crate::time::{Deadline, Why, earliest};
use crate::transport::{Transport, TransportEvent};

/// How long a server that has wound a connection down waits before it closes it. Everything was
/// acknowledged by then, but acknowledged is not read: what a client's application has not taken
/// yet would be lost with the connection.
const LINGER: Duration = Duration::from_millis(200);

/// One connection's state.
#[derive(Debug)]
pub struct Connection {
    pub(crate) h3: H3,
    pub(crate) sessions: Sessions,
    events: VecDeque<Event>,
    pub(crate) life: Life,
    /// When a graceful shutdown gives up waiting.
    drain_until: Option<Instant>,
    /// Where everything is written down, if it is.
    tape: Option<Box<Tape>>,
}

/// Where the connection is in its life.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Life {
    Handshaking,
    Established,
    Closed,
}

impl Connection {
    /// A connection that has not heard anything yet. `seed` chooses the reserved
    /// values that are sent for GREASE, nothing else.
    #[must_use]
    pub fn new(side: Side, config: Arc<Config>, seed: u64) -> Self {
        let webtransport = config.webtransport;
        let claims = session::claims(webtransport);
        Self {
            h3: H3::new(side, config, seed, claims),
            sessions: Sessions::new(),
            events: VecDeque::new(),
            life: Life::Handshaking,
            drain_until: None,
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

    /// Takes what QUIC has to tell.
    pub fn handle<T: Transport>(&mut self, t: &mut T, now: Instant, event: TransportEvent) {
        if self.life == Life::Closed {
            return;
        }
        let mut t = self.taped(t);
        t.note(|tape, t| tape.input(t, now, &event));
        self.take_in(&mut t, now, event);
        self.tape = t.tape;
    }

    /// A call to be noted, if anything is.
    #[inline]
    pub(crate) fn noted(&self, call: impl FnOnce() -> Call) -> Option<Box<Call>> {
        self.tape.is_some().then(|| Box::new(call()))
    }

    /// The oldest datagram that waits for a session or request.
    pub(crate) fn pop_datagram<T: Transport>(
        &mut self,
        t: &T,
        now: Instant,
        stream: StreamKey,
    ) -> Option<Bytes> {
        let payload = self.sessions.rings.pop(&self.h3, stream);
        if payload.is_some()
            && let Some(session) = self.sessions.registry.get_mut(&self.h3, SessionKey(stream))
        {
            session.stats.datagrams_received += 1;
        }
        if let Some(tape) = &mut self.tape {
            tape.call(t, now, &Call::RecvDatagram(stream));
            tape.outcome(&payload.as_ref().map(Bytes::len));
        }
        payload
    }

    /// The transport with the tape, which goes back when the work is done.
    #[inline]
    fn taped<'t, T>(&mut self, t: &'t mut T) -> Taped<'t, T> {
        let tape = self.tape.take();
        Taped { t, tape }
    }

    #[inline]
    fn take_in<T: Transport>(&mut self, t: &mut T, now: Instant, event: TransportEvent) {
        match event {
            TransportEvent::Connected => {
                self.life = Life::Established;
                self.events.push_back(Event::Connected);
                let mut cx = Cx {
                    h3: &mut self.h3,
                    t: &mut *t,
                    out: &mut self.events,
                    now,
                };
                self.sessions.on_connected(&mut cx);
            }
            TransportEvent::Available(dir) => self.events.push_back(Event::Available(dir)),
            _ => {}
        }
        self.h3.handle(t, &event);
        let mut cx = Cx {
            h3: &mut self.h3,
            t,
            out: &mut self.events,
            now,
        };
        match event {
            TransportEvent::Datagrams => {
                let result = self.sessions.on_datagrams(&mut cx);
                cx.h3.fail(cx.t, result);
            }
            TransportEvent::DatagramsUnblocked => self.sessions.on_datagrams_unblocked(&mut cx),
            TransportEvent::Closed(reason) => {
                self.finish(t, now, reason);
                return;
            }
            _ => {}
        }
        self.settle(t, now);
    }

    /// Does what is due at `now`. Calling it early, late or twice is harmless.
    pub fn handle_timeout<T: Transport>(&mut self, t: &mut T, now: Instant) {
        if self.life == Life::Closed {
            return;
        }
        let mut t = self.taped(t);
        t.note(|tape, t| tape.due(t, now));
        let mut cx = Cx {
            h3: &mut self.h3,
            t: &mut t,
            out: &mut self.events,
            now,
        };
        let result = self.sessions.handle_timeout(&mut cx);
        cx.h3.fail(cx.t, result);
        self.settle(&mut t, now);
        if self.drain_until.is_some_and(|until| until <= now) {
            self.close_drained(&mut t, now);
        }
        self.tape = t.tape;
    }

    /// The next event for the application.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let Some(tape) = &mut self.tape {
            tape.event(&event);
        }
        Some(event)
    }

    /// Whether [`Self::poll_event`] has one to give.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// When `handle_timeout` is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if self.life == Life::Closed {
            return None;
        }
        let early = self.sessions.poll_timeout().map(|at| Deadline {
            at,
            why: Why::EarlyArrivals,
        });
        let drain = self.drain_until.map(|at| Deadline {
            at,
            why: Why::Drain,
        });
        earliest(early, drain)
    }

    /// The connection together with its transport: everything an application
    /// does goes through it.
    pub fn access<'a, T: Transport>(&'a mut self, t: &'a mut T, now: Instant) -> Access<'a, T> {
        Access { conn: self, t, now }
    }

    /// Whether [`Event::Closed`] has been queued.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.life == Life::Closed
    }

    /// Which end this is.
    #[must_use]
    pub fn side(&self) -> Side {
        self.h3.side
    }

    /// What the connection has counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.h3.stats
    }

    /// Streams of every kind that are in the tables at present.
    #[must_use]
    pub fn live_streams(&self) -> usize {
        self.h3.table.len()
    }

    /// Turns what the layers have to tell into events, until they are silent.
    pub(crate) fn settle<T: Transport>(&mut self, t: &mut T, now: Instant) {
        while let Some(event) = self.h3.poll_event() {
            if let H3Event::Failed(why) = event {
                let reason = CloseReason::PeerMisbehaved {
                    code: why.code(),
                    why,
                };
                self.finish(t, now, reason);
                return;
            }
            let mut cx = Cx {
                h3: &mut self.h3,
                t,
                out: &mut self.events,
                now,
            };
            match self.sessions.handle(&mut cx, event) {
                Ok(Some(event)) => self.events.push_back(event),
                Ok(None) => {}
                Err(fault) => self.h3.fail(t, Err(fault)),
            }
        }
        let idle = self.h3.exchanges == 0 && self.life == Life::Established;
        if let Some(until) = self.drain_until
            && idle
        {
            match self.h3.side {
                Side::Client => self.close_drained(t, now),
                Side::Server => self.drain_until = Some(until.min(now + LINGER)),
            }
        }
    }

    /// Runs an operation of the application and everything that follows from it.
    pub(crate) fn run<T: Transport, R: Debug>(
        &mut self,
        t: &mut T,
        now: Instant,
        call: Option<Box<Call>>,
        work: impl FnOnce(&mut Sessions, &mut Cx<'_, Taped<'_, T>>) -> R,
    ) -> R {
        let mut t = self.taped(t);
        t.call(now, call);
        let result = self.work(&mut t, now, work);
        t.note(|tape, _| tape.outcome(&result));
        self.tape = t.tape;
        result
    }

    fn work<T: Transport, R>(
        &mut self,
        t: &mut T,
        now: Instant,
        work: impl FnOnce(&mut Sessions, &mut Cx<'_, T>) -> R,
    ) -> R {
        let (told, over) = (self.events.len(), self.life == Life::Closed);
        let mut cx = Cx {
            h3: &mut self.h3,
            t,
            out: &mut self.events,
            now,
        };
        let result = work(&mut self.sessions, &mut cx);
        self.settle(t, now);
        if over {
            // What had arrived can still be read, but `Closed` was the last event.
            self.events.truncate(told);
        }
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

    /// Begins a graceful shutdown.
    pub(crate) fn drain<T: Transport>(&mut self, t: &mut T, now: Instant, until: Instant) {
        if self.life == Life::Closed {
            return;
        }
        let mut t = self.taped(t);
        t.note(|tape, t| tape.call(t, now, &Call::Drain(until)));
        self.wind_down(&mut t, now, until);
        t.note(|tape, _| tape.outcome(&()));
        self.tape = t.tape;
    }

    fn wind_down<T: Transport>(&mut self, t: &mut T, now: Instant, until: Instant) {
        let first = self.drain_until.is_none();
        let until = self.drain_until.map_or(until, |before| before.min(until));
        self.drain_until = Some(until);
        if self.life == Life::Handshaking {
            // There is nothing to wind down and nobody to tell.
            self.close_drained(t, now);
            return;
        }
        if first {
            self.h3.send_goaway(t);
            self.events.push_back(Event::Draining { by: self.h3.side });
        }
        self.work(t, now, |sessions, cx| sessions.drain_all(cx));
    }

    fn close_drained<T: Transport>(&mut self, t: &mut T, now: Instant) {
        if self.life != Life::Closed {
            t.close(Code::H3_NO_ERROR.value(), "");
            self.finish(t, now, CloseReason::Drained);
        }
    }

    /// Closes at once because the application says so.
    pub(crate) fn close<T: Transport>(
        &mut self,
        t: &mut T,
        now: Instant,
        code: Code,
        reason: &'static str,
    ) {
        if self.life == Life::Closed {
            return;
        }
        let mut t = self.taped(t);
        t.note(|tape, t| tape.call(t, now, &Call::Close(code)));
        t.close(code.value(), reason);
        self.finish(&mut t, now, CloseReason::Local { code, reason });
        t.note(|tape, _| tape.outcome(&()));
        self.tape = t.tape;
    }

    /// The end: every session is told, then the application, each once.
    fn finish<T: Transport>(&mut self, t: &mut T, now: Instant, reason: CloseReason) {
        if self.life == Life::Closed {
            return;
        }
        self.life = Life::Closed;
        self.h3.set_closed();
        let mut cx = Cx {
            h3: &mut self.h3,
            t,
            out: &mut self.events,
            now,
        };
        self.sessions.end_all(&mut cx, &reason);
        while self.h3.poll_event().is_some() {}
        self.events.push_back(Event::Closed(Box::new(reason)));
    }
}
