//! The way of an event from the core to whoever waits for it.

use std::task::Waker;

use aqueduct_core::code::Code;
use aqueduct_core::connection::Access;
use aqueduct_core::endpoint::QuinnTransport;
use aqueduct_core::error::CloseReason;
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::id::{ConnKey, Dir, SessionKey, Side, StreamKey};
use aqueduct_core::quic;
use aqueduct_core::webtransport::{SessionClose, SessionEvent};

use crate::clock::now;
use crate::kept::Kept;
use crate::place::{ConnTopic, MessageTopic, SessionTopic};
use crate::table::{Answer, Conn, FORBIDDEN, INTERIMS, State, Stream};

impl State {
    /// Files one event. The wakers it makes due go to `wakes`, to be fired
    /// after the lock. O(1), but for the end of a session or connection.
    pub(crate) fn route(&mut self, key: ConnKey, event: Event, wakes: &mut Vec<Waker>) {
        let at = match self.find_conn(key) {
            Some(at) => at,
            // The first word of a connection that a client opened to us.
            None => self.insert_conn(key, Side::Server),
        };
        let conn = &mut self.conns[at];
        match event {
            Event::Connected { early } => {
                conn.connected = true;
                conn.early = Some(early);
                conn.wake(ConnTopic::State, wakes);
                self.offer(at, wakes);
            }
            Event::Quic(quic::Event::Ready) => self.on_quic_ready(at, wakes),
            Event::Closed(reason) => {
                tracing::debug!(connection = ?key, %reason, "closed");
                self.keep_unread(at, key, &reason);
                let conn = &mut self.conns[at];
                conn.close(&reason, wakes);
                if !conn.handle {
                    self.accepted.retain(|waiting| *waiting != at);
                    self.remove_conn(at);
                }
                self.waiters.wake(wakes);
            }
            event => {
                let began = match &event {
                    Event::Request { stream, .. } => Some(*stream),
                    Event::WebTransport(key, SessionEvent::Requested(_)) => Some(key.stream()),
                    _ => None,
                };
                if let Some(stream) = began
                    && let Some(mut core) = self.endpoint.connection(now(), key)
                {
                    core.access().hold(stream);
                }
                let early = matches!(event, Event::Request { early: true, .. });
                conn.route(event, wakes);
                if early {
                    self.offer(at, wakes);
                }
                let conn = &mut self.conns[at];
                if let Some(forgotten) = conn.forgotten.take() {
                    self.reject(key, forgotten);
                }
                self.let_go(at);
                self.leave_unused(at);
            }
        }
    }

    /// Gives a connection that a client opened to whoever accepts, once: when it has shaken
    /// hands, or when a request has come before that.
    fn offer(&mut self, at: usize, wakes: &mut Vec<Waker>) {
        let conn = &mut self.conns[at];
        if conn.side == Side::Client || std::mem::replace(&mut conn.offered, true) {
            return;
        }
        if self.closing {
            let key = conn.key;
            self.refuse(key);
            return;
        }
        self.accepted.push_back(at);
        self.waiters.wake(wakes);
    }

    /// Ends a request that nobody has seen.
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1.1
    // Nothing was done for it, so that it is rejected rather than cancelled.
    fn reject(&mut self, conn: ConnKey, stream: StreamKey) {
        let code = Code::H3_REQUEST_REJECTED.value();
        if let Some(mut core) = self.endpoint.connection(now(), conn) {
            end_both(&mut core.access(), stream, code);
            self.owed = true;
        }
    }

    /// Tells the core that nobody works for these requests and sessions any more.
    pub(crate) fn let_go(&mut self, at: usize) {
        let Some(conn) = self.conns.get_mut(at) else {
            return;
        };
        let gone = std::mem::take(&mut conn.let_go);
        // A connection that the core has forgotten holds nothing.
        if !gone.is_empty()
            && let Some(mut core) = self.endpoint.connection(now(), conn.key)
        {
            let mut core = core.access();
            gone.into_iter().for_each(|stream| core.release(stream));
        }
    }

