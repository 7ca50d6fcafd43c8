//! Which connection attempts are taken.

use super::shares::Held;

/// Which connection attempts a server takes.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct IncomingPolicy {
    /// Connections open at once, handshakes and outgoing connections included.
    /// Beyond it, and beyond [`EndpointConfig::memory`](super::EndpointConfig::memory),
    /// whoever has most memory for its connections gives up the one that is idle the
    /// longest (no request, no session) to a newcomer who would still have less, once
    /// that has shown its address; it is closed with H3_NO_ERROR. All other attempts are
    /// refused with CONNECTION_REFUSED. Default 10,000.
    pub max_connections: usize,
    /// Connections of one address, or of one /64 of IPv6; further attempts are
    /// refused. `None`, the default, for half of [`max_connections`](Self::max_connections),
    /// or of those that the memory is enough for. An address has half of the memory, or
    /// more if this is more.
    /// Loopback is an address like others: raise it behind a proxy, and for load tests.
    pub max_per_address: Option<usize>,
    /// The same of one network, a /24 of IPv4 or a /48 of IPv6. `None`, the default,
    /// for three quarters, of the memory as well.
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
    /// Refused: there is no memory for one more.
    Memory,
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
    /// There is memory for it.
    pub(super) fits: bool,
    /// An idle connection of a larger holder makes place for it.
    pub(super) evicts: bool,
}

/// How much there may be of everything, of all and of each.
#[derive(Copy, Clone, Debug)]
pub(super) struct Bounds {
    /// Connections that may be open.
    pub(super) max: usize,
    /// Those that there is memory for, if these are fewer.
    pub(super) fit: usize,
    /// What a connection is promised at least.
    pub(super) least: usize,
    address: Share,
    network: Share,
}

/// The part of one address or network.
#[derive(Copy, Clone, Debug)]
struct Share {
    connections: usize,
    bytes: usize,
}

impl Bounds {
    /// What an address and its network have left of their shares in the memory.
    pub(super) fn left(&self, (address, network): (Held, Held)) -> usize {
        let address = self.address.bytes.saturating_sub(address.bytes);
        address.min(self.network.bytes.saturating_sub(network.bytes))
    }
}

impl IncomingPolicy {
    /// The bounds for connections that are promised at least so much of such a memory.
    pub(super) fn bounds(&self, memory: usize, least: usize) -> Bounds {
        let fit = self.max_connections.min(memory / least.max(1)).max(1);
        let share = |chosen: Option<usize>, default: usize| {
            let connections = chosen.unwrap_or(default);
            let part = connections.max(default).min(fit) as u128;
            let bytes = memory as u128 * part / fit as u128;
            Share {
                connections,
                bytes: usize::try_from(bytes).unwrap_or(memory),
            }
        };
        Bounds {
            max: self.max_connections,
            fit,
            least,
            address: share(self.max_per_address, (fit / 2).max(1)),
            network: share(self.max_per_network, fit - fit / 4),
        }
    }

