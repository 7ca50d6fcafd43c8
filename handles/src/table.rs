//! The handles' tables: one entry per connection and per stream that a handle
//! refers to or that waits to be accepted, parallel to the core's own tables.
//!
//! The core reuses a slot as soon as a stream is over, a handle may live on and
//! still wants to know how its stream ended. Entries therefore have places of
//! their own and go when the last handle goes; `by_slot` finds the entry of a
//! core key with one array access and one comparison.
//!
//! A request or session of the peer's is held in the core from the moment its event is
//! taken until its entry here goes, so that `Limits::open_requests` bounds the entries
//! and whoever works for them, whatever the peer does with its streams. One that is
//! cancelled before anybody saw it leaves its queue, and the core is told to end it. A
//! session's stream counts against QUIC's limit until its end was read.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::endpoint::Endpoint;
use aqueduct_core::error::{CloseReason, PeerCode};
use aqueduct_core::fault::Violation;
use aqueduct_core::head::{RequestHead, ResponseHead, Trailers};
use aqueduct_core::id::{ConnKey, Dir, SessionKey, Side, StreamKey};
use aqueduct_core::time::after;
use aqueduct_core::transport::EarlyData;
use aqueduct_core::webtransport::{ConnectAnswer, ConnectRequest, SessionClose};
use http::StatusCode;
use slab::Slab;

use crate::alarm::Alarms;
use crate::clock::now;
use crate::error::WriteError;
use crate::kept::Kept;
use crate::meter::Metered;
use crate::place::{ConnTopic, MessageTopic, Place, Resting, SessionTopic};
use crate::waiters::Waiters;

/// Interim responses kept per request until the application takes them; beyond
/// it the oldest is forgotten.
pub(crate) const INTERIMS: usize = 16;

/// Requests for sessions that were answered 403, kept until somebody looks at them.
pub(crate) const FORBIDDEN: usize = 4;

const VACANT: u32 = u32::MAX;

/// How long the end of a connection may take that nobody uses.
const LEAVE: Duration = Duration::from_secs(3);

/// Everything under the lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) endpoint: Endpoint,
    /// The address of its socket.
    pub(crate) local: SocketAddr,
    pub(crate) conns: Slab<Conn>,
    by_index: Vec<u32>,
    /// Connections that shook hands and wait for `accept`.
    pub(crate) accepted: VecDeque<usize>,
    /// The same of raw QUIC, which may be shaking hands.
    pub(crate) accepted_quic: VecDeque<usize>,
    pub(crate) waiters: Waiters,
    /// Who waits for a time.
    pub(crate) alarms: Alarms,
    /// Who waits for the driver's next turn: each once.
    pub(crate) resting: Vec<Resting>,
    /// Live endpoint handles.
    pub(crate) handles: usize,
    /// `accept` gives no more.
    pub(crate) closing: bool,
    /// Nobody drives the endpoint any more, and why.
    pub(crate) failed: Option<CloseReason>,
    /// The driver, when it sleeps.
    pub(crate) driver: Option<Waker>,
    /// A handle changed the core since the driver's last turn.
    pub(crate) kicked: bool,
    /// Taking an event in did, too: the driver is still to be told.
    pub(crate) owed: bool,
    /// The time of a change since then, and how often it may be used before the clock is
    /// read again.
    time: Option<(Instant, u8)>,
}

/// Changes made by one reading of the clock.
const USES: u8 = 32;

impl State {
    pub(crate) fn new(mut endpoint: Endpoint, local: SocketAddr) -> Self {
        // Their tasks take them, in their own time.
        endpoint.pull_quic_events();
        Self {
            endpoint,
            local,
            conns: Slab::new(),
            by_index: Vec::new(),
            accepted: VecDeque::new(),
            accepted_quic: VecDeque::new(),
            waiters: Waiters::default(),
            alarms: Alarms::default(),
            resting: Vec::new(),
            handles: 0,
            closing: false,
            failed: None,
            driver: None,
            kicked: false,
            owed: false,
            time: None,
        }
    }

    /// The time of a change that is made often: at present, or, while the driver is about to
    /// run, a little before. A task that keeps its thread may keep the driver from running for
    /// seconds; waits of seconds begin with [`Self::read_clock`].
    pub(crate) fn now(&mut self) -> Instant {
        if let Some((now, left)) = &mut self.time
            && self.kicked
            && *left > 0
        {
            *left -= 1;
            return *now;
        }
        self.read_clock()
    }

