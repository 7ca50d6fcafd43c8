//! What an application may do with a connection of raw QUIC, with any argument, and what it
//! may rely on: keys that are never doubled, streams that end once, bytes that were sent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use aqueduct_core::connection::quic::{QuicAccess, QuicCall, QuicOutcome};
use aqueduct_core::event::Event;
use aqueduct_core::id::{Dir, Side, StreamId, StreamKey};
use aqueduct_core::quic::{
    self, Config, MAX_CODE, ReadError, Shutdown, ShutdownError, Start, StartError, StreamEvent,
    WriteError,
};
use aqueduct_core::transport::{ReadState, Transport};
use arbitrary::Arbitrary;
use bytes::Bytes;

/// Streams that each end lets the other open, and the caps beside them: small, so that they
/// are reached.
pub const STREAMS: u64 = 5;
const OPEN: usize = 3;
const QUEUED: usize = 4;

/// Small caps, and whether the application confirms certificates.
#[must_use]
pub fn config(choice: u8) -> Config {
    let mut config = Config::new().open_streams(OPEN).queued_starts(QUEUED);
    config.work = 2;
    config.datagrams = choice & 1 == 0;
    config.tell_available = choice & 2 == 0;
    if choice & 12 == 12 {
        config = config.confirm(Duration::from_millis(500));
    }
    config
}

/// Which stream something is done with.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Which {
    /// One of this connection's, over or not.
    Known(u8),
    /// One that another end or connection knows.
    Strangers(u8),
    /// One that never was.
    MadeUp(u64, u32),
}

/// An argument from the edges of what there is.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Edge(u8);

impl Edge {
    /// A code.
    #[must_use]
    pub fn code(self) -> u64 {
        let codes = [0, 1, 0x100, 1 << 32, MAX_CODE, MAX_CODE + 1, u64::MAX];
        codes.get(usize::from(self.0) % 7).copied().unwrap_or(0)
    }

    /// A length.
    #[must_use]
    pub fn length(self) -> usize {
        let lens = [0, 1, 2, 100, 1_200, 1_500, 5_000, 65_535, 70_000];
        lens.get(usize::from(self.0) % 9).copied().unwrap_or(0)
    }

    /// A limit of a read.
    fn max(self) -> usize {
        if self.0 > 200 {
            usize::MAX
        } else {
            self.length()
        }
    }

    /// A time to come, or one that is over.
    fn time(self, now: Instant) -> Instant {
        let later = Duration::from_millis(u64::from(self.0) * 20);
        match self.0 {
            255 => now + Duration::from_secs(3_000_000_000),
            254 => now.checked_sub(Duration::from_secs(9)).unwrap_or(now),
            _ => now + later,
        }
    }
}

/// How a stream is ended.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum How {
    /// The end.
    Graceful,
    /// RESET_STREAM.
    AbortSend,
    /// STOP_SENDING.
    AbortReceive,
    /// Both.
    Abort,
    /// Both, and forgotten.
    Immediate,
}

/// What an application does.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Act {
    /// Any call of the certificates.
    Confirm(Option<u8>),
    /// A stream: whether one way, whether at once, its priority.
    Start(bool, bool, i32),
    /// So many bytes, in so many pieces.
    Write(Which, Edge, u8),
    /// At most so many bytes, in so many pieces.
    Read(Which, Edge, u8),
    /// An end.
    Shutdown(Which, How, Edge),
    /// A priority.
    SetPriority(Which, i32),
    /// A datagram.
    SendDatagram(Edge),
    /// All datagrams there are.
    RecvDatagrams,
    /// The same as data.
    Call(Which, u8, Edge),
    /// Winds down. Seldom, or nothing else would happen.
    Drain(Edge, u8),
    /// Closes; as seldom.
    Close(Edge, Edge, u8),
    /// Everything that can be asked.
    Ask(Which),
}

/// Byte `at` of everything `sender` sends on `stream`.
fn pattern(stream: StreamId, sender: Side, at: u64) -> u8 {
    (at.wrapping_mul(131) ^ (at >> 8) ^ stream.wire().wrapping_mul(7) ^ sender as u64) as u8
}

/// One application, and what it knows.
#[derive(Debug, Default)]
pub struct App {
    /// Every key that it was ever given.
    pub keys: Vec<StreamKey>,
    live: BTreeSet<StreamKey>,
    sent: BTreeMap<StreamKey, u64>,
    got: BTreeMap<StreamKey, u64>,
    connected: bool,
    /// It has heard of the end.
    pub closed: bool,
}

