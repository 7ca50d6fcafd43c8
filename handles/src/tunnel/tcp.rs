//! A tunnel for the bytes of a TCP connection.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use aqueduct_core::code::Code;
use aqueduct_core::id::StreamId;
use aqueduct_core::masque::{Dialect, TcpDecoder, TcpEncoder, TcpPart, TunnelFault};
use bytes::Bytes;

use super::error::TunnelError;
use super::gate::Place;
use crate::{BodyReceiver, BodySender};

/// A tunnel for the bytes of a TCP connection: both directions, each of which ends by
/// itself. Dropping a half before its end resets the connection at the other side.
///
/// [`tokio::io`] traits with feature `tokio`, `futures_io`'s with `futures-io`.
#[derive(Debug)]
#[non_exhaustive]
pub struct TcpTunnel {
    /// Bytes to the peer.
    pub send: TcpSender,
    /// Bytes from the peer.
    pub recv: TcpReceiver,
}

impl TcpTunnel {
    pub(super) fn new(
        dialect: Dialect,
        send: BodySender,
        recv: BodyReceiver,
        place: Option<Place>,
    ) -> Self {
        let place = place.map(std::sync::Arc::new);
        Self {
            send: TcpSender {
                body: send,
                encoder: TcpEncoder::new(dialect),
                finished: false,
                _place: place.clone(),
            },
            recv: TcpReceiver {
                body: recv,
                decoder: TcpDecoder::new(dialect),
                input: Bytes::new(),
                held: Bytes::new(),
                ended: false,
                _place: place,
            },
        }
    }

    /// The QUIC stream id.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.send.body.id()
    }

    /// The halves, for two tasks.
    #[must_use]
    pub fn split(self) -> (TcpSender, TcpReceiver) {
        (self.send, self.recv)
    }

    /// Resets the connection at the other side.
    pub fn abort(mut self) {
        self.send.abort();
        self.recv.abort();
    }
}

/// Bytes to the peer of a [`TcpTunnel`].
#[derive(Debug)]
pub struct TcpSender {
    pub(crate) body: BodySender,
    encoder: TcpEncoder,
    finished: bool,
    _place: Option<std::sync::Arc<Place>>,
}

impl Drop for TcpSender {
    fn drop(&mut self) {
        if !self.finished {
            self.abort();
        }
    }
}

impl TcpSender {
    /// Sends all of it without copying; waits while the peer takes no more. Not cancel
    /// safe: an unknown part was sent, and the peer promised the rest.
    ///
    /// # Errors
    /// [`TunnelError`]; an unknown part was sent.
    pub async fn send_data(&mut self, mut data: Bytes) -> Result<(), TunnelError> {
        while !data.is_empty() {
            poll_fn(|cx| self.poll_chunk(cx, &mut data)).await?;
        }
        Ok(())
    }

    /// Ends this direction: the connection at the other side gets a FIN. Cancel safe.
    ///
    /// # Errors
    /// [`TunnelError::Closed`] when bytes are missing that were promised by a
    /// [`send_data`](Self::send_data) that was dropped.
    pub async fn finish(&mut self) -> Result<(), TunnelError> {
        poll_fn(|cx| self.poll_finish(cx)).await
    }

    /// Resets the connection at the other side.
    pub fn abort(&mut self) {
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.4
        // A connection that was reset is a stream error of this type.
        let _ = self.body.reset(Code::H3_CONNECT_ERROR);
        self.finished = true;
    }

    /// As [`abort`](Self::abort), for what receiving told: a peer that has broken a rule
    /// is told so.
    pub fn abort_for(&mut self, error: &TunnelError) {
        let _ = self.body.reset(code_of(error));
        self.finished = true;
    }

    /// Sends from the front of `data`; ready when some was taken.
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<Result<usize, TunnelError>> {
        if self.finished {
            return Poll::Ready(Err(TunnelError::Closed));
        }
        loop {
            let (header, len) = self.encoder.begin(data.len());
            let mut chunks = [header, data.slice(..len)];
            let taken = ready!(self.body.0.poll_chunks(cx, &mut chunks))?;
            let taken = self.encoder.took(taken);
            let _ = data.split_to(taken);
            if taken > 0 || data.is_empty() {
                return Poll::Ready(Ok(taken));
            }
        }
    }

    /// Sends a copy of what fits of `data`.
    #[cfg(any(feature = "tokio", feature = "futures-io"))]
    pub(crate) fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, TunnelError>> {
        // The peer is promised no more than what is handed over here: a smaller buffer
        // may follow.
        let len = match self.encoder.promised() {
            0 => data.len().min(COPY),
            left => data.len().min(left),
        };
        let mut part = Bytes::copy_from_slice(data.get(..len).unwrap_or_default());
        self.poll_chunk(cx, &mut part)
    }

