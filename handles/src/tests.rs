//! The handles without runtime or sockets: two workers and a queue of datagrams
//! between them, driven by the test itself.

mod alarms;
mod blocking;
mod cancelled;
mod capsules;
mod capsules_random;
mod claimed;
mod client;
mod datagrams;
mod early_data;
mod either;
mod errors;
mod failed;
mod faults;
mod forbidden;
mod gone;
mod kept;
mod open_requests;
#[cfg(feature = "_polled")]
mod polled;
mod quic;
mod share;
mod tickets;
mod tunnels;
mod unread;
mod unused;
mod whole;

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use aqueduct_core::config::Config;
use aqueduct_core::driver::quinn_udp::{RecvMeta, Transmit};
use aqueduct_core::driver::{IoLimits, UdpIo};
use aqueduct_core::endpoint::{EndpointConfig, Target, TransportSettings};
use aqueduct_core::id::Dir;
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::webtransport::ConnectRequest;
use bytes::Bytes;
use http::{Request, Response};

use crate::clock::now;
use crate::error::{AcceptError, ReadError};
use crate::place::MessageTopic;
use crate::shared::Shared;
use crate::table::{Conn, INTERIMS};
use crate::{Connection, Endpoint, RequestStream, ServerRequest, Session, Worker};

const LIMITS: IoLimits = IoLimits::new().may_fragment(false);

type Queue = Arc<Mutex<VecDeque<Vec<u8>>>>;

/// One end of a wire. Every call is a place where a real adapter makes a system
/// call, so the endpoint's lock must be free.
struct Wire {
    peer: SocketAddr,
    inbox: Queue,
    outbox: Queue,
    shared: Arc<Shared>,
    calls: usize,
    /// What the next receive calls come to instead.
    failing: VecDeque<i32>,
    /// Addresses at which there is nobody.
    nobody: Vec<SocketAddr>,
    /// What there was to receive when something was sent first.
    waiting: Option<usize>,
}

impl Wire {
    fn system_call(&mut self) {
        assert!(
            self.shared.is_free(),
            "the lock is held during a system call"
        );
        self.calls += 1;
    }
}

impl UdpIo for Wire {
    fn recv(&mut self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize> {
        self.system_call();
        if let Some(code) = self.failing.pop_front() {
            return Err(io::Error::from_raw_os_error(code));
        }
        let mut inbox = self.inbox.lock().expect("no panic");
        let mut filled = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Some(datagram) = inbox.pop_front() else {
                break;
            };
            buf[..datagram.len()].copy_from_slice(&datagram);
            *meta = RecvMeta::default();
            (meta.addr, meta.len, meta.stride) = (self.peer, datagram.len(), datagram.len());
            filled += 1;
        }
        if filled == 0 {
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            Ok(filled)
        }
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.system_call();
        if self.nobody.contains(&transmit.destination) {
            return Ok(());
        }
        let waiting = self.inbox.lock().expect("no panic").len();
        self.waiting.get_or_insert(waiting);
        let datagram = transmit.contents.to_vec();
        self.outbox.lock().expect("no panic").push_back(datagram);
        Ok(())
    }

    fn limits(&self) -> IoLimits {
        LIMITS
    }
}

/// A client and a server.
struct Net {
    ends: [(Worker, Wire); 2],
    client: Endpoint,
    server: Endpoint,
}

impl Net {
    fn new() -> Self {
        Self::with(Config::default())
    }

    /// The same with a server of this configuration.
    fn with(http: Config) -> Self {
        Self::of(Self::server(http))
    }

    /// The same with a server that allows so many requests at once.
    fn with_streams(http: Config, streams: u64) -> Self {
        let mut transport = TransportSettings::default();
        transport.max_streams_bidi = streams;
        Self::of(Self::server(http).transport(transport).expect("suits"))
    }

    fn server(http: Config) -> EndpointConfig {
        let tls = Identity::localhost().server();
        EndpointConfig::server(tls.into(), http).expect("suits")
    }

