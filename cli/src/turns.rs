//! Who may begin next, where few may at once and many want to.
//!
//! Addresses take turns; of an address its connections do; of a connection its requests come in
//! their order. So a client that asks for thousands of things at once is waited for once, not
//! thousands of times.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use aqueduct_tokio::protocol::endpoint::AddressBlock;
use tokio::sync::oneshot;

/// Turns, so many at once; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Mutex<Line>>);

#[derive(Debug)]
struct Line {
    /// How many more may work now. Nobody waits unless it is none.
    free: usize,
    waiting: Ring<AddressBlock, Ring<u64, Requests>>,
}

/// Whose turn comes, and what waits of each. None is empty.
type Ring<K, V> = VecDeque<(K, V)>;

type Requests = VecDeque<oneshot::Sender<Turn>>;

/// A turn, until it is dropped. Empty when there is nothing to hand on.
#[derive(Debug)]
pub(crate) struct Turn(Option<Turns>);

impl Turns {
    /// As many at once as `share` says of the processors of this machine; one at least.
    pub(crate) fn of_machine(share: impl FnOnce(usize) -> usize) -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::new(share(processors).max(1))
    }

    /// So many at once.
    fn new(at_once: usize) -> Self {
        Self(Arc::new(Mutex::new(Line {
            free: at_once,
            waiting: Ring::new(),
        })))
    }

    /// Waits for a turn. Costs O(n) in the addresses that wait and the connections of this one
    /// that do. Who does not wait any more gets none.
    pub(crate) async fn next(&self, address: AddressBlock, connection: u64) -> Turn {
        match self.ask(address, connection) {
            Ok(turn) => turn,
            // It comes: the line, which this keeps, forgets nobody.
            Err(comes) => comes.await.unwrap_or(Turn(None)),
        }
    }

    fn ask(&self, address: AddressBlock, connection: u64) -> Result<Turn, oneshot::Receiver<Turn>> {
        let mut line = self.lock();
        if line.free > 0 {
            line.free -= 1;
            return Ok(Turn(Some(self.clone())));
        }
        let (tell, comes) = oneshot::channel();
        let connections = of(&mut line.waiting, address);
        of(connections, connection).push_back(tell);
        Err(comes)
    }

    /// Somebody is done: the next has the turn.
    fn pass_on(self) {
        let mut turn = Turn(Some(self));
        while let Some(turns) = &turn.0 {
            let mut line = turns.lock();
            let Some(next) = line.next() else {
                line.free += 1;
                drop(line);
                turn.0 = None;
                return;
            };
            drop(line);
            match next.send(turn) {
                Ok(()) => return,
                // Who has gone has no use for it.
                Err(back) => turn = back,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let (address, mut connections) = self.waiting.pop_front()?;
        let (connection, mut requests) = connections.pop_front()?;
        let next = requests.pop_front();
        if !requests.is_empty() {
            connections.push_back((connection, requests));
        }
        if !connections.is_empty() {
            self.waiting.push_back((address, connections));
        }
        next
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.pass_on();
        }
    }
}

/// The place of a key in a ring, at its end if it is new. O(n).
fn of<K: PartialEq, V: Default>(ring: &mut Ring<K, V>, key: K) -> &mut V {
    let at = ring.iter().position(|(of, _)| *of == key);
    let at = at.unwrap_or_else(|| {
        ring.push_back((key, V::default()));
        ring.len() - 1
    });
    &mut ring[at].1
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::net::IpAddr;
    use std::pin::{Pin, pin};
    use std::task::{Context, Waker};

    use aqueduct_tokio::protocol::endpoint::NetworkOrigin;

    use super::*;

    fn address(ip: &str) -> AddressBlock {
        let ip: IpAddr = ip.parse().unwrap();
        NetworkOrigin::from(ip).address
    }

    fn begin(work: Pin<&mut impl Future>) {
        assert!(
            work.poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
    }

    /// The order in which works of these addresses and connections are done, one at a time, when
    /// they were asked for in this order while somebody else worked.
    async fn order(asked: &[(&'static str, u64)]) -> Vec<usize> {
        let turns = Turns::new(1);
        let (done, held) = (
            Arc::new(Mutex::new(Vec::new())),
            turns.ask(address("::1"), 0),
        );
        let works = asked.iter().enumerate().map(|(at, &(ip, connection))| {
            let (turns, done) = (turns.clone(), Arc::clone(&done));
            let mut work = Box::pin(async move {
                let _turn = turns.next(address(ip), connection).await;
                done.lock().unwrap().push(at);
            });
            begin(work.as_mut());
            tokio::spawn(work)
        });
        let works: Vec<_> = works.collect();
        drop(held);
        for work in works {
            work.await.unwrap();
        }
        std::mem::take(&mut done.lock().unwrap())
    }

    #[tokio::test]
    async fn addresses_and_their_connections_take_turns() {
        let (a, b) = ("192.0.2.1", "198.51.100.1");
        let asked = [(a, 1), (a, 1), (a, 1), (a, 2), (a, 2), (b, 3), (b, 3)];
        assert_eq!(order(&asked).await, [0, 5, 3, 6, 1, 4, 2]);
    }

    #[tokio::test]
    async fn so_many_work_at_once_and_who_is_gone_is_passed_over() {
        let turns = Turns::new(2);
        let held = [(); 2].map(|()| turns.ask(address("::1"), 0).unwrap());
        let mut gone = Vec::new();
        for _ in 0..10_000 {
            gone.push(turns.ask(address("::1"), 1).unwrap_err());
        }
        let mut last = pin!(turns.next(address("::1"), 1));
        begin(last.as_mut());
        drop(gone);
        let [first, second] = held;
        drop(first);
        drop((last.await, second));
        let line = turns.lock();
        assert!(line.free == 2 && line.waiting.is_empty(), "{line:?}");
    }

    #[tokio::test]
    async fn who_goes_with_the_turn_in_hand_hands_it_on() {
        let turns = Turns::new(1);
        let held = turns.ask(address("::1"), 0).unwrap();
        let given = turns.ask(address("::1"), 1).unwrap_err();
        drop(held);
        drop(given);
        turns.next(address("::1"), 2).await;
    }
}
