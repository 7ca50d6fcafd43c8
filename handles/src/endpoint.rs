//! The endpoint's handle, and the half of the driver that every runtime shares.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::driver::{Driver, Turn, UdpIo};
use aqueduct_core::endpoint::{ConnectError, Endpoint as Core, Target};
use aqueduct_core::error::{CloseReason, TransportFailure};
use aqueduct_core::id::Side;

use crate::connection::{ConnHandle, Connection};
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
        let worker = Worker { shared: shared.clone(), driver, wakes: Vec::new(), over: false };
        (Self { shared }, worker)
    }

    /// Begins a connection (client).
    ///
    /// # Errors
    /// [`ConnectError`] when it cannot even begin.
    pub fn connect(&self, target: Target) -> Result<Connecting, ConnectError> {
        let mut locked = self.shared.lock();
        if locked.state().failed.is_some() {
            return Err(ConnectError::EndpointStopping);
        }
        let key = locked.state().endpoint.connect(now(), target)?;
        locked.kick();
        let at = locked.state().insert_conn(key, Side::Client);
        Ok(Connecting(Connection(ConnHandle::new(&self.shared, &mut locked, at))))
    }

    /// The next connection that a client opened and that has shaken hands;
    /// `None` after [`close`](Self::close) or [`drain`](Self::drain). Many tasks
    /// may wait at once; cancel safe. How many may wait to be accepted is a
    /// matter of the endpoint's incoming policy.
    pub async fn accept(&self) -> Option<Connection> {
        wait_for(&self.shared, |locked| {
            let state = locked.state();
            match state.accepted.pop_front() {
                Some(at) => {
                    Step::Done(Some(Connection(ConnHandle::new(&self.shared, locked, at))))
                }
                None if state.closing => Step::Done(None),
                None => Step::Wait(Place::Endpoint),
            }
        })
        .await
    }

    /// Closes every connection at once and accepts no more.
    pub fn close(&self, code: Code, reason: &'static str) {
        self.end(|core, now, key| {
            if let Some(mut conn) = core.connection(now, key) {
                conn.close(code, reason);
            }
        });
    }

    /// Winds every connection down (GOAWAY, drain requests to sessions) and
    /// accepts no more. What has not ended after `limit` is closed. Returns at
    /// once: see [`wait_idle`](Self::wait_idle).
    pub fn drain(&self, limit: Duration) {
        self.end(|core, now, key| {
            if let Some(mut conn) = core.connection(now, key) {
                conn.drain(now + limit);
            }
        });
    }

    fn end(&self, mut each: impl FnMut(&mut Core, Instant, aqueduct_core::id::ConnKey)) {
        let mut locked = self.shared.lock();
        let state = locked.state();
        state.closing = true;
        state.accepted.clear();
        let now = now();
        for (_, conn) in state.conns.iter().filter(|(_, conn)| conn.closed.is_none()) {
            each(&mut state.endpoint, now, conn.key);
        }
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

    /// Connections that are not over.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        let mut locked = self.shared.lock();
        locked.state().conns.iter().filter(|(_, conn)| conn.closed.is_none()).count()
    }
}

impl Clone for Endpoint {
    fn clone(&self) -> Self {
        self.shared.lock().state().handles += 1;
        Self { shared: self.shared.clone() }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let mut locked = self.shared.lock();
        locked.state().handles -= 1;
        locked.kick();
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
