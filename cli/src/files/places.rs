//! How many files may be open at once.
//!
//! A client that asks for files and does not read the answers keeps them open. The process has a
//! limit of its own, which sockets share; so there is a smaller one here, and nobody has all of it:
//!
//! - an address has half of the places at most, and a network three quarters, as of connections;
//! - the second half of an address's part, and of all, is for connections that hold few;
//! - the last quarter of all is for addresses that hold few.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aqueduct_tokio::protocol::endpoint::{AddressBlock, NetworkOrigin};
use tokio::task::JoinError;

use crate::turns::{Turn, Turns};

/// Descriptors left to sockets, the page's connections, recordings and whatever else.
const RESERVE: usize = 256;
/// Open files that no limit of the process raises further.
const MOST: usize = 4096;
/// What each connection may hold while half of all places, or of its address's, or more are taken;
/// and each address while three quarters of all are.
const FEW: usize = 4;
/// Processors for each thread that works on files: the rest is left to those that serve
/// connections, who otherwise wait for a processor when many files are asked for.
const PROCESSORS: usize = 2;

/// The places of a server, shared by its clones.
#[derive(Clone, Debug)]
pub struct Places(Arc<All>);

#[derive(Debug)]
struct All {
    limit: usize,
    taken: Mutex<Taken>,
    turns: Turns,
    /// Connections that ever had a part.
    parts: AtomicU64,
}

/// How many places are taken: of all, and by those who have any.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    addresses: BTreeMap<AddressBlock, usize>,
    networks: BTreeMap<AddressBlock, usize>,
}

/// The part of one connection; clones share it.
#[derive(Clone, Debug)]
pub struct Share {
    all: Arc<All>,
    address: AddressBlock,
    network: AddressBlock,
    number: u64,
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
        Self(Arc::new(All {
            limit,
            taken: Mutex::default(),
            turns: Turns::of_machine(|processors| processors / PROCESSORS),
            parts: AtomicU64::default(),
        }))
    }

    /// The part of a new connection from `ip`.
    #[must_use]
    pub fn share(&self, ip: IpAddr) -> Share {
        let NetworkOrigin {
            address, network, ..
        } = ip.into();
        Share {
            all: Arc::clone(&self.0),
            address,
            network,
            number: self.0.parts.fetch_add(1, Ordering::Relaxed),
            held: Arc::default(),
        }
    }
}

impl Share {
    /// A place for one more file, if there is one for this connection. O(log n) in the places.
    #[must_use]
    pub fn take(&self) -> Option<Place> {
        let limit = self.all.limit;
        let (of_address, of_network) = ((limit / 2).max(1), limit - limit / 4);
        let mut taken = self.all.lock();
        let address = held(&taken.addresses, self.address);
        let network = held(&taken.networks, self.network);
        if taken.all >= limit || address >= of_address || network >= of_network {
            return None;
        }
        let scarce = taken.all >= limit / 2 || address >= of_address / 2;
        if scarce && self.held.load(Ordering::Relaxed) >= FEW {
            return None;
        }
        if taken.all >= of_network && address >= FEW {
            return None;
        }
        taken.all += 1;
        taken.addresses.insert(self.address, address + 1);
        taken.networks.insert(self.network, network + 1);
        self.held.fetch_add(1, Ordering::Relaxed);
        Some(Place(self.clone()))
    }

    /// Waits for the connection's turn among others.
    pub(crate) async fn turn(&self, turns: &Turns) -> Turn {
        turns.next(self.address, self.number).await
    }

    /// Does work that waits for a disk, where that keeps nobody waiting but those who have such
    /// work, too, and them each in turn: first addresses, then their connections.
    ///
    /// # Errors
    /// The work panicked, or the runtime ends.
    pub async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let turn = self.turn(&self.all.turns).await;
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        tokio::task::spawn_blocking(work).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let share = &self.0;
        let mut taken = share.all.lock();
        taken.all -= 1;
        give_back(&mut taken.addresses, share.address);
        give_back(&mut taken.networks, share.network);
        share.held.fetch_sub(1, Ordering::Relaxed);
    }
}

