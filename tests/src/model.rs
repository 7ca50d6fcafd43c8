//! What a session is, reduced to ids, counts and bytes, and a player that does
//! random things to a real one and compares.
//!
//! The model knows nothing of frames, capsules or packets, so it holds over every
//! transport. Each rule is an assertion: bytes that are read are a prefix of those
//! written, limits are kept and windows do not grow, every half of a stream and
//! every session has one end, and nobody is left without credit.

use std::collections::BTreeMap;

use aqueduct_core::code::Code;
use aqueduct_core::connection::Access;
use aqueduct_core::error::{ReadError, WriteError};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::id::{Dir, SessionKey, Side, StreamId, StreamKey};
use aqueduct_core::transport::{Read, ReadState, Transport};
use aqueduct_core::webtransport::{OpenStreamError, SessionEvent, SessionFlow, SessionStats};
use bytes::Bytes;
use proptest::prelude::*;

/// Something an application does. Streams are picked by a number from those it
/// knows; what makes no sense at the time is left out.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// Opens a stream.
    Open(Side, Dir),
    /// Writes some bytes.
    Write(Side, u8, u16),
    /// Reads at most so many.
    Read(Side, u8, u16),
    /// Ends a stream.
    Finish(Side, u8),
    /// Resets a stream with a code.
    Reset(Side, u8, u32),
    /// Stops a stream with a code.
    Stop(Side, u8, u32),
    /// Sends a datagram.
    Datagram(Side, u8),
    /// Asks the peer to wind down.
    Drain(Side),
    /// Ends the session with a code.
    Close(Side, u32),
    /// Lets some things move.
    Go(u8),
    /// Lets everything move.
    Settle,
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Client), Just(Side::Server)]
}

fn dir() -> impl Strategy<Value = Dir> {
    prop_oneof![Just(Dir::Bi), Just(Dir::Uni)]
}

fn op() -> impl Strategy<Value = Op> {
    let n = any::<u8>;
    prop_oneof![
        8 => (side(), dir()).prop_map(|(side, dir)| Op::Open(side, dir)),
        12 => (side(), n(), 0..200u16).prop_map(|(side, n, len)| Op::Write(side, n, len)),
        10 => (side(), n(), 1..300u16).prop_map(|(side, n, max)| Op::Read(side, n, max)),
        4 => (side(), n()).prop_map(|(side, n)| Op::Finish(side, n)),
        2 => (side(), n(), any::<u32>()).prop_map(|(side, n, code)| Op::Reset(side, n, code)),
        2 => (side(), n(), any::<u32>()).prop_map(|(side, n, code)| Op::Stop(side, n, code)),
        2 => (side(), n()).prop_map(|(side, n)| Op::Datagram(side, n)),
        1 => side().prop_map(Op::Drain),
        1 => (prop::bool::weighted(0.2), side(), any::<u32>())
            .prop_map(|(close, side, code)| if close { Op::Close(side, code) } else { Op::Settle }),
        8 => n().prop_map(Op::Go),
        4 => Just(Op::Settle),
    ]
}

/// A sequence of operations, most of them on streams.
pub fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 0..120)
}

/// First limits that are soon reached.
pub fn window() -> impl Strategy<Value = SessionFlow> {
    (1..300u64, 1..5u64, 1..5u64).prop_map(|(data, bidi, uni)| crate::wt::limits(data, bidi, uni))
}

/// What an application can do to a connection, whatever lies below it.
pub trait Actor {
    /// Opens a stream.
    ///
    /// # Errors
    /// As `WebTransport::open_stream`.
    fn open(&mut self, session: SessionKey, dir: Dir) -> Result<StreamKey, OpenStreamError>;
    /// Writes one chunk.
    ///
    /// # Errors
    /// As `SendStream::write`.
    fn write(&mut self, stream: StreamKey, bytes: Bytes) -> Result<usize, WriteError>;
    /// Reads some chunks.
    ///
    /// # Errors
    /// As `RecvStream::read`.
    fn read(&mut self, stream: StreamKey, max: usize) -> Result<(Read, Vec<u8>), ReadError>;
    /// Ends a stream; whether that had an effect.
    fn finish(&mut self, stream: StreamKey) -> bool;
    /// Resets a stream; whether that had an effect.
    fn reset(&mut self, stream: StreamKey, code: u32) -> bool;
    /// Stops a stream; whether that had an effect.
    fn stop(&mut self, stream: StreamKey, code: u32) -> bool;
    /// Sends a datagram, and takes those that came.
    fn datagrams(&mut self, session: SessionKey, payload: &[u8]) -> Vec<Bytes>;
    /// Drains the session.
    fn drain(&mut self, session: SessionKey);
    /// Closes the session; whether it was there.
    fn close(&mut self, session: SessionKey, code: u32) -> bool;
    /// The session's counters.
    fn stats(&mut self, session: SessionKey) -> Option<SessionStats>;
    /// Streams in the tables.
    fn live_streams(&self) -> usize;
}

