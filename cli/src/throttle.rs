//! Warnings that others cause: one a second, with a count.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(1);

/// Lets one occasion a second through.
#[derive(Debug)]
pub struct Throttle(Mutex<State>);

#[derive(Debug)]
struct State {
    last: Option<Instant>,
    since: u64,
}

impl Throttle {
    /// One that has let nothing through.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(State {
            last: None,
            since: 0,
        }))
    }

    /// How many occasions there were since the last that was let through, this one included; `None`
    /// if that was less than a second ago.
    pub fn occasion(&self) -> Option<u64> {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.since += 1;
        let recent = |last| now.saturating_duration_since(last) < PAUSE;
        if state.last.is_some_and(recent) {
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.since))
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_is_let_through_with_the_count_of_all() {
        let throttle = Throttle::new();
        let begun = Instant::now();
        let at = |ms| throttle.at(begun + Duration::from_millis(ms));
        assert_eq!([at(0), at(1), at(999)], [Some(1), None, None]);
        assert_eq!([at(1000), at(1999), at(5000)], [Some(3), None, Some(2)]);
    }
}
