//! The writing side: one connection's lines, as they come about.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::time::Instant;

use aqueduct_core::config::Config;
use aqueduct_core::connection::quic::{QuicCall, QuicOutcome};
use aqueduct_core::connection::{Answer, Call, Command, Input, Observer, Outcome, Path, Seen};
use aqueduct_core::event::Event;
use aqueduct_core::id::{Dir, Side, StreamId};
use aqueduct_core::quic;
use aqueduct_core::transport::{DatagramRefused, Read, ReadState, StreamGone};
use bytes::Bytes;

use crate::budget::Budget;
use crate::call::{self, Payload, put_outcome};
use crate::contents::Contents;
use crate::mask::Masking;
use crate::quic::{Places, QUIC};
use crate::trace::{put_event, put_input};
use crate::value::{Cx, OTHER, Put, put};
use crate::words::Line;

/// How a connection is recorded.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Record {
    /// What the connection is called in the recording: unique in it.
    pub number: u64,
    /// When the recording began; times are counted from here.
    pub epoch: Instant,
    /// What is kept of it.
    pub options: Options,
}

impl Record {
    /// A connection by its number in a recording that began at `epoch`.
    #[must_use]
    pub const fn new(number: u64, epoch: Instant, options: Options) -> Self {
        Self {
            number,
            epoch,
            options,
        }
    }
}

/// What is kept: by default neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Bodies, payloads and the values of fields, received and sent: passwords,
    /// cookies and messages. Without, they are masked.
    pub secrets: bool,
    /// The connection's calls of its transport, written bytes included if secrets are
    /// kept.
    pub transport: bool,
}

impl Options {
    /// The same with secrets or without.
    #[must_use]
    pub const fn secrets(mut self, keep: bool) -> Self {
        self.secrets = keep;
        self
    }

    /// The same with the calls of the transport or without.
    #[must_use]
    pub const fn transport(mut self, keep: bool) -> Self {
        self.transport = keep;
        self
    }
}

/// Where the lines of a connection go, whole ones, after each thing that happened.
pub type Sink = Box<dyn FnMut(&str) + Send>;

/// Writes down what happens to one connection. The last line comes when it is dropped.
pub struct Tape {
    record: Record,
    /// `None` in a replay, which has the answers already.
    contents: Option<Contents>,
    /// What a replay may hold.
    budget: Option<Budget>,
    /// How often the transport's answer to a question has led to nothing since the
    /// last input.
    idle: BTreeMap<String, usize>,
    path: Option<Path>,
    /// Streams that owe a masked head.
    heads: BTreeSet<StreamId>,
    /// What the application's call offers.
    offered: Vec<Bytes>,
    /// Of raw QUIC: where the peer is. What streams hold has no structure.
    places: Option<Places>,
    lines: String,
    sink: Sink,
}

impl Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape")
            .field("number", &self.record.number)
            .finish_non_exhaustive()
    }
}

impl Tape {
    /// For a connection that is made with these and has not heard anything yet.
    #[must_use]
    pub fn new(record: &Record, side: Side, config: &Config, seed: u64, sink: Sink) -> Self {
        Self::begin(record, side, seed, sink, |line, cx| config.put(line, cx))
    }

    /// The same for a connection of raw QUIC.
    #[must_use]
    pub fn quic(record: &Record, side: Side, config: &quic::Config, sink: Sink) -> Self {
        let put = |line: &mut Line, cx| config.put(line.word(QUIC), cx);
        let mut tape = Self::begin(record, side, 0, sink, put);
        tape.places = Some(Places::default());
        tape
    }

    fn begin(
        record: &Record,
        side: Side,
        seed: u64,
        sink: Sink,
        put: impl FnOnce(&mut Line, Cx),
    ) -> Self {
        let mut tape = Self::again(record, sink, None);
        tape.contents = Some(Contents::default());
        let Options { secrets, transport } = record.options;
        tape.line("new", |line, cx| {
            side.put(line, cx);
            line.show(seed);
            line.word(if secrets { "whole" } else { "masked" });
            line.word(if transport { "transport" } else { "events" });
            put(line, cx);
        });
        tape.hand_over();
        tape
    }

    /// For a replay: what came of things, and nothing else.
    pub(crate) fn again(record: &Record, sink: Sink, budget: Option<Budget>) -> Self {
        Self {
            record: *record,
            contents: None,
            budget,
            idle: BTreeMap::new(),
            path: None,
            heads: BTreeSet::new(),
            offered: Vec::new(),
            places: None,
            lines: String::new(),
            sink,
        }
    }

    fn line(&mut self, tag: &str, put: impl FnOnce(&mut Line, Cx)) {
        let cx = Cx {
            epoch: Some(self.record.epoch),
            mask: Masking::unless(self.record.options.secrets),
            slots: tag != "ev",
        };
        let mut line = Line(std::mem::take(&mut self.lines));
        line.show(self.record.number).word(tag);
        put(&mut line, cx);
        line.0.push('\n');
        self.lines = line.0;
    }

