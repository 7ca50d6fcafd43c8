//! What the connection tells, and what has arrived on it.

use bytes::Bytes;

use super::stream::{Signal, Stream, Whose};
use super::{Due, Runner, Todo};
use crate::behaviour::connection::{Behaviour, ConnectionClosed, Opened};
use crate::behaviour::mode::Mode;
use crate::connection::quic::QuicAccess;
use crate::error::CloseReason;
use crate::event::Event;
use crate::id::{Dir, Side, StreamKey};
use crate::quic::{self, ReadError, StartError, StreamClosed, StreamEvent};
use crate::transport::{ReadState, Transport};

/// Chunks that are taken from QUIC at once.
const CHUNKS: usize = 16;

impl<B: Behaviour> Runner<B> {
    /// Takes an event of the connection, and what has arrived where it is wanted. Calls
    /// nothing of the behaviour's. Events that are not raw QUIC's mean nothing.
    pub fn handle<T: Transport>(&mut self, access: &mut QuicAccess<'_, T>, event: Event) {
        if self.ended.is_some() {
            return;
        }
        self.look(access);
        if let Event::Closed(_) = event {
            self.take_rest(access);
        }
        match self.note(event) {
            Then::Nothing => {}
            Then::Learn => self.learn(access),
            Then::TakeDatagrams => self.take_datagrams(access),
            Then::Serve(key) => {
                self.serve(access, key);
                self.touch(key);
            }
        }
    }

    /// As [`Self::handle`], where the connection is gone already, and what had arrived with
    /// it.
    pub fn handle_gone(&mut self, event: Event) {
        if self.ended.is_none()
            && let Then::Serve(key) = self.note(event)
        {
            self.touch(key);
        }
    }

    /// Takes an event. What is to be done for it on the connection.
    fn note(&mut self, event: Event) -> Then {
        let due = match event {
            Event::Connected { early } => {
                self.facts.established_once = true;
                self.due.push_back(Due::Connected(early));
                return Then::Learn;
            }
            Event::Available(dir) => return self.tell_once(0, dir, Due::Available(dir)),
            Event::Ticket => Due::Ticket,
            Event::Draining { .. } => Due::Draining,
            Event::Closed(reason) => {
                self.end(*reason);
                return Then::Nothing;
            }
            Event::Quic(event) => return self.note_quic(event),
            _ => return Then::Nothing,
        };
        self.due.push_back(due);
        Then::Nothing
    }

    fn note_quic(&mut self, event: quic::Event) -> Then {
        let (due, then) = match event {
            quic::Event::Begun => (Due::Begun, Then::Learn),
            quic::Event::Confirm => (Due::Certificate, Then::Learn),
            quic::Event::PeerAddress(to) => (Due::PeerAddress(to), Then::Learn),
            quic::Event::LocalAddress(to) => (Due::LocalAddress(to), Then::Learn),
            quic::Event::DatagramsUnblocked => (Due::DatagramsUnblocked, Then::Nothing),
            quic::Event::DatagramState(max) => (Due::DatagramState(max), Then::Nothing),
            quic::Event::Opened(key) => return self.on_opened(key),
            quic::Event::Stream(key, event) => return self.on_stream(key, event),
            quic::Event::PeerNeedsStreams(dir) => {
                return self.tell_once(1, dir, Due::NeedsStreams(dir));
            }
            quic::Event::Datagrams => {
                self.datagrams_waiting = true;
                return Then::TakeDatagrams;
            }
            // Whoever pulls events has done so.
            quic::Event::Ready => return Then::Nothing,
        };
        self.due.push_back(due);
        then
    }

    /// What changes often and is small.
    pub(super) fn look<T: Transport>(&mut self, access: &QuicAccess<'_, T>) {
        self.facts.established = access.is_established();
        self.facts.max_datagram = access.max_datagram_size();
    }

    /// What changes seldom.
    fn learn<T: Transport>(&mut self, access: &QuicAccess<'_, T>) {
        self.facts.about = access.about().cloned().map(Box::new);
    }

    /// What says the same however often it is told.
    fn tell_once(&mut self, what: usize, dir: Dir, due: Due<B::Message>) -> Then {
        if let Some(told) = self.told(what, dir)
            && !std::mem::replace(told, true)
        {
            self.due.push_back(due);
        }
        Then::Nothing
    }

    pub(super) fn told(&mut self, what: usize, dir: Dir) -> Option<&mut bool> {
        let way = match dir {
            Dir::Bi => 0,
            Dir::Uni => 1,
        };
        self.told.get_mut(what)?.get_mut(way)
    }

    /// Whether what is read is early data.
    fn is_early(&self) -> bool {
        let complete = self.facts.established_once || self.facts.established;
        self.facts.side == Side::Server && !complete
    }

    fn on_opened(&mut self, key: StreamKey) -> Then {
        let stream = Stream::new(key.id(), self.facts.side, Whose::Undecided, Mode::Passive);
        self.streams.insert(key, stream);
        let opened = Opened {
            dir: key.id().dir(),
            early: self.is_early(),
        };
        self.due.push_back(Due::NewStream(key, opened));
        Then::Nothing
    }

