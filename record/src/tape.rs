//! The writing side: one connection's lines, as they come about.

use std::fmt::{self, Debug};
use std::time::Instant;

use aqueduct_core::config::Config;
use aqueduct_core::connection::Outcome;
use aqueduct_core::connection::{Answer, Input, Observer, Path, Seen};
use aqueduct_core::event::Event;
use aqueduct_core::id::{Side, StreamId};
use aqueduct_core::transport::{DatagramRefused, ReadState, StreamGone};
use bytes::Bytes;

use crate::call::{nanos, put, put_outcome};
use crate::contents::Contents;
use crate::mask::Masking;
use crate::names::dir;
use crate::settings;
use crate::trace::{put_event, put_input, state};
use crate::words::Line;

/// How a connection is recorded.
#[derive(Clone, Debug)]
pub struct Record {
    /// What the connection is called in the recording: unique in it.
    pub number: u64,
    /// When the recording began; times are counted from here.
    pub epoch: Instant,
    /// What is kept of it.
    pub options: Options,
}

/// What is kept.
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
    /// What shows least: no secrets, no calls of the transport.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            secrets: false,
            transport: false,
        }
    }

    /// With secrets or without.
    #[must_use]
    pub const fn secrets(mut self, keep: bool) -> Self {
        self.secrets = keep;
        self
    }

    /// With the calls of the transport or without.
    #[must_use]
    pub const fn transport(mut self, keep: bool) -> Self {
        self.transport = keep;
        self
    }

    pub(crate) const fn masking(self) -> Masking {
        match self.secrets {
            true => Masking::Off,
            false => Masking::On,
        }
    }
}

/// Where the lines of a connection go, whole ones, after each thing that happened.
pub type Sink = Box<dyn FnMut(&str) + Send>;

/// Writes down what happens to one connection. The last line comes when it is dropped.
pub struct Tape {
    number: u64,
    epoch: Instant,
    options: Options,
    /// `None` in a replay, which has the answers already.
    contents: Option<Contents>,
    /// What the transport answered since the last input and that leads to nothing.
    idle: Vec<(Question, usize)>,
    path: Option<Path>,
    lines: String,
    sink: Sink,
}

/// What a transport was asked that it may answer by nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Accept(aqueduct_core::id::Dir),
    Read(StreamId),
    Write(StreamId),
    RecvDatagram,
    SendDatagram,
}

impl Question {
    /// Appends the question, and the answer that leads to nothing.
    fn put_idle(self, line: &mut Line) {
        match self {
            Self::Accept(way) => line.word("accept").word(dir(way)).word("-"),
            Self::Read(id) => line.word("read").show(id).word("- blocked"),
            Self::Write(id) => line.word("write").show(id).word("0"),
            Self::RecvDatagram => line.word("recv-datagram").word("none"),
            Self::SendDatagram => line.word("send-datagram").word("sent"),
        };
    }
}

impl Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Tape {
    /// For a connection that is made with these and has not heard anything yet.
    #[must_use]
    pub fn new(record: &Record, side: Side, config: &Config, seed: u64, sink: Sink) -> Self {
        let mut tape = Self::again(record.number, record.epoch, record.options, sink);
        tape.contents = Some(Contents::default());
        let Options { secrets, transport } = record.options;
        tape.line("new", |line, _| {
            line.show(side).show(seed);
            line.word(if secrets { "whole" } else { "masked" });
            line.word(if transport { "transport" } else { "events" });
            settings::put(line, config);
        });
        tape.hand_over();
        tape
    }

    /// For a replay: what came of things, and nothing else.
    pub(crate) fn again(number: u64, epoch: Instant, options: Options, sink: Sink) -> Self {
        Self {
            number,
            epoch,
            options,
            contents: None,
            idle: Vec::new(),
            path: None,
            lines: String::new(),
            sink,
        }
    }

    fn line(&mut self, tag: &str, put: impl FnOnce(&mut Line, Masking)) {
        let mut line = Line(std::mem::take(&mut self.lines));
        line.show(self.number).word(tag);
        put(&mut line, self.options.masking());
        line.0.push('\n');
        self.lines = line.0;
    }

