//! The heads of an answer, in either direction.

use std::future::poll_fn;
use std::task::{Context, Poll};

use aqueduct_core::error::SendError;
use aqueduct_core::head::{End, ResponseHead};
use http::{Method, Response};

use super::{BodyReceiver, BodySender};
use crate::error::{ReadError, WriteError};
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
