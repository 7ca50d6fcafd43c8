//! A tunnel for UDP payloads.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use aqueduct_core::code::Code;
use aqueduct_core::datagram::ContextId;
use aqueduct_core::id::StreamId;
use aqueduct_core::masque::{self, MAX_UDP_PAYLOAD, Payload, UdpDecoder, UdpPart, decode_datagram};
use bytes::Bytes;

use super::error::TunnelError;
use super::gate::Place;
use crate::datagrams::Datagrams;
use crate::error::DatagramError;
use crate::shared::Shared;
use crate::{BodyReceiver, BodySender};

/// A tunnel for UDP payloads, used like a connected socket.
///
/// Each payload arrives once or never, and in any order. They go in QUIC datagrams, and in
/// capsules on the stream where the peer takes no datagrams. Sending and receiving may go
/// on in two tasks at once; one of them receives. Dropping it ends it, and the proxy
/// closes its socket.
#[derive(Debug)]
pub struct UdpTunnel {
    datagrams: Datagrams,
    send: Mutex<Sending>,
    recv: Mutex<Receiving>,
    /// Payloads received since the stream was looked at.
    since: AtomicU32,
    _place: Option<Place>,
}

/// The way out on the stream.
#[derive(Debug)]
struct Sending {
    body: BodySender,
    /// What of a capsule the stream has not taken.
    owed: Bytes,
    /// Who waits for that to go.
    waiting: Option<Waker>,
}

/// The way in on the stream.
#[derive(Debug)]
struct Receiving {
    body: BodyReceiver,
    decoder: UdpDecoder,
    input: Bytes,
    over: Option<TunnelError>,
}

/// Payloads after which the stream is looked at although there are datagrams.
const LOOK: u32 = 64;

impl Drop for UdpTunnel {
    fn drop(&mut self) {
        //= https://www.rfc-editor.org/rfc/rfc9298#section-3.1
        // The end of the stream is the end of the tunnel.
        let Sending { body, owed, .. } =
            self.send.get_mut().unwrap_or_else(PoisonError::into_inner);
        match owed.is_empty() {
            true => _ = body.finish(),
            //= https://www.rfc-editor.org/rfc/rfc9297#section-3.3
            // An end inside of a capsule would be malformed.
            false => _ = body.reset(Code::H3_REQUEST_CANCELLED),
        }
    }
}

impl UdpTunnel {
    pub(super) fn new(send: BodySender, recv: BodyReceiver, place: Option<Place>) -> Self {
        Self {
            datagrams: recv.datagrams(),
            send: Mutex::new(Sending {
                body: send,
                owed: Bytes::new(),
                waiting: None,
            }),
            recv: Mutex::new(Receiving {
                body: recv,
                decoder: UdpDecoder::default(),
                input: Bytes::new(),
                over: None,
            }),
            since: AtomicU32::new(0),
            _place: place,
        }
    }

