//! A recording taken apart into connections and lines.

use std::collections::{BTreeMap, VecDeque};

use aqueduct_core::config::Config;
use aqueduct_core::escape::escaped;
use aqueduct_core::id::{Side, StreamId};
use aqueduct_core::quic;
use thiserror::Error;

use crate::quic::QUIC;
use crate::tape::Options;
use crate::value::{Cx, Get as _};
use crate::words::{Malformed, Run, Words};
use crate::{FORMAT, HEADER, VERSION};

/// Why a text is no recording that can be gone through.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// It does not begin as one.
    #[error("not a recording: it does not begin with {:?}", HEADER.trim_end())]
    NotARecording,
    /// It is one of another version of the format.
    #[error("a recording of version {found:?}; this program reads version {VERSION}")]
    OtherVersion {
        /// What it says its version is.
        found: String,
    },
    /// A line makes no sense.
    #[error("line {line} of the recording: {}", escaped(.why))]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

impl RecordingError {
    /// The line that is wrong, from 1; 0 for the whole.
    #[must_use]
    pub fn line(&self) -> usize {
        match self {
            Self::Line { line, .. } => *line,
            Self::NotARecording | Self::OtherVersion { .. } => 0,
        }
    }
}

/// A recording, read. It borrows the text.
#[derive(Debug)]
pub struct Recording<'a> {
    connections: Vec<RecordedConnection<'a>>,
}

/// A line with its number, from 1.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Numbered<'a> {
    pub(crate) at: usize,
    pub(crate) tag: &'a str,
    pub(crate) text: &'a str,
}

impl<'a> Numbered<'a> {
    /// The line's words behind the tag.
    pub(crate) fn words(self) -> Words<'a> {
        let mut words = Words::new(self.text);
        // Both are known.
        words.maybe();
        words.maybe();
        words
    }
}

/// What is wrong with a line.
pub(crate) fn wrong(line: usize, Malformed(why): Malformed) -> RecordingError {
    RecordingError::Line { line, why }
}

/// What a connection speaks, and how it behaves.
#[derive(Clone, Debug)]
pub(crate) enum Spoken {
    Http(Box<Config>),
    Quic(quic::Config),
}

impl Spoken {
    fn get(words: &mut Words<'_>) -> Result<Self, Malformed> {
        if words.clone().maybe() == Some(QUIC) {
            words.word()?;
            return quic::Config::get(words, Cx::PLAIN).map(Self::Quic);
        }
        Box::get(words, Cx::PLAIN).map(Self::Http)
    }
}

/// One connection of a [`Recording`].
#[derive(Debug)]
pub struct RecordedConnection<'a> {
    pub(crate) number: u64,
    pub(crate) side: Side,
    pub(crate) seed: u64,
    pub(crate) options: Options,
    pub(crate) spoken: Spoken,
    /// All but its first, its last and its bytes.
    pub(crate) lines: Vec<Numbered<'a>>,
    pub(crate) bytes: BTreeMap<StreamId, VecDeque<Run>>,
    pub(crate) ended: bool,
    /// Length of all its lines.
    pub(crate) size: u64,
}

impl<'a> Recording<'a> {
    /// Takes a recording apart; the text may end in the middle of a line, which is
    /// left out then. O(n log c) for n bytes and c connections.
    ///
    /// # Errors
    /// [`RecordingError`] names the first line that makes no sense. What inputs and
    /// calls say is read when they are replayed.
    pub fn read(text: &'a str) -> Result<Self, RecordingError> {
        let body = text
            .strip_prefix(FORMAT)
            .ok_or(RecordingError::NotARecording)?;
        let (version, body) = body.split_once('\n').unwrap_or((body, ""));
        if version != VERSION {
            let found = version.chars().take(20).collect();
            return Err(RecordingError::OtherVersion { found });
        }
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
            let at = at + 2;
            let placed = (|| {
                let mut words = Words::new(text);
                let (number, tag) = (words.word()?, words.word()?);
                if tag == "udp" {
                    return Ok(());
                }
                let number: u64 = number.parse()?;
                if tag == "new" {
                    if positions.insert(number, connections.len()).is_some() {
                        return Err(Malformed(format!("connection {number} begins twice")));
                    }
                    connections.push(RecordedConnection::begin(number, words)?);
                    return Ok(());
                }
                let connection = positions
                    .get(&number)
                    .and_then(|at| connections.get_mut(*at))
                    .ok_or_else(|| Malformed(format!("connection {number} has not begun")))?;
                connection.add(Numbered { at, tag, text })
            })();
            placed.map_err(|malformed| wrong(at, malformed))?;
        }
        Ok(Self { connections })
    }

    /// Its connections, in the order in which they began.
    #[must_use]
    pub fn connections(&self) -> &[RecordedConnection<'a>] {
        &self.connections
    }
}

impl<'a> RecordedConnection<'a> {
    fn begin(number: u64, mut words: Words<'_>) -> Result<Self, Malformed> {
        let side = Side::get(&mut words, Cx::PLAIN)?;
        let seed = words.number()?;
        let secrets = words.choice(["whole", "masked"])?;
        let transport = words.choice(["transport", "events"])?;
        Ok(Self {
            number,
            side,
            seed,
            options: Options { secrets, transport },
            spoken: Spoken::get(&mut words)?,
            lines: Vec::new(),
            bytes: BTreeMap::new(),
            ended: false,
            size: 0,
        })
    }

    fn add(&mut self, line: Numbered<'a>) -> Result<(), Malformed> {
        if self.ended {
            return Err(Malformed::new("the connection has ended"));
        }
        self.size += line.text.len() as u64;
        match line.tag {
            "path" | "in" | "due" | "do" | "ev" => self.lines.push(line),
            "<" | ">" | "+" | "=" if !self.lines.is_empty() => self.lines.push(line),
            "<" | ">" | "+" | "=" => return Err(Malformed::new("it follows from no input")),
            "bytes" => {
                let mut words = line.words();
                let stream = self.bytes.entry(words.stream()?).or_default();
                stream.extend(words.runs()?);
                words.end()?;
            }
            "end" => self.ended = true,
            tag => return Err(Malformed(format!("unknown kind of line {tag:?}"))),
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
}
