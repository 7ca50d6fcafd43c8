//! Whose turn it is among the streams of a session.
//!
//! The application orders streams against others of their session, and the
//! transport orders streams against all others of the connection. Were an order
//! handed down as it is, a session that counts from 1,000 would silence one that
//! counts from 0. What goes down is therefore a stream's *rank* among the orders in
//! use: the highest order of each session, whatever its number, shares with the
//! highest of every other session of the same urgency, and the others line up
//! behind it.
//!
//! ```text
//!  session A, group 0: orders 7, 7, 3     ranks 0, 0, 1
//!  session A, group 1: order -5           rank  0
//!  session B:          orders 900, 10     ranks 0, 1
//! ```
//!
//! Streams whose bytes are all sent have no rank. Ranks are worked out anew when
//! one of them changes: O(n log n) for n streams of the session, and O(1) as long as
//! no stream of it has an order.

use std::cmp::Reverse;

use super::registry::Registry;
use super::{Cx, Sessions};
use crate::h3::connection::H3;
use crate::h3::{MAX_RANK, tunnel_priority};
use crate::id::{SessionKey, StreamKey};
use crate::transport::Transport;

/// The transport's number for a rank in a session.
pub(super) fn priority(h3: &H3, key: SessionKey, rank: u8) -> i32 {
    //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-4.8
    // The session's priority is that of its CONNECT request.
    let priority = h3
        .table
        .get(key.stream())
        .and_then(|slot| slot.exchange_ref())
        .and_then(|exchange| exchange.priority())
        .unwrap_or_default();
    tunnel_priority(priority, rank)
}

impl Sessions {
    /// Changes a stream's order or group.
    pub(crate) fn reorder<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
        order: Option<i32>,
        group: Option<u32>,
    ) {
        let Some(session) = self.registry.owner_mut(cx.h3, stream) else {
            return;
        };
        let key = session.key;
        if key.stream() == stream {
            return;
        }
        let Some(slot) = cx.h3.table.get_mut(stream) else {
            return;
        };
        let before = slot.place;
        slot.place.order = order.unwrap_or(before.order);
        slot.place.group = group.unwrap_or(before.group);
        let after = slot.place;
        session.ordered -= u32::from(before.order != 0);
        session.ordered += u32::from(after.order != 0);
        if (before.order, before.group) != (after.order, after.group) {
            self.rank(cx, key);
        }
    }

    /// A stream has come to a session.
    pub(super) fn rank_joined<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        stream: StreamKey,
    ) {
        if is_ordered(&self.registry, cx.h3, key) {
            self.rank(cx, key);
        } else {
            tell(cx, stream, priority(cx.h3, key, 0));
        }
    }

    /// Takes a stream out of its session.
    pub(super) fn rank_left<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        stream: StreamKey,
    ) {
        let ordered = is_ordered(&self.registry, cx.h3, key);
        self.registry.unlink(cx.h3, stream);
        if ordered {
            self.rank(cx, key);
        }
    }

    /// A stream has nothing more to send: others may go before.
    pub(crate) fn on_sending_over<T: Transport>(&mut self, cx: &mut Cx<'_, T>, stream: StreamKey) {
        if let Some(key) = self.registry.owner(cx.h3, stream)
            && is_ordered(&self.registry, cx.h3, key)
        {
            self.rank(cx, key);
        }
    }

    /// Ranks the streams of a session and tells the transport what changed.
    pub(super) fn rank<T: Transport>(&mut self, cx: &mut Cx<'_, T>, key: SessionKey) {
        let mut sending: Vec<_> = self
            .registry
            .streams(cx.h3, key)
            .into_iter()
            .filter_map(|stream| {
                let slot = cx.h3.table.get(stream).filter(|slot| slot.is_sending())?;
                Some((slot.place.group, slot.place.order, stream))
            })
            .collect();
        // Highest first within each group.
        sending.sort_unstable_by_key(|(group, order, _)| Reverse((*group, *order)));
        let (mut rank, mut last) = (0u8, None);
        for (group, order, stream) in sending {
            rank = match last {
                Some((same, above)) if same == group && above == order => rank,
                Some((same, _)) if same == group => rank.saturating_add(1).min(MAX_RANK),
                _ => 0,
            };
            last = Some((group, order));
            tell(cx, stream, priority(cx.h3, key, rank));
        }
    }
}

fn is_ordered(registry: &Registry, h3: &H3, key: SessionKey) -> bool {
    registry
        .get(h3, key)
        .is_some_and(|session| session.ordered > 0)
}

/// Tells the transport a stream's number, unless it has been told.
fn tell<T: Transport>(cx: &mut Cx<'_, T>, stream: StreamKey, priority: i32) {
    if let Some(slot) = cx.h3.table.get_mut(stream)
        && slot.is_sending()
        && slot.place.told.replace(priority) != Some(priority)
    {
        cx.t.set_priority(stream.id(), priority);
    }
}
