//! Recordings gone through again: the same state machine, over a transport that gives
//! the recorded answers.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use aqueduct_core::connection::quic::{QuicAccess, QuicCall, QuicConnection};
use aqueduct_core::connection::{Access, Call, Command, Connection};
use aqueduct_core::escape::escaped;
use aqueduct_core::event::Event;
use aqueduct_core::id::StreamKey;
use aqueduct_core::transport::{EarlyData, Transport, TransportEvent};
use bytes::{Buf, Bytes};
use thiserror::Error;

use crate::answers::Answers;
use crate::budget::Budget;
use crate::call::{self, pieces, too_much};
use crate::file::{Numbered, RecordedConnection, RecordingError, Spoken, wrong};
use crate::tape::{Options, Record, Tape};
use crate::trace::get_input;
use crate::value::{Cx, Get, nanos};
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
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[error(
    "line {line}: the recording has\n  {}\nand the replay\n  {}{}",
    escaped(.recorded.as_deref().unwrap_or("nothing")).limit(usize::MAX),
    .replayed.as_deref().unwrap_or("nothing"),
    if *.missing_bytes { "\n(bytes that were read are missing from the recording)" } else { "" },
)]
#[non_exhaustive]
pub struct Divergence {
    /// The line of the recording, from 1.
    pub line: usize,
    /// What the recording says there, `None` for nothing more. The file may be a
    /// stranger's: what is not visible is escaped where this error is displayed.
    pub recorded: Option<String>,
    /// What the replay did; `None` for nothing more.
    pub replayed: Option<String>,
    /// Bytes that the connection reads are not in the recording, although it goes
    /// on to the end: that alone can be the cause.
    pub missing_bytes: bool,
}

