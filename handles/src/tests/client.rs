//! The client in virtual time: its tasks and both drivers are run by the test.

mod alternatives;
mod broken;
mod channel;
mod content;
mod dials;
mod early;
mod given_up;
mod metrics;
mod queue;
mod spans;
mod times;
mod uploads;

use std::io;
use std::sync::Mutex;

use aqueduct_core::code::Code;
use aqueduct_core::pool::OriginConfig;

use super::*;
use crate::client::{Body, Client, ClientBuilder, Error, Resolving, Runtime, Task, Timeouts};
use crate::clock::{freeze, skip};

/// Tasks that go on by themselves, and what names stand for.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<Vec<Task>>>);

impl Runtime for Tasks {
    fn spawn(&self, task: Task) {
        self.0.lock().expect("no panic").push(task);
    }

    fn resolve(&self, host: &str, port: u16) -> Resolving {
        assert_eq!((host, port), ("localhost", 2), "nothing else is looked up");
        Box::pin(async { Ok(vec![([127, 0, 0, 1], 0).into()]) })
    }
}

/// What a future will have come to.
struct Later<T>(Arc<Mutex<Option<T>>>);

impl<T> Later<T> {
    fn take(&self) -> Option<T> {
        self.0.lock().expect("no panic").take()
    }
}

/// A client and a server.
struct Lab {
    net: Net,
    client: Client,
    tasks: Tasks,
}

type Answer = Result<Response<Body>, Error>;

impl Lab {
    fn new() -> Self {
        Self::with(builder())
    }

    fn with(builder: ClientBuilder) -> Self {
        freeze();
        Self::on(Net::new(), builder)
    }

    fn on(net: Net, builder: ClientBuilder) -> Self {
        let tasks = Tasks::default();
        let client = builder.build_on(net.client.clone(), tasks.clone());
        Self {
            client: client.expect("suits"),
            net,
            tasks,
        }
    }

    /// Runs drivers and tasks until the future is done; each is polled when one of them
    /// was woken, at no other time.
    fn run<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let count = Arc::new(Count::default());
        count.0.store(1, Ordering::Relaxed);
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if count.0.swap(0, Ordering::Relaxed) > 0 {
                if let Poll::Ready(done) = future.as_mut().poll(&mut cx) {
                    return done;
                }
                self.poll_tasks(&mut cx);
            }
            assert!(Instant::now() < end, "the test hangs");
            skip(TICK);
            self.net.turn();
        }
    }

    fn poll_tasks(&mut self, cx: &mut Context<'_>) {
        let mut left = Vec::new();
        loop {
            let tasks = std::mem::take(&mut *self.tasks.0.lock().expect("no panic"));
            if tasks.is_empty() {
                break;
            }
            let mut waits = |task: &mut Task| task.as_mut().poll(cx).is_pending();
            left.extend(
                tasks
                    .into_iter()
                    .filter_map(|mut task| waits(&mut task).then_some(task)),
            );
        }
        self.tasks.0.lock().expect("no panic").extend(left);
    }

    /// Runs everything until nothing happens any more.
    fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 6 {
            self.poll_tasks(&mut Context::from_waker(Waker::noop()));
            skip(TICK);
            quiet = if self.net.turn() { 0 } else { quiet + 1 };
        }
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        self.settle();
        skip(time);
        self.settle();
    }

    /// Runs a future beside the test.
    fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Later<T> {
        let later = Later(Arc::default());
        let done = later.0.clone();
        self.tasks.spawn(Box::pin(async move {
            let value = future.await;
            *done.lock().expect("no panic") = Some(value);
        }));
        later
    }

    fn finish<T>(&mut self, later: &Later<T>) -> T {
        for _ in 0..1000 {
            self.settle();
            if let Some(value) = later.take() {
                return value;
            }
        }
        panic!("it never comes");
    }

    fn get(&self) -> Later<Answer> {
        let client = self.client.clone();
        self.spawn(async move { client.get(URI).await })
    }

    fn post(&self, body: Body) -> Later<Answer> {
        let client = self.client.clone();
        let request = Request::post(URI).body(body).expect("valid");
        self.spawn(async move { client.request(request).await })
    }

    /// The server's end of the next connection.
    fn accept(&mut self) -> Connection {
        let server = self.net.server.clone();
        self.run(async move { server.accept().await })
            .expect("arrives")
    }

    fn request(&mut self, theirs: &Connection) -> (Request<()>, ServerRequest) {
        self.run(theirs.accept_request()).expect("arrives")
    }

    /// The first request, the connection that it makes, and its server's end.
    fn first(&mut self) -> (Later<Answer>, Connection, ServerRequest) {
        let first = self.get();
        let theirs = self.accept();
        let (_, server) = self.request(&theirs);
        (first, theirs, server)
    }

    /// The same when its answer has begun.
    fn begun(&mut self) -> (Body, Connection, ServerRequest) {
        let (first, theirs, mut server) = self.first();
        begin(&mut server);
        let body = self.finish(&first).expect("is answered").into_body();
        (body, theirs, server)
    }

    /// A connection on which a request was answered.
    fn warm(&mut self) -> Connection {
        let (first, theirs, mut server) = self.first();
        reply(&mut server);
        drop(self.finish(&first));
        theirs
    }

    /// That the server is told that nobody is interested any more.
    #[track_caller]
    fn is_cancelled(&mut self, server: &ServerRequest) {
        let told = self.run(server.send.stopped()).expect("is told");
        let code = told.expect("stopped").wire;
        assert_eq!(code, Code::H3_REQUEST_CANCELLED);
    }

    /// A request whose answer has begun, and its server's end.
    fn answered(&mut self, theirs: &Connection) -> (Response<Body>, ServerRequest) {
        let later = self.get();
        let (_, mut server) = self.request(theirs);
        begin(&mut server);
        (self.finish(&later).expect("is answered"), server)
    }

    fn active(&self) -> usize {
        self.client.stats().all.active
    }
}

/// How long a turn takes.
const TICK: Duration = Duration::from_micros(50);

const URI: &str = "https://localhost:2/";

fn builder() -> ClientBuilder {
    let brief = Timeouts::default()
        .with_idle(Duration::from_secs(5))
        .with_first_byte(Duration::from_secs(8));
    ClientBuilder::with_tls(Identity::localhost().client_arc()).timeouts(brief)
}

fn unresolved() -> Resolving {
    Box::pin(async { Err(io::Error::other("no such name")) })
}

fn begin(server: &mut ServerRequest) {
    server
        .send_response(Response::new(()))
        .expect("not sent yet");
}

fn reply(server: &mut ServerRequest) {
    server
        .send
        .send_empty(Response::new(()))
        .expect("not sent yet");
}
