//! Runs the behaviour of a session.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use http::StatusCode;

use super::{
    SessionAction, SessionActionError, SessionBehaviour, SessionContext, SessionResult, Terminated,
};
use crate::behaviour::action::{Actions, Failure};
use crate::behaviour::config::Config;
use crate::connection::Access;
use crate::error::{PeerCode, ReadError};
use crate::event::{Event, StreamEvent};
use crate::id::{Dir, SessionKey, StreamKey};
use crate::time::{Deadline, Why, after};
use crate::transport::{ReadState, Transport};
use crate::webtransport::SessionEvent;

/// Chunks that are taken at once.
const CHUNKS: usize = 16;

/// A behaviour at work on one WebTransport session.
///
/// Events of the connection go in by [`Self::handle`], which gives back those that are not
/// the session's; then there are turns of [`Self::run`] and [`Self::apply`] while
/// [`Self::has_work`] says so. Once the session is over, `run` alone is wanted. Where the
/// connection is gone before, events go to [`Self::handle_gone`].
pub struct SessionRunner<S: SessionBehaviour> {
    behaviour: S,
    session: SessionKey,
    config: Config,
    streams: BTreeMap<StreamKey, Stream>,
    due: VecDeque<Due<S::Message>>,
    todo: VecDeque<SessionAction>,
    /// Streams that want something of the connection; each stands here once.
    waiting: VecDeque<StreamKey>,
    datagrams: usize,
    datagrams_waiting: bool,
    wake: Option<Instant>,
    ended: Option<Terminated>,
    over: bool,
}

/// One stream.
#[derive(Debug, Default)]
struct Stream {
    readable: bool,
    /// Pieces in `due`.
    pieces: usize,
    received: bool,
    sent: bool,
    /// The sending half is to end when `sends` are gone.
    finish: bool,
    blocked: bool,
    sends: VecDeque<Bytes>,
    queued: usize,
    in_wait: bool,
    closing: bool,
}

/// A callback that is due.
enum Due<M> {
    Opened,
    StreamOpened(StreamKey, bool),
    Data(StreamKey, Bytes, bool),
    Aborted(StreamKey, bool, PeerCode),
    StreamClosed(StreamKey),
    Datagram(Bytes),
    Message(M),
    Draining,
    Failed(SessionActionError),
}

impl<S: SessionBehaviour> SessionRunner<S> {
    /// A session that was asked for and is not established (client).
    #[must_use]
    pub fn asked(session: SessionKey, behaviour: S, config: Config) -> Self {
        Self {
            behaviour,
            session,
            config,
            streams: BTreeMap::new(),
            due: VecDeque::new(),
            todo: VecDeque::new(),
            waiting: VecDeque::new(),
            datagrams: 0,
            datagrams_waiting: false,
            wake: None,
            ended: None,
            over: false,
        }
    }

    /// A session that was accepted (server).
    #[must_use]
    pub fn accepted(session: SessionKey, behaviour: S, config: Config) -> Self {
        let mut runner = Self::asked(session, behaviour, config);
        runner.due.push_back(Due::Opened);
        runner
    }

