//! Data streams of a session: opening, being given, bytes both ways, and the
//! session's own limits on them.
//!
//! Limits count stream bodies and streams ever opened. What is counted on receipt
//! is what the application reads, since nothing is read ahead of it: until then
//! QUIC's own flow control holds the sender.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::flow::{Flow, Tell, Three};
use super::order;
use super::registry::{Session, State};
use super::{Cx, Sessions};
use crate::error::{OpenError, PeerCode, ReadError, WriteError};
use crate::event::{Event, SessionEvent, StreamEvent};
use crate::fault::{Fault, Violation};
use crate::h3::connection::H3;
use crate::h3::streams::Recv;
use crate::id::{Dir, SessionKey, Side, StreamKey};
use crate::transport::{Read, ReadState, Transport};
use crate::wire::capsule::{self, MAX_STREAM_COUNT};
use crate::wire::settings::SettingId;
use crate::wire::stream_type::{wt_bidi_head, wt_uni_head};
use crate::wire::varint::VarInt;

/// Most bytes that one write takes while several sessions share the connection.
/// Whoever has more is told at once that it may go on, after those who were told
/// before, so that sessions take turns however much one of them offers.
const TURN: usize = 16 * 1024;

impl Sessions {
    /// Opens a data stream in a session.
    pub(crate) fn open_stream<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        dir: Dir,
    ) -> Result<StreamKey, OpenError> {
        let session = self
            .registry
            .get_mut(cx.h3, key)
            .ok_or(OpenError::SessionGone)?;
        match session.state {
            State::Open => {}
            State::Over { .. } => return Err(OpenError::SessionGone),
            _ => return Err(OpenError::SessionPending),
        }
        if session.drain_told && cx.h3.config.strict_draining {
            return Err(OpenError::SessionDraining);
        }
        if let Some(flow) = &mut session.flow {
            let credit = flow.open(dir);
            if credit.available() == 0 {
                //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.6.3
                // Said once for each limit that stops us.
                if credit.blocked() {
                    flow.tell(Tell::StreamsBlocked(dir));
                    self.tell_limits(cx, key);
                }
                return Err(OpenError::StreamLimit);
            }
        }
        let header = match dir {
            Dir::Bi => wt_bidi_head(key.id()),
            Dir::Uni => wt_uni_head(key.id()),
        };
        // However late the stream's turn is, its header goes out in front.
        let front = order::priority(cx.h3, key, 0);
        let stream = cx
            .h3
            .open_raw(cx.t, dir, &header, front)
            .ok_or(OpenError::Blocked)?;
        self.registry.link(cx.h3, key, stream);
        self.rank_joined(cx, key, stream);
        if let Some(session) = self.registry.get_mut(cx.h3, key) {
            if let Some(flow) = &mut session.flow {
                flow.open(dir).take(1);
            }
            match dir {
                Dir::Bi => session.stats.opened_bi += 1,
                Dir::Uni => session.stats.opened_uni += 1,
            }
        }
        Ok(stream)
    }

    /// Gives a peer's stream to its session.
    pub(super) fn attach<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        stream: StreamKey,
        dir: Dir,
    ) -> Result<(), Fault> {
        self.registry.link(cx.h3, key, stream);
        let Some(session) = self.registry.get_mut(cx.h3, key) else {
            return Ok(());
        };
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.3
        // Counted as it arrives, whatever the application does with it.
        if let Some(flow) = &mut session.flow {
            flow.accept(dir).arrive(1).map_err(|_| over_limit(key))?;
        }
        match dir {
            Dir::Bi => session.stats.accepted_bi += 1,
            Dir::Uni => session.stats.accepted_uni += 1,
        }
        self.rank_joined(cx, key, stream);
        cx.h3.useful(1);
        cx.tell(key, SessionEvent::Opened { stream, dir });
        // Bytes may have come with the header; a read tells.
        cx.h3.tell_readable(stream);
        cx.h3.tell_stopped(stream);
        Ok(())
    }

    /// A stream of a session is over: it frees its place, and a session that drains
    /// may have been waiting for it.
    pub(super) fn on_stream_over<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        stream: StreamKey,
    ) {
        let dir = stream.id().dir();
        let theirs = stream.id().initiator() != cx.h3.side;
        let Some(session) = self.registry.get_mut(cx.h3, key) else {
            return;
        };
        if !session.is_open() {
            return;
        }
        if theirs
            && let Some(flow) = &mut session.flow
            && flow.accept(dir).release(1).is_some()
        {
            flow.tell(Tell::MaxStreams(dir));
            self.tell_limits(cx, key);
        }
        self.forgive(cx, key);
        let Some(session) = self.registry.get(cx.h3, key) else {
            return;
        };
        if cx.h3.config.end_drained_sessions && session.stats.draining && session.stats.streams == 0
        {
            // The session is open, so it can be closed.
            self.close(cx, key, 0, "").ok();
        }
    }

    /// Writes to a data stream, within the session's credit.
    pub(crate) fn write<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
        chunks: &mut [Bytes],
    ) -> Result<usize, WriteError> {
        let shared = self.registry.is_shared();
        let Some(session) = self.registry.owner_mut(cx.h3, stream) else {
            return Err(WriteError::Gone);
        };
        let credit = (session.flow.as_ref()).map_or(u64::MAX, |flow| flow.send_data.available());
        let credit = usize::try_from(credit).unwrap_or(usize::MAX);
        let offered: usize = chunks.iter().map(Bytes::len).sum();
        let turn = if shared { TURN } else { usize::MAX };
        let allowed = credit.min(turn).min(offered);
        let taken = if allowed == offered {
            cx.h3.write_raw(cx.t, stream, chunks).map_err(remap_write)?
        } else {
            write_part(cx, stream, chunks, allowed)?
        };
        if let Some(flow) = &mut session.flow {
            flow.send_data.take(taken as u64);
        }
        session.stats.bytes_sent += taken as u64;
        let key = session.key;
        if taken == allowed && allowed < offered {
            if allowed == credit {
                self.on_out_of_credit(cx, key, stream);
            } else {
                cx.out
                    .push_back(Event::Stream(stream, StreamEvent::Writable));
            }
        }
        Ok(taken)
    }

    /// The session's credit ended before the bytes did.
    fn on_out_of_credit<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        stream: StreamKey,
    ) {
        if let Some(slot) = cx.h3.table.get_mut(stream) {
            slot.wants_credit = true;
        }
        let Some(session) = self.registry.get_mut(cx.h3, key) else {
            return;
        };
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.6.5
        // Said once for each limit that stops us.
        if let Some(flow) = &mut session.flow
            && flow.send_data.blocked()
        {
            flow.tell(Tell::DataBlocked);
            self.tell_limits(cx, key);
        }
    }

    /// Reads from a data stream and returns credit for what was read.
    pub(crate) fn read<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
        max: usize,
        out: &mut [Bytes],
    ) -> Result<Result<Read, ReadError>, Fault> {
        let owner = self.registry.owner(cx.h3, stream);
        let read = cx.h3.read_raw(cx.t, stream, max, out).map_err(remap_read);
        let Some(key) = owner else {
            return Ok(read);
        };
        let Some(session) = self.registry.get_mut(cx.h3, key) else {
            return Ok(read);
        };
        let bytes = read.map_or(0, |read| read.bytes as u64);
        session.stats.bytes_received += bytes;
        let Some(flow) = &mut session.flow else {
            return Ok(read);
        };
        flow.lost |= matches!(read, Err(ReadError::Reset(_)));
        flow.recv_data.arrive(bytes).map_err(|_| over_limit(key))?;
        if flow.recv_data.release(bytes).is_some() {
            // Each limit may have been answered by one notice of being blocked.
            cx.h3.useful(1);
            flow.tell(Tell::MaxData);
            self.tell_limits(cx, key);
        }
        if !matches!(read, Ok(read) if read.state == ReadState::Open) {
            self.forgive(cx, key);
        }
        Ok(read)
    }

    /// The application gives up what a stream still carries.
    pub(crate) fn on_bytes_lost<T: Transport>(&mut self, cx: &mut Cx<'_, T>, stream: StreamKey) {
        if let Some(session) = self.registry.owner_mut(cx.h3, stream)
            && let Some(flow) = &mut session.flow
        {
            flow.lost = true;
            let key = session.key;
            self.forgive(cx, key);
        }
    }

    /// A stream was lost before it was given to its session, whichever that was.
    pub(super) fn on_stream_lost<T: Transport>(&mut self, cx: &mut Cx<'_, T>) {
        self.lossy = true;
        for key in self.registry.keys() {
            self.forgive(cx, key);
        }
    }

    /// Lets a peer go on that has run out of credit for what resets took away.
    fn forgive<T: Transport>(&mut self, cx: &mut Cx<'_, T>, key: SessionKey) {
        let Some(session) = self.registry.get_mut(cx.h3, key) else {
            return;
        };
        let open = session.is_open();
        let Some(flow) = session.flow.as_mut().filter(|_| open) else {
            return;
        };
        let lost = flow.lost || self.lossy;
        if !lost {
            return;
        }
        for dir in [Dir::Bi, Dir::Uni] {
            if self.lossy && flow.accept(dir).forgive().is_some() {
                flow.tell(Tell::MaxStreams(dir));
            }
        }
        // What waits for the application holds the peer back; only when all that
        // came has been read, the rest can have been lost.
        if flow.recv_data.is_stuck() && self.all_read(cx.h3, key) {
            let flow = self.registry.get_mut(cx.h3, key);
            if let Some(flow) = flow.and_then(|session| session.flow.as_mut())
                && flow.recv_data.forgive().is_some()
            {
                flow.tell(Tell::MaxData);
            }
        }
        self.tell_limits(cx, key);
    }

    /// Whether everything that came on a session's streams has been read. O(streams
    /// of the session).
    fn all_read(&self, h3: &H3, key: SessionKey) -> bool {
        let streams = self.registry.streams(h3, key);
        streams.into_iter().all(|stream| {
            h3.table.get(stream).is_none_or(|slot| match slot.recv {
                Recv::Closed | Recv::Reset(_) => true,
                Recv::Open | Recv::Finished => !slot.readable_told && slot.held.is_empty(),
            })
        })
    }

    /// Sends what is due about limits, as far as the CONNECT stream takes it.
    pub(super) fn tell_limits<T: Transport>(&mut self, cx: &mut Cx<'_, T>, key: SessionKey) {
        loop {
            let Some(session) = self.registry.get_mut(cx.h3, key) else {
                return;
            };
            let open = session.is_open();
            let Some(flow) = session.flow.as_mut().filter(|_| open) else {
                return;
            };
            // A peer that does not read its capsules gets none, and later the latest.
            match cx.h3.table.get_mut(key.stream()) {
                Some(slot) if slot.owed.is_empty() => {}
                Some(slot) => {
                    slot.wants_writable = true;
                    return;
                }
                None => return,
            }
            let Some((what, value)) = flow.next_due() else {
                return;
            };
            self.send_capsule(cx, key, limit_capsule(what, value));
        }
    }

    /// Sets a session's limits up, or lets peers go on that wait for credit although
    /// nothing was negotiated.
    pub(super) fn begin_flow<T: Transport>(&mut self, cx: &mut Cx<'_, T>, key: SessionKey) {
        let negotiated = self.negotiated.is_some_and(|agreed| agreed.flow_control);
        let Some(settings) = &cx.h3.peer_settings else {
            return;
        };
        if negotiated && let Some(ours) = cx.h3.config.session_flow {
            //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.5
            // The peer's settings are the first limits of every session.
            let theirs = Three {
                data: settings.wt_initial_max_data(),
                bidi: settings.wt_initial_max_streams_bidi(),
                uni: settings.wt_initial_max_streams_uni(),
            };
            let ours = Three {
                data: ours.data,
                bidi: ours.streams_bidi,
                uni: ours.streams_uni,
            };
            if let Some(session) = self.registry.get_mut(cx.h3, key) {
                session.flow = Some(Flow::new(theirs, ours));
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
        if waits && cx.h3.side == Side::Server {
            // One known client opens nothing before it is told that it may; to every
            // other these capsules mean nothing.
            let all = [
                Tell::MaxStreams(Dir::Bi),
                Tell::MaxStreams(Dir::Uni),
                Tell::MaxData,
            ];
            for what in all {
                self.send_capsule(cx, key, limit_capsule(what, MAX_STREAM_COUNT));
            }
        }
    }

    /// WT_MAX_DATA.
    pub(super) fn on_max_data<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        limit: u64,
    ) -> Result<(), Fault> {
        let Some(flow) = self.flow_mut(cx, key)? else {
            return Ok(());
        };
        if flow.send_data.raise(limit).map_err(|_| over_limit(key))? {
            cx.h3.useful(1);
            for stream in self.registry.streams(cx.h3, key) {
                if let Some(slot) = cx.h3.table.get_mut(stream)
                    && std::mem::take(&mut slot.wants_credit)
                {
                    cx.out
                        .push_back(Event::Stream(stream, StreamEvent::Writable));
                }
            }
        }
        Ok(())
    }

    /// WT_MAX_STREAMS.
    pub(super) fn on_max_streams<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        dir: Dir,
        limit: u64,
    ) -> Result<(), Fault> {
        let Some(flow) = self.flow_mut(cx, key)? else {
            return Ok(());
        };
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.6.2
        // There are not more streams than this.
        if limit > MAX_STREAM_COUNT {
            return Err(over_limit(key));
        }
        let credit = flow.open(dir);
        let was_empty = credit.available() == 0;
        if credit.raise(limit).map_err(|_| over_limit(key))? {
            cx.h3.useful(1);
            if was_empty {
                cx.tell(key, SessionEvent::StreamsAvailable(dir));
            }
        }
        Ok(())
    }

    /// WT_DATA_BLOCKED: advice, unless resets took bytes away.
    pub(super) fn on_data_blocked<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        limit: u64,
    ) -> Result<(), Fault> {
        if let Some(flow) = self.flow_mut(cx, key)? {
            flow.recv_data.stuck(limit);
            self.forgive(cx, key);
        }
        Ok(())
    }

    /// WT_STREAMS_BLOCKED: advice, unless resets took streams away.
    pub(super) fn on_streams_blocked<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        dir: Dir,
        limit: u64,
    ) -> Result<(), Fault> {
        let Some(flow) = self.flow_mut(cx, key)? else {
            return Ok(());
        };
        if limit > MAX_STREAM_COUNT {
            return Err(over_limit(key));
        }
        flow.accept(dir).stuck(limit);
        self.forgive(cx, key);
        Ok(())
    }

    /// The session's limits; `None` when there are none, and then a capsule about
    /// them means nothing and costs its sender.
    fn flow_mut<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
    ) -> Result<Option<&mut Flow>, Fault> {
        cx.h3.nuisance(1)?;
        Ok(self
            .registry
            .get_mut(cx.h3, key)
            .and_then(|session| session.flow.as_mut()))
    }
}

