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
use aqueduct_core::pool::Origin;
use aqueduct_core::time::after;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};

use super::body::{Body, Part};
use super::builder::Timeouts;
use super::early::{self, EarlyOutcome};
use super::error::{Error, Timeout};
use super::exchange::Exchange;
use super::hub::{Hub, Placed, Pooled, Slot, Wish};
use super::metrics::{End as Watched, Looks, Watch};
use super::span;
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

/// A request as it is sent.
struct Asked {
    origin: Origin,
    head: RequestHead,
    end: End,
    body: Body,
    timeouts: Timeouts,
    hook: Option<OnInterim>,
}

impl Asked {
    fn new(hub: &Hub, request: Request<Body>) -> Result<Self, Error> {
        let (mut parts, body) = request.into_parts();
        let origin = hub.origin(&parts.uri)?;
        let timeouts = parts.extensions.remove::<Timeouts>();
        let hook = parts.extensions.remove::<OnInterim>();
        announce(&parts.method, &mut parts.headers, &body);
        let end = match body.is_over() && parts.method != Method::CONNECT {
            true => End::Fin,
            false => End::More,
        };
        Ok(Self {
            origin,
            head: RequestHead::from_http(Request::from_parts(parts, ())),
            end,
            body,
            timeouts: timeouts.unwrap_or(hub.settings.timeouts),
            hook,
        })
    }
}

/// Sends a request and waits for the head of its answer. What is seldom waited for is in
/// boxes: the future is moved about, and most of it would be theirs.
pub(crate) fn request(
    hub: &Arc<Hub>,
    request: Request<Body>,
) -> impl Future<Output = Result<Response<Body>, Error>> + Send + '_ {
    let watch = Watch::request(&hub.settings.metrics, request.method(), request.uri());
    let mut asked = Asked::new(hub, request);
    async move {
        let outcome = match asked {
            Ok(ref mut asked) => exchange(hub, asked).await,
            Err(error) => Err(error),
        };
        watch.ends(&match &outcome {
            Ok(response) => Watched::Answered(response.status()),
            Err(error) => Watched::Failed(error),
        });
        if let Some(span) = span() {
            match &outcome {
                Ok(response) => span.record("status", response.status().as_u16()),
                Err(error) => span.record("error", tracing::field::display(error)),
            };
        }
        outcome
    }
}

async fn exchange(hub: &Arc<Hub>, asked: &mut Asked) -> Result<Response<Body>, Error> {
    let began = now();
    let Asked { end, timeouts, .. } = *asked;
    // The stream ends before this gives its place to another.
    let exchange = Exchange::new(timeouts, began);
    let (stream, slot, early) = match at_once(hub, asked, &exchange, began)? {
        Sent::Already(stream, slot) => (stream, slot, false),
        waits => Box::pin(later(asked, began, waits)).await?,
    };
    exchange.asked(slot, stream.recv.0.0.half.name(), end);
    let _looks = hub.settings.metrics.is_some().then(|| Looks::at(&stream));
    let (send, mut recv) = stream.split();

    // When a time is over the stream is, and wakes whoever waits for it.
    let (response, uploading) = if end == End::Fin {
        drop(send);
        (answer(&mut recv, &asked.hook).await, None)
    } else {
        let body = std::mem::take(&mut asked.body);
        let writing = Alarm::new(&hub.endpoint.shared);
        let uploading: Uploading = Box::pin(upload(send, body, writing, timeouts.write));
        Box::pin(beside(&exchange, uploading, &mut recv, &asked.hook)).await
    };
    let response = response.map_err(|error| exchange.why(error))?;
    exchange.answered();
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
        let origin = &asked.origin;
        if response.status() == StatusCode::MISDIRECTED_REQUEST {
            //= https://www.rfc-editor.org/rfc/rfc7838#section-6
            // What it says of alternatives itself does not count.
            alternatives.misdirected(origin);
            hub.misdirected(&recv.0.0.half.conn);
        } else {
            alternatives.heard(origin, response.headers());
        }
    }
    let mut response = response.map(|()| Body::received(recv.into_body(), exchange));
    if early {
        response.extensions_mut().insert(EarlyOutcome::Accepted);
    }
    Ok(response)
}

/// How far a request has come.
enum Sent {
    Already(RequestStream, Slot),
    /// The connection did not take it at once.
    Refused(Slot, Arc<Pooled>),
    /// It waits for its turn.
    Queued(Slot),
    /// The same, and may be early data.
    Early(Slot),
}

/// Sends a request if there is a connection that takes it.
fn at_once(
    hub: &Arc<Hub>,
    asked: &mut Asked,
    exchange: &Arc<Exchange>,
    began: Instant,
) -> Result<Sent, Error> {
    let early = early::may_go(hub, &mut asked.head, asked.end);
    let wish = || early.then(|| Wish::new(&asked.origin, &asked.head, asked.end));
    let total = asked.timeouts.total;
    let (mut slot, turn) = hub.ask(began, &asked.origin, total, Some(exchange), wish)?;
    let Some(turn) = turn else {
        return Ok(match early {
            true => Sent::Early(slot),
            false => Sent::Queued(slot),
        });
    };
    let pooled = turn?;
    Ok(match pooled.send(&asked.head, asked.end) {
        Ok(stream) => {
            slot.opened(stream.id());
            Sent::Already(stream, slot)
        }
        Err(_) => Sent::Refused(slot, pooled),
    })
}

