//! Errors an application can act on, and why connections and sessions end.

mod retry;

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use crate::code::Code;
use crate::fault::Violation;
use crate::id::Side;

/// Why a request, a session or a stream was not opened.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The peer's QUIC stream limit is reached; `Event::Available` follows.
    #[error("the peer's stream limit is reached")]
    Blocked,
    /// The handshake is not complete yet; `Event::Connected` follows.
    #[error("the connection is not established yet")]
    NotConnected,
    /// GOAWAY was sent or received: nothing new starts on this connection.
    #[error("the connection is draining")]
    Draining,
    /// The session has announced its end and this side refuses new streams.
    #[error("the session is draining")]
    SessionDraining,
    /// The connection is over.
    #[error("the connection is closed")]
    Closed,
    /// The session is over or never was.
    #[error("the session is gone")]
    SessionGone,
    /// The session is not established yet.
    #[error("the session is not established yet")]
    SessionPending,
    /// The session's own limit of streams is reached; `SessionEvent::StreamsAvailable` follows.
    #[error("the session's stream limit is reached")]
    StreamLimit,
    /// As many sessions as the configuration allows are open.
    #[error("too many sessions on this connection")]
    TooManySessions,
    /// A server opens no requests.
    #[error("only a client opens requests and sessions")]
    WrongSide,
    /// The head is not a valid request (RFC 9114 §4.3).
    #[error("the request head is not valid")]
    InvalidHead,
    /// The head is larger than the peer's SETTINGS_MAX_FIELD_SECTION_SIZE.
    #[error("the request head is larger than the peer accepts")]
    HeadTooLarge,
    /// The peer's SETTINGS have not arrived; `Event::Settings` follows.
    #[error("the peer's SETTINGS have not arrived")]
    SettingsNotReceived,
    /// The peer does not take extended CONNECT.
    #[error("the peer does not enable extended CONNECT")]
    ConnectProtocolNotEnabled,
    /// The peer speaks no WebTransport dialect that we speak.
    #[error("the peer does not enable WebTransport")]
    WebTransportNotEnabled,
    /// Datagrams are not usable in both directions.
    #[error("the peer does not enable HTTP datagrams")]
    DatagramsNotEnabled,
}

/// Why a head, trailers or a body was not sent.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The stream is gone, or this half of it is over.
    #[error("the stream is gone")]
    Gone,
    /// The message is already past that point.
    #[error("the message is past that point")]
    WrongState,
    /// The head or the trailers are not valid.
    #[error("the field section is not valid")]
    InvalidHead,
    /// Larger than the peer's SETTINGS_MAX_FIELD_SECTION_SIZE.
    #[error("the field section is larger than the peer accepts")]
    HeadTooLarge,
    /// The content does not match the content-length that was sent.
    #[error("the content does not match content-length")]
    ContentLength,
}

/// Why bytes were not taken.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The peer does not want more: STOP_SENDING with this code.
    #[error("the peer stopped the stream: {0}")]
    Stopped(PeerCode),
    /// The stream's session is over.
    #[error("the session is gone")]
    SessionGone,
    /// The head was not sent yet, or the content was declared complete.
    #[error("the message is not at its content")]
    WrongState,
    /// More content than the content-length that was sent.
    #[error("more content than content-length")]
    ContentLength,
    /// The stream is gone, or this half of it is over.
    #[error("the stream is gone")]
    Gone,
}

/// Why no bytes can be read.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer abandoned the stream: RESET_STREAM with this code.
    #[error("the peer reset the stream: {0}")]
    Reset(PeerCode),
    /// The stream's session is over.
    #[error("the session is gone")]
    SessionGone,
    /// The message was malformed and the stream has been reset with the code.
    #[error("the peer sent {0}")]
    Malformed(Violation),
    /// The stream is gone, its end was told before, or it was stopped.
    #[error("the stream is gone")]
    Gone,
}

/// Why a session command had no effect.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The session is over or never was.
    #[error("the session is gone")]
    Gone,
    /// The session is already past that point.
    #[error("the session is past that point")]
    WrongState,
    /// The close reason is longer than 1,024 bytes.
    #[error("the close reason is longer than 1024 bytes")]
    ReasonTooLong,
    /// The status is not one that rejects: 300 to 599.
    #[error("a rejection needs a status from 300 to 599")]
    InvalidStatus,
    /// The client did not offer the application protocol.
    #[error("the client did not offer the application protocol")]
    ProtocolNotOffered,
    /// The answer's fields are not valid.
    #[error("the response head is not valid")]
    InvalidHead,
}

/// Why a datagram was not sent.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// The session or stream is gone, or its sending side has ended.
    #[error("the session is gone")]
    Gone,
    /// The session is not established yet.
    #[error("the session is not established yet")]
    Pending,
    /// Larger than the peer will ever take.
    #[error("the datagram is larger than the peer takes")]
    TooLarge,
    /// Larger than the path takes at present.
    #[error("the datagram is larger than the path takes")]
    TooLargeForPath,
    /// Datagrams are not usable on this connection.
    #[error("datagrams are not enabled on this connection")]
    Disabled,
    /// The send buffer is full; `SessionEvent::DatagramsUnblocked` follows.
    #[error("the datagram send buffer is full")]
    Blocked,
}

/// The key names nothing: the stream or session has ended, or never was.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Error)]
#[error("the stream or session is gone")]
pub struct Gone;

