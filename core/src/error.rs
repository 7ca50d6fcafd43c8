//! Errors an application can act on, and why connections and sessions end.

mod certificate;
mod os;
mod retry;

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use crate::code::Code;
use crate::escape::escaped;
use crate::fault::Violation;

pub use certificate::CertificateFault;
pub use os::OsError;
pub use retry::Class;

/// A head that may not be sent, and what is wrong with it.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[error("{field}: {why}")]
#[non_exhaustive]
pub struct InvalidHead {
    /// The field at fault; a pseudo-header field with its colon.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}

impl InvalidHead {
    /// What is wrong with a field, by its name.
    #[must_use]
    pub const fn new(field: &'static str, why: &'static str) -> Self {
        Self { field, why }
    }
}

/// Why a request was not sent.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The peer's QUIC stream limit is reached; `Event::Available` follows.
    #[error("the peer's stream limit is reached")]
    Blocked,
    /// The handshake is not complete yet, and the request may not be early data;
    /// `Event::Connected { .. }` follows.
    #[error("the connection is not established yet")]
    NotConnected,
    /// GOAWAY was sent or received: nothing new starts on this connection.
    #[error("the connection is draining")]
    Draining,
    /// The connection is over.
    #[error("the connection is closed")]
    Closed,
    /// A server sends no requests.
    #[error("only a client sends requests")]
    WrongSide,
    /// The head is not a valid request (RFC 9114 §4.3).
    #[error("the request's head is not valid: {0}")]
    InvalidHead(InvalidHead),
    /// The head is larger than the peer's SETTINGS_MAX_FIELD_SECTION_SIZE.
    #[error("the request's head is larger than the peer accepts")]
    HeadTooLarge,
    /// The peer's SETTINGS have not arrived, on which `:protocol` depends;
    /// `Event::Settings` follows.
    #[error("the peer's SETTINGS have not arrived")]
    SettingsNotReceived,
    /// The peer does not take extended CONNECT.
    #[error("the peer does not enable extended CONNECT")]
    ConnectProtocolNotEnabled,
}

/// Why a head, trailers or a body was not sent.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// Both halves of the stream are over, or its session is.
    #[error("the stream is gone")]
    Gone,
    /// This side has ended it, whether the peer has acknowledged that or not.
    #[error("the stream was finished before")]
    Finished,
    /// This side has reset it.
    #[error("the stream was reset before")]
    Reset,
    /// The peer does not want more: STOP_SENDING with this code.
    #[error("the peer stopped the stream: {0}")]
    Stopped(PeerCode),
    /// The message is already past that point.
    #[error("the message is past that point")]
    WrongState,
    /// The head or the trailers are not valid.
    #[error("the field section is not valid: {0}")]
    InvalidHead(InvalidHead),
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
    /// The head was not sent yet.
    #[error("the message is not at its content")]
    WrongState,
    /// More content than the content-length that was sent.
    #[error("more content than content-length")]
    ContentLength,
    /// This side has ended it, whether the peer has acknowledged that or not.
    #[error("the stream was finished before")]
    Finished,
    /// This side has reset it.
    #[error("the stream was reset before")]
    Reset,
    /// Both halves of the stream are over, or its session is.
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
    /// The message was malformed and the stream has been reset with the code.
    #[error("reset by us: {0}")]
    Malformed(Violation),
    /// Its end was told before, by [`ReadState::Finished`](crate::transport::ReadState).
    #[error("the stream was read to its end before")]
    Finished,
    /// This side has stopped it.
    #[error("the stream was stopped before")]
    Stopped,
    /// Both halves of the stream are over, or its session is.
    #[error("the stream is gone")]
    Gone,
}

/// Why a datagram was not sent.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// The session or stream is gone, or its sending side has ended.
    #[error("the session or stream is gone")]
    Gone,
    /// The session is not established yet, or the request takes no datagrams; or it is early
    /// data, which has none.
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
    /// The send buffer is full; a `DatagramsUnblocked` event follows.
    #[error("the datagram send buffer is full")]
    Blocked,
}

/// Why a key leads to no stream, or to no such half of one.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum Gone {
    /// The connection has had no stream of that id.
    #[error("the connection has no such stream")]
    Unknown,
    /// Both halves of the stream are over and settled, its session is over, or the
    /// connection is.
    #[error("the stream is gone")]
    Over,
    /// The stream is there, but it has no such half, or is not of a kind of which this
    /// can be asked: a session's own CONNECT stream, or one of HTTP/3's.
    #[error("the stream has no such half")]
    NoSuchHalf,
}

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
#[non_exhaustive]
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
    #[error("closed by us: {code}: {why}")]
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
    /// The same of the server's graceful shutdown, which this client ended when it had read
    /// all that there was.
    #[error("closed after the server's graceful shutdown")]
    PeerDrained,
}

/// How QUIC itself fails.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum TransportFailure {
    /// Nothing was heard for the idle timeout.
    #[error("timed out")]
    TimedOut,
    /// The system does not take what is sent to the peer: the path begins with an obstacle
    /// on this side. Told at once of a connection that is being begun and has no way to
    /// the peer ([`OsError::has_no_way`]), else when the connection times out and the last
    /// sends failed, two in a row at least.
    #[error("the system does not send to the peer: {0}")]
    SendFailed(OsError),
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
    #[error("QUIC error 0x{code:x}{}", said(.reason.as_bytes()))]
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

/// What the other side said, after a colon; nothing if it said nothing.
pub(crate) fn said(reason: &[u8]) -> String {
    match reason {
        [] => String::new(),
        _ => format!(": {}", escaped(reason)),
    }
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
            r"closed by the peer: H3_NO_ERROR (0x100): so \xff"
        );
        let failure = TransportFailure::ClosedByPeer {
            code: 0x12e,
            reason: Bytes::new(),
        };
        assert_eq!(
            crate::webtransport::SessionClose::Connection(CloseReason::Transport(failure))
                .to_string(),
            "the connection ended: the peer's QUIC closed with 0x12e"
        );
    }

    #[test]
    fn what_the_peer_said_is_escaped_and_cut_wherever_it_is_shown() {
        let text = "\u{1b}]52;c;QQ==\u{7}\n\u{202e}".repeat(40);
        let bytes = Bytes::from(text.clone());
        let code = Code::H3_NO_ERROR;
        let reason = bytes.clone();
        let remote = CloseReason::Remote { code, reason };
        let by_quic = TransportFailure::ClosedByPeer {
            code: 1,
            reason: bytes,
        };
        let by_tls = TransportFailure::Error {
            code: 0x12e,
            reason: text.clone(),
        };
        let session = crate::webtransport::SessionClose::Closed {
            by: crate::id::Side::Client,
            code: 0,
            reason: text.clone(),
        };
        let ended = crate::webtransport::SessionClose::Connection(remote.clone());
        for shown in [
            remote.to_string(),
            by_quic.to_string(),
            by_tls.to_string(),
            session.to_string(),
            ended.to_string(),
        ] {
            assert!(shown.ends_with(&escaped(&text).to_string()), "{shown}");
            assert!(shown.chars().all(crate::escape::is_visible), "{shown}");
        }
    }
}
