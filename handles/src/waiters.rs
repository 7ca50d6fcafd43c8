//! Tasks that wait for the same kind of thing.
//!
//! A waiter owns a place from its first pending poll until its future ends or
//! is dropped, so a woken place is never given to another task meanwhile and a
//! dropped future leaves nothing behind. Everybody is woken: a wake-up handed
//! to one task alone would be lost when that task's future is dropped.

use std::task::Waker;

use slab::Slab;

/// The tasks that wait for one kind of thing. An empty set owns no memory.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    tasks: Slab<Option<Waker>>,
    /// They are among those who wait for the driver's next turn.
    pub(crate) rest: bool,
}

impl Waiters {
    /// Leaves `waker` at `place`, taking a place first when there is none. Gives
    /// back the waker it replaces.
    pub(crate) fn register(&mut self, place: &mut Option<usize>, waker: &Waker) -> Option<Waker> {
        match place.and_then(|at| self.tasks.get_mut(at)) {
            Some(slot) => park(slot, waker),
            None => {
                *place = Some(self.tasks.insert(Some(waker.clone())));
                None
            }
        }
    }

    /// Gives a place back, and the waker in it.
    pub(crate) fn leave(&mut self, place: usize) -> Option<Waker> {
        self.tasks.try_remove(place).flatten()
    }

    /// Places that are taken.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Moves every waker to `wakes`. O(waiters).
    pub(crate) fn wake(&mut self, wakes: &mut Vec<Waker>) {
        wakes.extend(self.tasks.iter_mut().filter_map(|(_, waker)| waker.take()));
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
