//! What connections are promised of an endpoint's memory: windows that begin small and
//! grow with what is really read and delivered, while the sum stays within a budget.

use super::settings::TransportSettings;

/// Memory of the endpoint that a connection has, in bytes.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct MemoryInfo {
    /// What it is promised and counts for
    /// [`EndpointConfig::memory`](super::EndpointConfig::memory).
    pub promised: usize,
    /// Received packets in which something is unread.
    pub received: usize,
    /// The receive window at present.
    pub receive_window: u64,
    /// The send window at present.
    pub send_window: u64,
}

/// What a connection costs whatever it does: QUIC's and TLS's state, tables, timers.
const FIXED: usize = 96 * 1024;

/// What one connection is promised.
#[derive(Debug)]
pub(super) struct Windows {
    receive: u64,
    send: u64,
    max_receive: u64,
    max_send: u64,
    /// What the receive window grows by when nobody reads.
    step: u64,
    /// Buffers that do not grow, and the fixed cost.
    rest: usize,
    /// Bytes that have to be read before the window grows.
    grow_at: u64,
    /// Counted in the endpoint's sum.
    promised: usize,
}

/// What all connections of an endpoint are promised.
#[derive(Debug)]
pub(super) struct Memory {
    budget: usize,
    promised: usize,
}

impl Windows {
    pub(super) fn new(settings: &TransportSettings) -> Self {
        let (receive, send) = settings.first_windows();
        Self {
            receive,
            send,
            max_receive: settings.receive_window.max(receive),
            max_send: settings.send_window.max(send),
            step: receive,
            rest: FIXED + settings.datagram_receive_buffer + settings.datagram_send_buffer,
            grow_at: receive,
            promised: 0,
        }
    }

    /// Bytes that count in the endpoint's sum.
    pub(super) fn promised(&self) -> usize {
        self.promised
    }

    /// Bytes promised at present.
    pub(super) fn bytes(&self) -> usize {
        let windows = self.receive.saturating_add(self.send);
        let windows = usize::try_from(windows).unwrap_or(usize::MAX);
        windows.saturating_add(self.rest)
    }

    pub(super) fn info(&self, received: usize) -> MemoryInfo {
        MemoryInfo {
            promised: self.bytes(),
            received,
            receive_window: self.receive,
            send_window: self.send,
        }
    }

    /// Whether the peer may be out of credit for all streams, by the bytes of received
    /// packets in use: these are a little more than the bytes of streams in them, and QUIC
    /// gives credit back in eighths of the window.
    #[inline]
    pub(super) fn are_spent(&self, content: usize) -> bool {
        content as u64 >= self.receive - self.receive / 4
    }

    /// Bytes of received packets that may be in use: all that the window allows in
    /// packets that are nearly full, and some that are not.
    pub(super) fn max_received(&self) -> usize {
        let window = usize::try_from(self.receive).unwrap_or(usize::MAX);
        window.saturating_add(window / 8).saturating_add(SLACK)
    }

    /// How much wider the receive window may become for streams that are starved by
    /// others that nobody reads; 0 once those hold as much as they may.
    pub(super) fn widens_by(&self) -> u64 {
        let left = self.max_receive - self.receive;
        left.min(self.step)
    }

    /// Widens the receive window by so much, if the budget and the holder's share of it
    /// have room.
    pub(super) fn widen(
        &mut self,
        memory: &mut Memory,
        share: impl Fn() -> usize,
        more: u64,
    ) -> Option<u64> {
        if !memory.take(&mut self.promised, share, more) {
            return None;
        }
        self.receive += more;
        Some(self.receive)
    }

    /// The windows for a connection of whose bytes so many have been read, and whose
    /// path takes so many at once, if they are to change and the budget and the holder's
    /// share of it have room.
    #[inline]
    pub(super) fn grow(
        &mut self,
        memory: &mut Memory,
        share: impl Fn() -> usize,
        read: u64,
        path: u64,
    ) -> Grown {
        let mut grown = Grown::default();
        // A window's worth was read since it last grew.
        if read >= self.grow_at {
            let more = self.receive.min(self.max_receive - self.receive);
            if more > 0 && memory.take(&mut self.promised, &share, more) {
                self.receive += more;
                grown.receive = Some(self.receive);
            }
            self.grow_at = read.saturating_add(self.receive);
        }
        // What is in flight and as much again behind it.
        if self.send < self.max_send && path.saturating_mul(2) > self.send {
            let more = self.send.min(self.max_send - self.send);
            if memory.take(&mut self.promised, &share, more) {
                self.send += more;
                grown.send = Some(self.send);
            }
        }
        grown
    }
}

/// Bytes of received packets in use beyond a full window, before a peer is shown out
/// that sends little in many.
const SLACK: usize = 256 * 1024;

/// Windows that have grown.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Grown {
    pub(super) receive: Option<u64>,
    pub(super) send: Option<u64>,
}

impl Memory {
    pub(super) fn new(budget: usize) -> Self {
        Self {
            budget,
            promised: 0,
        }
    }

    /// Bytes promised to all connections.
    pub(super) fn promised(&self) -> usize {
        self.promised
    }

    /// Whether a connection that is promised so much would fit, in the place of one that
    /// is promised `instead_of`.
    pub(super) fn has_room(&self, bytes: usize, instead_of: usize) -> bool {
        let others = self.promised.saturating_sub(instead_of);
        others.saturating_add(bytes) <= self.budget
    }

    /// Counts a connection.
    pub(super) fn add(&mut self, windows: &mut Windows) {
        windows.promised = windows.bytes();
        self.promised = self.promised.saturating_add(windows.promised);
    }

    /// A connection is gone, or was idle and takes nothing in any more.
    pub(super) fn remove(&mut self, windows: &mut Windows) {
        self.promised -= std::mem::take(&mut windows.promised);
    }

    /// Whether a window may grow by so much, where the holder's `share` has as much left.
    /// A quarter of the budget is kept for connections to come.
    pub(super) fn has_room_to_grow(&self, share: impl Fn() -> usize, more: u64) -> bool {
        let Ok(more) = usize::try_from(more) else {
            return false;
        };
        let sum = self.promised.saturating_add(more);
        sum <= self.budget - self.budget / 4 && more <= share()
    }

    /// Room for a window to grow, if there is some.
    fn take(&mut self, promised: &mut usize, share: impl Fn() -> usize, more: u64) -> bool {
        if !self.has_room_to_grow(share, more) {
            return false;
        }
        let more = usize::try_from(more).unwrap_or(usize::MAX);
        self.promised = self.promised.saturating_add(more);
        *promised = promised.saturating_add(more);
        true
    }
}

#[cfg(all(test, feature = "pair"))]
mod tests;
