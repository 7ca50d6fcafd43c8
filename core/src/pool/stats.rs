//! A pool in numbers.

/// What there is at present, of one origin or of all.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct OriginStats {
    /// Requests that have a place on a connection.
    pub active: usize,
    /// Connections without a request, those that are draining left out.
    pub idle: usize,
    /// Checkouts that wait.
    pub queued: usize,
    /// Connections that take requests, were there credit.
    pub connections: usize,
    /// Those that are being made.
    pub connecting: usize,
    /// Those that finish what they have.
    pub draining: usize,
}

/// A pool in numbers.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct PoolStats {
    /// What there is at present.
    pub all: OriginStats,
    /// Origins that are known: those with connections, waiters or a back-off.
    pub origins: usize,
    /// Connections begun.
    pub dials: u64,
    /// Connections that did not come about.
    pub dial_failures: u64,
    /// How often a connection was lent.
    pub lent: u64,
    /// Checkouts that were not lent one in time.
    pub timed_out: u64,
    /// Checkouts that were refused because the queue was full.
    pub refused: u64,
    /// Requests that a GOAWAY left unprocessed, as far as the pool was told.
    pub unprocessed: u64,
    /// Requests whose connection ended under them.
    pub cut_off: u64,
    /// Connections that were retired.
    pub retired: u64,
}
