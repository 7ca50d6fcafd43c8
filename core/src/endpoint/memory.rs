//! What connections are promised of an endpoint's memory: windows that begin small and
//! grow with what is really read and delivered, while the sum stays within a budget.

use super::connection::MemoryInfo;
use super::settings::TransportSettings;

/// What a connection costs whatever it does: QUIC's and TLS's state, tables, timers.
const FIXED: usize = 96 * 1024;

/// What one connection is promised.
#[derive(Debug)]
pub(super) struct Windows {
    receive: u64,
    send: u64,
    max_receive: u64,
    max_send: u64,
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
            rest: FIXED + settings.datagram_receive_buffer + settings.datagram_send_buffer,
            grow_at: receive,
            promised: 0,
        }
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

    /// Bytes of received packets that may be in use: all that the window allows in
    /// packets that are nearly full, and some that are not.
    pub(super) fn max_received(&self) -> usize {
        let window = usize::try_from(self.receive).unwrap_or(usize::MAX);
        window.saturating_add(window / 8).saturating_add(SLACK)
    }

    /// The windows for a connection of whose bytes so many have been read, and whose
    /// path takes so many at once, if they are to change and the budget has room.
    #[inline]
    pub(super) fn grow(&mut self, memory: &mut Memory, read: u64, path: u64) -> Grown {
        let mut grown = Grown::default();
        // A window's worth was read since it last grew.
        if read >= self.grow_at {
            let more = self.receive.min(self.max_receive - self.receive);
            if more > 0 && memory.take(&mut self.promised, more) {
                self.receive += more;
                grown.receive = Some(self.receive);
            }
            self.grow_at = read.saturating_add(self.receive);
        }
        // What is in flight and as much again behind it.
        if self.send < self.max_send && path.saturating_mul(2) > self.send {
            let more = self.send.min(self.max_send - self.send);
            if memory.take(&mut self.promised, more) {
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

    /// Whether a connection with the smallest windows would fit.
    pub(super) fn has_room(&self, settings: &TransportSettings) -> bool {
        self.promised.saturating_add(Windows::new(settings).bytes()) <= self.budget
    }

    /// Counts a connection.
    pub(super) fn add(&mut self, windows: &mut Windows) {
        windows.promised = windows.bytes();
        self.promised = self.promised.saturating_add(windows.promised);
    }

    /// A connection is gone.
    pub(super) fn remove(&mut self, windows: &mut Windows) {
        self.promised -= std::mem::take(&mut windows.promised);
    }

    /// Room for a window to grow. A quarter of the budget is kept for connections to
    /// come.
    fn take(&mut self, promised: &mut usize, more: u64) -> bool {
        let Ok(more) = usize::try_from(more) else {
            return false;
        };
        let Some(sum) = self.promised.checked_add(more) else {
            return false;
        };
        if sum > self.budget - self.budget / 4 {
            return false;
        }
        self.promised = sum;
        *promised = promised.saturating_add(more);
        true
    }
}