/// Sends it when there is one. Tells whether it was early data.
async fn later(
    asked: &mut Asked,
    began: Instant,
    waits: Sent,
) -> Result<(RequestStream, Slot, bool), Error> {
    let Asked {
        origin,
        head,
        end,
        timeouts,
        ..
    } = asked;
    let (mut slot, pooled) = match waits {
        Sent::Already(stream, slot) => return Ok((stream, slot, false)),
        Sent::Refused(slot, pooled) => (slot, pooled),
        Sent::Queued(mut slot) => {
            let pooled = slot.wait(origin).await?;
            (slot, pooled)
        }
        Sent::Early(slot) => match slot.wait_early(origin).await? {
            Placed::Sent(slot, stream) => return Ok((stream, slot, true)),
            Placed::Lent(slot, pooled) => (slot, pooled),
        },
    };
    let until = timeouts.total.map(|total| after(began, total));
    let stream = open(&mut slot, pooled, head, *end, timeouts, until).await?;
    Ok((stream, slot, false))
}

/// Sends the content while the answer is awaited. Gives what is left of it then.
async fn beside(
    exchange: &Exchange,
    mut uploading: Uploading,
    recv: &mut ResponseReceiver,
    hook: &Option<OnInterim>,
) -> (Result<Response<()>, Error>, Option<Uploading>) {
    let mut uploaded = false;
    let mut answering = pin!(answer(recv, hook));
    let response = poll_fn(|cx| {
        if !uploaded && let Poll::Ready(outcome) = uploading.as_mut().poll(cx) {
            if let Err(error) = outcome {
                return Poll::Ready(Err(error));
            }
            uploaded = true;
            exchange.sent();
        }
        answering.as_mut().poll(cx)
    });
    let response = response.await;
    (response, (!uploaded).then_some(uploading))
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
    watch.opened(&outcome);
    outcome
}

async fn open_stream(hub: &Arc<Hub>, request: Request<()>) -> Result<OpenRequest, Error> {
    let origin = hub.origin(request.uri())?;
    let head = RequestHead::from_http(request);
    let (mut slot, pooled) = hub.place(&origin).await?;
    let timeouts = &hub.settings.timeouts;
    let stream = open(&mut slot, pooled, &head, End::More, timeouts, None).await?;
    slot.tell();
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
    slot: &mut Slot,
    mut pooled: Arc<Pooled>,
    head: &RequestHead,
    end: End,
    timeouts: &Timeouts,
    until: Option<Instant>,
) -> Result<RequestStream, Error> {
    let mut refusal = match pooled.send(head, end) {
        Ok(stream) => {
            slot.opened(stream.id());
            return Ok(stream);
        }
        Err(refusal) => refusal,
    };
    let limit = Until::new(timeouts, until);
    let waiting = &*slot;
    let opening = async move {
        loop {
            match refusal {
                // Extended CONNECT needs to know whether the server takes it.
                Refusal::SettingsNotReceived => {
                    // The end of the connection is told by the next try.
                    let _ = pooled.connection.settings().await;
                }
                Refusal::Blocked | Refusal::Draining | Refusal::Closed | Refusal::NotConnected => {
                    pooled = waiting.again(&pooled).await?;
                }
                refusal => return Err(Error::Refused(refusal)),
            }
            refusal = match pooled.send(head, end) {
                Ok(stream) => return Ok(stream),
                Err(refusal) => refusal,
            };
        }
    };
    let stream = limit.race(waiting.alarm(), opening).await??;
    slot.lent = now();
    slot.opened(stream.id());
    Ok(stream)
}

impl Pooled {
    fn send(&self, head: &RequestHead, end: End) -> Result<RequestStream, Refusal> {
        self.connection.try_send_head(&self.head(head), end)
    }
}

/// The head of the final answer.
async fn answer(
    recv: &mut ResponseReceiver,
    hook: &Option<OnInterim>,
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

/// Until when a connection is to take a request.
pub(super) struct Until {
    first: Option<Instant>,
    total: Option<Instant>,
}

impl Until {
    /// From now on.
    pub(super) fn new(timeouts: &Timeouts, total: Option<Instant>) -> Self {
        Self {
            first: timeouts.first_byte.map(|limit| after(now(), limit)),
            total,
        }
    }

    pub(super) async fn race<F: Future>(
        &self,
        mut alarm: Alarm,
        future: F,
    ) -> Result<F::Output, Error> {
        let mut future = pin!(future);
        let first = self.first.map(|at| (at, Timeout::FirstByte));
        let total = self.total.map(|at| (at, Timeout::Total));
        let late = first.into_iter().chain(total).min_by_key(|(at, _)| *at);
        poll_fn(|cx| match (future.as_mut().poll(cx), late) {
            (Poll::Ready(output), _) => Poll::Ready(Ok(output)),
            (Poll::Pending, None) => Poll::Pending,
            (Poll::Pending, Some((at, why))) => {
                alarm.poll(cx, at).map(|()| Err(Error::TimedOut(why)))
            }
        })
        .await
    }
}
