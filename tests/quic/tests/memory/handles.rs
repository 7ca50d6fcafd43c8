//! What a session costs with handles: two workers and a queue of datagrams between them.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use aqueduct_core::driver::quinn_udp::{RecvMeta, Transmit};
use aqueduct_core::driver::{IoLimits, UdpIo};
use aqueduct_core::endpoint::{EndpointConfig, Target};
use aqueduct_core::testing::cert::Identity;
use aqueduct_handles::{Connection, Endpoint, Session, Worker};
use aqueduct_tests::wt::there;

use super::sessions::roomy;
use super::{HELD, SERVING, serving};

/// As in `sessions.rs`, and fewer: handles read the real clock.
const SOME: usize = 250;

const LIMITS: IoLimits = IoLimits::new();

type Queue = Arc<Mutex<VecDeque<Vec<u8>>>>;

/// One end of a wire. What is on it is nobody's memory.
struct Wire {
    peer: SocketAddr,
    inbox: Queue,
    outbox: Queue,
}

/// Work of the wire's, whose memory is not counted.
fn between<T>(work: impl FnOnce() -> T) -> T {
    let serving = SERVING.replace(false);
    let result = work();
    SERVING.set(serving);
    result
}

impl UdpIo for Wire {
    fn recv(&mut self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize> {
        between(|| {
            let mut inbox = self.inbox.lock().expect("no panic");
            let (Some(buf), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else {
                return Ok(0);
            };
            let Some(datagram) = inbox.pop_front() else {
                return Err(io::ErrorKind::WouldBlock.into());
            };
            buf[..datagram.len()].copy_from_slice(&datagram);
            *meta = RecvMeta::default();
            (meta.addr, meta.len, meta.stride) = (self.peer, datagram.len(), datagram.len());
            Ok(1)
        })
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        between(|| {
            let size = transmit.segment_size.unwrap_or(transmit.contents.len());
            let datagrams = transmit.contents.chunks(size).map(<[u8]>::to_vec);
            self.outbox.lock().expect("no panic").extend(datagrams);
            Ok(())
        })
    }

    fn limits(&self) -> IoLimits {
        LIMITS
    }
}

/// A client, and a server whose memory is counted.
struct Net {
    client: (Worker, Wire),
    server: (Worker, Wire),
}

impl Net {
    fn new() -> (Self, Endpoint, Endpoint) {
        let (http, transport) = roomy();
        let tls = Identity::localhost().server();
        let server = EndpointConfig::server(tls.into(), http).expect("suits");
        let server = server.transport(transport).expect("in range");
        let queues = [Queue::default(), Queue::default()];
        let end = |config: EndpointConfig, peer: u16, inbox: usize| {
            let local = ([127, 0, 0, 1], 3 - peer).into();
            let (endpoint, worker) = Endpoint::open(config, LIMITS, local).expect("suits");
            let wire = Wire {
                peer: ([127, 0, 0, 1], peer).into(),
                inbox: queues[inbox].clone(),
                outbox: queues[1 - inbox].clone(),
            };
            (endpoint, (worker, wire))
        };
        let (_, transport) = roomy();
        let client = EndpointConfig::client().transport(transport);
        let (theirs, client) = end(client.expect("in range"), 2, 0);
        let (ours, server) = serving(|| end(server, 1, 1));
        (Self { client, server }, theirs, ours)
    }

    fn turn(&mut self) {
        let (worker, wire) = &mut self.client;
        worker.turn(Instant::now(), wire).expect("usable");
        let (worker, wire) = &mut self.server;
        serving(|| worker.turn(Instant::now(), wire)).expect("usable");
    }

    /// Runs both until the client's future and the server's are done.
    fn run<C, S>(
        &mut self,
        client: impl Future<Output = C>,
        server: impl Future<Output = S>,
    ) -> (C, S) {
        let (mut client, mut server) = (pin!(client), pin!(server));
        let (mut ours, mut theirs) = (None, None);
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if ours.is_none() {
                ours = poll(client.as_mut());
            }
            if theirs.is_none() {
                theirs = serving(|| poll(server.as_mut()));
            }
            match (ours.take(), theirs.take()) {
                (Some(ours), Some(theirs)) => return (ours, theirs),
                waiting => (ours, theirs) = waiting,
            }
            assert!(Instant::now() < end, "the test hangs");
            self.turn();
        }
    }

    /// Runs both until nothing more is to be expected.
    fn settle(&mut self) {
        (0..32).for_each(|_| self.turn());
    }

    /// Sessions of the server's, each with a task that waits for a datagram.
    fn sessions(&mut self, count: usize, pair: &[Connection; 2], kept: &mut Vec<Kept>) {
        let [theirs, ours] = pair;
        for _ in 0..count {
            let (asked, accepted) = self.run(theirs.open_session(there()), async {
                let request = ours.accept_session().await.expect("arrives");
                request.accept().expect("still wanted")
            });
            let session = accepted.clone();
            let mut task: Task = Box::pin(async move {
                session.recv_datagram().await.ok();
            });
            assert!(serving(|| poll(task.as_mut())).is_none());
            kept.push((asked.expect("is accepted"), accepted, task));
        }
        self.settle();
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;
type Kept = (Session, Session, Task);

fn poll<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

/// Of the connection's first session, and of each further one.
#[test]
fn a_session_with_handles_holds_little() {
    let (mut net, client, server) = Net::new();
    let tls = Identity::localhost().client_arc();
    let (http, _) = roomy();
    let target = Target::new(server.local_addr(), "localhost", tls).http(http);
    let connecting = client.connect_with(target).expect("begins");
    let (theirs, ours) = net.run(connecting.established(), server.accept());
    let pair = [theirs.expect("shakes hands"), ours.expect("arrives")];
    net.settle();
    let (mut kept, start) = (Vec::new(), HELD.get());
    net.sessions(1, &pair, &mut kept);
    let first = HELD.get() - start;
    net.sessions(SOME - 1, &pair, &mut kept);
    let before = HELD.get();
    net.sessions(SOME, &pair, &mut kept);
    let further = (HELD.get() - before) / SOME as isize;
    println!("the first session {first} bytes, a further one {further}");
    assert!(further <= 2048, "a further session holds {further} bytes");
    assert!(first <= 5 * 1024, "the first session holds {first} bytes");
}
