//! Targets that nobody answers at: how long none is asked for again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long nothing is asked for after a failure, and at most after several.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(10)];
/// Targets that are remembered.
const MOST: usize = 1024;

/// Targets at which the last tunnel brought nothing back.
#[derive(Debug, Default)]
pub(super) struct Backoff(Mutex<BTreeMap<String, Pause>>);

#[derive(Debug)]
struct Pause {
    until: Instant,
    length: Duration,
    /// Packets that were not sent for it.
    dropped: u64,
}

impl Backoff {
    /// Until when no tunnel should be asked for.
    pub(super) fn until(&self, target: &str) -> Option<Instant> {
        let until = self.lock().get(target)?.until;
        (until > Instant::now()).then_some(until)
    }

    /// A tunnel was refused, or ended before anything came back: until when the next is not to be
    /// asked for. Each failure in a row doubles that.
    pub(super) fn failed(&self, target: &str) -> Instant {
        let [shortest, longest] = PAUSES;
        let (mut all, now) = (self.lock(), Instant::now());
        let mut length = shortest;
        if let Some(pause) = all.get(target) {
            if pause.until > now {
                // Others found it out at the same time.
                return pause.until;
            }
            // After some time it is a failure like the first.
            if pause.until + longest > now {
                length = longest.min(pause.length * 2);
            }
        } else if all.len() >= MOST {
            // The one that would be forgotten next.
            let first = all.iter().min_by_key(|(_, pause)| pause.until);
            if let Some(first) = first.map(|(target, _)| target.clone()) {
                all.remove(&first);
            }
        }
        let until = now + length;
        let pause = Pause {
            until,
            length,
            dropped: 0,
        };
        all.insert(target.to_owned(), pause);
        until
    }

    /// Something has come back.
    pub(super) fn answered(&self, target: &str) {
        self.lock().remove(target);
    }

    /// A packet was not sent.
    pub(super) fn dropped(&self, target: &str) {
        if let Some(pause) = self.lock().get_mut(target) {
            pause.dropped += 1;
        }
    }

    /// How many packets were not sent since this was last asked.
    pub(super) fn take_dropped(&self, target: &str) -> u64 {
        let mut all = self.lock();
        let pause = all.get_mut(target);
        pause.map_or(0, |pause| std::mem::take(&mut pause.dropped))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Pause>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_failure_in_a_row_doubles_the_pause() {
        let backoff = Backoff::default();
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let until = backoff.failed("a:1");
            assert_eq!(backoff.until("a:1"), Some(until));
            // Who finds it out meanwhile changes nothing.
            assert_eq!(backoff.failed("a:1"), until);
            pauses.push((until - Instant::now()).as_millis());
            tokio::time::sleep_until(until).await;
            assert_eq!(backoff.until("a:1"), None);
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 10_000]);
        tokio::time::sleep(PAUSES[1]).await;
        assert_eq!(backoff.failed("a:1") - Instant::now(), PAUSES[0]);
        backoff.answered("a:1");
        assert_eq!(backoff.until("a:1"), None);
        assert_eq!(backoff.until("b:1"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_targets_are_remembered_the_last_of_them() {
        let backoff = Backoff::default();
        for at in 0..2 * MOST {
            backoff.failed(&at.to_string());
            tokio::time::advance(Duration::from_micros(1)).await;
        }
        assert_eq!(backoff.lock().len(), MOST);
        let last = (2 * MOST - 1).to_string();
        assert!(backoff.until(&last).is_some() && backoff.until("0").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_sent_is_counted_once() {
        let backoff = Backoff::default();
        backoff.dropped("a:1");
        backoff.failed("a:1");
        backoff.dropped("a:1");
        backoff.dropped("a:1");
        assert_eq!(
            (backoff.take_dropped("a:1"), backoff.take_dropped("a:1")),
            (2, 0)
        );
    }
}
