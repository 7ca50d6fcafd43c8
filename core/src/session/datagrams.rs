//! HTTP datagrams (RFC 9297): a bounded ring per session or request, and the
//! way out.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use slab::Slab;

use super::{Cx, Sessions, Standing};
use crate::error::DatagramError;
use crate::event::{Event, SessionEvent, StreamEvent};
use crate::fault::{Fault, Violation};
use crate::h3::connection::H3;
use crate::h3::streams::{NONE, Recv, Send};
use crate::id::{SessionKey, StreamKey};
use crate::transport::{DatagramRefused, Transport};
use crate::wire::datagram;

/// Size of the buffer that outgoing datagrams are cut from.
const ARENA: usize = 64 * 1024;

/// Datagrams of one session or request that the application has not taken.
#[derive(Debug)]
struct Ring {
    stream: StreamKey,
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// The application knows that it is not empty.
    told: bool,
    /// A send was refused for lack of room.
    wants_room: bool,
    overflowed: u64,
}

/// All rings of a connection.
#[derive(Debug, Default)]
pub(crate) struct Rings {
    rings: Slab<Ring>,
    arena: BytesMut,
}

impl Rings {
    /// Gives a stream a ring, if it has none.
    pub(crate) fn insert(&mut self, h3: &mut H3, stream: StreamKey) {
        let Some(slot) = h3.table.get_mut(stream) else {
            return;
        };
        if slot.ring == NONE {
            let ring = Ring {
                stream,
                queue: VecDeque::new(),
                bytes: 0,
                told: false,
                wants_room: false,
                overflowed: 0,
            };
            slot.ring = u32::try_from(self.rings.insert(ring)).unwrap_or(NONE);
        }
    }

    /// Takes a stream's ring away, with what is in it.
    pub(crate) fn remove(&mut self, h3: &mut H3, stream: StreamKey) {
        if let Some(slot) = h3.table.get_mut(stream)
            && slot.ring != NONE
        {
            let ring = std::mem::replace(&mut slot.ring, NONE);
            self.rings.try_remove(ring as usize);
        }
    }

    fn get_mut(&mut self, h3: &H3, stream: StreamKey) -> Option<&mut Ring> {
        let slot = h3.table.get(stream)?;
        self.rings.get_mut(slot.ring as usize)
    }

    /// Takes the oldest datagram.
    pub(crate) fn pop(&mut self, h3: &H3, stream: StreamKey) -> Option<Bytes> {
        let ring = self.get_mut(h3, stream)?;
        let Some(payload) = ring.queue.pop_front() else {
            ring.told = false;
            return None;
        };
        ring.bytes -= payload.len();
        Some(payload)
    }

    /// Datagrams that were dropped for lack of room.
    pub(crate) fn overflowed(&mut self, h3: &H3, stream: StreamKey) -> u64 {
        self.get_mut(h3, stream).map_or(0, |ring| ring.overflowed)
    }

    /// A datagram with its prefix, in one piece of a shared buffer.
    fn cut(&mut self, prefix: &[u8], payload: &[u8]) -> Bytes {
        let len = prefix.len() + payload.len();
        if self.arena.capacity() - self.arena.len() < len {
            self.arena.reserve(ARENA.max(len));
        }
        self.arena.put_slice(prefix);
        self.arena.put_slice(payload);
        self.arena.split().freeze()
    }
}

impl Sessions {
    /// Takes in every datagram that has arrived.
    pub(crate) fn on_datagrams<T: Transport>(&mut self, cx: &mut Cx<'_, T>) -> Result<(), Fault> {
        while let Some(datagram) = cx.t.recv_datagram() {
            let (id, payload) = datagram::decode(datagram)
                .map_err(|_| Fault::Connection(Violation::DatagramMalformed))?;
            let Some(stream) = cx.h3.table.find(id) else {
                match self.standing(cx.h3, id) {
                    Standing::Expected => self.hold_datagram(cx, id, payload),
                    _ => cx.h3.stats.datagrams_unclaimed += 1,
                }
                continue;
            };
            let result = self.on_datagram(cx, stream, payload);
            cx.h3.settle_fault(cx.t, result)?;
        }
        Ok(())
    }

