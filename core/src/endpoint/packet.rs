//! Datagrams at the endpoint's edge: where from, where to, how marked.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::error::OsError;
use crate::id::ConnKey;

/// Where a datagram came from.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Arrival {
    /// The sender.
    pub remote: SocketAddr,
    /// The local address it was sent to, where the socket tells.
    pub local_ip: Option<IpAddr>,
    /// The ECN mark it arrived with.
    pub ecn: Option<Ecn>,
}

impl Arrival {
    /// A datagram of which only the sender is known.
    #[must_use]
    pub const fn new(remote: SocketAddr) -> Self {
        Self {
            remote,
            local_ip: None,
            ecn: None,
        }
    }

    /// The same, sent to this local address.
    #[must_use]
    pub const fn local_ip(mut self, ip: Option<IpAddr>) -> Self {
        self.local_ip = ip;
        self
    }

    /// The same with an ECN mark.
    #[must_use]
    pub const fn ecn(mut self, mark: Option<Ecn>) -> Self {
        self.ecn = mark;
        self
    }
}

impl From<SocketAddr> for Arrival {
    fn from(remote: SocketAddr) -> Self {
        Self::new(remote)
    }
}

/// A system call of the socket's owner that failed.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SocketFault {
    /// Where the datagram was to go; `None` when nothing could be received.
    pub remote: Option<SocketAddr>,
    /// What the system said.
    pub error: OsError,
}

/// An ECN mark (RFC 3168): all there are, since the field has two bits.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Ecn {
    /// Capable, first codepoint.
    Ect0,
    /// Capable, second codepoint.
    Ect1,
    /// Congestion experienced.
    Ce,
}

/// One or more datagrams to be sent to one address.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[must_use]
#[non_exhaustive]
pub struct Transmit {
    /// The receiver.
    pub remote: SocketAddr,
    /// The address to send from, where it matters.
    pub local_ip: Option<IpAddr>,
    /// The ECN mark to send with.
    pub ecn: Option<Ecn>,
    /// Bytes written to the caller's buffer.
    pub size: usize,
    /// Length of each datagram but the last, when there are several.
    pub segment_size: Option<usize>,
    /// Whose it is, and how many the same connection gave before.
    pub(crate) owner: Option<(ConnKey, u64)>,
}

impl Transmit {
    /// Bytes of the largest datagram.
    #[cfg(feature = "driver")]
    pub(crate) fn datagram_size(&self) -> usize {
        self.segment_size.unwrap_or(self.size)
    }
}

/// Whether a datagram can be sent to where this one came from, from where it came to. The
/// broadcast address of a single network cannot be told from others.
pub(super) fn is_answerable(from: &Arrival) -> bool {
    let remote = from.remote;
    let is_many = |ip: IpAddr| {
        let ip = ip.to_canonical();
        ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST)
    };
    remote.port() != 0
        && !remote.ip().to_canonical().is_unspecified()
        && !is_many(remote.ip())
        && !from.local_ip.is_some_and(is_many)
}

/// Whether a receive call came back without anything because its time was up or it was
/// interrupted. What Windows tells of a time that is up, others tell of a peer.
pub(super) fn is_patience(error: OsError) -> bool {
    match error.kind {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => true,
        ErrorKind::TimedOut => cfg!(windows),
        _ => false,
    }
}

pub(super) fn from_transmit(transmit: &quinn_proto::Transmit) -> Transmit {
    Transmit {
        remote: transmit.destination,
        local_ip: transmit.src_ip,
        ecn: transmit.ecn.map(|mark| match mark {
            quinn_proto::EcnCodepoint::Ect0 => Ecn::Ect0,
            quinn_proto::EcnCodepoint::Ect1 => Ecn::Ect1,
            quinn_proto::EcnCodepoint::Ce => Ecn::Ce,
        }),
        size: transmit.size,
        segment_size: transmit.segment_size,
        owner: None,
    }
}

pub(super) fn to_ecn(mark: Ecn) -> quinn_proto::EcnCodepoint {
    match mark {
        Ecn::Ect0 => quinn_proto::EcnCodepoint::Ect0,
        Ecn::Ect1 => quinn_proto::EcnCodepoint::Ect1,
        Ecn::Ce => quinn_proto::EcnCodepoint::Ce,
    }
}
