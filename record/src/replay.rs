//! Recordings gone through again: the same state machine, over a transport that gives
//! the recorded answers.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aqueduct_core::connection::Access;
use aqueduct_core::connection::{Answer, Connection, Input, Observer, Path, Seen};
use aqueduct_core::connection::{Call, Command, Outcome};
use aqueduct_core::event::Event;
use aqueduct_core::id::StreamId;
use aqueduct_core::transport::Transport;
use bytes::Bytes;

use crate::answers::Answers;
use crate::budget::Budget;
use crate::call::{instant, read};
use crate::file::{Numbered, RecordedConnection, RecordingError};
use crate::tape::{Options, Tape};
use crate::trace::read_input;
use crate::words::Malformed;

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
#[non_exhaustive]
pub enum ReplayError {
    /// A line makes no sense.
    Recording(RecordingError),
    /// The connection behaves otherwise.
    Divergence(Box<Divergence>),
    /// The recording stands for more bytes than its length allows for; no recording of
    /// a connection does.
    TooMuchMemory {
        /// The input, from 1.
        line: usize,
    },
    /// The calls of the transport are not in the recording.
    NoTransport,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recording(error) => error.fmt(f),
            Self::Divergence(divergence) => divergence.fmt(f),
            Self::TooMuchMemory { line } => write!(
                f,
                "line {line}: the recording asks for more memory than its length allows"
            ),
            Self::NoTransport => f.write_str("the recording has no calls of the transport"),
        }
    }
}

impl std::error::Error for ReplayError {}

impl From<RecordingError> for ReplayError {
    fn from(error: RecordingError) -> Self {
        Self::Recording(error)
    }
}

impl RecordedConnection<'_> {
    /// Goes through everything again on a connection of its own, and compares what
    /// calls gave and the events with the recording. `now` stands for the time the
    /// recording began; `on_event` is called for each event with the time from the
    /// first input to the last before it, and the event in the recording's words.
    /// Linear in what was recorded; for memory see
    /// [the crate's page](crate#what-a-replay-costs).
    ///
    /// # Errors
    /// [`ReplayError`]: the first line that makes no sense, or that differs.
    pub fn replay(
        &self,
        now: Instant,
        on_event: &mut dyn FnMut(Duration, &str),
    ) -> Result<Replayed, ReplayError> {
        self.go_through(now, false, on_event)
    }

    /// As [`Self::replay`], and compares the calls of the transport, too. Those of a
    /// recording without secrets are compared but for what is written: how a head is
    /// encoded depends on its values.
    ///
    /// # Errors
    /// As for [`Self::replay`], and when there are none.
    pub fn replay_transport(
        &self,
        now: Instant,
        on_event: &mut dyn FnMut(Duration, &str),
    ) -> Result<Replayed, ReplayError> {
        if !self.options.transport {
            return Err(ReplayError::NoTransport);
        }
        self.go_through(now, true, on_event)
    }

    fn go_through(
        &self,
        now: Instant,
        transport: bool,
        on_event: &mut dyn FnMut(Duration, &str),
    ) -> Result<Replayed, ReplayError> {
        let mut replay = Replay::new(self, now, transport);
        let mut replayed = Replayed {
            complete: self.ended,
            ..Replayed::default()
        };
        let mut first = None;
        let mut lines = self.lines.as_slice();
        while let Some((head, rest)) = lines.split_first() {
            let follows = |line: &&Numbered<'_>| matches!(line.tag, "<" | ">" | "=");
            let (block, rest) = rest.split_at(rest.iter().take_while(follows).count());
            lines = rest;
            match head.tag {
                "path" => {
                    let path = replay.answers.set_path(head.words());
                    path.map_err(|malformed| head.wrong(malformed))?;
                }
                "ev" => {
                    replay.event(*head)?;
                    replayed.events += 1;
                    on_event(replayed.span, event_of(head.text));
                }
                _ => {
                    let at = replay.input(*head, block)?;
                    // The last block of what was cut off may have lost lines.
                    if !self.ended && replay.answers.missing_bytes() {
                        return Ok(replayed);
                    }
                    let cut_off = !self.ended && lines.is_empty();
                    replay.compare(*head, block, cut_off)?;
                    replayed.inputs += 1;
                    replayed.span = at.saturating_sub(*first.get_or_insert(at));
                }
            }
        }
        Ok(replayed)
    }
}

