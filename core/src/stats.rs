//! Counters of a connection.

/// What a connection has seen; all counts are cumulative.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests received or sent, sessions included.
    pub requests: u64,
    /// Of these, requests in early data (0-RTT): sent as such, or come as such.
    pub early_requests: u64,
    /// Of the former, those that the server did not take (client).
    pub early_requests_rejected: u64,
    /// Requests refused because too many were under way.
    pub requests_rejected: u64,
    /// Useless things the peer has sent, in 64ths, whatever has paid for them.
    pub nuisances: u64,
    /// How often a stream's input had to wait for the connection's next turn.
    pub turns_cut_short: u64,
    /// Trailers received.
    pub trailers: u64,
    /// Sessions established.
    pub sessions: u64,
    /// Session requests refused because of the page that made them.
    pub origins_refused: u64,
    /// Field sections with more bytes or fields than allowed.
    pub sections_too_large: u64,
    /// Frames of unknown type skipped.
    pub unknown_frames: u64,
    /// Unidirectional streams of unknown type refused.
    pub unknown_streams: u64,
    /// Capsules of unknown type skipped.
    pub unknown_capsules: u64,
    /// Datagrams received and handed to a ring.
    pub datagrams_received: u64,
    /// Datagrams handed to the transport.
    pub datagrams_sent: u64,
    /// Datagrams dropped because a ring was full.
    pub datagrams_overflowed: u64,
    /// Datagrams dropped because no stream or session wants them.
    pub datagrams_unclaimed: u64,
    /// Streams that waited for their session.
    pub early_streams: u64,
    /// Streams refused because too many waited, or for too long.
    pub early_streams_rejected: u64,
    /// Streams whose beginning did not come in time.
    pub heads_timed_out: u64,
    /// Streams whose field sections waited too long for insertions.
    pub sections_timed_out: u64,
    /// Requests whose content came too slowly.
    pub bodies_timed_out: u64,
    /// Responses that were taken too slowly.
    pub responses_timed_out: u64,
    /// CONNECT requests of ours that were not answered in time.
    pub connects_timed_out: u64,
    /// Other requests of ours that were not.
    pub answers_timed_out: u64,
    /// Whether the connection was wound down because nothing was asked of it.
    pub idled_out: bool,
    /// CONNECT streams that were reset because they did not end in time after their
    /// sessions.
    pub closes_cut_short: u64,
}
