//! The shell around a connection's state: it tells an [`Observer`] what goes in and
//! out, if there is one.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::command::{Call, Command, Outcome, Reply, ToOutcome};
use super::observer::{Input, Observer, Watched};
use super::state::{Life, State};
use crate::code::Code;
use crate::config::Config;
use crate::event::Event;
use crate::h3::connection::H3;
use crate::id::{Side, StreamKey};
use crate::session::{Cx, Sessions};
use crate::transport::{Transport, TransportEvent};

/// A state and whoever looks on.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) state: State,
    /// Who looks on, if anybody does.
    pub(super) observer: Option<Box<dyn Observer>>,
}

/// The transport, with whoever looks on. A macro, so that the state can be used
/// beside it.
macro_rules! watched {
    ($shell:expr, $t:expr) => {
        Watched {
            t: $t,
            observer: $shell.observer.as_deref_mut(),
        }
    };
}

impl Shell {
    pub(super) fn new(side: Side, config: Arc<Config>, seed: u64) -> Self {
        Self {
            state: State::new(side, config, seed),
            observer: None,
        }
    }

    pub(super) fn handle<T: Transport>(&mut self, t: &mut T, now: Instant, event: &TransportEvent) {
        if self.is_closed() {
            return;
        }
        let mut t = watched!(self, t);
        t.input(now, Input::Transport(event));
        self.state.handle(&mut t, now, event);
    }

    pub(super) fn handle_timeout<T: Transport>(&mut self, t: &mut T, now: Instant) {
        if self.is_closed() {
            return;
        }
        let mut t = watched!(self, t);
        t.input(now, Input::Timeout);
        self.state.handle_timeout(&mut t, now);
    }

    /// The next event; `taken` by the application, which knows of what it tells then.
    #[inline]
    pub(super) fn poll_event(&mut self, taken: bool) -> Option<Event> {
        // It is not moved to be looked at.
        if taken
            && self.state.h3.untaken > 0
            && let Some(stream) = self.state.events.front().and_then(Event::asks)
        {
            self.state.h3.note_taken(stream);
        }
        if self.observer.is_none() {
            return self.state.events.pop_front();
        }
        let mut event = self.state.events.pop_front()?;
        if let Some(observer) = &mut self.observer {
            observer.event(&event);
        }
        // What is kept for whoever looks on is not the application's.
        if !self.state.h3.config.field_lines {
            event.forget_lines();
        }
        Some(event)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.life == Life::Closed
    }

    pub(crate) fn h3(&self) -> &H3 {
        &self.state.h3
    }

    /// A call to be told, if anybody looks on.
    #[inline]
    pub(crate) fn noted<C: Into<Call>>(&self, call: impl FnOnce() -> C) -> Option<Box<Call>> {
        self.observer.is_some().then(|| Box::new(call().into()))
    }

    /// Runs an operation of the application and everything that follows from it.
    pub(crate) fn run<T: Transport, R: ToOutcome>(
        &mut self,
        t: &mut T,
        now: Instant,
        call: Option<Box<Call>>,
        work: impl FnOnce(&mut Sessions, &mut Cx<'_, Watched<'_, T>>) -> R,
    ) -> R {
        let Some(call) = call else {
            return self
                .state
                .work(&mut Watched { t, observer: None }, now, work);
        };
        let mut t = watched!(self, t);
        t.input(now, Input::Call(&call));
        let result = self.state.work(&mut t, now, work);
        self.tell(result.outcome());
        result
    }

    /// As [`Self::run`] for what concerns HTTP alone: it does not pass through the
    /// session storey.
    pub(crate) fn run_http<T: Transport, R: ToOutcome>(
        &mut self,
        t: &mut T,
        now: Instant,
        call: Option<Box<Call>>,
        work: impl FnOnce(&mut H3, &mut Watched<'_, T>) -> R,
    ) -> R {
        let Some(call) = call else {
            let mut t = Watched { t, observer: None };
            return self.state.work_http(&mut t, now, work);
        };
        let mut t = watched!(self, t);
        t.input(now, Input::Call(&call));
        let result = self.state.work_http(&mut t, now, work);
        self.tell(result.outcome());
        result
    }

    /// Tells what a call gave.
    fn tell(&mut self, outcome: Outcome) {
        if let Some(observer) = &mut self.observer {
            observer.outcome(outcome);
        }
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
