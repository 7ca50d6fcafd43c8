//! The works for contestants that are polled: events go in, calls come back at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Uri;

use crate::count::{Count, add};
use crate::load::{CHUNK, HUNDRED, TICK, body, datagram, first};
use crate::measure::{ready, took};
use crate::setup::Setup;
use crate::works::{ECHO, IN_FLIGHT, Load, SILENT, SINK};

/// What reading a stream gives, beside bytes.
#[derive(Debug)]
pub enum Got {
    /// There may be more.
    More,
    /// Nothing for the time being.
    Blocked,
    /// That was all.
    End,
    /// It was over before.
    Gone,
}

/// What a connection is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Connection,
    Session,
}

/// What a contestant tells, of a connection that is lent with it. `C` names a connection,
/// or a session where there are sessions; `S` a stream among those of all connections.
#[derive(Clone, Copy, Debug)]
pub enum Event<C, S> {
    /// A connection, or session, that was asked for is there (client).
    Ready(C),
    /// More streams may be opened.
    Available,
    /// The peer has opened a stream of both directions.
    Opened(S),
    /// Reading gives something, for the first time too.
    Readable(S),
    Writable(S),
    Datagrams(C),
    /// A datagram may be sent again.
    Room(C),
    /// A request for an answer of such a size (server).
    Request(S, usize),
}

/// What the works want of a contestant: a connection that is lent for an event.
pub trait Wire {
    type Conn: Copy + Ord;
    type Stream: Copy + Ord;

    /// Another connection is to begin when this one is given back (client).
    fn connect(&mut self);
    /// Begins another session (client).
    fn further(&mut self);
    fn close(&mut self);
    /// `None` while the peer allows none.
    fn open(&mut self, conn: Self::Conn, uni: bool) -> Option<Self::Stream>;
    /// Takes some from the front; whether that was all.
    fn write(&mut self, stream: Self::Stream, data: &mut Bytes) -> bool;
    fn finish(&mut self, stream: Self::Stream);
    fn read(&mut self, stream: Self::Stream, chunk: &mut Bytes) -> Got;
    /// Whether there was room.
    fn send_datagram(&mut self, conn: Self::Conn, data: &[u8]) -> bool;
    fn recv_datagram(&mut self, conn: Self::Conn) -> Option<Bytes>;
    fn request(&mut self, uri: &Uri) -> Option<Self::Stream>;
    /// The head of an answer; content and end follow.
    fn respond(&mut self, stream: Self::Stream);
}

/// What is to be written on a stream, and the end after it.
fn go_on<W: Wire>(w: &mut W, stream: W::Stream, data: &mut Bytes) -> bool {
    let all = data.is_empty() || w.write(stream, data);
    if all {
        w.finish(stream);
    }
    all
}

/// Reads what there is; whether that was the end.
fn swallow<W: Wire>(w: &mut W, stream: W::Stream) -> bool {
    loop {
        let mut chunk = Bytes::new();
        let got = w.read(stream, &mut chunk);
        add(Count::Bytes, chunk.len());
        match got {
            Got::More => {}
            Got::Blocked | Got::Gone => return false,
            Got::End => return true,
        }
    }
}

/// Either end.
pub enum Role<C, S> {
    Server(Server<C, S>),
    Client(Client<C, S>),
}

impl<C: Copy + Ord, S: Copy + Ord> Role<C, S> {
    /// The client's if there is a load.
    pub fn new(load: Option<Load>, setup: &Setup) -> Self {
        match load {
            Some(load) => Self::Client(Client::new(load, setup)),
            None => Self::Server(Server::new()),
        }
    }

    /// What connections are begun at first, and how many.
    pub fn starts(&self) -> (Kind, usize) {
        match self {
            Self::Server(_) => (Kind::Connection, 0),
            Self::Client(client) => client.starts(),
        }
    }

    pub fn on<W: Wire<Conn = C, Stream = S>>(&mut self, w: &mut W, event: Event<C, S>) {
        match self {
            Self::Server(server) => server.on(w, event),
            Self::Client(client) => client.on(w, event),
        }
    }

    /// When [`tick`](Self::tick) is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Client(client) => client.deadline(),
            Self::Server(_) => None,
        }
    }

    /// How long a loop may sleep.
    pub fn limit(&self, wait: Option<Duration>) -> Option<Duration> {
        let now = Instant::now;
        let own = self
            .deadline()
            .map(|at| at.saturating_duration_since(now()));
        wait.into_iter().chain(own).min()
    }

    /// Lent the connection: begins an echo again that has died, all its datagrams lost.
    pub fn tick<W: Wire<Conn = C, Stream = S>>(&mut self, w: &mut W) {
        if let Self::Client(client) = self {
            client.tick(w);
        }
    }
}

// ---- server --------------------------------------------------------------------------

/// A stream of both directions that is not over.
#[derive(Default)]
struct Both {
    mode: Option<u8>,
    held: Bytes,
    ended: bool,
}

