//! A request's way: a place on a connection, its content, the head of the answer.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::error::RequestError as Refusal;
use aqueduct_core::head::{End, RequestHead};
use aqueduct_core::time::after;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tracing::Span;

use super::alternatives::head_for;
use super::body::{Body, Part};
use super::builder::Timeouts;
use super::early::{self, EarlyOutcome};
use super::error::{Error, Timeout};
use super::exchange::Exchange;
use super::hub::{Hub, Placed, Pooled, Slot};
use super::metrics::{End as Watched, Looks, Watch};
use crate::alarm::Alarm;
use crate::clock::now;
use crate::error::WriteError;
use crate::http::{BodySender, RequestStream, ResponseReceiver};

/// Called with every interim response (1xx) to the request among whose extensions it is.
#[derive(Clone)]
pub struct OnInterim(Arc<dyn Fn(Response<()>) + Send + Sync>);

impl OnInterim {
    /// Calls `hook` where the request is awaited.
    #[must_use]
    pub fn new(hook: impl Fn(Response<()>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }
}

impl fmt::Debug for OnInterim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnInterim").finish_non_exhaustive()
    }
}

/// Sends a request and waits for the head of its answer.
pub(crate) async fn request(
    hub: &Arc<Hub>,
    request: Request<Body>,
) -> Result<Response<Body>, Error> {
    let watch = Watch::request(&hub.settings.metrics, request.method(), request.uri());
    let outcome = exchange(hub, request).await;
    watch.ends(&match &outcome {
        Ok(response) => Watched::Answered(response.status()),
        Err(error) => Watched::Failed(error),
    });
    let span = Span::current();
    match &outcome {
        Ok(response) => span.record("status", response.status().as_u16()),
        Err(error) => span.record("error", tracing::field::display(error)),
    };
    outcome
}

async fn exchange(hub: &Arc<Hub>, request: Request<Body>) -> Result<Response<Body>, Error> {
    let began = now();
    let (mut parts, body) = request.into_parts();
    let timeouts = parts.extensions.remove::<Timeouts>();
    let timeouts = timeouts.unwrap_or(hub.settings.timeouts);
    let hook = parts.extensions.remove::<OnInterim>();
    let until = timeouts.total.map(|total| after(began, total));
    let origin = hub.origin(&parts.uri)?;
    announce(&parts.method, &mut parts.headers, &body);
    let end = match body.is_over() && parts.method != Method::CONNECT {
        true => End::Fin,
        false => End::More,
    };
    let mut head = RequestHead::from_http(Request::from_parts(parts, ()));

    let placed = match early::may_go(hub, &mut head, end) {
        true => (hub.place_early(&origin, timeouts.total, &head, end)).await?,
        false => {
            let (slot, pooled) = hub.place(&origin, timeouts.total).await?;
            Placed::Lent(slot, pooled)
        }
    };
    let mut alarm = Alarm::new(&hub.endpoint.shared);
    let (stream, slot, early) = match placed {
        Placed::Sent(slot, stream) => (stream, slot, true),
        Placed::Lent(slot, pooled) => {
            let opening = pin!(open(slot, pooled, &head, end));
            let limit = Until::new(&timeouts, Some(now()), until);
            let (stream, slot) = limit.race(&mut alarm, opening).await??;
            (stream, slot, false)
        }
    };
    let name = stream.recv.0.0.half.name();
    let _looks = hub.settings.metrics.is_some().then(|| Looks::at(&stream));
    let (send, mut recv) = stream.split();

    let (response, uploading) = if end == End::Fin {
        drop(send);
        let until = Until::new(&timeouts, Some(now()), until);
        let answering = pin!(answer(&mut recv, hook));
        (until.race(&mut alarm, answering).await??, None)
    } else {
        let writing = Alarm::new(&hub.endpoint.shared);
        let mut uploading: Uploading = Box::pin(upload(send, body, writing, timeouts.write));
        let mut uploaded = None;
        let mut answering = pin!(answer(&mut recv, hook));
        let response = poll_fn(|cx| {
            if uploaded.is_none()
                && let Poll::Ready(outcome) = uploading.as_mut().poll(cx)
            {
                if let Err(error) = outcome {
                    return Poll::Ready(Err(error));
                }
                uploaded = Some(now());
            }
            if let Poll::Ready(response) = answering.as_mut().poll(cx) {
                return Poll::Ready(response);
            }
            let until = Until::new(&timeouts, uploaded, until);
            until
                .poll(&mut alarm, cx)
                .map(|why| Err(Error::TimedOut(why)))
        });
        (response.await?, uploaded.is_none().then_some(uploading))
    };
    let exchange = Exchange::new(slot, alarm, name, timeouts, until);
    if let Some(uploading) = uploading {
        // The answer has overtaken it.
        let exchange = exchange.clone();
        hub.runtime.spawn(Box::pin(async move {
            let outcome = exchange.upload.unless(uploading).await;
            if let Some(Err(error)) = outcome {
                exchange.failed(error);
            }
        }));
    }
    if let Some(alternatives) = &hub.settings.alternatives {
        if response.status() == StatusCode::MISDIRECTED_REQUEST {
            alternatives.misdirected(&origin);
            hub.misdirected(&recv.0.0.half.conn);
        }
        alternatives.heard(&origin, response.headers());
    }
    let mut response = response.map(|()| Body::received(recv.into_body(), exchange));
    if early {
        response.extensions_mut().insert(EarlyOutcome::Accepted);
    }
    Ok(response)
}

