//! What this side waits for on a stream, and for how long: nothing waits for ever for
//! a peer that sends a byte now and then.
//!
//! A stream can wait for something to come and for something to be taken; the earlier
//! of both deadlines is in the connection's heap. Content has to keep a pace, measured
//! over a window, because a body may be of any length: what it has to do in the window
//! is little, and done by any peer that means it.

use std::time::{Duration, Instant};

use super::connection::H3;
use super::exchange::Part;
use super::streams::{Kind, Recv, Send, Slot};
use crate::config::Limits;
use crate::fault::{Fault, Violation};
use crate::id::{Side, StreamKey};
use crate::time::{Deadline, Why, after};
use crate::transport::Transport;

/// Bytes that a transport may hold of a response that it has taken whole, for all we
/// know: it does not tell how many arrive.
const IN_FLIGHT: u64 = 1 << 20;

/// A deadline, and where things stood when the wait for it began.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Wait {
    due: Deadline,
    /// Bytes of the stream that had come or gone.
    bytes: u64,
    /// Bytes that had gone on all streams.
    total: u64,
}

impl H3 {
    /// The next deadline of a stream, or one before it.
    pub(crate) fn wait_due(&self) -> Option<Deadline> {
        self.waits.peek()
    }

    /// A peer's stream has begun, and what it begins with has not all come.
    pub(super) fn await_head(&mut self, key: StreamKey) {
        let untold = |slot: &Slot| match &slot.kind {
            Kind::Unidentified(_) => true,
            Kind::Exchange(exchange) => !exchange.told,
            _ => false,
        };
        let begins = |slot: &Slot| slot.recv_wait.is_none() && untold(slot);
        if self.table.get(key).is_some_and(begins) {
            self.await_more(key, Why::Head);
        }
    }

    /// Something is to come within the time there is for it.
    pub(crate) fn await_more(&mut self, key: StreamKey, why: Why) {
        let limits = &self.config.limits;
        let wait = match why {
            Why::Section => limits.section_timeout,
            Why::Body => window(limits),
            Why::Answer => limits.connect_timeout,
            _ => limits.head_timeout,
        };
        let Some(at) = self.end_of(wait) else {
            return;
        };
        let Some(slot) = self.table.get_mut(key) else {
            return;
        };
        // An answer is waited for whatever becomes of a section, and a body that has been
        // waited for already has its window.
        match (slot.recv_wait.map(|wait| wait.due.why), why) {
            (Some(Why::Answer), Why::Section) | (Some(_), Why::Body) => return,
            _ => {}
        }
        slot.recv_wait = Some(Wait {
            due: Deadline { at, why },
            bytes: slot.read,
            total: 0,
        });
        self.arm(key);
    }

    /// When a wait that begins now ends, if it does.
    fn end_of(&self, wait: Duration) -> Option<Instant> {
        let now = self.budget.now().filter(|_| wait != Duration::MAX)?;
        Some(after(now, wait))
    }

    /// A field section that may have had to wait was decoded.
    pub(super) fn section_came(&mut self, key: StreamKey) {
        let wait = self.table.get(key).and_then(|slot| slot.recv_wait);
        if wait.is_some_and(|wait| wait.due.why == Why::Section) {
            self.await_no_more(key);
        }
    }

    /// What was waited for has come.
    pub(crate) fn await_no_more(&mut self, key: StreamKey) {
        if let Some(slot) = self.table.get_mut(key)
            && slot.recv_wait.take().is_some()
        {
            self.arm(key);
        }
    }

    /// The application waits for content of a request.
    pub(super) fn await_body(&mut self, key: StreamKey) {
        let body = |slot: &Slot| {
            let part = slot.exchange_ref().map(|exchange| exchange.recv);
            slot.recv == Recv::Open && part == Some(Part::Body)
        };
        if self.side == Side::Server && self.table.get(key).is_some_and(body) {
            self.await_more(key, Why::Body);
        }
    }

