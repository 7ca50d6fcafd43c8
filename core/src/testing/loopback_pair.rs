//! A client and a server over a [`Loopback`], with a clock that only tests move.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::Config;
use crate::connection::Access;
use crate::connection::Connection;
use crate::error::{ReadError, TransportFailure, WriteError};
use crate::event::Event;
use crate::id::{SessionKey, Side, StreamKey};
use crate::testing::loopback::{End, Knobs, Loopback};
use crate::testing::watch::{Watch, watch};
use crate::time::Why;
use crate::transport::{ReadState, TransportEvent};
use crate::webtransport::{ConnectAnswer, ConnectRequest, SessionEvent};

/// Steps after which a pair that still moves is taken to run in circles.
const TOO_MANY_STEPS: usize = 2_000_000;

/// Takes the first collected event that matches: `take_event!(pair, Side::Client,
/// Event::Response { stream, head } => (stream, head))` gives an `Option`. The
/// pattern may carry an `if` guard. Other events stay.
#[macro_export]
macro_rules! take_event {
    ($from:expr, $side:expr, $pattern:pat $(if $guard:expr)? => $value:expr) => {
        $from.take($side, |event| match event {
            $pattern $(if $guard)? => Ok($value),
            other => Err(other),
        })
    };
}

/// Like [`take_event!`], after letting everything come to rest; panics with the
/// events there are when none matches.
#[macro_export]
macro_rules! expect_event {
    ($from:expr, $side:expr, $pattern:pat $(if $guard:expr)? => $value:expr) => {{
        $from.drive();
        match $crate::take_event!($from, $side, $pattern $(if $guard)? => $value) {
            Some(value) => value,
            None => panic!("no {}; {}", stringify!($pattern), $from.story()),
        }
    }};
}

/// Two connections that talk to each other.
#[derive(Debug)]
pub struct LoopbackPair {
    /// What lies between them.
    pub net: Loopback,
    client: Connection,
    server: Connection,
    now: Instant,
    seed: u64,
    client_events: Vec<Event>,
    server_events: Vec<Event>,
    scratch: Vec<(Side, TransportEvent)>,
    watch: Option<Box<dyn Watch>>,
}

/// Length at which a recording is given up: the time is the test's.
const LONG: usize = 1 << 20;

/// Every test is one of recording and replaying, too.
impl Drop for LoopbackPair {
    fn drop(&mut self) {
        self.unobserve();
        if let Some(mut watch) = self.watch.take()
            && !std::thread::panicking()
        {
            watch.check(self.seed);
        }
    }
}

impl LoopbackPair {
    /// A pair that has not exchanged anything.
    #[must_use]
    pub fn new(client: Config, server: Config, knobs: Knobs) -> Self {
        let seed = knobs.seed;
        Self::over(client, server, seed, Loopback::new(knobs))
    }

    /// A pair over a given network.
    #[must_use]
    pub fn over(client: Config, server: Config, seed: u64, net: Loopback) -> Self {
        let mut watch = watch();
        let mut watched = |side, config: Config, seed| match &mut watch {
            Some(watch) => {
                let observer = watch.connection(side, &config, seed);
                Connection::new(side, Arc::new(config), seed).observed(observer)
            }
            None => Connection::new(side, Arc::new(config), seed),
        };
        Self {
            net,
            client: watched(Side::Client, client, seed),
            server: watched(Side::Server, server, seed.wrapping_add(1)),
            now: super::epoch(),
            watch,
            seed,
            client_events: Vec::new(),
            server_events: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// A pair with default configurations that has exchanged SETTINGS, and
    /// whose events so far are gone.
    #[must_use]
    pub fn connected(knobs: Knobs) -> Self {
        let mut pair = Self::new(Config::default(), Config::default(), knobs);
        pair.connect();
        pair
    }

    /// Lets the handshake and SETTINGS happen and forgets the events of it.
    pub fn connect(&mut self) {
        self.drive();
        for side in [Side::Client, Side::Server] {
            let settings = self.connection(side).0.is_closed();
            assert!(!settings, "closed during the handshake; {}", self.story());
        }
        self.client_events.clear();
        self.server_events.clear();
    }

    fn unobserve(&mut self) {
        for connection in [&mut self.client, &mut self.server] {
            drop(connection.unobserve());
        }
    }

    /// Stops recording and gives what was recorded of both ends; empty if nobody
    /// looks on.
    pub fn recording(&mut self) -> String {
        self.unobserve();
        let watch = self.watch.take();
        watch.map_or_else(String::new, |mut watch| watch.take())
    }

    /// What was recorded since the last call. Recording goes on; what has been taken
    /// is not gone through at the end.
    pub fn take_recording(&mut self) -> String {
        let watch = self.watch.as_mut();
        watch.map_or_else(String::new, |watch| watch.take())
    }

    /// Stops recording, which takes time and memory that are not to be measured.
    pub fn stop_recording(&mut self) {
        drop(self.recording());
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A connection with its transport.
    pub fn connection(&mut self, side: Side) -> (&mut Connection, &mut End) {
        let conn = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        (conn, self.net.end(side))
    }

    /// What the application on `side` works with.
    pub fn access(&mut self, side: Side) -> Access<'_, End> {
        let now = self.now;
        let (conn, end) = self.connection(side);
        conn.access(end, now)
    }

    /// What the client application works with.
    pub fn client(&mut self) -> Access<'_, End> {
        self.access(Side::Client)
    }

    /// What the server application works with.
    pub fn server(&mut self) -> Access<'_, End> {
        self.access(Side::Server)
    }

