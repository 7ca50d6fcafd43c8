//! The streams of a connection of raw QUIC: how they begin, what goes through them, and how
//! they end.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::state::{Life, Queued, State, way};
use super::stream::{Recv, Send, Stream};
use crate::event::Event;
use crate::id::{Dir, StreamId, StreamKey};
use crate::quic::{
    Blocked, MAX_CODE, ReadError, Shutdown, ShutdownError, Start, StartError, StreamEvent,
    WriteError,
};
use crate::transport::{Read, ReadState, StreamGone, Transport};

impl State {
    pub(super) fn start<T: Transport>(
        &mut self,
        t: &mut T,
        dir: Dir,
        how: Start,
    ) -> Result<StreamKey, StartError> {
        let may = match self.life {
            Life::Closed => return Err(StartError::Closed),
            Life::Established => true,
            Life::Handshaking => self.early_begun && !self.config.confirm,
            Life::Confirming { .. } => false,
        };
        if !may {
            return Err(StartError::NotConnected);
        }
        if self.drain_until.is_some() {
            return Err(StartError::Draining);
        }
        let waiting = self.queued.get(way(dir)).map_or(0, VecDeque::len);
        let opened = if waiting == 0 { t.open(dir) } else { None };
        let id = match (opened, how.blocked) {
            (Some(id), _) => id,
            (None, Blocked::Fail) => return Err(StartError::Blocked),
            (None, Blocked::Queue) if waiting >= self.config.queued_starts => {
                return Err(StartError::TooMany);
            }
            // Ids are given in order, so it is known what its own will be.
            (None, Blocked::Queue) => self.streams.end(StreamId::new(self.side, dir, 0)),
        };
        let mut stream = Stream::new(id, self.side);
        stream.queued = opened.is_none();
        stream.priority = how.priority;
        let key = self.streams.insert(stream);
        if opened.is_some() {
            if how.priority != 0 {
                t.set_priority(id, how.priority);
            }
            self.tell_stream(key, StreamEvent::Started);
        } else if let Some(queue) = self.queued.get_mut(way(dir)) {
            queue.push_back(Queued {
                key,
                abandoned: None,
            });
        }
        Ok(key)
    }

