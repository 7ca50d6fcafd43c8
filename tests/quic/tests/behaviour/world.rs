//! Two connections, a behaviour on each, and what they were told.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aqueduct_core::behaviour::{
    Accept, Action, ActionError, Actions, At, Behaviour, Config, ConnectionClosed,
    ConnectionResult, Context, Failure, HandedOver, Mode, NewStream, Opened, Owner, ReceiveError,
    Runner, StreamAction, StreamActionError, StreamBehaviour, StreamContext, StreamResult, Verdict,
};
use aqueduct_core::error::TransportFailure;
use aqueduct_core::id::{ConnKey, Dir, Side, StreamKey};
use aqueduct_core::quic::{StartError, StreamClosed};
use aqueduct_core::testing::pair::{Options, Pair, Quic};
use aqueduct_core::transport::EarlyData;
use bytes::Bytes;

use super::FIRST;

/// A callback, as it was made.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ev {
    NewConnection,
    Connected(EarlyData),
    Certificate(usize),
    Available(Dir),
    NeedsStreams(Dir),
    PeerAddress,
    Datagram(Bytes),
    NewStream(StreamKey, Opened),
    Orphaned(StreamKey, HandedOver),
    OrphanClosed(StreamKey, StreamClosed),
    NotStarted(StartError),
    Message(&'static str),
    Timeout,
    Continued,
    Failed(ActionError),
    Draining,
    ByTransport(TransportFailure),
    ByPeer(u64, Bytes),
    Over(ConnectionClosed),

    Started,
    HandedOver(HandedOver),
    Data(Bytes, At),
    ReceiveFailed(ReceiveError),
    Passive,
    SendComplete { cancelled: bool },
    PeerAbortedSend(u64),
    PeerAbortedReceive(u64),
    SendOver { graceful: bool },
    EarlyDataRejected,
    StreamFailed(StreamActionError),
    Closed(StreamClosed),
}

/// What was told, by whom, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Log(Arc<Mutex<Vec<(&'static str, Ev)>>>);

impl Log {
    fn add(&self, who: &'static str, ev: &Ev) {
        self.0.lock().expect("no panic").push((who, ev.clone()));
    }

    /// What this one was told since the last call.
    pub(super) fn take(&self, who: &str) -> Vec<Ev> {
        let mut log = self.0.lock().expect("no panic");
        let (taken, left) = log.drain(..).partition(|(of, _)| *of == who);
        *log = left;
        let taken: Vec<(&str, Ev)> = taken;
        taken.into_iter().map(|(_, ev)| ev).collect()
    }

    /// The first thing that this one was told since.
    pub(super) fn take_first(&self, who: &str) -> Option<Ev> {
        let mut log = self.0.lock().expect("no panic");
        let at = log.iter().position(|(of, _)| *of == who)?;
        Some(log.remove(at).1)
    }

    /// All that has not been taken.
    pub(super) fn all(&self) -> Vec<(&'static str, Ev)> {
        self.0.lock().expect("no panic").clone()
    }
}

