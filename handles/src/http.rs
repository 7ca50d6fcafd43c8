//! HTTP requests and responses with streamed content both ways.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use aqueduct_core::code::Code;
use aqueduct_core::error::{PeerCode, SendError};
use aqueduct_core::head::{End, ResponseHead, Trailers};
use aqueduct_core::id::{StreamId, StreamKey};
use aqueduct_core::wire::priority::Priority;
use bytes::Bytes;
use http::{HeaderMap, Method, Response};

use crate::connection::{ConnHandle, Connection};
use crate::error::{ReadError, ResetError, WriteError};
use crate::shared::Locked;
use crate::stream::{Half, RecvHalf, SendHalf};
use crate::table::{RecvOver, SendOver};

/// A request that was sent (client): its content goes out, the answer comes in.
///
/// The two halves work independently; [`split`](Self::split) gives them to two
/// tasks. Dropping a half before its end cancels it with H3_REQUEST_CANCELLED.
#[derive(Debug)]
pub struct RequestStream {
    /// The request's content.
    pub send: BodySender,
    /// The answer.
    pub recv: ResponseReceiver,
}

/// A request that arrived (server): its content comes in, the answer goes out.
///
/// Dropping it whole before the answer is complete resets the stream with
/// H3_REQUEST_CANCELLED, since it may have been acted upon: the client must not
/// take it for a request that was refused unread. Use
/// [`reject`](Self::reject) for that.
#[derive(Debug)]
pub struct ServerRequest {
    // The sender is dropped first: whether it was cut short decides what the
    // receiver tells the client.
    /// The answer.
    pub send: ResponseSender,
    /// The request's content.
    pub recv: BodyReceiver,
}

impl RequestStream {
    pub(crate) fn new(
        conn: &Arc<ConnHandle>,
        locked: &mut Locked<'_>,
        at: usize,
        key: StreamKey,
        end: End,
    ) -> Self {
        if end == End::Fin {
            locked.conn(conn.at).streams[at].send_over = Some(SendOver::Finished);
        }
        Self {
            send: BodySender(SendHalf {
                half: Half::new(conn, locked, at, key),
            }),
            recv: ResponseReceiver(BodyReceiver(RecvHalf {
                half: Half::new(conn, locked, at, key),
            })),
        }
    }

    /// The QUIC stream id.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.send.0.half.key.id()
    }

    /// Its connection.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection(self.send.0.half.conn.clone())
    }

    /// The halves, for two tasks.
    #[must_use]
    pub fn split(self) -> (BodySender, ResponseReceiver) {
        (self.send, self.recv)
    }

    /// See [`BodySender::send_data`].
    ///
    /// # Errors
    /// [`WriteError`]; an unknown part was sent.
    pub async fn send_data(&mut self, data: Bytes) -> Result<(), WriteError> {
        self.send.send_data(data).await
    }

    /// See [`BodySender::send_trailers`].
    ///
    /// # Errors
    /// [`WriteError`]; nothing was sent.
    pub fn send_trailers(&mut self, trailers: &HeaderMap) -> Result<(), WriteError> {
        self.send.send_trailers(trailers)
    }

    /// See [`BodySender::finish`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish(&mut self) -> Result<(), WriteError> {
        self.send.finish()
    }

    /// See [`ResponseReceiver::recv_interim`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn recv_interim(&mut self) -> Result<Option<Response<()>>, ReadError> {
        self.recv.recv_interim().await
    }

    /// See [`ResponseReceiver::recv_response`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn recv_response(&mut self) -> Result<Response<()>, ReadError> {
        self.recv.recv_response().await
    }

    /// See [`BodyReceiver::recv_data`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn recv_data(&mut self) -> Result<Option<Bytes>, ReadError> {
        self.recv.recv_data().await
    }

    /// See [`BodyReceiver::recv_trailers`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn recv_trailers(&mut self) -> Result<Option<Trailers>, ReadError> {
        self.recv.recv_trailers().await
    }

    /// See [`BodyReceiver::read_to_end`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Bytes, ReadError> {
        self.recv.read_to_end(limit).await
    }

    /// Abandons both halves with H3_REQUEST_CANCELLED, as dropping it does.
    pub fn cancel(self) {
        drop(self);
    }

    /// Announces the request's priority to the server, in place of the one sent
    /// with the request (RFC 9218 §7).
    pub fn set_priority(&mut self, priority: Priority) {
        self.send.0.half.set_priority(priority);
    }
}