impl Session {
    /// The session's limits and use, when it has any: what the peer allows us, then
    /// what we allow it.
    pub(crate) fn limits(&self) -> Option<(Three, Three)> {
        let mut flow = self.flow?;
        let theirs = Three {
            data: flow.send_data.limit(),
            bidi: flow.open(Dir::Bi).limit(),
            uni: flow.open(Dir::Uni).limit(),
        };
        let ours = Three {
            data: flow.recv_data.granted(),
            bidi: flow.accept(Dir::Bi).granted(),
            uni: flow.accept(Dir::Uni).granted(),
        };
        Some((theirs, ours))
    }
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
fn write_part<T: Transport>(
    cx: &mut Cx<'_, T>,
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
    let taken = cx
        .h3
        .write_raw(cx.t, stream, &mut part)
        .map_err(remap_write)?;
    let mut done = taken;
    for chunk in chunks.iter_mut() {
        let len = chunk.len().min(done);
        let _ = chunk.split_to(len);
        done -= len;
    }
    Ok(taken)
}

fn remap_write(error: WriteError) -> WriteError {
    match error {
        WriteError::Stopped(code) => WriteError::Stopped(PeerCode::webtransport(code.wire.value())),
        other => other,
    }
}

fn remap_read(error: ReadError) -> ReadError {
    match error {
        ReadError::Reset(code) => ReadError::Reset(PeerCode::webtransport(code.wire.value())),
        other => other,
    }
}
