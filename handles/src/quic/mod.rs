//! Raw QUIC: connections on which a behaviour of the application's runs, as a task of
//! whatever runtime it likes.

mod mailbox;
mod run;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Context;

use aqueduct_core::behaviour::{self, Behaviour};
use aqueduct_core::connection::quic::QuicAccess;
use aqueduct_core::endpoint::{
    ConnectError, ConnectionInfo, PathStats, PeerParameters, Protocol, QuicMut, QuinnTransport,
    Target,
};
use aqueduct_core::id::{ConnKey, Side};
use aqueduct_core::quic::About;
use bytes::Bytes;
use rustls::pki_types::CertificateDer;

use crate::clock::now;
use crate::endpoint::Endpoint;
use crate::place::Place;
use crate::shared::{Locked, Shared, Step, wait_for};
use crate::table::State;
use crate::waiters::park;

pub use aqueduct_core::behaviour::SendMessageError;
pub use mailbox::Mailbox;
pub use run::Run;

impl Endpoint {
    /// Begins a connection of raw QUIC to a [`Target`] that speaks it ([`Target::quic`]).
    /// Nothing is told before the connection runs.
    ///
    /// # Errors
    /// [`ConnectError`] when it cannot even begin.
    pub fn connect_quic(&self, target: Target) -> Result<QuicConnection, ConnectError> {
        let (mut locked, at) = self.begin(target, Protocol::Quic)?;
        Ok(QuicConnection::first(&self.shared, &mut locked, at))
    }

    /// The next connection of raw QUIC that a client has begun, whose handshake may be under
    /// way still; `None` after [`close`](Self::close) or [`drain`](Self::drain). Many tasks
    /// may wait at once; cancel safe. The configuration's incoming policy limits how many
    /// connections there are, those that wait included.
    pub async fn accept_quic(&self) -> Option<QuicConnection> {
        wait_for(&self.shared, |locked| {
            let state = locked.state();
            match state.accepted_quic.pop_front() {
                Some(at) => Step::Done(Some(QuicConnection::first(&self.shared, locked, at))),
                None if state.closing => Step::Done(None),
                None => Step::Wait(Place::Endpoint),
            }
        })
        .await
    }

    /// Accepts connections of raw QUIC, and gives `spawn` a task for each: the behaviour
    /// that `make` has made for it, at work. `make` is told the way to the behaviour, for
    /// whoever has something to say to it. Over after [`close`](Self::close) or
    /// [`drain`](Self::drain); cancel safe: the tasks go on.
    pub async fn serve_quic<B: Behaviour>(
        &self,
        mut make: impl FnMut(Mailbox<B::Message>) -> B,
        mut spawn: impl FnMut(Run<B>),
    ) {
        while let Some(connection) = self.accept_quic().await {
            spawn(connection.run_with(behaviour::Config::default(), &mut make));
        }
    }
}

/// A connection of raw QUIC, either side. Dropping it closes the connection with code 0.
pub struct QuicConnection {
    shared: Arc<Shared>,
    /// Place in the handles' table.
    at: usize,
    key: ConnKey,
}

impl fmt::Debug for QuicConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.key)
    }
}

impl QuicConnection {
    /// The handle of an entry.
    fn first(shared: &Arc<Shared>, locked: &mut Locked<'_>, at: usize) -> Self {
        let conn = locked.conn(at);
        conn.handle = true;
        Self {
            shared: shared.clone(),
            at,
            key: conn.key,
        }
    }

    /// Which end this is.
    #[must_use]
    pub fn side(&self) -> Side {
        self.shared.lock().conn(self.at).side
    }

    /// What is known of the connection: names, addresses; `None` before anything is, and
    /// some time after the end.
    #[must_use]
    pub fn about(&self) -> Option<About> {
        let mut locked = self.shared.lock();
        locked.quic(self.key, |quic| quic.access().about().cloned())?
    }

    /// Path and traffic in numbers; `None` some time after the end.
    #[must_use]
    pub fn path(&self) -> Option<PathStats> {
        self.info(|info| info.path())
    }