    /// Looks whether a response waits for its peer to take it.
    pub(super) fn watch_sending(&mut self, key: StreamKey) {
        if self.side != Side::Server {
            return;
        }
        let sent = self.sent;
        let Some(slot) = self.table.get_mut(key) else {
            return;
        };
        let is_message = |slot: &Slot| {
            let exchange = slot.exchange_ref();
            exchange.is_some_and(|exchange| exchange.send != Part::Tunnel)
        };
        let whole = slot.send == Send::Finished;
        let part = matches!(slot.send, Send::Open | Send::Finishing)
            && (!slot.owed.is_empty() || slot.wants_writable);
        let waits = (whole || part) && is_message(slot);
        match (waits, slot.send_wait) {
            (true, None) => {}
            // Nothing more is told until all of it has arrived.
            (true, Some(_)) if whole => {}
            (true, Some(_)) | (false, None) => return,
            (false, Some(_)) => {
                slot.send_wait = None;
                return self.arm(key);
            }
        }
        let limits = &self.config.limits;
        let left = if whole {
            slot.written.min(IN_FLIGHT)
        } else {
            0
        };
        let left = Duration::from_secs(left / u64::from(limits.min_rate.max(1)));
        let Some(at) = self.end_of(window(limits).saturating_add(left)) else {
            return;
        };
        let Some(slot) = self.table.get_mut(key) else {
            return;
        };
        slot.send_wait = Some(Wait {
            due: Deadline {
                at,
                why: Why::Response,
            },
            bytes: slot.written,
            total: sent,
        });
        self.arm(key);
    }

    fn arm(&mut self, key: StreamKey) {
        let Some(slot) = self.table.get(key) else {
            return;
        };
        let waits = [slot.recv_wait, slot.send_wait];
        let due = waits.into_iter().flatten().map(|wait| wait.due).min();
        self.waits.arm(key, due);
        self.waits.next();
    }

    /// Gives up what has been waited for long enough.
    pub(crate) fn handle_waits<T: Transport>(&mut self, t: &mut T, now: Instant) {
        while let Some(key) = self.waits.pop_due(now) {
            let Some(slot) = self.table.get_mut(key) else {
                continue;
            };
            let is_due = |wait: &mut Wait| wait.due.at <= now;
            let (recv, send) = (
                slot.recv_wait.take_if(is_due),
                slot.send_wait.take_if(is_due),
            );
            let mut result = recv.map_or(Ok(()), |wait| self.not_come(key, wait));
            if result.is_ok() {
                result = send.map_or(Ok(()), |wait| self.not_taken(key, wait));
            }
            self.fail(t, result);
            self.arm(key);
        }
    }

    fn not_come(&mut self, key: StreamKey, wait: Wait) -> Result<(), Fault> {
        let Some(slot) = self.table.get(key) else {
            return Ok(());
        };
        let why = match wait.due.why {
            Why::Body if slot.recv != Recv::Open => return Ok(()),
            //= https://www.rfc-editor.org/rfc/rfc9114#section-10.5
            // Content that is awaited and that keeps its pace, or that waits for the
            // application, has another window.
            Why::Body
                if slot.readable_told
                    || keeps_pace(&self.config.limits, slot.read - wait.bytes) =>
            {
                self.await_more(key, Why::Body);
                return Ok(());
            }
            Why::Body => {
                self.stats.bodies_timed_out += 1;
                Violation::BodyTooSlow
            }
            Why::Section => {
                self.stats.sections_timed_out += 1;
                Violation::SectionTooSlow
            }
            Why::Answer => {
                self.stats.connects_timed_out += 1;
                Violation::ConnectUnanswered
            }
            _ => {
                self.stats.heads_timed_out += 1;
                Violation::HeadTooSlow
            }
        };
        Err(Fault::Stream(key, why))
    }

    fn not_taken(&mut self, key: StreamKey, wait: Wait) -> Result<(), Fault> {
        let Some(slot) = self.table.get(key) else {
            return Ok(());
        };
        let limits = &self.config.limits;
        let moves = keeps_pace(limits, slot.written - wait.bytes);
        // Others of the connection may go first: then it waits for its turn, not for
        // the peer, as long as all that wait together would keep their pace.
        let waiting = self.table.keys().filter(|key| {
            self.table
                .get(*key)
                .is_some_and(|slot| slot.send_wait.is_some())
        });
        let share = (self.sent - wait.total) / (waiting.count() as u64 + 1);
        if moves || keeps_pace(limits, share) {
            self.watch_sending(key);
            return Ok(());
        }
        self.stats.responses_timed_out += 1;
        Err(Fault::Stream(key, Violation::ResponseNotTaken))
    }
}

/// The time over which a pace is measured.
fn window(limits: &Limits) -> Duration {
    limits.progress_window.max(Duration::from_secs(1))
}

/// Whether so many bytes in a window are enough.
fn keeps_pace(limits: &Limits, bytes: u64) -> bool {
    bytes >= u64::from(limits.min_rate).saturating_mul(window(limits).as_secs())
}
