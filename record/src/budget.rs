//! How much memory a file may ask for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes that a replay may hold for each byte of the recording.
const PER_BYTE: u64 = 64;

/// Bytes that it may hold besides.
const BASE: u64 = 8 << 20;

/// Counts what a replay's connection was given and has not passed on: what it may
/// still be given, and whether it wanted more. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<(AtomicU64, AtomicBool)>);

impl Budget {
    /// For a recording of this many bytes.
    pub(crate) fn new(size: u64) -> Self {
        let most = size.saturating_mul(PER_BYTE).saturating_add(BASE);
        Self(Arc::new((most.into(), false.into())))
    }

    /// Takes so many bytes, if there are as many.
    pub(crate) fn take(&self, bytes: u64) -> bool {
        let (left, exceeded) = &*self.0;
        let rest = left.load(Ordering::Relaxed).checked_sub(bytes);
        match rest {
            Some(rest) => left.store(rest, Ordering::Relaxed),
            None => exceeded.store(true, Ordering::Relaxed),
        }
        rest.is_some()
    }

    /// Gives back what is held no longer.
    pub(crate) fn give(&self, bytes: u64) {
        let left = self.0.0.load(Ordering::Relaxed);
        self.0
            .0
            .store(left.saturating_add(bytes), Ordering::Relaxed);
    }

    /// Whether more was asked for than there was.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.0.1.load(Ordering::Relaxed)
    }
}
