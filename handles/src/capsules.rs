//! Capsules (RFC 9297 section 3) as the content of a request.

mod recv;
mod send;

use aqueduct_core::capsule::{CapsuleType, RawCapsule};
use aqueduct_core::id::StreamId;
use bytes::Bytes;

use crate::datagrams::Datagrams;
use crate::error::{ReadError, WriteError};
use crate::http::{RequestStream, ServerRequest};

pub use recv::{CapsuleHeader, CapsuleReceiver};
pub use send::CapsuleSender;

/// The content of a request as capsules, both ways: what protocols on an extended CONNECT
/// stream speak. Every capsule is passed on, those with datagrams in them (type 0) and
/// unknown ones among them; a protocol passes over the types it does not know.
///
/// The two halves work independently; [`split`](Self::split) gives them to two tasks.
/// Dropping a half before its end is dropping the half of the content that it was made
/// of.
#[derive(Debug)]
#[non_exhaustive]
pub struct CapsuleStream {
    // The sender is dropped first: whether it was cut short decides what the receiver
    // of a server tells the client.
    /// Capsules to the peer.
    pub send: CapsuleSender,
    /// Capsules from the peer.
    pub recv: CapsuleReceiver,
}

impl RequestStream {
    /// The content as capsules, once the answer is taken (client).
    #[must_use]
    pub fn into_capsules(self) -> CapsuleStream {
        CapsuleStream {
            send: self.send.into_capsules(),
            recv: self.recv.into_body().into_capsules(),
        }
    }
}

impl ServerRequest {
    /// The content as capsules, once the final head is sent (server).
    #[must_use]
    pub fn into_capsules(self) -> CapsuleStream {
        CapsuleStream {
            send: self.send.into_body().into_capsules(),
            recv: self.recv.into_capsules(),
        }
    }
}

impl CapsuleStream {
    /// The QUIC stream id.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.send.id()
    }

    /// The halves, for two tasks.
    #[must_use]
    pub fn split(self) -> (CapsuleSender, CapsuleReceiver) {
        (self.send, self.recv)
    }

    /// The datagrams of the same request.
    #[must_use]
    pub fn datagrams(&self) -> Datagrams {
        self.send.datagrams()
    }

    /// See [`CapsuleSender::send`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn send(&mut self, ty: CapsuleType, value: Bytes) -> Result<(), WriteError> {
        self.send.send(ty, value).await
    }

    /// See [`CapsuleSender::send_header`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn send_header(&mut self, ty: CapsuleType, len: u64) -> Result<(), WriteError> {
        self.send.send_header(ty, len).await
    }

    /// See [`CapsuleSender::send_piece`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn send_piece(&mut self, piece: Bytes) -> Result<(), WriteError> {
        self.send.send_piece(piece).await
    }

    /// See [`CapsuleSender::finish`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn finish(&mut self) -> Result<(), WriteError> {
        self.send.finish().await
    }

    /// See [`CapsuleReceiver::recv`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn recv(&mut self, limit: usize) -> Result<Option<RawCapsule>, ReadError> {
        self.recv.recv(limit).await
    }

    /// See [`CapsuleReceiver::recv_header`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn recv_header(&mut self) -> Result<Option<CapsuleHeader>, ReadError> {
        self.recv.recv_header().await
    }

    /// See [`CapsuleReceiver::recv_piece`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn recv_piece(&mut self) -> Result<Option<Bytes>, ReadError> {
        self.recv.recv_piece().await
    }

    /// See [`CapsuleReceiver::recv_value`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn recv_value(&mut self, limit: usize) -> Result<Bytes, ReadError> {
        self.recv.recv_value(limit).await
    }
}
