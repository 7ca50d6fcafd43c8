//! What an application does with a connection, as words of a recording, and what that
//! gave.

use aqueduct_core::connection::{Call, Command, CommandError, Outcome, Reply};
use aqueduct_core::error::{Gone, ReadError, WriteError};
use aqueduct_core::priority::Priority;
use bytes::{Bytes, BytesMut};

use crate::mask::Masking;
use crate::quic::{self, QUIC};
use crate::value::{Cx, Get, Put, both, put};
use crate::words::{Line, Malformed, Run, Words};

/// Most chunks that a recorded call may offer or take, so that a short file cannot
/// ask for much memory.
const MAX_CHUNKS: usize = 1 << 12;

/// No datagram is longer. What is refused for its length is refused for this one, too.
pub(crate) const MAX_DATAGRAM: usize = 1 << 16;

/// Longest content of a refusal that is given again.
const MAX_CONTENT: usize = 1 << 20;

/// Most bytes that a recorded call may write.
pub(crate) const MAX_WRITE: usize = 1 << 26;

/// Zeros up to this length share their memory.
pub(crate) const SHORT: usize = 1 << 16;

both! {
    put_command get_command Command {
        "request" Request(head, end);  "respond" Respond(stream, head, end);
        "trailers" Trailers(stream, trailers);  "set-priority" SetPriority(stream, priority);
        "open-session" OpenSession(request);  "accept-session" AcceptSession(session, answer);
        "drain-session" DrainSession(session);
        "close-session" CloseSession(session, code, reason);
        "open-stream" OpenStream(session, way);  "open-claimed" OpenClaimed(way, ty);  "enable-datagrams" EnableDatagrams(stream);
        "hold" Hold(stream);  "release" Release(stream);  "set-paced" SetPaced(stream, paced);
        "finish" Finish(stream);  "reset" Reset(stream, code);  "stop" Stop(stream, code);
        "set-order" SetSendOrder(stream, order);  "set-group" SetSendGroup(stream, group);  "drain" Drain(until);  "close" Close(code, reason);
    }
}

put! {
    /// What the application does.
    put_call(Call) {
        "reject-session" Call::Command(Command::RejectSession(session, head, content))
            => [session, head, Payload(content)];
        "write" Call::Write(stream, chunks) => [stream, Offered(chunks)];
        "read" Call::Read(stream, max, slots) => [stream, max, slots];
        "send-datagram" Call::SendDatagram(stream, payload) => [stream, Payload(payload)];
        "recv-datagram" Call::RecvDatagram(stream) => [stream];
    }
}

put! {
    /// What a call gave.
    put_outcome(Outcome) {
        "stream" Outcome::Command(Ok(Reply::Stream(stream))) => [stream];
        "session" Outcome::Command(Ok(Reply::Session(session))) => [session];
        "ok" Outcome::Command(Ok(Reply::Done)) | Outcome::SendDatagram(Ok(())) => [];
        "took" Outcome::Write(Ok(taken)) => [taken];
        "read" Outcome::Read(Ok(read)) => [read.bytes, read.chunks, read.state];
        "datagram" Outcome::RecvDatagram(Some(len)) => [len];
        "nothing" Outcome::RecvDatagram(None) => [];
        "quic" Outcome::Quic(outcome) | Outcome::Command(Ok(Reply::Quic(outcome))) => [outcome];
        "error" Outcome::Command(Err(error)) => [error];
        "error" Outcome::SendDatagram(Err(error)) => [error];
        "error" Outcome::Write(Err(error)) => [error];
        "error" Outcome::Read(Err(error)) => [error];
    }
}

put! {
    put_command_error(CommandError) as Put {
        "no-connection" CommandError::NoConnection => [];  "gone" CommandError::Gone(Gone::Over) => [];  "unknown" CommandError::Gone(Gone::Unknown) => [];  "no-half" CommandError::Gone(Gone::NoSuchHalf) => [];
        "request" CommandError::Request(error) => [error];
        "open-session" CommandError::OpenSession(error) => [error];
        "open-stream" CommandError::OpenStream(error) => [error];
        "accept" CommandError::Accept(error) => [error];
        "reject" CommandError::Reject(error) => [error];
        "send" CommandError::Send(error) => [error];
        "session" CommandError::Session(error) => [error];
        "reset" CommandError::Reset(error) => [error];
    }
}

put! {
    put_write_error(WriteError) as Put {
        "stopped" WriteError::Stopped(code) => [code];
        "wrong-state" WriteError::WrongState => [];
        "content-length" WriteError::ContentLength => [];  "gone" WriteError::Gone => [];  "finished" WriteError::Finished => [];  "reset" WriteError::Reset => [];
    }
}

put! {
    put_read_error(ReadError) as Put {
        "reset" ReadError::Reset(code) => [code];  "malformed" ReadError::Malformed(why) => [why];
        "gone" ReadError::Gone => [];  "finished" ReadError::Finished => [];  "stopped" ReadError::Stopped => [];
    }
}

