//! The way of another socket to the task that reads it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aqueduct_core::driver::UdpIo;

use crate::endpoint::Endpoint;
use crate::worker::Worker;

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
