//! A request that was sent.

use std::sync::Arc;

use aqueduct_core::head::{End, Trailers};
use aqueduct_core::id::{StreamId, StreamKey};
use aqueduct_core::priority::Priority;
use bytes::Bytes;
use http::{HeaderMap, Response};

use super::{BodySender, ResponseReceiver};
use crate::connection::{ConnHandle, Connection};
use crate::datagrams::Datagrams;
use crate::error::{ReadError, WriteError};
use crate::half::{Half, SendHalf};
use crate::shared::Locked;

/// A request that was sent (client): its content goes out, the answer comes in.
///
/// The two halves work independently; [`split`](Self::split) gives them to two
/// tasks. Dropping a half before its end cancels it with H3_REQUEST_CANCELLED.
#[derive(Debug)]
#[non_exhaustive]
pub struct RequestStream {
    /// The request's content.
    pub send: BodySender,
    /// The answer.
    pub recv: ResponseReceiver,
}

impl RequestStream {
    pub(crate) fn new(
        conn: &Arc<ConnHandle>,
        locked: &mut Locked<'_>,
        at: usize,
        key: StreamKey,
        end: End,
    ) -> Self {
        let send = BodySender(SendHalf::new(Half::new(conn, locked, at, key)));
        let recv = match end {
            End::Fin => ResponseReceiver::of_whole(conn, locked, at, key),
            End::More => ResponseReceiver::new(conn, locked, at, key),
        };
        Self { send, recv }
    }

    /// The QUIC stream id.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.send.0.half.key.id()
    }

    /// Its connection.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection::of(&self.send.0.half.conn)
    }

    /// The datagrams of this request, for use beside its content.
    #[must_use]
    pub fn datagrams(&self) -> Datagrams {
        Datagrams::new(&self.send.0.half)
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

    /// See [`BodyReceiver::recv_data`](super::BodyReceiver::recv_data).
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn recv_data(&mut self) -> Result<Option<Bytes>, ReadError> {
        self.recv.recv_data().await
    }

    /// See [`BodyReceiver::recv_trailers`](super::BodyReceiver::recv_trailers).
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn recv_trailers(&mut self) -> Result<Option<Trailers>, ReadError> {
        self.recv.recv_trailers().await
    }

    /// See [`BodyReceiver::read_to_end`](super::BodyReceiver::read_to_end).
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