impl App {
    fn which(&self, which: Which, strangers: &[StreamKey]) -> StreamKey {
        let made_up = |id: u64, slot| {
            let id = StreamId::from_wire(id & StreamId::MAX);
            StreamKey::new(id.unwrap_or(StreamId::new(Side::Client, Dir::Bi, 0)), slot)
        };
        let pick = |keys: &[StreamKey], at: u8| {
            let at = usize::from(at) % keys.len().max(1);
            keys.get(at).copied().unwrap_or_else(|| made_up(0, 0))
        };
        match which {
            Which::Known(at) => pick(&self.keys, at),
            Which::Strangers(at) => pick(strangers, at),
            Which::MadeUp(id, slot) => made_up(id, slot),
        }
    }

    /// Does something, and holds what it gives to what it may rely on.
    pub fn act<T: Transport>(
        &mut self,
        act: Act,
        strangers: &[StreamKey],
        to: &mut QuicAccess<'_, T>,
    ) {
        match act {
            Act::Confirm(alert) => _ = to.confirm(alert.map_or(Ok(()), Err)),
            Act::Start(uni, at_once, priority) => {
                let dir = if uni { Dir::Uni } else { Dir::Bi };
                let mut how = Start::new().priority(priority);
                if at_once {
                    how = how.fail_blocked();
                }
                self.started(to.start(dir, how));
            }
            Act::Write(which, len, pieces) => {
                self.write(self.which(which, strangers), len.length(), pieces, to);
            }
            Act::Read(which, max, slots) => {
                self.read(self.which(which, strangers), max.max(), slots, to);
            }
            Act::Shutdown(which, how, code) => {
                let key = self.which(which, strangers);
                let known = to.has_stream(key);
                let ended = to.shutdown(key, shutdown(how, code.code()));
                assert!(
                    known || ended == Err(ShutdownError::Gone),
                    "{key:?}: {ended:?}"
                );
            }
            Act::SetPriority(which, priority) => {
                let key = self.which(which, strangers);
                let known = to.has_stream(key);
                let set = to.set_priority(key, priority);
                assert!(known || set == Err(ShutdownError::Gone), "{key:?}: {set:?}");
            }
            Act::SendDatagram(len) => _ = to.send_datagram(vec![7; len.length()].into()),
            Act::RecvDatagrams => while to.recv_datagram().is_some() {},
            Act::Call(which, call, edge) => {
                let key = self.which(which, strangers);
                self.call(key, call, edge, to);
            }
            Act::Drain(after, seldom) if seldom > 230 => to.drain(after.time(to.now())),
            Act::Close(code, len, seldom) if seldom > 240 => {
                let open = to.close_reason().is_none();
                let closed = to.close(code.code(), vec![b'x'; len.length()]);
                assert_eq!(closed.is_ok(), open && code.code() <= MAX_CODE);
            }
            Act::Drain(..) | Act::Close(..) => {}
            Act::Ask(which) => self.ask(self.which(which, strangers), to),
        }
    }

    fn started(&mut self, started: Result<StreamKey, StartError>) {
        if let Ok(key) = started {
            assert!(!self.closed, "{key:?} begins on a closed connection");
            self.known(key);
        } else {
            assert!(
                !self.closed || started == Err(StartError::Closed),
                "{started:?}"
            );
        }
    }

    /// Takes a key that was never given before.
    pub fn known(&mut self, key: StreamKey) {
        assert!(!self.keys.contains(&key), "{key:?} twice");
        self.keys.push(key);
        self.live.insert(key);
    }

    fn write<T: Transport>(
        &mut self,
        key: StreamKey,
        len: usize,
        pieces: u8,
        to: &mut QuicAccess<'_, T>,
    ) {
        let start = self.sent.get(&key).copied().unwrap_or(0);
        let bytes: Vec<u8> = (start..start + len as u64)
            .map(|at| pattern(key.id(), to.side(), at))
            .collect();
        let piece = len.div_ceil(usize::from(pieces).max(1)).max(1);
        let mut chunks: Vec<Bytes> = bytes.chunks(piece).map(Bytes::copy_from_slice).collect();
        let known = to.has_stream(key);
        let taken = to.write(key, &mut chunks);
        assert!(
            known || taken == Err(WriteError::Gone),
            "{key:?}: {taken:?}"
        );
        let left: usize = chunks.iter().map(Bytes::len).sum();
        assert_eq!(taken.unwrap_or(0) + left, len, "{key:?}: {taken:?}");
        if taken.is_ok_and(|taken| taken > 0) {
            *self.sent.entry(key).or_default() += taken.unwrap_or(0) as u64;
        }
    }