type OnConn = Box<dyn FnMut(&Context<'_>, &Ev) -> ConnectionResult<&'static str> + Send>;
type OnStream = Box<dyn FnMut(&StreamContext<'_>, &Ev) -> StreamResult<&'static str> + Send>;
type OnNew = Box<dyn FnMut(StreamKey, Opened) -> Result<Accept<&'static str>, Failure> + Send>;

/// A connection that writes down what it is told, and answers as a test says.
pub(super) struct Conn {
    who: &'static str,
    log: Log,
    act: OnConn,
    accept: OnNew,
    pub(super) verdict: Verdict,
}

impl Conn {
    /// It does nothing, and takes no stream.
    pub(super) fn new(who: &'static str, log: &Log) -> Self {
        Self {
            who,
            log: log.clone(),
            act: Box::new(|_, _| Ok(Actions::new())),
            accept: Box::new(|_, _| Ok(Accept::Orphan)),
            verdict: Verdict::Accept,
        }
    }

    pub(super) fn acting(
        mut self,
        act: impl FnMut(&Context<'_>, &Ev) -> ConnectionResult<&'static str> + Send + 'static,
    ) -> Self {
        self.act = Box::new(act);
        self
    }

    pub(super) fn accepting(
        mut self,
        accept: impl FnMut(StreamKey, Opened) -> Result<Accept<&'static str>, Failure> + Send + 'static,
    ) -> Self {
        self.accept = Box::new(accept);
        self
    }

    /// It gives each stream of the peer's to one that only writes down.
    pub(super) fn listening(self, who: &'static str, mode: Mode) -> Self {
        let log = self.log.clone();
        self.accepting(move |_, _| Ok(Accept::Own(Stream::new(who, &log).boxed(), mode)))
    }

    fn tell(&mut self, cx: &Context<'_>, ev: Ev) -> ConnectionResult<&'static str> {
        self.log.add(self.who, &ev);
        (self.act)(cx, &ev)
    }
}

impl Behaviour for Conn {
    type Message = &'static str;

    fn new_connection(&mut self, cx: &Context<'_>) -> ConnectionResult<&'static str> {
        self.tell(cx, Ev::NewConnection)
    }
    fn connected(&mut self, cx: &Context<'_>, early: EarlyData) -> ConnectionResult<&'static str> {
        self.tell(cx, Ev::Connected(early))
    }
    fn certificate(&mut self, _: &Context<'_>, chain: &[Bytes]) -> Result<Verdict, Failure> {
        self.log.add(self.who, &Ev::Certificate(chain.len()));
        Ok(self.verdict)
    }
    fn streams_available(&mut self, cx: &Context<'_>, dir: Dir) -> ConnectionResult<&'static str> {
        self.tell(cx, Ev::Available(dir))
    }
    fn peer_needs_streams(&mut self, cx: &Context<'_>, dir: Dir) -> ConnectionResult<&'static str> {
        self.tell(cx, Ev::NeedsStreams(dir))
    }
    fn peer_address_changed(
        &mut self,
        cx: &Context<'_>,
        to: std::net::SocketAddr,
    ) -> ConnectionResult<&'static str> {
        assert_eq!(cx.about().map(|about| about.remote), Some(to));
        self.tell(cx, Ev::PeerAddress)
    }
    fn datagram(&mut self, cx: &Context<'_>, datagram: Bytes) -> ConnectionResult<&'static str> {
        self.tell(cx, Ev::Datagram(datagram))
    }
    fn new_stream(
        &mut self,
        _: &Context<'_>,
        key: StreamKey,
        opened: Opened,
    ) -> Result<Accept<&'static str>, Failure> {
        self.log.add(self.who, &Ev::NewStream(key, opened));
        (self.accept)(key, opened)
    }
    fn orphaned(
        &mut self,
        cx: &Context<'_>,
        key: StreamKey,
        what: HandedOver,
    ) -> ConnectionResult<&'static str> {
        self.tell(cx, Ev::Orphaned(key, what))
    }
    fn orphan_closed(
        &mut self,
        cx: &Context<'_>,
        key: StreamKey,
        how: StreamClosed,
    ) -> ConnectionResult<&'static str> {
        self.tell(cx, Ev::OrphanClosed(key, how))
    }
    fn not_started(
        &mut self,
        cx: &Context<'_>,
        why: StartError,
        _: Owner<&'static str>,
    ) -> ConnectionResult<&'static str> {
        self.tell(cx, Ev::NotStarted(why))
    }
    fn message(&mut self, cx: &Context<'_>, said: &'static str) -> ConnectionResult<&'static str> {
        self.tell(cx, Ev::Message(said))
    }
    fn timeout(&mut self, cx: &Context<'_>) -> ConnectionResult<&'static str> {
        self.tell(cx, Ev::Timeout)
    }
    fn continued(&mut self, cx: &Context<'_>) -> ConnectionResult<&'static str> {
        self.tell(cx, Ev::Continued)
    }
    fn action_failed(
        &mut self,
        cx: &Context<'_>,
        why: ActionError,
    ) -> ConnectionResult<&'static str> {
        self.tell(cx, Ev::Failed(why))
    }
    fn draining(&mut self, cx: &Context<'_>) -> ConnectionResult<&'static str> {
        self.tell(cx, Ev::Draining)
    }
    fn shutdown_by_transport(
        &mut self,
        cx: &Context<'_>,
        failure: &TransportFailure,
    ) -> ConnectionResult<&'static str> {
        self.tell(cx, Ev::ByTransport(failure.clone()))
    }
    fn shutdown_by_peer(
        &mut self,
        cx: &Context<'_>,
        code: u64,
        reason: &Bytes,
    ) -> ConnectionResult<&'static str> {
        self.tell(cx, Ev::ByPeer(code, reason.clone()))
    }
    fn closed(&mut self, cx: &Context<'_>, how: &ConnectionClosed) {
        let _ = self.tell(cx, Ev::Over(how.clone()));
    }
}

/// The owner of a stream that writes down what it is told, and answers as a test says.
pub(super) struct Stream {
    who: &'static str,
    log: Log,
    act: OnStream,
}

impl Stream {
    pub(super) fn new(who: &'static str, log: &Log) -> Self {
        Self {
            who,
            log: log.clone(),
            act: Box::new(|_, _| Ok(Actions::new())),
        }
    }

    pub(super) fn acting(
        mut self,
        act: impl FnMut(&StreamContext<'_>, &Ev) -> StreamResult<&'static str> + Send + 'static,
    ) -> Self {
        self.act = Box::new(act);
        self
    }

    pub(super) fn boxed(self) -> Owner<&'static str> {
        Box::new(self)
    }

    fn tell(&mut self, cx: &StreamContext<'_>, ev: Ev) -> StreamResult<&'static str> {
        self.log.add(self.who, &ev);
        (self.act)(cx, &ev)
    }
}

impl StreamBehaviour<&'static str> for Stream {
    fn started(&mut self, cx: &StreamContext<'_>) -> StreamResult<&'static str> {
        self.tell(cx, Ev::Started)
    }
    fn handed_over(
        &mut self,
        cx: &StreamContext<'_>,
        what: HandedOver,
    ) -> StreamResult<&'static str> {
        self.tell(cx, Ev::HandedOver(what))
    }
    fn data(&mut self, cx: &StreamContext<'_>, data: Bytes, at: At) -> StreamResult<&'static str> {
        self.tell(cx, Ev::Data(data, at))
    }
    fn receive_failed(
        &mut self,
        cx: &StreamContext<'_>,
        why: ReceiveError,
    ) -> StreamResult<&'static str> {
        self.tell(cx, Ev::ReceiveFailed(why))
    }
    fn passive(&mut self, cx: &StreamContext<'_>) -> StreamResult<&'static str> {
        self.tell(cx, Ev::Passive)
    }
    fn send_complete(
        &mut self,
        cx: &StreamContext<'_>,
        cancelled: bool,
    ) -> StreamResult<&'static str> {
        self.tell(cx, Ev::SendComplete { cancelled })
    }
    fn peer_aborted_send(
        &mut self,
        cx: &StreamContext<'_>,
        code: u64,
    ) -> StreamResult<&'static str> {
        self.tell(cx, Ev::PeerAbortedSend(code))
    }
    fn peer_aborted_receive(
        &mut self,
        cx: &StreamContext<'_>,
        code: u64,
    ) -> StreamResult<&'static str> {
        self.tell(cx, Ev::PeerAbortedReceive(code))
    }
    fn send_over(&mut self, cx: &StreamContext<'_>, graceful: bool) -> StreamResult<&'static str> {
        self.tell(cx, Ev::SendOver { graceful })
    }
    fn early_data_rejected(&mut self, cx: &StreamContext<'_>) -> StreamResult<&'static str> {
        self.tell(cx, Ev::EarlyDataRejected)
    }
    fn action_failed(
        &mut self,
        cx: &StreamContext<'_>,
        why: StreamActionError,
    ) -> StreamResult<&'static str> {
        self.tell(cx, Ev::StreamFailed(why))
    }
    fn closed(&mut self, cx: &StreamContext<'_>, how: StreamClosed) -> StreamResult<&'static str> {
        self.tell(cx, Ev::Closed(how))
    }
}

/// Both ends.
pub(super) struct World {
    pub(super) pair: Pair,
    pub(super) client: Runner<Conn>,
    pub(super) server: Runner<Conn>,
    pub(super) client_key: ConnKey,
    pub(super) server_key: Option<ConnKey>,
}

pub(super) fn options() -> Options {
    Options {
        quic: Some(Quic::default()),
        ..Options::default()
    }
}

impl World {
    /// Connected, if nothing is in the way.
    pub(super) fn new(client: Conn, server: Conn) -> Self {
        let mut world = Self::with(options(), Config::new(), client, server);
        world.drive();
        world
    }

    /// The client has begun.
    pub(super) fn with(options: Options, config: Config, client: Conn, server: Conn) -> Self {
        let mut pair = Pair::new(options);
        let client_key = pair.connect();
        Self {
            pair,
            client: Runner::new(Side::Client, client, config.clone()),
            server: Runner::new(Side::Server, server, config),
            client_key,
            server_key: None,
        }
    }

    /// Lets everything happen that is nearer than the pair's patience.
    pub(super) fn drive(&mut self) {
        let patience = self.pair.patience;
        self.go_on(|pair, next| next - pair.now <= patience);
    }

    /// Lets time pass.
    pub(super) fn advance(&mut self, by: Duration) {
        let until = self.pair.now + by;
        self.go_on(|_, next| next <= until);
        self.pair.now = until;
    }

    fn go_on(&mut self, until: impl Fn(&Pair, Instant) -> bool) {
        for _ in 0..1_000_000 {
            let at = self.pair.step();
            if self.pump() {
                continue;
            }
            let timers = [self.client.poll_timeout(), self.server.poll_timeout()];
            let timers = timers.into_iter().flatten().map(|due| due.at);
            match timers.chain(at).min() {
                Some(next) if until(&self.pair, next) => self.pair.now = self.pair.now.max(next),
                _ => return,
            }
        }
        panic!("it runs in circles");
    }

    /// Lets both behaviours have so many turns and no more, however much they want to do.
    pub(super) fn turns(&mut self, turns: usize) {
        for _ in 0..turns {
            self.pair.step();
            let now = self.pair.now;
            one_turn(
                &mut self.client,
                &mut self.pair.client,
                now,
                self.client_key,
            );
            if self.server_key.is_none() {
                self.server_key = self.pair.server.events.first().map(|(key, _)| *key);
            }
            if let Some(key) = self.server_key {
                one_turn(&mut self.server, &mut self.pair.server, now, key);
            }
            self.pair.now += Duration::from_millis(25);
        }
    }

    /// Lets both behaviours have a turn. Whether either did anything.
    fn pump(&mut self) -> bool {
        let client = turn(
            &mut self.client,
            &mut self.pair.client,
            self.pair.now,
            self.client_key,
        );
        if self.server_key.is_none() {
            self.server_key = self.pair.server.events.first().map(|(key, _)| *key);
        }
        let Some(key) = self.server_key else {
            return client;
        };
        turn(&mut self.server, &mut self.pair.server, self.pair.now, key) || client
    }

    /// The client does something.
    pub(super) fn act(&mut self, action: impl Into<Action<&'static str>>) {
        self.client.act(self.pair.now, action.into());
        self.drive();
    }

    /// The client begins a stream with these bytes, and they arrive.
    pub(super) fn start(&mut self, owner: Stream, first: &'static str, finish: bool) {
        let mut stream = NewStream::new(Dir::Bi, owner.boxed()).first(first);
        stream.finish = finish;
        self.act(stream);
    }

    /// Something on the client's first stream, at the server.
    pub(super) fn serve(&mut self, action: StreamAction<&'static str>) {
        self.server
            .act(self.pair.now, Action::Stream(FIRST, action));
        self.drive();
    }

    /// Bytes of the client's first stream that the server has read.
    pub(super) fn read_of_first(&mut self) -> Option<u64> {
        let mut connection = self.pair.server_quic(self.server_key?);
        connection.access().offset(FIRST)
    }

    /// The same, at the client.
    pub(super) fn ask(&mut self, action: StreamAction<&'static str>) {
        self.act(Action::Stream(FIRST, action));
    }
}

fn one_turn(
    runner: &mut Runner<Conn>,
    end: &mut aqueduct_core::testing::pair::End,
    now: Instant,
    key: ConnKey,
) {
    let events = end.take(key);
    let Some(mut connection) = end.endpoint.quic(now, key) else {
        for event in events {
            runner.handle_gone(event);
        }
        return runner.run(now);
    };
    for event in events {
        runner.handle(&mut connection.access(), event);
    }
    runner.turn(&mut connection.access());
}

fn turn(
    runner: &mut Runner<Conn>,
    end: &mut aqueduct_core::testing::pair::End,
    now: Instant,
    key: ConnKey,
) -> bool {
    let events = end.take(key);
    let mut did = !events.is_empty() || runner.has_work();
    let Some(mut connection) = end.endpoint.quic(now, key) else {
        for event in events {
            runner.handle_gone(event);
        }
        runner.run(now);
        return did;
    };
    for event in events {
        runner.handle(&mut connection.access(), event);
        runner.turn(&mut connection.access());
    }
    runner.turn(&mut connection.access());
    while runner.has_work() {
        did = true;
        // As those with locks do.
        runner.run(now);
        runner.apply(&mut connection.access());
    }
    did
}
