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
//! ```text
//!  Connection, Access, Peek      what is public: inputs and outputs, use, a look
//!        shell.rs                tells an [`Observer`] of it, if there is one
//!        state.rs                the state machine: HTTP/3 below, sessions above
//! ```

mod access;
mod apply;
mod command;
mod observer;
mod peek;
pub mod quic;
mod shell;
mod state;

use std::sync::Arc;
use std::time::Instant;

use self::shell::Shell;
use crate::config::Config;
#[cfg(feature = "quinn")]
use crate::error::CloseReason;
use crate::event::Event;
use crate::id::{Side, StreamKey};
use crate::stats::Stats;
use crate::time::Deadline;
#[cfg(feature = "quinn")]
use crate::transport::Caps;
use crate::transport::{Transport, TransportEvent};
#[cfg(feature = "quinn")]
use crate::wire::settings::Settings;

pub use self::access::{Access, RecvStream, SendStream, WebTransport};
pub use self::command::{Call, Command, CommandError, Outcome, Reply};
pub use self::observer::{Answer, Input, Observer, Path, Seen, Text};
pub use self::peek::Peek;

/// One connection.
#[derive(Debug)]
pub struct Connection(Shell);

impl Connection {
    /// A connection that has not heard anything yet. `seed` chooses the reserved
    /// values that are sent for GREASE, nothing else.
    #[must_use]
    pub fn new(side: Side, config: Arc<Config>, seed: u64) -> Self {
        Self(Shell::new(side, config, seed))
    }

    /// The same, and `observer` sees everything that goes in and out from here on.
    #[must_use]
    pub fn observed(mut self, observer: Box<dyn Observer>) -> Self {
        self.0.observer = Some(observer);
        self.0.state.h3.keep_lines = true;
        self
    }

    /// Nobody looks on from here on.
    pub fn unobserve(&mut self) -> Option<Box<dyn Observer>> {
        let state = &mut self.0.state;
        state.h3.keep_lines = state.h3.config.field_lines;
        self.0.observer.take()
    }

    /// Takes what QUIC has to tell.
    #[inline]
    pub fn handle<T: Transport>(&mut self, t: &mut T, now: Instant, event: TransportEvent) {
        self.0.handle(t, now, &event);
    }

    /// Does what is due at `now`. Calling it early, late or twice is harmless.
    pub fn handle_timeout<T: Transport>(&mut self, t: &mut T, now: Instant) {
        self.0.handle_timeout(t, now);
    }

    /// The next event for the application.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.0.poll_event(true)
    }

    /// As [`Self::poll_event`], of which the application does not know yet; see
    /// [`Self::note_taken`]. For replays.
    #[doc(hidden)]
    #[must_use]
    pub fn poll_ahead(&mut self) -> Option<Event> {
        self.0.poll_event(false)
    }

    /// The application has taken the event that asks about a request.
    #[doc(hidden)]
    pub fn note_taken(&mut self, stream: StreamKey) {
        self.0.state.h3.note_taken(stream);
    }

    /// Whether [`Self::poll_event`] has one to give.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.0.state.events.is_empty()
    }

    /// When `handle_timeout` is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.0.state.poll_timeout()
    }

    /// The connection together with its transport: everything an application
    /// does goes through it.
    pub fn access<'a, T: Transport>(&'a mut self, t: &'a mut T, now: Instant) -> Access<'a, T> {
        Access::new(&mut self.0, t, now)
    }

    /// The connection to be looked at, and for datagrams to be taken: nothing follows
    /// from either that anybody would have to be told of.
    pub fn peek<'a, T: Transport>(&'a mut self, t: &'a mut T, now: Instant) -> Peek<'a, T> {
        Peek::new(&mut self.0, t, now)
    }

    /// Whether [`Event::Closed`] has been queued.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Why it ended, if it has.
    #[cfg(feature = "quinn")]
    pub(crate) fn close_reason(&self) -> Option<&CloseReason> {
        self.0.state.close_reason()
    }

    /// Which end this is.
    #[must_use]
    pub fn side(&self) -> Side {
        self.0.h3().side
    }

    /// What the connection has counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.h3().stats()
    }

    /// What a side of this configuration says in SETTINGS over such a transport, without
    /// what is reserved.
    #[cfg(feature = "quinn")]
    pub(crate) fn settings_of(side: Side, config: &Arc<Config>, caps: Caps) -> Settings {
        let mut state = state::State::new(side, Arc::clone(config), 0);
        state.h3.extension_settings = crate::session::announced(config, caps);
        state.h3.local_settings().without_reserved()
    }

    /// The peer's SETTINGS, once they arrived.
    #[cfg(feature = "quinn")]
    pub(crate) fn peer_settings(&self) -> Option<&Settings> {
        self.0.h3().peer_settings.as_ref()
    }

    /// Whether no request and no session is under way.
    #[cfg(feature = "quinn")]
    pub(crate) fn is_idle(&self) -> bool {
        self.0.h3().exchanges == 0
    }

    /// Whether something of a message has arrived that the application may read, or a
    /// datagram, in a connection that is closed. O(streams).
    #[cfg(feature = "quinn")]
    pub(crate) fn has_unread(&self) -> bool {
        let h3 = self.0.h3();
        h3.ring_bytes > 0 || h3.table.has_unread(h3.side)
    }

    /// Work done so far, by [`Limits::work`](crate::config::Limits::work)'s units.
    #[cfg(feature = "quinn")]
    pub(crate) fn work(&self) -> u64 {
        self.0.h3().work_done()
    }

    /// Streams of every kind that are in the tables at present.
    #[must_use]
    pub fn live_streams(&self) -> usize {
        self.0.h3().table.len()
    }

    /// How often streams have been looked up.
    #[cfg(all(test, feature = "testing"))]
    pub(crate) fn looked_up(&self) -> u32 {
        self.0.h3().table.looked_up.get()
    }
}
