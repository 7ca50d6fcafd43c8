//! Session flow control: three cumulative limits in each direction (bytes,
//! bidirectional streams, unidirectional streams), each a pair of the two small
//! machines here. They know numbers only.
//!
//! ```text
//!  sender:    take(n) ── beyond the limit ──▶ blocked() once ── raise(limit) ──▶ take
//!  receiver:  arrive(n) ─ over what was granted ─▶ error      release(n) ──▶ new grant
//! ```

use crate::id::Dir;

/// A limit the peer set for us.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Credit {
    limit: u64,
    used: u64,
    /// The limit at which the peer was last told that we are blocked.
    told_at: Option<u64>,
}

impl Credit {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            used: 0,
            told_at: None,
        }
    }

    /// What may be used now.
    pub(crate) fn available(&self) -> u64 {
        self.limit - self.used
    }

    /// Uses what is available up to `n` and tells how much.
    pub(crate) fn take(&mut self, n: u64) -> u64 {
        let taken = n.min(self.available());
        self.used += taken;
        taken
    }

    /// Whether the peer is to be told that we are blocked: once per limit.
    pub(crate) fn blocked(&mut self) -> bool {
        let told = self.told_at.replace(self.limit);
        told != Some(self.limit)
    }

    /// The limit that stops us, unless it has been raised since.
    fn told_now(&self) -> Option<u64> {
        self.told_at.filter(|limit| *limit == self.limit)
    }

    /// The peer's new limit: whether it grew, or an error when it shrank, or stayed where
    /// it was and may not ([`Rules::equal_limits`]).
    ///
    /// [`Rules::equal_limits`]: crate::webtransport::dialect::Rules::equal_limits
    pub(crate) fn raise(&mut self, limit: u64, equal: bool) -> Result<bool, NotRaised> {
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.6.4
        // A limit never shrinks, and what may not be repeated has to grow.
        if limit < self.limit || (limit == self.limit && !equal) {
            return Err(NotRaised);
        }
        let grew = limit > self.limit;
        self.limit = limit;
        Ok(grew)
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }
}

/// The peer lowered a limit, or repeated one that has to grow.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct NotRaised;

/// The peer used more than it was granted.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Overrun;

/// A limit we set for the peer.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Grant {
    granted: u64,
    arrived: u64,
    released: u64,
    window: u64,
    /// What was forgiven and may arrive after all.
    slack: u64,
    /// Of that, what did arrive and was not released yet.
    late: u64,
    /// The limit at which the peer last said that it is blocked.
    stuck_at: Option<u64>,
}

impl Grant {
    pub(crate) fn new(window: u64) -> Self {
        Self {
            granted: window,
            arrived: 0,
            released: 0,
            window,
            slack: 0,
            late: 0,
            stuck_at: None,
        }
    }

    /// The peer used `n`.
    pub(crate) fn arrive(&mut self, n: u64) -> Result<(), Overrun> {
        let arrived = self.arrived.saturating_add(n);
        // Beyond the limit there can only be what was forgiven and is late.
        let late = arrived.saturating_sub(self.granted);
        self.slack = self.slack.checked_sub(late).ok_or(Overrun)?;
        self.late = self.late.saturating_add(late);
        self.arrived = arrived - late;
        Ok(())
    }

    /// `n` of what arrived is done with. The new limit, when it is time to say so:
    /// half of the window is used up, or the peer stands still.
    pub(crate) fn release(&mut self, n: u64) -> Option<u64> {
        // What was forgiven was released then.
        let again = n.min(self.late);
        self.late -= again;
        let least = match self.stuck_at == Some(self.granted) {
            true => 1,
            false => self.window.div_ceil(2).max(1),
        };
        self.renew(n - again, least)
    }

    /// Counts `n` as done with. The new limit, if it is `least` more than the last.
    fn renew(&mut self, n: u64, least: u64) -> Option<u64> {
        self.released = self.released.saturating_add(n);
        let wanted = self.released.saturating_add(self.window);
        if wanted.saturating_sub(self.granted) < least {
            return None;
        }
        self.granted = wanted;
        Some(wanted)
    }

    /// The peer says that it is blocked at `limit`.
    pub(crate) fn stuck(&mut self, limit: u64) {
        self.stuck_at = Some(limit);
    }

    /// The new limit for a peer that stands still, if something was done with since the
    /// last one: while most of the window is in use, no half of it is left.
    pub(crate) fn unstick(&mut self) -> Option<u64> {
        self.release(0)
    }

