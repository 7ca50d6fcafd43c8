//! What goes in from QUIC and what comes out for the application, as words of a
//! recording: transport events, which are read back, and events, which are only
//! compared.

use bytes::Bytes;

use aqueduct_core::code::Code;
use aqueduct_core::error::{CloseReason, PeerCode, TransportFailure};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::id::{StreamId, StreamKey};
use aqueduct_core::transport::{EarlyData, ReadState, TransportEvent};
use aqueduct_core::webtransport::{SessionClose, SessionEvent};
use aqueduct_core::wire::fields::FieldSection;

use crate::call::read_dir;
use crate::heads::{put_answer, put_connect, put_section};
use crate::mask::Masking;
use crate::names::{OTHER, dir, violation};
use crate::words::{Line, Malformed, Words};

/// What follows the bytes of a read.
pub(crate) fn state(state: ReadState) -> &'static str {
    match state {
        ReadState::Open => "open",
        ReadState::Blocked => "blocked",
        ReadState::Finished => "finished",
    }
}

fn put_reason(line: &mut Line, reason: &[u8], mask: Masking) {
    line.text(&mask.text(reason));
}

pub(crate) fn read_stream(words: &mut Words<'_>) -> Result<StreamId, Malformed> {
    let id = words.number()?;
    StreamId::from_wire(id).ok_or_else(|| Malformed(format!("{id} is no stream id")))
}

/// What became of early data follows if there was any.
fn put_connected(line: &mut Line, early: EarlyData) -> &mut Line {
    line.word("connected");
    match early {
        EarlyData::None => line,
        EarlyData::Accepted => line.word("accepted"),
        EarlyData::Rejected => line.word("rejected"),
        _ => line.word(OTHER),
    }
}

pub(crate) fn put_input(line: &mut Line, event: &TransportEvent, mask: Masking) {
    match event {
        TransportEvent::Connected { early } => put_connected(line, *early),
        TransportEvent::Opened(way) => line.word("opened").word(dir(*way)),
        TransportEvent::Available(way) => line.word("available").word(dir(*way)),
        TransportEvent::Readable(id) => line.word("readable").show(id),
        TransportEvent::Writable(id) => line.word("writable").show(id),
        TransportEvent::Finished(id) => line.word("finished").show(id),
        TransportEvent::Stopped(id, code) => line.word("stopped").show(id).show(code),
        TransportEvent::Datagrams => line.word("datagrams"),
        TransportEvent::DatagramsUnblocked => line.word("datagrams-unblocked"),
        TransportEvent::Closed(reason) => {
            line.word("closed");
            put_close(line, reason, mask);
            line
        }
    };
}

pub(crate) fn read_input(words: &mut Words<'_>) -> Result<TransportEvent, Malformed> {
    let name = words.word()?;
    Ok(match name {
        "connected" => TransportEvent::Connected {
            early: match words.maybe().unwrap_or_default() {
                "accepted" => EarlyData::Accepted,
                "rejected" => EarlyData::Rejected,
                _ => EarlyData::None,
            },
        },
        "opened" => TransportEvent::Opened(read_dir(words)?),
        "available" => TransportEvent::Available(read_dir(words)?),
        "readable" => TransportEvent::Readable(read_stream(words)?),
        "writable" => TransportEvent::Writable(read_stream(words)?),
        "finished" => TransportEvent::Finished(read_stream(words)?),
        "stopped" => TransportEvent::Stopped(read_stream(words)?, words.number()?),
        "datagrams" => TransportEvent::Datagrams,
        "datagrams-unblocked" => TransportEvent::DatagramsUnblocked,
        "closed" => TransportEvent::Closed(read_close(words)?),
        _ => return Err(Malformed(format!("unknown input {name:?}"))),
    })
}

fn put_close(line: &mut Line, reason: &CloseReason, mask: Masking) {
    match reason {
        CloseReason::Local { code, reason } => {
            put_reason(line.word("local").show(code.value()), reason, mask);
        }
        CloseReason::PeerMisbehaved { code, why } => {
            line.word("misbehaved")
                .show(code.value())
                .word(violation(*why));
        }
        CloseReason::Remote { code, reason } => {
            put_reason(line.word("remote").show(code.value()), reason, mask);
        }
        CloseReason::Drained => {
            line.word("drained");
        }
        CloseReason::Transport(failure) => put_failure(line, failure, mask),
        _ => {
            line.word(OTHER);
        }
    }
}

fn put_failure(line: &mut Line, failure: &TransportFailure, mask: Masking) {
    match failure {
        TransportFailure::TimedOut => {
            line.word("timed-out");
        }
        TransportFailure::Reset => {
            line.word("reset");
        }
        TransportFailure::VersionMismatch => {
            line.word("version-mismatch");
        }
        TransportFailure::CidsExhausted => {
            line.word("cids-exhausted");
        }
        TransportFailure::ClosedByPeer { code, reason } => {
            put_reason(line.word("closed-by-peer").show(code), reason, mask);
        }
        TransportFailure::Error { code, reason } => {
            // What QUIC says are constants; what TLS says can name who was
            // refused, and comes with the code of an alert or this prefix.
            let tls = (0x100..0x200).contains(code) || reason.starts_with("TLS error");
            let mask = if tls { mask } else { Masking::Off };
            put_reason(line.word("error").show(code), reason.as_bytes(), mask);
        }
        _ => {
            line.word(OTHER);
        }
    }
}

