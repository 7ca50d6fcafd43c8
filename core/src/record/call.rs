//! What an application does with a connection, as data: the calls that a
//! recording holds and a replay makes again.

use std::time::{Duration, Instant};

use http::HeaderMap;

use super::heads::{
    put_answer, put_connect, put_end, put_headers, put_request, put_response, read_answer,
    read_connect, read_end, read_headers, read_request, read_response,
};
use super::mask::Mask;
use super::words::{Line, Malformed, Words};
use crate::code::Code;
use crate::head::{ConnectAnswer, ConnectRequest, End, RequestHead, ResponseHead};
use crate::id::{Dir, SessionKey, StreamId, StreamKey};
use crate::wire::priority::Priority;

/// Most chunks that a recorded call may offer or take, so that a short file cannot
/// ask for much memory.
const MAX_CHUNKS: usize = 1 << 12;

/// Most bytes that a recorded call may write, and that one read gives. The bytes
/// themselves are not recorded, or are zeros.
pub(crate) const MAX_CHUNK: usize = 1 << 26;

/// One call of a method of `Access`, or of a half of a stream. Of bytes that
/// are written there is only the length.
#[derive(Debug)]
pub(crate) enum Call {
    Request(Box<RequestHead>, End),
    Respond(StreamKey, Box<ResponseHead>, End),
    Trailers(StreamKey, Box<HeaderMap>),
    SetPriority(StreamKey, Priority),
    OpenSession(Box<ConnectRequest>),
    AcceptSession(SessionKey, Box<ConnectAnswer>),
    RejectSession(SessionKey, Box<ResponseHead>, usize),
    DrainSession(SessionKey),
    CloseSession(SessionKey, u32, String),
    OpenStream(SessionKey, Dir),
    EnableDatagrams(StreamKey),
    SendDatagram(StreamKey, usize),
    RecvDatagram(StreamKey),
    Drain(Instant),
    Close(Code),
    Write(StreamKey, Vec<usize>),
    Finish(StreamKey),
    Reset(StreamKey, u64),
    Reorder(StreamKey, Option<i32>, Option<u32>),
    Read(StreamKey, usize, usize),
    Stop(StreamKey, u64),
}

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
    line.show(format_args!("{}/{}", key.id, key.slot));
}

fn read_key(words: &mut Words<'_>) -> Result<StreamKey, Malformed> {
    let wrong = || Malformed::new("not the key of a stream");
    let (id, slot) = words.word()?.split_once('/').ok_or_else(wrong)?;
    let id = StreamId::from_wire(id.parse()?).ok_or_else(wrong)?;
    let slot = slot.parse()?;
    Ok(StreamKey { slot, id })
}

pub(super) fn dir(dir: Dir) -> &'static str {
    match dir {
        Dir::Bi => "bi",
        Dir::Uni => "uni",
    }
}

