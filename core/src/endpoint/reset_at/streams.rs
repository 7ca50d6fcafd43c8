//! Resets of one connection's streams: what waits to be sent, what is read of one that the
//! peer has reset, and what quinn is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use quinn_proto::VarInt;

use super::frames::Head;
use super::ledger::{Received, ResetStats};
use super::shared::Shared;
use crate::endpoint::quic::{to_code, to_dir, to_id};
use crate::endpoint::tls::Shaken;
use crate::id::{Dir, Side, StreamId};

/// Bytes by which a packet may always grow: so much less is the largest datagram.
const ROOM: usize = 64;

/// Bytes by which it may grow while no datagram waits.
const MOST_ROOM: usize = 512;

/// Resets of one connection.
#[derive(Debug, Default)]
pub(in crate::endpoint) struct Resets {
    /// Where the endpoint's configuration has RESET_STREAM_AT.
    pub(super) shared: Option<Arc<Shared>>,
    /// Bytes read of streams of which there is more to read.
    pub(super) read: BTreeMap<StreamId, u64>,
    /// Those that wait for room, the oldest stream first.
    pub(super) waiting: BTreeMap<StreamId, (u64, Head)>,
    /// What quinn's queue of datagrams takes while none waits in it.
    empty: usize,
}

/// What can be read of a stream.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(in crate::endpoint) enum Left {
    /// What quinn has.
    All,
    /// So many bytes, which is at least one; then the reset is told.
    Bytes(u64),
    /// Nothing: the reset is told.
    Told(Received),
}

impl Resets {
    /// Those of a new connection.
    pub(in crate::endpoint) fn new(quic: &mut quinn_proto::Connection) -> Self {
        Self {
            shared: shared(quic),
            empty: quic.datagrams().send_buffer_space(),
            ..Self::default()
        }
    }

    /// Whether this side takes RESET_STREAM_AT.
    pub(in crate::endpoint) fn takes(&self) -> bool {
        self.shared.is_some()
    }

