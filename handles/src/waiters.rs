//! Tasks that wait for the same kind of thing.
//!
//! A waiter owns a place from its first pending poll until its future ends or
//! is dropped, so a woken place is never given to another task meanwhile and a
//! dropped future leaves nothing behind. Everybody is woken: a wake-up handed
//! to one task alone would be lost when that task's future is dropped.

use std::task::Waker;

use slab::Slab;

/// The tasks that wait for one kind of thing. A set that nobody has waited in owns no
/// memory, and one in which a single task waits owns little.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Option<Box<Set>>);

#[derive(Debug, Default)]
struct Set {
    /// The place of the first, and whether it is taken.
    first: Option<Waker>,
    taken: bool,
    /// They are among those who wait for the driver's next turn.
    rest: bool,
    /// The places behind it.
    others: Option<Box<Slab<Option<Waker>>>>,
}

impl Set {
    /// A place that is taken.
    fn get_mut(&mut self, place: usize) -> Option<&mut Option<Waker>> {
        match place.checked_sub(1) {
            None => self.taken.then_some(&mut self.first),
            Some(other) => self.others.as_mut()?.get_mut(other),
        }
    }

    fn insert(&mut self, waker: Waker) -> usize {
        if !std::mem::replace(&mut self.taken, true) {
            self.first = Some(waker);
            return 0;
        }
        self.others.get_or_insert_default().insert(Some(waker)) + 1
    }
}

impl Waiters {
    /// Leaves `waker` at `place`, taking a place first when there is none. Gives
    /// back the waker it replaces.
    pub(crate) fn register(&mut self, place: &mut Option<usize>, waker: &Waker) -> Option<Waker> {
        let set = self.0.get_or_insert_default();
        match place.and_then(|at| set.get_mut(at)) {
            Some(slot) => park(slot, waker),
            None => {
                *place = Some(set.insert(waker.clone()));
                None
            }
        }
    }

    /// Gives a place back, and the waker in it.
    pub(crate) fn leave(&mut self, place: usize) -> Option<Waker> {
        let set = self.0.as_mut()?;
        match place.checked_sub(1) {
            None => {
                set.taken = false;
                set.first.take()
            }
            Some(other) => set.others.as_mut()?.try_remove(other).flatten(),
        }
    }

    /// Places that are taken.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |set| {
            let others = set.others.as_ref().map_or(0, |others| others.len());
            usize::from(set.taken) + others
        })
    }

    /// Moves every waker to `wakes`. O(waiters).
    pub(crate) fn wake(&mut self, wakes: &mut Vec<Waker>) {
        let Some(set) = &mut self.0 else {
            return;
        };
        wakes.extend(set.first.take());
        if let Some(others) = &mut set.others {
            wakes.extend(others.iter_mut().filter_map(|(_, waker)| waker.take()));
        }
    }

    /// They are among those who wait for the driver's next turn; false when they were
    /// before.
    pub(crate) fn rest(&mut self) -> bool {
        let set = self.0.get_or_insert_default();
        !std::mem::replace(&mut set.rest, true)
    }

    /// The driver has taken a turn: whoever waits is woken.
    pub(crate) fn rested(&mut self, wakes: &mut Vec<Waker>) {
        if let Some(set) = &mut self.0 {
            set.rest = false;
        }
        self.wake(wakes);
    }
}

/// Leaves `waker` in a slot, unless it would wake the same task, and gives back
/// the one it replaces: dropping a waker may run foreign code, which must not
/// happen under the lock.
pub(crate) fn park(slot: &mut Option<Waker>, waker: &Waker) -> Option<Waker> {
    if slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
        return None;
    }
    slot.replace(waker.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_woken_place_stays_its_owners() {
        let (mut set, mut wakes) = (Waiters::default(), Vec::new());
        let (mut first, mut second) = (None, None);
        set.register(&mut first, Waker::noop());
        set.wake(&mut wakes);
        assert_eq!(wakes.len(), 1);

        // The first has not polled again; the second must not get its place.
        set.register(&mut second, Waker::noop());
        assert_ne!(first, second);
        set.leave(first.expect("registered"));
        wakes.clear();
        set.wake(&mut wakes);
        assert_eq!(wakes.len(), 1, "the second is still waiting");
    }

    #[test]
    fn polling_twice_registers_once() {
        let (mut set, mut wakes, mut place) = (Waiters::default(), Vec::new(), None);
        set.register(&mut place, Waker::noop());
        set.register(&mut place, Waker::noop());
        set.wake(&mut wakes);
        assert_eq!(wakes.len(), 1);
    }
}
