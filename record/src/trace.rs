//! What goes in from QUIC and what comes out for the application, as words of a
//! recording: transport events, which are read back, and events, which are only
//! compared.

use aqueduct_core::error::{CloseReason, TransportFailure};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::settings::{SettingId, Settings};
use aqueduct_core::transport::{EarlyData, ReadState, StreamGone, TransportEvent};
use aqueduct_core::varint::VarInt;
use aqueduct_core::webtransport::{SessionClose, SessionEvent};

use crate::mask::Masking;
use crate::quic::{ABOUT, Places, get_about};
use crate::value::{Cx, Get, Put, both, named, put};
use crate::words::{Line, Malformed, Words};

named! {
    ReadState { "open" Open "blocked" Blocked "finished" Finished }
    EarlyData { "none" None "accepted" Accepted "rejected" Rejected }
}

both! {
    put_gone get_gone StreamGone as Put {
        "reset" Reset { code, final_size };  "stopped" Stopped(code);  "unknown" Unknown;
    }
}

both! {
    put_common get_common TransportEvent {
        "early" Early { remembered };  "connected" Connected { early };  "opened" Opened(way);  "available" Available(way);
        "readable" Readable(id);  "writable" Writable(id);  "finished" Finished(id);
        "stopped" Stopped(id, code);  "datagrams" Datagrams;
        "datagrams-unblocked" DatagramsUnblocked;  "ticket" Ticket;  "closed" Closed(reason);
        "streams-blocked" StreamsBlocked(way);
    }
}

/// What QUIC tells. What is known of a connection depends on what was known before.
pub(crate) fn put_input(
    line: &mut Line,
    event: &TransportEvent,
    places: Option<&mut Places>,
    cx: Cx,
) {
    match (event, places) {
        (TransportEvent::About(about), Some(places)) => places.put_about(line, about, cx),
        _ => put_common(line, event, cx),
    }
}

/// Reads what [`put_input`] wrote.
pub(crate) fn get_input(words: &mut Words<'_>, cx: Cx) -> Result<TransportEvent, Malformed> {
    match words.word()? {
        ABOUT => Ok(TransportEvent::About(Box::new(get_about(words, cx)?))),
        word => get_common(word, words, cx),
    }
}

both! {
    put_close get_close CloseReason as Put {
        "local" Local { code, reason };  "misbehaved" PeerMisbehaved { code, why };
        "remote" Remote { code, reason };  "drained" Drained;  "peer-drained" PeerDrained;  "quic" Transport(failure);
    }
}

both! {
    put_failure get_failure TransportFailure {
        "timed-out" TimedOut;  "send-failed" SendFailed(error);  "reset" Reset;  "version-mismatch" VersionMismatch;
        "cids-exhausted" CidsExhausted;  "closed-by-peer" ClosedByPeer { code, reason };
        "error" Error { code, reason };
    }
}

put! {
    /// An event that the application takes.
    put_event(Event) {
        "connected" Event::Connected { early } => [early];
        "settings" Event::Settings(settings) => [settings];
        "draining" Event::Draining { by } => [by];
        "closed" Event::Closed(reason) => [reason];
        "available" Event::Available(way) => [way];  "ticket" Event::Ticket => [];
        "early-request" Event::Request { stream, head, early: true } => [stream, head.fields()];
        "request" Event::Request { stream, head, .. } => [stream, head.fields()];
        "interim" Event::Interim { stream, head } => [stream, head.fields()];
        "response" Event::Response { stream, head } => [stream, head.fields()];
        "trailers" Event::Trailers { stream, trailers } => [stream, trailers.fields()];
        "claimed" Event::Claimed { stream, ty } => [stream, ty];  "stream" Event::Stream(stream, event) => [stream, event];
        "session" Event::WebTransport(session, event) => [session, event];
        "quic" Event::Quic(event) => [event];
    }
}

put! {
    put_stream_event(StreamEvent) as Put {
        "readable" StreamEvent::Readable => [];  "writable" StreamEvent::Writable => [];
        "delivered" StreamEvent::Delivered => [];
        "stopped" StreamEvent::Stopped(code) => [code];
        "reset" StreamEvent::Reset(code) => [code];
        "unprocessed" StreamEvent::Unprocessed => [];  "early-rejected" StreamEvent::EarlyDataRejected => [];
        "malformed" StreamEvent::Malformed(why) => [why];
        "datagrams" StreamEvent::Datagrams => [];
        "datagrams-unblocked" StreamEvent::DatagramsUnblocked => [];
        "session-gone" StreamEvent::SessionGone => [];
    }
}

put! {
    put_session_event(SessionEvent) as Put {
        "requested" SessionEvent::Requested(request) => [request];  "forbidden" SessionEvent::Forbidden(request) => [request];
        "established" SessionEvent::Established(answer) => [answer];
        "rejected" SessionEvent::Rejected { answer, .. } => [answer];
        "opened" SessionEvent::Opened { stream, dir } => [stream, dir];
        "streams-available" SessionEvent::StreamsAvailable(way) => [way];
        "datagrams" SessionEvent::Datagrams => [];
        "datagrams-unblocked" SessionEvent::DatagramsUnblocked => [];
        "draining" SessionEvent::Draining => [];  "closed" SessionEvent::Closed(close) => [close];
    }
}

put! {
    put_session_close(SessionClose) as Put {
        "by" SessionClose::Closed { by, code, reason } => [by, code, reason];
        "reset" SessionClose::Reset(code) => [code];
        "misbehaved" SessionClose::PeerMisbehaved { code, why } => [code, why];
        "unprocessed" SessionClose::Unprocessed => [];
        "connection" SessionClose::Connection(reason) => [reason];
    }
}

impl Put for TransportFailure {
    fn put(&self, line: &mut Line, mut cx: Cx) {
        // What QUIC says are constants; what TLS says can name who was refused, and
        // comes with the code of an alert or this prefix.
        if let Self::Error { code, reason } = self
            && !(0x100..0x200).contains(code)
            && !reason.starts_with("TLS error")
        {
            cx.mask = Masking::Off;
        }
        put_failure(line, self, cx);
    }
}

impl Put for Settings {
    fn put(&self, line: &mut Line, _: Cx) {
        for (id, value) in self.iter() {
            line.show(format_args!("{:#x}={value}", id.0));
        }
    }
}

/// How many there are, and each; `-` for none at all.
impl Put for Option<Box<Settings>> {
    fn put(&self, line: &mut Line, cx: Cx) {
        match self {
            Some(settings) => settings.put(line.show(settings.iter().len()), cx),
            None => _ = line.word("-"),
        }
    }
}

impl Get for Option<Box<Settings>> {
    fn get(words: &mut Words<'_>, _: Cx) -> Result<Self, Malformed> {
        let Some(count) = words.option::<usize>()? else {
            return Ok(None);
        };
        let wrong = || Malformed::new("not a setting");
        let mut settings = Settings::new();
        for _ in 0..count {
            let (id, value) = words.word()?.split_once('=').ok_or_else(wrong)?;
            let id = id.strip_prefix("0x").ok_or_else(wrong)?;
            let id = SettingId(u64::from_str_radix(id, 16)?);
            let value = VarInt::new(value.parse()?).map_err(|_| wrong())?;
            settings.set(id, value).map_err(|_| wrong())?;
        }
        Ok(Some(Box::new(settings)))
    }
}