impl<T: Transport> Actor for Access<'_, T> {
    fn open(&mut self, session: SessionKey, dir: Dir) -> Result<StreamKey, OpenStreamError> {
        self.webtransport(session).open_stream(dir)
    }

    fn write(&mut self, stream: StreamKey, bytes: Bytes) -> Result<usize, WriteError> {
        let mut send = self.send(stream).map_err(|_| WriteError::Gone)?;
        send.write(&mut [bytes])
    }

    fn read(&mut self, stream: StreamKey, max: usize) -> Result<(Read, Vec<u8>), ReadError> {
        let mut out = [const { Bytes::new() }; 3];
        let mut recv = self.recv(stream).map_err(|_| ReadError::Gone)?;
        let read = recv.read(max, &mut out)?;
        let bytes = out.iter().take(read.chunks).flatten().copied().collect();
        Ok((read, bytes))
    }

    fn finish(&mut self, stream: StreamKey) -> bool {
        self.send(stream)
            .is_ok_and(|mut send| send.finish().is_ok())
    }

    fn reset(&mut self, stream: StreamKey, code: u32) -> bool {
        self.send(stream)
            .is_ok_and(|mut send| send.reset(code.into()).is_ok())
    }

    fn stop(&mut self, stream: StreamKey, code: u32) -> bool {
        self.recv(stream)
            .is_ok_and(|mut recv| recv.stop(code.into()).is_ok())
    }

    fn datagrams(&mut self, session: SessionKey, payload: &[u8]) -> Vec<Bytes> {
        // Whether there is room is the transport's business.
        let _ = self.send_datagram(session, payload);
        std::iter::from_fn(|| self.recv_datagram(session)).collect()
    }

    fn drain(&mut self, session: SessionKey) {
        // Too late is harmless.
        let _ = self.webtransport(session).drain();
    }

    fn close(&mut self, session: SessionKey, code: u32) -> bool {
        self.webtransport(session).close(code, "model").is_ok()
    }

    fn stats(&mut self, session: SessionKey) -> Option<SessionStats> {
        self.webtransport(session).stats()
    }

    fn live_streams(&self) -> usize {
        Access::live_streams(self)
    }
}

/// Two connected ends with something between them.
pub trait World {
    /// Lets the application of one side do something.
    fn act(&mut self, side: Side, what: &mut dyn FnMut(&mut dyn Actor));
    /// The events of one side since the last call.
    fn events(&mut self, side: Side) -> Vec<Event>;
    /// Lets a few things move.
    fn go(&mut self, n: u8);
    /// Lets everything move.
    fn settle(&mut self);
}

/// How a half of a stream ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Finished,
    Reset(u32),
    Stopped(u32),
    SessionGone,
}

/// One side's half of a stream.
#[derive(Debug, Default)]
struct Half {
    bytes: u64,
    /// This side ended it cleanly, whatever it did after.
    finished: bool,
    /// What this side did to end it.
    ours: Option<End>,
    /// What this side was told of its end.
    told: Option<End>,
}

impl Half {
    fn is_over(&self) -> bool {
        self.ours.is_some() || self.told.is_some()
    }

    fn tell(&mut self, end: End) {
        // Whoever reads or writes on is told the same again.
        let same = self.told.is_none_or(|told| told == end);
        assert!(same, "told {end:?} as well as {:?}", self.told);
        self.told = Some(end);
    }
}

#[derive(Debug)]
struct Stream {
    key: StreamKey,
    send: Option<Half>,
    recv: Option<Half>,
}

#[derive(Debug, Default)]
struct Mind {
    streams: BTreeMap<StreamId, Stream>,
    opened: [u64; 2],
    closed: bool,
    draining: bool,
}

/// The byte at an offset of what a side sends on a stream.
fn byte(side: Side, stream: StreamId, offset: u64) -> u8 {
    let seed = stream.wire() * 2 + side as u64;
    (seed.wrapping_mul(37) ^ offset ^ (offset >> 7)) as u8
}