/// What the application does.
pub(crate) fn put(line: &mut Line, call: &Call, cx: Cx) {
    match call {
        Call::Command(Command::RejectSession(..)) => put_call(line, call, cx),
        Call::Command(Command::Quic(call)) => quic::put_call(line.word(QUIC), call, cx),
        Call::Command(command) => put_command(line, command, cx),
        _ => put_call(line, call, cx),
    }
}

/// Reads what [`put()`] wrote.
pub(crate) fn get(words: &mut Words<'_>, cx: Cx) -> Result<Call, Malformed> {
    Ok(match words.word()? {
        "write" => Call::Write(Get::get(words, cx)?, read_offered(words)?),
        "read" => {
            let (stream, max) = (Get::get(words, cx)?, words.number()?);
            Call::Read(stream, max, read_slots(words)?)
        }
        "send-datagram" => {
            Call::SendDatagram(Get::get(words, cx)?, read_payload(words, MAX_DATAGRAM)?)
        }
        "recv-datagram" => Call::RecvDatagram(Get::get(words, cx)?),
        "reject-session" => {
            let (session, head) = (Get::get(words, cx)?, Get::get(words, cx)?);
            let content = read_payload(words, MAX_CONTENT)?;
            Call::Command(Command::RejectSession(session, head, content))
        }
        QUIC => Call::Command(Command::Quic(Box::new(quic::get_call(words, cx)?))),
        word => Call::Command(get_command(word, words, cx)?),
    })
}

/// Most chunks of a read.
pub(crate) fn read_slots(words: &mut Words<'_>) -> Result<usize, Malformed> {
    match words.number()? {
        slots if slots > MAX_CHUNKS => Err(Malformed(format!("{slots} is more than {MAX_CHUNKS}"))),
        slots => Ok(slots),
    }
}

/// Bytes that the application hands over: all of them, or as many zeros.
pub(crate) struct Payload<'a>(pub(crate) &'a Bytes);

impl Put for Payload<'_> {
    fn put(&self, line: &mut Line, cx: Cx) {
        match cx.mask {
            Masking::On if !self.0.is_empty() => line.word("").zeros_on(self.0.len() as u64),
            _ => _ = line.bytes(self.0),
        }
    }
}

/// Lengths of the chunks that are offered. What of them was taken is told later.
pub(crate) struct Offered<'a>(pub(crate) &'a [Bytes]);

impl Put for Offered<'_> {
    fn put(&self, line: &mut Line, _: Cx) {
        line.list(self.0.iter().map(Bytes::len));
    }
}

/// As many zeros as were offered, in chunks that take no memory.
pub(crate) fn read_offered(words: &mut Words<'_>) -> Result<Vec<Bytes>, Malformed> {
    let lens = words.list()?;
    let count = lens.len();
    let runs = lens.into_iter().map(|len| Run::Zeros(len as u64));
    pieces(runs)
        .filter(|_| count <= MAX_CHUNKS)
        .ok_or_else(too_much)
}

/// Runs in chunks that take no memory.
pub(crate) fn pieces(runs: impl IntoIterator<Item = Run>) -> Option<Vec<Bytes>> {
    let (mut pieces, mut left) = (Vec::new(), MAX_WRITE as u64);
    for run in runs {
        left = left.checked_sub(run.len())?;
        match run {
            Run::Bytes(bytes) => pieces.push(bytes),
            Run::Zeros(count) => pieces.extend(zeros(count as usize)),
        }
    }
    Some(pieces)
}

pub(crate) fn too_much() -> Malformed {
    Malformed::new("too much in one call")
}

/// So many zeros in pieces.
fn zeros(len: usize) -> impl Iterator<Item = Bytes> {
    let pieces = (0..len).step_by(SHORT);
    pieces.map(move |at| short_zeros((len - at).min(SHORT)))
}

/// Up to [`SHORT`] zeros.
pub(crate) fn short_zeros(len: usize) -> Bytes {
    static ZEROS: [u8; SHORT] = [0; SHORT];
    Bytes::from_static(ZEROS.get(..len).unwrap_or(&ZEROS))
}

/// Bytes in one piece: as many as there are, or one more than `most`.
pub(crate) fn read_payload(words: &mut Words<'_>, most: usize) -> Result<Bytes, Malformed> {
    let mut runs = words.runs()?;
    if let [Run::Bytes(bytes)] = &mut runs[..] {
        return Ok(std::mem::take(bytes));
    }
    let mut payload = BytesMut::new();
    for run in runs {
        let room = most + 1 - payload.len();
        match run {
            Run::Bytes(bytes) => payload.extend_from_slice(bytes.get(..room).unwrap_or(&bytes)),
            Run::Zeros(count) => {
                let count = usize::try_from(count).unwrap_or(room).min(room);
                payload.resize(payload.len() + count, 0);
            }
        }
    }
    Ok(payload.freeze())
}

impl Put for Priority {
    fn put(&self, line: &mut Line, cx: Cx) {
        self.urgency.put(line, cx);
        self.incremental.put(line, cx);
    }
}

impl Get for Priority {
    fn get(words: &mut Words<'_>, cx: Cx) -> Result<Self, Malformed> {
        let (urgency, incremental) = (Get::get(words, cx)?, Get::get(words, cx)?);
        Ok(Self::new(urgency, incremental))
    }
}
