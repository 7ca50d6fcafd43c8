//! Requests answered by a [`tower_service::Service`], so that axum and the rest of
//! that world run on HTTP/3 unchanged, beside WebTransport on the same connection.
//!
//! Content streams both ways with back-pressure: a body is polled for its next
//! frame when the peer has taken the one before, and the request's content is
//! read as the service polls it. Trailers are kept.

use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use aqueduct_core::code::Code;
use aqueduct_core::head::Protocol;
use aqueduct_core::webtransport::{RejectError, SessionClose};
use bytes::{Buf, Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tower_service::Service;

use crate::error::{ReadError, WriteError};
use crate::http::{BodyReceiver, ServerRequest};
use crate::{Cancelled, SessionRequest};

/// The content of a request, and its trailers.
///
/// Dropping it before its end tells the client with H3_NO_ERROR that no more is
/// needed.
#[derive(Debug)]
pub struct Body {
    /// None for a session's request.
    recv: Option<BodyReceiver>,
    part: Part,
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Part {
    Data,
    Trailers,
    Over,
}

impl Body {
    fn new(recv: BodyReceiver) -> Self {
        Self {
            recv: Some(recv),
            part: Part::Data,
        }
    }

    /// Of a request that has none.
    fn none() -> Self {
        Self {
            recv: None,
            part: Part::Over,
        }
    }

    /// See [`ServerRequest::cancelled`]: for work that goes on outside of the service's
    /// future, which is dropped by itself. Never ready for a session's request, see
    /// [`SessionRequest::cancelled`].
    pub fn cancelled(&self) -> impl Future<Output = Option<Cancelled>> + Send + 'static + use<> {
        let cancelled = self.recv.as_ref().map(BodyReceiver::cancelled);
        async move {
            match cancelled {
                Some(cancelled) => cancelled.await,
                None => std::future::pending().await,
            }
        }
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, ReadError>> {
        let Some(recv) = &mut self.recv else {
            return Poll::Ready(Ok(None));
        };
        loop {
            match self.part {
                Part::Data => match ready!(recv.poll_data(cx))? {
                    Some(data) => return Poll::Ready(Ok(Some(Frame::data(data)))),
                    None => self.part = Part::Trailers,
                },
                Part::Trailers => {
                    self.part = Part::Over;
                    if let Some(trailers) = recv.take_trailers() {
                        return Poll::Ready(Ok(Some(Frame::trailers(trailers.headers))));
                    }
                }
                Part::Over => return Poll::Ready(Ok(None)),
            }
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = ReadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        let part = ready!(self.poll_part(cx));
        if part.is_err() {
            self.part = Part::Over;
        }
        Poll::Ready(part.transpose())
    }

    fn is_end_stream(&self) -> bool {
        let is_over = |recv: &BodyReceiver| recv.0.left().1;
        self.part == Part::Over || self.recv.as_ref().is_some_and(is_over)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.recv {
            Some(recv) if self.part == Part::Data => {
                let (left, _) = recv.0.left();
                left.map_or_else(SizeHint::default, SizeHint::with_exact)
            }
            _ => SizeHint::with_exact(0),
        }
    }
}

/// Why a request was not answered to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The service failed; the client got 500.
    #[error("the service failed")]
    Service(#[source] Box<dyn Error + Send + Sync>),
    /// The answer's body failed; the stream was reset with H3_INTERNAL_ERROR.
    #[error("the body of the answer failed")]
    Body(#[source] Box<dyn Error + Send + Sync>),
    /// The client gave the request up, or the connection ended: what the service was
    /// doing for it has been dropped.
    #[error("the request was given up")]
    Cancelled(#[source] Cancelled),
    /// The client gave the session's request up, or the connection ended, before it was
    /// taken.
    #[error("the request for a session was given up")]
    SessionCancelled(#[source] SessionClose),
    /// The answer to a session's request cannot be sent as it is, or nobody waits for it.
    #[error("the request for a session was not answered")]
    Reject(#[source] RejectError),
    /// The answer cannot be sent as it is.
    #[error("the answer was not taken")]
    Write(#[from] WriteError),
}

/// Answers one request with a service. Run it as a task, or among others: while
/// it waits, nothing else does.
///
/// What the service does for a request is dropped at once, at the place where it
/// waits, when the client gives the request up ([`ServerRequest::cancelled`]): stops the
/// answer, or resets its content while the service holds the body.
///
/// # Errors
/// [`AnswerError`]; the client has been told.
pub async fn answer<S, B>(
    service: S,
    request: Request<()>,
    stream: ServerRequest,
) -> Result<(), AnswerError>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: HttpBody,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut cancelled = pin!(stream.cancelled());
    let mut answering = pin!(answer_all(service, request, stream));
    let mut wanted = true;
    poll_fn(|cx| {
        if wanted && let Poll::Ready(why) = cancelled.as_mut().poll(cx) {
            // Without a reason the answer has come to its end, and says how itself.
            wanted = false;
            if let Some(why) = why {
                return Poll::Ready(Err(AnswerError::Cancelled(why)));
            }
        }
        answering.as_mut().poll(cx)
    })
    .await
}

async fn answer_all<S, B>(
    mut service: S,
    request: Request<()>,
    stream: ServerRequest,
) -> Result<(), AnswerError>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: HttpBody,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let is_head = request.method() == Method::HEAD;
    let (mut send, recv) = stream.split();
    let body = Body::new(recv);
    let (mut parts, body) = match call(&mut service, request.map(|()| body)).await {
        Ok(response) => response.into_parts(),
        Err(error) => {
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            send.send_empty(response)?;
            return Err(AnswerError::Service(error.into()));
        }
    };
    strip(&mut parts.headers);
    let head = Response::from_parts(parts, ());
    if is_head || body.is_end_stream() {
        send.send_empty(head)?;
        return Ok(());
    }
    send.send_response(head)?;
    let mut body = pin!(body);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                // The stream may be over for other reasons; then nobody waits.
                let _ = send.reset(Code::H3_INTERNAL_ERROR);
                return Err(AnswerError::Body(error.into()));
            }
        };
        match frame.into_data() {
            Ok(mut data) => {
                let data = data.copy_to_bytes(data.remaining());
                if !data.is_empty() {
                    send.send_data(data).await?;
                }
            }
            Err(frame) => {
                if let Ok(mut trailers) = frame.into_trailers() {
                    strip(&mut trailers);
                    send.send_trailers(&trailers)?;
                    return Ok(());
                }
            }
        }
    }
    send.finish()?;
    Ok(())
}

/// Waits for a service to be ready, and for its answer.
async fn call<S, R>(service: &mut S, request: R) -> Result<S::Response, S::Error>
where
    S: Service<R>,
{
    poll_fn(|cx| service.poll_ready(cx)).await?;
    service.call(request).await
}

/// The request for a WebTransport session, among the extensions of the request that a
/// service gets for it: for axum, an `Extension<WebTransport>`.
///
/// Whoever [takes](Self::take) it answers it, and what the service answers is not sent.
/// A request that nobody takes is rejected with what the service answers; when that is a
/// success, with 404, since there is no session.
#[derive(Clone, Debug)]
pub struct WebTransport(Arc<Mutex<Option<SessionRequest>>>);

impl WebTransport {
    /// The request, for the first who takes it. Dropping it without an answer rejects it
    /// with 500.
    #[must_use]
    pub fn take(&self) -> Option<SessionRequest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn is_taken(&self) -> bool {
        (self.0.lock().unwrap_or_else(PoisonError::into_inner)).is_none()
    }
}

/// Content of an answer to a session's request that is sent at most, in bytes: the
/// beginning says why.
const WHY: usize = 64 * 1024;

/// Lets a service answer a request for a session, as [`answer`] does for others: it gets
/// a CONNECT whose extensions have the [`Protocol`] and a [`WebTransport`]. The service's
/// future is dropped when the client gives the request up before it was taken.
///
/// # Errors
/// [`AnswerError`]; the client has been told.
pub async fn answer_session<S, B>(
    mut service: S,
    session: SessionRequest,
) -> Result<(), AnswerError>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: HttpBody,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut request = Request::new(Body::none());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = session.uri().clone();
    request.headers_mut().clone_from(session.headers());
    request
        .extensions_mut()
        .insert(Protocol::new("webtransport"));
    let mut cancelled = pin!(session.cancelled());
    let slot = WebTransport(Arc::new(Mutex::new(Some(session))));
    request.extensions_mut().insert(slot.clone());
    let mut answering = pin!(async {
        let (mut parts, body) = match call(&mut service, request).await {
            Ok(response) => response.into_parts(),
            // A session that nobody answers is rejected with 500.
            Err(error) => return Err(AnswerError::Service(error.into())),
        };
        let Some(session) = slot.take() else {
            return Ok(());
        };
        if parts.status.is_informational() || parts.status.is_success() {
            parts.status = StatusCode::NOT_FOUND;
        }
        strip(&mut parts.headers);
        let why = match beginning(body, WHY).await {
            Ok(why) => why,
            Err(error) => return Err(AnswerError::Body(error.into())),
        };
        // It may be less than was announced.
        parts.headers.remove(header::CONTENT_LENGTH);
        session
            .reject_with(Response::from_parts(parts, why))
            .map_err(AnswerError::Reject)
    });
    let mut wanted = true;
    poll_fn(|cx| {
        if wanted && slot.is_taken() {
            // Whoever has it is told by it.
            wanted = false;
        }
        if wanted && let Poll::Ready(Some(close)) = cancelled.as_mut().poll(cx) {
            return Poll::Ready(Err(AnswerError::SessionCancelled(close)));
        }
        answering.as_mut().poll(cx)
    })
    .await
}

/// The first bytes of a body, `limit` of them at most.
async fn beginning<B: HttpBody>(body: B, limit: usize) -> Result<Bytes, B::Error> {
    let mut body = pin!(body);
    let mut begun = BytesMut::new();
    while begun.len() < limit
        && let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await
    {
        if let Ok(mut data) = frame?.into_data() {
            let room = data.remaining().min(limit - begun.len());
            begun.extend_from_slice(&data.copy_to_bytes(room));
        }
    }
    Ok(begun.freeze())
}

/// Takes out what services written for HTTP/1.1 may say about their connection.
fn strip(headers: &mut HeaderMap) {
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.2
    // Connection-specific fields are removed when a message is translated.
    const SPECIFIC: [HeaderName; 6] = [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::TE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    let nominated: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in SPECIFIC.iter().chain(&nominated) {
        headers.remove(name);
    }
}