    /// Whether the peer is blocked now, by things that have not arrived.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck_at == Some(self.granted) && self.arrived < self.granted
    }

    /// What the peer used and we never saw was lost to resets, `most` of it at most:
    /// it counts as done with. How much was forgiven, and the new limit, if there is
    /// one.
    pub(crate) fn forgive(&mut self, most: u64) -> (u64, Option<u64>) {
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-4.5
        // Without RESET_STREAM_AT a receiver cannot count what a reset took away;
        // the sender has, and must not be left without credit for it. Some of it
        // may be on its way after all, and is let in then.
        if !self.is_stuck() || most == 0 {
            return (0, None);
        }
        let unseen = (self.granted - self.arrived).min(most);
        self.slack = self.slack.saturating_add(unseen);
        self.arrived += unseen;
        // The peer stands still, so nothing is saved up.
        (unseen, self.renew(unseen, 1))
    }

    pub(crate) fn granted(&self) -> u64 {
        self.granted
    }
}

/// A session's limits, if it has any. They are those that every session begins with, and
/// own no memory, until something is counted.
#[derive(Debug, Default)]
pub(crate) struct Limited {
    begun: bool,
    used: Option<Box<Flow>>,
}

impl Limited {
    /// The session has opened, and has limits.
    pub(crate) fn begin(&mut self) {
        self.begun = true;
    }

    /// To count something, with the limits that every session begins with.
    #[inline]
    pub(crate) fn get_mut(&mut self, first: Option<(Three, Three)>) -> Option<&mut Flow> {
        if self.begun && self.used.is_none() {
            self.used = first.map(|(theirs, ours)| Box::new(Flow::new(theirs, ours)));
        }
        self.used.as_deref_mut()
    }

    /// If anything has been counted.
    #[inline]
    pub(crate) fn used(&mut self) -> Option<&mut Flow> {
        self.used.as_deref_mut()
    }

    /// What the peer allows us, then what we allow it.
    pub(crate) fn limits(&self, first: Option<(Three, Three)>) -> Option<(Three, Three)> {
        let used = self.used.as_deref().map(|flow| flow.limits());
        used.or(first.filter(|_| self.begun))
    }
}

/// The six machines of a session. Not there when flow control is off.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) send_data: Credit,
    open_bidi: Credit,
    open_uni: Credit,
    pub(crate) recv_data: Grant,
    accept_bidi: Grant,
    accept_uni: Grant,
    /// A stream was given up before all of it was read, so some of what the peer
    /// counted will never be counted here.
    pub(crate) lost: bool,
    /// What is to be told to the peer, as bits of [`Tell`].
    due: u8,
}

/// Data, bidirectional and unidirectional streams.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Three {
    pub(crate) data: u64,
    pub(crate) bidi: u64,
    pub(crate) uni: u64,
}

/// What the peer is told about limits. Only the latest value counts, so what
/// cannot be sent at once is remembered as a bit, however often it changes.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Tell {
    MaxData,
    MaxStreams(Dir),
    DataBlocked,
    StreamsBlocked(Dir),
}

impl Tell {
    const ALL: [Self; 6] = [
        Self::MaxStreams(Dir::Bi),
        Self::MaxStreams(Dir::Uni),
        Self::MaxData,
        Self::DataBlocked,
        Self::StreamsBlocked(Dir::Bi),
        Self::StreamsBlocked(Dir::Uni),
    ];

    const fn bit(self) -> u8 {
        match self {
            Self::MaxData => 1,
            Self::MaxStreams(Dir::Bi) => 2,
            Self::MaxStreams(Dir::Uni) => 4,
            Self::DataBlocked => 8,
            Self::StreamsBlocked(Dir::Bi) => 16,
            Self::StreamsBlocked(Dir::Uni) => 32,
        }
    }
}

impl Flow {
    /// What the peer allows us, then what we allow it.
    pub(crate) fn limits(mut self) -> (Three, Three) {
        let theirs = Three {
            data: self.send_data.limit(),
            bidi: self.open(Dir::Bi).limit(),
            uni: self.open(Dir::Uni).limit(),
        };
        let ours = Three {
            data: self.recv_data.granted(),
            bidi: self.accept(Dir::Bi).granted(),
            uni: self.accept(Dir::Uni).granted(),
        };
        (theirs, ours)
    }

    /// Whether there is anything to tell the peer.
    pub(crate) fn is_due(&self) -> bool {
        self.due != 0
    }

    /// Remembers to tell the peer.
    pub(crate) fn tell(&mut self, what: Tell) {
        self.due |= what.bit();
    }

    /// The next thing to tell, with its value now.
    pub(crate) fn next_due(&mut self) -> Option<(Tell, u64)> {
        for what in Tell::ALL {
            if self.due & what.bit() == 0 {
                continue;
            }
            self.due &= !what.bit();
            let value = match what {
                Tell::MaxData => Some(self.recv_data.granted()),
                Tell::MaxStreams(dir) => Some(self.accept(dir).granted()),
                Tell::DataBlocked => self.send_data.told_now(),
                Tell::StreamsBlocked(dir) => self.open(dir).told_now(),
            };
            if let Some(value) = value {
                return Some((what, value));
            }
        }
        None
    }

