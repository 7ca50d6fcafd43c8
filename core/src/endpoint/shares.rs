//! Who holds how many connections: by address, and by the network around it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::id::ConnKey;

/// A block of addresses, by its bits: what shares of anything are counted by.
#[derive(Copy, Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Block {
    /// Of IPv4.
    V4(u32),
    /// Of IPv6, the upper half.
    V6(u64),
}

/// Where somebody is, as far as it costs something to be there. Known by
/// [`endpoint`](crate::endpoint) as `NetworkOrigin`, for applications that share out what is
/// theirs as the endpoint shares out connections.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Origin {
    /// An IPv4 address, also a mapped one, or a /64 of IPv6, within which a host takes any
    /// address it likes.
    pub address: Block,
    /// The /24 or /48 around it, which belongs to one customer.
    pub network: Block,
}

impl From<IpAddr> for Origin {
    fn from(ip: IpAddr) -> Self {
        // An IPv6 socket tells IPv4 peers as mapped ones.
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let bits = Ipv4Addr::to_bits(ip);
                Self {
                    address: Block::V4(bits),
                    network: Block::V4(bits & 0xffff_ff00),
                }
            }
            IpAddr::V6(ip) => {
                let bits = (Ipv6Addr::to_bits(ip) >> 64) as u64;
                Self {
                    address: Block::V6(bits),
                    network: Block::V6(bits & 0xffff_ffff_ffff_0000),
                }
            }
        }
    }
}

/// What one address or network has of an endpoint.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Held {
    /// Connections that are not over.
    pub(super) open: usize,
    /// Connections that are over and not forgotten.
    pub(super) closing: usize,
    /// Handshakes that are not complete.
    pub(super) handshakes: usize,
    /// Bytes of memory that those that are not over are promised.
    pub(super) bytes: usize,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.open + self.closing == 0
    }
}

#[derive(Debug, Default)]
struct Address {
    held: Held,
    /// Its connections on which nothing is under way, the longest idle first.
    idle: BTreeMap<u64, ConnKey>,
}

impl Address {
    /// Its place among those that could give a connection up.
    fn rank(&self) -> Option<usize> {
        (!self.idle.is_empty()).then_some(self.held.bytes)
    }
}

#[derive(Debug, Default)]
struct Network {
    held: Held,
    addresses: BTreeMap<Block, Address>,
    /// Those with idle connections, by the memory of all their connections.
    ranked: BTreeSet<(usize, Block)>,
}

impl Network {
    fn rank(&self) -> Option<usize> {
        (!self.ranked.is_empty()).then_some(self.held.bytes)
    }
}

/// The place of an accepted connection among the others.
#[derive(Debug)]
pub(super) struct Place {
    origin: Origin,
    handshaking: bool,
    over: bool,
    bytes: usize,
    /// Since when it is idle, as a number.
    idle: Option<u64>,
}

impl Place {
    /// Where it came from.
    pub(super) fn origin(&self) -> Origin {
        self.origin
    }
}

/// All accepted connections, by where they came from. Everything is O(log n).
#[derive(Debug, Default)]
pub(super) struct Shares {
    networks: BTreeMap<Block, Network>,
    /// Those with idle connections, by the memory of all their connections.
    ranked: BTreeSet<(usize, Block)>,
    serial: u64,
}

impl Shares {
    /// What an address and its network have.
    pub(super) fn held(&self, origin: Origin) -> (Held, Held) {
        let Some(network) = self.networks.get(&origin.network) else {
            return <(Held, Held)>::default();
        };
        let address = network.addresses.get(&origin.address);
        let address = address.map_or_else(Held::default, |address| address.held);
        (address, network.held)
    }

    /// A connection is accepted, and promised so many bytes.
    pub(super) fn insert(&mut self, origin: Origin, bytes: usize) -> Place {
        self.change(origin, |held, _| {
            held.open += 1;
            held.handshakes += 1;
            held.bytes += bytes;
        });
        Place {
            origin,
            handshaking: true,
            over: false,
            bytes,
            idle: None,
        }
    }

    /// What a connection is doing, as it stands.
    pub(super) fn update(&mut self, place: &mut Place, key: ConnKey, now: Doing) {
        let handshaken = place.handshaking && !now.handshaking;
        let over = !place.over && now.over;
        let idle = now.idle && !now.over;
        let bytes = if now.over { 0 } else { now.bytes };
        if !handshaken && !over && place.idle.is_some() == idle && place.bytes == bytes {
            return;
        }
        let had = std::mem::replace(&mut place.bytes, bytes);
        place.handshaking = now.handshaking;
        place.over = now.over;
        let before = place.idle;
        if before.is_some() != idle {
            self.serial += 1;
            place.idle = idle.then_some(self.serial);
        }
        let after = place.idle;
        self.change(place.origin, |held, idle| {
            held.handshakes -= usize::from(handshaken);
            held.open -= usize::from(over);
            held.closing += usize::from(over);
            held.bytes = held.bytes - had + bytes;
            if let Some(idle) = idle
                && before != after
            {
                before.map(|since| idle.remove(&since));
                after.map(|since| idle.insert(since, key));
            }
        });
    }

    /// A connection that was over is forgotten.
    pub(super) fn remove(&mut self, place: &Place) {
        self.change(place.origin, |held, _| held.closing -= 1);
    }

