//! Connections of raw QUIC as words of a recording: configuration, what is known of the peer,
//! calls and what they gave, events.
//!
//! What streams and datagrams hold is the application's own: without secrets their bytes are
//! counted and not kept. Addresses are never kept, only that they changed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use aqueduct_core::connection::quic::{QuicCall, QuicError, QuicOutcome};
use aqueduct_core::quic::{
    About, Blocked, CloseError, Config, ConfirmError, DatagramError, Event, ReadError, Shutdown,
    ShutdownError, Start, StartError, StreamClosed, StreamEvent, WriteError,
};

use crate::call::{MAX_DATAGRAM, Offered, Payload, read_offered, read_payload, read_slots};
use crate::value::{Cx, Get, Put, named, put};
use crate::words::{Line, Malformed, Words};

/// The word before a configuration of raw QUIC; HTTP/3's has none.
pub(crate) const QUIC: &str = "quic";

/// Words for fields: they stay when a field is renamed.
macro_rules! fields {
    ($($word:literal $field:ident;)*) => {
        impl Put for Config {
            fn put(&self, line: &mut Line, cx: Cx) {
                $(self.$field.put(line.word($word), cx);)*
            }
        }

        /// Fields that are not named have their default.
        impl Get for Config {
            fn get(words: &mut Words<'_>, cx: Cx) -> Result<Self, Malformed> {
                let mut config = Self::default();
                while let Some(name) = words.maybe() {
                    match name {
                        $($word => config.$field = Get::get(words, cx)?,)*
                        _ => return Err(Malformed(format!("unknown field {name:?}"))),
                    }
                }
                Ok(config)
            }
        }

        #[cfg(test)]
        const FIELDS: usize = [$($word),*].len();
    };
}

fields! {
    "datagrams" datagrams;  "open-streams" open_streams;  "queued-starts" queued_starts;
    "tell-available" tell_available;  "tell-tickets" tell_tickets;
    "confirm" confirm;  "confirm-timeout" confirm_timeout;  "pull-events" pull_events;  "work" work;
}

named! {
    Blocked { "queue" Queue "fail" Fail }
}

/// Which of the peer's addresses this is, and of our own: the first, the second.
#[derive(Clone, Copy, Debug, Default)]
struct Ordinals {
    remote: u32,
    local: u32,
}

/// What the connection was told last of where the peer and this side are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    last: Option<(SocketAddr, Option<IpAddr>)>,
    ordinals: Ordinals,
}

impl Places {
    /// Writes what is known of a connection. Certificates stay out.
    pub(crate) fn put_about(&mut self, line: &mut Line, about: &About, cx: Cx) {
        if let Some((remote, local_ip)) = self.last.replace((about.remote, about.local_ip)) {
            self.ordinals.remote += u32::from(remote != about.remote);
            self.ordinals.local += u32::from(local_ip != about.local_ip);
        }
        line.word(ABOUT).text(&about.alpn);
        match &about.server_name {
            Some(name) => line.text(name.as_bytes()),
            None => line.word("-"),
        };
        self.ordinals.remote.put(line, cx);
        line.option(about.local_ip.map(|_| self.ordinals.local));
        about.resumed.put(line, cx);
    }
}

/// The word for what is known of a connection.
pub(crate) const ABOUT: &str = "about";

/// Addresses that nobody has stand for those that were there.
pub(crate) fn get_about(words: &mut Words<'_>, cx: Cx) -> Result<About, Malformed> {
    let alpn = words.text()?;
    let server_name = match words.clone().maybe() {
        Some("-") => {
            words.word()?;
            None
        }
        _ => Some(Get::get(words, cx)?),
    };
    let place = |number: u32| IpAddr::from(Ipv6Addr::from(u128::from(number)));
    let mut about = About::new((place(Get::get(words, cx)?), 0).into());
    about.alpn = alpn;
    about.server_name = server_name;
    about.local_ip = words.option()?.map(place);
    about.resumed = Get::get(words, cx)?;
    Ok(about)
}