    fn of(config: EndpointConfig) -> Self {
        let queues = [Queue::default(), Queue::default()];
        let end = |config: EndpointConfig, peer: u16, inbox: usize| {
            let local = ([127, 0, 0, 1], 3 - peer).into();
            let (endpoint, worker) = Endpoint::open(config, LIMITS, local).expect("suits");
            let wire = Wire {
                peer: ([127, 0, 0, 1], peer).into(),
                inbox: queues[inbox].clone(),
                outbox: queues[1 - inbox].clone(),
                shared: endpoint.shared().clone(),
                calls: 0,
                failing: VecDeque::new(),
                nobody: Vec::new(),
                waiting: None,
            };
            (endpoint, (worker, wire))
        };
        let (client, client_end) = end(EndpointConfig::client(), 2, 0);
        let (server, server_end) = end(config, 1, 1);
        Self {
            ends: [client_end, server_end],
            client,
            server,
        }
    }

    /// Both drivers take a turn; tells whether anything was on the wire.
    fn turn(&mut self) -> bool {
        let mut busy = false;
        for (worker, wire) in &mut self.ends {
            busy |= !wire.inbox.lock().expect("no panic").is_empty();
            let turn = worker.turn(now(), wire).expect("no errors here");
            busy |= turn.is_some_and(|turn| turn.more);
        }
        busy
    }

    /// Runs the drivers until the future is done, and polls it when it was woken, at no
    /// other time.
    fn run<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return done;
            }
            while count.0.swap(0, Ordering::Relaxed) == 0 {
                assert!(Instant::now() < end, "the test hangs");
                self.turn();
            }
        }
    }

    /// Runs the drivers until nothing is on the wire.
    fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 4 {
            quiet = if self.turn() { 0 } else { quiet + 1 };
        }
    }

    fn connect(&mut self) -> (Connection, Connection) {
        self.connect_as(Config::default())
    }

    /// The same with a client of this configuration.
    fn connect_as(&mut self, http: Config) -> (Connection, Connection) {
        let (client, server) = (self.client.clone(), self.server.clone());
        let tls = Identity::localhost().client_arc();
        let target = Target::new(server.local_addr(), "localhost", tls).http(http);
        let connecting = client.connect_with(target).expect("begins");
        let ours = self.run(connecting.established()).expect("shakes hands");
        let theirs = self.run(server.accept()).expect("arrives");
        (ours, theirs)
    }

    fn session(&mut self, ours: &Connection, theirs: &Connection) -> (Session, Session) {
        let request = ConnectRequest::new("https://localhost/".parse().expect("a URI"));
        let mut opening = pin!(ours.open_session(request));
        assert!(poll(opening.as_mut()).is_none(), "nobody has answered yet");
        let request = self.run(async {
            let mut accepting = pin!(theirs.accept_session());
            std::future::poll_fn(|cx| {
                // The opening goes on meanwhile: it may wait for SETTINGS first.
                assert!(opening.as_mut().poll(cx).is_pending());
                accepting.as_mut().poll(cx)
            })
            .await
        });
        let server = request.expect("arrives").accept().expect("still wanted");
        (self.run(opening).expect("is accepted"), server)
    }

    fn post(&mut self, ours: &Connection, theirs: &Connection) -> (RequestStream, ServerRequest) {
        let request = Request::post("https://localhost/").body(()).expect("valid");
        let client = self.run(ours.request(request)).expect("is sent");
        let (_, server) = self.run(theirs.accept_request()).expect("arrives");
        (client, server)
    }
}

fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

/// What two futures give that need each other.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    std::future::poll_fn(|cx| {
        for_pending(&mut first, a.as_mut(), cx);
        for_pending(&mut second, b.as_mut(), cx);
        match (first.take(), second.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (first, second) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

fn for_pending<T>(
    done: &mut Option<T>,
    future: Pin<&mut impl Future<Output = T>>,
    cx: &mut Context<'_>,
) {
    if done.is_none()
        && let Poll::Ready(value) = future.poll(cx)
    {
        *done = Some(value);
    }
}

/// Looks into the handles' table of a connection.
fn table<T>(connection: &Connection, look: impl FnOnce(&mut Conn) -> T) -> T {
    look(connection.0.lock().conn(connection.0.at))
}

/// Counts how often a task was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn no_system_call_happens_under_the_lock() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (client, server) = net.session(&ours, &theirs);
    for _ in 0..8 {
        let mut send = net.run(client.open_uni()).expect("opens");
        net.run(send.write_all(&[7; 12_000]))
            .expect("the first credit is larger");
        send.finish().expect("ends");
        let mut recv = net.run(server.accept_uni()).expect("arrives");
        let read = net.run(recv.read_to_end(12_000)).expect("whole");
        assert_eq!(read.len(), 12_000);
    }
    // Each call has checked it.
    assert!(net.ends.iter().all(|(_, wire)| wire.calls > 20));
}

