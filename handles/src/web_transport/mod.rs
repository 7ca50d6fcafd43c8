//! The traits of the `web-transport-trait` crate, so that code written against them runs
//! on these handles unchanged. Each release of it that programs stand on is a feature of
//! its own, and they go together:
//!
//! | feature | release | traits | who needs it |
//! |---|---|---|---|
//! | `web-transport-trait` | 0.5 | async and poll | new code |
//! | `web-transport-trait-0-4` | 0.4 | async and poll | `moq-net` 0.3 |
//! | `web-transport-trait-0-3` | 0.3 | async | `moq-lite` 0.17 |
//!
//! | trait | |
//! |---|---|
//! | `Session` | [`Session`] |
//! | `SendStream`, `RecvStream` | [`SendStream`](crate::SendStream), [`RecvStream`](crate::RecvStream) |
//! | `Error` | [`Error`], [`WriteError`], [`ReadError`] |
//! | `Stats` | [`Stats`]: of the whole connection, as the trait asks |
//!
//! Where the trait cannot fail, what cannot be done is left out: a close reason is
//! cut to 1,024 bytes, a second reset does nothing. Keep the
//! [`Connection`](crate::Connection) until the peer has seen a close: generic code lets
//! go of the session, and a connection without handles ends at once. Each clone of a [`Session`] that is
//! polled waits for itself; one that is never polled keeps no place for it.

#[macro_use]
mod sides;

use aqueduct_core::endpoint::PathStats;
use aqueduct_core::error::PeerCode;
use aqueduct_core::webtransport::{SessionClose, truncate_reason as cut};

use crate::Session;
use crate::error::{DatagramError, OpenStreamError, ReadError, WriteError};

/// What a session's methods fail with.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The session is over.
    #[error(transparent)]
    Closed(SessionClose),
    /// A stream was not opened.
    #[error(transparent)]
    Open(OpenStreamError),
    /// A datagram was not sent.
    #[error(transparent)]
    Datagram(DatagramError),
}

impl Error {
    /// Whether the session may be asked for again: as the error inside says.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Closed(close) => close.is_retryable(),
            Self::Open(error) => error.is_retryable(),
            Self::Datagram(error) => error.is_retryable(),
        }
    }
}

/// Code and reason of a clean end.
fn clean(close: &SessionClose) -> Option<(u32, String)> {
    match close {
        SessionClose::Closed { code, reason, .. } => Some((*code, reason.clone())),
        _ => None,
    }
}

/// Path and traffic of a session's connection; nothing is known some time after its
/// end.
#[derive(Copy, Clone, Debug)]
pub struct Stats(Option<PathStats>);

impl Stats {
    fn of(session: &Session) -> Self {
        Self(session.connection().path())
    }

    fn get<T>(&self, what: impl FnOnce(&PathStats) -> T) -> Option<T> {
        self.0.as_ref().map(what)
    }

    /// Bits per second that the congestion window lets go.
    fn send_rate(&self) -> Option<u64> {
        let path = self.0.as_ref()?;
        let nanos = path.rtt.as_nanos().max(1);
        let rate = u128::from(path.congestion_window) * 8 * 1_000_000_000 / nanos;
        Some(u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

/// The end of a stream that was waited for, in the traits' words.
fn ended(stopped: Result<Option<PeerCode>, WriteError>) -> Result<(), WriteError> {
    match stopped {
        Ok(None) | Err(WriteError::Finished | WriteError::Reset) => Ok(()),
        Ok(Some(code)) => Err(WriteError::Stopped(code)),
        Err(error) => Err(error),
    }
}

/// The end of a stream that was read or waited for, in the traits' words.
fn read_out(closed: Result<(), ReadError>) -> Result<(), ReadError> {
    match closed {
        Err(ReadError::Closed) => Ok(()),
        closed => closed,
    }
}

/// Version 0.5: async and poll.
#[cfg(feature = "web-transport-trait")]
mod v0_5 {
    use web_transport_trait as traits;

    common!(traits);
    awaited!(traits, i32);
    polled!(traits, i32);
}

/// Version 0.4: async and poll.
#[cfg(feature = "web-transport-trait-0-4")]
mod v0_4 {
    use web_transport_trait_0_4 as traits;

    common!(traits);
    awaited!(traits, u8);
    polled!(traits, u8);
}

/// Version 0.3: async alone.
#[cfg(feature = "web-transport-trait-0-3")]
mod v0_3 {
    use web_transport_trait_0_3 as traits;

    common!(traits);
    awaited!(traits, u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(cut("bye"), "bye");
        assert_eq!(cut(&"x".repeat(1025)).len(), 1024);
        assert_eq!(cut(&"\u{20ac}".repeat(342)).len(), 1023);
    }
}
