//! HTTP datagrams (RFC 9297) from the transport to the ring of a request or session,
//! and back.

use bytes::Bytes;

use super::floor::Cx;
use super::floor::owner::Owner;
use super::floor::registry::Life;
use super::floor::rings::Ring;
use super::route::Standing;
use super::{Kind, Sessions};
use crate::error::DatagramError;
use crate::event::{Event, StreamEvent};
use crate::fault::{Fault, Violation};
use crate::h3::connection::H3;
use crate::h3::streams::{Kind as StreamKind, Recv, Send, Slot};
use crate::id::{SessionKey, Side, StreamId, StreamKey};
use crate::transport::Transport;
use crate::webtransport::SessionEvent;
use crate::wire::datagram::{self, ContextId};

impl From<datagram::DatagramError> for Violation {
    fn from(_: datagram::DatagramError) -> Self {
        Self::DatagramMalformed
    }
}

impl Sessions {
    /// Takes in every datagram that has arrived.
    pub(crate) fn on_datagrams<T: Transport>(&mut self, cx: &mut Cx<'_, T>) -> Result<(), Fault> {
        let mut budget = cx.h3.config.limits.work.max(1);
        while let Some(datagram) = cx.t.recv_datagram() {
            let Some(left) = budget.checked_sub(1) else {
                // They may be lost; what they would have to wait in has no limit in number.
                cx.h3.stats.datagrams_overflowed += 1;
                continue;
            };
            budget = left;
            let (id, payload) =
                datagram::decode(datagram).map_err(|error| Fault::Connection(error.into()))?;
            cx.h3.datagram(payload.len())?;
            self.on_datagram(cx, id, payload)?;
        }
        Ok(())
    }

