//! How many files may be open at once.
//!
//! A client that asks for files and does not read the answers keeps them open. The process has a
//! limit of its own, which sockets share; so there is a smaller one here, and the second half of it
//! is for connections that hold few.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Descriptors left to sockets, the page's connections, recordings and whatever else.
const RESERVE: usize = 256;
/// Open files that no limit of the process raises further.
const MOST: usize = 4096;
/// What each connection may hold while half of all places or more are taken.
const FEW: usize = 4;

/// The places of a server, shared by its clones.
#[derive(Clone, Debug)]
pub struct Places(Arc<All>);

#[derive(Debug)]
struct All {
    limit: usize,
    taken: Mutex<usize>,
}

/// The part of one connection; clones share it.
#[derive(Clone, Debug)]
pub struct Share {
    all: Arc<All>,
    held: Arc<AtomicUsize>,
}

/// The place of an open file, until it is dropped.
#[derive(Debug)]
pub struct Place(Share);

impl Places {
    /// As many as this process may have: its limit of descriptors without a reserve of 256 or, when
    /// that is more than half, half of it; at most 4,096.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(beside_the_reserve(descriptors()))
    }

    /// This many.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let taken = Mutex::new(0);
        Self(Arc::new(All { limit, taken }))
    }

    /// The part of a new connection.
    #[must_use]
    pub fn share(&self) -> Share {
        Share {
            all: Arc::clone(&self.0),
            held: Arc::default(),
        }
    }
}

impl Share {
    /// A place for one more file, if there is one for this connection.
    #[must_use]
    pub fn take(&self) -> Option<Place> {
        let mut taken = self
            .all
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let scarce = *taken >= self.all.limit / 2;
        if *taken >= self.all.limit || (scarce && self.held.load(Ordering::Relaxed) >= FEW) {
            return None;
        }
        *taken += 1;
        self.held.fetch_add(1, Ordering::Relaxed);
        Some(Place(self.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let all = &self.0.all;
        *all.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

fn beside_the_reserve(descriptors: usize) -> usize {
    let beside = descriptors.saturating_sub(RESERVE);
    beside.max(descriptors / 2).clamp(1, MOST)
}

/// How many descriptors the process may have.
#[cfg(unix)]
fn descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let limit = limit.current.unwrap_or(u64::MAX);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Handles have no such limit.
#[cfg(not(unix))]
fn descriptors() -> usize {
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_takes_half_and_others_a_few_each_up_to_the_limit() {
        let places = Places::new(20);
        let take = |share: &Share| std::iter::from_fn(|| share.take()).collect::<Vec<_>>();
        let greedy = take(&places.share());
        assert_eq!(greedy.len(), 10);
        let [a, b, c] = [(); 3].map(|()| take(&places.share()));
        assert_eq!([a.len(), b.len(), c.len()], [FEW, FEW, 2]);
        assert!(places.share().take().is_none());
        // What is given back is there for the next.
        drop((a, greedy));
        assert_eq!(take(&places.share()).len(), 4);
        drop((b, c));
        assert_eq!(take(&places.share()).len(), 10);
    }

    #[test]
    fn a_reserve_is_left_to_sockets() {
        for (descriptors, files) in [
            (0, 1),
            (256, 128),
            (512, 256),
            (1024, 768),
            (4352, 4096),
            (usize::MAX, 4096),
        ] {
            assert_eq!(beside_the_reserve(descriptors), files);
        }
    }
}
