//! Data streams of a session: opening, being given, bytes both ways, and the
//! session's own limits on them.
//!
//! Limits count stream bodies and streams ever opened. What is counted on receipt
//! is what the application reads, since nothing is read ahead of it: until then
//! QUIC's own flow control holds the sender.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::SessionMut;
use super::carrier::{Carrier, StreamEnd};
use super::flow::{Flow, Tell};
use super::table::Member;
use crate::error::{ReadError, ResetError, SendError, WriteError};
use crate::event::StreamEvent;
use crate::fault::{Fault, Violation};
use crate::h3::NOTICE;
use crate::h3::streams::NONE;
use crate::id::{Dir, SessionKey, Side, StreamKey};
use crate::session::floor::registry::Life;
use crate::transport::{Read, ReadState};
use crate::webtransport::{OpenStreamError, SessionEvent};
use crate::wire::capsule::{self, MAX_STREAM_COUNT};
use crate::wire::settings::{SettingId, Settings};
use crate::wire::varint::VarInt;

/// Most bytes that one write takes while several sessions share the connection.
/// Whoever has more is told at once that it may go on, after those who were told
/// before, so that sessions take turns however much one of them offers.
const TURN: usize = 16 * 1024;

impl<C: Carrier> SessionMut<'_, C> {
    /// Opens a data stream.
    pub(crate) fn open_stream(&mut self, dir: Dir) -> Result<StreamKey, OpenStreamError> {
        match *self.life {
            Life::Open => {}
            Life::Over { .. } => return Err(OpenStreamError::SessionGone),
            _ => return Err(OpenStreamError::SessionPending),
        }
        if self.session.drain_told && self.terms.strict_draining {
            return Err(OpenStreamError::SessionDraining);
        }
        if let Some(flow) = self.session.flow.get_mut(self.terms.first_limits) {
            let credit = flow.open(dir);
            if credit.available() == 0 {
                //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.6.3
                // Said once for each limit that stops us.
                if credit.blocked() {
                    flow.tell(Tell::StreamsBlocked(dir));
                    self.tell_limits();
                }
                return Err(OpenStreamError::StreamLimit);
            }
        }
        // However late the stream's turn is, its header goes out in front.
        let stream = self.carrier.open(dir, 0).ok_or(OpenStreamError::Blocked)?;
        self.join(stream);
        if let Some(flow) = self.session.flow.used() {
            flow.open(dir).take(1);
        }
        match dir {
            Dir::Bi => self.session.stats.opened_bi += 1,
            Dir::Uni => self.session.stats.opened_uni += 1,
        }
        Ok(stream)
    }

    /// Takes a peer's stream and tells the application of it.
    pub(crate) fn attach(&mut self, stream: StreamKey, dir: Dir) -> Result<(), Fault> {
        let place = self.link(stream);
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.3
        // Counted as it arrives, whatever the application does with it.
        if let Some(flow) = self.session.flow.get_mut(self.terms.first_limits) {
            let counted = flow.accept(dir).arrive(1);
            counted.map_err(|_| over_limit(self.key))?;
        }
        match dir {
            Dir::Bi => self.session.stats.accepted_bi += 1,
            Dir::Uni => self.session.stats.accepted_uni += 1,
        }
        self.rank_joined(place);
        self.tell(SessionEvent::Opened { stream, dir });
        // Bytes may have come with the header; a read tells.
        let (readable, stopped) = self.carrier.introduce(stream);
        if readable {
            self.tell_stream(stream, StreamEvent::Readable);
        }
        if let Some(code) = stopped {
            self.on_sending_over();
            self.tell_stream(stream, StreamEvent::Stopped(code));
        }
        Ok(())
    }

    fn link(&mut self, stream: StreamKey) -> u32 {
        let place = self
            .streams
            .link(&mut self.session.list, self.index, stream);
        self.carrier.own(stream, place);
        place
    }

    fn join(&mut self, stream: StreamKey) {
        let place = self.link(stream);
        self.rank_joined(place);
    }

    /// A stream of the session is over: it frees its place, and a session that drains
    /// may have been waiting for it.
    pub(crate) fn on_stream_over(&mut self, place: u32) {
        let ordered = self.is_ordered();
        let Some(member) = self.streams.unlink(&mut self.session.list, place) else {
            return;
        };
        if ordered {
            self.rank();
        }
        if !self.life.is_open() {
            return;
        }
        let dir = member.stream.id().dir();
        let theirs = member.stream.id().initiator() != self.terms.side;
        if theirs
            && let Some(flow) = self.session.flow.used()
            && flow.accept(dir).release(1).is_some()
        {
            flow.tell(Tell::MaxStreams(dir));
            self.tell_limits();
        }
        self.forgive();
        if self.terms.end_drained && self.session.is_draining() && self.session.list.len == 0 {
            // The session is open, so it can be closed.
            self.close(0, "").ok();
        }
    }

    /// Writes to a data stream, within the session's credit.
    #[inline]
    pub(crate) fn write(
        &mut self,
        place: u32,
        stream: StreamKey,
        chunks: &mut [Bytes],
    ) -> Result<usize, WriteError> {
        let flow = self.session.flow.get_mut(self.terms.first_limits);
        let credit = flow.map_or(u64::MAX, |flow| flow.send_data.available());
        let credit = usize::try_from(credit).unwrap_or(usize::MAX);
        let offered: usize = chunks.iter().map(Bytes::len).sum();
        let turn = if self.shared { TURN } else { usize::MAX };
        let allowed = credit.min(turn).min(offered);
        let taken = if allowed == offered {
            self.carrier.write(stream, chunks)?
        } else {
            write_part(&mut self.carrier, stream, chunks, allowed)?
        };
        if let Some(flow) = self.session.flow.used() {
            flow.send_data.take(taken as u64);
        }
        self.session.stats.bytes_sent += taken as u64;
        if taken == allowed && allowed < offered {
            if allowed == credit {
                self.on_out_of_credit(place);
            } else {
                self.tell_stream(stream, StreamEvent::Writable);
            }
        }
        Ok(taken)
    }

    /// The session's credit ended before the bytes did.
    fn on_out_of_credit(&mut self, place: u32) {
        if let Some(member) = self.streams.get_mut(place) {
            member.wants_credit = true;
        }
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.6.5
        // Said once for each limit that stops us.
        if let Some(flow) = self.session.flow.used()
            && flow.send_data.blocked()
        {
            flow.tell(Tell::DataBlocked);
            self.tell_limits();
        }
    }

    /// Reads from a data stream and returns credit for what was read.
    #[inline]
    pub(crate) fn read(
        &mut self,
        stream: StreamKey,
        max: usize,
        out: &mut [Bytes],
    ) -> Result<Result<Read, ReadError>, Fault> {
        let read = self.carrier.read(stream, max, out);
        let bytes = read.map_or(0, |read| read.bytes as u64);
        self.session.stats.bytes_received += bytes;
        if let Some(flow) = self.session.flow.get_mut(self.terms.first_limits) {
            // Bytes that a reset took away are done with, too.
            let lost = match read {
                Err(StreamEnd::Reset { lost, .. }) => {
                    flow.lost |= lost.is_none();
                    lost.unwrap_or(0)
                }
                _ => 0,
            };
            let done = bytes.saturating_add(lost);
            let counted = flow.recv_data.arrive(done);
            counted.map_err(|_| over_limit(self.key))?;
            if flow.recv_data.release(done).is_some() {
                flow.tell(Tell::MaxData);
                // Each limit may have been answered by one notice of being blocked.
                self.carrier.pay(NOTICE);
                self.tell_limits();
            }
            if !matches!(read, Ok(read) if read.state == ReadState::Open) {
                self.forgive();
            }
        }
        Ok(read.map_err(|end| match end {
            StreamEnd::Reset { code, .. } => ReadError::Reset(code),
            StreamEnd::Over(how) => how,
        }))
    }

    /// Ends a stream after what was written.
    pub(crate) fn finish(&mut self, stream: StreamKey) -> Result<(), SendError> {
        self.carrier.finish(stream)
    }

    /// Abandons the sending half of a stream.
    pub(crate) fn reset(&mut self, stream: StreamKey, code: u32) -> Result<(), ResetError> {
        let reset = self.carrier.reset(stream, code);
        self.on_sending_over();
        reset
    }

    /// The application gives up what a stream still carries.
    pub(crate) fn stop(&mut self, stream: StreamKey, code: u32) -> Result<bool, Fault> {
        let stopped = self.carrier.stop(stream, code);
        if let Some(flow) = self.session.flow.get_mut(self.terms.first_limits) {
            flow.lost = true;
            self.forgive();
        }
        stopped
    }

    /// A stream was lost before it was given to its session, perhaps this one.
    pub(crate) fn on_stream_lost(&mut self, dir: Dir) {
        *self.session.lost.of(dir) += 1;
        if let Some(flow) = self.session.flow.get_mut(self.terms.first_limits) {
            flow.lost = true;
        }
        self.forgive();
    }

    /// Lets a peer go on that has run out of credit for what resets took away.
    pub(super) fn forgive(&mut self) {
        if !self.life.is_open() {
            return;
        }
        let Some(flow) = self.session.flow.used() else {
            return;
        };
        if !flow.lost {
            return;
        }
        for dir in [Dir::Bi, Dir::Uni] {
            let lost = self.session.lost.of(dir);
            let (forgiven, grown) = flow.accept(dir).forgive(*lost);
            *lost -= forgiven;
            if grown.is_some() {
                flow.tell(Tell::MaxStreams(dir));
            }
        }
        // What waits for the application holds the peer back; only when all that
        // came has been read, the rest can have been lost.
        if flow.recv_data.is_stuck()
            && all_read(&self.carrier, self.streams.of(self.session.list))
            && flow.recv_data.forgive(u64::MAX).1.is_some()
        {
            flow.tell(Tell::MaxData);
        }
        self.tell_limits();
    }

    /// Sends what is due about limits, as far as the carrier takes it.
    pub(crate) fn tell_limits(&mut self) {
        while self.life.is_open() {
            let Some(flow) = self.session.flow.used() else {
                return;
            };
            // A peer that does not read its capsules gets none, and later the latest.
            if !flow.is_due() || !self.carrier.is_control_clear() {
                return;
            }
            let Some((what, value)) = flow.next_due() else {
                return;
            };
            self.carrier.control(limit_capsule(what, value));
        }
    }

    /// Sets the session's limits up, or lets peers go on that wait for credit although
    /// nothing was negotiated.
    pub(super) fn begin_flow(&mut self, settings: &Settings) {
        let negotiated = self.terms.negotiated.is_some_and(|n| n.flow_control);
        if negotiated && self.terms.first_limits.is_some() {
            self.session.flow.begin();
            let lost = self.session.lost;
            if (lost.bi > 0 || lost.uni > 0)
                && let Some(flow) = self.session.flow.get_mut(self.terms.first_limits)
            {
                flow.lost = true;
            }
            return;
        }
        let waits = [
            SettingId::WT_INITIAL_MAX_DATA,
            SettingId::WT_INITIAL_MAX_STREAMS_UNI,
            SettingId::WT_INITIAL_MAX_STREAMS_BIDI,
            SettingId::WEBTRANSPORT_MAX_SESSIONS,
            SettingId::WT_MAX_SESSIONS,
        ]
        .into_iter()
        .any(|id| settings.get(id).is_some_and(|value| value > 0));
        if waits && self.terms.side == Side::Server {
            // One known client opens nothing before it is told that it may; to every
            // other these capsules mean nothing.
            let all = [
                Tell::MaxStreams(Dir::Bi),
                Tell::MaxStreams(Dir::Uni),
                Tell::MaxData,
            ];
            for what in all {
                self.carrier.control(limit_capsule(what, MAX_STREAM_COUNT));
            }
        }
    }

    /// Whether the peer may repeat a limit.
    fn equal_limits(&self) -> bool {
        let negotiated = self.terms.negotiated;
        negotiated.is_none_or(|negotiated| negotiated.dialect.rules().equal_limits)
    }

    /// WT_MAX_DATA.
    pub(super) fn on_max_data(&mut self, limit: u64) -> Result<(), Fault> {
        let equal = self.equal_limits();
        let Some(flow) = self.flow_mut()? else {
            return Ok(());
        };
        let raised = flow.send_data.raise(limit, equal);
        if raised.map_err(|_| over_limit(self.key))? {
            let mut next = self.streams.next(self.session.list, NONE);
            while let Some(member) = self.streams.get_mut(next) {
                let stream = member.stream;
                if std::mem::take(&mut member.wants_credit) {
                    self.tell_stream(stream, StreamEvent::Writable);
                }
                next = self.streams.next(self.session.list, next);
            }
        }
        Ok(())
    }

    /// WT_MAX_STREAMS.
    pub(super) fn on_max_streams(&mut self, dir: Dir, limit: u64) -> Result<(), Fault> {
        let equal = self.equal_limits();
        let Some(flow) = self.flow_mut()? else {
            return Ok(());
        };
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.6.2
        // There are not more streams than this.
        if limit > MAX_STREAM_COUNT {
            return Err(over_limit(self.key));
        }
        let credit = flow.open(dir);
        let was_empty = credit.available() == 0;
        let raised = credit.raise(limit, equal);
        if raised.map_err(|_| over_limit(self.key))? && was_empty {
            self.tell(SessionEvent::StreamsAvailable(dir));
        }
        Ok(())
    }

    /// WT_DATA_BLOCKED: whoever stands still gets what there is.
    pub(super) fn on_data_blocked(&mut self, limit: u64) -> Result<(), Fault> {
        if let Some(flow) = self.flow_mut()? {
            flow.recv_data.stuck(limit);
            self.forgive();
            self.unstick(None);
        }
        Ok(())
    }

    /// WT_STREAMS_BLOCKED: likewise.
    pub(super) fn on_streams_blocked(&mut self, dir: Dir, limit: u64) -> Result<(), Fault> {
        let Some(flow) = self.flow_mut()? else {
            return Ok(());
        };
        if limit > MAX_STREAM_COUNT {
            return Err(over_limit(self.key));
        }
        flow.accept(dir).stuck(limit);
        self.forgive();
        self.unstick(Some(dir));
        Ok(())
    }

    /// Lets a peer that stands still have what there is, of bytes or of streams.
    fn unstick(&mut self, of: Option<Dir>) {
        let Some(flow) = self.session.flow.used() else {
            return;
        };
        let (grant, what) = match of {
            None => (&mut flow.recv_data, Tell::MaxData),
            Some(dir) => (flow.accept(dir), Tell::MaxStreams(dir)),
        };
        if grant.unstick().is_some() {
            flow.tell(what);
            self.tell_limits();
        }
    }

    /// The session's limits; `None` when there are none, and then a capsule about
    /// them means nothing and costs its sender.
    fn flow_mut(&mut self) -> Result<Option<&mut Flow>, Fault> {
        self.carrier.charge(NOTICE)?;
        Ok(self.session.flow.get_mut(self.terms.first_limits))
    }
}

