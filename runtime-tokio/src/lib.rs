//! HTTP/3 and WebTransport on tokio.
//!
//! A server that answers requests and echoes WebTransport datagrams, on one port
//! and, if the client likes, on one connection:
//!
//! ```
//! # use std::io;
//! use aqueduct_tokio::core::{config::Config, endpoint::EndpointConfig};
//! use aqueduct_tokio::{Connection, Endpoint};
//!
//! async fn serve(tls: rustls::ServerConfig) -> io::Result<()> {
//!     let config = EndpointConfig::server(tls.into(), Config::default()).map_err(io::Error::other)?;
//!     let endpoint = Endpoint::server(config, ([127, 0, 0, 1], 4433).into())?;
//!     while let Some(connection) = endpoint.accept().await {
//!         tokio::spawn(requests(connection.clone()));
//!         tokio::spawn(sessions(connection));
//!     }
//!     Ok(())
//! }
//!
//! async fn requests(connection: Connection) {
//!     while let Some((request, mut stream)) = connection.accept_request().await {
//!         tokio::spawn(async move {
//!             stream.send_response(http::Response::new(()))?;
//!             stream.send_data(format!("you asked for {}", request.uri()).into()).await?;
//!             stream.finish()
//!         });
//!     }
//! }
//!
//! async fn sessions(connection: Connection) {
//!     while let Some(request) = connection.accept_session().await {
//!         let Ok(session) = request.accept() else { continue };
//!         tokio::spawn(async move {
//!             while let Ok(datagram) = session.recv_datagram().await {
//!                 session.send_datagram_wait(&datagram).await.ok();
//!             }
//!         });
//!     }
//! }
//! ```
//!
//! And a client:
//!
//! ```
//! # use std::{error::Error, net::SocketAddr, sync::Arc};
//! use aqueduct_tokio::{Endpoint, core::head::ConnectRequest};
//!
//! async fn ask(addr: SocketAddr, tls: Arc<rustls::ClientConfig>) -> Result<(), Box<dyn Error>> {
//!     let endpoint = Endpoint::client("[::]:0".parse()?)?;
//!     let connection = endpoint.connect(addr, "example.com", tls)?.await?;
//!
//!     let request = http::Request::get("https://example.com/").body(())?;
//!     let mut stream = connection.get(request).await?;
//!     println!("{}", stream.recv_response().await?.status());
//!     println!("{} bytes", stream.read_to_end(1 << 20).await?.len());
//!
//!     let request = ConnectRequest::new("https://example.com/echo".parse()?);
//!     let session = connection.open_session(request).await?;
//!     let (mut send, mut recv) = session.open_bi().await?;
//!     send.write_all(b"hello").await?;
//!     send.finish()?;
//!     println!("{:?}", recv.read_to_end(100).await?);
//!     session.close(0, "bye")?;
//!
//!     connection.drain(std::time::Duration::from_secs(1));
//!     endpoint.wait_idle().await;
//!     Ok(())
//! }
//! ```
//!
//! # What to know
//!
//! - **Streams** are [`tokio::io::AsyncRead`] and [`tokio::io::AsyncWrite`], one
//!   copy each; their own methods take and give [`Bytes`](bytes::Bytes) without any.
//! - **Waiting** is what backpressure looks like: writes wait while the peer does
//!   not read, `open_*` while it grants no streams.
//! - **Dropping** a handle tells the peer, with a code the
//!   [table](aqueduct_handles#dropping) names. Finish what is to arrive, and await
//!   [`Endpoint::wait_idle`] before the runtime ends.
//! - **Errors** say who ended what: a stream's error is its own, its session's or
//!   its connection's end, with the peer's code and reason.
//! - **Events are for all**: any number of tasks may wait in the same `accept_*`,
//!   `recv_datagram` or `closed`.
//! - **Reconnecting** is a matter of asking an error
//!   [`is_retryable`](error::ConnectError::is_retryable); a failed connect leaves
//!   nothing behind.
//! - **Generic code** written against the `web-transport-trait` crate runs on
//!   [`Session`] with the feature of that name.
//! - **Cores**: an [`Endpoint`] is driven by one task. A server that has more to do
//!   than one core can is a [`ServerGroup`].
//! - **Time** is the system's. Tokio's paused clock does not stop QUIC.
#![forbid(unsafe_code)]

mod driver;
#[cfg(feature = "quic-lb")]
mod group;
#[cfg(feature = "tower")]
pub mod tower;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aqueduct_handles::core::code::Code;
use aqueduct_handles::core::driver::{Driver, UdpIo};
use aqueduct_handles::core::endpoint::{ConnectError, EndpointConfig, Target};

pub use aqueduct_handles::{
    BodyReceiver, BodySender, Connecting, Connection, RecvStream, RequestStream, ResponseReceiver,
    ResponseSender, SendStream, ServerRequest, Session, SessionRequest, core, error,
};

