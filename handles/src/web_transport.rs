//! The traits of the [`web-transport-trait`](web_transport_trait) crate, so that code
//! written against them runs on these handles unchanged.
//!
//! | trait | |
//! |---|---|
//! | `Session` | [`Session`] |
//! | `SendStream`, `RecvStream` | [`SendStream`], [`RecvStream`] |
//! | `Error` | [`Error`], [`WriteError`], [`ReadError`] |
//! | `Stats` | [`Stats`]: of the whole connection, as the trait asks |
//!
//! Where the trait cannot fail, what cannot be done is left out: a close reason is
//! cut to 1,024 bytes, a second reset does nothing.

use std::time::Duration;

use aqueduct_core::endpoint::PathStats;
use aqueduct_core::webtransport::SessionClose;
use bytes::Bytes;
use web_transport_trait as traits;

use crate::error::{DatagramError, OpenStreamError, ReadError, WriteError};
use crate::{RecvStream, SendStream, Session};

/// Longest close reason in bytes (draft-ietf-webtrans-http3-16 §6).
const REASON: usize = 1024;

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

/// As much of a reason as a close capsule holds, in whole characters.
fn cut(reason: &str) -> &str {
    let mut len = reason.len().min(REASON);
    while !reason.is_char_boundary(len) {
        len -= 1;
    }
    &reason[..len]
}

/// Code and reason of a clean end.
fn clean(close: &SessionClose) -> Option<(u32, String)> {
    match close {
        SessionClose::Closed { code, reason, .. } => Some((*code, reason.clone())),
        _ => None,
    }
}

impl traits::Error for Error {
    fn session_error(&self) -> Option<(u32, String)> {
        match self {
            Self::Closed(close)
            | Self::Open(OpenStreamError::Session(close))
            | Self::Datagram(DatagramError::Session(close)) => clean(close),
            _ => None,
        }
    }
}

impl traits::Error for WriteError {
    fn session_error(&self) -> Option<(u32, String)> {
        match self {
            Self::Session(close) => clean(close),
            _ => None,
        }
    }

    fn stream_error(&self) -> Option<u32> {
        match self {
            Self::Stopped(code) => code.app,
            _ => None,
        }
    }
}

impl traits::Error for ReadError {
    fn session_error(&self) -> Option<(u32, String)> {
        match self {
            Self::Session(close) => clean(close),
            _ => None,
        }
    }

    fn stream_error(&self) -> Option<u32> {
        match self {
            Self::Reset(code) => code.app,
            _ => None,
        }
    }
}

/// Path and traffic of a session's connection; nothing is known some time after its
/// end.
#[derive(Copy, Clone, Debug)]
pub struct Stats(Option<PathStats>);

impl traits::Stats for Stats {
    fn bytes_sent(&self) -> Option<u64> {
        Some(self.0.as_ref()?.bytes_sent)
    }

    fn bytes_received(&self) -> Option<u64> {
        Some(self.0.as_ref()?.bytes_received)
    }

    fn bytes_lost(&self) -> Option<u64> {
        Some(self.0.as_ref()?.bytes_lost)
    }

    fn packets_sent(&self) -> Option<u64> {
        Some(self.0.as_ref()?.packets_sent)
    }

    fn packets_lost(&self) -> Option<u64> {
        Some(self.0.as_ref()?.packets_lost)
    }

    fn rtt(&self) -> Option<Duration> {
        Some(self.0.as_ref()?.rtt)
    }
}

impl traits::Session for Session {
    type SendStream = SendStream;
    type RecvStream = RecvStream;
    type Error = Error;

    async fn accept_uni(&self) -> Result<RecvStream, Error> {
        Self::accept_uni(self).await.map_err(Error::Closed)
    }

    async fn accept_bi(&self) -> Result<(SendStream, RecvStream), Error> {
        Self::accept_bi(self).await.map_err(Error::Closed)
    }

    async fn open_bi(&self) -> Result<(SendStream, RecvStream), Error> {
        Self::open_bi(self).await.map_err(Error::Open)
    }

    async fn open_uni(&self) -> Result<SendStream, Error> {
        Self::open_uni(self).await.map_err(Error::Open)
    }

    fn send_datagram(&self, payload: Bytes) -> Result<(), Error> {
        Self::send_datagram(self, &payload).map_err(Error::Datagram)
    }

    async fn recv_datagram(&self) -> Result<Bytes, Error> {
        Self::recv_datagram(self).await.map_err(Error::Closed)
    }

    fn max_datagram_size(&self) -> usize {
        Self::max_datagram_size(self).unwrap_or(0)
    }

    fn protocol(&self) -> Option<&str> {
        Self::protocol(self)
    }

    fn close(&self, code: u32, reason: &str) {
        // A session that has ended needs no close.
        let _ = Self::close(self, code, cut(reason));
    }

    async fn closed(&self) -> Error {
        Error::Closed(Self::closed(self).await)
    }

    fn stats(&self) -> impl traits::Stats {
        Stats(self.connection().path())
    }
}

impl traits::SendStream for SendStream {
    type Error = WriteError;

    async fn write(&mut self, buf: &[u8]) -> Result<usize, WriteError> {
        Self::write(self, buf).await
    }

    async fn write_chunk(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        Self::write_chunk(self, chunk).await
    }

    async fn write_all(&mut self, buf: &[u8]) -> Result<(), WriteError> {
        Self::write_all(self, buf).await
    }

    fn set_priority(&mut self, order: i32) {
        self.set_send_order(order);
    }

    fn finish(&mut self) -> Result<(), WriteError> {
        Self::finish(self)
    }

    fn reset(&mut self, code: u32) {
        // A stream that has ended needs no reset.
        let _ = Self::reset(self, code);
    }

    async fn closed(&mut self) -> Result<(), WriteError> {
        match self.stopped().await {
            Ok(None) | Err(WriteError::Closed) => Ok(()),
            Ok(Some(code)) => Err(WriteError::Stopped(code)),
            Err(error) => Err(error),
        }
    }
}

impl traits::RecvStream for RecvStream {
    type Error = ReadError;

    async fn read(&mut self, dst: &mut [u8]) -> Result<Option<usize>, ReadError> {
        Self::read(self, dst).await
    }

    async fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, ReadError> {
        Self::read_chunk(self, max).await
    }

    fn stop(&mut self, code: u32) {
        // A stream that has ended needs no stop.
        let _ = Self::stop(self, code);
    }

    async fn closed(&mut self) -> Result<(), ReadError> {
        match Self::closed(self).await {
            Err(ReadError::Closed) => Ok(()),
            closed => closed,
        }
    }
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
