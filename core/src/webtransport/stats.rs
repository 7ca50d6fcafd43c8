//! What a session has counted, and its limits.

use super::dialect::Dialect;

/// What carries a session.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum SessionTransport {
    /// HTTP/3: streams and datagrams of QUIC.
    #[default]
    Http3,
}

/// The state of one session, for people and dashboards.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct SessionStats {
    /// Streams of the session alive now.
    pub streams: u64,
    /// Streams opened by this side, ever.
    pub opened_bi: u64,
    /// Unidirectional streams opened by this side, ever.
    pub opened_uni: u64,
    /// Bidirectional streams opened by the peer, ever.
    pub accepted_bi: u64,
    /// Unidirectional streams opened by the peer, ever.
    pub accepted_uni: u64,
    /// Bytes of stream bodies handed to the transport.
    pub bytes_sent: u64,
    /// Bytes of stream bodies read by the application.
    pub bytes_received: u64,
    /// Datagrams handed to the transport.
    pub datagrams_sent: u64,
    /// Datagrams taken from the ring by the application.
    pub datagrams_received: u64,
    /// Datagrams dropped because the ring was full.
    pub datagrams_overflowed: u64,
    /// What carries it.
    pub transport: SessionTransport,
    /// The dialect that is spoken, once both sides' SETTINGS are known.
    pub dialect: Option<Dialect>,
    /// Whether the peer has asked to wind down, or we have.
    pub draining: bool,
    /// The session's own limits, when they were negotiated.
    pub flow_control: Option<SessionLimits>,
}

/// Cumulative limits of a session, as they stand.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct SessionLimits {
    /// Bytes of stream bodies the peer takes.
    pub send_data: u64,
    /// Bidirectional streams the peer takes.
    pub open_bi: u64,
    /// Unidirectional streams the peer takes.
    pub open_uni: u64,
    /// Bytes of stream bodies we take.
    pub recv_data: u64,
    /// Bidirectional streams we take.
    pub accept_bi: u64,
    /// Unidirectional streams we take.
    pub accept_uni: u64,
}