    pub(crate) fn hand_over(&mut self) {
        if let Some(contents) = &mut self.contents {
            self.lines.push_str(&contents.lines());
        }
        if !self.lines.is_empty() {
            (self.sink)(&self.lines);
            self.lines.clear();
        }
    }

    /// An answer that a replay has to give again. Without `put` it leads to nothing,
    /// and is written only if another one to the same question follows.
    fn answered(&mut self, question: Question, put: Option<&dyn Fn(&mut Line)>) {
        let at = self.idle.iter().position(|(asked, _)| *asked == question);
        let Some(put) = put else {
            match at.and_then(|at| self.idle.get_mut(at)) {
                Some((_, times)) => *times += 1,
                None => self.idle.push((question, 1)),
            }
            return;
        };
        let times = at.map_or(0, |at| self.idle.swap_remove(at).1);
        for _ in 0..times {
            self.line("<", |line, _| question.put_idle(line));
        }
        self.line("<", |line, _| put(line));
    }

    fn note_path(&mut self, path: Path) {
        if self.path == Some(path) {
            return;
        }
        self.path = Some(path);
        self.line("path", |line, _| {
            line.option(path.max_datagram)
                .option(path.peer_max_datagram);
            line.show(path.caps.reliable_reset);
        });
    }

    fn keep(&mut self, answer: &Answer<'_>) {
        match answer {
            Answer::Open(way, id) => self.line("<", |line, _| {
                line.word("open").word(dir(*way)).option(*id);
            }),
            Answer::Accept(way, id) => {
                let put = id.map(|id| move |line: &mut Line| put_accept(line, *way, id));
                self.answered(Question::Accept(*way), as_dyn(put.as_ref()));
            }
            Answer::Read {
                id, result, chunks, ..
            } => {
                let idle = matches!(result, Ok(read) if read.chunks == 0
                    && read.state == ReadState::Blocked);
                let put = |line: &mut Line| {
                    line.word("read").show(*id);
                    match result {
                        Ok(read) => {
                            line.list(chunks.iter().map(Bytes::len));
                            line.word(state(read.state));
                        }
                        Err(gone) => put_gone(line, *gone),
                    }
                };
                self.answered(Question::Read(*id), (!idle).then_some(&put));
                if let Some(contents) = &mut self.contents {
                    match self.options.secrets {
                        true => chunks.iter().for_each(|chunk| {
                            contents.keep(self.number, *id, chunk);
                        }),
                        false => contents.read(*id, chunks),
                    }
                }
            }
            Answer::Write {
                id,
                offered,
                result,
            } => {
                // What is left decides what the connection does next; how much it
                // offered depends on what it says.
                let offered: usize = offered.iter().map(Bytes::len).sum();
                let left = result.map(|taken| offered.saturating_sub(taken));
                let put = |line: &mut Line| {
                    line.word("write").show(*id);
                    match left {
                        Ok(left) => {
                            line.show(left);
                        }
                        Err(gone) => put_gone(line, gone),
                    }
                };
                self.answered(Question::Write(*id), (left != Ok(0)).then_some(&put));
            }
            Answer::RecvDatagram(datagram) => {
                let masked = self.options.masking() == Masking::On;
                let put = datagram.map(|datagram| {
                    move |line: &mut Line| {
                        line.word("recv-datagram");
                        put_datagram(line, datagram, masked);
                    }
                });
                self.answered(Question::RecvDatagram, as_dyn(put.as_ref()));
            }
            Answer::SendDatagram(_, result) => {
                let put = result.err().map(|why| {
                    move |line: &mut Line| {
                        line.word("send-datagram").word(match why {
                            DatagramRefused::Blocked(_) => "blocked",
                            DatagramRefused::TooLarge => "too-large",
                            DatagramRefused::Disabled => "disabled",
                        });
                    }
                });
                self.answered(Question::SendDatagram, as_dyn(put.as_ref()));
            }
            // The others give nothing.
            _ => {}
        }
    }

