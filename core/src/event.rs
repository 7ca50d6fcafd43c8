//! What the core tells the application: facts and hints. Bytes are pulled, so
//! no event carries any; heads are the exception.

use crate::error::{CloseReason, PeerCode};
use crate::fault::Violation;
use crate::head::{RequestHead, ResponseHead, Trailers};
use crate::id::{Dir, SessionKey, Side, StreamKey};
use crate::quic;
use crate::transport::EarlyData;
use crate::webtransport::SessionEvent;
use crate::wire::settings::Settings;

/// What happened on a connection.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// The handshake is complete; requests may be sent.
    Connected {
        /// What became of early data.
        early: EarlyData,
    },
    /// The peer's SETTINGS arrived; sessions may be opened.
    Settings(Box<Settings>),
    /// GOAWAY was received (`by` is the peer) or sent: nothing new starts here.
    Draining {
        /// Who began it.
        by: Side,
    },
    /// Always the last event of a connection, exactly once.
    Closed(Box<CloseReason>),
    /// The peer's stream limit grew; `RequestError::Blocked` and `OpenStreamError::Blocked` may be gone.
    Available(Dir),
    /// A request arrived (server).
    Request {
        /// Its stream.
        stream: StreamKey,
        /// Its head.
        head: Box<RequestHead>,
        /// It came as early data, which an attacker can send again: to be acted upon
        /// only where doing it twice does no harm, or after
        /// [`Event::Connected { .. }`] (RFC 8470).
        early: bool,
    },
    /// An interim response, 100 to 199, arrived (client); the final one follows.
    Interim {
        /// The request's stream.
        stream: StreamKey,
        /// The head.
        head: Box<ResponseHead>,
    },
    /// The final response arrived (client).
    Response {
        /// The request's stream.
        stream: StreamKey,
        /// The head.
        head: Box<ResponseHead>,
    },
    /// The message's trailers arrived; its content has been read to the end.
    Trailers {
        /// The message's stream.
        stream: StreamKey,
        /// The fields.
        trailers: Box<Trailers>,
    },
    /// The server gave one or more TLS session tickets (client), which the store has that
    /// the connection was made with: another connection begins with one. Told only where
    /// there is a store.
    Ticket,
    /// The peer opened a stream of a type that the application claims
    /// ([`Config::claimed_uni`](crate::config::Config::claimed_uni)). What follows the
    /// type is read and written as it is, by
    /// [`Access::recv`](crate::connection::Access::recv) and, when it is bidirectional,
    /// [`Access::send`](crate::connection::Access::send); codes are HTTP/3's. One that is
    /// bidirectional and the client's may have datagrams
    /// ([`Access::enable_datagrams`](crate::connection::Access::enable_datagrams)).
    Claimed {
        /// The stream.
        stream: StreamKey,
        /// Its type.
        ty: u64,
    },
    /// Something happened on a stream.
    Stream(StreamKey, StreamEvent),
    /// Something happened in a WebTransport session.
    WebTransport(SessionKey, SessionEvent),
    /// Something happened on a connection of raw QUIC.
    Quic(quic::Event),
}

impl Event {
    /// Keeps the parts of a head alone.
    pub(crate) fn forget_lines(&mut self) {
        match self {
            Self::Request { head, .. } => head.forget_lines(),
            Self::Interim { head, .. } | Self::Response { head, .. } => head.forget_lines(),
            Self::Trailers { trailers, .. } => trailers.forget_lines(),
            _ => {}
        }
    }

    /// The request of the peer's that the application is asked about by it.
    #[doc(hidden)]
    #[must_use]
    pub fn asks(&self) -> Option<StreamKey> {
        match self {
            Self::Request { stream, .. } => Some(*stream),
            Self::WebTransport(session, SessionEvent::Requested(_)) => Some(session.stream()),
            _ => None,
        }
    }
}

/// What happened on a stream, a request's or a session's.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum StreamEvent {
    /// `recv` has bytes, the end, or an error to give. Told once until a read
    /// ends `Blocked`.
    Readable,
    /// `send` takes bytes again, after a write that took less than offered.
    Writable,
    /// The peer has acknowledged everything that was sent, end included. That is not that
    /// its application has read it: a close of the session or connection takes what it has
    /// not. [`Access::drain`](crate::connection::Access::drain) waits for the reader; on a
    /// session an answer of the application's own tells.
    Delivered,
    /// The peer does not want more of what we send. Writes fail with the same code. With
    /// WT_SESSION_GONE the end of the stream's session follows, within
    /// [`close_timeout`](crate::config::Limits::close_timeout).
    Stopped(PeerCode),
    /// The peer abandoned the message it was sending. Told at once; bytes that
    /// were not read are lost. On a session's stream the core does not read ahead,
    /// so there it is `Readable`, and `recv` gives the reset; one with WT_SESSION_GONE is
    /// as for `Stopped`.
    Reset(PeerCode),
    /// The request was not processed because of a GOAWAY: it may be sent again on
    /// another connection. The stream is gone.
    Unprocessed,
    /// The request was early data, which the server did not take: it has seen nothing of
    /// it, and nobody sends it again but the application, on this connection or another.
    /// The stream is gone.
    EarlyDataRejected,
    /// The peer broke a rule on this stream alone; it has been reset and stopped
    /// with the rule's code. The stream is gone.
    Malformed(Violation),
    /// A datagram arrived for this request; told once until drained.
    Datagrams,
    /// The datagram send buffer has room again after `DatagramError::Blocked`.
    DatagramsUnblocked,
    /// The stream's session ended, and the stream with it. The stream is gone.
    SessionGone,
}

const _: () = assert!(
    size_of::<Event>() <= 56,
    "events are moved often: box what is large"
);
