//! The only clock the handles read.

use std::time::Instant;

/// The time at present.
pub(crate) fn now() -> Instant {
    Instant::now()
}
