//! How many streams the peer lets this side open: noted in passing.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::id::Dir;
use crate::wire::varint;

/// MAX_STREAMS of bidirectional streams; that of unidirectional ones is the next.
pub(super) const MAX_STREAMS: u64 = 0x12;

/// Streams that the peer lets this side open in all, each way: one more than that, and 0
/// while nothing is known.
#[derive(Debug, Default)]
pub(crate) struct Limits([AtomicU64; 2]);

impl Limits {
    /// A frame of this type whose integer begins here.
    #[cold]
    pub(super) fn note(&self, ty: u64, int: &[u8]) {
        if let Some((limit, _)) = varint::decode(int) {
            let dir = if ty == MAX_STREAMS { Dir::Bi } else { Dir::Uni };
            self.raise(dir, limit);
        }
    }

    /// The peer allows so many; a smaller limit than before is late.
    //= https://www.rfc-editor.org/rfc/rfc9000#section-4.6
    // MAX_STREAMS frames that do not increase the limit are ignored.
    pub(crate) fn raise(&self, dir: Dir, limit: u64) {
        // Whoever has the connection has it alone.
        let limit = limit.saturating_add(1);
        if self.of(dir).load(Ordering::Relaxed) < limit {
            self.of(dir).store(limit, Ordering::Relaxed);
        }
    }

    /// How many, if that is known.
    pub(crate) fn get(&self, dir: Dir) -> Option<u64> {
        self.of(dir).load(Ordering::Relaxed).checked_sub(1)
    }

    fn of(&self, dir: Dir) -> &AtomicU64 {
        let [bi, uni] = &self.0;
        match dir {
            Dir::Bi => bi,
            Dir::Uni => uni,
        }
    }
}
