//! A transport that gives the answers another gave before.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::zeros::Zeros;
use crate::id::{Dir, Side, StreamId};
use crate::record::call::MAX_CHUNK;
use crate::record::trace::read_stream;
use crate::record::words::{Malformed, Run, Words};
use crate::transport::{Caps, DatagramRefused, Read, ReadState, StreamGone, Transport};

/// Most bytes that a read gives in one piece, which are copied where some are not
/// zeros. QUIC's pieces are no longer than its packets.
const MAX_PIECE: usize = 1 << 20;

/// Answers of one input's calls, in their order, and the bytes of all streams.
///
/// A call that the recording does not have next gets an answer that leads to
/// nothing; the comparison of the lines finds it.
pub(super) struct Answers<'a> {
    side: Side,
    /// Calls and what is behind the `=`.
    calls: VecDeque<(&'a str, &'a str)>,
    bytes: BTreeMap<StreamId, VecDeque<Run>>,
    /// How many streams of each kind there have been.
    streams: BTreeMap<(Side, Dir), u64>,
    missing_bytes: bool,
    zeros: Zeros,
    max_datagram: Option<usize>,
    peer_datagram: Option<usize>,
    caps: Caps,
}

impl<'a> Answers<'a> {
    pub(super) fn new(side: Side, bytes: BTreeMap<StreamId, VecDeque<Run>>, zeros: Zeros) -> Self {
        Self {
            side,
            calls: VecDeque::new(),
            bytes,
            streams: BTreeMap::new(),
            missing_bytes: false,
            zeros,
            max_datagram: None,
            peer_datagram: None,
            caps: Caps::default(),
        }
    }

    /// Whether bytes were read that the recording does not have.
    pub(super) fn missing_bytes(&self) -> bool {
        self.missing_bytes
    }

