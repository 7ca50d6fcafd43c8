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

    /// The limit to report to the peer, once per limit.
    pub(crate) fn blocked(&mut self) -> Option<u64> {
        if self.told_at == Some(self.limit) {
            return None;
        }
        self.told_at = Some(self.limit);
        Some(self.limit)
    }

    /// The peer's new limit: whether it grew, or an error when it shrank.
    pub(crate) fn raise(&mut self, limit: u64) -> Result<bool, Shrank> {
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.6.4
        // A limit never shrinks. Draft 16 also forbids repeating it, draft 15 does
        // not, and the two look the same: a repetition is let pass.
        if limit < self.limit {
            return Err(Shrank);
        }
        let grew = limit > self.limit;
        self.limit = limit;
        Ok(grew)
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }
}

/// The peer lowered a limit.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Shrank;

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
}

impl Grant {
    pub(crate) fn new(window: u64) -> Self {
        Self {
            granted: window,
            arrived: 0,
            released: 0,
            window,
            slack: 0,
        }
    }

    /// The peer used `n`.
    pub(crate) fn arrive(&mut self, n: u64) -> Result<(), Overrun> {
        let arrived = self.arrived.saturating_add(n);
        if arrived > self.granted.saturating_add(self.slack) {
            return Err(Overrun);
        }
        self.arrived = arrived;
        Ok(())
    }

    /// `n` of what arrived is done with. The new limit, when it is time to say so:
    /// less than half of the window is left.
    pub(crate) fn release(&mut self, n: u64) -> Option<u64> {
        self.released = self.released.saturating_add(n);
        let wanted = self.released.saturating_add(self.window);
        if wanted - self.granted.min(wanted) < self.window.div_ceil(2).max(1) {
            return None;
        }
        self.granted = wanted;
        Some(wanted)
    }

    /// The peer says that it is blocked at `limit` although nothing it sent is
    /// left with us: what we never saw was lost to resets. The new limit, if so.
    pub(crate) fn forgive(&mut self, limit: u64) -> Option<u64> {
        if limit != self.granted || self.released >= self.granted {
            return None;
        }
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-4.5
        // Without RESET_STREAM_AT a receiver cannot count what a reset took away;
        // the sender has, and must not be left without credit for it.
        let unseen = self.granted - self.arrived.min(self.granted);
        self.slack = self.slack.saturating_add(unseen);
        self.released = self.granted;
        self.arrived = self.arrived.max(self.granted);
        self.granted = self.granted.saturating_add(self.window);
        Some(self.granted)
    }

    pub(crate) fn granted(&self) -> u64 {
        self.granted
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
}

/// Data, bidirectional and unidirectional streams.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Three {
    pub(crate) data: u64,
    pub(crate) bidi: u64,
    pub(crate) uni: u64,
}

impl Flow {
    pub(crate) fn new(theirs: Three, ours: Three) -> Self {
        Self {
            send_data: Credit::new(theirs.data),
            open_bidi: Credit::new(theirs.bidi),
            open_uni: Credit::new(theirs.uni),
            recv_data: Grant::new(ours.data),
            accept_bidi: Grant::new(ours.bidi),
            accept_uni: Grant::new(ours.uni),
            lost: false,
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
        assert_eq!(credit.blocked(), Some(10));
        assert_eq!(credit.blocked(), None);
        assert_eq!(credit.raise(12), Ok(true));
        assert_eq!(credit.take(5), 2);
        assert_eq!(credit.blocked(), Some(12));
    }

    // Row B25: a smaller limit is an error, the same one is not.
    #[test]
    fn a_limit_never_shrinks() {
        let mut credit = Credit::new(10);
        assert_eq!(credit.raise(10), Ok(false));
        assert_eq!(credit.raise(9), Err(Shrank));
        assert_eq!(credit.available(), 10);
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
        assert_eq!(grant.forgive(50), None);
        assert_eq!(grant.forgive(100), Some(200));
        assert_eq!(grant.forgive(100), None);
        // Some of it may have been on its way only: nobody is punished for that.
        assert_eq!(grant.arrive(170), Ok(()));
        assert_eq!(grant.arrive(1), Err(Overrun));
    }
}
