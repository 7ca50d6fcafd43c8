//! Capsules from the peer.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use aqueduct_core::capsule::{CapsuleError, CapsuleType, Part, RawCapsule, Reader};
use aqueduct_core::code::Code;
use aqueduct_core::error::ResetError;
use aqueduct_core::id::StreamId;
use bytes::{Bytes, BytesMut};

use crate::datagrams::Datagrams;
use crate::error::ReadError;
use crate::http::BodyReceiver;

/// The receiving half of a request's content, in capsules.
///
/// Values are taken whole, with a limit of the caller's ([`recv`](Self::recv)), or in
/// pieces behind their header ([`recv_header`](Self::recv_header)). What is not taken of
/// a value is passed over without being held. Content that ends inside a capsule is a
/// malformed message: both halves of the stream end with H3_MESSAGE_ERROR (RFC 9297
/// section 3.3).
///
/// Dropping it before the end is dropping a [`BodyReceiver`] then.
#[derive(Debug)]
pub struct CapsuleReceiver {
    pub(crate) body: BodyReceiver,
    reader: Reader,
    /// Content that was taken from QUIC and not read.
    input: Bytes,
    begun: Option<Begun>,
    /// Parts that were read since they were last counted.
    parts: u32,
}

/// Parts of capsules that are read before they are counted as work.
const PARTS: u32 = 32;

/// A capsule whose value has not been taken to its end.
#[derive(Debug)]
struct Begun {
    header: CapsuleHeader,
    /// Bytes of its value that have not come.
    left: u64,
    /// Those that are collected.
    value: BytesMut,
    /// Begun by a call that collects it, which may have been dropped.
    whole: bool,
}

/// Type and length of a capsule.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CapsuleHeader {
    /// Its type, known or not.
    pub ty: CapsuleType,
    /// Bytes of its value, as announced: up to 2^62 - 1.
    pub len: u64,
}

impl BodyReceiver {
    /// Receives capsules from here on.
    #[must_use]
    pub fn into_capsules(self) -> CapsuleReceiver {
        CapsuleReceiver {
            body: self,
            reader: Reader::new(),
            input: Bytes::new(),
            begun: None,
            parts: 0,
        }
    }
}

impl CapsuleReceiver {
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

    /// The next capsule, whole; `None` at the end. Memory grows with the bytes that
    /// come, not with the length that is announced. Cancel safe: what a dropped future
    /// has collected is the next call's.
    ///
    /// # Errors
    /// [`ReadError::TooLong`] for a value of more than `limit` bytes, of which nothing
    /// is collected: the next call goes on behind it, so that a protocol may pass over
    /// a long capsule it does not know. [`ReadError::Malformed`] when the content ends
    /// inside a capsule, and other [`ReadError`]s.
    pub async fn recv(&mut self, limit: usize) -> Result<Option<RawCapsule>, ReadError> {
        if !self.begun.as_ref().is_some_and(|begun| begun.whole) {
            if self.recv_header().await?.is_none() {
                return Ok(None);
            }
            if let Some(begun) = &mut self.begun {
                begun.whole = true;
            }
        }
        let ty = self.begun.as_ref().map(|begun| begun.header.ty);
        let value = self.recv_value(limit).await?;
        Ok(ty.map(|ty| RawCapsule { ty, value }))
    }

    /// Type and length of the next capsule; `None` at the end. What is left of the one
    /// before is passed over. Cancel safe.
    ///
    /// # Errors
    /// [`ReadError::Malformed`] when the content ends inside a capsule, and other
    /// [`ReadError`]s.
    pub async fn recv_header(&mut self) -> Result<Option<CapsuleHeader>, ReadError> {
        if self.begun.take().is_some() {
            self.reader.skip();
        }
        poll_fn(|cx| {
            loop {
                let Some(part) = ready!(self.poll_part(cx))? else {
                    return Poll::Ready(Ok(None));
                };
                if let Part::Start { ty, len } = part {
                    let header = CapsuleHeader { ty, len };
                    self.begun = Some(Begun {
                        header,
                        left: len,
                        value: BytesMut::new(),
                        whole: false,
                    });
                    return Poll::Ready(Ok(Some(header)));
                }
            }
        })
        .await
    }

