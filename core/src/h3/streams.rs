//! The table of streams: a slab of slots, found by QUIC stream id through one
//! dense window per stream class. A lookup is two array reads, but for the few streams
//! that have outlived their neighbours by far.

use bytes::Bytes;
use slab::Slab;
use smallvec::SmallVec;

use super::exchange::Exchange;
use crate::error::{PeerCode, ReadError, SendError, WriteError};
use crate::id::{Dir, Named, Side, StreamId, StreamKey, StreamMap};
use crate::time::Deadline;
use crate::wire::cursor::HeadReader;

pub(crate) use crate::id::NONE;

/// What a stream is used for.
#[derive(Debug)]
pub(crate) enum Kind {
    /// The peer opened it and its first integers have not all arrived.
    Unidentified(HeadReader),
    /// The peer's control stream.
    Control,
    /// The peer's QPACK encoder stream.
    QpackEncoder,
    /// The peer's QPACK decoder stream.
    QpackDecoder,
    /// A request and its response, or a CONNECT tunnel.
    Exchange(Box<Exchange>),
    /// Claimed by the layer above: raw bytes after the stream's header, which a reset must
    /// not outrun. Of a stream of the peer's that header is not kept.
    Raw(StreamHead),
    /// Its use is known and nobody here has one for it: refused.
    Refused,
}

/// The receiving half.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Recv {
    /// The transport may have more.
    Open,
    /// The peer's end was seen; the application has not been told.
    Finished,
    /// The peer's reset was seen; the application has not been told. The code, and
    /// how many bytes were lost, if that is known.
    Reset(u64, Option<u64>),
    /// Over, or never was.
    Closed,
}

/// The sending half.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Send {
    /// Bytes may be written.
    Open,
    /// The end was asked for while bytes were still owed.
    Finishing,
    /// The transport has everything; the acknowledgement is awaited.
    Finished,
    /// Abandoned with the code while the stream's header was still owed.
    Resetting(u64),
    /// The peer does not want more; the application has not been told by a write.
    Stopped(u64),
    /// Over, or never was.
    Closed,
}

/// How this side ended the sending half.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum SendEnd {
    Finished,
    Reset,
}

/// How the receiving half ended, when that was told.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum RecvEnd {
    /// It was read to its end.
    Finished,
    /// This side stopped it.
    Stopped,
    /// The peer reset it with the code.
    Reset(u64),
}

/// The few bytes that a stream of a claimed type begins with, kept for a reset.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct StreamHead {
    bytes: [u8; Self::MAX],
    len: u8,
}

impl StreamHead {
    /// Two variable-length integers.
    const MAX: usize = 16;

    /// Keeps a header; a longer one than any claimed type has is not kept.
    fn new(header: &[u8]) -> Self {
        let mut head = Self::default();
        if let Some(place) = head.bytes.get_mut(..header.len()) {
            place.copy_from_slice(header);
            head.len = header.len() as u8;
        }
        head
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// A deadline, and where things stood when the wait for it began.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Wait {
    pub(super) due: Deadline,
    /// Bytes of the stream that had gone, or how often a wait for something to come was
    /// made longer.
    pub(super) bytes: u64,
    /// Bytes of all streams that had gone, or come.
    pub(super) total: u64,
}

/// The place of a wait in the table, or of none.
#[derive(Copy, Clone, Debug)]
pub(crate) struct WaitAt(u32);

impl WaitAt {
    const NOWHERE: Self = Self(NONE);

    /// Whether there is none.
    pub(super) fn is_none(self) -> bool {
        self.0 == NONE
    }
}

/// What the streams wait for. Most wait for nothing most of the time.
#[derive(Debug, Default)]
pub(crate) struct WaitTable(Slab<Wait>);

impl WaitTable {
    #[inline]
    pub(super) fn get(&self, at: WaitAt) -> Option<Wait> {
        self.0.get(at.0 as usize).copied()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, at: WaitAt) -> Option<&mut Wait> {
        self.0.get_mut(at.0 as usize)
    }

    /// Begins a wait, in place of the one there may be.
    pub(super) fn set(&mut self, at: &mut WaitAt, wait: Wait) {
        match self.0.get_mut(at.0 as usize) {
            Some(before) => *before = wait,
            None => *at = WaitAt(u32::try_from(self.0.insert(wait)).unwrap_or(NONE)),
        }
    }

