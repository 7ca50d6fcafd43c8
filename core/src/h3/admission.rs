//! How many requests are under way, and for how long a request is.
//!
//! QUIC gives a stream's credit back when both its halves are over, which the peer
//! brings about whenever it likes. What the application began for it goes on, so a
//! request counts here until the application has let go of it: one whose event was not
//! taken yet does, and one that it holds.

use super::budget::{NOTICE, PARTS};
use super::connection::H3;
use super::exchange::{Interest, Part};
use super::streams::{Kind, Send};
use crate::code::Code;
use crate::fault::{Fault, Violation};
use crate::id::{Side, StreamKey};
use crate::transport::Transport;

/// Requests that were answered in full and that may still be read, if nobody has begun to
/// and the application holds them not.
const UNREAD: usize = 16;

impl H3 {
    /// Requests of the peer's that are under way.
    pub(crate) fn open_requests(&self) -> usize {
        match self.side {
            Side::Server => {
                let unread = self.unread.iter().filter(|key| self.is_unread(**key));
                self.exchanges - unread.count() + self.outliving.len()
            }
            Side::Client => 0,
        }
    }

    /// Whether one more request is too many.
    pub(super) fn is_full(&self) -> bool {
        let most = self.config.limits.open_requests;
        // Only where it matters is it told which of them are unread.
        self.exchanges + self.outliving.len() >= most && self.open_requests() >= most
    }

    fn is_unread(&self, key: StreamKey) -> bool {
        let exchange = self.table.exchange_ref(key);
        exchange.is_some_and(|exchange| exchange.unread)
    }

    /// Counts a request that was refused for being one too many.
    pub(super) fn one_too_many(&mut self) -> Result<(), Fault> {
        self.stats.requests_rejected += 1;
        // The peer is to blame if it gave up what is still worked on.
        self.charge(if self.cut > 0 { PARTS } else { NOTICE })
    }

    /// A request was answered in full, or its answer is not wanted any more, and nobody
    /// works on it who has begun to read what came with it: most never will.
    fn mark_unread(&mut self, key: StreamKey) {
        let Some(slot) = self.table.get_mut(key) else {
            return;
        };
        let answered = matches!(slot.send, Send::Closed | Send::Stopped(_));
        let Some(exchange) = slot.exchange().filter(|_| answered) else {
            return;
        };
        let taken = exchange.asked && exchange.interest == Interest::None;
        if taken && !exchange.read && !std::mem::replace(&mut exchange.unread, true) {
            self.unread.push_back(key);
        }
    }

    /// A request is read, or may be.
    fn unmark_unread(&mut self, key: StreamKey) {
        if let Some(exchange) = self.table.exchange(key)
            && std::mem::take(&mut exchange.unread)
        {
            self.unread.retain(|unread| *unread != key);
        }
    }

