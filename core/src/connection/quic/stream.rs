//! One stream of raw QUIC.

use crate::id::{Dir, Named, Side, StreamId};
use crate::quic::{ReadError, ShutdownError, StreamClosed, WriteError};

/// The receiving half.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Recv {
    /// The transport may have more.
    Open,
    /// It was read to its end.
    Finished,
    /// The peer abandoned it with the code.
    Reset(u64),
    /// This side did.
    Stopped,
    /// There never was one.
    None,
}

/// The sending half.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Send {
    /// Bytes may be written.
    Open,
    /// The transport has everything, or will when the stream begins; the acknowledgment is
    /// awaited.
    Finishing,
    /// Everything has arrived.
    Finished,
    /// The peer does not want more: its code.
    Stopped(u64),
    /// This side abandoned it with the code.
    Reset(u64),
    /// There never was one.
    None,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    id: StreamId,
    pub(super) recv: Recv,
    pub(super) send: Send,
    /// It waits for the peer's stream limit.
    pub(super) queued: bool,
    /// Bytes that the application has read.
    pub(super) read: u64,
    pub(super) priority: i32,
    /// A readable event is out and the application has not read to `Blocked` since.
    pub(super) readable_told: bool,
    /// A write took less than offered: a writable event is due.
    pub(super) wants_writable: bool,
    pub(super) closed: StreamClosed,
}

impl Named for Stream {
    #[inline]
    fn id(&self) -> StreamId {
        self.id
    }
}

impl Stream {
    /// A stream as `side` sees it.
    pub(super) fn new(id: StreamId, side: Side) -> Self {
        let (recv, send) = match (id.dir(), id.initiator() == side) {
            (Dir::Bi, _) => (Recv::Open, Send::Open),
            (Dir::Uni, true) => (Recv::None, Send::Open),
            (Dir::Uni, false) => (Recv::Open, Send::None),
        };
        Self {
            id,
            recv,
            send,
            queued: false,
            read: 0,
            priority: 0,
            readable_told: false,
            wants_writable: false,
            closed: StreamClosed::default(),
        }
    }

    /// Why nothing can be read, if nothing can.
    pub(super) fn read_error(&self) -> Option<ReadError> {
        match self.recv {
            Recv::Open => None,
            Recv::Finished => Some(ReadError::Finished),
            Recv::Reset(code) => Some(ReadError::Reset(code)),
            Recv::Stopped => Some(ReadError::Stopped),
            Recv::None => Some(ReadError::NoSuchHalf),
        }
    }

    /// Why nothing can be written, if nothing can.
    pub(super) fn write_error(&self) -> Option<WriteError> {
        match self.send {
            Send::Open => None,
            Send::Finishing | Send::Finished => Some(WriteError::Finished),
            Send::Stopped(code) => Some(WriteError::Stopped(code)),
            Send::Reset(_) => Some(WriteError::Reset),
            Send::None => Some(WriteError::NoSuchHalf),
        }
    }

    /// Whether the sending half is under way: it may have been ended, and is not over.
    ///
    /// # Errors
    /// There is none, or it is over.
    pub(super) fn sending(&self) -> Result<(), ShutdownError> {
        match self.send {
            Send::Open | Send::Finishing => Ok(()),
            Send::None => Err(ShutdownError::NoSuchHalf),
            Send::Finished | Send::Stopped(_) | Send::Reset(_) => Err(ShutdownError::Gone),
        }
    }

    /// Whether both halves are over.
    pub(super) fn is_over(&self) -> bool {
        self.recv != Recv::Open && self.sending().is_err()
    }

    /// This side abandons a half with a code.
    pub(super) fn abandon_here(&mut self, code: u64) {
        self.closed.aborted_here = true;
        self.closed.code.get_or_insert(code);
    }

    /// The peer does.
    pub(super) fn abandoned_by_peer(&mut self, code: u64) {
        self.closed.aborted_remotely = true;
        self.closed.code.get_or_insert(code);
    }
}