    /// Ends a wait, if there is one.
    #[inline]
    pub(super) fn take(&mut self, at: &mut WaitAt) -> Option<Wait> {
        match std::mem::replace(at, WaitAt::NOWHERE) {
            at if at.is_none() => None,
            at => self.0.try_remove(at.0 as usize),
        }
    }
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) id: StreamId,
    pub(crate) kind: Kind,
    pub(crate) recv: Recv,
    pub(crate) send: Send,
    /// How halves that are over were ended, for whoever still uses them.
    pub(crate) recv_end: Option<RecvEnd>,
    pub(crate) send_end: Option<SendEnd>,
    /// Bytes read from the transport and not interpreted yet. At most one chunk.
    pub(crate) held: Bytes,
    /// Bytes owed to the transport: what it did not take of a header or of a frame
    /// that was begun. Bounded by one field section or one DATA frame.
    pub(crate) owed: SmallVec<[Bytes; 2]>,
    /// Bytes that the transport has given of it.
    pub(crate) read: u64,
    /// Bytes that the transport has taken of it, of what was owed.
    pub(crate) written: u64,
    /// What is to come, and what is to be taken, within a time.
    pub(super) recv_wait: WaitAt,
    pub(super) send_wait: WaitAt,
    /// How often what is to come was late for want of credit.
    pub(super) excused: u8,
    /// A readable event is out and the application has not read to `Blocked` since.
    pub(crate) readable_told: bool,
    /// A write took less than offered: a writable event is due.
    pub(crate) wants_writable: bool,
    /// Its input waits for the next turn.
    pub(crate) deferred: bool,
    /// The end of both halves has been told.
    pub(crate) over_told: bool,
    /// A word of the layer above, which alone knows its meaning; `NONE` at first.
    pub(crate) owner: u32,
}

impl Slot {
    /// A slot for a stream as `side` sees it.
    pub(crate) fn new(id: StreamId, side: Side, kind: Kind) -> Self {
        let local = id.initiator() == side;
        let (recv, send) = match (id.dir(), local) {
            (Dir::Bi, _) => (Recv::Open, Send::Open),
            (Dir::Uni, true) => (Recv::Closed, Send::Open),
            (Dir::Uni, false) => (Recv::Open, Send::Closed),
        };
        Self {
            id,
            kind,
            recv,
            send,
            recv_end: None,
            send_end: None,
            held: Bytes::new(),
            owed: SmallVec::new(),
            read: 0,
            written: 0,
            recv_wait: WaitAt::NOWHERE,
            send_wait: WaitAt::NOWHERE,
            excused: 0,
            readable_told: false,
            wants_writable: false,
            deferred: false,
            over_told: false,
            owner: NONE,
        }
    }

    /// A slot for a stream of a claimed type that this side opens.
    pub(crate) fn raw(id: StreamId, side: Side, header: &[u8]) -> Self {
        Self::new(id, side, Kind::Raw(StreamHead::new(header)))
    }

    /// Bytes of the stream that have come and will not be given any more, once the
    /// peer has abandoned it after `final_size` bytes.
    pub(crate) fn lost(&self, final_size: u64) -> u64 {
        let given = self.read.saturating_sub(self.held.len() as u64);
        final_size.saturating_sub(given)
    }

    /// The header of a stream that this side has opened.
    pub(crate) fn head(&self) -> &[u8] {
        match &self.kind {
            Kind::Raw(head) => head.as_slice(),
            _ => &[],
        }
    }

    pub(crate) fn exchange(&mut self) -> Option<&mut Exchange> {
        match &mut self.kind {
            Kind::Exchange(exchange) => Some(exchange),
            _ => None,
        }
    }

    pub(crate) fn exchange_ref(&self) -> Option<&Exchange> {
        match &self.kind {
            Kind::Exchange(exchange) => Some(exchange),
            _ => None,
        }
    }

    /// Why nothing more can be written, once that is so.
    #[inline]
    pub(crate) fn write_error(&self) -> Option<WriteError> {
        match (self.send, self.send_end) {
            (Send::Open, _) => None,
            (Send::Stopped(code), _) => Some(WriteError::Stopped(PeerCode::http(code))),
            (Send::Finishing | Send::Finished, _) | (Send::Closed, Some(SendEnd::Finished)) => {
                Some(WriteError::Finished)
            }
            (Send::Resetting(_), _) | (Send::Closed, Some(SendEnd::Reset)) => {
                Some(WriteError::Reset)
            }
            (Send::Closed, None) => Some(WriteError::Gone),
        }
    }

    /// The same of what ends or completes a message.
    pub(crate) fn send_error(&self) -> Option<SendError> {
        self.write_error().map(|error| match error {
            WriteError::Finished => SendError::Finished,
            WriteError::Reset => SendError::Reset,
            WriteError::Stopped(code) => SendError::Stopped(code),
            _ => SendError::Gone,
        })
    }

    /// Why nothing more can be read of a half that is closed.
    pub(crate) fn read_error(&self) -> ReadError {
        match self.recv_end {
            Some(RecvEnd::Finished) => ReadError::Finished,
            Some(RecvEnd::Stopped) => ReadError::Stopped,
            Some(RecvEnd::Reset(code)) => ReadError::Reset(PeerCode::http(code)),
            None => ReadError::Gone,
        }
    }

    /// Whether the transport may still have bytes of ours to send.
    pub(crate) fn is_sending(&self) -> bool {
        matches!(self.send, Send::Open | Send::Finishing | Send::Finished)
    }

