//! What the layer above does with an end.

use bytes::Bytes;

use super::{Control, End, ix};
use crate::id::{Dir, Side, StreamId};
use crate::transport::{Caps, DatagramRefused, Read, ReadState, StreamGone, Transport};

impl Transport for End {
    fn caps(&self) -> Caps {
        Caps::new().reliable_reset(self.knobs.reliable_reset)
    }

    fn side(&self) -> Side {
        self.side
    }

    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        let class = &mut self.classes[ix(dir)];
        if self.over || class.opened >= class.max_opened {
            return None;
        }
        let id = StreamId::new(self.side, dir, class.opened);
        class.opened += 1;
        self.add(id);
        Some(id)
    }

    fn accept(&mut self, dir: Dir) -> Option<StreamId> {
        let class = &mut self.classes[ix(dir)];
        if class.accepted >= class.arrived {
            return None;
        }
        let id = StreamId::new(self.side.peer(), dir, class.accepted);
        class.accepted += 1;
        Some(id)
    }

    fn read(&mut self, id: StreamId, max: usize, out: &mut [Bytes]) -> Result<Read, StreamGone> {
        let stream = self.streams.get_mut(&id).ok_or(StreamGone::Unknown)?;
        let recv = stream
            .recv
            .as_mut()
            .filter(|r| !r.stopped)
            .ok_or(StreamGone::Unknown)?;
        let (mut chunks, mut bytes) = (0, 0);
        let mut limited = false;
        while let Some(front) = recv.queue.front_mut() {
            let Some(slot) = out.get_mut(chunks).filter(|_| bytes < max) else {
                limited = true;
                break;
            };
            *slot = front.split_to(front.len().min(max - bytes));
            bytes += slot.len();
            chunks += 1;
            if front.is_empty() {
                recv.queue.pop_front();
            }
        }
        // Like quinn, which learns what follows only by asking for another chunk.
        limited |= bytes > 0 && (chunks == out.len() || bytes == max);
        recv.read += bytes as u64;
        let grant = recv.read + self.knobs.stream_window;
        let more_credit = grant - recv.granted >= (self.knobs.stream_window / 8).max(1);
        if more_credit && !recv.fin && recv.reset.is_none() {
            recv.granted = grant;
            self.control.push_back(Control::MaxStreamData(id, grant));
        }
        let reset = recv.reset;
        let fin = recv.fin;
        self.consume(bytes as u64);
        let state = match reset {
            _ if limited => ReadState::Open,
            Some((code, size)) if bytes == 0 => {
                self.end_recv(id);
                let final_size = self.knobs.final_sizes.then_some(size);
                return Err(StreamGone::Reset { code, final_size });
            }
            Some(_) => ReadState::Open,
            None if fin && max > 0 => {
                self.end_recv(id);
                ReadState::Finished
            }
            None => ReadState::Blocked,
        };
        Ok(Read {
            chunks,
            bytes,
            state,
        })
    }

    fn write(&mut self, id: StreamId, chunks: &mut [Bytes]) -> Result<usize, StreamGone> {
        if self.over {
            return Err(StreamGone::Unknown);
        }
        let send = self.streams.get(&id).and_then(|s| s.send.as_ref());
        let send = send
            .filter(|s| !s.fin && s.reset.is_none())
            .ok_or(StreamGone::Unknown)?;
        if let Some(code) = send.stopped {
            return Err(StreamGone::Stopped(code));
        }
        let mut room = self.room(send);
        if self.knobs.write_budget != usize::MAX {
            room = room.min(1 + self.rng.below(self.knobs.write_budget as u64));
        }
        let Some(send) = self.streams.get_mut(&id).and_then(|s| s.send.as_mut()) else {
            return Err(StreamGone::Unknown);
        };
        let mut taken = 0u64;
        for chunk in chunks.iter_mut() {
            let n = (chunk.len() as u64).min(room - taken);
            if n > 0 {
                send.queue.push_back(chunk.split_to(n as usize));
                taken += n;
            }
        }
        send.written += taken;
        self.sent += taken;
        self.unsent += taken;
        if chunks.iter().any(|c| !c.is_empty()) && !send.blocked {
            send.blocked = true;
            self.blocked.push_back(id);
        }
        if taken > 0 {
            self.mark_ready(id);
        }
        Ok(taken as usize)
    }

    fn finish(&mut self, id: StreamId) {
        let send = self.streams.get_mut(&id).and_then(|s| s.send.as_mut());
        let send = send.filter(|s| !s.fin && s.reset.is_none() && s.stopped.is_none());
        if let Some(send) = send.filter(|_| !self.over) {
            send.fin = true;
            self.mark_ready(id);
        }
    }

    fn reset(&mut self, id: StreamId, code: u64, head: &[u8]) {
        let reliable = if self.knobs.reliable_reset {
            head.len() as u64
        } else {
            0
        };
        let send = self.streams.get_mut(&id).and_then(|s| s.send.as_mut());
        let Some(send) = send.filter(|s| s.reset.is_none()).filter(|_| !self.over) else {
            return;
        };
        let reliable = reliable.min(send.written);
        let mut keep = reliable.saturating_sub(send.delivered);
        let unsent = &mut self.unsent;
        send.queue.retain_mut(|chunk| {
            let n = keep.min(chunk.len() as u64);
            *unsent -= chunk.len() as u64 - n;
            chunk.truncate(n as usize);
            keep -= n;
            n > 0
        });
        send.reset = Some((code, reliable));
        self.mark_ready(id);
    }

    fn stop(&mut self, id: StreamId, code: u64) {
        let Some(stream) = self.streams.get_mut(&id).filter(|_| !self.over) else {
            return;
        };
        let Some(recv) = stream.recv.as_mut().filter(|r| !r.stopped) else {
            return;
        };
        recv.stopped = true;
        let unread = recv.queue.iter().map(|chunk| chunk.len() as u64).sum();
        recv.queue.clear();
        let known = recv.reset.is_some() || recv.fin;
        if recv.reset.is_none() {
            self.control.push_back(Control::Stop(id, code));
        }
        self.consume(unread);
        // A stopped stream stays until its end is known.
        if known {
            self.end_recv(id);
        }
    }

    fn set_priority(&mut self, id: StreamId, priority: i32) {
        if let Some(send) = self.streams.get_mut(&id).and_then(|s| s.send.as_mut()) {
            send.priority = priority;
        }
    }

    fn recv_datagram(&mut self) -> Option<Bytes> {
        self.datagrams_in.pop_front()
    }

    fn send_datagram(&mut self, datagram: Bytes) -> Result<(), DatagramRefused> {
        let Some(max) = self.max_datagram_size().filter(|_| !self.over) else {
            return Err(DatagramRefused::Disabled);
        };
        if datagram.len() > max {
            return Err(DatagramRefused::TooLarge);
        }
        if self.datagrams_out.len() >= self.knobs.datagram_queue {
            self.datagrams_blocked = true;
            return Err(DatagramRefused::Blocked(datagram));
        }
        self.datagrams_out.push_back(datagram);
        Ok(())
    }

    fn max_datagram_size(&self) -> Option<usize> {
        self.knobs.datagram_size?;
        Some(self.peer_datagram_size?.min(self.knobs.path_datagram_size))
    }

    fn peer_max_datagram_size(&self) -> Option<usize> {
        self.knobs.datagram_size?;
        self.peer_datagram_size
    }

    fn close(&mut self, code: u64, reason: Bytes) {
        if !self.over {
            self.forget_everything();
            self.close = Some((code, reason));
        }
    }
}