type Uploading = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// A request whose stream is in the caller's hands, with its place on a connection: for
/// datagrams, capsules, and what is no exchange of a request for an answer.
///
/// None of the client's times counts for it once it is open. Dropping it cancels what is not over, as
/// dropping the halves does, and frees the place at once; who takes the halves apart keeps
/// the place as long as it.
#[derive(Debug)]
#[non_exhaustive]
pub struct OpenRequest {
    // The stream ends before its place is given to another.
    /// Its content, its answer, and its datagrams.
    pub stream: RequestStream,
    /// Its place on the connection, freed when this is dropped.
    pub place: Place,
}

/// A place on a connection of a client's. Its drop frees it for another request.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "its drop is what it is for")] Slot);

impl Place {
    pub(super) fn of(slot: Slot) -> Self {
        Self(slot)
    }
}

/// Opens a request and leaves the rest to the caller.
pub(crate) async fn open_request(
    hub: &Arc<Hub>,
    request: Request<()>,
) -> Result<OpenRequest, Error> {
    let watch = Watch::request(&hub.settings.metrics, request.method(), request.uri());
    let outcome = open_stream(hub, request).await;
    watch.ends(
        &outcome
            .as_ref()
            .map_or_else(Watched::Failed, |_| Watched::Done),
    );
    outcome
}

async fn open_stream(hub: &Arc<Hub>, request: Request<()>) -> Result<OpenRequest, Error> {
    let origin = hub.origin(request.uri())?;
    let head = RequestHead::from_http(request);
    let (slot, pooled) = hub.place(&origin, None).await?;
    let mut alarm = Alarm::new(&hub.endpoint.shared);
    let opening = pin!(open(slot, pooled, &head, End::More));
    let limit = Until::new(&hub.settings.timeouts, Some(now()), None);
    let (stream, slot) = limit.race(&mut alarm, opening).await??;
    Ok(OpenRequest {
        stream,
        place: Place(slot),
    })
}

/// Says how long the content is, where the application has not.
fn announce(method: &Method, headers: &mut HeaderMap, body: &Body) {
    if headers.contains_key(CONTENT_LENGTH) || *method == Method::CONNECT {
        return;
    }
    //= https://www.rfc-editor.org/rfc/rfc9110#section-8.6
    // A request without content says so if its method is for requests with content.
    let expects = [Method::POST, Method::PUT, Method::PATCH].contains(method);
    if let Some(left) = body
        .left()
        .filter(|left| *left > 0 || (expects && body.is_over()))
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(left));
    }
}

