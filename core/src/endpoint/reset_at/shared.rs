//! What a connection's TLS session, its keys and its transport have in common.

use std::fmt;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[expect(
    clippy::disallowed_types,
    reason = "quinn wants keys that threads can share; nobody ever waits for this one, since \
              whoever has the connection has it alone"
)]
type Lock = std::sync::Mutex<Ledger>;

use super::frames::{self, limits::Limits};
use super::ledger::Ledger;
use crate::id::Side;

/// The ledger of one connection, and what keys ask for each packet.
pub(crate) struct Shared {
    ledger: Lock,
    /// Bytes that packets may grow by, while quinn makes some.
    room: AtomicUsize,
    /// Resets of the peer's are to be told, or sorted out; resets of ours are on their way.
    received: AtomicBool,
    news: AtomicBool,
    sending: AtomicBool,
    /// The peer takes RESET_STREAM_AT, or has said so on the connection that a ticket is
    /// from.
    peer: AtomicBool,
    /// A close is to be said in QUIC's name.
    refusing: AtomicBool,
    limits: Limits,
}

impl Shared {
    pub(super) fn new(side: Side) -> Self {
        Self {
            ledger: Lock::new(Ledger::new(side)),
            room: AtomicUsize::new(0),
            received: AtomicBool::new(false),
            news: AtomicBool::new(false),
            sending: AtomicBool::new(false),
            peer: AtomicBool::new(false),
            refusing: AtomicBool::new(false),
            limits: Limits::default(),
        }
    }

    /// Works on the ledger.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Ledger) -> T) -> T {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut ledger)
    }

    /// Notes what there is in the ledger, so that nobody has to look.
    pub(super) fn note(&self) {
        self.with(|ledger| {
            self.received
                .store(ledger.has_received(), Ordering::Relaxed);
            self.news.store(ledger.has_fresh(), Ordering::Relaxed);
            self.sending.store(ledger.room() > 0, Ordering::Relaxed);
        });
    }

    pub(super) fn has_received(&self) -> bool {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn has_news(&self) -> bool {
        self.news.load(Ordering::Relaxed)
    }

    pub(super) fn is_sending(&self) -> bool {
        self.sending.load(Ordering::Relaxed)
    }

    pub(crate) fn peer(&self) -> bool {
        self.peer.load(Ordering::Relaxed)
    }

    pub(super) fn set_peer(&self, takes: bool) {
        self.peer.store(takes, Ordering::Relaxed);
    }

    /// How many streams the peer lets this side open.
    #[inline]
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn is_refusing(&self) -> bool {
        self.refusing.load(Ordering::Relaxed)
    }

    pub(super) fn refuse(&self) {
        self.refusing.store(true, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn room(&self) -> usize {
        self.room.load(Ordering::Relaxed)
    }

    pub(super) fn set_room(&self, bytes: usize) {
        self.room.store(bytes, Ordering::Relaxed);
    }

    /// Resets have arrived in a packet.
    #[cold]
    pub(super) fn receive(&self, payload: &mut [u8]) {
        frames::note_limits(payload, &self.limits);
        self.with(|ledger| frames::receive(payload, |reset| ledger.judge(reset)));
        self.note();
    }

    /// A packet goes out whose last `room` bytes are of no use.
    #[cold]
    pub(super) fn send(&self, plain: &mut [u8], room: usize) {
        if self.is_refusing() {
            return frames::send_close(plain, plain.len().saturating_sub(room));
        }
        self.with(|ledger| {
            let len = plain.len().saturating_sub(room);
            let made = frames::send(plain, len, |stream| ledger.head(stream));
            debug_assert!(made.is_ok(), "room for all that is on its way");
            ledger.count_sent(made.unwrap_or(0));
            #[cfg(test)]
            {
                let forged = std::mem::take(&mut ledger.forged);
                plain[..forged.len()].copy_from_slice(&forged);
            }
        });
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}