    fn hand_over(&mut self) {
        if let Some(contents) = &mut self.contents {
            self.lines.push_str(&contents.lines());
        }
        if !self.lines.is_empty() {
            (self.sink)(&self.lines);
            self.lines.clear();
        }
    }

    /// An answer that a replay has to give again: what `put` writes, if it writes
    /// something. If not, it is `idle` and leads to nothing, and is written only if
    /// another one to the same question follows.
    fn answered(&mut self, question: String, idle: &str, put: impl FnOnce(&mut Line)) {
        let mut answer = Line::default();
        put(&mut answer);
        if answer.0.is_empty() {
            *self.idle.entry(question).or_default() += 1;
            return;
        }
        for _ in 0..self.idle.remove(&question).unwrap_or(0) {
            self.line("<", |line, _| _ = line.word(&question).word(idle));
        }
        self.line("<", |line, _| _ = line.word(&question).word(&answer.0));
    }

    fn note_path(&mut self, path: Path) {
        if self.path == Some(path) {
            return;
        }
        self.path = Some(path);
        self.line("path", |line, _| {
            line.option(path.max_datagram_size)
                .option(path.peer_max_datagram_size);
            line.word(
                match (path.caps.reliable_reset, path.caps.peer_reliable_reset) {
                    (true, _) => "true",
                    (false, None) => "false",
                    (false, Some(true)) => "theirs",
                    (false, Some(false)) => "ours",
                },
            );
            if path.receive_credit_spent {
                line.word("spent");
            }
        });
    }

    fn keep(&mut self, answer: &Answer<'_>) {
        let masking = Masking::unless(self.record.options.secrets);
        match answer {
            Answer::Open(way, id) => self.line("<", |line, cx| {
                way.put(line.word("open"), cx);
                line.option(*id);
            }),
            Answer::Accept(way, id) => {
                let way = if *way == Dir::Bi { "bi" } else { "uni" };
                let put = |line: &mut Line| id.iter().for_each(|id| _ = line.show(id));
                self.answered(format!("accept {way}"), "-", put);
            }
            Answer::Read(id, _, result, chunks) => {
                let put = |line: &mut Line| put_read(line, result, chunks);
                self.answered(format!("read {id}"), "- blocked", put);
                if let Some(contents) = &mut self.contents {
                    match (&self.places, masking) {
                        (Some(_), Masking::On) => {
                            let len = chunks.iter().map(Bytes::len).sum();
                            contents.payload(self.record.number, *id, len);
                        }
                        _ => contents.read(self.record.number, *id, chunks, masking),
                    }
                }
            }
            Answer::Write(id, offered, result) => {
                // What is left decides what the connection does next; how much it
                // offered depends on what it says, and is counted.
                let offered: usize = offered.iter().map(Bytes::len).sum();
                let left = offered - result.unwrap_or(0);
                let head = self.heads.contains(id);
                if left == 0 {
                    self.heads.remove(id);
                }
                let put = |line: &mut Line| match result {
                    Ok(taken) if head => _ = line.show(left).show(taken),
                    Ok(_) if left == 0 => {}
                    Ok(_) => _ = line.show(left),
                    Err(gone) => gone.put(line, Cx::PLAIN),
                };
                self.answered(format!("write {id}"), "0", put);
            }
            Answer::RecvDatagram(datagram) => {
                let all = self.places.is_some();
                let put = |line: &mut Line| match datagram {
                    Some(datagram) if all => {
                        let mask = masking;
                        Payload(datagram).put(line, Cx { mask, ..Cx::PLAIN });
                    }
                    Some(datagram) => put_datagram(line, datagram, masking),
                    None => {}
                };
                self.answered("recv-datagram".to_owned(), "none", put);
            }
            Answer::SendDatagram(_, result) => {
                let put = |line: &mut Line| match result {
                    Ok(()) => {}
                    Err(DatagramRefused::Blocked(_)) => _ = line.word("blocked"),
                    Err(DatagramRefused::TooLarge) => _ = line.word("too-large"),
                    Err(DatagramRefused::Disabled) => _ = line.word("disabled"),
                    Err(_) => _ = line.word(OTHER),
                };
                self.answered("send-datagram".to_owned(), "sent", put);
            }
            // The others give nothing.
            _ => {}
        }
    }
}

put! {
    /// What the transport was asked to do.
    put_asked(Answer<'_>) {
        "open" Answer::Open(way, _) => [way];
        "accept" Answer::Accept(way, _) => [way];
        "read" Answer::Read(id, [max, slots], ..) => [id, max, slots];
        "write" Answer::Write(id, offered, taken)
            => [id, Shown(&front(offered, taken.unwrap_or(0)))];
        "finish" Answer::Finish(id) => [id];
        "reset" Answer::Reset(id, code, head) => [id, code, Shown(head)];
        "stop" Answer::Stop(id, code) => [id, code];
        "set-priority" Answer::SetPriority(id, priority) => [id, priority];
        "recv-datagram" Answer::RecvDatagram(_) => [];
        "send-datagram" Answer::SendDatagram(datagram, _) => [Shown(datagram)];
        "close" Answer::Close(code) => [code];
    }
}

