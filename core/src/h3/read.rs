//! What is taken of a stream, or given up: content of messages, bytes of claimed
//! streams.

use bytes::Bytes;

use super::connection::H3;
use super::streams::{Kind, Recv, RecvEnd, Send};
use crate::code::Code;
use crate::error::{PeerCode, ReadError};
use crate::fault::Fault;
use crate::id::StreamKey;
use crate::transport::{Read, ReadState, StreamGone, Transport};
use crate::wire::seen::Seen;

/// Why a stream of a claimed type gives no bytes.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum RawGone {
    /// The peer abandoned it with the code; so many bytes were lost, if that is known.
    Reset { code: u64, lost: Option<u64> },
    /// Over, and its end was told before.
    Over(ReadError),
}

impl H3 {
    /// Content of an exchange: up to `out.len()` chunks, at most `max` bytes.
    pub(crate) fn read_content<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        max: usize,
        out: &mut [Bytes],
    ) -> Result<Result<Read, ReadError>, Fault> {
        self.take_content(t, key, max, out, true)
    }

    /// As [`Self::read_content`], one chunk, for whoever tells what is in it.
    pub(crate) fn read_capsules<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        out: &mut [Bytes; 1],
    ) -> Result<Result<Read, ReadError>, Fault> {
        self.take_content(t, key, usize::MAX, out, false)
    }

    /// Bytes of content that are still to be taken, as far as that is known, and whether
    /// nothing more comes of it, trailers neither.
    pub(crate) fn content_left(&self, key: StreamKey) -> (Option<u64>, bool) {
        let Some((slot, exchange)) =
            (self.table.get(key)).and_then(|slot| Some((slot, slot.exchange_ref()?)))
        else {
            return (None, false);
        };
        let waiting = exchange.content.len() as u64;
        match slot.recv {
            Recv::Finished => (Some(waiting), waiting == 0),
            Recv::Open => (exchange.to_come().map(|more| more + waiting), false),
            _ => (None, false),
        }
    }

    fn take_content<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        max: usize,
        out: &mut [Bytes],
        opaque: bool,
    ) -> Result<Result<Read, ReadError>, Fault> {
        let mut read = Read {
            chunks: 0,
            bytes: 0,
            state: ReadState::Open,
        };
        self.note_reading(key);
        while let Some(place) = out.get_mut(read.chunks) {
            let room = max - read.bytes;
            if room == 0 {
                break;
            }
            let Some(slot) = self.table.get_mut(key) else {
                return Ok(Err(ReadError::Gone));
            };
            let (recv, over) = (slot.recv, slot.read_error());
            let Kind::Exchange(exchange) = &mut slot.kind else {
                return Ok(Err(ReadError::Gone));
            };
            if !exchange.content.is_empty() {
                let take = room.min(exchange.content.len());
                *place = exchange.content.split_to(take);
                read.chunks += 1;
                read.bytes += take;
                if opaque {
                    self.took(take);
                    t.seen(key.id, Seen::Payload(take));
                }
                continue;
            }
            match recv {
                Recv::Open => self.pump(t, key)?,
                Recv::Finished => {
                    read.state = ReadState::Finished;
                    self.end_recv(key, RecvEnd::Finished);
                    self.settle(key);
                    return Ok(Ok(read));
                }
                Recv::Reset(code, _) if read.chunks == 0 => {
                    self.end_recv(key, RecvEnd::Reset(code));
                    self.settle(key);
                    return Ok(Err(ReadError::Reset(PeerCode::http(code))));
                }
                Recv::Closed if read.chunks == 0 => return Ok(Err(over)),
                _ => return Ok(Ok(read)),
            }
            let Some(slot) = self.table.get_mut(key) else {
                return Ok(Ok(read));
            };
            let idle = slot
                .exchange_ref()
                .is_some_and(|exchange| exchange.content.is_empty());
            if slot.recv == Recv::Open && idle {
                slot.readable_told = false;
                read.state = ReadState::Blocked;
                if read.bytes == 0 {
                    self.await_body(key);
                }
                return Ok(Ok(read));
            }
        }
        Ok(Ok(read))
    }

    /// Bytes of a claimed stream: up to `out.len()` chunks, at most `max` bytes.
    pub(crate) fn read_raw<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        max: usize,
        out: &mut [Bytes],
    ) -> Result<Read, RawGone> {
        let slot = self
            .table
            .get_mut(key)
            .ok_or(RawGone::Over(ReadError::Gone))?;
        let mut read = Read {
            chunks: 0,
            bytes: 0,
            state: ReadState::Open,
        };
        match slot.recv {
            Recv::Open | Recv::Finished => {}
            Recv::Reset(code, lost) => {
                self.end_recv(key, RecvEnd::Reset(code));
                self.settle(key);
                return Err(RawGone::Reset { code, lost });
            }
            Recv::Closed => return Err(RawGone::Over(slot.read_error())),
        }
        let Some((first, rest)) = out.split_first_mut() else {
            return Ok(read);
        };
        let mut room = max;
        let mut target = std::slice::from_mut(first);
        if !slot.held.is_empty() {
            let take = room.min(slot.held.len());
            *first = slot.held.split_to(take);
            read.chunks = 1;
            read.bytes = take;
            room -= take;
            if !slot.held.is_empty() {
                t.seen(key.id, Seen::Payload(take));
                return Ok(read);
            }
            target = rest;
        } else if !rest.is_empty() {
            target = out;
        }
        if slot.recv == Recv::Finished {
            read.state = ReadState::Finished;
        } else if room > 0 && !target.is_empty() {
            match t.read(key.id, room, target) {
                Ok(more) => {
                    slot.read += more.bytes as u64;
                    read.chunks += more.chunks;
                    read.bytes += more.bytes;
                    read.state = more.state;
                }
                Err(gone) => {
                    let lost = match gone {
                        StreamGone::Reset { code, final_size } => {
                            let lost = final_size.map(|size| slot.lost(size));
                            RawGone::Reset { code, lost }
                        }
                        StreamGone::Stopped(_) | StreamGone::Unknown => {
                            RawGone::Over(ReadError::Gone)
                        }
                    };
                    if let RawGone::Reset { code, lost } = lost
                        && read.chunks > 0
                    {
                        slot.recv = Recv::Reset(code, lost);
                        t.seen(key.id, Seen::Payload(read.bytes));
                        self.took(read.bytes);
                        self.count_reset(t);
                        return Ok(read);
                    }
                    match lost {
                        RawGone::Reset { code, .. } => self.end_recv(key, RecvEnd::Reset(code)),
                        RawGone::Over(_) => self.close_recv(key),
                    }
                    self.settle(key);
                    self.count_reset(t);
                    return Err(lost);
                }
            }
        }
        t.seen(key.id, Seen::Payload(read.bytes));
        match read.state {
            ReadState::Open => {}
            ReadState::Blocked => slot.readable_told = false,
            ReadState::Finished => {
                self.finished_stream();
                self.end_recv(key, RecvEnd::Finished);
                self.settle(key);
            }
        }
        self.took(read.bytes);
        Ok(read)
    }

    /// Closes the receiving half, and remembers how it ended.
    fn end_recv(&mut self, key: StreamKey, how: RecvEnd) {
        self.close_recv(key);
        if let Some(slot) = self.table.get_mut(key) {
            slot.recv_end = Some(how);
        }
    }

    /// A stream of a session that the peer has taken back costs as other useless things.
    fn count_reset<T: Transport>(&mut self, t: &mut T) {
        let result = self.nuisance(1);
        self.fail(t, result);
    }

    /// Gives up what the peer still sends.
    pub(crate) fn stop<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        code: u64,
    ) -> Result<bool, Fault> {
        let Some(slot) = self.table.get(key) else {
            return Ok(false);
        };
        if slot.recv == Recv::Closed {
            return Ok(false);
        }
        if slot.recv == Recv::Open {
            t.stop(key.id, code);
            self.cancel_sections(t, key)?;
        }
        if let Some(exchange) = self.table.exchange(key) {
            exchange.content = Bytes::new();
            exchange.blocked = None;
        }
        self.end_recv(key, RecvEnd::Stopped);
        self.settle(key);
        Ok(true)
    }

    /// Ends both halves with a code: sending is reset, receiving is stopped.
    pub(crate) fn abandon<T: Transport>(&mut self, t: &mut T, key: StreamKey, code: Code) {
        let Some(slot) = self.table.get_mut(key) else {
            return;
        };
        if slot.recv == Recv::Open {
            t.stop(key.id, code.value());
        }
        if !matches!(slot.send, Send::Closed | Send::Finished) {
            t.reset(key.id, code.value(), slot.head());
        }
        // A backlog on the decoder stream is found at its next use.
        self.cancel_sections(t, key).ok();
        if let Some(slot) = self.table.get_mut(key) {
            slot.recv = Recv::Closed;
            slot.send = Send::Closed;
            slot.held = Bytes::new();
            slot.owed.clear();
            if let Some(exchange) = slot.exchange() {
                exchange.content = Bytes::new();
                exchange.blocked = None;
            }
        }
        self.settle(key);
    }
}