    /// Whether it is to be said that the stream can be read: once, until a read ends
    /// blocked.
    pub(crate) fn tell_readable(&mut self) -> bool {
        self.recv != Recv::Closed && !std::mem::replace(&mut self.readable_told, true)
    }

    /// Whether both halves are over, so that the slot can go.
    pub(crate) fn is_over(&self) -> bool {
        // A stop has been told by its event; a write may tell it again until then.
        self.recv == Recv::Closed && matches!(self.send, Send::Closed | Send::Stopped(_))
    }
}

/// All live streams of a connection.
#[derive(Debug, Default)]
pub(crate) struct StreamTable {
    slots: StreamMap<Slot>,
    waits: WaitTable,
    /// How often anything was looked up.
    #[cfg(test)]
    pub(crate) looked_up: std::cell::Cell<u32>,
}

impl Named for Slot {
    fn id(&self) -> StreamId {
        self.id
    }
}

impl StreamTable {
    /// Adds a stream. Ids of a class come in increasing order.
    pub(crate) fn insert(&mut self, slot: Slot) -> StreamKey {
        self.slots.insert(slot)
    }

    /// Makes this table, which is empty, one that knows no key of `before`.
    pub(crate) fn restart_after(&mut self, before: &Self) {
        self.slots.restart_after(&before.slots);
    }

    /// Whether a key is of a stream that was here, or in the table before this one.
    pub(crate) fn knew(&self, key: StreamKey) -> bool {
        self.slots.knew(key)
    }

    /// Forgets a stream, and tells what it was used for. The slot itself is not moved, since
    /// copying it costs more than all else.
    pub(crate) fn remove(&mut self, key: StreamKey) -> Option<Kind> {
        let (slot, waits) = self.with_waits(key)?;
        waits.take(&mut slot.recv_wait);
        waits.take(&mut slot.send_wait);
        let kind = std::mem::replace(&mut slot.kind, Kind::Refused);
        drop(self.slots.remove(key));
        Some(kind)
    }

    /// One more look-up, for the tests that count them.
    fn count(&self) {
        #[cfg(test)]
        self.looked_up.set(self.looked_up.get() + 1);
    }

    pub(crate) fn get(&self, key: StreamKey) -> Option<&Slot> {
        self.count();
        self.slots.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: StreamKey) -> Option<&mut Slot> {
        self.count();
        self.slots.get_mut(key)
    }

    /// The same, with what all streams wait for.
    pub(super) fn with_waits(&mut self, key: StreamKey) -> Option<(&mut Slot, &mut WaitTable)> {
        self.count();
        Some((self.slots.get_mut(key)?, &mut self.waits))
    }

    /// What streams wait for.
    pub(super) fn waits(&self) -> &WaitTable {
        &self.waits
    }

    /// The exchange on a stream, if that is what it carries.
    pub(crate) fn exchange(&mut self, key: StreamKey) -> Option<&mut Exchange> {
        self.get_mut(key)?.exchange()
    }

    pub(crate) fn exchange_ref(&self, key: StreamKey) -> Option<&Exchange> {
        self.get(key)?.exchange_ref()
    }

    /// The key of a live stream.
    pub(crate) fn find(&self, id: StreamId) -> Option<StreamKey> {
        self.count();
        self.slots.find(id)
    }

    /// Whether a stream of this id was ever in the table.
    pub(crate) fn was_seen(&self, id: StreamId) -> bool {
        self.slots.was_seen(id)
    }

    /// The first request stream that was never in the table.
    pub(crate) fn end_of_requests(&self) -> StreamId {
        self.slots.end(StreamId::new(Side::Client, Dir::Bi, 0))
    }

    /// Number of live streams.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether something of a message has come that the application has not read: content,
    /// or the end of some, or of an answer. O(slots).
    #[cfg(feature = "quinn")]
    pub(crate) fn has_unread(&self, side: Side) -> bool {
        self.slots.values().any(|slot| {
            slot.exchange_ref().is_some_and(|exchange| {
                let ends = slot.recv == Recv::Finished && slot.readable_told;
                let matters = side == Side::Client || exchange.received > 0;
                !exchange.content.is_empty() || (ends && matters)
            })
        })
    }

    /// Whether an exchange has something to send or to be read. One that the peer reset
    /// has not, though nobody may have looked at that. O(slots).
    pub(crate) fn has_work(&self) -> bool {
        self.slots.values().any(|slot| {
            let exchange = slot.exchange_ref();
            let unread = exchange.is_some_and(|exchange| !exchange.content.is_empty());
            let ends = matches!(slot.recv, Recv::Closed | Recv::Reset(..)) && !unread;
            exchange.is_some() && (slot.is_sending() || !ends)
        })
    }

    /// Keys of all live streams, in table order. O(slots).
    pub(crate) fn keys(&self) -> impl Iterator<Item = StreamKey> + '_ {
        self.slots.keys()
    }
}