    pub(crate) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TunnelError>> {
        if self.finished {
            return Poll::Ready(Ok(()));
        }
        let Some(last) = self.encoder.end() else {
            self.abort();
            return Poll::Ready(Err(TunnelError::Closed));
        };
        let mut chunks = [last];
        while self.encoder.owes() {
            let taken = ready!(self.body.0.poll_chunks(cx, &mut chunks))?;
            let _ = self.encoder.took(taken);
        }
        self.body.finish()?;
        self.finished = true;
        Poll::Ready(Ok(()))
    }
}

/// The code that says why a stream is aborted.
fn code_of(error: &TunnelError) -> Code {
    match error {
        TunnelError::Fault(fault) => fault.code(),
        TunnelError::Malformed(_) => Code::H3_MESSAGE_ERROR,
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.4
        // A connection that was reset is a stream error of this type.
        _ => Code::H3_CONNECT_ERROR,
    }
}

/// Bytes that one write copies at most.
#[cfg(any(feature = "tokio", feature = "futures-io"))]
const COPY: usize = 16 * 1024;

/// Bytes from the peer of a [`TcpTunnel`].
#[derive(Debug)]
pub struct TcpReceiver {
    body: BodyReceiver,
    decoder: TcpDecoder,
    input: Bytes,
    /// What a read had no room for.
    held: Bytes,
    ended: bool,
    _place: Option<std::sync::Arc<Place>>,
}

impl Drop for TcpReceiver {
    fn drop(&mut self) {
        if !self.ended {
            self.abort();
        }
    }
}

impl TcpReceiver {
    /// The next bytes, without copying; `None` at their end, the FIN of the other side.
    /// What nobody takes is held back by flow control. Cancel safe.
    ///
    /// # Errors
    /// [`TunnelError`]: a connection that was cut short never looks complete.
    pub async fn recv_data(&mut self) -> Result<Option<Bytes>, TunnelError> {
        poll_fn(|cx| self.poll_data(cx)).await
    }

    /// As [`recv_data`](Self::recv_data), for futures written by hand.
    ///
    /// # Errors
    /// [`TunnelError`].
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, TunnelError>> {
        if !self.held.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.held))));
        }
        loop {
            if self.ended {
                return Poll::Ready(Ok(None));
            }
            match self.decoder.read(&mut self.input) {
                Ok(Some(TcpPart::Bytes(bytes))) => return Poll::Ready(Ok(Some(bytes))),
                Ok(Some(TcpPart::End)) => {
                    self.ended = true;
                    return Poll::Ready(self.check_rest().map(|()| None));
                }
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Err(self.broken(fault))),
            }
            match ready!(self.body.poll_data(cx))? {
                Some(data) => self.input = data,
                None => match self.decoder.finish() {
                    Ok(true) => self.ended = true,
                    //= https://www.ietf.org/archive/id/draft-ietf-httpbis-connect-tcp-11.html#section-3.2
                    // An end without FINAL_DATA is an abort.
                    Ok(false) => return Poll::Ready(Err(TunnelError::Ended)),
                    Err(fault) => return Poll::Ready(Err(TunnelError::Fault(fault))),
                },
            }
        }
    }

    /// Looks at what has come behind the end: capsules that nobody knows, or nothing.
    fn check_rest(&mut self) -> Result<(), TunnelError> {
        while !self.input.is_empty() {
            match self.decoder.read(&mut self.input) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(fault) => return Err(self.broken(fault)),
            }
        }
        Ok(())
    }

    /// Stops the stream for what the peer has done.
    fn broken(&mut self, fault: TunnelFault) -> TunnelError {
        let error = TunnelError::Fault(fault);
        let _ = self.body.stop(code_of(&error));
        error
    }

    /// Takes no more: the connection at the other side is reset.
    pub fn abort(&mut self) {
        let _ = self.body.stop(Code::H3_CONNECT_ERROR);
    }

    /// At most `len` of the bytes that have come; `None` at the end.
    #[cfg(any(feature = "tokio", feature = "futures-io"))]
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        len: usize,
    ) -> Poll<Result<Option<Bytes>, TunnelError>> {
        let Some(mut bytes) = ready!(self.poll_data(cx))? else {
            return Poll::Ready(Ok(None));
        };
        let taken = bytes.split_to(bytes.len().min(len));
        self.held = bytes;
        Poll::Ready(Ok(Some(taken)))
    }
}
