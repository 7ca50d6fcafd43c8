//! How a connection of raw QUIC behaves, and what bounds it.

use std::time::Duration;

/// How a connection of raw QUIC behaves. What QUIC itself is told is in
/// `endpoint::TransportSettings`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Whether datagrams (RFC 9221) are taken and sent. Default yes.
    pub datagrams: bool,
    /// Streams that the peer opened and whose end the application has not been told yet.
    /// Further ones wait in QUIC, where they use up the peer's stream limit. Default 2,048.
    pub open_streams: usize,
    /// Streams that wait for the peer's stream limit, each way, see
    /// [`Blocked::Queue`](super::Blocked::Queue). Default 1,024.
    pub queued_starts: usize,
    /// Whether [`Event::Available`](crate::event::Event::Available) is told. Default yes.
    pub tell_available: bool,
    /// Whether [`Event::Ticket`](crate::event::Event::Ticket) is told. Default yes.
    pub tell_tickets: bool,
    /// Whether the application takes events from the connection itself, by
    /// `endpoint::QuicMut::poll_event`, when it likes: the endpoint tells
    /// [`Event::Ready`](super::Event::Ready) of it and nothing else. What the application
    /// has not taken counts against [`Self::open_streams`]. Default no.
    pub pull_events: bool,
    /// Whether the application says of each connection whether the peer's certificates will
    /// do, by [`QuicAccess::confirm`](crate::connection::quic::QuicAccess::confirm), beside
    /// what the TLS configuration asks for. Until then nothing that the peer sends is told,
    /// and nothing is sent. Default no.
    pub confirm: bool,
    /// How long it may take to say so. Default 10 s.
    pub confirm_timeout: Duration,
    /// Streams of the peer's that are taken from QUIC in one turn of the connection; the rest
    /// waits for the next. Default 256.
    pub work: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            datagrams: true,
            open_streams: 2048,
            queued_starts: 1024,
            tell_available: true,
            tell_tickets: true,
            pull_events: false,
            confirm: false,
            confirm_timeout: Duration::from_secs(10),
            work: 256,
        }
    }
}

impl Config {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with or without datagrams.
    #[must_use]
    pub const fn datagrams(mut self, take: bool) -> Self {
        self.datagrams = take;
        self
    }

    /// The same with another [`Self::open_streams`].
    #[must_use]
    pub const fn open_streams(mut self, streams: usize) -> Self {
        self.open_streams = streams;
        self
    }

    /// The same with another [`Self::queued_starts`].
    #[must_use]
    pub const fn queued_starts(mut self, streams: usize) -> Self {
        self.queued_starts = streams;
        self
    }

    /// The same, and the application takes events from each connection itself.
    #[must_use]
    pub const fn pull_events(mut self, pull: bool) -> Self {
        self.pull_events = pull;
        self
    }

    /// The same, and the application confirms certificates within `timeout`.
    #[must_use]
    pub const fn confirm(mut self, timeout: Duration) -> Self {
        self.confirm = true;
        self.confirm_timeout = timeout;
        self
    }
}
