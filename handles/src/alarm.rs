//! Timers of an endpoint's handles, served by its driver: no runtime has to have any.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::clock::now;
use crate::shared::Shared;
use crate::waiters::park;

/// Who is to be woken when. Each entry is its [`Alarm`]'s.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    set: BTreeMap<(Instant, u64), Option<Waker>>,
    serial: u64,
    /// When the driver comes by itself, as it was told last.
    told: Option<Instant>,
}

impl Alarms {
    /// Moves the wakers of what is due to `wakes`. O(log n) for each.
    pub(crate) fn fire(&mut self, now: Instant, wakes: &mut Vec<Waker>) {
        while let Some(entry) = self.set.first_entry()
            && entry.key().0 <= now
        {
            wakes.extend(entry.remove());
        }
    }

    /// When the driver has to come back, if it has until `deadline` for what it has itself.
    pub(crate) fn tell(&mut self, deadline: Option<Instant>) -> Option<Instant> {
        let first = self.set.first_key_value().map(|((at, _), _)| *at);
        self.told = deadline.into_iter().chain(first).min();
        self.told
    }

    /// Nobody drives any more: who waits looks for himself.
    pub(crate) fn abandon(&mut self, wakes: &mut Vec<Waker>) {
        wakes.extend(std::mem::take(&mut self.set).into_values().flatten());
    }

    /// Timers that are set.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.set.len()
    }
}

/// One timer, cleared when it is dropped.
pub(crate) struct Alarm {
    shared: Arc<Shared>,
    set: Option<(Instant, u64)>,
}

impl Alarm {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: shared.clone(),
            set: None,
        }
    }

    /// When it was set for, whether that has passed or not.
    pub(crate) fn at(&self) -> Option<Instant> {
        self.set.map(|(at, _)| at)
    }

    /// Wakes `waker` at that time, in place of what was set before.
    pub(crate) fn set(&mut self, at: Instant, waker: &Waker) {
        let mut locked = self.shared.lock();
        let alarms = &mut locked.state().alarms;
        let replaced = match self.set {
            Some((set, _)) if set != at => {
                let old = self.set.take();
                old.and_then(|key| alarms.set.remove(&key)).flatten()
            }
            _ => None,
        };
        let serial = &mut alarms.serial;
        let key = *self.set.get_or_insert_with(|| {
            *serial += 1;
            (at, *serial)
        });
        let parked = park(alarms.set.entry(key).or_default(), waker);
        let late = alarms.told.is_none_or(|told| at < told);
        if late {
            alarms.told = Some(at);
            locked.kick();
        }
        locked.retire(replaced);
        locked.retire(parked);
    }

    /// Nobody is woken any more.
    pub(crate) fn clear(&mut self) {
        if let Some(key) = self.set.take() {
            let mut locked = self.shared.lock();
            let removed = locked.state().alarms.set.remove(&key);
            locked.retire(removed.flatten());
        }
    }

    /// Ready from that time on.
    pub(crate) fn poll(&mut self, cx: &Context<'_>, at: Instant) -> Poll<()> {
        if at <= now() {
            self.clear();
            return Poll::Ready(());
        }
        self.set(at, cx.waker());
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Alarm").field(&self.at()).finish()
    }
}
