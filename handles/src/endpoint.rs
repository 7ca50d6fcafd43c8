//! The endpoint's handle, and the half of the driver that every runtime shares.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::driver::{Driver, IoLimits, Turn, UdpIo, open};
use aqueduct_core::endpoint::{ConnectError, Endpoint as Core, EndpointConfig, Target};
use aqueduct_core::error::{CloseReason, TransportFailure};
use aqueduct_core::id::Side;

use crate::connection::{ConnHandle, Connection};
#[cfg(feature = "quic-lb")]
use crate::group::Member;
use crate::shared::{Place, Shared, Step, now, wait_for};

/// One UDP port's worth of connections, both opened and accepted.
///
/// This is what the endpoint of every runtime dereferences to. Clones refer to the
/// same one. Dropping the last closes nothing that has a handle: the driver goes on
/// until the last connection is over. Connections that wait to be accepted are
/// closed with H3_NO_ERROR.
pub struct Endpoint {
    shared: Arc<Shared>,
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
        let worker = Worker {
            shared: shared.clone(),
            driver,
            over: false,
            #[cfg(feature = "quic-lb")]
            member: None,
        };
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
        let mut locked = self.shared.lock();
        let state = locked.state();
        if state.failed.is_some() {
            return Err(ConnectError::Refused);
        }
        let target = target.reached_from(state.local);
        let key = state.endpoint.connect(now(), &target)?;
        locked.kick();
        let at = locked.state().insert_conn(key, Side::Client);
        Ok(Connecting(Connection(ConnHandle::new(
            &self.shared,
            &mut locked,
            at,
        ))))
    }

    /// The next connection that a client opened and that has shaken hands;
    /// `None` after [`close`](Self::close) or [`drain`](Self::drain). Many tasks
    /// may wait at once; cancel safe. The configuration's incoming policy limits
    /// how many connections there are, those that wait included.
    pub async fn accept(&self) -> Option<Connection> {
        wait_for(&self.shared, |locked| {
            let state = locked.state();
            match state.accepted.pop_front() {
                Some(at) => Step::Done(Some(Connection(ConnHandle::new(&self.shared, locked, at)))),
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

    /// Closes every connection at once and takes no more, either way. Returns
    /// before the peers know: see [`wait_idle`](Self::wait_idle).
    pub fn close(&self, code: Code, reason: &'static str) {
        self.end(|core, now| core.close_all(now, code, reason));
    }

    /// Winds every connection down (GOAWAY, drain requests to sessions) and
    /// takes no more, either way. What has not ended after `limit` is closed.
    /// Returns at once: see [`wait_idle`](Self::wait_idle).
    pub fn drain(&self, limit: Duration) {
        self.end(|core, now| core.drain_all(now, now + limit));
    }

    fn end(&self, end: impl FnOnce(&mut Core, Instant)) {
        let mut locked = self.shared.lock();
        let state = locked.state();
        state.closing = true;
        state.accepted.clear();
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

    /// The connection before its handshake is complete: requests on it wait.
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

/// What drives an endpoint: run by one task of a runtime, which makes the
/// system calls and sleeps.
///
/// Its drop, by the end of the task or of the whole runtime, ends every
/// connection for the handles that are left, so that none waits forever.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    driver: Driver,
    over: bool,
    /// Its place among others on the same port.
    #[cfg(feature = "quic-lb")]
    member: Option<Member>,
}

impl Worker {
    /// One bounded turn: receives, lets time pass, tells the handles, sends.
    /// Never waits; harmless when there is nothing to do. `None` when all
    /// handles and connections are gone: the task ends.
    ///
    /// The lock is held between the system calls and not during them.
    ///
    /// # Errors
    /// The socket is unusable; every connection has ended for its handles.
    pub fn turn(&mut self, now: Instant, io: &mut impl UdpIo) -> io::Result<Option<Turn>> {
        let turn = self.phases(now, io);
        if let Err(error) = &turn {
            self.fail(format!("the socket failed: {error}"));
        }
        turn
    }

    fn phases(&mut self, now: Instant, io: &mut impl UdpIo) -> io::Result<Option<Turn>> {
        self.driver.receive(io)?;
        #[cfg(feature = "quic-lb")]
        if let Some(member) = &mut self.member {
            member.sort(&mut self.driver);
        }
        {
            let mut locked = self.shared.lock();
            locked.state().kicked = false;
            #[cfg(feature = "quic-lb")]
            if let Some(member) = &mut self.member {
                member.feed(&mut locked.state().endpoint, now);
            }
            self.driver.feed(&mut locked.state().endpoint, now);
            locked.pump();
            self.driver.collect(&mut locked.state().endpoint, now);
            // Sending may have made events.
            locked.pump();
            let state = locked.state();
            let idle = state.endpoint.is_idle();
            self.over = idle && state.handles == 0;
            if idle {
                locked.wake(Place::Endpoint);
            }
        }
        let turn = self.driver.flush(io);
        Ok(if self.over && self.driver.queued() == 0 {
            None
        } else {
            Some(turn)
        })
    }

    /// Takes its place among others on the same port.
    #[cfg(feature = "quic-lb")]
    pub(crate) fn join(&mut self, member: Member) {
        self.member = Some(member);
    }

    /// Waits until a handle has given the core something to do, or another worker
    /// of the same group has. Cancel safe.
    pub async fn kicked(&self) {
        poll_fn(|cx| self.poll_kicked(cx)).await;
    }

    /// See [`kicked`](Self::kicked).
    pub fn poll_kicked(&self, cx: &mut Context<'_>) -> Poll<()> {
        #[cfg(feature = "quic-lb")]
        if let Some(member) = &self.member
            && member.poll(cx).is_ready()
        {
            return Poll::Ready(());
        }
        self.shared.poll_kicked(cx)
    }

    /// The endpoint has another socket from here on, of these limits: every
    /// connection tries the new path at once. What waited for the old socket is
    /// lost, as packets are.
    pub fn rebind(&mut self, now: Instant, limits: IoLimits) {
        let mut locked = self.shared.lock();
        let core = &mut locked.state().endpoint;
        self.driver.rebind(core, now, limits);
    }

    fn fail(&mut self, reason: String) {
        self.over = true;
        // RFC 9000 §20.1: INTERNAL_ERROR.
        let failure = TransportFailure::Error { code: 0x1, reason };
        self.shared.lock().fail(&CloseReason::Transport(failure));
    }
}

/// The way of another socket from an endpoint's handle to the task that runs its
/// [`Worker`]. Clones are the same way.
pub struct Rebind<S>(Arc<Mutex<Option<S>>>);

impl<S: UdpIo> Rebind<S> {
    /// `endpoint` goes on with `socket`, which is at `local`.
    pub fn put(&self, endpoint: &Endpoint, socket: S, local: SocketAddr) {
        *self.lock() = Some(socket);
        let mut locked = endpoint.shared.lock();
        locked.state().local = local;
        locked.kick();
    }

    /// For the task, before each turn: exchanges the socket when there is another.
    pub fn apply(&self, now: Instant, worker: &mut Worker, io: &mut S) {
        let next = self.lock().take();
        if let Some(next) = next {
            *io = next;
            worker.rebind(now, io.limits());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Clone for Rebind<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> Default for Rebind<S> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<S> fmt::Debug for Rebind<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rebind").finish_non_exhaustive()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.over {
            self.fail("the endpoint's driver was stopped".into());
        }
    }
}
