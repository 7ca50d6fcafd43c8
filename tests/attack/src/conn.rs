//! One connection of an attacker's: streams written as fast as they take it, and answers
//! read, or not.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::{
    Connection, ConnectionError, ConnectionHandle, Dir, Event, ReadError, StreamEvent, StreamId,
    VarInt,
};

use crate::wire;

/// What is still to be written to a stream, and whether its end follows.
#[derive(Debug, Default)]
struct Rest {
    bytes: Vec<u8>,
    fin: bool,
}

/// The streams every client opens first (RFC 9114 section 6.2, RFC 9204 section 4.2).
#[derive(Clone, Copy, Debug)]
pub struct Critical {
    /// The control stream; SETTINGS went out on it.
    pub control: StreamId,
    /// The QPACK encoder stream.
    pub encoder: StreamId,
    /// The QPACK decoder stream.
    pub decoder: StreamId,
}

/// One connection.
#[derive(Debug)]
pub struct Conn {
    /// QUIC.
    pub quic: Connection,
    pub(crate) handle: ConnectionHandle,
    /// Operations of the attack so far; what one is, the attack says.
    pub ops: u64,
    /// Streams that the server reset or stopped, or asked no more of.
    pub cut: u64,
    /// Streams whose answers have come to their end, a thousand since somebody took them.
    pub done: Vec<StreamId>,
    /// Streams that the server reset, a thousand since somebody took them.
    pub failed: Vec<StreamId>,
    /// Streams that the server opened.
    pub theirs: Vec<StreamId>,
    /// Why the connection is over.
    pub end: Option<String>,
    critical: Option<Critical>,
    connected: bool,
    read: bool,
    greet: bool,
    rest: BTreeMap<StreamId, Rest>,
    heard: BTreeMap<StreamId, u64>,
}

impl Conn {
    pub(crate) fn new(quic: Connection, handle: ConnectionHandle, read: bool, greet: bool) -> Self {
        Self {
            quic,
            handle,
            ops: 0,
            cut: 0,
            done: Vec::new(),
            failed: Vec::new(),
            theirs: Vec::new(),
            end: None,
            critical: None,
            connected: false,
            read,
            greet,
            rest: BTreeMap::new(),
            heard: BTreeMap::new(),
        }
    }

