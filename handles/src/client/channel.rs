//! Requests whose datagrams are the point.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aqueduct_core::error::RequestError as Refusal;
use aqueduct_core::head::RequestHead;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};

use super::error::Error;
use super::hub::{Hub, Pooled, Slot};
use super::metrics::Watch;
use super::send::{Place, Until};
use crate::alarm::Alarm;
use crate::connection::Connection;
use crate::datagrams::Datagrams;
use crate::error::{DatagramError, ReadError, WriteError};
use crate::http::{RequestStream, ResponseReceiver};

/// A request whose datagrams are the point ([`Client::open_channel`](super::Client::open_channel)):
/// what comes on it is told as [events](Self::event), and datagrams go out beside.
///
/// None of the client's times counts for it once it is open. Dropping it before its end
/// cancels the request with H3_REQUEST_CANCELLED, both halves, and frees its place on the
/// connection at once; other requests are not touched.
#[derive(Debug)]
pub struct Channel {
    // The stream ends before its place is given to another.
    stream: RequestStream,
    datagrams: Datagrams,
    stage: Stage,
    /// Datagrams have their turn.
    turn: bool,
    _place: Place,
}

/// What comes on a [`Channel`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ChannelEvent {
    /// The head of the answer; interim ones are left out.
    Response(Response<()>),
    /// A datagram, before the answer, too.
    Datagram(Bytes),
    /// Some of the content of the answer.
    Data(Bytes),
    /// What comes after the content.
    Trailers(HeaderMap),
    /// The server has ended the answer, in order. Nothing comes after this.
    Ended,
    /// It ended otherwise: reset, left out by a GOAWAY ([`ReadError::Unprocessed`]), with
    /// its connection and the reason of that. Nothing comes after this.
    Failed(ReadError),
}

/// How far the answer is.
#[derive(Debug)]
enum Stage {
    Head,
    Content,
    /// This is what is left to tell.
    Last(Option<ReadError>),
    Over,
}

impl Channel {
    /// What comes next; `None` after the end. Datagrams and content take turns, and the
    /// datagrams that came before the end are told before it. Cancel safe.
    pub async fn event(&mut self) -> Option<ChannelEvent> {
        let Self {
            stream,
            datagrams,
            stage,
            turn,
            ..
        } = self;
        if matches!(stage, Stage::Over) {
            return None;
        }
        let mut datagram = pin!(datagrams.recv());
        let mut ended = false;
        let event = poll_fn(|cx| {
            let mut poll_datagram = |cx: &mut Context<'_>| {
                if ended {
                    return None;
                }
                match datagram.as_mut().poll(cx) {
                    Poll::Ready(Ok(payload)) => Some(ChannelEvent::Datagram(payload)),
                    // The stream tells how it ended.
                    Poll::Ready(Err(_)) => {
                        ended = true;
                        None
                    }
                    Poll::Pending => None,
                }
            };
            if *turn && let Some(event) = poll_datagram(cx) {
                *turn = false;
                return Poll::Ready(event);
            }
            if let Some(event) = stage.poll(&mut stream.recv, cx) {
                *turn = true;
                return Poll::Ready(event);
            }
            if !*turn && let Some(event) = poll_datagram(cx) {
                return Poll::Ready(event);
            }
            let Stage::Last(error) = stage else {
                return Poll::Pending;
            };
            let error = error.take();
            *stage = Stage::Over;
            Poll::Ready(error.map_or(ChannelEvent::Ended, ChannelEvent::Failed))
        });
        Some(event.await)
    }

    /// The datagrams alone: to send them, from other tasks too. Those that are received
    /// here are no events.
    #[must_use]
    pub fn datagrams(&self) -> &Datagrams {
        &self.datagrams
    }

    /// Sends a datagram; before the answer, too.
    ///
    /// # Errors
    /// [`DatagramError`]; nothing was sent. [`DatagramError::Blocked`] means that the send
    /// buffer is full.
    pub fn send(&self, payload: &[u8]) -> Result<(), DatagramError> {
        self.datagrams.send(payload)
    }

    /// Sends content of the request, as the server takes it.
    ///
    /// # Errors
    /// [`WriteError`]; an unknown part was sent.
    pub async fn send_data(&mut self, data: Bytes) -> Result<(), WriteError> {
        self.stream.send.send_data(data).await
    }

    /// Ends the content of the request, and with it the datagrams of this side (RFC 9297
    /// §2.1).
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish(&mut self) -> Result<(), WriteError> {
        self.stream.send.finish()
    }

    /// The stream that it is on.
    #[must_use]
    pub fn stream(&self) -> &RequestStream {
        &self.stream
    }
}

