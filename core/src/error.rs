//! Errors an application can act on, and why connections and sessions end.

mod retry;

use std::fmt;

use bytes::Bytes;

use crate::code::Code;
use crate::fault::Violation;
use crate::id::Side;

macro_rules! errors {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident $( { $($fdoc:tt)* } )? => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Copy, Clone, Debug, Eq, PartialEq)]
        #[non_exhaustive]
        pub enum $name { $($(#[$vdoc])* $variant $( { $($fdoc)* } )?,)* }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant { .. } => $text,)* })
            }
        }

        impl std::error::Error for $name {}
    };
}

errors! {
    /// Why a request, a session or a stream was not opened.
    OpenError {
        /// The peer's QUIC stream limit is reached; `Event::Available` follows.
        Blocked => "the peer's stream limit is reached",
        /// The handshake is not complete yet; `Event::Connected` follows.
        NotConnected => "the connection is not established yet",
        /// GOAWAY was sent or received: nothing new starts on this connection.
        Draining => "the connection is draining",
        /// The session has announced its end and this side refuses new streams.
        SessionDraining => "the session is draining",
        /// The connection is over.
        Closed => "the connection is closed",
        /// The session is over or never was.
        SessionGone => "the session is gone",
        /// The session is not established yet.
        SessionPending => "the session is not established yet",
        /// The session's own limit of streams is reached; `SessionEvent::StreamsAvailable` follows.
        StreamLimit => "the session's stream limit is reached",
        /// As many sessions as the configuration allows are open.
        TooManySessions => "too many sessions on this connection",
        /// A server opens no requests.
        WrongSide => "only a client opens requests and sessions",
        /// The head is not a valid request (RFC 9114 §4.3).
        InvalidHead => "the request head is not valid",
        /// The head is larger than the peer's SETTINGS_MAX_FIELD_SECTION_SIZE.
        HeadTooLarge => "the request head is larger than the peer accepts",
        /// The peer's SETTINGS have not arrived; `Event::Settings` follows.
        SettingsNotReceived => "the peer's SETTINGS have not arrived",
        /// The peer does not take extended CONNECT.
        ConnectProtocolNotEnabled => "the peer does not enable extended CONNECT",
        /// The peer speaks no WebTransport dialect that we speak.
        WebTransportNotEnabled => "the peer does not enable WebTransport",
        /// Datagrams are not usable in both directions.
        DatagramsNotEnabled => "the peer does not enable HTTP datagrams",
    }
}

errors! {
    /// Why a head, trailers or a body was not sent.
    SendError {
        /// The stream is gone, or this half of it is over.
        Gone => "the stream is gone",
        /// The message is already past that point.
        WrongState => "the message is past that point",
        /// The head or the trailers are not valid.
        InvalidHead => "the field section is not valid",
        /// Larger than the peer's SETTINGS_MAX_FIELD_SECTION_SIZE.
        HeadTooLarge => "the field section is larger than the peer accepts",
        /// The content does not match the content-length that was sent.
        ContentLength => "the content does not match content-length",
    }
}

/// Why bytes were not taken.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WriteError {
    /// The peer does not want more: STOP_SENDING with this code.
    Stopped(PeerCode),
    /// The stream's session is over.
    SessionGone,
    /// The head was not sent yet, or the content was declared complete.
    WrongState,
    /// More content than the content-length that was sent.
    ContentLength,
    /// The stream is gone, or this half of it is over.
    Gone,
}

/// Why no bytes can be read.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer abandoned the stream: RESET_STREAM with this code.
    Reset(PeerCode),
    /// The stream's session is over.
    SessionGone,
    /// The message was malformed and the stream has been reset with the code.
    Malformed(Violation),
    /// The stream is gone, its end was told before, or it was stopped.
    Gone,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(code) => write!(f, "the peer stopped the stream: {code}"),
            Self::SessionGone => f.write_str("the session is gone"),
            Self::WrongState => f.write_str("the message is not at its content"),
            Self::ContentLength => f.write_str("more content than content-length"),
            Self::Gone => f.write_str("the stream is gone"),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset(code) => write!(f, "the peer reset the stream: {code}"),
            Self::SessionGone => f.write_str("the session is gone"),
            Self::Malformed(why) => write!(f, "the peer sent {why}"),
            Self::Gone => f.write_str("the stream is gone"),
        }
    }
}

impl std::error::Error for WriteError {}
impl std::error::Error for ReadError {}

errors! {
    /// Why a session command had no effect.
    SessionError {
        /// The session is over or never was.
        Gone => "the session is gone",
        /// The session is already past that point.
        WrongState => "the session is past that point",
        /// The close reason is longer than 1,024 bytes.
        ReasonTooLong => "the close reason is longer than 1024 bytes",
        /// The status is not one that rejects: 300 to 599.
        InvalidStatus => "a rejection needs a status from 300 to 599",
        /// The client did not offer the application protocol.
        ProtocolNotOffered => "the client did not offer the application protocol",
        /// The answer's fields are not valid.
        InvalidHead => "the response head is not valid",
    }
}