impl Put for Start {
    fn put(&self, line: &mut Line, cx: Cx) {
        self.blocked.put(line, cx);
        self.priority.put(line, cx);
    }
}

impl Get for Start {
    fn get(words: &mut Words<'_>, cx: Cx) -> Result<Self, Malformed> {
        let start = match Get::get(words, cx)? {
            Blocked::Fail => Self::new().fail_blocked(),
            Blocked::Queue => Self::new(),
        };
        Ok(start.priority(Get::get(words, cx)?))
    }
}

put! {
    put_shutdown(Shutdown) as Put {
        "graceful" Shutdown::Graceful => [];
        "abort-send" Shutdown::AbortSend(code) => [code];
        "abort-receive" Shutdown::AbortReceive(code) => [code];
        "abort" Shutdown::Abort(code) => [code];
        "immediate" Shutdown::Immediate(code) => [code];
    }
}

impl Get for Shutdown {
    fn get(words: &mut Words<'_>, cx: Cx) -> Result<Self, Malformed> {
        Ok(match words.word()? {
            "graceful" => Self::Graceful,
            "abort-send" => Self::AbortSend(Get::get(words, cx)?),
            "abort-receive" => Self::AbortReceive(Get::get(words, cx)?),
            "abort" => Self::Abort(Get::get(words, cx)?),
            "immediate" => Self::Immediate(Get::get(words, cx)?),
            word => return Err(Malformed(format!("unknown word {word:?}"))),
        })
    }
}

put! {
    /// What the application does.
    put_call(QuicCall) {
        "confirm" QuicCall::Confirm(Ok(())) => [];
        "refuse" QuicCall::Confirm(Err(alert)) => [alert];
        "start" QuicCall::Start(way, how) => [way, how];
        "write" QuicCall::Write(stream, chunks) => [stream, Offered(chunks)];
        "read" QuicCall::Read(stream, max, slots) => [stream, max, slots];
        "shutdown" QuicCall::Shutdown(stream, how) => [stream, how];
        "set-priority" QuicCall::SetPriority(stream, priority) => [stream, priority];
        "send-datagram" QuicCall::SendDatagram(payload) => [Payload(payload)];
        "recv-datagram" QuicCall::RecvDatagram => [];
        "drain" QuicCall::Drain(until) => [until];
        "close" QuicCall::Close(code, reason) => [code, reason];
    }
}

/// Reads what [`put_call`] wrote.
pub(crate) fn get_call(words: &mut Words<'_>, cx: Cx) -> Result<QuicCall, Malformed> {
    Ok(match words.word()? {
        "confirm" => QuicCall::Confirm(Ok(())),
        "refuse" => QuicCall::Confirm(Err(Get::get(words, cx)?)),
        "start" => QuicCall::Start(Get::get(words, cx)?, Get::get(words, cx)?),
        "write" => QuicCall::Write(Get::get(words, cx)?, read_offered(words)?),
        "read" => {
            let (stream, max) = (Get::get(words, cx)?, words.number()?);
            QuicCall::Read(stream, max, read_slots(words)?)
        }
        "shutdown" => QuicCall::Shutdown(Get::get(words, cx)?, Get::get(words, cx)?),
        "set-priority" => QuicCall::SetPriority(Get::get(words, cx)?, Get::get(words, cx)?),
        "send-datagram" => QuicCall::SendDatagram(read_payload(words, MAX_DATAGRAM)?),
        "recv-datagram" => QuicCall::RecvDatagram,
        "drain" => QuicCall::Drain(Get::get(words, cx)?),
        "close" => QuicCall::Close(Get::get(words, cx)?, Get::get(words, cx)?),
        word => return Err(Malformed(format!("unknown word {word:?}"))),
    })
}