pub(super) fn read_dir(words: &mut Words<'_>) -> Result<Dir, Malformed> {
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

impl Call {
    pub(super) fn put(&self, line: &mut Line, epoch: Instant, mask: Option<&Mask>) {
        let mut on = |name: &str, stream: StreamKey| put_key(line.word(name), stream);
        match self {
            Self::Request(head, end) => {
                put_end(line.word("request"), *end);
                put_request(line, head, mask);
            }
            Self::Respond(stream, head, end) => {
                on("respond", *stream);
                put_end(line, *end);
                put_response(line, head, mask);
            }
            Self::Trailers(stream, trailers) => {
                on("trailers", *stream);
                put_headers(line, trailers, mask);
            }
            Self::SetPriority(stream, priority) => {
                on("set-priority", *stream);
                line.show(priority.urgency).show(priority.incremental);
            }
            Self::OpenSession(request) => put_connect(line.word("open-session"), request, mask),
            Self::AcceptSession(session, answer) => {
                on("accept-session", session.0);
                put_answer(line, answer, mask);
            }
            Self::RejectSession(session, head, len) => {
                on("reject-session", session.0);
                put_response(line, head, mask);
                line.show(len);
            }
            Self::DrainSession(session) => on("drain-session", session.0),
            Self::CloseSession(session, code, reason) => {
                on("close-session", session.0);
                let masked = mask.map(|mask| mask.text(reason.as_bytes()));
                let reason = masked.as_deref().unwrap_or(reason.as_bytes());
                line.show(code).text(reason);
            }
            Self::OpenStream(session, way) => {
                on("open-stream", session.0);
                line.word(dir(*way));
            }
            Self::EnableDatagrams(stream) => on("enable-datagrams", *stream),
            Self::SendDatagram(stream, len) => {
                on("send-datagram", *stream);
                line.show(len);
            }
            Self::RecvDatagram(stream) => on("recv-datagram", *stream),
            Self::Drain(until) => {
                line.word("drain").show(nanos(epoch, *until));
            }
            Self::Close(code) => {
                line.word("close").show(code.value());
            }
            Self::Write(stream, chunks) => {
                on("write", *stream);
                line.list(chunks.iter().copied());
            }
            Self::Finish(stream) => on("finish", *stream),
            Self::Reset(stream, code) => {
                on("reset", *stream);
                line.show(code);
            }
            Self::Reorder(stream, order, group) => {
                on("reorder", *stream);
                line.option(*order).option(*group);
            }
            Self::Read(stream, max, slots) => {
                on("read", *stream);
                line.show(max).show(slots);
            }
            Self::Stop(stream, code) => {
                on("stop", *stream);
                line.show(code);
            }
        }
    }

    pub(crate) fn read(words: &mut Words<'_>, epoch: Instant) -> Result<Self, Malformed> {
        let name = words.word()?;
        Ok(match name {
            "request" => {
                let end = read_end(words)?;
                Self::Request(Box::new(read_request(words)?), end)
            }
            "respond" => {
                let (stream, end) = (read_key(words)?, read_end(words)?);
                Self::Respond(stream, Box::new(read_response(words)?), end)
            }
            "trailers" => Self::Trailers(read_key(words)?, Box::new(read_headers(words)?)),
            "set-priority" => Self::SetPriority(
                read_key(words)?,
                Priority {
                    urgency: words.number()?,
                    incremental: words.word()? == "true",
                },
            ),
            "open-session" => Self::OpenSession(Box::new(read_connect(words)?)),
            "accept-session" => {
                let session = SessionKey(read_key(words)?);
                Self::AcceptSession(session, Box::new(read_answer(words)?))
            }
            "reject-session" => Self::RejectSession(
                SessionKey(read_key(words)?),
                Box::new(read_response(words)?),
                read_len(words, MAX_CHUNK)?,
            ),
            "drain-session" => Self::DrainSession(SessionKey(read_key(words)?)),
            "close-session" => {
                let session = SessionKey(read_key(words)?);
                Self::CloseSession(session, words.number()?, words.string()?)
            }
            "open-stream" => Self::OpenStream(SessionKey(read_key(words)?), read_dir(words)?),
            "enable-datagrams" => Self::EnableDatagrams(read_key(words)?),
            "send-datagram" => Self::SendDatagram(read_key(words)?, read_len(words, MAX_CHUNK)?),
            "recv-datagram" => Self::RecvDatagram(read_key(words)?),
            "drain" => Self::Drain(instant(epoch, words.number()?)),
            "close" => Self::Close(Code::new(words.number()?)),
            "write" => {
                let (stream, chunks) = (read_key(words)?, words.list()?);
                let sum = chunks
                    .iter()
                    .fold(0_usize, |sum, len| sum.saturating_add(*len));
                if chunks.len() > MAX_CHUNKS || sum > MAX_CHUNK {
                    return Err(Malformed::new("too much in one write"));
                }
                Self::Write(stream, chunks)
            }
            "finish" => Self::Finish(read_key(words)?),
            "reset" => Self::Reset(read_key(words)?, words.number()?),
            "reorder" => Self::Reorder(read_key(words)?, words.option()?, words.option()?),
            "read" => {
                let stream = read_key(words)?;
                Self::Read(stream, words.number()?, read_len(words, MAX_CHUNKS)?)
            }
            "stop" => Self::Stop(read_key(words)?, words.number()?),
            _ => return Err(Malformed(format!("unknown call {name:?}"))),
        })
    }
}
