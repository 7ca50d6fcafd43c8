//! What waits for a connection, and what it has been given to do.

use std::collections::VecDeque;

use bytes::BytesMut;
use quinn_proto::ConnectionEvent;

/// A received datagram on its way to its connection.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) event: ConnectionEvent,
    /// What is behind its last byte, and the bytes of all of it.
    pub(super) memory: (BytesMut, usize),
    /// Bytes of it.
    pub(super) len: usize,
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
}
