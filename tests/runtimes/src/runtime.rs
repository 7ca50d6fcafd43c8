//! The adapters by name, and threads that run one end each.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::thread;

use aqueduct_core::config::Config;
use aqueduct_core::endpoint::{EndpointConfig, Target};
use aqueduct_core::testing::cert::Identity;

use crate::recording::Tape;
use crate::script::LIMIT;
use crate::trace::Trace;
use crate::{events, handles};

/// Where everything is bound.
pub const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// An adapter with its runtime.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Runtime {
    /// aqueduct-tokio.
    Tokio,
    /// aqueduct-async-std, spawned on async-std.
    AsyncStd,
    /// aqueduct-async-std, spawned on smol.
    Smol,
    /// aqueduct-mio.
    Mio,
}

/// All of them.
pub const RUNTIMES: [Runtime; 4] = [
    Runtime::Tokio,
    Runtime::AsyncStd,
    Runtime::Smol,
    Runtime::Mio,
];

/// What a client does.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Job {
    /// The whole script.
    Script,
    /// `GET /big`, with a change of port on the way.
    Download,
    /// A protocol of a stranger's own: see [`crate::tunnel`].
    Tunnel,
}

/// The connection every client opens.
#[must_use]
pub fn target(server: SocketAddr) -> Target {
    Target::new(server, "localhost", Identity::localhost().client_arc())
}

/// Runs both ends on threads of their own until both are through, and gives the
/// traces of the client and the server.
///
/// # Panics
/// When an end does, or takes longer than [`LIMIT`].
#[must_use]
pub fn run(client: Runtime, server: Runtime, job: Job) -> (Trace, Trace) {
    play((client, EndpointConfig::client()), (server, serving()), job)
}

/// The script on one runtime, with recordings of the client and the server beside
/// their traces.
///
/// # Panics
/// As [`run`].
#[must_use]
pub fn record(runtime: Runtime) -> [(Trace, Tape); 2] {
    let tapes = [(); 2].map(|()| Tape::default());
    let [client, server] = &tapes;
    let client = client.of(EndpointConfig::client());
    let server = server.of(serving());
    let traces = play((runtime, client), (runtime, server), Job::Script);
    let [client, server] = tapes;
    [(traces.0, client), (traces.1, server)]
}

fn serving() -> EndpointConfig {
    let tls = Identity::localhost().server().into();
    EndpointConfig::server(tls, Config::default()).expect("suits")
}

fn play(
    client: (Runtime, EndpointConfig),
    server: (Runtime, EndpointConfig),
    job: Job,
) -> (Trace, Trace) {
    both(
        move |bound, trace| server.0.serve(server.1, bound, trace),
        move |address, trace| client.0.ask(client.1, address, job, trace),
    )
}

/// Runs a server, which tells its address, and a client of it, each on a thread of its own,
/// until both are through, and gives the traces of client and server.
pub(crate) fn both(
    serve: impl FnOnce(&mpsc::Sender<SocketAddr>, Trace) + Send + 'static,
    ask: impl FnOnce(SocketAddr, Trace) + Send + 'static,
) -> (Trace, Trace) {
    let (bound, address) = mpsc::channel();
    let server = end(move |trace| serve(&bound, trace));
    let address = address.recv_timeout(LIMIT).expect("the server binds");
    let client = end(move |trace| ask(address, trace));
    (client.finished("client"), server.finished("server"))
}

/// One end on a thread of its own.
struct Running {
    trace: Trace,
    done: mpsc::Receiver<()>,
}

fn end(run: impl FnOnce(Trace) + Send + 'static) -> Running {
    let (finished, done) = mpsc::channel();
    let trace = Trace::default();
    let noted = trace.clone();
    thread::spawn(move || {
        run(noted);
        // Nobody listens any more when the other end has failed.
        _ = finished.send(());
    });
    Running { trace, done }
}

impl Running {
    fn finished(self, end: &str) -> Trace {
        if let Err(error) = self.done.recv_timeout(LIMIT) {
            panic!("the {end} hangs or fails, {error}, after\n{}", self.trace);
        }
        self.trace
    }
}

impl Runtime {
    fn serve(self, config: EndpointConfig, bound: &mpsc::Sender<SocketAddr>, trace: Trace) {
        let tell = |address| bound.send(address).expect("is awaited");
        match self {
            Self::Tokio => tokio_runtime().block_on(async {
                let endpoint = aqueduct_tokio::Endpoint::server(config, ANY).expect("binds");
                tell(endpoint.local_addr());
                handles::serve(endpoint, trace).await;
            }),
            Self::AsyncStd | Self::Smol => self.block_on(async {
                let endpoint = aqueduct_async_std::Endpoint::server(config, ANY, self.spawn());
                let endpoint = endpoint.expect("binds");
                tell(endpoint.local_addr());
                handles::serve(endpoint, trace).await;
            }),
            Self::Mio => events::serve(config, &tell, trace),
        }
    }

    fn ask(self, config: EndpointConfig, server: SocketAddr, job: Job, trace: Trace) {
        let socket = || UdpSocket::bind(ANY).expect("a port");
        match self {
            Self::Tokio => tokio_runtime().block_on(async {
                let endpoint = aqueduct_tokio::Endpoint::with_socket(config, socket());
                handles::ask(endpoint.expect("a runtime"), server, job, trace).await;
            }),
            Self::AsyncStd | Self::Smol => self.block_on(async {
                let endpoint =
                    aqueduct_async_std::Endpoint::with_socket(config, socket(), self.spawn());
                handles::ask(endpoint.expect("a socket"), server, job, trace).await;
            }),
            Self::Mio => events::ask(config, server, job, trace),
        }
    }

    pub(crate) fn block_on(self, future: impl Future<Output = ()>) {
        match self {
            Self::AsyncStd => async_std::task::block_on(future),
            _ => smol::block_on(future),
        }
    }

    pub(crate) fn spawn(self) -> impl FnOnce(aqueduct_async_std::Driver) {
        move |driver| match self {
            Self::AsyncStd => drop(async_std::task::spawn(driver)),
            _ => smol::spawn(driver).detach(),
        }
    }
}

pub(crate) fn tokio_runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().expect("the system allows it")
}
