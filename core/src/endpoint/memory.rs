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
    /// packets in use: these are a little more than the bytes in them, and QUIC gives
    /// credit back in eighths of the window.
    #[inline]
    pub(super) fn are_spent(&self, received: usize) -> bool {
        received as u64 >= self.receive - self.receive / 4
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

    /// Whether a window may grow by so much. A quarter of the budget is kept for
    /// connections to come.
    pub(super) fn has_room_to_grow(&self, more: u64) -> bool {
        let sum = usize::try_from(more).ok();
        let sum = sum.and_then(|more| self.promised.checked_add(more));
        sum.is_some_and(|sum| sum <= self.budget - self.budget / 4)
    }

    /// Room for a window to grow, where the holder's `share` has as much left.
    fn take(&mut self, promised: &mut usize, share: impl Fn() -> usize, more: u64) -> bool {
        if !self.has_room_to_grow(more) {
            return false;
        }
        match usize::try_from(more) {
            Ok(more) if more <= share() => {
                self.promised = self.promised.saturating_add(more);
                *promised = promised.saturating_add(more);
                true
            }
            _ => false,
        }
    }
}

#[cfg(all(test, feature = "pair"))]
mod tests {
    use bytes::Bytes;

    use super::super::state_of;
    use crate::event::Event;
    use crate::head::{End, RequestHead};
    use crate::testing::pair::{Options, Pair};
    use crate::transport::Transport;

    /// Its peer can send nothing, not even what it is waited for.
    #[test]
    fn credit_is_spent_while_nobody_reads() {
        let mut options = Options::default();
        options.transport.receive_window = 64 << 10;
        // All of it, before anything is read.
        options.transport.stream_receive_window = 512 << 10;
        let (mut pair, client, server) = Pair::connected(options);
        let post = RequestHead::new(http::Method::POST, "https://a/".parse().expect("a URI"));
        let [first, second] = [(); 2].map(|()| {
            let begun = pair.client(client).access().request(&post, End::More);
            begun.expect("begins")
        });
        pair.drive();
        let spent = |pair: &mut Pair| {
            let now = pair.now;
            let state = state_of(&mut pair.server.endpoint.slots, server).expect("open");
            state.lend(now).transport.receive_credit_spent()
        };
        let write = |pair: &mut Pair, stream, len: usize| {
            let mut connection = pair.client(client);
            let mut access = connection.access();
            let mut send = access.send(stream).expect("a stream");
            let written = send.write(&mut [vec![7; len].into()]).expect("open");
            pair.drive();
            written
        };
        write(&mut pair, first, 32 << 10);
        assert!(!spent(&mut pair), "half of it");
        for _ in 0..8 {
            write(&mut pair, first, 16 << 10);
        }
        assert!(spent(&mut pair));
        let there = pair
            .server
            .take(server)
            .into_iter()
            .find_map(|event| match event {
                Event::Request { stream, .. } => Some(stream),
                _ => None,
            });
        let mut connection = pair.server(server);
        let mut access = connection.access();
        let mut recv = access.recv(there.expect("arrived")).expect("a stream");
        let mut out = [const { Bytes::new() }; 8];
        while recv.read(usize::MAX, &mut out).expect("open").bytes > 0 {}
        pair.drive();
        assert!(!spent(&mut pair));
        assert!(write(&mut pair, second, 1) > 0);
    }
}
