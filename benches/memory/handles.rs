//! The handles, with the worker of each end, on an executor of two futures.

use std::future::pending;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use aqueduct_core::config::Config;
use aqueduct_core::driver::UdpIo;
use aqueduct_core::endpoint::{EndpointConfig, Target};
use aqueduct_core::id::Side;
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::webtransport::ConnectRequest;
use aqueduct_handles::{Connection, Endpoint, RequestStream, Session, Worker};
use bytes::Bytes;
use http::{Response, Uri};

use super::{Counts, Ends, HUNDRED, PAUSE, Wire, pass};
use crate::working_as;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Two endpoints with handles, and what the server does.
pub struct Handles {
    ends: [(Worker, Wire); 2],
    /// What accepts requests, streams and datagrams, each a task.
    server: Vec<(Task, Arc<Flag>)>,
    connection: Connection,
    session: Session,
    uri: Uri,
    /// Of the client's future; and requests of one exchange: what measures allocates nothing.
    flag: Arc<Flag>,
    asked: Vec<RequestStream>,
    _endpoints: [Endpoint; 2],
}

impl std::fmt::Debug for Handles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handles")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// Whether a task was woken.
#[derive(Debug)]
struct Flag(AtomicBool);

impl Flag {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Handles {
    /// Connected, with a session.
    ///
    /// # Panics
    /// When the ends do not do as told.
    #[must_use]
    pub fn new() -> Self {
        let identity = Identity::localhost();
        let server = EndpointConfig::server(identity.server().into(), Config::default());
        let mut configs = [
            (Side::Client, EndpointConfig::client()),
            (Side::Server, server.expect("suits")),
        ]
        .into_iter();
        let opened = Wire::pair().map(|wire| {
            let (side, config) = configs.next().expect("two");
            let open = Endpoint::open(config, wire.limits(), Wire::addr(side));
            let (endpoint, worker) = open.expect("suits");
            (endpoint, (worker, wire))
        });
        let [(client, one), (server, two)] = opened;
        let mut ends = [one, two];
        let uri: Uri = "https://localhost/some/path".parse().expect("a URI");
        let target = Target::new(Wire::addr(Side::Server), "localhost", identity.client_arc());
        let connecting = client.connect_with(target).expect("begins");
        let flag = Flag::new();
        let connection = run(&mut ends, &mut [], &flag, connecting.established());
        let connection = connection.expect("shakes hands");
        let theirs = run(&mut ends, &mut [], &flag, server.accept()).expect("arrives");
        let accepting = theirs.clone();
        let accept: Task = Box::pin(async move {
            let request = accepting.accept_session().await.expect("arrives");
            let session = request.accept().expect("still wanted");
            serve_session(&session).await;
        });
        let mut server_tasks = vec![(accept, Flag::new())];
        let request = ConnectRequest::new(uri.clone());
        let opening = connection.open_session(request);
        let session = run(&mut ends, &mut server_tasks, &flag, opening).expect("is accepted");
        server_tasks.push((Box::pin(serve_requests(theirs)), Flag::new()));
        Self {
            ends,
            server: server_tasks,
            connection,
            session,
            uri,
            flag,
            asked: Vec::new(),
            _endpoints: [client, server],
        }
    }

    /// The client's future, and what follows until nothing is on the wire.
    fn exchange(
        ends: &mut [(Worker, Wire); 2],
        server: &mut [(Task, Arc<Flag>)],
        flag: &Arc<Flag>,
        work: impl Future<Output = ()>,
    ) {
        run(ends, server, flag, work);
        let mut quiet = 0;
        while quiet < 2 {
            quiet = if turn(ends, server) { 0 } else { quiet + 1 };
        }
        pass(PAUSE);
    }
}

impl Default for Handles {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes streams to their end, and gives datagrams back.
async fn serve_session(session: &Session) {
    let streams = async {
        while let Ok(mut stream) = session.accept_uni().await {
            while stream
                .read_chunk(usize::MAX)
                .await
                .expect("no reset")
                .is_some()
            {}
        }
    };
    let datagrams = async {
        while let Ok(datagram) = session.recv_datagram().await {
            session.send_datagram(&datagram).expect("room");
        }
    };
    let (mut streams, mut datagrams) = (pin!(streams), pin!(datagrams));
    std::future::poll_fn(|cx| {
        let _ = streams.as_mut().poll(cx);
        datagrams.as_mut().poll(cx)
    })
    .await;
    pending::<()>().await;
}

async fn serve_requests(connection: Connection) {
    while let Some((_, mut request)) = connection.accept_request().await {
        request.send_response(Response::new(())).expect("asked");
        request
            .send_data(Bytes::from_static(HUNDRED))
            .await
            .expect("asked");
        request.finish().expect("once");
    }
    pending::<()>().await;
}

/// Both workers take a turn, and the server's tasks that were woken; whether anything went.
fn turn(ends: &mut [(Worker, Wire); 2], server: &mut [(Task, Arc<Flag>)]) -> bool {
    let mut busy = false;
    for (side, (worker, wire)) in [Side::Client, Side::Server]
        .into_iter()
        .zip(ends.iter_mut())
    {
        working_as(side);
        busy |= wire.has_some();
        let turn = worker
            .turn(Instant::now(), wire)
            .expect("a wire does not fail");
        busy |= turn.is_some_and(|turn| turn.more);
    }
    for (task, flag) in server {
        if flag.0.swap(false, Ordering::Relaxed) {
            let waker = Waker::from(Arc::clone(flag));
            let _ = task.as_mut().poll(&mut Context::from_waker(&waker));
            busy = true;
        }
    }
    busy
}

/// Runs the client's future to its end.
fn run<T>(
    ends: &mut [(Worker, Wire); 2],
    server: &mut [(Task, Arc<Flag>)],
    flag: &Arc<Flag>,
    future: impl Future<Output = T>,
) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::clone(flag));
    flag.0.store(true, Ordering::Relaxed);
    loop {
        if flag.0.swap(false, Ordering::Relaxed) {
            working_as(Side::Client);
            if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return done;
            }
        }
        turn(ends, server);
    }
}

impl Ends for Handles {
    fn get(&mut self, at_once: usize) {
        let (connection, uri, asked) = (&self.connection, &self.uri, &mut self.asked);
        Self::exchange(&mut self.ends, &mut self.server, &self.flag, async {
            for _ in 0..at_once {
                asked.push(connection.get(uri.clone()).await.expect("credit"));
            }
            for mut request in asked.drain(..) {
                request.recv_response().await.expect("an answer");
                let mut got = 0;
                while let Some(data) = request.recv_data().await.expect("all of it") {
                    got += data.len();
                }
                assert_eq!(got, HUNDRED.len());
            }
        });
    }

    fn stream(&mut self, at_once: usize) {
        let session = &self.session;
        Self::exchange(&mut self.ends, &mut self.server, &self.flag, async {
            for _ in 0..at_once {
                let mut stream = session.open_uni().await.expect("credit");
                let content = Bytes::from_static(HUNDRED);
                stream.write_chunk(content).await.expect("room");
                stream.finish().expect("once");
            }
        });
    }

    fn datagram(&mut self, at_once: usize) {
        let session = &self.session;
        Self::exchange(&mut self.ends, &mut self.server, &self.flag, async {
            for _ in 0..at_once {
                session.send_datagram(HUNDRED).expect("room");
            }
            for _ in 0..at_once {
                session.recv_datagram().await.expect("comes back");
            }
        });
    }

    fn sent(&self, side: Side) -> Counts {
        self.ends[side as usize].1.sent()
    }
}