    /// Three look-ups to the ring: the stream's place, the stream, which says whose it
    /// is, and the session or request with the ring.
    #[inline]
    fn on_datagram<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        id: StreamId,
        payload: Bytes,
    ) -> Result<(), Fault> {
        let stream = cx.h3.table.find(id);
        let slot = stream.and_then(|stream| Some((stream, cx.h3.table.get(stream)?)));
        let Some((stream, slot)) = slot else {
            return self.on_early_datagram(cx, id, payload);
        };
        let (owner, open) = (Owner::of(slot.owner), slot.recv != Recv::Closed);
        match self.ring(owner) {
            Some(ring) if open => {
                deliver(cx, owner, stream, ring, payload);
                Ok(())
            }
            //= https://www.rfc-editor.org/rfc/rfc9297#section-2.1
            // After the receiving half closed, datagrams are dropped in silence.
            Some(_) => Ok(()),
            None => self.on_early_datagram(cx, id, payload),
        }
    }

    /// A datagram for which there is no ring, or not yet.
    #[cold]
    fn on_early_datagram<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        id: StreamId,
        payload: Bytes,
    ) -> Result<(), Fault> {
        match self.standing(cx.h3, id) {
            Standing::Expected => {
                self.hold_datagram(cx, id, payload);
                return Ok(());
            }
            Standing::Open(_) | Standing::Over => {
                cx.h3.stats.datagrams_unclaimed += 1;
                return Ok(());
            }
            Standing::NotASession => {}
        }
        let stream = cx.h3.table.find(id);
        let slot = stream.and_then(|stream| cx.h3.table.get(stream));
        let result = match (stream, slot.map(|slot| (&slot.kind, slot.recv))) {
            //= https://www.rfc-editor.org/rfc/rfc9298#section-5
            // CONNECT has datagrams as soon as the application says so. What a client has
            // sent ahead waits for that, for a while.
            (_, Some((StreamKind::Exchange(exchange), recv)))
                if exchange.is_connect() && recv != Recv::Closed =>
            {
                self.hold_datagram(cx, id, payload);
                return Ok(());
            }
            // A claimed stream has them when the application says so, too.
            (Some(stream), Some((StreamKind::Raw(_), recv)))
                if Owner::find(cx.h3, stream) == Owner::Claimed && recv != Recv::Closed =>
            {
                self.hold_datagram(cx, id, payload);
                return Ok(());
            }
            //= https://www.rfc-editor.org/rfc/rfc9297#section-2
            // A request without semantics for datagrams is ended.
            (Some(stream), Some((StreamKind::Exchange(exchange), _))) if !exchange.is_connect() => {
                Err(Fault::Stream(stream, Violation::DatagramNotExpected))
            }
            _ => Ok(()),
        };
        cx.h3.stats.datagrams_unclaimed += 1;
        cx.h3.settle_fault(cx.t, result)
    }

    /// Keeps a datagram until somebody takes those of its stream, within the limits.
    fn hold_datagram<T: Transport>(&mut self, cx: &mut Cx<'_, T>, id: StreamId, payload: Bytes) {
        let limits = &cx.h3.config.limits;
        if !self.pending.hold_datagram(limits, cx.now, id, payload) {
            cx.h3.stats.datagrams_overflowed += 1;
        }
    }

    /// Takes datagrams for a request that is not a session, or for a claimed stream, from
    /// here on, and those that came before.
    pub(crate) fn enable_datagrams<T: Transport>(&mut self, cx: &mut Cx<'_, T>, stream: StreamKey) {
        self.rings.insert(cx.h3, stream);
        self.release_datagrams(cx, stream);
    }

    /// A stream takes datagrams from now on: hands over those that waited for it.
    pub(super) fn release_datagrams<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
    ) {
        for payload in self.pending.take_datagrams(stream.id()) {
            let owner = Owner::find(cx.h3, stream);
            if let Some(ring) = self.ring(owner) {
                deliver(cx, owner, stream, ring, payload);
            }
        }
    }

    #[inline]
    fn ring(&mut self, owner: Owner) -> Option<&mut Ring> {
        match owner {
            Owner::Connect(index) => self.registry.get_mut(index)?.ring.as_mut(),
            Owner::Request(ring) => self.rings.get_mut(ring),
            Owner::Application | Owner::Claimed | Owner::Data(_) => None,
        }
    }

    /// The oldest datagram that waits for a session or request. Two look-ups: the stream,
    /// and the session or request with the ring.
    #[inline]
    pub(crate) fn pop_datagram(&mut self, h3: &mut H3, stream: StreamKey) -> Option<Bytes> {
        match Owner::find(h3, stream) {
            Owner::Connect(index) => {
                let entry = self.registry.get_mut(index)?;
                let payload = entry.ring.as_mut()?.pop(&mut h3.ring_bytes)?;
                h3.took_datagram(payload.len());
                let Kind::WebTransport(session) = &mut entry.kind;
                session.stats.datagrams_received += 1;
                Some(payload)
            }
            Owner::Request(ring) => {
                let payload = self.rings.get_mut(ring)?.pop(&mut h3.ring_bytes)?;
                h3.took_datagram(payload.len());
                Some(payload)
            }
            Owner::Application | Owner::Claimed | Owner::Data(_) => None,
        }
    }

    /// Datagrams of a session or request that were dropped for lack of room.
    pub(crate) fn datagrams_overflowed(&self, h3: &H3, stream: StreamKey) -> u64 {
        let ring = match Owner::find(h3, stream) {
            Owner::Connect(index) => self.registry.get(index).and_then(|e| e.ring.as_ref()),
            Owner::Request(ring) => self.rings.get(ring),
            Owner::Application | Owner::Claimed | Owner::Data(_) => None,
        };
        ring.map_or(0, Ring::overflowed)
    }

    /// Largest payload that can be sent now.
    pub(crate) fn max_datagram_size<T: Transport>(
        &self,
        h3: &H3,
        t: &T,
        stream: StreamKey,
    ) -> Option<usize> {
        let slot = h3.table.get(stream)?;
        if slot.send != Send::Open || !has_datagrams(slot) {
            return None;
        }
        let prefix = datagram::prefix(stream.id()).len();
        let max = t.max_datagram_size().filter(|_| h3.datagrams_enabled())?;
        max.checked_sub(prefix)
    }

    /// Sends a datagram of a session or request, with a context id before the payload if there
    /// is one.
    pub(crate) fn send_datagram<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
        context: Option<ContextId>,
        payload: &[u8],
    ) -> Result<(), DatagramError> {
        let slot = cx.h3.table.get(stream).ok_or(DatagramError::Gone)?;
        //= https://www.rfc-editor.org/rfc/rfc9297#section-2.1
        // Only while the stream's sending half is open.
        let told = slot.exchange_ref().is_none_or(|exchange| exchange.told);
        if slot.send != Send::Open || !has_datagrams(slot) || !told {
            return Err(DatagramError::Gone);
        }
        //= https://www.rfc-editor.org/rfc/rfc9297#section-2.1.1
        // Early data may have datagrams where the remembered setting allows them. None go:
        // QUIC would send on those of requests that it has forgotten when it is rejected.
        if cx.h3.side == Side::Client && !cx.h3.established {
            return Err(DatagramError::Pending);
        }
        match Owner::of(slot.owner) {
            Owner::Connect(index) => {
                let entry = self.registry.get_mut(index).ok_or(DatagramError::Gone)?;
                match entry.life {
                    Life::Open => {}
                    Life::Over { .. } => return Err(DatagramError::Gone),
                    _ => return Err(DatagramError::Pending),
                }
                let sent = self.outbox.send(cx, stream, context, payload);
                let Kind::WebTransport(session) = &mut entry.kind;
                session.stats.datagrams_sent += u64::from(sent.is_ok());
                wait_for_room(sent, entry.ring.as_mut())
            }
            Owner::Request(ring) => {
                let sent = self.outbox.send(cx, stream, context, payload);
                wait_for_room(sent, self.rings.get_mut(ring))
            }
            Owner::Application | Owner::Claimed | Owner::Data(_) => Err(DatagramError::Pending),
        }
    }

    /// The transport takes datagrams again: tells whoever was refused. O(sessions and
    /// requests with datagrams).
    pub(crate) fn on_datagrams_unblocked<T: Transport>(&mut self, cx: &mut Cx<'_, T>) {
        for entry in self.registry.iter_mut() {
            if entry.ring.as_mut().is_some_and(Ring::wanted_room) {
                let event = SessionEvent::DatagramsUnblocked;
                cx.out.push_back(Event::WebTransport(entry.key, event));
            }
        }
        for stream in self.rings.wanted_room() {
            let event = StreamEvent::DatagramsUnblocked;
            cx.out.push_back(Event::Stream(stream, event));
        }
    }
}