    /// Takes an event of the connection, and what has arrived. Gives it back if it is not the
    /// session's.
    pub fn handle<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        event: Event,
    ) -> Option<Event> {
        match event {
            Event::WebTransport(session, event) if session == self.session => {
                self.on_session(access, event);
            }
            Event::Stream(key, event) if self.streams.contains_key(&key) => {
                self.on_stream(access, key, event);
            }
            other => return Some(other),
        }
        None
    }

    fn on_session<T: Transport>(&mut self, access: &mut Access<'_, T>, event: SessionEvent) {
        match event {
            SessionEvent::Opened { stream, dir } => {
                self.insert(stream, dir, stream.id().initiator() == access.side());
                self.due.push_back(Due::StreamOpened(stream, true));
                self.wait(stream);
            }
            SessionEvent::Datagrams => {
                self.datagrams_waiting = true;
                self.take_datagrams(access);
            }
            other => self.note(other),
        }
    }

    /// As [`Self::handle`], where the connection is gone already, and what had arrived with it:
    /// the end of the session is told all the same.
    pub fn handle_gone(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::WebTransport(session, event) if session == self.session => {
                self.note(event);
                None
            }
            Event::Stream(key, _) if self.streams.contains_key(&key) => None,
            other => Some(other),
        }
    }

    fn note(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Established(_) => self.due.push_back(Due::Opened),
            SessionEvent::Rejected { status, .. } => self.end(Terminated::Rejected(status)),
            SessionEvent::Forbidden(_) => self.end(Terminated::Rejected(StatusCode::FORBIDDEN)),
            SessionEvent::Draining => self.due.push_back(Due::Draining),
            SessionEvent::Closed(how) => self.end(Terminated::Closed(*how)),
            _ => {}
        }
    }

    fn insert(&mut self, key: StreamKey, dir: Dir, own: bool) {
        let stream = Stream {
            // What came with it is not told by itself.
            readable: true,
            received: dir == Dir::Uni && own,
            sent: dir == Dir::Uni && !own,
            ..Stream::default()
        };
        self.streams.insert(key, stream);
    }

    fn end(&mut self, how: Terminated) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(how);
        self.todo.clear();
        self.waiting.clear();
        let keys: Vec<_> = self.streams.keys().copied().collect();
        for key in keys {
            self.close_stream(key);
        }
    }

    fn on_stream<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        key: StreamKey,
        event: StreamEvent,
    ) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        match event {
            StreamEvent::Readable => stream.readable = true,
            StreamEvent::Writable => stream.blocked = false,
            StreamEvent::Stopped(code) => {
                stream.end_sending();
                self.due.push_back(Due::Aborted(key, false, code));
            }
            StreamEvent::Reset(code) => self.on_reset(key, code),
            StreamEvent::SessionGone => self.close_stream(key),
            _ => {}
        }
        self.serve(access, key);
    }

    fn on_reset(&mut self, key: StreamKey, code: PeerCode) {
        if let Some(stream) = self.streams.get_mut(&key)
            && !std::mem::replace(&mut stream.received, true)
        {
            self.due.push_back(Due::Aborted(key, true, code));
        }
    }

    fn close_stream(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(&key)
            && !std::mem::replace(&mut stream.closing, true)
        {
            self.due.push_back(Due::StreamClosed(key));
        }
    }

    // ---- callbacks ------------------------------------------------------------------

    /// Calls what is due, at most [`Config::callbacks`] and `timeout`, without the connection.
    pub fn run(&mut self, now: Instant) {
        if self.over {
            return;
        }
        let mut left = self.config.callbacks.max(1);
        if self.wake.is_some_and(|at| at <= now) {
            self.wake = None;
            self.call(now, |it, cx| it.timeout(cx));
        }
        while left > 0
            && let Some(due) = self.due.pop_front()
        {
            left -= 1;
            self.dispatch(now, due);
        }
        if left > 0
            && let Some(how) = self.ended.as_ref().filter(|_| self.due.is_empty())
        {
            self.over = true;
            let cx = SessionContext {
                session: self.session,
                now,
                streams: 0,
            };
            self.behaviour.terminate(&cx, how);
        }
    }

    fn dispatch(&mut self, now: Instant, due: Due<S::Message>) {
        match due {
            Due::Opened => self.call(now, |it, cx| it.opened(cx)),
            Due::StreamOpened(key, by_peer) => {
                self.call(now, |it, cx| it.stream_opened(cx, key, by_peer));
            }
            Due::Data(key, data, fin) => {
                // Nobody is told of a stream that is stopped.
                let Some(stream) = self.streams.get_mut(&key) else {
                    return;
                };
                stream.pieces = stream.pieces.saturating_sub(1);
                self.call(now, |it, cx| match fin {
                    true => it.stream_fin(cx, key, data),
                    false => it.stream(cx, key, data),
                });
                self.wait(key);
            }
            Due::Aborted(key, sending, code) => {
                self.call(now, |it, cx| it.stream_aborted(cx, key, sending, code));
                self.settle(key);
            }
            Due::StreamClosed(key) => {
                self.streams.remove(&key);
                self.call(now, |it, cx| it.stream_closed(cx, key));
            }
            Due::Datagram(datagram) => {
                self.datagrams = self.datagrams.saturating_sub(1);
                self.call(now, |it, cx| it.datagram(cx, datagram));
            }
            Due::Message(message) => self.call(now, |it, cx| it.message(cx, message)),
            Due::Draining => self.call(now, |it, cx| it.draining(cx)),
            Due::Failed(why) => self.call(now, |it, cx| it.action_failed(cx, why)),
        }
    }

    fn call(&mut self, now: Instant, call: impl FnOnce(&mut S, &SessionContext) -> SessionResult) {
        let cx = SessionContext {
            session: self.session,
            now,
            streams: self.streams.len(),
        };
        let result = call(&mut self.behaviour, &cx);
        if self.ended.is_some() {
            return;
        }
        match result {
            Ok(actions) => self.perform(now, actions),
            Err(Failure { code, reason }) => {
                let code = u32::try_from(code).unwrap_or(u32::MAX);
                let reason = shorten(&String::from_utf8_lossy(&reason));
                self.todo.push_back(SessionAction::Close(code, reason));
            }
        }
    }

    fn perform(&mut self, now: Instant, actions: Actions<SessionAction>) {
        let strength = |action: &SessionAction| match action {
            SessionAction::Close(..) | SessionAction::Stop => 2,
            SessionAction::Drain => 1,
            _ => 0,
        };
        let strongest = actions.sort_out(strength, |action| match action {
            SessionAction::WakeAfter(wait) => self.wake = Some(after(now, wait)),
            action => self.todo.push_back(action),
        });
        self.todo.extend(strongest);
    }

    // ---- actions ----------------------------------------------------------------------

    /// Does what callbacks have returned, and takes what has arrived and is wanted since.
    pub fn apply<T: Transport>(&mut self, access: &mut Access<'_, T>) {
        while let Some(action) = self.todo.pop_front() {
            if let Err(error) = self.apply_one(access, action) {
                self.due.push_back(Due::Failed(error));
            }
        }
        for key in std::mem::take(&mut self.waiting) {
            if let Some(stream) = self.streams.get_mut(&key) {
                stream.in_wait = false;
            }
            self.serve(access, key);
        }
        self.take_datagrams(access);
    }

    fn apply_one<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        action: SessionAction,
    ) -> Result<(), SessionActionError> {
        match action {
            SessionAction::Open(dir, first) => {
                let key = access.webtransport(self.session).open_stream(dir)?;
                self.insert(key, dir, true);
                self.due.push_back(Due::StreamOpened(key, false));
                self.send(key, first)?;
                self.serve(access, key);
            }
            SessionAction::Send(key, data) => {
                self.send(key, data)?;
                self.serve(access, key);
            }
            SessionAction::Finish(key) => {
                let stream = self.streams.get_mut(&key);
                let stream = stream.filter(|stream| !stream.sent && !stream.finish);
                let stream = stream.ok_or(SessionActionError::NoSuchStream(key))?;
                stream.finish = true;
                self.serve(access, key);
            }
            SessionAction::Reset(key, code) => {
                let gone = |_| SessionActionError::NoSuchStream(key);
                let reset = access.send(key).map_err(gone)?.reset(u64::from(code));
                reset.map_err(|error| SessionActionError::Reset(key, error))?;
                if let Some(stream) = self.streams.get_mut(&key) {
                    stream.end_sending();
                }
                self.settle(key);
            }
            SessionAction::StopSending(key, code) => {
                let gone = |_| SessionActionError::NoSuchStream(key);
                let stopped = access.recv(key).map_err(gone)?.stop(u64::from(code));
                stopped.map_err(|error| SessionActionError::Reset(key, error))?;
                if let Some(stream) = self.streams.get_mut(&key) {
                    stream.received = true;
                }
                self.settle(key);
            }
            SessionAction::Datagram(datagram) => {
                access.send_datagram(self.session, &datagram)?;
            }
            SessionAction::WakeAfter(_) => {}
            SessionAction::Drain => access.webtransport(self.session).drain()?,
            SessionAction::Close(code, reason) => {
                access.webtransport(self.session).close(code, &reason)?;
            }
            SessionAction::Stop => access.webtransport(self.session).close(0, "")?,
        }
        Ok(())
    }

    fn send(&mut self, key: StreamKey, data: Bytes) -> Result<(), SessionActionError> {
        let stream = self.streams.get_mut(&key);
        let stream = stream.filter(|stream| !stream.sent && !stream.finish);
        let stream = stream.ok_or(SessionActionError::NoSuchStream(key))?;
        let queued = stream.queued.saturating_add(data.len());
        if !self.config.lets_wait(stream.sends.len(), queued) {
            return Err(SessionActionError::Queued(key));
        }
        if !data.is_empty() {
            stream.queued = queued;
            stream.sends.push_back(data);
        }
        Ok(())
    }

    /// Does whatever a stream wants of the connection.
    fn serve<T: Transport>(&mut self, access: &mut Access<'_, T>, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        if !stream.closing {
            stream.flush(access, key);
            self.pull(access, key);
        }
        self.settle(key);
    }

    /// Takes one piece of a stream, if its owner has had the one before.
    fn pull<T: Transport>(&mut self, access: &mut Access<'_, T>, key: StreamKey) {
        let piece = self.config.piece.max(1);
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        if stream.received || !stream.readable || stream.pieces > 0 {
            return;
        }
        let mut out = [const { Bytes::new() }; CHUNKS];
        let read = access.recv(key).map_err(|_| ReadError::Gone);
        let read = match read.and_then(|mut recv| recv.read(piece, &mut out)) {
            Ok(read) => read,
            Err(ReadError::Reset(code)) => return self.on_reset(key, code),
            Err(_) => {
                stream.received = true;
                return;
            }
        };
        let fin = read.state == ReadState::Finished;
        stream.readable = read.state == ReadState::Open;
        stream.received = fin;
        let last = read.chunks.checked_sub(1);
        stream.pieces += read.chunks;
        for (at, chunk) in out.into_iter().take(read.chunks).enumerate() {
            let fin = fin && Some(at) == last;
            self.due.push_back(Due::Data(key, chunk, fin));
        }
        if fin && last.is_none() {
            stream.pieces += 1;
            self.due.push_back(Due::Data(key, Bytes::new(), true));
        }
    }

    /// Tells the end of a stream both of whose halves are over.
    fn settle(&mut self, key: StreamKey) {
        let over = |stream: &Stream| stream.received && stream.sent;
        if self.streams.get(&key).is_some_and(over) {
            self.close_stream(key);
        }
    }

    fn wait(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(&key)
            && !stream.closing
            && self.ended.is_none()
            && !std::mem::replace(&mut stream.in_wait, true)
        {
            self.waiting.push_back(key);
        }
    }

    fn take_datagrams<T: Transport>(&mut self, access: &mut Access<'_, T>) {
        while self.wants_datagrams() {
            match access.recv_datagram(self.session) {
                Some(datagram) => {
                    self.datagrams += 1;
                    self.due.push_back(Due::Datagram(datagram));
                }
                None => self.datagrams_waiting = false,
            }
        }
    }

    fn wants_datagrams(&self) -> bool {
        self.datagrams_waiting
            && self.ended.is_none()
            && self.datagrams < self.config.datagrams.max(1)
    }

    // ---- what is known ----------------------------------------------------------------

    /// Tells the behaviour something, by [`SessionBehaviour::message`].
    pub fn message(&mut self, message: S::Message) {
        if !self.over {
            self.due.push_back(Due::Message(message));
        }
    }

    /// Whether [`Self::run`] or [`Self::apply`] has something to do at once.
    #[must_use]
    pub fn has_work(&self) -> bool {
        let at_end = self.ended.is_some();
        let work = !self.due.is_empty() || !self.todo.is_empty() || !self.waiting.is_empty();
        !self.over && (work || self.wants_datagrams() || at_end)
    }

    /// When [`Self::run`] is wanted, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let at = self.wake.filter(|_| !self.over)?;
        Some(Deadline {
            at,
            why: Why::Alarm,
        })
    }

    /// Whether [`SessionBehaviour::terminate`] has been called. Nothing more is.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> SessionKey {
        self.session
    }

    /// The behaviour.
    #[must_use]
    pub fn behaviour(&self) -> &S {
        &self.behaviour
    }

    /// The behaviour, to be changed.
    pub fn behaviour_mut(&mut self) -> &mut S {
        &mut self.behaviour
    }
}

impl Stream {
    fn end_sending(&mut self) {
        self.sent = true;
        self.sends.clear();
        self.queued = 0;
    }

    fn flush<T: Transport>(&mut self, access: &mut Access<'_, T>, key: StreamKey) {
        if self.sent || (self.sends.is_empty() && !self.finish) {
            return;
        }
        let Ok(mut send) = access.send(key) else {
            return self.end_sending();
        };
        while let Some(front) = self.sends.front_mut() {
            if self.blocked {
                return;
            }
            match send.write(std::slice::from_mut(front)) {
                Ok(taken) => self.queued = self.queued.saturating_sub(taken),
                // Why, an event says.
                Err(_) => return self.end_sending(),
            }
            if front.is_empty() {
                self.sends.pop_front();
            } else {
                self.blocked = true;
            }
        }
        if self.finish {
            send.finish().ok();
            self.end_sending();
        }
    }
}

/// As much of a reason as a session's close may have.
fn shorten(reason: &str) -> String {
    let mut end = reason.len().min(1024);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or_default().to_owned()
}

impl<S: SessionBehaviour> fmt::Debug for SessionRunner<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRunner")
            .field("session", &self.session)
            .field("streams", &self.streams)
            .field("ended", &self.ended)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}
