//! Streams and datagrams that came before their session: QUIC delivers streams in
//! any order, so what names a CONNECT may overtake it.
//!
//! Bounded in number, bytes and time. A waiting stream's body is not read, so flow
//! control holds its sender back. What is handed over keeps its order of arrival,
//! however often its wait was extended.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use crate::config::Limits;
use crate::id::{StreamId, StreamKey};
use crate::time::after;

#[derive(Debug)]
struct Early<A> {
    session: StreamId,
    since: Instant,
    until: Instant,
    what: A,
}

/// What waits for sessions.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    streams: VecDeque<Early<StreamKey>>,
    datagrams: VecDeque<Early<Bytes>>,
    datagram_bytes: usize,
}

impl Pending {
    /// Keeps a stream until its session opens; false when too many wait.
    #[must_use]
    pub(crate) fn hold_stream(
        &mut self,
        limits: &Limits,
        now: Instant,
        session: StreamId,
        stream: StreamKey,
    ) -> bool {
        if self.streams.len() >= limits.early_streams {
            return false;
        }
        self.streams.push_back(Early {
            session,
            since: now,
            until: after(now, limits.early_timeout),
            what: stream,
        });
        true
    }

    /// Keeps a datagram until its session opens; false when too many wait.
    #[must_use]
    pub(crate) fn hold_datagram(
        &mut self,
        limits: &Limits,
        now: Instant,
        session: StreamId,
        payload: Bytes,
    ) -> bool {
        if self.datagrams.len() >= limits.early_datagrams
            || self.datagram_bytes + payload.len() > limits.early_datagram_bytes
        {
            return false;
        }
        self.datagram_bytes += payload.len();
        self.datagrams.push_back(Early {
            session,
            since: now,
            until: after(now, limits.early_timeout),
            // It arrived in a block with others, which is not kept for its sake.
            what: Bytes::copy_from_slice(&payload),
        });
        true
    }

    /// Streams that wait for a session, in order of arrival. O(streams that wait).
    #[must_use]
    pub(crate) fn take_streams(&mut self, session: StreamId) -> Vec<StreamKey> {
        take(&mut self.streams, session)
    }

    /// Datagrams that wait for a session, in order of arrival. O(datagrams that wait).
    #[must_use]
    pub(crate) fn take_datagrams(&mut self, session: StreamId) -> Vec<Bytes> {
        let mine = take(&mut self.datagrams, session);
        self.datagram_bytes -= mine.iter().map(Bytes::len).sum::<usize>();
        mine
    }

    pub(crate) fn forget_stream(&mut self, stream: StreamKey) {
        self.streams.retain(|early| early.what != stream);
    }

    /// When one of them has waited long enough. O(what waits), at most
    /// [`Limits::early_streams`] and [`Limits::early_datagrams`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let streams = self.streams.iter().map(|early| early.until);
        let datagrams = self.datagrams.iter().map(|early| early.until);
        streams.chain(datagrams).min()
    }

    /// The next stream that has waited long enough, and its session. One whose
    /// session `goes_on` being decided about waits as long again, up to
    /// [`Limits::connect_timeout`] in all.
    pub(crate) fn next_stale_stream(
        &mut self,
        limits: &Limits,
        now: Instant,
        goes_on: impl Fn(StreamId) -> bool,
    ) -> Option<(StreamId, StreamKey)> {
        let early = next_stale(&mut self.streams, limits, now, goes_on)?;
        Some((early.session, early.what))
    }

    /// Drops datagrams that have waited long enough, as for
    /// [`Self::next_stale_stream`], and tells how many.
    pub(crate) fn drop_stale_datagrams(
        &mut self,
        limits: &Limits,
        now: Instant,
        goes_on: impl Fn(StreamId) -> bool,
    ) -> u64 {
        let mut dropped = 0;
        while let Some(early) = next_stale(&mut self.datagrams, limits, now, &goes_on) {
            self.datagram_bytes -= early.what.len();
            dropped += 1;
        }
        dropped
    }
}

fn take<A>(queue: &mut VecDeque<Early<A>>, session: StreamId) -> Vec<A> {
    if queue.is_empty() {
        return Vec::new();
    }
    let mut mine = Vec::new();
    for early in std::mem::take(queue) {
        if early.session == session {
            mine.push(early.what);
        } else {
            queue.push_back(early);
        }
    }
    mine
}

fn next_stale<A>(
    queue: &mut VecDeque<Early<A>>,
    limits: &Limits,
    now: Instant,
    goes_on: impl Fn(StreamId) -> bool,
) -> Option<Early<A>> {
    let at = queue.iter_mut().position(|early| {
        if early.until > now {
            return false;
        }
        let last = after(early.since, limits.connect_timeout);
        if now < last && goes_on(early.session) {
            early.until = after(now, limits.early_timeout).min(last);
            return false;
        }
        true
    })?;
    queue.remove(at)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an epoch to count from")]
mod tests {
    use super::*;

    #[test]
    fn what_waited_longer_is_still_handed_over_in_order_of_arrival() {
        let limits = Limits::default();
        let start = Instant::now();
        let step = limits.early_timeout / 2;
        let session = StreamId::new(crate::id::Side::Client, crate::id::Dir::Bi, 0);
        let mut pending = Pending::default();
        assert!(pending.hold_datagram(&limits, start, session, Bytes::from_static(b"first")));
        let later = start + step;
        assert!(pending.hold_datagram(&limits, later, session, Bytes::from_static(b"second")));

        assert_eq!(pending.deadline(), Some(start + limits.early_timeout));
        let stale = start + limits.early_timeout;
        assert_eq!(pending.drop_stale_datagrams(&limits, stale, |_| true), 0);
        assert_eq!(pending.deadline(), Some(later + limits.early_timeout));

        assert_eq!(pending.take_datagrams(session), ["first", "second"]);
    }

    #[test]
    fn what_is_handed_over_or_given_up_makes_room() {
        let limits = Limits {
            early_datagram_bytes: 10,
            ..Limits::default()
        };
        let start = Instant::now();
        let [one, two] =
            [0, 1].map(|number| StreamId::new(crate::id::Side::Client, crate::id::Dir::Bi, number));
        let mut pending = Pending::default();
        let hold = |pending: &mut Pending, session| {
            pending.hold_datagram(&limits, start, session, Bytes::from_static(b"seven b"))
        };
        assert!(hold(&mut pending, one));
        assert!(!hold(&mut pending, two), "fourteen bytes");
        assert_eq!(pending.take_datagrams(two).len(), 0);
        assert_eq!(pending.take_datagrams(one).len(), 1);
        assert!(hold(&mut pending, two));
        let stale = start + limits.early_timeout;
        assert_eq!(pending.drop_stale_datagrams(&limits, stale, |_| false), 1);
        assert!(hold(&mut pending, one));
    }

    #[test]
    fn a_stream_that_is_forgotten_is_not_handed_over() {
        let (limits, start) = (Limits::default(), Instant::now());
        let id = |number| StreamId::new(crate::id::Side::Client, crate::id::Dir::Bi, number);
        let [lost, kept] = [1, 2].map(|number| StreamKey {
            slot: 0,
            id: id(number),
        });
        let mut pending = Pending::default();
        for stream in [lost, kept] {
            assert!(pending.hold_stream(&limits, start, id(0), stream));
        }
        pending.forget_stream(lost);
        assert_eq!(pending.take_streams(id(0)), [kept]);
    }
}