#[cfg(feature = "quic-lb")]
pub use crate::group::ServerGroup;
#[cfg(feature = "quic-lb")]
pub use aqueduct_handles::GroupStats;
#[cfg(feature = "web-transport-trait")]
pub use aqueduct_handles::web_transport;

use crate::driver::{Rebind, Socket, drive};

/// One UDP socket and its connections, with a task on the current runtime that
/// drives them. Clones refer to the same endpoint.
///
/// Dropping the last clone closes nothing that has a handle: the task goes on
/// until the last connection is over. Connections that wait to be accepted are
/// closed with H3_NO_ERROR.
#[derive(Clone)]
pub struct Endpoint {
    inner: aqueduct_handles::Endpoint,
    control: Arc<Control>,
}

struct Control {
    rebind: Arc<Rebind>,
    local: Mutex<SocketAddr>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("local", &self.local_addr())
            .finish_non_exhaustive()
    }
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
        let (core, driver, socket) = open(config, socket)?;
        let (inner, worker) = aqueduct_handles::Endpoint::new(core, driver);
        let rebind = Arc::new(Rebind::default());
        let control = Control {
            rebind: rebind.clone(),
            local: Mutex::new(local),
        };
        runtime.spawn(run(worker, socket, rebind));
        Ok(Self {
            inner,
            control: Arc::new(control),
        })
    }

    /// Begins a connection to `addr`, whose certificate must be for
    /// `server_name`: a DNS name, or an IP address without brackets.
    ///
    /// # Errors
    /// [`ConnectError`] when it cannot even begin.
    pub fn connect(
        &self,
        addr: SocketAddr,
        server_name: &str,
        tls: Arc<rustls::ClientConfig>,
    ) -> Result<Connecting, ConnectError> {
        self.connect_with(Target::new(addr, server_name, tls))
    }

    /// Begins a connection with settings of its own.
    ///
    /// # Errors
    /// [`ConnectError`] when it cannot even begin.
    pub fn connect_with(&self, mut target: Target) -> Result<Connecting, ConnectError> {
        // An IPv6 socket reaches IPv4 hosts by their mapped addresses.
        if self.local_addr().is_ipv6()
            && let IpAddr::V4(ip) = target.addr.ip()
        {
            target.addr = SocketAddr::new(ip.to_ipv6_mapped().into(), target.addr.port());
        }
        self.inner.connect(&target)
    }

    /// The next connection that a client opened and that has shaken hands;
    /// `None` after [`close`](Self::close) or [`drain`](Self::drain). Many tasks
    /// may wait at once; cancel safe. The configuration's incoming policy limits
    /// how many connections there are, those that wait included.
    pub async fn accept(&self) -> Option<Connection> {
        self.inner.accept().await
    }

    /// The socket's address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        *self
            .control
            .local
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with another socket: connections that this side opened migrate to
    /// it. Accepted ones are lost unless it has the same address.
    ///
    /// # Errors
    /// The socket cannot be used; the old one stays.
    pub fn rebind(&self, socket: UdpSocket) -> io::Result<()> {
        let local = socket.local_addr()?;
        self.control.rebind.put(Socket::new(socket)?);
        *self
            .control
            .local
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = local;
        self.inner.kick();
        Ok(())
    }

    /// Closes every connection at once and takes no more, either way. Returns
    /// before the peers know: see [`wait_idle`](Self::wait_idle).
    pub fn close(&self, code: Code, reason: &'static str) {
        self.inner.close(code, reason);
    }

    /// Winds every connection down (GOAWAY, drain requests to sessions) and
    /// takes no more, either way. What has not ended after `limit` is closed.
    /// Returns at once: see [`wait_idle`](Self::wait_idle).
    pub fn drain(&self, limit: Duration) {
        self.inner.drain(limit);
    }

    /// Waits until no connection is left and the last words have gone out: call
    /// it before the runtime ends. Cancel safe.
    pub async fn wait_idle(&self) {
        self.inner.wait_idle().await;
    }

    /// Connections that are not over, handshakes included.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.inner.open_connections()
    }
}

/// What an endpoint is made of: its core, its buffers and its socket.
fn open(
    config: EndpointConfig,
    socket: UdpSocket,
) -> io::Result<(core::endpoint::Endpoint, Driver, Socket)> {
    let socket = Socket::new(socket)?;
    let core = core::endpoint::Endpoint::new(config.may_fragment(socket.may_fragment()))
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let driver = Driver::new(core.max_udp_payload(), socket.limits());
    Ok((core, driver, socket))
}

/// The task of an endpoint.
async fn run(worker: aqueduct_handles::Worker, socket: Socket, rebind: Arc<Rebind>) {
    // The handles have been told by the worker.
    if let Err(error) = drive(worker, socket, rebind).await {
        tracing::error!(%error, "the endpoint's socket failed");
    }
}
