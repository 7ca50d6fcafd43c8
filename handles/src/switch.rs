//! How packets come from the worker whose socket received them to the one that
//! owns their connection.
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
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use aqueduct_core::driver::Driver;
use aqueduct_core::endpoint::cid::Owners;
use aqueduct_core::endpoint::{Arrival, Endpoint as Core};
use bytes::BytesMut;

use crate::waiters::park;

/// Datagrams of others that wait for their owner, at most: as much as a generous
/// socket buffer holds.
const MAX_FORWARDED: usize = 2048;

/// What the workers of a group share.
#[derive(Debug)]
pub(crate) struct Switch {
    owners: Owners,
    inboxes: Vec<Inbox>,
}

impl Switch {
    /// An empty inbox for each owner.
    pub(crate) fn new(owners: Owners) -> Arc<Self> {
        let inboxes = (0..owners.count()).map(|_| Inbox::default()).collect();
        Arc::new(Self { owners, inboxes })
    }

    /// Datagrams that were handed on to each owner, and those that were lost.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (u64, u64)> {
        self.inboxes.iter().map(|inbox| {
            let state = inbox.lock();
            (state.forwarded, state.dropped)
        })
    }
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
    pub(crate) fn new(switch: &Arc<Switch>, at: usize) -> Self {
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

    const FROM: Arrival = Arrival::new(std::net::SocketAddr::new(
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