    fn on_stream(&mut self, key: StreamKey, event: StreamEvent) -> Then {
        let Some(stream) = self.streams.get_mut(&key) else {
            return Then::Nothing;
        };
        match event {
            StreamEvent::Started => stream.begin(),
            StreamEvent::Readable => stream.readable = true,
            StreamEvent::Writable => stream.writable = true,
            StreamEvent::Reset(code) => {
                stream.readable = false;
                stream.recv.reset(code);
                stream.tell(Signal::Reset(code));
            }
            StreamEvent::Stopped(code) => {
                stream.tell(Signal::Stopped(code));
                stream.cancel_sends();
            }
            StreamEvent::SendOver { graceful } => {
                stream.cancel_sends();
                stream.tell(Signal::SendOver { graceful });
            }
            StreamEvent::EarlyDataRejected => stream.tell(Signal::EarlyDataRejected),
            StreamEvent::Closed(how) => stream.over(how),
        }
        Then::Serve(key)
    }

    /// Takes from QUIC what is wanted of a stream.
    pub(super) fn pull<T: Transport>(&mut self, access: &mut QuicAccess<'_, T>, key: StreamKey) {
        let (early, piece) = (self.is_early(), self.config.piece.max(1));
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        while stream.readable {
            let (bytes, chunks) = stream.recv.room(piece);
            if bytes == 0 || !read(access, key, stream, [bytes, chunks], early) {
                return;
            }
        }
    }

    /// Takes datagrams, as many as may wait.
    pub(super) fn take_datagrams<T: Transport>(&mut self, access: &mut QuicAccess<'_, T>) {
        while self.wants_datagrams() {
            match access.recv_datagram() {
                Some(datagram) => {
                    self.datagrams += 1;
                    self.due.push_back(Due::Datagram(datagram));
                }
                None => self.datagrams_waiting = false,
            }
        }
    }

    /// Before the end: what QUIC has is taken, which its windows bound, because nothing needs
    /// the connection afterwards. O(streams).
    fn take_rest<T: Transport>(&mut self, access: &mut QuicAccess<'_, T>) {
        self.apply_todo(access);
        while self.datagrams_waiting
            && let Some(datagram) = access.recv_datagram()
        {
            self.datagrams += 1;
            self.due.push_back(Due::Datagram(datagram));
        }
        let early = self.is_early();
        for (key, stream) in &mut self.streams {
            let all = [usize::MAX, usize::MAX];
            while stream.readable
                && stream.closed.is_none()
                && read(access, *key, stream, all, early)
            {}
        }
    }

    /// The connection is over, and its streams with it. O(streams).
    fn end(&mut self, reason: CloseReason) {
        self.datagrams_waiting = false;
        for todo in std::mem::take(&mut self.todo) {
            if let Todo::Start(stream) = todo {
                let closed = StartError::Closed;
                self.due.push_back(Due::NotStarted(closed, stream.owner));
            }
        }
        let by_app = match reason {
            CloseReason::Remote { .. } | CloseReason::Transport(_) => {
                self.due.push_back(Due::Shutdown(reason.clone()));
                false
            }
            _ => true,
        };
        self.ended = Some(Box::new(ConnectionClosed {
            handshake_completed: self.facts.established_once,
            by_app,
            reason,
        }));
        let keys: Vec<_> = self.streams.keys().copied().collect();
        for key in keys {
            if let Some(stream) = self.streams.get_mut(&key)
                && stream.closed.is_none()
            {
                stream.over(StreamClosed {
                    connection_over: true,
                    ..StreamClosed::default()
                });
            }
            self.touch(key);
        }
        self.waiting.clear();
    }
}

/// What an event calls for on the connection.
enum Then {
    Nothing,
    /// Something that changes seldom has changed.
    Learn,
    TakeDatagrams,
    /// The stream wants something, perhaps.
    Serve(StreamKey),
}

/// Reads once, at most so many bytes and chunks. Whether there may be more.
fn read<T: Transport, M>(
    access: &mut QuicAccess<'_, T>,
    key: StreamKey,
    stream: &mut Stream<M>,
    [bytes, chunks]: [usize; 2],
    early: bool,
) -> bool {
    let mut out = [const { Bytes::new() }; CHUNKS];
    let some = out.get_mut(..chunks.min(CHUNKS)).unwrap_or_default();
    match access.read(key, bytes, some) {
        Ok(read) => {
            for chunk in out.into_iter().take(read.chunks) {
                stream.recv.push(chunk, early);
            }
            match read.state {
                ReadState::Open => return read.chunks > 0,
                ReadState::Blocked => {}
                ReadState::Finished => stream.recv.finish(),
            }
        }
        // While the connection lives it is told by an event.
        Err(ReadError::Reset(code)) if access.close_reason().is_some() => {
            stream.recv.reset(code);
            stream.tell(Signal::Reset(code));
        }
        Err(_) => {}
    }
    stream.readable = false;
    false
}