    /// The time at present.
    pub(crate) fn read_clock(&mut self) -> Instant {
        let now = now();
        self.time = Some((now, USES));
        now
    }

    /// Makes an entry for a connection of the core.
    pub(crate) fn insert_conn(&mut self, key: ConnKey, side: Side) -> usize {
        let at = self.conns.insert(Conn::new(key, side));
        index_slot(&mut self.by_index, key.index(), at);
        at
    }

    /// The entry of a core key.
    pub(crate) fn find_conn(&self, key: ConnKey) -> Option<usize> {
        let at = *self.by_index.get(key.index())? as usize;
        self.conns
            .get(at)
            .is_some_and(|conn| conn.key == key)
            .then_some(at)
    }

    /// Forgets an entry that no handle refers to.
    pub(crate) fn remove_conn(&mut self, at: usize) {
        if let Some(conn) = self.conns.try_remove(at)
            && let Some(slot) = self.by_index.get_mut(conn.key.index())
            && *slot as usize == at
        {
            *slot = VACANT;
        }
    }

    /// Ends a connection, in order and soon, whose handles are all of what is over: they
    /// may be in scope for as long as they like.
    pub(crate) fn leave_unused(&mut self, at: usize) {
        let Some(conn) = self.conns.get_mut(at) else {
            return;
        };
        if conn.users > 0 || !conn.handle || conn.left || conn.closed.is_some() {
            return;
        }
        conn.left = true;
        if let Some(mut core) = self.endpoint.connection(now(), conn.key) {
            core.access().drain(after(now(), LEAVE));
            self.owed = true;
        }
    }

    /// No endpoint handle is left: nobody will accept.
    pub(crate) fn orphan(&mut self) {
        self.closing = true;
        self.endpoint.set_accepting(false);
        while let Some(at) = self.accepted.pop_front() {
            let key = self.conns[at].key;
            self.refuse(key);
        }
        self.refuse_quic();
    }

    /// Closes a connection that nobody will accept.
    pub(crate) fn refuse(&mut self, key: ConnKey) {
        if let Some(mut conn) = self.endpoint.connection(now(), key) {
            conn.access().close(Code::H3_NO_ERROR, "");
        }
    }

    /// Nobody drives the endpoint any more: everything is over. O(connections).
    pub(crate) fn fail(&mut self, reason: &CloseReason, wakes: &mut Vec<Waker>) {
        self.failed.get_or_insert_with(|| reason.clone());
        self.closing = true;
        self.accepted.clear();
        self.accepted_quic.clear();
        self.conns
            .iter_mut()
            .for_each(|(_, conn)| conn.close(reason, wakes));
        self.conns.retain(|_, conn| conn.handle);
        self.waiters.wake(wakes);
        self.alarms.abandon(wakes);
    }
}

fn index_slot(table: &mut Vec<u32>, slot: usize, at: usize) {
    if table.len() <= slot {
        table.resize(slot + 1, VACANT);
    }
    table[slot] = u32::try_from(at).unwrap_or(VACANT);
}

