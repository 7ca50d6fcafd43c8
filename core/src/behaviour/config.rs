//! What bounds the behaviour of a connection.

use std::time::Duration;

/// What bounds the behaviour of a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Bytes that wait to be sent on a stream; a `Send` beyond them is cancelled, unless it
    /// is alone. Default 1 MiB.
    pub queued: usize,
    /// `Send`s that wait on a stream. Default 1,024.
    pub queued_sends: usize,
    /// The longest exact receive, in bytes. A peer that sends all but the last byte has so much
    /// held for each stream on which it is asked for. Default 1 MiB.
    pub receive: usize,
    /// Bytes that are taken from QUIC for one piece of data. Default 64 KiB.
    pub piece: usize,
    /// Datagrams that are taken from QUIC and wait for their callback. Default 64.
    pub datagrams: usize,
    /// Callbacks of one [`Runner::run`](super::Runner::run), beside `timeout`. Default 256.
    pub callbacks: usize,
    /// How long a stream that is over waits for its owner to take what has arrived.
    /// Default 5 s.
    pub linger: Duration,
    /// Streams that wait so; of more, the first ends. Default 256.
    pub lingering: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queued: 1 << 20,
            queued_sends: 1024,
            receive: 1 << 20,
            piece: 64 << 10,
            datagrams: 64,
            callbacks: 256,
            linger: Duration::from_secs(5),
            lingering: 256,
        }
    }
}

impl Config {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether one more `Send` may wait on a stream behind so many others, so many bytes then
    /// being there in all.
    pub(super) fn lets_wait(&self, sends: usize, bytes: usize) -> bool {
        sends == 0 || (sends < self.queued_sends && bytes <= self.queued)
    }
}