/// Plays operations on one session and checks every rule after each.
#[derive(Debug)]
pub struct Player<W> {
    world: W,
    keys: [SessionKey; 2],
    minds: [Mind; 2],
    /// The first limits of each side, when flow control is on.
    flow: Option<[SessionFlow; 2]>,
    idle: [usize; 2],
    reliable: bool,
}

const SIDES: [Side; 2] = [Side::Client, Side::Server];

impl<W: World> Player<W> {
    /// A player of a session between two sides, `idle` streams each before it.
    #[must_use]
    pub fn new(
        world: W,
        keys: [SessionKey; 2],
        flow: Option<[SessionFlow; 2]>,
        idle: [usize; 2],
    ) -> Self {
        Self {
            world,
            keys,
            minds: [Mind::default(), Mind::default()],
            flow,
            idle,
            reliable: false,
        }
    }

    /// The transport has RESET_STREAM_AT: no header is ever lost.
    #[must_use]
    pub fn with_reliable_resets(mut self) -> Self {
        self.reliable = true;
        self
    }

    fn act<R>(&mut self, side: Side, f: impl FnOnce(&mut dyn Actor) -> R) -> R {
        let (mut f, mut result) = (Some(f), None);
        self.world.act(side, &mut |actor| {
            if let Some(f) = f.take() {
                result = Some(f(actor));
            }
        });
        result.expect("the world lets it act")
    }

    fn mind(&mut self, side: Side) -> &mut Mind {
        &mut self.minds[side as usize]
    }

    fn key(&self, side: Side) -> SessionKey {
        self.keys[side as usize]
    }

    /// Plays all, then lets go of everything.
    pub fn play(mut self, ops: &[Op]) {
        for op in ops {
            self.apply(*op);
            self.check();
        }
        self.flush();
        self.end();
    }