/// Bytes that are written, or how many.
struct Shown<'a>(&'a [u8]);

impl Put for Shown<'_> {
    fn put(&self, line: &mut Line, cx: Cx) {
        match cx.mask {
            Masking::Off => line.bytes(self.0),
            Masking::On => line.show(self.0.len()),
        };
    }
}

/// The first `len` bytes of chunks, or all.
fn front(chunks: &[Bytes], len: usize) -> Vec<u8> {
    let mut front = Vec::new();
    for chunk in chunks {
        let part = chunk.len().min(len - front.len());
        front.extend_from_slice(&chunk[..part]);
    }
    front
}

/// Nothing if there was nothing to read, yet.
fn put_read(line: &mut Line, result: &Result<Read, StreamGone>, chunks: &[Bytes]) {
    match result {
        Ok(read) if read.chunks == 0 && read.state == ReadState::Blocked => {}
        Ok(read) => {
            line.list(chunks.iter().map(Bytes::len));
            read.state.put(line, Cx::PLAIN);
        }
        Err(gone) => gone.put(line, Cx::PLAIN),
    }
}

/// A received datagram. What it is for stays: the first varint.
fn put_datagram(line: &mut Line, datagram: &[u8], masking: Masking) {
    let id = match masking {
        Masking::On => datagram.first().map_or(0, |first| 1 << (first >> 6)),
        Masking::Off => datagram.len(),
    };
    let (id, payload) = datagram.split_at(id.min(datagram.len()));
    line.bytes(id).zeros_on(payload.len() as u64);
}

/// What a call offers to be written.
fn offered(call: &Call) -> Option<&[Bytes]> {
    match call {
        Call::Write(_, chunks) => Some(chunks),
        Call::Command(Command::Quic(call)) => match &**call {
            QuicCall::Write(_, chunks) => Some(chunks),
            _ => None,
        },
        _ => None,
    }
}

impl Observer for Tape {
    fn input(&mut self, now: Instant, path: Path, input: Input<'_>) {
        if self.contents.is_none() {
            return;
        }
        self.hand_over();
        self.idle.clear();
        self.note_path(path);
        match input {
            Input::Transport(event) => {
                let mut places = self.places.take();
                self.line("in", |line, cx| {
                    now.put(line, cx);
                    put_input(line, event, places.as_mut(), cx);
                });
                self.places = places;
            }
            Input::Timeout => self.line("due", |line, cx| now.put(line, cx)),
            Input::Call(call) => {
                if let Some(chunks) = offered(call) {
                    self.offered = chunks.to_vec();
                }
                self.line("do", |line, cx| {
                    now.put(line, cx);
                    call::put(line, call, cx);
                });
            }
            _ => {}
        }
    }

    fn answer(&mut self, answer: Answer<'_>) {
        if self.record.options.transport {
            self.line(">", |line, cx| put_asked(line, &answer, cx));
        }
        match self.contents {
            Some(_) => self.keep(&answer),
            None => self.hand_over(),
        }
    }

    fn seen(&mut self, stream: StreamId, what: Seen<'_>) {
        match what {
            Seen::Encoded if !self.record.options.secrets => _ = self.heads.insert(stream),
            Seen::Over => _ = self.heads.remove(&stream),
            _ => {}
        }
        match (&mut self.contents, &self.budget, what) {
            (Some(contents), ..) => contents.seen(self.record.number, stream, what),
            // It is passed on.
            (None, Some(budget), Seen::Payload(len)) => budget.give(len as u64),
            (None, Some(budget), Seen::Decoded(len)) => budget.decoded(len),
            _ => {}
        }
    }

    fn outcome(&mut self, outcome: Outcome) {
        let taken = match outcome {
            Outcome::Write(Ok(taken)) | Outcome::Quic(QuicOutcome::Write(Ok(taken))) => taken,
            _ => 0,
        };
        if taken > 0 && self.contents.is_some() && self.record.options.secrets {
            let written = front(&std::mem::take(&mut self.offered), taken);
            self.line("+", |line, _| _ = line.bytes(&written));
        }
        if let Some(budget) = &self.budget {
            let given = match outcome {
                Outcome::RecvDatagram(Some(len)) => len,
                Outcome::Quic(QuicOutcome::RecvDatagram(Some(len))) => len,
                Outcome::Quic(QuicOutcome::Read(Ok(read))) => read.bytes,
                _ => 0,
            };
            budget.give(given as u64);
        }
        self.line("=", |line, cx| put_outcome(line, &outcome, cx));
        self.hand_over();
    }

    fn event(&mut self, event: &Event) {
        self.line("ev", |line, cx| put_event(line, event, cx));
        self.hand_over();
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        if let Some(contents) = &mut self.contents {
            contents.end(self.record.number);
            self.hand_over();
            self.line("end", |_, _| {});
            self.hand_over();
        }
    }
}
