//! Both ends over the events of the core.

use aqueduct_core::capsule::{CapsuleType, Part, RawCapsule, Reader, encode_header};
use aqueduct_core::datagram::ContextId;
use aqueduct_core::event::StreamEvent;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Side, StreamKey};
use aqueduct_core::transport::ReadState;
use bytes::{Bytes, BytesMut};
use http::StatusCode;

use super::{AHEAD, ECHO, NAME, PINGS, UNKNOWN, VALUE, ahead, context, request};
use crate::pipe::Access;
use crate::script::pattern;
use crate::trace::{Digest, Trace};

/// One end of a tunnel.
#[derive(Debug)]
pub struct Tunnel {
    /// Its stream.
    pub stream: StreamKey,
    side: Side,
    trace: Trace,
    reader: Reader,
    begun: Option<(CapsuleType, BytesMut)>,
    /// Content that waits to be taken.
    out: Vec<Bytes>,
    finishing: bool,
    /// Datagrams that have come.
    datagrams: u32,
}

impl Tunnel {
    /// A server's, answered.
    ///
    /// # Panics
    /// When anything goes otherwise than the protocol says; so do all methods.
    #[must_use]
    pub fn accept(access: &mut Access<'_>, stream: StreamKey, trace: Trace) -> Self {
        access.enable_datagrams(stream).expect("a request");
        let ok = ResponseHead::new(StatusCode::OK);
        access.respond(stream, &ok, End::More).expect("first");
        Self::new(stream, Side::Server, trace)
    }

    /// A client's, with what it has to say before the answer.
    #[must_use]
    pub fn open(access: &mut Access<'_>, trace: Trace) -> Self {
        let stream = access.request(&request(), End::More).expect("is taken");
        access.enable_datagrams(stream).expect("a request");
        let sent = access.send_datagram_in(stream, ahead(), AHEAD);
        sent.expect("small");
        Self::new(stream, Side::Client, trace)
    }

    fn new(stream: StreamKey, side: Side, trace: Trace) -> Self {
        Self {
            stream,
            side,
            trace,
            reader: Reader::new(),
            begun: None,
            out: Vec::new(),
            finishing: false,
            datagrams: 0,
        }
    }

    /// The answer (client).
    pub fn on_response(&mut self, head: &ResponseHead) {
        self.trace.note(NAME, head.status.as_str());
    }

    /// What happened on its stream; `true` at the end of what the peer says.
    pub fn on_event(&mut self, access: &mut Access<'_>, event: StreamEvent) -> bool {
        let over = match event {
            StreamEvent::Readable => self.read(access),
            StreamEvent::Datagrams => {
                while let Some(payload) = access.recv_datagram(self.stream) {
                    self.on_datagram(access, payload);
                }
                false
            }
            _ => false,
        };
        self.write(access);
        over
    }

    fn on_datagram(&mut self, access: &mut Access<'_>, payload: Bytes) {
        let (context, payload) = ContextId::split(payload).expect("a context id");
        let text = String::from_utf8_lossy(&payload);
        let fact = format!("{text} in {context}");
        self.trace.note(format!("{NAME} datagrams"), fact);
        self.datagrams += 1;
        match self.side {
            Side::Server => {
                let sent = access.send_datagram_in(self.stream, context, &payload);
                sent.expect("small");
            }
            Side::Client if self.datagrams == 1 => self.say(ECHO, pattern(VALUE)),
            Side::Client => self.ping(access),
        }
    }

    /// The next datagram, or the end.
    fn ping(&mut self, access: &mut Access<'_>) {
        let number = self.datagrams - 1;
        if number == PINGS {
            self.finishing = true;
            return;
        }
        let text = format!("ping {number}");
        let sent = access.send_datagram_in(self.stream, context(number), text.as_bytes());
        sent.expect("small");
    }

    fn on_capsule(&mut self, access: &mut Access<'_>, capsule: RawCapsule) {
        match self.side {
            Side::Server => {
                let value = Digest::of(&capsule.value);
                self.trace.note(NAME, format!("{}: {value}", capsule.ty));
                if capsule.ty == ECHO {
                    self.say(ECHO, capsule.value);
                }
            }
            Side::Client => {
                assert_eq!(capsule, RawCapsule::new(ECHO, pattern(VALUE)));
                self.trace.note(NAME, "echo");
                self.say(UNKNOWN, Bytes::from_static(b"who knows"));
                self.ping(access);
            }
        }
    }

    fn say(&mut self, ty: CapsuleType, value: Bytes) {
        let header = encode_header(ty, value.len() as u64).expect("in bounds");
        self.out.extend([Bytes::copy_from_slice(&header), value]);
    }

    fn read(&mut self, access: &mut Access<'_>) -> bool {
        loop {
            let mut out = [Bytes::new()];
            let mut half = access.recv(self.stream).expect("is read to its end");
            let read = half.read(1 << 16, &mut out).expect("whole");
            let [mut content] = out;
            while let Some(part) = self.reader.read(&mut content).expect("any length") {
                match part {
                    Part::Start { ty, .. } => self.begun = Some((ty, BytesMut::new())),
                    Part::Piece(piece) => {
                        let (_, value) = self.begun.as_mut().expect("has begun");
                        value.extend_from_slice(&piece);
                    }
                    Part::End => {
                        let (ty, value) = self.begun.take().expect("has begun");
                        self.on_capsule(access, RawCapsule::new(ty, value));
                    }
                }
            }
            match read.state {
                ReadState::Open => {}
                ReadState::Blocked => return false,
                ReadState::Finished => {
                    self.reader.finish().expect("between capsules");
                    self.trace.note(NAME, "end");
                    self.finishing |= self.side == Side::Server;
                    return true;
                }
            }
        }
    }

    fn write(&mut self, access: &mut Access<'_>) {
        let Ok(mut half) = access.send(self.stream) else {
            return;
        };
        if !self.out.is_empty() {
            half.write(&mut self.out).expect("is wanted");
            self.out.retain(|chunk| !chunk.is_empty());
        }
        if self.out.is_empty() && std::mem::take(&mut self.finishing) {
            half.finish().expect("once");
        }
    }
}
