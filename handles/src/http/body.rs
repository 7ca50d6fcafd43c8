//! Content and trailers, in either direction.

use std::future::poll_fn;
use std::task::{Context, Poll};

use aqueduct_core::code::Code;
use aqueduct_core::error::{PeerCode, SendError};
use aqueduct_core::head::Trailers;
use aqueduct_core::id::StreamId;
use bytes::Bytes;
use http::HeaderMap;

use crate::datagrams::Datagrams;
use crate::error::{ReadError, ResetError, WriteError};
use crate::half::{RecvHalf, SendHalf};

/// The sending half of a message: content, trailers, end.
///
/// Dropping it before the end resets the stream with H3_REQUEST_CANCELLED.
#[derive(Debug)]
pub struct BodySender(pub(crate) SendHalf);

impl BodySender {
    /// The QUIC stream id.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.0.half.key.id()
    }

    /// The datagrams of this request, for use beside its content.
    #[must_use]
    pub fn datagrams(&self) -> Datagrams {
        Datagrams::new(&self.0.half)
    }

    /// Sends content without copying it; waits while the peer takes no more.
    ///
    /// Not cancel safe: a dropped future has sent an unknown part. Use
    /// [`send_chunks`](Self::send_chunks) where that matters.
    ///
    /// # Errors
    /// [`WriteError`]; an unknown part was sent.
    pub async fn send_data(&mut self, data: Bytes) -> Result<(), WriteError> {
        self.0.write_chunk(data).await
    }

    /// Sends content from the front of `chunks` without copying until something
    /// was taken, tells how many bytes, and leaves the rest in place: taken
    /// chunks become empty.
    ///
    /// Cancel safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was taken.
    pub async fn send_chunks(&mut self, chunks: &mut [Bytes]) -> Result<usize, WriteError> {
        poll_fn(|cx| self.0.poll_chunks(cx, chunks)).await
    }

    /// Sends trailers and ends the message.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was sent.
    pub fn send_trailers(&mut self, trailers: &HeaderMap) -> Result<(), WriteError> {
        let half = &self.0.half;
        let mut locked = half.conn.lock();
        if let Some(over) = locked.stream(half.at).send_over {
            return Err(over.into());
        }
        let sent = locked.core(half.conn.key, |core| core.trailers(half.key, trailers));
        match sent.unwrap_or(Err(SendError::Gone)) {
            Ok(()) => {
                self.0.over(&mut locked);
                Ok(())
            }
            Err(error) => Err(half.send_error(&mut locked, error)),
        }
    }

    /// Sends all of `data` without copying it, and the end: as
    /// [`send_data`](Self::send_data) and [`finish`](Self::finish), cheaper.
    ///
    /// Not cancel safe: a dropped future has sent an unknown part.
    ///
    /// # Errors
    /// [`WriteError`]; an unknown part was sent.
    pub async fn finish_with(&mut self, data: Bytes) -> Result<(), WriteError> {
        self.0.finish_with(data).await
    }

    /// Ends the message. Does not wait: see [`stopped`](Self::stopped) for the
    /// peer's acknowledgement, which is not that it was read. A close of the connection
    /// takes what was not; [`Connection::drain`](crate::Connection::drain) waits.
    ///
    /// # Errors
    /// [`WriteError::ContentLength`] when less was sent than announced,
    /// [`WriteError::Finished`] after the end.
    pub fn finish(&mut self) -> Result<(), WriteError> {
        self.0.finish()
    }

    /// Abandons this half with an HTTP/3 error code.
    ///
    /// # Errors
    /// [`ResetError`].
    pub fn reset(&mut self, code: Code) -> Result<(), ResetError> {
        self.0.reset(code.value())
    }

    /// Waits until the peer stopped this half (`Some`) or has acknowledged all
    /// of it, end included (`None`). Borrows nothing. Cancel safe.
    ///
    /// Acknowledged is [not read](crate#acknowledged-is-not-read): a close that comes then
    /// may take it from the peer's application.
    ///
    /// A server that needs no more of the content stops it with H3_NO_ERROR; its
    /// answer still counts.
    ///
    /// # Errors
    /// [`WriteError`] when the stream or connection ends otherwise.
    pub fn stopped(
        &self,
    ) -> impl Future<Output = Result<Option<PeerCode>, WriteError>> + Send + 'static + use<> {
        self.0.half.stopped()
    }
}

/// The receiving half of a message: content, then trailers.
///
/// Dropping it before the end asks the peer to stop: a client with
/// H3_REQUEST_CANCELLED, a server with H3_NO_ERROR unless its answer was cut
/// short.
#[derive(Debug)]
pub struct BodyReceiver(pub(crate) RecvHalf);

impl BodyReceiver {
    /// The QUIC stream id.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.0.half.key.id()
    }

    /// The datagrams of this request, for use beside its content.
    #[must_use]
    pub fn datagrams(&self) -> Datagrams {
        Datagrams::new(&self.0.half)
    }

    /// The next piece of the content, without copying it; `None` at its end.
    /// Cancel safe: a dropped future has taken nothing.
    ///
    /// # Errors
    /// [`ReadError`]; a message that was cut short never looks complete.
    pub async fn recv_data(&mut self) -> Result<Option<Bytes>, ReadError> {
        poll_fn(|cx| self.poll_data(cx)).await
    }

    /// As [`recv_data`](Self::recv_data), for futures written by hand.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ReadError>> {
        let mut chunk = [Bytes::new()];
        self.0
            .poll_chunks(cx, usize::MAX, &mut chunk)
            .map_ok(|moved| {
                let [chunk] = chunk;
                moved.map(|_| chunk)
            })
    }

    /// The trailers, `None` when there are none; content that was not read is
    /// discarded before. Cancel safe.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn recv_trailers(&mut self) -> Result<Option<Trailers>, ReadError> {
        while self.recv_data().await?.is_some() {}
        Ok(self.take_trailers())
    }

    /// The trailers that came with the end of the content, once.
    pub fn take_trailers(&mut self) -> Option<Trailers> {
        let half = &self.0.half;
        let mut locked = half.conn.lock();
        // The event was caused by the read that found the end. Most have none.
        let came = locked.peek(half.conn.key, |core| core.stats().trailers);
        if came != Some(locked.conn(half.at.conn).trailers) {
            locked.pump();
        }
        let message = locked.stream(half.at).message.as_mut();
        message
            .and_then(|message| message.trailers.take())
            .map(|trailers| *trailers)
    }

    /// All content that is left, at most `limit` bytes.
    ///
    /// Not cancel safe: a dropped future loses what it has collected.
    ///
    /// # Errors
    /// [`ReadError::TooLong`] beyond `limit`, and as for [`recv_data`](Self::recv_data).
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Bytes, ReadError> {
        self.0.read_to_end(limit).await
    }

    /// Asks the peer to stop with an HTTP/3 error code and discards what arrives.
    ///
    /// # Errors
    /// [`ResetError`].
    pub fn stop(&mut self, code: Code) -> Result<(), ResetError> {
        self.0.stop(code.value())
    }
}