/// Why a replay stopped.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// A line makes no sense.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The connection behaves otherwise.
    #[error("{0}")]
    Divergence(Box<Divergence>),
    /// The recording stands for more bytes than its length allows for; no recording of
    /// a connection does.
    #[error("line {line}: the recording asks for more memory than its length allows")]
    TooMuchMemory {
        /// The input, from 1.
        line: usize,
    },
    /// The calls of the transport are not in the recording.
    #[error("the recording has no calls of the transport")]
    NoTransport,
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
            let follows = |line: &&Numbered<'_>| matches!(line.tag, "<" | ">" | "+" | "=");
            let (block, rest) = rest.split_at(rest.iter().take_while(follows).count());
            lines = rest;
            match head.tag {
                "path" => {
                    let path = replay.answers.set_path(head.words());
                    path.map_err(|malformed| wrong(head.at, malformed))?;
                }
                "ev" => {
                    replay.event(*head)?;
                    replayed.events += 1;
                    let event = head.text.split_once(" ev ");
                    on_event(replayed.span, event.map_or("", |(_, event)| event));
                }
                _ => {
                    let at = replay.input(*head, block)?;
                    // The last block of what was cut off may have lost lines.
                    if !self.ended && replay.answers.missing_bytes {
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

/// Either kind of connection, used alike.
enum Machine {
    Http(Box<Connection>),
    Quic(Box<QuicConnection>),
}

impl Machine {
    fn new(recorded: &RecordedConnection<'_>, observer: Box<Tape>) -> Self {
        let (side, seed) = (recorded.side, recorded.seed);
        match recorded.spoken.clone() {
            Spoken::Http(mut config) => {
                if !recorded.options.secrets {
                    // What our encoder said depends on values that are not there, and what
                    // the peer's decoder said to that is not in the recording either.
                    config.limits.qpack_encoder_table = 0;
                }
                let connection = Connection::new(side, Arc::new(*config), seed);
                Self::Http(Box::new(connection.observed(observer)))
            }
            Spoken::Quic(config) => {
                let connection = QuicConnection::new(side, Arc::new(config));
                Self::Quic(Box::new(connection.observed(observer)))
            }
        }
    }

    fn handle(&mut self, answers: &mut Answers<'_>, now: Instant, event: TransportEvent) {
        match self {
            Self::Http(http) => http.handle(answers, now, event),
            Self::Quic(quic) => quic.handle(answers, now, event),
        }
    }

    fn handle_timeout(&mut self, answers: &mut Answers<'_>, now: Instant) {
        match self {
            Self::Http(http) => http.handle_timeout(answers, now),
            Self::Quic(quic) => quic.handle_timeout(answers, now),
        }
    }

    /// Makes a call again. One for another kind of connection does nothing.
    fn call(&mut self, answers: &mut Answers<'_>, now: Instant, call: Call) {
        match (self, call) {
            (Self::Http(http), call) => make(call, &mut http.access(answers, now)),
            (Self::Quic(quic), Call::Command(Command::Quic(call))) => {
                make_quic(*call, &mut quic.access(answers, now));
            }
            (Self::Quic(_), _) => {}
        }
    }

    /// The next event, and what is to be noted when it is taken.
    fn poll_ahead(&mut self) -> Option<Noted> {
        match self {
            Self::Http(http) => http.poll_ahead().map(|event| Noted::Asks(event.asks())),
            Self::Quic(quic) => quic.poll_ahead().map(Box::new).map(Noted::Event),
        }
    }

    fn note_taken(&mut self, noted: &Noted) {
        match (self, noted) {
            (Self::Http(http), Noted::Asks(Some(stream))) => http.note_taken(*stream),
            (Self::Quic(quic), Noted::Event(event)) => quic.note_taken(event),
            _ => {}
        }
    }
}

/// What is noted of an event when it is taken: of HTTP/3's, the stream that it asks about.
enum Noted {
    Asks(Option<StreamKey>),
    Event(Box<Event>),
}

/// A connection that does it again.
struct Replay<'a> {
    connection: Machine,
    answers: Answers<'a>,
    budget: Budget,
    /// What it wrote down.
    lines: mpsc::Receiver<String>,
    /// Events it has told and the recording has not taken.
    events: VecDeque<(String, Noted)>,
    epoch: Instant,
    secrets: bool,
    transport: bool,
}

impl<'a> Replay<'a> {
    fn new(recorded: &RecordedConnection<'a>, epoch: Instant, transport: bool) -> Self {
        let Options { secrets, .. } = recorded.options;
        let budget = Budget::new(recorded.size);
        let (sender, lines) = mpsc::channel();
        // It lives as long as the connection.
        let sink = Box::new(move |text: &str| _ = sender.send(text.to_owned()));
        let options = Options { secrets, transport };
        let record = Record::new(recorded.number, epoch, options);
        let observer = Box::new(Tape::again(&record, sink, Some(budget.clone())));
        Self {
            connection: Machine::new(recorded, observer),
            answers: Answers::new(recorded.side, recorded.bytes.clone(), budget.clone()),
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
        self.budget.begin();
        for line in block.iter().filter(|line| line.tag == "<") {
            let added = self.answers.add(*line);
            added.map_err(|malformed| wrong(line.at, malformed))?;
        }
        let epoch = Some(self.epoch);
        let cx = Cx { epoch, ..Cx::PLAIN };
        let (words, answers) = (&mut head.words(), &mut self.answers);
        let done = (|| {
            let time = Instant::get(words, cx)?;
            match head.tag {
                "in" => {
                    let event = get_input(words, cx)?;
                    words.end()?;
                    if let TransportEvent::Connected { early } = event
                        && early == EarlyData::Rejected
                    {
                        answers.forget_streams();
                    }
                    self.connection.handle(answers, time, event);
                }
                "due" => {
                    words.end()?;
                    self.connection.handle_timeout(answers, time);
                }
                _ => {
                    let mut call = call::get(words, cx)?;
                    words.end()?;
                    if let Some(chunks) = offered(&mut call)
                        && let Some(line) = block.iter().find(|line| line.tag == "+")
                    {
                        let runs = line.words().runs()?;
                        put_in_front(chunks, pieces(runs).ok_or_else(too_much)?);
                    }
                    if let Call::Command(Command::RejectSession(_, _, content)) = &call {
                        // It may be held until the peer takes it.
                        self.budget.take(content.len() as u64);
                    }
                    self.connection.call(answers, time, call);
                }
            }
            Ok::<_, Malformed>(Duration::from_nanos(nanos(self.epoch, time)))
        })();
        Ok(done.map_err(|malformed| wrong(head.at, malformed))?)
    }

    /// Takes events at once, so that they cannot pile up unseen.
    fn look_ahead(&mut self) {
        while !self.budget.is_exceeded()
            && let Some(noted) = self.connection.poll_ahead()
        {
            let line: String = self.lines.try_iter().collect();
            self.budget.take(line.len() as u64);
            self.events.push_back((line, noted));
        }
    }

    /// Compares what followed from an input, and takes its events.
    fn compare(
        &mut self,
        head: Numbered<'a>,
        block: &[Numbered<'a>],
        cut_off: bool,
    ) -> Result<(), ReplayError> {
        let told: String = self.lines.try_iter().collect();
        self.look_ahead();
        if self.budget.is_exceeded() {
            return Err(ReplayError::TooMuchMemory { line: head.at });
        }
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
        Ok(())
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
        let (event, noted) = self.events.pop_front().unzip();
        if let Some(noted) = noted {
            self.connection.note_taken(&noted);
            // Others may follow from that.
            self.look_ahead();
        }
        self.budget.give(
            event
                .as_ref()
                .map_or(0, |event: &String| event.len() as u64),
        );
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
            missing_bytes: self.answers.missing_bytes,
        }))
    }
}

/// Puts bytes in the place of as many zeros.
fn put_in_front(chunks: &mut Vec<Bytes>, bytes: Vec<Bytes>) {
    let mut left: usize = bytes.iter().map(Bytes::len).sum();
    for chunk in chunks.iter_mut() {
        let part = left.min(chunk.len());
        chunk.advance(part);
        left -= part;
    }
    chunks.splice(..0, bytes);
}

/// What a call offers to be written.
fn offered(call: &mut Call) -> Option<&mut Vec<Bytes>> {
    match call {
        Call::Write(_, chunks) => Some(chunks),
        Call::Command(Command::Quic(call)) => match &mut **call {
            QuicCall::Write(_, chunks) => Some(chunks),
            _ => None,
        },
        _ => None,
    }
}

/// Makes a call of the application again. What it gives is told to the observer.
fn make<T: Transport>(call: Call, to: &mut Access<'_, T>) {
    match call {
        Call::Command(command) => _ = command.apply(to),
        Call::Write(stream, mut chunks) => {
            _ = to.send(stream).map(|mut half| half.write(&mut chunks));
        }
        Call::Read(stream, max, slots) => {
            let mut out = vec![Bytes::new(); slots];
            _ = to.recv(stream).map(|mut half| half.read(max, &mut out));
        }
        Call::SendDatagram(stream, payload) => _ = to.send_datagram(stream, &payload),
        Call::RecvDatagram(stream) => drop(to.recv_datagram(stream)),
        _ => {}
    }
}

/// The same for raw QUIC. A read has as many slots as it had.
fn make_quic<T: Transport>(call: QuicCall, to: &mut QuicAccess<'_, T>) {
    match call {
        QuicCall::Read(stream, max, slots) => {
            _ = to.read(stream, max, &mut vec![Bytes::new(); slots]);
        }
        call => _ = call.apply(to),
    }
}
