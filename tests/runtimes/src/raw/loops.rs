//! The same behaviours in each loop.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aqueduct_core::behaviour::Behaviour;
use aqueduct_core::endpoint::EndpointConfig;
use aqueduct_core::event::Event;
use aqueduct_core::id::ConnKey;
use aqueduct_mio::{App, Behaviours, PortKey, Ports};

use super::client::Client;
use super::server::Server;
use super::target;
use crate::runtime::{ANY, Runtime, tokio_runtime};
use crate::trace::Trace;

/// Serves one connection to its end.
pub(super) fn serve(on: Runtime, config: EndpointConfig, tell: &dyn Fn(SocketAddr), trace: Trace) {
    match on {
        Runtime::Tokio => tokio_runtime().block_on(async {
            let endpoint = aqueduct_tokio::Endpoint::server(config, ANY).expect("binds");
            tell(endpoint.local_addr());
            let make = |_| {
                let ends = endpoint.clone();
                Server::new(trace.clone(), move || ends.drain(Duration::ZERO))
            };
            endpoint.serve_quic(make).await;
            endpoint.wait_idle().await;
        }),
        Runtime::AsyncStd | Runtime::Smol => on.block_on(async {
            let endpoint = aqueduct_async_std::Endpoint::server(config, ANY, on.spawn());
            let endpoint = endpoint.expect("binds");
            tell(endpoint.local_addr());
            let make = |_| {
                let ends = endpoint.clone();
                Server::new(trace.clone(), move || ends.drain(Duration::ZERO))
            };
            let spawn = |run| match on {
                Runtime::AsyncStd => drop(async_std::task::spawn(run)),
                _ => smol::spawn(run).detach(),
            };
            endpoint.serve_quic(make, spawn).await;
            endpoint.wait_idle().await;
        }),
        Runtime::Mio => {
            let mut poll = mio::Poll::new().expect("the system allows it");
            let mut ports = Ports::new(poll.registry(), 0..2).expect("one waker");
            let port = ports.bind(config, ANY).expect("binds");
            tell(ports.local_addr(port).expect("is bound"));
            let behaviours = Behaviours::new(&ports, move |_| Server::new(trace.clone(), || {}));
            play(&mut poll, &mut ports, behaviours, |_, _| {});
        }
    }
}

/// The client of it.
pub(super) fn ask(on: Runtime, server: SocketAddr, trace: Trace) {
    let socket = || UdpSocket::bind(ANY).expect("a port");
    let (config, target) = (EndpointConfig::client(), target(server));
    match on {
        Runtime::Tokio => tokio_runtime().block_on(async {
            let endpoint = aqueduct_tokio::Endpoint::with_socket(config, socket());
            let endpoint = endpoint.expect("a runtime");
            let connection = endpoint.connect_quic(target).expect("begins");
            connection.run(Client::new(trace)).await;
            endpoint.wait_idle().await;
        }),
        Runtime::AsyncStd | Runtime::Smol => on.block_on(async {
            let endpoint = aqueduct_async_std::Endpoint::with_socket(config, socket(), on.spawn());
            let endpoint = endpoint.expect("a socket");
            let connection = endpoint.connect_quic(target).expect("begins");
            connection.run(Client::new(trace)).await;
            endpoint.wait_idle().await;
        }),
        Runtime::Mio => {
            let mut poll = mio::Poll::new().expect("the system allows it");
            let mut ports = Ports::new(poll.registry(), 0..2).expect("one waker");
            let port = ports.bind(config, ANY).expect("binds");
            let other = trace.clone();
            let behaviours = Behaviours::new(&ports, move |_| Client::new(other.clone()));
            play(&mut poll, &mut ports, behaviours, |behaviours, ports| {
                let connected = behaviours.connect(ports, port, target, |_| Client::new(trace));
                connected.expect("begins");
            });
        }
    }
}

/// Runs a loop of mio's until the one connection is over.
fn play<B: Behaviour>(
    poll: &mut mio::Poll,
    ports: &mut Ports,
    behaviours: Behaviours<B>,
    begin: impl FnOnce(&mut Behaviours<B>, &mut Ports),
) {
    let over = Arc::new(AtomicBool::new(false));
    let told = over.clone();
    let behaviours = behaviours.on_over(move |_, _, _| told.store(true, Ordering::Relaxed));
    let mut playing = Playing { behaviours, over };
    begin(&mut playing.behaviours, ports);
    aqueduct_mio::run(poll, ports, &mut playing).expect("the socket works");
}

struct Playing<B: Behaviour> {
    behaviours: Behaviours<B>,
    over: Arc<AtomicBool>,
}

impl<B: Behaviour> App for Playing<B> {
    fn on_event(&mut self, ports: &mut Ports, port: PortKey, connection: ConnKey, event: Event) {
        let left = self.behaviours.on_event(ports, port, connection, event);
        assert_eq!(left, None, "there is nothing else");
    }

    fn deadline(&mut self) -> Option<Instant> {
        self.behaviours.deadline()
    }

    fn on_timeout(&mut self, ports: &mut Ports) {
        self.behaviours.turn(ports);
    }

    fn is_over(&mut self, ports: &mut Ports) -> bool {
        if self.over.load(Ordering::Relaxed) {
            ports.drain(Duration::ZERO);
            return ports.is_idle();
        }
        false
    }
}
