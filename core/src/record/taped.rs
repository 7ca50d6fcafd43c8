//! A transport whose every answer is written down, if there is a tape.

use bytes::Bytes;

use super::tape::Tape;
use crate::id::{Dir, Side, StreamId};
use crate::transport::{Caps, DatagramRefused, Read, StreamGone, Transport};

/// A transport and, while its connection is recorded, the tape.
///
/// Without a tape each call costs one branch more.
#[derive(Debug)]
pub(crate) struct Taped<'a, T> {
    pub(crate) t: &'a mut T,
    pub(crate) tape: Option<&'a mut Tape>,
}

impl<T> Taped<'_, T> {
    /// Does something with the tape, if there is one. What it does is kept out of
    /// the code around it, which is hot.
    #[inline(always)]
    pub(crate) fn note(&mut self, work: impl FnOnce(&mut Tape, &T)) {
        #[cold]
        #[inline(never)]
        fn noted<T>(tape: &mut Tape, t: &T, work: impl FnOnce(&mut Tape, &T)) {
            work(tape, t);
        }
        if let Some(tape) = &mut self.tape {
            noted(tape, self.t, work);
        }
    }
}

impl<T: Transport> Transport for Taped<'_, T> {
    fn caps(&self) -> Caps {
        self.t.caps()
    }

    fn side(&self) -> Side {
        self.t.side()
    }

    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        let id = self.t.open(dir);
        self.note(|tape, _| tape.opened(dir, id));
        id
    }

    fn accept(&mut self, dir: Dir) -> Option<StreamId> {
        let id = self.t.accept(dir);
        self.note(|tape, _| {
            tape.answer("accept", |line| {
                line.word(super::call::dir(dir)).word("=").option(id);
            });
        });
        id
    }

    // What is hot passes on results where they are: moving them costs as much.

    #[inline]
    fn read(&mut self, id: StreamId, max: usize, out: &mut [Bytes]) -> Result<Read, StreamGone> {
        let Some(tape) = &mut self.tape else {
            return self.t.read(id, max, out);
        };
        let result = self.t.read(id, max, out);
        let read = result.as_ref().map_or(0, |read| read.chunks);
        let chunks = out.get(..read).unwrap_or_default();
        tape.read((id, max, out.len()), &result, chunks);
        result
    }

    #[inline]
    fn write(&mut self, id: StreamId, chunks: &mut [Bytes]) -> Result<usize, StreamGone> {
        let Some(tape) = &mut self.tape else {
            return self.t.write(id, chunks);
        };
        let offered: Vec<usize> = chunks.iter().map(Bytes::len).collect();
        let result = self.t.write(id, chunks);
        tape.answer("write", |line| {
            line.show(id).list(offered).word("=");
            match result {
                Ok(taken) => line.show(taken),
                Err(StreamGone::Stopped(code)) => line.word("reset").show(code),
                Err(_) => line.word("unknown"),
            };
        });
        result
    }

    fn finish(&mut self, id: StreamId) {
        self.t.finish(id);
        self.note(|tape, _| {
            tape.answer("finish", |line| {
                line.show(id);
            });
        });
    }

    fn reset(&mut self, id: StreamId, code: u64, head: &[u8]) {
        let reliable_size = head.len();
        self.t.reset(id, code, head);
        self.note(|tape, _| {
            tape.answer("reset", |line| {
                line.show(id).show(code).show(reliable_size);
            });
        });
    }

    fn stop(&mut self, id: StreamId, code: u64) {
        self.t.stop(id, code);
        self.note(|tape, _| tape.stopped(id, code));
    }

    fn set_priority(&mut self, id: StreamId, priority: i32) {
        self.t.set_priority(id, priority);
        self.note(|tape, _| {
            tape.answer("set-priority", |line| {
                line.show(id).show(priority);
            });
        });
    }

    #[inline]
    fn recv_datagram(&mut self) -> Option<Bytes> {
        let Some(tape) = &mut self.tape else {
            return self.t.recv_datagram();
        };
        let datagram = self.t.recv_datagram();
        tape.datagram(datagram.as_ref());
        datagram
    }

    #[inline]
    fn send_datagram(&mut self, datagram: Bytes) -> Result<(), DatagramRefused> {
        let Some(tape) = &mut self.tape else {
            return self.t.send_datagram(datagram);
        };
        let len = datagram.len();
        let result = self.t.send_datagram(datagram);
        tape.answer("send-datagram", |line| {
            line.show(len).word("=").word(match result {
                Ok(()) => "sent",
                Err(DatagramRefused::Blocked(_)) => "blocked",
                Err(DatagramRefused::TooLarge) => "too-large",
                Err(DatagramRefused::Disabled) => "disabled",
            });
        });
        result
    }

    fn max_datagram_size(&self) -> Option<usize> {
        self.t.max_datagram_size()
    }

    fn peer_max_datagram_size(&self) -> Option<usize> {
        self.t.peer_max_datagram_size()
    }

    fn close(&mut self, code: u64, reason: Bytes) {
        self.t.close(code, reason);
        self.note(|tape, _| {
            tape.answer("close", |line| {
                line.show(code);
            });
        });
    }
}
