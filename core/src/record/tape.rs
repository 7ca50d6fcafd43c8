//! The writing side: one connection's lines, as they come about.

use std::fmt::{self, Debug};
use std::time::Instant;

use bytes::Bytes;

use super::call::{Call, nanos};
use super::content::{Contents, Kind, Piece};
use super::mask::Mask;
use super::settings;
use super::trace::{put_event, put_input};
use super::words::Line;
use crate::config::Config;
use crate::event::{Event, SessionEvent};
use crate::id::{Dir, Side, StreamId};
use crate::transport::{Caps, Read, ReadState, StreamGone, Transport, TransportEvent};

/// What a recording begins with: the format and its version.
pub const HEADER: &str = "aqueduct-recording 1\n";

/// Length at which a line of bytes is followed by another.
const LONG: usize = 1 << 16;

/// How a connection is recorded; see [`Connection::recorded`](crate::connection::Connection::recorded).
#[derive(Clone, Debug)]
pub struct Record {
    /// What the connection is called in the recording: unique in it.
    pub number: u64,
    /// When the recording began; times are counted from here.
    pub epoch: Instant,
    /// What becomes of what was received.
    pub secrets: Secrets,
}

/// What a recording keeps of bodies, payloads and the values of fields.
#[derive(Clone)]
#[non_exhaustive]
pub enum Secrets {
    /// Zeros for bodies and payloads, other text for values; see
    /// [what masks do not hide](crate::record#what-masks-do-not-hide).
    Masked {
        /// 128 random bits, which are not in the recording. Whoever knows them can
        /// test guesses of masked values. Connections with the same key have the
        /// same masks for the same values.
        key: [u64; 2],
    },
    /// All of them. Such a recording can hold passwords, cookies and messages.
    Whole,
}

impl Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Masked { .. } => "Masked",
            Self::Whole => "Whole",
        })
    }
}

/// Paths as the transport describes them.
type Path = (Option<usize>, Option<usize>, Caps);

/// The lines of one connection that nobody has taken yet.
pub(crate) struct Tape {
    number: u64,
    epoch: Instant,
    side: Side,
    mask: Option<Mask>,
    /// `None` in a replay, which has the bytes already.
    contents: Option<Contents>,
    lines: String,
    /// Lines of bytes, which follow the others.
    bytes: ByteLines,
    path: Option<Path>,
    /// What a stream that the present call opens is going to carry.
    opening: Option<Kind>,
}

