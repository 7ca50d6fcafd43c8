//! A request whose answer has begun: its place on the connection, and its times.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Wake, Waker};
use std::time::Instant;

use aqueduct_core::code::Code;
use aqueduct_core::time::after;

use super::builder::Timeouts;
use super::cancel::Cancel;
use super::error::{Error, Timeout};
use super::hub::Slot;
use crate::alarm::Alarm;
use crate::clock::now;
use crate::error::ReadError;
use crate::half::StreamName;

/// Shared by the content of the answer and what is left of an upload. When both are gone
/// the place is free.
pub(crate) struct Exchange {
    state: Mutex<State>,
    /// Taken without `state`.
    alarm: Mutex<Alarm>,
    stream: StreamName,
    waker: Waker,
    /// The upload is not wanted any more.
    pub(crate) upload: Cancel,
}

struct State {
    slot: Option<Slot>,
    timeouts: Timeouts,
    until: Option<Instant>,
    /// Since when the reader waits, or the content does.
    since: Instant,
    reading: bool,
    /// When it was last certain that a reader that waits is there.
    seen: Instant,
    /// What the alarm is set for.
    armed: Option<Instant>,
    over: Option<Over>,
}

enum Over {
    Ended,
    TimedOut(Timeout),
    /// Told once.
    Failed(Option<Error>),
}

/// The alarm of an exchange.
struct Expiry(Weak<Exchange>);

impl Wake for Expiry {
    fn wake(self: Arc<Self>) {
        if let Some(exchange) = self.0.upgrade() {
            exchange.alarm().clear();
            exchange.state().armed = None;
            exchange.look();
        }
    }
}

impl Exchange {
    pub(crate) fn new(
        slot: Slot,
        mut alarm: Alarm,
        stream: StreamName,
        timeouts: Timeouts,
        until: Option<Instant>,
    ) -> Arc<Self> {
        // It was of use before the answer came.
        alarm.clear();
        let since = now();
        let exchange = Arc::new_cyclic(|exchange| Self {
            state: Mutex::new(State {
                slot: Some(slot),
                timeouts,
                until,
                since,
                reading: false,
                seen: since,
                armed: None,
                over: None,
            }),
            alarm: Mutex::new(alarm),
            stream,
            waker: Arc::new(Expiry(Weak::clone(exchange))).into(),
            upload: Cancel::default(),
        });
        exchange.look();
        exchange
    }

    /// Looks at the clock: ends what is over time, and comes back for the rest.
    fn look(&self) {
        let now = now();
        let at = loop {
            let mut state = self.state();
            let Some((at, due)) = state.next().filter(|_| state.over.is_none()) else {
                return;
            };
            if at > now {
                if state.armed.is_some_and(|armed| armed <= at) {
                    return;
                }
                state.armed = Some(at);
                break at;
            }
            drop(state);
            match due {
                Due::End(why) => return self.give_up(Over::TimedOut(why)),
                // A reader that was woken and has not come is none.
                Due::Reader => {
                    let reading = self.stream.is_awaited();
                    let mut state = self.state();
                    state.seen = now;
                    if !reading && state.reading {
                        (state.reading, state.since) = (false, now);
                    }
                }
            }
        };
        let mut alarm = self.alarm();
        // Another call may have found an earlier time meanwhile.
        if alarm.at().is_none_or(|set| at < set) {
            alarm.set(at, &self.waker);
        }
    }

    /// The reader waits for content, or has got what there was.
    pub(crate) fn reads(&self, reading: bool) -> Result<(), Error> {
        let look = {
            let mut state = self.state();
            match &mut state.over {
                Some(Over::TimedOut(why)) => return Err(Error::TimedOut(*why)),
                Some(Over::Failed(error)) => {
                    return Err(error.take().unwrap_or(Error::Answer(ReadError::Closed)));
                }
                _ => {}
            }
            if !(reading && state.reading) {
                state.since = now();
                state.seen = state.since;
                state.reading = reading;
            }
            let armed = state.armed;
            let next = state.next();
            next.is_some_and(|(at, _)| armed.is_none_or(|armed| at < armed))
        };
        if look {
            self.look();
        }
        Ok(())
    }

    /// The answer has been read to its end, or will not be.
    pub(crate) fn read(&self) {
        self.end(Over::Ended);
    }

    /// The body of the request failed.
    pub(crate) fn failed(&self, error: Error) {
        self.give_up(Over::Failed(Some(error)));
    }

    /// Cancels the request and frees its place.
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1.1
    // A client that is no longer interested says H3_REQUEST_CANCELLED.
    fn give_up(&self, why: Over) {
        if self.end(why) {
            self.stream.cancel(Code::H3_REQUEST_CANCELLED.value());
            self.upload.tell();
            let slot = self.state().slot.take();
            drop(slot);
        }
    }

    fn end(&self, why: Over) -> bool {
        let mut state = self.state();
        let first = state.over.is_none();
        state.over.get_or_insert(why);
        drop(state);
        if first {
            self.alarm().clear();
        }
        first
    }

    fn alarm(&self) -> MutexGuard<'_, Alarm> {
        self.alarm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is due at a time.
enum Due {
    End(Timeout),
    Reader,
}

impl State {
    /// What is due next.
    fn next(&self) -> Option<(Instant, Due)> {
        let Timeouts { idle, read, .. } = self.timeouts;
        let total = self.until.map(|until| (until, Due::End(Timeout::Total)));
        let (quiet, reader) = if self.reading {
            (
                read.map(|limit| (after(self.since, limit), Due::End(Timeout::Read))),
                idle.map(|limit| (after(self.seen, limit), Due::Reader)),
            )
        } else {
            let idle = idle.map(|limit| (after(self.since, limit), Due::End(Timeout::Idle)));
            (idle, None)
        };
        let all = [total, quiet, reader].into_iter().flatten();
        all.min_by_key(|(at, _)| *at)
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}
