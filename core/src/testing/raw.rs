//! One real connection against a scripted peer that writes bytes by hand: for
//! everything a well-behaved peer never sends, and for looking at what we send.
//!
//! The encoders below are written apart from the library's own, so that a
//! mistake there does not hide here. They are for small things.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::code::Code;
use crate::config::Config;
use crate::connection::Access;
use crate::connection::Connection;
use crate::error::CloseReason;
use crate::event::Event;
use crate::id::{Dir, Side, StreamId};
use crate::testing::loopback::{End, Knobs, Loopback};
use crate::testing::loopback_pair::take_from;
use crate::testing::watch::{Watch, watch};
use crate::time::Why;
use crate::transport::{ReadState, StreamGone, Transport, TransportEvent};

/// A QUIC variable-length integer in its shortest form.
///
/// # Panics
/// Above 2^62 - 1.
#[must_use]
pub fn varint(value: u64) -> Vec<u8> {
    let (bytes, tag) = match value {
        0..=0x3f => (1, 0u64),
        0x40..=0x3fff => (2, 1),
        0x4000..=0x3fff_ffff => (4, 2),
        _ => (8, 3),
    };
    assert!(value <= StreamId::MAX, "not a QUIC integer");
    let value = value | tag << (bytes * 8 - 2);
    value.to_be_bytes().into_iter().skip(8 - bytes).collect()
}

/// Several byte strings as one.
#[must_use]
pub fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A frame or a capsule: type, length, payload.
#[must_use]
pub fn frame(ty: u64, payload: &[u8]) -> Vec<u8> {
    join(&[&varint(ty), &varint(payload.len() as u64), payload])
}

/// A SETTINGS frame.
#[must_use]
pub fn settings(pairs: &[(u64, u64)]) -> Vec<u8> {
    let pairs: Vec<u8> = pairs
        .iter()
        .flat_map(|(id, value)| [varint(*id), varint(*value)])
        .flatten()
        .collect();
    frame(0x04, &pairs)
}

/// A DATA frame.
#[must_use]
pub fn data(payload: &[u8]) -> Vec<u8> {
    frame(0x00, payload)
}

/// A HEADERS frame: every field line a literal, nothing from any table.
#[must_use]
pub fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut section = vec![0, 0];
    for (name, value) in fields {
        prefix_int(&mut section, 0b0010_0000, 3, name.len());
        section.extend_from_slice(name.as_bytes());
        prefix_int(&mut section, 0, 7, value.len());
        section.extend_from_slice(value.as_bytes());
    }
    frame(0x01, &section)
}

/// The HEADERS frame of a GET request for `https://example.com/`.
#[must_use]
pub fn get() -> Vec<u8> {
    headers(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/"),
    ])
}

/// The HEADERS frame of a POST request, whose content follows.
#[must_use]
pub fn post() -> Vec<u8> {
    headers(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/"),
    ])
}

