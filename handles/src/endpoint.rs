//! The endpoint's handle.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::driver::{Driver, IoLimits, open};
use aqueduct_core::endpoint::{
    ConfigError, ConnectError, Endpoint as Core, EndpointConfig, EndpointStats, Protocol,
    SocketFault, Target,
};
use aqueduct_core::error::CloseReason;
use aqueduct_core::id::Side;
use aqueduct_core::time::after;
use bytes::Bytes;
use rustls::ServerConfig;

use crate::clock::now;
use crate::connection::Connection;
#[cfg(doc)]
use crate::http::ServerRequest;
use crate::place::Place;
use crate::shared::{Locked, Shared, Step, wait_for};
use crate::worker::Worker;

/// One UDP port's worth of connections, both opened and accepted.
///
/// The endpoint of every runtime is one with a socket. Clones refer to the same one.
/// Dropping the last closes nothing that has a handle: the driver goes on until the
/// last connection is over. Connections that wait to be accepted are closed with
/// H3_NO_ERROR.
pub struct Endpoint {
    pub(crate) shared: Arc<Shared>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("local", &self.local_addr())
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// An endpoint for a socket of these limits at `local`, and what a task has to
    /// run for it.
    ///
    /// # Errors
    /// `InvalidInput` when the configuration does not suit.
    pub fn open(
        config: EndpointConfig,
        limits: IoLimits,
        local: SocketAddr,
    ) -> io::Result<(Self, Worker)> {
        let (core, driver) = open(config, limits)?;
        Ok(Self::new(core, driver, local))
    }

    /// The handle of a core endpoint whose socket is at `local`, and what a task has
    /// to run for it.
    #[must_use]
    pub fn new(core: Core, driver: Driver, local: SocketAddr) -> (Self, Worker) {
        let shared = Shared::new(core, local);
        shared.lock().state().handles = 1;
        let worker = Worker::new(shared.clone(), driver);
        (Self { shared }, worker)
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

    /// Begins a connection with settings of its own. An IPv6 socket reaches IPv4
    /// hosts too.
    ///
    /// # Errors
    /// [`ConnectError`] when it cannot even begin.
    pub fn connect_with(&self, target: Target) -> Result<Connecting, ConnectError> {
        let (mut locked, at) = self.begin(target, Protocol::Http3)?;
        let connection = Connection::first(&self.shared, &mut locked, at);
        Ok(Connecting(connection))
    }

    /// Begins a connection to a target that speaks `protocol`, and gives its entry.
    pub(crate) fn begin(
        &self,
        target: Target,
        protocol: Protocol,
    ) -> Result<(Locked<'_>, usize), ConnectError> {
        if target.protocol() != protocol {
            return Err(ConnectError::WrongProtocol);
        }
        let mut locked = self.shared.lock();
        let state = locked.state();
        if state.failed.is_some() {
            return Err(ConnectError::Refused);
        }
        let target = target.reached_from(state.local);
        let key = state.endpoint.connect(now(), &target)?;
        locked.kick();
        let at = locked.state().insert_conn(key, Side::Client);
        Ok((locked, at))
    }

    /// The next connection that a client opened and that has shaken hands, or on which a
    /// request has come as early data before that ([`ServerRequest::is_early`]);
    /// `None` after [`close`](Self::close) or [`drain`](Self::drain). Many tasks
    /// may wait at once; cancel safe. The configuration's incoming policy limits
    /// how many connections there are, those that wait included.
    pub async fn accept(&self) -> Option<Connection> {
        wait_for(&self.shared, |locked| {
            let state = locked.state();
            match state.accepted.pop_front() {
                Some(at) => Step::Done(Some(Connection::first(&self.shared, locked, at))),
                None if state.closing => Step::Done(None),
                None => Step::Wait(Place::Endpoint),
            }
        })
        .await
    }

    /// The socket's address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.lock().state().local
    }

    /// Takes another TLS configuration for the connections that are accepted from now on,
    /// such as one with a renewed certificate: see [the core's](Core::set_server_tls), which says also
    /// how session tickets stay good.
    ///
    /// # Errors
    /// [`ConfigError`], and nothing is replaced.
    pub fn set_server_tls(&self, tls: Arc<ServerConfig>) -> Result<(), ConfigError> {
        let mut locked = self.shared.lock();
        locked.state().endpoint.set_server_tls(tls)
    }