#[test]
fn nothing_is_left_of_two_thousand_requests() {
    // Row D19
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    for _ in 0..2000 {
        let (mut client, mut server) = net.post(&ours, &theirs);
        client.finish().expect("not finished yet");
        assert_eq!(net.run(server.recv_data()), Ok(None));
        server
            .send
            .send_empty(Response::new(()))
            .expect("not sent yet");
        assert_eq!(
            net.run(client.recv_response()).expect("arrives").status(),
            200
        );
        assert_eq!(net.run(client.recv_data()), Ok(None));
    }
    for connection in [&ours, &theirs] {
        let (entries, room) = table(connection, |conn| {
            (conn.streams.len(), conn.streams.capacity())
        });
        assert_eq!(entries, 0);
        assert!(room < 16, "{room} places for one request at a time");
    }
}

#[test]
fn nothing_is_left_of_sessions_and_connections() {
    // Row B36
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    for _ in 0..20 {
        let (client, server) = net.session(&ours, &theirs);
        let (send, recv) = net.run(client.open_bi()).expect("opens");
        // One stream is never accepted, one session dropped before its streams.
        let unaccepted = net.run(client.open_uni()).expect("opens");
        net.settle();
        drop(client);
        net.run(server.closed());
        drop((send, recv, unaccepted, server));
        net.settle();
    }
    // One that is given up before the answer, one that nobody answers.
    let request = ConnectRequest::new("https://localhost/".parse().expect("a URI"));
    let unanswered = {
        let mut opening = pin!(ours.open_session(request));
        assert!(poll(opening.as_mut()).is_none());
        net.run(theirs.accept_session()).expect("arrives")
    };
    net.settle();
    assert_eq!(unanswered.accept().map(|_| ()), Err(AcceptError::Gone));
    net.settle();
    for connection in [&ours, &theirs] {
        assert_eq!(table(connection, |conn| conn.streams.len()), 0);
    }
    drop((ours, theirs));
    let (client, server) = (net.client.clone(), net.server.clone());
    net.run(client.wait_idle());
    net.run(server.wait_idle());
    for endpoint in [client, server] {
        assert_eq!(endpoint.shared().lock().state().conns.len(), 0);
    }
}

#[test]
fn streams_that_wait_are_bounded_by_what_the_peer_may_open() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (client, server) = net.session(&ours, &theirs);
    let mut opened = 0;
    while let Some(stream) = {
        net.settle();
        poll(pin!(client.open_uni()))
    } {
        let mut send = stream.expect("the session is open");
        net.run(send.write_all(b"x")).expect("room");
        net.settle();
        send.reset(9).expect("open");
        opened += 1;
        assert!(opened <= 103, "resetting wins no credit");
    }
    let held = table(&theirs, |conn| {
        let mut sessions = conn
            .streams
            .iter_mut()
            .filter_map(|(_, stream)| stream.session.as_mut());
        sessions.next().expect("one").incoming(Dir::Uni).len()
    });
    // HTTP/3 itself has three, and one may be GREASE.
    assert_eq!(opened, held);
    assert!((99..=100).contains(&held), "{held}");
    for _ in 0..held {
        let mut recv = net.run(server.accept_uni()).expect("waits");
        let error = net.run(recv.read_to_end(1)).expect_err("reset");
        assert!(matches!(error, ReadError::Reset(code) if code.app == Some(9)));
    }
    net.run(client.open_uni()).expect("there is credit again");
}

#[test]
fn requests_cancelled_before_they_are_accepted_are_forgotten() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    for _ in 0..50 {
        let request = Request::post("https://localhost/").body(()).expect("valid");
        let stream = net.run(ours.request(request)).expect("is sent");
        net.settle();
        stream.cancel();
        net.settle();
    }
    assert_eq!(
        table(&theirs, |conn| (conn.requests.len(), conn.streams.len())),
        (0, 0)
    );
    let (_client, server) = net.post(&ours, &theirs);
    assert_eq!(server.id().number(), 50, "the next one is served");
}

