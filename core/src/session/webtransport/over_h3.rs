//! A session's carrier over HTTP/3 (draft-ietf-webtrans-http3-16): QUIC streams, and
//! capsules on the CONNECT stream.

use bytes::Bytes;

use super::carrier::{Carrier, StreamEnd};
use crate::code::{self, Code};
use crate::config::Limits;
use crate::error::{PeerCode, ReadError, ResetError, SendError, WriteError};
use crate::fault::Fault;
use crate::h3::connection::H3;
use crate::h3::read::RawGone;
use crate::h3::streams::Recv;
use crate::h3::tunnel_priority;
use crate::id::{Dir, SessionKey, StreamKey};
use crate::session::floor::owner::Owner;
use crate::stats::Stats;
use crate::transport::{Read, Transport};
use crate::wire::seen::Seen;
use crate::wire::stream_type::{wt_bidi_head, wt_uni_head};

/// The streams of one session.
pub(crate) struct OverH3<'a, T> {
    pub(crate) h3: &'a mut H3,
    pub(crate) t: &'a mut T,
    pub(crate) connect: SessionKey,
}

impl<T: Transport> OverH3<'_, T> {
    /// The transport's number for a rank in the session.
    fn priority(&self, rank: u8) -> i32 {
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-4.8
        // The session's priority is that of its CONNECT request.
        let exchange = self.h3.table.exchange_ref(self.connect.stream());
        let priority = exchange.and_then(|exchange| exchange.priority());
        tunnel_priority(priority.unwrap_or_default(), rank)
    }
}

impl<T: Transport> Carrier for OverH3<'_, T> {
    fn open(&mut self, dir: Dir, rank: u8) -> Option<StreamKey> {
        let header = match dir {
            Dir::Bi => wt_bidi_head(self.connect.id()),
            Dir::Uni => wt_uni_head(self.connect.id()),
        };
        let priority = self.priority(rank);
        self.h3.open_raw(self.t, dir, &header, priority)
    }

    fn own(&mut self, stream: StreamKey, place: u32) {
        Owner::Data(place).give(self.h3, stream);
    }

    fn introduce(&mut self, stream: StreamKey) -> (bool, Option<PeerCode>) {
        let (readable, stopped) = self.h3.introduce(stream);
        (readable, stopped.map(PeerCode::webtransport))
    }

    #[inline]
    fn read(
        &mut self,
        stream: StreamKey,
        max: usize,
        out: &mut [Bytes],
    ) -> Result<Read, StreamEnd> {
        let read = self.h3.read_raw(self.t, stream, max, out);
        read.map_err(|gone| match gone {
            RawGone::Reset { code, lost } => StreamEnd::Reset {
                code: PeerCode::webtransport(code),
                lost,
            },
            RawGone::Over(ReadError::Reset(code)) => StreamEnd::Over(ReadError::Reset(ours(code))),
            RawGone::Over(how) => StreamEnd::Over(how),
        })
    }

    #[inline]
    fn write(&mut self, stream: StreamKey, chunks: &mut [Bytes]) -> Result<usize, WriteError> {
        let written = self.h3.write_raw(self.t, stream, chunks);
        written.map_err(|error| match error {
            WriteError::Stopped(code) => WriteError::Stopped(ours(code)),
            other => other,
        })
    }

    fn finish(&mut self, stream: StreamKey) -> Result<(), SendError> {
        let finished = self.h3.finish(self.t, stream);
        finished.map_err(|error| match error {
            SendError::Stopped(code) => SendError::Stopped(ours(code)),
            other => other,
        })
    }

    fn reset(&mut self, stream: StreamKey, code: u32) -> Result<(), ResetError> {
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-4.4
        // 32 bits, mapped into a range of their own.
        self.h3.reset(self.t, stream, code::app_to_http(code))
    }

    fn stop(&mut self, stream: StreamKey, code: u32) -> Result<bool, Fault> {
        self.h3.stop(self.t, stream, code::app_to_http(code))
    }

    fn abandon(&mut self, stream: StreamKey) -> bool {
        let slot = self.h3.table.get(stream);
        let alive = slot.is_some_and(|slot| !slot.is_over());
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-6
        // Every data stream is reset and stopped with WT_SESSION_GONE.
        self.h3.abandon(self.t, stream, Code::WT_SESSION_GONE);
        Owner::Application.give(self.h3, stream);
        alive
    }

    fn rank(&mut self, stream: StreamKey, rank: u8) {
        let priority = self.priority(rank);
        self.t.set_priority(stream.id(), priority);
    }

    fn is_sending(&self, stream: StreamKey) -> bool {
        let slot = self.h3.table.get(stream);
        slot.is_some_and(|slot| slot.is_sending())
    }

    fn is_read(&self, stream: StreamKey) -> bool {
        let slot = self.h3.table.get(stream);
        slot.is_none_or(|slot| match slot.recv {
            Recv::Closed | Recv::Reset(..) => true,
            Recv::Open | Recv::Finished => !slot.readable_told && slot.held.is_empty(),
        })
    }

    fn control(&mut self, capsule: Bytes) {
        // In a DATA frame of its own, which one client insists on.
        self.h3.push_content(self.t, self.connect.stream(), capsule);
    }

    fn is_control_clear(&mut self) -> bool {
        let Some(slot) = self.h3.table.get_mut(self.connect.stream()) else {
            return false;
        };
        slot.wants_writable |= !slot.owed.is_empty();
        slot.owed.is_empty()
    }

    fn end_control(&mut self) {
        self.h3.end(self.t, self.connect.stream());
    }

    fn abort_control(&mut self, code: Code) {
        self.h3.abandon(self.t, self.connect.stream(), code);
    }

    #[inline]
    fn seen(&mut self, what: Seen<'_>) {
        self.t.seen(self.connect.id(), what);
    }

    fn stats(&mut self) -> &mut Stats {
        &mut self.h3.stats
    }

    fn charge(&mut self, parts: u32) -> Result<(), Fault> {
        self.h3.charge(parts)
    }

    fn pay(&mut self, parts: u32) {
        self.h3.pay(parts);
    }

    fn datagram(&mut self, len: usize) -> Result<(), Fault> {
        self.h3.datagram(len)
    }

    fn ring_bytes(&mut self) -> (&mut usize, &Limits) {
        (&mut self.h3.ring_bytes, &self.h3.config.limits)
    }

    fn spend(&mut self, work: u32) -> bool {
        self.h3.spend(work)
    }

    fn put_back(&mut self, content: Bytes) {
        self.h3.put_back(self.connect.stream(), content);
    }
}

/// A code of a session's stream, as HTTP/3 tells it.
fn ours(code: PeerCode) -> PeerCode {
    PeerCode::webtransport(code.wire.value())
}
