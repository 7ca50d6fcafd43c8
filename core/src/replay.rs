//! Recordings gone through again: the same state machine, over a transport that
//! gives the answers which [`record`](crate::record) wrote down.

mod answers;
mod calls;
mod zeros;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::answers::Answers;
use self::calls::make;
use self::zeros::Zeros;
use crate::config::Config;
use crate::connection::Connection;
use crate::id::{Side, StreamId};
use crate::record::call::{Call, instant};
use crate::record::trace::{read_input, read_stream};
use crate::record::words::{Malformed, Run, Words};
use crate::record::{HEADER, Tape, settings};

/// Why a text is no recording.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecordingError {
    /// The line, from 1; 0 for the whole.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "not a recording: {}", self.why),
            line => write!(f, "line {line} of the recording: {}", self.why),
        }
    }
}

impl std::error::Error for RecordingError {}

/// A recording, read. It borrows the text.
#[derive(Debug)]
pub struct Recording<'a> {
    connections: Vec<RecordedConnection<'a>>,
}

impl<'a> Recording<'a> {
    /// Takes a recording apart; the text may end in the middle of a line, which is
    /// left out then. O(n log c) for n bytes and c connections.
    ///
    /// # Errors
    /// [`RecordingError`] names the first line that makes no sense. What inputs and
    /// calls say is read when they are replayed.
    pub fn read(text: &'a str) -> Result<Self, RecordingError> {
        let body = text.strip_prefix(HEADER).ok_or_else(|| RecordingError {
            line: 0,
            why: format!("it does not begin with {:?}", HEADER.trim_end()),
        })?;
        let mut connections: Vec<RecordedConnection<'a>> = Vec::new();
        let mut positions = BTreeMap::new();
        for (at, line) in body.split_inclusive('\n').enumerate() {
            let Some(text) = line.strip_suffix('\n') else {
                break;
            };
            // Several endpoints may have begun recordings in one file.
            if text.is_empty() || text.starts_with('#') || line == HEADER {
                continue;
            }
            let line = Numbered { at: at + 2, text };
            let mut words = Words::new(text);
            let placed = (|| {
                let (number, tag) = (words.word()?, words.word()?);
                if tag == "udp" {
                    return Ok(());
                }
                let number: u64 = number.parse()?;
                if tag == "new" {
                    if positions.insert(number, connections.len()).is_some() {
                        return Err(Malformed(format!("connection {number} begins twice")));
                    }
                    connections.push(RecordedConnection::begin(number, line, words)?);
                    return Ok(());
                }
                let connection = positions
                    .get(&number)
                    .and_then(|at| connections.get_mut(*at))
                    .ok_or_else(|| Malformed(format!("connection {number} has not begun")))?;
                connection.add(tag, line, words)
            })();
            placed.map_err(|malformed| line.wrong(malformed))?;
        }
        Ok(Self { connections })
    }

    /// Its connections, in the order in which they began.
    #[must_use]
    pub fn connections(&self) -> &[RecordedConnection<'a>] {
        &self.connections
    }
}

/// A line with its number, from 1.
#[derive(Copy, Clone, Debug)]
struct Numbered<'a> {
    at: usize,
    text: &'a str,
}

impl Numbered<'_> {
    fn wrong(self, malformed: Malformed) -> RecordingError {
        RecordingError {
            line: self.at,
            why: malformed.0,
        }
    }
}

/// An input, or an event taken, with the lines that followed from it.
#[derive(Debug)]
struct Block<'a> {
    lines: Vec<Numbered<'a>>,
    /// Which of them says what happened.
    head: usize,
}

/// One connection of a [`Recording`].
#[derive(Debug)]
pub struct RecordedConnection<'a> {
    number: u64,
    side: Side,
    seed: u64,
    config: Config,
    first: Numbered<'a>,
    blocks: Vec<Block<'a>>,
    bytes: BTreeMap<StreamId, VecDeque<Run>>,
    ended: bool,
    /// A line that belongs to the block that begins with the next one.
    ahead: Option<Numbered<'a>>,
}

/// What a replay went through without finding a difference.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Replayed {
    /// Inputs: transport events, timeouts and calls of the application.
    pub inputs: usize,
    /// Events the application took.
    pub events: usize,
    /// Time from the first input to the last.
    pub span: Duration,
    /// Whether the recording goes on to the end of the connection. One that was cut
    /// off is replayed up to the first input that read bytes which it lost: they
    /// follow their input, some of them later.
    pub complete: bool,
}

/// Where a replay behaves otherwise than the recording.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Divergence {
    /// The line of the recording, from 1.
    pub line: usize,
    /// What the recording says there; `None` for nothing more.
    pub recorded: Option<String>,
    /// What the replay did; `None` for nothing more.
    pub replayed: Option<String>,
    /// Bytes that the connection reads are not in the recording, although it goes
    /// on to the end: that alone can be the cause.
    pub missing_bytes: bool,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nothing = "nothing".to_owned();
        let [recorded, replayed] =
            [&self.recorded, &self.replayed].map(|line| line.as_ref().unwrap_or(&nothing));
        write!(
            f,
            "line {}: the recording has\n  {recorded}\nand the replay\n  {replayed}",
            self.line
        )?;
        if self.missing_bytes {
            f.write_str("\n(bytes that were read are missing from the recording)")?;
        }
        Ok(())
    }
}

/// Why a replay stopped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ReplayError {
    /// A line makes no sense.
    Recording(RecordingError),
    /// The connection behaves otherwise.
    Divergence(Box<Divergence>),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recording(error) => error.fmt(f),
            Self::Divergence(divergence) => divergence.fmt(f),
        }
    }
}