put! {
    /// What a call gave.
    put_outcome(QuicOutcome) as Put {
        "ok" QuicOutcome::Done => [];
        "stream" QuicOutcome::Start(Ok(stream)) => [stream];
        "took" QuicOutcome::Write(Ok(taken)) => [taken];
        "read" QuicOutcome::Read(Ok(read)) => [read.bytes, read.chunks, read.state];
        "datagram" QuicOutcome::RecvDatagram(Some(len)) => [len];
        "nothing" QuicOutcome::RecvDatagram(None) => [];
        "error" QuicOutcome::Start(Err(error)) => [error];
        "error" QuicOutcome::Write(Err(error)) => [error];
        "error" QuicOutcome::Read(Err(error)) => [error];
        "error" QuicOutcome::Failed(QuicError::Confirm(error)) => [error];
        "error" QuicOutcome::Failed(QuicError::Shutdown(error)) => [error];
        "error" QuicOutcome::Failed(QuicError::Datagram(error)) => [error];
        "error" QuicOutcome::Failed(QuicError::Close(error)) => [error];
    }
}

named! {
    StartError {
        "blocked" Blocked  "too-many" TooMany  "not-connected" NotConnected  "draining" Draining  "closed" Closed
    }
    ConfirmError {
        "not-asked" NotAsked  "closed" Closed
    }
    ShutdownError {
        "code-out-of-range" CodeOutOfRange  "no-half" NoSuchHalf  "gone" Gone
    }
    DatagramError {
        "too-large" TooLarge  "too-large-for-path" TooLargeForPath  "disabled" Disabled
        "blocked" Blocked  "not-connected" NotConnected  "closed" Closed
    }
    CloseError {
        "code-out-of-range" CodeOutOfRange  "closed" Closed
    }
}

put! {
    put_read_error(ReadError) as Put {
        "reset" ReadError::Reset(code) => [code];  "finished" ReadError::Finished => [];
        "stopped" ReadError::Stopped => [];  "no-half" ReadError::NoSuchHalf => [];  "gone" ReadError::Gone => [];
    }
}

put! {
    put_write_error(WriteError) as Put {
        "stopped" WriteError::Stopped(code) => [code];  "finished" WriteError::Finished => [];
        "reset" WriteError::Reset => [];  "no-half" WriteError::NoSuchHalf => [];  "gone" WriteError::Gone => [];
    }
}

put! {
    /// An event that the application takes. Of addresses it says that they are others.
    put_event(Event) as Put {
        "begun" Event::Begun => [];  "confirm" Event::Confirm => [];
        "opened" Event::Opened(stream) => [stream];
        "stream" Event::Stream(stream, event) => [stream, event];
        "peer-needs-streams" Event::PeerNeedsStreams(way) => [way];
        "peer-address" Event::PeerAddress(_) => [];
        "local-address" Event::LocalAddress(local_ip) => [local_ip.is_some()];
        "datagrams" Event::Datagrams => [];  "datagrams-unblocked" Event::DatagramsUnblocked => [];
        "datagram-state" Event::DatagramState(max) => [max.map(|max| max as u64)];
    }
}

put! {
    put_stream_event(StreamEvent) as Put {
        "started" StreamEvent::Started => [];  "readable" StreamEvent::Readable => [];
        "writable" StreamEvent::Writable => [];
        "reset" StreamEvent::Reset(code) => [code];  "stopped" StreamEvent::Stopped(code) => [code];
        "send-over" StreamEvent::SendOver { graceful } => [graceful];
        "early-rejected" StreamEvent::EarlyDataRejected => [];
        "closed" StreamEvent::Closed(closed) => [closed];
    }
}