/// Opens the request's stream, on another connection if the first does not take it.
async fn open(
    slot: Slot,
    mut pooled: Arc<Pooled>,
    head: &RequestHead,
    end: End,
) -> Result<(RequestStream, Slot), Error> {
    loop {
        let sent = match &pooled.used {
            None => pooled.connection.try_send_head(head, end),
            Some(used) => (pooled.connection).try_send_head(&head_for(head, used), end),
        };
        match sent {
            Ok(stream) => {
                slot.opened(stream.id());
                Span::current().record("stream", tracing::field::debug(stream.id()));
                return Ok((stream, slot));
            }
            // Extended CONNECT needs to know whether the server takes it.
            Err(Refusal::SettingsNotReceived) => {
                // The end of the connection is told by the next try.
                let _ = pooled.connection.settings().await;
            }
            Err(Refusal::Blocked | Refusal::Draining | Refusal::Closed | Refusal::NotConnected) => {
                pooled = slot.again(&pooled).await?;
            }
            Err(refusal) => return Err(Error::Refused(refusal)),
        }
    }
}

/// The head of the final answer.
async fn answer(
    recv: &mut ResponseReceiver,
    hook: Option<OnInterim>,
) -> Result<Response<()>, Error> {
    if let Some(OnInterim(hook)) = hook {
        while let Some(interim) = recv.recv_interim().await? {
            hook(interim);
        }
    }
    Ok(recv.recv_response().await?)
}

/// Sends the content of a request as the server takes it, and gives up one that takes
/// nothing for `limit`.
async fn upload(
    mut send: BodySender,
    mut body: Body,
    mut alarm: Alarm,
    limit: Option<Duration>,
) -> Result<(), Error> {
    let sent = async {
        while let Some(part) = body.part().await.map_err(Failed::Body)? {
            let mut chunks = match part {
                Part::Data(data) => [data],
                Part::Trailers(trailers) => {
                    return send.send_trailers(&trailers).map_err(Failed::Write);
                }
            };
            while !chunks[0].is_empty() {
                let until = limit.map(|limit| after(now(), limit));
                poll_fn(|cx| match (send.0.poll_chunks(cx, &mut chunks), until) {
                    (Poll::Ready(taken), _) => Poll::Ready(taken.map_err(Failed::Write)),
                    (Poll::Pending, None) => Poll::Pending,
                    (Poll::Pending, Some(at)) => {
                        let late = || Err(Failed::Body(Error::TimedOut(Timeout::Write)));
                        alarm.poll(cx, at).map(|()| late())
                    }
                })
                .await?;
            }
            alarm.clear();
        }
        send.finish().map_err(Failed::Write)
    };
    let error = match sent.await {
        Ok(()) => return Ok(()),
        Err(Failed::Body(error)) => error,
        Err(Failed::Write(
            error @ (WriteError::ContentLength
            | WriteError::InvalidHead(_)
            | WriteError::HeadTooLarge),
        )) => Error::Content(error),
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1
        // A server that needs no more of the request stops it, and its answer counts.
        // Whatever else ends the stream, the answer tells.
        Err(Failed::Write(_)) => return Ok(()),
    };
    // What has ended already stays ended.
    let _ = send.reset(Code::H3_REQUEST_CANCELLED);
    Err(error)
}

enum Failed {
    Body(Error),
    Write(WriteError),
}

/// Until when the head of an answer is awaited.
pub(super) struct Until {
    first: Option<Instant>,
    total: Option<Instant>,
}

impl Until {
    pub(super) fn new(
        timeouts: &Timeouts,
        uploaded: Option<Instant>,
        total: Option<Instant>,
    ) -> Self {
        let first = uploaded.zip(timeouts.first_byte);
        Self {
            first: first.map(|(since, limit)| after(since, limit)),
            total,
        }
    }

    fn poll(&self, alarm: &mut Alarm, cx: &std::task::Context<'_>) -> Poll<Timeout> {
        let first = self.first.map(|at| (at, Timeout::FirstByte));
        let total = self.total.map(|at| (at, Timeout::Total));
        match first.into_iter().chain(total).min_by_key(|(at, _)| *at) {
            Some((at, why)) => alarm.poll(cx, at).map(|()| why),
            None => Poll::Pending,
        }
    }

    pub(super) async fn race<F: Future>(
        &self,
        alarm: &mut Alarm,
        mut future: Pin<&mut F>,
    ) -> Result<F::Output, Error> {
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll(alarm, cx).map(|why| Err(Error::TimedOut(why))),
        })
        .await
    }
}