impl Stage {
    /// The next part of the answer, if it is there.
    fn poll(&mut self, recv: &mut ResponseReceiver, cx: &mut Context<'_>) -> Option<ChannelEvent> {
        match self {
            Self::Head => match pin!(recv.recv_response()).poll(cx) {
                Poll::Pending => None,
                Poll::Ready(Ok(head)) => {
                    *self = Self::Content;
                    Some(ChannelEvent::Response(head))
                }
                Poll::Ready(Err(error)) => {
                    *self = Self::Last(Some(error));
                    None
                }
            },
            Self::Content => match recv.poll_data(cx) {
                Poll::Pending => None,
                Poll::Ready(Ok(Some(data))) => Some(ChannelEvent::Data(data)),
                Poll::Ready(Ok(None)) => {
                    *self = Self::Last(None);
                    let trailers = recv.take_trailers()?;
                    Some(ChannelEvent::Trailers(trailers.headers))
                }
                Poll::Ready(Err(error)) => {
                    *self = Self::Last(Some(error));
                    None
                }
            },
            Self::Last(_) | Self::Over => None,
        }
    }
}

/// Opens a request with datagrams.
pub(super) async fn open(hub: &Arc<Hub>, request: Request<()>) -> Result<Channel, Error> {
    let watch = Watch::request(&hub.settings.metrics, request.method(), request.uri());
    let outcome = place(hub, request).await;
    watch.opened(&outcome);
    outcome
}

async fn place(hub: &Arc<Hub>, request: Request<()>) -> Result<Channel, Error> {
    let origin = hub.origin(request.uri())?;
    let head = RequestHead::from_http(request);
    let (slot, pooled) = hub.place(&origin).await?;
    let limit = Until::new(&hub.settings.timeouts, None);
    let sending = send(slot, pooled, &head);
    let alarm = Alarm::new(&hub.endpoint.shared);
    let (stream, datagrams, slot) = limit.race(alarm, sending).await??;
    Ok(Channel {
        stream,
        datagrams,
        stage: Stage::Head,
        turn: true,
        _place: Place::of(slot),
    })
}

/// Opens the request's stream, on another connection if the first does not take it.
async fn send(
    mut slot: Slot,
    mut pooled: Arc<Pooled>,
    head: &RequestHead,
) -> Result<(RequestStream, Datagrams, Slot), Error> {
    loop {
        let connection = &pooled.connection;
        //= https://www.rfc-editor.org/rfc/rfc9297#section-2.1.1
        // Whether there are datagrams the settings of both sides say. The end of the
        // connection is told by the try.
        let known = connection.settings().await.is_ok();
        if known && !has_datagrams(connection) {
            return Err(Error::DatagramsDisabled);
        }
        match connection.try_open_channel(&pooled.head(head)) {
            Ok((stream, datagrams)) => {
                slot.opened(stream.id());
                slot.tell();
                return Ok((stream, datagrams, slot));
            }
            Err(Refusal::Blocked | Refusal::Draining | Refusal::Closed | Refusal::NotConnected) => {
                pooled = slot.again(&pooled).await?;
            }
            Err(refusal) => return Err(Error::Refused(refusal)),
        }
    }
}

/// Whether there are datagrams on the connection, or none to say it of.
fn has_datagrams(connection: &Connection) -> bool {
    let conn = &connection.0;
    let has = conn.lock().peek(conn.key, |core| core.has_datagrams());
    has.unwrap_or(true)
}