#[test]
fn interim_responses_are_kept_up_to_a_limit() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (mut client, mut server) = net.post(&ours, &theirs);
    for number in 0..INTERIMS + 4 {
        let interim = Response::builder()
            .status(103)
            .header("x-number", number)
            .body(());
        server
            .send_interim(interim.expect("valid"))
            .expect("before the head");
    }
    server
        .send
        .send_empty(Response::new(()))
        .expect("not sent yet");
    let mut numbers = Vec::new();
    net.settle();
    while let Some(interim) = net.run(client.recv_interim()).expect("arrives") {
        numbers.push(
            interim.headers()["x-number"]
                .to_str()
                .expect("digits")
                .to_owned(),
        );
    }
    assert_eq!(numbers.len(), INTERIMS);
    assert_eq!(
        numbers.first().map(String::as_str),
        Some("4"),
        "the oldest are forgotten"
    );
}

#[test]
fn only_those_who_wait_for_it_are_woken() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (client, server) = net.session(&ours, &theirs);
    let mut sends = Vec::new();
    let mut recvs = Vec::new();
    for _ in 0..2 {
        let mut send = net.run(client.open_uni()).expect("opens");
        net.run(send.write_all(b"x")).expect("room");
        let mut recv = net.run(server.accept_uni()).expect("arrives");
        net.run(recv.read_chunk(1)).expect("a byte");
        sends.push(send);
        recvs.push(recv);
    }
    net.settle();
    let counts = [(); 4].map(|()| Arc::new(Count::default()));
    let wakers = counts.clone().map(Waker::from);
    let [first, second] = &mut recvs[..] else {
        unreachable!("two were made")
    };
    let (mut first, mut second) = (pin!(first.read_chunk(1)), pin!(second.read_chunk(1)));
    let (mut accept, mut datagram) = (pin!(server.accept_uni()), pin!(server.recv_datagram()));
    assert!(
        first
            .as_mut()
            .poll(&mut Context::from_waker(&wakers[0]))
            .is_pending()
    );
    assert!(
        second
            .as_mut()
            .poll(&mut Context::from_waker(&wakers[1]))
            .is_pending()
    );
    assert!(
        accept
            .as_mut()
            .poll(&mut Context::from_waker(&wakers[2]))
            .is_pending()
    );
    assert!(
        datagram
            .as_mut()
            .poll(&mut Context::from_waker(&wakers[3]))
            .is_pending()
    );

    let woken =
        |counts: &[Arc<Count>; 4]| counts.clone().map(|count| count.0.load(Ordering::Relaxed));
    net.run(sends[0].write_all(b"y")).expect("room");
    net.settle();
    assert_eq!(woken(&counts), [1, 0, 0, 0]);
    client.send_datagram(b"d").expect("room");
    net.settle();
    assert_eq!(woken(&counts), [1, 0, 0, 1]);
    net.run(client.open_uni())
        .expect("opens")
        .finish()
        .expect("ends");
    net.settle();
    assert_eq!(woken(&counts), [1, 0, 1, 1]);
}

/// A task that owns a stream, as some executors' wakers do.
struct Owner(#[expect(dead_code, reason = "owned, not used")] Mutex<Option<crate::RecvStream>>);

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_waker_may_own_handles() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (client, server) = net.session(&ours, &theirs);
    let mut reader = {
        let (_send, recv) = net.run(client.open_bi()).expect("opens");
        recv
    };
    // The reader's waker is the last owner of another stream: replacing or
    // forgetting it drops that stream, which wants the lock.
    for _ in 0..2 {
        let (_send, owned) = net.run(client.open_bi()).expect("opens");
        let waker = Waker::from(Arc::new(Owner(Mutex::new(Some(owned)))));
        let pending = pin!(reader.read_chunk(1))
            .poll(&mut Context::from_waker(&waker))
            .is_pending();
        assert!(pending);
    }
    drop(reader);
    drop(server);
    net.settle();
}