    fn pick(&mut self, side: Side, n: u8, half: fn(&Stream) -> Option<&Half>) -> Option<StreamKey> {
        let streams = self.mind(side).streams.values();
        let usable: Vec<_> = streams
            .filter(|s| half(s).is_some())
            .map(|s| s.key)
            .collect();
        usable.get(usize::from(n) % usable.len().max(1)).copied()
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Open(side, dir) => {
                self.open(side, dir);
            }
            Op::Write(side, n, len) => {
                if let Some(key) = self.pick(side, n, |s| s.send.as_ref()) {
                    self.write(side, key, len.into());
                }
            }
            Op::Read(side, n, max) => {
                if let Some(key) = self.pick(side, n, |s| s.recv.as_ref()) {
                    self.read(side, key, max.into());
                }
            }
            Op::Finish(side, n) => self.end_send(side, n, End::Finished),
            Op::Reset(side, n, code) => self.end_send(side, n, End::Reset(code)),
            Op::Stop(side, n, code) => {
                if let Some(key) = self.pick(side, n, |s| s.recv.as_ref()) {
                    let done = self.act(side, |actor| actor.stop(key, code));
                    let half = recv(self.mind(side), key);
                    assert_eq!(done, !half.is_over(), "stop of {key:?} {half:?}");
                    half.ours = half.ours.or(done.then_some(End::Stopped(code)));
                }
            }
            Op::Datagram(side, n) => {
                let key = self.key(side);
                let mine = [side as u8, n];
                for datagram in self.act(side, |actor| actor.datagrams(key, &mine)) {
                    assert_eq!(datagram.first(), Some(&(side.peer() as u8)));
                }
            }
            Op::Drain(side) => {
                let key = self.key(side);
                self.act(side, |actor| actor.drain(key));
            }
            Op::Close(side, code) => {
                let key = self.key(side);
                self.listen();
                let done = self.act(side, |actor| actor.close(key, code));
                assert_eq!(done, !self.mind(side).closed);
            }
            Op::Go(n) => self.world.go(n),
            Op::Settle => self.world.settle(),
        }
        self.listen();
    }

    fn open(&mut self, side: Side, dir: Dir) -> Option<StreamKey> {
        let key = self.key(side);
        let before = self.act(side, |actor| actor.stats(key));
        let opened = self.act(side, |actor| actor.open(key, dir));
        let limit = before
            .and_then(|stats| stats.flow_control)
            .map(|flow| match dir {
                Dir::Bi => flow.open_bi,
                Dir::Uni => flow.open_uni,
            });
        let at_limit = limit == Some(self.mind(side).opened[dir as usize]);
        match opened {
            Ok(stream) => {
                assert!(!at_limit && before.is_some(), "{stream:?} beyond the limit");
                self.mind(side).opened[dir as usize] += 1;
                self.learn(side, stream);
                return Some(stream);
            }
            Err(OpenStreamError::StreamLimit) => assert!(at_limit, "no limit is reached"),
            Err(OpenStreamError::SessionGone) => assert!(before.is_none()),
            Err(OpenStreamError::Blocked) => assert!(!at_limit),
            Err(other) => panic!("{other}"),
        }
        None
    }

    fn learn(&mut self, side: Side, key: StreamKey) {
        let id = key.id();
        let ours = id.initiator() == side;
        let stream = Stream {
            key,
            send: (ours || id.dir() == Dir::Bi).then(Half::default),
            recv: (!ours || id.dir() == Dir::Bi).then(Half::default),
        };
        let before = self.mind(side).streams.insert(id, stream);
        assert!(before.is_none(), "{id} is told twice");
    }

    fn write(&mut self, side: Side, key: StreamKey, len: u64) {
        let from = send(self.mind(side), key).bytes;
        let body: Bytes = (from..from + len)
            .map(|at| byte(side, key.id(), at))
            .collect();
        let session = self.key(side);
        let before = self.act(side, |actor| actor.stats(session));
        let wrote = self.act(side, |actor| actor.write(key, body));
        let half = send(self.mind(side), key);
        match wrote {
            Ok(taken) => {
                assert!(!half.is_over(), "bytes are taken after {half:?}");
                half.bytes += taken as u64;
                let flow = before.and_then(|stats| Some((stats.flow_control?, stats)));
                if let Some((flow, stats)) = flow {
                    assert!(
                        stats.bytes_sent + taken as u64 <= flow.send_data,
                        "beyond the credit"
                    );
                }
            }
            Err(_) => assert!(half.is_over() || before.is_none(), "{wrote:?} but {half:?}"),
        }
    }

    fn end_send(&mut self, side: Side, n: u8, end: End) {
        let Some(key) = self.pick(side, n, |s| s.send.as_ref()) else {
            return;
        };
        let done = self.act(side, |actor| match end {
            End::Reset(code) => actor.reset(key, code),
            _ => actor.finish(key),
        });
        let half = send(self.mind(side), key);
        // A reset may still follow an end that was not delivered.
        let open = match (end, half.ours) {
            (End::Reset(_), Some(End::Finished)) => half.told.is_none(),
            _ => !half.is_over(),
        };
        // A stop leaves the stream there until it is over, and a reset of it is let
        // pass; it has no further effect.
        let stopped = matches!(half.told, Some(End::Stopped(_) | End::SessionGone));
        assert!(
            done == open || (stopped && done),
            "{end:?} of {key:?} {half:?}"
        );
        if done && !stopped {
            half.finished |= end == End::Finished;
            half.ours = Some(end);
        }
    }

    /// Reads once; tells whether there may be more.
    fn read(&mut self, side: Side, key: StreamKey, max: usize) -> bool {
        let got = self.act(side, |actor| actor.read(key, max));
        let theirs = self.mind(side.peer()).streams.get(&key.id());
        let theirs = theirs.and_then(|stream| stream.send.as_ref());
        let (written, finished) = theirs.map_or((0, false), |half| (half.bytes, half.finished));
        let half = recv(self.mind(side), key);
        match got {
            Ok((read, bytes)) => {
                assert!(!half.is_over(), "bytes after {half:?}");
                assert!(bytes.len() == read.bytes && read.bytes <= max);
                for got in bytes {
                    assert_eq!(
                        got,
                        byte(side.peer(), key.id(), half.bytes),
                        "at {}",
                        half.bytes
                    );
                    half.bytes += 1;
                }
                assert!(half.bytes <= written, "more than was written");
                if read.state == ReadState::Finished {
                    assert_eq!((half.bytes, finished), (written, true));
                    half.tell(End::Finished);
                }
                read.state == ReadState::Open && read.bytes > 0
            }
            Err(ReadError::Reset(code)) => {
                let end = code.app.map_or(End::SessionGone, End::Reset);
                half.tell(end);
                self.check_cause(side, key, code.wire, end);
                false
            }
            Err(other) => {
                assert!(half.is_over(), "{other} but {half:?}");
                false
            }
        }
    }

    /// What a side is told about a stream is what the other side did.
    fn check_cause(&mut self, side: Side, key: StreamKey, wire: Code, end: End) {
        let peer = self.mind(side.peer());
        let did = match end {
            End::Stopped(_) => recv(peer, key).ours,
            End::Reset(_) => send(peer, key).ours,
            // Reset before its header arrived, it was nobody's stream over there.
            _ if wire == Code::H3_REQUEST_CANCELLED => {
                assert!(!self.reliable, "the header of {key:?} was lost");
                let peer = self.mind(side.peer());
                assert!(!peer.streams.contains_key(&key.id()), "{key:?} {wire}");
                let ours = send(self.mind(side), key).ours;
                assert!(matches!(ours, Some(End::Reset(_))), "{key:?} {wire}");
                return;
            }
            // It may be heard of before the end of the session itself.
            _ => {
                assert!(
                    peer.closed && wire == Code::WT_SESSION_GONE,
                    "{key:?} {wire}"
                );
                return;
            }
        };
        assert_eq!(did, Some(end), "{key:?}");
    }

    fn listen(&mut self) {
        for side in SIDES {
            for event in self.world.events(side) {
                self.hear(side, event);
            }
        }
    }

    fn hear(&mut self, side: Side, event: Event) {
        let (session, over) = (self.key(side), self.mind(side).closed);
        match event {
            Event::Stream(key, event) => {
                assert!(!over, "{key:?} {event:?} after the end of the session");
                let stream = self.mind(side).streams.get_mut(&key.id());
                let stream = stream.expect("a stream that was told");
                match event {
                    StreamEvent::Delivered => {
                        let half = stream.send.as_mut().expect("a sending half");
                        assert_eq!(half.ours, Some(End::Finished));
                        half.tell(End::Finished);
                    }
                    StreamEvent::Stopped(code) => {
                        let half = stream.send.as_mut().expect("a sending half");
                        let end = code.app.map_or(End::SessionGone, End::Stopped);
                        half.tell(end);
                        self.check_cause(side, key, code.wire, end);
                    }
                    StreamEvent::SessionGone => {
                        let halves = [&mut stream.send, &mut stream.recv];
                        let open = halves
                            .into_iter()
                            .flatten()
                            .filter(|half| half.told.is_none());
                        let mut any = false;
                        for half in open {
                            any = true;
                            half.tell(End::SessionGone);
                        }
                        assert!(any, "{key:?} was over");
                    }
                    StreamEvent::Readable | StreamEvent::Writable => {}
                    other => panic!("{key:?} {other:?}"),
                }
            }
            Event::WebTransport(key, event) => {
                assert_eq!(key, session);
                assert!(!over, "{event:?} after the end of the session");
                match event {
                    SessionEvent::Opened { stream, dir } => {
                        assert_eq!(stream.id().dir(), dir);
                        let theirs = self.mind(side.peer()).streams.get(&stream.id());
                        assert!(theirs.is_some(), "{stream:?} was never opened");
                        self.learn(side, stream);
                    }
                    SessionEvent::Draining => {
                        assert!(!std::mem::replace(&mut self.mind(side).draining, true));
                    }
                    SessionEvent::Closed(why) => {
                        let clean = aqueduct_core::webtransport::SessionClose::Closed {
                            by: side,
                            code: 0,
                            reason: String::new(),
                        };
                        let same = std::mem::discriminant(&*why) == std::mem::discriminant(&clean);
                        assert!(same, "{side:?}: {why}");
                        self.mind(side).closed = true;
                    }
                    SessionEvent::StreamsAvailable(_)
                    | SessionEvent::Datagrams
                    | SessionEvent::DatagramsUnblocked => {}
                    other => panic!("{other:?}"),
                }
            }
            Event::Available(_) => {}
            other => panic!("{side:?}: {other:?}"),
        }
    }

    /// What holds at any time.
    fn check(&mut self) {
        let stats = SIDES.map(|side| {
            let key = self.key(side);
            self.act(side, |actor| actor.stats(key))
        });
        for side in SIDES {
            let (me, peer) = (side as usize, side.peer() as usize);
            let Some(mine) = stats[me] else { continue };
            assert_eq!([mine.opened_bi, mine.opened_uni], self.minds[me].opened);
            let sent: u64 = self.minds[me]
                .streams
                .values()
                .flat_map(|s| &s.send)
                .map(|h| h.bytes)
                .sum();
            assert_eq!(mine.bytes_sent, sent);
            let Some(flow) = &self.flow else {
                assert_eq!(mine.flow_control, None);
                continue;
            };
            let now = mine.flow_control.expect("flow control");
            let opened = self.minds[me].opened;
            assert!(sent <= now.send_data && opened[0] <= now.open_bi && opened[1] <= now.open_uni);
            let Some(theirs) = stats[peer] else { continue };
            let granted = theirs.flow_control.expect("flow control");
            // What we know is what they said at some time.
            assert!(now.send_data <= granted.recv_data);
            assert!(now.open_bi <= granted.accept_bi && now.open_uni <= granted.accept_uni);
            // A window does not keep growing. What seems lost can come late and counts
            // twice then, until the limit is reached; at most once over.
            let window = flow[peer];
            let ahead = [
                granted.recv_data - sent.min(granted.recv_data),
                granted.accept_bi - opened[0],
                granted.accept_uni - opened[1],
            ];
            let most = [window.data, window.streams_bidi, window.streams_uni];
            for (ahead, window) in ahead.into_iter().zip(most) {
                assert!(ahead <= 2 * window, "{granted:?} for {sent} {opened:?}");
            }
        }
    }

    /// Ends and reads everything: whatever was not given up arrives, and after it
    /// there is credit again.
    fn flush(&mut self) {
        for _ in 0..2 {
            self.settle_and_read();
            for side in SIDES {
                for n in 0..=u8::MAX {
                    let open = self.mind(side).streams.values().nth(n.into());
                    let open = open.and_then(|s| s.send.as_ref().map(|h| (s.key, h.is_over())));
                    let Some((key, false)) = open else { continue };
                    if self.act(side, |actor| actor.finish(key)) {
                        let half = send(self.mind(side), key);
                        (half.ours, half.finished) = (Some(End::Finished), true);
                    }
                }
            }
        }
        self.settle_and_read();
        if self.minds.iter().any(|mind| mind.closed) {
            return;
        }
        for side in SIDES {
            for (id, stream) in &self.minds[side as usize].streams {
                let Some(half) = &stream.send else { continue };
                assert!(half.is_over(), "{id} {half:?} stays open");
            }
        }
        // One byte more in each direction, on a stream of each kind.
        for (side, dir) in SIDES
            .into_iter()
            .flat_map(|s| [(s, Dir::Bi), (s, Dir::Uni)])
        {
            let mut stream = None;
            for _ in 0..20 {
                stream = stream.or_else(|| self.open(side, dir));
                if let Some(key) = stream {
                    self.write(side, key, 1);
                    if send(self.mind(side), key).bytes > 0 {
                        break;
                    }
                }
                self.settle_and_read();
            }
            let key = stream.expect("a stream can be opened again");
            assert!(
                send(self.mind(side), key).bytes > 0,
                "no credit is left for {side:?}"
            );
            self.check();
        }
        self.settle_and_read();
    }

    fn settle_and_read(&mut self) {
        for _ in 0..6 {
            self.world.settle();
            self.listen();
            for side in SIDES {
                let keys: Vec<_> = self
                    .mind(side)
                    .streams
                    .values()
                    .filter(|s| s.recv.is_some())
                    .map(|s| s.key)
                    .collect();
                for key in keys {
                    while !recv(self.mind(side), key).is_over() && self.read(side, key, usize::MAX)
                    {
                    }
                }
            }
        }
        self.world.settle();
        self.listen();
    }

    /// Closes what is left; everything has one end and no table keeps anything.
    fn end(mut self) {
        let key = self.key(Side::Client);
        self.act(Side::Client, |actor| actor.close(key, 1));
        self.world.settle();
        self.listen();
        for side in SIDES {
            let live = self.act(side, |actor| actor.live_streams());
            assert_eq!(
                live, self.idle[side as usize],
                "streams are left on {side:?}"
            );
            let mind = &self.minds[side as usize];
            assert!(mind.closed, "{side:?} heard no end");
            for (id, stream) in &mind.streams {
                for half in [&stream.send, &stream.recv].into_iter().flatten() {
                    assert!(half.is_over(), "{side:?} {id} {stream:?} has no end");
                }
            }
        }
    }
}

fn send(mind: &mut Mind, key: StreamKey) -> &mut Half {
    let stream = mind.streams.get_mut(&key.id()).expect("a stream");
    stream.send.as_mut().expect("a sending half")
}

fn recv(mind: &mut Mind, key: StreamKey) -> &mut Half {
    let stream = mind.streams.get_mut(&key.id()).expect("a stream");
    stream.recv.as_mut().expect("a receiving half")
}
