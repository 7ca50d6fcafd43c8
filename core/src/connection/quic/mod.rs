//! One connection of raw QUIC, over any [`Transport`]: streams and datagrams as they are,
//! for a protocol of your own.
//!
//! ```text
//!   transport events, time ──▶ handle, handle_timeout ─┐
//!   application ─────────────▶ access() ───────────────┼─▶ poll_event, poll_timeout
//! ```
//!
//! The contract is that of [`Connection`](super::Connection): inputs never fail and come in
//! any order and number, then the outputs are drained. Bytes are pulled, so what is not read
//! stays with the peer.

mod access;
mod call;
mod state;
mod stream;
mod streams;

use std::sync::Arc;
use std::time::Instant;

#[cfg(feature = "quinn")]
use bytes::Bytes;

use super::command::{Command, Outcome};
use super::observer::{Input, Observer, Watched};
#[cfg(feature = "quinn")]
use crate::code::Code;
use crate::error::CloseReason;
use crate::event::Event;
use crate::id::Side;
#[cfg(feature = "quinn")]
use crate::quic;
use crate::quic::Config;
use crate::time::Deadline;
use crate::transport::{Transport, TransportEvent};

pub use self::access::QuicAccess;
pub use self::call::{QuicCall, QuicError, QuicOutcome};
use self::state::State;

/// One connection of raw QUIC.
#[derive(Debug)]
pub struct QuicConnection {
    state: State,
    /// Who looks on, if anybody does.
    observer: Option<Box<dyn Observer>>,
    /// It was told that there are events, which the application takes itself.
    #[cfg(feature = "quinn")]
    ready_told: bool,
}

impl QuicConnection {
    /// A connection that has not heard anything yet.
    #[must_use]
    pub fn new(side: Side, config: Arc<Config>) -> Self {
        Self {
            state: State::new(side, config),
            observer: None,
            #[cfg(feature = "quinn")]
            ready_told: false,
        }
    }

    /// The same, and `observer` sees everything that goes in and out from here on.
    #[must_use]
    pub fn observed(mut self, observer: Box<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Takes what QUIC has to tell.
    #[inline]
    pub fn handle<T: Transport>(&mut self, t: &mut T, now: Instant, event: TransportEvent) {
        if self.state.is_closed() {
            return;
        }
        let mut t = Watched {
            t,
            observer: self.observer.as_deref_mut(),
        };
        t.input(now, Input::Transport(&event));
        self.state.handle(&mut t, now, event);
    }

    /// Does what is due at `now`. Calling it early, late or twice is harmless.
    pub fn handle_timeout<T: Transport>(&mut self, t: &mut T, now: Instant) {
        if self.state.is_closed() {
            return;
        }
        let mut t = Watched {
            t,
            observer: self.observer.as_deref_mut(),
        };
        t.input(now, Input::Timeout);
        self.state.handle_timeout(&mut t, now);
    }

    /// The next event for the application. `Event::Closed` is the last: it ends every stream
    /// that has not ended before, and what had arrived on them can still be read.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        let Some(event) = self.state.poll_event() else {
            #[cfg(feature = "quinn")]
            {
                self.ready_told = false;
            }
            return None;
        };
        if let Some(observer) = &mut self.observer {
            observer.event(&event);
        }
        Some(event)
    }

    /// As [`Self::poll_event`], of which the application does not know yet; see
    /// [`Self::note_taken`]. For replays.
    #[doc(hidden)]
    #[must_use]
    pub fn poll_ahead(&mut self) -> Option<Event> {
        let event = self.state.poll_ahead()?;
        if let Some(observer) = &mut self.observer {
            observer.event(&event);
        }
        Some(event)
    }

    /// The application has taken an event.
    #[doc(hidden)]
    pub fn note_taken(&mut self, event: &Event) {
        self.state.note_taken(event);
    }

    /// Nobody looks on from here on.
    pub fn unobserve(&mut self) -> Option<Box<dyn Observer>> {
        self.observer.take()
    }

    /// Whether [`Self::poll_event`] has one to give.
    #[must_use]
    pub fn has_events(&self) -> bool {
        self.state.has_events()
    }

    /// The next event that the endpoint tells: that there are some, where the application
    /// takes them itself.
    #[cfg(feature = "quinn")]
    pub(crate) fn poll_told(&mut self) -> Option<Event> {
        if !self.state.config.pull_events {
            return self.poll_event();
        }
        if !self.has_told() {
            return None;
        }
        self.ready_told = true;
        Some(Event::Quic(quic::Event::Ready))
    }

    /// Whether there is one.
    #[cfg(feature = "quinn")]
    pub(crate) fn has_told(&self) -> bool {
        self.has_events() && !(self.state.config.pull_events && self.ready_told)
    }

    /// When `handle_timeout` is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.state.poll_timeout()
    }

    /// The connection together with its transport: everything an application does goes
    /// through it.
    pub fn access<'a, T: Transport>(&'a mut self, t: &'a mut T, now: Instant) -> QuicAccess<'a, T> {
        QuicAccess::new(self, t, now)
    }

    /// Whether `Event::Closed` has been queued.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state.is_closed()
    }

    /// Why it ended, if it has.
    #[must_use]
    pub fn close_reason(&self) -> Option<&CloseReason> {
        self.state.close_reason()
    }

    /// Streams that are in the table at present.
    #[must_use]
    pub fn live_streams(&self) -> usize {
        self.state.live_streams()
    }

    /// Whether the application is to confirm certificates.
    #[cfg(feature = "quinn")]
    pub(crate) fn confirms(&self) -> bool {
        self.state.config.confirm
    }

    /// Whether no stream is under way.
    #[cfg(feature = "quinn")]
    pub(crate) fn is_idle(&self) -> bool {
        self.live_streams() == 0
    }

    /// Whether something has arrived on a stream that the application has been told of and
    /// has not read, in a connection that is closed. O(streams).
    #[cfg(feature = "quinn")]
    pub(crate) fn has_unread(&self) -> bool {
        self.state.has_unread()
    }

    /// Streams and events that were dealt with.
    #[cfg(feature = "quinn")]
    pub(crate) fn work(&self) -> u64 {
        self.state.work_done()
    }

    /// Closes at once because the endpoint says so.
    #[cfg(feature = "quinn")]
    pub(crate) fn close<T: Transport>(
        &mut self,
        t: &mut T,
        now: Instant,
        code: Code,
        reason: impl Into<Bytes>,
    ) {
        let _ = self.access(t, now).close(code.value(), reason);
    }

    /// Runs an operation of the application and everything that follows from it.
    fn run<T: Transport, R: Copy>(
        &mut self,
        t: &mut T,
        now: Instant,
        call: impl FnOnce() -> QuicCall,
        outcome: impl FnOnce(R) -> QuicOutcome,
        work: impl FnOnce(&mut State, &mut Watched<'_, T>) -> R,
    ) -> R {
        if self.observer.is_none() {
            return work(&mut self.state, &mut Watched { t, observer: None });
        }
        let mut t = Watched {
            t,
            observer: self.observer.as_deref_mut(),
        };
        t.input(now, Input::Call(&Command::Quic(Box::new(call())).into()));
        let result = work(&mut self.state, &mut t);
        if let Some(observer) = &mut self.observer {
            observer.outcome(Outcome::Quic(outcome(result)));
        }
        result
    }
}
