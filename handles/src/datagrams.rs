//! The HTTP datagrams of a request (RFC 9297 section 2).

use std::fmt;
use std::sync::Arc;

use aqueduct_core::connection::Access;
use aqueduct_core::datagram::ContextId;
use aqueduct_core::endpoint::QuinnTransport;
use aqueduct_core::error::DatagramError as CoreDatagram;
use aqueduct_core::id::StreamId;
use bytes::Bytes;

use crate::error::{DatagramError, ReadError};
use crate::half::Half;
use crate::meter::Metered;
use crate::place::{MessageTopic, Place};
use crate::share::PRICE;
use crate::shared::{Locked, Shared, Step, wait_for};

/// The datagrams of one request, either side, beside the halves of its content. Clones
/// refer to the same request.
///
/// What they mean is agreed on by the request, commonly an extended CONNECT with a
/// `:protocol` of its own. Take this handle at once: what a client sends ahead waits for
/// it on a CONNECT, a few seconds long; on a request of another method the first datagram
/// from the peer before that ends the request with H3_DATAGRAM_ERROR.
///
/// Dropping it tells the peer nothing. It keeps the connection open but not the stream:
/// datagrams end with the halves of the content.
///
/// Each datagram arrives once or never, and in any order. Of those that nobody takes the
/// last are kept, up to the limits `datagrams` and `datagram_bytes` of the configuration.
#[derive(Clone)]
pub struct Datagrams {
    half: Arc<Half>,
    meter: Metered,
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            self.half.conn.count_dropped(meter);
        }
    }
}

impl fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "datagrams of {:?}", self.half)
    }
}

/// What became of datagrams that arrived for one request.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct DatagramStats {
    /// Dropped because nobody took them in time; 0 once the stream is over.
    pub overflowed: u64,
    /// Dropped by [`recv_in`](Datagrams::recv_in) because they end inside their
    /// context id.
    pub no_context: u64,
}

impl Datagrams {
    pub(crate) fn new(half: &Half) -> Self {
        let mut locked = half.conn.lock();
        // A request that is over has no datagrams, which the first use tells.
        let _ = locked.core(half.conn.key, |core| core.enable_datagrams(half.key));
        let meter = locked.conn(half.at.conn).meter.clone();
        let half = Arc::new(half.again(&mut locked));
        Self { half, meter }
    }

