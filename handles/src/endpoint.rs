//! The endpoint's handle, and the half of the driver that every runtime shares.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::driver::{Driver, IoLimits, Turn, UdpIo};
use aqueduct_core::endpoint::{ConnectError, Endpoint as Core, Target};
use aqueduct_core::error::{CloseReason, TransportFailure};
use aqueduct_core::id::Side;

use crate::connection::{ConnHandle, Connection};
#[cfg(feature = "quic-lb")]
use crate::group::Member;
use crate::shared::{Place, Shared, Step, now, wait_for};

/// One UDP port's worth of connections, both opened and accepted.
///
/// This is what a runtime's own endpoint type is made of. Dropping it closes
/// nothing: connections live as long as their handles, and the driver until
/// the last of both is gone.
#[derive(Debug)]
pub struct Endpoint {
    shared: Arc<Shared>,
}

impl Endpoint {
    /// The handle of a core endpoint, and what a task has to run for it.
    #[must_use]
    pub fn new(core: Core, driver: Driver) -> (Self, Worker) {
        let shared = Shared::new(core);
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

    /// Begins a connection (client).
    ///
    /// # Errors
    /// [`ConnectError`] when it cannot even begin.
    pub fn connect(&self, target: &Target) -> Result<Connecting, ConnectError> {
        let mut locked = self.shared.lock();
        if locked.state().failed.is_some() {
            return Err(ConnectError::Refused);
        }
        let key = locked.state().endpoint.connect(now(), target)?;
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
    /// may wait at once; cancel safe. How many may wait to be accepted is a
    /// matter of the endpoint's incoming policy.
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

    /// Waits until no connection is left, so that their last words have gone
    /// out. Cancel safe.
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
        self.driver = Driver::new(core.max_udp_payload(), limits);
        core.handle_rebind(now);
    }

    fn fail(&mut self, reason: String) {
        self.over = true;
        // RFC 9000 §20.1: INTERNAL_ERROR.
        let failure = TransportFailure::Error { code: 0x1, reason };
        self.shared.lock().fail(&CloseReason::Transport(failure));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.over {
            self.fail("the endpoint's driver was stopped".into());
        }
    }
}
