//! HTTP/3 and WebTransport on smol, async-std, and whatever else stands on
//! async-io.
//!
//! ```toml
//! [dependencies]
//! aqueduct-async-std = { version = "0.1", features = ["self-signed"] }
//! smol = "2"
//! ```
//!
//! A server that answers requests and echoes what comes in WebTransport sessions, on one
//! port and, if the client likes, on one connection:
//!
//! ```no_run
#![doc = include_str!("../examples/first-server.rs")]
//! ```
//!
//! And a client, which is given that hash:
//!
//! ```no_run
#![doc = include_str!("../examples/first-client.rs")]
//! ```
//!
//! Whoever asks many servers has no use for connections in hand: a [`Client`] makes them
//! when a request needs one, shares them, and replaces those that go away ([`client`](client())).
//!
//! ```no_run
#![doc = include_str!("../examples/get.rs")]
//! ```
//!
//! # What to know
//!
//! The handles are those of every asynchronous runtime: the page of
//! [`aqueduct_handles`] tells how they wait and what dropping one does. Here,
//!
//! - **TLS** configurations are made by [`tls::server_config`], with an
//!   [`Identity`](tls::Identity) of yours or one that signs itself, and by
//!   [`tls::client_config`], with [`Trust`](tls::Trust) in authorities, certificates or
//!   hashes; the process-wide default of rustls does not matter to them.
//! - **the driver** is a future that the maker of an endpoint spawns. It runs until
//!   the last handle and connection are gone; await
//!   [`wait_idle`](Endpoint::wait_idle) before its executor ends.
//! - **streams** are `futures_io::AsyncRead` and `AsyncWrite`.
//! - **cancelled** work is told: a request that its client gives up by
//!   [`cancelled`](ServerRequest::cancelled), a session by [`closed`](Session::closed).
//! - **protocols of your own** go on extended CONNECT, with
//!   [datagrams](RequestStream::datagrams) and [capsules](RequestStream::into_capsules).
//! - **raw QUIC**, without HTTP/3, runs beside it on the same port, by ALPN
//!   ([`EndpointConfig::quic`](protocol::endpoint::EndpointConfig::quic)): a
//!   [`Behaviour`] of yours is a task for each connection
//!   ([`Endpoint::serve_quic`], [`QuicConnection::run`]).
//! - **proxies** carry a client's connections ([`ClientBuilder::proxy`]) and an endpoint's
//!   ([`Endpoint::through`]); the sockets of a proxy of your own are yours, as in
//!   `examples/proxy.rs`.
//! - **time** is the system's, by the reactor of async-io.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod carried;
mod client;
mod driver;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;

use aqueduct_handles::Rebind;
use aqueduct_handles::protocol::behaviour::Behaviour;
use aqueduct_handles::protocol::driver::UdpIo;
use aqueduct_handles::protocol::endpoint::EndpointConfig;

pub use aqueduct_handles::client as http_client;
pub use aqueduct_handles::tunnel;
pub use aqueduct_handles::{
    BodyReceiver, BodySender, CameEarly, Cancelled, CapsuleHeader, CapsuleReceiver, CapsuleSender,
    CapsuleStream, ClaimedStream, Client, ClientBuilder, Connecting, Connection, DatagramStats,
    Datagrams, Incoming, Mailbox, MemoryTickets, QuicConnection, RecvStream, RequestStream,
    ResponseReceiver, ResponseSender, Run, SendMessageError, SendStream, ServerRequest, Session,
    SessionRequest, error, protocol, tls,
};
// What their types are used with, in the versions that fit.
pub use aqueduct_handles::protocol::{bytes, http};
pub use aqueduct_handles::tls::rustls;

#[cfg(feature = "tower")]
pub use aqueduct_handles::tower;
#[cfg(any(
    feature = "web-transport-trait",
    feature = "web-transport-trait-0-4",
    feature = "web-transport-trait-0-3"
))]
pub use aqueduct_handles::web_transport;

pub use crate::client::client;
use crate::driver::{Socket, drive};

/// What an endpoint's maker spawns: it moves bytes and time for all connections.
/// Dropping it ends them all.
pub type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One UDP socket and its connections. Clones refer to the same endpoint.
///
/// Dropping the last clone closes nothing that has a handle: the driver goes on
/// until the last connection is over. Connections that wait to be accepted are
/// closed with H3_NO_ERROR.
#[derive(Clone, Debug)]
pub struct Endpoint {
    inner: aqueduct_handles::Endpoint,
    rebind: Rebind<Socket>,
}

impl Endpoint {
    /// An endpoint that accepts connections at `addr`; port 0 lets the system
    /// choose.
    ///
    /// # Errors
    /// The socket cannot be bound, or the configuration does not suit.
    pub fn server(
        config: EndpointConfig,
        addr: SocketAddr,
        spawn: impl FnOnce(Driver),
    ) -> io::Result<Self> {
        Self::with_socket(config, UdpSocket::bind(addr)?, spawn)
    }

    /// An endpoint that opens connections from `addr`, commonly `[::]:0` or
    /// `0.0.0.0:0`.
    ///
    /// # Errors
    /// As for [`server`](Self::server).
    pub fn client(addr: SocketAddr, spawn: impl FnOnce(Driver)) -> io::Result<Self> {
        Self::with_socket(EndpointConfig::client(), UdpSocket::bind(addr)?, spawn)
    }

    /// An endpoint on a socket that is bound already.
    ///
    /// # Errors
    /// As for [`server`](Self::server).
    pub fn with_socket(
        config: EndpointConfig,
        socket: UdpSocket,
        spawn: impl FnOnce(Driver),
    ) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let socket = Socket::new(socket)?;
        let (inner, worker) = aqueduct_handles::Endpoint::open(config, socket.limits(), local)?;
        let rebind = Rebind::default();
        let driving = drive(worker, socket, rebind.clone());
        spawn(Box::pin(async move {
            // The handles have been told by the worker.
            if let Err(error) = driving.await {
                tracing::error!(%error, "the endpoint's socket failed");
            }
        }));
        Ok(Self { inner, rebind })
    }

    /// Accepts connections of raw QUIC and gives `spawn` a task for each, on which the
    /// behaviour runs that `make` has made for it: `|run| smol::spawn(run).detach()`.
    /// `make` is told the way to the behaviour, for whoever has something to say to it. Over
    /// after [`close`](Self::close) or [`drain`](Self::drain); cancel safe: the tasks go on.
    pub async fn serve_quic<B: Behaviour>(
        &self,
        make: impl FnMut(Mailbox<B::Message>) -> B,
        spawn: impl FnMut(Run<B>),
    ) {
        self.inner.serve_quic(make, spawn).await;
    }

    /// Goes on with another socket: connections that this side opened migrate to
    /// it. Accepted ones are lost unless it has the same address.
    ///
    /// # Errors
    /// The socket cannot be used; the old one stays.
    pub fn rebind(&self, socket: UdpSocket) -> io::Result<()> {
        let local = socket.local_addr()?;
        self.rebind.put(&self.inner, Socket::new(socket)?, local);
        Ok(())
    }
}

aqueduct_handles::endpoint_methods!(Endpoint);