    pub(crate) fn new(theirs: Three, ours: Three) -> Self {
        Self {
            send_data: Credit::new(theirs.data),
            open_bidi: Credit::new(theirs.bidi),
            open_uni: Credit::new(theirs.uni),
            recv_data: Grant::new(ours.data),
            accept_bidi: Grant::new(ours.bidi),
            accept_uni: Grant::new(ours.uni),
            lost: false,
            due: 0,
        }
    }

    pub(crate) fn open(&mut self, dir: Dir) -> &mut Credit {
        match dir {
            Dir::Bi => &mut self.open_bidi,
            Dir::Uni => &mut self.open_uni,
        }
    }

    pub(crate) fn accept(&mut self, dir: Dir) -> &mut Grant {
        match dir {
            Dir::Bi => &mut self.accept_bidi,
            Dir::Uni => &mut self.accept_uni,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Row B24: blocked is told once per limit, and credit resumes.
    #[test]
    fn a_sender_uses_its_credit_and_says_once_that_it_is_blocked() {
        let mut credit = Credit::new(10);
        assert_eq!(credit.take(7), 7);
        assert_eq!(credit.take(7), 3);
        assert_eq!(credit.take(1), 0);
        assert!(credit.blocked());
        assert!(!credit.blocked());
        assert_eq!(credit.told_now(), Some(10));
        assert_eq!(credit.raise(12, true), Ok(true));
        assert_eq!(credit.take(5), 2);
        assert_eq!(credit.told_now(), None);
        assert!(credit.blocked());
    }

    // Row B25: a smaller limit is an error, the same one where the dialect says so.
    #[test]
    fn a_limit_never_shrinks() {
        let mut credit = Credit::new(10);
        for (limit, equal, raised) in [
            (10, true, Ok(false)),
            (10, false, Err(NotRaised)),
            (9, true, Err(NotRaised)),
        ] {
            assert_eq!(credit.raise(limit, equal), raised, "{limit}");
        }
        assert_eq!(credit.available(), 10);
        assert_eq!(credit.raise(11, false), Ok(true));
    }

    // Row B23: a window is renewed as it is used up.
    #[test]
    fn a_receiver_grants_more_at_half_a_window() {
        let mut grant = Grant::new(100);
        assert_eq!(grant.arrive(100), Ok(()));
        assert_eq!(grant.arrive(1), Err(Overrun));
        assert_eq!(grant.release(49), None);
        assert_eq!(grant.release(1), Some(150));
        assert_eq!(grant.arrive(50), Ok(()));
        assert_eq!(grant.arrive(1), Err(Overrun));
        assert_eq!(grant.release(100), Some(250));
    }

    // Row B23: whoever keeps most of a window in use gets the rest of it again.
    #[test]
    fn a_peer_that_stands_still_gets_what_there_is() {
        let mut grant = Grant::new(100);
        assert_eq!(grant.arrive(100), Ok(()));
        assert_eq!(grant.release(5), None);
        for (limit, renewed) in [(99, None), (100, Some(105)), (105, None)] {
            grant.stuck(limit);
            assert_eq!(grant.unstick(), renewed, "{limit}");
        }
        assert_eq!(grant.release(1), Some(106));
        assert_eq!(grant.release(1), None);
    }

    #[test]
    fn a_window_of_one_goes_one_by_one() {
        let mut grant = Grant::new(1);
        for n in 1..10 {
            assert_eq!(grant.arrive(1), Ok(()));
            assert_eq!(grant.arrive(1), Err(Overrun));
            assert_eq!(grant.release(1), Some(n + 1));
        }
    }

    #[test]
    fn what_resets_took_away_is_forgiven_once_the_peer_is_stuck() {
        let mut grant = Grant::new(100);
        assert_eq!(grant.arrive(30), Ok(()));
        assert_eq!(grant.release(30), None);
        grant.stuck(50);
        assert_eq!(grant.forgive(u64::MAX), (0, None));
        grant.stuck(100);
        assert_eq!(grant.forgive(u64::MAX), (70, Some(200)));
        assert_eq!(grant.forgive(u64::MAX), (0, None));
        // Some of it may have been on its way only: nobody is punished for that, and
        // the window is what it was.
        assert_eq!(grant.arrive(170), Ok(()));
        assert_eq!(grant.release(170), Some(300));
        assert_eq!(grant.arrive(101), Err(Overrun));
        assert_eq!(grant.arrive(100), Ok(()));
    }

    /// No more is forgiven than was lost.
    #[test]
    fn one_lost_stream_forgives_one() {
        let mut grant = Grant::new(2);
        grant.stuck(2);
        assert_eq!(grant.forgive(1), (1, Some(3)));
        grant.stuck(3);
        assert_eq!(grant.forgive(0), (0, None));
        assert_eq!(grant.arrive(3), Ok(()), "the one may be late");
        assert_eq!(grant.arrive(1), Err(Overrun));
    }
}