    /// The next piece of the value of the capsule that [`recv_header`](Self::recv_header)
    /// gave, never empty and without copying it; `None` at its end. Cancel safe.
    ///
    /// # Errors
    /// As for [`recv_header`](Self::recv_header).
    pub async fn recv_piece(&mut self) -> Result<Option<Bytes>, ReadError> {
        poll_fn(|cx| {
            let Some(begun) = &mut self.begun else {
                return Poll::Ready(Ok(None));
            };
            if !begun.value.is_empty() {
                return Poll::Ready(Ok(Some(begun.value.split().freeze())));
            }
            Poll::Ready(Ok(match ready!(self.poll_part(cx))? {
                Some(Part::Piece(piece)) => Some(piece),
                _ => {
                    self.begun = None;
                    None
                }
            }))
        })
        .await
    }

    /// The rest of the value of the capsule that [`recv_header`](Self::recv_header)
    /// gave, nothing when there is none. One piece is not copied. Cancel safe: what a dropped future has collected
    /// is the next call's.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub async fn recv_value(&mut self, limit: usize) -> Result<Bytes, ReadError> {
        poll_fn(|cx| self.poll_value(cx, limit)).await
    }

    fn poll_value(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<Result<Bytes, ReadError>> {
        let mut only = Bytes::new();
        while let Some(begun) = &self.begun {
            if begun.left + begun.value.len() as u64 > limit as u64 {
                self.begun = None;
                self.reader.skip();
                return Poll::Ready(Err(ReadError::TooLong));
            }
            let part = ready!(self.poll_part(cx))?;
            let Some(begun) = &mut self.begun else { break };
            match part {
                Some(Part::Piece(piece)) if begun.value.is_empty() && begun.left == 0 => {
                    only = piece;
                }
                Some(Part::Piece(piece)) => begun.value.extend_from_slice(&piece),
                _ => {
                    let value = begun.value.split().freeze();
                    self.begun = None;
                    return Poll::Ready(Ok(if value.is_empty() { only } else { value }));
                }
            }
        }
        Poll::Ready(Ok(Bytes::new()))
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, ReadError>> {
        if self.parts == PARTS {
            // Many of them come in few bytes.
            ready!(self.body.0.poll_share(cx, PARTS));
            self.parts = 0;
        }
        loop {
            let part = self.reader.read(&mut self.input);
            if let Some(part) = part.map_err(|error| self.refuse(error))? {
                self.parts += 1;
                if let (Part::Piece(piece), Some(begun)) = (&part, &mut self.begun) {
                    begun.left = begun.left.saturating_sub(piece.len() as u64);
                }
                return Poll::Ready(Ok(Some(part)));
            }
            match ready!(self.body.poll_data(cx))? {
                Some(data) => self.input = data,
                None => {
                    let end = self.reader.finish();
                    end.map_err(|error| self.refuse(error))?;
                    return Poll::Ready(Ok(None));
                }
            }
        }
    }

    //= https://www.rfc-editor.org/rfc/rfc9297#section-3.3
    // A malformed or incomplete capsule makes the whole message malformed.
    fn refuse(&self, error: CapsuleError) -> ReadError {
        let why = error.into();
        self.body.0.half.refuse(why);
        ReadError::Malformed(why)
    }

    /// Asks the peer to stop with an HTTP/3 error code and discards what arrives.
    ///
    /// # Errors
    /// [`ResetError`].
    pub fn stop(&mut self, code: Code) -> Result<(), ResetError> {
        self.body.stop(code)?;
        self.input.clear();
        if let Some(begun) = &mut self.begun {
            begun.value.clear();
        }
        Ok(())
    }
}