impl All {
    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn held(by: &BTreeMap<AddressBlock, usize>, of: AddressBlock) -> usize {
    by.get(&of).copied().unwrap_or_default()
}

/// Who has none is forgotten.
fn give_back(by: &mut BTreeMap<AddressBlock, usize>, of: AddressBlock) {
    match held(by, of) {
        0 | 1 => by.remove(&of),
        more => by.insert(of, more - 1),
    };
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

    /// As many as a connection gets.
    fn take(places: &Places, ip: &str) -> Vec<Place> {
        let share = places.share(ip.parse().unwrap());
        std::iter::from_fn(|| share.take()).collect()
    }

    /// What connections get, one after the other, while all keep it.
    fn each<const N: usize>(places: &Places, kept: &mut Vec<Place>, ips: [&str; N]) -> [usize; N] {
        ips.map(|ip| {
            let got = take(places, ip);
            let count = got.len();
            kept.extend(got);
            count
        })
    }

    #[test]
    fn an_address_takes_half_and_its_connections_leave_some_to_each_other() {
        let (places, mut kept) = (Places::new(40), Vec::new());
        let a = "192.0.2.1";
        assert_eq!(each(&places, &mut kept, [a; 5]), [10, FEW, FEW, 2, 0]);
        // What is given back is there for the next, and nobody is remembered.
        kept.truncate(19);
        assert_eq!(each(&places, &mut kept, [a; 2]), [1, 0]);
        kept.clear();
        let taken = places.0.lock();
        assert!(taken.addresses.is_empty() && taken.networks.is_empty() && taken.all == 0);
        drop(taken);
        assert_eq!(take(&places, a).len(), 10);
    }

    #[test]
    fn a_network_takes_three_quarters_and_the_rest_is_for_others() {
        let (places, mut kept) = (Places::new(40), Vec::new());
        let [a, b, c] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
        let of_one = [a, a, a, a, b, b, b, b, c];
        let got = each(&places, &mut kept, of_one);
        assert_eq!(got, [10, FEW, FEW, 2, FEW, FEW, 2, 0, 0]);
        // Of the last quarter an address gets few, however many connections it has.
        let [d, e, f] = ["198.51.100.1", "198.51.100.2", "203.0.113.1"];
        let of_others = [d, d, e, e, f, f, "233.252.0.1"];
        let got = each(&places, &mut kept, of_others);
        assert_eq!(got, [FEW, 0, FEW, 0, 2, 0, 0]);
    }

    #[test]
    fn a_host_has_one_part_in_whatever_form_its_address_comes() {
        // Each of these takes the half of one address; the second is the same address, or
        // another of the same network, or of another.
        let (same, network, other) = (0, 10, 20);
        for (first, second, left) in [
            ("192.0.2.1", "::ffff:192.0.2.1", same),
            ("192.0.2.1", "::ffff:192.0.2.2", network),
            ("192.0.2.1", "::ffff:192.0.3.1", other),
            ("2001:db8:1:1::1", "2001:db8:1:1:ffff::2", same),
            ("2001:db8:1:1::1", "2001:db8:1:2::1", network),
            ("2001:db8:1:1::1", "2001:db8:2:1::1", other),
        ] {
            let (places, mut kept) = (Places::new(40), Vec::new());
            let half: usize = each(&places, &mut kept, [first; 5]).iter().sum();
            assert_eq!(half, 20);
            // As much as the rules on addresses and networks let it, whatever is FEW.
            let rest: usize = each(&places, &mut kept, [second; 8]).iter().sum();
            let of_last = if left == other { 10 } else { left };
            assert_eq!(rest, of_last, "{first} {second}");
        }
    }

    #[tokio::test]
    async fn work_that_panics_gives_its_turn_back() {
        let share = Places::new(40).share("192.0.2.1".parse().unwrap());
        for _ in 0..1000 {
            let panics = share.work(|| panic!("as it should"));
            assert!(panics.await.unwrap_err().is_panic());
        }
        assert_eq!(share.work(|| 7).await.unwrap(), 7);
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
