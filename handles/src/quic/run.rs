//! A behaviour at work on its connection, as a future.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use aqueduct_core::behaviour::{Behaviour, Config, Runner};
use aqueduct_core::event::Event;

use super::QuicConnection;
use super::mailbox::Mailbox;
use crate::alarm::Alarm;
use crate::clock::now;

/// Events taken under one hold of the lock, and messages taken in between.
const EVENTS: usize = 64;

/// Times that the lock is taken for them in one poll. What is left waits for the next.
const ROUNDS: usize = 8;

/// Messages that wait for a behaviour.
const MESSAGES: usize = 1024;

impl QuicConnection {
    /// Runs a behaviour on the connection, to the end of both: a future for a task of the
    /// runtime's. The behaviour's callbacks are called by whoever polls it, and hold up
    /// nothing but their own connection.
    pub fn run<B: Behaviour>(self, behaviour: B) -> Run<B> {
        self.run_with(Config::default(), |_| behaviour)
    }

    /// As [`run`](Self::run), with bounds of its own and a behaviour that knows the way to
    /// itself ([`Run::mailbox`]), which it may give to others.
    pub fn run_with<B: Behaviour>(
        self,
        config: Config,
        make: impl FnOnce(Mailbox<B::Message>) -> B,
    ) -> Run<B> {
        let mailbox = Mailbox::new(MESSAGES);
        let behaviour = make(mailbox.clone());
        Run {
            runner: Some(Runner::new(self.side(), behaviour, config)),
            mailbox,
            alarm: Alarm::new(&self.shared),
            connection: self,
        }
    }
}

/// A behaviour at work on its connection: gives the behaviour back when the connection is
/// over. Dropping it closes the connection with code 0, and so does a callback that panics,
/// which ends the task.
#[must_use = "nothing happens on the connection before this is polled, and a drop closes it"]
pub struct Run<B: Behaviour> {
    /// Until it is over.
    runner: Option<Runner<B>>,
    mailbox: Mailbox<B::Message>,
    alarm: Alarm,
    connection: QuicConnection,
}

impl<B: Behaviour> fmt::Debug for Run<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Run").field(&self.connection).finish()
    }
}

impl<B: Behaviour> Run<B> {
    /// The way to tell the behaviour something ([`Behaviour::message`]): 1,024 messages wait
    /// at most.
    #[must_use]
    pub fn mailbox(&self) -> Mailbox<B::Message> {
        self.mailbox.clone()
    }

    /// The connection.
    #[must_use]
    pub fn connection(&self) -> &QuicConnection {
        &self.connection
    }

    /// One round: what has come is taken, callbacks are called, what they want is done.
    /// Whether there may be more to do at once.
    fn round(&mut self, cx: &Context<'_>, time: Instant) -> bool {
        let Some(runner) = &mut self.runner else {
            return false;
        };
        let mut messages = 0;
        while messages < EVENTS
            && let Some(message) = self.mailbox.poll_next(cx)
        {
            runner.message(message);
            messages += 1;
        }
        let more = self.connection.take_events(runner, cx);
        runner.run(time);
        self.connection.apply(runner);
        more || messages == EVENTS || runner.has_work()
    }
}

impl QuicConnection {
    /// Hands events to a runner. Whether there may be more; if not, the task is woken when
    /// there are.
    fn take_events<B: Behaviour>(&self, runner: &mut Runner<B>, cx: &Context<'_>) -> bool {
        let mut locked = self.shared.lock();
        if !locked.quic_ready(self.at, cx) {
            return false;
        }
        locked.kick();
        let failed = locked.state().failed.clone();
        let time = locked.state().now();
        let Some(mut quic) = locked.state().endpoint.quic(time, self.key) else {
            return false;
        };
        for _ in 0..EVENTS {
            let Some(event) = quic.poll_event() else {
                // Nobody drives it: it has no end of its own.
                if let Some(reason) = failed {
                    let closed = Event::Closed(Box::new(reason));
                    runner.handle(&mut quic.access(), closed);
                }
                locked.quic_wait(self.at, cx);
                return false;
            };
            if let Event::Closed(reason) = &event {
                let reason = (**reason).clone();
                runner.handle(&mut quic.access(), event);
                locked.conn(self.at).closed.get_or_insert(reason);
                return false;
            }
            runner.handle(&mut quic.access(), event);
        }
        locked.conn(self.at).quic_ready = true;
        true
    }

    /// Whether nobody drives the endpoint any more.
    fn is_abandoned(&self) -> bool {
        self.shared.lock().state().failed.is_some()
    }

    /// Does what a runner's callbacks want done.
    fn apply<B: Behaviour>(&self, runner: &mut Runner<B>) {
        let mut locked = self.shared.lock();
        let time = locked.state().now();
        if let Some(mut quic) = locked.state().endpoint.quic(time, self.key) {
            runner.apply(&mut quic.access());
            locked.kick();
        }
    }
}

/// Nothing in it is ever pinned.
impl<B: Behaviour> Unpin for Run<B> {}

impl<B: Behaviour> Future for Run<B> {
    type Output = B;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<B> {
        let this = &mut *self;
        let mut time = now();
        for _ in 0..ROUNDS {
            let more = this.round(cx, time);
            time = now();
            if let Some(runner) = this.runner.take_if(|runner| runner.is_over()) {
                this.mailbox.end();
                this.alarm.clear();
                return Poll::Ready(runner.into_behaviour());
            }
            if more {
                continue;
            }
            let Some(due) = this.runner.as_ref().and_then(Runner::poll_timeout) else {
                this.alarm.clear();
                return Poll::Pending;
            };
            if this.connection.is_abandoned() {
                // Nobody will say that it is time.
                time = time.max(due.at);
            } else if this.alarm.poll(cx, due.at).is_pending() {
                return Poll::Pending;
            }
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<B: Behaviour> Drop for Run<B> {
    fn drop(&mut self) {
        self.mailbox.end();
    }
}