    /// The connection that makes place for one more of `newcomer`, of so many `bytes`: of
    /// whoever has most memory, the one that is idle the longest. `None` when nobody has
    /// idle ones and more than the newcomer would have.
    pub(super) fn to_evict(&self, newcomer: Origin, bytes: usize) -> Option<ConnKey> {
        let (address, network) = self.held(newcomer);
        let more = |ranked: &BTreeSet<(usize, Block)>, than: usize| {
            let (most, block) = *ranked.last()?;
            (most > than + bytes).then_some(block)
        };
        let network = match more(&self.ranked, network.bytes) {
            Some(largest) => self.networks.get(&largest)?,
            // Its own network has most: there, a neighbour may have more than it.
            None => {
                let own = self.networks.get(&newcomer.network)?;
                more(&own.ranked, address.bytes).and(Some(own))?
            }
        };
        let (_, block) = network.ranked.last()?;
        let idle = &network.addresses.get(block)?.idle;
        idle.first_key_value().map(|(_, key)| *key)
    }

    /// Changes what a network and an address have, and where they stand. The change is
    /// made twice: to the network, and to the address with its idle connections.
    fn change(
        &mut self,
        Origin { address, network }: Origin,
        change: impl Fn(&mut Held, Option<&mut BTreeMap<u64, ConnKey>>),
    ) {
        let net = self.networks.entry(network).or_default();
        let net_before = net.rank();
        let host = net.addresses.entry(address).or_default();
        let host_before = host.rank();
        change(&mut net.held, None);
        change(&mut host.held, Some(&mut host.idle));
        let (host_after, is_gone) = (host.rank(), host.held.is_empty());
        rank(&mut net.ranked, address, host_before, host_after);
        if is_gone {
            net.addresses.remove(&address);
        }
        let (net_after, is_gone) = (net.rank(), net.held.is_empty());
        rank(&mut self.ranked, network, net_before, net_after);
        if is_gone {
            self.networks.remove(&network);
        }
    }

    /// Networks and addresses with connections, for tests that nothing stays.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.ranked.is_empty()
    }
}

/// What a connection is doing.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) struct Doing {
    pub(super) handshaking: bool,
    pub(super) idle: bool,
    pub(super) over: bool,
    /// What it is promised.
    pub(super) bytes: usize,
}

fn rank(
    ranked: &mut BTreeSet<(usize, Block)>,
    block: Block,
    before: Option<usize>,
    after: Option<usize>,
) {
    if before != after {
        before.map(|bytes| ranked.remove(&(bytes, block)));
        after.map(|bytes| ranked.insert((bytes, block)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(ip: &str) -> Origin {
        Origin::from(ip.parse::<IpAddr>().expect("an address"))
    }

    fn key(index: u32) -> ConnKey {
        ConnKey {
            index,
            generation: 0,
        }
    }

    const IDLE: Doing = Doing {
        handshaking: false,
        idle: true,
        over: false,
        bytes: 100,
    };

    #[test]
    fn an_address_is_what_a_host_has_and_a_network_what_a_customer_has() {
        assert_eq!(origin("192.0.2.1"), origin("::ffff:192.0.2.1"));
        assert_eq!(origin("192.0.2.1").network, origin("192.0.2.254").network);
        assert_ne!(origin("192.0.2.1").address, origin("192.0.2.254").address);
        assert_ne!(origin("192.0.2.1").network, origin("192.0.3.1").network);
        assert_eq!(origin("2001:db8:1:2::1"), origin("2001:db8:1:2:3:4:5:6"));
        let (one, two) = (origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
        assert_eq!(one.network, two.network);
        assert_ne!(one.address, two.address);
        assert_ne!(one.network, origin("2001:db8:2::1").network);
    }

    #[test]
    fn the_longest_idle_of_the_largest_makes_place_for_a_smaller() {
        let mut shares = Shares::default();
        let mut places = Vec::new();
        for (index, ip) in ["10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.2", "10.9.0.1"]
            .iter()
            .enumerate()
        {
            let mut place = shares.insert(origin(ip), 100);
            shares.update(&mut place, key(index as u32), IDLE);
            places.push(place);
        }
        let stranger = origin("10.5.0.1");
        assert_eq!(shares.to_evict(stranger, 100), Some(key(0)));
        // What becomes busy and idle again is idle for a shorter time.
        let busy = Doing {
            idle: false,
            ..IDLE
        };
        shares.update(&mut places[0], key(0), busy);
        assert_eq!(shares.to_evict(stranger, 100), Some(key(1)));
        shares.update(&mut places[0], key(0), IDLE);
        assert_eq!(shares.to_evict(stranger, 100), Some(key(1)));
        // Nobody makes place for the largest, but for a neighbour of its.
        assert_eq!(shares.to_evict(origin("10.0.0.1"), 100), None);
        assert_eq!(shares.to_evict(origin("10.0.0.2"), 100), Some(key(1)));
        // Without idle ones nobody makes place.
        for (index, place) in places.iter_mut().enumerate().take(4) {
            shares.update(place, key(index as u32), busy);
        }
        assert_eq!(
            shares.to_evict(stranger, 100),
            None,
            "two is not more than one and one"
        );
        let over = Doing { over: true, ..IDLE };
        for (index, mut place) in places.into_iter().enumerate() {
            shares.update(&mut place, key(index as u32), over);
            shares.remove(&place);
        }
        assert!(shares.is_empty());
    }
}