impl State {
    /// The waiters at a place; `None` when it is no more.
    pub(crate) fn waiters(&mut self, place: Place) -> Option<&mut Waiters> {
        match place {
            Place::Endpoint => Some(&mut self.waiters),
            Place::Conn(conn, topic) => {
                Some(&mut self.conns.get_mut(conn)?.waiters[topic as usize])
            }
            Place::Session(at, topic) => {
                let stream = self.conns.get_mut(at.conn)?.streams.get_mut(at.stream)?;
                Some(&mut stream.session.as_mut()?.waiters[topic as usize])
            }
            Place::Message(at, topic) => {
                let stream = self.conns.get_mut(at.conn)?.streams.get_mut(at.stream)?;
                Some(&mut stream.message.as_mut()?.waiters[topic as usize])
            }
            Place::SendEnd(at) => Some(
                &mut self
                    .conns
                    .get_mut(at.conn)?
                    .streams
                    .get_mut(at.stream)?
                    .watchers,
            ),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) key: ConnKey,
    pub(crate) side: Side,
    /// A handle refers to this entry.
    pub(crate) handle: bool,
    /// Handles of the connection itself, and of streams that are not over.
    pub(crate) users: usize,
    /// It is drained because all handles that are left are of what is over.
    pub(crate) left: bool,
    pub(crate) connected: bool,
    /// It is given to whoever accepts, or was (server).
    pub(crate) offered: bool,
    /// What became of early data, once connected.
    pub(crate) early: Option<EarlyData>,
    pub(crate) draining: Option<Side>,
    /// How often the peer has said that it allows more requests.
    pub(crate) credits: u64,
    /// How many trailers were told.
    pub(crate) trailers: u64,
    /// The server gave a session ticket.
    pub(crate) ticket: bool,
    pub(crate) closed: Option<CloseReason>,
    /// It is one of raw QUIC and has events; who takes them, while there are none.
    pub(crate) quic_ready: bool,
    pub(crate) quic_waker: Option<Waker>,
    pub(crate) requests: VecDeque<(usize, Box<RequestHead>)>,
    pub(crate) sessions: VecDeque<(SessionKey, usize, Box<ConnectRequest>)>,
    /// Streams of claimed types, each with its type.
    pub(crate) claimed: VecDeque<(usize, u64)>,
    /// The latest requests for sessions that were answered 403.
    pub(crate) forbidden: VecDeque<Box<ConnectRequest>>,
    pub(crate) waiters: [Waiters; ConnTopic::COUNT],
    /// What its handles took in of their share since they last waited for the driver,
    /// and how often they had to.
    pub(crate) taken: u32,
    pub(crate) rests: u64,
    pub(crate) streams: Slab<Stream>,
    /// Held streams whose entries went, which the core is still to be told.
    pub(crate) let_go: Vec<StreamKey>,
    /// A request that was cancelled before anybody saw it, which is still to end.
    pub(crate) forgotten: Option<StreamKey>,
    /// Who counts its datagrams.
    pub(crate) meter: Metered,
    by_slot: Vec<u32>,
}

impl Conn {
    fn new(key: ConnKey, side: Side) -> Self {
        Self {
            key,
            side,
            handle: false,
            users: 0,
            left: false,
            connected: false,
            offered: false,
            early: None,
            draining: None,
            credits: 0,
            trailers: 0,
            ticket: false,
            closed: None,
            quic_ready: false,
            quic_waker: None,
            requests: VecDeque::new(),
            sessions: VecDeque::new(),
            forbidden: VecDeque::new(),
            claimed: VecDeque::new(),
            waiters: Default::default(),
            taken: 0,
            rests: 0,
            meter: None,
            streams: Slab::new(),
            let_go: Vec::new(),
            forgotten: None,
            by_slot: Vec::new(),
        }
    }

    pub(crate) fn insert_stream(&mut self, stream: Stream) -> usize {
        let slot = stream.key.slot();
        let at = self.streams.insert(stream);
        index_slot(&mut self.by_slot, slot, at);
        at
    }

    /// The entry of a core key.
    pub(crate) fn find_stream(&self, key: StreamKey) -> Option<usize> {
        let at = *self.by_slot.get(key.slot())? as usize;
        self.streams
            .get(at)
            .is_some_and(|stream| stream.key == key)
            .then_some(at)
    }

    /// Forgets an entry that no handle refers to, and those it alone knew.
    /// Wakers that were left in it by dropped futures go to `wakers`.
    pub(crate) fn remove_stream(&mut self, at: usize, wakers: &mut Vec<Waker>) {
        let Some(stream) = self.streams.get_mut(at) else {
            return;
        };
        stream.wake_all(wakers);
        if stream.held {
            self.let_go.push(stream.key);
        }
        if let Some(slot) = self.by_slot.get_mut(stream.key.slot())
            && *slot as usize == at
        {
            *slot = VACANT;
        }
        let session = stream.session.take();
        drop(self.streams.try_remove(at));
        for queue in session
            .and_then(|session| session.incoming)
            .into_iter()
            .flat_map(|queues| *queues)
        {
            queue
                .into_iter()
                .for_each(|waiting| self.remove_stream(waiting, wakers));
        }
    }

    /// One handle of a stream more.
    pub(crate) fn retain_stream(&mut self, at: usize) {
        let stream = &mut self.streams[at];
        stream.refs += 1;
        self.users += usize::from(!stream.over);
    }

    /// Nothing more can come of a stream: its handles do not count as users any more.
    fn retire(stream: &mut Stream, users: &mut usize) {
        if !std::mem::replace(&mut stream.over, true) {
            *users -= stream.refs as usize;
        }
    }

