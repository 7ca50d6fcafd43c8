//! Which connection attempts are taken.

use super::shares::Held;

/// Which connection attempts a server takes.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct IncomingPolicy {
    /// Connections open at once, handshakes and outgoing connections included.
    /// Beyond it, whoever has most of them gives up the one that is idle the longest
    /// (no request, no session) to a newcomer who would still have fewer, once that
    /// has shown its address; it is closed with H3_NO_ERROR. All other attempts are
    /// refused with CONNECTION_REFUSED. Default 10,000.
    pub max_connections: usize,
    /// Connections of one address, or of one /64 of IPv6; further attempts are
    /// refused. `None`, the default, for half of [`max_connections`](Self::max_connections).
    /// Loopback is an address like others: raise it behind a proxy, and for load tests.
    pub max_per_address: Option<usize>,
    /// The same of one network, a /24 of IPv4 or a /48 of IPv6. `None`, the default,
    /// for three quarters.
    pub max_per_network: Option<usize>,
    /// When the client's address is checked before anything is spent on it.
    pub retry: Retry,
    /// Unfinished handshakes from which on [`Retry::WhenBusy`] checks addresses.
    /// Default 256.
    pub busy_handshakes: usize,
    /// The same of one network, whose addresses alone are then checked. Default 64.
    pub busy_handshakes_per_network: usize,
}

/// When a client must show that it can be reached at its address (RFC 9000
/// §8.1.2), at the price of one round trip.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Retry {
    /// Never.
    Never,
    /// While many handshakes are unfinished, or the endpoint is full.
    #[default]
    WhenBusy,
    /// Always.
    Always,
}

impl Default for IncomingPolicy {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_per_address: None,
            max_per_network: None,
            retry: Retry::WhenBusy,
            busy_handshakes: 256,
            busy_handshakes_per_network: 64,
        }
    }
}

/// What becomes of one attempt.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Accept,
    /// Refused: there are too many connections.
    Full,
    /// Refused: the address or its network has too many.
    Share,
    Retry,
}

/// What is known of one attempt.
#[derive(Copy, Clone, Debug)]
pub(super) struct Newcomer {
    /// The client has shown its address.
    pub(super) validated: bool,
    /// It has not been asked to before.
    pub(super) may_retry: bool,
    /// An idle connection of a larger holder makes place for it.
    pub(super) evicts: bool,
}

impl IncomingPolicy {
    /// What becomes of an attempt, by what all connections are, those of its address and
    /// those of its network.
    pub(super) fn judge(
        &self,
        all: Held,
        address: Held,
        network: Held,
        newcomer: Newcomer,
    ) -> Verdict {
        // What is closing holds memory for a few round trips; a flood of short
        // connections must not make it grow without bound.
        let crowded = |held: Held, max: usize| held.open + held.closing >= max.saturating_mul(2);
        let filled = |held: Held, max: usize| held.open >= max || crowded(held, max);
        let max = self.max_connections;
        let full = all.open >= max;
        let per_address = self.max_per_address.unwrap_or((max / 2).max(1));
        let three_quarters = max - max / 4;
        let per_network = self.max_per_network.unwrap_or(three_quarters);
        let retry = match self.retry {
            Retry::Never => false,
            Retry::WhenBusy => {
                // Nobody loses a connection to an address that may be a lie.
                full || all.handshakes >= self.busy_handshakes
                    || network.handshakes >= self.busy_handshakes_per_network
            }
            Retry::Always => true,
        };
        match () {
            () if crowded(all, max) || (full && !newcomer.evicts) => Verdict::Full,
            () if filled(address, per_address) || filled(network, per_network) => Verdict::Share,
            () if retry && !newcomer.validated && newcomer.may_retry => Verdict::Retry,
            () => Verdict::Accept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(open: usize, closing: usize, handshakes: usize) -> Held {
        Held {
            open,
            closing,
            handshakes,
        }
    }

    fn newcomer(validated: bool, evicts: bool) -> Newcomer {
        Newcomer {
            validated,
            may_retry: !validated,
            evicts,
        }
    }

    #[test]
    fn attempts_are_judged_by_load_and_address() {
        let policy = |retry| IncomingPolicy {
            max_connections: 4,
            retry,
            busy_handshakes: 2,
            ..IncomingPolicy::default()
        };
        for (retry, load, validated, verdict) in [
            (Retry::WhenBusy, held(0, 0, 0), false, Verdict::Accept),
            (Retry::WhenBusy, held(2, 0, 2), false, Verdict::Retry),
            (Retry::WhenBusy, held(2, 0, 2), true, Verdict::Accept),
            (Retry::Never, held(3, 0, 3), false, Verdict::Accept),
            (Retry::Always, held(0, 0, 0), false, Verdict::Retry),
            (Retry::Always, held(4, 0, 0), false, Verdict::Full),
            (Retry::Always, held(4, 0, 0), true, Verdict::Full),
            (Retry::Never, held(1, 7, 0), true, Verdict::Full),
        ] {
            let (none, newcomer) = (Held::default(), newcomer(validated, false));
            let judged = policy(retry).judge(load, none, none, newcomer);
            assert_eq!(judged, verdict, "{retry:?} {load:?}");
        }
    }

    #[test]
    fn an_address_and_a_network_have_a_share() {
        let policy = IncomingPolicy {
            max_connections: 8,
            busy_handshakes_per_network: 3,
            ..IncomingPolicy::default()
        };
        let few = IncomingPolicy {
            max_per_address: Some(2),
            max_per_network: Some(3),
            ..policy.clone()
        };
        let proxied = IncomingPolicy {
            max_per_address: Some(8),
            max_per_network: Some(8),
            ..policy.clone()
        };
        for (policy, address, network, verdict) in [
            (&policy, held(3, 0, 0), held(3, 0, 0), Verdict::Accept),
            (&policy, held(4, 0, 0), held(4, 0, 0), Verdict::Share),
            (&policy, held(1, 7, 0), held(1, 7, 0), Verdict::Share),
            (&policy, held(0, 0, 0), held(5, 0, 0), Verdict::Accept),
            (&policy, held(0, 0, 0), held(6, 0, 0), Verdict::Share),
            (&policy, held(0, 0, 0), held(3, 0, 2), Verdict::Accept),
            (&policy, held(0, 0, 0), held(3, 0, 3), Verdict::Retry),
            (&few, held(1, 0, 0), held(2, 0, 0), Verdict::Accept),
            (&few, held(2, 0, 0), held(2, 0, 0), Verdict::Share),
            (&few, held(0, 0, 0), held(3, 0, 0), Verdict::Share),
            (&proxied, held(7, 0, 0), held(7, 0, 0), Verdict::Accept),
        ] {
            let judged = policy.judge(network, address, network, newcomer(false, false));
            assert_eq!(judged, verdict, "{address:?} {network:?}");
        }
    }

    #[test]
    fn who_takes_the_place_of_another_shows_its_address_first() {
        let mut policy = IncomingPolicy {
            max_connections: 4,
            ..IncomingPolicy::default()
        };
        let (all, none) = (held(4, 0, 0), Held::default());
        let judge = |policy: &IncomingPolicy, validated| {
            policy.judge(all, none, none, newcomer(validated, true))
        };
        assert_eq!(judge(&policy, false), Verdict::Retry);
        assert_eq!(judge(&policy, true), Verdict::Accept);
        policy.retry = Retry::Never;
        assert_eq!(judge(&policy, false), Verdict::Accept);
        // What is closing cannot make place.
        let crowded = policy.judge(held(4, 4, 0), none, none, newcomer(true, true));
        assert_eq!(crowded, Verdict::Full);
    }
}
