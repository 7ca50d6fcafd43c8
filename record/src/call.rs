//! What an application does with a connection, as words of a recording, and what that
//! gave.

use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::connection::{Call, Command, Outcome, Reply};
use aqueduct_core::id::{Dir, SessionKey, StreamId, StreamKey};
use aqueduct_core::wire::priority::Priority;
use bytes::{Bytes, BytesMut};

use crate::heads::{
    put_answer, put_connect, put_end, put_headers, put_request, put_response, read_answer,
    read_connect, read_end, read_headers, read_request, read_response,
};
use crate::mask::Masking;
use crate::names;
use crate::words::{Line, MAX_BYTES, Malformed, Run, Words};

/// Most chunks that a recorded call may offer or take, so that a short file cannot
/// ask for much memory.
const MAX_CHUNKS: usize = 1 << 12;

/// No datagram is longer. What is refused for its length is refused for this one, too.
const MAX_DATAGRAM: usize = 1 << 16;

/// Longest content of a refusal that is given again.
const MAX_CONTENT: usize = 1 << 20;

/// Most bytes that a recorded call may write.
const MAX_WRITE: u64 = 1 << 26;

/// Nanoseconds since the recording began.
pub(crate) fn nanos(epoch: Instant, at: Instant) -> u64 {
    let since = at.saturating_duration_since(epoch).as_nanos();
    u64::try_from(since).unwrap_or(u64::MAX)
}

/// The time that [`nanos`] gave a number for; times beyond a century count as one.
pub(crate) fn instant(epoch: Instant, nanos: u64) -> Instant {
    epoch + Duration::from_nanos(nanos.min(3_155_760_000_000_000_000))
}

/// Stream id and table slot.
fn put_key(line: &mut Line, key: StreamKey) {
    line.show(format_args!("{}/{}", key.id(), key.slot()));
}

fn read_key(words: &mut Words<'_>) -> Result<StreamKey, Malformed> {
    let wrong = || Malformed::new("not the key of a stream");
    let (id, slot) = words.word()?.split_once('/').ok_or_else(wrong)?;
    let id = StreamId::from_wire(id.parse()?).ok_or_else(wrong)?;
    let slot = slot.parse()?;
    Ok(StreamKey::new(id, slot))
}

pub(crate) fn read_dir(words: &mut Words<'_>) -> Result<Dir, Malformed> {
    match words.word()? {
        "bi" => Ok(Dir::Bi),
        "uni" => Ok(Dir::Uni),
        _ => Err(Malformed::new("neither bi nor uni")),
    }
}

fn read_len(words: &mut Words<'_>, max: usize) -> Result<usize, Malformed> {
    let len = words.number()?;
    if len > max {
        return Err(Malformed(format!("{len} is more than {max}")));
    }
    Ok(len)
}

/// Bytes that the application hands over: all of them, or as many zeros.
fn put_bytes(line: &mut Line, bytes: &[u8], mask: Masking) {
    match mask {
        Masking::Off => {
            line.bytes(bytes);
        }
        Masking::On if bytes.is_empty() => {
            line.word("-");
        }
        Masking::On => line.word("").zeros_on(bytes.len() as u64),
    }
}

/// Bytes in as many pieces as it takes for zeros to take no memory.
fn read_chunks(words: &mut Words<'_>, into: &mut Vec<Bytes>) -> Result<(), Malformed> {
    let mut left = MAX_WRITE;
    for run in words.runs()? {
        let len = match &run {
            Run::Bytes(bytes) => bytes.len() as u64,
            Run::Zeros(count) => *count,
        };
        left = left
            .checked_sub(len)
            .ok_or_else(|| Malformed::new("too much in one call"))?;
        match run {
            Run::Bytes(bytes) => into.push(bytes),
            Run::Zeros(count) => into.extend(zeros(count)),
        }
    }
    Ok(())
}

/// So many zeros, all in the same memory.
fn zeros(count: u64) -> impl Iterator<Item = Bytes> {
    let pieces = count / MAX_BYTES;
    let whole = (0..pieces).map(|_| short_zeros(MAX_BYTES as usize));
    let rest = (count % MAX_BYTES) as usize;
    whole.chain((rest > 0).then(|| short_zeros(rest)))
}

