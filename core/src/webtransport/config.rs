//! What can be chosen of WebTransport.

use super::dialect::Dialects;
use super::origin::Origins;

/// How one end of connections speaks WebTransport.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Speak WebTransport: announce it, and treat an extended CONNECT for it as a
    /// session. When off, such a request reaches the application as an ordinary
    /// one. Default yes.
    pub enabled: bool,
    /// Whose pages may open sessions (server): a request of another origin is answered
    /// 403, which [`SessionEvent::Forbidden`](super::SessionEvent::Forbidden) tells.
    /// Default [`Origins::own`].
    pub origins: Origins,
    /// The WebTransport dialects to announce. Those that call for RESET_STREAM_AT are
    /// left out on a connection whose ends do not both have it. Default all.
    pub dialects: Dialects,
    /// Announce dialects that call for RESET_STREAM_AT although the peer, or this side, lacks
    /// it. Their resets may then outrun stream headers. Default no, of [`Self::client`]
    /// yes.
    pub tolerate_missing_reset_stream_at: bool,
    /// First limits of each session, for the dialects that can negotiate them;
    /// `None` leaves session flow control off. Default 1 MiB and 100 streams of
    /// each kind.
    pub flow: Option<SessionFlow>,
    /// Refuse new local streams in a session that the peer is draining. Default no:
    /// draining is advice (draft-ietf-webtrans-http3-16 §4.7).
    pub strict_draining: bool,
    /// End a session that drains, by either side's wish, as soon as its last stream
    /// is over. Default no: the application decides.
    pub end_drained_sessions: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            origins: Origins::default(),
            dialects: Dialects::ALL,
            tolerate_missing_reset_stream_at: false,
            flow: Some(SessionFlow::default()),
            strict_draining: false,
            end_drained_sessions: false,
        }
    }
}

impl Config {
    /// What suits a client, which says what it speaks and takes what a server has: all
    /// dialects with every server, so that the newest which both speak is spoken, though
    /// it be one that has no RESET_STREAM_AT and should not speak it.
    #[must_use]
    pub fn client() -> Self {
        Self {
            tolerate_missing_reset_stream_at: true,
            ..Self::default()
        }
    }
}

/// What a peer may use of one session before it is granted more. Each limit is
/// renewed as what it covers is consumed.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SessionFlow {
    /// Bytes of stream bodies.
    pub data: u64,
    /// Bidirectional streams.
    pub streams_bidi: u64,
    /// Unidirectional streams.
    pub streams_uni: u64,
}

impl Default for SessionFlow {
    fn default() -> Self {
        Self {
            data: 1 << 20,
            streams_bidi: 100,
            streams_uni: 100,
        }
    }
}

impl SessionFlow {
    /// First limits: bytes of stream bodies, bidirectional and unidirectional streams.
    #[must_use]
    pub const fn new(data: u64, streams_bidi: u64, streams_uni: u64) -> Self {
        Self {
            data,
            streams_bidi,
            streams_uni,
        }
    }
}