    pub(super) fn write<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        chunks: &mut [Bytes],
    ) -> Result<usize, WriteError> {
        if self.is_closed() {
            return Err(WriteError::Gone);
        }
        let stream = self.streams.get_mut(key).ok_or(WriteError::Gone)?;
        if let Some(error) = stream.write_error() {
            return Err(error);
        }
        let offered: usize = chunks.iter().map(Bytes::len).sum();
        if offered == 0 {
            return Ok(0);
        }
        if stream.queued {
            stream.wants_writable = true;
            return Ok(0);
        }
        match t.write(key.id(), chunks) {
            Ok(taken) => {
                stream.wants_writable = taken < offered;
                Ok(taken)
            }
            Err(StreamGone::Stopped(code)) => {
                self.on_stopped(t, key.id(), code);
                Err(WriteError::Stopped(code))
            }
            Err(_) => {
                stream.send = Send::Reset(0);
                self.settle(key);
                Err(WriteError::Gone)
            }
        }
    }

    pub(super) fn read<T: Transport>(
        &mut self,
        t: &mut T,
        now: Instant,
        key: StreamKey,
        max: usize,
        out: &mut [Bytes],
    ) -> Result<Read, ReadError> {
        let over = self.life == Life::Closed;
        let stream = self.streams.get_mut(key).ok_or(ReadError::Gone)?;
        if let Some(error) = stream.read_error() {
            return Err(error);
        }
        if over && stream.queued {
            return Err(ReadError::Gone);
        }
        if max == 0 || out.is_empty() || stream.queued {
            let state = if stream.queued {
                ReadState::Blocked
            } else {
                ReadState::Open
            };
            return Ok(Read::new(0, 0, state));
        }
        match t.read(key.id(), max, out) {
            Ok(read) => {
                stream.read += read.bytes as u64;
                match read.state {
                    ReadState::Open => {}
                    ReadState::Blocked => stream.readable_told = false,
                    ReadState::Finished => stream.recv = Recv::Finished,
                }
                if over && read.state != ReadState::Open {
                    self.streams.remove(key);
                } else if read.state == ReadState::Finished {
                    self.settle(key);
                    self.catch_up(t, now);
                }
                Ok(read)
            }
            Err(StreamGone::Reset { code, .. }) => {
                if over {
                    self.streams.remove(key);
                } else {
                    self.on_reset(key, code);
                    self.end_if_drained(t);
                }
                Err(ReadError::Reset(code))
            }
            Err(_) => {
                stream.recv = Recv::Stopped;
                if over {
                    self.streams.remove(key);
                } else {
                    self.settle(key);
                    self.end_if_drained(t);
                }
                Err(ReadError::Gone)
            }
        }
    }

    pub(super) fn shutdown<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        how: Shutdown,
    ) -> Result<(), ShutdownError> {
        if self.is_closed() {
            // What had arrived is not wanted any more.
            return match self.streams.remove(key) {
                Some(_) => Ok(()),
                None => Err(ShutdownError::Gone),
            };
        }
        if self.streams.get(key).is_none() {
            return Err(ShutdownError::Gone);
        }
        let code = match how {
            Shutdown::Graceful => return self.finish_sending(t, key),
            Shutdown::AbortSend(code)
            | Shutdown::AbortReceive(code)
            | Shutdown::Abort(code)
            | Shutdown::Immediate(code) => code,
        };
        if code > MAX_CODE {
            return Err(ShutdownError::CodeOutOfRange);
        }
        let sent = match how {
            Shutdown::AbortReceive(_) => None,
            _ => Some(self.abort_send(t, key, code)),
        };
        let received = match how {
            Shutdown::AbortSend(_) => None,
            _ => Some(self.abort_receive(t, key, code)),
        };
        let result = match (sent, received) {
            // Of both, one will do.
            (Some(sent), Some(received)) => sent.or(received),
            (Some(half), None) | (None, Some(half)) => half,
            (None, None) => Ok(()),
        };
        if let Shutdown::Immediate(_) = how
            && let Some(stream) = self.streams.remove(key)
        {
            self.tell_stream(key, StreamEvent::Closed(stream.closed));
            self.end_if_drained(t);
            return Ok(());
        }
        self.settle(key);
        self.end_if_drained(t);
        result
    }

    fn finish_sending<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
    ) -> Result<(), ShutdownError> {
        let stream = self.streams.get_mut(key).ok_or(ShutdownError::Gone)?;
        stream.sending()?;
        if stream.send != Send::Open {
            return Err(ShutdownError::Gone);
        }
        stream.send = Send::Finishing;
        stream.wants_writable = false;
        if !stream.queued {
            t.finish(key.id());
        }
        Ok(())
    }

    fn abort_send<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        code: u64,
    ) -> Result<(), ShutdownError> {
        let stream = self.streams.get_mut(key).ok_or(ShutdownError::Gone)?;
        stream.sending()?;
        stream.send = Send::Reset(code);
        stream.abandon_here(code);
        if stream.queued {
            self.abandon_queued(key, code);
        } else {
            t.reset(key.id(), code, &[]);
        }
        self.tell_stream(key, StreamEvent::SendOver { graceful: false });
        Ok(())
    }

    fn abort_receive<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        code: u64,
    ) -> Result<(), ShutdownError> {
        let stream = self.streams.get_mut(key).ok_or(ShutdownError::Gone)?;
        match stream.recv {
            Recv::Open => {}
            Recv::None => return Err(ShutdownError::NoSuchHalf),
            _ => return Err(ShutdownError::Gone),
        }
        stream.recv = Recv::Stopped;
        stream.abandon_here(code);
        if stream.queued {
            self.abandon_queued(key, code);
        } else {
            t.stop(key.id(), code);
        }
        Ok(())
    }

    /// A stream that waits is to be abandoned when it begins. O(streams that wait).
    fn abandon_queued(&mut self, key: StreamKey, code: u64) {
        let queue = self.queued.get_mut(way(key.id().dir()));
        let queued = queue.and_then(|queue| queue.iter_mut().find(|queued| queued.key == key));
        if let Some(queued) = queued {
            queued.abandoned.get_or_insert(code);
        }
    }

    pub(super) fn set_priority<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        priority: i32,
    ) -> Result<(), ShutdownError> {
        let stream = match self.streams.get_mut(key) {
            Some(stream) if self.life != Life::Closed => stream,
            _ => return Err(ShutdownError::Gone),
        };
        stream.sending()?;
        stream.priority = priority;
        if !stream.queued {
            t.set_priority(key.id(), priority);
        }
        Ok(())
    }

    /// The peer allows more streams: those that wait begin, in their order.
    pub(super) fn on_available<T: Transport>(&mut self, t: &mut T, dir: Dir) {
        while let Some(next) = self.queued.get_mut(way(dir)).and_then(VecDeque::pop_front) {
            let Some(id) = t.open(dir) else {
                if let Some(queue) = self.queued.get_mut(way(dir)) {
                    queue.push_front(next);
                }
                return;
            };
            self.work += 1;
            self.begin(t, id, next);
        }
        if self.config.tell_available {
            self.tell_once(Event::Available(dir));
        }
    }

    /// A stream that has waited exists.
    fn begin<T: Transport>(&mut self, t: &mut T, id: StreamId, queued: Queued) {
        let stream = self.streams.get_mut(queued.key);
        if let Some(stream) = stream {
            stream.queued = false;
            if stream.priority != 0 {
                t.set_priority(id, stream.priority);
            }
            let (recv, send) = (stream.recv, stream.send);
            let writable = std::mem::take(&mut stream.wants_writable) && send == Send::Open;
            self.tell_stream(queued.key, StreamEvent::Started);
            if writable {
                self.tell_stream(queued.key, StreamEvent::Writable);
            }
            if send == Send::Finishing {
                t.finish(id);
            }
            if let (Recv::Stopped, Some(code)) = (recv, queued.abandoned) {
                t.stop(id, code);
            }
            if let Send::Reset(code) = send {
                t.reset(id, code, &[]);
            }
            return;
        }
        let code = queued.abandoned.unwrap_or(0);
        t.reset(id, code, &[]);
        if id.dir() == Dir::Bi {
            t.stop(id, code);
        }
    }

    /// Tells the end of a stream both of whose halves are over.
    pub(super) fn settle(&mut self, key: StreamKey) {
        if self.streams.get(key).is_some_and(Stream::is_over)
            && let Some(stream) = self.streams.remove(key)
        {
            self.tell_stream(key, StreamEvent::Closed(stream.closed));
        }
    }
}