    /// Moves one thing; false when nothing is left to move.
    pub fn step(&mut self) -> bool {
        let mut scratch = std::mem::take(&mut self.scratch);
        let moved = self.net.step(&mut scratch);
        self.hear(&mut scratch);
        self.scratch = scratch;
        moved || self.next_turn()
    }

    /// Goes on with what a connection left for its next turn; false if neither did.
    fn next_turn(&mut self) -> bool {
        let now = self.now;
        let mut moved = false;
        for side in [Side::Client, Side::Server] {
            let (conn, end) = self.connection(side);
            if conn.poll_timeout().is_some_and(|due| due.why == Why::Work) {
                conn.handle_timeout(end, now);
                moved = true;
            }
        }
        self.collect();
        moved
    }

    /// Moves everything there is to move, without letting time pass.
    pub fn drive(&mut self) {
        self.collect();
        for _ in 0..TOO_MANY_STEPS {
            if !self.step() {
                return;
            }
        }
        panic!("the pair does not come to rest; {}", self.story());
    }

    /// Lets time pass, doing what falls due on the way, each at its time.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        self.drive();
        while let Some(at) = self.next_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.handle_timeouts();
            self.drive();
        }
        self.now = until;
        self.handle_timeouts();
        self.drive();
    }

    /// Tells both connections the time.
    pub fn handle_timeouts(&mut self) {
        let now = self.now;
        for side in [Side::Client, Side::Server] {
            let (conn, end) = self.connection(side);
            conn.handle_timeout(end, now);
        }
        self.collect();
    }

    /// The earlier of the deadlines.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let deadlines = [self.client.poll_timeout(), self.server.poll_timeout()];
        deadlines.into_iter().flatten().map(|d| d.at).min()
    }

    /// Ends the connection under both.
    pub fn fail(&mut self, failure: &TransportFailure) {
        let mut scratch = Vec::new();
        self.net.fail(failure, &mut scratch);
        self.hear(&mut scratch);
    }

    /// The events collected on `side` since the last call.
    pub fn events(&mut self, side: Side) -> Vec<Event> {
        self.drive();
        std::mem::take(self.list(side))
    }

    /// Removes the first collected event that `f` accepts.
    pub fn take<T>(&mut self, side: Side, f: impl FnMut(Event) -> Result<T, Event>) -> Option<T> {
        self.collect();
        take_from(self.list(side), f)
    }

    /// Seed and collected events, for messages of failed tests.
    #[must_use]
    pub fn story(&self) -> String {
        format!(
            "SEED={} client heard {:#?}, server heard {:#?}",
            self.seed, self.client_events, self.server_events
        )
    }

    /// Opens a session and accepts it; gives the client's and the server's key.
    ///
    /// # Panics
    /// When that does not work.
    pub fn session(&mut self, uri: &'static str) -> (SessionKey, SessionKey) {
        let request = ConnectRequest::new(uri.parse().expect("an address"));
        let client = self
            .client()
            .open_session(&request)
            .expect("opens a session");
        let server = expect_event!(
            self, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
        );
        self.server()
            .webtransport(server)
            .accept(&ConnectAnswer::default())
            .expect("accepts it");
        expect_event!(self, Side::Client, Event::WebTransport(_, SessionEvent::Established(_)) => ());
        (client, server)
    }

    /// Writes all of `data`, letting things move when the stream is blocked.
    ///
    /// # Errors
    /// As `SendStream::write`.
    ///
    /// # Panics
    /// When the stream stays blocked although everything has come to rest.
    pub fn write_all(
        &mut self,
        side: Side,
        stream: StreamKey,
        data: impl Into<Bytes>,
    ) -> Result<(), WriteError> {
        let mut chunks = [data.into()];
        while chunks.iter().any(|c| !c.is_empty()) {
            let mut access = self.access(side);
            let mut send = access.send(stream).map_err(|_| WriteError::Gone)?;
            let taken = send.write(&mut chunks)?;
            if taken == 0 {
                let before = self.list(side).len();
                self.drive();
                let told = self.list(side).len() > before;
                assert!(
                    told,
                    "a blocked stream never becomes writable; {}",
                    self.story()
                );
            }
        }
        Ok(())
    }

    /// Reads up to the end of the stream.
    ///
    /// # Errors
    /// As `RecvStream::read`.
    ///
    /// # Panics
    /// When no end comes although everything has come to rest.
    pub fn read_to_end(&mut self, side: Side, stream: StreamKey) -> Result<Vec<u8>, ReadError> {
        let mut all = Vec::new();
        let finished = self.read_some(side, stream, &mut all)?;
        assert!(
            finished,
            "the stream does not end after {} bytes; {}",
            all.len(),
            self.story()
        );
        Ok(all)
    }

    /// Reads what there is, appending it to `all`, and tells whether the stream
    /// has ended.
    ///
    /// # Errors
    /// As `RecvStream::read`.
    pub fn read_some(
        &mut self,
        side: Side,
        stream: StreamKey,
        all: &mut Vec<u8>,
    ) -> Result<bool, ReadError> {
        loop {
            self.drive();
            let mut out = [const { Bytes::new() }; 4];
            let mut access = self.access(side);
            let mut recv = access.recv(stream).map_err(|_| ReadError::Gone)?;
            let read = recv.read(usize::MAX, &mut out)?;
            for chunk in out.iter().take(read.chunks) {
                all.extend_from_slice(chunk);
            }
            match read.state {
                ReadState::Finished => return Ok(true),
                ReadState::Blocked if read.bytes == 0 => return Ok(false),
                // Reading gives credit, and more may come of it.
                ReadState::Blocked | ReadState::Open => {}
            }
        }
    }

    /// Sends `data` and the end from one side's stream and reads it to the end on
    /// the other, both as far as flow control lets them.
    ///
    /// # Panics
    /// When the bytes do not all arrive.
    pub fn transfer(&mut self, side: Side, from: StreamKey, to: StreamKey, data: &[u8]) -> Vec<u8> {
        let mut chunks = [Bytes::copy_from_slice(data)];
        let mut all = Vec::new();
        let mut finished = false;
        let mut idle = 0;
        loop {
            let before = (chunks[0].len(), all.len());
            if !chunks[0].is_empty() {
                let mut access = self.access(side);
                let mut send = access.send(from).expect("a stream to send on");
                send.write(&mut chunks).expect("a stream that takes bytes");
            }
            if chunks[0].is_empty() && !finished {
                finished = true;
                let mut access = self.access(side);
                let mut send = access.send(from).expect("a stream to send on");
                send.finish().expect("a stream to finish");
            }
            if self.read_some(side.peer(), to, &mut all).expect("bytes") {
                return all;
            }
            self.drive();
            // A write that took nothing may be followed by one that takes more.
            idle = if (chunks[0].len(), all.len()) == before {
                idle + 1
            } else {
                0
            };
            let (at, story) = (all.len(), || self.story());
            assert!(idle < 3, "the transfer stops at {at} bytes; {}", story());
        }
    }

    fn list(&mut self, side: Side) -> &mut Vec<Event> {
        match side {
            Side::Client => &mut self.client_events,
            Side::Server => &mut self.server_events,
        }
    }

    fn hear(&mut self, heard: &mut Vec<(Side, TransportEvent)>) {
        let now = self.now;
        for (side, event) in heard.drain(..) {
            let (conn, end) = self.connection(side);
            conn.handle(end, now, event);
        }
        self.collect();
    }

    fn collect(&mut self) {
        if self.watch.as_ref().is_some_and(|watch| watch.len() > LONG) {
            self.stop_recording();
        }
        self.client_events
            .extend(std::iter::from_fn(|| self.client.poll_event()));
        self.server_events
            .extend(std::iter::from_fn(|| self.server.poll_event()));
    }
}

/// Removes the first event that `f` accepts.
pub(super) fn take_from<T>(
    events: &mut Vec<Event>,
    mut f: impl FnMut(Event) -> Result<T, Event>,
) -> Option<T> {
    for at in 0..events.len() {
        // Something has to stand in its place meanwhile; it does not matter what.
        let event = std::mem::replace(&mut events[at], Event::Available(crate::id::Dir::Bi));
        match f(event) {
            Ok(value) => {
                events.remove(at);
                return Some(value);
            }
            Err(event) => events[at] = event,
        }
    }
    None
}