/// Whether datagrams can belong to a stream: a session's data streams have none of their
/// own, and claimed ones once the application takes them.
fn has_datagrams(slot: &Slot) -> bool {
    slot.exchange_ref().is_some() || matches!(Owner::of(slot.owner), Owner::Request(_))
}

/// Remembers in the sender's ring that there was no room for what it sent.
fn wait_for_room(
    sent: Result<(), DatagramError>,
    ring: Option<&mut Ring>,
) -> Result<(), DatagramError> {
    if sent == Err(DatagramError::Blocked)
        && let Some(ring) = ring
    {
        ring.want_room();
    }
    sent
}

/// Puts a datagram into its ring, and tells whose it is that there are some.
#[inline]
fn deliver<T>(
    cx: &mut Cx<'_, T>,
    owner: Owner,
    stream: StreamKey,
    ring: &mut Ring,
    payload: Bytes,
) {
    let pushed = ring.push(payload, &mut cx.h3.ring_bytes, &cx.h3.config.limits);
    cx.h3.stats.datagrams_overflowed += pushed.dropped;
    cx.h3.stats.datagrams_received += 1;
    if pushed.tell {
        cx.out.push_back(match owner {
            Owner::Connect(_) => Event::WebTransport(SessionKey(stream), SessionEvent::Datagrams),
            _ => Event::Stream(stream, StreamEvent::Datagrams),
        });
    }
}
