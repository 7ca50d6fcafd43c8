//! Content with trailers, of requests and of answers.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::error::{BoxError, Error};
use super::exchange::Exchange;
use crate::error::ReadError;
use crate::http::BodyReceiver;

/// A piece of a [`Body`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Part {
    /// Some of the content.
    Data(Bytes),
    /// What comes after it; nothing comes after this.
    Trailers(HeaderMap),
}

/// Content with trailers, of a request or of an answer. That of an answer can be that of
/// another request.
///
/// Nothing of an answer is read before it is asked for, and QUIC holds the server back
/// meanwhile. Dropping it before its end cancels the request with H3_REQUEST_CANCELLED
/// and frees its place on the connection at once.
#[must_use = "dropping the content of an answer cancels the rest of it"]
pub struct Body(Kind);

enum Kind {
    Whole(Bytes),
    Received(Received),
    Made(Pin<Box<dyn Source>>),
}

/// What an application makes a body of.
pub(crate) trait Source: Send {
    fn poll_part(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Part, BoxError>>>;

    /// Bytes that are left, if known.
    fn left(&self) -> Option<u64>;

    fn is_over(&self) -> bool;
}

struct Polled<F>(Option<F>);

// The function is called, and never pinned.
impl<F> Unpin for Polled<F> {}

impl<F> Source for Polled<F>
where
    F: FnMut(&mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> + Send,
{
    fn poll_part(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Part, BoxError>>> {
        let Some(next) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let part = ready!(next(cx));
        if !matches!(part, Some(Ok(Part::Data(_)))) {
            self.0 = None;
        }
        Poll::Ready(part)
    }

    fn left(&self) -> Option<u64> {
        self.0.is_none().then_some(0)
    }

    fn is_over(&self) -> bool {
        self.0.is_none()
    }
}

/// The content of an answer.
struct Received {
    // The stream ends before its place is given to another.
    recv: Option<BodyReceiver>,
    exchange: Option<Arc<Exchange>>,
    trailers: bool,
}

impl Body {
    /// No content and no trailers.
    pub fn empty() -> Self {
        Self::from(Bytes::new())
    }

    /// Content that is made when the server takes it: `next` is polled for a piece when
    /// the one before has been taken. It ends with `None`, with trailers, or with an error,
    /// which cancels the request.
    pub fn from_fn<F>(next: F) -> Self
    where
        F: FnMut(&mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> + Send + 'static,
    {
        Self::made(Polled(Some(next)))
    }

    pub(crate) fn made(source: impl Source + 'static) -> Self {
        Self(Kind::Made(Box::pin(source)))
    }

    pub(crate) fn received(recv: BodyReceiver, exchange: Arc<Exchange>) -> Self {
        Self(Kind::Received(Received {
            recv: Some(recv),
            exchange: Some(exchange),
            trailers: false,
        }))
    }

    /// The next piece; `None` at the end. After an error, `None`.
    ///
    /// # Errors
    /// [`Error`]; content that was cut short never looks complete.
    pub fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, Error>>> {
        match &mut self.0 {
            Kind::Whole(data) if data.is_empty() => Poll::Ready(None),
            Kind::Whole(data) => Poll::Ready(Some(Ok(Part::Data(std::mem::take(data))))),
            Kind::Received(received) => received.poll_part(cx),
            Kind::Made(source) => {
                let part = ready!(source.as_mut().poll_part(cx));
                Poll::Ready(part.map(|part| part.map_err(Error::Body)))
            }
        }
    }

    /// The next piece of the content or the trailers; `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// As [`poll_part`](Self::poll_part).
    pub async fn part(&mut self) -> Result<Option<Part>, Error> {
        poll_fn(|cx| self.poll_part(cx)).await.transpose()
    }

    /// The next piece of the content, `None` at its end; trailers are left out. Cancel
    /// safe.
    ///
    /// # Errors
    /// As [`poll_part`](Self::poll_part).
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(part) = self.part().await? {
            if let Part::Data(data) = part {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// All content that is left, at most `limit` bytes, and the trailers if there are any.
    ///
    /// # Errors
    /// [`Error::TooLong`] beyond `limit`, else as [`poll_part`](Self::poll_part).
    pub async fn collect(mut self, limit: usize) -> Result<(Bytes, Option<HeaderMap>), Error> {
        let (mut first, mut rest, mut trailers) = (Bytes::new(), BytesMut::new(), None);
        let whole = poll_fn(|cx| {
            while let Some(part) = ready!(self.poll_part(cx)) {
                match part? {
                    Part::Data(data) if data.len() > limit - first.len() - rest.len() => {
                        return Poll::Ready(Err(Error::TooLong(limit)));
                    }
                    Part::Data(data) if first.is_empty() => first = data,
                    Part::Data(data) => rest.extend_from_slice(&data),
                    Part::Trailers(fields) => trailers = Some(fields),
                }
            }
            Poll::Ready(Ok(()))
        });
        whole.await?;
        if !rest.is_empty() {
            first = [&first[..], &rest[..]].concat().into();
        }
        Ok((first, trailers))
    }

    /// As [`collect`](Self::collect), without trailers.
    ///
    /// # Errors
    /// As [`collect`](Self::collect).
    pub async fn bytes(self, limit: usize) -> Result<Bytes, Error> {
        Ok(self.collect(limit).await?.0)
    }

    /// Bytes of content that are left, where that is known.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        match &self.0 {
            Kind::Whole(data) => Some(data.len() as u64),
            Kind::Received(received) => match &received.recv {
                Some(recv) => recv.0.left().0,
                None => Some(0),
            },
            Kind::Made(source) => source.left(),
        }
    }

    /// Whether nothing more comes, trailers neither, as far as that is known.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match &self.0 {
            Kind::Whole(data) => data.is_empty(),
            Kind::Received(received) => (received.recv.as_ref()).is_none_or(|recv| recv.0.left().1),
            Kind::Made(source) => source.is_over(),
        }
    }
}

impl Received {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, Error>>> {
        let (Some(recv), Some(exchange)) = (&mut self.recv, &self.exchange) else {
            return Poll::Ready(None);
        };
        if !self.trailers {
            let polled = recv.poll_data(cx);
            let told = match &polled {
                Poll::Pending => exchange.reads(true),
                Poll::Ready(Ok(Some(_))) if !recv.0.is_over() => exchange.reads(false),
                // What has come whole has come, and errors are explained below.
                Poll::Ready(_) => Ok(()),
            };
            if let Err(error) = told {
                return self.fails(error);
            }
            match ready!(polled) {
                Ok(Some(data)) => return Poll::Ready(Some(Ok(Part::Data(data)))),
                Ok(None) => self.trailers = true,
                Err(error) => {
                    let error = exchange.why(Error::Rest(error));
                    return self.fails(error);
                }
            }
        }
        let trailers = recv.take_trailers();
        self.ends();
        Poll::Ready(trailers.map(|trailers| Ok(Part::Trailers(trailers.headers))))
    }

    fn fails(&mut self, error: Error) -> Poll<Option<Result<Part, Error>>> {
        // An upload has nobody to answer it any more.
        if !matches!(error, Error::Rest(ReadError::Connection(_))) {
            self.abandons();
        }
        self.ends();
        Poll::Ready(Some(Err(error)))
    }

    fn abandons(&self) {
        if let Some(exchange) = &self.exchange {
            exchange.upload.tell();
        }
    }

    /// It has been read to its end, one way or another.
    fn ends(&mut self) {
        self.recv = None;
        if let Some(exchange) = self.exchange.take() {
            exchange.read();
        }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if self.recv.is_some() {
            self.abandons();
            self.ends();
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(data: Bytes) -> Self {
        Self(Kind::Whole(data))
    }
}

impl From<Vec<u8>> for Body {
    fn from(data: Vec<u8>) -> Self {
        Bytes::from(data).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(data: &'static [u8]) -> Self {
        Bytes::from(data).into()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Whole(data) => return write!(f, "Body({} bytes)", data.len()),
            Kind::Received(_) => "received",
            Kind::Made(_) => "made",
        };
        write!(f, "Body({kind})")
    }
}