/// The event in a line that tells one.
fn event_of(line: &str) -> &str {
    line.split_once(" ev ").map_or("", |(_, event)| event)
}

/// A connection that does it again.
struct Replay<'a> {
    connection: Connection,
    answers: Answers<'a>,
    budget: Budget,
    /// What it wrote down.
    lines: Arc<Mutex<String>>,
    /// Events it has told and the recording has not taken.
    events: VecDeque<String>,
    epoch: Instant,
    secrets: bool,
    transport: bool,
}

impl<'a> Replay<'a> {
    fn new(recorded: &RecordedConnection<'a>, epoch: Instant, transport: bool) -> Self {
        let Options { secrets, .. } = recorded.options;
        let mut config = recorded.config.clone();
        if !secrets {
            // What our encoder said depends on values that are not there, and what the
            // peer's decoder said to that is not in the recording either.
            config.limits.qpack_encoder_table = 0;
        }
        let budget = Budget::new(recorded.size);
        let lines = Arc::new(Mutex::new(String::new()));
        let to = Arc::clone(&lines);
        let sink = Box::new(move |text: &str| locked(&to).push_str(text));
        let options = Options { secrets, transport };
        let observer = Box::new(Again {
            tape: Tape::again(recorded.number, epoch, options, sink),
            budget: budget.clone(),
        });
        let (side, seed) = (recorded.side, recorded.seed);
        let bytes = recorded.bytes.iter().map(|(id, runs)| (*id, runs.clone()));
        Self {
            connection: Connection::new(side, Arc::new(config), seed).observed(observer),
            answers: Answers::new(side, bytes, budget.clone()),
            budget,
            lines,
            events: VecDeque::new(),
            epoch,
            secrets,
            transport,
        }
    }