    /// What the transport was asked to do.
    fn show(&mut self, answer: &Answer<'_>) {
        self.line(">", |line, mask| {
            let put_written = |line: &mut Line, written: &[u8]| match mask {
                Masking::Off => {
                    line.bytes(written);
                }
                Masking::On => {
                    line.show(written.len());
                }
            };
            match answer {
                Answer::Open(way, _) => line.word("open").word(dir(*way)),
                Answer::Accept(way, _) => line.word("accept").word(dir(*way)),
                Answer::Read { id, max, slots, .. } => {
                    line.word("read").show(id).show(max).show(slots)
                }
                Answer::Write {
                    id,
                    offered,
                    result,
                } => {
                    line.word("write").show(id);
                    let mut written = offered.concat();
                    written.truncate(result.unwrap_or(0));
                    put_written(line, &written);
                    line
                }
                Answer::Finish(id) => line.word("finish").show(id),
                Answer::Reset(id, code, head) => line.word("reset").show(id).show(code).bytes(head),
                Answer::Stop(id, code) => line.word("stop").show(id).show(code),
                Answer::SetPriority(id, priority) => {
                    line.word("set-priority").show(id).show(priority)
                }
                Answer::RecvDatagram(_) => line.word("recv-datagram"),
                Answer::SendDatagram(datagram, _) => {
                    line.word("send-datagram");
                    put_written(line, datagram);
                    line
                }
                Answer::Close(code) => line.word("close").show(code),
                _ => line.word("other"),
            };
        });
    }
}

fn as_dyn(put: Option<&impl Fn(&mut Line)>) -> Option<&dyn Fn(&mut Line)> {
    put.map(|put| put as &dyn Fn(&mut Line))
}

fn put_accept(line: &mut Line, way: aqueduct_core::id::Dir, id: StreamId) {
    line.word("accept").word(dir(way)).show(id);
}

fn put_gone(line: &mut Line, gone: StreamGone) {
    match gone {
        StreamGone::Reset { code, final_size } => line.word("reset").show(code).option(final_size),
        StreamGone::Stopped(code) => line.word("stopped").show(code),
        StreamGone::Unknown => line.word("unknown"),
    };
}

/// A received datagram. What it is for stays: the first varint.
fn put_datagram(line: &mut Line, datagram: &[u8], masked: bool) {
    if !masked {
        line.bytes(datagram);
        return;
    }
    let id = datagram.first().map_or(0, |first| 1 << (first >> 6));
    let (id, payload) = datagram.split_at(datagram.len().min(id));
    line.word(if datagram.is_empty() { "-" } else { "" });
    line.bytes_on(id);
    line.zeros_on(payload.len() as u64);
}

impl Observer for Tape {
    fn input(&mut self, now: Instant, path: Path, input: Input<'_>) {
        if self.contents.is_none() {
            return;
        }
        self.hand_over();
        self.idle.clear();
        self.note_path(path);
        let (epoch, now) = (self.epoch, nanos(self.epoch, now));
        match input {
            Input::Transport(event) => {
                self.line("in", |line, mask| put_input(line.show(now), event, mask));
            }
            Input::Timeout => self.line("due", |line, _| {
                line.show(now);
            }),
            Input::Call(call) => {
                self.line("do", |line, mask| put(line.show(now), call, epoch, mask));
            }
            _ => {}
        }
    }

    fn answer(&mut self, answer: Answer<'_>) {
        if self.options.transport {
            self.show(&answer);
        }
        if self.contents.is_some() {
            self.keep(&answer);
        }
    }

    fn seen(&mut self, stream: StreamId, what: Seen<'_>) {
        if let Some(contents) = &mut self.contents
            && !self.options.secrets
        {
            contents.seen(self.number, stream, what);
        }
    }

    fn outcome(&mut self, outcome: Outcome) {
        self.line("=", |line, _| put_outcome(line, outcome));
        self.hand_over();
    }

    fn event(&mut self, event: &Event) {
        self.line("ev", |line, mask| put_event(line, event, mask));
        self.hand_over();
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        if let Some(contents) = &mut self.contents {
            contents.end(self.number);
            self.hand_over();
            self.line("end", |_, _| {});
            self.hand_over();
        }
    }
}
