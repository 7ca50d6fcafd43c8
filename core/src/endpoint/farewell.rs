//! What is left of a connection that this side has closed, until QUIC forgets it: the
//! packet that says so, for a peer whose packets show that it has not heard.
//!
//! quinn keeps all of a connection for that time, three probe timeouts, with its keys, its
//! streams and what it has not sent; somebody who connects and is closed in a loop would
//! have a hundred of those held.

use std::net::SocketAddr;
use std::time::Instant;

use quinn_proto::{ConnectionHandle, EndpointEvent};

use super::connection::{self, State};
use super::packet::{Transmit, from_transmit};
use super::shares::Place;
use super::{Endpoint, Slot};
use crate::id::ConnKey;

/// How a connection closes, as far as QUIC has come with it.
#[derive(Debug, Default)]
pub(super) enum LastWord {
    /// It is open, or its last packet waits to be sent.
    #[default]
    Due,
    /// The packet that closes it has been sent.
    Said(Box<(Transmit, Vec<u8>)>),
    /// The peer closed it: there is nothing to say.
    Heard,
}

/// A connection in QUIC's closing or draining state.
#[derive(Debug)]
pub(super) struct Farewell {
    packet: Option<Box<(Transmit, Vec<u8>)>>,
    /// Forgotten at this time.
    pub(super) until: Instant,
    pub(super) place: Option<Place>,
    /// Packets that have come since, and after how many the next answer is due.
    came: u64,
    answer_at: u64,
    /// Bytes that have come and that nothing was sent for.
    bytes: usize,
    /// An answer waits to be sent.
    due: bool,
}

impl Farewell {
    /// Whether a packet from there is to be answered.
    fn hear(&mut self, remote: SocketAddr, len: usize) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc9000#section-10.2.2
        // Nothing is sent while draining.
        let Some((transmit, packet)) = self.packet.as_deref() else {
            return false;
        };
        // One that has moved, or somebody who only says so.
        if remote != transmit.remote {
            return false;
        }
        self.came += 1;
        self.bytes = self.bytes.saturating_add(len);
        //= https://www.rfc-editor.org/rfc/rfc9000#section-10.2.1
        // The same packet, after ever more packets, and never more than three times what came:
        // without the keys nobody knows whose they are.
        if self.due || self.came < self.answer_at || packet.len() > self.bytes.saturating_mul(3) {
            return false;
        }
        self.answer_at = self.came.saturating_mul(2);
        self.bytes = 0;
        self.due = true;
        true
    }

    /// The answer, if one is due.
    fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        if !std::mem::take(&mut self.due) {
            return None;
        }
        let (transmit, packet) = self.packet.as_deref()?;
        out.clear();
        out.extend_from_slice(packet);
        Some(*transmit)
    }
}

impl State {
    /// Remembers a packet that closes the connection.
    pub(super) fn remember_close(&mut self, transmit: &quinn_proto::Transmit, packet: &[u8]) {
        if let Some(packet) = packet.get(..transmit.size) {
            let last = (from_transmit(transmit), packet.to_vec());
            self.last_word = LastWord::Said(Box::new(last));
        }
    }

    /// What is left of the connection once nobody can have anything of it any more: it is
    /// closed and everybody knows, and nothing that came is unread.
    pub(super) fn farewell(&mut self) -> Option<Farewell> {
        if !self.told || self.drained.is_some() || self.upper.has_unread() {
            return None;
        }
        let until = self.quic.poll_timeout()?;
        let packet = match std::mem::take(&mut self.last_word) {
            LastWord::Due => return None,
            LastWord::Said(packet) => Some(packet),
            LastWord::Heard => None,
        };
        Some(Farewell {
            packet,
            until,
            place: self.place.take(),
            came: 0,
            answer_at: 1,
            bytes: 0,
            due: false,
        })
    }
}

impl Endpoint {
    /// Takes a datagram for a connection that is closed and all but forgotten, if it is
    /// for one.
    pub(super) fn remind(
        &mut self,
        handle: ConnectionHandle,
        from: SocketAddr,
        len: usize,
    ) -> bool {
        let Some(slot) = self.slots.get_mut(handle.0) else {
            return false;
        };
        let Some(farewell) = &mut slot.farewell else {
            return false;
        };
        if farewell.hear(from, len) {
            let key = connection::key(handle, slot.generation);
            self.sending.push_back(key);
        }
        true
    }

    /// The packet that answers late ones, if it is due.
    pub(super) fn say_again(&mut self, key: ConnKey, out: &mut Vec<u8>) -> Option<Transmit> {
        farewell_of(&mut self.slots, key)?.poll_transmit(out)
    }

    /// Forgets a connection whose time has come, if there is one.
    pub(super) fn forget(&mut self, key: ConnKey) {
        let Some(farewell) = farewell_of(&mut self.slots, key) else {
            return;
        };
        let place = farewell.place.take();
        self.vacate(key, place.as_ref());
        let handle = ConnectionHandle(key.index());
        // Nothing comes back for this event; the handle is free after it.
        let _ = self.quinn.handle_event(handle, EndpointEvent::drained());
    }

    /// Empties a slot; its handle is quinn's again.
    pub(super) fn vacate(&mut self, key: ConnKey, place: Option<&Place>) {
        self.timers.arm(key, None);
        if let Some(place) = place {
            self.shares.remove(place);
        }
        if let Some(slot) = self.slots.get_mut(key.index()) {
            slot.state = None;
            slot.farewell = None;
            slot.generation = slot.generation.wrapping_add(1);
        }
        self.closing -= 1;
    }
}

/// What is left of the connection that a key names. O(1).
fn farewell_of(slots: &mut [Slot], key: ConnKey) -> Option<&mut Farewell> {
    let slot = slots.get_mut(key.index())?;
    if slot.generation != key.generation {
        return None;
    }
    slot.farewell.as_deref_mut()
}