    fn on_datagram<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
        payload: Bytes,
    ) -> Result<(), Fault> {
        let Some(slot) = cx.h3.table.get(stream) else {
            return Ok(());
        };
        if slot.ring != NONE {
            //= https://www.rfc-editor.org/rfc/rfc9297#section-2.1
            // After the receiving half closed, datagrams are dropped in silence.
            if slot.recv != Recv::Closed {
                self.deliver(cx, stream, payload);
            }
            return Ok(());
        }
        match self.standing(cx.h3, stream.id()) {
            Standing::Expected => {
                self.hold_datagram(cx, stream.id(), payload);
                Ok(())
            }
            Standing::NotASession => {
                cx.h3.stats.datagrams_unclaimed += 1;
                let slot = cx.h3.table.get(stream).and_then(|slot| slot.exchange_ref());
                //= https://www.rfc-editor.org/rfc/rfc9297#section-2
                // A request without semantics for datagrams is ended. CONNECT may
                // have them as soon as the application says so.
                match slot {
                    Some(exchange) if !exchange.is_connect() => {
                        Err(Fault::Stream(stream, Violation::DatagramNotExpected))
                    }
                    _ => Ok(()),
                }
            }
            Standing::Open(_) | Standing::Over => {
                cx.h3.stats.datagrams_unclaimed += 1;
                Ok(())
            }
        }
    }

    /// Puts a datagram into its ring; the oldest goes when it is full.
    pub(super) fn deliver<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
        payload: Bytes,
    ) {
        let limits = &cx.h3.config.limits;
        let (count, bytes) = (limits.datagrams.max(1), limits.datagram_bytes);
        let Some(ring) = self.rings.get_mut(cx.h3, stream) else {
            return;
        };
        ring.bytes += payload.len();
        ring.queue.push_back(payload);
        let mut dropped = 0;
        while ring.queue.len() > count || (ring.bytes > bytes && ring.queue.len() > 1) {
            let Some(oldest) = ring.queue.pop_front() else {
                break;
            };
            ring.bytes -= oldest.len();
            dropped += 1;
        }
        ring.overflowed += dropped;
        let tell = !std::mem::replace(&mut ring.told, true);
        cx.h3.stats.datagrams_overflowed += dropped;
        cx.h3.stats.datagrams_received += 1;
        cx.h3.useful(1);
        if tell {
            let is_session = self.session_of(cx.h3, stream).is_some();
            cx.out.push_back(if is_session {
                Event::Session(SessionKey(stream), SessionEvent::Datagrams)
            } else {
                Event::Stream(stream, StreamEvent::Datagrams)
            });
        }
    }

    /// Largest payload that can be sent now.
    pub(crate) fn max_datagram_len<T: Transport>(
        &self,
        h3: &H3,
        t: &T,
        stream: StreamKey,
    ) -> Option<usize> {
        h3.table
            .get(stream)
            .filter(|slot| slot.send == Send::Open)?;
        let prefix = datagram::prefix(stream.id()).len();
        let max = t.max_datagram_size().filter(|_| h3.datagrams_enabled())?;
        max.checked_sub(prefix)
    }

    /// Sends a datagram of a session or request.
    pub(crate) fn send_datagram<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
        payload: &[u8],
    ) -> Result<(), DatagramError> {
        let slot = cx.h3.table.get(stream).ok_or(DatagramError::Gone)?;
        let exchange = slot.exchange_ref().ok_or(DatagramError::Gone)?;
        //= https://www.rfc-editor.org/rfc/rfc9297#section-2.1
        // Only while the stream's sending half is open.
        if slot.send != Send::Open || !exchange.told {
            return Err(DatagramError::Gone);
        }
        if slot.ring == NONE {
            return Err(DatagramError::Pending);
        }
        if let Some(session) = self.registry.get(cx.h3, SessionKey(stream))
            && !session.is_open()
        {
            return Err(if session.is_over() {
                DatagramError::Gone
            } else {
                DatagramError::Pending
            });
        }
        let prefix = datagram::prefix(stream.id());
        let len = prefix.len() + payload.len();
        if !cx.h3.datagrams_enabled() {
            return Err(DatagramError::Disabled);
        }
        if cx.t.peer_max_datagram_size().is_some_and(|max| len > max) {
            return Err(DatagramError::TooLarge);
        }
        match cx.t.max_datagram_size() {
            None => return Err(DatagramError::Disabled),
            Some(max) if len > max => return Err(DatagramError::TooLargeForPath),
            Some(_) => {}
        }
        let datagram = self.rings.cut(&prefix, payload);
        match cx.t.send_datagram(datagram) {
            Ok(()) => {
                cx.h3.stats.datagrams_sent += 1;
                if let Some(session) = self.registry.get_mut(cx.h3, SessionKey(stream)) {
                    session.stats.datagrams_sent += 1;
                }
                Ok(())
            }
            Err(DatagramRefused::Blocked(_)) => {
                if let Some(ring) = self.rings.get_mut(cx.h3, stream) {
                    ring.wants_room = true;
                }
                Err(DatagramError::Blocked)
            }
            Err(DatagramRefused::TooLarge) => Err(DatagramError::TooLargeForPath),
            Err(DatagramRefused::Disabled) => Err(DatagramError::Disabled),
        }
    }

    /// The transport takes datagrams again: tells whoever was refused.
    pub(crate) fn on_datagrams_unblocked<T: Transport>(&mut self, cx: &mut Cx<'_, T>) {
        for (_, ring) in &mut self.rings.rings {
            if std::mem::take(&mut ring.wants_room) {
                let stream = ring.stream;
                let is_session =
                    cx.h3.table.get(stream).is_some_and(|slot| {
                        slot.exchange_ref().is_some() && slot.link.session != NONE
                    });
                cx.out.push_back(if is_session {
                    Event::Session(SessionKey(stream), SessionEvent::DatagramsUnblocked)
                } else {
                    Event::Stream(stream, StreamEvent::DatagramsUnblocked)
                });
            }
        }
    }
}