/// Why a stream was not reset or stopped.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum ResetError {
    /// The stream is gone, or this half of it is over.
    #[error("the stream is gone")]
    Gone,
    /// WebTransport application codes have 32 bits, HTTP/3 codes 62.
    #[error("the code does not fit the stream's code space")]
    CodeOutOfRange,
}

/// A code the peer gave when it reset or stopped a stream.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub struct PeerCode {
    /// As it stood on the wire.
    pub wire: Code,
    /// The WebTransport application code it carries, if the stream belongs to a
    /// WebTransport session and the value is inside that range.
    pub app: Option<u32>,
}

impl PeerCode {
    /// A code of an HTTP stream.
    #[must_use]
    pub const fn http(wire: u64) -> Self {
        Self {
            wire: Code::new(wire),
            app: None,
        }
    }

    /// A code of a WebTransport data stream.
    #[must_use]
    pub fn webtransport(wire: u64) -> Self {
        Self {
            wire: Code::new(wire),
            app: crate::code::http_to_app(wire),
        }
    }
}

impl fmt::Display for PeerCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.app {
            Some(app) => write!(f, "application code {app}"),
            None => write!(f, "{}", self.wire),
        }
    }
}

/// Why a connection ended, and in whose words.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The application closed it.
    #[error("closed by us: {code}{}", said(.reason))]
    Local {
        /// Code on the wire.
        code: Code,
        /// Reason as it was given.
        reason: Bytes,
    },
    /// The peer broke a rule and we closed it.
    #[error("closed by us: {code}: the peer sent {why}")]
    PeerMisbehaved {
        /// Code on the wire.
        code: Code,
        /// The rule.
        why: Violation,
    },
    /// The peer closed it: CONNECTION_CLOSE of type 0x1d.
    #[error("closed by the peer: {code}{}", said(.reason))]
    Remote {
        /// Code on the wire.
        code: Code,
        /// Reason on the wire, as sent.
        reason: Bytes,
    },
    /// QUIC ended it.
    #[error(transparent)]
    Transport(TransportFailure),
    /// A graceful shutdown came to its end.
    #[error("closed after a graceful shutdown")]
    Drained,
}

/// How QUIC itself fails.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum TransportFailure {
    /// Nothing was heard for the idle timeout.
    #[error("timed out")]
    TimedOut,
    /// The peer forgot the connection (stateless reset).
    #[error("the peer lost the connection's state")]
    Reset,
    /// No common QUIC version.
    #[error("no common QUIC version")]
    VersionMismatch,
    /// CONNECTION_CLOSE of type 0x1c from the peer.
    #[error("the peer's QUIC closed with 0x{code:x}{}", said(.reason))]
    ClosedByPeer {
        /// QUIC transport error code (RFC 9000 §20.1); 0x100 to 0x1ff are TLS alerts.
        code: u64,
        /// Reason on the wire.
        reason: Bytes,
    },
    /// A QUIC or TLS error found on this side.
    #[error("QUIC error 0x{code:x}: {reason}")]
    Error {
        /// QUIC transport error code (RFC 9000 §20.1); 0x100 to 0x1ff are TLS alerts.
        code: u64,
        /// What went wrong, in words.
        reason: String,
    },
    /// No connection ids left to use.
    #[error("no connection ids left")]
    CidsExhausted,
}

/// Why a session ended, told exactly once.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum SessionClose {
    /// Cleanly, with a code and a reason: a close capsule, or the end of the
    /// CONNECT stream without one, which counts as code 0 and no reason.
    #[error("closed by the {by} with code {code}{}", said(.reason.as_bytes()))]
    Closed {
        /// Who closed it.
        by: Side,
        /// The application's code.
        code: u32,
        /// The application's reason: UTF-8, at most 1,024 bytes.
        reason: String,
    },
    /// The peer reset or stopped the CONNECT stream.
    #[error("the peer reset the session: {0}")]
    Reset(Code),
    /// The peer broke a rule of the session and we reset the CONNECT stream.
    #[error("reset by us: {code}: the peer sent {why}")]
    PeerMisbehaved {
        /// Code on the wire.
        code: Code,
        /// The rule.
        why: Violation,
    },
    /// The server did not process the request because of its GOAWAY: the session
    /// may be asked for again on another connection.
    #[error("not processed: the server is going away")]
    Unprocessed,
    /// The whole connection ended.
    #[error("the connection ended: {0}")]
    Connection(CloseReason),
}

/// What the other side said, after a colon; nothing if it said nothing.
fn said(reason: &[u8]) -> String {
    if reason.is_empty() {
        return String::new();
    }
    format!(": {}", String::from_utf8_lossy(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_follows_its_code_only_if_there_is_one() {
        let code = Code::H3_NO_ERROR;
        let local = |reason: &'static str| {
            let reason = Bytes::from_static(reason.as_bytes());
            CloseReason::Local { code, reason }.to_string()
        };
        assert_eq!(local(""), "closed by us: H3_NO_ERROR (0x100)");
        assert_eq!(local("bye"), "closed by us: H3_NO_ERROR (0x100): bye");
        let reason = Bytes::from_static(b"so \xff");
        let remote = CloseReason::Remote { code, reason };
        assert_eq!(
            remote.to_string(),
            "closed by the peer: H3_NO_ERROR (0x100): so \u{fffd}"
        );
        let failure = TransportFailure::ClosedByPeer {
            code: 0x12e,
            reason: Bytes::new(),
        };
        assert_eq!(
            SessionClose::Connection(CloseReason::Transport(failure)).to_string(),
            "the connection ended: the peer's QUIC closed with 0x12e"
        );
    }
}
