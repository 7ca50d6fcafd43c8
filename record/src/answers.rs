//! A transport that gives the answers another gave before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aqueduct_core::connection::{Path, Seen};
use aqueduct_core::id::{Dir, Side, StreamId};
use aqueduct_core::transport::{Caps, DatagramRefused, Read, ReadState, StreamGone, Transport};
use bytes::{Bytes, BytesMut};

use crate::budget::Budget;
use crate::call::{MAX_DATAGRAM, MAX_WRITE, SHORT, read_payload, short_zeros};
use crate::file::Numbered;
use crate::value::{Cx, Get as _};
use crate::words::{Malformed, Run, Words};

/// The answers to one input's calls, and the bytes of all streams.
///
/// A question that the recording has no answer to gets one that leads to nothing.
#[derive(Debug)]
pub(crate) struct Answers<'a> {
    side: Side,
    path: Path,
    /// By the question: its name, and the stream or kind of streams.
    answers: BTreeMap<(&'a str, u64), VecDeque<Words<'a>>>,
    bytes: BTreeMap<StreamId, VecDeque<Run>>,
    /// Streams that owe a head.
    heads: BTreeSet<StreamId>,
    /// How many streams of each kind there have been.
    streams: BTreeMap<(Side, Dir), u64>,
    /// Whether bytes were read that the recording does not have.
    pub(crate) missing_bytes: bool,
    budget: Budget,
}

impl<'a> Answers<'a> {
    pub(crate) fn new(
        side: Side,
        bytes: BTreeMap<StreamId, VecDeque<Run>>,
        budget: Budget,
    ) -> Self {
        Self {
            side,
            path: Path::default(),
            answers: BTreeMap::new(),
            bytes,
            heads: BTreeSet::new(),
            streams: BTreeMap::new(),
            missing_bytes: false,
            budget,
        }
    }

    /// Another input begins.
    pub(crate) fn begin(&mut self) {
        self.answers.clear();
    }

    /// Early data was rejected: streams of this side are counted from the first again.
    pub(crate) fn forget_streams(&mut self) {
        let side = self.side;
        self.streams.retain(|(opener, _), _| *opener != side);
    }

    /// Takes what the transport says without being asked.
    pub(crate) fn set_path(&mut self, mut words: Words<'_>) -> Result<(), Malformed> {
        // No datagram is longer than the length field of UDP says.
        self.path.max_datagram_size = words.option::<u16>()?.map(usize::from);
        self.path.peer_max_datagram_size = words.option()?;
        let (both, theirs) = match words.word()? {
            "true" => (true, Some(true)),
            "theirs" => (false, Some(true)),
            "ours" => (false, Some(false)),
            _ => (false, None),
        };
        self.path.caps.reliable_reset = both;
        self.path.caps.peer_reliable_reset = theirs;
        self.path.receive_credit_spent = words.maybe() == Some("spent");
        words.end()
    }

    /// Takes one of the input's answers.
    pub(crate) fn add(&mut self, line: Numbered<'a>) -> Result<(), Malformed> {
        let mut words = line.words();
        let name = words.word()?;
        let of = match name {
            "open" | "accept" => u64::from(words.choice(["uni", "bi"])?),
            "read" | "write" => words.stream()?.wire(),
            "recv-datagram" | "send-datagram" => 0,
            _ => return Err(Malformed(format!("unknown answer {name:?}"))),
        };
        self.answers.entry((name, of)).or_default().push_back(words);
        Ok(())
    }