    /// What its connection's endpoint shares.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        self.datagrams.shared()
    }

    /// The QUIC stream id.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.datagrams.id()
    }

    /// Largest payload that can be sent at present, in bytes; it changes with the path.
    /// `None` once nothing can be sent, and where all go in capsules
    /// ([`uses_capsules`](Self::uses_capsules)).
    #[must_use]
    pub fn max_payload(&self) -> Option<usize> {
        let datagram = self.datagrams.max_datagram_size();
        datagram.map(|max| max.saturating_sub(ContextId::ZERO.len()))
    }

    /// Whether payloads go on the stream, because there are no datagrams on the
    /// connection: none is lost or too large then, and each waits for those before it.
    #[must_use]
    pub fn uses_capsules(&self) -> bool {
        self.datagrams.are_there() == Some(false)
    }

    /// Sends a payload at once, one copy.
    ///
    /// # Errors
    /// [`TunnelError`]; nothing was sent. After [`TooLarge`](TunnelError::TooLarge) and
    /// [`Blocked`](TunnelError::Blocked) the tunnel goes on.
    pub fn try_send(&self, payload: &[u8]) -> Result<(), TunnelError> {
        check(payload)?;
        match self.datagrams.send_in(ContextId::ZERO, payload) {
            Err(DatagramError::Disabled) => {
                let mut cx = Context::from_waker(Waker::noop());
                match self.poll_capsule(&mut cx, payload) {
                    Poll::Ready(sent) => sent,
                    Poll::Pending => Err(TunnelError::Blocked),
                }
            }
            sent => to_tunnel(sent),
        }
    }

    /// As [`try_send`](Self::try_send) for payloads of `size` bytes that stand one after
    /// another, the last of them shorter maybe, as system calls take and give them: one
    /// look at the connection for all. Returns the bytes of those that were sent: less
    /// than all when the next one could not be.
    ///
    /// # Errors
    /// As for [`try_send`](Self::try_send), of the first; nothing was sent.
    pub fn try_send_segments(&self, contents: &[u8], size: usize) -> Result<usize, TunnelError> {
        let first = contents.get(..size).unwrap_or(contents);
        check(first)?;
        let zero = ContextId::ZERO;
        match self.datagrams.send_segments_in(zero, contents, size) {
            Ok(sent) => Ok(sent),
            Err(DatagramError::Disabled) => self.try_send(first).map(|()| first.len()),
            Err(error) => to_tunnel(Err(error)).map(|()| 0),
        }
    }

    /// Sends a payload as soon as there is room. Cancel safe: a dropped future has sent
    /// nothing.
    ///
    /// # Errors
    /// [`TunnelError`]; nothing was sent. After [`TooLarge`](TunnelError::TooLarge) the
    /// tunnel goes on.
    pub async fn send(&self, payload: &[u8]) -> Result<(), TunnelError> {
        check(payload)?;
        match self.datagrams.send_wait_in(ContextId::ZERO, payload).await {
            Err(DatagramError::Disabled) => poll_fn(|cx| self.poll_capsule(cx, payload)).await,
            sent => to_tunnel(sent),
        }
    }

    /// The next payload. Cancel safe.
    ///
    /// # Errors
    /// [`TunnelError`], after everything that came before:
    /// [`Ended`](TunnelError::Ended) when the peer has ended the tunnel.
    pub async fn recv(&self) -> Result<Bytes, TunnelError> {
        let mut datagram = pin!(self.next_datagram());
        let mut ended = false;
        poll_fn(|cx| {
            // The common case costs one lock.
            let first = self.since.fetch_add(1, Ordering::Relaxed) < LOOK && !ended;
            if first && let Some(payload) = self.poll_first(datagram.as_mut(), &mut ended, cx) {
                return Poll::Ready(payload);
            }
            self.since.store(0, Ordering::Relaxed);
            self.send_owed(cx);
            let polled = self.receiving().poll(cx);
            if let Poll::Ready(Ok(payload)) = polled {
                return Poll::Ready(Ok(payload));
            }
            // What came in datagrams counts before how the stream has ended.
            if !first
                && !ended
                && let Some(payload) = self.poll_first(datagram.as_mut(), &mut ended, cx)
            {
                return Poll::Ready(payload);
            }
            polled.map_err(|error| self.abort(error))
        })
        .await
    }

    /// A payload in a datagram, or why there can be none for what the peer did; `None`
    /// when none has come, or the stream has `ended`, which tells how itself.
    fn poll_first(
        &self,
        datagram: Pin<&mut impl Future<Output = Result<Bytes, TunnelError>>>,
        ended: &mut bool,
        cx: &mut Context<'_>,
    ) -> Option<Result<Bytes, TunnelError>> {
        match datagram.poll(cx) {
            Poll::Ready(Ok(payload)) => Some(Ok(payload)),
            Poll::Ready(Err(error @ TunnelError::Fault(_))) => Some(Err(self.abort(error))),
            Poll::Ready(Err(_)) => {
                *ended = true;
                None
            }
            Poll::Pending => None,
        }
    }

    /// The next payload if one has come. [`recv`](Self::recv) tells how the tunnel ends.
    pub fn try_recv(&self) -> Option<Bytes> {
        let mut cx = Context::from_waker(Waker::noop());
        let datagram = self.poll_first(pin!(self.next_datagram()), &mut false, &mut cx);
        if let Some(payload) = datagram {
            return payload.ok();
        }
        match self.receiving().poll(&mut cx) {
            Poll::Ready(payload) => payload.ok(),
            Poll::Pending => None,
        }
    }

    /// Takes payloads that have come in datagrams, the oldest first and about `max` of
    /// them, with one look at the connection. Returns how many.
    pub fn try_recv_many(&self, into: &mut Vec<Bytes>, max: usize) -> usize {
        let before = into.len();
        let count = self.datagrams.try_recv_many(into, max);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.since.fetch_add(count, Ordering::Relaxed);
        let mut at = before;
        while let Some(datagram) = into.get_mut(at) {
            match decode_datagram(std::mem::take(datagram)) {
                Ok(Payload::Udp(payload)) => {
                    *datagram = payload;
                    at += 1;
                }
                // Dropped, as unknown contexts are.
                Ok(Payload::UnknownContext | Payload::NoContext) => _ = into.remove(at),
                Err(fault) => {
                    self.abort(TunnelError::Fault(fault));
                    into.truncate(at);
                }
            }
        }
        into.len() - before
    }

    async fn next_datagram(&self) -> Result<Bytes, TunnelError> {
        loop {
            match decode_datagram(self.datagrams.recv().await?).map_err(TunnelError::Fault)? {
                Payload::Udp(payload) => return Ok(payload),
                // Dropped, as unknown contexts are.
                Payload::UnknownContext | Payload::NoContext => {}
            }
        }
    }

    /// Goes on with a capsule that has begun, though nobody may send another. Whoever
    /// waits for that is told, since the stream wakes one of the two.
    fn send_owed(&self, cx: &mut Context<'_>) {
        let mut sending = self.sending();
        if !sending.owed.is_empty()
            && sending.flush(cx).is_ready()
            && let Some(waiting) = sending.waiting.take()
        {
            waiting.wake();
        }
    }

    /// Resets the stream for what the peer has done.
    fn abort(&self, error: TunnelError) -> TunnelError {
        if let TunnelError::Fault(fault) = error {
            let _ = self.sending().body.reset(fault.code());
            let _ = self.receiving().body.stop(fault.code());
        }
        error
    }

    /// Sends a payload on the stream once what is owed of the last one has gone.
    fn poll_capsule(&self, cx: &mut Context<'_>, payload: &[u8]) -> Poll<Result<(), TunnelError>> {
        let mut sending = self.sending();
        if !sending.owed.is_empty() {
            match sending.flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Pending => {
                    sending.waiting = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                failed => return failed,
            }
        }
        sending.owed = masque::encode_capsule(payload).map_err(TunnelError::Fault)?;
        match sending.flush(cx) {
            // It is taken, whenever the rest of it goes.
            Poll::Pending => Poll::Ready(Ok(())),
            sent => sent,
        }
    }

    fn sending(&self) -> MutexGuard<'_, Sending> {
        self.send.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receiving(&self) -> MutexGuard<'_, Receiving> {
        self.recv.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sending {
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TunnelError>> {
        while !self.owed.is_empty() {
            let mut chunks = [std::mem::take(&mut self.owed)];
            let polled = self.body.0.poll_chunks(cx, &mut chunks);
            [self.owed] = chunks;
            match polled {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Receiving {
    /// The next payload that came in a capsule, or how the stream ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, TunnelError>> {
        loop {
            if let Some(error) = &self.over {
                return Poll::Ready(Err(error.clone()));
            }
            match self.decoder.read(&mut self.input) {
                Ok(Some(UdpPart::Payload(Payload::Udp(payload)))) => {
                    return Poll::Ready(Ok(payload));
                }
                Ok(Some(_)) => continue,
                Ok(None) => {}
                Err(fault) => {
                    self.over = Some(TunnelError::Fault(fault));
                    continue;
                }
            }
            match self.body.poll_data(cx) {
                Poll::Ready(Ok(Some(data))) => self.input = data,
                Poll::Ready(Ok(None)) => {
                    let end = self.decoder.finish().err();
                    self.over = Some(end.map_or(TunnelError::Ended, TunnelError::Fault));
                }
                Poll::Ready(Err(error)) => self.over = Some(error.into()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

fn check(payload: &[u8]) -> Result<(), TunnelError> {
    match payload.len() > MAX_UDP_PAYLOAD {
        true => Err(TunnelError::TooLarge),
        false => Ok(()),
    }
}

fn to_tunnel(sent: Result<(), DatagramError>) -> Result<(), TunnelError> {
    sent.map_err(|error| match error {
        DatagramError::TooLarge | DatagramError::TooLargeForPath => TunnelError::TooLarge,
        DatagramError::Blocked => TunnelError::Blocked,
        DatagramError::Connection(reason) => TunnelError::Connection(reason),
        _ => TunnelError::Closed,
    })
}