    /// The QUIC stream id of the request.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.half.key.id()
    }

    /// Sends a datagram, one copy. A client need not wait for the answer.
    ///
    /// # Errors
    /// [`DatagramError`]; nothing was sent. [`DatagramError::Blocked`] means that the
    /// send buffer is full.
    pub fn send(&self, payload: &[u8]) -> Result<(), DatagramError> {
        self.send_now(None, payload)
    }

    /// As [`send`](Self::send) with a context id (RFC 9298 section 4) before the
    /// payload: one copy.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn send_in(&self, context: ContextId, payload: &[u8]) -> Result<(), DatagramError> {
        self.send_now(Some(context), payload)
    }

    /// Sends a datagram as soon as the send buffer has room. Cancel safe: a dropped
    /// future has sent nothing.
    ///
    /// # Errors
    /// [`DatagramError`] other than [`DatagramError::Blocked`]; nothing was sent.
    pub async fn send_wait(&self, payload: &[u8]) -> Result<(), DatagramError> {
        self.send_soon(None, payload).await
    }

    /// As [`send_wait`](Self::send_wait) with a context id before the payload.
    ///
    /// # Errors
    /// As for [`send_wait`](Self::send_wait).
    pub async fn send_wait_in(
        &self,
        context: ContextId,
        payload: &[u8],
    ) -> Result<(), DatagramError> {
        self.send_soon(Some(context), payload).await
    }

    /// As [`send_in`](Self::send_in) for payloads of `size` bytes that stand one after
    /// another, the last of them shorter maybe, with one look at the connection. Returns
    /// the bytes of those that were sent: less than all when the next one could not be.
    ///
    /// # Errors
    /// As for [`send`](Self::send), of the first; nothing was sent.
    pub fn send_segments_in(
        &self,
        context: ContextId,
        contents: &[u8],
        size: usize,
    ) -> Result<usize, DatagramError> {
        let (half, size) = (&self.half, size.max(1));
        let mut sent = 0;
        if contents.len() > size {
            let _ = half.conn.lock().core(half.conn.key, |core| {
                for payload in contents.chunks(size) {
                    if core.send_datagram_in(half.key, context, payload).is_err() {
                        break;
                    }
                    sent += payload.len();
                }
            });
        }
        if sent > 0 {
            self.count_sent(sent.div_ceil(size), sent);
            return Ok(sent);
        }
        let first = contents.get(..size).unwrap_or(contents);
        self.send_now(Some(context), first).map(|()| first.len())
    }

    fn send_now(&self, context: Option<ContextId>, payload: &[u8]) -> Result<(), DatagramError> {
        let tried = self.try_send(&mut self.half.conn.lock(), context, payload);
        match tried {
            Step::Done(result) => result.inspect(|()| self.count_sent(1, payload.len())),
            Step::Wait(_) => Err(DatagramError::Blocked),
        }
    }

    async fn send_soon(
        &self,
        context: Option<ContextId>,
        payload: &[u8],
    ) -> Result<(), DatagramError> {
        wait_for(&self.half.conn.shared, |locked| {
            self.try_send(locked, context, payload)
        })
        .await
        .inspect(|()| self.count_sent(1, payload.len()))
    }

    fn try_send(
        &self,
        locked: &mut Locked<'_>,
        context: Option<ContextId>,
        payload: &[u8],
    ) -> Step<Result<(), DatagramError>> {
        let key = self.half.key;
        let send = |core: &mut Access<'_, QuinnTransport<'_>>| match context {
            None => core.send_datagram(key, payload),
            Some(context) => core.send_datagram_in(key, context, payload),
        };
        let sent = locked.core_often(self.half.conn.key, send);
        Step::Done(match sent.unwrap_or(Err(CoreDatagram::Gone)) {
            Ok(()) => Ok(()),
            Err(CoreDatagram::Blocked) => return Step::Wait(self.place(MessageTopic::Unblocked)),
            Err(CoreDatagram::TooLarge) => Err(DatagramError::TooLarge),
            Err(CoreDatagram::TooLargeForPath) => Err(DatagramError::TooLargeForPath),
            Err(CoreDatagram::Disabled) => Err(DatagramError::Disabled),
            Err(_) => {
                locked.pump();
                match &locked.conn(self.half.at.conn).closed {
                    Some(reason) => Err(DatagramError::Connection(reason.clone())),
                    None => Err(DatagramError::Closed),
                }
            }
        })
    }

    /// The oldest datagram that waits, or the next to arrive. Many tasks may wait at
    /// once; cancel safe.
    ///
    /// # Errors
    /// [`ReadError`]: how the receiving half of the request ended, after what had
    /// arrived before. Its clean end counts when it is read, as [`ReadError::Closed`];
    /// if the sending half is over by then, what had arrived is dropped.
    pub async fn recv(&self) -> Result<Bytes, ReadError> {
        let half = &self.half;
        let place = self.place(MessageTopic::Datagrams);
        let came = wait_for(&half.conn.shared, |locked| {
            if let Some(wait) = locked.rest_at(place) {
                return wait;
            }
            let waiting = locked.peek(half.conn.key, |core| core.recv_datagram(half.key));
            if let Some(datagram) = waiting.flatten() {
                locked.take_share(half.at.conn, PRICE);
                return Step::Done(Ok(datagram));
            }
            if let Some(error) = half.read_end(locked) {
                return Step::Done(Err(error));
            }
            if locked.stream(half.at).recv_over.is_some() {
                return Step::Done(Err(ReadError::Closed));
            }
            Step::Wait(place)
        })
        .await;
        let count = usize::from(came.is_ok());
        self.count_received(count, came.as_ref().map_or(0, Bytes::len));
        came
    }

    /// Takes datagrams that wait, the oldest first and at most so many, with one look at
    /// the connection. Returns how many.
    pub fn try_recv_many(&self, into: &mut Vec<Bytes>, max: usize) -> usize {
        let (half, before) = (&self.half, into.len());
        let mut locked = half.conn.lock();
        if locked.must_rest(half.at.conn) {
            return 0;
        }
        let _ = locked.peek(half.conn.key, |core| {
            while into.len() - before < max
                && let Some(datagram) = core.recv_datagram(half.key)
            {
                into.push(datagram);
            }
        });
        let count = into.len() - before;
        let price = u32::try_from(count).unwrap_or(u32::MAX);
        locked.take_share(half.at.conn, PRICE.saturating_mul(price));
        drop(locked);
        if self.meter.is_some() {
            let bytes = into.iter().skip(before).map(Bytes::len).sum();
            self.count_received(count, bytes);
        }
        count
    }

    /// As [`recv`](Self::recv), with the context id that stands before the payload.
    /// Datagrams that are too short for one are dropped and
    /// [counted](DatagramStats::no_context); to act on them, use [`recv`](Self::recv)
    /// and [`ContextId::split`]. Cancel safe.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub async fn recv_in(&self) -> Result<(ContextId, Bytes), ReadError> {
        loop {
            if let Ok(split) = ContextId::split(self.recv().await?) {
                return Ok(split);
            }
            if let Some(message) = &mut self.half.conn.lock().stream(self.half.at).message {
                message.no_context += 1;
            }
        }
    }

    /// Largest payload at present, in bytes, a context id included; `None` when there
    /// are no datagrams on this connection, or no more on this request.
    #[must_use]
    pub fn max_datagram_size(&self) -> Option<usize> {
        let conn = &self.half.conn;
        conn.lock()
            .peek(conn.key, |core| core.max_datagram_size(self.half.key))
            .flatten()
    }

    /// Whether there are datagrams on this connection; `None` once it is over.
    pub(crate) fn are_there(&self) -> Option<bool> {
        let conn = &self.half.conn;
        conn.lock().peek(conn.key, |core| core.has_datagrams())
    }

    /// What became of those that arrived.
    #[must_use]
    pub fn stats(&self) -> DatagramStats {
        let conn = &self.half.conn;
        let mut locked = conn.lock();
        let overflowed = locked.peek(conn.key, |core| core.datagrams_overflowed(self.half.key));
        let message = locked.stream(self.half.at).message.as_ref();
        DatagramStats {
            overflowed: overflowed.unwrap_or(0),
            no_context: message.map_or(0, |message| message.no_context),
        }
    }

    fn count_sent(&self, count: usize, bytes: usize) {
        if let Some(meter) = &self.meter {
            meter.sent(count, bytes);
        }
    }

    fn count_received(&self, count: usize, bytes: usize) {
        if let Some(meter) = &self.meter {
            if count > 0 {
                meter.received(count, bytes);
            }
            self.half.conn.count_dropped(meter);
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.half.conn.shared
    }

    #[cfg(test)]
    pub(crate) fn half(&self) -> &Half {
        &self.half
    }

    fn place(&self, topic: MessageTopic) -> Place {
        Place::Message(self.half.at, topic)
    }
}
