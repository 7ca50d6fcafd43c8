//! The seam that whoever looks on hangs on: what a connection is told and asked, what
//! its transport answers, what it tells. That is all it depends on, so whoever has
//! seen it can do it again.

use std::fmt::Debug;
use std::time::Instant;

use bytes::Bytes;

use super::command::{Call, Outcome};
use crate::event::Event;
use crate::id::{Dir, Side, StreamId};
use crate::transport::{
    Caps, DatagramRefused, Read, StreamGone, Transport, TransportEvent, crypto_error,
};

pub use crate::wire::{qpack::Text, seen::Seen};

/// Sees everything that goes into one connection and comes out of it, as it happens.
/// Dropped with its connection.
pub trait Observer: Debug + Send {
    /// Something goes in; what follows from it is told until the next input.
    fn input(&mut self, now: Instant, path: Path, input: Input<'_>);
    /// The connection called its transport.
    fn answer(&mut self, answer: Answer<'_>);
    /// What the next bytes that were read from a stream are; in the stream's order,
    /// sometimes long after they were read.
    fn seen(&mut self, stream: StreamId, what: Seen<'_>);
    /// What the application's call gave.
    fn outcome(&mut self, outcome: Outcome);
    /// The application took an event.
    fn event(&mut self, event: &Event);
}

/// What goes into a connection.
#[derive(Copy, Clone, Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// The transport tells something.
    Transport(&'a TransportEvent),
    /// Time has passed.
    Timeout,
    /// The application does something.
    Call(&'a Call),
}

/// What a transport says without being called to do anything.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Path {
    /// [`Transport::max_datagram_size`].
    pub max_datagram_size: Option<usize>,
    /// [`Transport::peer_max_datagram_size`].
    pub peer_max_datagram_size: Option<usize>,
    /// [`Transport::caps`].
    pub caps: Caps,
    /// [`Transport::receive_credit_spent`].
    pub receive_credit_spent: bool,
}

/// A call of the transport, by the name of its method, and what it gave.
#[derive(Copy, Clone, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the methods of `Transport` have them")]
pub enum Answer<'a> {
    Open(Dir, Option<StreamId>),
    Accept(Dir, Option<StreamId>),
    /// With the most bytes and chunks that were asked for, and the chunks.
    Read(StreamId, [usize; 2], Result<Read, StreamGone>, &'a [Bytes]),
    /// With what was offered.
    Write(StreamId, &'a [Bytes], Result<usize, StreamGone>),
    Finish(StreamId),
    Reset(StreamId, u64, &'a [u8]),
    Stop(StreamId, u64),
    SetPriority(StreamId, i32),
    RecvDatagram(Option<&'a Bytes>),
    SendDatagram(&'a Bytes, Result<(), &'a DatagramRefused>),
    Close(u64),
}

/// A transport and whoever looks on. If nobody does, each call costs a branch more.
pub(crate) struct Watched<'a, T> {
    pub(crate) t: &'a mut T,
    pub(crate) observer: Option<&'a mut (dyn Observer + 'static)>,
}

impl<T: Transport> Watched<'_, T> {
    /// Tells that something goes in.
    #[inline(always)]
    pub(crate) fn input(&mut self, now: Instant, input: Input<'_>) {
        if let Some(observer) = &mut self.observer {
            let path = Path {
                max_datagram_size: self.t.max_datagram_size(),
                peer_max_datagram_size: self.t.peer_max_datagram_size(),
                caps: self.t.caps(),
                receive_credit_spent: self.t.receive_credit_spent(),
            };
            observer.input(now, path, input);
        }
    }

    #[inline(always)]
    fn tell(&mut self, answer: Answer<'_>) {
        if let Some(observer) = &mut self.observer {
            observer.answer(answer);
        }
    }
}

impl<T: Transport> Transport for Watched<'_, T> {
    fn caps(&self) -> Caps {
        self.t.caps()
    }
    fn side(&self) -> Side {
        self.t.side()
    }
    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        let id = self.t.open(dir);
        self.tell(Answer::Open(dir, id));
        id
    }
    fn accept(&mut self, dir: Dir) -> Option<StreamId> {
        let id = self.t.accept(dir);
        self.tell(Answer::Accept(dir, id));
        id
    }
    // What is hot passes on results where they are: moving them costs as much.
    #[inline]
    fn read(&mut self, id: StreamId, max: usize, out: &mut [Bytes]) -> Result<Read, StreamGone> {
        let Some(observer) = &mut self.observer else {
            return self.t.read(id, max, out);
        };
        let result = self.t.read(id, max, out);
        let chunks = out.get(..result.map_or(0, |read| read.chunks));
        let (asked, chunks) = ([max, out.len()], chunks.unwrap_or_default());
        observer.answer(Answer::Read(id, asked, result, chunks));
        result
    }
    #[inline]
    fn write(&mut self, id: StreamId, chunks: &mut [Bytes]) -> Result<usize, StreamGone> {
        let Some(observer) = &mut self.observer else {
            return self.t.write(id, chunks);
        };
        let offered = &chunks.to_vec();
        let result = self.t.write(id, chunks);
        observer.answer(Answer::Write(id, offered, result));
        result
    }
    fn finish(&mut self, id: StreamId) {
        self.t.finish(id);
        self.tell(Answer::Finish(id));
    }
    fn reset(&mut self, id: StreamId, code: u64, head: &[u8]) {
        self.t.reset(id, code, head);
        self.tell(Answer::Reset(id, code, head));
    }
    fn stop(&mut self, id: StreamId, code: u64) {
        self.t.stop(id, code);
        self.tell(Answer::Stop(id, code));
    }
    fn set_priority(&mut self, id: StreamId, priority: i32) {
        self.t.set_priority(id, priority);
        self.tell(Answer::SetPriority(id, priority));
    }
    #[inline]
    fn recv_datagram(&mut self) -> Option<Bytes> {
        let Some(observer) = &mut self.observer else {
            return self.t.recv_datagram();
        };
        let datagram = self.t.recv_datagram();
        observer.answer(Answer::RecvDatagram(datagram.as_ref()));
        datagram
    }
    #[inline]
    fn send_datagram(&mut self, datagram: Bytes) -> Result<(), DatagramRefused> {
        let Some(observer) = &mut self.observer else {
            return self.t.send_datagram(datagram);
        };
        let sent = datagram.clone();
        let result = self.t.send_datagram(datagram);
        observer.answer(Answer::SendDatagram(&sent, result.as_ref().copied()));
        result
    }
    fn max_datagram_size(&self) -> Option<usize> {
        self.t.max_datagram_size()
    }
    fn peer_max_datagram_size(&self) -> Option<usize> {
        self.t.peer_max_datagram_size()
    }
    fn receive_credit_spent(&self) -> bool {
        self.t.receive_credit_spent()
    }
    fn stream_limit(&self, dir: Dir) -> Option<u64> {
        self.t.stream_limit(dir)
    }
    fn refuse(&mut self, alert: u8, reason: Bytes) {
        self.t.refuse(alert, reason);
        self.tell(Answer::Close(crypto_error(alert)));
    }
    fn close(&mut self, code: u64, reason: Bytes) {
        self.t.close(code, reason);
        self.tell(Answer::Close(code));
    }
    #[inline(always)]
    fn seen(&mut self, id: StreamId, what: Seen<'_>) {
        if let Some(observer) = &mut self.observer {
            observer.seen(id, what);
        }
        self.t.seen(id, what);
    }
}