    fn next(&mut self, name: &'static str, of: u64) -> Option<Words<'a>> {
        self.answers.get_mut(&(name, of))?.pop_front()
    }

    /// A stream as another transport would name it: the next of its kind. The tables
    /// of a connection are made for ids without gaps.
    fn stream(&mut self, name: &'static str, dir: Dir, opener: Side) -> Option<StreamId> {
        let id = self.next(name, (dir == Dir::Uni).into())?.stream().ok()?;
        let number = self.streams.entry((opener, dir)).or_default();
        if id != StreamId::new(opener, dir, *number) || self.budget.is_exceeded() {
            return None;
        }
        *number += 1;
        Some(id)
    }

    /// The next `len` bytes of a stream.
    fn take(&mut self, id: StreamId, len: usize) -> Bytes {
        let runs = self.bytes.entry(id).or_default();
        match runs.front_mut() {
            Some(Run::Bytes(bytes)) if bytes.len() >= len => return bytes.split_to(len),
            Some(Run::Zeros(count)) if *count >= len as u64 && len <= SHORT => {
                *count -= len as u64;
                return short_zeros(len);
            }
            _ => {}
        }
        let mut out = BytesMut::with_capacity(len);
        while out.len() < len {
            let wanted = len - out.len();
            let Some(run) = runs.front_mut() else {
                self.missing_bytes = true;
                break;
            };
            match run {
                Run::Bytes(bytes) => {
                    let part = wanted.min(bytes.len());
                    out.extend_from_slice(&bytes.split_to(part));
                }
                Run::Zeros(count) => {
                    let part = wanted.min(usize::try_from(*count).unwrap_or(wanted));
                    *count -= part as u64;
                    out.resize(out.len() + part, 0);
                }
            }
            if run.len() == 0 {
                runs.pop_front();
            }
        }
        out.resize(len, 0);
        out.freeze()
    }

    fn give(
        &mut self,
        id: StreamId,
        words: &mut Words<'_>,
        max: usize,
        out: &mut [Bytes],
    ) -> Result<Read, StreamGone> {
        let mut ahead = words.clone();
        let Ok(lens) = ahead.list() else {
            return Err(gone(words));
        };
        let add = |sum: usize, len: &usize| sum.saturating_add(*len);
        let bytes = lens.iter().fold(0, add);
        let state = ReadState::get(&mut ahead, Cx::PLAIN).map_err(|_| StreamGone::Unknown)?;
        let fits = lens.len() <= out.len() && bytes <= max.min(MAX_WRITE);
        if !fits || !self.budget.take(bytes as u64) {
            return Err(StreamGone::Unknown);
        }
        for (slot, len) in out.iter_mut().zip(&lens) {
            *slot = self.take(id, *len);
        }
        Ok(Read::new(lens.len(), bytes, state))
    }
}

/// How a stream ended, as a recording tells it.
fn gone(words: &mut Words<'_>) -> StreamGone {
    StreamGone::get(words, Cx::PLAIN).unwrap_or(StreamGone::Unknown)
}

impl Transport for Answers<'_> {
    fn caps(&self) -> Caps {
        self.path.caps
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
        match self.next("read", id.wire()) {
            Some(mut words) => self.give(id, &mut words, max, out),
            None => Ok(Read::new(0, 0, ReadState::Blocked)),
        }
    }

    fn write(&mut self, id: StreamId, chunks: &mut [Bytes]) -> Result<usize, StreamGone> {
        let offered: usize = chunks.iter().map(Bytes::len).sum();
        let (left, told) = match self.next("write", id.wire()) {
            None => (0, None),
            Some(mut words) => {
                let mut ahead = words.clone();
                match ahead.number::<usize>() {
                    Ok(left) => (left.min(offered), ahead.number::<usize>().ok()),
                    Err(_) => return Err(gone(&mut words)),
                }
            }
        };
        let taken = offered - left;
        let mut rest = taken;
        for chunk in chunks {
            let part = rest.min(chunk.len());
            let _ = chunk.split_to(part);
            rest -= part;
        }
        // A head that is masked has another length; what counts is the one it had.
        let told = told.filter(|_| self.heads.contains(&id));
        if left == 0 {
            self.heads.remove(&id);
        }
        Ok(told.map_or(taken, |told| told.min(MAX_WRITE)))
    }

    fn finish(&mut self, _: StreamId) {}

    fn reset(&mut self, _: StreamId, _: u64, _: &[u8]) {}

    fn stop(&mut self, _: StreamId, _: u64) {}

    fn set_priority(&mut self, _: StreamId, _: i32) {}

    fn recv_datagram(&mut self) -> Option<Bytes> {
        let mut words = self.next("recv-datagram", 0)?;
        let datagram = read_payload(&mut words, MAX_DATAGRAM).ok()?;
        let fits = self.budget.take(datagram.len() as u64);
        fits.then_some(datagram)
    }

    fn send_datagram(&mut self, datagram: Bytes) -> Result<(), DatagramRefused> {
        let Some(mut words) = self.next("send-datagram", 0) else {
            return Ok(());
        };
        match words.word() {
            Ok("sent") => Ok(()),
            Ok("blocked") => Err(DatagramRefused::Blocked(datagram)),
            Ok("too-large") => Err(DatagramRefused::TooLarge),
            _ => Err(DatagramRefused::Disabled),
        }
    }

    fn max_datagram_size(&self) -> Option<usize> {
        self.path.max_datagram_size
    }

    fn peer_max_datagram_size(&self) -> Option<usize> {
        self.path.peer_max_datagram_size
    }

    fn receive_credit_spent(&self) -> bool {
        self.path.receive_credit_spent
    }

    fn close(&mut self, _: u64, _: Bytes) {}

    fn seen(&mut self, id: StreamId, what: Seen<'_>) {
        match what {
            Seen::Encoded => _ = self.heads.insert(id),
            Seen::Over => _ = self.heads.remove(&id),
            _ => {}
        }
    }
}
