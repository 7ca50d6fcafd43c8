//! How streams of raw QUIC are begun and ended.

/// How a stream is begun.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Start {
    /// What becomes of it while the peer allows no further stream.
    pub blocked: Blocked,
    /// See [`QuicAccess::set_priority`](crate::connection::quic::QuicAccess::set_priority).
    pub priority: i32,
}

impl Start {
    /// Waits for the peer's limit; the usual priority, 0.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            blocked: Blocked::Queue,
            priority: 0,
        }
    }

    /// The same, and it fails at once while the peer allows no further stream.
    #[must_use]
    pub const fn fail_blocked(mut self) -> Self {
        self.blocked = Blocked::Fail;
        self
    }

    /// The same with another priority.
    #[must_use]
    pub const fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }
}

/// What becomes of a stream that the peer's limit does not allow yet (RFC 9000 §4.6).
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum Blocked {
    /// It waits, behind those that wait already: it takes no bytes until
    /// [`StreamEvent::Started`](super::StreamEvent::Started).
    #[default]
    Queue,
    /// It is not begun: [`StartError::Blocked`](super::StartError::Blocked).
    Fail,
}

/// How a stream, or half of it, is ended.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Shutdown {
    /// What was written arrives, then the end: a FIN.
    Graceful,
    /// The sending half is abandoned: RESET_STREAM with the code.
    AbortSend(u64),
    /// The receiving half is: STOP_SENDING with the code.
    AbortReceive(u64),
    /// Both halves are.
    Abort(u64),
    /// Both halves are, and the stream is forgotten at once:
    /// [`StreamEvent::Closed`](super::StreamEvent::Closed) waits for nothing.
    Immediate(u64),
}
