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

use super::SessionMut;
use super::carrier::Carrier;
use crate::h3::MAX_RANK;
use crate::h3::streams::NONE;

impl<C: Carrier> SessionMut<'_, C> {
    /// Changes a stream's order or group.
    pub(crate) fn reorder(&mut self, place: u32, order: Option<i32>, group: Option<u32>) {
        let Some(member) = self.streams.get_mut(place) else {
            return;
        };
        let before = (member.order, member.group);
        member.order = order.unwrap_or(member.order);
        member.group = group.unwrap_or(member.group);
        let after = (member.order, member.group);
        let list = &mut self.session.list;
        list.ordered -= u32::from(before.0 != 0);
        list.ordered += u32::from(after.0 != 0);
        if before != after {
            self.rank();
        }
    }

    /// A stream has come to the session.
    pub(super) fn rank_joined(&mut self, place: u32) {
        if self.is_ordered() {
            self.rank();
        } else {
            self.tell_rank(place, 0);
        }
    }

    /// A stream has nothing more to send: others may go before.
    pub(crate) fn on_sending_over(&mut self) {
        if self.is_ordered() {
            self.rank();
        }
    }

    pub(super) fn is_ordered(&self) -> bool {
        self.session.list.ordered > 0
    }

    /// The session itself has another priority, which its streams depend on.
    pub(crate) fn reprioritized(&mut self) {
        let list = self.session.list;
        let mut next = self.streams.next(list, NONE);
        while let Some(member) = self.streams.get_mut(next) {
            member.told = None;
            next = self.streams.next(list, next);
        }
        self.rank();
    }

    /// Ranks the streams of the session and tells the carrier what changed.
    pub(super) fn rank(&mut self) {
        let mut sending: Vec<_> = self
            .streams
            .of(self.session.list)
            .filter(|(_, member)| self.carrier.is_sending(member.stream))
            .map(|(place, member)| (member.group, member.order, place))
            .collect();
        // Highest first within each group.
        sending.sort_by_key(|(group, order, _)| Reverse((*group, *order)));
        let (mut rank, mut last) = (0u8, None);
        for (group, order, place) in sending {
            rank = match last {
                Some((same, above)) if same == group && above == order => rank,
                Some((same, _)) if same == group => rank.saturating_add(1).min(MAX_RANK),
                _ => 0,
            };
            last = Some((group, order));
            self.tell_rank(place, rank);
        }
    }

    /// Tells the carrier a stream's rank, unless it has been told.
    fn tell_rank(&mut self, place: u32, rank: u8) {
        if let Some(member) = self.streams.get_mut(place)
            && self.carrier.is_sending(member.stream)
            && member.told.replace(rank) != Some(rank)
        {
            self.carrier.rank(member.stream, rank);
        }
    }
}
