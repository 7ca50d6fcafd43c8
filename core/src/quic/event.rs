//! What happens on a connection of raw QUIC, beside what happens on any.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::id::{Dir, StreamKey};

/// What happened on a connection of raw QUIC. `Connected`, `Available`, `Draining`, `Ticket`
/// and `Closed` are [`Event`](crate::event::Event)'s own.
///
/// Of `Available`, `Ticket` and what has no stream here, one of each kind waits for the
/// application at most, however often the peer causes it. Where an address or a size has
/// changed again meanwhile, the present one follows when that is taken.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// The connection has events to be taken from itself
    /// ([`Config::pull_events`](super::Config::pull_events)); told once until it has given
    /// all.
    Ready,
    /// A client has begun the handshake (server): what is known of it,
    /// [`QuicAccess::about`](crate::connection::quic::QuicAccess::about) says. The first
    /// event of a connection.
    Begun,
    /// The handshake is complete, and the application says whether the peer's certificates
    /// will do ([`Config::confirm`](super::Config::confirm)): `Connected` or `Closed` follows.
    Confirm,
    /// The peer opened a stream.
    Opened(StreamKey),
    /// Something happened on a stream.
    Stream(StreamKey, StreamEvent),
    /// The peer would open streams of this direction, and its limit does not let it
    /// (STREAMS_BLOCKED, RFC 9000 §19.14).
    PeerNeedsStreams(Dir),
    /// The peer's address is another: it, or a NAT, has moved (server).
    PeerAddress(SocketAddr),
    /// The peer reaches this side at another address.
    LocalAddress(Option<IpAddr>),
    /// Datagrams can be received; told once until
    /// [`QuicAccess::recv_datagram`](crate::connection::quic::QuicAccess::recv_datagram) has
    /// given `None`.
    Datagrams,
    /// The send buffer of datagrams has room again after `DatagramError::Blocked`.
    DatagramsUnblocked,
    /// The largest datagram that can be sent is another, in bytes; `None` when none can.
    /// Told first with `Connected`.
    DatagramState(Option<usize>),
}

/// What happened on a stream of raw QUIC.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum StreamEvent {
    /// This side's stream has begun: the peer's limit lets it be.
    Started,
    /// `read` has bytes or the end to give. Told once until a read ends `Blocked`.
    Readable,
    /// `write` takes bytes again, after one that took less than offered.
    Writable,
    /// The peer abandoned what it was sending, with this code. What was not read is lost.
    Reset(u64),
    /// The peer does not want more of what this side sends, with this code.
    Stopped(u64),
    /// The sending half is over: the peer has acknowledged everything that was sent, the end
    /// included (`graceful`), or it was abandoned by either side.
    SendOver {
        /// Everything has arrived.
        graceful: bool,
    },
    /// The stream was early data, which the server did not take: it is as if it had never
    /// been. `Closed` follows.
    EarlyDataRejected,
    /// Both halves are over, or the connection is. Always the last event of a stream,
    /// exactly once, and the key names nothing from here on.
    Closed(StreamClosed),
}

/// How a stream ended.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct StreamClosed {
    /// It went with its connection.
    pub connection_over: bool,
    /// This side abandoned a half of it.
    pub aborted_here: bool,
    /// The peer did.
    pub aborted_remotely: bool,
    /// The code that it was abandoned with first, if it was.
    pub code: Option<u64>,
}

/// What is known of a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct About {
    /// The application protocol that TLS agreed on; empty while it is not known.
    pub alpn: Vec<u8>,
    /// The name that the client asked for, if it did.
    pub server_name: Option<String>,
    /// The peer's address at present.
    pub remote: SocketAddr,
    /// The address at which the peer reaches this side, where the socket tells it.
    pub local_ip: Option<IpAddr>,
    /// The peer's certificates in DER, end entity first, once the handshake is complete; only
    /// where the application is to confirm them ([`Config::confirm`](super::Config::confirm)).
    pub certificates: Vec<Bytes>,
    /// TLS has gone on with a session of an earlier connection (RFC 8446 §2.2). Known when
    /// the handshake is complete.
    pub resumed: bool,
}

impl About {
    /// What is known from the first packet on.
    #[must_use]
    pub const fn new(remote: SocketAddr) -> Self {
        Self {
            alpn: Vec::new(),
            server_name: None,
            remote,
            local_ip: None,
            certificates: Vec::new(),
            resumed: false,
        }
    }
}