impl ServerRequest {
    pub(crate) fn new(
        conn: &Arc<ConnHandle>,
        locked: &mut Locked<'_>,
        at: usize,
        method: Method,
    ) -> Self {
        let key = locked.conn(conn.at).streams[at].key;
        Self {
            send: ResponseSender {
                body: BodySender(SendHalf {
                    half: Half::new(conn, locked, at, key),
                }),
                method,
            },
            recv: BodyReceiver(RecvHalf {
                half: Half::new(conn, locked, at, key),
            }),
        }
    }

    /// The QUIC stream id.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.recv.0.half.key.id()
    }

    /// Its connection.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection(self.recv.0.half.conn.clone())
    }

    /// The halves, for two tasks. A receiver that is dropped before the end
    /// tells the client that the rest of the content is not needed
    /// (H3_NO_ERROR), unless the answer was cut short before.
    #[must_use]
    pub fn split(self) -> (ResponseSender, BodyReceiver) {
        (self.send, self.recv)
    }

    /// See [`ResponseSender::send_interim`].
    ///
    /// # Errors
    /// [`WriteError`]; nothing was sent.
    pub fn send_interim(&mut self, response: Response<()>) -> Result<(), WriteError> {
        self.send.send_interim(response)
    }

    /// See [`ResponseSender::send_response`].
    ///
    /// # Errors
    /// [`WriteError`]; nothing was sent.
    pub fn send_response(&mut self, response: Response<()>) -> Result<(), WriteError> {
        self.send.send_response(response)
    }

    /// See [`BodySender::send_data`].
    ///
    /// # Errors
    /// [`WriteError`]; an unknown part was sent.
    pub async fn send_data(&mut self, data: Bytes) -> Result<(), WriteError> {
        self.send.send_data(data).await
    }

    /// See [`BodySender::send_trailers`].
    ///
    /// # Errors
    /// [`WriteError`]; nothing was sent.
    pub fn send_trailers(&mut self, trailers: &HeaderMap) -> Result<(), WriteError> {
        self.send.send_trailers(trailers)
    }

    /// See [`BodySender::finish`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish(&mut self) -> Result<(), WriteError> {
        self.send.finish()
    }

    /// See [`BodyReceiver::recv_data`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn recv_data(&mut self) -> Result<Option<Bytes>, ReadError> {
        self.recv.recv_data().await
    }

    /// See [`BodyReceiver::recv_trailers`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn recv_trailers(&mut self) -> Result<Option<Trailers>, ReadError> {
        self.recv.recv_trailers().await
    }

    /// See [`BodyReceiver::read_to_end`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Bytes, ReadError> {
        self.recv.read_to_end(limit).await
    }

    /// Refuses the request with H3_REQUEST_REJECTED: the client may send it
    /// again. Only for a request on which nothing was done.
    pub fn reject(mut self) {
        self.reset(Code::H3_REQUEST_REJECTED.value());
    }

    /// Abandons both halves with an HTTP/3 error code; what has ended already
    /// stays ended.
    pub fn reset(&mut self, code: u64) {
        let _ = self.send.body.0.reset(code);
        let _ = self.recv.0.stop(code);
    }

    /// Schedules the answer in place of what the client asked for (RFC 9218 §8).
    pub fn set_priority(&mut self, priority: Priority) {
        self.recv.0.half.set_priority(priority);
    }
}

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
        if locked.stream(half.at).send_over.is_some() {
            return Err(WriteError::Closed);
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

    /// Ends the message. Does not wait: see [`stopped`](Self::stopped) for the
    /// peer's acknowledgement.
    ///
    /// # Errors
    /// [`WriteError::ContentLength`] when less was sent than announced,
    /// [`WriteError::Closed`] after the end.
    pub fn finish(&mut self) -> Result<(), WriteError> {
        self.0.finish()
    }

    /// Abandons this half with an HTTP/3 error code.
    ///
    /// # Errors
    /// [`ResetError`].
    pub fn reset(&mut self, code: u64) -> Result<(), ResetError> {
        self.0.reset(code)
    }

    /// Waits until the peer stopped this half (`Some`) or has acknowledged all
    /// of it, end included (`None`). Borrows nothing. Cancel safe.
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

    /// Order of this stream's bytes relative to other streams of the same
    /// urgency: higher first, default 0, clamped to ±1,000,000.
    pub fn set_order(&mut self, order: i32) {
        self.0.half.set_order(order);
    }
}

/// The sending half of an answer (server): heads first, then as a [`BodySender`].
#[derive(Debug)]
pub struct ResponseSender {
    pub(crate) body: BodySender,
    method: Method,
}

impl ResponseSender {
    /// The request's method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Sends an interim response: a status of 100 to 199, but not 101.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was sent.
    pub fn send_interim(&mut self, response: Response<()>) -> Result<(), WriteError> {
        if !response.status().is_informational() {
            return Err(WriteError::InvalidHead);
        }
        self.respond(response, End::More)
    }

