//! How much memory a file may ask for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Bytes that a replay may hold for each byte of the recording. The recording itself,
/// read, takes up to 45.
const PER_BYTE: u64 = 16;

/// Bytes that it may hold besides.
const BASE: u64 = 8 << 20;

/// Bytes of decoded heads that one input may lead to. They are much longer than what
/// they are decoded from, where the table of QPACK is used, and wait until all of the
/// input is gone through.
pub(crate) const HEADS: u64 = 32 << 20;

/// Counts what a replay's connection was given and has not passed on: what it may
/// still be given, and whether it wanted more. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budget(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    left: AtomicU64,
    /// Of [`HEADS`], for the input at hand.
    heads: AtomicU64,
    exceeded: AtomicBool,
}

impl Budget {
    /// For a recording of this many bytes.
    pub(crate) fn new(size: u64) -> Self {
        let budget = Self::default();
        budget.give(size.saturating_mul(PER_BYTE).saturating_add(BASE));
        budget
    }

    /// Another input begins; what the one before led to was taken.
    pub(crate) fn begin(&self) {
        self.0.heads.store(HEADS, Relaxed);
    }

    /// Takes so many bytes, if there are as many and there always were.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        self.take_of(&self.0.left, bytes)
    }

    /// A head of so many bytes was decoded.
    pub(crate) fn decoded(&self, bytes: u64) {
        self.take_of(&self.0.heads, bytes);
    }

    fn take_of(&self, left: &AtomicU64, bytes: u64) -> bool {
        let taken = left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(bytes));
        self.0.exceeded.fetch_or(taken.is_err(), Relaxed);
        !self.is_exceeded()
    }

    /// Gives back what is held no longer.
    pub(crate) fn give(&self, bytes: u64) {
        let more = |left: u64| Some(left.saturating_add(bytes));
        _ = self.0.left.fetch_update(Relaxed, Relaxed, more);
    }

    /// Whether more was asked for than there was.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.0.exceeded.load(Relaxed)
    }
}