/// Only what a transport tells.
fn read_close(words: &mut Words<'_>) -> Result<CloseReason, Malformed> {
    let name = words.word()?;
    Ok(CloseReason::Transport(match name {
        "local" => {
            return Ok(CloseReason::Local {
                code: Code::new(words.number()?),
                reason: Bytes::new(),
            });
        }
        "remote" => {
            return Ok(CloseReason::Remote {
                code: Code::new(words.number()?),
                reason: Bytes::from(words.text()?),
            });
        }
        "timed-out" => TransportFailure::TimedOut,
        "reset" => TransportFailure::Reset,
        "version-mismatch" => TransportFailure::VersionMismatch,
        "cids-exhausted" => TransportFailure::CidsExhausted,
        "closed-by-peer" => TransportFailure::ClosedByPeer {
            code: words.number()?,
            reason: Bytes::from(words.text()?),
        },
        "error" => TransportFailure::Error {
            code: words.number()?,
            reason: words.string()?,
        },
        _ => return Err(Malformed(format!("unknown end {name:?}"))),
    }))
}

/// An event that the application takes.
pub(crate) fn put_event(line: &mut Line, event: &Event, mask: Masking) {
    match event {
        Event::Connected { early } => {
            put_connected(line, *early);
        }
        Event::Settings(settings) => {
            line.word("settings");
            for (id, value) in settings.iter() {
                line.show(format_args!("{:#x}={value}", id.0));
            }
        }
        Event::Draining { by } => {
            line.word("draining").show(by);
        }
        Event::Closed(reason) => put_close(line.word("closed"), reason, mask),
        Event::Available(way) => {
            line.word("available").word(dir(*way));
        }
        Event::Request {
            stream,
            head,
            early,
        } => {
            let name = if *early { "early-request" } else { "request" };
            put_head(line, name, stream, head.fields(), mask);
        }
        Event::Interim { stream, head } => put_head(line, "interim", stream, head.fields(), mask),
        Event::Response { stream, head } => put_head(line, "response", stream, head.fields(), mask),
        Event::Trailers { stream, trailers } => {
            put_head(line, "trailers", stream, trailers.fields(), mask);
        }
        Event::Stream(stream, event) => {
            line.word("stream").show(stream.id());
            put_stream_event(line, event);
        }
        Event::WebTransport(session, event) => {
            line.word("session").show(session.id());
            put_session_event(line, event, mask);
        }
        _ => {
            line.word(OTHER);
        }
    }
}

fn put_head(line: &mut Line, name: &str, stream: &StreamKey, fields: &FieldSection, mask: Masking) {
    line.word(name).show(stream.id());
    put_section(line, fields, mask);
}

fn put_stream_event(line: &mut Line, event: &StreamEvent) {
    let mut coded = |name: &str, code: &PeerCode| {
        line.word(name).show(code.wire.value());
    };
    match event {
        StreamEvent::Stopped(code) => coded("stopped", code),
        StreamEvent::Reset(code) => coded("reset", code),
        StreamEvent::Malformed(why) => {
            line.word("malformed").word(violation(*why));
        }
        StreamEvent::Readable => {
            line.word("readable");
        }
        StreamEvent::Writable => {
            line.word("writable");
        }
        StreamEvent::Delivered => {
            line.word("delivered");
        }
        StreamEvent::Unprocessed => {
            line.word("unprocessed");
        }
        StreamEvent::Datagrams => {
            line.word("datagrams");
        }
        StreamEvent::DatagramsUnblocked => {
            line.word("datagrams-unblocked");
        }
        StreamEvent::SessionGone => {
            line.word("session-gone");
        }
        _ => {
            line.word(OTHER);
        }
    }
}

fn put_session_event(line: &mut Line, event: &SessionEvent, mask: Masking) {
    match event {
        SessionEvent::Requested(request) => put_connect(line.word("requested"), request, mask),
        SessionEvent::Established(answer) => put_answer(line.word("established"), answer, mask),
        SessionEvent::Rejected { answer, .. } => put_answer(line.word("rejected"), answer, mask),
        SessionEvent::Opened { stream, dir: way } => {
            line.word("opened").show(stream.id()).word(dir(*way));
        }
        SessionEvent::StreamsAvailable(way) => {
            line.word("streams-available").word(dir(*way));
        }
        SessionEvent::Datagrams => {
            line.word("datagrams");
        }
        SessionEvent::DatagramsUnblocked => {
            line.word("datagrams-unblocked");
        }
        SessionEvent::Draining => {
            line.word("draining");
        }
        SessionEvent::Closed(close) => put_session_close(line, close, mask),
        _ => {
            line.word(OTHER);
        }
    }
}

fn put_session_close(line: &mut Line, close: &SessionClose, mask: Masking) {
    match close {
        SessionClose::Closed { by, code, reason } => {
            line.word("closed").show(by).show(code);
            put_reason(line, reason.as_bytes(), mask);
        }
        SessionClose::Reset(code) => {
            line.word("reset").show(code.value());
        }
        SessionClose::PeerMisbehaved { code, why } => {
            line.word("misbehaved")
                .show(code.value())
                .word(violation(*why));
        }
        SessionClose::Unprocessed => {
            line.word("unprocessed");
        }
        SessionClose::Connection(reason) => put_close(line.word("connection"), reason, mask),
        _ => {
            line.word(OTHER);
        }
    }
}