    /// Sends the final head; content follows, or at least [`finish`](BodySender::finish).
    ///
    /// # Errors
    /// [`WriteError`]; nothing was sent.
    pub fn send_response(&mut self, response: Response<()>) -> Result<(), WriteError> {
        if response.status().is_informational() {
            return Err(WriteError::InvalidHead);
        }
        self.respond(response, End::More)
    }

    /// Sends the final head of an answer without content and ends it.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was sent.
    pub fn send_empty(&mut self, response: Response<()>) -> Result<(), WriteError> {
        if response.status().is_informational() {
            return Err(WriteError::InvalidHead);
        }
        self.respond(response, End::Fin)
    }

    fn respond(&mut self, response: Response<()>, end: End) -> Result<(), WriteError> {
        let half = &self.body.0.half;
        let mut locked = half.conn.lock();
        if locked.stream(half.at).send_over.is_some() {
            return Err(WriteError::Closed);
        }
        let head = ResponseHead::from_http(response);
        let sent = locked.core(half.conn.key, |core| core.respond(half.key, &head, end));
        match sent.unwrap_or(Err(SendError::Gone)) {
            Ok(()) => {
                if end == End::Fin {
                    self.body.0.over(&mut locked);
                }
                Ok(())
            }
            Err(error) => Err(half.send_error(&mut locked, error)),
        }
    }

    /// The content's half alone, once the final head is sent.
    #[must_use]
    pub fn into_body(self) -> BodySender {
        self.body
    }
}

impl std::ops::Deref for ResponseSender {
    type Target = BodySender;

    fn deref(&self) -> &BodySender {
        &self.body
    }
}

impl std::ops::DerefMut for ResponseSender {
    fn deref_mut(&mut self) -> &mut BodySender {
        &mut self.body
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
        let mut locked = self.0.half.conn.lock();
        // The event was caused by the read that found the end.
        locked.pump();
        let message = locked.stream(self.0.half.at).message.as_mut();
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
    pub fn stop(&mut self, code: u64) -> Result<(), ResetError> {
        self.0.stop(code)
    }
}

/// The receiving half of an answer (client): heads first, then as a
/// [`BodyReceiver`].
#[derive(Debug)]
pub struct ResponseReceiver(pub(crate) BodyReceiver);

impl ResponseReceiver {
    /// The next interim response; `None` once the final one has arrived. Of
    /// interim responses that nobody takes the last 16 are kept. Cancel safe.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn recv_interim(&mut self) -> Result<Option<Response<()>>, ReadError> {
        let half = &self.0.0.half;
        poll_fn(|cx| {
            let mut locked = half.conn.lock();
            if let Some(message) = &mut locked.stream(half.at).message {
                if let Some(head) = message.interims.pop_front() {
                    return Poll::Ready(Ok(Some(head.into_http())));
                }
                if message.response.is_some() || message.response_taken {
                    return Poll::Ready(Ok(None));
                }
            }
            Self::wait(half, &mut locked, cx)
        })
        .await
    }

    /// The final response's head; interim responses stay available. Cancel safe.
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::WrongState`] when it was taken before.
    pub async fn recv_response(&mut self) -> Result<Response<()>, ReadError> {
        let half = &self.0.0.half;
        poll_fn(|cx| {
            let mut locked = half.conn.lock();
            if let Some(message) = &mut locked.stream(half.at).message {
                if let Some(head) = message.response.take() {
                    message.response_taken = true;
                    return Poll::Ready(Ok(head.into_http()));
                }
                if message.response_taken {
                    return Poll::Ready(Err(ReadError::WrongState));
                }
            }
            Self::wait(half, &mut locked, cx)
        })
        .await
    }

    fn wait<T>(
        half: &Half,
        locked: &mut Locked<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, ReadError>> {
        if let Some(error) = half.read_end(locked) {
            return Poll::Ready(Err(error));
        }
        if locked.stream(half.at).recv_over == Some(RecvOver::Stopped) {
            return Poll::Ready(Err(ReadError::Closed));
        }
        locked.wait_read(half.at, cx);
        Poll::Pending
    }

    /// The content's half alone, once the head is taken.
    #[must_use]
    pub fn into_body(self) -> BodyReceiver {
        self.0
    }
}

impl std::ops::Deref for ResponseReceiver {
    type Target = BodyReceiver;

    fn deref(&self) -> &BodyReceiver {
        &self.0
    }
}

impl std::ops::DerefMut for ResponseReceiver {
    fn deref_mut(&mut self) -> &mut BodyReceiver {
        &mut self.0
    }
}