    /// As [`Self::mark_unread`]. Some are kept, for those who begin late.
    pub(super) fn leave_unread<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
    ) -> Result<(), Fault> {
        self.mark_unread(key);
        self.stop_unread(t)
    }

    /// Stops the oldest ones that nobody reads, but for some.
    fn stop_unread<T: Transport>(&mut self, t: &mut T) -> Result<(), Fault> {
        while self.unread.len() > UNREAD
            && let Some(oldest) = self.unread.pop_front()
        {
            if self.is_unread(oldest) {
                //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1
                // A server that has answered in full may do without the rest.
                self.stop(t, oldest, Code::H3_NO_ERROR.value())?;
            }
        }
        Ok(())
    }

    /// Somebody has begun to read a request.
    pub(super) fn note_reading(&mut self, key: StreamKey) {
        if let Some(exchange) = self.table.exchange(key) {
            exchange.read = true;
            if exchange.unread {
                self.unmark_unread(key);
            }
        }
    }

    /// A request's event waits for the application.
    pub(crate) fn note_asked(&mut self, key: StreamKey) {
        if let Some(exchange) = self.table.exchange(key) {
            exchange.interest = Interest::Waiting;
            exchange.asked = true;
            self.untaken += 1;
        }
    }

    /// The application has taken a request's event.
    pub(crate) fn note_taken(&mut self, key: StreamKey) {
        self.untaken = self.untaken.saturating_sub(1);
        self.set_interest(key, Interest::None);
    }

    /// The application works on a request of the peer's until [`Self::release`].
    pub(crate) fn hold(&mut self, key: StreamKey) {
        if self.side == Side::Server && key.id.is_request() && self.table.was_seen(key.id) {
            self.set_interest(key, Interest::Held);
        }
    }

    /// The application has let go of a request.
    pub(crate) fn release<T: Transport>(&mut self, t: &mut T, key: StreamKey) {
        self.set_interest(key, Interest::None);
        let result = self.stop_unread(t);
        self.fail(t, result);
    }

    fn set_interest(&mut self, key: StreamKey, interest: Interest) {
        match self.table.exchange(key) {
            Some(exchange) => {
                exchange.interest = interest;
                match interest {
                    Interest::None => self.mark_unread(key),
                    // Whoever works on it may yet read it.
                    Interest::Held | Interest::Waiting => self.unmark_unread(key),
                }
            }
            None if interest == Interest::Held => _ = self.outliving.entry(key.id).or_default(),
            None => {
                let (size, cut) = self.outliving.remove(&key.id).unwrap_or_default();
                self.head_bytes -= size;
                self.cut -= usize::from(cut);
            }
        }
    }

    /// Counts the head of a request, if there is room for it beside those of the
    /// requests that are under way.
    pub(super) fn take_head(&mut self, key: StreamKey, size: u64) -> bool {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let sum = self.head_bytes.saturating_add(size);
        let Some(exchange) = self.table.exchange(key) else {
            return true;
        };
        if sum > self.config.limits.head_bytes {
            return false;
        }
        exchange.head_size = size;
        self.head_bytes = sum;
        true
    }

    /// Counts the section that a stream's bytes begin, if it is not counted yet: what a
    /// peer makes us keep before it is decoded is bounded as what comes of it is.
    pub(super) fn count_gathered<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
    ) -> Result<(), Fault> {
        let exchange = self.table.exchange_ref(key);
        let Some(len) = exchange.and_then(|exchange| exchange.reader.section_under_way()) else {
            return Ok(());
        };
        self.count_section(t, key, len)
    }

    /// Counts a section of so many bytes that is kept for now.
    pub(super) fn count_section<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        len: u64,
    ) -> Result<(), Fault> {
        let (side, most) = (self.side, self.config.limits.head_bytes);
        let Some(exchange) = self.table.exchange(key) else {
            return Ok(());
        };
        if side == Side::Client || exchange.section_size > 0 {
            return Ok(());
        }
        let size = usize::try_from(len).unwrap_or(usize::MAX);
        let sum = self.head_bytes.saturating_add(size);
        if sum <= most {
            exchange.section_size = size;
            self.head_bytes = sum;
            return Ok(());
        }
        match exchange.recv {
            Part::Head => self.no_room_for_head(t, key),
            _ => Err(Fault::Stream(key, Violation::FieldSectionTooLarge)),
        }
    }

    /// A section has been decoded, or is not going to be.
    pub(super) fn uncount_section(&mut self, key: StreamKey) {
        if let Some(exchange) = self.table.exchange(key) {
            self.head_bytes -= std::mem::take(&mut exchange.section_size);
        }
    }

    /// The heads of all requests leave no room for that of one more.
    pub(super) fn no_room_for_head<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
    ) -> Result<(), Fault> {
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1.1
        // Nothing was done for it, so it may be sent again.
        self.abandon(t, key, Code::H3_REQUEST_REJECTED);
        self.stats.requests_rejected += 1;
        self.nuisance(1)
    }

    /// Forgets a stream. The layer above has let go of it; the application may not have.
    pub(crate) fn remove(&mut self, key: StreamKey) {
        let Some(kind) = self.table.remove(key) else {
            return;
        };
        self.wait_until(key, None);
        if let Kind::Exchange(exchange) = kind {
            self.head_bytes -= exchange.section_size;
            self.exchanges = self.exchanges.saturating_sub(1);
            if self.exchanges == 0 {
                self.idle_since = self.budget.now();
            }
            if exchange.interest == Interest::None {
                self.head_bytes -= exchange.head_size;
            } else {
                self.cut += usize::from(exchange.cut);
                self.outliving
                    .insert(key.id, (exchange.head_size, exchange.cut));
            }
        }
    }
}
