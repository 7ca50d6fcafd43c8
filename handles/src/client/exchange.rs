//! A request under way: its place on the connection, and its times.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::head::End;
use aqueduct_core::time::after;

use super::builder::Timeouts;
use super::cancel::Cancel;
use super::error::{Error, Timeout};
use super::hub::Slot;
use crate::clock::now;
use crate::error::ReadError;
use crate::half::StreamName;

/// Shared by whoever waits for the answer, then by its content, and by what is left of an
/// upload. When all are gone the place is free.
pub(crate) struct Exchange {
    state: Mutex<State>,
    /// When it is to be looked at first.
    pub(crate) first: Option<Instant>,
    /// The upload is not wanted any more.
    pub(crate) upload: Cancel,
}

struct State {
    slot: Option<Slot>,
    /// Once it is sent.
    stream: Option<StreamName>,
    timeouts: Timeouts,
    until: Option<Instant>,
    phase: Phase,
    /// Since when the reader waits, or the content does.
    since: Instant,
    reading: bool,
    /// When it was last certain that a reader that waits is there.
    seen: Instant,
    over: Option<Over>,
}

enum Phase {
    /// It waits for a place, or for its connection to take it: others look after that.
    Begun,
    /// The head of the answer is awaited; until when, once all of the request is sent.
    Asked(Option<Instant>),
    Answered,
}

enum Over {
    Ended,
    TimedOut(Timeout),
    /// Told once.
    Failed(Option<Box<Error>>),
}

impl Exchange {
    pub(crate) fn new(timeouts: &Timeouts, began: Instant) -> Arc<Self> {
        let shortest = shortest_of(timeouts, true);
        Arc::new(Self {
            first: shortest.map(|shortest| after(began, shortest)),
            state: Mutex::new(State {
                slot: None,
                stream: None,
                until: timeouts.total.map(|total| after(began, total)),
                timeouts: *timeouts,
                phase: Phase::Begun,
                since: began,
                reading: false,
                seen: began,
                over: None,
            }),
            upload: Cancel::default(),
        })
    }

    /// The request has its stream.
    pub(crate) fn asked(&self, slot: Slot, stream: StreamName, end: End) {
        let mut state = self.state();
        state.stream = Some(stream);
        let sent = (end == End::Fin).then_some(slot.lent);
        state.slot = Some(slot);
        state.asked(sent);
    }

    /// All of the request is sent.
    pub(crate) fn sent(&self) {
        self.state().asked(Some(now()));
    }

    /// The head of the answer is there, and its content waits from here on.
    pub(crate) fn answered(&self) {
        let now = now();
        let mut state = self.state();
        state.phase = Phase::Answered;
        (state.since, state.seen) = (now, now);
    }

    /// Looks at the clock: ends what is over time, and tells when to come back.
    pub(crate) fn look(&self, now: Instant) -> Option<Instant> {
        loop {
            let mut state = self.state();
            if state.over.is_some() {
                return None;
            }
            let next = state.next();
            match next {
                Some((at, Due::End(why))) if at <= now => {
                    drop(state);
                    self.give_up(Over::TimedOut(why));
                    return None;
                }
                // A reader that was woken and has not come is none.
                Some((at, Due::Reader)) if at <= now => {
                    let stream = state.stream.clone();
                    drop(state);
                    let reading = stream.is_some_and(|stream| stream.is_awaited());
                    state = self.state();
                    state.seen = now;
                    if !reading && state.reading {
                        (state.reading, state.since) = (false, now);
                    }
                }
                next => {
                    // No time that begins later is over before this.
                    let later = state.shortest().map(|shortest| after(now, shortest));
                    return next.map(|(at, _)| at).into_iter().chain(later).min();
                }
            }
        }
    }

    /// The reader waits for content, or has got what there was.
    pub(crate) fn reads(&self, reading: bool) -> Result<(), Error> {
        let mut state = self.state();
        state.is_open()?;
        if !(reading && state.reading) {
            state.since = now();
            state.seen = state.since;
            state.reading = reading;
        }
        Ok(())
    }

    /// Whether the reader may know what it has come to.
    pub(crate) fn is_open(&self) -> Result<(), Error> {
        self.state().is_open()
    }

    /// What the end of the stream has come of.
    pub(crate) fn why(&self, error: Error) -> Error {
        self.is_open().err().unwrap_or(error)
    }

    /// The answer has been read to its end, or will not be.
    pub(crate) fn read(self: Arc<Self>) {
        // The last one leaves nobody to be told: who looks at the clock meanwhile finds
        // that its stream is over.
        if Arc::strong_count(&self) > 1 {
            self.end(Over::Ended);
        }
    }

    /// The body of the request failed.
    pub(crate) fn failed(&self, error: Error) {
        self.give_up(Over::Failed(Some(Box::new(error))));
    }

    /// Cancels the request and frees its place.
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1.1
    // A client that is no longer interested says H3_REQUEST_CANCELLED.
    fn give_up(&self, why: Over) {
        if self.end(why) {
            let stream = self.state().stream.clone();
            if let Some(stream) = stream {
                stream.cancel(Code::H3_REQUEST_CANCELLED.value());
            }
            self.upload.tell();
            let slot = self.state().slot.take();
            drop(slot);
        }
    }

    fn end(&self, why: Over) -> bool {
        let mut state = self.state();
        let first = state.over.is_none();
        state.over.get_or_insert(why);
        first
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shortest of the times that may begin, before the head of the answer or after it.
fn shortest_of(timeouts: &Timeouts, before: bool) -> Option<Duration> {
    let least = |a: Option<Duration>, b: Option<Duration>| match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    let quiet = least(timeouts.idle, timeouts.read);
    match before {
        true => least(quiet, least(timeouts.first_byte, timeouts.total)),
        false => quiet,
    }
}

/// What is due at a time.
enum Due {
    End(Timeout),
    Reader,
}

impl State {
    fn asked(&mut self, sent: Option<Instant>) {
        let sent = sent.zip(self.timeouts.first_byte);
        self.phase = Phase::Asked(sent.map(|(sent, limit)| after(sent, limit)));
    }

    fn is_open(&mut self) -> Result<(), Error> {
        match &mut self.over {
            Some(Over::TimedOut(why)) => Err(Error::TimedOut(*why)),
            Some(Over::Failed(error)) => Err(error
                .take()
                .map_or(Error::Rest(ReadError::Closed), |error| *error)),
            Some(Over::Ended) | None => Ok(()),
        }
    }

    /// The shortest of the times that may begin from here on.
    fn shortest(&self) -> Option<Duration> {
        shortest_of(&self.timeouts, !matches!(self.phase, Phase::Answered))
    }

    /// What is due next.
    fn next(&self) -> Option<(Instant, Due)> {
        let Timeouts { idle, read, .. } = self.timeouts;
        let total = self.until.map(|until| (until, Due::End(Timeout::Total)));
        let (quiet, reader) = match self.phase {
            Phase::Begun => return None,
            Phase::Asked(first) => {
                let first = first.map(|first| (first, Due::End(Timeout::FirstByte)));
                (first, None)
            }
            Phase::Answered if self.reading => (
                read.map(|limit| (after(self.since, limit), Due::End(Timeout::Read))),
                idle.map(|limit| (after(self.seen, limit), Due::Reader)),
            ),
            Phase::Answered => {
                let idle = idle.map(|limit| (after(self.since, limit), Due::End(Timeout::Idle)));
                (idle, None)
            }
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