    /// Refuses connections from here on, either way, or takes them again; those that exist
    /// are not touched. A new endpoint takes them.
    pub fn set_accepting(&self, accepting: bool) {
        let mut locked = self.shared.lock();
        let state = locked.state();
        // One that has ended stays so.
        state.endpoint.set_accepting(accepting && !state.closing);
    }

    /// Closes every connection at once and takes no more, either way. What peers have not
    /// read is lost, [acknowledged or not](crate#acknowledged-is-not-read), and sessions
    /// are told no code: [`drain`](Self::drain) does both. Returns before the peers know:
    /// see [`wait_idle`](Self::wait_idle).
    pub fn close(&self, code: Code, reason: impl Into<Bytes>) {
        self.end(|core, now| core.close(now, code, reason));
    }

    /// Winds every connection down (GOAWAY, drain requests to sessions) and
    /// takes no more, either way. What has not ended after `limit` is closed, sessions
    /// first: see [`Connection::drain`].
    /// Returns at once: see [`wait_idle`](Self::wait_idle).
    pub fn drain(&self, limit: Duration) {
        self.end(|core, now| core.drain(now, after(now, limit)));
    }

    fn end(&self, end: impl FnOnce(&mut Core, Instant)) {
        let mut locked = self.shared.lock();
        let state = locked.state();
        state.closing = true;
        state.accepted.clear();
        state.refuse_quic();
        end(&mut state.endpoint, now());
        locked.kick();
        locked.wake(Place::Endpoint);
    }

    /// Waits until no connection is left and the last words have gone out: call
    /// it before the runtime ends. Cancel safe.
    pub async fn wait_idle(&self) {
        wait_for(&self.shared, |locked| {
            let state = locked.state();
            if state.failed.is_some() || state.endpoint.is_idle() {
                Step::Done(())
            } else {
                Step::Wait(Place::Endpoint)
            }
        })
        .await;
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Makes the driver take a turn: for a runtime that has something to tell it.
    pub fn kick(&self) {
        self.shared.lock().kick();
    }

    /// Connections that are not over, handshakes included.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.shared.lock().state().endpoint.open_connections()
    }

    /// What the endpoint has taken, refused and lost.
    #[must_use]
    pub fn stats(&self) -> EndpointStats {
        self.shared.lock().state().endpoint.stats()
    }

    /// The last system call for the socket that failed, if any did. The connections go
    /// on; a socket that is gone for good ends them all.
    #[must_use]
    pub fn socket_fault(&self) -> Option<SocketFault> {
        self.shared.lock().state().endpoint.socket_fault()
    }

    /// Waits for the next failed system call; `None` when the endpoint has no driver
    /// any more. Of several in one turn it tells the last: [`stats`](Self::stats) counts
    /// all. Many tasks may wait at once; cancel safe.
    pub async fn next_socket_fault(&self) -> Option<SocketFault> {
        let before = self.stats();
        wait_for(&self.shared, |locked| {
            let state = locked.state();
            let stats = state.endpoint.stats();
            if state.failed.is_some() {
                Step::Done(None)
            } else if (stats.recv_errors, stats.send_errors)
                != (before.recv_errors, before.send_errors)
            {
                Step::Done(state.endpoint.socket_fault())
            } else {
                Step::Wait(Place::Endpoint)
            }
        })
        .await
    }
}

impl Clone for Endpoint {
    fn clone(&self) -> Self {
        self.shared.lock().state().handles += 1;
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let mut locked = self.shared.lock();
        let state = locked.state();
        state.handles -= 1;
        if state.handles == 0 {
            state.orphan();
            locked.kick();
        }
    }
}

/// A connection whose handshake is under way. Awaiting it gives the connection;
/// dropping it abandons the attempt.
#[derive(Debug)]
pub struct Connecting(Connection);

impl Connecting {
    /// Waits for the end of the handshake.
    ///
    /// # Errors
    /// The [`CloseReason`] when it failed.
    pub async fn established(self) -> Result<Connection, CloseReason> {
        self.0.connected().await?;
        Ok(self.0)
    }

    /// The connection before its handshake is complete: requests on it wait, or go out as
    /// early data where they may ([`Connection::may_send_early`]).
    #[must_use]
    pub fn early(&self) -> Connection {
        self.0.clone()
    }
}

impl IntoFuture for Connecting {
    type Output = Result<Connection, CloseReason>;
    type IntoFuture = std::pin::Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.established())
    }
}
