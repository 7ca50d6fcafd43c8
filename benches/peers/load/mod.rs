//! What the client does and how the server answers: once for contestants that are polled,
//! once for those that are awaited.

pub mod awaited;
pub mod polled;

use std::time::Duration;

use bytes::Bytes;

use crate::works::SINK;

/// What a bulk writes at once.
pub const CHUNK: Bytes = Bytes::from_static(&[SINK; 64 << 10]);
pub const HUNDRED: Bytes = Bytes::from_static(&[SINK; 100]);
/// An echo of which nothing came for so long has died.
pub const TICK: Duration = Duration::from_millis(20);

/// The first byte of a stream, which says what becomes of it.
pub fn first(mode: u8) -> Bytes {
    Bytes::copy_from_slice(&[mode])
}

/// A datagram of such a size.
pub fn datagram(mode: u8, size: usize) -> Vec<u8> {
    let mut datagram = vec![7; size];
    datagram[0] = mode;
    datagram
}

/// An answer of such a size, at most 1 MiB.
pub fn body(size: usize) -> Bytes {
    const ALL: Bytes = Bytes::from_static(&[7; 1 << 20]);
    ALL.slice(..size.min(ALL.len()))
}
