//! What this side waits for on a stream, and for how long: nothing waits for ever for
//! a peer that sends a byte now and then.
//!
//! A stream can wait for something to come and for something to be taken; the earlier
//! of both deadlines is in the connection's heap. Content has to keep a pace, measured
//! over a window, because a body may be of any length: what it has to do in the window
//! is little, and done by any peer that means it.

use std::time::{Duration, Instant};

use super::connection::H3;
use super::exchange::{Exchange, Part};
use super::streams::{Kind, Recv, Send, Slot, Wait, WaitAt};
use crate::config::Limits;
use crate::fault::{Fault, Violation};
use crate::id::{Side, StreamKey};
use crate::time::{Deadline, Why, after};
use crate::transport::Transport;

/// Bytes that a transport may hold of a response that it has taken whole, for all we
/// know: it does not tell how many arrive.
const IN_FLIGHT: u64 = 1 << 20;

/// How often a wait for a head is made longer while others come.
const LONGER: u64 = 5;

/// How often what is to come on a stream may be late because the peer seems to have no
/// credit: it can bring that about itself, and stay.
const EXCUSES: u8 = 30;

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
        let connects = |key| {
            self.table
                .exchange_ref(key)
                .is_some_and(Exchange::is_connect)
        };
        let wait = match why {
            Why::Section => limits.section_timeout,
            Why::Answer if connects(key) => limits.connect_timeout,
            Why::Answer => limits.response_timeout,
            _ => limits.head_timeout,
        };
        let Some(at) = self.end_of(wait) else {
            return;
        };
        // An answer is waited for whatever becomes of a section.
        let answer = |wait: Wait| wait.due.why == Why::Answer;
        if why == Why::Section && self.recv_wait(key).is_some_and(answer) {
            return;
        }
        self.begin_wait(key, Deadline { at, why });
    }

    fn begin_wait(&mut self, key: StreamKey, due: Deadline) {
        let total = self.received;
        if let Some((slot, waits)) = self.table.with_waits(key) {
            let bytes = match due.why {
                // What goes on being taken is answered later.
                Why::Answer => slot.written,
                _ => 0,
            };
            waits.set(&mut slot.recv_wait, Wait { due, bytes, total });
            self.arm(key);
        }
    }

    /// When a wait that begins now ends, if it does.
    fn end_of(&self, wait: Duration) -> Option<Instant> {
        let now = self.budget.now().filter(|_| wait != Duration::MAX)?;
        Some(after(now, wait))
    }

    /// A field section that may have had to wait was decoded.
    pub(super) fn section_came(&mut self, key: StreamKey) {
        if self
            .recv_wait(key)
            .is_some_and(|wait| wait.due.why == Why::Section)
        {
            self.await_no_more(key);
        }
    }

    /// What is to come on a stream, if that is waited for.
    pub(super) fn recv_wait(&self, key: StreamKey) -> Option<Wait> {
        let slot = self.table.get(key)?;
        self.table.waits().get(slot.recv_wait)
    }

    /// What was waited for has come.
    pub(crate) fn await_no_more(&mut self, key: StreamKey) {
        if let Some((slot, waits)) = self.table.with_waits(key)
            && waits.take(&mut slot.recv_wait).is_some()
        {
            self.arm(key);
        }
    }

    /// The application waits for content of a request, and there is none.
    pub(super) fn await_body(&mut self, key: StreamKey) {
        let received = self.received;
        let Some(now) = self.budget.now() else {
            return;
        };
        let window = window(&self.config.limits);
        if self.side == Side::Client || self.config.limits.progress_window == Duration::MAX {
            return;
        }
        let Some(slot) = self.table.get_mut(key) else {
            return;
        };
        let (read, open) = (slot.read, slot.recv == Recv::Open);
        let Some(exchange) = slot.exchange() else {
            return;
        };
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1
        // Who has begun to answer may converse: then content comes when there is some.
        let converses = exchange.send != Part::Head || exchange.unpaced;
        let waits = exchange.awaits_content();
        if !open || exchange.recv != Part::Body || converses || waits {
            return;
        }
        let pace = exchange.pace.get_or_insert_default();
        if pace.waited.is_zero() {
            (pace.bytes, pace.total) = (read, received);
        }
        pace.since = Some(now);
        let at = after(now, window.saturating_sub(pace.waited));
        self.begin_wait(key, Deadline { at, why: Why::Body });
    }

    /// There is content, or an end: the application does not wait for any.
    pub(super) fn content_came(&mut self, key: StreamKey) {
        let now = self.budget.now();
        let exchange = self.table.exchange(key);
        if let Some(exchange) = exchange
            && let Some(pace) = &mut exchange.pace
            && let (Some(since), Some(now)) = (pace.since.take(), now)
        {
            pace.waited += now.saturating_duration_since(since);
            self.await_no_more(key);
        }
    }

    /// Content of a request need not come at any pace, or has to again.
    pub(crate) fn set_paced(&mut self, key: StreamKey, paced: bool) {
        if let Some(exchange) = self.table.exchange(key) {
            exchange.unpaced = !paced;
            let since = exchange.pace.as_mut().map(|pace| &mut pace.since);
            if !paced && since.and_then(Option::take).is_some() {
                self.await_no_more(key);
            }
        }
    }

    /// Looks whether a response waits for its peer to take it.
    pub(super) fn watch_sending(&mut self, key: StreamKey) {
        if self.side != Side::Server {
            return;
        }
        let sent = self.sent;
        let Some((slot, awaited)) = self.table.with_waits(key) else {
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
        match (waits, slot.send_wait.is_none()) {
            (true, true) => {}
            // Nothing more is told until all of it has arrived.
            (true, false) if whole => {}
            (true, false) | (false, true) => return,
            (false, false) => {
                awaited.take(&mut slot.send_wait);
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
        let Some((slot, waits)) = self.table.with_waits(key) else {
            return;
        };
        let wait = Wait {
            due: Deadline {
                at,
                why: Why::Response,
            },
            bytes: slot.written,
            total: sent,
        };
        waits.set(&mut slot.send_wait, wait);
        self.arm(key);
    }

    fn arm(&mut self, key: StreamKey) {
        let Some(slot) = self.table.get(key) else {
            return;
        };
        let waits = self.table.waits();
        let waits = [slot.recv_wait, slot.send_wait].map(|at| waits.get(at));
        let due = waits.into_iter().flatten().map(|wait| wait.due).min();
        self.wait_until(key, due);
    }

    /// A stream waits until then, or for nothing.
    pub(super) fn wait_until(&mut self, key: StreamKey, due: Option<Deadline>) {
        self.waits.arm(key, due);
        self.waits.next();
    }

    /// Gives up what has been waited for long enough.
    pub(crate) fn handle_waits<T: Transport>(&mut self, t: &mut T, now: Instant) {
        while let Some(key) = self.waits.pop_due(now) {
            let Some((slot, waits)) = self.table.with_waits(key) else {
                continue;
            };
            let mut take_due = |at: &mut WaitAt| {
                let is_due = waits.get(*at).is_some_and(|wait| wait.due.at <= now);
                is_due.then(|| waits.take(at)).flatten()
            };
            let recv = take_due(&mut slot.recv_wait);
            let send = take_due(&mut slot.send_wait);
            let starved = recv.is_some() && slot.excused < EXCUSES && t.receive_credit_spent();
            slot.excused += u8::from(starved);
            let mut result = recv.map_or(Ok(()), |wait| self.not_come(key, wait, starved));
            if result.is_ok() {
                result = send.map_or(Ok(()), |wait| self.not_taken(key, wait));
            }
            self.fail(t, result);
            self.arm(key);
        }
    }

    fn not_come(&mut self, key: StreamKey, wait: Wait, starved: bool) -> Result<(), Fault> {
        let why = match wait.due.why {
            Why::Body => return self.body_not_come(key, starved),
            //= https://www.rfc-editor.org/rfc/rfc9000#section-4.1
            // What nobody here reads has taken the credit of all streams: the peer may
            // not send, whatever it wants to. Not for ever.
            why @ (Why::Head | Why::Section | Why::Answer) if starved => {
                self.await_more(key, why);
                return Ok(());
            }
            // Many heads share a thin line, and keep a pace together.
            Why::Head if wait.bytes < LONGER && self.heads_come(wait.total) => {
                self.await_more(key, Why::Head);
                if let Some((slot, waits)) = self.table.with_waits(key)
                    && let Some(again) = waits.get_mut(slot.recv_wait)
                {
                    again.bytes = wait.bytes + 1;
                }
                return Ok(());
            }
            Why::Section => {
                self.stats.sections_timed_out += 1;
                Violation::SectionTooSlow
            }
            Why::Answer => return self.not_answered(key, wait),
            _ => {
                self.stats.heads_timed_out += 1;
                Violation::HeadTooSlow
            }
        };
        Err(Fault::Stream(key, why))
    }

    fn not_answered(&mut self, key: StreamKey, wait: Wait) -> Result<(), Fault> {
        let Some(slot) = self.table.get(key) else {
            return Ok(());
        };
        if slot.exchange_ref().is_some_and(Exchange::is_connect) {
            self.stats.connects_timed_out += 1;
            return Err(Fault::Stream(key, Violation::ConnectUnanswered));
        }
        if slot.written > wait.bytes {
            self.await_more(key, Why::Answer);
            return Ok(());
        }
        self.stats.answers_timed_out += 1;
        Err(Fault::Stream(key, Violation::RequestUnanswered))
    }

    /// A request waits for its server: to be answered, or to be taken (client). While it
    /// is the application that the rest of the request is waited for, nobody is late.
    pub(super) fn watch_answer(&mut self, key: StreamKey) {
        if self.side == Side::Server {
            return;
        }
        let Some(slot) = self.table.get(key) else {
            return;
        };
        let unanswered = |exchange: &Exchange| exchange.recv == Part::Head && !exchange.connect;
        if !slot.exchange_ref().is_some_and(unanswered) {
            return;
        }
        let ours = slot.send == Send::Open && slot.owed.is_empty() && !slot.wants_writable;
        match (ours, self.table.waits().get(slot.recv_wait)) {
            (false, None) => self.await_more(key, Why::Answer),
            (true, Some(wait)) if wait.due.why == Why::Answer => self.await_no_more(key),
            _ => {}
        }
    }

    /// When the peer is late with what a connection begins with.
    pub(crate) fn greeting_due(&self) -> Option<Deadline> {
        let wait = self.config.limits.head_timeout;
        let at = after(self.greeted_from?, wait);
        let why = Why::Greeting;
        (wait != Duration::MAX && self.lacks().is_some()).then_some(Deadline { at, why })
    }

    /// What the connection still waits for.
    fn lacks(&self) -> Option<Violation> {
        let at_once = self.config.qpack_streams_at_once;
        let ours = [
            (&self.control_out, true),
            (&self.encoder_out, at_once || self.encoder.has_output()),
            (&self.decoder_out, at_once || self.decoder.has_output()),
        ];
        //= https://www.rfc-editor.org/rfc/rfc9114#section-6.2
        // Each side allows the other three of these streams.
        if !ours
            .iter()
            .all(|(stream, wanted)| stream.is_open() || !wanted)
        {
            return Some(Violation::TooFewStreams);
        }
        //= https://www.rfc-editor.org/rfc/rfc9114#section-6.2.1
        // A server's SETTINGS come at the beginning of the connection. Of a client's, a
        // server waits for those alone that a session needs.
        let silent = self.side == Side::Client && self.peer_settings.is_none();
        silent.then_some(Violation::NoSettings)
    }

    /// Gives up a connection that the peer is late with.
    pub(crate) fn handle_greeting<T: Transport>(&mut self, t: &mut T, now: Instant) {
        if self.greeting_due().is_some_and(|due| due.at <= now)
            && let Some(late) = self.lacks()
        {
            self.greeted_from = None;
            self.fail(t, Err(Fault::Connection(late)));
        }
    }

    /// Whether messages have come at a pace since all of them together stood at `total`.
    fn heads_come(&self, total: u64) -> bool {
        let limits = &self.config.limits;
        self.received - total >= least(limits, limits.head_timeout).max(1)
    }

    /// A window in which content was awaited is over.
    fn body_not_come(&mut self, key: StreamKey, starved: bool) -> Result<(), Fault> {
        let (received, limits) = (self.received, &self.config.limits);
        let least = least(limits, window(limits));
        let Some(slot) = self.table.get_mut(key) else {
            return Ok(());
        };
        let read = slot.read;
        let Some(exchange) = slot.exchange() else {
            return Ok(());
        };
        let pace = exchange.pace.get_or_insert_default();
        // Many on a thin line keep the pace together.
        let bytes = (read - pace.bytes).max(received - pace.total);
        pace.since = None;
        pace.waited = Duration::ZERO;
        let kept = exchange.unpaced || exchange.send != Part::Head || bytes >= least;
        if kept {
            slot.excused = 0;
        }
        if kept || starved {
            self.await_body(key);
            return Ok(());
        }
        self.stats.bodies_timed_out += 1;
        Err(Fault::Stream(key, Violation::BodyTooSlow))
    }

    fn not_taken(&mut self, key: StreamKey, wait: Wait) -> Result<(), Fault> {
        let Some(slot) = self.table.get(key) else {
            return Ok(());
        };
        let limits = &self.config.limits;
        let least = least(limits, window(limits));
        // Others of the connection may go first, and many share a thin line: it waits for
        // its turn, not for the peer, as long as the peer takes enough of anything.
        if slot.written - wait.bytes >= least || self.sent - wait.total >= least {
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

/// The bytes in such a time that are enough.
fn least(limits: &Limits, time: Duration) -> u64 {
    u64::from(limits.min_rate).saturating_mul(time.as_secs())
}
