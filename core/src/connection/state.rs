//! The state machine behind a [`Connection`](super::Connection): HTTP/3 below,
//! sessions above, the application's events, the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::code::Code;
use crate::config::Config;
use crate::error::CloseReason;
use crate::event::Event;
use crate::h3::H3Event;
use crate::h3::connection::H3;
use crate::id::{SessionKey, Side, StreamKey};
use crate::session::{self, Cx, Sessions};
use crate::time::{Deadline, Why, earliest};
use crate::transport::{Transport, TransportEvent};

/// How long a server that has wound a connection down waits before it closes it. Everything was
/// acknowledged by then, but acknowledged is not read: what a client's application has not taken
/// yet would be lost with the connection.
const LINGER: Duration = Duration::from_millis(200);

/// What a connection is.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) h3: H3,
    pub(crate) sessions: Sessions,
    pub(super) events: VecDeque<Event>,
    pub(crate) life: Life,
    /// When a graceful shutdown gives up waiting.
    drain_until: Option<Instant>,
}

/// Where the connection is in its life.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Life {
    Handshaking,
    Established,
    Closed,
}

impl State {
    pub(super) fn new(side: Side, config: Arc<Config>, seed: u64) -> Self {
        let claims = session::claims(config.webtransport);
        Self {
            h3: H3::new(side, config, seed, claims),
            sessions: Sessions::new(),
            events: VecDeque::new(),
            life: Life::Handshaking,
            drain_until: None,
        }
    }

    /// The event is not moved: copying it costs more than handling a datagram.
    pub(super) fn handle<T: Transport>(&mut self, t: &mut T, now: Instant, event: &TransportEvent) {
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
            TransportEvent::Available(dir) => self.events.push_back(Event::Available(*dir)),
            _ => {}
        }
        self.h3.handle(t, event);
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
                self.finish(t, now, reason.clone());
                return;
            }
            _ => {}
        }
        self.settle(t, now);
    }

    pub(super) fn handle_timeout<T: Transport>(&mut self, t: &mut T, now: Instant) {
        let mut cx = Cx {
            h3: &mut self.h3,
            t,
            out: &mut self.events,
            now,
        };
        let result = self.sessions.handle_timeout(&mut cx);
        cx.h3.fail(cx.t, result);
        self.settle(t, now);
        if self.drain_until.is_some_and(|until| until <= now) {
            self.close_drained(t, now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
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

    /// Turns what the layers have to tell into events, until they are silent.
    fn settle<T: Transport>(&mut self, t: &mut T, now: Instant) {
        while let Some(event) = self.h3.poll_event() {
            if let H3Event::Failed(why) = event {
                let reason = CloseReason::PeerMisbehaved {
                    code: why.code(),
                    why,
                };
                self.finish(t, now, reason.clone());
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

    /// Does something, and what follows from it.
    pub(super) fn work<T: Transport, R>(
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

    /// The oldest datagram that waits for a session or request.
    pub(super) fn pop_datagram(&mut self, stream: StreamKey) -> Option<Bytes> {
        let Self { h3, sessions, .. } = self;
        let payload = sessions.rings.pop(h3, stream)?;
        if let Some(session) = sessions.registry.get_mut(h3, SessionKey(stream)) {
            session.stats.datagrams_received += 1;
        }
        Some(payload)
    }

    /// Begins a graceful shutdown.
    pub(super) fn wind_down<T: Transport>(&mut self, t: &mut T, now: Instant, until: Instant) {
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
            t.close(Code::H3_NO_ERROR.value(), Bytes::new());
            self.finish(t, now, CloseReason::Drained);
        }
    }

    pub(super) fn close<T: Transport>(
        &mut self,
        t: &mut T,
        now: Instant,
        code: Code,
        reason: Bytes,
    ) {
        t.close(code.value(), reason.clone());
        self.finish(t, now, CloseReason::Local { code, reason });
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