    /// Whether the peer does as well, as far as is known.
    pub(in crate::endpoint) fn both_take(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.peer())
    }

    /// What the largest datagram is smaller by.
    pub(in crate::endpoint) fn datagram_room(&self) -> usize {
        if self.both_take() { ROOM } else { 0 }
    }

    /// The transport parameters are known: the peer lets this side open so many streams at
    /// first.
    pub(in crate::endpoint) fn allow(&self, bidi: u64, uni: u64) {
        if let Some(shared) = &self.shared {
            shared.limits().raise(Dir::Bi, bidi);
            shared.limits().raise(Dir::Uni, uni);
        }
    }

    /// How many streams the peer lets this side open in all, if that is known.
    pub(in crate::endpoint) fn stream_limit(&self, dir: Dir) -> Option<u64> {
        self.shared.as_ref()?.limits().get(dir)
    }

    /// The close that follows is said in QUIC's name, where packets are seen.
    pub(in crate::endpoint) fn refuse(&self) {
        if let Some(shared) = &self.shared {
            shared.refuse();
        }
    }

    /// What quinn's queue of datagrams takes while none waits in it.
    pub(in crate::endpoint) fn empty_datagrams(&self) -> usize {
        self.empty
    }

    // ---- received ----------------------------------------------------------------

    /// quinn was fed.
    pub(in crate::endpoint) fn on_input(&mut self, quic: &mut quinn_proto::Connection) {
        let Some(shared) = &self.shared else { return };
        if !shared.has_news() {
            return;
        }
        shared.with(|ledger| {
            // Whatever the peer says of a stream that quinn has forgotten, it says too late.
            ledger.sort_out(|id| quic.recv_stream(to_id(id)).read(true).is_ok());
        });
        self.note();
    }

    /// What can be read of a stream at present.
    #[inline]
    pub(in crate::endpoint) fn left(&self, id: StreamId) -> Left {
        match &self.shared {
            Some(shared) if shared.has_received() => self.left_of_reset(shared, id),
            _ => Left::All,
        }
    }

    #[cold]
    fn left_of_reset(&self, shared: &Shared, id: StreamId) -> Left {
        let Some(received) = shared.with(|ledger| ledger.received(id)) else {
            return Left::All;
        };
        let read = self.read.get(&id).copied().unwrap_or(0);
        match received.reliable.checked_sub(read) {
            // QUIC has the reset, and tells it.
            _ if received.reliable == 0 && !received.at => Left::All,
            Some(left) if left > 0 => Left::Bytes(left),
            _ => Left::Told(received),
        }
    }

    /// Some was read of a stream, and there is more.
    #[inline]
    pub(in crate::endpoint) fn on_read(&mut self, id: StreamId, bytes: usize) {
        if self.shared.is_some() && bytes > 0 {
            *self.read.entry(id).or_default() += bytes as u64;
        }
    }

    /// The reset of a stream is told, or nobody wants to know of it: its final size.
    pub(in crate::endpoint) fn forget(&mut self, id: StreamId) -> Option<u64> {
        self.read.remove(&id);
        let shared = self
            .shared
            .as_ref()
            .filter(|shared| shared.has_received())?;
        let told = shared.with(|ledger| ledger.told(id));
        self.note();
        told.map(|received| received.final_size)
    }

    /// Early data was rejected: this side's streams never were.
    pub(in crate::endpoint) fn forget_opened(&mut self, side: Side) {
        self.read.retain(|id, _| id.initiator() != side);
        self.waiting.clear();
    }

    fn note(&self) {
        if let Some(shared) = &self.shared {
            shared.note();
        }
    }

    // ---- sent --------------------------------------------------------------------

    /// Resets a stream whose `head` is to arrive. Whether it was done, now or as soon as
    /// there is room; not where nobody would understand it.
    pub(in crate::endpoint) fn reset(
        &mut self,
        quic: &mut quinn_proto::Connection,
        id: StreamId,
        code: u64,
        head: &[u8],
    ) -> bool {
        let Some(head) = Head::new(head) else {
            return false;
        };
        if !self.both_take() || quic.is_handshaking() {
            return false;
        }
        let known = self.is_waiting(id)
            || (self.shared.as_ref()).is_some_and(|shared| shared.with(|l| l.is_sending(id)));
        if !known {
            self.waiting.insert(id, (code, head));
            self.let_go(quic);
        }
        true
    }

    /// Whether a stream is as good as reset.
    pub(in crate::endpoint) fn is_waiting(&self, id: StreamId) -> bool {
        self.waiting.contains_key(&id)
    }

    /// Forgets resets that were acknowledged, and lets others go for which there is room.
    pub(in crate::endpoint) fn let_go(&mut self, quic: &mut quinn_proto::Connection) {
        let Some(shared) = &self.shared else { return };
        if quic.is_closed() {
            self.waiting.clear();
            return;
        }
        if self.waiting.is_empty() && !shared.is_sending() {
            return;
        }
        let waits = quic.datagrams().send_buffer_space() < self.empty;
        let most = if waits { ROOM } else { MOST_ROOM };
        shared.with(|ledger| {
            // quinn has forgotten a stream that was reset when the peer has acknowledged it.
            ledger.release(|id| quic.send_stream(to_id(id)).stopped().is_err());
            while let Some(next) = self.waiting.first_entry()
                && let (id, (code, head)) = (*next.key(), *next.get())
                && ledger.room() + head.growth(id.wire()) <= most
            {
                next.remove();
                ledger.send(id, head);
                if quic.send_stream(to_id(id)).reset(to_code(code)).is_err() {
                    ledger.take_back(id);
                }
            }
        });
        self.note();
    }

    /// quinn is about to make packets.
    #[inline]
    pub(in crate::endpoint) fn make_room(&self, quic: &quinn_proto::Connection) {
        if let Some(shared) = self.shared.as_ref().filter(|shared| shared.is_sending())
            && !quic.is_closed()
        {
            shared.set_room(shared.with(|ledger| ledger.room()));
        }
    }

    /// A close of QUIC's is a byte longer than the application's.
    #[cold]
    pub(in crate::endpoint) fn make_room_to_refuse(&self) {
        if let Some(shared) = self.shared.as_ref().filter(|shared| shared.is_refusing()) {
            shared.set_room(1);
        }
    }

    /// quinn has made packets.
    #[inline]
    pub(in crate::endpoint) fn take_room_back(&self) {
        if let Some(shared) = &self.shared {
            shared.set_room(0);
        }
    }
}

fn shared(quic: &quinn_proto::Connection) -> Option<Arc<Shared>> {
    let shaken = quic.crypto_session().handshake_data()?;
    Some(shaken.downcast::<Shaken>().ok()?.shared)
}

/// Frames that a connection has counted; none where it has no RESET_STREAM_AT.
pub(in crate::endpoint) fn stats(quic: &quinn_proto::Connection) -> ResetStats {
    shared(quic).map_or_else(ResetStats::default, |shared| {
        shared.with(|ledger| ledger.counts())
    })
}

/// Has quinn stop a stream, of which nobody wants to know any more. False of one that it has
/// no more of.
pub(in crate::endpoint) fn stop(
    quic: &mut quinn_proto::Connection,
    id: StreamId,
    code: u64,
) -> bool {
    let mut stream = quic.recv_stream(to_id(id));
    // quinn gives back the credit of what was not read when a reset comes, and does so again
    // when such a stream is stopped. One whose reset is known is over without that.
    matches!(stream.received_reset(), Ok(None)) && stream.stop(to_code(code)).is_ok()
}

/// Has quinn give back what a stream takes whose reset is told: its place and its credit.
pub(in crate::endpoint) fn give_back(quic: &mut quinn_proto::Connection, id: StreamId, code: u64) {
    // Its end is known to quinn, so it forgets the stream at once. The peer, for which the
    // stream is over, has no use for the STOP_SENDING that comes with it.
    if !stop(quic, id, code) {
        return;
    }
    // Whether it is time to say so is asked when a limit is set, and not when a stream
    // is stopped.
    let ours = quic.side().is_client() == (id.initiator() == Side::Client);
    let dir = to_dir(id.dir());
    if !ours && let Ok(limit) = VarInt::from_u64(quic.max_concurrent_streams(dir)) {
        quic.set_max_concurrent_streams(dir, limit);
    }
}
