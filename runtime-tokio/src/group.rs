//! A server of several endpoints on one port, for more than one core.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use aqueduct_handles::protocol::code::Code;
use aqueduct_handles::protocol::driver::{UdpIo, open};
use aqueduct_handles::protocol::endpoint::cid::Owners;
use aqueduct_handles::protocol::endpoint::{ConfigError, EndpointConfig};
use aqueduct_handles::{Connection, Group, GroupStats, QuicConnection, Rebind};
use bytes::Bytes;

use crate::driver::Socket;
use crate::{run, rustls};

/// A server of several endpoints on one UDP port, each with its own socket, its own
/// connections and its own task, so that QUIC, TLS and system calls keep as many
/// cores busy. It takes a multi-thread runtime to gain from that.
///
/// ```no_run
/// # async fn serve(config: aqueduct_tokio::protocol::endpoint::EndpointConfig) -> std::io::Result<()> {
/// use aqueduct_tokio::ServerGroup;
///
/// let cores = std::thread::available_parallelism()?.get();
/// let server = ServerGroup::bind(config, "[::]:443".parse().unwrap(), cores)?;
/// while let Some(connection) = server.accept().await {
///     tokio::spawn(async move { /* as for a single endpoint */ drop(connection) });
/// }
/// # Ok(())
/// # }
/// ```
///
/// The kernel spreads clients over the sockets by address (`SO_REUSEPORT`). Each
/// connection id names the endpoint that owns the connection, so a client whose
/// address changes, by migration or behind a NAT, goes on where it was: when the
/// kernel gives its packets to another endpoint, that one hands them on.
///
/// # Behind a load balancer
///
/// The same ids route packets to one of many machines when a QUIC-LB load balancer
/// can read them. Then the configuration is the balancer's and this machine has a
/// server id for each endpoint, all of which the balancer sends to it:
///
/// ```no_run
/// # async fn serve(config: aqueduct_tokio::protocol::endpoint::EndpointConfig, key: [u8; 16])
/// # -> Result<(), Box<dyn std::error::Error>> {
/// use aqueduct_tokio::ServerGroup;
/// use aqueduct_tokio::protocol::endpoint::cid::{LbConfig, Owners, ServerId};
///
/// // Configuration 2; server ids of two bytes, the first of them this machine.
/// let shared = LbConfig::new(2, 2, 8)?.key(key);
/// let ours = vec![ServerId::new(&[17, 0])?, ServerId::new(&[17, 1])?];
/// let server = ServerGroup::bind_owners(config, "[::]:443".parse()?, Owners::new(shared, ours)?)?;
/// # drop(server);
/// # Ok(())
/// # }
/// ```
///
/// See [`cid`](crate::protocol::endpoint::cid) for what the ids look like and how to
/// change configurations.
///
/// # Platforms
///
/// Linux and Android balance. Other Unix systems let several sockets share a port
/// and give most packets to one of them: right, but no faster. Elsewhere a group
/// has one endpoint. Any process of the same user may join the port.
#[derive(Clone)]
pub struct ServerGroup {
    inner: Group,
    local: SocketAddr,
}

impl fmt::Debug for ServerGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerGroup")
            .field("local", &self.local)
            .field("endpoints", &self.inner.stats())
            .finish()
    }
}

impl ServerGroup {
    /// A server of `count` endpoints (1 to 256) at `addr`; port 0 lets the system
    /// choose. Connection ids are encrypted with a key that is drawn here.
    ///
    /// Limits of the configuration, such as that of connections, are each
    /// endpoint's.
    ///
    /// # Errors
    /// As for [`Endpoint::server`](crate::Endpoint::server);
    /// [`Unsupported`](io::ErrorKind::Unsupported) for more than one endpoint where
    /// sockets cannot share a port.
    pub fn bind(config: EndpointConfig, addr: SocketAddr, count: usize) -> io::Result<Self> {
        let owners = Owners::private(&config, count).map_err(invalid)?;
        Self::bind_owners(config, addr, owners)
    }

    /// A server of as many endpoints as there are `owners`, with connection ids
    /// that name them.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    pub fn bind_owners(
        config: EndpointConfig,
        addr: SocketAddr,
        owners: Owners,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        // All are bound before any is read: each that joins moves clients around.
        let bound = bind(addr, owners.count())?;
        let local = bound.first().map_or(Ok(addr), UdpSocket::local_addr)?;
        let (mut endpoints, mut sockets) = (Vec::new(), Vec::new());
        for (at, socket) in bound.into_iter().enumerate() {
            let config = owners.configure(&config, at).map_err(invalid)?;
            let socket = Socket::new(socket)?;
            endpoints.push(open(config, socket.limits())?);
            sockets.push(socket);
        }
        let (inner, workers) = Group::new(endpoints, owners, local);
        for (worker, socket) in workers.into_iter().zip(sockets) {
            runtime.spawn(run(worker, socket, Rebind::default()));
        }
        Ok(Self { inner, local })
    }

    /// The next connection that a client opened to any of the endpoints and that
    /// has shaken hands; `None` after [`close`](Self::close) or
    /// [`drain`](Self::drain). Many tasks may wait at once; cancel safe.
    pub async fn accept(&self) -> Option<Connection> {
        self.inner.accept().await
    }

    /// The next connection of raw QUIC of any of the endpoints: see
    /// [`Endpoint::accept_quic`](crate::Endpoint::accept_quic).
    pub async fn accept_quic(&self) -> Option<QuicConnection> {
        self.inner.accept_quic().await
    }

    /// The address of all sockets.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Takes another TLS configuration for the connections that are accepted from now on:
    /// see [`Endpoint::set_server_tls`](crate::Endpoint::set_server_tls).
    ///
    /// # Errors
    /// [`ConfigError`], and nothing is replaced.
    pub fn set_server_tls(&self, tls: Arc<rustls::ServerConfig>) -> Result<(), ConfigError> {
        self.inner.set_server_tls(tls)
    }

    /// Closes every connection at once and takes no more. Returns before the peers
    /// know: see [`wait_idle`](Self::wait_idle).
    pub fn close(&self, code: Code, reason: impl Into<Bytes>) {
        self.inner.close(code, reason);
    }

    /// Winds every connection down and takes no more. What has not ended after
    /// `limit` is closed. Returns at once: see [`wait_idle`](Self::wait_idle).
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

    /// What each endpoint has to do.
    #[must_use]
    pub fn stats(&self) -> Vec<GroupStats> {
        self.inner.stats()
    }
}

fn invalid(error: ConfigError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

/// Sockets that share an address.
fn bind(addr: SocketAddr, count: usize) -> io::Result<Vec<UdpSocket>> {
    if count == 1 {
        return Ok(vec![UdpSocket::bind(addr)?]);
    }
    let first = bind_shared(addr)?;
    // Port 0 is drawn once.
    let addr = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(bind_shared(addr)?);
    }
    Ok(sockets)
}

#[cfg(all(
    unix,
    not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))
))]
fn bind_shared(addr: SocketAddr) -> io::Result<UdpSocket> {
    use socket2::{Domain, Protocol, Socket, Type};

    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

#[cfg(not(all(
    unix,
    not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))
)))]
fn bind_shared(_: SocketAddr) -> io::Result<UdpSocket> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "sockets cannot share a port here: a server has one endpoint",
    ))
}
