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
//!
//! The kernel sends all packets of one address to one socket. When a client's
//! address changes, by migration or because a NAT forgot it, that may become
//! another socket than its connection's; the worker there reads whose the packet
//! is from its connection id and puts it into the owner's queue. This happens
//! before any endpoint sees the packet and outside of every endpoint's lock. The
//! owner answers from its own socket, which has the same address.
//!
//! It is what a QUIC-LB load balancer does for machines: see
//! [`cid`](aqueduct_core::endpoint::cid).

use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::driver::Driver;
use aqueduct_core::endpoint::cid::Owners;
use aqueduct_core::endpoint::{Arrival, Endpoint as Core};
use bytes::BytesMut;

use crate::connection::Connection;
use crate::endpoint::{Endpoint, Worker};
use crate::waiters::park;

/// Datagrams of others that wait for their owner, at most: as much as a generous
/// socket buffer holds.
const MAX_FORWARDED: usize = 2048;

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
        let switch = Arc::new(Switch {
            inboxes: endpoints.iter().map(|_| Inbox::default()).collect(),
            owners,
        });
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
        let endpoints = &self.inner.endpoints;
        let first = self.inner.turn.fetch_add(1, Ordering::Relaxed) % endpoints.len().max(1);
        let rotated = endpoints.iter().cycle().skip(first).take(endpoints.len());
        let mut waiting: Vec<_> = rotated
            .map(|endpoint| Some(Box::pin(endpoint.accept())))
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

    /// As [`Endpoint::close`], for all of them.
    pub fn close(&self, code: Code, reason: &'static str) {
        self.each(|endpoint| endpoint.close(code, reason));
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
        let inboxes = &self.inner.switch.inboxes;
        let each = self.inner.endpoints.iter().zip(inboxes);
        each.map(|(endpoint, inbox)| {
            let open_connections = endpoint.open_connections();
            let state = inbox.lock();
            GroupStats {
                open_connections,
                forwarded: state.forwarded,
                dropped: state.dropped,
            }
        })
        .collect()
    }
}

/// What the workers of a group share.
#[derive(Debug)]
struct Switch {
    owners: Owners,
    inboxes: Vec<Inbox>,
}

/// Datagrams that others received for one worker.
#[derive(Debug, Default)]
struct Inbox(Mutex<InboxState>);

#[derive(Debug, Default)]
struct InboxState {
    queue: VecDeque<(Arrival, BytesMut)>,
    /// The worker, when it sleeps.
    waker: Option<Waker>,
    /// The worker is gone.
    closed: bool,
    forwarded: u64,
    dropped: u64,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, InboxState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a datagram, and tells who is to be woken for it.
    fn put(&self, from: Arrival, datagram: &[u8]) -> Option<Waker> {
        let mut state = self.lock();
        if state.closed || state.queue.len() >= MAX_FORWARDED {
            // A lost datagram, which QUIC repairs, as if the socket were full.
            state.dropped += 1;
            return None;
        }
        state.forwarded += 1;
        state.queue.push_back((from, datagram.into()));
        state.waker.take()
    }
}

/// A worker's place in its group.
#[derive(Debug)]
pub(crate) struct Member {
    switch: Arc<Switch>,
    at: usize,
    /// What is being fed, and the memory for it.
    batch: VecDeque<(Arrival, BytesMut)>,
    wakes: Vec<Waker>,
}

impl Member {
    fn new(switch: &Arc<Switch>, at: usize) -> Self {
        Self {
            switch: switch.clone(),
            at,
            batch: VecDeque::new(),
            wakes: Vec::new(),
        }
    }

    /// Hands on what was received for others, and takes what others received.
    /// Not to be called under an endpoint's lock: it wakes.
    pub(crate) fn sort(&mut self, driver: &mut Driver) {
        let Self {
            switch,
            at,
            batch,
            wakes,
        } = self;
        driver.divert(|from, datagram| match switch.owners.owner_of(datagram) {
            Some(owner) if owner != *at => {
                wakes.extend(switch.inboxes[owner].put(from, datagram));
                true
            }
            _ => false,
        });
        wakes.drain(..).for_each(Waker::wake);
        mem::swap(batch, &mut switch.inboxes[*at].lock().queue);
    }

    /// Feeds what others received.
    pub(crate) fn feed(&mut self, core: &mut Core, now: Instant) {
        for (from, datagram) in self.batch.drain(..) {
            core.handle_datagram(now, from, datagram);
        }
    }

    /// Ready when others have received something; otherwise `cx` is woken then.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.switch.inboxes[self.at].lock();
        if !state.queue.is_empty() {
            return Poll::Ready(());
        }
        let replaced = park(&mut state.waker, cx.waker());
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.switch.inboxes[self.at].lock();
        state.closed = true;
        let left = (mem::take(&mut state.queue), state.waker.take());
        drop(state);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Arrival = Arrival::from(SocketAddr::new(
        std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        1,
    ));

    #[test]
    fn an_inbox_is_bounded_and_counts_what_it_loses() {
        let inbox = Inbox::default();
        for _ in 0..MAX_FORWARDED + 3 {
            assert!(inbox.put(FROM, b"datagram").is_none(), "nobody sleeps");
        }
        let state = inbox.lock();
        assert_eq!(state.queue.len(), MAX_FORWARDED);
        assert_eq!((state.forwarded, state.dropped), (MAX_FORWARDED as u64, 3));
    }

    #[test]
    fn a_sleeping_owner_is_woken_once() {
        let inbox = Inbox::default();
        inbox.lock().waker = Some(Waker::noop().clone());
        assert!(inbox.put(FROM, b"first").is_some());
        assert!(inbox.put(FROM, b"second").is_none());
    }
}
