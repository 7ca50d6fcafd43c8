//! The heads of an answer, in either direction.

use std::future::poll_fn;
use std::task::{Context, Poll};

use aqueduct_core::code::Code;
use aqueduct_core::error::{PeerCode, SendError};
use aqueduct_core::head::{End, ResponseHead, Trailers};
use aqueduct_core::id::StreamId;
use bytes::Bytes;
use http::{HeaderMap, Method, Response};

use super::{BodyReceiver, BodySender};
use crate::datagrams::Datagrams;
use crate::error::{InvalidHead, ReadError, ResetError, WriteError};
use crate::half::Half;
use crate::shared::Locked;
use crate::table::RecvOver;

/// The sending half of an answer (server): heads first, then as a [`BodySender`].
#[derive(Debug)]
pub struct ResponseSender {
    pub(crate) body: BodySender,
    pub(super) method: Method,
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
            return Err(wrong_status("is not an interim one"));
        }
        self.respond(response, End::More)
    }

    /// Sends the final head; content follows, or at least [`finish`](BodySender::finish).
    ///
    /// # Errors
    /// [`WriteError`]; nothing was sent.
    pub fn send_response(&mut self, response: Response<()>) -> Result<(), WriteError> {
        if response.status().is_informational() {
            return Err(wrong_status("is an interim one"));
        }
        self.respond(response, End::More)
    }

    /// Sends the final head of an answer without content and ends it.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was sent.
    pub fn send_empty(&mut self, response: Response<()>) -> Result<(), WriteError> {
        if response.status().is_informational() {
            return Err(wrong_status("is an interim one"));
        }
        self.respond(response, End::Fin)
    }

    /// Sends the final head, all of the content without copying it, and the end: as
    /// [`send_response`](Self::send_response) and [`finish_with`](Self::finish_with), cheaper.
    ///
    /// Not cancel safe: a dropped future has sent an unknown part.
    ///
    /// # Errors
    /// [`WriteError`]; an unknown part was sent.
    pub async fn send_whole(&mut self, response: Response<Bytes>) -> Result<(), WriteError> {
        if response.status().is_informational() {
            return Err(wrong_status("is an interim one"));
        }
        let (parts, content) = response.into_parts();
        let mut head = Some(Response::from_parts(parts, ()));
        let chunks = &mut [content];
        poll_fn(|cx| {
            let mut locked = self.body.0.half.conn.lock();
            if let Some(head) = head.take() {
                self.respond_in(&mut locked, head, End::More)?;
            }
            self.body.0.poll_finish_with(&mut locked, cx, chunks)
        })
        .await
    }

    fn respond(&mut self, response: Response<()>, end: End) -> Result<(), WriteError> {
        self.respond_in(&mut self.body.0.half.conn.lock(), response, end)
    }

    fn respond_in(
        &self,
        locked: &mut Locked<'_>,
        response: Response<()>,
        end: End,
    ) -> Result<(), WriteError> {
        let half = &self.body.0.half;
        if let Some(over) = locked.stream(half.at).send_over {
            return Err(over.into());
        }
        let head = ResponseHead::from_http(response);
        let sent = locked.core(half.conn.key, |core| core.respond(half.key, &head, end));
        match sent.unwrap_or(Err(SendError::Gone)) {
            Ok(()) => {
                if end == End::Fin {
                    self.body.0.over(locked);
                }
                Ok(())
            }
            Err(error) => Err(half.send_error(locked, error)),
        }
    }

    /// See [`BodySender::id`].
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.body.id()
    }

    /// The datagrams of this request, for use beside its content.
    #[must_use]
    pub fn datagrams(&self) -> Datagrams {
        self.body.datagrams()
    }

    /// See [`BodySender::send_data`].
    ///
    /// # Errors
    /// [`WriteError`]; an unknown part was sent.
    pub async fn send_data(&mut self, data: Bytes) -> Result<(), WriteError> {
        self.body.send_data(data).await
    }

    /// See [`BodySender::send_chunks`].
    ///
    /// # Errors
    /// [`WriteError`]; nothing was taken.
    pub async fn send_chunks(&mut self, chunks: &mut [Bytes]) -> Result<usize, WriteError> {
        self.body.send_chunks(chunks).await
    }

    /// See [`BodySender::finish_with`].
    ///
    /// # Errors
    /// [`WriteError`]; an unknown part was sent.
    pub async fn finish_with(&mut self, data: Bytes) -> Result<(), WriteError> {
        self.body.finish_with(data).await
    }

    /// See [`BodySender::send_trailers`].
    ///
    /// # Errors
    /// [`WriteError`]; nothing was sent.
    pub fn send_trailers(&mut self, trailers: &HeaderMap) -> Result<(), WriteError> {
        self.body.send_trailers(trailers)
    }

    /// See [`BodySender::finish`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish(&mut self) -> Result<(), WriteError> {
        self.body.finish()
    }

    /// See [`BodySender::reset`].
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

    /// The content's half alone, once the final head is sent.
    #[must_use]
    pub fn into_body(self) -> BodySender {
        self.body
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

    /// See [`BodyReceiver::id`].
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.0.id()
    }

    /// The datagrams of this request, for use beside its content.
    #[must_use]
    pub fn datagrams(&self) -> Datagrams {
        self.0.datagrams()
    }

    /// See [`BodyReceiver::recv_data`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn recv_data(&mut self) -> Result<Option<Bytes>, ReadError> {
        self.0.recv_data().await
    }

    /// See [`BodyReceiver::poll_data`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ReadError>> {
        self.0.poll_data(cx)
    }

    /// See [`BodyReceiver::recv_trailers`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn recv_trailers(&mut self) -> Result<Option<Trailers>, ReadError> {
        self.0.recv_trailers().await
    }

    /// See [`BodyReceiver::take_trailers`].
    pub fn take_trailers(&mut self) -> Option<Trailers> {
        self.0.take_trailers()
    }

    /// See [`BodyReceiver::read_to_end`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Bytes, ReadError> {
        self.0.read_to_end(limit).await
    }

    /// See [`BodyReceiver::stop`].
    ///
    /// # Errors
    /// [`ResetError`].
    pub fn stop(&mut self, code: Code) -> Result<(), ResetError> {
        self.0.stop(code)
    }

    /// The content's half alone, once the head is taken.
    #[must_use]
    pub fn into_body(self) -> BodyReceiver {
        self.0
    }
}

fn wrong_status(why: &'static str) -> WriteError {
    WriteError::InvalidHead(InvalidHead::new(":status", why))
}
