//! Several endpoints on one port: accepted together, and each finds its packets.
//!
//! ```text
//!            kernel balances by address
//!   socket 0 ──► Worker 0 ──► its connections
//!                 │    ▲
//!   another's: by the connection id
//!                 ▼    │
//!   socket 1 ──► Worker 1 ──► its connections
//! ```

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::driver::Driver;
use aqueduct_core::endpoint::cid::Owners;
use aqueduct_core::endpoint::{ConfigError, Endpoint as Core, EndpointStats};

use bytes::Bytes;
use rustls::ServerConfig;

use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::quic::QuicConnection;
use crate::switch::{Member, Switch};
use crate::worker::Worker;

/// Several endpoints on one port. Clones refer to the same ones; dropping the
/// last clone is dropping the last handle of each endpoint.
///
/// Everything an endpoint has of its own, limits of connections among it, each of
/// them has.
#[derive(Clone, Debug)]
pub struct Group {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    endpoints: Vec<Endpoint>,
    switch: Arc<Switch>,
    /// Where the next `accept` looks first.
    turn: AtomicUsize,
}

/// What one endpoint of a group has to do.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct GroupStats {
    /// Its connections that are not over, handshakes included.
    pub open_connections: usize,
    /// Datagrams that other endpoints received and handed to it.
    pub forwarded: u64,
    /// Datagrams that were to be handed to it and were lost, because too many
    /// waited or it is gone.
    pub dropped: u64,
    /// What it has taken, refused and lost.
    pub endpoint: EndpointStats,
}

impl Group {
    /// The handles of core endpoints that were [configured](Owners::configure) by
    /// `owners`, in its order, with sockets at `local`, and the worker of each, to be
    /// run by a task of its own. All sockets must be bound before the first worker runs.
    ///
    /// # Panics
    /// When there are not as many endpoints as owners.
    #[must_use]
    pub fn new(
        endpoints: Vec<(Core, Driver)>,
        owners: Owners,
        local: SocketAddr,
    ) -> (Self, Vec<Worker>) {
        assert_eq!(endpoints.len(), owners.count(), "one endpoint per owner");
        let switch = Switch::new(owners);
        let parts = endpoints.into_iter().enumerate();
        let (endpoints, workers) = parts
            .map(|(at, (core, driver))| {
                let (endpoint, mut worker) = Endpoint::new(core, driver, local);
                worker.join(Member::new(&switch, at));
                (endpoint, worker)
            })
            .unzip();
        let inner = Arc::new(Inner {
            endpoints,
            switch,
            turn: AtomicUsize::new(0),
        });
        (Self { inner }, workers)
    }

    /// The next connection that a client opened to any of the endpoints; as
    /// [`Endpoint::accept`]. They take turns. O(endpoints).
    pub async fn accept(&self) -> Option<Connection> {
        self.first_of(Endpoint::accept).await
    }

    /// The next connection of raw QUIC of any of the endpoints; as
    /// [`Endpoint::accept_quic`]. They take turns. O(endpoints).
    pub async fn accept_quic(&self) -> Option<QuicConnection> {
        self.first_of(Endpoint::accept_quic).await
    }

    /// What the first endpoint gives that gives anything; `None` when all are over.
    async fn first_of<'a, T, F: Future<Output = Option<T>>>(
        &'a self,
        accept: impl Fn(&'a Endpoint) -> F,
    ) -> Option<T> {
        let endpoints = &self.inner.endpoints;
        let first = self.inner.turn.fetch_add(1, Ordering::Relaxed) % endpoints.len().max(1);
        let rotated = endpoints.iter().cycle().skip(first).take(endpoints.len());
        let mut waiting: Vec<_> = rotated
            .map(|endpoint| Some(Box::pin(accept(endpoint))))
            .collect();
        poll_fn(move |cx| {
            for slot in &mut waiting {
                let Some(accept) = slot else { continue };
                match accept.as_mut().poll(cx) {
                    Poll::Ready(Some(connection)) => return Poll::Ready(Some(connection)),
                    // This endpoint is over; the others need not be.
                    Poll::Ready(None) => *slot = None,
                    Poll::Pending => {}
                }
            }
            match waiting.iter().all(Option::is_none) {
                true => Poll::Ready(None),
                false => Poll::Pending,
            }
        })
        .await
    }

    /// As [`Endpoint::set_server_tls`], for all of them.
    ///
    /// # Errors
    /// As for one of them; what does not suit one suits none.
    pub fn set_server_tls(&self, tls: Arc<ServerConfig>) -> Result<(), ConfigError> {
        let mut endpoints = self.inner.endpoints.iter();
        endpoints.try_for_each(|endpoint| endpoint.set_server_tls(Arc::clone(&tls)))
    }

    /// As [`Endpoint::close`], for all of them.
    pub fn close(&self, code: Code, reason: impl Into<Bytes>) {
        let reason = reason.into();
        self.each(|endpoint| endpoint.close(code, reason.clone()));
    }

    /// As [`Endpoint::drain`], for all of them.
    pub fn drain(&self, limit: Duration) {
        self.each(|endpoint| endpoint.drain(limit));
    }

    fn each(&self, act: impl Fn(&Endpoint)) {
        self.inner.endpoints.iter().for_each(act);
    }

    /// As [`Endpoint::wait_idle`], for all of them.
    pub async fn wait_idle(&self) {
        for endpoint in &self.inner.endpoints {
            endpoint.wait_idle().await;
        }
    }

    /// Connections of all endpoints that are not over, handshakes included.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.inner
            .endpoints
            .iter()
            .map(Endpoint::open_connections)
            .sum()
    }

    /// What each endpoint has to do, in the order of the owners.
    #[must_use]
    pub fn stats(&self) -> Vec<GroupStats> {
        let each = self.inner.endpoints.iter().zip(self.inner.switch.counts());
        each.map(|(endpoint, (forwarded, dropped))| GroupStats {
            open_connections: endpoint.open_connections(),
            forwarded,
            dropped,
            endpoint: endpoint.stats(),
        })
        .collect()
    }
}