impl Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tape")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Tape {
    pub(crate) fn new(record: &Record, side: Side, config: &Config, seed: u64) -> Self {
        let mask = match record.secrets {
            Secrets::Masked { key } => Some(Mask::new(key)),
            Secrets::Whole => None,
        };
        let contents = Contents::new(mask.clone(), side, config);
        Self::begin(record, mask, Some(contents), side, config, seed)
    }

    /// A tape for a replay of what another tape wrote.
    pub(crate) fn again(
        number: u64,
        epoch: Instant,
        side: Side,
        config: &Config,
        seed: u64,
    ) -> Self {
        let record = Record {
            number,
            epoch,
            secrets: Secrets::Whole,
        };
        Self::begin(&record, None, None, side, config, seed)
    }

    fn begin(
        record: &Record,
        mask: Option<Mask>,
        contents: Option<Contents>,
        ours: Side,
        config: &Config,
        seed: u64,
    ) -> Self {
        let mut tape = Self {
            number: record.number,
            epoch: record.epoch,
            side: ours,
            mask,
            contents,
            lines: String::new(),
            bytes: ByteLines::default(),
            path: None,
            opening: None,
        };
        tape.line("new", |line, _| {
            line.show(ours).show(seed);
            settings::put(line, config);
        });
        tape
    }

    /// What was written since the last call; whole lines.
    pub(crate) fn take(&mut self) -> String {
        self.lines.push_str(&self.bytes.take());
        std::mem::take(&mut self.lines)
    }

    /// Nothing more will come.
    pub(crate) fn end(&mut self) {
        self.with_contents(|contents, out| contents.end_all(out));
        let tail = self.take();
        self.lines = tail;
        self.line("end", |_, _| {});
    }

    fn line(&mut self, tag: &str, put: impl FnOnce(&mut Line, Option<&Mask>)) {
        let mut line = Line(std::mem::take(&mut self.lines));
        line.show(self.number).word(tag);
        put(&mut line, self.mask.as_ref());
        line.0.push('\n');
        self.lines = line.0;
    }

    // ---- inputs -----------------------------------------------------------------

    fn note_path<T: Transport>(&mut self, t: &T) {
        let path = (t.max_datagram_size(), t.peer_max_datagram_size(), t.caps());
        if self.path == Some(path) {
            return;
        }
        self.path = Some(path);
        let (max, peer, Caps { reliable_reset }) = path;
        self.line("path", |line, _| {
            line.option(max).option(peer).show(reliable_reset);
        });
    }

    pub(crate) fn input<T: Transport>(&mut self, t: &T, now: Instant, event: &TransportEvent) {
        self.note_path(t);
        let now = nanos(self.epoch, now);
        self.line("in", |line, mask| put_input(line.show(now), event, mask));
    }

    pub(crate) fn due<T: Transport>(&mut self, t: &T, now: Instant) {
        self.note_path(t);
        let now = nanos(self.epoch, now);
        self.line("due", |line, _| {
            line.show(now);
        });
    }

    pub(crate) fn call<T: Transport>(&mut self, t: &T, now: Instant, call: &Call) {
        self.note_path(t);
        self.opening = match call {
            Call::Request(..) => Some(Kind::Exchange),
            Call::OpenSession(_) => Some(Kind::Session),
            Call::OpenStream(..) => Some(Kind::Data),
            _ => None,
        };
        let (epoch, now) = (self.epoch, nanos(self.epoch, now));
        self.line("do", |line, mask| call.put(line.show(now), epoch, mask));
    }

    pub(crate) fn outcome(&mut self, outcome: &impl Debug) {
        self.opening = None;
        self.line("=", |line, _| {
            line.show(format_args!("{outcome:?}"));
        });
    }

    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Request { stream, .. } => self.learn(stream.id, Kind::Exchange),
            Event::Session(session, SessionEvent::Requested(_)) => {
                self.learn(session.id(), Kind::Session);
            }
            _ => {}
        }
        let side = self.side;
        self.line("ev", |line, mask| put_event(line, event, side, mask));
    }

    // ---- the transport's answers -----------------------------------------------

    /// One call of the transport: its name and arguments, then its result.
    pub(super) fn answer(&mut self, name: &str, put: impl FnOnce(&mut Line)) {
        self.line(".", |line, _| put(line.word(name)));
    }

    pub(super) fn opened(&mut self, dir: Dir, id: Option<StreamId>) {
        self.answer("open", |line| {
            line.word(super::call::dir(dir)).word("=").option(id);
        });
        if let (Dir::Bi, Some(id), Some(kind)) = (dir, id, self.opening) {
            self.learn(id, kind);
        }
    }

    pub(super) fn read(
        &mut self,
        (id, max, slots): (StreamId, usize, usize),
        result: &Result<Read, StreamGone>,
        chunks: &[Bytes],
    ) {
        self.answer("read", |line| {
            line.show(id).show(max).show(slots).word("=");
            match result {
                Ok(read) => line
                    .list(chunks.iter().map(Bytes::len))
                    .word(match read.state {
                        ReadState::Open => "open",
                        ReadState::Blocked => "blocked",
                        ReadState::Finished => "finished",
                    }),
                Err(StreamGone::Reset { code, .. }) => line.word("reset").show(code),
                Err(_) => line.word("unknown"),
            };
        });
        let over = !matches!(result, Ok(read) if read.state != ReadState::Finished);
        self.with_contents(|contents, out| {
            for chunk in chunks {
                contents.read(id, chunk, out);
            }
            if over {
                contents.end(id, out);
            }
        });
    }

    pub(super) fn stopped(&mut self, id: StreamId, code: u64) {
        self.answer("stop", |line| {
            line.show(id).show(code);
        });
        self.with_contents(|contents, out| contents.end(id, out));
    }

    /// A received datagram as the recording keeps it.
    pub(super) fn datagram(&mut self, datagram: Option<&Bytes>) {
        let hide = self.mask.is_some();
        self.answer("recv-datagram", |line| {
            line.word("=");
            let Some(datagram) = datagram else {
                line.word("none");
                return;
            };
            let mut masked = datagram.to_vec();
            if hide {
                // What it is for stays: the first varint.
                let id = masked.first().map_or(0, |first| 1 << (first >> 6));
                masked.iter_mut().skip(id).for_each(|byte| *byte = 0);
            }
            line.bytes(&masked);
        });
    }

    fn learn(&mut self, id: StreamId, kind: Kind) {
        self.with_contents(|contents, out| contents.learn(id, kind, out));
    }

    fn with_contents(
        &mut self,
        work: impl FnOnce(&mut Contents, &mut dyn FnMut(StreamId, Piece<'_>)),
    ) {
        let Self {
            contents,
            bytes,
            number,
            ..
        } = self;
        if let Some(contents) = contents {
            work(contents, &mut |id, piece| bytes.put(*number, id, piece));
        }
    }
}

/// Lines of bytes read from streams; the last one may still grow.
#[derive(Default)]
struct ByteLines {
    lines: String,
    /// Whose bytes the last line is, and where it begins.
    last: Option<(StreamId, usize)>,
}

impl ByteLines {
    /// Appends to the last line if it is of the same stream.
    fn put(&mut self, number: u64, id: StreamId, piece: Piece<'_>) {
        let mut line = Line(std::mem::take(&mut self.lines));
        let goes_on = |(of, start)| of == id && line.0.len() - start < LONG;
        if !self.last.is_some_and(goes_on) {
            if self.last.is_some() {
                line.0.push('\n');
            }
            self.last = Some((id, line.0.len()));
            line.show(number).word("bytes").show(id).word("");
        }
        match piece {
            Piece::Bytes(bytes) => line.bytes_on(bytes),
            Piece::Filler(len) => line.zeros_on(len),
        }
        self.lines = line.0;
    }

    /// All of them, whole.
    fn take(&mut self) -> String {
        if self.last.take().is_some() {
            self.lines.push('\n');
        }
        std::mem::take(&mut self.lines)
    }
}