    /// Something goes in, at the time that is returned.
    fn input(
        &mut self,
        head: Numbered<'a>,
        block: &[Numbered<'a>],
    ) -> Result<Duration, ReplayError> {
        self.answers.begin();
        for line in block.iter().filter(|line| line.tag == "<") {
            let added = self.answers.add(*line);
            added.map_err(|malformed| line.wrong(malformed))?;
        }
        let mut words = head.words();
        let done = (|| {
            let nanos: u64 = words.number()?;
            let time = instant(self.epoch, nanos);
            match head.tag {
                "in" => {
                    let event = read_input(&mut words)?;
                    words.end()?;
                    self.connection.handle(&mut self.answers, time, event);
                }
                "due" => {
                    words.end()?;
                    self.connection.handle_timeout(&mut self.answers, time);
                }
                _ => {
                    let call = read(&mut words, self.epoch)?;
                    words.end()?;
                    if let Call::Command(Command::RejectSession(_, _, content)) = &call {
                        // It may be held until the peer takes it.
                        self.budget.take(content.len() as u64);
                    }
                    make(call, &mut self.connection.access(&mut self.answers, time));
                }
            }
            Ok::<_, Malformed>(Duration::from_nanos(nanos))
        })();
        let since = done.map_err(|malformed| head.wrong(malformed))?;
        self.too_much(head)?;
        Ok(since)
    }

    fn too_much(&self, at: Numbered<'_>) -> Result<(), ReplayError> {
        match self.budget.is_exceeded() {
            true => Err(ReplayError::TooMuchMemory { line: at.at }),
            false => Ok(()),
        }
    }

    /// Compares what followed from an input, and takes its events.
    fn compare(
        &mut self,
        head: Numbered<'a>,
        block: &[Numbered<'a>],
        cut_off: bool,
    ) -> Result<(), ReplayError> {
        let told = std::mem::take(&mut *locked(&self.lines));
        let mut lines = told.lines().filter(|line| self.is_compared(line));
        let mut last = head;
        for line in block.iter().filter(|line| line.tag != "<") {
            if self.is_compared(line.text) {
                last = *line;
                self.same(*line, lines.next())?;
            }
        }
        if let Some(line) = lines.next()
            && !cut_off
        {
            return Err(self.divergence(last.at, None, Some(line)));
        }
        // They are taken now, so that they cannot pile up unseen.
        while self.connection.poll_event().is_some() {
            let event = std::mem::take(&mut *locked(&self.lines));
            self.budget.take(event.len() as u64);
            self.events.push_back(event);
        }
        self.too_much(head)
    }

    /// Whether a line is told by both.
    fn is_compared(&self, line: &str) -> bool {
        match line.split(' ').nth(1) {
            Some(">") => {
                let written = || line.split(' ').nth(2) == Some("write");
                self.transport && (self.secrets || !written())
            }
            tag => tag == Some("="),
        }
    }

    /// The application took an event.
    fn event(&mut self, line: Numbered<'_>) -> Result<(), ReplayError> {
        let event = self.events.pop_front();
        self.budget
            .give(event.as_ref().map_or(0, |event| event.len() as u64));
        self.same(line, event.as_deref().map(str::trim_end))
    }

    fn same(&self, recorded: Numbered<'_>, replayed: Option<&str>) -> Result<(), ReplayError> {
        if replayed == Some(recorded.text) {
            return Ok(());
        }
        Err(self.divergence(recorded.at, Some(recorded.text), replayed))
    }

    fn divergence(
        &self,
        line: usize,
        recorded: Option<&str>,
        replayed: Option<&str>,
    ) -> ReplayError {
        ReplayError::Divergence(Box::new(Divergence {
            line,
            recorded: recorded.map(str::to_owned),
            replayed: replayed.map(str::to_owned),
            missing_bytes: self.answers.missing_bytes(),
        }))
    }
}

fn locked(lines: &Mutex<String>) -> std::sync::MutexGuard<'_, String> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a call of the application again. What it gives is told to the observer.
fn make<T: Transport>(call: Call, to: &mut Access<'_, T>) {
    match call {
        Call::Command(command) => {
            let _ = command.apply(to);
        }
        Call::Write(stream, mut chunks) => {
            let _ = to.send(stream).map(|mut half| half.write(&mut chunks));
        }
        Call::Read(stream, max, slots) => {
            let mut out = vec![Bytes::new(); slots];
            let _ = to.recv(stream).map(|mut half| half.read(max, &mut out));
        }
        Call::SendDatagram(stream, payload) => {
            let _ = to.send_datagram(stream, &payload);
        }
        Call::RecvDatagram(stream) => drop(to.recv_datagram(stream)),
        _ => {}
    }
}

/// Writes down what a replay does, and gives back what it has passed on.
#[derive(Debug)]
struct Again {
    tape: Tape,
    budget: Budget,
}

impl Observer for Again {
    fn input(&mut self, _: Instant, _: Path, _: Input<'_>) {}

    fn answer(&mut self, answer: Answer<'_>) {
        self.tape.answer(answer);
        self.tape.hand_over();
    }

    fn seen(&mut self, _: StreamId, what: Seen<'_>) {
        if let Seen::Payload(len) = what {
            self.budget.give(len as u64);
        }
    }

    fn outcome(&mut self, outcome: Outcome) {
        if let Outcome::RecvDatagram(Some(len)) = outcome {
            self.budget.give(len as u64);
        }
        self.tape.outcome(outcome);
    }

    fn event(&mut self, event: &Event) {
        self.tape.event(event);
    }
}
