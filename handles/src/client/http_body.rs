//! Bodies of the `http-body` crate, both ways.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::body::{Body, Part, Source};
use super::error::{BoxError, Error};

impl Body {
    /// Content of another crate's making, polled when the server takes it.
    pub fn new<B>(body: B) -> Self
    where
        B: HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        Self::made(Other(Box::pin(body)))
    }
}

struct Other<B>(Pin<Box<B>>);

impl<B> Source for Other<B>
where
    B: HttpBody + Send,
    B::Error: Into<BoxError>,
{
    fn poll_part(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Part, BoxError>>> {
        loop {
            let frame = match ready!(self.0.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Some(Ok(frame)) => frame,
            };
            let part = match frame.into_data() {
                Ok(mut data) => Part::Data(data.copy_to_bytes(data.remaining())),
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => Part::Trailers(trailers),
                    // A kind of frame that there was not when this was written.
                    Err(_) => continue,
                },
            };
            return Poll::Ready(Some(Ok(part)));
        }
    }

    fn left(&self) -> Option<u64> {
        self.0.size_hint().exact()
    }

    fn is_over(&self) -> bool {
        self.0.is_end_stream()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let part = ready!(self.poll_part(cx));
        Poll::Ready(part.map(|part| {
            Ok(match part? {
                Part::Data(data) => Frame::data(data),
                Part::Trailers(trailers) => Frame::trailers(trailers),
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.left()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