/// Whether everything that came on some streams has been read. O(streams).
fn all_read<'a, C: Carrier>(
    carrier: &C,
    mut streams: impl Iterator<Item = (u32, &'a Member)>,
) -> bool {
    streams.all(|(_, member)| carrier.is_read(member.stream))
}

//= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.6
// A broken limit resets the CONNECT stream with WT_FLOW_CONTROL_ERROR.
fn over_limit(key: SessionKey) -> Fault {
    Fault::Stream(key.stream(), Violation::FlowControl)
}

/// The capsule that says so about a limit.
fn limit_capsule(what: Tell, value: u64) -> Bytes {
    let mut capsule = BytesMut::new();
    let streams = varint(value.min(MAX_STREAM_COUNT));
    match what {
        Tell::MaxData => capsule::put_max_data(&mut capsule, varint(value)),
        Tell::MaxStreams(dir) => capsule::put_max_streams(&mut capsule, dir, streams),
        Tell::DataBlocked => capsule::put_data_blocked(&mut capsule, varint(value)),
        Tell::StreamsBlocked(dir) => capsule::put_streams_blocked(&mut capsule, dir, streams),
    }
    capsule.freeze()
}

fn varint(value: u64) -> VarInt {
    VarInt::new(value).unwrap_or_else(|_| VarInt::from_u32(u32::MAX))
}

/// Writes at most `allowed` bytes of `chunks`.
fn write_part<C: Carrier>(
    carrier: &mut C,
    stream: StreamKey,
    chunks: &mut [Bytes],
    allowed: usize,
) -> Result<usize, WriteError> {
    let mut left = allowed;
    let mut part: SmallVec<[Bytes; 8]> = SmallVec::new();
    for chunk in chunks.iter() {
        if left == 0 {
            break;
        }
        let len = chunk.len().min(left);
        part.push(chunk.slice(..len));
        left -= len;
    }
    let taken = carrier.write(stream, &mut part)?;
    let mut done = taken;
    for chunk in chunks.iter_mut() {
        let len = chunk.len().min(done);
        let _ = chunk.split_to(len);
        done -= len;
    }
    Ok(taken)
}