    /// A connection has ended that the client's answers came on: those that somebody
    /// reads are taken out of it, since QUIC forgets it soon. Who closed it itself has
    /// given them up.
    fn keep_unread(&mut self, at: usize, key: ConnKey, reason: &CloseReason) {
        let conn = &mut self.conns[at];
        if conn.side == Side::Server || matches!(reason, CloseReason::Local { .. }) {
            return;
        }
        for (_, stream) in &mut conn.streams {
            if stream.message.is_none() || stream.refs == 0 || stream.recv_over.is_some() {
                continue;
            }
            let mut kept = Kept::default();
            // Each read is a turn of its own.
            while let Some(mut core) = self.endpoint.connection(now(), key)
                && kept.fill(&mut core.access(), stream.key)
            {}
            if !kept.is_empty() {
                stream.kept = Some(Box::new(kept));
            }
        }
    }
}

/// Ends what of a stream is not over.
pub(crate) fn end_both(core: &mut Access<'_, QuinnTransport<'_>>, stream: StreamKey, code: u64) {
    // What is over already need not end.
    if let Ok(mut send) = core.send(stream) {
        let _ = send.reset(code);
    }
    if let Ok(mut recv) = core.recv(stream) {
        let _ = recv.stop(code);
    }
}

impl Conn {
    fn route(&mut self, event: Event, wakes: &mut Vec<Waker>) {
        match event {
            Event::Settings(_) => self.wake(ConnTopic::State, wakes),
            Event::Draining { by } => {
                self.draining = Some(by);
                // Whoever waits to open something learns that it is in vain.
                self.waiters
                    .iter_mut()
                    .for_each(|waiters| waiters.wake(wakes));
            }
            Event::Ticket => {
                self.ticket = true;
                self.wake(ConnTopic::State, wakes);
            }
            Event::Available(dir) => {
                self.credits += u64::from(dir == Dir::Bi);
                self.wake(ConnTopic::credit(dir), wakes);
            }
            Event::Request {
                stream,
                head,
                early,
            } => {
                let mut entry = Stream::message(stream).held();
                if let Some(message) = &mut entry.message {
                    message.early = early;
                }
                let at = self.insert_stream(entry);
                self.requests.push_back((at, head));
                self.wake(ConnTopic::Requests, wakes);
            }
            Event::Claimed { stream, ty } => {
                let at = self.insert_stream(Stream::claimed(stream, false));
                self.claimed.push_back((at, ty));
                self.wake(ConnTopic::Claimed, wakes);
            }
            Event::Interim { stream, head } => {
                if let Some(stream) = self.entry(stream)
                    && let Some(message) = &mut stream.message
                {
                    if message.interims.len() == INTERIMS {
                        message.interims.pop_front();
                    }
                    message.interims.push_back(head);
                    stream.wake_read(wakes);
                }
            }
            Event::Response { stream, head } => {
                if let Some(stream) = self.entry(stream)
                    && let Some(message) = &mut stream.message
                {
                    message.response = Some(head);
                    stream.wake_read(wakes);
                }
            }
            Event::Trailers { stream, trailers } => {
                self.trailers += 1;
                if let Some(stream) = self.entry(stream)
                    && let Some(message) = &mut stream.message
                {
                    message.trailers = Some(trailers);
                    stream.wake_read(wakes);
                }
            }
            Event::Stream(key, event) => self.stream_event(key, event, wakes),
            Event::WebTransport(key, event) => self.session_event(key, event, wakes),
            other => tracing::trace!(event = ?other, "not for the handles"),
        }
    }

    fn entry(&mut self, key: StreamKey) -> Option<&mut Stream> {
        let at = self.find_stream(key)?;
        self.streams.get_mut(at)
    }

    fn stream_event(&mut self, key: StreamKey, event: StreamEvent, wakes: &mut Vec<Waker>) {
        let Some(at) = self.find_stream(key) else {
            return;
        };
        self.on_stream(at, key, event, wakes);
        self.retire_message(at);
    }