    /// The peer's address at present; `None` some time after the end.
    #[must_use]
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.info(|info| info.remote_address())
    }

    /// The local address the peer used, where the socket tells it (server).
    #[must_use]
    pub fn local_ip(&self) -> Option<IpAddr> {
        self.info(|info| info.local_ip()).flatten()
    }

    /// The peer's certificates, end entity first, once known; empty when it has shown none.
    #[must_use]
    pub fn peer_certificates(&self) -> Vec<CertificateDer<'static>> {
        self.info(|info| info.peer_certificates())
            .unwrap_or_default()
    }

    /// The peer's QUIC transport parameters, once the handshake is complete.
    #[must_use]
    pub fn peer_parameters(&self) -> Option<PeerParameters> {
        self.info(|info| info.peer_parameters()).flatten()
    }

    /// Closes the connection at once, with a code of 62 bits; larger ones become the largest.
    pub fn close(&self, code: u64, reason: impl Into<Bytes>) {
        let code = code.min(aqueduct_core::quic::MAX_CODE);
        self.change(|access| {
            // Fails only for one that is closed.
            let _ = access.close(code, reason);
        });
    }

    fn info<R>(&self, look: impl FnOnce(ConnectionInfo<'_>) -> R) -> Option<R> {
        self.shared.lock().info(self.key, look)
    }

    /// Changes the core's connection: the driver runs afterwards.
    fn change<R>(
        &self,
        change: impl FnOnce(&mut QuicAccess<'_, QuinnTransport<'_>>) -> R,
    ) -> Option<R> {
        let mut locked = self.shared.lock();
        locked.kick();
        locked.quic(self.key, |quic| change(&mut quic.access()))
    }
}

impl Drop for QuicConnection {
    fn drop(&mut self) {
        let mut locked = self.shared.lock();
        locked.kick();
        locked.quic(self.key, leave);
        let conn = locked.conn(self.at);
        conn.handle = false;
        locked.state().remove_conn(self.at);
    }
}

impl Locked<'_> {
    /// A connection of raw QUIC; `None` when it is forgotten, or nobody drives it.
    pub(crate) fn quic<R>(
        &mut self,
        key: ConnKey,
        work: impl FnOnce(&mut QuicMut<'_>) -> R,
    ) -> Option<R> {
        let state = self.state();
        if state.failed.is_some() {
            return None;
        }
        let now = state.now();
        let mut quic = state.endpoint.quic(now, key)?;
        Some(work(&mut quic))
    }

    /// Whether a connection has events, or never will have any again; if not, whoever runs it
    /// is woken when it has.
    fn quic_ready(&mut self, at: usize, cx: &Context<'_>) -> bool {
        let conn = self.conn(at);
        if conn.closed.is_some() || std::mem::take(&mut conn.quic_ready) {
            return true;
        }
        self.quic_wait(at, cx);
        false
    }

    /// Whoever runs a connection that has no events is woken when it has.
    fn quic_wait(&mut self, at: usize, cx: &Context<'_>) {
        let replaced = park(&mut self.conn(at).quic_waker, cx.waker());
        self.retire(replaced);
    }
}

impl State {
    /// A connection of raw QUIC has events: whoever runs it is woken, or somebody is to
    /// accept it.
    pub(crate) fn on_quic_ready(&mut self, at: usize, wakes: &mut Vec<std::task::Waker>) {
        let conn = &mut self.conns[at];
        conn.quic_ready = true;
        wakes.extend(conn.quic_waker.take());
        if conn.side == Side::Client || std::mem::replace(&mut conn.offered, true) {
            return;
        }
        self.accepted_quic.push_back(at);
        if self.closing {
            return self.refuse_quic();
        }
        self.waiters.wake(wakes);
    }

    /// Closes connections of raw QUIC that nobody will accept.
    pub(crate) fn refuse_quic(&mut self) {
        while let Some(at) = self.accepted_quic.pop_front() {
            let key = self.conns[at].key;
            if let Some(mut quic) = self.endpoint.quic(now(), key) {
                leave(&mut quic);
            }
            self.remove_conn(at);
        }
    }
}

/// Closes a connection whose events nobody takes any more.
fn leave(quic: &mut QuicMut<'_>) {
    // Fails only for one that is closed.
    let _ = quic.access().close(0, "");
    while quic.poll_event().is_some() {}
}
