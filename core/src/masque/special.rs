//! Addresses that are not of the public Internet.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a special address is for.
///
/// The ranges are those of the IANA special-purpose registries, and in IPv6 everything
/// that is not global unicast (`2000::/3`). Addresses that carry an IPv4 address
/// to some translator or relay are special whatever they carry; the one exception is
/// `::ffff:0:0/96`, which is the IPv4 address and nothing else.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum SpecialRange {
    /// `0.0.0.0/8`, `::`: this host, on this network.
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// `169.254.0.0/16`, where clouds keep their credentials; `fe80::/10`.
    LinkLocal,
    /// `10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16` (RFC 1918).
    Private,
    /// `100.64.0.0/10`: between carriers and their customers (RFC 6598).
    Cgnat,
    /// `fc00::/7` (RFC 4193).
    UniqueLocal,
    /// `fec0::/10`, deprecated (RFC 3879).
    SiteLocal,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// `192.0.2.0/24`, `198.51.100.0/24`, `203.0.113.0/24`, `2001:db8::/32`, `3fff::/20`.
    Documentation,
    /// `198.18.0.0/15` (RFC 2544).
    Benchmarking,
    /// `192.0.0.0/24`, `2001::/23` without Teredo: what the IETF gave to protocols.
    Protocol,
    /// `192.88.99.0/24`, relays of 6to4, deprecated; `2002::/16`, what they carry.
    SixToFour,
    /// `2001::/32`: IPv6 in UDP of an IPv4 address (RFC 4380).
    Teredo,
    /// `64:ff9b::/32`: translation to IPv4 (RFC 6052, RFC 8215).
    Nat64,
    /// `::/96` without `::` and `::1`: IPv4 addresses in IPv6, deprecated.
    Compatible,
    /// `100::/16`, of which some is there to be thrown away (RFC 6666).
    Discard,
    /// `5f00::/16`: segment routing (RFC 9602).
    SegmentRouting,
    /// `240.0.0.0/4`, and of IPv6 what is not `2000::/3` and has no other name here.
    Reserved,
}

use SpecialRange as R;

/// Network, length of its prefix, range. The first that has an address names it.
const V4: &[(Ipv4Addr, u8, SpecialRange)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, R::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, R::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, R::Cgnat),
    (Ipv4Addr::new(127, 0, 0, 0), 8, R::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, R::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, R::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, R::Protocol),
    (Ipv4Addr::new(192, 0, 2, 0), 24, R::Documentation),
    (Ipv4Addr::new(192, 88, 99, 0), 24, R::SixToFour),
    (Ipv4Addr::new(192, 168, 0, 0), 16, R::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, R::Benchmarking),
    (Ipv4Addr::new(198, 51, 100, 0), 24, R::Documentation),
    (Ipv4Addr::new(203, 0, 113, 0), 24, R::Documentation),
    (Ipv4Addr::new(224, 0, 0, 0), 4, R::Multicast),
    (Ipv4Addr::new(255, 255, 255, 255), 32, R::Broadcast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, R::Reserved),
];

/// As above; the first two groups of the network, of which the others are zero.
const V6: &[(u16, u16, u8, SpecialRange)] = &[
    (0, 0, 96, R::Compatible),
    (0x64, 0xff9b, 32, R::Nat64),
    (0x100, 0, 16, R::Discard),
    (0x2001, 0, 32, R::Teredo),
    (0x2001, 0, 23, R::Protocol),
    (0x2001, 0xdb8, 32, R::Documentation),
    (0x2002, 0, 16, R::SixToFour),
    (0x3fff, 0, 20, R::Documentation),
    (0x5f00, 0, 16, R::SegmentRouting),
    (0xfc00, 0, 7, R::UniqueLocal),
    (0xfe80, 0, 10, R::LinkLocal),
    (0xfec0, 0, 10, R::SiteLocal),
    (0xff00, 0, 8, R::Multicast),
];

impl SpecialRange {
    /// The range that an address is in; `None` for one of the public Internet. An IPv4
    /// address in `::ffff:0:0/96` is what the IPv4 address is.
    #[must_use]
    pub fn of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }
}

fn of_v4(address: Ipv4Addr) -> Option<SpecialRange> {
    let mut ranges = V4.iter();
    let found = ranges.find(|(net, len, _)| covers((*net).into(), *len, address.into()));
    found.map(|(_, _, range)| *range)
}

