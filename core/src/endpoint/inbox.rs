//! What waits for a connection, and what it has been given to do.

use std::collections::VecDeque;

use quinn_proto::ConnectionEvent;

use super::received::Memory;

/// A received datagram on its way to its connection.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) event: ConnectionEvent,
    pub(super) memory: Memory,
}

/// The datagrams that wait for one connection, oldest first.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) queue: VecDeque<Datagram>,
    /// Memory of them.
    pub(super) bytes: usize,
}

/// What a connection has been given to do.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Bytes since frames were counted.
    pub(super) unmeasured: usize,
    /// Frames counted so far.
    pub(super) frames: u64,
    /// Work above QUIC counted so far.
    pub(super) http: u64,
    /// Datagrams that sweeps had looked at when they were last counted.
    pub(super) swept: u64,
    /// The end of the connection was counted.
    pub(super) ended: bool,
}