    /// Looks whether a message, or a claimed stream, has been read and delivered to the
    /// end.
    pub(crate) fn retire_message(&mut self, at: usize) {
        let Some(stream) = self.streams.get_mut(at) else {
            return;
        };
        let read = stream.recv_over == Some(RecvOver::Finished);
        if stream.end.is_none() && read && stream.delivered {
            Self::retire(stream, &mut self.users);
        }
    }

    /// A session has ended, and with it every stream of it. O(streams).
    pub(crate) fn retire_session(&mut self, end: &SessionEnd, wakes: &mut Vec<Waker>) {
        for (_, stream) in &mut self.streams {
            if (stream.end.as_ref()).is_some_and(|other| Arc::ptr_eq(other, end)) {
                stream.wake_all(wakes);
                Self::retire(stream, &mut self.users);
            }
        }
    }

    /// One handle of a stream less.
    pub(crate) fn release_stream(&mut self, at: usize, wakers: &mut Vec<Waker>) {
        let Some(stream) = self.streams.get_mut(at) else {
            return;
        };
        stream.refs = stream.refs.saturating_sub(1);
        self.users -= usize::from(!stream.over);
        // A session's end is still to be told to its streams.
        let awaited = stream.session.as_ref().is_some_and(|session| !session.over)
            && stream.end.as_ref().is_some_and(|end| end.get().is_none())
            && self.closed.is_none();
        if stream.refs == 0 && !awaited {
            self.remove_stream(at, wakers);
        }
    }

    pub(crate) fn wake(&mut self, topic: ConnTopic, wakes: &mut Vec<Waker>) {
        self.waiters[topic as usize].wake(wakes);
    }

    /// Ends the connection for everybody who waits on it. O(streams).
    pub(crate) fn close(&mut self, reason: &CloseReason, wakes: &mut Vec<Waker>) {
        self.closed.get_or_insert_with(|| reason.clone());
        wakes.extend(self.quic_waker.take());
        self.waiters
            .iter_mut()
            .for_each(|waiters| waiters.wake(wakes));
        for (_, stream) in &mut self.streams {
            stream.wake_all(wakes);
        }
    }
}

/// How a session ended, once it has; its streams hold it too.
pub(crate) type SessionEnd = Arc<OnceLock<Box<SessionClose>>>;

/// The answer to a client's CONNECT.
#[derive(Debug)]
pub(crate) enum Answer {
    Established(Box<ConnectAnswer>),
    Rejected(StatusCode, Box<ConnectAnswer>),
}

/// What a CONNECT stream carries beyond a stream's state.
#[derive(Debug, Default)]
pub(crate) struct SessionState {
    pub(crate) answer: Option<Answer>,
    pub(crate) draining: bool,
    /// It was rejected: no event of it follows.
    pub(crate) over: bool,
    /// Streams to accept, by [`Dir`].
    incoming: Option<Box<[VecDeque<usize>; 2]>>,
    pub(crate) waiters: [Waiters; SessionTopic::COUNT],
}

impl SessionState {
    pub(crate) fn incoming(&mut self, dir: Dir) -> &mut VecDeque<usize> {
        &mut self.incoming.get_or_insert_default()[dir as usize]
    }

    pub(crate) fn wake(&mut self, topic: SessionTopic, wakes: &mut Vec<Waker>) {
        self.waiters[topic as usize].wake(wakes);
    }
}

/// What a request's stream carries beyond a stream's state.
#[derive(Debug, Default)]
pub(crate) struct Message {
    /// It came as early data (server).
    pub(crate) early: bool,
    pub(crate) interims: VecDeque<Box<ResponseHead>>,
    pub(crate) response: Option<Box<ResponseHead>>,
    pub(crate) response_taken: bool,
    pub(crate) trailers: Option<Box<Trailers>>,
    /// Datagrams that were too short for the context id they were asked for.
    pub(crate) no_context: u64,
    pub(crate) waiters: [Waiters; MessageTopic::COUNT],
}

/// One stream: a request's, a session's CONNECT stream, or a session's data.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) key: StreamKey,
    /// Live handles; 0 while it waits to be accepted.
    pub(crate) refs: u32,
    /// The core counts it until the entry goes.
    pub(crate) held: bool,
    pub(crate) read: Option<Waker>,
    /// Its reader is among those who wait for the driver's next turn.
    pub(crate) rests: bool,
    pub(crate) write: Option<Waker>,
    pub(crate) watchers: Waiters,
    pub(crate) reset: Option<PeerCode>,
    pub(crate) stopped: Option<PeerCode>,
    pub(crate) malformed: Option<Violation>,
    pub(crate) unprocessed: bool,
    pub(crate) early_rejected: bool,
    pub(crate) delivered: bool,
    /// The end was read, or this side stopped it.
    pub(crate) recv_over: Option<RecvOver>,
    /// It was read to its end, with which no trailers came.
    pub(crate) plain: bool,
    pub(crate) send_over: Option<SendOver>,
    /// The session it belongs to, or is.
    pub(crate) end: Option<SessionEnd>,
    pub(crate) session: Option<Box<SessionState>>,
    pub(crate) message: Option<Box<Message>>,
    /// Nothing more can come of it.
    pub(crate) over: bool,
    /// What had arrived of it when the connection ended.
    pub(crate) kept: Option<Box<Kept>>,
}

