//! A request's way: a place on a connection, its content, the head of the answer.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::error::RequestError as Refusal;
use aqueduct_core::head::{End, RequestHead};
use aqueduct_core::pool::Origin;
use aqueduct_core::time::after;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use tracing::Instrument;

use super::body::{Body, Part};
use super::builder::Timeouts;
use super::early::{self, EarlyOutcome};
use super::error::{Error, Timeout};
use super::exchange::Exchange;
use super::hub::{Hub, Lent, Placed, Pooled, Slot, Wish};
use super::metrics::{End as Watched, Looks, Watch};
use super::{request_span, span};
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

/// A request that has begun.
enum Begun<'a> {
    /// All of it is sent.
    Sent(Sent),
    /// It has to wait for something. What is seldom waited for is in a box: the future is
    /// moved about, and most of it would be this.
    Waits(Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send + 'a>>),
}

/// A request whose answer is awaited.
struct Sent {
    // The stream ends before its place is given to another.
    recv: ResponseReceiver,
    exchange: Arc<Exchange>,
    hook: Option<OnInterim>,
    origin: Option<Origin>,
    #[expect(dead_code, reason = "its drop is what it is for")]
    looks: Option<Looks>,
}

/// A request that has to wait.
struct Asked {
    exchange: Arc<Exchange>,
    began: Instant,
    origin: Origin,
    head: RequestHead,
    end: End,
    body: Body,
    timeouts: Timeouts,
    hook: Option<OnInterim>,
    /// A place on a connection that did not take all of it at once.
    lent: Option<(Slot, Arc<Pooled>)>,
}

/// Sends a request, or has it wait, when it is called, and waits for the head of its answer.
pub(crate) fn request(
    hub: &Arc<Hub>,
    request: Request<Body>,
) -> impl Future<Output = Result<Response<Body>, Error>> + Send + '_ {
    let (mut parts, body) = request.into_parts();
    let (own, hook) = match parts.extensions.is_empty() {
        true => (None, None),
        false => (parts.extensions.remove(), parts.extensions.remove()),
    };
    let mut head = RequestHead::from_http(Request::from_parts(parts, ()));
    announce(&head.method, &mut head.headers, &body);
    exchange(hub, head, body, own, hook)
}

/// The same for GET.
pub(crate) fn get(
    hub: &Arc<Hub>,
    uri: Uri,
) -> impl Future<Output = Result<Response<Body>, Error>> + Send + '_ {
    let head = RequestHead::new(Method::GET, uri);
    exchange(hub, head, Body::empty(), None, None)
}

fn exchange(
    hub: &Arc<Hub>,
    head: RequestHead,
    body: Body,
    own: Option<Timeouts>,
    hook: Option<OnInterim>,
) -> impl Future<Output = Result<Response<Body>, Error>> + Send + '_ {
    let named = request_span(&head.method, &head.uri);
    let watch = Watch::request(&hub.settings.metrics, &head.method, &head.uri);
    let begun = named.in_scope(|| begin(hub, head, body, own, hook));
    let answered = async move {
        let outcome = match begun {
            Ok(Begun::Sent(mut sent)) => {
                let head = poll_fn(|cx| sent.poll_head(cx)).await;
                sent.answered(hub, head)
            }
            Ok(Begun::Waits(waits)) => waits.await,
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
    };
    answered.instrument(named)
}

/// Sends a request if there is a connection that takes all of it at once.
fn begin(
    hub: &Arc<Hub>,
    head: RequestHead,
    body: Body,
    own: Option<Timeouts>,
    hook: Option<OnInterim>,
) -> Result<Begun<'_>, Error> {
    let began = now();
    let end = match body.is_over() && head.method != Method::CONNECT {
        true => End::Fin,
        false => End::More,
    };
    let timeouts = own.map_or(hub.settings.timeouts, Timeouts::bounded);
    let exchange = Exchange::new(&timeouts, began);
    let lent = hub.lend(began, &head.uri, timeouts.total, &exchange)?;
    let lent = match lent {
        Some(lent) if end == End::Fin => match lent.pooled.send_whole(&head) {
            Ok(recv) => {
                let Lent {
                    mut slot, origin, ..
                } = lent;
                slot.opened(recv.id());
                let sent = Sent::new(hub, exchange, (slot, recv), end, (origin, hook));
                return Ok(Begun::Sent(sent));
            }
            Err(_) => Some(lent),
        },
        lent => lent,
    };
    let asked = Asked {
        origin: hub.origin(&head.uri)?,
        exchange,
        began,
        head,
        end,
        body,
        timeouts,
        hook,
        lent: lent.map(|lent| (lent.slot, lent.pooled)),
    };
    Ok(Begun::Waits(Box::pin(later(hub, asked))))
}

