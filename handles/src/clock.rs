//! The only clock the handles read.

use std::time::Instant;

/// The time at present.
#[cfg(not(test))]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The time at present, with what a test has let pass.
#[cfg(test)]
pub(crate) fn now() -> Instant {
    Instant::now() + skipped::SKIPPED.get()
}

#[cfg(test)]
pub(crate) use skipped::skip;

#[cfg(test)]
mod skipped {
    use std::cell::Cell;
    use std::time::Duration;

    thread_local! {
        pub(super) static SKIPPED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// Lets time pass for the handles of this thread.
    pub(crate) fn skip(time: Duration) {
        SKIPPED.set(SKIPPED.get() + time);
    }
}