/// Up to [`MAX_BYTES`] zeros.
pub(crate) fn short_zeros(len: usize) -> Bytes {
    static ZEROS: [u8; MAX_BYTES as usize] = [0; MAX_BYTES as usize];
    Bytes::from_static(ZEROS.get(..len).unwrap_or(&ZEROS))
}

/// Bytes in one piece: as many as there are, or one more than `most`.
fn read_payload(words: &mut Words<'_>, most: usize) -> Result<Bytes, Malformed> {
    let mut chunks = Vec::new();
    read_chunks(words, &mut chunks)?;
    if chunks.len() == 1 {
        return Ok(chunks.remove(0));
    }
    let mut payload = BytesMut::new();
    for mut chunk in chunks {
        chunk.truncate(most + 1 - payload.len());
        payload.extend_from_slice(&chunk);
    }
    Ok(payload.freeze())
}

/// What the application does.
pub(crate) fn put(line: &mut Line, call: &Call, epoch: Instant, mask: Masking) {
    let mut on = |name: &str, stream: StreamKey| put_key(line.word(name), stream);
    match call {
        Call::Command(command) => put_command(line, command, epoch, mask),
        Call::Write(stream, chunks) => {
            on("write", *stream);
            for chunk in chunks {
                put_bytes(line, chunk, mask);
            }
        }
        Call::Read(stream, max, slots) => {
            on("read", *stream);
            line.show(max).show(slots);
        }
        Call::SendDatagram(stream, payload) => {
            on("send-datagram", *stream);
            put_bytes(line, payload, mask);
        }
        Call::RecvDatagram(stream) => on("recv-datagram", *stream),
        _ => {
            line.word("other");
        }
    }
}

fn put_command(line: &mut Line, command: &Command, epoch: Instant, mask: Masking) {
    let mut on = |name: &str, stream: StreamKey| put_key(line.word(name), stream);
    match command {
        Command::Request(head, end) => {
            put_end(line.word("request"), *end);
            put_request(line, head, mask);
        }
        Command::Respond(stream, head, end) => {
            on("respond", *stream);
            put_end(line, *end);
            put_response(line, head, mask);
        }
        Command::Trailers(stream, trailers) => {
            on("trailers", *stream);
            put_headers(line, trailers, mask);
        }
        Command::SetPriority(stream, priority) => {
            on("set-priority", *stream);
            line.show(priority.urgency).show(priority.incremental);
        }
        Command::OpenSession(request) => put_connect(line.word("open-session"), request, mask),
        Command::AcceptSession(session, answer) => {
            on("accept-session", session.stream());
            put_answer(line, answer, mask);
        }
        Command::RejectSession(session, head, content) => {
            on("reject-session", session.stream());
            put_response(line, head, mask);
            put_bytes(line, content, mask);
        }
        Command::DrainSession(session) => on("drain-session", session.stream()),
        Command::CloseSession(session, code, reason) => {
            on("close-session", session.stream());
            line.show(code).text(&mask.text(reason.as_bytes()));
        }
        Command::OpenStream(session, way) => {
            on("open-stream", session.stream());
            line.word(names::dir(*way));
        }
        Command::EnableDatagrams(stream) => on("enable-datagrams", *stream),
        Command::Drain(until) => {
            line.word("drain").show(nanos(epoch, *until));
        }
        Command::Close(code, reason) => {
            line.word("close").show(code.value());
            line.text(&mask.text(reason));
        }
        Command::Finish(stream) => on("finish", *stream),
        Command::Reset(stream, code) => {
            on("reset", *stream);
            line.show(code);
        }
        Command::SetSendOrder(stream, order) => {
            on("set-order", *stream);
            line.show(order);
        }
        Command::SetSendGroup(stream, group) => {
            on("set-group", *stream);
            line.show(group);
        }
        Command::Stop(stream, code) => {
            on("stop", *stream);
            line.show(code);
        }
        _ => {
            line.word("other");
        }
    }
}