/// Sends a request when it can be, and its content, and waits for the head of its answer.
async fn later(hub: &Arc<Hub>, mut asked: Asked) -> Result<Response<Body>, Error> {
    // The stream ends before this gives its place to another.
    let exchange = asked.exchange.clone();
    let (stream, slot, early) = place(hub, &mut asked).await?;
    let Asked {
        origin,
        end,
        body,
        timeouts,
        hook,
        ..
    } = asked;
    let (send, recv) = stream.split();
    let more = (Some(origin), hook);
    let mut sent = Sent::new(hub, exchange.clone(), (slot, recv), end, more);
    // When a time is over the stream is, and wakes whoever waits for it.
    let (head, uploading) = if end == End::Fin {
        drop(send);
        (poll_fn(|cx| sent.poll_head(cx)).await, None)
    } else {
        let writing = Alarm::new(&hub.endpoint.shared);
        let uploading: Uploading = Box::pin(upload(send, body, writing, timeouts.write));
        beside(&mut sent, uploading).await
    };
    let mut response = sent.answered(hub, head)?;
    if let Some(uploading) = uploading {
        // The answer has overtaken it.
        hub.runtime.spawn(Box::pin(async move {
            let outcome = exchange.upload.unless(uploading).await;
            if let Some(Err(error)) = outcome {
                exchange.failed(error);
            }
        }));
    }
    if early {
        response.extensions_mut().insert(EarlyOutcome::Accepted);
    }
    Ok(response)
}

/// Gives a request its stream on a connection. Tells whether it was early data.
async fn place(hub: &Arc<Hub>, asked: &mut Asked) -> Result<(RequestStream, Slot, bool), Error> {
    let Asked {
        exchange,
        began,
        origin,
        head,
        end,
        timeouts,
        lent,
        ..
    } = asked;
    let early = early::may_go(hub, head, *end);
    let (mut slot, pooled) = match lent.take() {
        Some(lent) => lent,
        None => {
            let wish = || early.then(|| Wish::new(origin, head, *end));
            let times = Some(&*exchange);
            let (mut slot, turn) = hub.ask(*began, origin, timeouts.total, times, wish)?;
            match turn {
                Some(turn) => (slot, turn?),
                None if early => match slot.wait_early(origin).await? {
                    Placed::Sent(slot, stream) => return Ok((stream, slot, true)),
                    Placed::Lent(slot, pooled) => (slot, pooled),
                },
                None => {
                    let pooled = slot.wait(origin).await?;
                    (slot, pooled)
                }
            }
        }
    };
    let until = timeouts.total.map(|total| after(*began, total));
    let stream = open(&mut slot, pooled, head, *end, timeouts, until).await?;
    Ok((stream, slot, false))
}

impl Sent {
    /// The request has its stream and its place.
    fn new(
        hub: &Hub,
        exchange: Arc<Exchange>,
        (slot, recv): (Slot, ResponseReceiver),
        end: End,
        (origin, hook): (Option<Origin>, Option<OnInterim>),
    ) -> Self {
        let half = &recv.0.0.half;
        exchange.asked(slot, half.name(), end);
        let looks = hub.settings.metrics.is_some();
        Self {
            looks: looks.then(|| Looks::at(&half.conn)),
            recv,
            exchange,
            hook,
            origin,
        }
    }

    /// The head of the final answer.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<()>, Error>> {
        if let Some(OnInterim(hook)) = &self.hook {
            while let Some(interim) = ready!(self.recv.poll_interim(cx))? {
                hook(interim);
            }
        }
        self.recv.poll_response(cx).map_err(Error::from)
    }

    /// The head of the answer is there, or will not come.
    fn answered(
        self,
        hub: &Arc<Hub>,
        head: Result<Response<()>, Error>,
    ) -> Result<Response<Body>, Error> {
        let response = head.map_err(|error| self.exchange.why(error))?;
        self.exchange.answered();
        if let (Some(alternatives), Some(origin)) = (&hub.settings.alternatives, &self.origin) {
            if response.status() == StatusCode::MISDIRECTED_REQUEST {
                //= https://www.rfc-editor.org/rfc/rfc7838#section-6
                // What it says of alternatives itself does not count.
                alternatives.misdirected(origin);
                hub.misdirected(&self.recv.0.0.half.conn);
            } else {
                alternatives.heard(origin, response.headers());
            }
        }
        let (recv, exchange) = (self.recv.into_body(), self.exchange);
        Ok(response.map(|()| Body::received(recv, exchange)))
    }
}

/// Sends the content while the answer is awaited. Gives what is left of it then.
async fn beside(
    sent: &mut Sent,
    mut uploading: Uploading,
) -> (Result<Response<()>, Error>, Option<Uploading>) {
    let mut uploaded = false;
    let response = poll_fn(|cx| {
        if !uploaded && let Poll::Ready(outcome) = uploading.as_mut().poll(cx) {
            if let Err(error) = outcome {
                return Poll::Ready(Err(error));
            }
            uploaded = true;
            sent.exchange.sent();
        }
        sent.poll_head(cx)
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

    fn send_whole(&self, head: &RequestHead) -> Result<ResponseReceiver, Refusal> {
        match &self.used {
            None => self.connection.try_send_whole(head),
            Some(_) => self.connection.try_send_whole(&self.head(head)),
        }
    }
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