fn of_v6(address: Ipv6Addr) -> Option<SpecialRange> {
    if address.is_unspecified() {
        return Some(R::Unspecified);
    }
    if address.is_loopback() {
        return Some(R::Loopback);
    }
    let net = |high, low| IpAddr::V6(Ipv6Addr::new(high, low, 0, 0, 0, 0, 0, 0));
    let mut ranges = V6.iter();
    let found = ranges.find(|(high, low, len, _)| covers(net(*high, *low), *len, address.into()));
    match found {
        Some((.., range)) => Some(*range),
        None if covers(net(0x2000, 0), 3, address.into()) => None,
        None => Some(R::Reserved),
    }
}

/// Whether an address is in a network: the first `len` bits are the same.
pub(super) fn covers(net: IpAddr, len: u8, address: IpAddr) -> bool {
    let (differ, bits) = match (net, address) {
        (IpAddr::V4(net), IpAddr::V4(address)) => {
            (u128::from(net.to_bits() ^ address.to_bits()), 32)
        }
        (IpAddr::V6(net), IpAddr::V6(address)) => (net.to_bits() ^ address.to_bits(), 128),
        _ => return false,
    };
    let behind = u32::from(bits - len.min(bits));
    differ.checked_shr(behind).unwrap_or(0) == 0
}

/// The IPv4 addresses to which what is sent to this IPv6 address may come out.
///
/// Of `64:ff9b:1::/48` nobody but its operator knows where in it they are.
pub(super) fn embedded(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let IpAddr::V6(address) = address else {
        return [None, None].into_iter().flatten();
    };
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 =
        |high: u16, low: u16| Some(IpAddr::V4((u32::from(high) << 16 | u32::from(low)).into()));
    let found = match (a, b) {
        (0, 0) if (c, d, e, f) == (0, 0, 0, 0) && (g, h) > (0, 1) => [v4(g, h), None],
        (0x64, 0xff9b) if (c, d, e, f) == (0, 0, 0, 0) => [v4(g, h), None],
        (0x2002, _) => [v4(b, c), None],
        //= https://www.rfc-editor.org/rfc/rfc4380#section-4
        // The server, and the client with all bits inverted.
        (0x2001, 0) => [v4(c, d), v4(!g, !h)],
        _ => [None, None],
    };
    found.into_iter().flatten()
}