    /// What becomes of an attempt, by what all connections are, those of its address and
    /// those of its network.
    pub(super) fn judge(
        &self,
        all: Held,
        address: Held,
        network: Held,
        bounds: &Bounds,
        newcomer: Newcomer,
    ) -> Verdict {
        // What is closing holds memory for a few round trips; a flood of short
        // connections must not make it grow without bound.
        let crowded = |held: Held, max: usize| held.open + held.closing >= max.saturating_mul(2);
        let filled = |held: Held, share: Share| {
            held.open >= share.connections
                || held.bytes.saturating_add(bounds.least) > share.bytes
                || crowded(held, share.connections)
        };
        let full = all.open >= bounds.max;
        let retry = match self.retry {
            Retry::Never => false,
            Retry::WhenBusy => {
                // Nobody loses a connection to an address that may be a lie.
                full || !newcomer.fits
                    || all.handshakes >= self.busy_handshakes
                    || network.handshakes >= self.busy_handshakes_per_network
            }
            Retry::Always => true,
        };
        match () {
            () if crowded(all, bounds.fit) || (full && !newcomer.evicts) => Verdict::Full,
            () if !newcomer.fits && !newcomer.evicts => Verdict::Memory,
            () if filled(address, bounds.address) || filled(network, bounds.network) => {
                Verdict::Share
            }
            () if retry && !newcomer.validated && newcomer.may_retry => Verdict::Retry,
            () => Verdict::Accept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: usize = 1000;

    /// With memory for a thousand.
    fn judge(
        policy: &IncomingPolicy,
        [all, address, network]: [Held; 3],
        newcomer: Newcomer,
    ) -> Verdict {
        let bounds = policy.bounds(1000 * LEAST, LEAST);
        policy.judge(all, address, network, &bounds, newcomer)
    }

    fn held(open: usize, closing: usize, handshakes: usize) -> Held {
        Held {
            open,
            closing,
            handshakes,
            bytes: open * LEAST,
        }
    }

    fn newcomer(validated: bool, evicts: bool) -> Newcomer {
        Newcomer {
            validated,
            may_retry: !validated,
            fits: true,
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
            (Retry::WhenBusy, held(2, 0, 1), false, Verdict::Accept),
            (Retry::WhenBusy, held(2, 0, 2), false, Verdict::Retry),
            (Retry::WhenBusy, held(2, 0, 2), true, Verdict::Accept),
            (Retry::Never, held(3, 0, 3), false, Verdict::Accept),
            (Retry::Always, held(0, 0, 0), false, Verdict::Retry),
            (Retry::Always, held(4, 0, 0), false, Verdict::Full),
            (Retry::Always, held(4, 0, 0), true, Verdict::Full),
            (Retry::Never, held(1, 7, 0), true, Verdict::Full),
        ] {
            let (none, newcomer) = (Held::default(), newcomer(validated, false));
            let judged = judge(&policy(retry), [load, none, none], newcomer);
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
            let judged = judge(policy, [network, address, network], newcomer(false, false));
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
        let full = |policy: &IncomingPolicy, validated| {
            judge(policy, [all, none, none], newcomer(validated, true))
        };
        assert_eq!(full(&policy, false), Verdict::Retry);
        assert_eq!(full(&policy, true), Verdict::Accept);
        policy.retry = Retry::Never;
        assert_eq!(full(&policy, false), Verdict::Accept);
        // What is closing cannot make place.
        let crowded = judge(&policy, [held(4, 4, 0), none, none], newcomer(true, true));
        assert_eq!(crowded, Verdict::Full);
    }

    #[test]
    fn what_does_not_fit_finds_a_full_endpoint() {
        let policy = IncomingPolicy::default();
        // Far from 10,000.
        let (all, none) = (held(1000, 0, 0), Held::default());
        for (validated, evicts, verdict) in [
            (false, false, Verdict::Memory),
            (false, true, Verdict::Retry),
            (true, true, Verdict::Accept),
        ] {
            let fits = false;
            let newcomer = Newcomer {
                fits,
                ..newcomer(validated, evicts)
            };
            assert_eq!(judge(&policy, [all, none, none], newcomer), verdict);
        }
    }

    #[test]
    fn the_memory_is_shared_as_connections_are() {
        let policy = IncomingPolicy::default();
        let with = |open: usize, bytes: usize| Held {
            bytes: bytes * LEAST,
            ..held(open, 0, 0)
        };
        for (address, network, verdict) in [
            // Half and three quarters of the thousand that fit.
            (held(499, 0, 0), held(499, 0, 0), Verdict::Accept),
            (held(500, 0, 0), held(500, 0, 0), Verdict::Share),
            (held(0, 0, 0), held(749, 0, 0), Verdict::Accept),
            (held(0, 0, 0), held(750, 0, 0), Verdict::Share),
            // Few that have grown.
            (with(100, 499), with(100, 499), Verdict::Accept),
            (with(100, 500), with(100, 500), Verdict::Share),
            (with(0, 0), with(100, 750), Verdict::Share),
        ] {
            let judged = judge(&policy, [network, address, network], newcomer(true, false));
            assert_eq!(judged, verdict, "{address:?} {network:?}");
        }
        let bounds = policy.bounds(1000 * LEAST, LEAST);
        assert_eq!(bounds.left((with(1, 400), with(1, 400))), 100 * LEAST);
        assert_eq!(bounds.left((with(1, 400), with(1, 740))), 10 * LEAST);
        // Who may have more connections may have more memory, and nobody has less than
        // by default.
        let chosen = |per_address| {
            let policy = IncomingPolicy {
                max_per_address: Some(per_address),
                ..policy.clone()
            };
            policy.bounds(1000 * LEAST, LEAST).address.bytes / LEAST
        };
        assert_eq!([10_000, 700, 500, 1].map(chosen), [1000, 700, 500, 500]);
    }
}
