//! Deadlines as data: the core tells when it wants to be called and why, and
//! never reads a clock.

pub(crate) mod heap;

use std::time::{Duration, Instant};

/// When `handle_timeout` is wanted, and for what. Calling late is harmless.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
#[non_exhaustive]
pub struct Deadline {
    /// The time.
    pub at: Instant,
    /// The reason, for logs and tests.
    pub why: Why,
}

/// What a deadline is for.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
#[non_exhaustive]
pub enum Why {
    /// More has come than is dealt with in one turn.
    Work,
    /// QUIC: loss detection, idle timeout, pacing and the like.
    Quic,
    /// A stream does not use its turn to send, and others wait for theirs.
    Turn,
    /// A stream or datagram has waited long enough for its session.
    EarlyArrivals,
    /// A session has ended, and its CONNECT stream is given up if it has not.
    SessionClose,
    /// A stream's beginning has not come, or the SETTINGS that a session waits for.
    Head,
    /// A field section waits for insertions.
    Section,
    /// Field sections were decoded, and the peer is to be told.
    Acknowledgments,
    /// The content of a request is awaited.
    Body,
    /// A response is to be taken.
    Response,
    /// A request of ours is to be answered, or more of it to be taken.
    Answer,
    /// The peer is to say SETTINGS, and to allow the streams for ours.
    Greeting,
    /// Nothing is asked of the connection.
    Idle,
    /// A graceful shutdown ends.
    Drain,
    /// A handshake is given up if it has not ended.
    Handshake,
    /// A tunnel is to be answered, or is idle, or its stream is given up.
    Tunnel,
    /// A checkout of a pool has waited for as long as it may.
    Checkout,
    /// A pool may connect again where it failed before.
    BackOff,
    /// A connection of a pool is to be kept alive.
    KeepAlive,
    /// An address is to be tried next, or is not waited for any longer.
    Attempt,
    /// A behaviour wants to be woken.
    Alarm,
    /// A stream that is over is not kept any longer for what was not taken of it.
    Linger,
}

/// The earlier of two optional deadlines. The first wins a tie.
#[must_use]
pub fn earliest(a: Option<Deadline>, b: Option<Deadline>) -> Option<Deadline> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.at < a.at { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// Longer than anybody waits.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The time `wait` after `now`; a century after it when the clock does not go as far,
/// which is what [`Duration::MAX`] asks for.
#[must_use]
pub fn after(now: Instant, wait: Duration) -> Instant {
    let century = || now.checked_add(CENTURY);
    now.checked_add(wait).or_else(century).unwrap_or(now)
}
