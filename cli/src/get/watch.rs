//! Whether a transfer still moves: it is told when it stalls, and given up after a while.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// After so long without a byte a transfer is told to stall.
pub(super) const NOTICE: Duration = Duration::from_secs(5);

/// When a transfer moved last. What this side waits for of its own, such as a full pipe, is no
/// stall.
#[derive(Debug)]
pub(super) struct Watch(Mutex<State>);

#[derive(Debug)]
struct State {
    moved: Instant,
    /// How many waits of this side's own are under way.
    own: usize,
}

impl Watch {
    /// One that begins now.
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            moved: Instant::now(),
            own: 0,
        }))
    }

    /// Something came or went.
    pub(super) fn moved(&self) {
        self.lock().moved = Instant::now();
    }

    /// Waits for something of this side's own.
    pub(super) async fn own<T>(&self, wait: impl Future<Output = T>) -> T {
        /// The wait ends also when nobody waits for it any more.
        struct Own<'a>(&'a Watch);
        impl Drop for Own<'_> {
            fn drop(&mut self) {
                let mut state = self.0.lock();
                state.own = state.own.saturating_sub(1);
                state.moved = Instant::now();
            }
        }
        self.lock().own += 1;
        let _own = Own(self);
        wait.await
    }

    /// Ends when nothing has moved for `limit`, never when that is 0; before that, says once of each
    /// stall that there is one.
    pub(super) async fn stalled(&self, limit: Duration, mut say: impl FnMut(Duration)) {
        let mut told = None;
        loop {
            let now = Instant::now();
            let moved = self.since(now);
            let due = moved + NOTICE;
            if told != Some(moved) && due <= now && (limit.is_zero() || now < moved + limit) {
                say(now - moved);
                told = Some(moved);
            }
            if !limit.is_zero() && now >= moved + limit {
                return;
            }
            let mut next = if told == Some(moved) {
                // It may move again, which is looked at now and then.
                now + NOTICE
            } else {
                due
            };
            if !limit.is_zero() {
                next = next.min(moved + limit);
            }
            sleep_until(next).await;
        }
    }

    /// When something moved last, which is now while this side has others wait.
    fn since(&self, now: Instant) -> Instant {
        let mut state = self.lock();
        if state.own > 0 {
            state.moved = now;
        }
        state.moved
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::time::{advance, sleep, timeout};

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_told_once_and_ends() {
        let (watch, begun) = (Watch::new(), Instant::now());
        let mut told = Vec::new();
        {
            let say = |quiet| told.push((begun.elapsed(), quiet));
            let mut ends = pin!(watch.stalled(s(30), say));
            assert!(timeout(s(12), &mut ends).await.is_err());
            watch.moved();
            ends.await;
        }
        assert_eq!(begun.elapsed(), s(42));
        // The first after 5 s; the second 5 s after the move, seen at the next look.
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0], (s(5), s(5)));
        assert!(told[1].0 >= s(17) && told[1].0 <= s(22), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_is_slow_is_no_stall() {
        let watch = Watch::new();
        let slow = watch.own(sleep(s(100)));
        tokio::select! {
            () = watch.stalled(s(10), |_| panic!("told")) => panic!("given up"),
            () = slow => {}
        }
        advance(s(4)).await;
        let never = watch.stalled(Duration::ZERO, |_| {});
        assert!(timeout(s(10_000), never).await.is_err());
    }
}