/// Reads what [`put`] wrote.
pub(crate) fn read(words: &mut Words<'_>, epoch: Instant) -> Result<Call, Malformed> {
    let name = words.word()?;
    Ok(match name {
        "write" => {
            let (stream, mut chunks) = (read_key(words)?, Vec::new());
            let mut written = 0_u64;
            while !words.is_empty() {
                let before = chunks.len();
                read_chunks(words, &mut chunks)?;
                let new = chunks.iter().skip(before);
                written += new.map(|chunk| chunk.len() as u64).sum::<u64>();
                if written > MAX_WRITE || chunks.len() > MAX_CHUNKS {
                    return Err(Malformed::new("too much in one call"));
                }
            }
            Call::Write(stream, chunks)
        }
        "read" => {
            let stream = read_key(words)?;
            Call::Read(stream, words.number()?, read_len(words, MAX_CHUNKS)?)
        }
        "send-datagram" => Call::SendDatagram(read_key(words)?, read_payload(words, MAX_DATAGRAM)?),
        "recv-datagram" => Call::RecvDatagram(read_key(words)?),
        name => Call::Command(read_command(name, words, epoch)?),
    })
}

fn read_command(name: &str, words: &mut Words<'_>, epoch: Instant) -> Result<Command, Malformed> {
    let session = |words: &mut Words<'_>| read_key(words).map(SessionKey::new);
    Ok(match name {
        "request" => {
            let end = read_end(words)?;
            Command::Request(Box::new(read_request(words)?), end)
        }
        "respond" => {
            let (stream, end) = (read_key(words)?, read_end(words)?);
            Command::Respond(stream, Box::new(read_response(words)?), end)
        }
        "trailers" => Command::Trailers(read_key(words)?, Box::new(read_headers(words)?)),
        "set-priority" => Command::SetPriority(
            read_key(words)?,
            Priority {
                urgency: words.number()?,
                incremental: words.word()? == "true",
            },
        ),
        "open-session" => Command::OpenSession(Box::new(read_connect(words)?)),
        "accept-session" => Command::AcceptSession(session(words)?, Box::new(read_answer(words)?)),
        "reject-session" => Command::RejectSession(
            session(words)?,
            Box::new(read_response(words)?),
            read_payload(words, MAX_CONTENT)?,
        ),
        "drain-session" => Command::DrainSession(session(words)?),
        "close-session" => Command::CloseSession(session(words)?, words.number()?, words.string()?),
        "open-stream" => Command::OpenStream(session(words)?, read_dir(words)?),
        "enable-datagrams" => Command::EnableDatagrams(read_key(words)?),
        "drain" => Command::Drain(instant(epoch, words.number()?)),
        "close" => {
            let code = Code::new(words.number()?);
            Command::Close(code, words.text()?.into())
        }
        "finish" => Command::Finish(read_key(words)?),
        "reset" => Command::Reset(read_key(words)?, words.number()?),
        "set-order" => Command::SetSendOrder(read_key(words)?, words.number()?),
        "set-group" => Command::SetSendGroup(read_key(words)?, words.number()?),
        "stop" => Command::Stop(read_key(words)?, words.number()?),
        _ => return Err(Malformed(format!("unknown call {name:?}"))),
    })
}

/// What a call gave.
pub(crate) fn put_outcome(line: &mut Line, outcome: Outcome) {
    match outcome {
        Outcome::Command(Ok(Reply::Stream(stream))) => put_key(line.word("stream"), stream),
        Outcome::Command(Ok(Reply::Session(session))) => {
            put_key(line.word("session"), session.stream());
        }
        Outcome::Command(Ok(_)) | Outcome::SendDatagram(Ok(())) => {
            line.word("ok");
        }
        Outcome::Command(Err(error)) => {
            line.word("error").word(names::command(error));
        }
        Outcome::Write(Ok(taken)) => {
            line.word("took").show(taken);
        }
        Outcome::Write(Err(error)) => names::put_write(line.word("error"), error),
        Outcome::Read(Ok(read)) => {
            line.word("read").show(read.bytes).show(read.chunks);
            line.word(crate::trace::state(read.state));
        }
        Outcome::Read(Err(error)) => names::put_read(line.word("error"), error),
        Outcome::SendDatagram(Err(error)) => {
            line.word("error").word(names::datagram(error));
        }
        Outcome::RecvDatagram(len) => {
            line.word("datagram").option(len);
        }
        _ => {
            line.word("other");
        }
    }
}