impl fmt::Display for SpecialRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Private => "a private address",
            Self::Cgnat => "a carrier's internal address",
            Self::UniqueLocal => "a unique local address",
            Self::SiteLocal => "a site-local address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Documentation => "an address for documentation",
            Self::Benchmarking => "an address for benchmarks",
            Self::Protocol => "an address for protocols of the IETF",
            Self::SixToFour => "an address of 6to4",
            Self::Teredo => "an address of Teredo",
            Self::Nat64 => "an address of NAT64",
            Self::Compatible => "an IPv4-compatible address",
            Self::Discard => "an address for discarding",
            Self::SegmentRouting => "an address of segment routing",
            Self::Reserved => "a reserved address",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::masque::{Denied, TargetPolicy};

    /// First and last address of a range, its name, and what the addresses before and
    /// behind it are.
    type Row = (
        &'static str,
        &'static str,
        SpecialRange,
        Option<SpecialRange>,
        Option<SpecialRange>,
    );

    #[rustfmt::skip]
    const RANGES: &[Row] = &[
        ("0.0.0.0", "0.255.255.255", R::Unspecified, None, None),
        ("10.0.0.0", "10.255.255.255", R::Private, None, None),
        ("100.64.0.0", "100.127.255.255", R::Cgnat, None, None),
        ("127.0.0.0", "127.255.255.255", R::Loopback, None, None),
        ("169.254.0.0", "169.254.255.255", R::LinkLocal, None, None),
        ("172.16.0.0", "172.31.255.255", R::Private, None, None),
        ("192.0.0.0", "192.0.0.255", R::Protocol, None, None),
        ("192.0.2.0", "192.0.2.255", R::Documentation, None, None),
        ("192.88.99.0", "192.88.99.255", R::SixToFour, None, None),
        ("192.168.0.0", "192.168.255.255", R::Private, None, None),
        ("198.18.0.0", "198.19.255.255", R::Benchmarking, None, None),
        ("198.51.100.0", "198.51.100.255", R::Documentation, None, None),
        ("203.0.113.0", "203.0.113.255", R::Documentation, None, None),
        ("224.0.0.0", "239.255.255.255", R::Multicast, None, Some(R::Reserved)),
        ("240.0.0.0", "255.255.255.254", R::Reserved, Some(R::Multicast), Some(R::Broadcast)),
        ("255.255.255.255", "255.255.255.255", R::Broadcast, Some(R::Reserved), None),
        ("::", "::", R::Unspecified, None, Some(R::Loopback)),
        ("::1", "::1", R::Loopback, Some(R::Unspecified), Some(R::Compatible)),
        ("::2", "::ffff:ffff", R::Compatible, Some(R::Loopback), Some(R::Reserved)),
        ("::1:0:0", "::fffe:ffff:ffff", R::Reserved, Some(R::Compatible), Some(R::Unspecified)),
        ("::ffff:10.0.0.0", "::ffff:10.255.255.255", R::Private, None, None),
        ("::1:0:0:0", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", R::Reserved, Some(R::Broadcast), Some(R::Nat64)),
        ("64:ff9b::", "64:ff9b:ffff:ffff:ffff:ffff:ffff:ffff", R::Nat64, Some(R::Reserved), Some(R::Reserved)),
        ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", R::Nat64, Some(R::Nat64), Some(R::Nat64)),
        ("100::", "100:ffff:ffff:ffff:ffff:ffff:ffff:ffff", R::Discard, Some(R::Reserved), Some(R::Reserved)),
        ("101::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", R::Reserved, Some(R::Discard), None),
        ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", R::Teredo, None, Some(R::Protocol)),
        ("2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", R::Protocol, Some(R::Teredo), None),
        ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", R::Documentation, None, None),
        ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", R::SixToFour, None, None),
        ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", R::Documentation, None, None),
        ("4000::", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", R::Reserved, None, Some(R::SegmentRouting)),
        ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", R::SegmentRouting, Some(R::Reserved), Some(R::Reserved)),
        ("5f01::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", R::Reserved, Some(R::SegmentRouting), Some(R::UniqueLocal)),
        ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", R::UniqueLocal, Some(R::Reserved), Some(R::Reserved)),
        ("fe00::", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", R::Reserved, Some(R::UniqueLocal), Some(R::LinkLocal)),
        ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", R::LinkLocal, Some(R::Reserved), Some(R::SiteLocal)),
        ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", R::SiteLocal, Some(R::LinkLocal), Some(R::Multicast)),
        ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", R::Multicast, Some(R::SiteLocal), None),
    ];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    /// The address before or behind, if there is one.
    fn neighbour(address: IpAddr, by: i8) -> Option<IpAddr> {
        Some(match address {
            IpAddr::V4(one) => IpAddr::V4(one.to_bits().checked_add_signed(by.into())?.into()),
            IpAddr::V6(one) => IpAddr::V6(one.to_bits().checked_add_signed(by.into())?.into()),
        })
    }

    /// That the default policy says of this address what is expected, as a literal and as
    /// what a name resolved to, in its own form and mapped.
    fn judge(address: IpAddr, expected: Option<SpecialRange>) {
        let verdict = expected.map_or(Ok(()), |range| Err(Denied::Special(range)));
        let mapped = match address {
            IpAddr::V4(address) => IpAddr::V6(address.to_ipv6_mapped()),
            address => address,
        };
        let policy = TargetPolicy::default();
        for address in [address, mapped] {
            assert_eq!(SpecialRange::of(address), expected, "{address}");
            let literal = match address {
                IpAddr::V4(_) => format!("{address}:443"),
                IpAddr::V6(_) => format!("[{address}]:443"),
            };
            let literal = literal.parse().expect("an authority");
            assert_eq!(policy.check_target(&literal), verdict, "{address}");
            let name = "a.example:443".parse().expect("an authority");
            assert_eq!(policy.check_address(&name, address), verdict, "{address}");
        }
    }

    // Row C16: every range of both families.
    #[test]
    fn special_ranges_are_refused_to_the_last_address() {
        for (first, last, range, before, behind) in RANGES {
            for address in [ip(first), ip(last)] {
                judge(address, Some(*range));
            }
            if let Some(address) = neighbour(ip(first), -1) {
                judge(address, *before);
            }
            if let Some(address) = neighbour(ip(last), 1) {
                judge(address, *behind);
            }
        }
        for address in ["1.1.1.1", "8.8.8.8", "2000::", "2606:4700::1111", "3ffe::"] {
            judge(ip(address), None);
        }
        assert_eq!(SpecialRange::of(ip("::ffff:8.8.8.8")), None);
    }

    #[test]
    fn every_row_of_the_code_is_tested() {
        let tested = |net: IpAddr, range: &SpecialRange| {
            RANGES.iter().any(|row| ip(row.0) == net && row.2 == *range)
        };
        for (net, _, range) in V4 {
            assert!(tested((*net).into(), range), "{net}");
        }
        for (high, low, _, range) in V6 {
            let net = Ipv6Addr::new(*high, *low, 0, 0, 0, 0, 0, 0);
            // Before these two there are others, of more bits.
            let net = match net.to_bits() {
                0 => "::2".parse().expect("an address"),
                _ if *range == R::Protocol => "2001:1::".parse().expect("an address"),
                _ => net,
            };
            assert!(tested(net.into(), range), "{net}");
        }
    }
}