/// Takes everything, and gives back what is to be given back.
pub struct Server<C, S> {
    both: BTreeMap<S, Both>,
    answers: BTreeMap<S, Bytes>,
    /// Datagrams for which there was no room.
    echoes: BTreeMap<C, Bytes>,
}

impl<C: Copy + Ord, S: Copy + Ord> Server<C, S> {
    fn new() -> Self {
        Self {
            both: BTreeMap::new(),
            answers: BTreeMap::new(),
            echoes: BTreeMap::new(),
        }
    }

    fn on<W: Wire<Conn = C, Stream = S>>(&mut self, w: &mut W, event: Event<C, S>) {
        match event {
            Event::Opened(stream) => {
                self.both.insert(stream, Both::default());
                self.give_back(w, stream);
            }
            Event::Readable(stream) if self.both.contains_key(&stream) => {
                self.give_back(w, stream);
            }
            // One direction, or a request's content.
            Event::Readable(stream) => {
                if swallow(w, stream) {
                    add(Count::Streams, 1);
                }
            }
            Event::Writable(stream) => {
                if let Some(rest) = self.answers.get_mut(&stream) {
                    if go_on(w, stream, rest) {
                        self.answers.remove(&stream);
                    }
                } else {
                    self.give_back(w, stream);
                }
            }
            Event::Request(stream, size) => {
                w.respond(stream);
                let mut rest = body(size);
                if !go_on(w, stream, &mut rest) {
                    self.answers.insert(stream, rest);
                }
            }
            Event::Datagrams(conn) | Event::Room(conn) => self.datagrams(w, conn),
            Event::Ready(_) | Event::Available => {}
        }
    }

    fn datagrams<W: Wire<Conn = C, Stream = S>>(&mut self, w: &mut W, conn: C) {
        if let Some(held) = self.echoes.remove(&conn)
            && !w.send_datagram(conn, &held)
        {
            self.echoes.insert(conn, held);
            return;
        }
        while let Some(datagram) = w.recv_datagram(conn) {
            add(Count::Datagrams, 1);
            if datagram.first() == Some(&ECHO) && !w.send_datagram(conn, &datagram) {
                self.echoes.insert(conn, datagram);
                return;
            }
        }
    }

    fn give_back<W: Wire<Conn = C, Stream = S>>(&mut self, w: &mut W, stream: S) {
        let Some(both) = self.both.get_mut(&stream) else {
            return;
        };
        loop {
            if !both.held.is_empty() && !w.write(stream, &mut both.held) {
                return;
            }
            if both.ended {
                w.finish(stream);
                break;
            }
            if both.mode == Some(SILENT) {
                return;
            }
            let mut chunk = Bytes::new();
            let got = w.read(stream, &mut chunk);
            add(Count::Bytes, chunk.len());
            if let Some(first) = chunk.first() {
                if *both.mode.get_or_insert(*first) == ECHO {
                    both.held = chunk;
                }
            } else if let Got::Blocked = got {
                return;
            }
            match got {
                Got::More | Got::Blocked => {}
                Got::Gone => break,
                Got::End => {
                    add(Count::Streams, 1);
                    both.ended = true;
                }
            }
        }
        self.both.remove(&stream);
    }
}

// ---- client --------------------------------------------------------------------------

/// Does one load.
pub struct Client<C, S> {
    load: Load,
    conns: Vec<C>,
    /// Connections that have been there.
    had: usize,
    uri: Uri,
    datagram: Vec<u8>,
    /// What did not fit into the stream that was opened last.
    rest: Option<(S, Bytes)>,
    /// The stream of a bulk.
    bulk: Option<(S, Bytes)>,
    asked: BTreeMap<S, Instant>,
    /// Datagrams that have come; and had, at the last tick.
    heard: (u64, u64),
    next_tick: Instant,
}

impl<C: Copy + Ord, S: Copy + Ord> Client<C, S> {
    fn new(load: Load, setup: &Setup) -> Self {
        let (size, get) = match load {
            Load::Echo { size, .. } | Load::Flood { size } => (size, 0),
            Load::Get { size, .. } => (1, size),
            _ => (1, 0),
        };
        let mode = if matches!(load, Load::Echo { .. }) {
            ECHO
        } else {
            SINK
        };
        Self {
            load,
            conns: Vec::new(),
            had: 0,
            uri: setup.uri(get),
            datagram: datagram(mode, size),
            rest: None,
            bulk: None,
            asked: BTreeMap::new(),
            heard: (0, 0),
            next_tick: Instant::now() + TICK,
        }
    }

    fn starts(&self) -> (Kind, usize) {
        let count = match self.load {
            Load::Starts { at_once, .. } => at_once,
            _ => 1,
        };
        let kind = match self.load {
            Load::Get { .. }
            | Load::Starts { session: false, .. }
            | Load::Idle { session: false, .. } => Kind::Connection,
            _ => Kind::Session,
        };
        (kind, count)
    }

