//! A request that arrived.

use std::sync::Arc;

use aqueduct_core::code::Code;
use aqueduct_core::head::Trailers;
use aqueduct_core::id::StreamId;
use aqueduct_core::priority::Priority;
use bytes::Bytes;
use http::{HeaderMap, Method, Response};

use super::{BodyReceiver, BodySender, ResponseSender};
use crate::connection::{ConnHandle, Connection};
use crate::datagrams::Datagrams;
use crate::error::{ReadError, WriteError};
use crate::half::{Half, RecvHalf, SendHalf};
use crate::shared::Locked;

/// Among the extensions of a request that came as early data (0-RTT), for services that see
/// nothing else of it: see [`ServerRequest::is_early`].
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct CameEarly;

/// A request that arrived (server): its content comes in, the answer goes out.
///
/// Dropping it whole before the answer is complete resets the stream with
/// H3_REQUEST_CANCELLED, since it may have been acted upon: the client must not
/// take it for a request that was refused unread. Use
/// [`reject`](Self::reject) for that.
#[derive(Debug)]
#[non_exhaustive]
pub struct ServerRequest {
    // The sender is dropped first: whether it was cut short decides what the
    // receiver tells the client.
    /// The answer.
    pub send: ResponseSender,
    /// The request's content.
    pub recv: BodyReceiver,
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
                body: BodySender(SendHalf::new(Half::new(conn, locked, at, key))),
                method,
            },
            recv: BodyReceiver(RecvHalf::new(Half::new(conn, locked, at, key))),
        }
    }

    /// The QUIC stream id.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.recv.0.half.key.id()
    }

    /// Whether it came as early data (0-RTT), before the handshake was complete: then it may
    /// be a replay (RFC 8470). Whoever answers acts at once where doing it twice does no harm,
    /// or waits for [`Connection::connected`], after which it is known to be fresh, or answers
    /// 425 (Too Early). Only where the endpoint takes
    /// [early data](aqueduct_core::endpoint::EndpointConfig::early_data).
    #[must_use]
    pub fn is_early(&self) -> bool {
        let half = &self.recv.0.half;
        let mut locked = half.conn.lock();
        let message = locked.stream(half.at).message.as_ref();
        message.is_some_and(|message| message.early)
    }

    /// Its connection.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection::of(&self.recv.0.half.conn)
    }

    /// The datagrams of this request, for use beside its content.
    #[must_use]
    pub fn datagrams(&self) -> Datagrams {
        Datagrams::new(&self.recv.0.half)
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

    /// See [`ResponseSender::send_whole`].
    ///
    /// # Errors
    /// [`WriteError`]; an unknown part was sent.
    pub async fn send_whole(&mut self, response: Response<Bytes>) -> Result<(), WriteError> {
        self.send.send_whole(response).await
    }

    /// See [`BodySender::finish_with`].
    ///
    /// # Errors
    /// [`WriteError`]; an unknown part was sent.
    pub async fn finish_with(&mut self, data: Bytes) -> Result<(), WriteError> {
        self.send.finish_with(data).await
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
        self.reset(Code::H3_REQUEST_REJECTED);
    }

    /// Abandons both halves with an HTTP/3 error code; what has ended already
    /// stays ended.
    pub fn reset(&mut self, code: Code) {
        let _ = self.send.body.reset(code);
        let _ = self.recv.stop(code);
    }

    /// Whether content of the request has to keep the pace of
    /// [`Limits::min_rate`](aqueduct_core::config::Limits::min_rate) while it is awaited.
    /// It does, until the answer has begun.
    pub fn set_paced(&mut self, paced: bool) {
        self.recv.0.half.set_paced(paced);
    }

    /// Schedules the answer in place of what the client asked for (RFC 9218 §8).
    pub fn set_priority(&mut self, priority: Priority) {
        self.recv.0.half.set_priority(priority);
    }
}