    fn on_stream(&mut self, at: usize, key: StreamKey, event: StreamEvent, wakes: &mut Vec<Waker>) {
        let Some(stream) = self.streams.get_mut(at) else {
            return;
        };
        match event {
            StreamEvent::Readable => return stream.wake_read(wakes),
            StreamEvent::Writable => return stream.wake_write(wakes),
            StreamEvent::Delivered => {
                stream.delivered = true;
                stream.wake_message(MessageTopic::Cancelled, wakes);
                return stream.watchers.wake(wakes);
            }
            StreamEvent::Stopped(code) => {
                stream.stopped.get_or_insert(code);
                if stream.refs > 0 {
                    stream.wake_message(MessageTopic::Unblocked, wakes);
                    stream.wake_message(MessageTopic::Cancelled, wakes);
                    return stream.wake_write(wakes);
                }
            }
            StreamEvent::Datagrams => {
                return stream.wake_message(MessageTopic::Datagrams, wakes);
            }
            StreamEvent::DatagramsUnblocked => {
                return stream.wake_message(MessageTopic::Unblocked, wakes);
            }
            StreamEvent::Reset(code) => {
                stream.reset.get_or_insert(code);
            }
            StreamEvent::Malformed(why) => {
                stream.malformed.get_or_insert(why);
            }
            StreamEvent::Unprocessed => stream.unprocessed = true,
            StreamEvent::EarlyDataRejected => stream.early_rejected = true,
            StreamEvent::SessionGone => {}
            other => {
                tracing::trace!(event = ?other, "not for the handles");
                return;
            }
        }
        stream.wake_all(wakes);
        if stream.refs == 0 {
            self.forget_request(key, wakes);
        }
    }

    /// A request that was cancelled before anybody saw it needs no answer.
    /// O(waiting requests).
    fn forget_request(&mut self, key: StreamKey, wakes: &mut Vec<Waker>) {
        let Some(at) = self.find_stream(key) else {
            return;
        };
        if let Some(queued) = self.requests.iter().position(|(waiting, _)| *waiting == at) {
            self.requests.remove(queued);
            self.forgotten = Some(key);
            self.remove_stream(at, wakes);
        }
    }

    fn session_event(&mut self, key: SessionKey, event: SessionEvent, wakes: &mut Vec<Waker>) {
        if let SessionEvent::Requested(request) = event {
            let at = self.insert_stream(Stream::session(key).held());
            self.sessions.push_back((key, at, request));
            return self.wake(ConnTopic::Sessions, wakes);
        }
        if let SessionEvent::Forbidden(request) = event {
            if self.forbidden.len() == FORBIDDEN {
                self.forbidden.pop_front();
            }
            self.forbidden.push_back(request);
            return self.wake(ConnTopic::Forbidden, wakes);
        }
        let Some(at) = self.find_stream(key.stream()) else {
            return;
        };
        if let SessionEvent::Opened { stream, dir } = event {
            let Some(end) = self.streams[at].end.clone() else {
                return;
            };
            let opened = self.insert_stream(Stream::data(stream, end));
            if let Some(session) = &mut self.streams[at].session {
                session.incoming(dir).push_back(opened);
                session.wake(SessionTopic::accept(dir), wakes);
            }
            return;
        }
        let stream = &mut self.streams[at];
        let Some(session) = &mut stream.session else {
            return;
        };
        match event {
            SessionEvent::Established(answer) => {
                session.answer = Some(Answer::Established(answer));
                session.wake(SessionTopic::State, wakes);
            }
            SessionEvent::Rejected { status, answer } => {
                session.answer = Some(Answer::Rejected(status, answer));
                session.over = true;
                session.wake(SessionTopic::State, wakes);
                if stream.refs == 0 {
                    self.remove_stream(at, wakes);
                }
            }
            SessionEvent::StreamsAvailable(dir) => session.wake(SessionTopic::open(dir), wakes),
            SessionEvent::Datagrams => session.wake(SessionTopic::Datagrams, wakes),
            SessionEvent::DatagramsUnblocked => {
                session.wake(SessionTopic::DatagramsUnblocked, wakes);
            }
            SessionEvent::Draining => {
                session.draining = true;
                session.wake(SessionTopic::State, wakes);
            }
            SessionEvent::Closed(close) => self.session_closed(at, *close, wakes),
            other => tracing::trace!(event = ?other, "not for the handles"),
        }
    }

    /// Tells a session's end to everybody in it. O(streams of the connection).
    fn session_closed(&mut self, at: usize, close: SessionClose, wakes: &mut Vec<Waker>) {
        let Some(end) = self.streams[at].end.clone() else {
            return;
        };
        // The core tells an end exactly once.
        let _ = end.set(Box::new(close));
        self.retire_session(&end, wakes);
        // Whoever waits for stream credit may want it for this session.
        self.wake(ConnTopic::Bi, wakes);
        self.wake(ConnTopic::Uni, wakes);
        let refused = |(_, waiting, _): &(SessionKey, usize, _)| *waiting != at;
        self.sessions.retain(refused);
        if self.streams[at].refs == 0 {
            self.remove_stream(at, wakes);
        }
    }
}