    fn read<T: Transport>(
        &mut self,
        key: StreamKey,
        max: usize,
        slots: u8,
        to: &mut QuicAccess<'_, T>,
    ) {
        let mut out = vec![Bytes::new(); usize::from(slots % 5)];
        let before = to.offset(key);
        let read = to.read(key, max, &mut out);
        let Ok(read) = read else {
            assert!(before.is_some() || read == Err(ReadError::Gone), "{read:?}");
            return;
        };
        assert!(read.bytes <= max && read.chunks <= out.len(), "{read:?}");
        let got = self.got.entry(key).or_default();
        assert_eq!(before, Some(*got), "the offset of {key:?}");
        for byte in out.iter().take(read.chunks).flatten() {
            let expected = pattern(key.id(), to.side().peer(), *got);
            assert_eq!(*byte, expected, "byte {got} of {key:?}");
            *got += 1;
        }
        if read.state == ReadState::Finished {
            let mut one = [Bytes::new()];
            let again = to.read(key, 1, &mut one);
            let over = [Err(ReadError::Finished), Err(ReadError::Gone)];
            assert!(over.contains(&again), "{key:?} goes on: {again:?}");
        }
    }

    /// Calls as data: the same functions, with what they give told apart by names.
    fn call<T: Transport>(
        &mut self,
        key: StreamKey,
        call: u8,
        edge: Edge,
        to: &mut QuicAccess<'_, T>,
    ) {
        let call = match call % 6 {
            0 => QuicCall::Start(Dir::Bi, Start::new()),
            1 => QuicCall::Write(key, Vec::new()),
            2 => QuicCall::Read(key, 0, edge.length()),
            3 => QuicCall::Shutdown(key, Shutdown::AbortReceive(edge.code())),
            4 => QuicCall::RecvDatagram,
            _ => QuicCall::SetPriority(key, i32::MIN),
        };
        match call.apply(to) {
            QuicOutcome::Start(started) => self.started(started),
            QuicOutcome::Write(taken) => assert!(taken.is_err() || taken == Ok(0)),
            QuicOutcome::Read(read) => assert!(read.map_or(0, |read| read.bytes) == 0),
            _ => {}
        }
    }

    fn ask<T: Transport>(&self, key: StreamKey, to: &QuicAccess<'_, T>) {
        let keys: BTreeSet<_> = to.streams().collect();
        assert_eq!(keys.len(), to.live_streams(), "each once");
        assert_eq!(keys.contains(&key), to.has_stream(key));
        assert_eq!(to.offset(key).is_some(), to.has_stream(key));
        assert!(
            keys.iter()
                .all(|key| self.keys.contains(key) || !self.closed)
        );
        let own = 2 * (STREAMS as usize + QUEUED);
        assert!(keys.len() <= OPEN + own, "{} streams", keys.len());
        assert!(!to.is_established() || to.close_reason().is_none());
        let _ = (to.about(), to.max_datagram_size(), to.now());
    }

    /// Takes an event.
    pub fn hear(&mut self, event: &Event) {
        assert!(!self.closed, "{event:?} after the end");
        match event {
            Event::Closed(_) => self.closed = true,
            Event::Connected { .. } => {
                assert!(!self.connected, "connected twice");
                self.connected = true;
            }
            Event::Quic(quic::Event::Opened(key)) => self.known(*key),
            Event::Quic(quic::Event::Stream(key, event)) => {
                assert!(self.live.contains(key), "{event:?} of {key:?}");
                if matches!(event, StreamEvent::Closed(_)) {
                    self.live.remove(key);
                }
            }
            _ => {}
        }
    }
}

fn shutdown(how: How, code: u64) -> Shutdown {
    match how {
        How::Graceful => Shutdown::Graceful,
        How::AbortSend => Shutdown::AbortSend(code),
        How::AbortReceive => Shutdown::AbortReceive(code),
        How::Abort => Shutdown::Abort(code),
        How::Immediate => Shutdown::Immediate(code),
    }
}