/// How the receiving half was ended from this side.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum RecvOver {
    Finished,
    Stopped,
}

/// How the sending half was ended from this side.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum SendOver {
    Finished,
    Reset,
}

impl From<SendOver> for WriteError {
    fn from(over: SendOver) -> Self {
        match over {
            SendOver::Finished => Self::Finished,
            SendOver::Reset => Self::Reset,
        }
    }
}

impl Stream {
    /// Whether it is one of a session's, with nothing of a message.
    pub(crate) fn is_sessions(&self) -> bool {
        self.message.is_none() && self.end.is_some()
    }

    fn new(key: StreamKey) -> Self {
        Self {
            key,
            refs: 0,
            held: false,
            read: None,
            rests: false,
            write: None,
            watchers: Waiters::default(),
            reset: None,
            stopped: None,
            malformed: None,
            unprocessed: false,
            early_rejected: false,
            delivered: false,
            recv_over: None,
            plain: false,
            send_over: None,
            end: None,
            session: None,
            message: None,
            over: false,
            kept: None,
        }
    }

    /// A stream that carries a request.
    pub(crate) fn message(key: StreamKey) -> Self {
        Self {
            message: Some(Box::default()),
            ..Self::new(key)
        }
    }

    /// The same, of the peer's making.
    pub(crate) fn held(mut self) -> Self {
        self.held = true;
        self
    }

    /// A CONNECT stream.
    pub(crate) fn session(key: SessionKey) -> Self {
        Self {
            end: Some(SessionEnd::default()),
            session: Some(Box::default()),
            ..Self::new(key.stream())
        }
    }

    /// A data stream of a session.
    pub(crate) fn data(key: StreamKey, end: SessionEnd) -> Self {
        Self {
            end: Some(end),
            ..Self::new(key)
        }
    }

    /// A stream of a type that the application claims, opened by this side or not.
    pub(crate) fn claimed(key: StreamKey, ours: bool) -> Self {
        // The half that there is not is over.
        let uni = key.id().dir() == Dir::Uni;
        Self {
            recv_over: (uni && ours).then_some(RecvOver::Finished),
            delivered: uni && !ours,
            ..Self::new(key)
        }
    }

    /// Whether a half of it was ended by the peer because its session is over. How that
    /// ended says more, and is told within the core's `close_timeout`.
    pub(crate) fn goes_with_session(&self, code: PeerCode) -> bool {
        self.end.is_some() && code.wire == Code::WT_SESSION_GONE
    }

    pub(crate) fn wake_read(&mut self, wakes: &mut Vec<Waker>) {
        wakes.extend(self.read.take());
    }

    pub(crate) fn wake_write(&mut self, wakes: &mut Vec<Waker>) {
        wakes.extend(self.write.take());
        self.watchers.wake(wakes);
    }

    pub(crate) fn wake_message(&mut self, topic: MessageTopic, wakes: &mut Vec<Waker>) {
        if let Some(message) = &mut self.message {
            message.waiters[topic as usize].wake(wakes);
        }
    }

    pub(crate) fn wake_all(&mut self, wakes: &mut Vec<Waker>) {
        self.wake_read(wakes);
        self.wake_write(wakes);
        if let Some(message) = &mut self.message {
            message
                .waiters
                .iter_mut()
                .for_each(|waiters| waiters.wake(wakes));
        }
        if let Some(session) = &mut self.session {
            session
                .waiters
                .iter_mut()
                .for_each(|waiters| waiters.wake(wakes));
        }
    }
}
