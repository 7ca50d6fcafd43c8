//! Counters of an endpoint.

use crate::transport::EarlyData;

/// What an endpoint has taken, refused and lost; all counts are cumulative but
/// [`Self::memory_promised`].
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct EndpointStats {
    /// Connection attempts of clients that were taken.
    pub accepted: u64,
    /// Connections that began with early data (0-RTT) which the server took, either side's.
    pub early_data_accepted: u64,
    /// Connections of this side's whose early data the server did not take.
    pub early_data_rejected: u64,
    /// Attempts refused because the endpoint was full, or shutting down.
    pub refused_full: u64,
    /// Attempts refused because
    /// [`EndpointConfig::memory`](super::EndpointConfig::memory) had no room for them.
    pub refused_memory: u64,
    /// Connections closed because they sent little in many packets, or the same again
    /// and again, beside what was unread.
    pub closed_hoarding: u64,
    /// Bytes that all connections are promised at present, of that memory.
    pub memory_promised: usize,
    /// Attempts refused because their address or its network had its share.
    pub refused_share: u64,
    /// Attempts that were asked to show that their address is their own.
    pub retried: u64,
    /// Idle connections closed to make place for one of a smaller holder.
    pub evicted_idle: u64,
    /// Handshakes that did not end in time.
    pub handshakes_timed_out: u64,
    /// Answers outside of connections (refusals, retries, version negotiation,
    /// stateless resets) that were dropped because too many waited.
    pub responses_dropped: u64,
    /// Datagrams dropped because more than a share of what may wait had come for their
    /// connection while the endpoint was behind.
    pub datagrams_dropped: u64,
    /// Attempts dropped because too many waited, most of them of the same network.
    pub attempts_dropped: u64,
    /// Datagrams dropped because nobody can be answered where they came from (port 0; an
    /// unspecified, multicast or broadcast address), or because they came to a multicast
    /// or broadcast address.
    pub unanswerable: u64,
    /// Receive calls that failed, by the socket's own account.
    pub recv_errors: u64,
    /// Datagrams that the system did not take to send.
    pub send_errors: u64,
}

impl EndpointStats {
    /// Counts what became of a connection's early data, once that is known.
    pub(super) fn count_early(&mut self, early: Option<EarlyData>) {
        self.early_data_accepted += u64::from(early == Some(EarlyData::Accepted));
        self.early_data_rejected += u64::from(early == Some(EarlyData::Rejected));
    }
}