    /// Whether the handshake is complete and the connection lives.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.connected && self.end.is_none()
    }

    /// The critical streams of a connection that has greeted.
    ///
    /// # Panics
    /// When it has not.
    #[must_use]
    pub fn critical(&self) -> Critical {
        self.critical.expect("a connection that has greeted")
    }

    /// Opens a unidirectional stream with these bytes, if the server's credit allows.
    pub fn open_uni(&mut self, bytes: &[u8]) -> Option<StreamId> {
        let id = self.quic.streams().open(Dir::Uni)?;
        self.write(id, bytes);
        Some(id)
    }

    /// Opens a bidirectional stream with these bytes, if the server's credit allows.
    pub fn request(&mut self, bytes: &[u8]) -> Option<StreamId> {
        let id = self.quic.streams().open(Dir::Bi)?;
        self.write(id, bytes);
        Some(id)
    }

    /// Opens a bidirectional stream that is these bytes and its end.
    pub fn whole_request(&mut self, bytes: &[u8]) -> Option<StreamId> {
        let id = self.request(bytes)?;
        self.finish(id);
        Some(id)
    }

    /// Writes to a stream; what it does not take now follows when it does.
    pub fn write(&mut self, id: StreamId, bytes: &[u8]) {
        if let Some(rest) = self.rest.get_mut(&id) {
            return rest.bytes.extend_from_slice(bytes);
        }
        let taken = take(&mut self.quic, id, bytes);
        if taken < bytes.len() {
            let rest = self.rest.entry(id).or_default();
            rest.bytes.extend_from_slice(&bytes[taken..]);
        }
    }

    /// Whether a stream has taken everything so far.
    #[must_use]
    pub fn takes(&self, id: StreamId) -> bool {
        !self.rest.contains_key(&id)
    }

    /// Writes to a stream that has taken everything so far, and counts so many operations;
    /// nothing of both where it has not.
    pub fn fill(&mut self, id: StreamId, bytes: &[u8], ops: u64) {
        if self.takes(id) {
            self.write(id, bytes);
            self.ops += ops;
        }
    }

    /// Ends a stream after what was written.
    pub fn finish(&mut self, id: StreamId) {
        match self.rest.get_mut(&id) {
            Some(rest) => rest.fin = true,
            // The server may have stopped it.
            None => drop(self.quic.send_stream(id).finish()),
        }
    }

    /// Resets a stream.
    pub fn reset(&mut self, id: StreamId, code: u32) {
        self.rest.remove(&id);
        let _ = self.quic.send_stream(id).reset(code.into());
    }

    /// Stops what the server sends on a stream.
    pub fn stop(&mut self, id: StreamId, code: u32) {
        self.heard.remove(&id);
        let _ = self.quic.recv_stream(id).stop(code.into());
    }

    /// Asks for a session once, whose stream is then `held`; gives it when it was answered.
    pub fn session(&mut self, held: &mut Option<StreamId>, path: &str) -> Option<StreamId> {
        if held.is_none() {
            *held = self.request(&wire::session(path));
        }
        held.filter(|id| self.heard(*id) > 0)
    }

    /// Inserts a field into a dynamic table of 4,096 bytes, once, and asks for `path` by a
    /// request that needs it, whose stream is then `asked`; true when it was answered.
    pub fn inserted(
        &mut self,
        asked: &mut Option<StreamId>,
        name: &str,
        value: &str,
        path: &str,
    ) -> bool {
        if asked.is_none() {
            let instructions = [wire::capacity(4096), wire::insert(name, value)].concat();
            self.write(self.critical().encoder, &instructions);
            *asked = self.whole_request(&wire::Section::after(1).get(path).frame());
        }
        asked.is_some_and(|id| self.done.contains(&id))
    }

    /// Sends a datagram; false when there is no room now.
    pub fn datagram(&mut self, bytes: Vec<u8>) -> bool {
        self.quic.datagrams().send(bytes.into(), false).is_ok()
    }

    /// Bytes heard on a stream that has not ended.
    #[must_use]
    pub fn heard(&self, id: StreamId) -> u64 {
        self.heard.get(&id).copied().unwrap_or_default()
    }

    /// Reads what a stream has, also when answers are not read.
    pub fn read(&mut self, id: StreamId) {
        let mut recv = self.quic.recv_stream(id);
        let Ok(mut chunks) = recv.read(true) else {
            return;
        };
        let over = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => *self.heard.entry(id).or_default() += chunk.bytes.len() as u64,
                Ok(None) => break &mut self.done,
                Err(ReadError::Reset(_)) => {
                    self.cut += 1;
                    break &mut self.failed;
                }
                Err(ReadError::Blocked) => return,
            }
        };
        self.heard.remove(&id);
        if over.len() < 1_000 {
            over.push(id);
        }
    }

    /// Closes the connection.
    pub fn close(&mut self, now: Instant) {
        self.quic.close(now, VarInt::from_u32(0x100), Bytes::new());
    }

    pub(crate) fn on(&mut self, event: Event) {
        match event {
            Event::Connected => {
                self.connected = true;
                if self.greet {
                    self.greet();
                }
            }
            Event::ConnectionLost { reason } => self.end = Some(describe(&reason)),
            Event::Stream(StreamEvent::Opened { dir }) => {
                while let Some(id) = self.quic.streams().accept(dir) {
                    self.theirs.push(id);
                    // The server's critical streams are read always.
                    self.read(id);
                }
            }
            Event::Stream(StreamEvent::Readable { id }) if self.read => self.read(id),
            Event::Stream(StreamEvent::Readable { id }) => {
                let reset = self.quic.recv_stream(id).received_reset();
                self.cut += u64::from(reset.is_ok_and(|code| code.is_some()));
            }
            Event::Stream(StreamEvent::Stopped { id, .. }) => {
                self.cut += 1;
                // So RFC 9000 section 3.5 wants it; and the stream's credit comes back.
                self.reset(id, 0x10c);
            }
            Event::DatagramReceived => while self.quic.datagrams().recv().is_some() {},
            _ => {}
        }
    }

    fn greet(&mut self) {
        let settings = [vec![0x00], wire::settings(wire::BROWSER)].concat();
        let streams = [settings.as_slice(), &[0x02], &[0x03]].map(|bytes| self.open_uni(bytes));
        if let [Some(control), Some(encoder), Some(decoder)] = streams {
            self.critical = Some(Critical {
                control,
                encoder,
                decoder,
            });
        }
    }

    /// Writes what is still to be written.
    pub(crate) fn flush(&mut self) {
        let quic = &mut self.quic;
        self.rest.retain(|id, rest| {
            let taken = take(quic, *id, &rest.bytes);
            rest.bytes.drain(..taken);
            let over = rest.bytes.is_empty();
            if over && rest.fin {
                let _ = quic.send_stream(*id).finish();
            }
            !over
        });
    }
}

/// The number of a stream, as it stands on the wire.
#[must_use]
pub fn number(id: StreamId) -> u64 {
    VarInt::from(id).into_inner()
}

/// Bytes that a stream takes; all of them when it takes none for ever.
fn take(quic: &mut Connection, id: StreamId, bytes: &[u8]) -> usize {
    let mut taken = 0;
    while taken < bytes.len() {
        match quic.send_stream(id).write(&bytes[taken..]) {
            Ok(n) => taken += n,
            Err(quinn_proto::WriteError::Blocked) => break,
            Err(_) => return bytes.len(),
        }
    }
    taken
}

/// Why a connection ended, in a few characters: codes group well.
fn describe(reason: &ConnectionError) -> String {
    match reason {
        ConnectionError::ApplicationClosed(close) => {
            format!("{:#x}", close.error_code.into_inner())
        }
        ConnectionError::ConnectionClosed(close) => format!("quic {}", close.error_code),
        ConnectionError::TransportError(error) => format!("quic here {}", error.code),
        ConnectionError::TimedOut => "timed out".into(),
        ConnectionError::LocallyClosed => "left".into(),
        other => other.to_string(),
    }
}
