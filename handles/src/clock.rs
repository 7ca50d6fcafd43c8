//! The only clocks the handles read.

use std::time::{Instant, SystemTime};

/// What the clock on the wall shows, by which time counts between runs of a program.
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// The time at present.
#[cfg(not(test))]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The time at present, with what a test has let pass.
#[cfg(test)]
pub(crate) fn now() -> Instant {
    skipped::FROZEN.get().unwrap_or_else(Instant::now) + skipped::SKIPPED.get()
}

#[cfg(test)]
pub(crate) use skipped::{freeze, skip};

#[cfg(test)]
mod skipped {
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    thread_local! {
        pub(super) static FROZEN: Cell<Option<Instant>> = const { Cell::new(None) };
        pub(super) static SKIPPED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// No time passes on this thread from here on, but what is skipped.
    pub(crate) fn freeze() {
        FROZEN.set(Some(Instant::now()));
    }

    /// Lets time pass for the handles of this thread.
    pub(crate) fn skip(time: Duration) {
        SKIPPED.set(SKIPPED.get() + time);
    }
}
