//! The state machine behind a [`Connection`](super::Connection): HTTP/3 below,
//! sessions above, the application's events, the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::code::Code;
use crate::config::Config;
use crate::error::{CloseReason, RequestError};
use crate::event::Event;
use crate::h3::H3Event;
use crate::h3::connection::H3;
use crate::head::RequestHead;
use crate::id::{Side, StreamKey};
use crate::session::{self, Cx, Sessions};
use crate::time::{Deadline, Why, after, earliest};
use crate::transport::{EarlyData, Transport, TransportEvent};
use crate::webtransport::OpenSessionError;
use crate::wire::settings::Settings;

/// How long a server that has wound a connection down waits before it closes it, when it has
/// never sent a byte of an answer: requests that crossed its GOAWAY are still told that they were
/// not looked at.
const LINGER: Duration = Duration::from_millis(200);

/// How long a client may take to read what it has and close, when a server winds a connection down
/// because nothing is asked of it: a client that ignores GOAWAY is not waited for any longer.
const UNREAD: Duration = Duration::from_secs(30);

/// How long sessions that are ended with their connection may take, before it closes.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a connection is.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) h3: H3,
    pub(crate) sessions: Sessions,
    pub(super) events: VecDeque<Event>,
    pub(crate) life: Life,
    /// When a graceful shutdown gives up waiting.
    drain_until: Option<Instant>,
    /// It has given up: sessions are closed, and the connection follows.
    farewell: bool,
    /// Early data can be sent, or comes, while the handshake is under way.
    early_begun: bool,
    /// What became of it, once established.
    early: Option<EarlyData>,
    /// Why it ended.
    ended: Option<Box<CloseReason>>,
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
        let claims = session::claims(config.webtransport.enabled);
        Self {
            sessions: Sessions::new(side, &config),
            h3: H3::new(side, config, seed, claims),
            events: VecDeque::new(),
            life: Life::Handshaking,
            drain_until: None,
            farewell: false,
            early_begun: false,
            early: None,
            ended: None,
        }
    }

    /// The event is not moved: copying it costs more than handling a datagram.
    pub(super) fn handle<T: Transport>(&mut self, t: &mut T, now: Instant, event: &TransportEvent) {
        self.h3.at(now);
        match event {
            TransportEvent::Datagrams => {
                let (sessions, mut cx) = self.split(t, now);
                let result = sessions.on_datagrams(&mut cx);
                cx.h3.fail(cx.t, result);
            }
            TransportEvent::Readable(id) => self.h3.on_readable(t, *id),
            TransportEvent::Writable(id) => self.h3.on_writable(t, *id),
            TransportEvent::Finished(id) => self.h3.on_finished(t, *id),
            TransportEvent::Stopped(id, code) => self.h3.on_stopped(t, *id, *code),
            TransportEvent::Opened(dir) => self.h3.on_opened(t, *dir),
            TransportEvent::Available(dir) => {
                self.events.push_back(Event::Available(*dir));
                self.h3.flush_local(t);
            }
            TransportEvent::Ticket => self.events.push_back(Event::Ticket),
            // Of raw QUIC.
            TransportEvent::About(_) | TransportEvent::StreamsBlocked(_) => {}
            TransportEvent::DatagramsUnblocked => {
                let (sessions, mut cx) = self.split(t, now);
                sessions.on_datagrams_unblocked(&mut cx);
            }
            TransportEvent::Early { remembered } => self.on_early(t, now, remembered.as_deref()),
            TransportEvent::Connected { early } => self.on_connected(t, now, *early),
            TransportEvent::Closed(reason) => {
                self.finish(t, now, reason.clone());
                return;
            }
        }
        self.settle_if_due(t, now);
    }

    /// Early data may go out, or comes: what a connection begins with is said now.
    fn on_early<T: Transport>(&mut self, t: &mut T, now: Instant, remembered: Option<&Settings>) {
        if self.life != Life::Handshaking || self.early_begun {
            return;
        }
        // Nothing is known of a server by which anything could be sent to it.
        if self.h3.side == Side::Client && remembered.is_none() {
            return;
        }
        self.early_begun = true;
        if let Some(settings) = remembered.filter(|_| self.h3.side == Side::Client) {
            self.h3.remember(settings);
        }
        self.greet(t, now);
    }

    fn on_connected<T: Transport>(&mut self, t: &mut T, now: Instant, early: EarlyData) {
        self.life = Life::Established;
        self.early = Some(early);
        self.events.push_back(Event::Connected { early });
        //= https://www.rfc-editor.org/rfc/rfc9001#section-4.6.2
        // A client whose early data was not taken begins again, as if it had sent none.
        let rejected = early == EarlyData::Rejected;
        let again = self.early_begun && self.h3.side == Side::Client && rejected;
        if again {
            self.h3.reject_early();
            self.tell(t, now);
            self.h3.restart();
        }
        self.h3.established();
        if self.h3.exchanges == 0 {
            self.h3.idle_since = Some(now);
        }
        if again || !self.early_begun {
            self.greet(t, now);
        }
        // Sessions that clients have asked for too early.
        let (sessions, mut cx) = self.split(t, now);
        let result = sessions.ask_all(&mut cx);
        cx.h3.fail(cx.t, result);
    }

    /// Opens the critical streams and says SETTINGS.
    fn greet<T: Transport>(&mut self, t: &mut T, now: Instant) {
        let (sessions, mut cx) = self.split(t, now);
        sessions.announce(&mut cx);
        self.h3.begin(t);
    }

    /// The session storey, and what it works on.
    #[inline]
    fn split<'a, T>(&'a mut self, t: &'a mut T, now: Instant) -> (&'a mut Sessions, Cx<'a, T>) {
        let cx = Cx {
            h3: &mut self.h3,
            t,
            out: &mut self.events,
            now,
        };
        (&mut self.sessions, cx)
    }

    pub(super) fn handle_timeout<T: Transport>(&mut self, t: &mut T, now: Instant) {
        self.h3.resume(t, now);
        self.h3.handle_waits(t, now);
        self.h3.handle_greeting(t, now);
        self.h3.handle_acks(t, now);
        let (sessions, mut cx) = self.split(t, now);
        let result = sessions.handle_timeout(&mut cx);
        cx.h3.fail(cx.t, result);
        self.settle(t, now);
        if self.drain_until.is_some_and(|until| until <= now) {
            self.give_up(t, now);
        } else if self.idle_until().is_some_and(|until| until <= now) {
            self.h3.stats.idled_out = true;
            self.wind_down(t, now, after(now, UNREAD));
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        if self.life == Life::Closed {
            return None;
        }
        let sessions = self.sessions.poll_timeout();
        let drain = self.drain_until.map(|at| Deadline {
            at,
            why: Why::Drain,
        });
        let idle = self.idle_until().map(|at| Deadline { at, why: Why::Idle });
        let due = [
            sessions,
            drain,
            self.h3.wait_due(),
            self.h3.greeting_due(),
            self.h3.acks_due(),
            idle,
        ];
        due.into_iter().fold(self.h3.turn_due(), earliest)
    }

    /// When a server gives up a connection on which nothing is asked of it.
    fn idle_until(&self) -> Option<Instant> {
        let wanted = self.h3.side == Side::Client || self.drain_until.is_some();
        let wait = self.h3.config.limits.idle_timeout;
        let since = self.h3.idle_since.filter(|_| !wanted)?;
        (wait != Duration::MAX).then(|| after(since, wait))
    }

    /// Whether it ends when nothing is left to do: this side drains, or a client's server
    /// does.
    #[inline]
    fn is_winding_down(&self) -> bool {
        let by_server = || self.h3.side == Side::Client && self.h3.goaway_received.is_some();
        self.drain_until.is_some() || by_server()
    }

    /// Settles what there may be to settle: most often nothing.
    #[inline]
    fn settle_if_due<T: Transport>(&mut self, t: &mut T, now: Instant) {
        if self.h3.has_events() || self.is_winding_down() {
            self.settle(t, now);
        }
    }

    /// Turns what the layers have to tell into events, until they are silent.
    #[inline(never)]
    fn settle<T: Transport>(&mut self, t: &mut T, now: Instant) {
        self.tell(t, now);
        if self.life != Life::Established {
            return;
        }
        match self.h3.side {
            //= https://www.rfc-editor.org/rfc/rfc9114#section-5.2
            // Nothing new may be asked after GOAWAY, and all answers have been read: that is the
            // client's to know, so it is who closes.
            Side::Client => {
                if self.is_winding_down() && !self.h3.table.has_work() {
                    self.close_drained(t, now);
                }
            }
            // A server knows what was acknowledged, which is not what was read. It waits for the
            // client, unless that can have nothing left to read.
            Side::Server => {
                let unused = self.h3.exchanges == 0 && self.h3.sent == 0;
                if let Some(until) = self.drain_until.filter(|_| unused) {
                    self.drain_until = Some(until.min(after(now, LINGER)));
                }
            }
        }
        if self.farewell && self.sessions.are_over() {
            self.close_drained(t, now);
        }
    }

    /// Takes in what the layers have to tell.
    fn tell<T: Transport>(&mut self, t: &mut T, now: Instant) {
        while let Some(event) = self.h3.poll_event() {
            if let H3Event::Failed(why) = event {
                let reason = CloseReason::PeerMisbehaved {
                    code: why.code(),
                    why,
                };
                self.finish(t, now, reason.clone());
                return;
            }
            let (sessions, mut cx) = self.split(t, now);
            let result = sessions.handle(&mut cx, event);
            self.h3.fail(t, result);
        }
    }

    /// A graceful shutdown has waited long enough: what is left ends, sessions by the close capsule
    /// first, which tells their applications more than the end of the connection would.
    fn give_up<T: Transport>(&mut self, t: &mut T, now: Instant) {
        if self.farewell || self.sessions.are_over() {
            self.close_drained(t, now);
            return;
        }
        self.farewell = true;
        self.drain_until = Some(after(now, FAREWELL));
        self.work(t, now, |sessions, cx| sessions.close_all(cx));
    }

    /// What became of early data, once established.
    pub(super) fn early_data(&self) -> Option<EarlyData> {
        self.early
    }

    /// Why it ended, if it has.
    pub(super) fn close_reason(&self) -> Option<&CloseReason> {
        self.ended.as_deref()
    }

    /// Whether this side may begin something new.
    pub(super) fn may_open(&self) -> Result<(), RequestError> {
        match self.life {
            Life::Handshaking => return Err(RequestError::NotConnected),
            Life::Closed => return Err(RequestError::Closed),
            Life::Established => {}
        }
        self.h3.may_request()
    }

    /// Whether this request may be sent: early data may while the handshake is under way.
    pub(super) fn may_request(&self, head: &RequestHead) -> Result<(), RequestError> {
        if self.may_send_early() && head.may_be_early() {
            return self.h3.may_request();
        }
        self.may_open()
    }

    /// Whether something may be sent as early data (client).
    pub(super) fn may_send_early(&self) -> bool {
        self.life == Life::Handshaking && self.early_begun && self.h3.side == Side::Client
    }

    /// Whether a session could be asked for now.
    pub(super) fn may_open_session<T: Transport>(&self, t: &T) -> Result<(), OpenSessionError> {
        self.may_open()?;
        self.sessions.may_open(&self.h3, t)
    }

    /// Does something, and what follows from it.
    pub(super) fn work<T: Transport, R>(
        &mut self,
        t: &mut T,
        now: Instant,
        work: impl FnOnce(&mut Sessions, &mut Cx<'_, T>) -> R,
    ) -> R {
        self.h3.at(now);
        let (told, over) = (self.events.len(), self.life == Life::Closed);
        let (sessions, mut cx) = self.split(t, now);
        let result = work(sessions, &mut cx);
        self.follow(t, now, told, over);
        result
    }

    /// The same for what concerns HTTP alone.
    pub(super) fn work_http<T: Transport, R>(
        &mut self,
        t: &mut T,
        now: Instant,
        work: impl FnOnce(&mut H3, &mut T) -> R,
    ) -> R {
        self.h3.at(now);
        let (told, over) = (self.events.len(), self.life == Life::Closed);
        let result = work(&mut self.h3, t);
        self.follow(t, now, told, over);
        result
    }

    /// What follows from a call: most often nothing.
    #[inline]
    fn follow<T: Transport>(&mut self, t: &mut T, now: Instant, told: usize, over: bool) {
        self.settle_if_due(t, now);
        if over {
            // What had arrived can still be read, but `Closed` was the last event.
            self.events.truncate(told);
        }
    }

    /// The oldest datagram that waits for a session or request.
    pub(super) fn pop_datagram(&mut self, stream: StreamKey) -> Option<Bytes> {
        self.sessions.pop_datagram(&mut self.h3, stream)
    }

    /// Begins a graceful shutdown.
    pub(super) fn wind_down<T: Transport>(&mut self, t: &mut T, now: Instant, until: Instant) {
        let first = self.drain_until.is_none();
        let until = self.drain_until.map_or(until, |before| before.min(until));
        self.drain_until = Some(until);
        if self.life == Life::Handshaking && !self.early_begun {
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
            // A client that does not drain itself has a server that does.
            let reason = match self.drain_until {
                Some(_) => CloseReason::Drained,
                None => CloseReason::PeerDrained,
            };
            self.finish(t, now, reason);
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
        let (sessions, mut cx) = self.split(t, now);
        sessions.end_all(&mut cx, &reason);
        while self.h3.poll_event().is_some() {}
        self.ended = Some(Box::new(reason.clone()));
        self.events.push_back(Event::Closed(Box::new(reason)));
    }
}
