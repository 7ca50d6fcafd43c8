//! Capsules to the peer.

use aqueduct_core::capsule::{CapsuleType, encode_header};
use aqueduct_core::code::Code;
use aqueduct_core::error::{PeerCode, ResetError};
use aqueduct_core::id::StreamId;
use bytes::Bytes;

use crate::datagrams::Datagrams;
use crate::error::WriteError;
use crate::http::BodySender;

/// The sending half of a request's content, in capsules.
///
/// A capsule that has begun to leave is completed by the next call whatever became of
/// the future that began it, so that what the peer reads stays capsules. Dropping the
/// half before [`finish`](Self::finish) resets the stream with H3_REQUEST_CANCELLED.
#[derive(Debug)]
pub struct CapsuleSender {
    pub(crate) body: BodySender,
    /// What goes out before anything else: a header, then a value or a piece of one.
    unsent: [Bytes; 2],
    /// Bytes that are still to be given for the capsule whose header was.
    left: u64,
}

impl BodySender {
    /// Sends capsules from here on.
    #[must_use]
    pub fn into_capsules(self) -> CapsuleSender {
        CapsuleSender {
            body: self,
            unsent: [Bytes::new(), Bytes::new()],
            left: 0,
        }
    }
}

impl CapsuleSender {
    /// The QUIC stream id.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.body.id()
    }

    /// The datagrams of the same request.
    #[must_use]
    pub fn datagrams(&self) -> Datagrams {
        self.body.datagrams()
    }

    /// Sends a capsule without copying its value; waits while the peer takes no more.
    ///
    /// Cancel safe: the capsule of a dropped future has not begun, or the next call
    /// completes it.
    ///
    /// # Errors
    /// [`WriteError`]; [`WriteError::InvalidCapsule`] inside another capsule, and for a
    /// type above 2^62 - 1, when nothing was sent.
    pub async fn send(&mut self, ty: CapsuleType, value: Bytes) -> Result<(), WriteError> {
        self.begin(ty, value.len() as u64).await?;
        let [_, rest] = &mut self.unsent;
        *rest = value;
        self.flush().await
    }

    /// Sends type and length of a capsule whose value follows in
    /// [pieces](Self::send_piece), for values that are not held in memory. Cancel safe
    /// as [`send`](Self::send) is; whether a dropped future's header counts is seen by
    /// [`left`](Self::left).
    ///
    /// # Errors
    /// As for [`send`](Self::send), and [`WriteError::InvalidCapsule`] for a length
    /// above 2^62 - 1.
    pub async fn send_header(&mut self, ty: CapsuleType, len: u64) -> Result<(), WriteError> {
        self.begin(ty, len).await?;
        self.left = len;
        self.flush().await
    }

    /// Sends the next bytes of the value of a capsule that [`send_header`](Self::send_header)
    /// has begun. Cancel safe as [`send`](Self::send) is.
    ///
    /// # Errors
    /// As for [`send`](Self::send), and [`WriteError::InvalidCapsule`] for more than is
    /// [left](Self::left), of which nothing was sent.
    pub async fn send_piece(&mut self, piece: Bytes) -> Result<(), WriteError> {
        let left = self.left.checked_sub(piece.len() as u64);
        let left = left.ok_or(WriteError::InvalidCapsule)?;
        self.flush().await?;
        let [_, rest] = &mut self.unsent;
        (*rest, self.left) = (piece, left);
        self.flush().await
    }

    /// Bytes that are to be given yet for the capsule that was begun.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Ends the content after what was sent. Does not wait for the peer: see
    /// [`stopped`](Self::stopped). Cancel safe.
    ///
    /// # Errors
    /// [`WriteError::InvalidCapsule`] inside a capsule, and other [`WriteError`]s.
    pub async fn finish(&mut self) -> Result<(), WriteError> {
        if self.left > 0 {
            return Err(WriteError::InvalidCapsule);
        }
        self.flush().await?;
        self.body.finish()
    }

    /// Abandons this half with an HTTP/3 error code.
    ///
    /// # Errors
    /// [`ResetError`].
    pub fn reset(&mut self, code: Code) -> Result<(), ResetError> {
        self.body.reset(code)
    }

    /// See [`BodySender::stopped`].
    ///
    /// # Errors
    /// [`WriteError`] when the stream or connection ends otherwise.
    pub fn stopped(
        &self,
    ) -> impl Future<Output = Result<Option<PeerCode>, WriteError>> + Send + 'static + use<> {
        self.body.stopped()
    }

    /// Notes the header of the next capsule, once all that comes before it is sent.
    async fn begin(&mut self, ty: CapsuleType, len: u64) -> Result<(), WriteError> {
        let header = encode_header(ty, len).map_err(|_| WriteError::InvalidCapsule)?;
        if self.left > 0 {
            return Err(WriteError::InvalidCapsule);
        }
        self.flush().await?;
        let [first, _] = &mut self.unsent;
        *first = Bytes::copy_from_slice(&header);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), WriteError> {
        while self.unsent.iter().any(|chunk| !chunk.is_empty()) {
            self.body.send_chunks(&mut self.unsent).await?;
        }
        Ok(())
    }
}