impl std::error::Error for ReplayError {}

impl From<RecordingError> for ReplayError {
    fn from(error: RecordingError) -> Self {
        Self::Recording(error)
    }
}

impl<'a> RecordedConnection<'a> {
    fn begin(number: u64, first: Numbered<'a>, mut words: Words<'_>) -> Result<Self, Malformed> {
        let side = match words.word()? {
            "client" => Side::Client,
            "server" => Side::Server,
            _ => return Err(Malformed::new("neither client nor server")),
        };
        Ok(Self {
            number,
            side,
            seed: words.number()?,
            config: settings::read(&mut words)?,
            first,
            blocks: Vec::new(),
            bytes: BTreeMap::new(),
            ended: false,
            ahead: None,
        })
    }

    fn add(
        &mut self,
        tag: &str,
        line: Numbered<'a>,
        mut words: Words<'_>,
    ) -> Result<(), Malformed> {
        if self.ended {
            return Err(Malformed::new("the connection has ended"));
        }
        match tag {
            "path" => self.ahead = Some(line),
            "in" | "due" | "do" | "ev" => {
                let lines: Vec<_> = self.ahead.take().into_iter().chain([line]).collect();
                let head = lines.len() - 1;
                self.blocks.push(Block { lines, head });
            }
            "." | "=" => {
                let block = self.blocks.last_mut().filter(|_| self.ahead.is_none());
                let block = block.ok_or_else(|| Malformed::new("it follows from no input"))?;
                block.lines.push(line);
            }
            "bytes" => {
                let stream = self.bytes.entry(read_stream(&mut words)?).or_default();
                stream.extend(words.runs()?);
                words.end()?;
            }
            "end" => self.ended = true,
            _ => return Err(Malformed(format!("unknown kind of line {tag:?}"))),
        }
        Ok(())
    }

    /// Its number in the recording.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Which end was recorded.
    #[must_use]
    pub fn side(&self) -> Side {
        self.side
    }

    /// How it was configured.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Goes through everything again on a connection of its own, and compares
    /// every answer, call of the transport and event with the recording. `now`
    /// stands for the time the recording began; `on_event` is called for each
    /// event with the time from the first input to the last before it, and the event
    /// in the recording's words. Linear in what was recorded; for memory see
    /// [`record`](crate::record#what-a-replay-costs).
    ///
    /// # Errors
    /// [`ReplayError`]: the first line that makes no sense, or that differs.
    pub fn replay(
        &self,
        now: Instant,
        on_event: &mut dyn FnMut(Duration, &str),
    ) -> Result<Replayed, ReplayError> {
        let config = Arc::new(self.config.clone());
        let tape = Tape::again(self.number, now, self.side, &config, self.seed);
        let mut connection = Connection::with_tape(self.side, config, self.seed, tape);
        let zeros = Zeros::default();
        let mut answers = Answers::new(self.side, self.bytes.clone(), zeros.clone());
        let mut replayed = Replayed {
            complete: self.ended,
            ..Replayed::default()
        };
        compare(&[self.first], &connection.take_recorded(), false, &answers)?;
        let mut first = None;
        for (at, block) in self.blocks.iter().enumerate() {
            let Some(head) = block.lines.get(block.head) else {
                continue;
            };
            let before = replayed;
            let mut words = Words::new(head.text);
            let done = (|| {
                answers.load(block.lines.iter().map(|line| line.text))?;
                // The number is known.
                words.word()?;
                let tag = words.word()?;
                if tag == "ev" {
                    drop(connection.poll_event());
                    return Ok(());
                }
                let nanos: u64 = words.number()?;
                let time = instant(now, nanos);
                replayed.inputs += 1;
                let since = nanos.saturating_sub(*first.get_or_insert(nanos));
                replayed.span = Duration::from_nanos(since);
                match tag {
                    "in" => connection.handle(&mut answers, time, read_input(&mut words)?),
                    "due" => connection.handle_timeout(&mut answers, time),
                    _ => {
                        let call = Call::read(&mut words, now)?;
                        make(call, &mut connection.access(&mut answers, time), &zeros);
                    }
                }
                words.end()
            })();
            done.map_err(|malformed| head.wrong(malformed))?;
            if !self.ended && answers.missing_bytes() {
                return Ok(before);
            }
            let cut_off = !self.ended && at + 1 == self.blocks.len();
            compare(&block.lines, &connection.take_recorded(), cut_off, &answers)?;
            if let Some(event) = event_of(head.text) {
                replayed.events += 1;
                on_event(replayed.span, event);
            }
        }
        Ok(replayed)
    }
}

/// The event in a line that tells one.
fn event_of(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(' ')?;
    rest.strip_prefix("ev ")
}

/// Whether a replay wrote what the recording has. Where the recording was cut off,
/// the replay may go on.
fn compare(
    recorded: &[Numbered<'_>],
    replayed: &str,
    cut_off: bool,
    answers: &Answers<'_>,
) -> Result<(), ReplayError> {
    let mut lines = replayed.lines();
    let mut last = 0;
    for line in recorded {
        last = line.at;
        let replayed = lines.next();
        if replayed != Some(line.text) {
            return Err(ReplayError::Divergence(Box::new(Divergence {
                line: line.at,
                recorded: Some(line.text.to_owned()),
                replayed: replayed.map(str::to_owned),
                missing_bytes: answers.missing_bytes(),
            })));
        }
    }
    match lines.next() {
        Some(line) if !cut_off => Err(ReplayError::Divergence(Box::new(Divergence {
            line: last,
            recorded: None,
            replayed: Some(line.to_owned()),
            missing_bytes: answers.missing_bytes(),
        }))),
        _ => Ok(()),
    }
}
