//! HTTP/3 and WebTransport on tokio.
//!
//! ```toml
//! [dependencies]
//! aqueduct-tokio = { version = "0.1", features = ["self-signed"] }
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
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
//! - **TLS** is rustls, with crypto that the features `ring` (default) and `aws-lc-rs`
//!   choose. [`tls::server_config`] and [`tls::client_config`] make configurations with
//!   it; what other crates have made rustls' default does not matter to them, as it does
//!   to `rustls::ServerConfig::builder()`, which panics where there are two.
//! - **Streams** are [`tokio::io::AsyncRead`] and [`tokio::io::AsyncWrite`], one
//!   copy each; their own methods take and give [`Bytes`](bytes::Bytes) without any.
//! - **Pages** of other origins get no session: only those of the server's own
//!   authority do, and those in
//!   [`Config::origins`](protocol::webtransport::Config::origins).
//! - **Where** sessions are is for their handler to say, which may be that of requests
//!   ([`accept_any`](Connection::accept_any), or a tower service): one that drops its
//!   [`SessionRequest`] answers 500. Paths that are for nothing else are told to
//!   [`EndpointConfig::resources`], and other requests to them are answered 405.
//! - **Waiting** is what backpressure looks like: writes wait while the peer does
//!   not read, `open_*` while it grants no streams.
//! - **Cancelled** work is told: a request that its client gives up by
//!   [`cancelled`](ServerRequest::cancelled), a session by [`closed`](Session::closed),
//!   and reads and writes fail. What is not waiting for any of them goes on.
//! - **Dropping** a handle tells the peer, with a code the
//!   [table](aqueduct_handles#dropping) names. Finish what is to arrive, and await
//!   [`wait_idle`](Endpoint::wait_idle) before the runtime ends. That the peer has
//!   acknowledged something is [not that it has read
//!   it](aqueduct_handles#acknowledged-is-not-read): drain before a close, or wait for an
//!   answer of your own.
//! - **Errors** say who ended what: a stream's error is its own, its session's or
//!   its connection's end, with the peer's code and reason.
//! - **Events are for all**: any number of tasks may wait in the same `accept_*`,
//!   `recv_datagram` or `closed`.
//! - **Tickets** make a connection to a known server shorter: they are
//!   [told](Connection::ticket) and kept in a store that connections share, such as
//!   [`MemoryTickets`]. With [`Target::early_data`](protocol::endpoint::Target::early_data), safe
//!   requests go out before the handshake is complete (0-RTT), to servers that take them
//!   ([`EndpointConfig::early_data`](protocol::endpoint::EndpointConfig::early_data)).
//! - **Reconnecting** is a matter of asking an error
//!   [`is_retryable`](error::RequestError::is_retryable); a failed connect leaves
//!   nothing behind.
//! - **Protocols of your own** go on extended CONNECT: a
//!   [`Protocol`](protocol::head::Protocol) among a request's extensions,
//!   [datagrams](RequestStream::datagrams) beside its content, and content that is
//!   [capsules](RequestStream::into_capsules). `examples/ping.rs` is one. Streams of types
//!   of their own are claimed by the configuration and
//!   [accepted](Connection::accept_claimed) raw.
//! - **Raw QUIC**, without HTTP/3, runs beside it on the same port, by ALPN
//!   ([`EndpointConfig::quic`](protocol::endpoint::EndpointConfig::quic)): a
//!   [`Behaviour`] of yours is a task for each connection
//!   ([`Endpoint::serve_quic`], [`QuicConnection::run`]).
//! - **Generic code** written against the `web-transport-trait` crate runs on
//!   [`Session`], awaited or polled, with the feature of that name; programs of Media
//!   over QUIC stand on older releases of it, which are features of their own.
//! - **Cores**: an [`Endpoint`] is driven by one task. A server that has more to do
//!   than one core can is a [`ServerGroup`].
//! - **Time** is the system's. Tokio's paused clock does not stop QUIC.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod client;
mod driver;
#[cfg(feature = "quic-lb")]
mod group;
mod listener;
#[cfg(feature = "proxy")]
pub mod proxy;
#[cfg(feature = "tower")]
pub mod tower;

use std::io;
use std::net::{SocketAddr, UdpSocket};

use aqueduct_handles::protocol::behaviour::Behaviour;
use aqueduct_handles::protocol::driver::UdpIo;
use aqueduct_handles::protocol::endpoint::EndpointConfig;
use aqueduct_handles::{Rebind, Worker};

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

#[cfg(feature = "quic-lb")]
pub use crate::group::ServerGroup;
#[cfg(feature = "quic-lb")]
pub use aqueduct_handles::GroupStats;
#[cfg(any(
    feature = "web-transport-trait",
    feature = "web-transport-trait-0-4",
    feature = "web-transport-trait-0-3"
))]
pub use aqueduct_handles::web_transport;

pub use crate::client::client;
use crate::driver::{Socket, drive};
pub use crate::listener::{Listener, Stop};

/// One UDP socket and its connections, with a task on the current runtime that
/// drives them. Clones refer to the same endpoint.
///
/// Dropping the last clone closes nothing that has a handle: the task goes on
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
    /// The socket cannot be bound, the configuration does not suit, or there is
    /// no tokio runtime.
    pub fn server(config: EndpointConfig, addr: SocketAddr) -> io::Result<Self> {
        Self::with_socket(config, UdpSocket::bind(addr)?)
    }

    /// An endpoint that opens connections from `addr`, commonly `[::]:0` or
    /// `0.0.0.0:0`.
    ///
    /// # Errors
    /// As for [`server`](Self::server).
    pub fn client(addr: SocketAddr) -> io::Result<Self> {
        Self::with_socket(EndpointConfig::client(), UdpSocket::bind(addr)?)
    }

    /// An endpoint on a socket that is bound already.
    ///
    /// # Errors
    /// As for [`server`](Self::server).
    pub fn with_socket(config: EndpointConfig, socket: UdpSocket) -> io::Result<Self> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let local = socket.local_addr()?;
        let socket = Socket::new(socket)?;
        let (inner, worker) = aqueduct_handles::Endpoint::open(config, socket.limits(), local)?;
        let rebind = Rebind::default();
        runtime.spawn(run(worker, socket, rebind.clone()));
        Ok(Self { inner, rebind })
    }

    /// Accepts connections of raw QUIC and spawns a task on the current runtime for each,
    /// on which the behaviour runs that `make` has made for it. `make` is told the way to
    /// the behaviour, for whoever has something to say to it. Over after
    /// [`close`](Self::close) or [`drain`](Self::drain); cancel safe: the tasks go on.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn serve_quic<B>(&self, make: impl FnMut(Mailbox<B::Message>) -> B)
    where
        B: Behaviour + Send + 'static,
    {
        let spawn = |run: Run<B>| drop(tokio::spawn(run));
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

/// The task of an endpoint.
async fn run(worker: Worker, socket: Socket, rebind: Rebind<Socket>) {
    // The handles have been told by the worker.
    if let Err(error) = drive(worker, socket, rebind).await {
        tracing::error!(%error, "the endpoint's socket failed");
    }
}