    fn on<W: Wire<Conn = C, Stream = S>>(&mut self, w: &mut W, event: Event<C, S>) {
        match event {
            Event::Ready(conn) => self.is_ready(w, conn),
            Event::Available => match self.load {
                Load::Streams { .. } => self.streams(w),
                Load::Get { at_once, .. } => self.ask(w, at_once),
                _ => {}
            },
            Event::Writable(stream) => match self.load {
                Load::Streams { .. } => self.streams(w),
                Load::Bulk | Load::BulkEcho => self.bulk(w, stream),
                _ => {}
            },
            Event::Readable(stream) => self.read(w, stream),
            Event::Datagrams(conn) => self.datagrams(w, conn),
            Event::Room(conn) => {
                if let Load::Flood { .. } = self.load {
                    self.flood(w, conn);
                }
            }
            Event::Opened(..) | Event::Request(..) => {}
        }
    }

    fn is_ready<W: Wire<Conn = C, Stream = S>>(&mut self, w: &mut W, conn: C) {
        match self.load {
            Load::Starts { .. } => {
                add(Count::Done, 1);
                w.close();
                w.connect();
            }
            Load::Idle { count, .. } => {
                self.had += 1;
                add(Count::Done, 1);
                if self.had < count {
                    return w.connect();
                }
            }
            Load::Bulk | Load::BulkEcho => {
                let echo = self.load == Load::BulkEcho;
                if let Some(stream) = w.open(conn, !echo) {
                    self.bulk = Some((stream, first(if echo { ECHO } else { SINK })));
                    self.bulk(w, stream);
                }
            }
            Load::Streams { silent } => {
                self.conns.push(conn);
                if silent && let Some(stream) = w.open(conn, false) {
                    w.write(stream, &mut first(SILENT));
                    w.write(stream, &mut CHUNK.clone());
                }
                self.streams(w);
            }
            Load::Echo { sessions, .. } => {
                self.conns.push(conn);
                if self.conns.len() < sessions {
                    return w.further();
                }
                self.wave(w);
            }
            Load::Flood { .. } => self.flood(w, conn),
            Load::Get { at_once, .. } => self.ask(w, at_once),
        }
        ready();
    }

    fn bulk<W: Wire<Conn = C, Stream = S>>(&mut self, w: &mut W, stream: S) {
        if let Some((bulk, rest)) = &mut self.bulk
            && *bulk == stream
        {
            while w.write(stream, rest) {
                *rest = CHUNK;
            }
        }
    }

    fn streams<W: Wire<Conn = C, Stream = S>>(&mut self, w: &mut W) {
        let Some(&conn) = self.conns.first() else {
            return;
        };
        loop {
            let (stream, mut rest) = match self.rest.take() {
                Some(rest) => rest,
                None => match w.open(conn, true) {
                    Some(stream) => (stream, HUNDRED),
                    None => return,
                },
            };
            if !go_on(w, stream, &mut rest) {
                self.rest = Some((stream, rest));
                return;
            }
        }
    }

    fn ask<W: Wire<Conn = C, Stream = S>>(&mut self, w: &mut W, at_once: usize) {
        while self.asked.len() < at_once {
            let now = Instant::now();
            let Some(stream) = w.request(&self.uri) else {
                return;
            };
            self.asked.insert(stream, now);
        }
    }

    fn read<W: Wire<Conn = C, Stream = S>>(&mut self, w: &mut W, stream: S) {
        if !swallow(w, stream) {
            return;
        }
        if let (Some(at), Load::Get { at_once, .. }) = (self.asked.remove(&stream), self.load) {
            add(Count::Done, 1);
            took(at);
            self.ask(w, at_once);
        }
    }

    /// As many datagrams as may be on their way, over all sessions.
    fn wave<W: Wire<Conn = C, Stream = S>>(&mut self, w: &mut W) {
        for at in 0..IN_FLIGHT {
            w.send_datagram(self.conns[at % self.conns.len()], &self.datagram);
        }
    }

    fn datagrams<W: Wire<Conn = C, Stream = S>>(&mut self, w: &mut W, conn: C) {
        while w.recv_datagram(conn).is_some() {
            add(Count::Datagrams, 1);
            self.heard.0 += 1;
            w.send_datagram(conn, &self.datagram);
        }
    }

    fn flood<W: Wire<Conn = C, Stream = S>>(&mut self, w: &mut W, conn: C) {
        while w.send_datagram(conn, &self.datagram) {}
    }

    fn deadline(&self) -> Option<Instant> {
        matches!(self.load, Load::Echo { .. }).then_some(self.next_tick)
    }

    fn tick<W: Wire<Conn = C, Stream = S>>(&mut self, w: &mut W) {
        let now = Instant::now();
        if self.deadline().is_some_and(|at| at <= now) {
            self.next_tick = now + TICK;
            let (heard, before) = self.heard;
            self.heard.1 = heard;
            if let Load::Echo { sessions, .. } = self.load
                && heard == before
                && self.conns.len() == sessions
            {
                self.wave(w);
            }
        }
    }
}