    /// Takes the answers of the next input.
    pub(super) fn load(&mut self, lines: impl Iterator<Item = &'a str>) -> Result<(), Malformed> {
        self.calls.clear();
        for line in lines {
            let mut words = Words::new(line);
            words.word()?;
            match words.word()? {
                "." => {
                    let name = words.word()?;
                    let result = line.split_once(" = ").map_or("", |(_, result)| result);
                    self.calls.push_back((name, result));
                }
                "path" => {
                    let max = words.option::<u16>()?;
                    self.max_datagram = max.map(usize::from);
                    self.peer_datagram = words.option()?;
                    self.caps.reliable_reset = words.word()? == "true";
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What the recording says to a call, if that is the next one.
    fn next(&mut self, name: &str) -> Option<Words<'a>> {
        let (next, result) = *self.calls.front()?;
        if next != name {
            return None;
        }
        self.calls.pop_front();
        Some(Words::new(result))
    }

    /// A stream as another transport would name it: the next of its kind. The tables
    /// of a connection are made for ids without gaps.
    fn stream(&mut self, name: &str, dir: Dir, opener: Side) -> Option<StreamId> {
        let mut words = self.next(name)?;
        let id = read_stream(&mut words).ok()?;
        let number = self.streams.entry((opener, dir)).or_default();
        if id != StreamId::new(opener, dir, *number) {
            return None;
        }
        *number += 1;
        Some(id)
    }

    /// The next `len` bytes of a stream.
    fn take(&mut self, id: StreamId, len: usize) -> Bytes {
        let Some(runs) = self.bytes.get_mut(&id) else {
            self.missing_bytes |= len > 0;
            return self.zeros.get(len);
        };
        match runs.front_mut() {
            Some(Run::Bytes(bytes)) if bytes.len() >= len => return bytes.split_to(len),
            Some(Run::Zeros(count)) if *count >= len as u64 => {
                *count -= len as u64;
                return self.zeros.get(len);
            }
            _ => {}
        }
        let mut out = Vec::with_capacity(len);
        while out.len() < len {
            let wanted = len - out.len();
            match runs.front_mut() {
                None => {
                    self.missing_bytes = true;
                    out.resize(len, 0);
                }
                Some(Run::Zeros(count)) => {
                    let part = usize::try_from(*count).unwrap_or(usize::MAX).min(wanted);
                    *count -= part as u64;
                    out.resize(out.len() + part, 0);
                    if *count == 0 {
                        runs.pop_front();
                    }
                }
                Some(Run::Bytes(bytes)) => {
                    let part = bytes.len().min(wanted);
                    out.extend_from_slice(&bytes.split_to(part));
                    if bytes.is_empty() {
                        runs.pop_front();
                    }
                }
            }
        }
        out.into()
    }
}

/// How a stream ended, as a recording tells it.
fn gone(words: &mut Words<'_>, with: impl FnOnce(u64) -> StreamGone) -> StreamGone {
    match words.word() {
        Ok("reset") => words.number().map_or(StreamGone::Unknown, with),
        _ => StreamGone::Unknown,
    }
}

impl Transport for Answers<'_> {
    fn caps(&self) -> Caps {
        self.caps
    }

    fn side(&self) -> Side {
        self.side
    }

    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        self.stream("open", dir, self.side)
    }

    fn accept(&mut self, dir: Dir) -> Option<StreamId> {
        self.stream("accept", dir, self.side.peer())
    }

    fn read(&mut self, id: StreamId, max: usize, out: &mut [Bytes]) -> Result<Read, StreamGone> {
        let mut words = self.next("read").ok_or(StreamGone::Unknown)?;
        let mut ahead = words.clone();
        let Ok(lens) = ahead.list() else {
            return Err(gone(&mut words, |code| StreamGone::Reset {
                code,
                final_size: None,
            }));
        };
        let bytes = lens
            .iter()
            .fold(0_usize, |sum, len| sum.saturating_add(*len));
        let state = match ahead.word() {
            Ok("open") => ReadState::Open,
            Ok("blocked") => ReadState::Blocked,
            Ok("finished") => ReadState::Finished,
            _ => return Err(StreamGone::Unknown),
        };
        let too_long = lens.iter().any(|len| *len > MAX_PIECE);
        if lens.len() > out.len() || bytes > max.min(MAX_CHUNK) || too_long {
            return Err(StreamGone::Unknown);
        }
        for (slot, len) in out.iter_mut().zip(&lens) {
            *slot = self.take(id, *len);
        }
        Ok(Read {
            chunks: lens.len(),
            bytes,
            state,
        })
    }

    fn write(&mut self, _: StreamId, chunks: &mut [Bytes]) -> Result<usize, StreamGone> {
        let mut words = self.next("write").ok_or(StreamGone::Unknown)?;
        let Ok(taken) = words.clone().number::<usize>() else {
            return Err(gone(&mut words, StreamGone::Stopped));
        };
        let mut left = taken;
        for chunk in chunks {
            let part = left.min(chunk.len());
            let _ = chunk.split_to(part);
            left -= part;
        }
        Ok(taken - left)
    }

    fn finish(&mut self, _: StreamId) {
        self.next("finish");
    }

    fn reset(&mut self, _: StreamId, _: u64, _: &[u8]) {
        self.next("reset");
    }

    fn stop(&mut self, _: StreamId, _: u64) {
        self.next("stop");
    }

    fn set_priority(&mut self, _: StreamId, _: i32) {
        self.next("set-priority");
    }

    fn recv_datagram(&mut self) -> Option<Bytes> {
        let mut words = self.next("recv-datagram")?;
        words.bytes().ok().map(Bytes::from)
    }

    fn send_datagram(&mut self, datagram: Bytes) -> Result<(), DatagramRefused> {
        let mut words = self
            .next("send-datagram")
            .ok_or(DatagramRefused::Disabled)?;
        match words.word() {
            Ok("sent") => Ok(()),
            Ok("blocked") => Err(DatagramRefused::Blocked(datagram)),
            Ok("too-large") => Err(DatagramRefused::TooLarge),
            _ => Err(DatagramRefused::Disabled),
        }
    }

    fn max_datagram_size(&self) -> Option<usize> {
        self.max_datagram
    }

    fn peer_max_datagram_size(&self) -> Option<usize> {
        self.peer_datagram
    }

    fn close(&mut self, _: u64, _: Bytes) {
        self.next("close");
    }
}
