//! Two ends of one connection of raw QUIC, and what their applications do.

use aqueduct_core::connection::quic::QuicAccess;
use aqueduct_core::endpoint::{QuicMut, QuinnTransport};
use aqueduct_core::error::CloseReason;
use aqueduct_core::event::Event;
use aqueduct_core::id::{ConnKey, Dir, Side, StreamKey};
use aqueduct_core::quic::{self, ReadError, Shutdown, Start, StreamClosed, StreamEvent};
use aqueduct_core::testing::pair::{Options, Pair, Quic};
use aqueduct_core::transport::ReadState;
use bytes::Bytes;

/// Both ends speak `chat`, the server HTTP/3 as well; with these differences.
pub(crate) fn options(change: impl FnOnce(&mut Options, &mut Quic)) -> Options {
    let (mut options, mut quic) = (Options::default(), Quic::default());
    change(&mut options, &mut quic);
    options.quic = Some(quic);
    options
}

/// One connection, seen from both ends.
pub(crate) struct Talk {
    pub(crate) pair: Pair,
    pub(crate) client: ConnKey,
    pub(crate) server: ConnKey,
}

impl Talk {
    /// An established connection whose events so far are gone.
    pub(crate) fn new() -> Self {
        Self::with(|_, _| {})
    }

    /// The same with other options.
    pub(crate) fn with(change: impl FnOnce(&mut Options, &mut Quic)) -> Self {
        let (pair, client, server) = Pair::connected(options(change));
        let mut talk = Self {
            pair,
            client,
            server,
        };
        talk.pair.drive();
        talk.pair.client.events.clear();
        talk.pair.server.events.clear();
        talk
    }

    /// An established connection of whose end at the server nobody takes any event.
    pub(crate) fn untaken(change: impl FnOnce(&mut Options, &mut Quic)) -> Self {
        let mut pair = Pair::new(options(change));
        let client = pair.connect();
        pair.drive();
        let server = pair.server.events[0].0;
        Self {
            pair,
            client,
            server,
        }
    }

    pub(crate) fn end(&mut self, side: Side) -> QuicMut<'_> {
        match side {
            Side::Client => self.pair.client_quic(self.client),
            Side::Server => self.pair.server_quic(self.server),
        }
    }

    pub(crate) fn act<R>(
        &mut self,
        side: Side,
        act: impl FnOnce(&mut QuicAccess<'_, QuinnTransport<'_>>) -> R,
    ) -> R {
        act(&mut self.end(side).access())
    }

    pub(crate) fn start(&mut self, side: Side, dir: Dir) -> StreamKey {
        let started = self.act(side, |access| access.start(dir, Start::new()));
        started.expect("begins")
    }

    /// Writes all of it.
    pub(crate) fn write(&mut self, side: Side, stream: StreamKey, bytes: &'static [u8]) {
        let mut chunks = [Bytes::from_static(bytes)];
        let taken = self.act(side, |access| access.write(stream, &mut chunks));
        assert_eq!(taken, Ok(bytes.len()));
    }

    pub(crate) fn shutdown(&mut self, side: Side, stream: StreamKey, how: Shutdown) {
        let ended = self.act(side, |access| access.shutdown(stream, how));
        ended.expect("ends");
    }

    /// Every event of one end, when everything has come to rest.
    pub(crate) fn all(&mut self, side: Side) -> Vec<Event> {
        self.pair.drive();
        self.told(side)
    }

    /// Every event of one end so far.
    pub(crate) fn told(&mut self, side: Side) -> Vec<Event> {
        match side {
            Side::Client => self.pair.client.take(self.client),
            Side::Server => self.pair.server.take(self.server),
        }
    }

    /// Those of raw QUIC, but for sizes of datagrams, which follow the path.
    pub(crate) fn events(&mut self, side: Side) -> Vec<quic::Event> {
        super::quic(self.all(side))
    }

    /// Those of one stream.
    pub(crate) fn of(&mut self, side: Side, stream: StreamKey) -> Vec<StreamEvent> {
        of(&self.events(side), stream)
    }

    /// The streams that the peer has opened.
    pub(crate) fn opened(&mut self, side: Side) -> Vec<StreamKey> {
        super::opened(&self.events(side))
    }

    /// A stream that `side` begins with some bytes, and as its peer knows it; what was told
    /// of it so far is gone, and read.
    pub(crate) fn stream(&mut self, side: Side, dir: Dir) -> [StreamKey; 2] {
        let ours = self.start(side, dir);
        self.write(side, ours, b"hello");
        let theirs = self.opened(side.peer())[0];
        let read = self.read(side.peer(), theirs);
        assert_eq!(read, (b"hello".to_vec(), ReadState::Blocked));
        self.events(side);
        [ours, theirs]
    }

    /// All that can be read, and how that ended.
    pub(crate) fn read(&mut self, side: Side, stream: StreamKey) -> (Vec<u8>, ReadState) {
        self.try_read(side, stream).expect("reads")
    }

    pub(crate) fn try_read(
        &mut self,
        side: Side,
        stream: StreamKey,
    ) -> Result<(Vec<u8>, ReadState), ReadError> {
        let mut all = Vec::new();
        self.act(side, |access| {
            loop {
                let mut out = [const { Bytes::new() }; 4];
                let read = access.read(stream, usize::MAX, &mut out)?;
                out.iter().for_each(|chunk| all.extend_from_slice(chunk));
                if read.state != ReadState::Open {
                    return Ok(read.state);
                }
            }
        })
        .map(|state| (all, state))
    }

    pub(crate) fn close(&mut self, side: Side, code: u64, reason: &'static [u8]) {
        let closed = self.act(side, |access| access.close(code, reason));
        closed.expect("closes");
    }

    pub(crate) fn live(&mut self, side: Side) -> usize {
        self.act(side, |access| access.live_streams())
    }
}

/// The events of one stream among these.
pub(crate) fn of(events: &[quic::Event], stream: StreamKey) -> Vec<StreamEvent> {
    let of_stream = |event: &quic::Event| match event {
        quic::Event::Stream(of, event) if *of == stream => Some(*event),
        _ => None,
    };
    events.iter().filter_map(of_stream).collect()
}

/// Why a connection ended, if it did: `Closed` is the last event, and told once.
pub(crate) fn reason(events: &[Event]) -> Option<CloseReason> {
    let closed = |event: &&Event| matches!(event, Event::Closed(_));
    assert!(events.iter().filter(closed).count() <= 1, "{events:?}");
    match events.last() {
        Some(Event::Closed(reason)) => Some((**reason).clone()),
        _ => None,
    }
}

/// How a stream ended, by who abandoned it, and the code.
pub(crate) fn closed(here: bool, remotely: bool, code: Option<u64>) -> StreamEvent {
    let mut closed = StreamClosed::default();
    (closed.aborted_here, closed.aborted_remotely) = (here, remotely);
    closed.code = code;
    StreamEvent::Closed(closed)
}