impl Put for StreamClosed {
    fn put(&self, line: &mut Line, cx: Cx) {
        let ends = [
            (self.connection_over, "connection-over"),
            (self.aborted_here, "aborted-here"),
            (self.aborted_remotely, "aborted-remotely"),
        ];
        for (_, word) in ends.iter().filter(|(is, _)| *is) {
            line.word(word);
        }
        self.code.put(line, cx);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use aqueduct_core::id::{Dir, Side, StreamId, StreamKey};
    use bytes::Bytes;

    use super::*;
    use crate::mask::Masking;
    use crate::value::OTHER;

    #[test]
    fn a_configuration_is_read_as_written() {
        let config = Config::new()
            .datagrams(false)
            .open_streams(3)
            .queued_starts(4)
            .confirm(Duration::from_millis(7));
        let mut line = Line::default();
        config.put(&mut line, Cx::PLAIN);
        let again = Config::get(&mut Words::new(&line.0), Cx::PLAIN);
        assert_eq!(again, Ok(config));
        assert!(Config::get(&mut Words::new("colour 1"), Cx::PLAIN).is_err());
        // Every field has a word: a new one is missed here.
        let text = format!("{:?}", Config::default());
        assert_eq!(text.matches(": ").count(), FIELDS, "{text}");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a time is made of nothing else")]
    fn every_call_is_read_as_written() {
        let epoch = Instant::now();
        let stream = StreamKey::new(StreamId::new(Side::Client, Dir::Bi, 2), 7);
        let calls = [
            QuicCall::Confirm(Ok(())),
            QuicCall::Confirm(Err(46)),
            QuicCall::Start(Dir::Uni, Start::new().fail_blocked().priority(-3)),
            QuicCall::Start(Dir::Bi, Start::new()),
            QuicCall::Read(stream, usize::MAX, 4),
            QuicCall::Shutdown(stream, Shutdown::Graceful),
            QuicCall::Shutdown(stream, Shutdown::AbortSend(0)),
            QuicCall::Shutdown(stream, Shutdown::AbortReceive(u64::MAX)),
            QuicCall::Shutdown(stream, Shutdown::Abort((1 << 62) - 1)),
            QuicCall::Shutdown(stream, Shutdown::Immediate(5)),
            QuicCall::SetPriority(stream, i32::MIN),
            QuicCall::SendDatagram(Bytes::new()),
            QuicCall::SendDatagram(Bytes::from_static(b"secret")),
            QuicCall::RecvDatagram,
            QuicCall::Drain(epoch + Duration::from_secs(3)),
            QuicCall::Close(9, Bytes::from_static(b"a reason")),
        ];
        let epoch = Some(epoch);
        for call in calls {
            let mut line = Line::default();
            put_call(&mut line, &call, Cx { epoch, ..Cx::PLAIN });
            let again = get_call(&mut Words::new(&line.0), Cx { epoch, ..Cx::PLAIN });
            assert_eq!(again, Ok(call), "{}", line.0);
            assert!(!line.0.contains(OTHER));
        }
    }

    /// Neither addresses nor certificates, and that something moved all the same.
    #[test]
    fn of_addresses_it_is_kept_that_they_changed() {
        let mut places = Places::default();
        let mut about = About::new(([192, 0, 2, 7], 4433).into());
        about.certificates = vec![Bytes::from_static(b"certificate")];
        let mut said = |about: &About| {
            let mut line = Line::default();
            places.put_about(&mut line, about, Cx::PLAIN);
            line.0
        };
        assert_eq!(said(&about), "about % - 0 - false");
        about.remote.set_port(4434);
        about.server_name = Some("-".to_owned());
        assert_eq!(said(&about), "about % %2D 1 - false");
        about.local_ip = Some(about.remote.ip());
        assert_eq!(said(&about), "about % %2D 1 1 false");
        let line = said(&about);
        let mut words = Words::new(&line);
        assert_eq!(words.word(), Ok(ABOUT));
        let again = get_about(&mut words, Cx::PLAIN).expect("as it was written");
        assert_eq!(again.server_name, about.server_name);
        assert!(again.local_ip.is_some() && again.certificates.is_empty());
    }

    #[test]
    fn a_masked_call_keeps_lengths_and_no_bytes() {
        let mask = Masking::On;
        let mut line = Line::default();
        let call = QuicCall::SendDatagram(Bytes::from_static(b"secret"));
        put_call(&mut line, &call, Cx { mask, ..Cx::PLAIN });
        let call = QuicCall::Close(1, Bytes::from_static(b"pin 1234"));
        put_call(&mut line, &call, Cx { mask, ..Cx::PLAIN });
        assert_eq!(line.0, "send-datagram *6. close 1 xxx%20xxxx");
    }
}