errors! {
    /// Why a datagram was not sent.
    DatagramError {
        /// The session or stream is gone, or its sending side has ended.
        Gone => "the session is gone",
        /// The session is not established yet.
        Pending => "the session is not established yet",
        /// Larger than the peer will ever take.
        TooLarge => "the datagram is larger than the peer takes",
        /// Larger than the path takes at present.
        TooLargeForPath => "the datagram is larger than the path takes",
        /// Datagrams are not usable on this connection.
        Disabled => "datagrams are not enabled on this connection",
        /// The send buffer is full; `SessionEvent::DatagramsUnblocked` follows.
        Blocked => "the datagram send buffer is full",
    }
}

/// The key names nothing: the stream or session has ended, or never was.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream or session is gone")
    }
}

impl std::error::Error for Gone {}

/// Why a stream was not reset or stopped.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ResetError {
    /// The stream is gone, or this half of it is over.
    Gone,
    /// WebTransport application codes have 32 bits, HTTP/3 codes 62.
    CodeOutOfRange,
}

impl fmt::Display for ResetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "the stream is gone",
            Self::CodeOutOfRange => "the code does not fit the stream's code space",
        })
    }
}

impl std::error::Error for ResetError {}

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
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The application closed it.
    Local {
        /// Code on the wire.
        code: Code,
        /// Reason as it was given.
        reason: Bytes,
    },
    /// The peer broke a rule and we closed it.
    PeerMisbehaved {
        /// Code on the wire.
        code: Code,
        /// The rule.
        why: Violation,
    },
    /// The peer closed it: CONNECTION_CLOSE of type 0x1d.
    Remote {
        /// Code on the wire.
        code: Code,
        /// Reason on the wire, as sent.
        reason: Bytes,
    },
    /// QUIC ended it.
    Transport(TransportFailure),
    /// A graceful shutdown came to its end.
    Drained,
}

/// How QUIC itself fails.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TransportFailure {
    /// Nothing was heard for the idle timeout.
    TimedOut,
    /// The peer forgot the connection (stateless reset).
    Reset,
    /// No common QUIC version.
    VersionMismatch,
    /// CONNECTION_CLOSE of type 0x1c from the peer.
    ClosedByPeer {
        /// QUIC transport error code (RFC 9000 §20.1); 0x100 to 0x1ff are TLS alerts.
        code: u64,
        /// Reason on the wire.
        reason: Bytes,
    },
    /// A QUIC or TLS error found on this side.
    Error {
        /// QUIC transport error code (RFC 9000 §20.1); 0x100 to 0x1ff are TLS alerts.
        code: u64,
        /// What went wrong, in words.
        reason: String,
    },
    /// No connection ids left to use.
    CidsExhausted,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { code, reason } if reason.is_empty() => {
                write!(f, "closed by us: {code}")
            }
            Self::Local { code, reason } => {
                write!(
                    f,
                    "closed by us: {code}: {}",
                    String::from_utf8_lossy(reason)
                )
            }
            Self::PeerMisbehaved { code, why } => {
                write!(f, "closed by us: {code}: the peer sent {why}")
            }
            Self::Remote { code, reason } if reason.is_empty() => {
                write!(f, "closed by the peer: {code}")
            }
            Self::Remote { code, reason } => {
                write!(
                    f,
                    "closed by the peer: {code}: {}",
                    String::from_utf8_lossy(reason)
                )
            }
            Self::Transport(failure) => write!(f, "{failure}"),
            Self::Drained => f.write_str("closed after a graceful shutdown"),
        }
    }
}

impl std::error::Error for CloseReason {}

impl fmt::Display for TransportFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("timed out"),
            Self::Reset => f.write_str("the peer lost the connection's state"),
            Self::VersionMismatch => f.write_str("no common QUIC version"),
            Self::ClosedByPeer { code, reason } => {
                write!(f, "the peer's QUIC closed with 0x{code:x}")?;
                if reason.is_empty() {
                    return Ok(());
                }
                write!(f, ": {}", String::from_utf8_lossy(reason))
            }
            Self::Error { code, reason } => write!(f, "QUIC error 0x{code:x}: {reason}"),
            Self::CidsExhausted => f.write_str("no connection ids left"),
        }
    }
}

/// Why a session ended, told exactly once.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SessionClose {
    /// Cleanly, with a code and a reason: a close capsule, or the end of the
    /// CONNECT stream without one, which counts as code 0 and no reason.
    Closed {
        /// Who closed it.
        by: Side,
        /// The application's code.
        code: u32,
        /// The application's reason: UTF-8, at most 1,024 bytes.
        reason: String,
    },
    /// The peer reset or stopped the CONNECT stream.
    Reset(Code),
    /// The peer broke a rule of the session and we reset the CONNECT stream.
    PeerMisbehaved {
        /// Code on the wire.
        code: Code,
        /// The rule.
        why: Violation,
    },
    /// The server did not process the request because of its GOAWAY: the session
    /// may be asked for again on another connection.
    Unprocessed,
    /// The whole connection ended.
    Connection(CloseReason),
}

impl fmt::Display for SessionClose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { by, code, reason } => {
                write!(f, "closed by the {by} with code {code}")?;
                if reason.is_empty() {
                    Ok(())
                } else {
                    write!(f, ": {reason}")
                }
            }
            Self::Reset(code) => write!(f, "the peer reset the session: {code}"),
            Self::PeerMisbehaved { code, why } => {
                write!(f, "reset by us: {code}: the peer sent {why}")
            }
            Self::Unprocessed => f.write_str("not processed: the server is going away"),
            Self::Connection(reason) => write!(f, "the connection ended: {reason}"),
        }
    }
}

impl std::error::Error for SessionClose {}