/// The HEADERS frame of a CONNECT request for a session, in the dialect of
/// drafts 02 to 14.
#[must_use]
pub fn connect() -> Vec<u8> {
    headers(&[
        (":method", "CONNECT"),
        (":protocol", "webtransport"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/wt"),
    ])
}

/// The HEADERS frame of a response without further fields.
#[must_use]
pub fn status(status: u16) -> Vec<u8> {
    headers(&[(":status", &status.to_string())])
}

/// What a browser sends as SETTINGS: datagrams, extended CONNECT and the
/// WebTransport settings of drafts 02 and 07.
pub const WEBTRANSPORT: &[(u64, u64)] = &[(0x08, 1), (0x33, 1), (0x2b60_3742, 1), (0xc671_706a, 1)];

fn prefix_int(out: &mut Vec<u8>, first: u8, bits: u32, value: usize) {
    let max = (1usize << bits) - 1;
    if value < max {
        out.push(first | value as u8);
        return;
    }
    out.push(first | max as u8);
    let mut rest = value - max;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// What our side has sent on one stream.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether the stream ended cleanly.
    pub fin: bool,
    /// The code it was reset with.
    pub reset: Option<Code>,
    /// The code our side stopped the peer's sending with.
    pub stop: Option<Code>,
}

/// One connection of ours and a peer that does what it is told.
#[derive(Debug)]
pub struct RawPeer {
    /// What lies between.
    pub net: Loopback,
    ours: Side,
    conn: Connection,
    now: Instant,
    events: Vec<Event>,
    seen: BTreeMap<StreamId, Seen>,
    datagrams: Vec<Bytes>,
    closed: Option<CloseReason>,
    /// False: nothing our side sends is read, so that it runs out of credit.
    pub reading: bool,
    /// False: our application takes no events.
    pub taking: bool,
    /// False: our side has no second turn at the same time.
    pub going_on: bool,
    watch: Option<Box<dyn Watch>>,
}

/// Every test is one of recording and replaying, too.
impl Drop for RawPeer {
    fn drop(&mut self) {
        drop(self.conn.unobserve());
        if let Some(mut watch) = self.watch.take()
            && !std::thread::panicking()
        {
            watch.check(7);
        }
    }
}

impl RawPeer {
    /// A peer of a connection that plays `ours`, over a calm network.
    #[must_use]
    pub fn new(ours: Side, config: Config) -> Self {
        Self::over(ours, config, Loopback::new(Knobs::default()))
    }

    /// A peer over a given network.
    #[must_use]
    pub fn over(ours: Side, config: Config, net: Loopback) -> Self {
        let mut watch = watch();
        let conn = match &mut watch {
            Some(watch) => {
                let observer = watch.connection(ours, &config, 7);
                Connection::new(ours, Arc::new(config), 7).observed(observer)
            }
            None => Connection::new(ours, Arc::new(config), 7),
        };
        Self::begin(net, conn, watch)
    }

    fn begin(net: Loopback, conn: Connection, watch: Option<Box<dyn Watch>>) -> Self {
        let mut peer = Self {
            net,
            ours: conn.side(),
            conn,
            now: super::epoch(),
            events: Vec::new(),
            seen: BTreeMap::new(),
            datagrams: Vec::new(),
            closed: None,
            reading: true,
            taking: true,
            going_on: true,
            watch,
        };
        peer.drive();
        peer
    }

    /// Stops recording and gives what was recorded; empty if nobody looks on.
    pub fn recording(&mut self) -> String {
        drop(self.conn.unobserve());
        let watch = self.watch.take();
        watch.map_or_else(String::new, |mut watch| watch.take())
    }

    /// Stops recording, which takes time and memory that are not to be measured.
    pub fn stop_recording(&mut self) {
        drop(self.recording());
    }

    /// A peer that has opened its control stream with these settings.
    #[must_use]
    pub fn greeted(ours: Side, config: Config, pairs: &[(u64, u64)]) -> Self {
        let mut peer = Self::new(ours, config);
        peer.control(&settings(pairs));
        peer
    }

    /// The same over a given network.
    #[must_use]
    pub fn greeted_over(ours: Side, config: Config, net: Loopback, pairs: &[(u64, u64)]) -> Self {
        let mut peer = Self::over(ours, config, net);
        peer.control(&settings(pairs));
        peer
    }

    /// The peer's own end, for anything the methods here do not do.
    pub fn end(&mut self) -> &mut End {
        self.net.end(self.ours.peer())
    }

    /// Opens a unidirectional stream with these bytes.
    ///
    /// # Panics
    /// When our side does not allow another.
    pub fn uni(&mut self, bytes: &[u8]) -> StreamId {
        let id = self.end().open(Dir::Uni).expect("stream credit");
        self.write(id, bytes);
        id
    }

    /// Opens the control stream: its type, then `frames`.
    pub fn control(&mut self, frames: &[u8]) -> StreamId {
        self.uni(&join(&[&[0x00], frames]))
    }

    /// Opens a bidirectional stream with these bytes: a request, from a client.
    ///
    /// # Panics
    /// When our side does not allow another.
    pub fn request(&mut self, bytes: &[u8]) -> StreamId {
        let id = self.end().open(Dir::Bi).expect("stream credit");
        self.write(id, bytes);
        id
    }

    /// Writes to a stream of either side and lets it arrive.
    ///
    /// # Panics
    /// When our side does not take all of it.
    pub fn write(&mut self, id: StreamId, bytes: &[u8]) {
        let mut chunks = [Bytes::copy_from_slice(bytes)];
        while !chunks[0].is_empty() && self.closed.is_none() {
            let taken = self.end().write(id, &mut chunks);
            let stopped = matches!(taken, Err(StreamGone::Stopped(_)));
            if stopped {
                break;
            }
            let before = chunks[0].len();
            self.drive();
            let taken = taken.expect("a stream to write to");
            assert!(
                taken > 0 || self.closed.is_some(),
                "{before} bytes do not fit on {id}"
            );
        }
        self.drive();
    }

    /// Writes one byte at a time, each arriving by itself.
    pub fn dribble(&mut self, id: StreamId, bytes: &[u8]) {
        for byte in bytes {
            self.write(id, &[*byte]);
        }
    }

    /// Ends a stream.
    pub fn finish(&mut self, id: StreamId) {
        self.end().finish(id);
        self.drive();
    }

    /// Resets a stream.
    pub fn reset(&mut self, id: StreamId, code: Code) {
        self.end().reset(id, code.value(), &[]);
        self.drive();
    }

    /// Stops our side's sending on a stream.
    pub fn stop(&mut self, id: StreamId, code: Code) {
        self.end().stop(id, code.value());
        self.drive();
    }

    /// Sends a datagram.
    ///
    /// # Panics
    /// When the transport refuses it.
    pub fn datagram(&mut self, bytes: &[u8]) {
        self.end()
            .send_datagram(Bytes::copy_from_slice(bytes))
            .expect("room for a datagram");
        self.drive();
    }

    /// Closes the connection from the peer's side.
    pub fn close(&mut self, code: Code, reason: impl Into<Bytes>) {
        self.end().close(code.value(), reason.into());
        self.drive();
    }

    /// Moves everything there is to move.
    ///
    /// # Panics
    /// When it never ends.
    pub fn drive(&mut self) {
        let mut heard = Vec::new();
        for _ in 0..1_000_000 {
            self.collect();
            let moved = self.net.step(&mut heard);
            for (side, event) in heard.drain(..) {
                if side == self.ours {
                    self.conn.handle(self.net.end(side), self.now, event);
                } else {
                    self.observe(event);
                }
            }
            if moved || self.read_all() {
                continue;
            }
            let due = self.conn.poll_timeout().filter(|due| due.why == Why::Work);
            if due.is_none() || !self.going_on {
                self.collect();
                return;
            }
            self.conn.handle_timeout(self.net.end(self.ours), self.now);
        }
        panic!("does not come to rest: {:#?}", self.events);
    }

    /// Lets time pass, doing what falls due on the way.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(due) = self
            .conn
            .poll_timeout()
            .map(|d| d.at)
            .filter(|at| *at <= until)
        {
            self.now = self.now.max(due);
            self.conn.handle_timeout(self.net.end(self.ours), self.now);
            self.drive();
        }
        self.now = until;
        self.conn.handle_timeout(self.net.end(self.ours), self.now);
        self.drive();
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// What our application works with.
    pub fn access(&mut self) -> Access<'_, End> {
        let now = self.now;
        self.conn.access(self.net.end(self.ours), now)
    }

    /// Our connection.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.conn
    }

    /// The events of our side since the last call.
    pub fn events(&mut self) -> Vec<Event> {
        self.drive();
        std::mem::take(&mut self.events)
    }

    /// Removes the first event of ours that `f` accepts; `side` is ours.
    pub fn take<T>(&mut self, side: Side, f: impl FnMut(Event) -> Result<T, Event>) -> Option<T> {
        assert_eq!(side, self.ours, "only our side has events");
        self.collect();
        take_from(&mut self.events, f)
    }

    /// Events and what was seen, for messages of failed tests.
    #[must_use]
    pub fn story(&self) -> String {
        format!(
            "heard {:#?}, sent {:#?}, closed {:?}",
            self.events, self.seen, self.closed
        )
    }

    /// What our side has sent on a stream, and said about it.
    #[must_use]
    pub fn seen(&self, id: StreamId) -> Seen {
        self.seen.get(&id).cloned().unwrap_or_default()
    }

    /// The streams our side opened or answered on, in the order of ids.
    pub fn streams(&self) -> impl Iterator<Item = (StreamId, &Seen)> {
        self.seen.iter().map(|(id, seen)| (*id, seen))
    }

    /// Our side's unidirectional stream of a type below 64, with all its bytes.
    #[must_use]
    pub fn uni_of_type(&self, ty: u8) -> Option<(StreamId, Seen)> {
        let ours = |id: &StreamId| id.dir() == Dir::Uni && id.initiator() == self.ours;
        let mut streams = self
            .seen
            .iter()
            .filter(|(id, seen)| ours(id) && seen.bytes.first() == Some(&ty));
        streams.next().map(|(id, seen)| (*id, seen.clone()))
    }

    /// The datagrams our side sent.
    #[must_use]
    pub fn datagrams(&self) -> &[Bytes] {
        &self.datagrams
    }

    /// The code our side closed the connection with.
    #[must_use]
    pub fn closed(&self) -> Option<Code> {
        match self.closed {
            Some(CloseReason::Remote { code, .. }) => Some(code),
            _ => None,
        }
    }

    /// The words our side closed the connection with.
    #[must_use]
    pub fn closed_because(&self) -> Option<String> {
        match &self.closed {
            Some(CloseReason::Remote { reason, .. }) => {
                Some(String::from_utf8_lossy(reason).into_owned())
            }
            _ => None,
        }
    }

    fn collect(&mut self) {
        if self.taking {
            let events = std::iter::from_fn(|| self.conn.poll_event());
            self.events.extend(events);
        }
    }

    fn observe(&mut self, event: TransportEvent) {
        match event {
            TransportEvent::Opened(dir) => {
                while let Some(id) = self.end().accept(dir) {
                    self.seen.entry(id).or_default();
                }
            }
            TransportEvent::Readable(id) => {
                self.seen.entry(id).or_default();
            }
            TransportEvent::Stopped(id, code) => {
                self.seen.entry(id).or_default().stop = Some(Code::new(code));
            }
            TransportEvent::Datagrams => {
                while let Some(datagram) = self.end().recv_datagram() {
                    self.datagrams.push(datagram);
                }
            }
            TransportEvent::Closed(reason) => self.closed = Some(reason),
            _ => {}
        }
    }

    /// Reads whatever arrived; true if that was anything.
    fn read_all(&mut self) -> bool {
        let mut any = false;
        if !self.reading {
            return any;
        }
        let end = self.net.end(self.ours.peer());
        for (id, seen) in &mut self.seen {
            loop {
                let mut out = [const { Bytes::new() }; 8];
                match end.read(*id, usize::MAX, &mut out) {
                    Ok(read) => {
                        any |= read.bytes > 0 || read.state == ReadState::Finished;
                        seen.bytes.extend(out.iter().take(read.chunks).flatten());
                        seen.fin |= read.state == ReadState::Finished;
                        if read.state != ReadState::Open {
                            break;
                        }
                    }
                    Err(StreamGone::Reset { code, .. }) => {
                        seen.reset = Some(Code::new(code));
                        any = true;
                        break;
                    }
                    Err(_) => break,
                }
            }
        }
        any
    }
}
